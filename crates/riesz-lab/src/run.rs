//! The run folder: what a run leaves behind. `docs/format.md` in the repository specifies it.
//!
//! ```text
//! lock                   held by the process that works here; which one
//! recipe.toml            the resolved recipe, every key
//! environment.json       program, machine, threads, when; and what was other when the run was continued
//! log.jsonl              one event a line; the same bits for the same recipe
//! timing.jsonl           one line an epoch: seconds and images per second, which no two runs share
//! checkpoints/           last.safetensors and previous.safetensors
//! encoder.safetensors    the trained encoder
//! metrics.json           everything that the report shows
//! report.html            rendered from metrics.json; can be deleted and made again
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::lines;
use crate::lock::{LOCK, Lock};
use crate::recipe::Recipe;
use crate::{Error, Result, atomic};

/// One line of `log.jsonl`. Nothing in it depends on the clock or the machine's load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// One optimizer update.
    Step {
        /// Counted from 0 over the whole run.
        step: u64,
        /// The loss on this batch.
        loss: f64,
        /// Its attraction terms.
        attraction: f64,
        /// Its repulsion terms.
        repulsion: f64,
        /// The learning rate of this update.
        learning_rate: f64,
    },
    /// An image could not be read and is left out of its batch.
    Unreadable {
        /// The step whose batch it was in.
        step: u64,
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The end of an epoch, with the geometry of the held-out pairs.
    Epoch(Epoch),
    /// The run is complete.
    Done {
        /// Updates done.
        step: u64,
    },
}

/// The end of an epoch: means over its steps, and the geometry of the held-out pairs after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: u64,
    /// Updates done so far.
    pub step: u64,
    /// Mean loss over the epoch's steps.
    pub loss: f64,
    /// Mean of its attraction terms.
    pub attraction: f64,
    /// Mean of its repulsion terms.
    pub repulsion: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Metric name → value, in the order of the geometry's list.
    pub geometry: Vec<(String, f64)>,
    /// Share of held-out views whose other view is the nearest of all.
    pub recall_at_1: f64,
    /// The cosine between the gradients of attraction and repulsion at held-out pairs (`riesz::engine::Coupling`), if it is defined.
    #[serde(default)]
    pub gradient_cosine: Option<f64>,
    /// The share of the pull on matched pairs that the repulsion leaves, there.
    #[serde(default)]
    pub pull_left: Option<f64>,
    /// kNN accuracy on held-out images, if there are labels.
    pub knn: Option<f64>,
    /// Training images with a label that it votes with.
    #[serde(default)]
    pub knn_references: usize,
    /// Held-out images with a label that it is asked of.
    #[serde(default)]
    pub knn_queries: usize,
    /// What the collapse alarm says, in words; `None` when all is well.
    pub alarm: Option<String>,
}

/// One line of `timing.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Counted from 1.
    pub epoch: u64,
    /// Seconds spent in steps.
    pub training_seconds: f64,
    /// Seconds spent measuring the held-out images.
    pub measuring_seconds: f64,
    /// Training images a second (each gives two views).
    pub images_per_second: f64,
}

/// A run folder on disk.
#[derive(Clone, Debug)]
pub struct Run {
    root: PathBuf,
    /// Held as long as this value or a clone of it lives; the system gives it up when the process ends in any way.
    _lock: Option<Arc<Lock>>,
}

/// What was found where a run is to be.
pub enum Found {
    /// Nothing: the folder was made now.
    New(Run),
    /// An unfinished run of the same recipe.
    Unfinished(Run),
}

impl Run {
    /// Makes the folder of a new run, or finds the unfinished run of the same recipe in it; no other process can then
    /// do the same until this run is dropped.
    ///
    /// # Errors
    /// If the folder holds something else, a run of another recipe, or a finished run, or if another process works in
    /// it. Nothing is overwritten.
    pub fn create_or_continue(root: &Path, recipe: &Recipe) -> Result<Found> {
        let place = root.display();
        let io = |error| Error::io(root, &error);
        if root.exists() && !root.is_dir() {
            return Err(Error::input(format!(
                "{place}: a file, and a run is a folder; choose another name with --run"
            )));
        }
        if root.exists() && !is_run_or_empty(root).map_err(io)? {
            return Err(Error::input(format!(
                "{place}: exists and is not a run; choose another folder with --run"
            )));
        }
        fs::create_dir_all(root).map_err(io)?;
        atomic::sync_parent(root)?;
        let run = Self { root: root.to_owned(), _lock: lock(root)? };
        let checkpoints = run.path(CHECKPOINTS);
        fs::create_dir_all(&checkpoints).map_err(|error| Error::io(&checkpoints, &error))?;
        atomic::remove_leftovers(root);
        atomic::remove_leftovers(&checkpoints);
        let recipe_path = run.path(RECIPE);
        if !recipe_path.is_file() {
            run.write_recipe(recipe)?;
            return Ok(Found::New(run));
        }
        if let Some(difference) = run.differs_from(recipe)? {
            let (mut stored, now) = (run.recipe()?, &recipe.data.source);
            stored.data.source.clone_from(now);
            let moved = match stored == *recipe {
                true => format!(", or say `riesz runs moved {place} {now}` if its images lie there now"),
                false => String::new(),
            };
            return Err(Error::input(format!(
                "{place}: holds a run of another recipe ({difference}); choose another folder with --run{moved}"
            )));
        }
        if run.is_finished()? {
            return Err(Error::input(format!(
                "{place}: holds the finished run of this very recipe; see its report.html, choose another folder with --run, or delete it"
            )));
        }
        Ok(Found::Unfinished(run))
    }

    /// Whether a run's folder is at `root`, finished or not.
    pub fn is_at(root: &Path) -> bool {
        root.join(RECIPE).is_file()
    }

    /// Opens an existing run folder.
    ///
    /// # Errors
    /// If it is not one.
    pub fn open(root: &Path) -> Result<Self> {
        let run = Self { root: root.to_owned(), _lock: None };
        if !root.is_dir() {
            return Err(Error::input(format!("{}: no such run folder", root.display())));
        }
        if !run.path(RECIPE).is_file() {
            return Err(Error::input(format!("{}: not a run folder: it has no recipe.toml", root.display())));
        }
        Ok(run)
    }

    /// As [`Run::open`], and no other process works in the folder until this run is dropped.
    ///
    /// # Errors
    /// As [`Run::open`]; or if another process does already.
    pub fn open_alone(root: &Path) -> Result<Self> {
        let run = Self::open(root)?;
        Ok(Self { _lock: lock(root)?, ..run })
    }

    /// In what this run's recipe is another than `recipe`, in words; `None` if it is the same.
    ///
    /// # Errors
    /// If the run's recipe cannot be read.
    pub fn differs_from(&self, recipe: &Recipe) -> Result<Option<String>> {
        let stored = self.recipe()?;
        Ok((stored != *recipe).then(|| first_difference(&stored.to_toml(), &recipe.to_toml())))
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The file of the trained encoder.
    ///
    /// # Errors
    /// If it is not there; the sentence says how the run is finished.
    pub fn encoder(&self) -> Result<PathBuf> {
        let path = self.path(ENCODER);
        if path.is_file() {
            return Ok(path);
        }
        Err(self.lacks(ENCODER, "put it back, or train again in another folder"))
    }

    /// The sentence that refuses a run without a file which a finished run has; `mend` says what to do where it has finished.
    pub fn lacks(&self, name: &str, mend: &str) -> Error {
        let root = self.root.display();
        Error::input(match self.is_finished() {
            Ok(true) => format!("{root}: the run is finished, but its {name} is gone; {mend}"),
            _ => format!(
                "{root}: the run is not finished and has no {name} yet; the `riesz train` command that began it goes on, and so does \
                 `riesz train --recipe {} --run {root}`",
                self.path(RECIPE).display()
            ),
        })
    }

    /// What `environment.json` says of where and with what the run was made, if it can be read.
    pub fn environment(&self) -> Option<Map<String, Value>> {
        serde_json::from_slice(&fs::read(self.path(ENVIRONMENT)).ok()?).ok()
    }

    /// The recipe of the run.
    ///
    /// # Errors
    /// If the file is missing or damaged.
    pub fn recipe(&self) -> Result<Recipe> {
        let path = self.path(RECIPE);
        let text = fs::read_to_string(&path).map_err(|error| Error::io(&path, &error))?;
        Recipe::resolve(&text, &[], &path.display().to_string())
    }

    /// Writes the recipe, in the place of the one that is there.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(crate) fn write_recipe(&self, recipe: &Recipe) -> Result<()> {
        atomic::write_bytes(&self.path(RECIPE), recipe.to_toml().as_bytes())
    }

    /// All events of the log, in order.
    ///
    /// # Errors
    /// If a line is not an event; the sentence says which line.
    pub fn events(&self) -> Result<Vec<Event>> {
        lines::read(&self.path(LOG))
    }

    /// The end of the log, newest event first, back to the last epoch's; the whole log if no epoch has ended.
    ///
    /// # Errors
    /// If a line of these is not an event.
    pub fn since_last_epoch(&self) -> Result<Vec<Event>> {
        lines::read_back(&self.path(LOG), |event| matches!(event, Event::Epoch(_)))
    }

    /// All lines of the timing file that are whole, in order; no result depends on them.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn timings(&self) -> Result<Vec<Timing>> {
        lines::read_sound(&self.path(TIMING))
    }

    /// Makes the timing file ready to go on after `epochs` epochs: lines of later ones, and damaged ones, are dropped.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn keep_timings(&self, epochs: u64) -> Result<()> {
        let path = self.path(TIMING);
        let mut kept = String::new();
        for timing in self.timings()?.iter().filter(|timing| timing.epoch <= epochs) {
            kept.push_str(&lines::line(timing)?);
        }
        if std::fs::read(&path).is_ok_and(|found| found != kept.as_bytes()) {
            atomic::write_bytes(&path, kept.as_bytes())?;
        }
        Ok(())
    }

    /// Appends a line to the timing file.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn add_timing(&self, timing: &Timing) -> Result<()> {
        lines::append(&self.path(TIMING), timing)
    }

    /// Whether the log ends with [`Event::Done`].
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn is_finished(&self) -> Result<bool> {
        Ok(matches!(lines::read_last(&self.path(LOG))?, Some(Event::Done { .. })))
    }

    /// Marks the run finished after `step` updates.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn finish(&self, step: u64) -> Result<()> {
        lines::append(&self.path(LOG), &Event::Done { step })
    }
}

const RECIPE: &str = "recipe.toml";
const CHECKPOINTS: &str = "checkpoints";
const ENCODER: &str = "encoder.safetensors";
/// The name of the file that says where and with what the run was made.
pub const ENVIRONMENT: &str = "environment.json";
/// The log's name.
pub const LOG: &str = "log.jsonl";
const TIMING: &str = "timing.jsonl";

/// Whether a folder has a recipe, or nothing but what a run has that was killed before it had one.
fn is_run_or_empty(root: &Path) -> std::io::Result<bool> {
    if root.join(RECIPE).is_file() {
        return Ok(true);
    }
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let begun = path.ends_with(LOCK)
            || path.ends_with(CHECKPOINTS) && fs::read_dir(&path)?.next().is_none()
            || atomic::is_leftover(&path);
        if !begun {
            // Or another process makes the run at this moment.
            return Ok(root.join(RECIPE).is_file());
        }
    }
    Ok(true)
}

fn lock(root: &Path) -> Result<Option<Arc<Lock>>> {
    Ok(Lock::take(root, "run folder")?.map(Arc::new))
}

/// The first line in which two texts differ, in words.
fn first_difference(stored: &str, asked: &str) -> String {
    let mut section = String::new();
    for (old, new) in stored.lines().zip(asked.lines()) {
        if old != new {
            return format!("there {section}`{old}`, here `{new}`");
        }
        if old.starts_with('[') {
            section = format!("{old} ");
        }
    }
    "one has keys that the other lacks".to_owned()
}
