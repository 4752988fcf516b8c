//! `finetune.json`: settings, classes, and what each stage answered for each held-out image.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Settings, Stage, Task};
use crate::protocols::{Answers, Difference, Head, difference, share};
use crate::{Error, Result, atomic};

/// The version of `finetune.json`.
pub const SCHEMA_VERSION: u32 = 1;

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finetuned {
    /// The file's version.
    pub schema_version: u32,
    /// How.
    pub settings: Settings,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Images that were learned from.
    pub training_images: usize,
    /// For each held-out image its class, as a place in `classes`; those of no class have the place after the last.
    pub labels: Vec<u32>,
    /// For each held-out image its name; programs of before names wrote none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Finished stages, in order.
    pub stages: Vec<Found>,
}

/// What a stage's network answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Which.
    pub stage: Stage,
    /// Share of the held-out images whose class it said.
    pub accuracy: f64,
    /// The same for the images of each class; none where there are none.
    pub by_class: Vec<Option<f64>>,
    /// The loss of its last step, with labels of training; none of the linear layer.
    pub loss: Option<f64>,
    /// λ of the linear layer that it began with, and whether that converged; none from nothing.
    pub linear: Option<(f64, bool)>,
    /// For each held-out image the class that it said.
    pub answers: Vec<u32>,
}

impl Found {
    pub(super) fn of(
        task: &Task,
        stage: Stage,
        answers: Vec<u32>,
        head: Option<&Head>,
        loss: Option<f64>,
    ) -> Self {
        let hits: Vec<bool> =
            answers.iter().zip(&task.asked).map(|(answer, label)| answer == label).collect();
        let of_class = |class: u32| {
            let own: Vec<bool> = hits
                .iter()
                .zip(&task.asked)
                .filter(|&(_, &label)| label == class)
                .map(|(hit, _)| *hit)
                .collect();
            (!own.is_empty()).then(|| share(&own))
        };
        Self {
            stage,
            accuracy: share(&hits),
            by_class: (0..task.classes.len() as u32).map(of_class).collect(),
            loss,
            linear: head.map(|head| (head.penalty, head.converged)),
            answers,
        }
    }
}

impl Finetuned {
    pub(super) fn new(task: &Task) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            settings: task.settings.clone(),
            classes: task.classes.clone(),
            training_images: task.labels.len(),
            labels: task.asked.clone(),
            names: task.names(),
            stages: Vec::new(),
        }
    }

    /// Reads results as they are.
    ///
    /// # Errors
    /// If the file is missing, damaged or of another version.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, &error))?;
        let refused = |why: String| Error::input(why).at(path.display());
        let found: Self = serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?;
        match found.schema_version {
            SCHEMA_VERSION => Ok(found),
            other => {
                Err(refused(format!("its schema_version is {other}; this program reads {SCHEMA_VERSION}")))
            }
        }
    }

    /// Results that go on: those of the same task.
    pub(super) fn load(path: &Path, task: &Task) -> Result<Self> {
        let mut found = Self::read(path)?;
        let same = Self { stages: found.stages.clone(), ..Self::new(task) };
        if found.names.is_empty() {
            found.names.clone_from(&same.names);
        }
        let in_order =
            found.stages.iter().map(|found| found.stage).eq(Stage::ALL.into_iter().take(found.stages.len()));
        if found != same || !in_order {
            return Err(Error::input(format!(
                "{}: holds results of other settings, images or another encoder; choose another folder with --output",
                path.display()
            )));
        }
        Ok(found)
    }

    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self).map_err(|error| Error::input(error.to_string()))?;
        atomic::write_bytes(path, text.as_bytes())
    }

    /// A finished stage.
    pub fn stage(&self, stage: Stage) -> Option<&Found> {
        self.stages.iter().find(|found| found.stage == stage)
    }

    /// By how much one stage answers better than another, of the same held-out images.
    pub fn difference(&self, ours: Stage, theirs: Stage) -> Option<Difference> {
        let answers = |stage: Stage| {
            let found = self.stage(stage)?;
            let hits: Vec<bool> = found.answers.iter().zip(&self.labels).map(|(a, b)| a == b).collect();
            Some(Answers::of(&hits))
        };
        Some(difference(&answers(ours)?, &answers(theirs)?))
    }
}
