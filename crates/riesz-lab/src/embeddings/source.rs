//! What every format's reader is: rows block by block, or the reason why there are none.

use std::io;

use super::rows::Rows;
use super::table::Dimensions;

/// Numbers of a block, about: 8 MiB of f32.
pub(super) const BLOCK: usize = 1 << 21;

/// What to take from a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The array, tensor or column of embeddings, where there are several; of a table of numbers, what the names of its
    /// columns begin with.
    pub name: Option<String>,
    /// Columns beside it, as text: labels, groups. Those of an array are in the table that has its name, or arrays of one dimension in its
    /// file.
    pub texts: Vec<String>,
}

/// Some rows, and what the wanted columns say beside each.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// At least one row.
    pub rows: Rows,
    /// One list for each of [`Wanted::texts`].
    pub texts: Vec<Vec<String>>,
}

impl Block {
    pub(super) fn of(rows: Rows) -> Self {
        Self { rows, texts: Vec::new() }
    }
}

/// A format's reader.
pub(super) trait Source: Send {
    /// Numbers a row.
    fn dim(&self) -> usize;
    /// How many rows, where the file says it before they are read.
    fn rows(&self) -> Option<u64>;
    /// K, if the rows are those of an array [K, N, d].
    fn views(&self) -> Option<usize> {
        None
    }
    /// The columns of the numbers, if each has one of its own with a name.
    fn dimensions(&self) -> Option<&Dimensions> {
        None
    }
    /// Where the numbers are, in words, if that was decided by names and first lines.
    fn told(&self) -> Option<String> {
        self.dimensions().map(Dimensions::told)
    }
    /// The next rows, or `None` behind the last.
    fn next(&mut self) -> std::result::Result<Option<Block>, Failure>;
}

/// Why a file gives no matrix.
#[derive(Debug)]
pub(super) enum Failure {
    Disk(io::Error),
    Content(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// All rows of a source.
#[cfg(test)]
pub(super) fn whole(mut source: Box<dyn Source>) -> std::result::Result<Rows, Failure> {
    let mut all: Option<Rows> = None;
    while let Some(block) = source.next()? {
        match &mut all {
            None => all = Some(block.rows),
            Some(all) => all.extend(block.rows),
        }
    }
    all.ok_or_else(|| Failure::Content("has no rows".to_owned()))
}
