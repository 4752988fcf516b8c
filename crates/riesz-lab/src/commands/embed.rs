//! `riesz embed`: the rows that a run's encoder gives to images, in a file that other programs read.

use std::path::{Path, PathBuf};

use riesz::Matrix;

use crate::console::errln;
use crate::data::{self, DataRecipe, Source};
use crate::device::{self, Device};
use crate::progress::Progress;
use crate::run::Run;
use crate::train::measure::{Shown, Viewer, readable, unit_rows};
use crate::{Error, Result, embeddings, encoder, interrupt};

/// Arguments of `riesz embed`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz embed runs/fashion-mnist-12k --output test.parquet
  riesz embed runs/photos other-photos/ --output other.npy
  riesz embed runs/photos --part projector --output unit.safetensors

An npy file gets a CSV of names beside it.")]
pub struct EmbedArgs {
    /// The run folder
    run: PathBuf,
    /// Other images than the run's own: anything that `riesz train` takes
    data: Option<String>,
    /// The file to write: .npy, .parquet or .safetensors
    #[arg(long)]
    output: PathBuf,
    /// Rows of the backbone (the representation) or of the projector (the embedding, as the loss saw it, unit rows)
    #[arg(long, value_enum, default_value_t = Part::Backbone)]
    part: Part,
    /// Which images [default: of the run's own the held-out ones, of others all]
    #[arg(long, value_enum)]
    split: Option<Split>,
    /// Where tensors live: cpu, or a GPU that the program was built for (`riesz train --help`)
    #[arg(long, default_value = "cpu")]
    device: String,
    /// CPU threads [default: all]
    #[arg(long)]
    threads: Option<usize>,
}

/// Which rows of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The backbone's output h.
    Backbone,
    /// The projector's output z, scaled to unit rows.
    Projector,
}

/// Which images of a data set.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// Those trained on.
    Train,
    /// Those held out.
    Test,
    /// Both, training images first.
    All,
}

/// Embeds and writes.
///
/// # Errors
/// Bad use or input, or the disk refuses; an existing file is left as it was.
pub fn run(args: &EmbedArgs) -> Result<()> {
    super::train::set_threads(args.threads)?;
    let format =
        args.output.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_owned();
    if !["npy", "parquet", "safetensors"].contains(&format.as_str()) {
        return Err(Error::input(format!(
            "{}: the file's name must end in .npy, .parquet or .safetensors",
            args.output.display()
        )));
    }
    interrupt::listen();
    let embedding = interrupt::expendable(format!("interrupted; {} was not written", args.output.display()));
    let device = device::open(&args.device)?;
    let Embedded { rows: matrix, names, labels, unreadable } =
        embed(&args.run, args.data.as_deref(), args.part, args.split, &device)?;
    drop(embedding);
    match format.as_str() {
        "npy" => {
            embeddings::write_npy(&args.output, &matrix)?;
            embeddings::write_names(&args.output.with_extension("csv"), &names, &labels)?;
        }
        "parquet" => embeddings::write_parquet(&args.output, &names, Some(&labels), &matrix)?,
        _ => embeddings::write_safetensors(&args.output, &[("embeddings", &matrix)], Some(&labels))?,
    }
    errln!(
        "{}: {} rows of {}{}",
        args.output.display(),
        matrix.len(),
        matrix.dim(),
        if unreadable == 0 { String::new() } else { format!(", {unreadable} unreadable images left out") }
    );
    Ok(())
}

/// Rows of images, in order.
pub(super) struct Embedded {
    pub(super) rows: Matrix<f32>,
    names: Vec<String>,
    labels: Vec<Option<u32>>,
    unreadable: usize,
}

/// The rows that a run's encoder gives to its own images, or to those of `data`.
pub(super) fn embed(
    run: &Path,
    source: Option<&str>,
    part: Part,
    split: Option<Split>,
    device: &Device,
) -> Result<Embedded> {
    let run = Run::open(run)?;
    let recipe = run.recipe()?;
    let encoder = encoder::open(&run.path("encoder.safetensors"), device)?;
    let augment = recipe.augment.plan()?;
    recipe.encoder.check_room(augment.size(), augment.channels())?;
    let viewer = Viewer { augment: &augment, seed: recipe.seed };
    // Other images are none of the run's: its labels, limit and share held out do not concern them.
    let (images, usual) = match source {
        None => (recipe.data, Split::Test),
        Some(source) => {
            let (source, labels) = (source.to_owned(), "auto".to_owned());
            (DataRecipe { source, labels, held_out: 0.0, limit: None }, Split::All)
        }
    };
    let data = data::open(&images, recipe.seed)?;

    let mut rows: Option<Vec<f32>> = None;
    let (mut dim, mut names, mut labels) = (0, Vec::new(), Vec::new());
    let splits: &[&dyn Source] = match split.unwrap_or(usual) {
        Split::Train => &[&*data.train],
        Split::Test => &[&*data.test],
        Split::All => &[&*data.train, &*data.test],
    };
    let total: usize = splits.iter().map(|source| source.len()).sum();
    if total == 0 {
        return Err(Error::input(format!("{}: has no images of that split; leave --split out", data.name)));
    }
    let mut progress = Progress::new("embedding", "images", 0, total as u64, false);
    let mut unreadable = 0;
    for source in splits {
        for first in (0..source.len()).step_by(1000) {
            let chunk: Vec<usize> = (first..source.len().min(first + 1000)).collect();
            let (items, left_out) = readable(*source, chunk.clone());
            unreadable += left_out.len();
            for (item, reason) in &left_out {
                progress.say(&format!("left out {}: {reason}", source.name(*item)));
            }
            if !items.is_empty() {
                let (h, z) = viewer.embed(&*encoder, *source, &items, Shown::Clean)?;
                let taken = match part {
                    Part::Backbone => h,
                    Part::Projector => {
                        let mut unit = z;
                        unit_rows(&mut unit)?;
                        unit
                    }
                };
                dim = taken.dim();
                rows.get_or_insert_default().extend(taken.into_vec());
                names.extend(items.iter().map(|&item| source.name(item)));
                labels.extend(items.iter().map(|&item| source.label(item)));
            }
            progress.advance(chunk.len() as u64, String::new);
        }
    }
    progress.finish();
    let rows =
        rows.ok_or_else(|| Error::input(format!("{}: none of {total} images can be read", data.name)))?;
    Ok(Embedded { rows: Matrix::new(rows, dim), names, labels, unreadable })
}
