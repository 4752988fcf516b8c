//! The linear probe: multinomial logistic regression on frozen rows, trained to convergence.
//!
//! n rows, d numbers a row, C classes. Rows are standardized by the training rows' mean and deviation. Minimized is
//! mean cross-entropy + (λ/2) ‖W‖², the shift not penalized, by L-BFGS from zero until the gradient's norm is below
//! 10⁻⁴ of its norm at the start. λ is the one of [`PENALTIES`] that is best on a keyed fifth of the training rows,
//! where the search goes from strong to weak and ends when two in a row were no better; the fit is then repeated on all
//! rows. This is scikit-learn's `LogisticRegression` with C = 1/(λ n).

use std::collections::VecDeque;

use rayon::prelude::*;
use riesz::Matrix;
use riesz::product::{add_weighted_rows, rows_by_rows};
use riesz::rng::{Key, permutation};
use serde::{Deserialize, Serialize};

use super::places;
use crate::embeddings::check_finite;
use crate::{Error, Result};

/// The penalties λ that are tried, strongest first.
pub const PENALTIES: [f64; 6] = [1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5];

/// A trained probe's result.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Share of test rows that get their label.
    pub accuracy: f64,
    /// The chosen λ.
    pub penalty: f64,
    /// L-BFGS iterations of the last fit.
    pub iterations: usize,
    /// Whether that fit converged within [`MOST_ITERATIONS`].
    pub converged: bool,
}

/// L-BFGS iterations at most.
pub const MOST_ITERATIONS: usize = 4000;
/// Converged: the gradient's norm relative to its norm at the start.
const TOLERANCE: f64 = 1e-4;

/// Trains on `train`, chooses λ on a part of it, and tells the accuracy on `test`.
///
/// # Errors
/// If a number is not finite, or there are fewer than two classes.
///
/// # Panics
/// If labels and rows differ in number, or train and test in width.
pub fn accuracy(
    train: &Matrix<f32>,
    train_labels: &[u32],
    test: &Matrix<f32>,
    test_labels: &[u32],
    key: Key,
) -> Result<Probe> {
    assert_eq!((train.len(), test.len()), (train_labels.len(), test_labels.len()), "one label a row");
    let (classes, train_labels, test_labels) = places(train_labels, test_labels);
    if classes < 2 {
        return Err(Error::input("a linear probe needs at least 2 classes"));
    }
    let (train, test) = standardize(train, test)?;
    let order = permutation(&mut key.stream("validation").rng(), train.len());
    let (validation, rest) = order.split_at(train.len() / 5);
    let (fit_rows, fit_labels) = take(&train, &train_labels, rest);
    let (check_rows, check_labels) = take(&train, &train_labels, validation);
    // Ties go to the stronger penalty, and each fit starts where the one before ended.
    let (mut best, mut no_better) = ((PENALTIES[0], -1.0), 0);
    let mut start = None;
    for penalty in PENALTIES {
        let fit = Fit::new(&fit_rows, &fit_labels, classes, penalty, start.take());
        let share = fit.accuracy(&check_rows, &check_labels);
        (best, no_better) = if share > best.1 { ((penalty, share), 0) } else { (best, no_better + 1) };
        // The weakest penalties cost most by far, so they are asked only where they may win.
        if no_better == 2 {
            break;
        }
        start = Some(fit.weights);
    }
    let fit = Fit::new(&train, &train_labels, classes, best.0, None);
    Ok(Probe {
        accuracy: fit.accuracy(&test, &test_labels),
        penalty: best.0,
        iterations: fit.iterations,
        converged: fit.converged,
    })
}

/// Rows and labels of these indices.
pub(super) fn take(rows: &Matrix<f32>, labels: &[u32], chosen: &[usize]) -> (Matrix<f32>, Vec<u32>) {
    let data = chosen.iter().flat_map(|&i| rows.row(i).iter().copied()).collect();
    (Matrix::new(data, rows.dim()), chosen.iter().map(|&i| labels[i]).collect())
}

/// Both standardized by the training rows' mean and deviation, with a last column of ones for the shift.
pub(super) fn standardize(train: &Matrix<f32>, test: &Matrix<f32>) -> Result<(Matrix<f32>, Matrix<f32>)> {
    check_finite(train).map_err(|error| error.at("training"))?;
    check_finite(test).map_err(|error| error.at("test"))?;
    let scale = Standard::of(train);
    Ok((scale.apply(train), scale.apply(test)))
}

/// Mean and deviation of each column.
struct Standard {
    mean: Vec<f64>,
    inverse: Vec<f64>,
}

impl Standard {
    fn of(rows: &Matrix<f32>) -> Self {
        let (n, d) = (rows.len() as f64, rows.dim());
        let mut mean = vec![0.0; d];
        for row in rows.as_slice().chunks_exact(d) {
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        mean.iter_mut().for_each(|sum| *sum /= n);
        let mut squares = vec![0.0; d];
        for row in rows.as_slice().chunks_exact(d) {
            for ((sum, x), mean) in squares.iter_mut().zip(row).zip(&mean) {
                *sum += (f64::from(*x) - mean).powi(2);
            }
        }
        // A constant column carries nothing and becomes zeros.
        let inverse =
            squares.iter().map(|sum| if *sum > 0.0 { 1.0 / (sum / n).sqrt() } else { 0.0 }).collect();
        Self { mean, inverse }
    }

    fn apply(&self, rows: &Matrix<f32>) -> Matrix<f32> {
        let d = rows.dim();
        let mut data = Vec::with_capacity(rows.len() * (d + 1));
        for row in rows.as_slice().chunks_exact(d) {
            let columns = row.iter().zip(&self.mean).zip(&self.inverse);
            data.extend(columns.map(|((x, mean), inverse)| ((f64::from(*x) - mean) * inverse) as f32));
            data.push(1.0);
        }
        Matrix::new(data, d + 1)
    }
}

/// A fitted probe: weights `C × (d + 1)`.
pub(super) struct Fit {
    classes: usize,
    pub(super) weights: Vec<f64>,
    pub(super) iterations: usize,
    pub(super) converged: bool,
}

impl Fit {
    /// Minimizes from `start`, or zero.
    pub(super) fn new(
        rows: &Matrix<f32>,
        labels: &[u32],
        classes: usize,
        penalty: f64,
        start: Option<Vec<f64>>,
    ) -> Self {
        let problem = Problem { rows, labels, classes, penalty };
        let zero = vec![0.0; classes * rows.dim()];
        let scale = norm(&problem.value_and_gradient(&zero).1);
        let (weights, iterations, converged) =
            minimize(|weights| problem.value_and_gradient(weights), start.unwrap_or(zero), TOLERANCE * scale);
        Self { classes, weights, iterations, converged }
    }

    /// Share of rows that get their label.
    pub(super) fn accuracy(&self, rows: &Matrix<f32>, labels: &[u32]) -> f64 {
        let weights: Vec<f32> = self.weights.iter().map(|&w| w as f32).collect();
        let mut logits = vec![0.0; rows.len() * self.classes];
        rows_by_rows(rows.as_slice(), &weights, rows.dim(), &mut logits);
        let right = logits.chunks_exact(self.classes).zip(labels).filter(|(logits, label)| {
            let winner = (0..self.classes).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            winner == Some(**label as usize)
        });
        right.count() as f64 / labels.len().max(1) as f64
    }
}

struct Problem<'a> {
    rows: &'a Matrix<f32>,
    labels: &'a [u32],
    classes: usize,
    penalty: f64,
}

impl Problem<'_> {
    /// Mean cross-entropy + (λ/2) ‖W‖², and its gradient.
    fn value_and_gradient(&self, weights: &[f64]) -> (f64, Vec<f64>) {
        let (n, d, c) = (self.rows.len(), self.rows.dim(), self.classes);
        let narrow: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
        // Parts by shape alone, added in order: the bits do not depend on threads.
        let part = n.div_ceil(16).max(64);
        let parts: Vec<(f64, Vec<f32>)> = self
            .rows
            .as_slice()
            .par_chunks(part * d)
            .zip(self.labels.par_chunks(part))
            .map(|(rows, labels)| {
                let m = labels.len();
                let mut logits = vec![0.0_f32; m * c];
                rows_by_rows(rows, &narrow, d, &mut logits);
                // Class-major, so that the gradient is a plain product.
                let mut residuals = vec![0.0_f32; c * m];
                let mut loss = 0.0;
                for (i, (logits, &label)) in logits.chunks_exact(c).zip(labels).enumerate() {
                    let most = logits.iter().fold(f64::NEG_INFINITY, |most, &x| most.max(f64::from(x)));
                    let total: f64 = logits.iter().map(|&x| (f64::from(x) - most).exp()).sum();
                    loss += most + total.ln() - f64::from(logits[label as usize]);
                    for (class, &x) in logits.iter().enumerate() {
                        let hit = if class == label as usize { 1.0 } else { 0.0 };
                        residuals[class * m + i] =
                            (((f64::from(x) - most).exp() / total - hit) / n as f64) as f32;
                    }
                }
                let mut gradient = vec![0.0_f32; c * d];
                add_weighted_rows(&residuals, rows, m, d, &mut gradient);
                (loss, gradient)
            })
            .collect();
        let (mut value, mut gradient) = (0.0, vec![0.0_f64; c * d]);
        for (loss, part) in parts {
            value += loss / n as f64;
            gradient.iter_mut().zip(part).for_each(|(sum, g)| *sum += f64::from(g));
        }
        for (weights, gradient) in weights.chunks_exact(d).zip(gradient.chunks_exact_mut(d)) {
            for (w, g) in weights[..d - 1].iter().zip(gradient) {
                value += 0.5 * self.penalty * w * w;
                *g += self.penalty * w;
            }
        }
        (value, gradient)
    }
}

/// L-BFGS (Nocedal 1980) with twenty pairs and backtracking, for a convex function; returns the point, the iterations,
/// and whether the gradient's norm fell to `tolerance`.
fn minimize(
    f: impl Fn(&[f64]) -> (f64, Vec<f64>),
    mut x: Vec<f64>,
    tolerance: f64,
) -> (Vec<f64>, usize, bool) {
    let (mut value, mut gradient) = f(&x);
    let mut pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
    for iteration in 0..MOST_ITERATIONS {
        if norm(&gradient) <= tolerance {
            return (x, iteration, true);
        }
        let mut direction = descent(&gradient, &pairs);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            pairs.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = -dot(&gradient, &gradient);
        }
        let mut step = if pairs.is_empty() { 1.0 / norm(&gradient).max(1.0) } else { 1.0 };
        let (next, next_value, next_gradient) = loop {
            let next: Vec<f64> = x.iter().zip(&direction).map(|(x, p)| x + step * p).collect();
            let (next_value, next_gradient) = f(&next);
            if next_value <= value + 1e-4 * step * slope {
                break (next, next_value, next_gradient);
            }
            step *= 0.5;
            if step < 1e-10 {
                // Rounding hides any further descent.
                return (x, iteration, norm(&gradient) <= 10.0 * tolerance);
            }
        };
        let moved: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let turned: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&moved, &turned);
        if curvature > 1e-12 * dot(&turned, &turned) {
            if pairs.len() == 20 {
                pairs.pop_front();
            }
            pairs.push_back((moved, turned, curvature));
        }
        (x, value, gradient) = (next, next_value, next_gradient);
    }
    (x, MOST_ITERATIONS, false)
}

/// −H g by the two loops.
fn descent(gradient: &[f64], pairs: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut factors = Vec::with_capacity(pairs.len());
    for (moved, turned, curvature) in pairs.iter().rev() {
        let factor = dot(moved, &q) / curvature;
        q.iter_mut().zip(turned).for_each(|(q, y)| *q -= factor * y);
        factors.push(factor);
    }
    if let Some((_, turned, curvature)) = pairs.back() {
        let scale = curvature / dot(turned, turned);
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((moved, turned, curvature), factor) in pairs.iter().zip(factors.iter().rev()) {
        let other = dot(turned, &q) / curvature;
        q.iter_mut().zip(moved).for_each(|(q, s)| *q += (factor - other) * s);
    }
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

#[cfg(test)]
mod tests {
    use riesz::rng::normal;

    use super::*;

    /// `n` rows of three overlapping classes from item `first` on: three columns that tell of the class, one that does
    /// not and is of another size, and a constant one.
    fn rows(first: usize, n: usize) -> (Matrix<f32>, Vec<u32>) {
        let number = |i: usize, j: usize| match j {
            3 => ((i * i * 6 + 21 * i + 5 * i) % 53) as f64 * 10.0,
            4 => 7.0,
            _ => {
                ((i * i * (3 + j) + 7 * i * j + 5 * i) % 53) as f64 / 10.0
                    + if i % 3 == j { 3.0 } else { 0.0 }
            }
        };
        let items = first..first + n;
        let data = items.clone().flat_map(|i| (0..5).map(move |j| number(i, j) as f32)).collect();
        (Matrix::new(data, 5), items.map(|i| (i % 3) as u32).collect())
    }

    /// scikit-learn 1.9.1: `LogisticRegression(C=1/(penalty*60), tol=1e-12)` on `StandardScaler().fit_transform(rows)`.
    /// Its mean loss with the penalty, and how many training rows and test rows get their label.
    #[test]
    fn the_optimum_is_scikit_learns() {
        let ((train, labels), (test, test_labels)) = (rows(0, 60), rows(60, 300));
        let (train, test) = standardize(&train, &test).unwrap();
        let cases =
            [(1.0, 0.927_604_657, 50, 230), (1e-2, 0.384_921_054, 50, 235), (1e-4, 0.321_595_811, 50, 239)];
        for (penalty, loss, right, test_right) in cases {
            let fit = Fit::new(&train, &labels, 3, penalty, None);
            let problem = Problem { rows: &train, labels: &labels, classes: 3, penalty };
            let (value, _) = problem.value_and_gradient(&fit.weights);
            assert!(
                fit.converged && (value / loss - 1.0).abs() < 1e-6,
                "penalty {penalty}: {value} for {loss}"
            );
            let hits = [fit.accuracy(&train, &labels) * 60.0, fit.accuracy(&test, &test_labels) * 300.0];
            assert_eq!(hits.map(f64::round), [f64::from(right), f64::from(test_right)], "penalty {penalty}");
        }
        let want = [
            [1.368_717, -0.881_774, -0.506_047, 0.211_796, 0.0, 0.047_977],
            [-0.928_427, 1.746_636, -0.612_254, 0.182_268, 0.0, -0.263_435],
            [-0.440_290, -0.864_861, 1.118_301, -0.394_064, 0.0, 0.215_458],
        ];
        let fit = Fit::new(&train, &labels, 3, 1e-2, None);
        for (weight, want) in fit.weights.iter().zip(want.as_flattened()) {
            assert!((weight - want).abs() < 2e-3, "{:?}", fit.weights);
        }
    }

    #[test]
    fn the_gradient_is_that_of_differences() {
        let (rows, labels) = rows(0, 60);
        let (rows, _) = standardize(&rows, &rows).unwrap();
        let problem = Problem { rows: &rows, labels: &labels, classes: 3, penalty: 0.1 };
        let mut weights: Vec<f64> = (0..18).map(|i| (f64::from(i) * 0.8).sin()).collect();
        let (_, gradient) = problem.value_and_gradient(&weights);
        for i in 0..18 {
            let middle = weights[i];
            let mut at = |x: f64| {
                weights[i] = x;
                problem.value_and_gradient(&weights).0
            };
            // Logits are f32, so the step cannot be small.
            let difference = (at(middle + 1e-2) - at(middle - 1e-2)) / 2e-2;
            weights[i] = middle;
            assert!((difference - gradient[i]).abs() < 1e-4, "{i}: {difference} for {}", gradient[i]);
        }
    }

    #[test]
    fn noise_is_not_learned_and_threads_do_not_matter() {
        let mut rng = Key::new(3).rng();
        let mut cloud = |n: usize| Matrix::new((0..n * 20).map(|_| normal(&mut rng) as f32).collect(), 20);
        let (train, test) = (cloud(400), cloud(400));
        let labels: Vec<u32> = (0..400).map(|i| (i % 4) as u32).collect();
        let ask = || accuracy(&train, &labels, &test, &labels, Key::new(1)).unwrap();
        let found = ask();
        assert!((found.accuracy - 0.25).abs() < 0.08 && found.converged, "{found:?}");
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(ask), found);
        }
    }

    #[test]
    fn classes_are_those_that_occur() {
        let ((train, labels), (test, test_labels)) = (rows(0, 300), rows(300, 90));
        let spread =
            |labels: &[u32]| -> Vec<u32> { labels.iter().map(|label| 1_000_000 * label + 7).collect() };
        let want = accuracy(&train, &labels, &test, &test_labels, Key::new(1)).unwrap();
        let found = accuracy(&train, &spread(&labels), &test, &spread(&test_labels), Key::new(1)).unwrap();
        assert_eq!(found, want);
        // A label that no training row has is never given.
        assert_eq!(accuracy(&train, &labels, &test, &[3; 90], Key::new(1)).unwrap().accuracy, 0.0);
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let (train, labels) = rows(0, 60);
        let refused = |train: &Matrix<f32>, labels: &[u32], test: &Matrix<f32>| {
            accuracy(train, labels, test, &vec![0; test.len()], Key::new(1)).unwrap_err().to_string()
        };
        let nan = Matrix::new([[1.0; 5], [f32::NAN; 5]].as_flattened().to_vec(), 5);
        assert!(refused(&train, &[4; 60], &train).contains("at least 2 classes"));
        assert!(refused(&train, &labels, &nan).starts_with("test: row 1, column 0 is NaN"));
        assert!(refused(&nan, &[0, 1], &train).starts_with("training: row 1, column 0 is NaN"));
    }
}
