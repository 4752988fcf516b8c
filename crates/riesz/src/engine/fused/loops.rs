//! The loops over a strip of a tile: some of its rows, so few that the strip stays in the first-level cache.
//!
//! A strip is row-major, `width` numbers a row. Sums of a row run in 16 lanes of the scalar's own precision and end in
//! `f64`; sums of a column run over the rows of a strip in the scalar's own precision and are then added to `f64`.

use pulp::{Simd, WithSimd};

use crate::Scalar;
use crate::elementary::widest;

/// Independent sums within one row.
const LANES: usize = 16;

/// e^min(scale · s + offset, most).
#[derive(Clone, Copy, Debug)]
pub(super) struct Power<T> {
    pub(super) scale: T,
    pub(super) offset: T,
    pub(super) most: T,
}

impl<T: Scalar> Power<T> {
    #[inline(always)]
    fn at<S: Simd>(self, s: T) -> T {
        s.mul_add::<S>(self.scale, self.offset).smaller(self.most).exp::<S>()
    }
}

/// Σ of a row.
#[inline(always)]
fn total<T: Scalar>(row: &[T]) -> f64 {
    let mut lanes = [T::default(); LANES];
    let chunks = row.chunks_exact(LANES);
    let mut sum = 0.0;
    for x in chunks.remainder() {
        sum += x.to_f64();
    }
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    for lane in lanes {
        sum += lane.to_f64();
    }
    sum
}

/// The largest of a row.
#[inline(always)]
fn top<T: Scalar>(row: &[T]) -> T {
    let mut lanes = [T::LOWEST; LANES];
    let chunks = row.chunks_exact(LANES);
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = lane.larger(x);
    }
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = lane.larger(x);
        }
    }
    lanes.into_iter().fold(T::LOWEST, T::larger)
}

/// Turns cosines into e^…, and adds to `rows` each row's sum, to `columns` each column's.
pub(super) fn add_powers<T: Scalar>(power: Power<T>, cells: &mut [T], rows: &mut [f64], columns: &mut [T]) {
    widest(AddPowers { power, cells, rows, columns });
}

struct AddPowers<'a, T> {
    power: Power<T>,
    cells: &'a mut [T],
    rows: &'a mut [f64],
    columns: &'a mut [T],
}

impl<T: Scalar> WithSimd for AddPowers<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.columns.len();
        for (line, sum) in self.cells.chunks_exact_mut(width).zip(self.rows) {
            for (cell, column) in line.iter_mut().zip(&mut *self.columns) {
                *cell = self.power.at::<S>(*cell);
                *column += *cell;
            }
            *sum += total(line);
        }
    }
}

/// Turns cosines into weights w_ij = e^… (rows_i + columns_j); returns Σ w.
pub(super) fn weigh_powers<T: Scalar>(power: Power<T>, cells: &mut [T], rows: &[T], columns: &[T]) -> f64 {
    widest(WeighPowers { power, cells, rows, columns })
}

struct WeighPowers<'a, T> {
    power: Power<T>,
    cells: &'a mut [T],
    rows: &'a [T],
    columns: &'a [T],
}

impl<T: Scalar> WithSimd for WeighPowers<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let width = self.columns.len();
        let mut sum = 0.0;
        for (cells, &row) in self.cells.chunks_exact_mut(width).zip(self.rows) {
            for (cell, &column) in cells.iter_mut().zip(self.columns) {
                *cell = self.power.at::<S>(*cell) * (row + column);
            }
            sum += total(cells);
        }
        sum
    }
}

/// The same for cells that are e^… already.
pub(super) fn weigh_kept<T: Scalar>(cells: &mut [T], rows: &[T], columns: &[T]) -> f64 {
    widest(WeighKept { cells, rows, columns })
}

struct WeighKept<'a, T> {
    cells: &'a mut [T],
    rows: &'a [T],
    columns: &'a [T],
}

impl<T: Scalar> WithSimd for WeighKept<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let width = self.columns.len();
        let mut sum = 0.0;
        for (cells, &row) in self.cells.chunks_exact_mut(width).zip(self.rows) {
            for (cell, &column) in cells.iter_mut().zip(self.columns) {
                *cell = *cell * (row + column);
            }
            sum += total(cells);
        }
        sum
    }
}

/// Log-sums of rows or columns: log Σ = top + ln sum, where sum is Σ e^{x − top}.
#[derive(Clone, Debug)]
pub(super) struct LogSums<T> {
    pub(super) top: Vec<T>,
    pub(super) sum: Vec<f64>,
}

impl<T: Scalar> LogSums<T> {
    pub(super) fn new(len: usize) -> Self {
        Self { top: vec![T::LOWEST; len], sum: vec![0.0; len] }
    }
}

/// Adds `logarithms` to the log-sums of their rows (`from` on) and of their columns.
pub(super) fn add_logarithms<T: Scalar>(
    logarithms: &[T],
    width: usize,
    powers: &mut [T],
    from: usize,
    rows: &mut LogSums<T>,
    columns: Option<&mut LogSums<T>>,
) {
    let height = logarithms.len() / width;
    let (top, sum) = (&mut rows.top[from..from + height], &mut rows.sum[from..from + height]);
    widest(AddRows { logarithms, width, powers: &mut powers[..width], top, sum });
    if let Some(columns) = columns {
        let (top, sum) = (&mut columns.top[..], &mut columns.sum[..]);
        widest(AddColumns { logarithms, powers: &mut powers[..width], top, sum });
    }
}

struct AddRows<'a, T> {
    logarithms: &'a [T],
    width: usize,
    powers: &'a mut [T],
    top: &'a mut [T],
    sum: &'a mut [f64],
}

impl<T: Scalar> WithSimd for AddRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let lines = self.logarithms.chunks_exact(self.width);
        for ((line, row_top), sum) in lines.zip(self.top).zip(self.sum) {
            let before = *row_top;
            let now = before.larger(top(line));
            for (power, &x) in self.powers.iter_mut().zip(line) {
                *power = (x - now).exp::<S>();
            }
            *sum = *sum * (before - now).exp::<S>().to_f64() + total(self.powers);
            *row_top = now;
        }
    }
}

struct AddColumns<'a, T> {
    logarithms: &'a [T],
    powers: &'a mut [T],
    top: &'a mut [T],
    sum: &'a mut [f64],
}

impl<T: Scalar> WithSimd for AddColumns<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.top.len();
        let powers = self.powers;
        powers.copy_from_slice(self.top);
        for line in self.logarithms.chunks_exact(width) {
            for (top, &x) in self.top.iter_mut().zip(line) {
                *top = top.larger(x);
            }
        }
        for ((sum, before), &now) in self.sum.iter_mut().zip(&mut *powers).zip(&*self.top) {
            *sum *= (*before - now).exp::<S>().to_f64();
            *before = T::default();
        }
        for line in self.logarithms.chunks_exact(width) {
            for ((power, &x), &now) in powers.iter_mut().zip(line).zip(&*self.top) {
                *power += (x - now).exp::<S>();
            }
        }
        for (sum, power) in self.sum.iter_mut().zip(&*powers) {
            *sum += power.to_f64();
        }
    }
}

/// What the weights of a logarithmic term need of a row or column: w = κ′/κ · pull · e^{ln κ − top}.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulls<'a, T> {
    pub(super) top: &'a [T],
    pub(super) pull: &'a [T],
}

/// w_ij = ratio_ij (rows.pull_i e^{ln_ij − rows.top_i} + columns.pull_j e^{ln_ij − columns.top_j}); returns Σ w.
pub(super) fn weigh_logarithms<T: Scalar>(
    logarithms: &[T],
    ratios: &[T],
    rows: Pulls<'_, T>,
    columns: Pulls<'_, T>,
    weights: &mut [T],
) -> f64 {
    widest(WeighLogarithms { logarithms, ratios, rows, columns, weights })
}

struct WeighLogarithms<'a, T> {
    logarithms: &'a [T],
    ratios: &'a [T],
    rows: Pulls<'a, T>,
    columns: Pulls<'a, T>,
    weights: &'a mut [T],
}

impl<T: Scalar> WithSimd for WeighLogarithms<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let width = self.columns.top.len();
        let mut sum = 0.0;
        let lines = self.logarithms.chunks_exact(width).zip(self.ratios.chunks_exact(width));
        let lines = lines.zip(self.weights.chunks_exact_mut(width));
        for (((line, ratios), weights), (&top, &pull)) in lines.zip(self.rows.top.iter().zip(self.rows.pull))
        {
            let columns = self.columns.top.iter().zip(self.columns.pull);
            for (((w, &x), &ratio), (&column_top, &column_pull)) in
                weights.iter_mut().zip(line).zip(ratios).zip(columns)
            {
                let of_row = pull * (x - top).exp::<S>();
                let of_column = column_pull * (x - column_top).exp::<S>();
                *w = ratio * (of_row + of_column);
            }
            sum += total(weights);
        }
        sum
    }
}

/// w_ij = factor · slope_ij (rows_i + columns_j); returns Σ value_ij (rows_i + columns_j) and Σ w. Overwrites `values`.
pub(super) fn weigh_slopes<T: Scalar>(
    values: &mut [T],
    slopes: &[T],
    factor: T,
    rows: &[T],
    columns: &[T],
    weights: &mut [T],
) -> (f64, f64) {
    widest(WeighSlopes { values, slopes, factor, rows, columns, weights })
}

struct WeighSlopes<'a, T> {
    values: &'a mut [T],
    slopes: &'a [T],
    factor: T,
    rows: &'a [T],
    columns: &'a [T],
    weights: &'a mut [T],
}

impl<T: Scalar> WithSimd for WeighSlopes<'_, T> {
    type Output = (f64, f64);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> (f64, f64) {
        let width = self.columns.len();
        let lines = self.values.chunks_exact_mut(width).zip(self.slopes.chunks_exact(width));
        let lines = lines.zip(self.weights.chunks_exact_mut(width)).zip(self.rows);
        let (mut value, mut slope) = (0.0, 0.0);
        for (((values, slopes), weights), &row) in lines {
            for (((v, &d), w), &column) in values.iter_mut().zip(slopes).zip(&mut *weights).zip(self.columns)
            {
                let ends = row + column;
                *w = self.factor * ends * d;
                *v = *v * ends;
            }
            value += total(values);
            slope += total(weights);
        }
        (value, slope)
    }
}

/// `sum += part`.
pub(super) fn add<T: Scalar>(sum: &mut [T], part: &[T]) {
    widest(AddTo { sum, part });
}

struct AddTo<'a, T> {
    sum: &'a mut [T],
    part: &'a [T],
}

impl<T: Scalar> WithSimd for AddTo<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (sum, &part) in self.sum.iter_mut().zip(self.part) {
            *sum += part;
        }
    }
}
