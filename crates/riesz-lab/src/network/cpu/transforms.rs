//! The transforms of [`super::winograd`], with channels as the vectors' lanes.
//!
//! Aᵀ, Bᵀ and G are those of the points 0, ±√½, ±√2 and ∞, in this order: Bᵀ has the coefficients of ∏ (x − xⱼ) without the
//! point's own factor, G the powers of the point divided by ∏ (xᵢ − xⱼ) over the others, Aᵀ the powers of the points.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::kernels::Start;

/// Side of a tile of outputs, and of the inputs that it sees.
pub(super) const OUT: usize = 4;
pub(super) const IN: usize = 6;
/// Numbers of a transformed tile, for each channel.
pub(super) const POINTS: usize = IN * IN;
/// Channels are multiples of this, so that they fill vectors of any width.
pub(super) const CHANNELS: usize = 16;
/// Numbers between tiles, so that those of tiles do not fall on the same lines of the cache.
pub(super) const GAP: usize = 16;

/// √½ and √2: two of the points.
const NEAR: f32 = std::f32::consts::FRAC_1_SQRT_2;
const FAR: f32 = std::f32::consts::SQRT_2;

/// A tile of 4 × 4 outputs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    /// Its first input, in pixels of staged images.
    pub(super) staged: usize,
    /// Its first output, in pixels of images.
    pub(super) pixel: usize,
    /// How many of its rows and columns are in the image.
    pub(super) sides: [usize; 2],
}

/// Numbers from a transformed tile to the next.
pub(super) fn stride(channels: usize) -> usize {
    POINTS * channels + GAP
}

/// Bᵀ d: 6 inputs to 6 points.
#[inline(always)]
fn of_inputs<S: Simd>(simd: S, d: [S::f32s; IN]) -> [S::f32s; IN] {
    let of = |factor: f32, x, y| simd.mul_add_e_f32s(simd.splat_f32s(factor), x, y);
    let (near, near_odd) = (of(-2.0, d[2], d[4]), of(-2.0, d[1], d[3]));
    let (far, far_odd) = (of(-0.5, d[2], d[4]), of(-0.5, d[1], d[3]));
    [
        of(-2.5, d[2], simd.add_f32s(d[0], d[4])),
        of(NEAR, near_odd, near),
        of(-NEAR, near_odd, near),
        of(FAR, far_odd, far),
        of(-FAR, far_odd, far),
        of(-2.5, d[3], simd.add_f32s(d[1], d[5])),
    ]
}

/// Aᵀ m: 6 points to 4 outputs.
#[inline(always)]
fn of_products<S: Simd>(simd: S, m: [S::f32s; IN]) -> [S::f32s; OUT] {
    let of = |factor: f32, x, y| simd.mul_add_e_f32s(simd.splat_f32s(factor), x, y);
    let (near, near_odd) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (far, far_odd) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(m[0], simd.add_f32s(near, far)),
        of(NEAR, near_odd, simd.mul_f32s(simd.splat_f32s(FAR), far_odd)),
        of(0.5, near, simd.mul_f32s(simd.splat_f32s(2.0), far)),
        of(0.5 * NEAR, near_odd, of(2.0 * FAR, far_odd, m[5])),
    ]
}

/// A y: the gradient of 4 outputs to 6 points.
#[inline(always)]
fn of_gradients<S: Simd>(simd: S, y: [S::f32s; OUT]) -> [S::f32s; IN] {
    let of = |factor: f32, x, y| simd.mul_add_e_f32s(simd.splat_f32s(factor), x, y);
    let (near, near_odd) = (of(0.5, y[2], y[0]), of(0.5, y[3], y[1]));
    let (far, far_odd) = (of(2.0, y[2], y[0]), of(2.0, y[3], y[1]));
    [
        y[0],
        of(NEAR, near_odd, near),
        of(-NEAR, near_odd, near),
        of(FAR, far_odd, far),
        of(-FAR, far_odd, far),
        y[3],
    ]
}

/// G g: 3 taps to 6 points.
#[inline(always)]
fn of_taps<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; IN] {
    let of = |factor: f32, x, y| simd.mul_add_e_f32s(simd.splat_f32s(factor), x, y);
    let times = |factor: f32, x| simd.mul_f32s(simd.splat_f32s(factor), x);
    let near = times(-2.0 / 3.0, of(0.5, g[2], g[0]));
    let far = times(1.0 / 6.0, of(2.0, g[2], g[0]));
    let (near_odd, far_odd) = (-2.0 / 3.0 * NEAR, FAR / 6.0);
    [
        g[0],
        of(near_odd, g[1], near),
        of(-near_odd, g[1], near),
        of(far_odd, g[1], far),
        of(-far_odd, g[1], far),
        g[2],
    ]
}

/// Gᵀ u: the gradient of 6 points to 3 taps.
#[inline(always)]
fn to_taps<S: Simd>(simd: S, u: [S::f32s; IN]) -> [S::f32s; 3] {
    let of = |factor: f32, x, y| simd.mul_add_e_f32s(simd.splat_f32s(factor), x, y);
    let (near, near_odd) = (simd.add_f32s(u[1], u[2]), simd.sub_f32s(u[1], u[2]));
    let (far, far_odd) = (simd.add_f32s(u[3], u[4]), simd.sub_f32s(u[3], u[4]));
    [
        of(-2.0 / 3.0, near, of(1.0 / 6.0, far, u[0])),
        of(-2.0 / 3.0 * NEAR, near_odd, simd.mul_f32s(simd.splat_f32s(FAR / 6.0), far_odd)),
        of(-1.0 / 3.0, near, of(1.0 / 3.0, far, u[5])),
    ]
}

/// Both transforms of a square of `$from` × `$from` vectors by `$map`: `$load` of (row, column), `$store` of (row, column, vector).
macro_rules! both_ways {
    ($simd:ident, $from:literal, $to:literal, $map:ident, $load:expr, $store:expr) => {{
        let zero = $simd.splat_f32s(0.0);
        let (load, mut store) = ($load, $store);
        let mut half = [[zero; $to]; $from];
        for (row, half) in half.iter_mut().enumerate() {
            let mut line = [zero; $from];
            for (column, x) in line.iter_mut().enumerate() {
                *x = load(row, column);
            }
            *half = $map($simd, line);
        }
        for column in 0..$to {
            let mut line = [zero; $from];
            for (row, x) in line.iter_mut().enumerate() {
                *x = half[row][column];
            }
            let line = $map($simd, line);
            for (row, x) in line.into_iter().enumerate() {
                store(row, column, x);
            }
        }
    }};
}

/// Bᵀ d B of some tiles of staged images with `columns` pixels in a row.
pub(super) struct Inputs<'a> {
    pub(super) x: &'a [f32],
    pub(super) tiles: &'a [Tile],
    pub(super) columns: usize,
    pub(super) c: usize,
    pub(super) to: &'a mut [f32],
}

impl WithSimd for Inputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, _) = S::as_simd_f32s(self.x);
        let (to, _) = S::as_mut_simd_f32s(self.to);
        let (c, between) = (self.c / S::F32_LANES, stride(self.c) / S::F32_LANES);
        let row_of = self.columns * c;
        for (tile, to) in self.tiles.iter().zip(to.chunks_exact_mut(between)) {
            let x = &x[tile.staged * c..][..(IN - 1) * row_of + IN * c];
            let to = &mut to[..POINTS * c];
            for k in 0..c {
                both_ways!(
                    simd,
                    6,
                    6,
                    of_inputs,
                    |row: usize, column: usize| x[row * row_of + column * c + k],
                    |row: usize, column: usize, v| to[(row * IN + column) * c + k] = v
                );
            }
        }
    }
}

/// A y Aᵀ of some tiles of the outputs' gradient, staged.
pub(super) struct Gradients<'a> {
    pub(super) y: &'a [f32],
    pub(super) tiles: &'a [Tile],
    pub(super) columns: usize,
    pub(super) o: usize,
    pub(super) to: &'a mut [f32],
}

impl WithSimd for Gradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (y, _) = S::as_simd_f32s(self.y);
        let (to, _) = S::as_mut_simd_f32s(self.to);
        let (o, between) = (self.o / S::F32_LANES, stride(self.o) / S::F32_LANES);
        let row_of = self.columns * o;
        for (tile, to) in self.tiles.iter().zip(to.chunks_exact_mut(between)) {
            // Without the zeros before.
            let y = &y[(tile.staged + self.columns + 1) * o..][..(OUT - 1) * row_of + OUT * o];
            let to = &mut to[..POINTS * o];
            for k in 0..o {
                both_ways!(
                    simd,
                    4,
                    6,
                    of_gradients,
                    |row: usize, column: usize| y[row * row_of + column * o + k],
                    |row: usize, column: usize, v| to[(row * IN + column) * o + k] = v
                );
            }
        }
    }
}

/// Aᵀ m A of some tiles, to images with `columns` pixels in a row.
pub(super) struct Outputs<'a> {
    pub(super) products: &'a [f32],
    pub(super) tiles: &'a [Tile],
    pub(super) columns: usize,
    pub(super) o: usize,
    pub(super) start: Start<'a>,
    pub(super) out: &'a mut [f32],
}

impl WithSimd for Outputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (products, _) = S::as_simd_f32s(self.products);
        let (out, _) = S::as_mut_simd_f32s(self.out);
        let (o, between) = (self.o / S::F32_LANES, stride(self.o) / S::F32_LANES);
        let row_of = self.columns * o;
        for (tile, products) in self.tiles.iter().zip(products.chunks_exact(between)) {
            let products = &products[..POINTS * o];
            let [rows, columns] = tile.sides;
            let out = &mut out[tile.pixel * o..];
            for k in 0..o {
                let product = |row: usize, column: usize| products[(row * IN + column) * o + k];
                if let (Start::Zero, OUT, OUT) = (self.start, rows, columns) {
                    let out = &mut out[..(OUT - 1) * row_of + OUT * o];
                    let put = |row: usize, column: usize, y| out[row * row_of + column * o + k] = y;
                    both_ways!(simd, 6, 4, of_products, product, put);
                    continue;
                }
                let bias = match self.start {
                    Start::Bias(bias) => S::as_simd_f32s(bias).0[k],
                    Start::Zero | Start::Add => simd.splat_f32s(0.0),
                };
                both_ways!(simd, 6, 4, of_products, product, |row: usize, column: usize, y| {
                    if row < rows && column < columns {
                        let to = &mut out[row * row_of + column * o + k];
                        let start = if let Start::Add = self.start { *to } else { bias };
                        *to = simd.add_f32s(y, start);
                    }
                });
            }
        }
    }
}

/// G g Gᵀ of `wide` outputs from `first` on, of rows (tap, input) × outputs.
pub(super) struct Pack<'a> {
    pub(super) weight: &'a [f32],
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) first: usize,
    pub(super) wide: usize,
    pub(super) to: &'a mut [f32],
}

impl WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Pack { weight, inputs, outputs, first, wide, to } = self;
        let (weight, _) = S::as_simd_f32s(weight);
        let (to, _) = S::as_mut_simd_f32s(to);
        let [outputs, first, wide] = [outputs, first, wide].map(|n| n / S::F32_LANES);
        for input in 0..inputs {
            for k in 0..wide {
                points_of(
                    simd,
                    |tap| weight[(tap * inputs + input) * outputs + first + k],
                    |point, u| to[(point * inputs + input) * wide + k] = u,
                );
            }
        }
    }
}

/// G g Gᵀ of some rows of `depth`.
pub(super) struct PackTurned<'a> {
    pub(super) turned: &'a [f32],
    pub(super) depth: usize,
    pub(super) rows: Range<usize>,
    pub(super) wide: usize,
    pub(super) to: &'a mut [f32],
}

impl WithSimd for PackTurned<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let PackTurned { turned, depth, rows, wide, to } = self;
        let (turned, _) = S::as_simd_f32s(turned);
        let (to, _) = S::as_mut_simd_f32s(to);
        let wide = wide / S::F32_LANES;
        for (i, row) in rows.enumerate() {
            for k in 0..wide {
                points_of(
                    simd,
                    |tap| turned[(tap * CHANNELS + i) * wide + k],
                    |point, u| to[(point * depth + row) * wide + k] = u,
                );
            }
        }
    }
}

#[inline(always)]
fn points_of<S: Simd>(simd: S, tap: impl Fn(usize) -> S::f32s, mut put: impl FnMut(usize, S::f32s)) {
    both_ways!(
        simd,
        3,
        6,
        of_taps,
        |row: usize, column: usize| tap(row * 3 + column),
        |row: usize, column: usize, u| put(row * IN + column, u)
    );
}

/// Adds Gᵀ u G of some inputs to the gradient of the weights.
pub(super) struct Taps<'a> {
    pub(super) block: &'a [f32],
    pub(super) rows: Range<usize>,
    pub(super) c: usize,
    pub(super) o: usize,
    pub(super) of_weights: &'a mut [f32],
}

impl WithSimd for Taps<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Taps { block, rows, c, o, of_weights } = self;
        let (block, _) = S::as_simd_f32s(block);
        let (of_weights, _) = S::as_mut_simd_f32s(of_weights);
        let o = o / S::F32_LANES;
        let count = rows.len();
        for (i, input) in rows.enumerate() {
            for k in 0..o {
                both_ways!(
                    simd,
                    6,
                    3,
                    to_taps,
                    |row: usize, column: usize| block[((row * IN + column) * count + i) * o + k],
                    |row: usize, column: usize, g| {
                        let to = &mut of_weights[((row * 3 + column) * c + input) * o + k];
                        *to = simd.add_f32s(*to, g);
                    }
                );
            }
        }
    }
}
