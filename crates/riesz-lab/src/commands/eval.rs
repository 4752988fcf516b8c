//! `riesz eval`: evaluates the encoder of a run again, and renders the report with it.

use std::path::PathBuf;

use crate::encoder::Encoder;
use crate::run::Run;
use crate::train::Plan;
use crate::{Result, device};

/// Arguments of `riesz eval`.
#[derive(clap::Args)]
pub struct EvalArgs {
    /// The run folder
    run: PathBuf,
    /// Where tensors live: cpu, or a GPU that the program was built for (`riesz train --help`)
    #[arg(long, default_value = "cpu")]
    device: String,
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
    let run = Run::open(&args.run)?;
    let plan = Plan::for_evaluation(run.recipe()?, device::open(&args.device)?)?;
    let encoder = Encoder::open(&run.path("encoder.safetensors"), &plan.device)?;
    super::train::finish(&plan, &run, &encoder, args.quiet)
}
