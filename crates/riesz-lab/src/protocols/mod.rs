//! What an encoder's frozen rows are good for: kNN, a linear probe, retrieval of the other view.

mod few;
mod guard;
pub mod knn;
pub mod probe;
pub mod retrieval;

use std::collections::BTreeMap;

use riesz::Matrix;
use riesz::rng::Key;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::embeddings::check_finite;
pub use few::{Few, few_labels};
pub use guard::Guard;
pub use probe::Probe;
pub use retrieval::Recall;

/// One line of the table: what one kind of rows is good for. Accuracies are shares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Whose rows: `raw pixels`, `trained backbone`, …
    pub name: String,
    /// Numbers a row.
    pub dim: usize,
    /// kNN accuracy, if there are labels.
    pub knn: Option<f64>,
    /// The linear probe with all labels.
    pub probe: Option<Probe>,
    /// The linear probe with a few labels a class.
    pub few: Option<Few>,
    /// Retrieval of the other view, without labels.
    pub recall: Recall,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Neighbors of the kNN vote.
    pub neighbors: usize,
    /// Temperature of its weights.
    pub temperature: f64,
    /// Labels a class of the few-label probe.
    pub few_labels: usize,
    /// Its keyed draws.
    pub few_draws: usize,
}

/// Rows with their labels, if all of them have one.
pub type Labeled<'a> = (&'a Matrix<f32>, Option<&'a [u32]>);

/// Asks everything of one kind of rows. Without labels, or with a single class, only retrieval is asked; the few-label
/// probe needs `few_labels` of each class.
///
/// # Errors
/// If a number is not finite, or fewer references than neighbors are given.
pub fn evaluate_row(
    name: &str,
    references: Labeled<'_>,
    queries: Labeled<'_>,
    views: [&Matrix<f32>; 2],
    settings: &Settings,
    key: Key,
) -> Result<Row> {
    let recall = retrieval::recall(views[0], views[1])?;
    let mut row =
        Row { name: name.to_owned(), dim: references.0.dim(), knn: None, probe: None, few: None, recall };
    if let ((train, Some(train_labels)), (test, Some(test_labels))) = (references, queries) {
        let counts = class_counts(train_labels);
        if counts.len() >= 2 {
            row.knn = Some(knn::accuracy(
                train,
                train_labels,
                test,
                test_labels,
                settings.neighbors,
                settings.temperature,
            )?);
            row.probe = Some(probe::accuracy(train, train_labels, test, test_labels, key.stream("probe"))?);
            if counts.values().all(|&count| count >= settings.few_labels) {
                let (labels, draws) = (settings.few_labels, settings.few_draws);
                let few = few_labels(
                    train,
                    train_labels,
                    test,
                    test_labels,
                    labels,
                    draws,
                    key.stream("few labels"),
                );
                row.few = Some(few?);
            }
        }
    }
    Ok(row)
}

/// How many rows each class that occurs has.
fn class_counts(labels: &[u32]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for &label in labels {
        *counts.entry(label).or_default() += 1;
    }
    counts
}

/// The number of classes that occur in training, and both labels as places among these. A test label that does not
/// occur gets the place after the last, which no row is given.
fn places(train: &[u32], test: &[u32]) -> (usize, Vec<u32>, Vec<u32>) {
    let classes: Vec<u32> = class_counts(train).into_keys().collect();
    let place = |label: &u32| classes.binary_search(label).unwrap_or(classes.len()) as u32;
    (classes.len(), train.iter().map(place).collect(), test.iter().map(place).collect())
}

/// The rows scaled to unit length. A row of zeros, such as a black image's pixels, has no direction and stays: its
/// cosine with every row is 0.
pub(crate) fn unit(rows: &Matrix<f32>) -> Result<Matrix<f32>> {
    check_finite(rows)?;
    let mut unit = rows.clone();
    for i in 0..unit.len() {
        let row = unit.row_mut(i);
        let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
    }
    Ok(unit)
}
