//! The same numbers as [`Reference`](super::Reference) by tiles of the cosine matrix, in memory linear in the batch.
//!
//! N images, K views, rows p = (view, image), d dims; a tile is `ROWS × COLUMNS` cosines of one view with one view.
//!
//! Whatever the loss, ∂L/∂s_pq depends on s_pq and on one number of row p, its log-sum. So there are two sweeps: the
//! first collects the log-sums tile by tile with a running maximum (right at any temperature); the second recomputes
//! each tile, turns cosines into W_pq + W_qp, and adds (W + Wᵀ) X to the gradient of the rows that it owns. Losses
//! without a logarithm need only the second. Terms over matched pairs alone are O(Nd) and need no tile.
//!
//! A task owns a block of rows and walks the columns in order, so the bits do not depend on the number of threads.

use rayon::prelude::*;

use super::{Batch, Engine, ValueAndGrad, contains, finish, focus_weights};
use crate::loss::{Link, Loss, Pairs, Term};
use crate::product::{add_weighted_rows, rows_by_rows};
use crate::{Error, Matrix, Points, Scalar};

/// Rows of a tile: what one task owns.
const ROWS: usize = 64;
/// Columns of a tile.
const COLUMNS: usize = 256;

/// The engine that training runs: tiles and threads, no allocation of size N².
#[derive(Clone, Copy, Debug, Default)]
pub struct Fused;

impl<T: Scalar> Engine<T> for Fused {
    fn value_and_grad(&self, loss: &Loss, views: &[Points<'_, T>]) -> Result<ValueAndGrad<T>, Error> {
        let batch = Batch::check(loss, views)?;
        let swept: Vec<usize> = (0..loss.terms.len()).filter(|&t| !is_matched_mean(&loss.terms[t])).collect();
        let mut values = vec![0.0; loss.terms.len()];
        let mut grads = vec![Matrix::zeros(batch.images, batch.dim); batch.views];

        let blocks: Vec<Block> = (0..batch.views)
            .flat_map(|view| {
                (0..batch.images).step_by(ROWS).map(move |first| Block {
                    view,
                    first,
                    end: batch.images.min(first + ROWS),
                })
            })
            .collect();
        let sums: Vec<LogSums> =
            swept.iter().map(|&t| log_sums(batch, &loss.terms[t], views, &blocks)).collect();
        let sweep =
            Sweep { batch, views, terms: swept.iter().map(|&t| &loss.terms[t]).collect(), sums: &sums };
        let outcomes: Vec<BlockOutcome<T>> = blocks.par_iter().map(|&block| sweep.block(block)).collect();
        for (block, outcome) in blocks.iter().zip(outcomes) {
            let start = block.first * batch.dim;
            grads[block.view].as_mut_slice()[start..start + outcome.grad.len()]
                .copy_from_slice(&outcome.grad);
            for (&t, value) in swept.iter().zip(outcome.values) {
                values[t] += value;
            }
        }
        for (&t, sums) in swept.iter().zip(&sums) {
            values[t] += sums.value;
        }
        for (t, term) in loss.terms.iter().enumerate().filter(|(_, term)| is_matched_mean(term)) {
            values[t] = matched_mean(batch, term, views, &mut grads);
        }
        finish(loss, values, grads)
    }
}

/// Rows `first .. end` of one view.
#[derive(Clone, Copy)]
struct Block {
    view: usize,
    first: usize,
    end: usize,
}

/// What the first sweep knows of a term: each anchor row's log-sum (or its view's), and the term's value if it is a
/// function of them.
struct LogSums {
    /// `[anchor view * N + image]`; empty for links without a logarithm.
    of_row: Vec<f64>,
    value: f64,
}

struct BlockOutcome<T> {
    grad: Vec<T>,
    values: Vec<f64>,
}

/// Sums over matched pairs alone are not swept.
fn is_matched_mean(term: &Term) -> bool {
    term.pairs == Pairs::MATCHED && matches!(term.link, Link::Mean | Link::RowSum)
}

/// The first sweep: log-sums of one term.
fn log_sums<T: Scalar>(batch: Batch, term: &Term, views: &[Points<'_, T>], blocks: &[Block]) -> LogSums {
    if !matches!(term.link, Link::RowLogSum | Link::LogMean) {
        return LogSums { of_row: Vec::new(), value: 0.0 };
    }
    let anchor_views = batch.anchor_views(term);
    let rows: Vec<Vec<Running>> = blocks
        .par_iter()
        .filter(|block| block.view < anchor_views)
        .map(|&block| {
            let mut running = vec![Running::default(); block.end - block.first];
            let (mut ln, mut ratio) = ([0.0; COLUMNS], [0.0; COLUMNS]);
            for view in (0..batch.views).filter(|&view| reaches(term, block.view == view)) {
                for_each_tile(batch, views, block, view, |i, columns, cosines| {
                    let width = cosines.len();
                    term.kernel.ln_tile(cosines, &mut ln[..width], &mut ratio[..width]);
                    for (j, &x) in columns.zip(&ln[..width]) {
                        if contains(term.pairs, block.view == view, i == j) {
                            running[i - block.first].add(x);
                        }
                    }
                });
            }
            running
        })
        .collect();
    let rows: Vec<Running> = rows.concat();
    let factor = batch.pair_factor(term);
    if term.link == Link::RowLogSum {
        let of_row: Vec<f64> = rows.iter().map(|row| row.log()).collect();
        let value = of_row.iter().map(|log_sum| factor * log_sum).sum();
        return LogSums { of_row, value };
    }
    let (mut of_row, mut value) = (Vec::with_capacity(rows.len()), 0.0);
    let pairs = (batch.images * term.pairs.count(batch.images, batch.views)) as f64;
    for view in rows.chunks(batch.images) {
        let total = view.iter().fold(Running::default(), |total, row| total.joined(*row)).log();
        value += factor * (total - pairs.ln());
        of_row.extend(std::iter::repeat_n(total, batch.images));
    }
    LogSums { of_row, value }
}

/// log Σ e^x with a running maximum: Σ = sum · e^top.
#[derive(Clone, Copy)]
struct Running {
    top: f64,
    sum: f64,
}

impl Default for Running {
    fn default() -> Self {
        Self { top: f64::NEG_INFINITY, sum: 0.0 }
    }
}

impl Running {
    fn add(&mut self, x: f64) {
        if x <= self.top {
            self.sum += (x - self.top).exp();
        } else {
            self.sum = self.sum * (self.top - x).exp() + 1.0;
            self.top = x;
        }
    }

    fn joined(self, other: Self) -> Self {
        let top = self.top.max(other.top);
        Self { top, sum: self.sum * (self.top - top).exp() + other.sum * (other.top - top).exp() }
    }

    fn log(self) -> f64 {
        self.top + self.sum.ln()
    }
}

/// Whether a term has pairs between an anchor and columns of the same view, or of another.
fn reaches(term: &Term, same_view: bool) -> bool {
    if same_view { term.pairs.within } else { term.pairs.cross || term.pairs.matched }
}

/// Calls `row(image, column images, cosines)` for every row of `block` against every tile of `view`, in order.
fn for_each_tile<T: Scalar>(
    batch: Batch,
    views: &[Points<'_, T>],
    block: Block,
    view: usize,
    mut row: impl FnMut(usize, std::ops::Range<usize>, &[f64]),
) {
    let d = batch.dim;
    let x = &views[block.view].as_slice()[block.first * d..block.end * d];
    let mut tile = vec![T::default(); (block.end - block.first) * COLUMNS];
    let mut cosines = [0.0; COLUMNS];
    for first in (0..batch.images).step_by(COLUMNS) {
        let end = batch.images.min(first + COLUMNS);
        let width = end - first;
        let tile = &mut tile[..(block.end - block.first) * width];
        rows_by_rows(x, &views[view].as_slice()[first * d..end * d], d, tile);
        for (i, line) in (block.first..block.end).zip(tile.chunks_exact(width)) {
            for (s, t) in cosines.iter_mut().zip(line) {
                *s = t.to_f64();
            }
            row(i, first..end, &cosines[..width]);
        }
    }
}

/// The second sweep.
struct Sweep<'a, T> {
    batch: Batch,
    views: &'a [Points<'a, T>],
    terms: Vec<&'a Term>,
    sums: &'a [LogSums],
}

impl<T: Scalar> Sweep<'_, T> {
    /// Gradient of the rows of a block, and its rows' share of the values of links without a logarithm.
    fn block(&self, block: Block) -> BlockOutcome<T> {
        let batch = self.batch;
        let (n, d) = (batch.images, batch.dim);
        let height = block.end - block.first;
        let mut grad = vec![T::default(); height * d];
        let mut values = vec![0.0; self.terms.len()];
        let (mut cost, mut slope) = ([0.0; COLUMNS], [0.0; COLUMNS]);
        let mut weights = [0.0; COLUMNS];
        let mut tile = vec![T::default(); height * COLUMNS];
        for view in 0..batch.views {
            let same_view = block.view == view;
            if !self.terms.iter().any(|term| reaches(term, same_view)) {
                continue;
            }
            for_each_tile(batch, self.views, block, view, |i, columns, cosines| {
                let width = cosines.len();
                weights[..width].fill(0.0);
                for ((term, sums), value) in self.terms.iter().zip(self.sums).zip(&mut values) {
                    if !reaches(term, same_view) {
                        continue;
                    }
                    let factor = batch.pair_factor(term);
                    let anchor_views = batch.anchor_views(term);
                    let (mine, theirs) = (block.view < anchor_views, view < anchor_views);
                    let (cost, slope) = (&mut cost[..width], &mut slope[..width]);
                    let logarithmic = !sums.of_row.is_empty();
                    if logarithmic {
                        term.kernel.ln_tile(cosines, cost, slope);
                    } else {
                        term.kernel.tile(cosines, cost, slope);
                    }
                    for ((j, w), (&cost, &slope)) in
                        columns.clone().zip(&mut weights[..width]).zip(cost.iter().zip(&*slope))
                    {
                        if !contains(term.pairs, same_view, i == j) {
                            continue;
                        }
                        if logarithmic {
                            let share =
                                |view: usize, image: usize| (cost - sums.of_row[view * n + image]).exp();
                            if mine {
                                *w += factor * share(block.view, i) * slope;
                            }
                            if theirs {
                                *w += factor * share(view, j) * slope;
                            }
                        } else {
                            if mine {
                                *value += factor * cost;
                                *w += factor * slope;
                            }
                            if theirs {
                                *w += factor * slope;
                            }
                        }
                    }
                }
                let line = (i - block.first) * width;
                for (out, w) in tile[line..line + width].iter_mut().zip(&weights[..width]) {
                    *out = T::from_f64(*w);
                }
                if i + 1 == block.end {
                    let x = &self.views[view].as_slice()[columns.start * d..columns.end * d];
                    add_weighted_rows(&tile[..height * width], x, width, d, &mut grad);
                }
            });
        }
        BlockOutcome { grad, values }
    }
}

/// Value and gradient of a sum over matched pairs alone: O(K²Nd).
fn matched_mean<T: Scalar>(
    batch: Batch,
    term: &Term,
    views: &[Points<'_, T>],
    grads: &mut [Matrix<T>],
) -> f64 {
    let factor = batch.pair_factor(term);
    let mut value = 0.0;
    for anchor in 0..batch.anchor_views(term) {
        for other in (0..batch.views).filter(|&other| other != anchor) {
            let cosines: Vec<f64> = (0..batch.images)
                .map(|i| {
                    views[anchor]
                        .row(i)
                        .iter()
                        .zip(views[other].row(i))
                        .map(|(x, y)| x.to_f64() * y.to_f64())
                        .sum()
                })
                .collect();
            let focus = term.focus.map(|sigma| focus_weights(&cosines, sigma));
            for (i, &s) in cosines.iter().enumerate() {
                let weight = factor * focus.as_ref().map_or(1.0, |weights| weights[i]);
                let (cost, slope) = term.kernel.at(s);
                value += weight * cost;
                for (row, pulled_to) in [(anchor, other), (other, anchor)] {
                    let x = views[pulled_to].row(i);
                    for (g, x) in grads[row].row_mut(i).iter_mut().zip(x) {
                        *g = T::from_f64(g.to_f64() + weight * slope * x.to_f64());
                    }
                }
            }
        }
    }
    value
}
