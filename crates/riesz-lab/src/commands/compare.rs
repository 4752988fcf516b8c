//! `riesz compare`: two encoders or checkpoints on the same items.

use std::path::{Path, PathBuf};

use crate::console::{out, outln};
use crate::geometry::compare::{Comparison, Settings, check_name, compare};
use crate::geometry::condition::Condition;
use crate::geometry::{self, inputs, table};
use crate::run::Run;
use crate::{Error, Result, interrupt};

/// Arguments of `riesz compare`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz compare clip-a.npy clip-b.npy
  riesz compare old.parquet new.parquet --fail-if 'effective_rank_b < 0.9*effective_rank_a' --fail-if 'linear_cka < 0.8'

Row i of both is the same item, by its name too where both have a column name, id, path, filename or file (an npy file's is in the CSV
beside it); dimensions may differ. In a condition are numbers, + - * / and parentheses, linear_cka,
procrustes, knn_overlap, and the metrics of `riesz geometry --list` but alignment and the lengths, with _a or _b behind their names.
Exit code 1 if one holds.")]
pub struct CompareArgs {
    /// The file or folder of embeddings A
    a: PathBuf,
    /// That of B
    b: PathBuf,
    /// A condition that shall not hold
    #[arg(long, value_name = "CONDITION")]
    fail_if: Vec<String>,
    /// k of the kNN overlap
    #[arg(long, default_value_t = 10)]
    k: usize,
    /// The column, array or tensor of A, and of B if --column-b is not given
    #[arg(long, visible_alias = "name")]
    column: Option<String>,
    /// That of B
    #[arg(long)]
    column_b: Option<String>,
    /// Pair rows by their places alone, though the items' names differ
    #[arg(long)]
    by_place: bool,
    /// Items that pairwise metrics and neighbors look at: all up to so many, else a keyed sample
    #[arg(long, default_value_t = 10_000)]
    sample: usize,
    /// The seed of the sample
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Most memory to take
    #[arg(long, default_value = "4GB", value_parser = geometry::size)]
    memory: u64,
    /// Everything as JSON
    #[arg(long)]
    json: bool,
    /// CPU threads [default: all]
    #[arg(long)]
    threads: Option<usize>,
    /// No progress, only the result
    #[arg(long)]
    quiet: bool,
}

/// Compares.
///
/// # Errors
/// Bad use or input; or a condition of --fail-if holds.
pub fn run(args: &CompareArgs) -> Result<()> {
    let conditions: Vec<Condition> =
        args.fail_if.iter().map(|text| Condition::parse(text)).collect::<Result<_>>()?;
    conditions.iter().flat_map(Condition::names).try_for_each(check_name)?;
    super::train::set_threads(args.threads)?;
    interrupt::listen()?;
    let _reading = interrupt::expendable("interrupted; nothing was written".to_owned());
    [&args.a, &args.b].into_iter().try_for_each(|path| refuse_run(path, args))?;
    let settings = Settings {
        names: [args.column.clone(), args.column_b.clone().or_else(|| args.column.clone())],
        sample: args.sample,
        seed: args.seed,
        neighbors: args.k,
        by_place: args.by_place,
        memory: args.memory,
        quiet: args.quiet,
    };
    let found =
        compare(&inputs(std::slice::from_ref(&args.a))?, &inputs(std::slice::from_ref(&args.b))?, &settings)?;
    if args.json {
        outln!("{}", serde_json::to_string_pretty(&found).map_err(|error| Error::input(error.to_string()))?);
    } else {
        tell(&found);
    }
    let mut failed = Vec::new();
    for condition in &conditions {
        if condition.holds(&|name| found.value(name))? {
            failed.push(condition.text());
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Error::check(format!("--fail-if holds: {}", failed.join("; "))))
    }
}

/// Refuses a run's folder: it has an encoder, and no rows of items that both sides share.
fn refuse_run(path: &Path, args: &CompareArgs) -> Result<()> {
    if !Run::is_at(path) {
        return Ok(());
    }
    let made = [(&args.a, "a.parquet"), (&args.b, "b.parquet")].map(|(side, file)| match Run::is_at(side) {
        true => (Some(format!("`riesz embed {} IMAGES --output {file}`", side.display())), file.to_owned()),
        false => (None, side.display().to_string()),
    });
    let [(a, of_a), (b, of_b)] = made;
    let embed: Vec<String> = [a, b].into_iter().flatten().collect();
    Err(Error::input(format!(
        "{}: a run; compare takes rows of the same images: {}, and then `riesz compare {of_a} {of_b}`",
        path.display(),
        embed.join(" and ")
    )))
}

fn tell(found: &Comparison) {
    outln!("\n{} items, {} numbers a row in A and {} in B\n", found.rows, found.dims[0], found.dims[1]);
    for value in &found.likeness {
        let name = match value.name.as_str() {
            "knn_overlap" if found.looked_at < found.rows => {
                format!("kNN overlap at {} of {} rows", found.neighbors, found.looked_at)
            }
            "knn_overlap" => format!("kNN overlap at {}", found.neighbors),
            "linear_cka" => "linear CKA".to_owned(),
            name => format!("{name} distance"),
        };
        outln!("  {name:<34}{}", table::with_interval(value));
    }
    outln!("\n  {:<34}{:>12}{:>12}   B − A, 95 % interval", "", "A", "B");
    for metric in &found.metrics {
        let number = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), table::figure);
        let name = metric.name.replace('_', " ");
        out!(
            "  {name:<34}{:>12}{:>12}   {}\n",
            number(metric.a),
            number(metric.b),
            table::with_interval(&metric.difference)
        );
    }
    if !found.notes.is_empty() {
        outln!("");
    }
    found.notes.iter().for_each(|note| outln!("{note}"));
    if found.looked_at < found.rows {
        outln!(
            "\nPairwise metrics and neighbors: a keyed sample of {} of {} items; --sample looks at more.\n\
             kNN overlap, intrinsic dimension and hubness are those of as many rows, and so is the overlap's interval: among all\n\
             items neighbors are nearer, and fewer of them may be shared.",
            found.looked_at,
            found.rows
        );
    }
}
