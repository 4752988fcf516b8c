//! A thread's own memory for tiles, kept between tiles and between calls.

use std::any::Any;
use std::cell::Cell;

use super::blocks::Tile;
use super::panels::Panels;
use crate::Scalar;

/// Rows of a strip: what the loops take at once, so that a strip and its by-products stay in the first-level cache, and
/// so few that their sum in the scalar's own precision keeps its digits.
pub(super) const STRIP: usize = 32;

/// Room for one tile and the by-products of one of its strips.
#[derive(Debug)]
pub(super) struct Scratch<T> {
    /// Cosines, and then weights.
    pub(super) tile: Vec<T>,
    pub(super) first: Vec<T>,
    pub(super) second: Vec<T>,
    pub(super) line: Vec<T>,
}

impl<T: Scalar> Scratch<T> {
    /// Makes room for a tile, and fills it with its cosines.
    pub(super) fn fill(&mut self, panels: &Panels<'_, T>, tile: Tile) {
        let (height, width) = (tile.rows.len(), tile.columns.len());
        let strip = height.min(STRIP) * width;
        self.tile.resize(height * width, T::default());
        self.first.resize(strip, T::default());
        self.second.resize(strip, T::default());
        self.line.resize(width, T::default());
        panels.cosines(tile, &mut self.tile);
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
        Box::new(Scratch { tile: empty(), first: empty(), second: empty(), line: empty() })
    });
    let outcome = work(&mut scratch);
    KEPT.set(Some(scratch));
    outcome
}
