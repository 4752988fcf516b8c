//! Tiles that the first sweep leaves to the second: the powers of a single logarithmic term, in which all that is left to do is
//! to multiply by both ends' pulls. That saves the second sweep a product of four, its exponentials and its masks, and
//! changes no bit. There is room for all tiles of small batches, for some of middling ones, for none of large ones.

use super::blocks::{Schedule, Tile};
use super::plan::{Form, Plan};
use crate::Scalar;

/// Bytes of all kept tiles.
const MOST: usize = 32 << 20;

/// Of each block the tiles whose rows it is and that are kept, as many as the first that meet it; empty if nothing is kept.
pub(super) fn tiles<T: Scalar>(schedule: &Schedule, plans: &[Plan<'_, T>]) -> Vec<Vec<Tile>> {
    let [plan] = plans else { return Vec::new() };
    if !plan.is_logarithmic() || !matches!(plan.form, Form::Power { .. }) {
        return Vec::new();
    }
    let blocks = schedule.blocks.len();
    let of_block = |block: usize, most: usize| {
        schedule.tiles_of_rows(block).filter(|&tile| plan.cover(tile).is_some()).take(most)
    };
    let fits = |&most: &usize| {
        let mut bytes = 0;
        // Stops early: there may be many.
        !(0..blocks).flat_map(|block| of_block(block, most)).any(|tile| {
            bytes += tile.cells() * size_of::<T>();
            bytes > MOST
        })
    };
    // The same number for all blocks that have so many, and as many as fit.
    let most = (0..=blocks).take_while(fits).last().unwrap_or(0);
    if most == 0 { Vec::new() } else { (0..blocks).map(|block| of_block(block, most).collect()).collect() }
}

/// The numbers of some tiles.
pub(super) fn cells<'a>(tiles: impl IntoIterator<Item = &'a Tile>) -> usize {
    tiles.into_iter().copied().map(Tile::cells).sum()
}

/// What a block keeps: its first tiles in the order of visits, which is the same in both sweeps.
pub(super) struct Kept<'a, T> {
    rest: &'a mut [T],
}

impl<'a, T: Scalar> Kept<'a, T> {
    /// One for each block, given what each keeps.
    pub(super) fn cut(room: &'a mut [T], tiles: &[Vec<Tile>]) -> Vec<Self> {
        let mut rest = room;
        let cut = tiles.iter().map(|tiles| {
            let (kept, after) = std::mem::take(&mut rest).split_at_mut(cells(tiles));
            rest = after;
            Self { rest: kept }
        });
        cut.collect()
    }

    /// The next tile's place, if there is room.
    pub(super) fn next(&mut self, tile: Tile) -> Option<&'a mut [T]> {
        // What is too small for this one shall not hold a later, smaller one.
        let (next, rest) = std::mem::take(&mut self.rest).split_at_mut_checked(tile.cells())?;
        self.rest = rest;
        Some(next)
    }
}
