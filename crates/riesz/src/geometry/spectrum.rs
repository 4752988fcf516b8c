//! How many directions points use: singular values, rank, effective rank.
//!
//! X is the n × d matrix of points, σ₁ ≥ … ≥ σ_k its singular values, k = min(n, d), p_j = σ_j/Σσ.
//!
//! A Gram matrix would square the condition and turn a singular value of 0 into 10⁻⁸σ₁, which an entropy sees. So X is
//! folded into a triangle by Householder reflections, block of rows by block, the triangle is made bidiagonal, and its
//! singular values are found by bisection, each to about 10⁻¹⁵σ₁.

use rayon::prelude::*;

use super::at_least_two;
use crate::{Error, Points, Scalar};

/// The variance along a direction above which it counts for [`rank`]: that of the authors' released code.
const RANK_TOLERANCE: f64 = 1e-5;
/// What the authors of RankMe add to each p_j.
const SMOOTHING: f64 = 1e-7;
/// Rows that are folded into the triangle at a time.
const FOLDED: usize = 256;

/// The min(n, d) singular values of the points as they are (no mean taken off), largest first. Σσ² = n.
/// Time O(n d · min(n, d)).
pub fn singular_values<T: Scalar>(points: Points<'_, T>) -> Vec<f64> {
    let rows: Vec<f64> = points.as_slice().iter().map(|x| x.to_f64()).collect();
    singular_values_of(rows, points.len(), points.dim())
}

/// How many eigenvalues of the covariance Σ(xᵢ − x̄)(xᵢ − x̄)ᵀ/(n − 1) are above 10⁻⁵: the numerical rank with the
/// tolerance of Koromilas et al. 2024's released code. All points equal have rank 0.
///
/// # Errors
/// If there are fewer than two points.
pub fn rank<T: Scalar>(points: Points<'_, T>) -> Result<usize, Error> {
    at_least_two(points)?;
    let (n, d) = (points.len(), points.dim());
    let mut mean = vec![0.0; d];
    let mut rows: Vec<f64> = points.as_slice().iter().map(|x| x.to_f64()).collect();
    for row in rows.chunks_exact(d) {
        mean.iter_mut().zip(row).for_each(|(total, x)| *total += x);
    }
    for row in rows.chunks_exact_mut(d) {
        row.iter_mut().zip(&mean).for_each(|(x, total)| *x -= total / n as f64);
    }
    let variances = singular_values_of(rows, n, d).into_iter().map(|sigma| sigma * sigma / (n - 1) as f64);
    Ok(variances.filter(|&variance| variance > RANK_TOLERANCE).count())
}

/// e^H(q), q_j ∝ p_j + 10⁻⁷, H(q) = −Σ q_j ln q_j: the effective rank of Koromilas et al. 2024's released code, which is
/// [`rank_me`] with the smoothed p normalized again. (The released code also enlarges the 10⁻⁷ tenfold where Σσ passes
/// 1,000; that is not done here, so that the number does not jump with n.) Between 1 and min(n, d).
///
/// # Errors
/// If there are fewer than two points.
pub fn effective_rank<T: Scalar>(points: Points<'_, T>) -> Result<f64, Error> {
    let smoothed = shares(points, SMOOTHING)?;
    let total: f64 = smoothed.iter().sum();
    Ok(exponential_entropy(smoothed.iter().map(|p| p / total)))
}

/// exp(−Σ p′_j ln p′_j), p′_j = p_j + 10⁻⁷: RankMe as its paper writes it (Garrido et al., ICML 2023). The p′ sum to
/// 1 + k·10⁻⁷, so it may pass min(n, d) in the fifth digit.
///
/// # Errors
/// If there are fewer than two points.
pub fn rank_me<T: Scalar>(points: Points<'_, T>) -> Result<f64, Error> {
    Ok(exponential_entropy(shares(points, SMOOTHING)?.into_iter()))
}

/// e^H(p) without smoothing (Roy & Vetterli, EUSIPCO 2007). Between 1 and min(n, d).
///
/// # Errors
/// If there are fewer than two points.
pub fn roy_vetterli<T: Scalar>(points: Points<'_, T>) -> Result<f64, Error> {
    Ok(exponential_entropy(shares(points, 0.0)?.into_iter()))
}

/// p_j + smoothing.
fn shares<T: Scalar>(points: Points<'_, T>, smoothing: f64) -> Result<Vec<f64>, Error> {
    at_least_two(points)?;
    let sigmas = singular_values(points);
    let total: f64 = sigmas.iter().sum();
    Ok(sigmas.into_iter().map(|sigma| sigma / total + smoothing).collect())
}

fn exponential_entropy(shares: impl Iterator<Item = f64>) -> f64 {
    shares.filter(|&p| p > 0.0).map(|p| -p * p.ln()).sum::<f64>().exp()
}

fn singular_values_of(rows: Vec<f64>, n: usize, d: usize) -> Vec<f64> {
    if n == 0 {
        return Vec::new();
    }
    // The transpose has the same singular values, and the triangle is that of the shorter side.
    let (mut rows, side) = if n >= d {
        (rows, d)
    } else {
        ((0..d).flat_map(|j| rows.iter().skip(j).step_by(d).copied()).collect(), n)
    };
    let mut triangle = vec![0.0; side * side];
    for block in rows.chunks_mut(FOLDED * side) {
        fold(&mut triangle, block, side);
    }
    let (diagonal, above) = bidiagonal(&mut triangle, side);
    bisect(&diagonal, &above)
}

/// What carries (x, tail) onto (length, 0): H = 1 − 2 v vᵀ/‖v‖² with v = (first, tail).
struct Reflection {
    length: f64,
    first: f64,
    /// 2/‖v‖², 0 where there is nothing to reflect.
    factor: f64,
}

impl Reflection {
    fn new(x: f64, tail_square: f64) -> Self {
        if tail_square == 0.0 {
            return Self { length: x, first: 0.0, factor: 0.0 };
        }
        let length = -(x * x + tail_square).sqrt().copysign(x);
        let first = x - length;
        Self { length, first, factor: 2.0 / (first * first + tail_square) }
    }
}

/// Replaces the upper triangle R by that of (R over `block`), which it uses up.
fn fold(triangle: &mut [f64], block: &mut [f64], side: usize) {
    let mut dots = vec![0.0; side];
    for k in 0..side {
        let tail_square = block.iter().skip(k).step_by(side).map(|x| x * x).sum();
        let reflection = Reflection::new(triangle[k * side + k], tail_square);
        let line = &mut triangle[k * side..(k + 1) * side];
        line[k] = reflection.length;
        let (line, dots) = (&mut line[k + 1..], &mut dots[k + 1..]);
        dots.iter_mut().zip(&*line).for_each(|(dot, x)| *dot = reflection.first * x);
        for row in block.chunks_exact(side) {
            add(dots, row[k], &row[k + 1..]);
        }
        add(line, -reflection.factor * reflection.first, dots);
        for row in block.chunks_exact_mut(side) {
            let share = -reflection.factor * row[k];
            add(&mut row[k + 1..], share, dots);
        }
    }
}

/// The diagonal and the line above it of a bidiagonal matrix with the singular values of `a`, which it uses up.
fn bidiagonal(a: &mut [f64], side: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut diagonal, mut above) = (Vec::with_capacity(side), Vec::with_capacity(side));
    let mut dots = vec![0.0; side];
    for k in 0..side {
        // From the left: column k below the diagonal to 0.
        let (head, below) = a[k * side..].split_at_mut(side);
        let tail_square = below.iter().skip(k).step_by(side).map(|x| x * x).sum();
        let reflection = Reflection::new(head[k], tail_square);
        diagonal.push(reflection.length);
        if k + 1 == side {
            break;
        }
        let (line, dots) = (&mut head[k + 1..], &mut dots[k + 1..]);
        dots.iter_mut().zip(&*line).for_each(|(dot, x)| *dot = reflection.first * x);
        for row in below.chunks_exact(side) {
            add(dots, row[k], &row[k + 1..]);
        }
        add(line, -reflection.factor * reflection.first, dots);
        for row in below.chunks_exact_mut(side) {
            let share = -reflection.factor * row[k];
            add(&mut row[k + 1..], share, dots);
        }
        // From the right: row k beyond the first place above the diagonal to 0.
        let reflection = Reflection::new(line[0], line[1..].iter().map(|x| x * x).sum());
        above.push(reflection.length);
        line[0] = reflection.first;
        for row in below.chunks_exact_mut(side) {
            let row = &mut row[k + 1..];
            let dot: f64 = row.iter().zip(&*line).map(|(x, v)| x * v).sum();
            add(row, -reflection.factor * dot, line);
        }
    }
    (diagonal, above)
}

/// total ← total + factor · x.
fn add(total: &mut [f64], factor: f64, x: &[f64]) {
    total.iter_mut().zip(x).for_each(|(total, x)| *total += factor * x);
}

/// Singular values of a bidiagonal matrix, largest first: ±σ are the eigenvalues of the tridiagonal matrix with zero
/// diagonal and the two lines interleaved beside it (Golub and Kahan), and a Sturm count says how many lie below any x.
fn bisect(diagonal: &[f64], above: &[f64]) -> Vec<f64> {
    let mut squares = Vec::with_capacity(2 * diagonal.len());
    let mut bound = 0.0_f64;
    let mut before = 0.0;
    for (k, d) in diagonal.iter().enumerate() {
        let beside = above.get(k).copied().unwrap_or(0.0);
        bound = bound.max(f64::abs(before) + d.abs()).max(d.abs() + beside.abs());
        squares.push(d * d);
        squares.push(beside * beside);
        before = beside;
    }
    squares.truncate(2 * diagonal.len() - 1);
    // A pivot may not be 0; one this small moves no count.
    let least = (bound * 1e-160).max(f64::MIN_POSITIVE);
    let below = |x: f64| -> usize {
        let mut pivot = -x;
        let mut negative = usize::from(pivot < 0.0);
        for square in &squares {
            if pivot.abs() < least {
                pivot = -least;
            }
            pivot = -x - square / pivot;
            negative += usize::from(pivot < 0.0);
        }
        negative - diagonal.len().min(negative)
    };
    (0..diagonal.len())
        .into_par_iter()
        .map(|k| {
            // The value with exactly `rank` others below it.
            let rank = diagonal.len() - 1 - k;
            let (mut low, mut high) = (0.0, bound * (1.0 + 1e-15));
            while high - low > f64::EPSILON * 0.25 * bound {
                let middle = 0.5 * (low + high);
                if middle <= low || middle >= high {
                    break;
                }
                if below(middle) > rank {
                    high = middle;
                } else {
                    low = middle;
                }
            }
            0.5 * (low + high)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;
    use crate::sphere::sample;
    use crate::{Matrix, normalize};

    #[test]
    fn known_spectra_are_found() {
        // Orthogonal rows, each twice: σ = √2, d times.
        let d = 9;
        let rows = Matrix::new((0..2 * d * d).map(|i| f64::from(u8::from(i / d % d == i % d))).collect(), d);
        let points = Points::new(&rows).unwrap();
        for sigma in singular_values(points) {
            assert!((sigma - 2.0_f64.sqrt()).abs() < 1e-14, "{sigma}");
        }
        assert!((roy_vetterli(points).unwrap() - d as f64).abs() < 1e-12);
        assert_eq!(rank(points).unwrap(), d - 1, "the mean takes one direction");
        // All rows equal: σ = √n and zeros.
        let rows = Matrix::new([0.6, 0.8, 0.0].repeat(50), 3);
        let points = Points::new(&rows).unwrap();
        let sigmas = singular_values(points);
        assert!(
            (sigmas[0] - 50.0_f64.sqrt()).abs() < 1e-14 && sigmas[1] < 1e-14 && sigmas[2] < 1e-14,
            "{sigmas:?}"
        );
        assert_eq!(rank(points).unwrap(), 0);
        assert!((roy_vetterli(points).unwrap() - 1.0).abs() < 1e-12);
    }

    /// The sums Σσ² and Σσ⁴ are traces of powers of the Gram matrix, which plain loops compute.
    #[test]
    fn singular_values_have_the_traces_of_the_gram_matrix() {
        for (n, d) in [(1, 1), (1, 5), (4, 1), (5, 12), (12, 5), (40, 40), (700, 33), (33, 700)] {
            let mut rows = sample(n, d, Key::new(11));
            for i in 0..n {
                rows.row_mut(i)[0] *= 3.0;
            }
            normalize(&mut rows).unwrap();
            let sigmas = singular_values(Points::new(&rows).unwrap());
            assert_eq!(sigmas.len(), n.min(d));
            assert!(sigmas.is_sorted_by(|a, b| a >= b));
            let dot =
                |i: usize, j: usize| -> f64 { rows.row(i).iter().zip(rows.row(j)).map(|(a, b)| a * b).sum() };
            let traces = [
                (0..n).map(|i| dot(i, i)).sum::<f64>(),
                (0..n * n).map(|ij| dot(ij / n, ij % n).powi(2)).sum::<f64>(),
            ];
            for (power, trace) in [2, 4].into_iter().zip(traces) {
                let got: f64 = sigmas.iter().map(|sigma| sigma.powi(power)).sum();
                assert!((got - trace).abs() < 1e-12 * trace, "n = {n}, d = {d}: {got} for {trace}");
            }
        }
    }

    #[test]
    fn a_zero_singular_value_is_zero_to_rounding() {
        // Points of a 3-dimensional subspace of ℝ¹², turned so that no coordinate vanishes.
        let (low, turn) = (sample(200, 3, Key::new(1)), sample(3, 12, Key::new(2)));
        let mut rows = Matrix::zeros(200, 12);
        for i in 0..200 {
            for k in 0..3 {
                add(rows.row_mut(i), low.row(i)[k], turn.row(k));
            }
        }
        normalize(&mut rows).unwrap();
        let points = Points::new(&rows).unwrap();
        let sigmas = singular_values(points);
        assert!(sigmas[2] > 0.1 && sigmas[3] < 1e-13, "{sigmas:?}");
        assert_eq!(rank(points).unwrap(), 3);
        assert!(roy_vetterli(points).unwrap() < 3.0 + 1e-9);
    }
}
