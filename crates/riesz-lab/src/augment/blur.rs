//! Gaussian blur: torchvision's `gaussian_blur` on float pictures: a separable kernel of odd side, sampled at whole
//! pixels and scaled to sum 1; the border is mirrored without repeating its pixels.

use super::picture::Picture;

/// The picture, blurred.
///
/// # Panics
/// If `kernel` is even, or more than the picture can mirror.
pub fn gaussian(picture: &Picture, kernel: usize, sigma: f64) -> Picture {
    let Picture { height, width, channels: c, .. } = *picture;
    let half = kernel / 2;
    assert!(kernel % 2 == 1 && half < height && half < width, "kernel {kernel} on {height} × {width}");
    let weights = weights(kernel, sigma);
    let mut across = vec![0.0_f32; picture.pixels.len()];
    let rows = across.chunks_exact_mut(width * c).zip(picture.pixels.chunks_exact(width * c));
    for (out, row) in rows {
        for x in 0..width {
            for (tap, weight) in weights.iter().enumerate() {
                let from = mirrored(x + tap, half, width) * c;
                for channel in 0..c {
                    out[x * c + channel] += weight * row[from + channel];
                }
            }
        }
    }
    let mut pixels = vec![0.0_f32; picture.pixels.len()];
    for (y, out) in pixels.chunks_exact_mut(width * c).enumerate() {
        for (tap, weight) in weights.iter().enumerate() {
            let from = mirrored(y + tap, half, height) * width * c;
            for (out, x) in out.iter_mut().zip(&across[from..]) {
                *out += weight * x;
            }
        }
    }
    Picture { height, width, channels: c, pixels }
}

fn weights(kernel: usize, sigma: f64) -> Vec<f32> {
    let half = (kernel / 2) as f64;
    let weights: Vec<f64> = (0..kernel).map(|i| (-0.5 * ((i as f64 - half) / sigma).powi(2)).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / total) as f32).collect()
}

/// Position `at − half` of a line of `length`, mirrored at both ends.
fn mirrored(at: usize, half: usize, length: usize) -> usize {
    let at = at.abs_diff(half);
    if at < length { at } else { 2 * (length - 1) - at }
}
