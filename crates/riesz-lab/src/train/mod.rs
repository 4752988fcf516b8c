//! The training loop, from recipe to trained encoder.
//!
//! Shapes: B images a batch, K views, rows of the embedding matrix z are view-major: 0..B view one, B..2B view two, and so on.
//! Between encoder and loss passes only that matrix and its gradient.

pub mod accumulate;
pub mod batches;
pub mod checkpoint;
mod fits;
pub mod measure;
pub mod start;
mod unreadables;

use std::time::{Duration, Instant};

use riesz::engine::Value;
use riesz::loss::Loss;
use riesz::rng::Key;

use crate::augment::Augment;
use crate::data::{self, Dataset, Source};
use crate::device::Device;
use crate::encoder::{self, Encoder, Objective};
use crate::lines::Lines;
use crate::network::Network;
use crate::optim::Optimizer;
use crate::pretrained::{self, Fitted, StartRecipe};
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::run::{Epoch, Event, Run, Timing};
use crate::tensorboard::EventWriter;
use crate::{Error, Result, interrupt, own_data, room};
use batches::{Batch, Decoded, Schedule};
use checkpoint::Checkpoint;
use measure::HeldOut;
use start::Start;
use unreadables::Unreadables;

/// Bytes of decoded pixels that are kept in memory, at most.
const MOST_DECODED: usize = 2 << 30;

/// Updates of a run, at most: AdamW raises to their count as an i32.
pub const MOST_STEPS: u64 = i32::MAX as u64;

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
    /// Builds an untrained encoder in place of the recipe's, its numbers a function of the key.
    pub own_encoder: Option<Box<BuildEncoder>>,
    /// Whether encoders make again on the way back what they need not keep for it ([`Encoder::recompute`]).
    pub recomputes: bool,
}

/// What builds an encoder that is not riesz's.
pub type BuildEncoder = dyn Fn(Key) -> Result<Box<dyn Encoder>>;

impl Plan {
    /// Opens the data and builds the rest.
    ///
    /// # Errors
    /// If the data cannot be opened, a parameter is out of range, or there are fewer images to train on than a batch.
    pub fn new(mut recipe: Recipe, device: Device) -> Result<Self> {
        recipe.start = recipe.start.map(StartRecipe::pinned).transpose()?;
        recipe.augment.plan()?;
        fits::check_recipe(&recipe)?;
        let plan = Self::for_evaluation(recipe, device)?;
        let Self { recipe, data, .. } = &plan;
        if recipe.epochs > 0 && data.train.len() < recipe.batch {
            return Err(Error::input(format!(
                "{}: {} training images are fewer than one batch of {}; lower --batch{}",
                data.name,
                data.train.len(),
                recipe.batch,
                told(&data.notes)
            )));
        }
        if recipe.loss.takes_groups() && measure::labeled(&*data.train) == 0 {
            return Err(Error::input(format!(
                "{}: loss {} matches images of one class, and no training image has a label; without labels it is nt-xent{}",
                data.name,
                recipe.loss.name(),
                told(&data.notes)
            )));
        }
        let steps = plan.schedule().steps_per_epoch().checked_mul(recipe.epochs);
        if steps.is_none_or(|steps| steps > MOST_STEPS) {
            return Err(Error::input(format!(
                "epochs is {}, at {} updates each; a run has at most {MOST_STEPS} updates",
                recipe.epochs,
                plan.schedule().steps_per_epoch()
            )));
        }
        // Its weights are made only once it is known that a step fits.
        plan.network()?;
        plan.optimizer()?;
        Ok(plan)
    }

    /// As [`Plan::new`], for using an encoder that was trained: a batch need not fit.
    ///
    /// # Errors
    /// If the data cannot be opened, a parameter is out of range, or there are fewer than two held-out images.
    pub fn for_evaluation(recipe: Recipe, device: Device) -> Result<Self> {
        Self::with(recipe, device, |recipe| data::open(&recipe.data, recipe.seed))
    }

    /// The plan of a run that there is, for using its encoder, with the images that it began with.
    ///
    /// # Errors
    /// As [`Plan::for_evaluation`], or if these are not its images any more.
    pub fn of_run(run: &Run, device: Device) -> Result<Self> {
        Self::with(run.recipe()?, device, |recipe| own_data::open(run, recipe, None))
    }

    fn with(recipe: Recipe, device: Device, open: impl FnOnce(&Recipe) -> Result<Dataset>) -> Result<Self> {
        let augment = recipe.augment.plan()?;
        recipe.encoder.check_room(augment.size(), augment.channels())?;
        let loss = recipe.loss.loss()?;
        let data = open(&recipe)?;
        if data.test.len() < 2 {
            return Err(Error::input(format!(
                "{}: {} held-out images; at least 2 are needed to measure the geometry of pairs",
                data.name,
                data.test.len()
            )));
        }
        Ok(Self { recipe, data, augment, loss, device, own_encoder: None, recomputes: false })
    }

    /// An untrained encoder; its bits are a function of the recipe.
    ///
    /// # Errors
    /// If the recipe's encoder cannot be built for these images, or an own one is for images of another shape or cannot recompute.
    pub fn encoder(&self) -> Result<Box<dyn Encoder>> {
        let key = Key::new(self.recipe.seed).stream("encoder");
        let (size, channels) = (self.augment.size(), self.augment.channels());
        let mut encoder = match &self.own_encoder {
            Some(build) => build(key)?,
            None => encoder::begin(self.network()?, key, &self.device),
        };
        let takes = encoder.image_shape();
        if takes != [size, size, channels] {
            return Err(Error::input(format!(
                "{}: takes images of {takes:?}; the recipe's augment gives {:?}",
                encoder.describe(),
                [size, size, channels]
            )));
        }
        if self.recomputes {
            encoder.recompute()?;
        }
        Ok(encoder)
    }

    /// The recipe's network, what is frozen in training included.
    ///
    /// # Errors
    /// If it cannot be built for these images.
    pub fn network(&self) -> Result<Network> {
        let network = self.recipe.encoder.network(self.augment.size(), self.augment.channels())?;
        match &self.recipe.optimizer.freeze_through {
            Some(stage) => {
                network.frozen_through(stage).map_err(|error| error.at("optimizer.freeze-through"))
            }
            None => Ok(network),
        }
    }

    /// The encoder that training begins with: the untrained one, or that with the weights of the recipe, of which it is told.
    ///
    /// # Errors
    /// As [`encoder`](Self::encoder), or if the weights cannot be read or do not fit, or fit in part where nothing is trained.
    pub fn start(&self) -> Result<(Box<dyn Encoder>, Option<Fitted>)> {
        let mut encoder = self.encoder()?;
        let fitted = self.recipe.start.as_ref().map(|start| start.give(&mut *encoder)).transpose()?;
        if let Some(Fitted { left, .. }) = fitted.as_ref().filter(|fitted| !fitted.left.is_empty())
            && self.recipe.epochs == 0
        {
            return Err(Error::input(format!(
                "of the weights that are to be judged a part does not fit the encoder: {}; set the recipe's encoder to what they are \
                 of, or train (--epochs)",
                pretrained::some(left)
            )));
        }
        Ok((encoder, fitted))
    }

    /// An optimizer that has seen nothing.
    ///
    /// # Errors
    /// If a number is out of range, or an encoder of one's own shall be trained stage by stage.
    pub fn optimizer(&self) -> Result<Optimizer> {
        let recipe = &self.recipe.optimizer;
        if self.own_encoder.is_some() && (recipe.layer_decay.is_some() || recipe.freeze_through.is_some()) {
            return Err(Error::input(
                "optimizer.layer-decay and optimizer.freeze-through need the stages of riesz's own networks",
            ));
        }
        let optimizer = Optimizer::new(recipe)?;
        match recipe.layer_decay {
            Some(decay) => Ok(optimizer.with_rates(self.network()?.rates(decay))),
            None => Ok(optimizer),
        }
    }

    /// Checks that a step of the recipe's encoder fits into memory.
    ///
    /// # Errors
    /// If it does not; the sentence says with what it would.
    pub fn check_room(&self) -> Result<()> {
        fits::check(self)
    }

    /// Updates of the whole run.
    pub fn steps(&self) -> u64 {
        self.schedule().steps_per_epoch() * self.recipe.epochs
    }

    fn schedule(&self) -> Schedule {
        Schedule::of(&self.recipe, self.data.train.len())
    }
}

/// How a run is carried out; none of it changes the result.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// No progress.
    pub quiet: bool,
    /// TensorBoard event files in `tensorboard/`.
    pub tensorboard: bool,
    /// A checkpoint also after the step that ends this long after the last one, not only after each epoch.
    pub checkpoint_every: Option<Duration>,
    /// Stop, as Ctrl-C does, after this many updates (for tests).
    pub stop_after: Option<u64>,
}

/// Trains from `start` to the end, and returns the trained encoder.
///
/// # Errors
/// If the user interrupts (after saving; the sentence says how to go on), the loss is no longer finite, too many
/// images are unreadable, or the disk refuses.
pub fn train(plan: &Plan, run: &Run, start: Start, manner: Manner) -> Result<Box<dyn Encoder>> {
    let last = plan.steps();
    run.keep_timings(start.step().checked_div(plan.schedule().steps_per_epoch()).unwrap_or(0))?;
    let nothing_yet = interrupt::expendable(interrupted(run, start.step(), last));
    let mut training = Training::new(plan, run, start, manner)?;
    drop(nothing_yet);
    let rates = plan.recipe.optimizer.schedule(plan.recipe.batch, last);
    let train_images = Decoded::new(&*plan.data.train, room::to_keep(MOST_DECODED));
    // A checkpoint at the end of an epoch is from before its measurement.
    if training.step > 0 && training.is_epoch_over() {
        training.end_epoch(rates.at(training.step - 1))?;
    }
    std::thread::scope(|scope| {
        let first = training.step;
        let batches = batches::prepare(scope, &train_images, &plan.augment, plan.schedule(), first, last)?;
        for batch in batches {
            let learning_rate = rates.at(training.step);
            training.update(&batch, train_images.source(), learning_rate)?;
            let stop = interrupt::asked() || manner.stop_after.is_some_and(|steps| training.step >= steps);
            let due = manner.checkpoint_every.is_some_and(|time| training.saved.elapsed() >= time);
            if training.is_epoch_over() || stop || due {
                training.save()?;
            }
            if stop {
                training.progress.finish();
                return Err(Error::interrupted(interrupted(run, training.step, last)));
            }
            if training.is_epoch_over() {
                training.end_epoch(learning_rate)?;
            }
        }
        Ok(())
    })?;
    training.progress.finish();
    if let Some(sentence) = training.unreadable.told() {
        training.progress.say(&sentence);
    }
    Ok(training.encoder)
}

/// Notes at the end of a sentence.
fn told(notes: &[String]) -> String {
    notes.iter().map(|note| format!("; {note}")).collect()
}

fn interrupted(run: &Run, step: u64, last: u64) -> String {
    format!(
        "interrupted after step {step} of {last}; saved in {}; the same command goes on from there",
        run.root().display()
    )
}

/// Seconds that an update takes here: the median of three after one to warm up. Nothing is written.
///
/// # Errors
/// If the images cannot be read, or the loss is not finite.
pub fn seconds_a_step(plan: &Plan) -> Result<f64> {
    const STEPS: u64 = 4;
    plan.check_room()?;
    let images = Decoded::new(&*plan.data.train, room::to_keep(MOST_DECODED));
    let mut encoder = plan.encoder()?;
    let mut optimizer = plan.optimizer()?;
    let last = STEPS.min(plan.steps());
    let mut seconds = std::thread::scope(|scope| -> Result<Vec<f64>> {
        let mut seconds = Vec::new();
        let mut before = Instant::now();
        // The time until a batch is there counts: where views are made more slowly than used, that is the pace.
        for batch in batches::prepare(scope, &images, &plan.augment, plan.schedule(), 0, last)? {
            update(&mut *encoder, &mut optimizer, plan, &batch, 0.0)?;
            seconds.push(before.elapsed().as_secs_f64());
            before = Instant::now();
        }
        Ok(seconds)
    })?;
    let warm = if seconds.len() > 1 { &mut seconds[1..] } else { &mut seconds[..] };
    warm.sort_by(f64::total_cmp);
    Ok(warm[warm.len() / 2])
}

/// A run under way.
struct Training<'a> {
    plan: &'a Plan,
    run: &'a Run,
    encoder: Box<dyn Encoder>,
    optimizer: Optimizer,
    /// Updates done.
    step: u64,
    /// Sums over the unfinished epoch's steps: loss, attraction, repulsion.
    sums: [f64; 3],
    log: Lines,
    board: Option<EventWriter>,
    held_out: HeldOut<'a>,
    unreadable: Unreadables<'a>,
    progress: Progress,
    /// When the newest checkpoint was written.
    saved: Instant,
    /// When the epoch began, or went on, and its images since then.
    since: (Instant, usize),
}

impl<'a> Training<'a> {
    fn new(plan: &'a Plan, run: &'a Run, start: Start, manner: Manner) -> Result<Self> {
        let step = start.step();
        let Start { checkpoint, mut log, .. } = start;
        let mut encoder = match checkpoint {
            Some(_) => plan.encoder()?,
            None => plan.start()?.0,
        };
        let mut optimizer = plan.optimizer()?;
        let mut sums = [0.0; 3];
        if let Some(checkpoint) = checkpoint {
            encoder.load(&checkpoint.encoder)?;
            optimizer.load_state(&checkpoint.optimizer)?;
            sums = checkpoint.sums;
        }
        let board = manner.tensorboard.then(|| EventWriter::create(&run.path("tensorboard"))).transpose()?;
        let held_out = HeldOut::new(plan)?;
        let looked_at = held_out.sample.items.len() + held_out.sample.unreadable.len();
        let progress = Progress::new("training", "steps", step, plan.steps(), manner.quiet);
        let say = |line: &str| progress.say(line);
        let mut unreadable =
            Unreadables::new(run, plan.data.train.len(), looked_at, &plan.recipe.data.source)?;
        unreadable.note(0, &*plan.data.test, &held_out.sample.unreadable, 0, &mut log, say)?;
        let now = Instant::now();
        Ok(Self {
            plan,
            run,
            encoder,
            optimizer,
            step,
            sums,
            log,
            board,
            held_out,
            unreadable,
            progress,
            saved: now,
            since: (now, 0),
        })
    }

    fn is_epoch_over(&self) -> bool {
        self.step.is_multiple_of(self.plan.schedule().steps_per_epoch())
    }

    /// One update, and its line in the log.
    fn update(&mut self, batch: &Batch, source: &dyn Source, learning_rate: f64) -> Result<()> {
        let step = self.step;
        let asked = (step as usize + 1) * self.plan.recipe.batch;
        let say = |line: &str| self.progress.say(line);
        self.unreadable.note(step, source, &batch.unreadable, asked, &mut self.log, say)?;
        let parts = update(&mut *self.encoder, &mut self.optimizer, self.plan, batch, learning_rate)
            .map_err(|error| match self.run.path(checkpoint::LAST).is_file() {
                true => Error::input(format!("{error}; the newest checkpoint is intact")),
                false => error,
            })?;
        let [loss, attraction, repulsion] = parts;
        self.log.append(&Event::Step { step, loss, attraction, repulsion, learning_rate })?;
        for (sum, part) in self.sums.iter_mut().zip(parts) {
            *sum += part;
        }
        self.step += 1;
        self.since.1 += batch.images;
        let images_per_second = self.images_per_second();
        self.progress.advance(1, || {
            format!("loss {loss:.4} = attraction {attraction:.4} + repulsion {repulsion:.4}, {images_per_second:.0} images/s")
        });
        Ok(())
    }

    fn images_per_second(&self) -> f64 {
        self.since.1 as f64 / self.since.0.elapsed().as_secs_f64().max(1e-9)
    }

    /// Flushes the log, and writes the checkpoint that counts on it.
    fn save(&mut self) -> Result<()> {
        let checkpoint = Checkpoint {
            step: self.step,
            log: self.log.mark()?,
            sums: self.sums,
            encoder: self.encoder.named_tensors(),
            optimizer: self.optimizer.state(),
        };
        checkpoint.save(self.run)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// Measures the encoder after an epoch. All is saved by now, so an interruption loses nothing but this.
    fn end_epoch(&mut self, learning_rate: f64) -> Result<()> {
        let steps_per_epoch = self.plan.schedule().steps_per_epoch();
        let (images, images_per_second) = (self.since.1, self.images_per_second());
        let training_seconds = self.since.0.elapsed().as_secs_f64();
        let measured = Instant::now();
        let means = self.sums.map(|sum| sum / steps_per_epoch as f64);
        let expendable = interrupt::expendable(interrupted(self.run, self.step, self.plan.steps()));
        let number = self.step / steps_per_epoch;
        let epoch = self.held_out.epoch(&*self.encoder, number, self.step, means, learning_rate)?;
        drop(expendable);
        self.log.append(&Event::Epoch(epoch.clone()))?;
        // An epoch that is only measured again has its line, unless it was stopped in its measurement.
        let timing = (images > 0).then(|| Timing {
            epoch: number,
            training_seconds,
            measuring_seconds: measured.elapsed().as_secs_f64(),
            images_per_second,
        });
        if let Some(timing) = &timing {
            self.run.add_timing(timing)?;
        }
        if let Some(board) = &mut self.board {
            write_scalars(board, &epoch, timing.as_ref())?;
        }
        self.progress.say(&describe(&epoch, self.plan.recipe.epochs, timing.as_ref()));
        self.sums = [0.0; 3];
        self.since = (Instant::now(), 0);
        Ok(())
    }
}

/// One optimizer update on one batch; returns loss, attraction, repulsion.
fn update(
    encoder: &mut dyn Encoder,
    optimizer: &mut Optimizer,
    plan: &Plan,
    batch: &Batch,
    learning_rate: f64,
) -> Result<[f64; 3]> {
    let at_step = |message: String| Error::input(format!("step {}: {message}", batch.step));
    if batch.images < 2 {
        return Err(at_step(format!(
            "{} of its {} images can be read, and a contrastive loss needs at least 2",
            batch.images, plan.recipe.batch
        )));
    }
    let views = plan.recipe.views;
    let numbers = batch.views.len() / (views * batch.images);
    let refused = |error: Error| match batch.step {
        _ if batch.views.iter().all(|number| *number == 0.0) => at_step(format!(
            "all {} images of the batch are black, so that the encoder gives all the same ({error}); take black images away",
            batch.images
        )),
        0 => {
            let black = batch.views.chunks(numbers).filter(|view| view.iter().all(|x| *x == 0.0)).count();
            let black = match black {
                0 => String::new(),
                some => format!("; {some} of the batch's {} views are black", views * batch.images),
            };
            at_step(format!(
                "{error}, before any update: it is the images or the weights at the start{black}"
            ))
        }
        _ => at_step(format!(
            "{error} (the encoder diverged, if its rows are not finite: lower optimizer.learning-rate)"
        )),
    };
    let objective = Objective { loss: &plan.loss, views, groups: batch.groups.as_deref() };
    // Where images could not be read, chunks still have two at least.
    let found = match plan.recipe.accumulate.min(batch.images / 2) {
        1 => encoder.value_and_grad(objective, &batch.views),
        chunks => {
            accumulate::value_and_grad(encoder, optimizer, objective, &batch.views, chunks, &mut |_| ())
        }
    };
    let Value { value, attraction, repulsion, .. } = found.map_err(refused)?;
    encoder.update(&mut optimizer.step(learning_rate));
    Ok([value, attraction, repulsion])
}

fn describe(epoch: &Epoch, epochs: u64, timing: Option<&Timing>) -> String {
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
    if let Some(timing) = timing {
        line.push_str(&format!("  {:.0} images/s", timing.images_per_second));
    }
    if let Some(alarm) = &epoch.alarm {
        line.push_str(&format!("\n  alarm: {alarm}"));
    }
    line
}

fn write_scalars(board: &mut EventWriter, epoch: &Epoch, timing: Option<&Timing>) -> Result<()> {
    let mut scalars = vec![
        ("train/loss".to_owned(), epoch.loss),
        ("train/attraction".to_owned(), epoch.attraction),
        ("train/repulsion".to_owned(), epoch.repulsion),
        ("train/learning_rate".to_owned(), epoch.learning_rate),
        ("held-out/recall_at_1".to_owned(), epoch.recall_at_1),
    ];
    scalars.extend(epoch.geometry.iter().map(|(name, value)| (format!("held-out/{name}"), *value)));
    scalars.extend(timing.map(|timing| ("train/images_per_second".to_owned(), timing.images_per_second)));
    scalars.extend(epoch.gradient_cosine.map(|cosine| ("held-out/gradient_cosine".to_owned(), cosine)));
    scalars.extend(epoch.pull_left.map(|left| ("held-out/pull_left".to_owned(), left)));
    scalars.extend(epoch.knn.map(|knn| ("held-out/knn".to_owned(), knn)));
    for (tag, value) in scalars {
        board.scalar(&tag, epoch.step, value)?;
    }
    Ok(())
}
