//! The folder of a grid, `sweeps/NAME`: which cells there are, and how each stands.
//!
//! ```text
//! grid.toml       the grid as given
//! cells.json      what each cell sets; the report reads this and the cells, and no grid
//! cells/CELL/     an ordinary run folder each; failed.txt in it says why a cell failed
//! results.csv, results.parquet, report.html    by `riesz sweep report`
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::grid::{Cell, Grid};
use super::select::Selection;
use crate::report::Summary;
use crate::run::Run;
use crate::{Error, Result, atomic};

/// The version of `cells.json`.
pub(super) const SCHEMA_VERSION: u32 = 1;
const CELLS: &str = "cells.json";
const FAILED: &str = "failed.txt";

/// A grid's folder on disk.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

/// `cells.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    /// The version of this file's form.
    pub schema_version: u32,
    /// The program's version that wrote it.
    pub riesz: String,
    /// The grid's name.
    pub name: String,
    /// The base recipe, by name.
    pub recipe: String,
    /// What is chosen, if anything.
    pub select: Option<Selection>,
    /// In the order in which they run.
    pub cells: Vec<Entry>,
}

/// A cell in `cells.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The folder's name in `cells/`.
    pub name: String,
    /// Axis and setting.
    pub settings: Vec<(String, String)>,
    /// The seed.
    pub seed: u64,
}

impl Entry {
    /// Its setting of an axis.
    pub fn setting(&self, axis: &str) -> Option<&str> {
        setting(&self.settings, axis)
    }
}

/// The setting of an axis among these.
pub(super) fn setting<'a>(settings: &'a [(String, String)], axis: &str) -> Option<&'a str> {
    settings.iter().find(|(name, _)| name == axis).map(|(_, setting)| setting.as_str())
}

/// How a cell stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no such run yet.
    New,
    /// Begun, and not at its end.
    Unfinished,
    /// It failed, and why.
    Failed(String),
    /// At its end.
    Finished,
}

impl Folder {
    /// The folder of a grid: made now, or gone on with.
    ///
    /// # Errors
    /// If it is of another version of the program, if a cell was begun with another recipe than the grid's, or the disk refuses.
    /// Then the folder is as it was: a report would else mix what two grids mean by one name.
    pub fn create_or_continue(parent: &Path, grid: &Grid) -> Result<Self> {
        let folder = Self { root: parent.join(&grid.name) };
        let cells = folder.root.join("cells");
        if folder.root.join(CELLS).exists() {
            folder.contents()?;
        }
        folder.refuse_others(&grid.cells)?;
        std::fs::create_dir_all(&cells).map_err(|error| Error::io(&cells, &error))?;
        let contents = Contents {
            schema_version: SCHEMA_VERSION,
            riesz: env!("CARGO_PKG_VERSION").to_owned(),
            name: grid.name.clone(),
            recipe: grid.recipe.clone(),
            select: grid.select.clone(),
            cells: grid
                .cells
                .iter()
                .map(|Cell { name, settings, seed, .. }| Entry {
                    name: name.clone(),
                    settings: settings.clone(),
                    seed: *seed,
                })
                .collect(),
        };
        let text =
            serde_json::to_string_pretty(&contents).map_err(|error| Error::input(error.to_string()))?;
        write_if_new(&folder.root.join(CELLS), text.as_bytes())?;
        write_if_new(&folder.root.join("grid.toml"), grid.text.as_bytes())?;
        Ok(folder)
    }

    fn refuse_others(&self, cells: &[Cell]) -> Result<()> {
        let (mut first, mut count) = (None, 0);
        for cell in cells {
            // What is no run yet, or cannot be read, is told where it is run.
            let differs = Run::open(&self.cell(&cell.name)).and_then(|run| run.differs_from(&cell.recipe));
            if let Ok(Some(difference)) = differs {
                count += 1;
                first.get_or_insert((&cell.name, difference));
            }
        }
        let Some((name, difference)) = first else { return Ok(()) };
        let others = if count > 1 { format!(", and so do {} more cells", count - 1) } else { String::new() };
        Err(Error::input(format!(
            "{}: cell {name} holds a run of another recipe than the grid's ({difference}){others}; give the grid another name, or \
             delete what is to be run again; nothing was changed",
            self.root.display()
        )))
    }

    /// An existing folder, by its path or by its name below `parent`.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(parent: &Path, name: &str) -> Result<Self> {
        let places = [PathBuf::from(name), parent.join(name)];
        match places.into_iter().find(|place| place.join(CELLS).is_file()) {
            Some(root) => Ok(Self { root }),
            None => Err(Error::input(format!(
                "{name}: no folder of a grid: neither it nor {} has a {CELLS}",
                parent.join(name).display()
            ))),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `cells.json`.
    ///
    /// # Errors
    /// If it is damaged or of another version; nothing is changed.
    pub fn contents(&self) -> Result<Contents> {
        let path = self.root.join(CELLS);
        let text = std::fs::read_to_string(&path).map_err(|error| Error::io(&path, &error))?;
        let damaged = |why: String| Error::input(format!("{}: is damaged ({why})", path.display()));
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if value["schema_version"] != SCHEMA_VERSION {
            return Err(Error::input(format!(
                "{}: has schema version {}, and this program reads {SCHEMA_VERSION}; use the program that made it, or \
                 another folder",
                path.display(),
                value["schema_version"]
            )));
        }
        serde_json::from_value(value).map_err(|error| damaged(error.to_string()))
    }

    /// A cell's run folder.
    pub fn cell(&self, name: &str) -> PathBuf {
        self.root.join("cells").join(name)
    }

    /// How a cell stands.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn state(&self, name: &str) -> Result<State> {
        let place = self.cell(name);
        if let Ok(why) = std::fs::read_to_string(place.join(FAILED)) {
            return Ok(State::Failed(why.trim().to_owned()));
        }
        match Run::open(&place) {
            Err(_) => Ok(State::New),
            Ok(run) if run.is_finished()? => Ok(State::Finished),
            Ok(_) => Ok(State::Unfinished),
        }
    }

    /// The summary of a finished cell.
    ///
    /// # Errors
    /// If its files are damaged.
    pub fn summary(&self, name: &str) -> Result<Summary> {
        Summary::load(&Run::open(&self.cell(name))?)
    }

    /// Notes that a cell failed; `None` that it is tried again.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn note_failure(&self, name: &str, why: Option<&Error>) -> Result<()> {
        let path = self.cell(name).join(FAILED);
        match why {
            // A cell whose folder could not be made has no place for a note.
            Some(_) if !self.cell(name).is_dir() => Ok(()),
            Some(why) => atomic::write_bytes(&path, format!("{why}\n").as_bytes()),
            None => match std::fs::remove_file(&path) {
                // Another worker may have taken it away.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&path, &error)),
                _ => Ok(()),
            },
        }
    }
}

/// Several workers may start at once, and each has the same to say.
fn write_if_new(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|found| found == bytes) {
        Ok(())
    } else {
        atomic::write_bytes(path, bytes)
    }
}
