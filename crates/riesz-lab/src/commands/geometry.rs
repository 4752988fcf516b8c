//! `riesz geometry`: the health of any embeddings, from any model, at any size.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use riesz::geometry::NEAR_DUPLICATE;

use super::embed::{self, Part};
use super::outputs;
use crate::console::{errln, out, outln};
use crate::geometry::table::{self, Format};
use crate::geometry::{
    self, Gathered, Input, Settings, Told, gather, inputs, labels, partial, report, tell_apart,
};
use crate::index::Embedder;
use crate::run::Run;
use crate::{Error, Result, atomic, device, interrupt};

/// Arguments of `riesz geometry`.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  riesz geometry embeddings.npy                          verdict and metrics
  riesz geometry shards/ --output report.html            a folder of shards, with pictures
  riesz geometry runs/fashion-mnist-12k                  a run's held-out images
  riesz geometry clip.parquet --column image_embedding --labels class --json
  riesz geometry u.npy --pairs v.npy --table latex       with alignment, for a paper
  riesz geometry part-07.npy --partial part-07.state     one of many machines;
  riesz geometry merge part-*.state                      the whole
  riesz geometry --list                                  every metric: definition and source

Files: .npy, .npz, .safetensors, .parquet, .arrow, .feather, .ipc, .csv, .tsv, .jsonl, .json, .vec, .txt, .pt, .pth, .pkl; f16,
bf16, f32, f64; folders of them. Each is read once, block by block. docs/geometry.md explains the numbers."
)]
pub struct GeometryArgs {
    #[command(subcommand)]
    verb: Option<GeometryVerb>,
    /// Files of embeddings, folders of shards, or run folders (their held-out images)
    #[arg(required_unless_present = "list")]
    files: Vec<PathBuf>,
    /// What every metric is: definition and source
    #[arg(long)]
    list: bool,
    /// Files with the other view of each row, in the same order: alignment
    #[arg(long, num_args = 1.., conflicts_with = "pair_by")]
    pairs: Vec<PathBuf>,
    /// A column whose equal values make two rows a matched pair: alignment; a third row of a value is refused
    #[arg(long, value_name = "COLUMN")]
    pair_by: Option<String>,
    /// Labels: a text file with one a line, a column, or an array beside the rows: kNN, linear probe, LiDAR, silhouette
    #[arg(long, value_name = "FILE|COLUMN")]
    labels: Option<String>,
    /// The column of embeddings, the array of an npz or a pickle, or the tensor of a safetensors file; of a CSV, what its columns begin with
    #[arg(long, visible_alias = "name")]
    column: Option<String>,
    /// Of a run folder: rows of the projector (the embedding, as the loss saw it) or of the backbone (the representation)
    #[arg(long, value_enum, default_value_t = Part::Projector)]
    part: Part,
    /// Rows that pairwise metrics look at: all up to so many, else a keyed sample
    #[arg(long, default_value_t = 20_000)]
    sample: usize,
    /// The seed of the sample
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Most memory to take
    #[arg(long, default_value = "2GB", value_parser = geometry::size)]
    memory: u64,
    /// Write the state, to be merged later, instead of telling anything
    #[arg(long, value_name = "OUT", conflicts_with_all = ["labels", "json", "table", "output"])]
    partial: Option<PathBuf>,
    #[command(flatten)]
    telling: Telling,
}

/// How the numbers are told.
#[derive(clap::Args)]
pub struct Telling {
    /// Only these metrics, by name
    #[arg(long, value_delimiter = ',')]
    metrics: Vec<String>,
    /// Cosine from which two rows count as near duplicates
    #[arg(long, default_value_t = NEAR_DUPLICATE)]
    duplicate_cosine: f64,
    /// Everything as JSON
    #[arg(long, conflicts_with = "table")]
    json: bool,
    /// The metrics as a table, with definitions and citations
    #[arg(long, value_enum)]
    table: Option<Format>,
    /// Write a page with pictures
    #[arg(long, value_name = "FILE.html")]
    output: Option<PathBuf>,
    /// CPU threads [default: all]
    #[arg(long)]
    threads: Option<usize>,
    /// No progress, only the result
    #[arg(long)]
    quiet: bool,
}

#[derive(clap::Subcommand)]
enum GeometryVerb {
    /// Join states that --partial wrote, in the order given
    Merge(MergeArgs),
}

/// Arguments of `riesz geometry merge`.
#[derive(clap::Args)]
struct MergeArgs {
    /// Files that --partial wrote
    #[arg(required = true)]
    parts: Vec<PathBuf>,
    /// Write the joined state instead of telling anything
    #[arg(long, value_name = "OUT")]
    partial: Option<PathBuf>,
    #[command(flatten)]
    telling: Telling,
}

/// Measures.
///
/// # Errors
/// Bad use or input, or the disk refuses.
pub fn run(args: &GeometryArgs) -> Result<()> {
    if let Some(GeometryVerb::Merge(args)) = &args.verb {
        return merge(args);
    }
    if args.list {
        out!("{}", table::list());
        return Ok(());
    }
    args.telling.check(args.labels.is_some())?;
    super::train::set_threads(args.telling.threads)?;
    interrupt::listen()?;
    let reading = interrupt::expendable(NOTHING.to_owned());
    let files = with_runs(&args.files, args.part, args.telling.quiet)?;
    let pairs = if args.pairs.is_empty() { None } else { Some(inputs(&args.pairs)?) };
    let settings = Settings {
        name: args.column.clone(),
        sample: args.sample,
        seed: args.seed,
        memory: args.memory,
        pair_by: args.pair_by.clone(),
        labels: args.labels.as_deref().map(labels::Wanted::parse),
        quiet: args.telling.quiet,
    };
    for output in [&args.partial, &args.telling.output].into_iter().flatten() {
        let read = files.iter().chain(pairs.iter().flatten()).map(|input| input.path.as_path());
        outputs::check(output, read.chain(args.labels.as_deref().map(Path::new)))?;
    }
    if settings.sample == 1 {
        return Err(Error::input("--sample is 1; a pair takes 2 rows, and 0 leaves pairwise metrics out"));
    }
    let gathered = gather(&files, pairs.as_deref(), &settings)?;
    finish(gathered, reading, args.partial.as_deref(), &args.telling)
}

/// What an interruption says before anything is written.
const NOTHING: &str = "interrupted; nothing was written";

/// The files that were given, with each run folder replaced by what its encoder makes of its held-out images.
fn with_runs(paths: &[PathBuf], part: Part, quiet: bool) -> Result<Vec<Input>> {
    let mut files = Vec::new();
    for path in paths {
        if !Run::is_at(path) {
            files.extend(inputs(std::slice::from_ref(path))?);
            continue;
        }
        let embedder = Embedder::open(path, part, &device::open("cpu")?)?;
        let images = embedder.own_images(None)?;
        let mut progress = images.progress(quiet);
        let (rows, ..) = embed::rows(&embedder, &images, &mut progress)?;
        progress.finish();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = format!("{name}, held-out images.npy");
        files.push(Input { path: path.clone(), name, held: Some(Arc::new(rows)) });
    }
    tell_apart(&mut files)?;
    Ok(files)
}

fn merge(args: &MergeArgs) -> Result<()> {
    args.telling.check(false)?;
    super::train::set_threads(args.telling.threads)?;
    interrupt::listen()?;
    let merging = interrupt::expendable(NOTHING.to_owned());
    for output in [&args.partial, &args.telling.output].into_iter().flatten() {
        outputs::check(output, args.parts.iter().map(PathBuf::as_path))?;
    }
    let mut whole: Option<Gathered> = None;
    for path in &args.parts {
        let part = partial::read(path)?;
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => whole.merge(part).map_err(|error| error.at(path.display()))?,
        }
    }
    let whole = whole.ok_or_else(|| Error::input("there are no parts to merge"))?;
    finish(whole, merging, args.partial.as_deref(), &args.telling)
}

/// Writes or tells; until then the work is `expendable`.
fn finish(
    gathered: Gathered,
    expendable: interrupt::Expendable,
    to: Option<&Path>,
    telling: &Telling,
) -> Result<()> {
    if let Some(path) = to {
        let rows = gathered.state.rows();
        gathered.notes.iter().filter(|_| !telling.quiet).for_each(|note| errln!("note       {note}"));
        drop(expendable);
        partial::write(path, gathered)?;
        if !telling.quiet {
            errln!("{}: the state of {rows} rows", path.display());
        }
        return Ok(());
    }
    let told = Told {
        metrics: telling.metrics.clone(),
        duplicate_cosine: telling.duplicate_cosine,
        map: telling.output.is_some(),
    };
    let report = report(gathered, &told)?;
    let page = match &telling.output {
        Some(path) => Some((path, geometry::render(&report)?)),
        None => None,
    };
    drop(expendable);
    if let Some((path, page)) = page {
        atomic::write_bytes(path, page.as_bytes())?;
    }
    match telling.table {
        _ if telling.json => {
            outln!(
                "{}",
                serde_json::to_string_pretty(&report).map_err(|error| Error::input(error.to_string()))?
            );
        }
        Some(format) => out!("{}", table::table(&report, format)),
        None => out!("{}", table::plain(&report)),
    }
    if let Some(path) = telling.output.as_ref().filter(|_| !telling.quiet) {
        errln!("{}: the report", path.display());
    }
    Ok(())
}

impl Telling {
    /// What can be refused before anything is read.
    fn check(&self, has_labels: bool) -> Result<()> {
        geometry::chosen(&self.metrics, has_labels)?;
        self.output.as_ref().map_or(Ok(()), |page| outputs::check_page(page, []))?;
        if !(-1.0..=1.0).contains(&self.duplicate_cosine) {
            return Err(Error::input(format!(
                "--duplicate-cosine is {}; expected a cosine, in [-1, 1]",
                self.duplicate_cosine
            )));
        }
        Ok(())
    }
}
