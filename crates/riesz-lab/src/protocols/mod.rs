//! What frozen rows are good for: kNN, a linear probe, retrieval of the other view. Rows and labels in, shares out.

mod cross_entropy;
mod few;
mod head;
pub mod knn;
mod logistic;
mod paired;
pub mod probe;
pub mod retrieval;
mod span;

use std::collections::BTreeMap;

use riesz::Matrix;
use riesz::rng::Key;
use serde::{Deserialize, Serialize};

use crate::Result;
pub use cross_entropy::cross_entropy;
pub use few::{Few, draw_items, few_labels};
pub use head::Head;
pub use logistic::{MOST_ITERATIONS, TOLERANCE};
pub use paired::{Answers, Difference, difference};
pub use probe::Probe;
pub use retrieval::Recall;

/// Rows, each with a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Labeled {
    /// n × d.
    pub rows: Matrix<f32>,
    /// n names of classes; any numbers.
    pub labels: Vec<u32>,
}

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

/// What is asked of rows, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Recall at 1 of the other view.
    Retrieval,
    /// The linear probe with all labels.
    Probe,
    /// The linear probe with a few labels a class.
    FewLabels,
    /// The kNN vote.
    Knn,
}

impl Row {
    /// The share that is right, where it was asked.
    pub fn value(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Retrieval => Some(self.recall.at_1),
            Measure::Probe => self.probe.map(|probe| probe.accuracy),
            Measure::FewLabels => self.few.map(|few| few.mean),
            Measure::Knn => self.knn,
        }
    }
}

/// How it is asked.
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

/// What these labels allow to ask, beside retrieval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Questions {
    /// kNN and the probe with all labels: labels of two classes, and a query.
    pub labels: bool,
    /// The probe with a few labels a class: that many of each class.
    pub few: bool,
    /// What is not asked, or cannot be answered, and why. Nothing where there are no labels at all.
    pub notes: Vec<String>,
}

impl Questions {
    /// Looks at the labels of references and queries; `class` names a class.
    pub fn of(
        references: &[u32],
        queries: &[u32],
        settings: &Settings,
        class: impl Fn(u32) -> String,
    ) -> Self {
        let counts = class_counts(references);
        let refused =
            |why: Option<String>| Self { labels: false, few: false, notes: why.into_iter().collect() };
        match (counts.len(), queries.len()) {
            (0, 0) => return refused(None),
            (0, _) => {
                return refused(Some(
                    "kNN and probe are not asked: no training image has a label".to_owned(),
                ));
            }
            (_, 0) => {
                return refused(Some(
                    "kNN and probe are not asked: no held-out image has a label".to_owned(),
                ));
            }
            (1, _) => {
                let why = "kNN and probe are not asked: all training images with a label are of one class";
                return refused(Some(why.to_owned()));
            }
            _ => {}
        }
        let mut notes = Vec::new();
        let strange = queries.iter().filter(|label| !counts.contains_key(label)).count();
        if strange > 0 {
            let asked: usize = counts.values().sum();
            notes.push(format!(
                "{strange} of {} held-out images with a label are of classes that none of the {asked} training images with a \
                 label that are compared has, and so count as wrong",
                queries.len()
            ));
        }
        let short = counts.iter().find(|&(_, &count)| count < settings.few_labels);
        if let Some((&label, count)) = short {
            notes.push(format!(
                "the probe with {} labels a class is not asked: {} has {count}",
                settings.few_labels,
                class(label)
            ));
        }
        Self { labels: true, few: short.is_none(), notes }
    }
}

/// What a kind of rows answered to each question.
pub type Replies = BTreeMap<Measure, Answers>;

/// Asks one kind of rows. The rows of references and queries are used up: nothing of their size is allocated beside
/// them.
///
/// # Errors
/// If a number is not finite.
pub fn evaluate_row(
    name: &str,
    mut references: Labeled,
    mut queries: Labeled,
    views: [&Matrix<f32>; 2],
    questions: &Questions,
    settings: &Settings,
    key: Key,
) -> Result<(Row, Replies)> {
    let (recall, replies) = retrieval::recall(views[0], views[1])?;
    let mut row =
        Row { name: name.to_owned(), dim: views[0].dim(), knn: None, probe: None, few: None, recall };
    let mut all = Replies::from([(Measure::Retrieval, replies)]);
    if questions.labels {
        let neighbors = settings.neighbors.min(references.labels.len());
        let hits = knn::hits(&references, &queries, neighbors, settings.temperature)?;
        row.knn = Some(share(&hits));
        all.insert(Measure::Knn, Answers::of(&hits));
        probe::standardize(&mut references.rows, &mut queries.rows);
        if questions.few {
            let (labels, draws) = (settings.few_labels, settings.few_draws);
            let (few, replies) = few_labels(&references, &queries, labels, draws, key.stream("few labels"))?;
            row.few = Some(few);
            all.insert(Measure::FewLabels, replies);
        }
        let (probe, hits) = probe::probe(&mut references, &queries, key.stream("probe"))?;
        row.probe = Some(probe);
        all.insert(Measure::Probe, Answers::of(&hits));
    }
    Ok((row, all))
}

/// The share that is true.
pub fn share(hits: &[bool]) -> f64 {
    hits.iter().filter(|hit| **hit).count() as f64 / hits.len().max(1) as f64
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
pub fn places(train: &[u32], test: &[u32]) -> (usize, Vec<u32>, Vec<u32>) {
    let classes: Vec<u32> = class_counts(train).into_keys().collect();
    let place = |label: &u32| classes.binary_search(label).unwrap_or(classes.len()) as u32;
    (classes.len(), train.iter().map(place).collect(), test.iter().map(place).collect())
}

/// Rows of `dim` numbers scaled to unit length. A row of zeros, such as a black image's pixels, has no direction and
/// stays: its cosine with every row is 0. (`riesz::normalize` refuses it, as a point of the sphere must have one.)
pub(crate) fn unit(rows: &[f32], dim: usize) -> Vec<f32> {
    let mut unit = rows.to_vec();
    for row in unit.chunks_exact_mut(dim) {
        let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_asked_is_told() {
        let settings = Settings { neighbors: 20, temperature: 0.07, few_labels: 2, few_draws: 3 };
        let ask = |references: &[u32], queries: &[u32]| {
            let found = Questions::of(references, queries, &settings, |class| format!("class {class}"));
            (found.labels, found.few, found.notes.join("; "))
        };
        assert_eq!(ask(&[], &[]), (false, false, String::new()));
        assert_eq!(ask(&[0, 0, 1, 1], &[1]), (true, true, String::new()));
        for (references, queries, labels, few, word) in [
            (&[][..], &[0][..], false, false, "no training image has a label"),
            (&[0, 1], &[], false, false, "no held-out image has a label"),
            (&[3, 3], &[3], false, false, "of one class"),
            (&[0, 0, 1], &[0], true, false, "2 labels a class is not asked: class 1 has 1"),
            (&[0, 0, 1, 1], &[0, 7, 7], true, true, "2 of 3 held-out images with a label are of classes"),
        ] {
            let found = ask(references, queries);
            assert!((found.0, found.1) == (labels, few) && found.2.contains(word), "{found:?}");
        }
    }
}
