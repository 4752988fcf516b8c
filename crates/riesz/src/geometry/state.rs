//! What is kept of rows that stream by: enough for every metric, of a size that does not grow with them, and mergeable.
//!
//! Rows are made unit and folded into triangles of (1 X), a chunk of [`FOLDED`] rows at a time; chunks go to a fixed number
//! of lanes in turn, so that threads share the work and no bit depends on their number, nor on how large the pushed blocks
//! are. States of parts merge: counts, lengths and the sample are then those of the whole to the bit (means and deviations of
//! lengths to rounding), singular values to 10⁻¹³σ₁.

use rayon::prelude::*;

use super::at_least_two;
use super::lengths::Lengths;
use super::sample::{Sample, Sampled, Sampling};
use super::spectrum::Spectrum;
use super::triangle::{FOLDED, Triangle, turn};
use crate::points::lengths;
use crate::rng::Key;
use crate::{Error, Matrix, Points, Scalar, rows};

/// The state of n rows of d numbers. About 8·lanes·d² bytes, and 4·d (8·d for what is no f32) for each row of the sample.
#[derive(Clone, Debug)]
pub struct State {
    dim: usize,
    rows: u64,
    lengths: Lengths,
    lanes: Vec<Triangle>,
    /// Unit rows behind a 1, not yet folded: less than a round of all lanes.
    pending: Vec<f64>,
    sample: Sample,
    source: Option<Source>,
}

/// The source that rows come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Source {
    /// Where the sample's draws of it are.
    pub key: Key,
    /// Rows that it has given so far.
    pub rows: u64,
}

/// What a state came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Finished {
    /// The rows' lengths as they came.
    pub lengths: Lengths,
    /// Mean and singular values of the unit rows.
    pub spectrum: Spectrum,
    /// The places of the sampled rows among all, counted from 0, in order.
    pub places: Vec<u64>,
    /// The sampled rows.
    pub sample: Sampled,
}

/// A state taken apart, for a file: what [`State::from_parts`] takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// Numbers a row.
    pub dim: usize,
    /// Rows seen.
    pub rows: u64,
    /// Their lengths.
    pub lengths: Lengths,
    /// The upper triangle of (1 X), row after row from the diagonal on: (d + 1)(d + 2)/2 numbers.
    pub triangle: Vec<f64>,
    /// The source that the next rows come from; `None` for a state that takes none before [`State::begin`].
    pub source: Option<Source>,
    /// Most rows of the sample.
    pub capacity: usize,
    /// Keyed numbers of the sampled rows, in the order of places.
    pub sample_numbers: Vec<u64>,
    /// Their places among all rows, counted from 0.
    pub sample_places: Vec<u64>,
    /// The rows as they came.
    pub sample_rows: Vec<f64>,
}

impl State {
    /// Of no rows, without a sample: for spectra alone.
    ///
    /// # Panics
    /// If `dim` is 0.
    pub fn new(dim: usize) -> Self {
        Self::with_sample(dim, Sampling { rows: 0, key: Key::new(0) })
    }

    /// Of no rows.
    ///
    /// # Panics
    /// If `dim` is 0.
    pub fn with_sample(dim: usize, sampling: Sampling) -> Self {
        assert!(dim > 0, "rows of no numbers");
        Self {
            dim,
            rows: 0,
            lengths: Lengths::new(),
            lanes: Vec::new(),
            pending: Vec::new(),
            sample: Sample::new(sampling.rows, dim),
            source: Some(Source { key: sampling.key, rows: 0 }),
        }
    }

    /// Rows seen.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Numbers a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The rows' lengths as they came.
    pub fn lengths(&self) -> &Lengths {
        &self.lengths
    }

    /// Bytes that a state of this size holds at most.
    pub fn bytes(dim: usize, sample: usize) -> u128 {
        let side = dim as u128 + 1;
        8 * (lanes(dim) as u128 * side * (side + FOLDED as u128) + sample as u128 * dim as u128)
    }

    /// The rows pushed from now on are the first of another source, whose draws are at `key`.
    pub fn begin(&mut self, key: Key) {
        self.source = Some(Source { key, rows: 0 });
    }

    /// Takes rows as they come, of any length but 0.
    ///
    /// # Errors
    /// Names the first row, counted from 0 in its source, that holds a number that is not finite or whose length is below
    /// 10⁻¹²; then none of them was taken. If the state was put together from parts without a source, and none was begun.
    ///
    /// # Panics
    /// If `data` is not rows of `dim` numbers.
    pub fn push<T: Scalar>(&mut self, data: &[T]) -> Result<(), Error> {
        self.push_from(data, self.source.map_or(0, |source| source.rows))
    }

    /// [`push`](Self::push) for a block of rows of which the first is row `first` of what its reader counts: errors count from there.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    ///
    /// # Panics
    /// If `data` is not rows of `dim` numbers.
    pub fn push_from<T: Scalar>(&mut self, data: &[T], first: u64) -> Result<(), Error> {
        let dim = self.dim;
        assert!(data.len().is_multiple_of(dim), "{} numbers are not rows of {dim}", data.len());
        let count = data.len() / dim;
        let Some(source) = &mut self.source else {
            return Err(Error::new(
                "the state does not tell from which source its last rows came, so none can follow them; begin another source",
            ));
        };
        let lengths = lengths(data, dim, first)?;
        for (row, &length) in data.chunks_exact(dim).zip(&lengths) {
            self.lengths.push(length);
            if self.sample.capacity > 0 {
                let number = source.key.at(source.rows).number();
                self.sample.offer(number, self.rows, row.iter().map(|x| x.to_f64()));
            }
            self.rows += 1;
            source.rows += 1;
        }
        let side = dim + 1;
        let round = lanes(dim) * FOLDED;
        let mut done = 0;
        while done < count {
            let before = self.pending.len() / side;
            let taken = (round - before).min(count - done);
            self.pending.resize((before + taken) * side, 1.0);
            let fresh = self.pending[before * side..].par_chunks_exact_mut(side);
            let rows = data[done * dim..(done + taken) * dim].par_chunks_exact(dim);
            fresh.zip(rows).zip(&lengths[done..done + taken]).with_min_len(64).for_each(
                |((unit, row), length)| {
                    unit[0] = 1.0;
                    unit[1..].iter_mut().zip(row).for_each(|(unit, x)| *unit = x.to_f64() / length);
                },
            );
            done += taken;
            if before + taken == round {
                self.fold();
            }
        }
        Ok(())
    }

    /// Folds what is pending, a chunk a lane.
    fn fold(&mut self) {
        let side = self.dim + 1;
        let chunks = self.pending.len().div_ceil(FOLDED * side);
        while self.lanes.len() < chunks {
            self.lanes.push(Triangle::new(side));
        }
        self.pending.par_chunks(FOLDED * side).zip(&mut self.lanes).for_each(|(chunk, lane)| {
            lane.fold(&mut turn(chunk, side), 0);
        });
        self.pending.clear();
    }

    /// The place of a row of `other` that was pushed here too: one that both have in their samples, from a source of the same key (see
    /// [`State::begin`]), at the same place there, with the same numbers. `None` if there is none, or no sample.
    ///
    /// # Panics
    /// If the dimensions differ.
    pub fn common(&self, other: &Self) -> Option<u64> {
        assert_eq!(self.dim, other.dim, "states of different dimensions");
        self.sample.common(&other.sample)
    }

    /// Adds the rows of another state, as if they came after these.
    ///
    /// # Panics
    /// If the dimensions differ.
    pub fn merge(&mut self, mut other: Self) {
        assert_eq!(self.dim, other.dim, "states of different dimensions");
        self.lengths.merge(&other.lengths);
        self.sample.merge(&other.sample, self.rows);
        self.rows += other.rows;
        self.fold();
        other.fold();
        let lanes = std::mem::take(&mut self.lanes).into_iter().chain(other.lanes);
        self.lanes = Triangle::merged(lanes.collect()).into_iter().collect();
    }

    /// The one triangle of all rows.
    fn triangle(&mut self) -> Triangle {
        self.fold();
        Triangle::merged(std::mem::take(&mut self.lanes)).unwrap_or_else(|| Triangle::new(self.dim + 1))
    }

    /// Mean and singular values of the unit rows.
    ///
    /// # Errors
    /// If there are fewer than two rows.
    pub fn spectrum(mut self) -> Result<Spectrum, Error> {
        self.take_spectrum()
    }

    /// Lengths, spectrum, and the sampled rows with their places.
    ///
    /// # Errors
    /// If there are fewer than two rows.
    pub fn finish(mut self) -> Result<Finished, Error> {
        let spectrum = self.take_spectrum()?;
        let (places, sample) = self.sample.finish()?;
        Ok(Finished { lengths: self.lengths, spectrum, places, sample })
    }

    /// The triangle, the number of rows, and the sampled rows as they came with their places.
    pub(super) fn finish_joint(mut self) -> Result<(Triangle, u64, Vec<u64>, Matrix<f64>), Error> {
        self.check_rows()?;
        let triangle = self.triangle();
        let places = self.sample.rows().map(|(drawn, _)| drawn.row).collect();
        let rows = self.sample.rows().flat_map(|(_, row)| row).collect();
        Ok((triangle, self.rows, places, Matrix::new(rows, self.dim)))
    }

    fn check_rows(&self) -> Result<(), Error> {
        if self.rows < 2 {
            return Err(Error::new(format!("geometry needs at least 2 points; there are {}", self.rows)));
        }
        Ok(())
    }

    fn take_spectrum(&mut self) -> Result<Spectrum, Error> {
        self.check_rows()?;
        Ok(Spectrum::of_triangle(&self.triangle(), self.rows))
    }

    /// Takes the state apart, for a file.
    pub fn into_parts(mut self) -> Parts {
        let triangle = self.triangle().packed();
        let sample_numbers = self.sample.rows().map(|(drawn, _)| drawn.number).collect();
        let sample_places = self.sample.rows().map(|(drawn, _)| drawn.row).collect();
        let sample_rows = self.sample.rows().flat_map(|(_, row)| row).collect();
        Parts {
            dim: self.dim,
            rows: self.rows,
            lengths: self.lengths,
            triangle,
            source: self.source,
            capacity: self.sample.capacity,
            sample_numbers,
            sample_places,
            sample_rows,
        }
    }

    /// The inverse of [`into_parts`](Self::into_parts): rows that follow are drawn as if nothing had happened, and singular values are
    /// those of rows in one go to 10⁻¹³σ₁.
    ///
    /// # Errors
    /// If the parts do not belong together.
    pub fn from_parts(parts: Parts) -> Result<Self, Error> {
        let wrong = |what: &str| Error::new(format!("the state's {what} does not fit its other parts"));
        let Parts {
            dim,
            rows,
            lengths,
            triangle,
            source,
            capacity,
            sample_numbers,
            sample_places,
            sample_rows,
        } = parts;
        if dim == 0 || lengths.bins.len() != super::lengths::BINS || lengths.count != rows {
            return Err(wrong("lengths"));
        }
        if !rows::are_finite(&triangle) || !rows::are_finite(&sample_rows) {
            return Err(Error::new("the state has a number that is not finite"));
        }
        let triangle = Triangle::unpacked(dim + 1, &triangle).ok_or_else(|| wrong("triangle"))?;
        let drawn = usize::try_from(rows).map_or(capacity, |rows| rows.min(capacity));
        let is_sample = sample_numbers.len() == drawn
            && sample_places.len() == drawn
            && sample_rows.len() == drawn * dim
            && sample_places.is_sorted_by(|a, b| a < b)
            && sample_places.last().is_none_or(|last| *last < rows);
        if !is_sample {
            return Err(wrong("sample"));
        }
        if source.is_some_and(|source| source.rows > rows) {
            return Err(wrong("source"));
        }
        let mut state = Self::with_sample(dim, Sampling { rows: capacity, key: Key::new(0) });
        for ((number, place), row) in
            sample_numbers.into_iter().zip(sample_places).zip(sample_rows.chunks_exact(dim))
        {
            state.sample.offer(number, place, row.iter().copied());
        }
        (state.rows, state.lengths, state.lanes, state.source) = (rows, lengths, vec![triangle], source);
        Ok(state)
    }
}

/// Triangles that are filled side by side: at most 16, and less memory than half a gigabyte where that is possible.
fn lanes(dim: usize) -> usize {
    match dim {
        0..=1024 => 16,
        1025..=2048 => 8,
        2049..=4096 => 4,
        _ => 2,
    }
}

impl Spectrum {
    /// Of points that are all there. Time O(n d²).
    ///
    /// # Errors
    /// If there are fewer than two points.
    pub fn of<T: Scalar>(points: Points<'_, T>) -> Result<Self, Error> {
        at_least_two(points)?;
        let mut state = State::new(points.dim());
        state.push(points.as_slice())?;
        state.spectrum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sphere::sample;

    fn rows(n: usize, dim: usize) -> Matrix<f64> {
        let mut rows = sample(n, dim, Key::new(2));
        for i in 0..n {
            let length = 1.0 + (i % 7) as f64;
            rows.row_mut(i).iter_mut().zip(1..).for_each(|(x, k)| *x *= length / f64::from(k));
        }
        rows
    }

    fn pushed(rows: &[f64], dim: usize, block: usize, from: u64) -> State {
        let mut state = State::with_sample(dim, Sampling { rows: 50, key: Key::new(9) });
        state.source.as_mut().unwrap().rows = from;
        rows.chunks(block * dim).for_each(|block| state.push(block).unwrap());
        state
    }

    #[test]
    fn blocks_change_no_bit_and_parts_merge_to_the_whole() {
        let (n, dim) = (9000, 24);
        let rows = rows(n, dim);
        let whole = pushed(rows.as_slice(), dim, 9000, 0).finish().unwrap();
        assert_eq!(pushed(rows.as_slice(), dim, 17, 0).finish().unwrap(), whole);
        let (left, right) = rows.as_slice().split_at(5003 * dim);
        let mut merged = pushed(left, dim, 700, 0);
        merged.merge(pushed(right, dim, 700, 5003));
        let parts = merged.clone().into_parts();
        let again = State::from_parts(parts.clone()).unwrap();
        assert_eq!(again.clone().into_parts(), parts);
        let Finished { lengths, spectrum, places, sample } = again.finish().unwrap();
        assert_eq!((&places, &sample), (&whole.places, &whole.sample));
        assert_eq!(lengths.bins, whole.lengths.bins);
        assert!((lengths.mean - whole.lengths.mean).abs() < 1e-14 * whole.lengths.mean);
        let pairs = spectrum
            .values
            .iter()
            .zip(&whole.spectrum.values)
            .chain(spectrum.centered.iter().zip(&whole.spectrum.centered));
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / whole.spectrum.values[0];
        assert!(worst < 1e-14, "{worst:e} σ₁");
    }

    /// The sample, lengths and counts to the bit; the triangle is another of the same singular values.
    #[test]
    fn a_state_taken_apart_halfway_goes_on_as_if_it_had_not_been() {
        let (n, dim) = (3000, 5);
        let rows = rows(n, dim);
        let (left, right) = rows.as_slice().split_at(1234 * dim);
        let gone_on = |again: fn(State) -> State| {
            let mut state = again(pushed(left, dim, 700, 0));
            state.push(&right[..900 * dim]).unwrap();
            // In the middle of a second source.
            state.begin(Key::new(10));
            state.push(&right[900 * dim..950 * dim]).unwrap();
            state = again(state);
            state.push(&right[950 * dim..]).unwrap();
            (state.clone().spectrum().unwrap().values, state.into_parts())
        };
        let (want, whole) = gone_on(|state| state);
        let (values, apart) = gone_on(|state| State::from_parts(state.into_parts()).unwrap());
        assert_eq!(apart.source, Some(Source { key: Key::new(10), rows: 866 }));
        assert_eq!(Parts { triangle: whole.triangle.clone(), ..apart }, whole);
        let worst = values.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-13 * want[0], "{worst:e}");
    }

    #[test]
    fn parts_without_a_source_take_no_row_before_one_is_begun() {
        let left = pushed(rows(100, 3).as_slice(), 3, 100, 0).into_parts();
        let mut state = State::from_parts(Parts { source: None, ..left }).unwrap();
        let error = state.push(&[1.0, 2.0, 3.0]).unwrap_err().to_string();
        assert!(error.contains("begin another source"), "{error}");
        assert_eq!(state.rows(), 100);
        state.begin(Key::new(1));
        state.push(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(state.rows(), 101);
        let error = state.push_from(&[0.0; 3], 77).unwrap_err().to_string();
        assert!(error.starts_with("row 77 "), "{error}");
    }

    #[test]
    fn what_has_no_direction_is_refused_with_its_row_and_changes_nothing() {
        let mut state = State::new(2);
        state.push(&[1.0_f32, 2.0]).unwrap();
        for (bad, word) in [([1.0, f32::NAN], "not finite"), ([0.0, 0.0], "zero row")] {
            let error = state.push(&[&[3.0, 4.0][..], &bad].concat()).unwrap_err().to_string();
            assert!(error.starts_with("row 2 ") && error.contains(word), "{error}");
        }
        assert_eq!(state.rows(), 1);
        assert!(state.spectrum().unwrap_err().to_string().contains("at least 2"));
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let good = pushed(rows(60, 3).as_slice(), 3, 60, 0).into_parts();
        assert!(State::from_parts(good.clone()).is_ok());
        let spoil: [fn(&mut Parts); 7] = [
            |parts| parts.rows += 1,
            |parts| parts.triangle.truncate(3),
            |parts| parts.triangle[0] = f64::NAN,
            |parts| parts.sample_places[0] = parts.sample_places[1],
            |parts| parts.sample_rows.truncate(3),
            |parts| parts.dim = 0,
            |parts| parts.source = Some(Source { key: Key::new(9), rows: 61 }),
        ];
        for spoil in spoil {
            let mut parts = good.clone();
            spoil(&mut parts);
            assert!(State::from_parts(parts).is_err());
        }
    }
}
