//! The training loop, from recipe to trained encoder.
//!
//! Shapes: B images a batch, 2 views, rows of the embedding matrix z are view-major: 0..B view one, B..2B view two.
//! Between encoder and loss passes only that matrix and its gradient.

pub mod batches;
pub mod checkpoint;
pub mod measure;

use std::collections::BTreeMap;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use riesz::Matrix;
use riesz::engine::{Fused, value_and_grad_raw};
use riesz::loss::Loss;
use riesz::rng::Key;

use crate::augment::Augment;
use crate::data::{Dataset, Source, Unreadable};
use crate::encoder::Encoder;
use crate::optim::Optimizer;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::run::{Epoch, Event, Lines, Run, Timing};
use crate::tensorboard::EventWriter;
use crate::{Error, Result, interrupt};
use batches::{Batch, Decoded, Schedule};
use checkpoint::Checkpoint;
use measure::HeldOut;

/// Bytes of decoded pixels that are kept in memory.
const DECODED_BUDGET: usize = 2 << 30;

/// Unreadable images are judged as a share of at least so many (or of all there are).
const JUDGED_FROM: usize = 200;

/// A recipe with everything that it names opened and built: what [`train`] executes.
pub struct Plan {
    /// What it was made of.
    pub recipe: Recipe,
    /// The opened images.
    pub data: Dataset,
    /// The augmentation.
    pub augment: Augment,
    /// The loss.
    pub loss: Loss,
    /// Where tensors live.
    pub device: Device,
}

impl Plan {
    /// Opens the data and builds the rest.
    ///
    /// # Errors
    /// If the data cannot be opened, a parameter is out of range, or there are fewer images than a batch.
    pub fn new(recipe: Recipe, device: Device) -> Result<Self> {
        let plan = Self::for_evaluation(recipe, device)?;
        let Self { recipe, data, .. } = &plan;
        if data.train.len() < recipe.batch {
            return Err(Error::input(format!(
                "{}: {} training images are fewer than one batch of {}; lower --batch",
                data.name,
                data.train.len(),
                recipe.batch
            )));
        }
        plan.encoder()?;
        Optimizer::new(&recipe.optimizer)?;
        Ok(plan)
    }

    /// As [`Plan::new`], for using an encoder that was trained: a batch need not fit.
    ///
    /// # Errors
    /// If the data cannot be opened, a parameter is out of range, or there are fewer than two held-out images.
    pub fn for_evaluation(recipe: Recipe, device: Device) -> Result<Self> {
        let augment = recipe.augment.plan()?;
        let loss = recipe.loss.loss()?;
        let data = crate::data::open(&recipe.data, recipe.seed)?;
        if data.test.len() < 2 {
            return Err(Error::input(format!(
                "{}: {} held-out images; at least 2 are needed to measure the geometry of pairs",
                data.name,
                data.test.len()
            )));
        }
        Ok(Self { recipe, data, augment, loss, device })
    }

    /// An untrained encoder; its bits are a function of the recipe.
    ///
    /// # Errors
    /// If the recipe's encoder cannot be built for these images.
    pub fn encoder(&self) -> Result<Encoder> {
        let key = Key::new(self.recipe.seed).stream("encoder");
        self.recipe.encoder.build(self.augment.size(), self.augment.channels(), key, &self.device)
    }

    /// Updates of the whole run.
    pub fn steps(&self) -> u64 {
        self.schedule().steps_per_epoch() * self.recipe.epochs
    }

    fn schedule(&self) -> Schedule {
        Schedule { seed: self.recipe.seed, batch: self.recipe.batch, items: self.data.train.len() }
    }
}

/// How a run is carried out; none of it changes the result.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// No progress.
    pub quiet: bool,
    /// TensorBoard event files in `tensorboard/`.
    pub tensorboard: bool,
    /// Stop, as Ctrl-C does, after this many updates (for tests).
    pub stop_after: Option<u64>,
}

/// Trains from the newest checkpoint (or the beginning) to the end, and returns the trained encoder.
///
/// # Errors
/// If the user interrupts (after saving; the sentence says how to go on), the loss is no longer finite, too many
/// images are unreadable, or the disk refuses.
pub fn train(plan: &Plan, run: &Run, manner: Manner) -> Result<Encoder> {
    let recipe = &plan.recipe;
    let mut encoder = plan.encoder()?;
    let mut optimizer = Optimizer::new(&recipe.optimizer)?;
    let (mut step, mut sums, mut log_length, mut timing_length) = (0, [0.0; 3], 0, 0);
    if let Some(checkpoint) = Checkpoint::newest(run)? {
        encoder.load(&checkpoint.encoder)?;
        optimizer.load_state(&checkpoint.optimizer, &plan.device)?;
        (step, sums) = (checkpoint.step, checkpoint.sums);
        (log_length, timing_length) = (checkpoint.log_length, checkpoint.timing_length);
    }
    let mut log = Lines::open(&run.path("log.jsonl"), log_length)?;
    let mut timing = Lines::open(&run.path("timing.jsonl"), timing_length)?;
    let mut board = manner.tensorboard.then(|| EventWriter::create(&run.path("tensorboard"))).transpose()?;

    let schedule = plan.schedule();
    let steps_per_epoch = schedule.steps_per_epoch();
    let last = plan.steps();
    let rates = recipe.optimizer.schedule(recipe.batch, last);
    let train_images = Decoded::new(&*plan.data.train, DECODED_BUDGET);
    let held_out = HeldOut::new(plan)?;
    let looked_at = held_out.sample.items.len() + held_out.sample.unreadable.len();
    let mut unreadable = Unreadables::new(run, plan.data.train.len(), looked_at)?;
    unreadable.note(0, &*plan.data.test, &held_out.sample.unreadable, 0, &mut log)?;
    let mut progress = Progress::new("training", "steps", step, last, manner.quiet);

    std::thread::scope(|scope| {
        let batches = batches::prepare(scope, &train_images, &plan.augment, schedule, step, last);
        let mut epoch_started = Instant::now();
        let mut epoch_images = 0;
        for batch in batches {
            let asked = (step as usize + 1) * recipe.batch;
            unreadable.note(step, train_images.source(), &batch.unreadable, asked, &mut log)?;
            let learning_rate = rates.at(step);
            let parts = update(&mut encoder, &mut optimizer, plan, &batch, learning_rate)?;
            let [loss, attraction, repulsion] = parts;
            log.append(&Event::Step { step, loss, attraction, repulsion, learning_rate })?;
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum += part;
            }
            step += 1;
            epoch_images += batch.images;
            let images_per_second = epoch_images as f64 / epoch_started.elapsed().as_secs_f64();
            progress.advance(1, || {
                format!("loss {loss:.4} = attraction {attraction:.4} + repulsion {repulsion:.4}, {images_per_second:.0} images/s")
            });

            if step % steps_per_epoch == 0 {
                let training_seconds = epoch_started.elapsed().as_secs_f64();
                let measured = Instant::now();
                let means = sums.map(|sum| sum / steps_per_epoch as f64);
                sums = [0.0; 3];
                let epoch = held_out.epoch(&encoder, step / steps_per_epoch, step, means, learning_rate)?;
                log.append(&Event::Epoch(epoch.clone()))?;
                let line = Timing {
                    epoch: epoch.epoch,
                    training_seconds,
                    measuring_seconds: measured.elapsed().as_secs_f64(),
                    images_per_second,
                };
                timing.append(&line)?;
                if let Some(board) = &mut board {
                    write_scalars(board, &epoch, &line)?;
                }
                progress.say(&describe(&epoch, recipe.epochs, &line));
                (epoch_started, epoch_images) = (Instant::now(), 0);
            }

            let stop = interrupt::asked() || manner.stop_after.is_some_and(|steps| step >= steps);
            if step % steps_per_epoch == 0 || stop {
                let checkpoint = Checkpoint {
                    step,
                    log_length: log.length(),
                    timing_length: timing.length(),
                    sums,
                    encoder: encoder.named_tensors(),
                    optimizer: optimizer.state(),
                };
                checkpoint.save(run)?;
            }
            if stop && step < last {
                progress.finish();
                return Err(Error::interrupted(format!(
                    "interrupted after step {step} of {last}; saved in {}; the same command goes on from there",
                    run.root().display()
                )));
            }
        }
        Ok(())
    })?;
    progress.finish();
    Ok(encoder)
}

/// One optimizer update on one batch; returns loss, attraction, repulsion.
fn update(
    encoder: &mut Encoder,
    optimizer: &mut Optimizer,
    plan: &Plan,
    batch: &Batch,
    learning_rate: f64,
) -> Result<[f64; 3]> {
    let at_step = |message: String| {
        Error::input(format!("step {}: {message}; the newest checkpoint is intact", batch.step))
    };
    if batch.images < 2 {
        return Err(at_step(format!(
            "{} of its {} images can be read, and a contrastive loss needs at least 2",
            batch.images, plan.recipe.batch
        )));
    }
    let images = tensor(&batch.views, 2 * batch.images, &plan.augment, &plan.device.clone().autodiff());
    let (_, z) = encoder.train_forward(images);
    let outcome = value_and_grad_raw(&Fused, &plan.loss, &matrix(z.clone()), 2).map_err(|error| {
        at_step(format!(
            "{error} (the encoder diverged, if its rows are not finite: lower optimizer.learning-rate)"
        ))
    })?;
    let shape = [outcome.grad.len(), outcome.grad.dim()];
    let grad = Tensor::<2>::from_data(TensorData::new(outcome.grad.into_vec(), shape), &z.device());
    // The gradient of Σ z·g with g held fixed is g: this hands the loss's gradient to Burn's backward pass.
    let mut gradients = (z * grad).sum().backward();
    optimizer.step(encoder, &mut gradients, learning_rate);
    Ok([outcome.value, outcome.attraction, outcome.repulsion])
}

/// A tensor `[n, size, size, channels]` of the views of a plan.
pub(crate) fn tensor(views: &[f32], n: usize, augment: &Augment, device: &Device) -> Tensor<4> {
    let shape = [n, augment.size(), augment.size(), augment.channels()];
    Tensor::from_data(TensorData::new(views.to_vec(), shape), device)
}

/// The rows of a rank-2 tensor.
pub(crate) fn matrix(rows: Tensor<2>) -> Matrix<f32> {
    let [_, dim] = rows.dims();
    let data = rows.into_data().try_into_vec::<f32>().expect("the encoder computes in f32");
    Matrix::new(data, dim)
}

/// Unreadable images: each is logged once, and too many end the run.
struct Unreadables {
    /// Name → reason.
    known: BTreeMap<String, String>,
    /// Images there are, and held-out ones looked at before the first step.
    images: usize,
    held_out: usize,
}

impl Unreadables {
    /// Goes on from a run's log.
    fn new(run: &Run, images: usize, held_out: usize) -> Result<Self> {
        let known = run
            .events()?
            .into_iter()
            .filter_map(|event| match event {
                Event::Unreadable { name, reason, .. } => Some((name, reason)),
                _ => None,
            })
            .collect();
        Ok(Self { known, images, held_out })
    }

    /// Logs those that are new, and judges them among the `asked` training images and the held-out ones.
    fn note(
        &mut self,
        step: u64,
        source: &dyn Source,
        items: &[(usize, String)],
        asked: usize,
        log: &mut Lines,
    ) -> Result<()> {
        for (item, reason) in items {
            let name = source.name(*item);
            if self.known.insert(name.clone(), reason.clone()).is_none() {
                log.append(&Event::Unreadable { step, name, reason: reason.clone() })?;
            }
        }
        if items.is_empty() {
            return Ok(());
        }
        let mut counter = Unreadable::default();
        // The first few images are not judged alone.
        counter.seen((asked.min(self.images) + self.held_out).max(self.images.min(JUDGED_FROM)));
        for (name, reason) in &self.known {
            counter.unreadable(name, reason);
        }
        counter.check()
    }
}

fn describe(epoch: &Epoch, epochs: u64, timing: &Timing) -> String {
    let mut line = format!(
        "epoch {}/{epochs}  loss {:.4} (attraction {:.4}, repulsion {:.4})",
        epoch.epoch, epoch.loss, epoch.attraction, epoch.repulsion
    );
    for (name, value) in &epoch.geometry {
        if ["alignment", "uniformity", "wasserstein_uniformity", "effective_rank"].contains(&name.as_str()) {
            line.push_str(&format!("  {} {value:.3}", name.replace('_', " ")));
        }
    }
    line.push_str(&format!("  recall@1 {:.3}", epoch.recall_at_1));
    if let Some(knn) = epoch.knn {
        line.push_str(&format!("  kNN {:.1} % of {}", 100.0 * knn, epoch.knn_queries));
    }
    line.push_str(&format!("  {:.0} images/s", timing.images_per_second));
    if let Some(alarm) = &epoch.alarm {
        line.push_str(&format!("\n  alarm: {alarm}"));
    }
    line
}

fn write_scalars(board: &mut EventWriter, epoch: &Epoch, timing: &Timing) -> Result<()> {
    let mut scalars = vec![
        ("train/loss".to_owned(), epoch.loss),
        ("train/attraction".to_owned(), epoch.attraction),
        ("train/repulsion".to_owned(), epoch.repulsion),
        ("train/learning_rate".to_owned(), epoch.learning_rate),
        ("train/images_per_second".to_owned(), timing.images_per_second),
        ("held-out/recall_at_1".to_owned(), epoch.recall_at_1),
    ];
    scalars.extend(epoch.geometry.iter().map(|(name, value)| (format!("held-out/{name}"), *value)));
    scalars.extend(epoch.knn.map(|knn| ("held-out/knn".to_owned(), knn)));
    for (tag, value) in scalars {
        board.scalar(&tag, epoch.step, value)?;
    }
    Ok(())
}
