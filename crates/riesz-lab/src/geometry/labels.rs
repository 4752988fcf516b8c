//! Labels of rows, and what they say: kNN, linear probe, LiDAR, silhouette.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use riesz::geometry::{Estimate, Sampled, lidar, silhouette};
use riesz::rng::{Key, permutation};
use riesz::{Matrix, Points};

use super::Value;
use crate::protocols::{Labeled, knn, probe};
use crate::{Error, Result};

/// Neighbors of the kNN vote and its temperature: those of the evaluation of runs.
const VOTE: (usize, f64) = (20, 0.07);
/// One of so many rows is asked; the others are references.
const ASKED: usize = 5;
/// Rows and classes from which questions make sense.
const FEWEST: usize = 20;

/// Where labels are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A text with one line a row, in order.
    File(PathBuf),
    /// A column beside the embeddings.
    Column(String),
}

impl Wanted {
    /// A file if there is one of that name, else a column.
    pub fn parse(text: &str) -> Self {
        if Path::new(text).is_file() { Self::File(text.into()) } else { Self::Column(text.to_owned()) }
    }

    /// The column's name.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::File(_) => None,
            Self::Column(name) => Some(name),
        }
    }

    /// For sentences.
    pub fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Column(name) => format!("column {name}"),
        }
    }

    /// Adds the lines of a file.
    pub(super) fn read_file(&self, classes: &mut Classes) -> Result<()> {
        if let Self::File(path) = self {
            let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, &error))?;
            text.lines().for_each(|line| classes.push(line.trim()));
        }
        Ok(())
    }
}

/// Each row's class; an empty label is a class of its own name, "".
#[derive(Clone, Debug, Default)]
pub struct Classes {
    /// The names, in the order in which they first came.
    pub names: Vec<String>,
    places: BTreeMap<String, u32>,
    /// A place among the names for each row.
    pub of: Vec<u32>,
}

impl Classes {
    pub(super) fn push(&mut self, name: &str) {
        let class = match self.places.get(name) {
            Some(&class) => class,
            None => {
                let class = self.names.len() as u32;
                self.names.push(name.to_owned());
                self.places.insert(name.to_owned(), class);
                class
            }
        };
        self.of.push(class);
    }
}

/// Asks the sampled rows (unit, at `places` of all) that have a label.
pub(super) fn measure(
    classes: Option<&Classes>,
    rows: &Sampled,
    places: &[u64],
    key: Key,
    notes: &mut Vec<String>,
) -> Result<Vec<Value>> {
    let Some(classes) = classes else { return Ok(Vec::new()) };
    let labels = places.iter().map(|&place| classes.of[place as usize]);
    let labeled: Vec<(usize, u32)> =
        labels.enumerate().filter(|(_, class)| !classes.names[*class as usize].is_empty()).collect();
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    labeled.iter().for_each(|(_, class)| *counts.entry(*class).or_default() += 1);
    if counts.len() < 2 || labeled.len() < FEWEST {
        notes.push(format!(
            "labels: {} rows that were looked at have one, of {} classes; at least {FEWEST} and 2 are needed",
            labeled.len(),
            counts.len()
        ));
        return Ok(Vec::new());
    }
    let of: Vec<u32> = labeled.iter().map(|(_, class)| *class).collect();
    let chosen: Vec<usize> = labeled.iter().map(|(row, _)| *row).collect();
    let rows = rows.take(&chosen);
    let points = Points::new(&rows)?;
    let silhouette = silhouette(points, &of)?;
    let lidar = lidar(points, &of)?;

    let order = permutation(&mut key.stream("asked").rng(), of.len());
    let (asked, references) = order.split_at(of.len() / ASKED);
    let take = |chosen: &[usize]| Labeled {
        rows: Matrix::new(chosen.iter().flat_map(|&i| rows.row(i)).map(|x| *x as f32).collect(), rows.dim()),
        labels: chosen.iter().map(|&i| of[i]).collect(),
    };
    let (mut references, mut asked) = (take(references), take(asked));
    let votes = knn::hits(&references, &asked, VOTE.0.min(references.labels.len()), VOTE.1)?;
    probe::standardize(&mut references.rows, &mut asked.rows);
    let (probe, hits) = probe::probe(&mut references, &asked, key.stream("probe"))?;
    notes.push(format!(
        "labels: {} rows of {} classes; kNN (k = {}, T = {}) and probe are asked of {} of them, the others are references; \
         with Wilson's 95 % intervals of the rows asked",
        of.len(),
        counts.len(),
        VOTE.0.min(references.labels.len()),
        VOTE.1,
        asked.labels.len()
    ));
    if !probe.converged {
        notes.push(format!(
            "the probe's gradient ended at {:.0e} of its start, and had not converged",
            probe.gradient
        ));
    }
    let looked_at = of.len() as u64;
    Ok(vec![
        Value::of("knn", Some(of_hits(&votes)), asked.labels.len() as u64),
        Value::of("linear_probe", Some(of_hits(&hits)), asked.labels.len() as u64),
        Value::of("lidar", Some(Estimate::exact(lidar)), looked_at),
        Value::of("silhouette", Some(silhouette), looked_at),
    ])
}

fn of_hits(hits: &[bool]) -> Estimate {
    Estimate::of_share(hits.iter().filter(|hit| **hit).count(), hits.len())
}
