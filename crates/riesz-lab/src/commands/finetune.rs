//! `riesz finetune`: a classifier from a run's encoder and few labels, beside the same network from nothing.

use std::path::PathBuf;

use super::outputs;
use crate::console::{errln, on_a_row, outln};
use crate::data::{self, DataRecipe};
use crate::finetune::{CLASSIFIER, Finetuned, RESULTS, Settings, Stage, Task, finetune};
use crate::run::Run;
use crate::{Result, device, encoder, interrupt, own_data, tensors};

/// Arguments of `riesz finetune`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz finetune runs/fashion-mnist-12k --labels-per-class 10
  riesz finetune runs/photos --labels labels.csv
  riesz finetune runs/photos other/ --labels folders --steps 1000 --freeze-through layer2 --output runs/photos/other

Three stages, each asked of the same held-out images: a linear layer on the frozen backbone, the whole network from there on, and the
same network from nothing with the same labels and steps. Ctrl-C keeps finished stages; the same command goes on.")]
pub struct FinetuneArgs {
    /// The run folder
    run: PathBuf,
    /// Other images than the run's own: anything that `riesz train` takes, with labels
    data: Option<String>,
    /// Where labels are: auto, folders, or a table with names and labels [default: as the run has them, of others auto]
    #[arg(long)]
    labels: Option<String>,
    /// Learn from a keyed draw of so many labels of each class [default: all labels]
    #[arg(long, value_name = "N")]
    labels_per_class: Option<usize>,
    /// The number below which every draw is keyed: labels, order, views, first numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Updates of the whole network, in each of the two stages that have some
    #[arg(long, default_value_t = 300)]
    steps: u64,
    /// Images an update, each in two views
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// The learning rate at its peak (AdamW, a tenth of the steps to get there, then a cosine to 0)
    #[arg(long, default_value_t = 1e-3)]
    learning_rate: f64,
    /// What the learning rate is multiplied by in the backbone; from nothing all learn at the same rate
    #[arg(long, default_value_t = 0.5)]
    backbone_rate: f64,
    /// What it is multiplied by from each stage of the backbone to the one below
    #[arg(long, default_value_t = 0.75)]
    layer_decay: f64,
    /// AdamW's decay of weights
    #[arg(long, default_value_t = 0.05)]
    weight_decay: f64,
    /// Keep the backbone's numbers from the images up to the end of this stage: stem, layer1 … or blocks.0 …
    #[arg(long, value_name = "STAGE")]
    freeze_through: Option<String>,
    /// The folder for results and the finetuned network [default: RUN/finetune]
    #[arg(long)]
    output: Option<PathBuf>,
    /// Where tensors live: cpu, or a GPU that the program was built for (`riesz train --help`)
    #[arg(long, default_value = "cpu")]
    device: String,
    /// CPU threads [default: all]; the results are the same bits for any number
    #[arg(long)]
    threads: Option<usize>,
    /// JSON, for machines: what finetune.json holds
    #[arg(long)]
    json: bool,
    /// No progress, only the result
    #[arg(long)]
    quiet: bool,
}

/// Share of the steps in which the learning rate rises.
const WARMUP: f64 = 0.1;

/// Finetunes, and says what it was worth.
///
/// # Errors
/// Bad use or input, an interruption, numbers that are not finite, or the disk.
pub fn run(args: &FinetuneArgs) -> Result<()> {
    super::train::set_threads(args.threads)?;
    interrupt::listen()?;
    let opening = interrupt::expendable("interrupted; nothing was changed".to_owned());
    let run = Run::open(&args.run)?;
    let to = args.output.clone().unwrap_or_else(|| run.path("finetune"));
    let files = [RESULTS, CLASSIFIER].map(|name| to.join(name));
    outputs::check_folder(&to, files.iter().map(PathBuf::as_path))?;
    let recipe = run.recipe()?;
    let stored = encoder::read(&run.encoder()?)?;
    let said = args.labels.as_deref().map(data::labels_here);
    let described = match &args.data {
        Some(source) => DataRecipe {
            source: super::train::absolute(source),
            labels: said.clone().unwrap_or_else(|| "auto".to_owned()),
            held_out: recipe.data.held_out,
            limit: None,
        },
        None => DataRecipe {
            labels: said.clone().unwrap_or_else(|| recipe.data.labels.clone()),
            ..recipe.data.clone()
        },
    };
    let data = match &args.data {
        Some(_) => data::open(&described, recipe.seed)?,
        None => own_data::open(&run, &recipe, said.as_deref())?,
    };
    let settings = Settings {
        encoder: tensors::digest(&stored.tensors),
        data: described,
        labels_per_class: args.labels_per_class,
        seed: args.seed,
        steps: args.steps,
        batch: args.batch,
        learning_rate: args.learning_rate,
        backbone_rate: args.backbone_rate,
        layer_decay: args.layer_decay,
        weight_decay: args.weight_decay,
        warmup: WARMUP,
        freeze_through: args.freeze_through.clone(),
    };
    let task = Task::new(&recipe, data, stored, settings, device::open(&args.device)?)?;
    let network = task.network(Stage::Finetuned)?;
    drop(opening);
    if !args.quiet {
        let [train, held_out, classes] = task.sizes();
        errln!("labels     {train} images of {classes} classes to learn from, {held_out} held-out images");
        errln!("network    {}", network.describe());
    }
    for note in &task.notes {
        errln!("note       {note}");
    }
    let found = finetune(&task, &to, args.quiet)?;
    if args.json {
        outln!("{}", serde_json::to_string(&found).map_err(|error| crate::Error::input(error.to_string()))?);
    } else {
        tell(&found);
        if !args.quiet {
            errln!("results and {CLASSIFIER} are in {}", to.display());
        }
    }
    Ok(())
}

/// Classes that are told one by one, at most.
const TOLD: usize = 20;

/// Verdict and table.
fn tell(found: &Finetuned) {
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    outln!(
        "\n{} labels of {} classes; accuracy in % on {} held-out images",
        found.training_images,
        found.classes.len(),
        found.labels.len()
    );
    for stage in &found.stages {
        outln!("  {:<32}{:>6}", stage.stage.describe(), percent(stage.accuracy));
    }
    outln!("");
    for (ours, theirs) in [
        (Stage::Finetuned, Stage::Linear),
        (Stage::Finetuned, Stage::FromNothing),
        (Stage::Linear, Stage::FromNothing),
    ] {
        let Some(difference) = found.difference(ours, theirs) else { continue };
        let margin = difference.margin.unwrap_or(f64::INFINITY);
        let word = match difference.share {
            share if share > margin => "better than",
            share if share < -margin => "worse than",
            _ => "within the error of",
        };
        outln!(
            "{}: {word} {} ({:+.1} ± {:.1} points)",
            ours.describe(),
            theirs.describe(),
            100.0 * difference.share,
            100.0 * margin
        );
    }
    for (penalty, converged) in found.stages.iter().filter_map(|stage| stage.linear).take(1) {
        if !converged {
            outln!("the linear layer (λ = {penalty:e}) did not converge");
        }
    }
    if found.classes.len() <= TOLD {
        outln!("\n{:<24}{:>8}{:>8}{:>12}{:>14}", "class", "images", "linear", "finetuned", "from nothing");
        for (place, class) in found.classes.iter().enumerate() {
            let of = |stage: Stage| {
                let share = found.stage(stage).and_then(|stage| stage.by_class[place]);
                share.map_or_else(|| "–".to_owned(), percent)
            };
            let images = found.labels.iter().filter(|&&label| label as usize == place).count();
            let [linear, whole, nothing] = Stage::ALL.map(of);
            let class = on_a_row(class);
            outln!("{class:<24}{images:>8}{linear:>8}{whole:>12}{nothing:>14}");
        }
    }
}
