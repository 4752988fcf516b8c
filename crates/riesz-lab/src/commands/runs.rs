//! `riesz runs`: the runs in a folder, with their results; how two runs differ; where a run's images lie now.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::console::{errln, out, outln};
use crate::protocols::Measure;
use crate::recipe::Recipe;
use crate::report::{self, Evaluated, Summary};
use crate::run::{Epoch, Event, Run};
use crate::sweep::QUANTITIES;
use crate::{Error, Result, own_data};

/// Arguments of `riesz runs`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RunsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The folder that holds run folders, or one of these
    #[arg(default_value = "runs")]
    folder: PathBuf,
    /// JSON, for machines
    #[arg(long)]
    json: bool,
    /// One Markdown table of these runs, which differ in their seed alone: mean ± standard deviation
    #[arg(long, conflicts_with = "json")]
    table: bool,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// The recipe keys, metrics and circumstances in which two runs differ
    Diff(DiffArgs),
    /// Say where a run's images lie now, if they were moved: they must have the names that they had
    Moved(MovedArgs),
}

/// Arguments of `riesz runs moved`.
#[derive(clap::Args)]
struct MovedArgs {
    /// The run folder
    run: PathBuf,
    /// Where its images lie now
    images: String,
}

/// Arguments of `riesz runs diff`.
#[derive(clap::Args)]
struct DiffArgs {
    /// A run folder
    a: PathBuf,
    /// Another
    b: PathBuf,
    /// JSON, for machines
    #[arg(long)]
    json: bool,
}

/// Lists, or compares.
///
/// # Errors
/// If the folder cannot be read.
pub fn run(args: &RunsArgs) -> Result<()> {
    match &args.verb {
        Some(Verb::Diff(args)) => return diff(args),
        Some(Verb::Moved(args)) => return moved(args),
        None => {}
    }
    let folders = folders(&args.folder)?;
    if args.table {
        let runs = folders.iter().filter_map(|folder| Run::open(folder).ok());
        let summaries: Vec<Summary> = runs.map(|run| Summary::load(&run)).collect::<Result<_>>()?;
        out!("{}", report::markdown(&summaries)?);
        return Ok(());
    }
    let read: Vec<Result<Row>> =
        folders.par_iter().filter_map(|folder| Run::open(folder).ok()).map(|run| Row::of(&run)).collect();
    let mut rows = Vec::new();
    for row in read {
        // One damaged run does not hide the others.
        match row {
            Ok(row) => rows.push(row),
            Err(error) => errln!("note: {error}"),
        }
    }
    if args.json {
        let runs: Vec<serde_json::Value> = rows
            .iter()
            .map(|Row { folder, recipe, last, finished, evaluated }| {
                let evaluated = evaluated.as_ref().map(|of| {
                    serde_json::json!({
                        "recall_at_1": of.trained(Measure::Retrieval),
                        "knn": of.trained(Measure::Knn),
                    })
                });
                serde_json::json!({
                    "run": folder.display().to_string(),
                    "loss": recipe.describe_loss(),
                    "trained_with_labels": recipe.learns_labels(),
                    "start_trained_with_labels": recipe.begins_with_labels(),
                    "epochs": recipe.epochs,
                    "seed": recipe.seed,
                    "finished": finished,
                    "evaluation": evaluated,
                    "last_epoch": last,
                })
            })
            .collect();
        outln!("{}", serde_json::json!({ "schema_version": 1, "runs": runs }));
        return Ok(());
    }
    outln!(
        "{:<32} {:<9} {:>8} {:>5} {:>9} {:>9} {:>8}",
        "run",
        "state",
        "epoch",
        "seed",
        "loss",
        "recall@1",
        "kNN"
    );
    let mut has_quick = false;
    for Row { folder, recipe, last, finished, evaluated } in rows {
        let state = if finished { "finished" } else { "unfinished" };
        let (epoch, loss) =
            last.as_ref().map_or((0, "–".to_owned()), |last| (last.epoch, format!("{:.4}", last.loss)));
        let share = |of: fn(&Evaluated) -> Option<f64>, quick: fn(&Epoch) -> Option<f64>| {
            let told = |share: Option<f64>, mark: &str| {
                share.map_or_else(|| "– ".to_owned(), |share| format!("{:.1} %{mark}", 100.0 * share))
            };
            match (&evaluated, &last) {
                (Some(evaluated), _) => told(of(evaluated), " "),
                (None, Some(last)) => told(quick(last), "*"),
                (None, None) => told(None, " "),
            }
        };
        let recall = share(|of| of.trained(Measure::Retrieval), |last| Some(last.recall_at_1));
        let knn = share(|of| of.trained(Measure::Knn), |last| last.knn);
        has_quick |= evaluated.is_none() && last.is_some();
        let line = format!(
            "{:<32} {state:<9} {:>8} {:>5} {loss:>9} {recall:>9} {knn:>8}",
            folder.display(),
            format!("{epoch}/{}", recipe.epochs),
            recipe.seed
        );
        outln!("{}", line.trim_end());
    }
    if has_quick {
        outln!(
            "* not evaluated: the last epoch's quick check, recall@1 of the projector and kNN on fewer images; the others are of the \
             backbone, by the evaluation"
        );
    }
    Ok(())
}

/// What is in a folder, or the folder itself where it is a run's.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    if Run::is_at(folder) {
        return Ok(vec![folder.to_owned()]);
    }
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io(folder, &error))?;
    let mut folders: Vec<PathBuf> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    folders.sort();
    Ok(folders)
}

fn moved(args: &MovedArgs) -> Result<()> {
    let run = Run::open_alone(&args.run)?;
    let data = own_data::moved(&run, &super::train::absolute(&args.images))?;
    outln!("{}: the run's {} images", data.name, data.train.len() + data.test.len());
    Ok(())
}

/// A line of a comparison: what, there, and here.
type Line = (String, String, String);

fn diff(args: &DiffArgs) -> Result<()> {
    let [a, b] = [Side::of(&args.a)?, Side::of(&args.b)?];
    let recipe = differing(&a.recipe, &b.recipe);
    let circumstances = differing(&a.circumstances, &b.circumstances);
    if args.json {
        let metrics: Vec<serde_json::Value> = QUANTITIES
            .iter()
            .zip(a.values.iter().zip(&b.values))
            .filter(|(_, (a, b))| a != b)
            .map(|(quantity, (a, b))| serde_json::json!([quantity.name, a, b]))
            .collect();
        outln!(
            "{}",
            serde_json::json!({
                "schema_version": 1,
                "a": args.a.display().to_string(),
                "b": args.b.display().to_string(),
                "recipe": recipe,
                "metrics": metrics,
                "circumstances": circumstances,
            })
        );
        return Ok(());
    }
    let word = |side: &Side, place: usize| {
        side.values[place].map_or_else(|| "–".to_owned(), |value| QUANTITIES[place].tell(value))
    };
    let metrics: Vec<Line> = (0..QUANTITIES.len())
        .filter(|&place| a.values[place] != b.values[place])
        .map(|place| (QUANTITIES[place].title.to_owned(), word(&a, place), word(&b, place)))
        .collect();
    for (title, lines) in
        [("recipe", recipe), ("metrics (accuracies in %)", metrics), ("circumstances", circumstances)]
    {
        match lines.is_empty() {
            true => outln!("{title}: the same"),
            false => outln!("{title}"),
        }
        for (key, a, b) in lines {
            outln!("  {key:<34} {a:>24}  {b:>24}");
        }
    }
    Ok(())
}

/// A run as it is compared.
struct Side {
    /// Keys with dots and their values.
    recipe: Vec<(String, String)>,
    /// One a quantity; none where the run has no metrics yet.
    values: Vec<Option<f64>>,
    /// What made it.
    circumstances: Vec<(String, String)>,
}

impl Side {
    fn of(folder: &Path) -> Result<Self> {
        let run = Run::open(folder)?;
        let table: toml::Table =
            run.recipe()?.to_toml().parse().expect("a written recipe is a table, as it was read from one");
        let mut recipe = Vec::new();
        flatten("", &table, &mut recipe);
        let summary = run.is_finished()?.then(|| Summary::load(&run)).transpose()?;
        let values = QUANTITIES.iter().map(|quantity| quantity.of(summary.as_ref()?)).collect();
        let environment = run.environment();
        let told = |key: &str| {
            let value = environment.as_ref()?.get(key)?;
            Some((key.to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        };
        let circumstances =
            ["riesz", "commit", "processor", "device", "threads"].into_iter().filter_map(told).collect();
        Ok(Self { recipe, values, circumstances })
    }
}

fn flatten(place: &str, table: &toml::Table, found: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let key = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, found),
            value => found.push((key, value.to_string())),
        }
    }
}

/// Keys whose values differ, or that one side lacks.
fn differing(a: &[(String, String)], b: &[(String, String)]) -> Vec<Line> {
    let mut keys: Vec<&String> = a.iter().chain(b).map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    let of = |side: &[(String, String)], key: &String| {
        side.iter().find(|(other, _)| other == key).map_or_else(|| "–".to_owned(), |(_, value)| value.clone())
    };
    keys.into_iter().map(|key| (key.clone(), of(a, key), of(b, key))).filter(|(_, a, b)| a != b).collect()
}

/// What is told of a run.
struct Row {
    folder: PathBuf,
    recipe: Recipe,
    last: Option<Epoch>,
    finished: bool,
    /// What `metrics.json` has, if the run has one.
    evaluated: Option<Evaluated>,
}

impl Row {
    fn of(run: &Run) -> Result<Self> {
        let events = run.since_last_epoch()?;
        let finished = matches!(events.first(), Some(Event::Done { .. }));
        let last = events.into_iter().find_map(|event| match event {
            Event::Epoch(epoch) => Some(epoch),
            _ => None,
        });
        // What an earlier evaluation found of a run that is not finished is not its result.
        let evaluated = if finished { Evaluated::load(run)? } else { None };
        Ok(Self { folder: run.root().to_owned(), recipe: run.recipe()?, last, finished, evaluated })
    }
}
