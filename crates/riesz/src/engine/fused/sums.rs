//! The first sweep: log-sums of every row, the values of logarithmic terms, and what the second sweep needs of them.

use super::blocks::{Block, Schedule, Tile};
use super::kept::Kept;
use super::loops::{self, LogSums, Pulls};
use super::panels::Panels;
use super::plan::{Cover, Form, Plan};
use super::scratch::{Parts, STRIP, Scratch, fitted, with_scratch};
use crate::Scalar;
use crate::engine::Batch;
use crate::loss::Link;

/// What the second sweep needs of a term, for the rows of one block: the weight of a pair is its power, or its kernel's slope,
/// times the sum of both ends' pulls.
#[derive(Clone, Debug)]
pub(super) struct RowPulls<T> {
    top: Vec<T>,
    pull: Vec<T>,
}

impl<T: Scalar> RowPulls<T> {
    /// For rows `from .. from + len`.
    pub(super) fn part(&self, from: usize, len: usize) -> Pulls<'_, T> {
        Pulls { top: &self.top[from..from + len], pull: &self.pull[from..from + len] }
    }

    pub(super) fn all(&self) -> Pulls<'_, T> {
        self.part(0, self.pull.len())
    }

    /// Pulls of rows whose logarithms are those of sums over more rows than are here: a factor of the row, and its L if the
    /// plan takes a logarithm. A factor of 0 is that of no anchor.
    pub(super) fn of_ends(plan: &Plan<'_, T>, factors: &[f64], log_sums: &[f64]) -> Self {
        let logarithmic = plan.is_logarithmic();
        let pull = |(&factor, &log_sum): (&f64, &f64)| match plan.form {
            _ if factor == 0.0 => 0.0,
            Form::Power { scale, shift, .. } if logarithmic => factor * scale * (shift - log_sum).exp(),
            Form::Power { scale, .. } => factor * scale,
            // The loops multiply by the plan's factor again.
            Form::Plain => factor / plan.factor,
            Form::Logarithmic => factor,
        };
        let mut pulls = Self::known(factors.iter().zip(log_sums).map(pull));
        if matches!(plan.form, Form::Logarithmic) {
            for ((top, &factor), &log_sum) in pulls.top.iter_mut().zip(factors).zip(log_sums) {
                if factor != 0.0 {
                    *top = T::from_f64(log_sum);
                }
            }
        }
        pulls
    }

    /// Pulls that need no log-sum; tops so high that e^{x − top} is 0, where it is asked for.
    fn known(pulls: impl Iterator<Item = f64>) -> Self {
        let pull: Vec<T> = pulls.map(T::from_f64).collect();
        Self { top: vec![-T::LOWEST; pull.len()], pull }
    }
}

/// What the first sweep found of a term.
pub(super) struct Found<T> {
    /// The value, of a logarithmic term.
    pub(super) value: f64,
    /// One a block.
    pub(super) pulls: Vec<RowPulls<T>>,
}

/// What a block gathers.
struct Gathered<'a, T> {
    /// One for each logarithmic plan.
    sums: Vec<LogSums<T>>,
    kept: Option<Kept<'a, T>>,
}

/// One outcome for each plan. Plans without a logarithm need no sweep. Leaves powers in `kept`, one a block, if any.
pub(super) fn sweep<T: Scalar>(
    panels: &Panels<'_, T>,
    schedule: &Schedule,
    plans: &[Plan<'_, T>],
    kept: Vec<Kept<'_, T>>,
) -> Vec<Found<T>> {
    let logarithmic: Vec<&Plan<'_, T>> = plans.iter().filter(|plan| plan.is_logarithmic()).collect();
    let mut gathered = Vec::new();
    if !logarithmic.is_empty() {
        let mut kept = kept.into_iter();
        let fresh = |block: &Block| Gathered {
            sums: logarithmic.iter().map(|_| LogSums::new(block.len())).collect(),
            kept: kept.next(),
        };
        let states = schedule.blocks.iter().map(fresh).collect();
        let wanted = |tile: Tile| logarithmic.iter().any(|plan| plan.cover(tile).is_some());
        gathered = schedule.for_each_tile(states, wanted, |tile, rows: &mut Gathered<'_, T>, columns| {
            with_scratch(|scratch: &mut Scratch<T>| {
                let Scratch { tile: cells, parts } = scratch;
                let kept = rows.kept.as_mut().and_then(|kept| kept.next(tile));
                let cells = kept.unwrap_or_else(|| fitted(cells, tile));
                panels.cosines(tile, cells);
                let mut columns = columns.map(|columns| columns.sums.iter_mut());
                let mut terms = Vec::with_capacity(logarithmic.len());
                for (plan, rows) in logarithmic.iter().zip(&mut rows.sums) {
                    let columns = columns.as_mut().and_then(Iterator::next);
                    if let Some(cover) = plan.cover(tile) {
                        terms.push(Adding { plan, cover, rows, columns });
                    }
                }
                add_tile(tile, terms, cells, parts);
            });
        });
    }
    let mut place = 0;
    plans
        .iter()
        .map(|plan| {
            if !plan.is_logarithmic() {
                return known(schedule, plan);
            }
            let of_blocks: Vec<_> = gathered.iter().map(|block| &block.sums[place]).collect();
            place += 1;
            log_sums(panels.batch, schedule, plan, &of_blocks)
        })
        .collect()
}

/// A term on one tile.
pub(super) struct Adding<'a, T> {
    pub(super) plan: &'a Plan<'a, T>,
    pub(super) cover: Cover<'a>,
    pub(super) rows: &'a mut LogSums<T>,
    pub(super) columns: Option<&'a mut LogSums<T>>,
}

/// Adds the entries of a tile of cosines to the log-sums of its rows and columns. Leaves a single term's powers in their place.
pub(super) fn add_tile<T: Scalar>(
    tile: Tile,
    mut terms: Vec<Adding<'_, T>>,
    cells: &mut [T],
    parts: &mut Parts<T>,
) {
    let width = tile.columns.len();
    let mut copy = Vec::new();
    for (from, cells) in (0..).step_by(STRIP).zip(cells.chunks_mut(STRIP * width)) {
        if let [term] = &mut terms[..] {
            term.add(width, from, cells, parts);
            continue;
        }
        for term in &mut terms {
            copy.clear();
            copy.extend_from_slice(cells);
            term.add(width, from, &mut copy, parts);
        }
    }
}

impl<T: Scalar> Adding<'_, T> {
    /// Adds a strip of cosines, from row `from` on. Overwrites it.
    fn add(&mut self, width: usize, from: usize, cells: &mut [T], parts: &mut Parts<T>) {
        let plan = self.plan;
        let (first, second, line) = parts.fit(cells.len(), width);
        match plan.form {
            Form::Power { power, .. } => {
                self.cover.mask(cells, width, from, T::NEG_INFINITY);
                line.fill(T::default());
                let height = cells.len() / width;
                loops::add_powers(power, cells, &mut self.rows.sum[from..from + height], line);
                if let Some(columns) = &mut self.columns {
                    for (sum, x) in columns.sum.iter_mut().zip(line) {
                        *sum += x.to_f64();
                    }
                }
            }
            Form::Plain | Form::Logarithmic => {
                T::ln_tile(&*plan.term.kernel, cells, first, second);
                self.cover.mask(first, width, from, T::NEG_INFINITY);
                loops::add_logarithms(first, width, line, from, self.rows, self.columns.as_deref_mut());
            }
        }
    }
}

/// The pulls of a term whose weights need no log-sum: of powers, factor · scale · share; of slopes, the share alone, so that
/// pulls of 1 and 2 leave a value as exact as it was.
fn known<T: Scalar>(schedule: &Schedule, plan: &Plan<'_, T>) -> Found<T> {
    let scale = match plan.form {
        Form::Power { scale, .. } => plan.factor * scale,
        Form::Plain | Form::Logarithmic => 1.0,
    };
    let of_block = |&block: &Block| RowPulls::known(plan.shares(block).map(|share| scale * share));
    Found { value: 0.0, pulls: schedule.blocks.iter().map(of_block).collect() }
}

/// What is summed in one logarithm: Σ = sum · e^top, over so many pairs.
#[derive(Clone, Copy)]
struct Joined {
    top: f64,
    sum: f64,
    pairs: usize,
}

/// Values and pulls of a logarithmic term of its rows' log-sums.
fn log_sums<T: Scalar>(
    batch: Batch<'_>,
    schedule: &Schedule,
    plan: &Plan<'_, T>,
    sums: &[&LogSums<T>],
) -> Found<T> {
    let (scale, shift) = match plan.form {
        Form::Power { scale, shift, .. } => (scale, Some(shift)),
        Form::Plain | Form::Logarithmic => (1.0, None),
    };
    let images = batch.images;
    let anchors = plan.term.anchor_views(batch.views) * images;
    // Row p = view · images + image is summed in the logarithm of this place.
    let (place, logarithms): (fn(usize, usize) -> usize, usize) = match plan.term.link {
        Link::ImageLogSum => (|p, images| p % images, images),
        Link::LogMean => (|p, images| p / images, anchors / images),
        _ => (|p, _| p, anchors),
    };
    let rows = || {
        let rows = sums.iter().flat_map(|sums| sums.top.iter().zip(&sums.sum));
        rows.map(|(top, &sum)| (shift.unwrap_or(top.to_f64()), sum)).take(anchors).enumerate()
    };
    let mut joined = vec![Joined { top: f64::NEG_INFINITY, sum: 0.0, pairs: 0 }; logarithms];
    for (p, (top, _)) in rows() {
        let joined = &mut joined[place(p, images)];
        joined.top = joined.top.max(top);
    }
    for (p, (top, sum)) in rows() {
        let joined = &mut joined[place(p, images)];
        joined.sum += sum * (top - joined.top).exp();
        joined.pairs += batch.count(plan.term, p % images);
    }
    let log = |joined: &Joined| {
        let of_count = if plan.term.link.is_log_mean() { (joined.pairs as f64).ln() } else { 0.0 };
        joined.top + joined.sum.ln() - of_count
    };
    let value = plan.factor * joined.iter().map(log).sum::<f64>();
    let pulls = schedule.blocks.iter().map(|&block| {
        if !plan.anchors(block) {
            return RowPulls::known(plan.shares(block));
        }
        let of_rows =
            (block.first..block.end).map(|image| &joined[place(block.view * images + image, images)]);
        RowPulls {
            top: of_rows.clone().map(|joined| T::from_f64(joined.top)).collect(),
            pull: of_rows.map(|joined| T::from_f64(plan.factor * scale / joined.sum)).collect(),
        }
    });
    Found { value, pulls: pulls.collect() }
}
