//! Supervision with few labels: a linear layer on the frozen backbone, then the whole network, and beside them the same network from
//! nothing, with the same labels, views and steps; each asked of the same held-out images.
//!
//! | file | what |
//! |---|---|
//! | `task.rs` | the images with labels, the classes, the network |
//! | `training.rs` | the steps of a classifier |
//! | `results.rs` | `finetune.json`: what was found, stage by stage |
//! | `stored.rs` | `classifier.safetensors`: the finetuned network |
//! | `card.rs` | what a model card says of both |

mod card;
mod results;
mod stored;
mod task;
mod training;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::DataRecipe;
use crate::lock::Lock;
use crate::{Error, Result, interrupt};
pub use results::{Finetuned, Found, SCHEMA_VERSION};
pub use stored::Classifier;
pub use task::Task;

/// Everything that determines the results, together with the encoder and the program's commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The encoder: SHA-256 of its tensors.
    pub encoder: String,
    /// The images.
    pub data: DataRecipe,
    /// Labels of each class; all that there are if it is not said.
    pub labels_per_class: Option<usize>,
    /// The number below which every draw is keyed.
    pub seed: u64,
    /// Updates of the whole network.
    pub steps: u64,
    /// Images an update; each gives two views.
    pub batch: usize,
    /// The learning rate at its peak, of AdamW.
    pub learning_rate: f64,
    /// What it is multiplied by in the backbone.
    pub backbone_rate: f64,
    /// What it is multiplied by from each stage of the backbone to the one below.
    pub layer_decay: f64,
    /// λ of AdamW.
    pub weight_decay: f64,
    /// Share of all steps in which the learning rate rises.
    pub warmup: f64,
    /// The stage up to which the backbone keeps its numbers.
    pub freeze_through: Option<String>,
}

/// What is trained and asked, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The linear layer alone, to its minimum, on the frozen backbone's rows.
    Linear,
    /// The whole network, from the linear layer on.
    Finetuned,
    /// The same network, from first numbers.
    FromNothing,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::Linear, Self::Finetuned, Self::FromNothing];

    /// In words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Linear => "linear layer, frozen backbone",
            Self::Finetuned => "finetuned",
            Self::FromNothing => "from nothing",
        }
    }
}

impl Settings {
    /// Checks the numbers.
    ///
    /// # Errors
    /// One sentence for the first that is out of range.
    pub fn check(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::input(message));
        let Self { steps, batch, labels_per_class, .. } = self;
        if *steps == 0 || *batch == 0 || *labels_per_class == Some(0) {
            return refuse("--steps, --batch and --labels-per-class must be at least 1".to_owned());
        }
        for (name, value, least, most) in [
            ("learning-rate", self.learning_rate, 0.0, f64::MAX),
            ("backbone-rate", self.backbone_rate, 0.0, f64::MAX),
            ("layer-decay", self.layer_decay, f64::MIN_POSITIVE, 1.0),
            ("weight-decay", self.weight_decay, 0.0, f64::MAX),
        ] {
            if !(least..=most).contains(&value) {
                let limit = if most == 1.0 { "above 0 and at most 1" } else { "at least 0 and finite" };
                return refuse(format!("--{name} is {value}; it must be {limit}"));
            }
        }
        Ok(())
    }
}

/// Where results lie in the folder.
pub const RESULTS: &str = "finetune.json";
/// Where the finetuned network lies in the folder.
pub const CLASSIFIER: &str = "classifier.safetensors";

/// Carries all stages out that the folder `to` does not have yet, and leaves results and the finetuned network there.
///
/// # Errors
/// If the folder has results of other settings, another process works in it, the user interrupts, a number is not finite, or the disk refuses.
pub fn finetune(task: &Task, to: &Path, quiet: bool) -> Result<Finetuned> {
    std::fs::create_dir_all(to).map_err(|error| Error::io(to, &error))?;
    let _alone = Lock::take(to, "folder of results")?;
    let path = to.join(RESULTS);
    let mut results = match path.is_file() {
        true => Finetuned::load(&path, task)?,
        false => Finetuned::new(task),
    };
    let interrupted = |stage: Stage| {
        format!(
            "interrupted in the stage `{}`; finished stages are kept in {}, and the same command goes on with this one",
            stage.describe(),
            to.display()
        )
    };
    for stage in Stage::ALL.into_iter().skip(results.stages.len()) {
        let looking = (stage == Stage::Linear).then(|| interrupt::expendable(interrupted(stage)));
        let head = match stage {
            Stage::FromNothing => None,
            _ => Some(task.head()?),
        };
        drop(looking);
        let mut encoder = task.classifier(stage, head.as_ref())?;
        let loss = match stage {
            Stage::Linear => None,
            _ => Some(training::train(task, stage, &mut *encoder, quiet, &interrupted(stage))?),
        };
        let asking = interrupt::expendable(interrupted(stage));
        let found = task.ask(stage, &*encoder, head.as_ref(), loss)?;
        drop(asking);
        if stage == Stage::Finetuned {
            task.save(&*encoder, &to.join(CLASSIFIER))?;
        }
        results.stages.push(found);
        results.save(&path)?;
    }
    Ok(results)
}
