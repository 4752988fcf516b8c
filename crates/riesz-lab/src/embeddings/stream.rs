//! A file of embeddings as a stream of blocks of rows, so that no file is ever held whole.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use riesz::Matrix;

use super::numbers::Shapes;
use super::rows::Rows;
use super::source::{BLOCK, Failure, Source};
pub use super::source::{Block, Wanted};
use super::table::Dimensions;
use super::{arrow, beside, json, npy, npz, parquet_rows, pickled, safetensors, text, words};
use crate::{Error, Result, foreign, input};

/// An open file of embeddings.
pub struct Stream {
    path: PathBuf,
    source: Box<dyn Source>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({})", self.path.display())
    }
}

impl Stream {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Numbers a row.
    pub fn dim(&self) -> usize {
        self.source.dim()
    }

    /// How many rows, where the file says it before they are read.
    pub fn rows(&self) -> Option<u64> {
        self.source.rows()
    }

    /// K, if the rows are those of an array [K, N, d], as [`open_stacked`] takes them.
    pub fn views(&self) -> Option<usize> {
        self.source.views()
    }

    /// The columns of the numbers, where a table has one for each dimension, with a name.
    pub fn dimensions(&self) -> Option<&Dimensions> {
        self.source.dimensions()
    }

    /// Where the numbers are, in words, if that was decided by names and first lines.
    pub fn told(&self) -> Option<String> {
        self.source.told()
    }

    /// The next rows, or `None` behind the last.
    ///
    /// # Errors
    /// One sentence with the path if the file is damaged, or holds what is no row of numbers.
    pub fn block(&mut self) -> Result<Option<Block>> {
        self.source.next().map_err(|failure| told(&self.path, failure))
    }
}

/// The endings of files that [`open`] takes.
pub const ENDINGS: [&str; 18] = [
    "npy",
    "npz",
    "safetensors",
    "parquet",
    "arrow",
    "feather",
    "ipc",
    "csv",
    "tsv",
    "jsonl",
    "ndjson",
    "json",
    "pt",
    "pth",
    "pkl",
    "pickle",
    "vec",
    "txt",
];

/// Of these, how many are embeddings wherever they lie.
const PLAIN: usize = 9;

/// Whether files of such an ending may be anything: weights, settings, a vocabulary.
pub fn is_anything(ending: &str) -> bool {
    !ENDINGS[..PLAIN].contains(&ending)
}

/// Whether files of such an ending have arrays, and no columns.
fn is_of_arrays(ending: &str) -> bool {
    ["npy", "npz", "safetensors", "pt", "pth", "pkl", "pickle"].contains(&ending)
}

/// Opens a file of embeddings.
///
/// # Errors
/// One sentence with the path if it cannot be read, is damaged, holds something else than rows of at least one number, or
/// if the names choose none or several.
pub fn open(path: &Path, wanted: &Wanted) -> Result<Stream> {
    open_of(path, wanted, Shapes::Matrix)
}

/// The same, and of npy, npz and safetensors an array [views, rows, columns] too: rows of one view above those of the next.
///
/// # Errors
/// As [`open`].
pub fn open_stacked(path: &Path, wanted: &Wanted) -> Result<Stream> {
    open_of(path, wanted, Shapes::Stacked)
}

fn open_of(path: &Path, wanted: &Wanted, shapes: Shapes) -> Result<Stream> {
    let disk = |error| Error::io(path, &error);
    let Some(file) = input::open(path).map_err(disk)? else {
        let found = if path.is_dir() { "is a folder" } else { "not a plain file" };
        return Err(Error::input(format!("{found}; expected a file of embeddings")).at(path.display()));
    };
    let (length, name) = (file.metadata().map_err(disk)?.len(), wanted.name.as_deref());
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_lowercase);
    let ending = ending.as_deref().unwrap_or_default();
    let content = |message: &str| Err(Failure::Content(message.to_owned()));
    let source = match ending {
        "npy" if name.is_some() => content("an npy file holds one array, without a name; leave the name out"),
        "npy" => npy::open(BufReader::with_capacity(1 << 20, file), length, shapes),
        "npz" => npz::open(BufReader::with_capacity(1 << 20, file), length, name, shapes),
        "safetensors" => safetensors::open(BufReader::with_capacity(1 << 20, file), length, name, shapes),
        "parquet" => Foreign::open(|| parquet_rows::open(file, wanted)),
        "arrow" | "feather" | "ipc" => Foreign::open(|| arrow::open(file, wanted)),
        "csv" => text::open(file, wanted, b','),
        "tsv" => text::open(file, wanted, b'\t'),
        "jsonl" | "ndjson" => json::open_lines(file, wanted),
        "json" => json::open_list(file, length, wanted),
        "vec" | "txt" => words::open(file, wanted),
        "h5" | "hdf5" | "he5" => content(
            "is an HDF5 file, which riesz does not read; write the matrix as .npy (numpy.save) or .parquet",
        ),
        "pt" | "pth" | "pkl" | "pickle" => pickled::open(file, length, name, shapes),
        _ => content(&format!("the file's name must end in .{}", ENDINGS.join(", ."))),
    };
    let source = match ending {
        ending if is_of_arrays(ending) && !wanted.texts.is_empty() => {
            source.and_then(|numbers| beside::with_texts(numbers, path, &wanted.texts))
        }
        _ => source,
    };
    let source = source.map_err(|failure| told(path, failure))?;
    Ok(Stream { path: path.to_owned(), source })
}

/// The names of the columns of the table beside an array, if `path` is an array and there is one.
///
/// # Errors
/// One sentence with the array's path if the table cannot be read.
pub fn columns_beside(path: &Path) -> Result<Option<Vec<String>>> {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_lowercase);
    match ending.as_deref() {
        Some(ending) if is_of_arrays(ending) => {
            let found = beside::open(path).map_err(|failure| told(path, failure))?;
            Ok(found.map(|(_, header)| header))
        }
        _ => Ok(None),
    }
}

/// Columns that name items, and lists in a pickle; the first that there is counts.
pub const NAMES: [&str; 11] =
    ["name", "id", "path", "filename", "file", "word", "names", "ids", "paths", "filenames", "words"];

/// The column that names the rows of a file, if there is one; `numbers` is its column, array or tensor of embeddings.
///
/// # Errors
/// If the table beside an array cannot be read.
pub fn naming(path: &Path, numbers: Option<&str>) -> Result<Option<&'static str>> {
    columns_beside(path)?;
    Ok(NAMES.into_iter().find(|name| has(path, numbers, name)))
}

/// Whether a text stands beside each row of a file, in a column of that name.
pub fn has(path: &Path, numbers: Option<&str>, text: &str) -> bool {
    open(path, &Wanted { name: numbers.map(str::to_owned), texts: vec![text.to_owned()] }).is_ok()
}

/// Rows that are in memory, as if they were in a file at `path`.
///
/// # Errors
/// If columns are wanted, or an array by its name.
pub fn held(path: &Path, rows: Arc<Matrix<f32>>, wanted: &Wanted) -> Result<Stream> {
    if let Some(name) = wanted.texts.first().or(wanted.name.as_ref()) {
        return Err(Error::input(format!("has no column {name}: it has rows alone")).at(path.display()));
    }
    Ok(Stream { path: path.to_owned(), source: Box::new(Held { rows, done: 0 }) })
}

struct Held {
    rows: Arc<Matrix<f32>>,
    /// Rows that were given.
    done: usize,
}

impl Source for Held {
    fn dim(&self) -> usize {
        self.rows.dim()
    }

    fn rows(&self) -> Option<u64> {
        Some(self.rows.len() as u64)
    }

    fn next(&mut self) -> std::result::Result<Option<Block>, Failure> {
        let dim = self.rows.dim();
        let end = self.rows.len().min(self.done + (BLOCK / dim).max(1));
        let numbers = self.rows.as_slice()[self.done * dim..end * dim].to_vec();
        self.done = end;
        Ok((!numbers.is_empty()).then(|| Block::of(Rows::F32(Matrix::new(numbers, dim)))))
    }
}

/// A file that somebody else's crate decodes, which may panic at damage.
struct Foreign(Box<dyn Source>);

impl Foreign {
    fn open(
        open: impl FnOnce() -> std::result::Result<Box<dyn Source>, Failure>,
    ) -> std::result::Result<Box<dyn Source>, Failure> {
        let source = foreign::decoded(open).unwrap_or_else(|| Err(Self::given_up()))?;
        Ok(Box::new(Self(source)))
    }

    fn given_up() -> Failure {
        Failure::Content("is damaged: what decodes it gave up".to_owned())
    }
}

impl Source for Foreign {
    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn rows(&self) -> Option<u64> {
        self.0.rows()
    }

    fn dimensions(&self) -> Option<&Dimensions> {
        self.0.dimensions()
    }

    fn next(&mut self) -> std::result::Result<Option<Block>, Failure> {
        foreign::decoded(|| self.0.next()).unwrap_or_else(|| Err(Self::given_up()))
    }
}

fn told(path: &Path, failure: Failure) -> Error {
    match failure {
        Failure::Disk(error) => Error::io(path, &error),
        Failure::Content(message) => Error::input(message).at(path.display()),
    }
}
