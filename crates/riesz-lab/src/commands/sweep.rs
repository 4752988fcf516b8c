//! `riesz sweep`: a grid of runs, here or on many machines, and the report of it.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::train::{carry_out, set_threads};
use crate::console::{errln, out, outln};
use crate::names::counted;
use crate::progress::duration;
use crate::protocols::Measure;
use crate::report::Summary;
use crate::run::Run;
use crate::sweep::{
    Cell, Folder, Grid, QUANTITIES, Results, Score, State, all_comparisons, choices, plain, render,
};
use crate::train::{Manner, Plan};
use crate::{Error, Result, atomic, device, interrupt};

/// Arguments of `riesz sweep`.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  riesz sweep grid.toml                                     all cells in turn; the same command goes on
  riesz sweep grid.toml --list | xargs -r -P 2 -d '\\n' -n 1 sh -c   two at a time
  riesz sweep grid.toml --cell $SLURM_ARRAY_TASK_ID         one cell of a job array
  riesz sweep report grid                                   tables, comparisons and plots of what is finished

Any number of workers may run one grid: a cell belongs to one of them at a time, and a finished cell is not run again. docs/sweep.md
in the repository describes grid files. Exit code 1 if a cell failed; the others were run."
)]
pub struct SweepArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The grid file (TOML)
    #[arg(required = true)]
    grid: Option<PathBuf>,
    /// The folder in which the grid's folder NAME lies
    #[arg(long, default_value = "sweeps")]
    folder: PathBuf,
    /// Print a `riesz train …` command for each cell that is not finished, and run nothing
    #[arg(long)]
    list: bool,
    /// Run the K-th cell alone, counted from 1 in the grid's order
    #[arg(long, value_name = "K", conflicts_with = "list")]
    cell: Option<usize>,
    /// Where tensors live: cpu, or a GPU that the program was built for (`riesz train --help`)
    #[arg(long, default_value = "cpu")]
    device: String,
    /// CPU threads [default: all]; the results are the same bits for any number
    #[arg(long)]
    threads: Option<usize>,
    /// No progress, only failures
    #[arg(long)]
    quiet: bool,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Tables, comparisons and plots of a grid's finished cells: report.html, results.csv and results.parquet
    Report(ReportArgs),
}

/// Arguments of `riesz sweep report`.
#[derive(clap::Args)]
struct ReportArgs {
    /// The grid's folder, or its name
    name: String,
    /// The folder in which the grid's folder NAME lies
    #[arg(long, default_value = "sweeps")]
    folder: PathBuf,
    /// All results and comparisons as JSON, for machines
    #[arg(long)]
    json: bool,
}

/// Runs, lists, or reports.
///
/// # Errors
/// A grid that cannot be run; a cell that failed, after the others were run; an interruption.
pub fn run(args: &SweepArgs) -> Result<()> {
    let grid = match (&args.verb, &args.grid) {
        (Some(Verb::Report(args)), _) => return report(&Folder::open(&args.folder, &args.name)?, args.json),
        (None, Some(grid)) => Grid::read(grid)?,
        (None, None) => return Err(Error::input("name a grid file, or `report` and a grid's folder")),
    };
    let folder = Folder::create_or_continue(&args.folder, &grid)?;
    if args.list {
        return list(&grid, &folder);
    }
    set_threads(args.threads)?;
    let cells: Vec<&Cell> = match args.cell {
        None => grid.cells.iter().collect(),
        Some(number) => match number.checked_sub(1).and_then(|place| grid.cells.get(place)) {
            Some(cell) => vec![cell],
            None => {
                return Err(Error::input(format!(
                    "--cell {number}: the grid has the cells 1 to {}",
                    grid.cells.len()
                )));
            }
        },
    };
    let worker = Worker { grid: &grid, folder: &folder, device: &args.device, quiet: args.quiet };
    worker.run(&cells)
}

/// Writes `report.html`, `results.csv` and `results.parquet`, and prints the tables.
///
/// # Errors
/// If the folder is of another version, no cell is finished, or the disk refuses.
pub(super) fn report(folder: &Folder, json: bool) -> Result<()> {
    let results = Results::read(folder)?;
    if results.lines.is_empty() {
        let why = results.missing.first().map_or_else(String::new, |(cell, why)| format!(" ({cell}: {why})"));
        return Err(Error::input(format!("{}: no cell is finished yet{why}", folder.root().display())));
    }
    let place = |name: &str| folder.root().join(name);
    results.write_csv(&place("results.csv"))?;
    results.write_parquet(&place("results.parquet"))?;
    atomic::write_bytes(&place("report.html"), render(&results)?.as_bytes())?;
    if json {
        let names: Vec<&str> = QUANTITIES.iter().map(|quantity| quantity.name).collect();
        outln!(
            "{}",
            serde_json::json!({
                "schema_version": 1,
                "name": results.contents.name,
                "quantities": names,
                "cells": results.lines,
                "comparisons": all_comparisons(&results),
                "choices": results.contents.select.as_ref().map(|selection| choices(&results, selection)),
                "missing": results.missing,
            })
        );
        return Ok(());
    }
    out!("{}", plain(&results));
    outln!("\n{}", place("report.html").display());
    Ok(())
}

fn list(grid: &Grid, folder: &Folder) -> Result<()> {
    let mut finished = 0;
    for cell in &grid.cells {
        if folder.state(&cell.name)? == State::Finished {
            finished += 1;
            continue;
        }
        let run = folder.cell(&cell.name);
        let mut words = vec!["riesz train --quiet".to_owned()];
        words.push(format!("--recipe {} --run {}", quoted(&grid.recipe), quoted(&run.display().to_string())));
        words.extend(cell.overrides.iter().map(|assignment| format!("--set {}", quoted(assignment))));
        outln!("{}", words.join(" "));
    }
    errln!("{} cells, {finished} of them finished", grid.cells.len());
    Ok(())
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Who runs cells of a grid, perhaps beside others.
pub(super) struct Worker<'a> {
    pub(super) grid: &'a Grid,
    pub(super) folder: &'a Folder,
    pub(super) device: &'a str,
    pub(super) quiet: bool,
}

/// What became of a cell.
enum Outcome {
    /// It was at its end already.
    Already,
    /// Another worker is at it.
    Elsewhere,
    /// It was run to its end now.
    Done(Box<Summary>),
}

impl Worker<'_> {
    /// Runs those of `cells` that are not finished, in turn.
    ///
    /// # Errors
    /// If the user interrupts; or, after all others were run, if a cell failed; or if the only one is another worker's.
    pub(super) fn run(&self, cells: &[&Cell]) -> Result<()> {
        interrupt::listen()?;
        let started = Instant::now();
        let before = self.epochs_left(cells)?;
        if !self.quiet {
            errln!(
                "sweep      {}: {}, {} to train",
                self.folder.root().display(),
                counted(cells.len() as u64, "cell"),
                counted(before, "epoch")
            );
        }
        let (mut failed, mut elsewhere) = (Vec::new(), 0);
        for (number, cell) in cells.iter().enumerate() {
            if interrupt::asked() {
                return Err(Error::interrupted("interrupted between two cells; the same command goes on"));
            }
            let begun = Instant::now();
            let outcome = self.one(cell);
            let words = match outcome {
                Ok(Outcome::Already) => continue,
                Ok(Outcome::Elsewhere) => {
                    elsewhere += 1;
                    "another worker is at it".to_owned()
                }
                Ok(Outcome::Done(summary)) => {
                    format!("{}, {}", brief(&summary), duration(begun.elapsed().as_secs_f64()))
                }
                Err(error) if error.is_interrupted() => return Err(error),
                Err(error) => {
                    errln!("cell {}/{}  {} failed: {error}", number + 1, cells.len(), cell.name);
                    failed.push(cell.name.clone());
                    continue;
                }
            };
            if !self.quiet {
                // What other workers did meanwhile counts.
                let left = self.epochs_left(cells)?;
                let rate = before.saturating_sub(left) as f64 / started.elapsed().as_secs_f64().max(1e-9);
                let time = match rate > 0.0 {
                    true => format!("; {} left", duration(left as f64 / rate)),
                    false => String::new(),
                };
                errln!("cell {}/{}  {}: {words}{time}", number + 1, cells.len(), cell.name);
            }
        }
        if let ([cell], 1) = (cells, elsewhere) {
            // A scheduler that waits for this cell must not take it for finished.
            let name = &cell.name;
            return Err(Error::check(format!(
                "cell {name} is in another worker's hands, and not finished by this one"
            )));
        }
        if !self.quiet && elsewhere > 0 {
            let are = if elsewhere == 1 { "cell is" } else { "cells are" };
            errln!(
                "{elsewhere} {are} in other workers' hands; the same command runs what they leave unfinished"
            );
        }
        if failed.is_empty() {
            return Ok(());
        }
        Err(Error::check(format!(
            "{} of {} cells failed, and the others were run: {}",
            failed.len(),
            cells.len(),
            failed.join("; ")
        )))
    }

    fn epochs_left(&self, cells: &[&Cell]) -> Result<u64> {
        let mut left = 0;
        for cell in cells {
            if matches!(self.folder.state(&cell.name)?, State::New | State::Unfinished) {
                left += cell.recipe.epochs;
            }
        }
        Ok(left)
    }

    fn one(&self, cell: &Cell) -> Result<Outcome> {
        let root = self.folder.cell(&cell.name);
        if let Ok(run) = Run::open(&root) {
            // Another worker may have begun it with another grid, after this one looked.
            if let Some(difference) = run.differs_from(&cell.recipe)? {
                return Err(Error::input(format!(
                    "{}: holds a run of another recipe than this grid's cell ({difference}); give the grid another name, or delete it",
                    root.display()
                )));
            }
            if run.is_finished()? {
                self.score(cell)?;
                return Ok(Outcome::Already);
            }
        }
        self.folder.note_failure(&cell.name, None)?;
        let manner = Manner {
            quiet: self.quiet || !std::io::stderr().is_terminal(),
            tensorboard: false,
            checkpoint_every: Some(CHECKPOINTS),
            stop_after: None,
        };
        let carried = || {
            let device = device::open(self.device)?;
            let described = device.described(self.device);
            carry_out(&Plan::new(cell.recipe.clone(), device)?, &root, &cell.name, &described, manner)
        };
        match carried() {
            Ok((_, summary)) => {
                self.score(cell)?;
                Ok(Outcome::Done(Box::new(summary)))
            }
            Err(error) if error.is_interrupted() => Err(error),
            Err(error) if error.is_busy() => Ok(Outcome::Elsewhere),
            // Another worker may have come to its end between the two looks.
            Err(_) if self.folder.state(&cell.name)? == State::Finished => Ok(Outcome::Already),
            Err(error) => {
                self.folder.note_failure(&cell.name, Some(&error))?;
                Err(error)
            }
        }
    }

    /// Takes what a selection chooses by, where the grid names one.
    fn score(&self, cell: &Cell) -> Result<()> {
        if self.grid.select.is_none() {
            return Ok(());
        }
        let run = Run::open(&self.folder.cell(&cell.name))?;
        if Score::load(&run).is_none() {
            let plan = Plan::of_run(&run, device::open(self.device)?)?;
            Score::take(&run, &plan)?;
        }
        Ok(())
    }
}

/// How often a cell saves, beside the ends of epochs.
const CHECKPOINTS: Duration = Duration::from_secs(600);

/// A cell's result in a few words.
fn brief(summary: &Summary) -> String {
    let row = summary.row("trained backbone");
    let told: Vec<String> =
        [("kNN", Measure::Knn), ("probe", Measure::Probe), ("recall@1", Measure::Retrieval)]
            .into_iter()
            .filter_map(|(name, measure)| Some(format!("{name} {:.1} %", 100.0 * row?.value(measure)?)))
            .collect();
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_them_otherwise() {
        assert_eq!(quoted("sweeps/a/cells/loss=dcl,seed=1"), "sweeps/a/cells/loss=dcl,seed=1");
        assert_eq!(quoted("loss={ name = \"dcl\" }"), "'loss={ name = \"dcl\" }'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
