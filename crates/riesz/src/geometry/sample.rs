//! A sample of rows that does not depend on how the rows are divided: the `capacity` rows of the smallest keyed numbers.
//!
//! Each row's number is a function of its source and its place there alone, so that the sample of a whole is the sample of
//! its parts' samples, and any row is as likely in it as any other.

use std::collections::BinaryHeap;

use crate::Matrix;
use crate::rng::Key;

/// A row that was drawn: its number, and where it is. Ordered by the number, then by place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Drawn {
    pub(super) number: u64,
    /// Its place among all rows.
    pub(super) row: u64,
    slot: usize,
}

/// At most `capacity` rows as they came, with their places.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) capacity: usize,
    dim: usize,
    drawn: BinaryHeap<Drawn>,
    numbers: Vec<f64>,
}

impl Sample {
    pub(super) fn new(capacity: usize, dim: usize) -> Self {
        Self { capacity, dim, drawn: BinaryHeap::new(), numbers: Vec::new() }
    }

    /// Offers row `row` of all, whose keyed number is `number`.
    pub(super) fn offer(&mut self, number: u64, row: u64, content: impl Iterator<Item = f64>) {
        if self.drawn.len() < self.capacity {
            self.drawn.push(Drawn { number, row, slot: self.drawn.len() });
            self.numbers.extend(content);
        } else if let Some(mut largest) = self.drawn.peek_mut()
            && (number, row) < (largest.number, largest.row)
        {
            let slot = largest.slot;
            *largest = Drawn { number, row, slot };
            let place = &mut self.numbers[slot * self.dim..(slot + 1) * self.dim];
            place.iter_mut().zip(content).for_each(|(place, x)| *place = x);
        }
    }

    /// Offers what another sample drew of the rows that come `rows` later. The smaller capacity holds.
    pub(super) fn merge(&mut self, other: &Self, rows: u64) {
        for (drawn, content) in other.rows() {
            self.offer(drawn.number, rows + drawn.row, content.iter().copied());
        }
        if other.capacity < self.capacity {
            let mut smaller = Self::new(other.capacity, self.dim);
            for (drawn, content) in self.rows() {
                smaller.offer(drawn.number, drawn.row, content.iter().copied());
            }
            *self = smaller;
        }
    }

    /// What was drawn, in the order of places.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Drawn, &[f64])> {
        let mut drawn: Vec<Drawn> = self.drawn.iter().copied().collect();
        drawn.sort_unstable_by_key(|drawn| drawn.row);
        drawn
            .into_iter()
            .map(|drawn| (drawn, &self.numbers[drawn.slot * self.dim..(drawn.slot + 1) * self.dim]))
    }

    /// The places, and the rows.
    pub(super) fn finish(self) -> (Vec<u64>, Matrix<f64>) {
        let places = self.rows().map(|(drawn, _)| drawn.row).collect();
        // In place if nothing was ever put out.
        if self.rows().zip(0..).all(|((drawn, _), slot)| drawn.slot == slot) {
            return (places, Matrix::new(self.numbers, self.dim));
        }
        let rows = self.rows().flat_map(|(_, content)| content).copied().collect();
        (places, Matrix::new(rows, self.dim))
    }
}

/// How many rows the pairwise metrics look at, and which.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// All rows if there are no more than so many, else a keyed sample of so many.
    pub rows: usize,
    /// Which sample.
    pub key: Key,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: std::ops::Range<u64>, capacity: usize) -> Sample {
        let mut sample = Sample::new(capacity, 2);
        for row in rows.clone() {
            let number = Key::new(4).at(row).number();
            sample.offer(number, row - rows.start, [row as f64, -(row as f64)].into_iter());
        }
        sample
    }

    #[test]
    fn the_sample_of_parts_is_the_sample_of_the_whole_and_any_row_is_as_likely() {
        let (places, rows) = of(0..1000, 100).finish();
        assert!(places.is_sorted() && rows.len() == 100);
        for (i, place) in places.iter().enumerate() {
            assert_eq!(rows.row(i), [*place as f64, -(*place as f64)]);
        }
        // Four standard errors of the mean place.
        let mean = places.iter().sum::<u64>() as f64 / 100.0;
        assert!((mean - 500.0).abs() < 4.0 * 1000.0 / 12.0_f64.sqrt() / 10.0, "{mean}");
        let mut parts = of(0..300, 100);
        parts.merge(&of(300..310, 100), 300);
        parts.merge(&of(310..1000, 100), 310);
        assert_eq!(parts.clone().finish(), (places, rows));
        parts.merge(&of(0..0, 7), 1000);
        assert_eq!(parts.finish(), of(0..1000, 7).finish());
        let (places, rows) = of(0..5, 100).finish();
        assert_eq!((places, rows.len()), (vec![0, 1, 2, 3, 4], 5));
    }
}
