//! `riesz sphere theory`: the theorems as experiments, and the report of them.

use std::path::PathBuf;

use riesz::rng::Key;

use crate::commands::outputs;
use crate::console::outln;
use crate::progress::{Progress, duration};
use crate::sphere::theory::{EXPERIMENTS, Experiment, Scale, Verdict, headline, html, markdown};
use crate::{Error, Result, atomic, interrupt};

/// Arguments of `riesz sphere theory`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz sphere theory
  riesz sphere theory --reduced --seed 2
  riesz sphere theory --html theory.html --markdown docs/theory.md

Exit code 1 if a claim does not hold.")]
pub(super) struct TheoryArgs {
    /// Write a report with figures, one HTML file
    #[arg(long)]
    html: Option<PathBuf>,
    /// Write the report as Markdown
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Some seconds instead of minutes: fewer starts, smaller sets
    #[arg(long)]
    reduced: bool,
    /// Seed of all draws
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the experiments in turn.
///
/// # Errors
/// If a claim does not hold; an interruption; or the disk refuses.
pub(super) fn run(args: &TheoryArgs) -> Result<()> {
    for report in [&args.html, &args.markdown].into_iter().flatten() {
        outputs::check(report, [])?;
    }
    interrupt::listen()?;
    let scale = if args.reduced { Scale::reduced() } else { Scale::full() };
    let mut progress = Progress::new("theory", "experiments", 0, EXPERIMENTS.len() as u64, false);
    let started = std::time::Instant::now();
    let mut done: Vec<Experiment> = Vec::new();
    for (number, (name, work)) in EXPERIMENTS.iter().enumerate() {
        let key = Key::new(args.seed).stream("theory").at(number as u64);
        let experiment = work(scale, key);
        if interrupt::asked() {
            return Err(Error::interrupted(format!("interrupted during {name}; nothing was written")));
        }
        let experiment = experiment?;
        progress.advance(1, || (*name).to_owned());
        let verdict = match experiment.verdict {
            Verdict::Holds => "holds",
            Verdict::Fails => "FAILS",
            Verdict::Open => "open",
        };
        outln!("{:>2}. {verdict:<6} {}\n    {}", number + 1, experiment.title, experiment.measured);
        done.push(experiment);
    }
    progress.finish();
    let spent = duration(started.elapsed().as_secs_f64());
    let seed = args.seed;
    let flag = if args.reduced { " --reduced" } else { "" };
    let run = format!("riesz {}: riesz sphere theory --seed {seed}{flag}", env!("CARGO_PKG_VERSION"));
    if let Some(path) = &args.markdown {
        let head = format!(
            "# The theory, measured\n\nWhat Koromilas et al. (ICML 2024) prove of contrastive losses, and what surrounds it, as experiments. This page \
             is the output of `riesz sphere theory --markdown docs/theory.md --seed {seed}{flag}`; the same command makes the same numbers again \
             on one kind of processor. What the program does is in [sphere.md](sphere.md)."
        );
        atomic::write_bytes(path, markdown(&head, &done).as_bytes())?;
    }
    if let Some(path) = &args.html {
        atomic::write_bytes(path, html("The theory, measured", &run, &done)?.as_bytes())?;
    }
    let failed: Vec<String> = (1..)
        .zip(&done)
        .filter(|(_, one)| one.verdict == Verdict::Fails)
        .map(|(number, _)| number.to_string())
        .collect();
    outln!("\n{} ({spent})", headline(&done));
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Error::check(format!("claims {} do not hold", failed.join(", "))))
    }
}
