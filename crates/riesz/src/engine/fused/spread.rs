//! A batch that is spread over several places: what one of them needs of a block of another's rows.
//!
//! What both functions mean, and what they take, stands at [`Ends`].

use rayon::prelude::*;

use super::Fused;
use super::blocks::{Block, Tile, block_size};
use super::kin::Kin;
use super::loops::LogSums;
use super::plan::{Form, Plan};
use super::scratch::{Scratch, fitted, with_scratch};
use super::sums::{Adding, RowPulls, add_tile};
use super::weights::{Weighing, once, weigh};
use crate::engine::groups::Groups;
use crate::engine::{Batch, Sums};
use crate::loss::Loss;
use crate::product::{add_weighted_rows, weighted_rows};
use crate::rows::transpose;
use crate::{Points, Scalar};

/// The batch of all places, of whose rows [`Fused::log_sums`] and [`Fused::sweep`] see two [`Part`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole<'a> {
    /// N.
    pub images: usize,
    /// The group of every image of the batch, if it has groups.
    pub groups: Option<&'a [u32]>,
}

/// Images `first ..` of the batch, all views of them. Two parts of a batch are the same images or have none in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part<'a, T> {
    /// The place of its first image in the batch.
    pub first: usize,
    /// One n × d a view.
    pub views: &'a [Points<'a, T>],
}

/// What a term knows of a part's rows, view-major, K · n each.
///
/// N images over all places, K views. Whatever the loss, W_pq = ∂L/∂s_pq of an ordered pair (anchor p, other q) depends on s_pq, on a
/// factor a_p, and, where the term takes a logarithm, on the logarithm L_p that row p is part of; and the gradient of x_p is
/// Σ_q (W_pq + W_qp) x_q. So two functions do, both of own rows against a block: [`Fused::log_sums`], from which the L are made, and, once
/// those of both are known, [`Fused::sweep`]. Nothing is written to the block, so nothing of it need be sent back.
///
/// - a_p is the term's weight over what its mean runs over: over the anchors of a row's mean, over N for
///   [`Link::ImageLogSum`](crate::loss::Link::ImageLogSum), over the anchor views for [`Link::LogMean`](crate::loss::Link::LogMean); and over
///   p's pairs too for [`Link::Mean`](crate::loss::Link::Mean). Without groups that is
///   [`Term::pair_factor`](crate::loss::Term::pair_factor).
/// - L_p is ln Σ κ over the pairs that share p's logarithm: those anchored in p, in p's image, or in p's view, over all places.
/// - Then W_pq = a_p κ′(s_pq), or a_p e^{ln κ(s_pq) − L_p} κ′/κ with a logarithm.
///
/// Who exchanges rows and logarithms, and joins the latter, is not the core: `riesz.torch.distributed` of the Python package is one. Here a
/// batch of one place, whose only block is itself:
///
/// ```
/// use riesz::engine::{Ends, Engine, Fused, Part, Whole};
/// use riesz::loss::Loss;
/// use riesz::{Points, rng::Key, sphere};
///
/// let (n, d) = (12, 5);
/// let rows = [1, 2].map(|seed| sphere::sample(n, d, Key::new(seed)));
/// let views = [Points::new(&rows[0])?, Points::new(&rows[1])?];
/// let loss = Loss::nt_xent(0.5)?;
/// let (whole, all) = (Whole { images: n, groups: None }, Part { first: 0, views: &views });
///
/// // Each row has a logarithm of its own, so that those of several blocks would be joined row by row.
/// let log_sums = Fused.log_sums(&loss, whole, all, all);
/// let none = vec![0.0; 2 * n];
/// let factors: Vec<Vec<f64>> = loss.terms.iter().map(|term| vec![term.pair_factor(n, 2); 2 * n]).collect();
/// let ends: Vec<Ends> = (0..2)
///     .map(|term| Ends {
///         factors: &factors[term],
///         log_sums: if log_sums[term].is_empty() { &none } else { &log_sums[term] },
///     })
///     .collect();
///
/// let mut grads = vec![vec![0.0; n * d]; 2];
/// let mut slices: Vec<&mut [f64]> = grads.iter_mut().map(Vec::as_mut_slice).collect();
/// Fused.sweep(&loss, whole, all, &ends, all, &ends, &mut slices);
/// let want = Fused.value_and_grad(&loss, &views)?;
/// assert!(grads[0].iter().zip(want.grads[0].as_slice()).all(|(a, b)| (a - b).abs() < 1e-14));
/// # Ok::<(), riesz::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ends<'a> {
    /// a_p; 0 where the row is no anchor.
    pub factors: &'a [f64],
    /// L_p; of no meaning without a logarithm and where the row is no anchor.
    pub log_sums: &'a [f64],
}

/// A term's share of the pairs between own rows and a block. The shares of all (own, block) of a batch sum to the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Share {
    /// Of its value, for a term without a logarithm.
    pub value: f64,
    /// Of Σ ∂L/∂s.
    pub slope: f64,
}

impl<T: Scalar> Part<'_, T> {
    fn images(self) -> usize {
        self.views.first().map_or(0, |view| view.len())
    }

    fn blocks(self, size: usize) -> Vec<Block> {
        let end = self.first + self.images();
        let firsts = || (self.first..end).step_by(size);
        let of_view = |view| firsts().map(move |first| Block { view, first, end: end.min(first + size) });
        (0..self.views.len()).flat_map(of_view).collect()
    }

    fn rows(&self, block: Block, dim: usize) -> &[T] {
        let (from, to) = (block.first - self.first, block.end - self.first);
        &self.views[block.view].as_slice()[from * dim..to * dim]
    }
}

/// Own rows and a block of others', cut alike.
struct Meeting<'a, T> {
    batch: Batch<'a>,
    own: Part<'a, T>,
    other: Part<'a, T>,
    own_blocks: Vec<Block>,
    /// Each with its rows, transposed.
    other_blocks: Vec<(Block, Vec<T>)>,
    kin: Option<Kin<'a>>,
}

impl<'a, T: Scalar> Meeting<'a, T> {
    fn new(batch: Batch<'a>, own: Part<'a, T>, other: Part<'a, T>) -> Self {
        let fits = |part: Part<'_, T>| {
            part.views.len() == batch.views
                && part.first.saturating_add(part.images()) <= batch.images
                && part.views.iter().all(|view| view.len() == part.images() && view.dim() == batch.dim)
        };
        assert!(fits(own) && fits(other), "parts are not of one batch");
        let apart = own.first + own.images() <= other.first || other.first + other.images() <= own.first;
        let same = own.first == other.first && own.images() == other.images();
        assert!(apart || same, "two parts share some images, but not all");
        let size = block_size(batch.views.saturating_mul(batch.images), batch.dim);
        let own_blocks = own.blocks(size);
        let mut other_blocks: Vec<(Block, Vec<T>)> = other
            .blocks(size)
            .into_iter()
            .map(|block| (block, vec![T::default(); block.len() * batch.dim]))
            .collect();
        other_blocks.par_iter_mut().for_each(|(block, transposed)| {
            transpose(other.rows(*block, batch.dim), batch.dim, transposed);
        });
        let kin = batch.groups.map(|groups| {
            let others = other_blocks.iter().map(|(block, _)| *block);
            let mut blocks: Vec<Block> = own_blocks.iter().copied().chain(others).collect();
            blocks.retain(|block| block.view == 0);
            blocks.sort_unstable_by_key(|block| block.first);
            blocks.dedup();
            Kin::of_blocks(groups, blocks.iter())
        });
        Self { batch, own, other, own_blocks, other_blocks, kin }
    }

    /// One for each term, those over matched pairs too.
    fn plans(&self, loss: &'a Loss) -> Vec<Plan<'_, T>> {
        let terms = loss.terms.iter().enumerate();
        terms.map(|(index, term)| Plan::new(self.batch, self.kin.as_ref(), index, term)).collect()
    }

    fn cosines(&self, tile: Tile, transposed: &[T], out: &mut [T]) {
        let rows = self.own.rows(tile.rows, self.batch.dim);
        weighted_rows(rows, transposed, self.batch.dim, tile.columns.len(), out);
        tile.set_own_cosines(out);
    }
}

fn batch<'a, T: Scalar>(whole: Whole<'_>, own: Part<'_, T>, groups: Option<&'a Groups<'a>>) -> Batch<'a> {
    assert!(!own.views.is_empty(), "a loss needs at least one view");
    Batch { views: own.views.len(), images: whole.images, dim: own.views[0].dim(), groups }
}

impl Fused {
    /// Of each term ln Σ κ ([`Ends`]) over the pairs anchored in each own row whose other row is the block's, K · n, view-major; −∞ where
    /// there is no pair, and no numbers for a term without a logarithm. Own rows are threads' work; the bits do not depend on
    /// their number.
    ///
    /// # Panics
    /// If the parts are not of one batch, or share some images but not all.
    pub fn log_sums<T: Scalar>(
        &self,
        loss: &Loss,
        whole: Whole<'_>,
        own: Part<'_, T>,
        other: Part<'_, T>,
    ) -> Vec<Vec<f64>> {
        let groups = Groups::new(whole.groups, whole.images);
        let meeting = Meeting::new(batch(whole, own, groups.as_ref()), own, other);
        let plans = meeting.plans(loss);
        let logarithmic: Vec<&Plan<'_, T>> = plans.iter().filter(|plan| plan.is_logarithmic()).collect();
        let of_block = |&rows: &Block| -> Vec<LogSums<T>> {
            let mut sums: Vec<LogSums<T>> = logarithmic.iter().map(|_| LogSums::new(rows.len())).collect();
            for (columns, transposed) in &meeting.other_blocks {
                let tile = Tile { rows, columns: *columns };
                let terms: Vec<Adding<'_, T>> = logarithmic
                    .iter()
                    .zip(&mut sums)
                    .filter(|(plan, _)| plan.anchors(rows))
                    .filter_map(|(plan, rows)| {
                        Some(Adding { plan, cover: plan.cover(tile)?, rows, columns: None })
                    })
                    .collect();
                if !terms.is_empty() {
                    with_scratch(|scratch: &mut Scratch<T>| {
                        let Scratch { tile: room, parts } = scratch;
                        let cells = fitted(room, tile);
                        meeting.cosines(tile, transposed, cells);
                        add_tile(tile, terms, cells, parts);
                    });
                }
            }
            sums
        };
        let of_blocks: Vec<Vec<LogSums<T>>> = meeting.own_blocks.par_iter().map(of_block).collect();
        let mut place = 0;
        let of_term = |plan: &Plan<'_, T>| {
            if !plan.is_logarithmic() {
                return Vec::new();
            }
            place += 1;
            let sums = of_blocks.iter().map(|block| &block[place - 1]);
            let log = |top: T, sum: f64| match plan.form {
                Form::Power { shift, .. } => shift + sum.ln(),
                Form::Plain | Form::Logarithmic => top.to_f64() + sum.ln(),
            };
            sums.flat_map(|sums| sums.top.iter().zip(&sums.sum).map(move |(&top, &sum)| log(top, sum)))
                .collect()
        };
        plans.iter().map(of_term).collect()
    }

    /// Adds to `grads`, one n × d a view, what the gradient of own rows owes to the block, Σ_q (W_pq + W_qp) x_q over its rows q;
    /// returns each term's share. W is said at [`Ends`]; `own_ends` and `other_ends` have one entry a term.
    ///
    /// # Panics
    /// As [`Fused::log_sums`], or if ends or gradients are not of the parts' sizes.
    pub fn sweep<T: Scalar>(
        &self,
        loss: &Loss,
        whole: Whole<'_>,
        own: Part<'_, T>,
        own_ends: &[Ends<'_>],
        other: Part<'_, T>,
        other_ends: &[Ends<'_>],
        grads: &mut [&mut [T]],
    ) -> Vec<Share> {
        let groups = Groups::new(whole.groups, whole.images);
        let meeting = Meeting::new(batch(whole, own, groups.as_ref()), own, other);
        let (plans, d) = (meeting.plans(loss), meeting.batch.dim);
        assert!(grads.len() == own.views.len(), "gradients are not of the shape of the views");
        let pulls = |part: Part<'_, T>, ends: &[Ends<'_>], blocks: &[Block]| -> Vec<Vec<RowPulls<T>>> {
            let numbers = part.views.len() * part.images();
            let fits = |ends: &Ends<'_>| ends.factors.len() == numbers && ends.log_sums.len() == numbers;
            assert!(ends.len() == plans.len() && ends.iter().all(fits), "ends are not of the parts' rows");
            let of_block = |block: &Block| {
                let first = block.view * part.images() + block.first - part.first;
                let rows = first..first + block.len();
                let of_term = |(plan, ends): (&Plan<'_, T>, &Ends<'_>)| {
                    RowPulls::of_ends(plan, &ends.factors[rows.clone()], &ends.log_sums[rows.clone()])
                };
                plans.iter().zip(ends).map(of_term).collect()
            };
            blocks.iter().map(of_block).collect()
        };
        let own_pulls = pulls(own, own_ends, &meeting.own_blocks);
        let columns: Vec<Block> = meeting.other_blocks.iter().map(|(block, _)| *block).collect();
        let other_pulls = pulls(other, other_ends, &columns);
        let mut rest: Vec<&mut [T]> = grads.iter_mut().map(|grad| &mut **grad).collect();
        let mut tasks = Vec::with_capacity(meeting.own_blocks.len());
        for (block, pulls) in meeting.own_blocks.iter().zip(&own_pulls) {
            // Blocks of a view come in order.
            let (grad, after) = std::mem::take(&mut rest[block.view]).split_at_mut(block.len() * d);
            rest[block.view] = after;
            tasks.push((*block, pulls, grad));
        }
        let of_block = |(rows, row_pulls, grad): (Block, &Vec<RowPulls<T>>, &mut [T])| -> Vec<Sums> {
            let mut shares = vec![Sums::default(); plans.len()];
            for ((columns, transposed), column_pulls) in meeting.other_blocks.iter().zip(&other_pulls) {
                let tile = Tile { rows, columns: *columns };
                // Both orders of a pair are in a cell, and both of its ends meet the other: half of it is this one's.
                let half = 0.5 / once(tile);
                let mut found = vec![Sums::default(); plans.len()];
                let ends = row_pulls.iter().zip(column_pulls);
                let mut terms: Vec<Weighing<'_, T>> = plans
                    .iter()
                    .zip(ends)
                    .zip(&mut found)
                    .filter_map(|((plan, (rows, columns)), sums)| {
                        Some(Weighing { plan, cover: plan.cover(tile)?, rows, columns, sums })
                    })
                    .collect();
                if terms.is_empty() {
                    continue;
                }
                with_scratch(|scratch: &mut Scratch<T>| {
                    let Scratch { tile: room, parts } = scratch;
                    let cells = fitted(room, tile);
                    meeting.cosines(tile, transposed, cells);
                    weigh(tile, &mut terms, cells, parts);
                    add_weighted_rows(cells, meeting.other.rows(*columns, d), columns.len(), d, grad);
                });
                for (share, found) in shares.iter_mut().zip(found) {
                    *share += Sums { value: half * found.value, slope: half * found.slope };
                }
            }
            shares
        };
        let of_blocks: Vec<Vec<Sums>> = tasks.into_par_iter().map(of_block).collect();
        let mut shares = vec![Share::default(); plans.len()];
        for of_block in of_blocks {
            for (share, sums) in shares.iter_mut().zip(of_block) {
                *share = Share { value: share.value + sums.value, slope: share.slope + sums.slope };
            }
        }
        shares
    }
}
