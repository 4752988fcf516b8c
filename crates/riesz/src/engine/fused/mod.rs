//! The same numbers as [`Reference`](super::Reference) by tiles of the cosine matrix, in memory linear in the batch, at
//! the speed of the matrix product.
//!
//! N images, K views, rows p = (view, image), d dims. Whatever the loss, ∂L/∂s_pq depends on s_pq and on one number of
//! row p, its log-sum; and s is symmetric. So rows are cut into blocks, a tile is the cosines of two blocks, and there
//! are two sweeps over unordered pairs of blocks. The first collects the log-sums of a tile's rows and of its columns. The
//! second recomputes the cosines, puts the weights W_pq + W_qp in their place, and adds W X to the gradient of one block
//! and Wᵀ X to that of the other. That is four products of T² · d a pair of blocks of T rows, and two exponentials a
//! pair of rows. Losses without a logarithm need the second sweep alone (three products), and terms over matched pairs
//! alone need no tile.
//!
//! | file | what |
//! |---|---|
//! | `blocks` | blocks, and the rounds in which they meet: why no locks are needed and bits do not depend on threads |
//! | `plan` | what a term asks of a tile; when a fixed shift of the exponent is safe |
//! | `sums`, `weights` | the two sweeps |
//! | `loops` | the loops over a strip of a tile, compiled for several instruction sets |
//! | `kept` | tiles of the first sweep that the second finds ready, in small batches |
//! | `kin` | which tiles have rows of one group |
//! | `matched` | terms over the matched pairs of a batch without groups |
//! | `operations` | how many multiply-adds that is |
//! | `panels` | the rows of each block, and their transpose |
//! | `spread` | own rows against a block of others', for a batch that is spread over processes |
//! | `scratch` | each thread's memory |

mod blocks;
mod kept;
mod kin;
mod loops;
mod matched;
mod operations;
mod panels;
mod plan;
mod scratch;
mod spread;
mod sums;
mod weights;

pub use spread::{Ends, Part, Share, Whole};

use blocks::Schedule;
use kept::Kept;
use kin::Kin;
use panels::Panels;
use plan::Plan;
use scratch::with_room;

use super::groups::Groups;
use super::{Batch, Engine, Sums, Value, finish};
use crate::loss::{Loss, Pairs, Term};
use crate::{Error, Points, Scalar};

/// The engine that training runs: tiles and threads, no allocation of size N².
///
/// Besides the gradients it holds the rows once more, transposed, a few numbers a row, one tile a thread, and up to 2²² numbers
/// of small batches. The bits of its results do not depend on the
/// number of threads. In `f32` the products, exponentials and sums of up to 32 numbers are in `f32`, longer sums in `f64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fused;

impl Fused {
    /// The loss alone, without the products of the gradient: for a loss whose terms all have a logarithm or run over matched
    /// pairs, a quarter of the work. The same bits as with the gradient.
    ///
    /// # Errors
    /// As [`Engine::value_and_grad_grouped`], but that an infinite gradient of a finite value is not seen.
    ///
    /// # Panics
    /// As [`Engine::value_and_grad_grouped`].
    pub fn value<T: Scalar>(
        &self,
        loss: &Loss,
        views: &[Points<'_, T>],
        groups: Option<&[u32]>,
    ) -> Result<f64, Error> {
        Ok(run(loss, views, groups, &mut [])?.value)
    }
}

impl<T: Scalar> Engine<T> for Fused {
    fn add_grad_grouped(
        &self,
        loss: &Loss,
        views: &[Points<'_, T>],
        groups: Option<&[u32]>,
        grads: &mut [&mut [T]],
    ) -> Result<Value, Error> {
        assert!(!grads.is_empty() || views.is_empty(), "gradients are not of the shape of the views");
        run(loss, views, groups, grads)
    }
}

/// No gradients, or one a view.
fn run<T: Scalar>(
    loss: &Loss,
    views: &[Points<'_, T>],
    groups: Option<&[u32]>,
    grads: &mut [&mut [T]],
) -> Result<Value, Error> {
    let groups = Groups::new(groups, views.first().map_or(0, |view| view.len()));
    let batch = Batch::of(loss, views, groups.as_ref())?;
    if !grads.is_empty() {
        batch.check_grads(grads);
    }
    let schedule = schedule(batch, loss);
    let mut sums = vec![Sums::default(); loss.terms.len()];
    with_room(|room: &mut Vec<T>| {
        let mut evaluate = || evaluate(batch, loss, views, &schedule, room, &mut sums, grads);
        if schedule.threaded {
            // Inside the pool, so that a round does not wake it up.
            rayon::scope(|_| evaluate());
        } else {
            evaluate();
        }
    });
    finish(batch, loss, views, &sums, grads)
}

/// Matched pairs alone are a few a row, and known, where the batch has no groups.
fn needs_no_tile(batch: Batch<'_>, term: &Term) -> bool {
    term.pairs == Pairs::MATCHED && batch.groups.is_none()
}

fn schedule(batch: Batch<'_>, loss: &Loss) -> Schedule {
    let reaches_other_views = |term: &Term| term.pairs.cross || term.pairs.matched;
    let views_meet = loss.terms.iter().any(|term| !needs_no_tile(batch, term) && reaches_other_views(term));
    Schedule::new(batch, views_meet)
}

/// One for each term that needs tiles.
fn plans<'a, T: Scalar>(batch: Batch<'a>, kin: Option<&'a Kin<'a>>, loss: &'a Loss) -> Vec<Plan<'a, T>> {
    let terms = loss.terms.iter().enumerate().filter(|(_, term)| !needs_no_tile(batch, term));
    terms.map(|(index, term)| Plan::new(batch, kin, index, term)).collect()
}

fn evaluate<T: Scalar>(
    batch: Batch<'_>,
    loss: &Loss,
    views: &[Points<'_, T>],
    schedule: &Schedule,
    room: &mut Vec<T>,
    sums: &mut [Sums],
    grads: &mut [&mut [T]],
) {
    let kin = batch.groups.map(|groups| Kin::new(groups, schedule));
    let plans: Vec<Plan<'_, T>> = plans(batch, kin.as_ref(), loss);
    if !plans.is_empty() {
        let panels = Panels::new(batch, views, schedule);
        let tiles = kept::tiles(schedule, &plans);
        room.resize(room.len().max(kept::cells(tiles.iter().flatten())), T::default());
        let found = sums::sweep(&panels, schedule, &plans, Kept::cut(room, &tiles));
        let all_known = grads.is_empty() && plans.iter().all(Plan::is_logarithmic);
        let swept = if all_known {
            vec![Sums::default(); plans.len()]
        } else {
            weights::sweep(&panels, schedule, &plans, &found, Kept::cut(room, &tiles), grads)
        };
        for ((plan, found), swept) in plans.iter().zip(&found).zip(swept) {
            sums[plan.index] = Sums { value: found.value + swept.value, ..swept };
        }
    }
    for (term, sums) in loss.terms.iter().zip(sums).filter(|(term, _)| needs_no_tile(batch, term)) {
        *sums = matched::add(batch, term, views, grads);
    }
}
