//! The distinct cosines of a point set, and what follows from them alone: its energy under every kernel, its strength
//! as a spherical design, and whether it is sharp.
//!
//! With P_k the Gegenbauer polynomial of Sᵈ⁻¹, P_k(1) = 1, the moment M_k = (1/N²) Σ_{i,j} P_k(⟨x_i, x_j⟩), over all ordered
//! pairs and each point with itself, is never negative: it is the squared length of the mean of the harmonics of degree k.
//! Points are a spherical t-design, averaging every polynomial of degree t as the sphere does, if M_1 = … = M_t = 0
//! (Delsarte, Goethals and Seidel 1977). They are **sharp** if they have m distinct cosines and are a (2m − 1)-design;
//! then they minimize the energy of every kernel that is completely monotone in the squared distance (Cohn and Kumar,
//! J. Amer. Math. Soc. 2007).

use crate::Points;
use crate::kernel::Kernel;
use crate::rows::dots;

/// A moment below this is 0: it is quadratic in the points' errors, so that points good to 10⁻⁷ pass, and no design is
/// missed by less than its share of about 1/N.
pub const MOMENT: f64 = 1e-12;

/// One distinct cosine.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Distinct {
    /// The mean of those that are counted as equal.
    pub cosine: f64,
    /// How many unordered pairs of points have it.
    pub pairs: u64,
}

/// The cosines of all pairs of N points of ℝᵈ.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Cosines {
    /// N.
    pub points: usize,
    /// d.
    pub dim: usize,
    /// In increasing order; together N (N − 1)/2 pairs.
    pub distinct: Vec<Distinct>,
    /// The widest range of cosines that are counted as one.
    pub spread: f64,
}

impl Cosines {
    /// The cosines of points; those are equal that a chain of gaps of at most `tolerance` connects. O(N²) memory.
    pub fn of(points: Points<'_, f64>, tolerance: f64) -> Self {
        let (n, dim) = (points.len(), points.dim());
        let mut all = Vec::with_capacity(n * n.saturating_sub(1) / 2);
        let mut row = Vec::new();
        for i in 0..n {
            let repeated = points.row(i).repeat(n - 1 - i);
            row.resize(n - 1 - i, 0.0);
            dots(&repeated, &points.as_slice()[(i + 1) * dim..], dim, &mut row);
            all.extend_from_slice(&row);
        }
        all.sort_unstable_by(f64::total_cmp);
        let (mut distinct, mut spread) = (Vec::new(), 0.0_f64);
        for equal in all.chunk_by(|a, b| b - a <= tolerance) {
            let mean = equal.iter().sum::<f64>() / equal.len() as f64;
            distinct.push(Distinct { cosine: mean, pairs: equal.len() as u64 });
            spread = spread.max(equal[equal.len() - 1] - equal[0]);
        }
        Self { points: n, dim, distinct, spread }
    }

    /// Mean of κ over pairs: the energy [`Loss::energy`](crate::loss::Loss::energy) of the points; 0 for one point.
    pub fn energy(&self, kernel: &dyn Kernel) -> f64 {
        let pairs: u64 = self.distinct.iter().map(|one| one.pairs).sum();
        let sum: f64 = self.distinct.iter().map(|one| one.pairs as f64 * kernel.at(one.cosine).0).sum();
        sum / (pairs as f64).max(1.0)
    }

    /// M_0, …, M_`most`.
    ///
    /// # Panics
    /// If d < 2: S⁰ has no Gegenbauer polynomials beyond degree 1.
    pub fn moments(&self, most: usize) -> Vec<f64> {
        let n = self.points as f64;
        let mut moments = vec![1.0 / n; most + 1];
        for one in &self.distinct {
            for (moment, p) in moments.iter_mut().zip(gegenbauer(self.dim, one.cosine)) {
                *moment += 2.0 * one.pairs as f64 * p / (n * n);
            }
        }
        moments
    }

    /// The largest t up to `most` for which the points are a spherical t-design: M_1, …, M_t below [`MOMENT`].
    ///
    /// # Panics
    /// If d < 2.
    pub fn design_strength(&self, most: usize) -> usize {
        self.moments(most).iter().skip(1).take_while(|moment| moment.abs() < MOMENT).count()
    }

    /// Whether the points are sharp: m distinct cosines, no two points equal, and a (2m − 1)-design.
    ///
    /// # Panics
    /// If d < 2.
    pub fn is_sharp(&self) -> bool {
        let m = self.distinct.len();
        let apart = self.distinct.last().is_some_and(|last| last.cosine < 1.0 - 1e-6);
        // No set of N points is a design of strength t if N < t + 1.
        apart && 2 * m <= self.points + 1 && self.design_strength(2 * m - 1) == 2 * m - 1
    }

    /// Whether these are the same cosines, each as often, to within `tolerance`.
    pub fn matches(&self, other: &Self, tolerance: f64) -> bool {
        self.points == other.points
            && self.distinct.len() == other.distinct.len()
            && self.distinct.iter().zip(&other.distinct).all(|(one, other)| {
                one.pairs == other.pairs && (one.cosine - other.cosine).abs() <= tolerance
            })
    }
}

/// P_0(s), P_1(s), …, the Gegenbauer polynomials of Sᵈ⁻¹ with P_k(1) = 1: Chebyshev's for d = 2, Legendre's for d = 3.
/// (k + d − 2) P_{k+1} = (2k + d − 2) s P_k − k P_{k−1}.
///
/// # Panics
/// If `dim` < 2.
pub fn gegenbauer(dim: usize, s: f64) -> impl Iterator<Item = f64> {
    assert!(dim >= 2, "Gegenbauer polynomials are of spheres in two dimensions or more");
    let shift = (dim - 2) as f64;
    let (mut k, mut before, mut now) = (0.0, 0.0, 1.0);
    std::iter::from_fn(move || {
        let given = now;
        let next = if k == 0.0 { s } else { ((2.0 * k + shift) * s * now - k * before) / (k + shift) };
        (before, now, k) = (now, next, k + 1.0);
        Some(given)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matrix;
    use crate::rng::Key;
    use crate::sphere::sample;

    #[test]
    fn polynomials_of_low_dimensions() {
        for s in [-1.0, -0.3, 0.2, 1.0] {
            let chebyshev: Vec<f64> = gegenbauer(2, s).take(6).collect();
            let legendre: Vec<f64> = gegenbauer(3, s).take(4).collect();
            for (k, p) in chebyshev.iter().enumerate() {
                assert!((p - (k as f64 * s.acos()).cos()).abs() < 1e-14);
            }
            let want = [1.0, s, 1.5 * s * s - 0.5, 2.5 * s * s * s - 1.5 * s];
            assert!(legendre.iter().zip(want).all(|(p, want)| (p - want).abs() < 1e-15));
        }
    }

    #[test]
    fn moments_are_squared_lengths_and_random_points_are_no_design() {
        let rows = sample(50, 4, Key::new(1));
        let cosines = Cosines::of(Points::new(&rows).unwrap(), 1e-12);
        assert_eq!(cosines.distinct.iter().map(|one| one.pairs).sum::<u64>(), 50 * 49 / 2);
        assert!(cosines.moments(8).iter().all(|moment| *moment > 1e-4));
        assert_eq!(cosines.design_strength(8), 0);
        assert!(!cosines.is_sharp());
    }

    #[test]
    fn coinciding_points_and_one_point() {
        let rows = Matrix::new(vec![1.0, 0.0, 1.0, 0.0, -1.0, 0.0], 2);
        let cosines = Cosines::of(Points::new(&rows).unwrap(), 1e-9);
        assert_eq!(cosines.distinct.len(), 2);
        assert_eq!((cosines.distinct[0].pairs, cosines.distinct[1].pairs), (2, 1));
        assert!(!cosines.is_sharp());
        let one = Cosines::of(Points::from_slice(&[0.0, 1.0], 2).unwrap(), 1e-9);
        assert!(one.distinct.is_empty() && !one.is_sharp());
    }
}
