//! The inner loops of convolutions and linear layers: products of rows that lie anywhere in a slice with packed weights.
//!
//! A convolution of rows of an image with channels last needs no copy of patches: the k × c numbers under one row of a kernel are
//! next to each other. So one output is Σ over segments (kernel rows) of a dot product of `length` numbers, and a block of
//! outputs is a product that reads its left side where it lies.
//!
//! Letters: P places (output pixels, or channels in a weight's gradient) and Q vectors of outputs are in registers at once.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// `body` for each number below a constant of up to 16: a loop of that many rounds the compiler would not always unroll, and sums
/// in registers need it.
macro_rules! unrolled {
    ($i:ident < $end:ident, $body:expr) => {
        unrolled!(@ $i, $end, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (@ $i:ident, $end:ident, $body:expr, $($number:literal)*) => {
        {
            $(if $number < $end {
                let $i = $number;
                $body;
            })*
        }
    };
}

/// How outputs begin.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    Zero,
    /// What is there.
    Add,
    /// One number a column.
    Bias(&'a [f32]),
}

/// Weights for [`multiply`], some sheets of them: blocks of columns, each block `depth` rows of a few vectors for every sheet.
#[derive(Clone, Debug, Default)]
pub(super) struct Panels {
    numbers: Vec<f32>,
    sheets: usize,
    depth: usize,
    columns: usize,
}

/// Columns of a block: two vectors.
fn block_width() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    2 * Arch::new().dispatch(Lanes)
}

impl Panels {
    /// Packs `sheets` times `depth × columns` weights, a block of columns after another: `pack(first, wide, to)` writes `depth` rows
    /// of `wide` columns from column `first` on for each sheet. What is beyond the last column `pack` leaves or writes as it likes.
    pub(super) fn fill(
        &mut self,
        sheets: usize,
        depth: usize,
        columns: usize,
        pack: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) {
        let width = block_width();
        let lanes = width / 2;
        *self = Self { numbers: std::mem::take(&mut self.numbers), sheets, depth, columns };
        let count = sheets * depth * columns.next_multiple_of(lanes);
        self.numbers.resize(count.max(self.numbers.len()), 0.0);
        let block = (sheets * depth * width).max(1);
        self.numbers[..count].par_chunks_mut(block).enumerate().for_each(|(i, to)| {
            pack(i * width, to.len() / (sheets * depth), to);
        });
    }
}

/// out[targets[i] + j] = start + Σ_segments Σ_l x[places[i] + segment + l] · weight[(segment, l), j].
pub(super) struct Multiply<'a> {
    pub(super) x: &'a [f32],
    pub(super) places: &'a [usize],
    pub(super) segments: &'a [usize],
    pub(super) length: usize,
    pub(super) panels: &'a Panels,
    pub(super) sheet: usize,
    pub(super) start: Start<'a>,
    pub(super) out: &'a mut [f32],
    pub(super) targets: &'a [usize],
}

/// Rows of a panel that are used at once, so that they stay in the first-level cache.
const DEPTH: usize = 256;

pub(super) fn multiply(job: Multiply<'_>) {
    assert_eq!(job.places.len(), job.targets.len(), "each place has a target");
    assert_eq!(job.panels.depth, job.segments.len() * job.length, "weights are for these segments");
    Arch::new().dispatch(job);
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Multiply { x, places, segments, length, panels, sheet, start, out, targets } = self;
        let lanes = S::F32_LANES;
        let width = 2 * lanes;
        let depth = panels.depth;
        let mut base = 0;
        for first in (0..panels.columns).step_by(width) {
            let wide = (panels.columns - first).next_multiple_of(lanes).min(width);
            let block = &panels.numbers[base..base + panels.sheets * depth * wide];
            base += block.len();
            let block = &block[sheet * depth * wide..(sheet + 1) * depth * wide];
            // Parts of the depth: of whole segments if these are short, of pieces if they are long.
            let mut from = 0;
            while from < depth {
                let (segment, offset) = (from / length, from % length);
                let (count, len) = if length >= DEPTH {
                    let pieces = length.div_ceil(DEPTH);
                    (1, length.div_ceil(pieces).min(length - offset))
                } else {
                    ((DEPTH / length).min(segments.len() - segment), length)
                };
                let part = Part {
                    x,
                    segments: &segments[segment..segment + count],
                    offset,
                    len,
                    panel: &block[from * wide..(from + count * len) * wide],
                    start: if from == 0 { start } else { Start::Add },
                    first,
                    columns: panels.columns,
                };
                from += count * len;
                let out = &mut *out;
                match (S::REGISTER_COUNT >= 32, wide == width) {
                    (true, true) => part.run::<S, 8, 2>(simd, places, targets, out),
                    (true, false) => part.run::<S, 8, 1>(simd, places, targets, out),
                    (false, true) => part.run::<S, 6, 2>(simd, places, targets, out),
                    (false, false) => part.run::<S, 8, 1>(simd, places, targets, out),
                }
            }
        }
    }
}

/// A block of columns, and a part of the depth.
#[derive(Clone, Copy)]
struct Part<'a> {
    x: &'a [f32],
    segments: &'a [usize],
    offset: usize,
    len: usize,
    panel: &'a [f32],
    start: Start<'a>,
    first: usize,
    columns: usize,
}

impl Part<'_> {
    #[inline(always)]
    fn run<S: Simd, const P: usize, const Q: usize>(
        self,
        simd: S,
        places: &[usize],
        targets: &[usize],
        out: &mut [f32],
    ) {
        let (whole, rest) = places.as_chunks::<P>();
        let (whole_targets, rest_targets) = targets.as_chunks::<P>();
        for (places, targets) in whole.iter().zip(whole_targets) {
            self.tile::<S, P, Q>(simd, places, targets, out);
        }
        let (fours, ones) = rest.as_chunks::<4>();
        let (four_targets, one_targets) = rest_targets.as_chunks::<4>();
        for (places, targets) in fours.iter().zip(four_targets) {
            self.tile::<S, 4, Q>(simd, places, targets, out);
        }
        for (&place, &target) in ones.iter().zip(one_targets) {
            self.tile::<S, 1, Q>(simd, &[place], &[target], out);
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const P: usize, const Q: usize>(
        self,
        simd: S,
        places: &[usize; P],
        targets: &[usize; P],
        out: &mut [f32],
    ) {
        let lanes = S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); Q]; P];
        match self.start {
            Start::Zero => {}
            Start::Bias(bias) => {
                unrolled!(q < Q, {
                    let from = self.first + q * lanes;
                    let vector = simd.partial_load_f32s(&bias[from..self.columns.min(from + lanes)]);
                    unrolled!(p < P, sums[p][q] = vector);
                });
            }
            Start::Add => {
                unrolled!(
                    p < P,
                    unrolled!(q < Q, {
                        let from = self.first + q * lanes;
                        let to = self.columns.min(from + lanes);
                        sums[p][q] = load(simd, &out[targets[p] + from..targets[p] + to]);
                    })
                );
            }
        }
        let (panel, _) = S::as_simd_f32s(self.panel);
        let mut panel = panel;
        for &segment in self.segments {
            let rows: [&[f32]; P] =
                std::array::from_fn(|p| &self.x[places[p] + segment + self.offset..][..self.len]);
            let (now, later) = panel.split_at(self.len * Q);
            panel = later;
            let (now, _) = now.as_chunks::<Q>();
            for k in 0..self.len {
                let weights = now[k];
                unrolled!(p < P, {
                    let x = simd.splat_f32s(rows[p][k]);
                    unrolled!(q < Q, sums[p][q] = simd.mul_add_e_f32s(x, weights[q], sums[p][q]));
                });
            }
        }
        unrolled!(
            p < P,
            unrolled!(q < Q, {
                let from = self.first + q * lanes;
                let to = self.columns.min(from + lanes);
                store(simd, &mut out[targets[p] + from..targets[p] + to], sums[p][q]);
            })
        );
    }
}

#[inline(always)]
fn load<S: Simd>(simd: S, from: &[f32]) -> S::f32s {
    match S::as_simd_f32s(from) {
        ([vector], []) => *vector,
        _ => simd.partial_load_f32s(from),
    }
}

#[inline(always)]
fn store<S: Simd>(simd: S, to: &mut [f32], vector: S::f32s) {
    match S::as_mut_simd_f32s(to) {
        ([place], []) => *place = vector,
        (_, _) => simd.partial_store_f32s(to, vector),
    }
}

/// out[(segment, l), j] = Σ_i x[places[i] + segment + l] · y[targets[i] + j], or added: the gradient of the weights of [`multiply`].
pub(super) struct Gather<'a> {
    pub(super) x: &'a [f32],
    pub(super) places: &'a [usize],
    pub(super) segments: &'a [usize],
    pub(super) length: usize,
    pub(super) y: &'a [f32],
    pub(super) targets: &'a [usize],
    pub(super) columns: usize,
    /// Whether it is added to what is there.
    pub(super) add: bool,
    /// Rows (segment, l) × columns.
    pub(super) out: &'a mut [f32],
}

pub(super) fn gather(job: Gather<'_>) {
    assert_eq!(job.places.len(), job.targets.len(), "each place has a target");
    assert_eq!(
        job.out.len(),
        job.segments.len() * job.length * job.columns,
        "a gradient as large as the weights"
    );
    Arch::new().dispatch(job);
}

impl WithSimd for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let lanes = S::F32_LANES;
        let width = 2 * lanes;
        for first in (0..self.columns).step_by(width) {
            let wide = (self.columns - first).next_multiple_of(lanes).min(width);
            for s in 0..self.segments.len() {
                let mut l = 0;
                while l < self.length {
                    let left = self.length - l;
                    if S::REGISTER_COUNT >= 32 {
                        if wide == width {
                            l += match left {
                                12.. => self.tile::<S, 12, 2>(simd, s, l, first),
                                8.. => self.tile::<S, 8, 2>(simd, s, l, first),
                                4.. => self.tile::<S, 4, 2>(simd, s, l, first),
                                3.. => self.tile::<S, 3, 2>(simd, s, l, first),
                                _ => self.tile::<S, 1, 2>(simd, s, l, first),
                            };
                        } else {
                            l += match left {
                                16.. => self.tile::<S, 16, 1>(simd, s, l, first),
                                8.. => self.tile::<S, 8, 1>(simd, s, l, first),
                                4.. => self.tile::<S, 4, 1>(simd, s, l, first),
                                3.. => self.tile::<S, 3, 1>(simd, s, l, first),
                                _ => self.tile::<S, 1, 1>(simd, s, l, first),
                            };
                        }
                    } else if wide == width {
                        l += match left {
                            6.. => self.tile::<S, 6, 2>(simd, s, l, first),
                            4.. => self.tile::<S, 4, 2>(simd, s, l, first),
                            3.. => self.tile::<S, 3, 2>(simd, s, l, first),
                            _ => self.tile::<S, 1, 2>(simd, s, l, first),
                        };
                    } else {
                        l += match left {
                            12.. => self.tile::<S, 12, 1>(simd, s, l, first),
                            4.. => self.tile::<S, 4, 1>(simd, s, l, first),
                            3.. => self.tile::<S, 3, 1>(simd, s, l, first),
                            _ => self.tile::<S, 1, 1>(simd, s, l, first),
                        };
                    }
                }
            }
        }
    }
}

impl Gather<'_> {
    #[inline(always)]
    fn tile<S: Simd, const P: usize, const Q: usize>(
        &mut self,
        simd: S,
        s: usize,
        l: usize,
        first: usize,
    ) -> usize {
        let lanes = S::F32_LANES;
        let columns = self.columns;
        let row = s * self.length + l;
        let offset = self.segments[s] + l;
        let mut sums = [[simd.splat_f32s(0.0); Q]; P];
        let whole = first + Q * lanes <= columns;
        if whole {
            for (&place, &target) in self.places.iter().zip(self.targets) {
                let x: &[f32; P] = self.x[place + offset..][..P].try_into().expect("P numbers");
                let (y, _) = S::as_simd_f32s(&self.y[target + first..][..Q * lanes]);
                let y: &[S::f32s; Q] = y.try_into().expect("Q vectors");
                unrolled!(p < P, {
                    let x = simd.splat_f32s(x[p]);
                    unrolled!(q < Q, sums[p][q] = simd.mul_add_e_f32s(x, y[q], sums[p][q]));
                });
            }
        } else {
            for (&place, &target) in self.places.iter().zip(self.targets) {
                let x: &[f32; P] = self.x[place + offset..][..P].try_into().expect("P numbers");
                let y = &self.y[target..target + columns];
                let y: [S::f32s; Q] = std::array::from_fn(|q| {
                    simd.partial_load_f32s(
                        &y[(first + q * lanes).min(columns)..columns.min(first + (q + 1) * lanes)],
                    )
                });
                unrolled!(p < P, {
                    let x = simd.splat_f32s(x[p]);
                    unrolled!(q < Q, sums[p][q] = simd.mul_add_e_f32s(x, y[q], sums[p][q]));
                });
            }
        }
        unrolled!(
            p < P,
            unrolled!(q < Q, {
                let from = first + q * lanes;
                if from < columns {
                    let to = columns.min(from + lanes);
                    let place = &mut self.out[(row + p) * columns + from..(row + p) * columns + to];
                    let sum =
                        if self.add { simd.add_f32s(load(simd, place), sums[p][q]) } else { sums[p][q] };
                    store(simd, place, sum);
                }
            })
        );
        P
    }
}
