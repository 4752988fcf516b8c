//! The report of a run: everything that it shows ([`Summary`], on disk as `metrics.json`), the verdict, the table for the
//! terminal, and the page.

pub(crate) mod draw;
pub mod map;
mod page;
mod plain;
mod seeds;
pub(crate) mod template;
pub mod thumbnail;
mod verdict;

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::protocols::{Measure, Row};
use crate::run::{Epoch, Run};
use crate::{Error, Result, atomic};
pub use page::render;
pub use plain::plain;
pub use seeds::markdown;
pub(crate) use seeds::{mean_and_deviation, seed_and_rest};
pub use verdict::{Tone, Verdict, verdict};

/// The style of pages.
pub(crate) const STYLE: &str = include_str!("page.css");
/// Switches a page between light and dark.
pub(crate) const SCRIPT: &str = include_str!("page.js");

/// The row of the weights that training began with.
pub const START: &str = "backbone at the start";

/// The version of `metrics.json`.
pub const SCHEMA_VERSION: u32 = 2;

/// Everything that the report shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The run's folder.
    pub run: String,
    /// The data's name.
    pub data: String,
    /// Names of the classes; empty without labels.
    pub classes: Vec<String>,
    /// Images trained on.
    pub train_images: usize,
    /// Images held out.
    pub test_images: usize,
    /// How many of these have a label.
    pub labels: Labels,
    /// The encoder in a line.
    pub encoder: String,
    /// The loss in a line.
    pub loss: String,
    /// The optimizer in a line.
    pub optimizer: String,
    /// The resolved recipe, TOML.
    pub recipe: String,
    /// `environment.json`.
    pub environment: serde_json::Value,
    /// How the table was made.
    pub settings: Settings,
    /// The table.
    pub rows: Vec<Row>,
    /// The trained backbone against raw pixels and the untrained backbone, on the same questions.
    pub comparisons: Vec<Comparison>,
    /// Whether the loss matched training images by their labels.
    #[serde(default)]
    pub trained_with_labels: bool,
    /// Whether the weights that it began with learned from labels, as far as is known.
    #[serde(default)]
    pub start_trained_with_labels: bool,
    /// What no batch's loss is below, where that is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_bound: Option<LossBound>,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// Each epoch.
    pub epochs: Vec<Epoch>,
    /// The loss curve, thinned.
    pub steps: Vec<StepPoint>,
    /// Seconds in training steps.
    pub training_seconds: f64,
    /// Median over the epochs; each image gives as many views as the recipe says.
    pub images_per_second: f64,
    /// The geometry of the held-out pairs' embeddings.
    pub geometry: Vec<Geometry>,
    /// What the collapse alarm says of the trained projector, and what to try; `None` when all is well.
    pub alarm: Option<String>,
    /// Whether it says that all embeddings are nearly equal, rather than that they use few directions.
    #[serde(default)]
    pub collapsed: bool,
    /// The distribution of cosines.
    pub cosines: Cosines,
    /// Singular spectra.
    pub spectrum: Vec<Spectrum>,
    /// The map of held-out images, if there is one.
    pub map: Option<Map>,
    /// Some held-out images with their nearest training images.
    pub neighbors: Vec<Neighbors>,
    /// Names and reasons of images that could not be read.
    pub unreadable: Vec<(String, String)>,
}

/// What is proven that no rows have a loss below.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossBound {
    /// The value.
    pub value: f64,
    /// By what.
    pub theorem: String,
    /// Of how many images: a batch's.
    pub images: usize,
    /// In how many views.
    pub views: usize,
    /// In how many dimensions.
    pub dim: usize,
}

impl LossBound {
    /// In words.
    pub fn told(&self) -> String {
        let Self { value, theorem, images, views, dim } = self;
        format!(
            "no rows of {images} images in {views} views and {dim} dimensions have a loss below {value:.4}, by {theorem}"
        )
    }
}

/// How the table was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Neighbors of the kNN vote.
    pub neighbors: usize,
    /// Temperature of its weights.
    pub temperature: f64,
    /// Training images of kNN and probe, all with a label.
    pub references: usize,
    /// Held-out images of kNN and probe, all with a label.
    pub queries: usize,
    /// Labels a class of the few-label probe.
    pub few_labels: usize,
    /// Its draws.
    pub few_draws: usize,
    /// Held-out images whose other view is retrieved.
    pub pairs: usize,
    /// Training images among which nearest ones are shown, with a label or without.
    pub gallery: usize,
}

/// How many images have a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// Of those trained on.
    pub train: usize,
    /// Of those held out.
    pub test: usize,
}

/// One kind of rows against another, on the same questions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What was asked.
    pub measure: Measure,
    /// Whose rows.
    pub ours: String,
    /// Against whose.
    pub theirs: String,
    /// Share that `ours` answers right less share that `theirs` does.
    pub difference: f64,
    /// What chance makes of it, paired over the questions; `None` where that is not known: a single draw of labels.
    pub margin: Option<f64>,
}

/// A point of the loss curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepPoint {
    /// Which step.
    pub step: u64,
    /// Loss.
    pub loss: f64,
    /// Its attraction.
    pub attraction: f64,
    /// Its repulsion.
    pub repulsion: f64,
}

/// A metric of the projector's embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Geometry {
    /// Its name in [`riesz::geometry::METRICS`].
    pub metric: String,
    /// For the trained encoder.
    pub trained: f64,
    /// For the untrained one.
    pub untrained: f64,
}

/// Shares of pairs in equal bins of cosines from −1 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cosines {
    /// Dimension of the embeddings.
    pub dim: usize,
    /// How many bins.
    pub bins: usize,
    /// Two views of one image.
    pub matched: Vec<f64>,
    /// All other pairs of views.
    pub other: Vec<f64>,
    /// Independent uniform points of the sphere.
    pub ideal: Vec<f64>,
}

/// Singular values of unit rows, largest first and scaled to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spectrum {
    /// Whose.
    pub name: String,
    /// At least one.
    pub values: Vec<f64>,
}

/// Held-out images laid out in the plane by their representations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// One an image.
    pub points: Vec<MapPoint>,
}

/// An image on the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapPoint {
    /// Across.
    pub x: f64,
    /// Down.
    pub y: f64,
    /// Its class.
    pub label: Option<u32>,
    /// Its name.
    pub name: String,
    /// A PNG, base64.
    pub thumbnail: String,
}

/// A held-out image and the training images nearest to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbors {
    /// The held-out image.
    pub query: Thumb,
    /// Nearest first.
    pub nearest: Vec<Thumb>,
}

/// A small picture with its caption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thumb {
    /// Its name.
    pub name: String,
    /// Its class.
    pub label: Option<u32>,
    /// Cosine with the query.
    pub cosine: f64,
    /// A PNG, base64.
    pub thumbnail: String,
}

/// The name of the file.
const METRICS: &str = "metrics.json";

/// The version that a file says it has, whatever it is.
#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    schema_version: serde_json::Value,
}

/// The file, or what of it is asked for.
fn read<T: DeserializeOwned>(run: &Run) -> Result<T> {
    let path = run.path(METRICS);
    let text = std::fs::read_to_string(&path).map_err(|error| Error::io(&path, &error))?;
    let damaged =
        |why: String| Error::input(format!("{}: {why}; make it again with `riesz eval`", path.display()));
    let broken = |error: serde_json::Error| damaged(format!("is damaged ({error})"));
    // What is not asked for is passed over, not kept: `riesz runs` reads thousands of these.
    let Version { schema_version } = serde_json::from_str(&text).map_err(broken)?;
    if schema_version != SCHEMA_VERSION {
        return Err(damaged(format!(
            "has schema version {schema_version}; this program reads {SCHEMA_VERSION}"
        )));
    }
    serde_json::from_str(&text).map_err(broken)
}

/// The table of a run's evaluation alone: `metrics.json` without what its pictures are made of.
#[derive(Clone, Debug, Deserialize)]
pub struct Evaluated {
    /// As [`Summary::rows`].
    pub rows: Vec<Row>,
}

impl Evaluated {
    /// Reads it from `metrics.json`; `None` if there is none.
    ///
    /// # Errors
    /// If it is damaged, or of another version.
    pub fn load(run: &Run) -> Result<Option<Self>> {
        if !run.path(METRICS).is_file() {
            return Ok(None);
        }
        read(run).map(Some)
    }

    /// A share of the trained backbone.
    pub fn trained(&self, measure: Measure) -> Option<f64> {
        self.rows.iter().find(|row| row.name == "trained backbone").and_then(|row| row.value(measure))
    }
}

impl Summary {
    /// Writes `metrics.json`.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn save(&self, run: &Run) -> Result<()> {
        atomic::write_bytes(&run.path(METRICS), self.to_json()?.as_bytes())
    }

    /// What `metrics.json` has.
    ///
    /// # Errors
    /// If a number has no form in JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::input(error.to_string()))
    }

    /// Reads `metrics.json`.
    ///
    /// # Errors
    /// If it is missing (the run is not finished), damaged, or of another version.
    pub fn load(run: &Run) -> Result<Self> {
        if !run.path(METRICS).is_file() {
            return Err(run.lacks(METRICS, "make it again with `riesz eval`"));
        }
        read(run)
    }

    /// Whether kNN and probes were asked.
    pub fn has_labels(&self) -> bool {
        self.rows.iter().any(|row| row.knn.is_some())
    }

    /// Whether the probe with few labels was asked.
    pub fn has_few_labels(&self) -> bool {
        self.rows.iter().any(|row| row.few.is_some())
    }

    /// Whether the encoder learned from labels, in this run or before.
    pub fn saw_labels(&self) -> bool {
        self.trained_with_labels || self.start_trained_with_labels
    }

    /// Whether there was any training; without it the run judges the weights that it began with.
    pub fn was_trained(&self) -> bool {
        !self.epochs.is_empty()
    }

    /// What a row or a spectrum is called for a reader: without training `trained backbone` is what was pretrained, and the
    /// projector on it is untrained unless it came along.
    pub fn called<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match name {
            "trained backbone" if !self.was_trained() => "pretrained backbone".into(),
            "trained projector" if !self.was_trained() => "projector on it".into(),
            other => other.into(),
        }
    }

    /// The row of that name.
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}
