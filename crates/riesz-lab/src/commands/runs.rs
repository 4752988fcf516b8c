//! `riesz runs`: the runs in a folder, with their results.

#![expect(clippy::print_stdout, reason = "printing is this command's work")]

use std::path::PathBuf;

use crate::report::{self, Summary};
use crate::run::{Event, Run};
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
        print!("{}", report::markdown(&summaries)?);
        return Ok(());
    }
    let mut rows = Vec::new();
    for folder in folders {
        let Ok(run) = Run::open(&folder) else { continue };
        let recipe = run.recipe()?;
        let events = run.events()?;
        let last = events.iter().rev().find_map(|event| match event {
            Event::Epoch(epoch) => Some(epoch.clone()),
            _ => None,
        });
        rows.push((folder, recipe, last, run.is_finished()?));
    }
    if args.json {
        let runs: Vec<serde_json::Value> = rows
            .iter()
            .map(|(folder, recipe, last, finished)| {
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
        println!("{}", serde_json::json!({ "schema_version": 1, "runs": runs }));
        return Ok(());
    }
    println!(
        "{:<32} {:<9} {:>8} {:>5} {:>9} {:>8} {:>7}",
        "run", "state", "epoch", "seed", "loss", "recall@1", "kNN"
    );
    for (folder, recipe, last, finished) in rows {
        let state = if finished { "finished" } else { "unfinished" };
        let (epoch, loss, recall, knn) = last.map_or_else(
            || (0, "–".to_owned(), "–".to_owned(), "–".to_owned()),
            |last| {
                let knn = last.knn.map_or_else(|| "–".to_owned(), |knn| format!("{:.1} %", 100.0 * knn));
                (last.epoch, format!("{:.4}", last.loss), format!("{:.3}", last.recall_at_1), knn)
            },
        );
        println!(
            "{:<32} {state:<9} {:>8} {:>5} {loss:>9} {recall:>8} {knn:>7}",
            folder.display(),
            format!("{epoch}/{}", recipe.epochs),
            recipe.seed
        );
    }
    Ok(())
}
