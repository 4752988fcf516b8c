//! Wasserstein uniformity (Koromilas et al. 2024): W₁ = ∫₋₁¹ |F̂(s) − F(s)| ds, F̂ the distribution function of the
//! pairs' cosines, F the ideal one.
//!
//! On an interval where F̂ − F keeps its sign the integral is a difference of two closed forms: areas under a staircase,
//! and [`ideal::cdf_integral`]. Both functions increase, so their values at an interval's ends often prove the sign;
//! where they do not, the interval is halved, down to one step of the staircase, whose crossing is a quantile of F.
//! Nothing is sampled and nothing is a grid: F is evaluated only where the two laws are near each other.

use rayon::prelude::*;

use super::{at_least_two, cosines};
use crate::sphere::ideal;
use crate::{Error, Points, Scalar};

/// Up to so many pairs (n = 2,896) every cosine is kept, 32 MB at most, and the distance is exact.
const KEPT: usize = 1 << 22;
/// Beyond, cosines are gathered in so many equal bins, each of which keeps its count and mean.
const BINS: usize = 1 << 16;

/// W₁ between the law of the pairs' cosines and the [`ideal`] law of dimension d: 0 for uniform points, 1 when all
/// coincide. In d = 1, where both laws are two atoms, it is |mean s|.
///
/// Exact (to rounding) for up to 2,896 points. For more, cosines are moved to the mean of their bin of width 2⁻¹⁵,
/// which changes the distance only in bins where the two distribution functions cross: by less than 1.6·10⁻⁵ in any
/// case, and by less than 10⁻⁷ where it was tried. All pairs count, at any n: no sampling.
///
/// # Errors
/// If there are fewer than two points.
pub fn wasserstein_uniformity<T: Scalar>(points: Points<'_, T>) -> Result<f64, Error> {
    at_least_two(points)?;
    if points.dim() == 1 {
        let total: f64 =
            cosines::fold(points, || 0.0, |sum, part| *sum += part.iter().sum::<f64>()).iter().sum();
        return Ok((total / cosines::pairs(points.len()) as f64).abs());
    }
    let law = if cosines::pairs(points.len()) <= KEPT { kept(points) } else { binned(points) };
    Ok(law.distance_to_ideal(points.dim()))
}

/// An empirical law as its staircase F̂.
struct Staircase {
    /// −1, the atoms in increasing order, 1.
    knots: Vec<f64>,
    /// F̂ between knots k and k + 1, if it is not k/(number of atoms).
    heights: Option<Vec<f64>>,
}

/// The law with every cosine an atom.
fn kept<T: Scalar>(points: Points<'_, T>) -> Staircase {
    let mut knots = Vec::with_capacity(cosines::pairs(points.len()) + 2);
    knots.extend([-1.0, 1.0]);
    for share in cosines::fold(points, Vec::new, |atoms: &mut Vec<f64>, part| atoms.extend_from_slice(part)) {
        knots.extend(share);
    }
    knots.par_sort_unstable_by(f64::total_cmp);
    Staircase { knots, heights: None }
}

/// The law with an atom a bin, at the mean of the bin's cosines.
fn binned<T: Scalar>(points: Points<'_, T>) -> Staircase {
    let bin_of = |s: f64| (((s + 1.0) * (BINS / 2) as f64) as usize).min(BINS - 1);
    let shares = cosines::fold(
        points,
        || vec![(0_u64, 0.0_f64); BINS],
        |bins, part| {
            for &s in part {
                let bin = &mut bins[bin_of(s)];
                bin.0 += 1;
                bin.1 += s;
            }
        },
    );
    let pairs = cosines::pairs(points.len()) as f64;
    let (mut knots, mut heights, mut below) = (vec![-1.0], vec![0.0], 0);
    for bin in 0..BINS {
        let (count, sum) =
            shares.iter().fold((0, 0.0), |(count, sum), share| (count + share[bin].0, sum + share[bin].1));
        if count > 0 {
            below += count;
            knots.push((sum / count as f64).clamp(-1.0, 1.0));
            heights.push(below as f64 / pairs);
        }
    }
    knots.push(1.0);
    Staircase { knots, heights: Some(heights) }
}

impl Staircase {
    fn height(&self, k: usize) -> f64 {
        self.heights.as_ref().map_or_else(|| k as f64 / (self.knots.len() - 2) as f64, |heights| heights[k])
    }

    fn distance_to_ideal(&self, dim: usize) -> f64 {
        self.area(dim, (0, 0.0), (self.knots.len() - 1, 1.0))
    }

    /// ∫|F̂ − F| between two knots, each given with F there.
    fn area(&self, dim: usize, (low, f_low): (usize, f64), (high, f_high): (usize, f64)) -> f64 {
        let (a, b) = (self.knots[low], self.knots[high]);
        let ideal = |from: f64, to: f64| ideal::cdf_integral(dim, to) - ideal::cdf_integral(dim, from);
        if self.height(low) >= f_high || self.height(high - 1) <= f_low {
            let steps = self.knots[low..=high].windows(2).enumerate();
            let stairs: f64 = steps.map(|(k, step)| self.height(low + k) * (step[1] - step[0])).sum();
            return (stairs - ideal(a, b)).abs();
        }
        if high - low == 1 {
            let height = self.height(low);
            let crossing = ideal::quantile(dim, height).clamp(a, b);
            return (height * (crossing - a) - ideal(a, crossing)).abs()
                + (ideal(crossing, b) - height * (b - crossing)).abs();
        }
        let middle = low.midpoint(high);
        let middle = (middle, ideal::cdf(dim, self.knots[middle]));
        self.area(dim, (low, f_low), middle) + self.area(dim, middle, (high, f_high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;
    use crate::sphere::sample;

    /// A fine midpoint rule over |F̂ − F|, which shares nothing with the recursion.
    fn by_quadrature(atoms: &[f64], dim: usize) -> f64 {
        let steps = 400_000;
        (0..steps)
            .map(|i| {
                let s = -1.0 + 2.0 * (f64::from(i) + 0.5) / f64::from(steps);
                let below = atoms.partition_point(|&atom| atom <= s) as f64 / atoms.len() as f64;
                (below - ideal::cdf(dim, s)).abs() * 2.0 / f64::from(steps)
            })
            .sum()
    }

    #[test]
    fn the_recursion_is_the_integral() {
        for (n, dim) in [(2, 2), (7, 2), (9, 3), (12, 4), (20, 8), (25, 64)] {
            let rows = sample(n, dim, Key::new(n as u64));
            let points = Points::new(&rows).unwrap();
            let law = kept(points);
            let want = by_quadrature(&law.knots[1..law.knots.len() - 1], dim);
            let got = wasserstein_uniformity(points).unwrap();
            assert!((got - want).abs() < 1e-5, "n = {n}, d = {dim}: {got} for {want}");
        }
    }

    #[test]
    fn bins_change_little() {
        for (scale, bound) in [(1.0, 1e-7), (0.2, 1e-7)] {
            let mut rows = sample(1500, 16, Key::new(5));
            for i in 0..rows.len() {
                rows.row_mut(i)[3..].iter_mut().for_each(|x| *x *= scale);
            }
            crate::normalize(&mut rows).unwrap();
            let points = Points::new(&rows).unwrap();
            let (exact, gathered) =
                (kept(points).distance_to_ideal(16), binned(points).distance_to_ideal(16));
            assert!((exact - gathered).abs() < bound, "{exact} and {gathered}: {:e}", exact - gathered);
        }
    }
}
