//! `riesz runs`: the runs in a folder, with their results.

use std::path::PathBuf;

use crate::console::{errln, out, outln};
use crate::recipe::Recipe;
use crate::report::{self, Summary};
use crate::run::{Epoch, Event, Run};
use crate::{Error, Result};

/// Arguments of `riesz runs`.
#[derive(clap::Args)]
pub struct RunsArgs {
    /// The folder that holds run folders
    #[arg(default_value = "runs")]
    folder: PathBuf,
    /// JSON, for machines
    #[arg(long)]
    json: bool,
    /// One Markdown table of these runs, which differ in their seed alone: mean ± standard deviation
    #[arg(long, conflicts_with = "json")]
    table: bool,
}

/// Lists.
///
/// # Errors
/// If the folder cannot be read.
pub fn run(args: &RunsArgs) -> Result<()> {
    let entries = std::fs::read_dir(&args.folder).map_err(|error| Error::io(&args.folder, &error))?;
    let mut folders: Vec<PathBuf> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    folders.sort();
    if args.table {
        let runs = folders.iter().filter_map(|folder| Run::open(folder).ok());
        let summaries: Vec<Summary> = runs.map(|run| Summary::load(&run)).collect::<Result<_>>()?;
        out!("{}", report::markdown(&summaries)?);
        return Ok(());
    }
    let mut rows = Vec::new();
    for folder in folders {
        let Ok(run) = Run::open(&folder) else { continue };
        // One damaged run does not hide the others.
        match Row::of(&run) {
            Ok(row) => rows.push(row),
            Err(error) => errln!("note: {error}"),
        }
    }
    if args.json {
        let runs: Vec<serde_json::Value> = rows
            .iter()
            .map(|Row { folder, recipe, last, finished }| {
                serde_json::json!({
                    "run": folder.display().to_string(),
                    "loss": recipe.loss.describe(),
                    "epochs": recipe.epochs,
                    "seed": recipe.seed,
                    "finished": finished,
                    "last_epoch": last,
                })
            })
            .collect();
        outln!("{}", serde_json::json!({ "schema_version": 1, "runs": runs }));
        return Ok(());
    }
    outln!(
        "{:<32} {:<9} {:>8} {:>5} {:>9} {:>8} {:>7}",
        "run",
        "state",
        "epoch",
        "seed",
        "loss",
        "recall@1",
        "kNN"
    );
    for Row { folder, recipe, last, finished } in rows {
        let state = if finished { "finished" } else { "unfinished" };
        let (epoch, loss, recall, knn) = last.map_or_else(
            || (0, "–".to_owned(), "–".to_owned(), "–".to_owned()),
            |last| {
                let knn = last.knn.map_or_else(|| "–".to_owned(), |knn| format!("{:.1} %", 100.0 * knn));
                (last.epoch, format!("{:.4}", last.loss), format!("{:.3}", last.recall_at_1), knn)
            },
        );
        outln!(
            "{:<32} {state:<9} {:>8} {:>5} {loss:>9} {recall:>8} {knn:>7}",
            folder.display(),
            format!("{epoch}/{}", recipe.epochs),
            recipe.seed
        );
    }
    Ok(())
}

/// What is told of a run.
struct Row {
    folder: PathBuf,
    recipe: Recipe,
    last: Option<Epoch>,
    finished: bool,
}

impl Row {
    fn of(run: &Run) -> Result<Self> {
        let last = run.events()?.into_iter().rev().find_map(|event| match event {
            Event::Epoch(epoch) => Some(epoch),
            _ => None,
        });
        Ok(Self { folder: run.root().to_owned(), recipe: run.recipe()?, last, finished: run.is_finished()? })
    }
}
