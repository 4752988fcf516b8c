//! What `riesz sphere` shows: free points where a loss or an energy puts them, told in words and numbers, and the theorems
//! about them as experiments.

mod found;
pub mod plot;
pub mod theory;

pub use found::{Found, Group, NOWHERE, Subject};
