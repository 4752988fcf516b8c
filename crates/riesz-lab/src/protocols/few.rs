//! The linear probe with a few labels a class: what an encoder is worth when labels are dear.
//!
//! Rows are standardized by all training rows, whose labels are not needed for that. For each keyed draw of as many
//! labels of each class, the penalty is chosen by five folds among the drawn rows and the probe is fitted to them. The
//! draws depend on key and labels alone, so every kind of rows is asked with the same images.

use rayon::prelude::*;
use riesz::rng::{Key, permutation};
use serde::{Deserialize, Serialize};

use super::logistic::{Fit, Set};
use super::probe::PENALTIES;
use super::{Answers, Labeled, class_counts, places, share, span};
use crate::{Error, Result};

/// Accuracy over the draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Few {
    /// Mean accuracy.
    pub mean: f64,
    /// Standard deviation over the draws; 0 for a single one.
    pub deviation: f64,
    /// How many of the draws' probes did not converge.
    pub unconverged: usize,
}

const FOLDS: usize = 5;

/// Trains on `per_class` labels of each class, `draws` times; tells also the answers of each draw. Both are of
/// [`standardize`](super::probe::standardize)d rows.
///
/// # Errors
/// If a class has fewer labels.
///
/// # Panics
/// If there are no draws, labels and rows differ in number, or train and test in width.
pub fn few_labels(
    train: &Labeled,
    test: &Labeled,
    per_class: usize,
    draws: usize,
    key: Key,
) -> Result<(Few, Answers)> {
    if let Some((class, count)) =
        class_counts(&train.labels).into_iter().find(|&(_, count)| count < per_class)
    {
        return Err(Error::input(format!(
            "class {class} has {count} labels; {per_class} labels a class were asked for"
        )));
    }
    let (classes, train_labels, test_labels) = places(&train.labels, &test.labels);
    let dim = train.rows.dim();
    let test = Set { rows: test.rows.as_slice(), dim, labels: &test_labels };
    let drawn: Vec<(Vec<bool>, bool)> = (0..draws as u64)
        .into_par_iter()
        .map(|draw| {
            let chosen = draw_items(&train_labels, classes, per_class, key.at(draw));
            let rows: Vec<f32> = chosen.iter().flat_map(|&i| train.rows.row(i).iter().copied()).collect();
            let labels: Vec<u32> = chosen.iter().map(|&i| train_labels[i]).collect();
            let set = Set { rows: &rows, dim, labels: &labels };
            let (_, fit) = span::fitted(set, classes, choose);
            (fit.hits(test), fit.converged())
        })
        .collect();
    let unconverged = drawn.iter().filter(|(_, converged)| !converged).count();
    let hits: Vec<Vec<bool>> = drawn.into_iter().map(|(hits, _)| hits).collect();
    let shares: Vec<f64> = hits.iter().map(|hits| share(hits)).collect();
    let mean = shares.iter().sum::<f64>() / draws as f64;
    let squares = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>();
    let deviation = (squares / (draws as f64 - 1.0).max(1.0)).sqrt();
    Ok((Few { mean, deviation, unconverged }, Answers::of_draws(&hits)))
}

/// `per_class` items of each class, one of each class in turn, so that folds of neighbors are balanced.
pub fn draw_items(labels: &[u32], classes: usize, per_class: usize, key: Key) -> Vec<usize> {
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
pub(super) fn choose(set: Set<'_>, classes: usize) -> f64 {
    let n = set.labels.len();
    let folds = FOLDS.min(n);
    let mut hits = [0; PENALTIES.len()];
    for fold in 0..folds {
        let (from, to) = (fold * n / folds, (fold + 1) * n / folds);
        let ((before, rest), (_, after)) = (set.split_at(from), set.split_at(to));
        let (inside, _) = rest.split_at(to - from);
        let outside = ([before.rows, after.rows].concat(), [before.labels, after.labels].concat());
        let outside = Set { rows: &outside.0, labels: &outside.1, ..set };
        let mut start = None;
        for (hits, penalty) in hits.iter_mut().zip(PENALTIES) {
            let fit = Fit::new(outside, classes, penalty, start.take());
            *hits += fit.hits(inside).into_iter().filter(|hit| *hit).count();
            start = Some(fit.weights);
        }
    }
    let best = (0..hits.len()).rev().max_by_key(|&i| hits[i]).unwrap_or(0);
    PENALTIES[best]
}

#[cfg(test)]
mod tests {
    use riesz::Matrix;
    use riesz::rng::normal;

    use super::super::probe::standardize;
    use super::*;

    /// Three Gaussian clusters in ten dimensions.
    fn clusters(n: usize, apart: f64, seed: u64) -> Labeled {
        let mut rng = Key::new(seed).rng();
        let labels: Vec<u32> = (0..n).map(|i| (i % 3) as u32).collect();
        let data = labels
            .iter()
            .flat_map(|&label| (0..10).map(move |j| if j == label as usize { apart } else { 0.0 }))
            .map(|center| (center + normal(&mut rng)) as f32)
            .collect();
        Labeled { rows: Matrix::new(data, 10), labels }
    }

    #[test]
    fn separate_clusters_are_learned_from_few_labels_and_noise_is_not() {
        for (apart, least, most) in [(8.0, 0.97, 1.0), (0.0, 0.23, 0.43)] {
            let (mut train, mut test) = (clusters(300, apart, 1), clusters(300, apart, 2));
            standardize(&mut train.rows, &mut test.rows);
            let (few, answers) = few_labels(&train, &test, 5, 4, Key::new(1)).unwrap();
            assert!(few.mean > least && few.mean <= most && few.unconverged == 0, "{few:?}");
            let mean = answers.queries.iter().map(|&share| f64::from(share)).sum::<f64>() / 300.0;
            assert!((mean - few.mean).abs() < 1e-6 && answers.draws.len() == 4);
        }
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
        let mut rows = clusters(30, 1.0, 1);
        rows.labels.iter_mut().skip(5).for_each(|label| *label = (*label).min(1));
        let error = few_labels(&rows, &rows, 5, 1, Key::new(1)).unwrap_err();
        assert!(error.to_string().contains("class 2 has 1 labels"), "{error}");
    }
}
