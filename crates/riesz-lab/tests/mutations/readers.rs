//! The readers, each with the files that it begins with.

use std::path::{Path, PathBuf};

use riesz_lab::data::{DataRecipe, open};
use riesz_lab::embeddings;
use riesz_lab::finetune::{Classifier, Finetuned};
use riesz_lab::index::Stored;
use riesz_lab::pretrained::Weights;
use riesz_lab::recipe::Recipe;
use riesz_lab::report::Summary;
use riesz_lab::run::Run;
use riesz_lab::sweep::{Folder, Grid};
use riesz_lab::train::checkpoint::Checkpoint;
use riesz_lab::{encoder, geometry};

use super::seeds;

/// A reader.
pub(crate) struct Reader {
    /// What it is called, here and in `cases/`.
    pub(crate) name: &'static str,
    /// The name of the damaged file, below a folder of the reader's.
    pub(crate) file: &'static str,
    /// Whole files.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// Reads all that the file has.
    pub(crate) read: fn(&Path) -> Result<(), String>,
    /// Makes checksums right again, without which damage would not get far.
    pub(crate) mend: Option<fn(&mut [u8])>,
}

const fn reader(
    name: &'static str,
    file: &'static str,
    seeds: fn() -> Vec<Vec<u8>>,
    read: fn(&Path) -> Result<(), String>,
) -> Reader {
    Reader { name, file, seeds, read, mend: None }
}

/// All of them.
pub(crate) const READERS: [Reader; 50] = [
    Reader { mend: Some(seeds::mend_png), ..reader("png", "a.png", seeds::png, folder_of) },
    reader("jpeg", "a.jpg", seeds::jpeg, folder_of),
    reader("bmp", "a.bmp", seeds::bmp, folder_of),
    reader("tiff", "a.tiff", seeds::tiff, folder_of),
    reader("webp", "a.webp", seeds::webp, folder_of),
    reader("gif", "a.gif", seeds::gif, folder_of),
    reader("pnm", "a.ppm", seeds::pnm, folder_of),
    reader("tar", "a.tar", seeds::tar, images),
    reader("tar.gz", "a.tar.gz", seeds::tar_gz, images),
    reader("tar.xz", "a.tar.xz", seeds::tar_xz, images),
    reader("tar.zst", "a.tar.zst", seeds::tar_zst, images),
    reader("zip", "a.zip", seeds::zip, images),
    reader("shards", "s/train-00.tar", seeds::shards, folder_of),
    reader("hub", "h/train-00000-of-00001.parquet", seeds::hub, hub),
    reader("idx", "raw/train-images-idx3-ubyte", seeds::idx, images),
    reader("cifar", "c/data_batch_1.bin", seeds::cifar, |path| {
        seeds::cifar_around(path);
        folder_of(path)
    }),
    reader("cifar-pickle", "c/data_batch_1", seeds::cifar_pickle, |path| {
        seeds::cifar_pickle_around(path);
        folder_of(path)
    }),
    reader("stl", "s/train_X.bin", seeds::stl, |path| {
        seeds::stl_around(path);
        folder_of(path)
    }),
    reader("list", "list.txt", seeds::list, listed),
    reader("labels", "labels.csv", seeds::labels, labeled),
    reader("npy", "a.npy", seeds::npy, rows),
    reader("npz", "a.npz", seeds::npz, rows),
    reader("safetensors", "a.safetensors", seeds::safetensors, rows),
    reader("npz-labels", "a.npz", seeds::npz_labels, rows_with_labels),
    reader("tensor-labels", "a.safetensors", seeds::safetensors_labels, rows_with_labels),
    reader("parquet", "a.parquet", seeds::parquet, rows),
    reader("arrow", "a.arrow", seeds::arrow, rows),
    reader("csv", "a.csv", seeds::csv, rows),
    reader("jsonl", "a.jsonl", seeds::jsonl, |path| rows_beside(path, &["id".to_owned()])),
    reader("json", "a.json", seeds::json, rows),
    reader("words", "a.vec", seeds::words, |path| rows_beside(path, &["word".to_owned()])),
    reader("torch", "a.pt", seeds::torch, rows),
    reader("torch-labels", "a.pt", seeds::torch_labels, rows_with_labels),
    reader("pickle", "a.pkl", seeds::pickle, rows),
    reader("partial", "a.state", seeds::partial, |path| one(geometry::partial::read(path))),
    reader("recipe", "a.toml", seeds::recipes, recipe),
    reader("grid", "a.toml", seeds::grids, |path| one(Grid::read(path))),
    reader("encoder", "encoder.safetensors", seeds::encoder, |path| {
        one(encoder::open(path, &seeds::device()))
    }),
    reader("classifier", "classifier.safetensors", seeds::classifier, |path| one(Classifier::read(path))),
    reader("finetune", "finetune.json", seeds::finetune, |path| {
        one(Finetuned::read(path).map(|found| found.card()))
    }),
    reader("weights", "w.safetensors", seeds::weights, |path| {
        one(Weights::read(path).and_then(|weights| weights.recipe_keys()))
    }),
    reader("torch-weights", "w.pth", seeds::torch_weights, |path| one(Weights::read(path))),
    reader("index", "index.parquet", seeds::index, index),
    reader("checkpoint", "last.safetensors", seeds::checkpoint, |path| one(Checkpoint::load(path))),
    reader("log", "log.jsonl", seeds::log, |path| run(path, |run| one(run.events()))),
    reader("timing", "timing.jsonl", seeds::timing, |path| run(path, |run| one(run.timings()))),
    reader("metrics", "metrics.json", seeds::metrics, |path| run(path, |run| one(Summary::load(run)))),
    reader("report", "metrics.json", seeds::metrics, |path| run(path, report)),
    reader("sweep", "s/cells.json", seeds::sweep, sweep),
    reader("run-recipe", "recipe.toml", seeds::run_recipe, |path| run(path, |run| one(run.recipe()))),
];

fn one<T>(result: riesz_lab::Result<T>) -> Result<(), String> {
    result.map(|_| ()).map_err(|error| error.to_string())
}

fn source(path: &Path, labels: &str) -> Result<(), String> {
    let source = path.to_str().ok_or("a path of this test is UTF-8")?.to_owned();
    let recipe = DataRecipe { source, labels: labels.to_owned(), held_out: 0.0, limit: None };
    let data = open(&recipe, 0).map_err(|error| error.to_string())?;
    let mut last = Ok(());
    for source in [&data.train, &data.test] {
        for item in 0..source.len().min(64) {
            let (_, _) = (source.name(item), source.label(item));
            if let Err(error) = source.image(item) {
                last = Err(error.to_string());
            }
        }
    }
    last
}

/// The images of a file.
fn images(path: &Path) -> Result<(), String> {
    source(path, "auto")
}

/// The images of a file's folder.
fn folder_of(path: &Path) -> Result<(), String> {
    source(path.parent().ok_or("it has a folder")?, "auto")
}

/// A folder of parquet files; one of the images of the whole files is named and not there.
fn hub(path: &Path) -> Result<(), String> {
    folder_of(path).or_else(|error| if error.contains("only named by a path") { Ok(()) } else { Err(error) })
}

/// The folder `photos` beside a file, with three images.
fn photos(path: &Path) -> Result<PathBuf, String> {
    let photos = path.with_file_name("photos");
    if !photos.exists() {
        std::fs::create_dir_all(&photos).map_err(|error| error.to_string())?;
        for name in ["a.png", "b.png", "c.png"] {
            std::fs::write(photos.join(name), &seeds::png()[0]).map_err(|error| error.to_string())?;
        }
    }
    Ok(photos)
}

/// Images whose labels are in the table.
fn labeled(path: &Path) -> Result<(), String> {
    source(&photos(path)?, path.to_str().ok_or("a path of this test is UTF-8")?)
}

/// Images whose paths are in the list.
fn listed(path: &Path) -> Result<(), String> {
    photos(path)?;
    images(path)
}

/// All rows of a file of embeddings, in blocks, then all at once.
fn rows(path: &Path) -> Result<(), String> {
    rows_beside(path, &[])
}

/// All rows, and beside each what an array of the same file says.
fn rows_with_labels(path: &Path) -> Result<(), String> {
    rows_beside(path, &["labels".to_owned()])
}

fn rows_beside(path: &Path, texts: &[String]) -> Result<(), String> {
    let wanted = embeddings::stream::Wanted { name: None, texts: texts.to_vec() };
    let mut stream = embeddings::stream::open(path, &wanted).map_err(|error| error.to_string())?;
    let mut found = 0;
    while let Some(block) = stream.block().map_err(|error| error.to_string())? {
        assert_eq!(block.rows.dim(), stream.dim());
        assert!(
            block.texts.len() == texts.len() && block.texts.iter().all(|of| of.len() == block.rows.len())
        );
        found += block.rows.len() as u64;
    }
    assert!(stream.rows().is_none_or(|said| said == found), "{found} rows of {:?}", stream.rows());
    Ok(())
}

/// An index, its rows and its pictures.
fn index(path: &Path) -> Result<(), String> {
    let stored = Stored::open(path).map_err(|error| error.to_string())?;
    one(stored.each(|_| Ok(())))?;
    let pictures = stored.pictures().map_err(|error| error.to_string())?;
    (0..pictures.len().min(8)).try_for_each(|item| one(pictures.image(item)))
}

fn recipe(path: &Path) -> Result<(), String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    one(Recipe::resolve(&String::from_utf8_lossy(&text), &[], "a.toml"))
}

/// A finished run with one file damaged.
fn run(path: &Path, read: fn(&Run) -> Result<(), String>) -> Result<(), String> {
    let folder = path.parent().ok_or("it has a folder")?;
    seeds::run_around(path);
    Run::open(folder).map_err(|error| error.to_string()).and_then(|run| read(&run))
}

fn report(run: &Run) -> Result<(), String> {
    let summary = Summary::load(run).map_err(|error| error.to_string())?;
    one(riesz_lab::report::render(&summary))
}

fn sweep(path: &Path) -> Result<(), String> {
    let parent = path.parent().and_then(Path::parent).ok_or("it has a folder")?;
    Folder::open(parent, "s").map_err(|error| error.to_string()).and_then(|folder| one(folder.contents()))
}
