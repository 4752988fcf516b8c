//! The steps of a classifier: cross-entropy of two views of each image, AdamW, warm-up and a cosine.

use riesz::Matrix;

use super::{Settings, Stage, Task};
use crate::encoder::Encoder;
use crate::optim::{OptimRecipe, Optimizer, Rule, Scaling};
use crate::progress::Progress;
use crate::protocols::cross_entropy;
use crate::train::batches::{Decoded, Schedule, prepare};
use crate::{Error, Result, interrupt};

/// Bytes of decoded pixels that are kept in memory.
const DECODED_BUDGET: usize = 2 << 30;
/// Views of each image in a step.
const VIEWS: usize = 2;
/// AdamW's β₁.
const MOMENTUM: f64 = 0.9;

/// Trains a stage's network, and returns the last step's loss.
///
/// # Errors
/// If the user interrupts, an image cannot be read, or the loss is not finite.
pub(super) fn train(
    task: &Task,
    stage: Stage,
    encoder: &mut dyn Encoder,
    quiet: bool,
    interrupted: &str,
) -> Result<f64> {
    let Settings { seed, steps, batch, learning_rate, weight_decay, warmup, .. } = task.settings;
    let recipe = OptimRecipe {
        name: Rule::Adamw,
        learning_rate,
        scaling: Scaling::None,
        momentum: MOMENTUM,
        weight_decay,
        warmup,
        freeze_through: None,
        layer_decay: None,
    };
    let mut optimizer = optimizer(task, stage, &recipe)?;
    let batch = batch.min(task.labels.len());
    let rates = recipe.schedule(batch, steps);
    let schedule = Schedule { seed, batch, views: VIEWS, grouped: false, items: task.labels.len() };
    let images = Decoded::new(&*task.train, DECODED_BUDGET);
    let mut progress = Progress::new(stage.describe(), "steps", 0, steps, quiet);
    let mut last = f64::NAN;
    std::thread::scope(|scope| {
        for batch in prepare(scope, &images, &task.augment, schedule, 0, steps)? {
            if interrupt::asked() {
                progress.finish();
                return Err(Error::interrupted(interrupted.to_owned()));
            }
            if let Some((item, why)) = batch.unreadable.first() {
                return Err(Error::input(format!("{}: {why}", task.train.name(*item))));
            }
            let logits: Matrix<f32> = encoder.forward(&batch.views);
            // View after view, each of all images.
            let of_a_view = batch.items.iter().map(|&item| task.labels[item]);
            let labels: Vec<u32> = std::iter::repeat_n(of_a_view, VIEWS).flatten().collect();
            let (loss, gradient) = cross_entropy(&logits, &labels);
            if !loss.is_finite() {
                return Err(Error::input(format!(
                    "{}: the loss of step {} is {loss}; lower --learning-rate",
                    stage.describe(),
                    batch.step
                )));
            }
            encoder.backward(&gradient);
            encoder.update(&mut optimizer.step(rates.at(batch.step)));
            last = loss;
            progress.advance(1, || format!("loss {loss:.4}"));
        }
        Ok(())
    })?;
    progress.finish();
    Ok(last)
}

/// From the weights of an encoder, the backbone goes slower than the layer on it, and each stage slower than the one above; from
/// nothing all go alike.
fn optimizer(task: &Task, stage: Stage, recipe: &OptimRecipe) -> Result<Optimizer> {
    let optimizer = Optimizer::new(recipe)?;
    if stage != Stage::Finetuned {
        return Ok(optimizer);
    }
    let mut rates = task.network(stage)?.rates(task.settings.layer_decay);
    for (name, rate) in &mut rates {
        if name.starts_with("backbone.") {
            *rate *= task.settings.backbone_rate;
        }
    }
    Ok(optimizer.with_rates(rates))
}
