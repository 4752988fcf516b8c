//! The laboratory: everything that touches the world.
pub mod data;
pub mod ops;
mod error;
pub use error::{Error, Result};
