//! `riesz report`: renders a run's report again from its metrics.json.

use std::path::PathBuf;

use crate::console::{out, outln};
use crate::report::{Summary, render};
use crate::run::Run;
use crate::{Result, atomic};

/// Arguments of `riesz report`.
#[derive(clap::Args)]
pub struct ReportArgs {
    /// The run folder
    run: PathBuf,
}

/// Renders.
///
/// # Errors
/// If the run has no metrics.json yet, or the disk refuses.
pub fn run(args: &ReportArgs) -> Result<()> {
    let run = Run::open(&args.run)?;
    let mut summary = Summary::load(&run)?;
    loop {
        write(&run, &summary)?;
        // An evaluation may have ended meanwhile, whose page this one would be older than.
        let now = Summary::load(&run)?;
        if now == summary {
            break;
        }
        summary = now;
    }
    outln!("{}", run.path("report.html").display());
    Ok(())
}

/// Writes `report.html`.
///
/// # Errors
/// If the disk refuses.
pub fn write(run: &Run, summary: &Summary) -> Result<()> {
    atomic::write_bytes(&run.path("report.html"), render(summary)?.as_bytes())
}

/// Prints verdict and table.
pub fn print(summary: &Summary) {
    out!("{}", crate::report::plain(summary));
}
