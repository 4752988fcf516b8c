//! Regressions on few, wide rows: fitted in the rows' own span, where a row has no more numbers than there are rows.
//!
//! n rows, d numbers a row, r of them independent. With X = L Q, where L (`n × r`) is a lower triangle and the rows of Q are
//! orthonormal, the weights W = V Q have W X ᵀ = V Lᵀ and ‖W‖ = ‖V‖: the loss and its penalty are those of the rows L. What is
//! orthogonal to all rows would cost penalty and change no logit, so the minimum has none of it, and the fit to L is the fit to
//! X. L is Cholesky's factor of X Xᵀ, in `f64`; Q is never made: with B the rows of L that opened a dimension, W = (V B⁻¹) X_B.

use rayon::prelude::*;
use riesz::product::rows_by_rows;

use super::logistic::{Fit, Set};

/// Rows with fewer than so many numbers for each row are fitted as they are: little would be gained, and what is made beside
/// them, `12 n²` bytes, stays at three eighths of their own.
const WIDER: usize = 8;

/// What is left of a row beyond the rows before it, by squares: below this it is rounding.
const INDEPENDENT: f64 = 1e-12;

/// Chooses λ by `choose` and fits all rows with it.
pub(super) fn fitted(set: Set<'_>, classes: usize, choose: impl Fn(Set<'_>, usize) -> f64) -> (f64, Fit) {
    let alone = |set: Set<'_>| {
        let penalty = choose(set, classes);
        (penalty, Fit::new(set, classes, penalty, None))
    };
    let Some(span) = (WIDER * set.labels.len() <= set.dim).then(|| Span::of(set)).flatten() else {
        return alone(set);
    };
    let (penalty, mut fit) = alone(Set { rows: &span.rows, dim: span.opened.len(), ..set });
    fit.weights = span.back(&fit.weights);
    (penalty, fit)
}

/// Rows in coordinates of their span.
struct Span<'a> {
    set: Set<'a>,
    /// L, `n × r`.
    rows: Vec<f32>,
    /// The same, row-major in `n × n` numbers.
    triangle: Vec<f64>,
    /// The r rows that are independent of those before them.
    opened: Vec<usize>,
}

impl<'a> Span<'a> {
    /// None of rows that are all zeros.
    fn of(set: Set<'a>) -> Option<Self> {
        let n = set.labels.len();
        let mut triangle = products(set);
        let mut opened: Vec<usize> = Vec::new();
        for i in 0..n {
            let (before, row) = triangle.split_at_mut(i * n);
            let square = row[i];
            let mut own = Vec::with_capacity(opened.len() + 1);
            for (j, &other) in opened.iter().enumerate() {
                let line = &before[other * n..];
                own.push((row[other] - dot(&own, &line[..j])) / line[j]);
            }
            let left = square - dot(&own, &own);
            if left > INDEPENDENT * square {
                own.push(left.sqrt());
                opened.push(i);
            }
            row[..n].fill(0.0);
            row[..own.len()].copy_from_slice(&own);
        }
        let rank = opened.len();
        let rows = triangle.chunks_exact(n).flat_map(|row| row[..rank].iter().map(|&x| x as f32)).collect();
        (rank > 0).then_some(Self { set, rows, triangle, opened })
    }

    /// For each class its weights of the rows themselves, from those of the coordinates; shifts stay.
    fn back(&self, weights: &[f64]) -> Vec<f64> {
        let (n, d, rank) = (self.set.labels.len(), self.set.dim, self.opened.len());
        let of_class = |weights: &[f64]| {
            let (mut shares, shift) = (weights[..rank].to_vec(), weights[rank]);
            let mut whole = vec![0.0; d + 1];
            for j in (0..rank).rev() {
                let opened = self.opened[j];
                let line = &self.triangle[opened * n..][..=j];
                shares[j] /= line[j];
                let share = shares[j];
                shares.iter_mut().zip(&line[..j]).for_each(|(other, x)| *other -= share * x);
                let row = &self.set.rows[opened * d..][..d];
                whole.iter_mut().zip(row).for_each(|(sum, &x)| *sum += share * f64::from(x));
            }
            whole[d] = shift;
            whole
        };
        weights.chunks_exact(rank + 1).flat_map(of_class).collect()
    }
}

/// Rows and columns of a tile of products.
const TILE: (usize, usize) = (64, 512);

/// X Xᵀ, `n × n`, of `f32` rows in `f64`. Tiles by shape alone, added in order: the bits do not depend on threads.
fn products(set: Set<'_>) -> Vec<f64> {
    let (n, d) = (set.labels.len(), set.dim);
    let mut products = vec![0.0; n * n];
    products.par_chunks_mut(TILE.0 * n).enumerate().for_each(|(tile, products)| {
        let own = &set.rows[tile * TILE.0 * d..][..products.len() / n * d];
        for from in (0..d).step_by(TILE.1) {
            let columns = from..d.min(from + TILE.1);
            let cut = |rows: &[f32]| -> Vec<f64> {
                rows.chunks_exact(d)
                    .flat_map(|row| row[columns.clone()].iter().map(|&x| f64::from(x)))
                    .collect()
            };
            let mut part = vec![0.0; products.len()];
            rows_by_rows(&cut(own), &cut(set.rows), columns.len(), &mut part);
            products.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
    });
    products
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use riesz::Matrix;
    use riesz::rng::{Key, normal};

    use super::super::few;
    use super::super::logistic::{Problem, TOLERANCE};
    use super::super::probe::{PENALTIES, standardize};
    use super::*;

    /// `n` rows of three classes in 900 columns, of which every seventh is constant; with `twins`, of every four rows the last is the
    /// third once more. Standardized as a few rows of many are, and so not centered.
    fn wide(n: usize, twins: bool) -> (Matrix<f32>, Matrix<f32>, Vec<u32>) {
        let mut rng = Key::new(9).rng();
        let mut drawn = |n: usize| {
            let mut data: Vec<f32> = Vec::with_capacity(n * 900);
            for i in 0..n {
                for j in 0..900 {
                    let center = if j % 30 == i % 3 { 1.0 } else { 0.0 };
                    data.push(if j % 7 == 0 { 3.0 } else { (center + normal(&mut rng)) as f32 });
                }
            }
            Matrix::new(data, 900)
        };
        let (mut all, mut asked) = (drawn(4 * n), drawn(300));
        standardize(&mut all, &mut asked);
        let own = |i: usize| if twins && i % 4 == 3 { i - 1 } else { i };
        let rows = (0..n).flat_map(|i| all.row(own(i)).to_vec()).collect();
        (Matrix::new(rows, 900), asked, (0..n).map(|i| (own(i) % 3) as u32).collect())
    }

    fn norm(x: &[f64]) -> f64 {
        dot(x, x).sqrt()
    }

    #[test]
    fn the_minimum_in_the_span_is_the_minimum() {
        for (n, twins, rank) in [(60, false, 60), (60, true, 45), (6, false, 6)] {
            let (rows, asked, labels) = wide(n, twins);
            let set = Set { rows: rows.as_slice(), dim: 900, labels: &labels };
            let asked_labels: Vec<u32> = (0..300).map(|i| i % 3).collect();
            let asked = Set { rows: asked.as_slice(), dim: 900, labels: &asked_labels };
            for penalty in PENALTIES {
                let columns = Cell::new(0);
                let (_, found) = fitted(set, 3, |set, _| {
                    columns.set(set.dim);
                    penalty
                });
                assert_eq!(columns.get(), rank, "{n} rows, twins: {twins}");
                let direct = Fit::new(set, 3, penalty, None);
                let problem = Problem { set, classes: 3, penalty };
                let of = |weights: &[f64]| problem.value_and_gradient(weights);
                let ((value, gradient), (want, _)) = (of(&found.weights), of(&direct.weights));
                let scale = norm(&of(&vec![0.0; 3 * 901]).1);
                assert!(found.converged() && norm(&gradient) <= 1.05 * TOLERANCE * scale, "λ {penalty}");
                assert!((value - want).abs() <= 1e-5 * want, "λ {penalty}: {value} for {want}");
                // A convex function's gradient grows by at least λ along a line.
                let apart: Vec<f64> = found.weights.iter().zip(&direct.weights).map(|(a, b)| a - b).collect();
                let bound = 2.1 * TOLERANCE * scale / penalty;
                assert!(norm(&apart) <= bound.max(1e-5 * norm(&direct.weights)), "λ {penalty}");
                assert_eq!(found.hits(asked), direct.hits(asked), "λ {penalty}");
            }
            assert_eq!(fitted(set, 3, few::choose).0, few::choose(set, 3));
        }
    }

    #[test]
    fn threads_do_not_change_bits() {
        let (rows, _, labels) = wide(100, true);
        let set = Set { rows: rows.as_slice(), dim: 900, labels: &labels };
        let of = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fitted(set, 3, few::choose).1.weights)
        };
        assert_eq!(of(1), of(3));
    }

    #[test]
    fn rows_of_zeros_and_rows_that_are_not_wide_are_fitted_as_they_are() {
        let zeros = vec![0.0; 4 * 50];
        let (rows, _, labels) = wide(113, false);
        for (rows, dim, labels) in
            [(zeros.as_slice(), 50, &[0, 1, 0, 1][..]), (rows.as_slice(), 900, &labels)]
        {
            let (_, fit) = fitted(Set { rows, dim, labels }, 3, |set, _| {
                assert_eq!(set.dim, dim);
                0.1
            });
            assert_eq!(fit.weights.len(), 3 * (dim + 1));
        }
    }
}
