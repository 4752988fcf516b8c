//! The second sweep: cosines again, in their place the weights W_pq + W_qp with W = ∂L/∂s, and from these the gradient of
//! the rows of both blocks: G_I += W X_J, G_J += Wᵀ X_I. Terms without a logarithm get their values here as well, and all
//! terms Σ W.

use super::blocks::{Schedule, Tile};
use super::kept::Kept;
use super::loops;
use super::panels::Panels;
use super::plan::{Cover, Form, Plan};
use super::scratch::{Parts, STRIP, Scratch, fitted, with_scratch};
use super::sums::{Found, RowPulls};
use crate::Scalar;
use crate::engine::Sums;
use crate::product::{add_weighted_rows, add_weighted_rows_transposed};

/// What a block gathers.
struct Gathered<'a, T> {
    place: usize,
    /// None if only sums are wanted.
    grad: Option<&'a mut [T]>,
    kept: Option<Kept<'a, T>>,
    /// One for each plan: of the tiles whose rows the block is.
    sums: Vec<Sums>,
}

/// Adds to the gradients, if there are any, with the powers in `kept` if the first sweep left them there, and returns Σ W of
/// each plan, and the value of those that have no logarithm.
pub(super) fn sweep<T: Scalar>(
    panels: &Panels<'_, T>,
    schedule: &Schedule,
    plans: &[Plan<'_, T>],
    found: &[Found<T>],
    kept: Vec<Kept<'_, T>>,
    grads: &mut [&mut [T]],
) -> Vec<Sums> {
    let d = panels.batch.dim;
    let mut rest: Vec<&mut [T]> = grads.iter_mut().map(|grad| &mut **grad).collect();
    let mut kept = kept.into_iter();
    let mut states = Vec::with_capacity(schedule.blocks.len());
    for (place, block) in schedule.blocks.iter().enumerate() {
        let grad = rest.get_mut(block.view).map(|rest| {
            // Blocks of a view come in order.
            let (grad, after) = std::mem::take(rest).split_at_mut(block.len() * d);
            *rest = after;
            grad
        });
        states.push(Gathered { place, grad, kept: kept.next(), sums: vec![Sums::default(); plans.len()] });
    }
    let wanted = |tile: Tile| plans.iter().any(|plan| plan.cover(tile).is_some());
    let states = schedule.for_each_tile(
        states,
        wanted,
        |tile, rows: &mut Gathered<'_, T>, columns: Option<&mut Gathered<'_, T>>| {
            with_scratch(|scratch: &mut Scratch<T>| {
                let Scratch { tile: room, parts } = scratch;
                let column_place = columns.as_ref().map_or(rows.place, |columns| columns.place);
                let covered = plans
                    .iter()
                    .zip(found)
                    .zip(&mut rows.sums)
                    .filter_map(|((plan, found), sums)| Some((plan, found, sums, plan.cover(tile)?)));
                let mut terms: Vec<Weighing<'_, T>> = covered
                    .map(|(plan, found, sums, cover)| Weighing {
                        plan,
                        cover,
                        rows: &found.pulls[rows.place],
                        columns: &found.pulls[column_place],
                        sums,
                    })
                    .collect();
                let kept = rows.kept.as_mut().and_then(|kept| kept.next(tile));
                let cells = match (kept, &mut terms[..]) {
                    (Some(cells), [term]) => {
                        term.weigh_kept(tile, cells);
                        cells
                    }
                    _ => {
                        let cells = fitted(room, tile);
                        panels.cosines(tile, cells);
                        weigh(tile, &mut terms, cells, parts);
                        cells
                    }
                };
                let (x, y) = (panels.rows(tile.rows), panels.rows(tile.columns));
                if let Some(grad) = &mut rows.grad {
                    add_weighted_rows(cells, y, tile.columns.len(), d, grad);
                }
                if let Some(grad) = columns.and_then(|columns| columns.grad.as_deref_mut()) {
                    add_weighted_rows_transposed(cells, x, tile.rows.len(), d, grad);
                }
            });
        },
    );
    let mut sums = vec![Sums::default(); plans.len()];
    for state in states {
        for (sums, share) in sums.iter_mut().zip(state.sums) {
            *sums += share;
        }
    }
    sums
}

/// A term on one tile.
pub(super) struct Weighing<'a, T> {
    pub(super) plan: &'a Plan<'a, T>,
    pub(super) cover: Cover<'a>,
    pub(super) rows: &'a RowPulls<T>,
    pub(super) columns: &'a RowPulls<T>,
    pub(super) sums: &'a mut Sums,
}

/// Turns a tile of cosines into the sum of the weights of `terms`.
pub(super) fn weigh<T: Scalar>(
    tile: Tile,
    terms: &mut [Weighing<'_, T>],
    cells: &mut [T],
    parts: &mut Parts<T>,
) {
    let width = tile.columns.len();
    let (mut cosines, mut part) = (Vec::new(), Vec::new());
    for (from, cells) in (0..).step_by(STRIP).zip(cells.chunks_mut(STRIP * width)) {
        if let [term] = terms {
            term.weigh(tile, from, cells, parts);
            continue;
        }
        cosines.clear();
        cosines.extend_from_slice(cells);
        cells.fill(T::default());
        for term in &mut *terms {
            part.clear();
            part.extend_from_slice(&cosines);
            term.weigh(tile, from, &mut part, parts);
            loops::add(cells, &part);
        }
    }
}

/// An entry's weight and value are those of both orders of its pair, and a block with itself has both orders as entries.
pub(super) fn once(tile: Tile) -> f64 {
    if tile.is_diagonal() { 0.5 } else { 1.0 }
}

impl<T: Scalar> Weighing<'_, T> {
    /// Turns a tile of powers that the first sweep left into weights, and adds their sum.
    fn weigh_kept(&mut self, tile: Tile, cells: &mut [T]) {
        let (width, columns) = (tile.columns.len(), self.columns.all());
        for (from, cells) in (0..).step_by(STRIP).zip(cells.chunks_mut(STRIP * width)) {
            let rows = self.rows.part(from, cells.len() / width);
            let slope = once(tile) * loops::weigh_kept(cells, rows.pull, columns.pull);
            *self.sums += Sums { value: 0.0, slope };
        }
    }

    /// Turns a strip's cosines into weights, and adds their sum, and its value if the term has no logarithm.
    fn weigh(&mut self, tile: Tile, from: usize, cells: &mut [T], parts: &mut Parts<T>) {
        let (plan, cover, width) = (self.plan, self.cover, tile.columns.len());
        let (rows, columns) = (self.rows.part(from, cells.len() / width), self.columns.all());
        let (first, second, _) = parts.fit(cells.len(), width);
        let once = once(tile);
        match plan.form {
            Form::Power { power, scale, .. } => {
                cover.mask(cells, width, from, T::NEG_INFINITY);
                let slope = once * loops::weigh_powers(power, cells, rows.pull, columns.pull);
                // κ′ = scale · κ.
                let value = if plan.is_logarithmic() { 0.0 } else { slope / scale };
                *self.sums += Sums { value, slope };
            }
            Form::Plain => {
                T::tile(&*plan.term.kernel, cells, first, second);
                cover.mask(first, width, from, T::default());
                cover.mask(second, width, from, T::default());
                let factor = T::from_f64(plan.factor);
                let (value, slope) =
                    loops::weigh_slopes(first, second, factor, rows.pull, columns.pull, cells);
                *self.sums += Sums { value: once * plan.factor * value, slope: once * slope };
            }
            Form::Logarithmic => {
                T::ln_tile(&*plan.term.kernel, cells, first, second);
                cover.mask(first, width, from, T::NEG_INFINITY);
                cover.mask(second, width, from, T::default());
                let slope = once * loops::weigh_logarithms(first, second, rows, columns, cells);
                *self.sums += Sums { value: 0.0, slope };
            }
        }
    }
}
