//! What `riesz sphere` shows: free points where a loss or an energy puts them, told in words and numbers, and the theorems
//! about them as experiments.

pub mod plot;
pub mod theory;
mod told;

pub use told::Subject;
