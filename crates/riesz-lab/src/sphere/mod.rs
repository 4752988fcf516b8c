//! What `riesz sphere` shows: free points where a loss or an energy puts them, told in words and numbers.

mod found;

pub use found::{Found, Group, Subject};
