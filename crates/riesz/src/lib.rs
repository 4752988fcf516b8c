//! Contrastive losses as energies on the sphere: values in, values out.
//!
//! Notation: N images, K views, rows of d numbers; a unit row is a point of the sphere Sᵈ⁻¹ ⊂ ℝᵈ; a cosine is
//! s = ⟨x, y⟩ of two unit rows, so that ‖x − y‖² = 2 − 2s.

pub mod engine;
mod error;
pub mod geometry;
pub mod kernel;
pub mod loss;
pub mod points;
pub mod product;
pub mod rng;
pub mod sphere;

pub use error::Error;
pub use points::{Matrix, Points, Scalar, normalize, normalize_backward};
