//! Alignment and uniformity (Wang & Isola, ICML 2020), with their usual exponent 2 and width 2.

use pulp::{Simd, WithSimd};

use super::{Unit, at_least_two, cosines};
use crate::elementary::{Real, widest};
use crate::{Error, Points, Scalar};

/// mean_i ‖uᵢ − vᵢ‖², in [0, 4]: 0 when an image's views coincide, 2 for unrelated points.
///
/// # Errors
/// If there are no points.
///
/// # Panics
/// If the shapes differ.
pub fn alignment<T: Scalar>(u: Points<'_, T>, v: Points<'_, T>) -> Result<f64, Error> {
    assert!(u.len() == v.len() && u.dim() == v.dim(), "alignment of views of different shapes");
    if u.is_empty() {
        return Err(Error::new("alignment needs at least 1 pair of points; there is none"));
    }
    let (unit_u, unit_v) = (Unit::of(u), Unit::of(v));
    let (u, v) = (unit_u.points(), unit_v.points());
    let square = |x: f64| x * x;
    let total: f64 = (0..u.len())
        .map(|i| u.row(i).iter().zip(v.row(i)).map(|(a, b)| square(a.to_f64() - b.to_f64())).sum::<f64>())
        .sum();
    Ok(total / u.len() as f64)
}

/// ln mean_{i<j} e^{−2‖xᵢ − xⱼ‖²}, in [−8, 0]: 0 when all points coincide. Pairs are of different points, so that
/// the value of few points is not held up by their meeting themselves; for many uniform points it tends to
/// [`ideal::uniformity`](crate::sphere::ideal::uniformity)`(dim, 2.0)`.
///
/// # Errors
/// If there are fewer than two points.
pub fn uniformity<T: Scalar>(points: Points<'_, T>) -> Result<f64, Error> {
    at_least_two(points)?;
    let unit = Unit::of(points);
    let points = unit.points();
    let shares = cosines::fold(points, || 0.0_f64, |total, _, _, part| *total += gaussians(part));
    Ok((shares.iter().sum::<f64>() / cosines::pairs(points.len()) as f64).ln())
}

/// Σ e^{4s − 4} over cosines: e^{−2‖x − y‖²} of each pair.
pub(super) fn gaussians(cosines: &[f64]) -> f64 {
    widest(Gaussians(cosines))
}

struct Gaussians<'a>(&'a [f64]);

impl WithSimd for Gaussians<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let (whole, rest) = self.0.as_chunks::<16>();
        let mut lanes = [0.0; 16];
        for chunk in whole {
            for i in 0..16 {
                lanes[i] += Real::exp::<S>(4.0 * chunk[i] - 4.0);
            }
        }
        for (lane, s) in lanes.iter_mut().zip(rest) {
            *lane += Real::exp::<S>(4.0 * s - 4.0);
        }
        lanes.iter().sum()
    }
}
