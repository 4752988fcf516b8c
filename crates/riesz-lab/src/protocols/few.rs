//! The linear probe with a few labels a class: what an encoder is worth when labels are dear.
//!
//! Rows are standardized by all training rows, whose labels are not needed for that. For each keyed draw of as many
//! labels of each class, the penalty is chosen by five folds among the drawn rows and the probe is fitted to them. The
//! draws depend on key and labels alone, so every kind of rows is asked with the same images.

use rayon::prelude::*;
use riesz::Matrix;
use riesz::rng::{Key, permutation};
use serde::{Deserialize, Serialize};

use super::probe::{Fit, PENALTIES, standardize, take};
use super::{class_counts, places};
use crate::{Error, Result};

/// Accuracy over the draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Few {
    /// Mean accuracy.
    pub mean: f64,
    /// Standard deviation over the draws; 0 for a single one.
    pub deviation: f64,
}

const FOLDS: usize = 5;

/// Trains on `per_class` labels of each class, `draws` times.
///
/// # Errors
/// If a number is not finite, or a class has fewer labels.
///
/// # Panics
/// If labels and rows differ in number, or train and test in width.
pub fn few_labels(
    train: &Matrix<f32>,
    train_labels: &[u32],
    test: &Matrix<f32>,
    test_labels: &[u32],
    per_class: usize,
    draws: usize,
    key: Key,
) -> Result<Few> {
    if let Some((class, count)) = class_counts(train_labels).into_iter().find(|&(_, count)| count < per_class)
    {
        return Err(Error::input(format!(
            "class {class} has {count} labels; {per_class} labels a class were asked for"
        )));
    }
    let (classes, train_labels, test_labels) = places(train_labels, test_labels);
    let (train, test) = standardize(train, test)?;
    let shares: Vec<f64> = (0..draws as u64)
        .into_par_iter()
        .map(|draw| {
            let chosen = draw_items(&train_labels, classes, per_class, key.at(draw));
            let (rows, labels) = take(&train, &train_labels, &chosen);
            let penalty = choose(&rows, &labels, classes);
            Fit::new(&rows, &labels, classes, penalty, None).accuracy(&test, &test_labels)
        })
        .collect();
    let mean = shares.iter().sum::<f64>() / draws as f64;
    let squares = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>();
    Ok(Few { mean, deviation: (squares / (draws as f64 - 1.0).max(1.0)).sqrt() })
}

/// `per_class` items of each class, one of each class in turn, so that folds of neighbors are balanced.
fn draw_items(labels: &[u32], classes: usize, per_class: usize, key: Key) -> Vec<usize> {
    let mut of_class: Vec<Vec<usize>> = vec![Vec::with_capacity(per_class); classes];
    for item in permutation(&mut key.rng(), labels.len()) {
        let chosen = &mut of_class[labels[item] as usize];
        if chosen.len() < per_class {
            chosen.push(item);
        }
    }
    (0..per_class).flat_map(|i| of_class.iter().filter_map(move |chosen| chosen.get(i).copied())).collect()
}

/// The penalty with most hits over the folds; of equal ones the strongest.
fn choose(rows: &Matrix<f32>, labels: &[u32], classes: usize) -> f64 {
    let n = labels.len();
    let folds = FOLDS.min(n);
    let mut hits = [0.0; PENALTIES.len()];
    for fold in 0..folds {
        let (from, to) = (fold * n / folds, (fold + 1) * n / folds);
        let inside: Vec<usize> = (from..to).collect();
        let outside: Vec<usize> = (0..from).chain(to..n).collect();
        let (fit_rows, fit_labels) = take(rows, labels, &outside);
        let (check_rows, check_labels) = take(rows, labels, &inside);
        let mut start = None;
        for (hits, penalty) in hits.iter_mut().zip(PENALTIES) {
            let fit = Fit::new(&fit_rows, &fit_labels, classes, penalty, start.take());
            *hits += fit.accuracy(&check_rows, &check_labels) * inside.len() as f64;
            start = Some(fit.weights);
        }
    }
    let best = (0..hits.len()).rev().max_by(|&a, &b| hits[a].total_cmp(&hits[b])).unwrap_or(0);
    PENALTIES[best]
}

#[cfg(test)]
mod tests {
    use riesz::rng::normal;

    use super::*;

    /// Three Gaussian clusters in ten dimensions.
    fn clusters(n: usize, apart: f64, seed: u64) -> (Matrix<f32>, Vec<u32>) {
        let mut rng = Key::new(seed).rng();
        let labels: Vec<u32> = (0..n).map(|i| (i % 3) as u32).collect();
        let data = labels
            .iter()
            .flat_map(|&label| (0..10).map(move |j| if j == label as usize { apart } else { 0.0 }))
            .map(|center| (center + normal(&mut rng)) as f32)
            .collect();
        (Matrix::new(data, 10), labels)
    }

    #[test]
    fn separate_clusters_are_learned_from_few_labels_and_noise_is_not() {
        let ((train, labels), (test, test_labels)) = (clusters(300, 8.0, 1), clusters(300, 8.0, 2));
        let few = few_labels(&train, &labels, &test, &test_labels, 5, 4, Key::new(1)).unwrap();
        assert!(few.mean > 0.97, "{few:?}");
        let ((train, labels), (test, test_labels)) = (clusters(300, 0.0, 1), clusters(300, 0.0, 2));
        let few = few_labels(&train, &labels, &test, &test_labels, 5, 4, Key::new(1)).unwrap();
        assert!((few.mean - 1.0 / 3.0).abs() < 0.1, "{few:?}");
    }

    #[test]
    fn draws_are_balanced_and_depend_on_the_key_alone() {
        let labels: Vec<u32> = (0..100).map(|i| (i % 4) as u32).collect();
        let drawn = draw_items(&labels, 4, 3, Key::new(7));
        assert_eq!(drawn.iter().map(|&i| labels[i]).collect::<Vec<_>>(), [0, 1, 2, 3].repeat(3));
        assert_eq!(drawn, draw_items(&labels, 4, 3, Key::new(7)));
        assert_ne!(drawn, draw_items(&labels, 4, 3, Key::new(8)));
    }

    #[test]
    fn a_class_with_too_few_labels_is_named() {
        let (rows, mut labels) = clusters(30, 1.0, 1);
        labels.iter_mut().skip(5).for_each(|label| *label = (*label).min(1));
        let error = few_labels(&rows, &labels, &rows, &labels, 5, 1, Key::new(1)).unwrap_err();
        assert!(error.to_string().contains("class 2 has 1 labels"), "{error}");
    }
}
