//! A sample of rows that does not depend on how the rows are divided: the `capacity` rows of the smallest keyed numbers.
//!
//! Each row's number is a function of its source and its place there alone, so that the sample of a whole is the sample of
//! its parts' samples, and any row is as likely in it as any other.

use std::collections::{BTreeMap, BinaryHeap};

use crate::points::{lengths, place};
use crate::rng::Key;
use crate::{Error, Matrix, Scalar};

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
    numbers: Numbers,
}

impl Sample {
    pub(super) fn new(capacity: usize, dim: usize) -> Self {
        Self { capacity, dim, drawn: BinaryHeap::new(), numbers: Numbers::F32(Vec::new()) }
    }

    /// Offers row `row` of all, whose keyed number is `number`.
    pub(super) fn offer(&mut self, number: u64, row: u64, content: impl Iterator<Item = f64>) {
        if self.drawn.len() < self.capacity {
            let slot = self.drawn.len();
            self.drawn.push(Drawn { number, row, slot });
            self.numbers.room(self.dim, self.capacity);
            self.numbers.put(slot, self.dim, content);
        } else if let Some(mut largest) = self.drawn.peek_mut()
            && (number, row) < (largest.number, largest.row)
        {
            let slot = largest.slot;
            *largest = Drawn { number, row, slot };
            self.numbers.put(slot, self.dim, content);
        }
    }

    /// Offers what another sample drew of the rows that come `rows` later. The smaller capacity holds.
    pub(super) fn merge(&mut self, other: &Self, rows: u64) {
        for (drawn, content) in other.rows() {
            self.offer(drawn.number, rows + drawn.row, content.into_iter());
        }
        if other.capacity < self.capacity {
            let mut smaller = Self::new(other.capacity, self.dim);
            for (drawn, content) in self.rows() {
                smaller.offer(drawn.number, drawn.row, content.into_iter());
            }
            *self = smaller;
        }
    }

    /// The place of a row that the other drew too: of a source of the same key, at the same place there, with the same numbers.
    pub(super) fn common(&self, other: &Self) -> Option<u64> {
        let of_number: BTreeMap<u64, usize> =
            self.drawn.iter().map(|drawn| (drawn.number, drawn.slot)).collect();
        let is_common = |drawn: &&Drawn| {
            let slot = of_number.get(&drawn.number);
            slot.is_some_and(|&slot| {
                self.numbers.row(slot, self.dim) == other.numbers.row(drawn.slot, self.dim)
            })
        };
        other.drawn.iter().filter(is_common).map(|drawn| drawn.row).min()
    }

    /// What was drawn, in the order of places.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Drawn, Vec<f64>)> {
        let mut drawn: Vec<Drawn> = self.drawn.iter().copied().collect();
        drawn.sort_unstable_by_key(|drawn| drawn.row);
        drawn.into_iter().map(|drawn| (drawn, self.numbers.row(drawn.slot, self.dim)))
    }

    /// The places, and the rows with their directions.
    pub(super) fn finish(mut self) -> Result<(Vec<u64>, Sampled), Error> {
        let mut drawn: Vec<Drawn> = std::mem::take(&mut self.drawn).into_vec();
        drawn.sort_unstable_by_key(|drawn| drawn.row);
        let places = drawn.iter().map(|drawn| drawn.row).collect();
        // Each row to its place, along the cycles of the permutation, so that nothing is held twice.
        let mut slots: Vec<usize> = drawn.iter().map(|drawn| drawn.slot).collect();
        for first in 0..slots.len() {
            let mut here = first;
            while slots[here] != first {
                let from = slots[here];
                self.numbers.swap(here, from, self.dim);
                (slots[here], here) = (here, from);
            }
            slots[here] = here;
        }
        let sampled = match self.numbers {
            Numbers::F32(numbers) => {
                let lengths = lengths(&numbers, self.dim, 0)?;
                Sampled { dim: self.dim, numbers: Numbers::F32(numbers), lengths }
            }
            Numbers::F64(numbers) => {
                let mut rows = Matrix::new(numbers, self.dim);
                crate::normalize(&mut rows)?;
                Sampled::of(rows)
            }
        };
        Ok((places, sampled))
    }
}

/// Cosines of up to so many sampled rows are made in f64.
const DOUBLE: usize = 4096;

/// So are those of rows whose mean has a squared length above this, however many they are: they lie so close together that cosines
/// right to 10⁻⁷ would not tell which are nearest.
const NARROW: f64 = 0.99;

/// Whether the mean of the rows, scaled to unit length, is longer than that. No row may be zero.
fn is_narrow<T: Scalar>(numbers: &[T], dim: usize) -> bool {
    let mut mean = vec![0.0; dim];
    for row in numbers.chunks_exact(dim) {
        let length = row.iter().map(|x| x.to_f64().powi(2)).sum::<f64>().sqrt();
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x.to_f64() / length);
    }
    let rows = (numbers.len() / dim) as f64;
    mean.iter().map(|x| (x / rows).powi(2)).sum::<f64>() > NARROW
}

/// Sampled rows, of which all directions are known in f64. Numbers that fit into f32 take no more.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    dim: usize,
    /// As they came in f32, or unit rows in f64.
    numbers: Numbers,
    /// Of rows in f32.
    lengths: Vec<f64>,
}

impl Sampled {
    /// These unit rows.
    pub fn of(rows: Matrix<f64>) -> Self {
        Self { dim: rows.dim(), numbers: Numbers::F64(rows.into_vec()), lengths: Vec::new() }
    }

    /// How many.
    pub fn len(&self) -> usize {
        match &self.numbers {
            Numbers::F32(numbers) => numbers.len() / self.dim,
            Numbers::F64(numbers) => numbers.len() / self.dim,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Writes row `i`, of unit length.
    ///
    /// # Panics
    /// If there is none, or `out` is shorter or longer than a row.
    pub fn direction(&self, i: usize, out: &mut [f64]) {
        let place = place(i, self.dim);
        match &self.numbers {
            Numbers::F32(numbers) => {
                let length = self.lengths[i];
                assert_eq!(out.len(), self.dim, "numbers of a row");
                out.iter_mut().zip(&numbers[place]).for_each(|(out, x)| *out = f64::from(*x) / length);
            }
            Numbers::F64(numbers) => out.copy_from_slice(&numbers[place]),
        }
    }

    /// The rows of these places among them, of unit length.
    ///
    /// # Panics
    /// If there is none of a place.
    pub fn take(&self, chosen: &[usize]) -> Matrix<f64> {
        let mut rows = Matrix::zeros(chosen.len(), self.dim);
        chosen.iter().enumerate().for_each(|(place, &i)| self.direction(i, rows.row_mut(place)));
        rows
    }

    /// All rows in f32, rounded; `None` if they are so few or so close together that their cosines are to be made in f64.
    pub(super) fn rounded(&self) -> Option<Matrix<f32>> {
        let is_exact = self.len() <= DOUBLE
            || match &self.numbers {
                Numbers::F32(numbers) => is_narrow(numbers, self.dim),
                Numbers::F64(numbers) => is_narrow(numbers, self.dim),
            };
        let mut here = vec![0.0; self.dim];
        (!is_exact).then(|| {
            let mut rows = Matrix::zeros(self.len(), self.dim);
            for i in 0..self.len() {
                self.direction(i, &mut here);
                rows.row_mut(i).iter_mut().zip(&here).for_each(|(out, x)| *out = *x as f32);
            }
            rows
        })
    }
}

/// Numbers in f32 as long as that holds them exactly, as those of most files.
#[derive(Clone, Debug, PartialEq)]
enum Numbers {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Numbers {
    /// Makes room for one more row, by doubling up to that of all: nothing is held that is never filled.
    fn room(&mut self, dim: usize, capacity: usize) {
        fn room<T>(numbers: &mut Vec<T>, dim: usize, capacity: usize) {
            if numbers.capacity() < numbers.len() + dim {
                let wanted = (2 * numbers.len()).max(64 * dim).min(capacity.saturating_mul(dim));
                numbers.reserve_exact(wanted - numbers.len());
            }
        }
        match self {
            Self::F32(numbers) => room(numbers, dim, capacity),
            Self::F64(numbers) => room(numbers, dim, capacity),
        }
    }

    /// Row `slot` becomes `content`; it is there already, or the next.
    fn put(&mut self, slot: usize, dim: usize, content: impl Iterator<Item = f64>) {
        let content: Vec<f64> = content.collect();
        if let Self::F32(numbers) = self
            && content.iter().any(|x| f64::from(*x as f32) != *x)
        {
            *self = Self::F64(numbers.iter().map(|x| f64::from(*x)).collect());
        }
        match self {
            Self::F32(numbers) => {
                numbers.resize(numbers.len().max((slot + 1) * dim), 0.0);
                let place = &mut numbers[slot * dim..(slot + 1) * dim];
                place.iter_mut().zip(content).for_each(|(place, x)| *place = x as f32);
            }
            Self::F64(numbers) => {
                numbers.resize(numbers.len().max((slot + 1) * dim), 0.0);
                numbers[slot * dim..(slot + 1) * dim].copy_from_slice(&content);
            }
        }
    }

    fn row(&self, slot: usize, dim: usize) -> Vec<f64> {
        match self {
            Self::F32(numbers) => {
                numbers[slot * dim..(slot + 1) * dim].iter().map(|x| f64::from(*x)).collect()
            }
            Self::F64(numbers) => numbers[slot * dim..(slot + 1) * dim].to_vec(),
        }
    }

    fn swap(&mut self, a: usize, b: usize, dim: usize) {
        for k in 0..dim {
            match self {
                Self::F32(numbers) => numbers.swap(a * dim + k, b * dim + k),
                Self::F64(numbers) => numbers.swap(a * dim + k, b * dim + k),
            }
        }
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

    /// The rows as they came.
    fn contents(sample: &Sample) -> Vec<(u64, Vec<f64>)> {
        sample.rows().map(|(drawn, content)| (drawn.row, content)).collect()
    }

    #[test]
    fn the_sample_of_parts_is_the_sample_of_the_whole_and_any_row_is_as_likely() {
        let whole = contents(&of(1..1001, 100));
        assert_eq!(whole.len(), 100);
        for (place, content) in &whole {
            let x = (place + 1) as f64;
            assert_eq!(content[..], [x, -x]);
        }
        // Four standard errors of the mean place.
        let mean = whole.iter().map(|(place, _)| place).sum::<u64>() as f64 / 100.0;
        assert!((mean - 500.0).abs() < 4.0 * 1000.0 / 12.0_f64.sqrt() / 10.0, "{mean}");
        let mut parts = of(1..301, 100);
        parts.merge(&of(301..311, 100), 300);
        parts.merge(&of(311..1001, 100), 310);
        assert_eq!(contents(&parts), whole);
        parts.merge(&of(0..0, 7), 1000);
        assert_eq!(contents(&parts), contents(&of(1..1001, 7)));
        assert_eq!(
            contents(&of(1..6, 100)).iter().map(|(place, _)| *place).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4]
        );
    }

    #[test]
    fn rows_are_handed_out_in_the_order_of_places_in_either_precision() {
        // To both sides, or all to one.
        for (rows, capacity, shift, side) in [
            (300, 50, 0.0, -1.0),
            (300, 50, 0.1, -1.0),
            (9000, 5000, 0.0, -1.0),
            (9000, 5000, 0.1, -1.0),
            (9000, 5000, 0.0, 1.0),
            (9000, 5000, 0.1, 1.0),
        ] {
            let mut sample = Sample::new(capacity, 2);
            for row in 0..rows {
                let second = (row as f64 + shift) * if row % 2 == 0 { 1.0 } else { side };
                sample.offer(Key::new(4).at(row).number(), row, [1.0, second].into_iter());
            }
            let want = contents(&sample);
            let (places, found) = sample.finish().unwrap();
            assert_eq!(places, want.iter().map(|(place, _)| *place).collect::<Vec<_>>());
            assert_eq!(found.rounded().is_some(), capacity == 5000 && side < 0.0);
            let all: Vec<usize> = (0..found.len()).collect();
            let taken = found.take(&all);
            for (i, (_, content)) in want.iter().enumerate() {
                let ratio = taken.row(i)[1] / taken.row(i)[0];
                assert!(
                    (ratio - content[1]).abs() < 1e-15 * content[1].abs().max(1.0),
                    "{ratio} for {}",
                    content[1]
                );
            }
        }
    }
}
