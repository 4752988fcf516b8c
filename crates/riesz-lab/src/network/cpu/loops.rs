//! Passes over numbers with channels last, compiled for several instruction sets: normalization, its moments, its gradient.
//!
//! c channels. A channel's coefficients are repeated until they fill some vectors ([`Wide`]), so that a pass over many pixels
//! of few channels has one inner loop; sums run in as many lanes, of up to [`BLOCK`] numbers each in `f32`, and end in `f64`.

use pulp::Arch;
use rayon::prelude::*;

/// Coefficients are repeated up to this width.
const WIDTH: usize = 64;
/// Numbers of a lane that are summed in `f32`.
const BLOCK: usize = 256;

/// The first `count` numbers of `room`, which grows if it has fewer; what is in them is nobody's.
pub(super) fn enough(room: &mut Vec<f32>, count: usize) -> &mut [f32] {
    if room.len() < count {
        room.resize(count, 0.0);
    }
    &mut room[..count]
}

/// One number for each channel, repeated.
#[derive(Clone, Debug, Default)]
pub(super) struct Wide {
    numbers: Vec<f32>,
}

/// How many numbers those of `c` channels become.
fn width(c: usize) -> usize {
    c * (WIDTH / c).max(1)
}

impl Wide {
    /// Takes the numbers of another.
    pub(super) fn copy(&mut self, other: &Self) {
        self.numbers.clone_from(&other.numbers);
    }

    /// Takes one number for each of `c` channels.
    pub(super) fn set(&mut self, c: usize, number: impl Fn(usize) -> f32) {
        self.numbers.clear();
        self.numbers.extend((0..width(c)).map(|i| number(i % c)));
    }
}

/// (x − mean) scale + shift of each channel, then max(0, ·) if `relu`.
#[derive(Clone, Debug, Default)]
pub(super) struct Norm {
    pub(super) mean: Wide,
    pub(super) scale: Wide,
    pub(super) shift: Wide,
    pub(super) relu: bool,
}

/// The gradient with respect to what was normalized, of that with respect to the outcome: g A + (x − mean) B + C.
#[derive(Clone, Debug, Default)]
pub(super) struct NormGradient {
    pub(super) mean: Wide,
    pub(super) of_gradient: Wide,
    pub(super) of_value: Wide,
    pub(super) constant: Wide,
}

/// to = norm(x).
pub(super) fn normalize(norm: &Norm, x: &[f32], to: &mut [f32]) {
    normalize_with(norm, x, to, |normal, _| normal);
}

/// to = norm(x) + to, then max(0, ·) if the norm says so.
pub(super) fn normalize_add_to(norm: &Norm, x: &[f32], to: &mut [f32]) {
    normalize_with(norm, x, to, |normal, to| normal + to);
}

/// to = join(norm(x) without its max, to), then max(0, ·) if the norm says so.
#[inline(always)]
fn normalize_with(norm: &Norm, x: &[f32], to: &mut [f32], join: impl Fn(f32, f32) -> f32) {
    let Norm { mean, scale, shift, relu } = norm;
    let (mean, scale, shift) = (&mean.numbers[..], &scale.numbers[..], &shift.numbers[..]);
    let width = mean.len();
    let least = if *relu { 0.0 } else { f32::NEG_INFINITY };
    Arch::new().dispatch(|| {
        for (to, x) in to.chunks_mut(width).zip(x.chunks(width)) {
            for ((((to, &x), &mean), &scale), &shift) in to.iter_mut().zip(x).zip(mean).zip(scale).zip(shift)
            {
                *to = join((x - mean) * scale + shift, *to).max(least);
            }
        }
    });
}

/// to = norm(x) + residual, then max(0, ·) if the norm says so.
pub(super) fn normalize_add(norm: &Norm, x: &[f32], residual: &[f32], to: &mut [f32]) {
    let Norm { mean, scale, shift, relu } = norm;
    let (mean, scale, shift) = (&mean.numbers[..], &scale.numbers[..], &shift.numbers[..]);
    let width = mean.len();
    let least = if *relu { 0.0 } else { f32::NEG_INFINITY };
    Arch::new().dispatch(|| {
        for ((to, x), residual) in to.chunks_mut(width).zip(x.chunks(width)).zip(residual.chunks(width)) {
            let numbers = to.iter_mut().zip(x).zip(residual).zip(mean).zip(scale).zip(shift);
            for (((((to, &x), &residual), &mean), &scale), &shift) in numbers {
                *to = ((x - mean) * scale + shift + residual).max(least);
            }
        }
    });
}

/// to = g A + (x − mean) B + C.
pub(super) fn normalize_gradient(norm: &NormGradient, g: &[f32], x: &[f32], to: &mut [f32]) {
    let NormGradient { mean, of_gradient, of_value, constant } = norm;
    let (mean, a) = (&mean.numbers[..], &of_gradient.numbers[..]);
    let (b, c) = (&of_value.numbers[..], &constant.numbers[..]);
    let width = mean.len();
    Arch::new().dispatch(|| {
        for ((to, g), x) in to.chunks_mut(width).zip(g.chunks(width)).zip(x.chunks(width)) {
            let numbers = to.iter_mut().zip(g).zip(x).zip(mean).zip(a).zip(b).zip(c);
            for ((((((to, &g), &x), &mean), &a), &b), &c) in numbers {
                *to = g * a + (x - mean) * b + c;
            }
        }
    });
}

/// Number, mean and Σ (x − mean)² of each channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Moments {
    pub(super) count: f64,
    pub(super) mean: Vec<f64>,
    pub(super) squares: Vec<f64>,
}

impl Moments {
    /// Of some pixels of `c` channels, with room for lanes and means.
    pub(super) fn set(&mut self, x: &[f32], c: usize, room: &mut Vec<f32>, means: &mut Wide) {
        self.count = (x.len() / c) as f64;
        for sums in [&mut self.mean, &mut self.squares] {
            sums.clear();
            sums.resize(c, 0.0);
        }
        sum(x, c, room, &mut self.mean);
        for mean in &mut self.mean {
            *mean /= self.count;
        }
        let width = width(c);
        means.set(c, |i| self.mean[i] as f32);
        let means = &means.numbers[..];
        lanes(x, c, room, &mut self.squares, |block, sums| {
            Arch::new().dispatch(|| {
                for x in block.chunks(width) {
                    for ((sum, &x), &mean) in sums.iter_mut().zip(x).zip(means) {
                        *sum += (x - mean) * (x - mean);
                    }
                }
            });
        });
    }

    /// Of these and those together (Chan et al. 1983).
    pub(super) fn add(&mut self, other: &Self) {
        if self.count == 0.0 {
            self.count = other.count;
            self.mean.clone_from(&other.mean);
            self.squares.clone_from(&other.squares);
            return;
        }
        let count = self.count + other.count;
        for i in 0..self.mean.len() {
            let apart = other.mean[i] - self.mean[i];
            self.mean[i] += apart * (other.count / count);
            self.squares[i] += other.squares[i] + apart * apart * (self.count * other.count / count);
        }
        self.count = count;
    }
}

/// Adds each channel's sum to `sums`.
pub(super) fn sum(x: &[f32], c: usize, room: &mut Vec<f32>, sums: &mut [f64]) {
    let width = width(c);
    lanes(x, c, room, sums, |block, sums| {
        Arch::new().dispatch(|| {
            for x in block.chunks(width) {
                for (sum, &x) in sums.iter_mut().zip(x) {
                    *sum += x;
                }
            }
        });
    });
}

/// Runs `add` over blocks of `x`, with fresh lanes each, and adds the lanes of a channel to `sums`.
fn lanes(
    x: &[f32],
    c: usize,
    room: &mut Vec<f32>,
    sums: &mut [f64],
    mut add: impl FnMut(&[f32], &mut [f32]),
) {
    let width = width(c);
    let lanes = enough(room, width);
    for block in x.chunks(width * BLOCK) {
        lanes.fill(0.0);
        add(block, lanes);
        for (i, &lane) in lanes.iter().enumerate() {
            sums[i % c] += f64::from(lane);
        }
    }
}

/// What cut the outcome of a normalization off at 0.
#[derive(Clone, Copy)]
pub(super) enum Cut<'a> {
    /// Nothing.
    Nowhere,
    /// The max, which left 0 in this outcome.
    Output(&'a [f32]),
    /// The norm's own max; its outcome was not kept.
    Norm(&'a Norm),
}

/// Zeros `g` where the outcome was cut off, and adds each channel's Σ g and Σ g (x − mean) to `sums` (all of the former, then the
/// latter).
pub(super) fn cut_and_sum(
    g: &mut [f32],
    x: &[f32],
    mean: &Wide,
    cut: Cut<'_>,
    room: &mut Vec<f32>,
    sums: &mut [f64],
) {
    let (c, mean) = (sums.len() / 2, &mean.numbers[..]);
    let width = mean.len();
    let lanes = enough(room, 2 * width);
    for start in (0..g.len()).step_by(width * BLOCK) {
        let end = g.len().min(start + width * BLOCK);
        let (g, x) = (&mut g[start..end], &x[start..end]);
        lanes.fill(0.0);
        let (plain, centered) = lanes.split_at_mut(width);
        Arch::new().dispatch(|| match cut {
            Cut::Nowhere => {
                for (g, x) in g.chunks(width).zip(x.chunks(width)) {
                    let sums = plain.iter_mut().zip(&mut *centered);
                    for ((((plain, centered), &g), &x), &mean) in sums.zip(g).zip(x).zip(mean) {
                        *plain += g;
                        *centered += g * (x - mean);
                    }
                }
            }
            Cut::Output(y) => {
                let y = &y[start..end];
                for ((g, x), y) in g.chunks_mut(width).zip(x.chunks(width)).zip(y.chunks(width)) {
                    let sums = plain.iter_mut().zip(&mut *centered);
                    for (((((plain, centered), g), &x), &y), &mean) in sums.zip(g).zip(x).zip(y).zip(mean) {
                        *g = if y > 0.0 { *g } else { 0.0 };
                        *plain += *g;
                        *centered += *g * (x - mean);
                    }
                }
            }
            Cut::Norm(norm) => {
                let (scale, shift) = (&norm.scale.numbers[..], &norm.shift.numbers[..]);
                for (g, x) in g.chunks_mut(width).zip(x.chunks(width)) {
                    let sums = plain.iter_mut().zip(&mut *centered).zip(scale).zip(shift);
                    let numbers = sums.zip(g).zip(x).zip(mean);
                    for ((((((plain, centered), &scale), &shift), g), &x), &mean) in numbers {
                        *g = if (x - mean) * scale + shift > 0.0 { *g } else { 0.0 };
                        *plain += *g;
                        *centered += *g * (x - mean);
                    }
                }
            }
        });
        for (i, &lane) in lanes.iter().enumerate() {
            sums[i / width * c + i % width % c] += f64::from(lane);
        }
    }
}

/// sum += x.
pub(super) fn add(sum: &mut [f32], x: &[f32]) {
    Arch::new().dispatch(|| {
        for (sum, &x) in sum.iter_mut().zip(x) {
            *sum += x;
        }
    });
}

/// The same, dealt to all threads.
pub(super) fn add_all(sum: &mut [f32], x: &[f32]) {
    const PART: usize = 1 << 14;
    sum.par_chunks_mut(PART).zip(x.par_chunks(PART)).for_each(|(sum, x)| add(sum, x));
}
