//! The triangle R of a tall matrix A = QR, folded in block of rows by block and merged: what is kept of rows that are gone.
//!
//! A Gram matrix AᵀA would square the condition and turn a singular value of 0 into 10⁻⁸σ₁, which an entropy sees; R has
//! the singular values of A. Its error is that of Householder reflections: R is the exact triangle of A + E with
//! ‖Eⱼ‖ ≤ c·2⁻⁵³‖Aⱼ‖ in each column j, c growing with the number of folds as its root, so each singular value is right to
//! about 10⁻¹⁵σ₁ times √folds (10⁻¹³σ₁ was never seen).
//!
//! Below an upper triangle, reflection k touches row k of it and the block alone. So of w reflections at once
//! (Q = I − Y T Yᵀ) the upper part of Y is the identity, and what they do to the columns behind them is three matrix
//! products (LAPACK's tpqrt).

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::elementary::{Real, widest};
use crate::product::{add_weighted_rows_transposed, rows_by_rows, weighted_rows};

/// Reflections that are applied to the columns behind them at once.
const PANEL: usize = 32;
/// Rows that are folded at once.
pub(super) const FOLDED: usize = 256;

/// An upper triangle of `side` columns, row-major with zeros below.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Triangle {
    side: usize,
    numbers: Vec<f64>,
}

impl Triangle {
    /// That of no rows.
    pub(super) fn new(side: usize) -> Self {
        Self { side, numbers: vec![0.0; side * side] }
    }

    pub(super) fn side(&self) -> usize {
        self.side
    }

    /// Row `k`, with the zeros before its diagonal.
    pub(super) fn row(&self, k: usize) -> &[f64] {
        &self.numbers[k * self.side..(k + 1) * self.side]
    }

    /// All rows with their zeros.
    pub(super) fn into_rows(self) -> Vec<f64> {
        self.numbers
    }

    /// What is left without the first row and the first column.
    pub(super) fn behind(&self) -> Self {
        let numbers = (1..self.side).flat_map(|k| &self.row(k)[1..]).copied().collect();
        Self { side: self.side - 1, numbers }
    }

    /// The rows without the zeros, one after the other: `side (side + 1)/2` numbers.
    pub(super) fn packed(&self) -> Vec<f64> {
        (0..self.side).flat_map(|k| &self.row(k)[k..]).copied().collect()
    }

    /// The inverse of [`packed`](Self::packed); `None` if the numbers are not as many.
    pub(super) fn unpacked(side: usize, packed: &[f64]) -> Option<Self> {
        let mut triangle = Self::new(side);
        let mut rest = packed;
        for k in 0..side {
            let (row, after) = rest.split_at_checked(side - k)?;
            triangle.numbers[k * side + k..(k + 1) * side].copy_from_slice(row);
            rest = after;
        }
        rest.is_empty().then_some(triangle)
    }

    /// Becomes the triangle of itself over `columns`, which is used up: a block of rows given column by column, whose
    /// first `zeros` columns are zeros.
    pub(super) fn fold(&mut self, columns: &mut [f64], zeros: usize) {
        let side = self.side;
        let rows = columns.len() / side;
        let mut joined = vec![0.0; PANEL * side];
        let mut product = vec![0.0; PANEL * side];
        for first in (zeros..side).step_by(PANEL) {
            let width = PANEL.min(side - first);
            let (panel, behind) = columns[first * rows..].split_at_mut(width * rows);
            let mut top = [0.0; PANEL * PANEL];
            for j in 0..width {
                let line = &self.numbers[(first + j) * side + first..][..width];
                top[j * PANEL..][..width].copy_from_slice(line);
            }
            let mut factors = [0.0; PANEL];
            widest(Reflect { panel, rows, width, top: &mut top, factors: &mut factors });
            for j in 0..width {
                let line = &mut self.numbers[(first + j) * side + first..][..width];
                line.copy_from_slice(&top[j * PANEL..][..width]);
            }
            let after = side - first - width;
            if after == 0 {
                break;
            }
            // W = Tᵀ (R + Vᵀ C); R ← R − W, C ← C − V W.
            let (joined, product) = (&mut joined[..width * after], &mut product[..width * after]);
            rows_by_rows(panel, behind, rows, joined);
            for (j, joined) in joined.chunks_exact_mut(after).enumerate() {
                let line = &self.numbers[(first + j) * side + first + width..][..after];
                joined.iter_mut().zip(line).for_each(|(sum, x)| *sum += x);
            }
            weighted_rows(&minus_turned(panel, rows, &factors[..width]), joined, width, after, product);
            for (j, product) in product.chunks_exact(after).enumerate() {
                let line = &mut self.numbers[(first + j) * side + first + width..][..after];
                line.iter_mut().zip(product).for_each(|(x, minus)| *x += minus);
            }
            add_weighted_rows_transposed(product, panel, width, rows, behind);
        }
    }

    /// Becomes the triangle of both matrices, one above the other.
    pub(super) fn merge(&mut self, other: &Self) {
        assert_eq!(self.side, other.side, "triangles of different sides");
        for first in (0..self.side).step_by(FOLDED) {
            let rows = FOLDED.min(self.side - first);
            let lines = &other.numbers[first * self.side..(first + rows) * self.side];
            if lines.iter().all(|x| *x == 0.0) {
                continue;
            }
            self.fold(&mut turn(lines, self.side), first);
        }
    }

    /// The triangle of all of them, merged two by two; `None` of none.
    pub(super) fn merged(mut all: Vec<Self>) -> Option<Self> {
        while all.len() > 1 {
            all = all
                .par_chunks_mut(2)
                .map(|two| {
                    let mut sum = std::mem::replace(&mut two[0], Self::new(0));
                    if let Some(other) = two.get(1) {
                        sum.merge(other);
                    }
                    sum
                })
                .collect();
        }
        all.pop()
    }
}

/// Rows of `side` numbers, column by column.
pub(super) fn turn(rows: &[f64], side: usize) -> Vec<f64> {
    let mut columns = vec![0.0; rows.len()];
    crate::rows::transpose(rows, side, &mut columns);
    columns
}

/// −Tᵀ of the reflections whose vectors' lower parts are the columns of a panel: column j of T is −τⱼ T (Vᵀ vⱼ) above the
/// diagonal, and τⱼ on it.
fn minus_turned(panel: &[f64], rows: usize, factors: &[f64]) -> Vec<f64> {
    let width = factors.len();
    let mut dots = vec![0.0; width * width];
    rows_by_rows(panel, panel, rows, &mut dots);
    let mut turned = vec![0.0; width * width];
    for (j, factor) in factors.iter().enumerate() {
        // Row j here is column j of −T.
        let (before, row) = turned.split_at_mut(j * width);
        for (k, line) in before.chunks_exact(width).enumerate() {
            let dot = -factor * dots[k * width + j];
            row[..=k].iter_mut().zip(line).for_each(|(sum, t)| *sum += t * dot);
        }
        row[j] = -factor;
    }
    turned
}

/// Reflects the columns of a panel, each onto the diagonal of the triangle's part `top` above it, rows of [`PANEL`]
/// numbers. The panel becomes V, the lower part of the reflections' vectors, and `factors` their τ.
struct Reflect<'a> {
    panel: &'a mut [f64],
    rows: usize,
    width: usize,
    top: &'a mut [f64; PANEL * PANEL],
    factors: &'a mut [f64; PANEL],
}

impl WithSimd for Reflect<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { panel, rows, width, top, factors } = self;
        for j in 0..width {
            let (column, behind) = panel[j * rows..].split_at_mut(rows);
            let Reflection { length, factor, scale } =
                Reflection::new(top[j * PANEL + j], dot(simd, column, column));
            top[j * PANEL + j] = length;
            column.iter_mut().for_each(|x| *x *= scale);
            for (i, other) in (j + 1..width).zip(behind.chunks_exact_mut(rows)) {
                let along = -factor * (top[j * PANEL + i] + dot(simd, column, other));
                top[j * PANEL + i] += along;
                add::<S>(other, along, column);
            }
            factors[j] = factor;
        }
    }
}

/// What carries (x, tail) onto (length, 0): H = 1 − factor · v vᵀ with v = (1, scale · tail).
pub(super) struct Reflection {
    pub(super) length: f64,
    /// 0 where there is nothing to reflect.
    pub(super) factor: f64,
    pub(super) scale: f64,
}

impl Reflection {
    #[inline(always)]
    pub(super) fn new(x: f64, tail_square: f64) -> Self {
        if tail_square == 0.0 {
            return Self { length: x, factor: 0.0, scale: 0.0 };
        }
        let length = -(x * x + tail_square).sqrt().copysign(x);
        Self { length, factor: (length - x) / length, scale: 1.0 / (x - length) }
    }
}

/// ⟨x, y⟩ in four vectors of sums, which do not wait for each other.
#[inline(always)]
pub(super) fn dot<S: Simd>(simd: S, x: &[f64], y: &[f64]) -> f64 {
    let ((x, few_x), (y, few_y)) = (S::as_simd_f64s(x), S::as_simd_f64s(y));
    let mut sums = [simd.splat_f64s(0.0); 4];
    let ((x, last_x), (y, last_y)) = (x.as_chunks::<4>(), y.as_chunks::<4>());
    for (x, y) in x.iter().zip(y) {
        for i in 0..4 {
            sums[i] = simd.mul_add_e_f64s(x[i], y[i], sums[i]);
        }
    }
    for (i, (x, y)) in last_x.iter().zip(last_y).enumerate() {
        sums[i] = simd.mul_add_e_f64s(*x, *y, sums[i]);
    }
    let few: f64 = few_x.iter().zip(few_y).map(|(x, y)| x * y).sum();
    let halves = [simd.add_f64s(sums[0], sums[1]), simd.add_f64s(sums[2], sums[3])];
    simd.reduce_sum_f64s(simd.add_f64s(halves[0], halves[1])) + few
}

/// total ← total + factor · x.
#[inline(always)]
pub(super) fn add<S: Simd>(total: &mut [f64], factor: f64, x: &[f64]) {
    for (total, x) in total.iter_mut().zip(x) {
        *total = Real::mul_add::<S>(factor, *x, *total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;
    use crate::sphere::sample;

    /// RᵀR = AᵀA, for blocks of every shape, and for two triangles merged.
    #[test]
    fn the_triangle_has_the_products_of_the_rows() {
        for (n, side) in [(1, 1), (3, 7), (40, 33), (300, 70), (513, 96)] {
            let rows = sample(n, side, Key::new(3));
            let mut parts: Vec<Triangle> = Vec::new();
            for block in rows.as_slice().chunks(100 * side) {
                let mut part = Triangle::new(side);
                part.fold(&mut turn(block, side), 0);
                parts.push(part);
            }
            let whole = Triangle::merged(parts).unwrap();
            assert_eq!(Triangle::unpacked(side, &whole.packed()).unwrap(), whole);
            for i in 0..side {
                assert!(whole.row(i)[..i].iter().all(|x| *x == 0.0));
                for j in 0..side {
                    let want: f64 = (0..n).map(|k| rows.row(k)[i] * rows.row(k)[j]).sum();
                    let got: f64 = (0..side).map(|k| whole.row(k)[i] * whole.row(k)[j]).sum();
                    assert!((got - want).abs() < 1e-13 * n as f64, "n = {n}, side {side}: {got} for {want}");
                }
            }
        }
        assert!(Triangle::unpacked(3, &[0.0; 5]).is_none() && Triangle::unpacked(3, &[0.0; 7]).is_none());
    }
}
