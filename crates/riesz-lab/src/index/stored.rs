//! Rows in a parquet file that `riesz embed` wrote: whose they are, and the rows, block by block.

use std::path::{Path, PathBuf};

use parquet::file::metadata::ParquetMetaDataReader;
use riesz::Matrix;

use super::{About, FORMAT, KEY};
use crate::data::{self, DataRecipe, Source};
use crate::embeddings::stream::{self, Wanted};
use crate::{Error, Result, foreign, input};

/// A file of rows.
pub struct Stored {
    path: PathBuf,
    about: About,
    rows: usize,
    has_classes: bool,
}

/// Some rows of a file, in order.
pub struct Rows {
    /// The embeddings.
    pub rows: Matrix<f32>,
    /// Names of the images.
    pub names: Vec<String>,
    /// Words that are the same for images with the same pixels.
    pub pixels: Vec<String>,
    /// Names of their classes; empty where there is none.
    pub classes: Vec<String>,
}

impl Stored {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be read, or is not one that `riesz embed` wrote.
    pub fn open(path: &Path) -> Result<Self> {
        let wrong = |what: String| {
            Error::input(format!(
                "{}: {what}; expected a file that `riesz embed RUN IMAGES --output rows.parquet` wrote",
                path.display()
            ))
        };
        let file = input::open(path).map_err(|error| Error::io(path, &error))?;
        let file = file.ok_or_else(|| wrong("not a plain file".to_owned()))?;
        let metadata = foreign::decoded(|| ParquetMetaDataReader::new().parse_and_finish(&file));
        let metadata = metadata
            .and_then(std::result::Result::ok)
            .ok_or_else(|| wrong("not a whole parquet file".to_owned()))?;
        let metadata = metadata.file_metadata();
        let entries = metadata.key_value_metadata();
        let about = entries.into_iter().flatten().find(|entry| entry.key == KEY);
        let about = about.and_then(|entry| entry.value.as_deref());
        let about = about.ok_or_else(|| wrong(format!("its metadata has no entry {KEY}")))?;
        let about: About = serde_json::from_str(about)
            .map_err(|error| wrong(format!("its metadata's entry {KEY} is damaged ({error})")))?;
        if about.format != FORMAT {
            return Err(wrong(format!("its format is {}, and this program reads {FORMAT}", about.format)));
        }
        let columns = metadata.schema_descr().columns();
        let has_classes = columns.iter().any(|column| column.path().string() == "class");
        let rows = usize::try_from(metadata.num_rows()).unwrap_or_default();
        Ok(Self { path: path.to_owned(), about, rows, has_classes })
    }

    /// What its metadata says.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// How many rows it promises.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether its rows are those of this encoder, which the run in the folder `run` has.
    ///
    /// # Errors
    /// If they are not.
    pub fn check(&self, encoder: &About, run: &Path) -> Result<()> {
        let refused = |what: &str, theirs: &str, ours: &str| {
            Err(Error::input(format!(
                "{}: rows of another encoder than that of {} ({what} {theirs}, and here {ours}); embed the images with this run",
                self.path.display(),
                run.display()
            )))
        };
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        if self.about.encoder != encoder.encoder {
            return refused("SHA-256", &short(&self.about.encoder), &short(&encoder.encoder));
        }
        if self.about.view != encoder.view {
            return refused("images of", &self.about.view, &encoder.view);
        }
        Ok(())
    }

    /// Hands all rows to `take`, block by block.
    ///
    /// # Errors
    /// If the file is damaged, a number is not finite, or what `take` returns.
    pub fn each(&self, mut take: impl FnMut(Rows) -> Result<()>) -> Result<()> {
        let mut texts = vec!["name".to_owned(), "pixels".to_owned()];
        texts.extend(self.has_classes.then(|| "class".to_owned()));
        let mut stream = stream::open(&self.path, &Wanted { name: Some("embedding".to_owned()), texts })?;
        let mut first = 0;
        while let Some(block) = stream.block()? {
            let rows = block.rows.into_f32();
            if let Some(at) = rows.as_slice().iter().position(|x| !x.is_finite()) {
                let row = first + at / rows.dim();
                return Err(Error::input(format!("{}: row {row} is not finite", self.path.display())));
            }
            first += rows.len();
            let mut texts = block.texts.into_iter();
            let mut next = || texts.next().unwrap_or_default();
            let (names, pixels) = (next(), next());
            let classes = if self.has_classes { next() } else { vec![String::new(); rows.len()] };
            take(Rows { rows, names, pixels, classes })?;
        }
        Ok(())
    }

    /// Its small pictures, in the order of the rows.
    ///
    /// # Errors
    /// If it has none.
    pub fn pictures(&self) -> Result<Box<dyn Source>> {
        let path = self.path.to_str().filter(|_| self.about.thumbnails.is_some());
        let Some(path) = path else {
            return Err(Error::input(format!(
                "{}: has no small pictures, which a sheet shows; write it with `riesz embed --thumbnails`, or give the images themselves",
                self.path.display()
            )));
        };
        let (source, labels) = (path.to_owned(), "none".to_owned());
        Ok(data::open(&DataRecipe { source, labels, held_out: 0.0, limit: None }, 0)?.train)
    }
}
