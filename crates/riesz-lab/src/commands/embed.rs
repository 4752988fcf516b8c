//! `riesz embed`: the rows that a run's encoder gives to images, in a file that other programs read.

use std::path::{Path, PathBuf};

use riesz::Matrix;

use crate::console::errln;
use crate::data::labels_here;
use crate::embeddings::TENSOR;
use crate::embeddings::stream::{self, Wanted};
use crate::index::{Beside, Embedder, Images, KEY, Split};
use crate::progress::Progress;
use crate::{Error, Result, device, embeddings, interrupt};

use super::outputs;

pub use crate::index::Part;

/// Arguments of `riesz embed`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz embed runs/fashion-mnist-12k --output test.parquet
  riesz embed runs/photos photos/ --output photos.parquet --thumbnails
  riesz embed runs/photos other-photos.zip --output other.npy
  riesz embed runs/photos --part projector --output unit.safetensors

A parquet file is written as the rows come, and is an index for `riesz search` and `riesz duplicates`; the others are held in
memory until the end, and get a CSV of names, labels and classes beside them.")]
pub struct EmbedArgs {
    /// The run folder
    run: PathBuf,
    /// Other images than the run's own: anything that `riesz train` takes
    data: Option<String>,
    /// The file to write: .parquet, .npy or .safetensors
    #[arg(long)]
    output: PathBuf,
    /// Rows of the backbone (the representation) or of the projector (the embedding, as the loss saw it, unit rows)
    #[arg(long, value_enum, default_value_t = Part::Backbone)]
    part: Part,
    /// Which images [default: of the run's own the held-out ones, of others all]
    #[arg(long, value_enum)]
    split: Option<Split>,
    /// Labels of other images: auto, folders, none, or a table (.csv, .tsv, .txt)
    #[arg(long, default_value = "auto", requires = "data")]
    labels: String,
    /// Also small pictures with sides of at most so many pixels; parquet only
    #[arg(long, value_name = "PIXELS", num_args = 0..=1, require_equals = true, default_missing_value = "96")]
    thumbnails: Option<usize>,
    /// Where tensors live: cpu, or a GPU that the program was built for (`riesz train --help`)
    #[arg(long, default_value = "cpu")]
    device: String,
    /// CPU threads [default: all]
    #[arg(long)]
    threads: Option<usize>,
    /// No progress
    #[arg(long)]
    quiet: bool,
}

/// Embeds and writes.
///
/// # Errors
/// Bad use or input, an interruption, or the disk refuses; an existing file is left as it was.
pub fn run(args: &EmbedArgs) -> Result<()> {
    super::train::set_threads(args.threads)?;
    let refused = |what: &str| Err(Error::input(format!("{}: {what}", args.output.display())));
    let format = args.output.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if !["npy", "parquet", "safetensors"].contains(&format) {
        return refused("the file's name must end in .npy, .parquet or .safetensors");
    }
    if args.thumbnails.is_some() && format != "parquet" {
        return refused("holds numbers alone; --thumbnails are for .parquet");
    }
    if let Some(side @ (..8 | 1025..)) = args.thumbnails {
        return Err(Error::input(format!("--thumbnails={side}; expected 8 to 1024 pixels")));
    }
    let inputs = [Some(args.run.join("encoder.safetensors")), args.data.as_ref().map(PathBuf::from)];
    let labels = labels_here(&args.labels);
    let inputs: Vec<PathBuf> = inputs.into_iter().flatten().chain([PathBuf::from(&labels)]).collect();
    outputs::check(&args.output, inputs.iter().map(PathBuf::as_path))?;
    if format != "parquet" {
        let read = inputs.iter().map(PathBuf::as_path);
        let list = outputs::beside(&args.output, "csv", embeddings::is_list_of_rows, read)?;
        if let Some(other) = other_rows(&args.output).filter(|_| list.exists()) {
            let why = format!("tells of the rows in {}; choose another name", other.display());
            return Err(Error::input(why).at(list.display()));
        }
    }
    interrupt::listen()?;
    let sentence = format!("interrupted; {} was not written", args.output.display());
    let opening = interrupt::expendable(sentence.clone());
    let embedder = Embedder::open(&args.run, args.part, &device::open(&args.device)?)?;
    let images = match &args.data {
        None => embedder.own_images(args.split)?,
        Some(source) => Images::open(source, &labels, args.split)?,
    };
    drop(opening);
    for note in images.notes.iter().filter(|_| !args.quiet) {
        errln!("note       {note}");
    }
    let mut progress = images.progress(args.quiet);
    let written = match format {
        "parquet" => to_parquet(args, &embedder, &images, &mut progress),
        _ => to_matrix(args, &embedder, &images, &mut progress),
    };
    let (rows, unreadable) = written.map_err(|error| match error.is_interrupted() {
        true => Error::interrupted(sentence),
        false => error,
    })?;
    progress.finish();
    errln!(
        "{}: {rows} rows of {}, {:.0} images/s{}",
        args.output.display(),
        embedder.dim(),
        progress.rate(),
        match unreadable {
            0 => String::new(),
            1 => ", 1 unreadable image left out".to_owned(),
            some => format!(", {some} unreadable images left out"),
        }
    );
    Ok(())
}

/// Rows in a file of the other format and the same name, of which a CSV of that name tells.
fn other_rows(output: &Path) -> Option<PathBuf> {
    let ending = if output.extension()? == "npy" { "safetensors" } else { "npy" };
    let other = output.with_extension(ending);
    let wanted = Wanted { name: (ending == "safetensors").then(|| TENSOR.to_owned()), texts: Vec::new() };
    stream::open(&other, &wanted).is_ok().then_some(other)
}

/// Writes rows as they come; returns how many, and how many images could not be read.
fn to_parquet(
    args: &EmbedArgs,
    embedder: &Embedder,
    images: &Images,
    progress: &mut Progress,
) -> Result<(usize, usize)> {
    let about = serde_json::to_string(&embedder.about(&images.name, args.thumbnails))
        .map_err(|error| Error::input(error.to_string()))?;
    let columns = embeddings::Columns {
        classes: images.classes.clone(),
        thumbnails: args.thumbnails.is_some(),
        about: Some((KEY.to_owned(), about)),
    };
    let mut file = embeddings::ParquetFile::create(&args.output, columns)?;
    let mut rows = 0;
    let beside = Beside { pixels: true, thumbnails: args.thumbnails };
    let unreadable = embedder.each(&*images.source, beside, progress, |chunk| {
        rows += chunk.items.len();
        file.push(embeddings::Part {
            names: chunk.items.iter().map(|&item| images.source.name(item)).collect(),
            labels: chunk.items.iter().map(|&item| images.source.label(item)).collect(),
            pixels: chunk.pixels,
            thumbnails: chunk.thumbnails,
            rows: chunk.rows,
        })
    })?;
    file.finish()?;
    Ok((rows, unreadable.counts().1))
}

/// Writes all rows at the end; returns how many, and how many images could not be read.
fn to_matrix(
    args: &EmbedArgs,
    embedder: &Embedder,
    images: &Images,
    progress: &mut Progress,
) -> Result<(usize, usize)> {
    let (matrix, items, unreadable) = rows(embedder, images, progress)?;
    let labels: Vec<Option<u32>> = items.iter().map(|&item| images.source.label(item)).collect();
    let names: Vec<String> = items.iter().map(|&item| images.source.name(item)).collect();
    let named = embeddings::Named { names: &names, labels: &labels, classes: &images.classes };
    embeddings::write_named(&args.output, &matrix, named)?;
    Ok((items.len(), unreadable))
}

/// All rows of images, those images' places, and how many others could not be read.
pub(super) fn rows(
    embedder: &Embedder,
    images: &Images,
    progress: &mut Progress,
) -> Result<(Matrix<f32>, Vec<usize>, usize)> {
    let (mut numbers, mut items) = (Vec::new(), Vec::new());
    let unreadable = embedder.each(&*images.source, Beside::default(), progress, |chunk| {
        numbers.extend(chunk.rows.into_vec());
        items.extend(chunk.items);
        Ok(())
    })?;
    Ok((Matrix::new(numbers, embedder.dim()), items, unreadable.counts().1))
}
