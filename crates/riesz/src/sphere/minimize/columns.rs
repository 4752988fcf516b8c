//! Points by coordinate: d columns of n numbers, each column filled up to whole lanes, so that loops over points are SIMD
//! whatever d is. What fills up is the first axis, with gradients and steps of 0.

use pulp::{Simd, WithSimd};

use crate::Matrix;
use crate::elementary::widest;

/// Points that are worked on at once.
pub(super) const LANES: usize = 8;

/// Sizes of a set of points by coordinate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) points: usize,
    pub(super) dim: usize,
    /// Numbers of a column: `points`, filled up.
    pub(super) stride: usize,
}

impl Shape {
    pub(super) fn new(points: usize, dim: usize) -> Self {
        Self { points, dim, stride: points.next_multiple_of(LANES) }
    }

    pub(super) fn len(self) -> usize {
        self.dim * self.stride
    }

    /// Columns of rows.
    pub(super) fn columns(self, rows: &Matrix<f64>) -> Vec<f64> {
        let mut columns = vec![0.0; self.len()];
        columns[self.points..self.stride].fill(1.0);
        for i in 0..self.points {
            for (k, &x) in rows.row(i).iter().enumerate() {
                columns[k * self.stride + i] = x;
            }
        }
        columns
    }

    /// Rows of columns.
    pub(super) fn rows(self, columns: &[f64]) -> Matrix<f64> {
        let mut rows = Matrix::zeros(self.points, self.dim);
        for i in 0..self.points {
            for (k, x) in rows.row_mut(i).iter_mut().enumerate() {
                *x = columns[k * self.stride + i];
            }
        }
        rows
    }
}

/// A column, or numbers of whole columns, as SIMD vectors.
#[inline(always)]
pub(super) fn vectors<S: Simd>(x: &[f64]) -> &[S::f64s] {
    let (vectors, rest) = S::as_simd_f64s(x);
    debug_assert!(rest.is_empty(), "columns are whole lanes");
    vectors
}

/// The same, to write.
#[inline(always)]
pub(super) fn vectors_mut<S: Simd>(x: &mut [f64]) -> &mut [S::f64s] {
    S::as_mut_simd_f64s(x).0
}

/// ⟨x, y⟩ over all numbers, in four sums that do not wait for each other.
#[inline(always)]
pub(super) fn dot<S: Simd>(simd: S, x: &[f64], y: &[f64]) -> f64 {
    let (x, y) = (vectors::<S>(x), vectors::<S>(y));
    let mut sums = [simd.splat_f64s(0.0); 4];
    let (x, y) = (x.chunks_exact(4), y.chunks_exact(4));
    for ((a, b), sum) in x.remainder().iter().zip(y.remainder()).zip(&mut sums) {
        *sum = simd.mul_add_e_f64s(*a, *b, *sum);
    }
    for (a, b) in x.zip(y) {
        for l in 0..4 {
            sums[l] = simd.mul_add_e_f64s(a[l], b[l], sums[l]);
        }
    }
    let halves = [simd.add_f64s(sums[0], sums[1]), simd.add_f64s(sums[2], sums[3])];
    simd.reduce_sum_f64s(simd.add_f64s(halves[0], halves[1]))
}

/// y ← scale · y + a x, and ⟨y, z⟩ of the result, in one pass.
#[inline(always)]
pub(super) fn add_and_dot<S: Simd>(simd: S, scale: f64, y: &mut [f64], a: f64, x: &[f64], z: &[f64]) -> f64 {
    let (scale, a) = (simd.splat_f64s(scale), simd.splat_f64s(a));
    let (y, x, z) = (vectors_mut::<S>(y), vectors::<S>(x), vectors::<S>(z));
    let mut sums = [simd.splat_f64s(0.0); 4];
    let (x, z) = (x.chunks_exact(4), z.chunks_exact(4));
    let whole = y.len() / 4 * 4;
    let (whole, rest) = y.split_at_mut(whole);
    for (((y, x), z), sum) in rest.iter_mut().zip(x.remainder()).zip(z.remainder()).zip(&mut sums) {
        *y = simd.mul_add_e_f64s(a, *x, simd.mul_f64s(scale, *y));
        *sum = simd.mul_add_e_f64s(*y, *z, *sum);
    }
    for ((y, x), z) in whole.chunks_exact_mut(4).zip(x).zip(z) {
        for l in 0..4 {
            y[l] = simd.mul_add_e_f64s(a, x[l], simd.mul_f64s(scale, y[l]));
            sums[l] = simd.mul_add_e_f64s(y[l], z[l], sums[l]);
        }
    }
    let halves = [simd.add_f64s(sums[0], sums[1]), simd.add_f64s(sums[2], sums[3])];
    simd.reduce_sum_f64s(simd.add_f64s(halves[0], halves[1]))
}

/// v_i −= ⟨v_i, x_i⟩ x_i for all points: the projection onto the tangent space at x.
#[inline(always)]
fn project<S: Simd>(simd: S, shape: Shape, x: &[f64], v: &mut [f64]) {
    let (x, v) = (vectors::<S>(x), vectors_mut::<S>(v));
    let wide = x.len() / shape.dim;
    for i in 0..wide {
        let mut along = simd.splat_f64s(0.0);
        for k in 0..shape.dim {
            along = simd.mul_add_e_f64s(x[k * wide + i], v[k * wide + i], along);
        }
        let back = simd.neg_f64s(along);
        for k in 0..shape.dim {
            v[k * wide + i] = simd.mul_add_e_f64s(back, x[k * wide + i], v[k * wide + i]);
        }
    }
}

/// Projects two vectors as [`project`] does; gives their product afterwards.
#[inline(always)]
pub(super) fn project_both<S: Simd>(simd: S, shape: Shape, x: &[f64], v: &mut [f64], w: &mut [f64]) -> f64 {
    let (x, v, w) = (vectors::<S>(x), vectors_mut::<S>(v), vectors_mut::<S>(w));
    let wide = x.len() / shape.dim;
    let zero = simd.splat_f64s(0.0);
    let mut product = zero;
    for i in 0..wide {
        let (mut along_v, mut along_w) = (zero, zero);
        for at in (0..shape.dim).map(|k| k * wide + i) {
            along_v = simd.mul_add_e_f64s(x[at], v[at], along_v);
            along_w = simd.mul_add_e_f64s(x[at], w[at], along_w);
        }
        let (back_v, back_w) = (simd.neg_f64s(along_v), simd.neg_f64s(along_w));
        let mut share = zero;
        for at in (0..shape.dim).map(|k| k * wide + i) {
            v[at] = simd.mul_add_e_f64s(back_v, x[at], v[at]);
            w[at] = simd.mul_add_e_f64s(back_w, x[at], w[at]);
            share = simd.mul_add_e_f64s(v[at], w[at], share);
        }
        product = simd.add_f64s(product, share);
    }
    simd.reduce_sum_f64s(product)
}

/// to_i = (x_i + step · p_i) / ‖x_i + step · p_i‖, the retraction; and 1/‖…‖ of each point.
pub(super) fn retract(shape: Shape, x: &[f64], step: f64, p: &[f64], to: &mut [f64], inverse: &mut [f64]) {
    widest(Retract { shape, x, step, p, to, inverse });
}

struct Retract<'a> {
    shape: Shape,
    x: &'a [f64],
    step: f64,
    p: &'a [f64],
    to: &'a mut [f64],
    inverse: &'a mut [f64],
}

impl WithSimd for Retract<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let dim = self.shape.dim;
        let (x, p) = (vectors::<S>(self.x), vectors::<S>(self.p));
        let (to, inverse) = (vectors_mut::<S>(self.to), vectors_mut::<S>(self.inverse));
        let (wide, step, one) = (inverse.len(), simd.splat_f64s(self.step), simd.splat_f64s(1.0));
        for i in 0..wide {
            let mut square = simd.splat_f64s(0.0);
            for at in (0..dim).map(|k| k * wide + i) {
                to[at] = simd.mul_add_e_f64s(step, p[at], x[at]);
                square = simd.mul_add_e_f64s(to[at], to[at], square);
            }
            inverse[i] = simd.div_f64s(one, simd.sqrt_f64s(square));
            for at in (0..dim).map(|k| k * wide + i) {
                to[at] = simd.mul_f64s(to[at], inverse[i]);
            }
        }
    }
}

/// Makes the gradient `g` at `x` tangent; gives its squared norm, and Σ_i inverse_i ⟨g_i, p_i⟩, the slope along a
/// retraction that came to x.
pub(super) fn tangent(shape: Shape, x: &[f64], g: &mut [f64], p: &[f64], inverse: &[f64]) -> (f64, f64) {
    widest(Tangent { shape, x, g, p, inverse })
}

struct Tangent<'a> {
    shape: Shape,
    x: &'a [f64],
    g: &'a mut [f64],
    p: &'a [f64],
    inverse: &'a [f64],
}

impl WithSimd for Tangent<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f64, f64) {
        let Self { shape, x, g, p, inverse } = self;
        project(simd, shape, x, g);
        let mut slope = simd.splat_f64s(0.0);
        let (vectors_g, p, inverse) = (vectors::<S>(g), vectors::<S>(p), vectors::<S>(inverse));
        let wide = inverse.len();
        for i in 0..wide {
            let mut along = simd.splat_f64s(0.0);
            for at in (0..shape.dim).map(|k| k * wide + i) {
                along = simd.mul_add_e_f64s(vectors_g[at], p[at], along);
            }
            slope = simd.mul_add_e_f64s(along, inverse[i], slope);
        }
        (dot(simd, g, g), simd.reduce_sum_f64s(slope))
    }
}

/// The largest ‖v_i‖.
pub(super) fn longest(shape: Shape, v: &[f64]) -> f64 {
    let square = |i: usize| (0..shape.dim).map(|k| v[k * shape.stride + i].powi(2)).sum::<f64>();
    (0..shape.points).map(square).fold(0.0, f64::max).sqrt()
}
