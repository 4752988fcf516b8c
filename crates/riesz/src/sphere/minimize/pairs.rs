//! The energy of one point set by plain loops over unordered pairs: eight points with all later ones make a strip of
//! cosines, and a kernel is called for as many strips at once as stay in a near cache. A strip lies in memory by vectors of
//! columns, the eight rows of each together.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::columns::{LANES, Shape, vectors, vectors_mut};
use super::lbfgs::Objective;
use crate::elementary::widest;
use crate::kernel::{Kernel, Tiled};

/// Cosines that are held at once, or one strip if that is longer: 8 KB, and as much for values and slopes each, which
/// the nearest cache holds.
const HELD: usize = 1024;

/// factor · Σ_{i<j} κ(⟨x_i, x_j⟩).
pub(super) struct PairEnergy<'a> {
    shape: Shape,
    kernel: &'a dyn Kernel,
    factor: f64,
    cosines: Vec<f64>,
    values: Vec<f64>,
    slopes: Vec<f64>,
}

impl<'a> PairEnergy<'a> {
    pub(super) fn new(shape: Shape, kernel: &'a dyn Kernel, factor: f64) -> Self {
        let held = || vec![0.0; HELD.max(LANES * shape.stride)];
        Self { shape, kernel, factor, cosines: held(), values: held(), slopes: held() }
    }
}

/// Numbers in the strip of the eight points from `first` on.
fn size(shape: Shape, first: usize) -> usize {
    LANES * (shape.stride - first)
}

/// In the first eight columns of a strip, 1 where the row r and the column c are a pair, c > r.
const PAIRS: [[f64; LANES]; LANES] = {
    let mut pairs = [[0.0; LANES]; LANES];
    let mut r = 0;
    while r < LANES {
        let mut c = r + 1;
        while c < LANES {
            pairs[r][c] = 1.0;
            c += 1;
        }
        r += 1;
    }
    pairs
};

/// A strip's vectors, eight rows for each vector of columns.
#[inline(always)]
fn blocks<S: Simd>(strip: &[f64]) -> &[[S::f64s; LANES]] {
    vectors::<S>(strip).as_chunks().0
}

/// The same, to write.
#[inline(always)]
fn blocks_mut<S: Simd>(strip: &mut [f64]) -> &mut [[S::f64s; LANES]] {
    vectors_mut::<S>(strip).as_chunks_mut().0
}

/// Makes what is no pair of points i < j a 0, for which every kernel is finite: in the first eight columns those up to the
/// diagonal, in the last eight those beyond the points.
#[inline(always)]
fn mask<S: Simd>(simd: S, shape: Shape, strip: &mut [f64]) {
    let blocks = blocks_mut::<S>(strip);
    for r in 0..LANES {
        for (block, kept) in blocks.iter_mut().zip(vectors::<S>(&PAIRS[r])) {
            block[r] = simd.mul_f64s(block[r], *kept);
        }
    }
    let filled = shape.stride - shape.points;
    if filled > 0 {
        let kept: [f64; LANES] = std::array::from_fn(|c| if c < LANES - filled { 1.0 } else { 0.0 });
        let kept = vectors::<S>(&kept);
        let last = blocks.len() - kept.len();
        for (block, kept) in blocks[last..].iter_mut().zip(kept) {
            block.iter_mut().for_each(|x| *x = simd.mul_f64s(*x, *kept));
        }
    }
}

impl Objective for PairEnergy<'_> {
    fn evaluate(&mut self, x: &[f64], gradient: &mut [f64]) -> (f64, f64) {
        let Self { shape, kernel, factor, .. } = *self;
        gradient.fill(0.0);
        let (mut total, mut from) = (0.0, 0);
        while from < shape.stride {
            let (mut to, mut numbers) = (from, 0);
            while to < shape.stride && (to == from || numbers + size(shape, to) <= HELD) {
                numbers += size(shape, to);
                to += LANES;
            }
            let (cosines, values) = (&mut self.cosines[..numbers], &mut self.values[..numbers]);
            let slopes = &mut self.slopes[..numbers];
            widest(Multiply { shape, strips: from..to, x, cosines });
            f64::tile(kernel, cosines, values, slopes);
            total += widest(Gather { shape, strips: from..to, x, values, slopes, factor, gradient });
            from = to;
        }
        (factor * total, (factor * total).abs())
    }
}

/// Cosines of eight points with these and all later ones, for several strips; `strips` are the points that they begin with.
struct Multiply<'a> {
    shape: Shape,
    strips: Range<usize>,
    x: &'a [f64],
    cosines: &'a mut [f64],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, strips, x, cosines: mut left } = self;
        for first in strips.step_by(LANES) {
            let (strip, rest) = left.split_at_mut(size(shape, first));
            left = rest;
            for (at, block) in blocks_mut::<S>(strip).iter_mut().enumerate() {
                let mut sums = [simd.splat_f64s(0.0); LANES];
                for column in x.chunks_exact(shape.stride) {
                    let column = &column[first..];
                    let theirs = vectors::<S>(column)[at];
                    for (sum, own) in sums.iter_mut().zip(&column[..LANES]) {
                        *sum = simd.mul_add_e_f64s(simd.splat_f64s(*own), theirs, *sum);
                    }
                }
                *block = sums;
            }
            mask(simd, shape, strip);
        }
    }
}

/// Adds the strips' shares to both points' gradients; gives the sum of their values.
struct Gather<'a> {
    shape: Shape,
    strips: Range<usize>,
    x: &'a [f64],
    values: &'a mut [f64],
    slopes: &'a mut [f64],
    factor: f64,
    gradient: &'a mut [f64],
}

impl WithSimd for Gather<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let Self { shape, strips, x, values: mut values_left, slopes: mut slopes_left, factor, gradient } =
            self;
        let zero = simd.splat_f64s(0.0);
        let scale = simd.splat_f64s(factor);
        let mut totals = [zero; 4];
        for first in strips.step_by(LANES) {
            let (values, rest) = values_left.split_at_mut(size(shape, first));
            values_left = rest;
            let (slopes, rest) = slopes_left.split_at_mut(size(shape, first));
            slopes_left = rest;
            mask(simd, shape, values);
            mask(simd, shape, slopes);
            for block in blocks::<S>(values) {
                for (r, value) in block.iter().enumerate() {
                    totals[r % 4] = simd.add_f64s(totals[r % 4], *value);
                }
            }
            let slopes = blocks::<S>(slopes);
            for (column, to) in x.chunks_exact(shape.stride).zip(gradient.chunks_exact_mut(shape.stride)) {
                let (column, to) = (&column[first..], &mut to[first..]);
                let own: [S::f64s; LANES] = std::array::from_fn(|r| simd.splat_f64s(factor * column[r]));
                // What the eight points receive.
                let mut sums = [zero; LANES];
                for ((theirs, given), slopes) in
                    vectors::<S>(column).iter().zip(vectors_mut::<S>(to)).zip(slopes)
                {
                    // In two sums, so that half as many additions wait for each other.
                    let mut both = [*given, zero];
                    for r in 0..LANES {
                        sums[r] = simd.mul_add_e_f64s(slopes[r], *theirs, sums[r]);
                        both[r % 2] = simd.mul_add_e_f64s(slopes[r], own[r], both[r % 2]);
                    }
                    *given = simd.add_f64s(both[0], both[1]);
                }
                for (to, sum) in to.iter_mut().zip(sums) {
                    *to += simd.reduce_sum_f64s(simd.mul_f64s(scale, sum));
                }
            }
        }
        let halves = [simd.add_f64s(totals[0], totals[1]), simd.add_f64s(totals[2], totals[3])];
        simd.reduce_sum_f64s(simd.add_f64s(halves[0], halves[1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Points;
    use crate::engine::{Engine, Reference};
    use crate::loss::{KclKernel, Loss};
    use crate::rng::Key;
    use crate::sphere::sample;

    /// Value and gradient are those of the definition, for sizes around whole lanes.
    #[test]
    fn strips_are_the_definition() {
        for kernel in [
            KclKernel::Gaussian(2.0),
            KclKernel::Logarithmic(2.0),
            KclKernel::InverseMultiquadric(1.0),
            KclKernel::Riesz(1.0),
            KclKernel::Riesz(-1.0),
            KclKernel::Riesz(0.7),
            KclKernel::LogDistance,
            KclKernel::Exponential(0.3),
        ] {
            let loss = Loss::energy(kernel).unwrap();
            for (n, d) in [(2, 2), (3, 3), (7, 2), (8, 5), (9, 3), (16, 17), (33, 4)] {
                let rows = sample(n, d, Key::new(5));
                let want = Reference.value_and_grad(&loss, &[Points::new(&rows).unwrap()]).unwrap();
                let shape = Shape::new(n, d);
                let factor = 2.0 * loss.terms[0].pair_factor(n, 1);
                let kernel = kernel.kernel().unwrap();
                let mut gradient = vec![f64::NAN; shape.len()];
                let mut energy = PairEnergy::new(shape, &*kernel, factor);
                let (value, _) = energy.evaluate(&shape.columns(&rows), &mut gradient);
                assert!((value - want.value).abs() < 1e-14 * want.value.abs(), "{kernel:?}, {n} × {d}");
                let top = want.grads[0].as_slice().iter().fold(0.0_f64, |top, g| top.max(g.abs()));
                let got = shape.rows(&gradient);
                for (got, want) in got.as_slice().iter().zip(want.grads[0].as_slice()) {
                    assert!((got - want).abs() < 1e-13 * top, "{kernel:?}, {n} × {d}: {got} for {want}");
                }
            }
        }
    }

    #[test]
    fn coinciding_points_are_infinite_where_the_kernel_is() {
        let rows = crate::Matrix::new(vec![1.0, 0.0, 1.0, 0.0, 0.0, 1.0], 2);
        let shape = Shape::new(3, 2);
        let mut gradient = vec![0.0; shape.len()];
        for (kernel, finite) in [(KclKernel::Riesz(1.0), false), (KclKernel::Gaussian(2.0), true)] {
            let kernel = kernel.kernel().unwrap();
            let (value, _) =
                PairEnergy::new(shape, &*kernel, 1.0).evaluate(&shape.columns(&rows), &mut gradient);
            assert_eq!(value.is_finite(), finite, "{kernel:?}: {value}");
        }
    }
}
