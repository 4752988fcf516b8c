//! Gaussian blur: torchvision's `gaussian_blur` on float pictures: a separable kernel of odd side, sampled at whole
//! pixels and scaled to sum 1; the border is mirrored without repeating its pixels.

use pulp::{Arch, Simd, WithSimd};

use super::picture::Picture;

/// The picture, blurred.
///
/// # Panics
/// If `kernel` is even, or more than the picture can mirror.
pub fn gaussian(picture: &Picture, kernel: usize, sigma: f64) -> Picture {
    let Picture { height, width, channels, .. } = *picture;
    let half = kernel / 2;
    assert!(kernel % 2 == 1 && half < height && half < width, "kernel {kernel} on {height} × {width}");
    let weights = weights(kernel, sigma);
    let mut across = vec![0.0_f32; picture.pixels.len()];
    let mut pixels = vec![0.0_f32; picture.pixels.len()];
    Arch::new().dispatch(Blur { picture, weights: &weights, across: &mut across, pixels: &mut pixels });
    Picture { height, width, channels, pixels }
}

struct Blur<'a> {
    picture: &'a Picture,
    weights: &'a [f32],
    across: &'a mut [f32],
    pixels: &'a mut [f32],
}

impl WithSimd for Blur<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { picture: &Picture { height, width, pixels: ref from, .. }, weights, across, pixels } =
            self;
        let half = weights.len() / 2;
        let mut line = vec![0.0_f32; width + 2 * half];
        for (out, row) in across.chunks_exact_mut(width).zip(from.chunks_exact(width)) {
            for (x, line) in line.iter_mut().enumerate() {
                *line = row[mirrored(x, half, width)];
            }
            for (tap, &weight) in weights.iter().enumerate() {
                add(weight, &line[tap..], out);
            }
        }
        let plane = height * width;
        for (pixels, across) in pixels.chunks_exact_mut(plane).zip(across.chunks_exact(plane)) {
            for (y, out) in pixels.chunks_exact_mut(width).enumerate() {
                for (tap, &weight) in weights.iter().enumerate() {
                    add(weight, &across[mirrored(y + tap, half, height) * width..], out);
                }
            }
        }
    }
}

/// out ← out + weight · x, as far as `out` goes.
#[inline(always)]
pub(super) fn add(weight: f32, x: &[f32], out: &mut [f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += weight * x;
    }
}

fn weights(kernel: usize, sigma: f64) -> Vec<f32> {
    let half = (kernel / 2) as f64;
    let weights: Vec<f64> = (0..kernel).map(|i| (-0.5 * ((i as f64 - half) / sigma).powi(2)).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / total) as f32).collect()
}

/// Position `at − half` of a line of `length`, mirrored at both ends.
#[inline(always)]
fn mirrored(at: usize, half: usize, length: usize) -> usize {
    let at = at.abs_diff(half);
    if at < length { at } else { 2 * (length - 1) - at }
}
