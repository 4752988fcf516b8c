//! Numbers that describe points on the sphere, and the state from which they are had when the points stream by.
//!
//! n points of ℝᵈ in a view; s = ⟨x, y⟩ a cosine; pairs are unordered pairs of different points. [`METRICS`] has each
//! number's name, formula and source. A [`State`] takes rows block by block, and states merge; a [`Spectrum`] has the
//! singular values, and all that follows from them; [`Pairwise`] walks over the pairs, in memory linear in the points.
//! [`Findings`] joins them. [`Duplicates`] are the groups of points that are nearly the same.

mod cosines;
mod diagnosis;
mod duplicates;
mod joint;
mod labeled;
mod lengths;
mod metrics;
mod neighbors;
mod pairwise;
mod sample;
mod singular;
mod spectrum;
mod state;
mod triangle;
mod uniformity;
mod wasserstein;

pub use diagnosis::{Diagnosis, FEW_DIRECTIONS, NEARLY_EQUAL, diagnosis};
pub use duplicates::Duplicates;
pub use joint::{Joint, Likeness};
pub use labeled::{lidar, silhouettes};
pub use lengths::Lengths;
pub use metrics::{Better, Findings, METRICS, Metric, NEAR_DUPLICATE};
pub use pairwise::{BINS, NEIGHBORS, Pairwise};
pub use sample::{Sampled, Sampling};
pub use spectrum::Spectrum;
pub use state::{Parts, State};
pub use uniformity::{alignment, uniformity};
pub use wasserstein::wasserstein_uniformity;

use crate::{Error, Points, Scalar};

/// A number, and its 95 % interval if it is of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Both ends; `None` if the value is exact.
    pub interval: Option<[f64; 2]>,
}

/// 95 % of a normal law lie within so many deviations.
const TWO_SIDED: f64 = 1.959_963_984_540_054;

impl Estimate {
    /// A number that is no estimate.
    pub fn exact(value: f64) -> Self {
        Self { value, interval: None }
    }

    /// A number with this standard error.
    pub fn with_error(value: f64, error: f64) -> Self {
        Self { value, interval: Some([value - TWO_SIDED * error, value + TWO_SIDED * error]) }
    }
}

/// What every metric of one point set needs.
fn at_least_two<T: Scalar>(points: Points<'_, T>) -> Result<(), Error> {
    if points.len() < 2 {
        return Err(Error::new(format!("geometry needs at least 2 points; there are {}", points.len())));
    }
    Ok(())
}
