//! `riesz eval`: evaluates the encoder of a run again, and renders the report with it; or asks it other questions, and prints the
//! answers.

use std::path::PathBuf;

use crate::console::{errln, outln};
use crate::run::Run;
use crate::train::Plan;
use crate::{Result, device, encoder, interrupt};

/// Arguments of `riesz eval`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz eval runs/photos
  riesz eval runs/photos --set evaluation.neighbors=200 --set evaluation.temperature=0.1 --json

With --set the answers are printed alone: metrics.json and report.html stay those of the run's recipe.")]
pub struct EvalArgs {
    /// The run folder
    run: PathBuf,
    /// Where tensors live: cpu, or a GPU that the program was built for (`riesz train --help`)
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Ask otherwise than the run's recipe: a key of its evaluation, evaluation.neighbors=200 (again for more); nothing is written
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the numbers as JSON, as metrics.json has them
    #[arg(long)]
    json: bool,
    /// CPU threads [default: all]
    #[arg(long)]
    threads: Option<usize>,
    /// No progress, only the result
    #[arg(long)]
    quiet: bool,
}

/// Evaluates.
///
/// # Errors
/// If the run has no encoder yet, an image cannot be read, or the disk refuses.
pub fn run(args: &EvalArgs) -> Result<()> {
    super::train::set_threads(args.threads)?;
    interrupt::listen()?;
    let interrupted = "interrupted; the run is as it was, and the same command evaluates it".to_owned();
    let opening = interrupt::expendable(interrupted.clone());
    let only_asks = !args.set.is_empty();
    let run = if only_asks { Run::open(&args.run)? } else { Run::open_alone(&args.run)? };
    let path = run.encoder()?;
    let asked = run.recipe()?.asking(&args.set)?;
    let plan = Plan { recipe: asked, ..Plan::of_run(&run, device::open(&args.device)?)? };
    let encoder = encoder::open(&path, &plan.device)?;
    drop(opening);
    for note in plan.data.notes.iter().filter(|_| !args.quiet) {
        errln!("note       {note}");
    }
    let work = if only_asks { super::train::evaluated } else { super::train::finish };
    let summary = work(&plan, &run, &*encoder, args.quiet, interrupted)?;
    if args.json {
        outln!("{}", summary.to_json()?);
    } else {
        super::report::print(&summary);
    }
    Ok(())
}
