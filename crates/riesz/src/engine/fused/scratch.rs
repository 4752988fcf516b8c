//! A thread's own memory for tiles, held between tiles and between calls; and the process's, for tiles that wait.

use std::any::Any;
use std::cell::Cell;
use std::sync::Mutex;

use super::blocks::Tile;
use crate::Scalar;

/// Rows of a strip: what the loops take at once, so that a strip and its by-products stay in the first-level cache, and
/// so few that their sum in the scalar's own precision keeps its digits.
pub(super) const STRIP: usize = 32;

/// Room for one tile and the by-products of one of its strips.
#[derive(Debug, Default)]
pub(super) struct Scratch<T> {
    pub(super) tile: Vec<T>,
    pub(super) parts: Parts<T>,
}

/// A tile's room, in a vector that is made as long.
pub(super) fn fitted<T: Scalar>(room: &mut Vec<T>, tile: Tile) -> &mut [T] {
    room.resize(tile.cells(), T::default());
    room
}

/// Room for the by-products of a strip: two as large as it, and a line.
#[derive(Debug, Default)]
pub(super) struct Parts<T> {
    first: Vec<T>,
    second: Vec<T>,
    line: Vec<T>,
}

impl<T: Scalar> Parts<T> {
    /// Room for a strip of so many cells.
    pub(super) fn fit(&mut self, cells: usize, width: usize) -> (&mut [T], &mut [T], &mut [T]) {
        let Self { first, second, line } = self;
        for (part, len) in [(&mut *first, cells), (&mut *second, cells), (&mut *line, width)] {
            part.resize(part.len().max(len), T::default());
        }
        (&mut first[..cells], &mut second[..cells], &mut line[..width])
    }
}

/// Lends `work` this thread's scratch.
pub(super) fn with_scratch<T: Scalar, R>(work: impl FnOnce(&mut Scratch<T>) -> R) -> R {
    thread_local! {
        static HELD: Cell<Option<Box<dyn Any>>> = const { Cell::new(None) };
    }
    // Taken out meanwhile: if `work` came here again, it would get fresh memory.
    let mut held = HELD.take().and_then(|held| held.downcast().ok()).unwrap_or_default();
    let outcome = work(&mut held);
    HELD.set(Some(held));
    outcome
}

/// Lends `work` the process's room for tiles that are kept from one sweep to the next: one for all threads, since a pool that is
/// asked from outside evaluates now in this thread, now in that. Whoever comes meanwhile gets fresh memory.
pub(super) fn with_room<T: Scalar, R>(work: impl FnOnce(&mut Vec<T>) -> R) -> R {
    static HELD: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);
    // Never waited for: a forked child may find it locked by a thread that it does not have.
    let held = HELD.try_lock().ok().and_then(|mut held| held.take());
    let mut held: Box<Vec<T>> = held.and_then(|held| held.downcast().ok()).unwrap_or_default();
    let outcome = work(&mut held);
    if let Ok(mut place) = HELD.try_lock() {
        *place = Some(held);
    }
    outcome
}
