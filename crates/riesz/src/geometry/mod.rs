//! Numbers that describe points on the sphere, each exact for its formula and in memory linear in the points (the
//! Wasserstein distance adds at most 100 MB, whatever n).
//!
//! n points of ℝᵈ in a view; s = ⟨x, y⟩ a cosine; pairs are unordered pairs of different points.
//!
//! | metric | formula | best |
//! |---|---|---|
//! | [`alignment`] | mean ‖uᵢ − vᵢ‖² over matched pairs | 0 |
//! | [`uniformity`] | ln mean e^{−2‖xᵢ − xⱼ‖²} over pairs | −4 + ln ₀F₁(; d/2; 4) |
//! | [`wasserstein_uniformity`] | W₁(law of the pairs' cosines, [`ideal`](crate::sphere::ideal) law) | 0 |
//! | [`rank`] | eigenvalues of the covariance above 10⁻⁵ | d |
//! | [`effective_rank`] | e^H of the normalized singular values | d |

mod cosines;
mod diagnosis;
mod spectrum;
mod uniformity;
mod wasserstein;

pub use diagnosis::{Diagnosis, diagnosis};
pub use spectrum::{effective_rank, rank, rank_me, roy_vetterli, singular_values};
pub use uniformity::{alignment, uniformity};
pub use wasserstein::wasserstein_uniformity;

use crate::{Error, Matrix, Points, Scalar};

/// In which direction a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Small values are better.
    Lower,
    /// Large values are better.
    Higher,
}

/// A number that describes the embeddings of two views: one entry is its help text, its report row and its test.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name in logs, reports and the command line.
    pub name: &'static str,
    /// What it says, in one line.
    pub about: &'static str,
    /// In which direction it is better.
    pub better: Better,
    /// Its value for two views; metrics of one point set look at the first.
    pub measure: fn(&[Points<'_, f64>; 2]) -> Result<f64, Error>,
}

/// Every metric, in the order in which logs and reports show them.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "alignment",
        about: "mean squared distance of an image's two views; 0 when they coincide, 2 for unrelated points",
        better: Better::Lower,
        measure: |views| alignment(views[0], views[1]),
    },
    Metric {
        name: "uniformity",
        about: "log of the mean of exp(-2 distance²) over pairs; 0 when all points coincide, about -4 when uniform",
        better: Better::Lower,
        measure: |views| uniformity(views[0]),
    },
    Metric {
        name: "wasserstein_uniformity",
        about: "distance of the law of the pairs' cosines from that of uniform points; 0 when uniform, 1 when all coincide",
        better: Better::Lower,
        measure: |views| wasserstein_uniformity(views[0]),
    },
    Metric {
        name: "rank",
        about: "directions in which the points' variance is above 1e-5; at most the dimension",
        better: Better::Higher,
        measure: |views| Ok(rank(views[0])? as f64),
    },
    Metric {
        name: "effective_rank",
        about: "exponential of the entropy of the normalized singular values; at most the dimension",
        better: Better::Higher,
        measure: |views| effective_rank(views[0]),
    },
];

/// Every entry of [`METRICS`] with its value, computed in `f64` throughout.
///
/// # Errors
/// If there are fewer than two points.
///
/// # Panics
/// If the views' shapes differ.
pub fn measure_all<T: Scalar>(views: &[Points<'_, T>; 2]) -> Result<Vec<(&'static str, f64)>, Error> {
    let [u, v] =
        views.map(|view| Matrix::new(view.as_slice().iter().map(|x| x.to_f64()).collect(), view.dim()));
    let views = [Points::new(&u)?, Points::new(&v)?];
    METRICS.iter().map(|metric| Ok((metric.name, (metric.measure)(&views)?))).collect()
}

/// What every metric of one point set needs.
fn at_least_two<T: Scalar>(points: Points<'_, T>) -> Result<(), Error> {
    if points.len() < 2 {
        return Err(Error::new(format!("geometry needs at least 2 points; there are {}", points.len())));
    }
    Ok(())
}
