//! Convolutions and linear maps: forward, and both gradients, without copies of patches.
//!
//! Images with channels last, h × w × c in, h' × w' × o out, k × k kernels, stride s. Some images at a time (a chunk) are copied
//! into a thread's own memory with zeros around, and normalized on the way if their layer is a normalization whose outcome
//! was not kept; there the numbers under one row of a kernel lie next to each other ([`kernels`]).
//!
//! The gradient with respect to the input is a convolution, too: input pixels of one remainder by the stride see the same
//! rows and columns of the kernel, so each of the s × s classes of pixels is a [`kernels::Multiply`] of its own.
//!
//! The weights' gradient is summed by slots: each slot adds up its own images, one after another, and the slots are added in
//! their order; so bits do not depend on threads.

use rayon::prelude::*;

use super::kernels::{self, Gather, Multiply, Panels, Start};
use super::loops::{self, Cut, Moments, Norm, NormGradient, enough};
use super::scratch::{Scratch, with_scratch};
use super::tokens;
use super::winograd::{self, Room, Winograd};

/// Numbers of a chunk's copies: so many that they stay in the second-level cache.
const CHUNK: usize = 1 << 16;
/// But a chunk has at least so many pixels of output, for which weights are then read once.
const PIXELS: usize = 128;
/// A batch is cut into at least so many chunks, if it has as many images.
const CHUNKS: usize = 8;
/// Into so many where weights are transformed ([`winograd`]): each chunk reads them, and they are 36 for 9.
const TILED: usize = 4;
/// And into at most so many slots.
const MOST_SLOTS: usize = 16;
/// Numbers of all slots' gradients of one layer.
const SLOTS: usize = 1 << 24;

/// A layer's numbers as they are read: as they are, or normalized on the way.
#[derive(Clone, Copy)]
pub(super) enum Read<'a> {
    Plain(&'a [f32]),
    Normed(&'a [f32], &'a Norm),
    /// x Φ(x) of these.
    Gelu(&'a [f32]),
}

/// The gradient with respect to a layer's outcome: as it is, or on the way through the normalization after it.
#[derive(Clone, Copy)]
pub(super) enum ReadGradient<'a> {
    Plain(&'a [f32]),
    /// The gradient of the normalized, what was normalized, and how.
    Normed(&'a [f32], &'a [f32], &'a NormGradient),
}

/// Where the gradient with respect to the input goes.
pub(super) struct Input<'a> {
    pub(super) gradient: &'a mut [f32],
    /// Whether it is added to what is there.
    pub(super) add: bool,
    /// If the input is a normalization whose outcome was not kept: what was normalized, how, and room for the sums that its
    /// own gradient needs, one for each slot ([`loops::cut_and_sum`]).
    pub(super) norm: Option<(&'a [f32], &'a Norm, &'a mut [f64])>,
}

/// One layer for batches of n images.
#[derive(Debug)]
pub(super) struct Convolution {
    input: [usize; 3],
    output: [usize; 3],
    kernel: usize,
    padding: usize,
    /// Rows and columns of a staged image.
    staged: [usize; 2],
    /// Images of a chunk.
    chunk: usize,
    /// Images of a slot, a multiple of the chunk's.
    slot: usize,
    /// Pixels of an output, as places of its first number under the kernel in the staged input; of a chunk.
    places: Vec<usize>,
    /// The same pixels in the output.
    targets: Vec<usize>,
    /// The same pixels in the staged gradient.
    gradients: Vec<usize>,
    /// Rows of the kernel in the staged input.
    segments: Vec<usize>,
    back: Option<Back>,
    winograd: Option<Winograd>,
}

/// The way back to the input.
#[derive(Debug)]
struct Back {
    /// Zeros before each row and each column of the outputs.
    before: usize,
    /// Rows and columns of the staged gradient of the outputs.
    staged: [usize; 2],
    classes: Vec<Class>,
}

/// Input pixels of one remainder by the stride in both directions.
#[derive(Debug)]
struct Class {
    /// Rows and columns of the kernel that reach them, in the order of the staged gradient.
    rows: Vec<usize>,
    columns: Vec<usize>,
    places: Vec<usize>,
    targets: Vec<usize>,
    segments: Vec<usize>,
}

impl Convolution {
    /// Of `n` images; `has_way_back` if the gradient with respect to the input will be asked for.
    pub(super) fn new(
        n: usize,
        input: [usize; 3],
        output: [usize; 3],
        kernel: usize,
        stride: usize,
        padding: usize,
        has_way_back: bool,
    ) -> Self {
        let ([h, w, c], [out_h, out_w, o]) = (input, output);
        let by_tiles = Winograd::suits(input, o, kernel, stride, padding);
        let (staged, back) = if by_tiles {
            let staged = winograd::staged([h, w]);
            (staged, Some(Back { before: padding, staged, classes: Vec::new() }))
        } else {
            let back = has_way_back.then(|| Back::new(input, output, kernel, stride, padding));
            ([h, w].map(|side| side + 2 * padding), back)
        };
        let [staged_h, staged_w] = staged;
        let [back_h, back_w] = back.as_ref().map_or([out_h, out_w], |back| back.staged);
        let numbers = staged_h * staged_w * c + back_h * back_w * o;
        let chunk = if by_tiles {
            winograd::TILES.div_ceil(winograd::tiles([h, w])).min(n.div_ceil(TILED))
        } else {
            (CHUNK / numbers).max(PIXELS / (out_h * out_w)).min(n.div_ceil(CHUNKS)).max(1)
        };
        let winograd = by_tiles.then(|| Winograd::new(input, o, chunk));
        let slots = (SLOTS / (kernel * kernel * c * o)).clamp(4, MOST_SLOTS);
        let slot = n.div_ceil(slots).next_multiple_of(chunk);
        let pixels =
            || (0..chunk).flat_map(move |i| (0..out_h).flat_map(move |y| (0..out_w).map(move |x| (i, y, x))));
        let places =
            pixels().map(|(i, y, x)| ((i * staged_h + y * stride) * staged_w + x * stride) * c).collect();
        let targets = pixels().map(|(i, y, x)| ((i * out_h + y) * out_w + x) * o).collect();
        let before = back.as_ref().map_or(0, |back| back.before);
        let place = |i: usize, y: usize, x: usize| ((i * back_h + y + before) * back_w + x + before) * o;
        let gradients = pixels().map(|(i, y, x)| place(i, y, x)).collect();
        let segments = (0..kernel).map(|row| row * staged_w * c).collect();
        let back = back.map(|back| back.of_chunk(chunk, input, output));
        Self {
            input,
            output,
            kernel,
            padding,
            staged,
            chunk,
            slot,
            places,
            targets,
            gradients,
            segments,
            back,
            winograd,
        }
    }

    /// How many slots there are for `n` images.
    pub(super) fn slots(&self, n: usize) -> usize {
        n.div_ceil(self.slot)
    }

    /// How many numbers the weights are.
    pub(super) fn weights(&self) -> usize {
        self.kernel * self.kernel * self.input[2] * self.output[2]
    }

    /// Packs weights, rows (k, k, c) × o, for [`forward`](Self::forward).
    pub(super) fn pack(&self, weight: &[f32], panels: &mut Panels) {
        let (c, o, k) = (self.input[2], self.output[2], self.kernel);
        assert_eq!(weight.len(), self.weights(), "weights of this convolution");
        if let Some(winograd) = &self.winograd {
            return winograd.pack(weight, panels);
        }
        panels.fill(1, k * k * c, o, |first, wide, to| {
            let columns = first..o.min(first + wide);
            for (to, row) in to.chunks_exact_mut(wide).zip(weight.chunks_exact(o)) {
                to[..columns.len()].copy_from_slice(&row[columns.clone()]);
            }
        });
    }

    /// Packs weights for the way back to the input, one for each class of pixels.
    pub(super) fn pack_back(&self, weight: &[f32], panels: &mut Vec<Panels>) {
        let (c, o, k) = (self.input[2], self.output[2], self.kernel);
        let classes = self.back.as_ref().map_or(&[][..], |back| &back.classes);
        if panels.len() < classes.len().max(1) {
            panels.resize_with(classes.len().max(1), Panels::default);
        }
        if let Some(winograd) = &self.winograd {
            return winograd.pack_back(weight, &mut panels[0]);
        }
        for (class, panels) in classes.iter().zip(panels) {
            let (rows, columns) = (&class.rows, &class.columns);
            panels.fill(1, rows.len() * columns.len() * o, c, |first, wide, to| {
                let taps = rows.iter().flat_map(|row| columns.iter().map(move |column| row * k + column));
                for (tap, to) in taps.zip(to.chunks_exact_mut(o * wide)) {
                    let inputs = &weight[tap * c * o..(tap + 1) * c * o];
                    for (j, row) in inputs.chunks_exact(o).skip(first).take(wide).enumerate() {
                        for (to, &number) in to[j..].iter_mut().step_by(wide).zip(row) {
                            *to = number;
                        }
                    }
                }
            });
        }
    }

    /// out = convolution of x, plus `bias`; and the moments of each chunk's outcome, if they are wanted.
    pub(super) fn forward(
        &self,
        x: Read<'_>,
        panels: &Panels,
        bias: Option<&[f32]>,
        out: &mut [f32],
        moments: &mut Vec<Moments>,
        wants_moments: bool,
    ) {
        let (size, out_size) = (product(self.input), product(self.output));
        let chunks = out.len().div_ceil(self.chunk * out_size);
        if moments.len() < chunks {
            moments.resize_with(chunks, Moments::default);
        }
        let (moments, others) = moments.split_at_mut(chunks);
        others.iter_mut().for_each(|moments| moments.count = 0.0);
        out.par_chunks_mut(self.chunk * out_size).zip(moments).enumerate().for_each(|(i, (out, moments))| {
            let images = out.len() / out_size;
            let pixels = out.len() / self.output[2];
            let start = bias.map_or(Start::Zero, Start::Bias);
            with_scratch(|Scratch { x: staged, room, lanes, means, .. }| {
                let staged = self.stage(x, i * self.chunk * size, images, staged);
                if let Some(winograd) = &self.winograd {
                    winograd.forward(staged, panels, start, out, room);
                } else {
                    kernels::multiply(Multiply {
                        x: staged,
                        places: &self.places[..pixels],
                        segments: &self.segments,
                        length: self.kernel * self.input[2],
                        panels,
                        sheet: 0,
                        start,
                        out,
                        targets: &self.targets[..pixels],
                    });
                }
                if wants_moments {
                    moments.set(out, self.output[2], lanes, means);
                }
            });
        });
    }

    /// Copies `images` images from number `from` on, with zeros around.
    fn stage<'a>(&self, x: Read<'_>, from: usize, images: usize, to: &'a mut Vec<f32>) -> &'a [f32] {
        let [h, w, c] = self.input;
        let ([rows, columns], pad) = (self.staged, self.padding);
        let row = columns * c;
        let staged = enough(to, images * rows * row);
        for (i, image) in staged.chunks_exact_mut(rows * row).enumerate() {
            image[..pad * row].fill(0.0);
            image[(h + pad) * row..].fill(0.0);
            for (y, row) in image[pad * row..(h + pad) * row].chunks_exact_mut(row).enumerate() {
                row[..pad * c].fill(0.0);
                row[(w + pad) * c..].fill(0.0);
                let from = from + (i * h + y) * w * c;
                let row = &mut row[pad * c..(w + pad) * c];
                match x {
                    Read::Plain(x) => row.copy_from_slice(&x[from..from + w * c]),
                    Read::Normed(x, norm) => loops::normalize(norm, &x[from..from + w * c], row),
                    Read::Gelu(x) => tokens::gelu_part(&x[from..from + w * c], row),
                }
            }
        }
        staged
    }

    /// The gradients: of the weights one for each slot in `of_weights`, of the bias likewise in `of_bias`,
    /// of the input where it shall go.
    pub(super) fn backward(
        &self,
        n: usize,
        x: Read<'_>,
        panels: &[Panels],
        of_output: ReadGradient<'_>,
        of_weights: &mut [f32],
        of_bias: Option<&mut [f64]>,
        input: Option<Input<'_>>,
    ) {
        let (size, channels, outputs) = (product(self.input), self.input[2], self.output[2]);
        let slots = self.slots(n);
        // What nobody asked for has a number for each slot, which is not used.
        let (mut no_bias, mut no_sums, mut no_gradient) =
            ([0.0; MOST_SLOTS], [0.0; MOST_SLOTS], [0.0; MOST_SLOTS]);
        let wants_bias = of_bias.is_some();
        let (of_bias, bias_part) = of_bias.map_or((&mut no_bias[..slots], 1), |bias| (bias, outputs));
        let wants_input = input.is_some();
        let (gradient, gradient_part, add, norm) = input
            .map_or((&mut no_gradient[..slots], 1, false, None), |input| {
                (input.gradient, self.slot * size, input.add, input.norm)
            });
        let (norm, sums, sums_part) = match norm {
            Some((y, norm, sums)) => (Some((y, norm)), sums, 2 * channels),
            None => (None, &mut no_sums[..slots], 1),
        };
        of_weights
            .par_chunks_mut(self.weights())
            .zip(of_bias.par_chunks_mut(bias_part))
            .zip(sums.par_chunks_mut(sums_part))
            .zip(gradient.par_chunks_mut(gradient_part))
            .enumerate()
            .with_max_len(1)
            .for_each(|(slot, (((of_weights, of_bias), sums), gradient))| {
                of_weights.fill(0.0);
                of_bias.fill(0.0);
                sums.fill(0.0);
                let first = slot * self.slot;
                let last = n.min(first + self.slot);
                for from in (first..last).step_by(self.chunk) {
                    let images = self.chunk.min(last - from);
                    with_scratch(|scratch| {
                        let Scratch { x: staged, gradient: staged_gradient, room, lanes, .. } = scratch;
                        let staged = self.stage(x, from * size, images, staged);
                        let staged_gradient = self.stage_gradient(of_output, from, images, staged_gradient);
                        self.gather(images, staged, staged_gradient, of_weights, room);
                        if wants_bias {
                            // Zeros around add nothing.
                            loops::sum(staged_gradient, outputs, lanes, of_bias);
                        }
                        if wants_input {
                            let place = (from - first) * size;
                            let gradient = &mut gradient[place..place + images * size];
                            self.scatter(images, staged_gradient, panels, add, gradient, room);
                            if let Some((y, norm)) = norm {
                                let y = &y[from * size..(from + images) * size];
                                let cut = if norm.relu { Cut::Norm(norm) } else { Cut::Nowhere };
                                loops::cut_and_sum(gradient, y, &norm.mean, cut, lanes, sums);
                            }
                        }
                    });
                }
            });
    }

    fn stage_gradient<'a>(
        &self,
        of_output: ReadGradient<'_>,
        first: usize,
        images: usize,
        to: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        let [h, w, o] = self.output;
        let (before, [rows, columns]) =
            self.back.as_ref().map_or((0, [h, w]), |back| (back.before, back.staged));
        let staged = enough(to, images * rows * columns * o);
        if [rows, columns] != [h, w] {
            staged.fill(0.0);
        }
        for (i, image) in staged.chunks_exact_mut(rows * columns * o).enumerate() {
            for y in 0..h {
                let from = ((first + i) * h + y) * w * o;
                let numbers = from..from + w * o;
                let to = ((y + before) * columns + before) * o;
                let row = &mut image[to..to + w * o];
                match of_output {
                    ReadGradient::Plain(g) => row.copy_from_slice(&g[numbers]),
                    ReadGradient::Normed(g, y, norm) => {
                        loops::normalize_gradient(norm, &g[numbers.clone()], &y[numbers], row);
                    }
                }
            }
        }
        staged
    }

    /// Adds to the gradient of the weights.
    fn gather(
        &self,
        images: usize,
        staged: &[f32],
        gradient: &[f32],
        of_weights: &mut [f32],
        room: &mut Room,
    ) {
        if let Some(winograd) = &self.winograd {
            return winograd.gather(images, staged, gradient, of_weights, room);
        }
        let [h, w, o] = self.output;
        let pixels = images * h * w;
        kernels::gather(Gather {
            x: staged,
            places: &self.places[..pixels],
            segments: &self.segments,
            length: self.kernel * self.input[2],
            y: gradient,
            targets: &self.gradients[..pixels],
            columns: o,
            add: true,
            out: of_weights,
        });
    }

    /// The gradient with respect to the input of some images.
    fn scatter(
        &self,
        images: usize,
        gradient: &[f32],
        panels: &[Panels],
        add: bool,
        to: &mut [f32],
        room: &mut Room,
    ) {
        let start = if add { Start::Add } else { Start::Zero };
        if let Some(winograd) = &self.winograd {
            return winograd.scatter(gradient, &panels[0], start, to, room);
        }
        let back = self.back.as_ref().expect("the way back was asked for");
        for (class, panels) in back.classes.iter().zip(panels) {
            let pixels = class.places.len() / self.chunk * images;
            if class.segments.is_empty() || class.columns.is_empty() {
                // No output sees these pixels.
                if !add {
                    for &target in &class.targets[..pixels] {
                        to[target..target + self.input[2]].fill(0.0);
                    }
                }
                continue;
            }
            kernels::multiply(Multiply {
                x: gradient,
                places: &class.places[..pixels],
                segments: &class.segments,
                length: class.columns.len() * self.output[2],
                panels,
                sheet: 0,
                start,
                out: to,
                targets: &class.targets[..pixels],
            });
        }
    }

    /// The slots' gradients of the weights added up.
    pub(super) fn add_slots(&self, of_weights: &[f32], to: &mut [f32]) {
        // A part that stays in the cache while all slots are added to it.
        const PART: usize = 1 << 13;
        to.par_chunks_mut(PART).enumerate().for_each(|(i, to)| {
            let numbers = i * PART..i * PART + to.len();
            let mut slots = of_weights.chunks_exact(self.weights()).map(|slot| &slot[numbers.clone()]);
            to.copy_from_slice(slots.next().expect("a batch has a slot"));
            for slot in slots {
                loops::add(to, slot);
            }
        });
    }
}

impl Back {
    fn new(input: [usize; 3], output: [usize; 3], kernel: usize, stride: usize, padding: usize) -> Self {
        // Output index of input pixel stride·t + r under kernel row `row` is t + (r + padding − row)/stride.
        let shift = |r: usize, row: usize| (r + padding) as isize - row as isize;
        let reaching = |r: usize| -> Vec<usize> {
            (0..kernel).rev().filter(|&row| shift(r, row).rem_euclid(stride as isize) == 0).collect()
        };
        let shifts: Vec<isize> = (0..stride)
            .flat_map(|r| reaching(r).into_iter().map(move |row| shift(r, row).div_euclid(stride as isize)))
            .collect();
        let before = shifts.iter().min().map_or(0, |&least| (-least).max(0) as usize);
        let most = shifts.iter().max().map_or(0, |&most| most.max(0) as usize);
        let staged = [0, 1].map(|axis| {
            let last = input[axis].div_ceil(stride) - 1 + most;
            before + (last + 1).max(output[axis])
        });
        let columns_staged = staged[1];
        let mut classes = Vec::new();
        for r_row in 0..stride.min(input[0]) {
            for r_column in 0..stride.min(input[1]) {
                let (rows, columns) = (reaching(r_row), reaching(r_column));
                let first = |r: usize, reaching: &[usize]| {
                    reaching
                        .iter()
                        .map(|&row| shift(r, row).div_euclid(stride as isize) + before as isize)
                        .collect::<Vec<_>>()
                };
                let column = first(r_column, &columns).first().copied().unwrap_or(0);
                let segments = first(r_row, &rows)
                    .into_iter()
                    .map(|row| (row as usize * columns_staged + column as usize) * output[2])
                    .collect();
                // Pixels of one image, for now; with the class's own remainders in `targets`.
                let pixels = |axis: usize, r: usize| (input[axis] - r).div_ceil(stride);
                let (heights, widths) = (pixels(0, r_row), pixels(1, r_column));
                let pairs = || (0..heights).flat_map(move |y| (0..widths).map(move |x| (y, x)));
                let places = pairs().map(|(y, x)| (y * columns_staged + x) * output[2]).collect();
                let targets = pairs()
                    .map(|(y, x)| ((y * stride + r_row) * input[1] + x * stride + r_column) * input[2])
                    .collect();
                classes.push(Class { rows, columns, places, targets, segments });
            }
        }
        Self { before, staged, classes }
    }

    /// The same for the images of a chunk.
    fn of_chunk(mut self, chunk: usize, input: [usize; 3], output: [usize; 3]) -> Self {
        let (staged, size) = (self.staged[0] * self.staged[1] * output[2], product(input));
        for class in &mut self.classes {
            let repeat = |places: &[usize], size: usize| {
                (0..chunk).flat_map(|i| places.iter().map(move |place| i * size + place)).collect::<Vec<_>>()
            };
            class.places = repeat(&class.places, staged);
            class.targets = repeat(&class.targets, size);
        }
        self
    }
}

fn product(shape: [usize; 3]) -> usize {
    shape.iter().product()
}
