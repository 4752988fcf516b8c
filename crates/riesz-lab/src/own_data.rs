//! A run's own images: what they were when it began ([`Record`], kept in `environment.json`), and whether they still are.
//!
//! What is held out is drawn among the images that there are, so where files came or went images that were trained on would
//! count as held out. Whoever opens the images of a run does it here.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::data::{self, DataRecipe, Dataset};
use crate::hexadecimal::hexadecimal;
use crate::recipe::Recipe;
use crate::run::Run;
use crate::{Error, Result};

/// Which images a run has: their names and labels, not their contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Images to train on.
    pub training: usize,
    /// Images held out.
    pub held_out: usize,
    /// SHA-256 over the number of images and the length and bytes of each name, of the training images and then of those held
    /// out, in order; numbers as 64 bits, little-endian.
    pub names_sha256: String,
    /// SHA-256 over each label plus one, or 0, in the same order.
    pub labels_sha256: String,
}

impl Record {
    /// That of opened images.
    pub fn of(data: &Dataset) -> Self {
        let (mut names, mut labels) = (Sha256::new(), Sha256::new());
        for source in [&*data.train, &*data.test] {
            names.update((source.len() as u64).to_le_bytes());
            for index in 0..source.len() {
                let name = source.name(index);
                names.update((name.len() as u64).to_le_bytes());
                names.update(&name);
                let label = source.label(index).map_or(0, |label| u64::from(label) + 1);
                labels.update(label.to_le_bytes());
            }
        }
        Self {
            training: data.train.len(),
            held_out: data.test.len(),
            names_sha256: hexadecimal(&names.finalize()),
            labels_sha256: hexadecimal(&labels.finalize()),
        }
    }

    /// What the run recorded when it last went on; older runs recorded nothing.
    fn of_run(run: &Run) -> Option<Self> {
        let file = run.environment()?;
        let later = file.get("continued").and_then(Value::as_array).into_iter().flatten().rev();
        let found = later.map(|start| start.get("data")).chain([file.get("data")]).find_map(|data| data)?;
        serde_json::from_value(found.clone()).ok()
    }

    /// Whether these are the same images in the same split, with whatever labels.
    fn has_images_of(&self, other: &Self) -> bool {
        self.names_sha256 == other.names_sha256
    }
}

/// Opens the images of a run, with its own labels or others.
///
/// # Errors
/// If they cannot be opened, or are not those that the run began with.
pub fn open(run: &Run, recipe: &Recipe, labels: Option<&str>) -> Result<Dataset> {
    let own = &recipe.data;
    let labels = labels.unwrap_or(&own.labels);
    let mut data = data::open(&DataRecipe { labels: labels.to_owned(), ..own.clone() }, recipe.seed)
        .map_err(|error| with_place(error, run, own))?;
    let Some(then) = Record::of_run(run) else { return Ok(data) };
    let now = Record::of(&data);
    if !now.has_images_of(&then) {
        let root = run.root().display();
        return Err(changed(
            run,
            &data,
            [&then, &now],
            &format!(
                "give the images back as they were, or train a new run; `riesz embed {root} FOLDER` takes any other images"
            ),
        ));
    }
    if now != then && *labels == own.labels {
        data.notes
            .push("the labels are others than when the run was trained; its log is of those".to_owned());
    }
    Ok(data)
}

/// The error of opening a run's images, and what to do where their place is gone.
fn with_place(error: Error, run: &Run, own: &DataRecipe) -> Error {
    let place = Path::new(&own.source);
    match place.is_absolute() && !place.exists() {
        true => Error::input(format!(
            "{error}; if the run's images lie elsewhere now, `riesz runs moved {} PLACE` says where",
            run.root().display()
        )),
        false => error,
    }
}

/// Says in a run's recipe that its images lie at `source` now, and opens them there.
///
/// # Errors
/// If they cannot be opened, or are not those that the run began with; the run is then as it was.
pub fn moved(run: &Run, source: &str) -> Result<Dataset> {
    let mut recipe = run.recipe()?;
    source.clone_into(&mut recipe.data.source);
    let data = data::open(&recipe.data, recipe.seed)?;
    let Some(then) = Record::of_run(run) else {
        let root = run.root().display();
        return Err(Error::input(format!(
            "{root}: keeps no record of its images, against which these could be held"
        )));
    };
    let now = Record::of(&data);
    if !now.has_images_of(&then) {
        return Err(changed(run, &data, [&then, &now], "nothing was changed"));
    }
    run.write_recipe(&recipe)?;
    Ok(data)
}

/// Checks that a run which goes on has the images and labels that it began with; `now` is that of `data`.
///
/// # Errors
/// If it has not.
pub fn check_unchanged(run: &Run, data: &Dataset, now: &Record) -> Result<()> {
    const GO_ON: &str = "and the same command goes on, or begin another run with --run";
    let Some(then) = Record::of_run(run) else { return Ok(()) };
    if !now.has_images_of(&then) {
        return Err(changed(run, data, [&then, now], &format!("give the images back as they were {GO_ON}")));
    }
    if *now != then {
        return Err(Error::input(format!(
            "{}: the labels of {} are not those that the run began with; give them back as they were {GO_ON}",
            run.root().display(),
            data.name
        )));
    }
    Ok(())
}

fn changed(run: &Run, data: &Dataset, [then, now]: [&Record; 2], what_to_do: &str) -> Error {
    let other = match (then.training, then.held_out) == (now.training, now.held_out) {
        true => " of other names",
        false => "",
    };
    Error::input(format!(
        "{}: {} has other images than when the run began: {} training and {} held-out images then, {} and {}{other} now, so that \
         some that were trained on would count as held out; {what_to_do}",
        run.root().display(),
        data.name,
        then.training,
        then.held_out,
        now.training,
        now.held_out
    ))
}
