//! A thread's own memory for tiles, kept between tiles and between calls.

use std::any::Any;
use std::cell::Cell;

use super::blocks::Tile;
use crate::engine::Batch;
use crate::product::rows_by_rows;
use crate::{Points, Scalar};

/// Rows of a strip: what the loops take at once, so that a strip and its by-products stay in the first-level cache, and
/// so few that their sum in the scalar's own precision keeps its digits.
pub(super) const STRIP: usize = 32;

/// Room for one tile and the by-products of one of its strips.
#[derive(Debug)]
pub(super) struct Scratch<T> {
    /// Cosines, and then weights.
    pub(super) tile: Vec<T>,
    pub(super) strip: Vec<T>,
    pub(super) first: Vec<T>,
    pub(super) second: Vec<T>,
    pub(super) line: Vec<T>,
}

impl<T: Scalar> Scratch<T> {
    /// Fills the tile with its cosines.
    pub(super) fn multiply(&mut self, batch: Batch, views: &[Points<'_, T>], tile: Tile) {
        let (height, width) = (tile.rows.len(), tile.columns.len());
        let strip = height.min(STRIP) * width;
        self.tile.resize(height * width, T::default());
        for (part, len) in [
            (&mut self.strip, strip),
            (&mut self.first, strip),
            (&mut self.second, strip),
            (&mut self.line, width),
        ] {
            part.resize(len, T::default());
        }
        let rows = tile.rows.rows(views[tile.rows.view].as_slice(), batch.dim);
        let columns = tile.columns.rows(views[tile.columns.view].as_slice(), batch.dim);
        rows_by_rows(rows, columns, batch.dim, &mut self.tile);
    }
}

/// Lends `work` this thread's scratch.
pub(super) fn with_scratch<T: Scalar, R>(work: impl FnOnce(&mut Scratch<T>) -> R) -> R {
    thread_local! {
        static KEPT: Cell<Option<Box<dyn Any>>> = const { Cell::new(None) };
    }
    // Taken out meanwhile: if `work` came here again, it would get fresh memory.
    let kept = KEPT.take().and_then(|kept| kept.downcast::<Scratch<T>>().ok());
    let mut scratch = kept.unwrap_or_else(|| {
        let empty = Vec::new;
        Box::new(Scratch { tile: empty(), strip: empty(), first: empty(), second: empty(), line: empty() })
    });
    let outcome = work(&mut scratch);
    KEPT.set(Some(scratch));
    outcome
}
