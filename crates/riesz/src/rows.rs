//! Loops over the rows of matrices, O(nd), with sums in `f64`: what stands beside the products of a loss.
//!
//! All slices are row-major, `dim` numbers a row. Rows are dealt to threads in chunks if there are many; a row's numbers
//! depend on nothing but that row, so threads change no bits.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::elementary::{Real, widest};

/// Independent sums within one row.
const LANES: usize = 16;
/// Numbers that one thread takes at once; fewer are not worth a second thread.
const NUMBERS: usize = 1 << 16;

/// Calls `work` for each chunk of rows, on threads if there are several.
fn for_each<I: Send>(chunks: impl Iterator<Item = I>, work: impl Fn(I) + Send + Sync) {
    let chunks: Vec<I> = chunks.collect();
    if chunks.len() > 1 { chunks.into_par_iter().for_each(work) } else { chunks.into_iter().for_each(work) }
}

/// Rows of a chunk.
fn per_chunk(dim: usize) -> usize {
    NUMBERS.div_ceil(dim)
}

/// dots_i = ⟨x_i, y_i⟩.
pub(crate) fn dots<T: Real>(x: &[T], y: &[T], dim: usize, dots: &mut [f64]) {
    let rows = per_chunk(dim);
    let chunks = x.chunks(rows * dim).zip(y.chunks(rows * dim)).zip(dots.chunks_mut(rows));
    for_each(chunks, |((x, y), dots)| widest(Dots { x, y, dim, dots }));
}

struct Dots<'a, T> {
    x: &'a [T],
    y: &'a [T],
    dim: usize,
    dots: &'a mut [f64],
}

impl<T: Real> WithSimd for Dots<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.x.chunks_exact(self.dim).zip(self.y.chunks_exact(self.dim));
        for ((x, y), sum) in rows.zip(self.dots) {
            *sum = dot(x, y);
        }
    }
}

#[inline(always)]
fn dot<T: Real>(x: &[T], y: &[T]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (x, y) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let mut sum = 0.0;
    for (a, b) in x.remainder().iter().zip(y.remainder()) {
        sum += a.to_f64() * b.to_f64();
    }
    for (a, b) in x.zip(y) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a.to_f64() * b.to_f64();
        }
    }
    for lane in lanes {
        sum += lane;
    }
    sum
}

/// to_i += factors_i from_i.
pub(crate) fn add_scaled<T: Real>(factors: &[T], from: &[T], dim: usize, to: &mut [T]) {
    let rows = per_chunk(dim);
    let chunks = factors.chunks(rows).zip(from.chunks(rows * dim)).zip(to.chunks_mut(rows * dim));
    for_each(chunks, |((factors, from), to)| widest(AddScaled { factors, from, dim, to }));
}

struct AddScaled<'a, T> {
    factors: &'a [T],
    from: &'a [T],
    dim: usize,
    to: &'a mut [T],
}

impl<T: Real> WithSimd for AddScaled<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.to.chunks_exact_mut(self.dim).zip(self.from.chunks_exact(self.dim));
        for ((to, from), &factor) in rows.zip(self.factors) {
            for (to, &from) in to.iter_mut().zip(from) {
                *to = factor.mul_add::<S>(from, *to);
            }
        }
    }
}

/// x_i ← x_i / divisors_i.
pub(crate) fn divide<T: Real>(x: &mut [T], dim: usize, divisors: &[f64]) {
    let rows = per_chunk(dim);
    let chunks = x.chunks_mut(rows * dim).zip(divisors.chunks(rows));
    for_each(chunks, |(x, divisors)| widest(Divide { x, dim, divisors }));
}

struct Divide<'a, T> {
    x: &'a mut [T],
    dim: usize,
    divisors: &'a [f64],
}

impl<T: Real> WithSimd for Divide<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, &divisor) in self.x.chunks_exact_mut(self.dim).zip(self.divisors) {
            let inverse = 1.0 / divisor;
            for x in row {
                *x = x.over(divisor, inverse);
            }
        }
    }
}

/// Of every part z, u, lengths: lengths_i = ‖z_i‖ and u_i = z_i / ‖z_i‖. One pass over all parts.
pub(crate) fn unit<'a, T: Real>(
    parts: impl Iterator<Item = (&'a [T], &'a mut [T], &'a mut [f64])>,
    dim: usize,
) {
    let rows = per_chunk(dim);
    let chunks = parts.flat_map(|(z, u, lengths)| {
        z.chunks(rows * dim).zip(u.chunks_mut(rows * dim)).zip(lengths.chunks_mut(rows))
    });
    for_each(chunks, |((z, u), lengths)| widest(Unit { z, dim, u, lengths }));
}

struct Unit<'a, T> {
    z: &'a [T],
    dim: usize,
    u: &'a mut [T],
    lengths: &'a mut [f64],
}

impl<T: Real> WithSimd for Unit<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.z.chunks_exact(self.dim).zip(self.u.chunks_exact_mut(self.dim));
        for ((z, u), length) in rows.zip(self.lengths) {
            *length = dot(z, z).sqrt();
            let inverse = 1.0 / *length;
            for (u, z) in u.iter_mut().zip(z) {
                *u = z.over(*length, inverse);
            }
        }
    }
}

/// Of every part u, divisors, g: g_i ← (g_i − ⟨g_i, u_i⟩ u_i) / divisors_i. One pass over all parts.
pub(crate) fn project<'a, T: Real>(
    parts: impl Iterator<Item = (&'a [T], &'a [f64], &'a mut [T])>,
    dim: usize,
) {
    let rows = per_chunk(dim);
    let chunks = parts.flat_map(|(u, divisors, g)| {
        u.chunks(rows * dim).zip(divisors.chunks(rows)).zip(g.chunks_mut(rows * dim))
    });
    for_each(chunks, |((u, divisors), g)| widest(Project { u, dim, divisors, g }));
}

struct Project<'a, T> {
    u: &'a [T],
    dim: usize,
    divisors: &'a [f64],
    g: &'a mut [T],
}

impl<T: Real> WithSimd for Project<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.u.chunks_exact(self.dim).zip(self.g.chunks_exact_mut(self.dim));
        for ((u, g), &divisor) in rows.zip(self.divisors) {
            let radial = dot(u, g);
            let inverse = 1.0 / divisor;
            for (g, u) in g.iter_mut().zip(u) {
                *g = T::from_f64((g.to_f64() - radial * u.to_f64()) * inverse);
            }
        }
    }
}

/// to = fromᵀ, `dim` columns of `from` becoming rows. Not dealt to threads.
pub(crate) fn transpose<T: Real>(from: &[T], dim: usize, to: &mut [T]) {
    assert_eq!(from.len(), to.len(), "a transpose has as many numbers");
    widest(Transpose { from, dim, to });
}

struct Transpose<'a, T> {
    from: &'a [T],
    dim: usize,
    to: &'a mut [T],
}

impl<T: Real> WithSimd for Transpose<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.from.len() / self.dim;
        // Squares, so that a cache line is read and written whole.
        for first in (0..rows).step_by(LANES) {
            let end = rows.min(first + LANES);
            for k in 0..self.dim {
                let to = &mut self.to[k * rows + first..k * rows + end];
                for (to, row) in to.iter_mut().zip(first..end) {
                    *to = self.from[row * self.dim + k];
                }
            }
        }
    }
}

/// Whether every number is finite.
pub(crate) fn are_finite<T: Real>(x: &[T]) -> bool {
    widest(AreFinite { x })
}

struct AreFinite<'a, T> {
    x: &'a [T],
}

impl<T: Real> WithSimd for AreFinite<'_, T> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        // 0 · x is 0, or NaN if x is not finite.
        let zero = T::default();
        let mut lanes = [zero; LANES];
        let chunks = self.x.chunks_exact(LANES);
        for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
            *lane += zero * x;
        }
        for chunk in chunks {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane += zero * x;
            }
        }
        lanes.iter().all(|lane| *lane == zero)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More rows than one chunk, and more numbers than lanes.
    #[test]
    fn rows_are_what_plain_loops_say() {
        let (n, d) = (4000, 19);
        let x: Vec<f64> = (0..n * d).map(|i| (i as f64 * 0.7).sin()).collect();
        let y: Vec<f64> = (0..n * d).map(|i| (i as f64 * 0.3).cos()).collect();
        let of = |i: usize| (&x[i * d..(i + 1) * d], &y[i * d..(i + 1) * d]);
        let want: Vec<f64> = (0..n).map(|i| of(i).0.iter().zip(of(i).1).map(|(x, y)| x * y).sum()).collect();
        let mut got = vec![0.0; n];
        dots(&x, &y, d, &mut got);
        assert!(want.iter().zip(&got).all(|(want, got)| (want - got).abs() < 1e-13));

        let mut sum = y.clone();
        add_scaled(&want, &x, d, &mut sum);
        let mut rest = y.clone();
        let divisors: Vec<f64> = (0..n).map(|i| 1.0 + i as f64).collect();
        project(std::iter::once((&x[..], &divisors[..], &mut rest[..])), d);
        let (mut directions, mut lengths) = (vec![0.0; n * d], vec![0.0; n]);
        let (first, last) = directions.split_at_mut(7 * d);
        let (of_first, of_last) = lengths.split_at_mut(7);
        unit([(&x[..7 * d], first, of_first), (&x[7 * d..], last, of_last)].into_iter(), d);
        let mut turned = vec![0.0; n * d];
        transpose(&x, d, &mut turned);
        let mut parts = x.clone();
        divide(&mut parts, d, &divisors);
        for i in 0..n {
            let (x, y) = of(i);
            let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
            assert!((lengths[i] - length).abs() < 1e-14 * length);
            for k in 0..d {
                let at = i * d + k;
                assert_eq!(turned[k * n + i], x[k]);
                assert!((sum[at] - (y[k] + want[i] * x[k])).abs() < 1e-13);
                assert!((rest[at] - (y[k] - want[i] * x[k]) / divisors[i]).abs() < 1e-13);
                assert_eq!(parts[at], x[k] / divisors[i]);
                assert!((directions[at] * lengths[i] - x[k]).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn one_number_that_is_not_finite_is_found() {
        for len in [1, 15, 16, 17, 40] {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for at in 0..len {
                    let mut x = vec![f32::MAX; len];
                    assert!(are_finite(&x));
                    x[at] = bad;
                    assert!(!are_finite(&x));
                }
            }
        }
    }
}
