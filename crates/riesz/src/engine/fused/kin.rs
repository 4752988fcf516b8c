//! Which tiles have rows of one group: where none has, every entry is of two groups, and no mask is needed.

use super::blocks::{Block, Schedule, Tile};
use crate::engine::groups::Groups;

/// The groups of a batch, block by block.
#[derive(Debug)]
pub(super) struct Kin<'a> {
    of: &'a [u32],
    /// For each range of images that a block has: its first image, and its groups, sorted, each once.
    ranges: Vec<(usize, Vec<u32>)>,
}

impl<'a> Kin<'a> {
    pub(super) fn new(groups: &Groups<'a>, schedule: &Schedule) -> Self {
        Self::of_blocks(groups, schedule.blocks.iter().take_while(|block| block.view == 0))
    }

    /// The same for blocks of one view, in order.
    pub(super) fn of_blocks<'b>(groups: &Groups<'a>, blocks: impl Iterator<Item = &'b Block>) -> Self {
        let ranges = blocks.map(|block| {
            let mut sorted = groups.of[block.first..block.end].to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            (block.first, sorted)
        });
        Self { of: groups.of, ranges: ranges.collect() }
    }

    /// The groups of the tile's rows and of its columns, if some row and some column are of one group.
    pub(super) fn meeting(&self, tile: Tile) -> Option<(&'a [u32], &'a [u32])> {
        let (mut rows, mut columns) = (self.groups_of(tile.rows), self.groups_of(tile.columns));
        while let ([row, later_rows @ ..], [column, later_columns @ ..]) = (rows, columns) {
            match row.cmp(column) {
                std::cmp::Ordering::Equal => {
                    let of = |block: Block| &self.of[block.first..block.end];
                    return Some((of(tile.rows), of(tile.columns)));
                }
                std::cmp::Ordering::Less => rows = later_rows,
                std::cmp::Ordering::Greater => columns = later_columns,
            }
        }
        None
    }

    fn groups_of(&self, block: Block) -> &[u32] {
        let place = self.ranges.partition_point(|(first, _)| *first < block.first);
        &self.ranges[place].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Batch;

    #[test]
    fn a_tile_has_kin_if_a_row_and_a_column_are_of_one_group() {
        // Blocks of 64 images: groups 0 and 1 in the first and the third, 2 in the second, 3 in the third.
        let of: Vec<u32> = (0..192)
            .map(|i| match i {
                0..64 => i % 2,
                64..128 => 2,
                _ => i % 3 * 3 / 2,
            })
            .collect();
        let groups = Groups::new(Some(&of), of.len()).unwrap();
        let schedule = Schedule::new(Batch { views: 1, images: 192, dim: 8, groups: None }, false);
        let kin = Kin::new(&groups, &schedule);
        for rows in 0..3 {
            for columns in rows..3 {
                let tile = Tile { rows: schedule.blocks[rows], columns: schedule.blocks[columns] };
                let (a, b) = (tile.rows, tile.columns);
                let any = (a.first..a.end).any(|i| (b.first..b.end).any(|j| of[i] == of[j]));
                assert_eq!(kin.meeting(tile).is_some(), any, "{tile:?}");
                assert_eq!(any, rows == columns || (rows, columns) == (0, 2));
            }
        }
    }
}
