//! 3 × 3 convolutions of stride 1 with a quarter of the multiplications: F(4 × 4, 3 × 3) (Winograd 1980; Lavin & Gray 2016).
//!
//! A tile of 4 × 4 outputs sees 6 × 6 inputs d, and is Aᵀ \[(G g Gᵀ) ⊙ (Bᵀ d B)\] A: 36 products instead of 144, and over many
//! tiles each of the 36 is a matrix product over channels. What is polynomial interpolation beneath has the points 0, ±1/√2, ±√2
//! and ∞. Their errors are half of those of the usual 0, ±1, ±2 and ∞, and about five times those of direct sums: 10⁻⁶ of the
//! outcomes' size for 64 channels, 2·10⁻⁶ for 512 (root mean squares; the tests below hold three times that).
//!
//! Transposed, the same says the gradient of the weights: Gᵀ \[Σ_tiles (Bᵀ d B) ⊙ (A y Aᵀ)\] G for the outputs' gradient y. The
//! gradient with respect to the input is the convolution of y with the kernels turned by half a turn.
//!
//! Numbers of a tile lie together, its 36 rows of channels one after another; channels are the vectors' lanes.

use pulp::{Arch, Simd, WithSimd};

use super::kernels::{self, Gather, Multiply, Panels, Start};
use super::scratch::enough;

/// Side of a tile of outputs, and of the inputs that it sees.
const OUT: usize = 4;
const IN: usize = 6;
/// Numbers of a transformed tile, for each channel.
const POINTS: usize = IN * IN;
/// Channels are multiples of this, so that they fill vectors of any width.
const CHANNELS: usize = 16;
/// Numbers between tiles, so that those of tiles do not fall on the same lines of the cache.
const GAP: usize = 16;
/// Tiles that are transformed at once.
pub(super) const TILES: usize = 64;
/// Numbers of a block of the weights' gradient.
const BLOCK: usize = 1 << 16;

/// √½ and √2: two of the points.
const NEAR: f32 = std::f32::consts::FRAC_1_SQRT_2;
const FAR: f32 = std::f32::consts::SQRT_2;

/// One layer: c channels in, o out.
#[derive(Debug)]
pub(super) struct Winograd {
    height: usize,
    width: usize,
    c: usize,
    o: usize,
    /// Tiles of a chunk of images.
    tiles: Vec<Tile>,
    /// Places of transformed tiles of c and of o channels.
    steps: [Vec<usize>; 2],
}

/// A tile of 4 × 4 outputs.
#[derive(Clone, Copy, Debug)]
struct Tile {
    /// Its first input, in pixels of staged images.
    staged: usize,
    /// Its first output, in pixels of images.
    pixel: usize,
    /// How many of its rows and columns are in the image.
    sides: [usize; 2],
}

/// A thread's room.
#[derive(Debug, Default)]
pub(super) struct Room {
    tiles: Vec<f32>,
    products: Vec<f32>,
    block: Vec<f32>,
}

fn stride(channels: usize) -> usize {
    POINTS * channels + GAP
}

/// Rows and columns of an image with the zeros around that this needs: one before, and after as many as fill the last tile.
pub(super) fn staged(sides: [usize; 2]) -> [usize; 2] {
    sides.map(|side| side.next_multiple_of(OUT) + IN - OUT)
}

/// Tiles of an image.
pub(super) fn tiles([height, width]: [usize; 2]) -> usize {
    height.div_ceil(OUT) * width.div_ceil(OUT)
}

impl Winograd {
    /// Whether a convolution is made so, by its shape alone, as bits shall be the same everywhere: channels fill vectors, and
    /// products become half of the direct ones or fewer (an image of 5 × 5 has four tiles, which is too many).
    pub(super) fn suits(
        [h, w, c]: [usize; 3],
        o: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> bool {
        (kernel, stride, padding) == (3, 1, 1)
            && c.is_multiple_of(CHANNELS)
            && o.is_multiple_of(CHANNELS)
            && 2 * POINTS * tiles([h, w]) <= kernel * kernel * h * w
    }

    /// For chunks of `images`.
    pub(super) fn new([height, width, c]: [usize; 3], o: usize, images: usize) -> Self {
        let steps = [c, o].map(|channels| (0..TILES).map(|tile| tile * stride(channels)).collect());
        let mut winograd = Self { height, width, c, o, tiles: Vec::new(), steps };
        let [rows, columns] = staged([height, width]);
        let places = (0..images).flat_map(|i| {
            (0..height).step_by(OUT).flat_map(move |y| (0..width).step_by(OUT).map(move |x| (i, y, x)))
        });
        winograd.tiles = places
            .map(|(i, y, x)| Tile {
                staged: (i * rows + y) * columns + x,
                pixel: (i * height + y) * width + x,
                sides: [OUT.min(height - y), OUT.min(width - x)],
            })
            .collect();
        winograd
    }

    fn tiles_of(&self, images: usize) -> &[Tile] {
        &self.tiles[..images * tiles([self.height, self.width])]
    }

    /// Transforms weights, rows (tap, c) × o.
    pub(super) fn pack(&self, weight: &[f32], panels: &mut Panels) {
        let (c, o) = (self.c, self.o);
        panels.fill(POINTS, c, o, |first, wide, to| {
            Arch::new().dispatch(Pack { weight, inputs: c, outputs: o, first, wide, to });
        });
    }

    /// The same for the way back: kernels turned, rows (tap, o) × c.
    pub(super) fn pack_back(&self, weight: &[f32], panels: &mut Panels) {
        let (c, o) = (self.c, self.o);
        panels.fill(POINTS, o, c, |first, wide, to| {
            // Some outputs at a time are turned over.
            let mut turned = [0.0; 9 * CHANNELS * 2 * CHANNELS];
            let turned = &mut turned[..9 * CHANNELS * wide];
            for from in (0..o).step_by(CHANNELS) {
                for (tap, turned) in turned.chunks_exact_mut(CHANNELS * wide).enumerate() {
                    for j in 0..wide {
                        let row = &weight[((8 - tap) * c + first + j) * o + from..][..CHANNELS];
                        for (i, &number) in row.iter().enumerate() {
                            turned[i * wide + j] = number;
                        }
                    }
                }
                let rows = from..from + CHANNELS;
                Arch::new().dispatch(PackTurned { turned, depth: o, rows, wide, to: &mut *to });
            }
        });
    }

    /// out = convolution of staged images.
    pub(super) fn forward(
        &self,
        x: &[f32],
        panels: &Panels,
        start: Start<'_>,
        out: &mut [f32],
        room: &mut Room,
    ) {
        self.convolve([0, 1], x, panels, start, out, room);
    }

    /// The gradient with respect to the input, of the staged gradient of the output.
    pub(super) fn scatter(
        &self,
        x: &[f32],
        panels: &Panels,
        start: Start<'_>,
        out: &mut [f32],
        room: &mut Room,
    ) {
        self.convolve([1, 0], x, panels, start, out, room);
    }

    fn convolve(
        &self,
        [from, to]: [usize; 2],
        x: &[f32],
        panels: &Panels,
        start: Start<'_>,
        out: &mut [f32],
        room: &mut Room,
    ) {
        let [c, o] = [from, to].map(|which| [self.c, self.o][which]);
        let images = out.len() / (self.height * self.width * o);
        let [_, columns] = staged([self.height, self.width]);
        let tiles = enough(&mut room.tiles, TILES * stride(c));
        let products = enough(&mut room.products, TILES * stride(o));
        for some in self.tiles_of(images).chunks(TILES) {
            Arch::new().dispatch(Inputs { x, tiles: some, columns, c, to: tiles });
            for point in 0..POINTS {
                kernels::multiply(Multiply {
                    x: &tiles[point * c..],
                    places: &self.steps[from][..some.len()],
                    segments: &[0],
                    length: c,
                    panels,
                    sheet: point,
                    start: Start::Zero,
                    out: &mut products[point * o..],
                    targets: &self.steps[to][..some.len()],
                });
            }
            Arch::new().dispatch(Outputs { products, tiles: some, columns: self.width, o, start, out });
        }
    }

    /// Adds to the gradient of the weights.
    pub(super) fn gather(
        &self,
        images: usize,
        x: &[f32],
        gradient: &[f32],
        of_weights: &mut [f32],
        room: &mut Room,
    ) {
        let (c, o) = (self.c, self.o);
        let tiles = enough(&mut room.tiles, TILES * stride(c));
        let products = enough(&mut room.products, TILES * stride(o));
        // Multiples of the rows that the products have in registers.
        let rows = (BLOCK / (POINTS * o) / 12 * 12).clamp(12, c.next_multiple_of(12));
        let block = enough(&mut room.block, POINTS * rows * o);
        let [_, columns] = staged([self.height, self.width]);
        for some in self.tiles_of(images).chunks(TILES) {
            Arch::new().dispatch(Inputs { x, tiles: some, columns, c, to: tiles });
            Arch::new().dispatch(Gradients { y: gradient, tiles: some, columns, o, to: products });
            for from in (0..c).step_by(rows) {
                let rows = rows.min(c - from);
                let block = &mut block[..POINTS * rows * o];
                for (point, out) in block.chunks_exact_mut(rows * o).enumerate() {
                    kernels::gather(Gather {
                        x: &tiles[point * c + from..],
                        places: &self.steps[0][..some.len()],
                        segments: &[0],
                        length: rows,
                        y: &products[point * o..],
                        targets: &self.steps[1][..some.len()],
                        columns: o,
                        add: false,
                        out,
                    });
                }
                Arch::new().dispatch(Taps { block, rows: from..from + rows, c, o, of_weights });
            }
        }
    }
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
struct Inputs<'a> {
    x: &'a [f32],
    tiles: &'a [Tile],
    columns: usize,
    c: usize,
    to: &'a mut [f32],
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
struct Gradients<'a> {
    y: &'a [f32],
    tiles: &'a [Tile],
    columns: usize,
    o: usize,
    to: &'a mut [f32],
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
struct Outputs<'a> {
    products: &'a [f32],
    tiles: &'a [Tile],
    columns: usize,
    o: usize,
    start: Start<'a>,
    out: &'a mut [f32],
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
struct Pack<'a> {
    weight: &'a [f32],
    inputs: usize,
    outputs: usize,
    first: usize,
    wide: usize,
    to: &'a mut [f32],
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
struct PackTurned<'a> {
    turned: &'a [f32],
    depth: usize,
    rows: std::ops::Range<usize>,
    wide: usize,
    to: &'a mut [f32],
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
struct Taps<'a> {
    block: &'a [f32],
    rows: std::ops::Range<usize>,
    c: usize,
    o: usize,
    of_weights: &'a mut [f32],
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

#[cfg(test)]
mod tests {
    use riesz::rng::{Key, normal};

    use super::*;

    fn draw(count: usize, key: u64) -> Vec<f32> {
        let mut rng = Key::new(key).rng();
        (0..count).map(|_| normal(&mut rng) as f32).collect()
    }

    /// Images of `channels` with the zeros that tiles need.
    fn stage(x: &[f32], [h, w]: [usize; 2], channels: usize) -> Vec<f32> {
        let [rows, columns] = staged([h, w]);
        let mut to = vec![0.0; x.len() / (h * w * channels) * rows * columns * channels];
        for (i, pixel) in x.chunks_exact(channels).enumerate() {
            let (image, y, x) = (i / (h * w), i / w % h, i % w);
            let place = ((image * rows + y + 1) * columns + x + 1) * channels;
            to[place..place + channels].copy_from_slice(pixel);
        }
        to
    }

    /// ‖got − want‖ / ‖want‖.
    fn apart(got: &[f32], want: &[f64]) -> f64 {
        let squares = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>();
        let errors = squares(&mut got.iter().zip(want).map(|(&got, want)| f64::from(got) - want));
        (errors / squares(&mut want.iter().copied())).sqrt()
    }

    /// Calls `visit` with numbers of an input, a weight and an output that meet.
    fn meetings(
        n: usize,
        [h, w]: [usize; 2],
        c: usize,
        o: usize,
        mut visit: impl FnMut(usize, usize, usize),
    ) {
        for (i, y, x) in (0..n).flat_map(|i| (0..h).flat_map(move |y| (0..w).map(move |x| (i, y, x)))) {
            for tap in 0..9 {
                let (row, column) = (y + tap / 3, x + tap % 3);
                if (1..=h).contains(&row) && (1..=w).contains(&column) {
                    for (k, j) in (0..c).flat_map(|k| (0..o).map(move |j| (k, j))) {
                        let input = ((i * h + row - 1) * w + column - 1) * c + k;
                        visit(input, (tap * c + k) * o + j, ((i * h + y) * w + x) * o + j);
                    }
                }
            }
        }
    }

    #[test]
    fn outcomes_and_both_gradients_are_those_of_direct_sums() {
        let shapes = [
            ([3, 3], 16, 16, 5, 3e-6),
            ([7, 7], 32, 48, 3, 3e-6),
            ([4, 9], 64, 16, 2, 3e-6),
            ([14, 6], 16, 64, 7, 3e-6),
            ([4, 4], 512, 16, 2, 6e-6),
            ([4, 4], 16, 512, 2, 6e-6),
        ];
        for (sides @ [h, w], c, o, n, bound) in shapes {
            assert!(Winograd::suits([h, w, c], o, 3, 1, 1), "{sides:?}");
            let winograd = Winograd::new([h, w, c], o, n);
            let (x, weight) = (draw(n * h * w * c, 1), draw(9 * c * o, 2));
            let gradient = draw(n * h * w * o, 3);
            let mut want = [vec![0.0; n * h * w * o], vec![0.0; x.len()], vec![0.0; weight.len()]];
            meetings(n, sides, c, o, |input, tap, output| {
                let [x, weight, g] = [x[input], weight[tap], gradient[output]].map(f64::from);
                want[0][output] += x * weight;
                want[1][input] += g * weight;
                want[2][tap] += g * x;
            });
            let (mut panels, mut room) = (Panels::default(), Room::default());
            let staged = [stage(&x, sides, c), stage(&gradient, sides, o)];
            winograd.pack(&weight, &mut panels);
            let mut out = vec![f32::NAN; gradient.len()];
            winograd.forward(&staged[0], &panels, Start::Zero, &mut out, &mut room);
            assert!(apart(&out, &want[0]) < bound, "{sides:?}: outcomes {:e}", apart(&out, &want[0]));
            let bias = draw(o, 4);
            let plain = out.clone();
            winograd.forward(&staged[0], &panels, Start::Bias(&bias), &mut out, &mut room);
            for (place, (out, plain)) in out.iter().zip(&plain).enumerate() {
                assert_eq!(*out, plain + bias[place % o]);
            }
            winograd.pack_back(&weight, &mut panels);
            let mut of_input = x.clone();
            winograd.scatter(&staged[1], &panels, Start::Add, &mut of_input, &mut room);
            for (want, &x) in want[1].iter_mut().zip(&x) {
                *want += f64::from(x);
            }
            assert!(apart(&of_input, &want[1]) < bound, "{sides:?}: input {:e}", apart(&of_input, &want[1]));
            let mut of_weights = weight.clone();
            winograd.gather(n, &staged[0], &staged[1], &mut of_weights, &mut room);
            for (want, &weight) in want[2].iter_mut().zip(&weight) {
                *want += f64::from(weight);
            }
            assert!(apart(&of_weights, &want[2]) < bound, "{sides:?}: {:e}", apart(&of_weights, &want[2]));
        }
    }

    #[test]
    fn shapes_decide() {
        let suits = |sides: [usize; 2], c, o, kernel, stride, padding| {
            Winograd::suits([sides[0], sides[1], c], o, kernel, stride, padding)
        };
        assert!(suits([4, 4], 16, 16, 3, 1, 1));
        for other in [
            suits([5, 5], 16, 16, 3, 1, 1),
            suits([1, 1], 16, 16, 3, 1, 1),
            suits([1, 32], 16, 16, 3, 1, 1),
            suits([8, 8], 3, 16, 3, 1, 1),
            suits([8, 8], 16, 18, 3, 1, 1),
            suits([8, 8], 16, 16, 3, 2, 1),
            suits([8, 8], 16, 16, 3, 1, 0),
            suits([8, 8], 16, 16, 5, 1, 1),
        ] {
            assert!(!other);
        }
    }
}
