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

use pulp::Arch;

use super::kernels::{self, Gather, Multiply, Panels, Start};
use super::loops::enough;
use super::transforms::{
    CHANNELS, Gradients, IN, Inputs, OUT, Outputs, POINTS, Pack, PackTurned, Taps, Tile, stride,
};

/// Tiles that are transformed at once.
pub(super) const TILES: usize = 64;
/// Numbers of a block of the weights' gradient.
const BLOCK: usize = 1 << 16;

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

/// A thread's room.
#[derive(Debug, Default)]
pub(super) struct Room {
    tiles: Vec<f32>,
    products: Vec<f32>,
    block: Vec<f32>,
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
