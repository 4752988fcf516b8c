//! The run folder: what a run leaves behind. `docs/format.md` in the repository specifies it.
//!
//! ```text
//! recipe.toml            the resolved recipe, every key
//! environment.json       program, machine, threads, when
//! log.jsonl              one event a line; the same bits for the same recipe
//! timing.jsonl           one line an epoch: seconds and images per second, which no two runs share
//! checkpoints/           last.safetensors and previous.safetensors
//! encoder.safetensors    the trained encoder
//! metrics.json           everything that the report shows
//! report.html            rendered from metrics.json; can be deleted and made again
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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
}

/// What was found where a run is to be.
pub enum Found {
    /// Nothing: the folder was made now.
    New(Run),
    /// An unfinished run of the same recipe.
    Unfinished(Run),
}

impl Run {
    /// Makes the folder of a new run, or finds the unfinished run of the same recipe in it.
    ///
    /// # Errors
    /// If the folder holds something else, a run of another recipe, or a finished run. Nothing is overwritten.
    pub fn create_or_continue(root: &Path, recipe: &Recipe) -> Result<Found> {
        let run = Self { root: root.to_owned() };
        let recipe_path = run.path("recipe.toml");
        if !root.exists() {
            fs::create_dir_all(run.path("checkpoints")).map_err(|error| Error::io(root, &error))?;
            atomic::write_bytes(&recipe_path, recipe.to_toml().as_bytes())?;
            return Ok(Found::New(run));
        }
        let place = root.display();
        if !recipe_path.is_file() {
            let mut entries = fs::read_dir(root).map_err(|error| Error::io(root, &error))?;
            if entries.next().is_some() {
                return Err(Error::input(format!(
                    "{place}: exists and is not a run; choose another folder with --run"
                )));
            }
            fs::create_dir_all(run.path("checkpoints")).map_err(|error| Error::io(root, &error))?;
            atomic::write_bytes(&recipe_path, recipe.to_toml().as_bytes())?;
            return Ok(Found::New(run));
        }
        let stored = run.recipe()?;
        if stored != *recipe {
            return Err(Error::input(format!(
                "{place}: holds a run of another recipe ({}); choose another folder with --run",
                first_difference(&stored.to_toml(), &recipe.to_toml())
            )));
        }
        if run.is_finished()? {
            return Err(Error::input(format!(
                "{place}: holds the finished run of this very recipe; see its report.html, choose another folder with --run, or delete it"
            )));
        }
        Ok(Found::Unfinished(run))
    }

    /// Opens an existing run folder.
    ///
    /// # Errors
    /// If it is not one.
    pub fn open(root: &Path) -> Result<Self> {
        let run = Self { root: root.to_owned() };
        if !root.is_dir() {
            return Err(Error::input(format!("{}: no such run folder", root.display())));
        }
        if !run.path("recipe.toml").is_file() {
            return Err(Error::input(format!("{}: not a run folder: it has no recipe.toml", root.display())));
        }
        Ok(run)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The recipe of the run.
    ///
    /// # Errors
    /// If the file is missing or damaged.
    pub fn recipe(&self) -> Result<Recipe> {
        let path = self.path("recipe.toml");
        let text = fs::read_to_string(&path).map_err(|error| Error::io(&path, &error))?;
        Recipe::resolve(&text, &[], &path.display().to_string())
    }

    /// All events of the log, in order.
    ///
    /// # Errors
    /// If a line is not an event; the sentence says which line.
    pub fn events(&self) -> Result<Vec<Event>> {
        read_lines(&self.path("log.jsonl"))
    }

    /// All lines of the timing file, in order.
    ///
    /// # Errors
    /// If a line is damaged; the sentence says which.
    pub fn timings(&self) -> Result<Vec<Timing>> {
        read_lines(&self.path("timing.jsonl"))
    }

    /// Whether the log ends with [`Event::Done`].
    ///
    /// # Errors
    /// If the log is damaged.
    pub fn is_finished(&self) -> Result<bool> {
        Ok(matches!(self.events()?.last(), Some(Event::Done { .. })))
    }
}

/// A file of lines that is appended to, a line at a time, and can be cut back to a length.
pub struct Lines {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Lines {
    /// Opens `path` and cuts it to its first `length` bytes: what a checkpoint knows of.
    ///
    /// # Errors
    /// If it cannot be opened, or is shorter than `length`.
    pub fn open(path: &Path, length: u64) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|error| Error::io(path, &error))?;
        let found = file.metadata().map_err(|error| Error::io(path, &error))?.len();
        if found < length {
            return Err(Error::input(format!(
                "{}: has {found} bytes, but the checkpoint was written after {length}; the log was cut by somebody else",
                path.display()
            )));
        }
        file.set_len(length).map_err(|error| Error::io(path, &error))?;
        Ok(Self { path: path.to_owned(), file, length })
    }

    /// Appends one line of JSON.
    ///
    /// # Errors
    /// If it cannot be written; then the file is cut back to its last whole line.
    pub fn append(&mut self, line: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_string(line).map_err(|error| Error::input(error.to_string()))?;
        text.push('\n');
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            // A half-written line would make the log unreadable; if even this fails, reading says which line is bad.
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(std::io::SeekFrom::End(0));
            return Err(Error::io(&self.path, &error));
        }
        self.length += text.len() as u64;
        Ok(())
    }

    /// Bytes so far, all of whole lines.
    pub fn length(&self) -> u64 {
        self.length
    }
}

fn read_lines<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(path, &error)),
    };
    let mut values = Vec::new();
    let mut reader = BufReader::new(file);
    for number in 0.. {
        let mut line = String::new();
        reader.read_line(&mut line).map_err(|error| Error::io(path, &error))?;
        // A last line without its end was being written when the program was killed.
        if !line.ends_with('\n') {
            break;
        }
        let value = serde_json::from_str(&line).map_err(|error| {
            Error::input(format!("{}: line {} is not an event: {error}", path.display(), number + 1))
        })?;
        values.push(value);
    }
    Ok(values)
}

/// The first line in which two texts differ, in words.
fn first_difference(stored: &str, asked: &str) -> String {
    let mut section = "";
    for (old, new) in stored.lines().zip(asked.lines()) {
        if old != new {
            return format!("there {section}`{old}`, here `{new}`");
        }
        if old.starts_with('[') {
            section = old;
        }
    }
    "one has keys that the other lacks".to_owned()
}
