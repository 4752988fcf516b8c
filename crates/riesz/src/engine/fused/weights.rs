//! The second sweep: cosines again, in their place the weights W_pq + W_qp with W = ∂L/∂s, and from these the gradient of
//! the rows of both blocks: G_I += W X_J, G_J += Wᵀ X_I. Terms without a logarithm get their values here as well.

use super::blocks::{Schedule, Tile};
use super::loops;
use super::plan::{Cover, Form, Plan};
use super::scratch::{STRIP, Scratch, with_scratch};
use super::sums::{Found, RowPulls};
use crate::engine::Batch;
use crate::product::{add_weighted_rows, add_weighted_rows_transposed};
use crate::{Matrix, Points, Scalar};

/// What a block gathers.
struct Gathered<'a, T> {
    place: usize,
    grad: &'a mut [T],
    /// One for each plan: the values of the tiles whose rows the block is.
    values: Vec<f64>,
}

/// Adds to the gradients, and returns the value of each plan that has no logarithm.
pub(super) fn sweep<T: Scalar>(
    batch: Batch,
    views: &[Points<'_, T>],
    schedule: &Schedule,
    plans: &[Plan<'_, T>],
    found: &[Found<T>],
    grads: &mut [Matrix<T>],
) -> Vec<f64> {
    let mut rest = grads.iter_mut().map(Matrix::as_mut_slice).collect::<Vec<_>>();
    let mut states = Vec::with_capacity(schedule.blocks.len());
    for (place, block) in schedule.blocks.iter().enumerate() {
        // Blocks of a view come in order.
        let (grad, after) = std::mem::take(&mut rest[block.view]).split_at_mut(block.len() * batch.dim);
        rest[block.view] = after;
        states.push(Gathered { place, grad, values: vec![0.0; plans.len()] });
    }
    let wanted = |tile: Tile| plans.iter().any(|plan| plan.cover(tile).is_some());
    let states = schedule.for_each_tile(
        states,
        wanted,
        |tile, rows: &mut Gathered<'_, T>, columns: Option<&mut Gathered<'_, T>>| {
            with_scratch(|scratch: &mut Scratch<T>| {
                scratch.multiply(batch, views, tile);
                let column_place = columns.as_ref().map_or(rows.place, |columns| columns.place);
                let covered = plans
                    .iter()
                    .zip(found)
                    .zip(&mut rows.values)
                    .filter_map(|((plan, found), value)| Some((plan, found, value, plan.cover(tile)?)));
                let terms = covered
                    .map(|(plan, found, value, cover)| Weighing {
                        plan,
                        cover,
                        rows: &found.pulls[rows.place],
                        columns: &found.pulls[column_place],
                        value,
                    })
                    .collect();
                weigh(tile, terms, scratch);
                let d = batch.dim;
                let x = tile.rows.rows(views[tile.rows.view].as_slice(), d);
                let y = tile.columns.rows(views[tile.columns.view].as_slice(), d);
                add_weighted_rows(&scratch.tile, y, tile.columns.len(), d, rows.grad);
                if let Some(columns) = columns {
                    add_weighted_rows_transposed(&scratch.tile, x, tile.rows.len(), d, columns.grad);
                }
            });
        },
    );
    let mut values = vec![0.0; plans.len()];
    for state in states {
        for (value, share) in values.iter_mut().zip(state.values) {
            *value += share;
        }
    }
    values
}

/// A term on one tile.
struct Weighing<'a, T> {
    plan: &'a Plan<'a, T>,
    cover: Cover,
    rows: &'a RowPulls<T>,
    columns: &'a RowPulls<T>,
    value: &'a mut f64,
}

/// Turns a tile of cosines into the sum of the weights of `terms`.
fn weigh<T: Scalar>(tile: Tile, mut terms: Vec<Weighing<'_, T>>, scratch: &mut Scratch<T>) {
    let width = tile.columns.len();
    let Scratch { tile: cells, strip, first, second, .. } = scratch;
    let mut more = vec![T::default(); if terms.len() > 1 { strip.len() } else { 0 }];
    let mut kept = more.clone();
    for (from, cells) in (0..).step_by(STRIP).zip(cells.chunks_mut(STRIP * width)) {
        let len = cells.len();
        let buffers = [&mut strip[..len], &mut first[..len], &mut second[..len]];
        if let [term] = &mut terms[..] {
            buffers[0].copy_from_slice(cells);
            term.weigh(tile, from, buffers, cells);
            continue;
        }
        let (kept, more) = (&mut kept[..len], &mut more[..len]);
        kept.copy_from_slice(cells);
        cells.fill(T::default());
        for term in &mut terms {
            strip[..len].copy_from_slice(kept);
            term.weigh(tile, from, [&mut strip[..len], &mut first[..len], &mut second[..len]], more);
            loops::add(cells, more);
        }
    }
}

impl<T: Scalar> Weighing<'_, T> {
    /// Writes the weights of a strip, and adds its value if the term has no logarithm. `cosines` may be spoilt.
    fn weigh(&mut self, tile: Tile, from: usize, buffers: [&mut [T]; 3], weights: &mut [T]) {
        let [cosines, first, second] = buffers;
        let (plan, cover, width) = (self.plan, self.cover, tile.columns.len());
        let height = weights.len() / width;
        let ends = plan.ends(tile);
        match plan.form {
            Form::Power { power, scale, .. } => {
                cover.mask(cosines, width, from, T::NEG_INFINITY);
                let (rows, columns) = (self.rows.part(from, height), self.columns.all());
                let total = loops::weigh_powers(power, cosines, rows.pull, columns.pull, weights);
                if !plan.is_logarithmic() {
                    // Each weight is scale times its pair's values; a block with itself has both orders in each weight,
                    // and each order as an entry.
                    *self.value += total / scale * if tile.is_diagonal() { 0.5 } else { 1.0 };
                }
            }
            Form::Plain => {
                T::tile(&*plan.term.kernel, cosines, first, weights);
                cover.mask(first, width, from, T::default());
                cover.mask(weights, width, from, T::default());
                let orders = if tile.is_diagonal() { 2.0 } else { ends };
                let factor = T::from_f64(plan.factor * orders);
                let total = loops::scale_and_total(weights, factor, first, width);
                *self.value += plan.factor * ends * total;
            }
            Form::Logarithmic => {
                T::ln_tile(&*plan.term.kernel, cosines, first, second);
                cover.mask(first, width, from, T::NEG_INFINITY);
                cover.mask(second, width, from, T::default());
                let (rows, columns) = (self.rows.part(from, height), self.columns.all());
                loops::weigh_logarithms(first, second, rows, columns, weights);
            }
        }
    }
}
