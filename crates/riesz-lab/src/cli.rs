//! The command line: one enum of verbs. Each verb's arguments and work are in `commands/`.

use clap::{CommandFactory, Parser, Subcommand};

use crate::Result;
use crate::commands::{
    bench, compare, completions, data, duplicates, embed, eval, export, finetune, geometry, loss, man,
    recipes, report, reproduce, runs, search, sphere, sweep, train,
};
use crate::environment::version;

/// Contrastive representation learning as energy minimization on the sphere.
#[derive(Parser)]
#[command(
    name = "riesz",
    version = version(),
    after_help = "Examples:
  riesz train                          train on the built-in real images, a few minutes
  riesz train photos/ --epochs 50      train on a folder of unlabeled images
  riesz report runs/fashion-mnist-12k  render a run's report again
  riesz geometry embeddings.parquet    how any embeddings fill the sphere
  riesz loss dhel --temperature 0.3 --input batch.safetensors --json
  riesz sphere minimize --kernel riesz --exponent 1 --points 12 --dim 3

Exit codes: 0 done, 1 a check or comparison failed, 2 bad use or bad input, 130 interrupted by Ctrl-C\n(and saved), 143 by SIGTERM."
)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Train an encoder on images, measure it, and write a report
    Train(train::TrainArgs),
    /// Run a grid of recipes and seeds, and report it
    Sweep(sweep::SweepArgs),
    /// Try the paper's experimental claims, and say how they stand
    Reproduce(reproduce::ReproduceArgs),
    /// Evaluate the encoder of a run again: kNN, linear probe, retrieval of the other view
    Eval(eval::EvalArgs),
    /// Embed images with a run's encoder, to npy, parquet or safetensors
    Embed(embed::EmbedArgs),
    /// The nearest images of an image, as a list or a sheet
    Search(search::SearchArgs),
    /// Images that are nearly or exactly the same
    Duplicates(duplicates::DuplicatesArgs),
    /// A run's encoder as an ONNX model or torchvision's weights, with a model card
    Export(export::ExportArgs),
    /// A classifier from a run's encoder and few labels, beside the same network from nothing
    Finetune(finetune::FinetuneArgs),
    /// The health of any embeddings: how they fill the sphere
    Geometry(geometry::GeometryArgs),
    /// Two encoders or checkpoints on the same items: how alike, and how their geometry differs
    Compare(compare::CompareArgs),
    /// Render a run's report.html again
    Report(report::ReportArgs),
    /// List runs with their results
    Runs(runs::RunsArgs),
    /// Value, parts and gradient of a loss on arrays from a file
    Loss(loss::LossArgs),
    /// Free points on the sphere: where a loss puts them, what is proven, pictures
    Sphere(sphere::SphereArgs),
    /// How fast losses are evaluated on this machine
    Bench(bench::BenchArgs),
    /// Known data sets: list, show, fetch
    Data(data::DataArgs),
    /// Built-in recipes: list, or print one to start your own from
    Recipes(recipes::RecipesArgs),
    /// A script by which a shell completes this command
    Completions(completions::CompletionsArgs),
    /// Manual pages of this command and its verbs
    Man(man::ManArgs),
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// One sentence; [`crate::Error::exit_code`] says how the program shall end.
    pub fn run(&self) -> Result<()> {
        match &self.verb {
            Verb::Train(args) => train::run(args),
            Verb::Sweep(args) => sweep::run(args),
            Verb::Reproduce(args) => reproduce::run(args),
            Verb::Eval(args) => eval::run(args),
            Verb::Embed(args) => embed::run(args),
            Verb::Search(args) => search::run(args),
            Verb::Duplicates(args) => duplicates::run(args),
            Verb::Export(args) => on_all_threads(|| export::run(args)),
            Verb::Finetune(args) => finetune::run(args),
            Verb::Geometry(args) => geometry::run(args),
            Verb::Compare(args) => compare::run(args),
            Verb::Report(args) => on_all_threads(|| report::run(args)),
            Verb::Runs(args) => on_all_threads(|| runs::run(args)),
            Verb::Loss(args) => on_all_threads(|| loss::run(args)),
            Verb::Sphere(args) => on_all_threads(|| sphere::run(args)),
            Verb::Bench(args) => bench::run(args),
            Verb::Data(args) => on_all_threads(|| data::run(args)),
            Verb::Recipes(args) => recipes::run(args),
            Verb::Completions(args) => completions::run(args, Self::command()),
            Verb::Man(args) => man::run(args, Self::command()),
        }
    }
}

/// The work of a verb that has no `--threads`, with the CPU threads started, which may be refused.
fn on_all_threads(work: impl FnOnce() -> Result<()>) -> Result<()> {
    train::set_threads(None)?;
    work()
}
