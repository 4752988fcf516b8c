//! Wasserstein uniformity (Koromilas et al. 2024): W₁ = ∫₋₁¹ |F̂(s) − F(s)| ds, F̂ the distribution function of the
//! pairs' cosines, F the ideal one.
//!
//! On an interval where F̂ − F keeps its sign the integral is a difference of two closed forms: areas under a staircase,
//! and [`ideal::cdf_integral`]. Both functions increase, so their values at an interval's ends often prove the sign;
//! where they do not, the interval is halved, down to one step of the staircase, whose crossing is a quantile of F.
//! Nothing is sampled and nothing is a grid: F is evaluated only where the two laws are near each other.

use rayon::prelude::*;

use super::{Unit, at_least_two, cosines};
use crate::sphere::ideal;
use crate::{Error, Points, Scalar};

/// Up to so many pairs (n = 2,896) every cosine is kept, in at most 100 MB, and the distance is exact.
const KEPT: usize = 1 << 22;
/// Beyond, cosines are gathered in so many equal bins, each of which keeps their count and sum.
const BINS: usize = 1 << 16;

/// W₁ between the law of the pairs' cosines and the [`ideal`] law of dimension d: 0 for uniform points, 1 when all
/// coincide. In d = 1, where both laws are two atoms, it is |mean s|.
///
/// Exact (to rounding) for up to 2,896 points. For more, all pairs count as well, but cosines are gathered in bins of
/// width 2⁻¹⁵: a bin's share stays exact unless F̂ and F cross inside it, where some of it cancels. That makes the
/// distance too small by at most 6·10⁻⁵ in the worst case, and by less than 10⁻⁷ in every case compared.
///
/// # Errors
/// If there are fewer than two points.
pub fn wasserstein_uniformity<T: Scalar>(points: Points<'_, T>) -> Result<f64, Error> {
    at_least_two(points)?;
    let unit = Unit::of(points);
    let points = unit.points();
    let few = cosines::pairs(points.len()) <= KEPT;
    let shares = cosines::fold(points, || Gathered::new(few), |gathered, _, _, part| gathered.add(part));
    Ok(Gathered::joined(shares).distance(points.dim()))
}

/// The cosines of pairs: all of them, or in bins their counts and sums, which are all that ∫F̂ over a bin depends on.
pub(super) enum Gathered {
    Kept(Vec<f64>),
    Bins(Vec<(u64, f64)>),
}

impl Gathered {
    /// Of no pair. `few` keeps every cosine.
    pub(super) fn new(few: bool) -> Self {
        if few { Self::Kept(Vec::new()) } else { Self::Bins(vec![(0, 0.0); BINS]) }
    }

    /// For the pairs of n points.
    pub(super) fn of(n: usize) -> Self {
        Self::new(cosines::pairs(n) <= KEPT)
    }

    pub(super) fn add(&mut self, cosines: &[f64]) {
        match self {
            Self::Kept(kept) => kept.extend_from_slice(cosines),
            Self::Bins(bins) => {
                for &s in cosines {
                    let bin = &mut bins[(((s + 1.0) * (BINS / 2) as f64) as usize).min(BINS - 1)];
                    bin.0 += 1;
                    bin.1 += s;
                }
            }
        }
    }

    /// All shares of one walk, in order.
    pub(super) fn joined(shares: Vec<Self>) -> Self {
        let mut shares = shares.into_iter();
        let mut sum = shares.next().unwrap_or(Self::Kept(Vec::new()));
        for share in shares {
            match (&mut sum, share) {
                (Self::Kept(kept), Self::Kept(more)) => kept.extend(more),
                (Self::Bins(bins), Self::Bins(more)) => {
                    for (bin, more) in bins.iter_mut().zip(more) {
                        bin.0 += more.0;
                        bin.1 += more.1;
                    }
                }
                _ => unreachable!("the shares of one walk gather in one way"),
            }
        }
        sum
    }

    /// How many cosines lie in each of `bins` equal parts of [−1, 1]; `bins` divides 65,536.
    pub(super) fn histogram(&self, bins: usize) -> Vec<u64> {
        let mut counts = vec![0; bins];
        match self {
            Self::Kept(kept) => kept
                .iter()
                .for_each(|s| counts[(((s + 1.0) * 0.5 * bins as f64) as usize).min(bins - 1)] += 1),
            Self::Bins(fine) => {
                for (count, fine) in counts.iter_mut().zip(fine.chunks(BINS / bins)) {
                    *count = fine.iter().map(|bin| bin.0).sum();
                }
            }
        }
        counts
    }

    /// W₁ to the ideal law of ℝᵈ.
    pub(super) fn distance(self, dim: usize) -> f64 {
        match self {
            Self::Kept(kept) if dim == 1 => (kept.iter().sum::<f64>() / kept.len() as f64).abs(),
            Self::Bins(bins) if dim == 1 => {
                let (count, sum) = bins.iter().fold((0, 0.0), |all, bin| (all.0 + bin.0, all.1 + bin.1));
                (sum / count as f64).abs()
            }
            Self::Kept(kept) => exact(kept, dim),
            Self::Bins(bins) => binned(&bins, dim),
        }
    }
}

/// With every cosine kept.
fn exact(kept: Vec<f64>, dim: usize) -> f64 {
    let mut knots = kept;
    knots.extend([-1.0, 1.0]);
    knots.par_sort_unstable_by(f64::total_cmp);
    let end = knots.len() - 1;
    Staircase { dim, knots }.area((0, 0.0), (end, 1.0))
}

/// F̂: −1, the cosines in increasing order, 1.
struct Staircase {
    dim: usize,
    knots: Vec<f64>,
}

impl Staircase {
    /// F̂ between knots k and k + 1.
    fn height(&self, k: usize) -> f64 {
        k as f64 / (self.knots.len() - 2) as f64
    }

    /// ∫|F̂ − F| between two knots, each given with F there.
    fn area(&self, (low, f_low): (usize, f64), (high, f_high): (usize, f64)) -> f64 {
        let (a, b) = (self.knots[low], self.knots[high]);
        if self.height(low) >= f_high || self.height(high - 1) <= f_low {
            let steps = self.knots[low..=high].windows(2).enumerate();
            let stairs: f64 = steps.map(|(k, step)| self.height(low + k) * (step[1] - step[0])).sum();
            return (stairs - ideal_area(self.dim, a, b)).abs();
        }
        if high - low == 1 {
            let height = self.height(low);
            let crossing = ideal::quantile(self.dim, height).clamp(a, b);
            return (height * (crossing - a) - ideal_area(self.dim, a, crossing)).abs()
                + (ideal_area(self.dim, crossing, b) - height * (b - crossing)).abs();
        }
        let middle = low.midpoint(high);
        let middle = (middle, ideal::cdf(self.dim, self.knots[middle]));
        self.area((low, f_low), middle) + self.area(middle, (high, f_high))
    }
}

/// ∫ₐᵇ F.
fn ideal_area(dim: usize, a: f64, b: f64) -> f64 {
    ideal::cdf_integral(dim, b) - ideal::cdf_integral(dim, a)
}

/// With the count and the sum of each bin's cosines.
fn binned(bins: &[(u64, f64)], dim: usize) -> f64 {
    let pairs = bins.iter().map(|bin| bin.0).sum::<u64>() as f64;
    let edge = |bin: usize| 2.0 * bin as f64 / BINS as f64 - 1.0;
    // Each edge once: F costs more than all else here.
    let ideal: Vec<f64> = (0..=BINS).into_par_iter().map(|bin| ideal::cdf_integral(dim, edge(bin))).collect();
    let (mut below, mut distance) = (0, 0.0);
    for (bin, &(count, sum)) in bins.iter().enumerate() {
        let (a, b) = (edge(bin), edge(bin + 1));
        // A cosine s of the bin is counted from s to b.
        let stairs = (below as f64 * (b - a) + (count as f64 * b - sum)) / pairs;
        distance += (stairs - (ideal[bin + 1] - ideal[bin])).abs();
        below += count;
    }
    distance
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;
    use crate::sphere::sample;

    /// A fine midpoint rule over |F̂ − F|, which shares nothing with the recursion.
    fn by_quadrature(points: Points<'_, f64>) -> f64 {
        let n = points.len();
        let dot =
            |i: usize, j: usize| -> f64 { points.row(i).iter().zip(points.row(j)).map(|(x, y)| x * y).sum() };
        let mut cosines: Vec<f64> = (0..n).flat_map(|i| (0..i).map(move |j| dot(i, j))).collect();
        cosines.sort_by(f64::total_cmp);
        let steps = 400_000;
        (0..steps)
            .map(|i| {
                let s = -1.0 + 2.0 * (f64::from(i) + 0.5) / f64::from(steps);
                let below = cosines.partition_point(|&cosine| cosine <= s) as f64 / cosines.len() as f64;
                (below - ideal::cdf(points.dim(), s)).abs() * 2.0 / f64::from(steps)
            })
            .sum()
    }

    #[test]
    fn the_recursion_is_the_integral() {
        for (n, dim) in [(2, 2), (7, 2), (9, 3), (12, 4), (20, 8), (25, 64)] {
            let rows = sample(n, dim, Key::new(n as u64));
            let points = Points::new(&rows).unwrap();
            let (got, want) = (wasserstein_uniformity(points).unwrap(), by_quadrature(points));
            assert!((got - want).abs() < 1e-5, "n = {n}, d = {dim}: {got} for {want}");
        }
    }

    #[test]
    fn bins_change_little() {
        for (n, dim, scale) in
            [(400, 16, 1.0), (2500, 16, 1.0), (2500, 128, 1.0), (1500, 16, 0.2), (900, 2, 1.0)]
        {
            let mut rows = sample(n, dim, Key::new(5));
            for i in 0..n {
                rows.row_mut(i)[1..].iter_mut().for_each(|x| *x *= scale);
            }
            crate::normalize(&mut rows).unwrap();
            let points = Points::new(&rows).unwrap();
            let gathered = |few: bool| {
                let shares = cosines::fold(points, || Gathered::new(few), |all, _, _, part| all.add(part));
                Gathered::joined(shares).distance(dim)
            };
            let (want, got) = (gathered(true), gathered(false));
            assert!((want - got).abs() < 1e-7, "n = {n}, d = {dim}: {got} for {want}, {:e}", want - got);
        }
    }

    #[test]
    fn equal_and_opposite_points_have_their_distances() {
        let equal = crate::Matrix::new([0.6, 0.8, 0.0].repeat(40), 3);
        assert!((wasserstein_uniformity(Points::new(&equal).unwrap()).unwrap() - 1.0).abs() < 1e-12);
        let line = crate::Matrix::new(vec![1.0, -1.0, 1.0], 1);
        assert!((wasserstein_uniformity(Points::new(&line).unwrap()).unwrap() - 1.0 / 3.0).abs() < 1e-12);
        // Cosine −1 only: ∫(1 − F) is 1 as well.
        let opposite = crate::Matrix::new(vec![0.6, 0.8, -0.6, -0.8], 2);
        assert!((wasserstein_uniformity(Points::new(&opposite).unwrap()).unwrap() - 1.0).abs() < 1e-12);
    }
}
