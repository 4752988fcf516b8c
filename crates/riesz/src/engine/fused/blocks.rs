//! Blocks of rows, and the order in which pairs of them meet.
//!
//! A tile is the cosines of one block with another; by symmetry each pair of blocks is visited once, and whoever visits
//! it writes to the rows of both. So that nobody else does meanwhile, pairs meet in rounds of disjoint pairs: round 0 is
//! each block with itself, the others are those of a round-robin tournament by the circle method (one block stays, the
//! others move on by one seat each round), in which every block occurs at most once a round and every pair once in all.
//!
//! ```text
//! 6 blocks:  (0,0) (1,1) (2,2) (3,3) (4,4) (5,5)
//!            (0,5) (1,4) (2,3)
//!            (1,5) (0,2) (3,4)
//!            (2,5) (1,3) (0,4)
//!            (3,5) (2,4) (0,1)
//!            (4,5) (0,3) (1,2)
//! ```
//!
//! What a block gathers (sums, a gradient) is a state that is taken out of its slot for a round and put back: no locks,
//! no atomics. A block's additions come in the order of the rounds, which shapes alone decide; so the bits are the same
//! for any number of threads.

use std::ops::Range;

use rayon::prelude::*;

use crate::Scalar;
use crate::engine::Batch;

/// Below this many operations threads cost more than they save.
const FEW_OPERATIONS: usize = 10_000_000;

/// Rows `first .. end` of one view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) view: usize,
    pub(super) first: usize,
    pub(super) end: usize,
}

impl Block {
    pub(super) fn len(self) -> usize {
        self.end - self.first
    }

    /// This block's part of a slice that has `dim` numbers for each row of the view.
    pub(super) fn rows<T>(self, view: &[T], dim: usize) -> &[T] {
        &view[self.first * dim..self.end * dim]
    }
}

/// The cosines of `rows` (first) with `columns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) rows: Block,
    pub(super) columns: Block,
}

impl Tile {
    pub(super) fn cells(self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Whether it is a block with itself.
    pub(super) fn is_diagonal(self) -> bool {
        self.rows == self.columns
    }

    /// Puts 1 for the cosine of each row with itself, whatever rounding made of it: a kernel may be steep there.
    pub(super) fn set_own_cosines<T: Scalar>(self, cells: &mut [T]) {
        if self.is_diagonal() {
            cells.iter_mut().step_by(self.columns.len() + 1).for_each(|cell| *cell = T::from_f64(1.0));
        }
    }

    pub(super) fn same_view(self) -> bool {
        self.rows.view == self.columns.view
    }

    /// Whether row i and column i are of one image.
    pub(super) fn same_images(self) -> bool {
        self.rows.first == self.columns.first
    }
}

/// All blocks, and which of them meet.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) blocks: Vec<Block>,
    /// Ranges of blocks, in order; only blocks of one group meet.
    groups: Vec<Range<usize>>,
    /// So many blocks of a group, one after another, go through the rounds together.
    crew: usize,
    /// Whether there is enough work for threads.
    pub(super) threaded: bool,
}

/// What one thread does in a round: all pairs of a block of one crew with a block of the other.
struct Task<S> {
    pair: (usize, usize),
    rows: Vec<S>,
    /// None for a crew with itself.
    columns: Option<Vec<S>>,
}

impl Schedule {
    /// Blocks of every view; those of different views meet if `views_meet`.
    pub(super) fn new(batch: Batch<'_>, views_meet: bool) -> Self {
        let size = block_size(batch.views * batch.images, batch.dim);
        let per_view = batch.images.div_ceil(size);
        let block =
            |view: usize, i: usize| Block { view, first: i * size, end: batch.images.min((i + 1) * size) };
        let blocks: Vec<Block> =
            (0..batch.views).flat_map(|view| (0..per_view).map(move |i| block(view, i))).collect();
        let group = if views_meet { blocks.len() } else { per_view };
        let groups = (0..blocks.len()).step_by(group).map(|first| first..first + group).collect();
        // Four products of half of all pairs that meet.
        let meeting = if views_meet { batch.views * batch.images } else { batch.images };
        let operations = batch.views * batch.images * meeting * batch.dim * 4;
        let crew = crew_size(blocks.len());
        Self { blocks, groups, crew, threaded: operations > FEW_OPERATIONS }
    }

    /// The tiles whose rows block `i` is: with itself, and with all later blocks of its group.
    pub(super) fn tiles_of_rows(&self, i: usize) -> impl Iterator<Item = Tile> {
        let end = self.groups.iter().find(|group| group.contains(&i)).map_or(i, |group| group.end);
        (i..end).map(move |j| Tile { rows: self.blocks[i], columns: self.blocks[j] })
    }

    /// The blocks of each crew, those of one group after those of another.
    fn crews(&self) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
        let (mut crews, mut groups) = (Vec::new(), Vec::new());
        for group in &self.groups {
            let first = crews.len();
            crews.extend(group.clone().step_by(self.crew).map(|i| i..group.end.min(i + self.crew)));
            groups.push(first..crews.len());
        }
        (crews, groups)
    }

    /// Calls `work` for each tile of which `wanted` says so, with the states of its blocks (the second is `None` for a
    /// block with itself), and returns the states, one a block.
    pub(super) fn for_each_tile<S: Send>(
        &self,
        states: Vec<S>,
        wanted: impl Fn(Tile) -> bool + Sync,
        work: impl Fn(Tile, &mut S, Option<&mut S>) + Sync,
    ) -> Vec<S> {
        let (crews, groups) = self.crews();
        let mut states = states.into_iter();
        let mut slots: Vec<Option<Vec<S>>> =
            crews.iter().map(|crew| Some(states.by_ref().take(crew.len()).collect())).collect();
        let visit = |i: usize, j: usize, rows: &mut S, columns: Option<&mut S>| {
            let tile = Tile { rows: self.blocks[i], columns: self.blocks[j] };
            if wanted(tile) {
                work(tile, rows, columns);
            }
        };
        let run = |Task { pair: (first, second), rows, columns }: &mut Task<S>| {
            let (first, second) = (crews[*first].start, crews[*second].start);
            for i in 0..rows.len() {
                if let Some(columns) = columns {
                    for (j, columns) in columns.iter_mut().enumerate() {
                        visit(first + i, second + j, &mut rows[i], Some(columns));
                    }
                    continue;
                }
                let (rows, later) = rows[i..].split_first_mut().expect("the row is one of them");
                visit(first + i, first + i, rows, None);
                for (j, columns) in (first + i + 1..).zip(later) {
                    visit(first + i, j, rows, Some(columns));
                }
            }
        };
        let rounds = 1 + groups.iter().map(|group| rounds(group.len())).max().unwrap_or(0);
        for round in 0..rounds {
            let pairs = groups.iter().flat_map(|group| {
                let from = group.start;
                pairs_of(group.len(), round).map(move |(i, j)| (from + i, from + j))
            });
            let mut take = |i: usize| slots[i].take().expect("a crew occurs once a round");
            let mut tasks: Vec<Task<S>> = pairs
                .map(|(i, j)| Task { pair: (i, j), rows: take(i), columns: (i != j).then(|| take(j)) })
                .collect();
            if self.threaded {
                tasks.par_iter_mut().with_max_len(1).for_each(run);
            } else {
                tasks.iter_mut().for_each(run);
            }
            for Task { pair: (i, j), rows, columns } in tasks {
                slots[i] = Some(rows);
                if let Some(columns) = columns {
                    slots[j] = Some(columns);
                }
            }
        }
        slots.into_iter().flat_map(|slot| slot.expect("every state was put back")).collect()
    }
}

/// Blocks of a crew, given all blocks: at most 8, and so few that a round has 20 tasks or more.
fn crew_size(blocks: usize) -> usize {
    (blocks / 40).clamp(1, 8)
}

/// Rows of a block: so many that the products run at full speed and so few that a tile with its four panels of rows
/// stays in the second-level cache; fewer for small batches (`rows` of all views), so that there is a pair for each of
/// several threads. A multiple of 64, the rows that a product takes at once. A function of shapes alone.
pub(super) fn block_size(rows: usize, dim: usize) -> usize {
    let most = if dim <= 192 { 192 } else { 128 };
    (rows / 4).next_multiple_of(64).clamp(64, most)
}

/// Rounds in which `blocks` meet each other.
fn rounds(blocks: usize) -> usize {
    blocks.next_multiple_of(2) - 1
}

/// The pairs (i ≤ j) of a round: each block at most once.
fn pairs_of(blocks: usize, round: usize) -> impl Iterator<Item = (usize, usize)> {
    // An odd number is made even by a seat that nobody takes: the one that stays.
    let seats = blocks.next_multiple_of(2);
    let turning = seats - 1;
    let meeting = if round == 0 {
        0..blocks
    } else if round <= turning {
        0..seats / 2
    } else {
        0..0
    };
    meeting
        .map(move |k| {
            if round == 0 {
                return (k, k);
            }
            let i = (round - 1 + k) % turning;
            let j = if k == 0 { turning } else { (round - 1 + turning - k) % turning };
            (i.min(j), i.max(j))
        })
        .filter(move |&(_, j)| j < blocks)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_pair_meets_once_and_no_block_twice_a_round() {
        for blocks in 1..20 {
            let mut met = BTreeSet::new();
            for round in 0..=rounds(blocks) {
                let pairs: Vec<_> = pairs_of(blocks, round).collect();
                let seen: BTreeSet<usize> = pairs.iter().flat_map(|&(i, j)| [i, j]).collect();
                let alone = pairs.iter().filter(|(i, j)| i == j).count();
                assert_eq!(seen.len(), 2 * pairs.len() - alone, "{blocks} blocks, round {round}");
                assert!(pairs.iter().all(|&(i, j)| i <= j && j < blocks && (i == j) == (round == 0)));
                for pair in pairs {
                    assert!(met.insert(pair), "{pair:?} meets twice among {blocks} blocks");
                }
            }
            assert_eq!(met.len(), blocks * (blocks + 1) / 2);
            assert_eq!(pairs_of(blocks, rounds(blocks) + 1).count(), 0);
        }
    }

    #[test]
    fn blocks_cover_every_row_once() {
        for images in (1..70).chain([255, 256, 257, 1000, 4096]) {
            for views in [1, 2, 3] {
                for views_meet in [false, true] {
                    let schedule = Schedule::new(Batch { views, images, dim: 128, groups: None }, views_meet);
                    let mut rows = schedule.blocks.iter().flat_map(|block| {
                        assert!((1..=192).contains(&block.len()), "{block:?} of {images}");
                        (block.first..block.end).map(|i| (block.view, i))
                    });
                    for view in 0..views {
                        for i in 0..images {
                            assert_eq!(rows.next(), Some((view, i)));
                        }
                    }
                    assert_eq!(rows.next(), None);
                }
            }
        }
    }

    /// States add up the tiles that touched them, on threads and without.
    #[test]
    fn states_come_back_in_their_slots() {
        for images in [300, 1000, 20_000] {
            let mut schedule = Schedule::new(Batch { views: 2, images, dim: 8, groups: None }, true);
            for threaded in [false, true] {
                schedule.threaded = threaded;
                let states = vec![0_usize; schedule.blocks.len()];
                let states = schedule.for_each_tile(
                    states,
                    |_| true,
                    |tile, rows, columns| {
                        *rows += tile.columns.len();
                        if let Some(columns) = columns {
                            *columns += tile.rows.len();
                        }
                    },
                );
                assert!(states.iter().all(|&met| met == 2 * images), "{states:?}");
            }
        }
    }
}
