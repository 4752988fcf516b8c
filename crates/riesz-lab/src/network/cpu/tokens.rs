//! What transformers have besides linear maps and attention: tokens and places, normalization of a token, x Φ(x).
//!
//! n images of t tokens of c channels. The gradients of parameters are summed over [`PARTS`] parts of the batch, and these added in
//! their order.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use riesz::elementary::{Real, widest};

use super::loops::enough;
use crate::network::LAYER_EPSILON as EPSILON;

/// Into how many parts a batch is cut for sums over it.
const PARTS: usize = 16;

/// `class` before the t − 1 tokens of each image, and `places` `[t, c]` added.
pub(super) fn embed(x: &[f32], class: &[f32], places: &[f32], out: &mut [f32]) {
    let (c, size) = (class.len(), places.len());
    out.par_chunks_mut(size).zip(x.par_chunks(size - c)).for_each(|(out, x)| {
        out.copy_from_slice(places);
        let (first, rest) = out.split_at_mut(c);
        super::loops::add(first, class);
        super::loops::add(rest, x);
    });
}

/// The gradient of [`embed`] with respect to the class token and the places.
pub(super) fn embed_back(g: &[f32], class: &mut [f32], places: &mut [f32]) {
    let (c, size) = (class.len(), places.len());
    // A place's numbers are summed over images in their order.
    places.par_chunks_mut(c).enumerate().for_each(|(token, places)| {
        places.fill(0.0);
        for g in g.chunks_exact(size) {
            super::loops::add(places, &g[token * c..(token + 1) * c]);
        }
    });
    class.copy_from_slice(&places[..c]);
}

/// All tokens but the first of each image of `size` numbers.
pub(super) fn without_first(x: &[f32], size: usize, c: usize, out: &mut [f32]) {
    out.par_chunks_mut(size - c).zip(x.par_chunks(size)).for_each(|(out, x)| out.copy_from_slice(&x[c..]));
}

/// The first token of each image of `size` numbers.
pub(super) fn first(x: &[f32], size: usize, c: usize, out: &mut [f32]) {
    for (out, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(size)) {
        out.copy_from_slice(&x[..c]);
    }
}

/// The gradient of [`first`], written.
pub(super) fn first_back(g: &[f32], size: usize, c: usize, to: &mut [f32]) {
    to.par_chunks_mut(size).zip(g.par_chunks(c)).for_each(|(to, g)| {
        to.fill(0.0);
        to[..c].copy_from_slice(g);
    });
}

/// Mean and 1/deviation of a token.
fn moments(x: &[f32]) -> (f32, f32) {
    let count = x.len() as f32;
    let mean = lanes(x, |x| x) / count;
    let variance = lanes(x, |x| (x - mean) * (x - mean)) / count;
    (mean, 1.0 / (variance + EPSILON).sqrt())
}

/// Σ f(x) in 16 lanes.
#[inline(always)]
fn lanes(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; 16];
    for x in x.chunks(16) {
        for (lane, &x) in lanes.iter_mut().zip(x) {
            *lane += f(x);
        }
    }
    lanes.iter().sum()
}

/// (x − mean)/deviation γ + β of each token.
pub(super) fn normalize(x: &[f32], gamma: &[f32], beta: &[f32], out: &mut [f32]) {
    let c = gamma.len();
    let rows = part(x.len() / c) * c;
    out.par_chunks_mut(rows).zip(x.par_chunks(rows)).for_each(|(out, x)| {
        pulp::Arch::new().dispatch(|| {
            for (out, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                let (mean, inverse) = moments(x);
                for (((out, &x), &gamma), &beta) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
                    *out = (x - mean) * inverse * gamma + beta;
                }
            }
        });
    });
}

/// The gradient of [`normalize`]: of x written to `to`; of γ and β, with room for the parts' sums.
pub(super) fn normalize_back(
    g: &[f32],
    x: &[f32],
    gamma: &[f32],
    to: &mut [f32],
    of_gamma: &mut [f32],
    of_beta: &mut [f32],
    room: &mut Vec<f32>,
) {
    let c = gamma.len();
    let rows = part(x.len() / c) * c;
    let sums = enough(room, x.len().div_ceil(rows) * 2 * c);
    sums.fill(0.0);
    (to.par_chunks_mut(rows).zip(sums.par_chunks_mut(2 * c)))
        .zip(g.par_chunks(rows).zip(x.par_chunks(rows)))
        .for_each(|((to, sums), (g, x))| {
            let (of_gamma, of_beta) = sums.split_at_mut(c);
            pulp::Arch::new().dispatch(|| {
                for ((to, g), x) in to.chunks_exact_mut(c).zip(g.chunks_exact(c)).zip(x.chunks_exact(c)) {
                    let (mean, inverse) = moments(x);
                    let mut plain = [0.0_f32; 16];
                    let mut centered = [0.0_f32; 16];
                    for ((g, x), gamma) in g.chunks(16).zip(x.chunks(16)).zip(gamma.chunks(16)) {
                        let sums = plain.iter_mut().zip(&mut centered);
                        for ((((plain, centered), &g), &x), &gamma) in sums.zip(g).zip(x).zip(gamma) {
                            *plain += g * gamma;
                            *centered += g * gamma * (x - mean) * inverse;
                        }
                    }
                    let plain = plain.iter().sum::<f32>() / c as f32;
                    let centered = centered.iter().sum::<f32>() / c as f32;
                    let sums = of_gamma.iter_mut().zip(&mut *of_beta);
                    let numbers = to.iter_mut().zip(g).zip(x).zip(gamma).zip(sums);
                    for ((((to, &g), &x), &gamma), (of_gamma, of_beta)) in numbers {
                        let normal = (x - mean) * inverse;
                        *to = inverse * (g * gamma - plain - normal * centered);
                        *of_gamma += g * normal;
                        *of_beta += g;
                    }
                }
            });
        });
    of_gamma.fill(0.0);
    of_beta.fill(0.0);
    for sums in sums.chunks_exact(2 * c) {
        super::loops::add(of_gamma, &sums[..c]);
        super::loops::add(of_beta, &sums[c..]);
    }
}

/// Rows of a part.
fn part(rows: usize) -> usize {
    rows.div_ceil(PARTS).max(1)
}

/// Φ(x) to 1.5·10⁻⁷ (Hastings 1955, 7.1.26 in Abramowitz & Stegun), and the density φ(x).
#[inline(always)]
fn normal_law<S: Simd>(x: f32) -> (f32, f32) {
    let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let polynomial =
        t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    let power = Real::exp::<S>(-0.5 * x * x);
    let tail = 0.5 * polynomial * power;
    let below = if x < 0.0 { tail } else { 1.0 - tail };
    (below, 0.398_942_3 * power)
}

/// x Φ(x), dealt to all threads.
pub(super) fn gelu(x: &[f32], out: &mut [f32]) {
    let rows = part(x.len());
    out.par_chunks_mut(rows).zip(x.par_chunks(rows)).for_each(|(out, x)| gelu_part(x, out));
}

/// x Φ(x).
pub(super) fn gelu_part(x: &[f32], out: &mut [f32]) {
    struct Gelu<'a>(&'a [f32], &'a mut [f32]);
    impl WithSimd for Gelu<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            for (out, &x) in self.1.iter_mut().zip(self.0) {
                *out = x * normal_law::<S>(x).0;
            }
        }
    }
    widest(Gelu(x, out));
}

/// The gradient of [`gelu`], written.
pub(super) fn gelu_back(g: &[f32], x: &[f32], to: &mut [f32]) {
    struct Back<'a>(&'a [f32], &'a [f32], &'a mut [f32]);
    impl WithSimd for Back<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            for ((to, &g), &x) in self.2.iter_mut().zip(self.0).zip(self.1) {
                let (below, density) = normal_law::<S>(x);
                *to = g * (below + x * density);
            }
        }
    }
    let rows = part(x.len());
    to.par_chunks_mut(rows)
        .zip(g.par_chunks(rows).zip(x.par_chunks(rows)))
        .for_each(|(to, (g, x))| widest(Back(g, x, to)));
}

/// x + y.
pub(super) fn sum(x: &[f32], y: &[f32], out: &mut [f32]) {
    let rows = part(x.len());
    out.par_chunks_mut(rows).zip(x.par_chunks(rows).zip(y.par_chunks(rows))).for_each(|(out, (x, y))| {
        out.copy_from_slice(x);
        super::loops::add(out, y);
    });
}
