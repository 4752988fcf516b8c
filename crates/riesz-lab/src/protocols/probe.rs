//! The linear probe: logistic regression on frozen rows, trained to convergence.
//!
//! Rows are standardized by the training rows' mean and deviation. λ is the one of [`PENALTIES`] that is best on a
//! keyed fifth of the training rows, where the search goes from strong to weak and ends when two in a row were no
//! better; the fit is then repeated on all rows. This is scikit-learn's `LogisticRegression` with C = 1/(λ n); of two classes,
//! where that has one vector of weights and not two, with C = 2/(λ n).

use riesz::Matrix;
use riesz::rng::{Key, permutation};
use serde::{Deserialize, Serialize};

use super::logistic::{Fit, Set};
use super::{Labeled, places, share, span};
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
    /// The norm of the gradient that this fit reached, relative to its norm at the start.
    pub gradient: f64,
    /// Whether that is at most [`TOLERANCE`](super::TOLERANCE).
    pub converged: bool,
}

/// Trains on `train`, chooses λ on a part of it, and tells the result on `test` and which test rows get their label.
/// Both are of [`standardize`]d rows; `train` is brought into another order.
///
/// # Errors
/// If there are fewer than two classes.
///
/// # Panics
/// If labels and rows differ in number, or train and test in width.
pub fn probe(train: &mut Labeled, test: &Labeled, key: Key) -> Result<(Probe, Vec<bool>)> {
    let (classes, train_labels, test_labels) = places(&train.labels, &test.labels);
    if classes < 2 {
        return Err(Error::input("a linear probe needs at least 2 classes"));
    }
    // The fifth on which λ is chosen comes first, so that both parts are read where they lie.
    let order = permutation(&mut key.stream("validation").rng(), train.labels.len());
    reorder(&mut train.rows, &order);
    train.labels = order.iter().map(|&i| train.labels[i]).collect();
    let labels: Vec<u32> = order.iter().map(|&i| train_labels[i]).collect();
    let dim = train.rows.dim();
    let all = Set { rows: train.rows.as_slice(), dim, labels: &labels };
    let (penalty, fit) = span::fitted(all, classes, choose);
    let hits = fit.hits(Set { rows: test.rows.as_slice(), dim, labels: &test_labels });
    let probe = Probe {
        accuracy: share(&hits),
        penalty,
        iterations: fit.iterations,
        gradient: fit.gradient,
        converged: fit.converged(),
    };
    Ok((probe, hits))
}

/// The penalty that is best on the first fifth of the rows, which are in a keyed order.
pub(super) fn choose(all: Set<'_>, classes: usize) -> f64 {
    let (check, rest) = all.split_at(all.labels.len() / 5);
    // Ties go to the stronger penalty, and each fit starts where the one before ended.
    let (mut best, mut no_better) = ((PENALTIES[0], -1.0), 0);
    let mut start = None;
    for penalty in PENALTIES {
        let fit = Fit::new(rest, classes, penalty, start.take());
        let share = share(&fit.hits(check));
        (best, no_better) = if share > best.1 { ((penalty, share), 0) } else { (best, no_better + 1) };
        // The weakest penalties cost most by far, so they are asked only where they may win.
        if no_better == 2 {
            break;
        }
        start = Some(fit.weights);
    }
    best.0
}

/// Standardizes both by the training rows' mean and deviation, in place. A constant column carries nothing and becomes
/// zeros.
///
/// # Panics
/// If they differ in width.
pub fn standardize(train: &mut Matrix<f32>, test: &mut Matrix<f32>) {
    assert_eq!(train.dim(), test.dim(), "width of training and test rows");
    let columns = Columns::of(train);
    columns.standardize(train);
    columns.standardize(test);
}

/// What rows are standardized by.
pub(super) struct Columns {
    pub(super) mean: Vec<f64>,
    /// One over the deviation; 0 for a constant column.
    pub(super) inverse: Vec<f64>,
}

impl Columns {
    pub(super) fn of(rows: &Matrix<f32>) -> Self {
        let (n, d) = (rows.len() as f64, rows.dim());
        let mut mean = vec![0.0_f64; d];
        for row in rows.as_slice().chunks_exact(d) {
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        mean.iter_mut().for_each(|sum| *sum /= n);
        let mut squares = vec![0.0_f64; d];
        for row in rows.as_slice().chunks_exact(d) {
            for ((sum, x), mean) in squares.iter_mut().zip(row).zip(&mean) {
                *sum += (f64::from(*x) - mean).powi(2);
            }
        }
        let inverse =
            squares.iter().map(|sum| if *sum > 0.0 { 1.0 / (sum / n).sqrt() } else { 0.0 }).collect();
        Self { mean, inverse }
    }

    /// In place.
    pub(super) fn standardize(&self, rows: &mut Matrix<f32>) {
        let dim = rows.dim();
        for row in rows.as_mut_slice().chunks_exact_mut(dim) {
            for ((x, mean), inverse) in row.iter_mut().zip(&self.mean).zip(&self.inverse) {
                *x = ((f64::from(*x) - mean) * inverse) as f32;
            }
        }
    }
}

/// Brings the rows into this order, within their own memory: row i becomes what row `order[i]` was.
fn reorder(rows: &mut Matrix<f32>, order: &[usize]) {
    let mut placed = vec![false; order.len()];
    for first in 0..order.len() {
        let mut here = first;
        // Along a cycle of the permutation, each row is swapped towards its place.
        while !placed[here] {
            placed[here] = true;
            let from = order[here];
            if from == first {
                break;
            }
            let (low, high) = (here.min(from), here.max(from));
            let dim = rows.dim();
            let (left, right) = rows.as_mut_slice().split_at_mut(high * dim);
            left[low * dim..(low + 1) * dim].swap_with_slice(&mut right[..dim]);
            here = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use riesz::rng::normal;

    use super::super::logistic::Problem;
    use super::*;

    /// `n` rows of three overlapping classes from item `first` on: three columns that tell of the class, one that does
    /// not and is of another size, and a constant one.
    fn rows(first: usize, n: usize) -> Labeled {
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
        Labeled { rows: Matrix::new(data, 5), labels: items.map(|i| (i % 3) as u32).collect() }
    }

    fn set(labeled: &Labeled) -> Set<'_> {
        Set { rows: labeled.rows.as_slice(), dim: labeled.rows.dim(), labels: &labeled.labels }
    }

    fn standardized(mut train: Labeled, mut test: Labeled) -> (Labeled, Labeled) {
        standardize(&mut train.rows, &mut test.rows);
        (train, test)
    }

    fn ask(train: &Labeled, test: &Labeled) -> Probe {
        let (mut train, test) = standardized(train.clone(), test.clone());
        probe(&mut train, &test, Key::new(1)).unwrap().0
    }

    /// scikit-learn 1.9.1: `LogisticRegression(C=1/(penalty*60), tol=1e-12)` on `StandardScaler().fit_transform(rows)`.
    /// Its mean loss with the penalty, and how many training rows and test rows get their label.
    #[test]
    fn the_optimum_is_scikit_learns() {
        let (train, test) = standardized(rows(0, 60), rows(60, 300));
        let cases =
            [(1.0, 0.927_604_657, 50, 230), (1e-2, 0.384_921_054, 50, 235), (1e-4, 0.321_595_811, 50, 239)];
        for (penalty, loss, right, test_right) in cases {
            let fit = Fit::new(set(&train), 3, penalty, None);
            let problem = Problem { set: set(&train), classes: 3, penalty };
            let (value, _) = problem.value_and_gradient(&fit.weights);
            assert!(
                fit.converged() && (value / loss - 1.0).abs() < 1e-6,
                "penalty {penalty}: {value} for {loss}"
            );
            let hits = [&train, &test].map(|rows| fit.hits(set(rows)).iter().filter(|hit| **hit).count());
            assert_eq!(hits, [right, test_right], "penalty {penalty}");
        }
        let want = [
            [1.368_717, -0.881_774, -0.506_047, 0.211_796, 0.0, 0.047_977],
            [-0.928_427, 1.746_636, -0.612_254, 0.182_268, 0.0, -0.263_435],
            [-0.440_290, -0.864_861, 1.118_301, -0.394_064, 0.0, 0.215_458],
        ];
        let fit = Fit::new(set(&train), 3, 1e-2, None);
        for (weight, want) in fit.weights.iter().zip(want.as_flattened()) {
            assert!((weight - want).abs() < 2e-3, "{:?}", fit.weights);
        }
    }

    /// Of two classes scikit-learn has one vector of weights, here the difference of two: `LogisticRegression(C=2/(penalty*60), tol=1e-12)`.
    #[test]
    fn the_optimum_of_two_classes_is_scikit_learns() {
        let two = |mut labeled: Labeled| {
            labeled.labels.iter_mut().for_each(|label| *label = u32::from(*label == 2));
            labeled
        };
        let (train, test) = standardized(two(rows(0, 60)), two(rows(60, 300)));
        let cases = [
            (1.0, [-0.193_610, -0.244_691, 0.363_260, -0.160_710, 0.0, -0.741_634], [50, 232]),
            (1e-2, [-0.925_977, -1.273_180, 1.789_277, -0.582_221, 0.0, -1.318_536], [52, 261]),
            (1e-4, [-1.071_882, -1.464_213, 2.057_261, -0.647_476, 0.0, -1.444_238], [52, 261]),
        ];
        for (penalty, want, right) in cases {
            let fit = Fit::new(set(&train), 2, penalty, None);
            for (place, want) in want.iter().enumerate() {
                let weight = fit.weights[6 + place] - fit.weights[place];
                assert!((weight - want).abs() < 2e-3, "penalty {penalty}: {:?}", fit.weights);
            }
            let hits = [&train, &test].map(|rows| fit.hits(set(rows)).iter().filter(|hit| **hit).count());
            assert_eq!(hits, right, "penalty {penalty}");
        }
    }

    #[test]
    fn the_gradient_is_that_of_differences() {
        let (train, _) = standardized(rows(0, 60), rows(0, 60));
        let problem = Problem { set: set(&train), classes: 3, penalty: 0.1 };
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

    /// Converged is said of a gradient within the tolerance, computed here anew and in `f64` (the fit's
    /// products are `f32`, which moves it by 10⁻⁶), and of no other: many rows of correlated columns of very different spread, where the values' rounding hides the last descent.
    #[test]
    fn converged_means_that_the_gradient_is_within_the_tolerance() {
        let mut rng = Key::new(5).rng();
        let (n, d) = (3000, 60);
        let mut data = Vec::with_capacity(n * d);
        for _ in 0..n {
            let shared = normal(&mut rng);
            data.extend((0..d).map(|j| (shared + 0.02 * (1 + j) as f64 * normal(&mut rng)) as f32));
        }
        let labels = (0..n).map(|i| u32::from(data[i * d] > data[i * d + 7]) + u32::from(i % 7 == 0));
        let train = Labeled { labels: labels.collect(), rows: Matrix::new(data, d) };
        let (train, _) = standardized(train.clone(), train);
        for penalty in PENALTIES {
            let fit = Fit::new(set(&train), 3, penalty, None);
            let zero = vec![0.0; 3 * (d + 1)];
            let relative =
                norm(&gradient(&train, penalty, &fit.weights)) / norm(&gradient(&train, penalty, &zero));
            assert!(
                fit.converged() && relative <= 1.05e-4 && (relative - fit.gradient).abs() < 5e-6,
                "penalty {penalty}: {relative:e}, said is {:e} after {}",
                fit.gradient,
                fit.iterations
            );
        }
    }

    /// The definition, in plain loops.
    fn gradient(train: &Labeled, penalty: f64, weights: &[f64]) -> Vec<f64> {
        let d = train.rows.dim();
        let mut gradient = vec![0.0; weights.len()];
        for (i, &label) in train.labels.iter().enumerate() {
            let row: Vec<f64> = train.rows.row(i).iter().map(|&x| f64::from(x)).chain([1.0]).collect();
            let powers: Vec<f64> = weights
                .chunks_exact(d + 1)
                .map(|weights| weights.iter().zip(&row).map(|(w, x)| w * x).sum::<f64>().exp())
                .collect();
            let total: f64 = powers.iter().sum();
            for (class, gradient) in gradient.chunks_exact_mut(d + 1).enumerate() {
                let hit = if class == label as usize { 1.0 } else { 0.0 };
                let residual = (powers[class] / total - hit) / train.labels.len() as f64;
                gradient.iter_mut().zip(&row).for_each(|(g, x)| *g += residual * x);
            }
        }
        for (gradient, weights) in gradient.chunks_exact_mut(d + 1).zip(weights.chunks_exact(d + 1)) {
            gradient.iter_mut().zip(&weights[..d]).for_each(|(g, w)| *g += penalty * w);
        }
        gradient
    }

    fn norm(x: &[f64]) -> f64 {
        x.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    #[test]
    fn noise_is_not_learned_and_threads_do_not_matter() {
        let mut rng = Key::new(3).rng();
        let mut cloud = |n: usize| Labeled {
            rows: Matrix::new((0..n * 20).map(|_| normal(&mut rng) as f32).collect(), 20),
            labels: (0..400).map(|i| (i % 4) as u32).collect(),
        };
        let (train, test) = (cloud(400), cloud(400));
        let found = ask(&train, &test);
        assert!((found.accuracy - 0.25).abs() < 0.08 && found.converged, "{found:?}");
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| ask(&train, &test)), found);
        }
    }

    #[test]
    fn classes_are_those_that_occur() {
        let (train, test) = (rows(0, 300), rows(300, 90));
        let spread = |rows: &Labeled| {
            let labels = rows.labels.iter().map(|label| 1_000_000 * label + 7).collect();
            Labeled { labels, ..rows.clone() }
        };
        assert_eq!(ask(&spread(&train), &spread(&test)), ask(&train, &test));
        // A label that no training row has is never given.
        let strange = Labeled { labels: vec![3; 90], ..test };
        assert_eq!(ask(&train, &strange).accuracy, 0.0);
        let mut single = Labeled { labels: vec![4; 300], ..train };
        let error = probe(&mut single, &strange, Key::new(1)).unwrap_err();
        assert!(error.to_string().contains("at least 2 classes"));
    }

    #[test]
    fn rows_are_reordered_in_place() {
        let rows = Matrix::new((0..24).map(|i| i as f32).collect(), 3);
        for seed in 0..20 {
            let order = permutation(&mut Key::new(seed).rng(), 8);
            let mut found = rows.clone();
            reorder(&mut found, &order);
            for (i, &from) in order.iter().enumerate() {
                assert_eq!(found.row(i), rows.row(from), "{order:?}");
            }
        }
    }
}
