//! Choosing a setting without looking at the images it is judged by: kNN on a part of the training images.
//!
//! A fifth of the training images that have a label ask, the others answer. The choice and its cost lie beside the run
//! (`selection.json`), so that a report reads them and no encoder is opened twice.

use std::collections::BTreeSet;

use riesz::rng::{Key, permutation};
use serde::{Deserialize, Serialize};

use crate::encoder;
use crate::protocols::{Labeled, knn, share};
use crate::run::Run;
use crate::train::Plan;
use crate::train::measure::{Shown, Viewer, readable};
use crate::{Error, Result, atomic};

/// Training images that ask, at most.
const MOST_QUERIES: usize = 2000;
const FILE: &str = "selection.json";
/// The version of `selection.json`.
const SCHEMA_VERSION: u32 = 1;

/// The axes whose settings are chosen, once for each setting of the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The axes; a cell need not have all of them.
    pub axes: Vec<String>,
}

/// How a run did on the part of the training images that chooses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The version of this file's form.
    pub schema_version: u32,
    /// kNN accuracy of the trained backbone.
    pub knn: f64,
    /// Training images that asked.
    pub queries: usize,
    /// Training images that voted.
    pub references: usize,
}

impl Selection {
    /// `select = "temperature"`, a list of axes, or a table that also says on which images; of the `known` axes of the grid.
    ///
    /// # Errors
    /// If no cell has one of the axes, or the choice would be made on the held-out images.
    pub(super) fn of(written: &toml::Value, known: &BTreeSet<&str>) -> Result<Self> {
        let (axes, images) = match written {
            toml::Value::Table(table) => {
                if let Some(key) = table.keys().find(|key| !["axes", "images"].contains(&key.as_str())) {
                    return Err(Error::input(format!(
                        "select has the unknown key `{key}`; it takes axes and images"
                    )));
                }
                (table.get("axes"), table.get("images"))
            }
            axes => (Some(axes), None),
        };
        if images.is_some_and(|images| images.as_str() != Some("training")) {
            return Err(Error::input(format!(
                "select.images is {}; settings are chosen on training images alone, as a choice on the held-out images \
                 would be part of what it is judged by",
                images.unwrap_or(written)
            )));
        }
        let refuse = || {
            let known: Vec<&str> = known.iter().copied().collect();
            Error::input(format!("select names no axis of the grid; there are {}", known.join(", ")))
        };
        let axes: Vec<String> = match axes {
            Some(toml::Value::String(axis)) => vec![axis.clone()],
            Some(toml::Value::Array(axes)) => axes
                .iter()
                .map(|axis| axis.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(refuse)?,
            _ => return Err(refuse()),
        };
        if axes.is_empty() || axes.iter().any(|axis| !known.contains(axis.as_str())) {
            return Err(refuse());
        }
        Ok(Self { axes })
    }
}

impl Score {
    /// The score that lies in a run's folder, if it was taken.
    pub fn load(run: &Run) -> Option<Self> {
        let bytes = std::fs::read(run.path(FILE)).ok()?;
        let score: Self = serde_json::from_slice(&bytes).ok()?;
        (score.schema_version == SCHEMA_VERSION).then_some(score)
    }

    /// Asks the trained encoder of a finished run, and leaves the score in its folder.
    ///
    /// # Errors
    /// If there are too few labels to choose by, or an image or the disk refuses.
    pub fn take(run: &Run, plan: &Plan) -> Result<Self> {
        let encoder = encoder::open(&run.encoder()?, &plan.device)?;
        let train = &*plan.data.train;
        // The same images in every cell, whatever its seed.
        let order = permutation(&mut Key::new(0).stream("selection").rng(), train.len());
        let labeled: Vec<usize> = order.into_iter().filter(|&item| train.label(item).is_some()).collect();
        let queries = (labeled.len() / 5).min(MOST_QUERIES);
        let most = plan.recipe.evaluation.references;
        let (queries, references) = labeled.split_at(queries);
        if queries.is_empty() || references.len() < 2 {
            return Err(Error::input(format!(
                "{}: {} training images with a label are too few to choose a setting by",
                plan.data.name,
                labeled.len()
            )));
        }
        let references = &references[..references.len().min(most.max(2))];
        let embed = |items: &[usize]| -> Result<Labeled> {
            let (items, _) = readable(train, items.to_vec());
            let labels = items.iter().filter_map(|&item| train.label(item)).collect();
            let (rows, _) = Viewer::of(plan).embed(&*encoder, train, &items, Shown::Clean)?;
            Ok(Labeled { rows, labels })
        };
        let (references, queries) = (embed(references)?, embed(queries)?);
        let evaluation = &plan.recipe.evaluation;
        let neighbors = evaluation.neighbors.min(references.labels.len());
        let hits = knn::hits(&references, &queries, neighbors, evaluation.temperature)?;
        let score = Self {
            schema_version: SCHEMA_VERSION,
            knn: share(&hits),
            queries: queries.labels.len(),
            references: references.labels.len(),
        };
        let text = serde_json::to_string_pretty(&score).map_err(|error| Error::input(error.to_string()))?;
        atomic::write_bytes(&run.path(FILE), text.as_bytes())?;
        Ok(score)
    }
}

#[cfg(test)]
mod tests {
    use super::super::grid::Grid;

    #[test]
    fn held_out_images_choose_nothing() {
        let grid = |select: &str| {
            let text = format!(
                "seeds = [1]\nselect = {select}\n[base]\nrecipe = \"fashion-mnist-12k\"\n\
                 [[grid]]\n[[grid.axis]]\nloss.temperature = [0.1, 0.2]"
            );
            Grid::parse(&text, "s", "g.toml")
        };
        for select in
            ["\"temperature\"", "[\"temperature\"]", "{ axes = \"temperature\", images = \"training\" }"]
        {
            assert_eq!(grid(select).unwrap().select.unwrap().axes, ["temperature"]);
        }
        for (select, expected) in [
            (
                "{ axes = \"temperature\", images = \"held-out\" }",
                "g.toml: select.images is \"held-out\"; settings",
            ),
            ("[\"temperature\", \"batch\"]", "select names no axis of the grid; there are temperature"),
            ("{ axes = \"temperature\", by = \"probe\" }", "unknown key `by`"),
            ("3", "select names no axis"),
        ] {
            let told = grid(select).unwrap_err().to_string();
            assert!(told.contains(expected), "{told}");
        }
    }
}
