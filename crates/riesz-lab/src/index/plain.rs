//! Rows of any file of embeddings, of whatever model: their directions, what they are called, and which are the same.

use std::path::Path;

use riesz::{Matrix, Scalar, normalize_from};
use sha2::{Digest, Sha256};

use super::duplicates::{Gallery, Words};
use super::{SCHEMA_VERSION, duplicates, search};
use crate::embeddings::Rows;
use crate::embeddings::stream::{self, Stream, Wanted};
use crate::names::quoted;
use crate::progress::Progress;
use crate::protocols::knn::Nearest;
use crate::{Error, Result};

/// Rows of a file, all of them, as unit rows.
pub struct Plain {
    source: String,
    rows: Matrix<f32>,
    names: Vec<String>,
    classes: Vec<String>,
    /// Words that are the same for rows with the same numbers, or with the same pixels where the file says so.
    same: Vec<String>,
    of_pixels: bool,
}

impl Plain {
    /// Reads a file; `column` is its column, array or tensor of embeddings, where it has several. Rows are called as a column of names
    /// beside them says, else `row 0`, `row 1`, ….
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, has no embeddings or several, or if a row is zero or not finite.
    pub fn read(path: &Path, column: Option<&str>, quiet: bool) -> Result<Self> {
        let named = stream::naming(path, column)?;
        let has = |text: &&str| stream::has(path, column, text);
        let class = ["class", "label"].into_iter().find(has);
        let pixels = Some("pixels").filter(has);
        let texts = [named, class, pixels].iter().flatten().map(|text| (*text).to_owned()).collect();
        let mut stream = stream::open(path, &Wanted { name: column.map(str::to_owned), texts })?;
        let mut plain = Self {
            source: path.display().to_string(),
            rows: Matrix::zeros(0, stream.dim()),
            names: Vec::new(),
            classes: Vec::new(),
            same: Vec::new(),
            of_pixels: pixels.is_some(),
        };
        plain.take_all(&mut stream, [named.is_some(), class.is_some(), pixels.is_some()], quiet)?;
        Ok(plain)
    }

    fn take_all(&mut self, stream: &mut Stream, has: [bool; 3], quiet: bool) -> Result<()> {
        let dim = stream.dim();
        let mut progress = Progress::new("reading", "rows", 0, stream.rows().unwrap_or(0), quiet);
        let mut numbers: Vec<f32> = Vec::new();
        if let Some(rows) = stream.rows() {
            duplicates::check_room(usize::try_from(rows).unwrap_or(usize::MAX), dim)?;
        }
        while let Some(block) = stream.block()? {
            let (first, count) = (self.names.len(), block.rows.len());
            duplicates::check_room(first + count, dim)?;
            let mut texts = block.texts.into_iter();
            let mut next = |has: bool| if has { texts.next() } else { None };
            let called = |(i, name): (usize, String)| {
                if name.is_empty() { format!("row {}", first + i) } else { name }
            };
            let names = next(has[0]).unwrap_or_else(|| vec![String::new(); count]);
            self.names.extend(names.into_iter().enumerate().map(called));
            self.classes.extend(next(has[1]).unwrap_or_else(|| vec![String::new(); count]));
            let same = next(has[2]);
            let at = |error: riesz::Error| Error::from(error).at(stream.path().display());
            let digests = match block.rows {
                Rows::F32(rows) => take(rows, first as u64, &mut numbers).map_err(at)?,
                Rows::F64(rows) => take(rows, first as u64, &mut numbers).map_err(at)?,
            };
            self.same.extend(same.unwrap_or(digests));
            progress.advance(count as u64, || format!("{} rows", first + count));
        }
        progress.finish();
        if numbers.is_empty() {
            return Err(Error::input("has no rows").at(stream.path().display()));
        }
        self.rows = Matrix::new(numbers, dim);
        Ok(())
    }

    /// The row of that name, else of that number, counted from 0.
    ///
    /// # Errors
    /// If there is none, or several have the name.
    pub fn row(&self, asked: &str) -> Result<usize> {
        let mut called = (0..self.names.len()).filter(|&i| self.names[i] == asked);
        match (called.next(), called.next()) {
            (Some(row), None) => Ok(row),
            (Some(row), Some(other)) => Err(Error::input(format!(
                "{}: rows {row} and {other} are both called {}; ask for one by its number",
                self.source,
                quoted(asked)
            ))),
            (None, _) => asked.parse().ok().filter(|&row| row < self.names.len()).ok_or_else(|| {
                Error::input(format!(
                    "{}: no row is called {}, and it is no number of a row: 0 to {}",
                    self.source,
                    quoted(asked),
                    self.names.len() - 1
                ))
            }),
        }
    }

    /// The `top` nearest of each of these rows among the others.
    ///
    /// # Errors
    /// If there are no others.
    pub fn nearest(&self, asked: &[usize], top: usize) -> Result<search::Found> {
        if self.names.len() < 2 {
            return Err(Error::input("there is one row, and none to be near to it").at(&self.source));
        }
        let dim = self.rows.dim();
        let queries = Matrix::new(asked.iter().flat_map(|&row| self.rows.row(row)).copied().collect(), dim);
        let mut nearest = Nearest::new(&queries, top.saturating_add(1));
        nearest.look_at(&self.rows);
        let answers = asked.iter().zip(nearest.best()).map(|(&query, best)| search::Answer {
            query: self.names[query].clone(),
            nearest: (best.iter().filter(|(row, _)| *row != query).take(top))
                .map(|&(row, cosine)| self.hit(row, f64::from(cosine)))
                .collect(),
        });
        Ok(search::Found {
            schema_version: SCHEMA_VERSION,
            source: self.source.clone(),
            images: self.names.len(),
            unreadable: 0,
            queries: answers.collect(),
        })
    }

    fn hit(&self, row: usize, cosine: f64) -> super::Hit {
        let class = Some(self.classes[row].clone()).filter(|class| !class.is_empty());
        super::Hit { row, name: self.names[row].clone(), class, cosine }
    }

    /// The rows, to be grouped.
    pub fn into_gallery(self) -> Gallery {
        let classes = self.classes.into_iter().map(|class| Some(class).filter(|class| !class.is_empty()));
        let images = self.names.into_iter().zip(classes).enumerate();
        Gallery {
            source: self.source,
            unreadable: 0,
            rows: self.rows,
            images: images.map(|(row, (name, class))| (row, name, class)).collect(),
            same: self.same,
            words: if self.of_pixels { Words::IMAGES } else { Words::ROWS },
        }
    }
}

/// Adds rows, scaled to unit length, to `numbers`; gives a word for each that only rows of the same numbers share.
fn take<T: Scalar>(
    mut rows: Matrix<T>,
    first: u64,
    numbers: &mut Vec<f32>,
) -> std::result::Result<Vec<String>, riesz::Error> {
    let word = |row: &[T]| {
        let mut hash = Sha256::new();
        // 0 and −0 are one number.
        row.iter().for_each(|x| hash.update((x.to_f64() + 0.0).to_le_bytes()));
        super::embed::word(hash)
    };
    let words = (0..rows.len()).map(|i| word(rows.row(i))).collect();
    normalize_from(&mut rows, first)?;
    numbers.extend(rows.as_slice().iter().map(|x| x.to_f64() as f32));
    Ok(words)
}
