//! The energy of one point set by plain loops over unordered pairs: eight points with all later ones make a strip of
//! cosines, and a kernel is called for as many strips at once as stay in a near cache.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::columns::{LANES, Shape, vectors, vectors_mut};
use super::lbfgs::Objective;
use crate::elementary::widest;
use crate::kernel::Kernel;

/// Cosines that are held at once, or one strip if that is longer: 64 KB, and as much for values and slopes each.
const HELD: usize = 8192;

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

/// Makes what is no pair of points i < j a 0, which is finite for every kernel: in the first eight columns those up to the
/// diagonal, in the last eight those beyond the points.
#[inline(always)]
fn mask(shape: Shape, first: usize, strip: &mut [f64]) {
    let width = shape.stride - first;
    let filled = shape.stride - shape.points;
    for (r, row) in strip.chunks_exact_mut(width).enumerate() {
        for c in 0..LANES {
            row[c] = if c <= r { 0.0 } else { row[c] };
        }
        if filled > 0 {
            for c in 0..LANES {
                let at = width - LANES + c;
                row[at] = if c >= LANES - filled { 0.0 } else { row[at] };
            }
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
            kernel.tile_f64(cosines, values, slopes);
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
            let width = shape.stride - first;
            let (strip, rest) = left.split_at_mut(size(shape, first));
            left = rest;
            // Four rows at once, so that a column is read once for them.
            for (half, rows) in strip.chunks_exact_mut(4 * width).enumerate() {
                let rows = vectors_mut::<S>(rows);
                let wide = rows.len() / 4;
                for at in 0..wide {
                    let mut sums = [simd.splat_f64s(0.0); 4];
                    for k in 0..shape.dim {
                        let column = &x[k * shape.stride + first..(k + 1) * shape.stride];
                        let theirs = vectors::<S>(column)[at];
                        for (r, sum) in sums.iter_mut().enumerate() {
                            let own = simd.splat_f64s(column[4 * half + r]);
                            *sum = simd.mul_add_e_f64s(own, theirs, *sum);
                        }
                    }
                    for (r, sum) in sums.into_iter().enumerate() {
                        rows[r * wide + at] = sum;
                    }
                }
            }
            mask(shape, first, strip);
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
            mask(shape, first, values);
            mask(shape, first, slopes);
            for chunk in vectors::<S>(values).chunks_exact(4) {
                for (total, value) in totals.iter_mut().zip(chunk) {
                    *total = simd.add_f64s(*total, *value);
                }
            }
            let slopes = vectors::<S>(slopes);
            let wide = slopes.len() / LANES;
            for k in 0..shape.dim {
                let column = &x[k * shape.stride + first..(k + 1) * shape.stride];
                let theirs = vectors::<S>(column);
                let to = &mut gradient[k * shape.stride + first..(k + 1) * shape.stride];
                let own: [S::f64s; LANES] = std::array::from_fn(|r| simd.splat_f64s(factor * column[r]));
                // What the eight points receive.
                let mut sums = [zero; LANES];
                for (at, (theirs, given)) in theirs.iter().zip(vectors_mut::<S>(to)).enumerate() {
                    let mut sum = *given;
                    for r in 0..LANES {
                        let slope = slopes[r * wide + at];
                        sums[r] = simd.mul_add_e_f64s(slope, *theirs, sums[r]);
                        sum = simd.mul_add_e_f64s(slope, own[r], sum);
                    }
                    *given = sum;
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
