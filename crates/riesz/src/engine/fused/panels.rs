//! The rows of each block, as they are and transposed: a product of rows by rows runs at full speed if one of the two is
//! read along its columns, and to turn it once is less than to turn it for every tile.

use rayon::prelude::*;

use super::blocks::{Block, Schedule, Tile};
use crate::engine::Batch;
use crate::product::weighted_rows;
use crate::rows::transpose;
use crate::{Points, Scalar};

/// All rows, twice.
#[derive(Debug)]
pub(super) struct Panels<'a, T> {
    pub(super) batch: Batch<'a>,
    views: &'a [Points<'a, T>],
    /// For each view the blocks one after another, each `dim` × its rows.
    transposed: Vec<Vec<T>>,
}

impl<'a, T: Scalar> Panels<'a, T> {
    pub(super) fn new(batch: Batch<'a>, views: &'a [Points<'a, T>], schedule: &Schedule) -> Self {
        let mut transposed: Vec<Vec<T>> =
            views.iter().map(|view| vec![T::default(); view.as_slice().len()]).collect();
        let mut rest: Vec<&mut [T]> = transposed.iter_mut().map(Vec::as_mut_slice).collect();
        let blocks = schedule.blocks.iter().map(|block| {
            // Blocks of a view come in order.
            let (to, after) = std::mem::take(&mut rest[block.view]).split_at_mut(block.len() * batch.dim);
            rest[block.view] = after;
            (block.rows(views[block.view].as_slice(), batch.dim), to)
        });
        let turn = |(from, to): (&[T], &mut [T])| transpose(from, batch.dim, to);
        if schedule.threaded {
            blocks.collect::<Vec<_>>().into_par_iter().for_each(turn);
        } else {
            blocks.for_each(turn);
        }
        Self { batch, views, transposed }
    }

    /// The rows of a block, n × d.
    pub(super) fn rows(&self, block: Block) -> &'a [T] {
        block.rows(self.views[block.view].as_slice(), self.batch.dim)
    }

    /// Writes a tile's cosines.
    pub(super) fn cosines(&self, tile: Tile, out: &mut [T]) {
        let (d, columns) = (self.batch.dim, tile.columns);
        let transposed = columns.rows(&self.transposed[columns.view], d);
        weighted_rows(self.rows(tile.rows), transposed, d, columns.len(), out);
        tile.set_own_cosines(out);
    }
}
