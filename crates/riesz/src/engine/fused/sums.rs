//! The first sweep: log-sums of every row, the values of logarithmic terms, and what the second sweep needs of them.

use super::blocks::{Schedule, Tile};
use super::loops::{self, LogSums, Pulls};
use super::panels::Panels;
use super::plan::{Cover, Form, Plan};
use super::scratch::{STRIP, Scratch, with_scratch};
use crate::Scalar;
use crate::engine::Batch;
use crate::loss::Link;

/// What the second sweep needs of a term, for the rows of one block: the weight of a pair is its power, times the pull of
/// either end. Empty for terms whose weights are the kernel's slopes alone.
#[derive(Clone, Debug)]
pub(super) struct RowPulls<T> {
    top: Vec<T>,
    pull: Vec<T>,
}

impl<T: Scalar> RowPulls<T> {
    /// For rows `from .. from + len`.
    pub(super) fn part(&self, from: usize, len: usize) -> Pulls<'_, T> {
        let rows = from.min(self.pull.len())..(from + len).min(self.pull.len());
        Pulls { top: &self.top[rows.clone()], pull: &self.pull[rows] }
    }

    pub(super) fn all(&self) -> Pulls<'_, T> {
        self.part(0, self.pull.len())
    }

    /// One pull for all rows; a top so high that e^{x − top} is 0, where it is asked for.
    fn constant(len: usize, pull: f64) -> Self {
        Self { top: vec![-T::LOWEST; len], pull: vec![T::from_f64(pull); len] }
    }
}

/// What the first sweep found of a term.
pub(super) struct Found<T> {
    /// The value, of a logarithmic term.
    pub(super) value: f64,
    /// One a block.
    pub(super) pulls: Vec<RowPulls<T>>,
}

/// One outcome for each plan. Plans without a logarithm need no sweep.
pub(super) fn sweep<T: Scalar>(
    panels: &Panels<'_, T>,
    schedule: &Schedule,
    plans: &[Plan<'_, T>],
) -> Vec<Found<T>> {
    let logarithmic: Vec<&Plan<'_, T>> = plans.iter().filter(|plan| plan.is_logarithmic()).collect();
    let mut sums = Vec::new();
    if !logarithmic.is_empty() {
        let fresh = |len: usize| logarithmic.iter().map(|_| LogSums::new(len)).collect::<Vec<_>>();
        let states = schedule.blocks.iter().map(|block| fresh(block.len())).collect();
        let wanted = |tile: Tile| logarithmic.iter().any(|plan| plan.cover(tile).is_some());
        sums = schedule.for_each_tile(states, wanted, |tile, rows: &mut Vec<LogSums<T>>, mut columns| {
            with_scratch(|scratch: &mut Scratch<T>| {
                scratch.fill(panels, tile);
                for (p, plan) in logarithmic.iter().enumerate() {
                    if let Some(cover) = plan.cover(tile) {
                        let columns = columns.as_mut().map(|sums| &mut sums[p]);
                        add_tile(plan, tile, cover, scratch, &mut rows[p], columns);
                    }
                }
            });
        });
    }
    let mut place = 0;
    plans
        .iter()
        .map(|plan| {
            if !plan.is_logarithmic() {
                return constant(schedule, plan);
            }
            let of_blocks: Vec<&LogSums<T>> = sums.iter().map(|block| &block[place]).collect();
            place += 1;
            log_sums(panels.batch, schedule, plan, &of_blocks)
        })
        .collect()
}

/// Adds the entries of a tile to the log-sums of its rows and columns.
fn add_tile<T: Scalar>(
    plan: &Plan<'_, T>,
    tile: Tile,
    cover: Cover,
    scratch: &mut Scratch<T>,
    rows: &mut LogSums<T>,
    mut columns: Option<&mut LogSums<T>>,
) {
    let width = tile.columns.len();
    let Scratch { tile: cosines, first, second, line } = scratch;
    for (from, cosines) in (0..).step_by(STRIP).zip(cosines.chunks(STRIP * width)) {
        let height = cosines.len() / width;
        match plan.form {
            Form::Power { power, .. } => {
                let cosines = if cover.is_whole() {
                    cosines
                } else {
                    let masked = &mut second[..cosines.len()];
                    masked.copy_from_slice(cosines);
                    cover.mask(masked, width, from, T::NEG_INFINITY);
                    &*masked
                };
                let of_columns = &mut first[..width];
                of_columns.fill(T::default());
                loops::add_powers(power, cosines, line, &mut rows.sum[from..from + height], of_columns);
                if let Some(columns) = &mut columns {
                    for (sum, x) in columns.sum.iter_mut().zip(of_columns) {
                        *sum += x.to_f64();
                    }
                }
            }
            Form::Plain | Form::Logarithmic => {
                let (logarithms, ratios) = (&mut first[..cosines.len()], &mut second[..cosines.len()]);
                T::ln_tile(&*plan.term.kernel, cosines, logarithms, ratios);
                cover.mask(logarithms, width, from, T::NEG_INFINITY);
                loops::add_logarithms(logarithms, width, line, from, rows, columns.as_deref_mut());
            }
        }
    }
}

/// The pulls of a term whose weights are known beforehand.
fn constant<T: Scalar>(schedule: &Schedule, plan: &Plan<'_, T>) -> Found<T> {
    let pulls = schedule.blocks.iter().map(|&block| match plan.form {
        Form::Power { scale, .. } => {
            let pull = if plan.anchors(block) { plan.factor * scale } else { 0.0 };
            RowPulls::constant(block.len(), pull)
        }
        Form::Plain | Form::Logarithmic => RowPulls { top: Vec::new(), pull: Vec::new() },
    });
    Found { value: 0.0, pulls: pulls.collect() }
}

/// Values and pulls of a logarithmic term of its rows' log-sums.
fn log_sums<T: Scalar>(
    batch: Batch,
    schedule: &Schedule,
    plan: &Plan<'_, T>,
    sums: &[&LogSums<T>],
) -> Found<T> {
    let (scale, shift) = match plan.form {
        Form::Power { scale, shift, .. } => (scale, Some(shift)),
        Form::Plain | Form::Logarithmic => (1.0, None),
    };
    let top = |top: T| shift.unwrap_or(top.to_f64());
    let log = |(x, sum): (f64, f64)| x + sum.ln();
    let per_view = schedule.blocks.len() / batch.views;
    let (mut value, mut pulls) = (0.0, Vec::with_capacity(sums.len()));
    for (blocks, sums) in schedule.blocks.chunks(per_view).zip(sums.chunks(per_view)) {
        let rows =
            || sums.iter().flat_map(|sums| sums.top.iter().zip(&sums.sum)).map(|(&x, &sum)| (top(x), sum));
        if !plan.anchors(blocks[0]) {
            pulls.extend(blocks.iter().map(|block| RowPulls::constant(block.len(), 0.0)));
        } else if plan.term.link == Link::RowLogSum {
            value += plan.factor * rows().map(log).sum::<f64>();
            pulls.extend(sums.iter().map(|sums| RowPulls {
                top: sums.top.clone(),
                pull: sums.sum.iter().map(|sum| T::from_f64(plan.factor * scale / sum)).collect(),
            }));
        } else {
            let highest = rows().map(|(x, _)| x).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = rows().map(|(x, sum)| sum * (x - highest).exp()).sum();
            let pairs = (batch.images * plan.term.pairs.count(batch.images, batch.views)) as f64;
            value += plan.factor * (log((highest, sum)) - pairs.ln());
            pulls.extend(blocks.iter().map(|block| RowPulls {
                top: vec![T::from_f64(highest); block.len()],
                pull: vec![T::from_f64(plan.factor * scale / sum); block.len()],
            }));
        }
    }
    Found { value, pulls }
}
