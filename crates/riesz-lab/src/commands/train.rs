//! `riesz train`: from images to a trained encoder, numbers and a report.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::console::errln;
use crate::data::{self, DataRecipe};
use crate::encoder::{self, Encoder, PixelsRecipe};
use crate::evaluation::{evaluate, loss_bound};
use crate::names::counted;
use crate::own_data::{self, Record};
use crate::pretrained::Weights;
use crate::progress::duration;
use crate::recipe::{self, BuiltIn, Recipe};
use crate::report::{LossBound, Summary};
use crate::run::{Found, Run};
use crate::train::start::Start;
use crate::train::{Manner, Plan, train};
use crate::{Error, Result, device, environment, input, interrupt, loss_recipe};

/// Arguments of `riesz train`. A flag that is a recipe's key, with dashes, lays its value over the recipe.
#[derive(clap::Args, Debug, Default)]
#[command(after_help = "Examples:
  riesz train
  riesz train photos/ --epochs 50 --run runs/photos
  riesz train cifar10.tar.xz --recipe cifar10 --set loss.temperature=0.2 --tensorboard
  riesz train --loss nt-xent --seed 2 --run runs/nt-xent
  riesz train --loss mv-dhel --views 4 --run runs/four-views
  riesz train other/ --from resnet50.safetensors --layer-decay 0.75
  riesz train photos/ --from runs/photos --epochs 0 --run runs/judged

Ctrl-C or SIGTERM saves and stops, a second one stops at once; the same command goes on, bit for bit. `riesz recipes` lists the built-in recipes.")]
pub struct TrainArgs {
    /// Images: a folder, a tar, IDX/CIFAR/STL files, or a known name (`riesz data list`); without it, the recipe's
    data: Option<String>,
    /// A recipe file or the name of a built-in recipe
    #[arg(long)]
    recipe: Option<String>,
    /// The run folder [default: runs/NAME, after the data or the recipe]
    #[arg(long)]
    run: Option<PathBuf>,
    /// The number below which every random draw is keyed
    #[arg(long)]
    seed: Option<u64>,
    /// Passes over the training images
    #[arg(long)]
    epochs: Option<u64>,
    /// Images a step
    #[arg(long)]
    batch: Option<usize>,
    /// Views of each image in a step: more than two for losses of several, such as mv-dhel; each costs a pass
    #[arg(long, value_name = "K")]
    views: Option<usize>,
    /// Chunks in which the encoder sees a batch that is too large for memory; the loss sees all of it (GradCache). Costs a second
    /// pass forward of all chunks but one. Batch norm normalizes each chunk by its own moments
    #[arg(long, value_name = "N")]
    accumulate: Option<usize>,
    /// Keep only each block's input for the way back, and make the rest again: less memory for one more pass forward, the same
    /// numbers. On a GPU, what Burn's balanced checkpointing makes again
    #[arg(long)]
    recompute: bool,
    /// The loss by name: dhel, nt-xent, info-nce, dcl, kcl, …; the recipe's own, or another at its paper's settings and
    /// in the recipe's convention
    #[arg(long)]
    loss: Option<String>,
    /// The loss's temperature
    #[arg(long)]
    temperature: Option<f64>,
    /// The base learning rate, before the recipe's rule
    #[arg(long)]
    learning_rate: Option<f64>,
    /// The backbone: resnet18, resnet34, resnet50, resnet-small, vit-tiny, vit-small, vit-base
    #[arg(long)]
    backbone: Option<String>,
    /// Begin with these weights: torchvision's or timm's (.safetensors, .pth), or a run's folder. Lays the network that they are of over
    /// the recipe; the projector comes along if it fits. With --epochs 0 they are only measured
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// What the pixels become first [default: with --from as the file says, imagenet for files of others]
    #[arg(long, value_enum)]
    pixels: Option<Pixels>,
    /// Keep the backbone's numbers from the images up to the end of this stage: stem, layer1 … layer4 or blocks.0 …, or backbone
    #[arg(long, value_name = "STAGE")]
    freeze_through: Option<String>,
    /// Multiply the learning rate by this from each stage of the backbone to the one below
    #[arg(long, value_name = "FACTOR")]
    layer_decay: Option<f64>,
    /// Any recipe key: --set loss.temperature=0.2 (again for more)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where tensors live: cpu, or wgpu, vulkan, metal, cuda or rocm in a program that was built with that feature. Of
    /// these vulkan and wgpu were run, on an NVIDIA H100 (slower there than 16 CPU cores) and wgpu on SwiftShader
    #[arg(long, default_value = "cpu")]
    device: String,
    /// CPU threads [default: all]; the results are the same bits for any number
    #[arg(long)]
    threads: Option<usize>,
    /// Also write TensorBoard event files, in the run's folder tensorboard/
    #[arg(long)]
    tensorboard: bool,
    /// Save also whenever so many minutes have passed since the last save, not only after each epoch
    #[arg(long, value_name = "N", default_value_t = 10)]
    checkpoint_minutes: u64,
    /// No progress, only the result
    #[arg(long)]
    quiet: bool,
}

/// What pixels become before the first layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Pixels {
    /// As they are, in [0, 1].
    Raw,
    /// By ImageNet's means and deviations.
    Imagenet,
    /// From −1 to 1.
    Symmetric,
}

/// Trains, evaluates, reports.
///
/// # Errors
/// Bad use or input; an interruption after saving; a loss that is no longer finite.
pub fn run(args: &TrainArgs) -> Result<()> {
    let started = Instant::now();
    set_threads(args.threads)?;
    let (recipe, origin) = args.resolved()?;
    let device = device::open(&args.device)?;
    let described = device.described(&args.device);
    let plan = Plan { recomputes: args.recompute, ..Plan::new(recipe, device)? };
    let manner = Manner {
        quiet: args.quiet,
        tensorboard: args.tensorboard,
        checkpoint_every: Some(Duration::from_secs(args.checkpoint_minutes.saturating_mul(60))),
        stop_after: None,
    };
    let (run, summary) = carry_out(&plan, &args.root(&origin), &origin, &described, manner)?;
    super::report::print(&summary);
    if !args.quiet {
        errln!(
            "done in {}; the report is {}",
            duration(started.elapsed().as_secs_f64()),
            run.path("report.html").display()
        );
    }
    Ok(())
}

/// What a program with an encoder of its own is called with: the run's folder, `folder` if none is said, then keys of the recipe.
///
/// # Errors
/// If a flag stands in the folder's place.
pub fn run_and_keys(program: &str, folder: &str) -> Result<(PathBuf, Vec<String>)> {
    let mut given = std::env::args().skip(1);
    let run = given.next().unwrap_or_else(|| folder.to_owned());
    if run.starts_with('-') {
        let what = format!("{run} is no folder: {program} takes the run's folder, then keys as epochs=5");
        return Err(Error::input(what));
    }
    Ok((run.into(), given.collect()))
}

/// Carries a plan out in the folder `root`, from wherever that is to the end: trains, evaluates, and writes what a run leaves.
/// `origin` says where the recipe is from, and `device` what the plan's device is called.
///
/// # Errors
/// A folder that is another's; an interruption after saving; a loss that is no longer finite; the disk.
pub fn carry_out(
    plan: &Plan,
    root: &Path,
    origin: &str,
    device: &str,
    manner: Manner,
) -> Result<(Run, Summary)> {
    plan.check_room()?;
    let (encoder, fitted) = plan.start()?;
    let mut told = vec![encoder.describe()];
    if let Some(fitted) = fitted {
        told.extend(fitted.told);
        told.push(match &plan.recipe.encoder.pixels {
            None => "pixels are taken as they are, from 0 to 1 (--pixels)".to_owned(),
            Some(PixelsRecipe { mean, deviation }) => {
                format!("of pixels from 0 to 1 {mean:?} are taken, and the rest is divided by {deviation:?} (--pixels)")
            }
        });
    }
    let bound = loss_bound(plan, encoder.dims()[1]);
    drop(encoder);
    let (run, found) = match Run::create_or_continue(root, &plan.recipe)? {
        Found::New(run) => (run, "new run"),
        Found::Unfinished(run) => (run, "continuing"),
    };
    let start = Start::find(&run)?;
    let images = Record::of(&plan.data);
    if start.step() > 0 {
        own_data::check_unchanged(&run, &plan.data, &images)?;
    }
    let elsewhere = environment::record(&run, device, &images, start.step())?;
    if !manner.quiet {
        let step = if start.step() > 0 { format!(" after step {}", start.step()) } else { String::new() };
        tell(plan, origin, &format!("{found} in {}{step}", root.display()), device, &told, bound);
    }
    for note in start.note.iter().chain(&elsewhere) {
        errln!("note       {note}");
    }
    interrupt::listen()?;

    let encoder = train(plan, &run, start, manner)?;
    let recipe = plan.own_encoder.is_none().then_some(&plan.recipe.encoder);
    encoder::save(&run.path("encoder.safetensors"), &*encoder, recipe, plan.recipe.saw_labels())?;
    let interrupted = format!(
        "interrupted while evaluating; the trained encoder is saved in {}; the same command goes on with the evaluation",
        run.root().display()
    );
    let summary = finish(plan, &run, &*encoder, manner.quiet, interrupted)?;
    run.finish(plan.steps())?;
    Ok((run, summary))
}

/// Evaluates a trained encoder, and writes `metrics.json` and `report.html`. An interruption before they are written ends
/// the program with the sentence `interrupted`.
///
/// # Errors
/// If an image or the disk refuses.
pub fn finish(
    plan: &Plan,
    run: &Run,
    encoder: &dyn Encoder,
    quiet: bool,
    interrupted: String,
) -> Result<Summary> {
    let summary = evaluated(plan, run, encoder, quiet, interrupted)?;
    summary.save(run)?;
    super::report::write(run, &summary)?;
    Ok(summary)
}

/// Evaluates a trained encoder, and writes nothing. An interruption ends the program with the sentence `interrupted`.
///
/// # Errors
/// If an image refuses.
pub(super) fn evaluated(
    plan: &Plan,
    run: &Run,
    encoder: &dyn Encoder,
    quiet: bool,
    interrupted: String,
) -> Result<Summary> {
    let _expendable = interrupt::expendable(interrupted);
    evaluate(plan, run, encoder, quiet)
}

impl TrainArgs {
    /// Those that say what is trained; the others as they are without flags.
    pub(super) fn of(
        data: Option<String>,
        recipe: Option<String>,
        batch: Option<usize>,
        views: Option<usize>,
        loss: Option<String>,
        backbone: Option<String>,
        set: Vec<String>,
    ) -> Self {
        Self { data, recipe, batch, views, loss, backbone, set, ..Self::default() }
    }

    /// The recipe with the flags laid over it, and where it is from.
    pub(super) fn resolved(&self) -> Result<(Recipe, String)> {
        let (text, origin) = self.recipe_text()?;
        let mut overrides = match &self.from {
            Some(path) => {
                if Run::is_at(path) {
                    // It says how a run that has not finished goes on.
                    Run::open(path)?.encoder()?;
                }
                Weights::read(path)?.recipe_keys()?
            }
            None => Vec::new(),
        };
        overrides.extend(self.overrides(&text));
        let mut recipe = Recipe::resolve(&text, &overrides, &origin)?;
        if self.pixels == Some(Pixels::Raw) {
            recipe.encoder.pixels = None;
        }
        if let Some(data) = &self.data {
            recipe.data = DataRecipe { source: absolute(data), ..recipe.data };
        }
        Ok((recipe, origin))
    }

    /// The recipe's text and where it is from: the one asked for; for data alone, the built-in one for images of
    /// that size; else the built-in default.
    fn recipe_text(&self) -> Result<(String, String)> {
        match (&self.recipe, &self.data) {
            (Some(recipe), _) => recipe::read(recipe),
            (None, None) => recipe::read(recipe::BUILT_IN[0].name),
            (None, Some(data)) => {
                let (shorter_side, channels) = data::typical_size(data)?;
                recipe::read(BuiltIn::for_images(shorter_side, channels).name)
            }
        }
    }

    /// The flags that are keys of a recipe, laid over the recipe `text`.
    fn overrides(&self, text: &str) -> Vec<String> {
        let mut overrides = Vec::new();
        if let Some(name) = &self.loss {
            // What is wrong with the text is told when it is resolved.
            let recipe = text.parse::<toml::Table>().unwrap_or_default();
            let loss = loss_recipe::renamed(recipe.get("loss").and_then(toml::Value::as_table), name);
            overrides.push(format!("loss={}", toml::Value::Table(loss)));
        }
        let mut lay = |key: &str, value: Option<String>| {
            overrides.extend(value.map(|value| format!("{key}={value}")));
        };
        lay("seed", self.seed.map(|value| value.to_string()));
        lay("epochs", self.epochs.map(|value| value.to_string()));
        lay("batch", self.batch.map(|value| value.to_string()));
        lay("views", self.views.map(|value| value.to_string()));
        lay("accumulate", self.accumulate.map(|value| value.to_string()));
        // `{:?}` writes 1e30 so that it stays a float.
        lay("loss.temperature", self.temperature.map(|value| format!("{value:?}")));
        lay("optimizer.learning-rate", self.learning_rate.map(|value| format!("{value:?}")));
        lay("encoder.backbone", self.backbone.as_ref().map(|value| format!("\"{value}\"")));
        lay("optimizer.freeze-through", self.freeze_through.as_ref().map(|value| format!("\"{value}\"")));
        lay("optimizer.layer-decay", self.layer_decay.map(|value| format!("{value:?}")));
        let pixels = match self.pixels {
            None | Some(Pixels::Raw) => None,
            Some(Pixels::Imagenet) => Some(PixelsRecipe::imagenet()),
            Some(Pixels::Symmetric) => Some(PixelsRecipe::symmetric()),
        };
        overrides.extend(pixels.map(|pixels| pixels.key()));
        overrides.extend(self.set.iter().cloned());
        overrides
    }

    fn root(&self, origin: &str) -> PathBuf {
        if let Some(run) = &self.run {
            return run.clone();
        }
        let name = match (&self.data, &self.recipe) {
            (Some(data), _) => data.trim_end_matches('/').rsplit('/').next().unwrap_or(data),
            (None, Some(recipe)) => input::name(Path::new(recipe)).unwrap_or(recipe),
            (None, None) => origin.rsplit(' ').next().unwrap_or(origin),
        };
        // A family `train-{000..146}.tar` is `train`.
        let name = name.split_once('{').map_or(name, |(family, _)| family.trim_end_matches(['-', '_']));
        let stem = name.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("run");
        Path::new("runs").join(stem)
    }
}

/// A path is stored absolute, so that the run can be continued and evaluated from any folder; a known name stays, and so
/// does a path below a folder whose name is not UTF-8, which a recipe cannot say.
pub(super) fn absolute(data: &str) -> String {
    let path = dunce::canonicalize(data).ok().and_then(|path| path.into_os_string().into_string().ok());
    path.unwrap_or_else(|| data.to_owned())
}

/// Says, before anything long happens, what is about to happen.
fn tell(
    plan: &Plan,
    origin: &str,
    where_to: &str,
    device: &str,
    encoder: &[String],
    bound: Option<LossBound>,
) {
    let recipe = &plan.recipe;
    errln!("riesz {}  {origin}, {where_to}", env!("CARGO_PKG_VERSION"));
    errln!(
        "data       {}: {} training and {} held-out images{}",
        plan.data.name,
        plan.data.train.len(),
        plan.data.test.len(),
        if plan.data.classes.is_empty() {
            ", no labels".to_owned()
        } else {
            format!(", {} classes", plan.data.classes.len())
        }
    );
    for note in &plan.data.notes {
        errln!("note       {note}");
    }
    errln!("device     {device}");
    for (line, title) in encoder.iter().zip(std::iter::once("encoder").chain(std::iter::repeat("start"))) {
        errln!("{title:<10} {line}");
    }
    if recipe.epochs == 0 {
        errln!("steps      0 = 0 epochs; the weights are judged as they came");
        return;
    }
    errln!("loss       {}", recipe.describe_loss());
    if let Some(bound) = bound {
        errln!("bound      {}", bound.told());
    }
    errln!("optimizer  {}", recipe.optimizer.describe(recipe.batch));
    errln!(
        "steps      {} = {} × {}, batch {}{}",
        plan.steps(),
        counted(recipe.epochs, "epoch"),
        plan.steps() / recipe.epochs,
        recipe.batch,
        match recipe.accumulate {
            1 => String::new(),
            chunks => format!(
                ", of which the encoder sees {} at a time; batch norm, where there is one, has the moments of these",
                recipe.batch / chunks
            ),
        }
    );
    if plan.data.train.len() < 1000 {
        errln!(
            "note       {} images are few for contrastive learning; several thousand are usual",
            plan.data.train.len()
        );
    }
}

/// CPU threads at most.
const MOST_THREADS: usize = 1024;

/// Starts the CPU threads: so many, or as many as `RAYON_NUM_THREADS` or the machine says.
///
/// # Errors
/// If `threads` is 0, or more than any machine has use for; or the system starts no more threads.
pub fn set_threads(threads: Option<usize>) -> Result<()> {
    let said = std::env::var("RAYON_NUM_THREADS").ok().and_then(|said| said.parse().ok());
    let (name, asked) = match threads {
        Some(0) => return Err(Error::input("--threads is 0; at least 1 is needed")),
        Some(threads) => ("--threads", threads),
        None => ("RAYON_NUM_THREADS", said.unwrap_or(0)),
    };
    if asked > MOST_THREADS {
        return Err(Error::input(format!("{name} is {asked}; at most {MOST_THREADS} are started")));
    }
    match rayon::ThreadPoolBuilder::new().num_threads(asked).build_global() {
        Ok(()) => Ok(()),
        // They are there already.
        Err(error) if threads.is_none() && std::error::Error::source(&error).is_none() => Ok(()),
        Err(error) => Err(Error::input(format!(
            "the CPU threads cannot be started: {error}; --threads 1, or RAYON_NUM_THREADS=1, starts the fewest"
        ))),
    }
}

#[test]
fn a_run_is_called_by_its_images_or_its_recipe() {
    for (data, run) in [
        ("photos/", "runs/photos"),
        ("a/images.tar.xz", "runs/images"),
        ("shards/train-{000..146}.tar", "runs/train"),
        ("{a,b}.tar", "runs/run"),
    ] {
        let args = TrainArgs { data: Some(data.to_owned()), ..TrainArgs::default() };
        assert_eq!(args.root("folder-32"), Path::new(run));
    }
    for (recipe, run) in
        [("mine/small.toml", "runs/small"), ("cifar10", "runs/cifar10"), ("/dev/fd/63", "runs/stdin")]
    {
        let args = TrainArgs { recipe: Some(recipe.to_owned()), ..TrainArgs::default() };
        assert_eq!(args.root(recipe), Path::new(run));
    }
}
