//! `riesz eval`: evaluates the encoder of a run again, and renders the report with it.

use std::path::PathBuf;

use crate::console::errln;
use crate::run::Run;
use crate::train::Plan;
use crate::{Result, device, encoder, interrupt};

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
    interrupt::listen()?;
    let interrupted = "interrupted; the run is as it was, and the same command evaluates it".to_owned();
    let opening = interrupt::expendable(interrupted.clone());
    let run = Run::open_alone(&args.run)?;
    let path = run.encoder()?;
    let plan = Plan::of_run(&run, device::open(&args.device)?)?;
    let encoder = encoder::open(&path, &plan.device)?;
    drop(opening);
    for note in plan.data.notes.iter().filter(|_| !args.quiet) {
        errln!("note       {note}");
    }
    let summary = super::train::finish(&plan, &run, &*encoder, args.quiet, interrupted)?;
    super::report::print(&summary);
    Ok(())
}
