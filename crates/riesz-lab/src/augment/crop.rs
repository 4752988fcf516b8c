//! Crops and antialiased resizing: torchvision's `resized_crop(antialias=True)` on float pictures.
//!
//! Resizing is separable. Output pixel i is centered at c = (i + ½) in/out; with r = max(in/out, 1) it is the mean of
//! the pixels x within r · support of c, weighted by filter((x + ½ − c)/r); weights sum to 1. The filter is the triangle
//! (support 1) or the cubic with a = −½ (support 2), whose overshoot is clamped to [0, 1].

use serde::{Deserialize, Serialize};

use super::picture::Picture;
use crate::data::Image;

/// The filter of a resize.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// A triangle.
    Bilinear,
    /// Keys's cubic, a = −½.
    Bicubic,
}

/// A rectangle inside an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Region {
    /// All of an image.
    pub fn whole(image: &Image) -> Self {
        Self { top: 0, left: 0, height: image.height, width: image.width }
    }

    /// The largest region in the middle whose width over height is within `ratio`.
    pub fn central(image: &Image, ratio: [f64; 2]) -> Self {
        let (height, width) = (image.height as f64, image.width as f64);
        let (mut h, mut w) = (image.height, image.width);
        if width / height < ratio[0] {
            h = (width / ratio[0]).round_ties_even() as usize;
        } else if width / height > ratio[1] {
            w = (height * ratio[1]).round_ties_even() as usize;
        }
        let (h, w) = (h.clamp(1, image.height), w.clamp(1, image.width));
        Self { top: (image.height - h) / 2, left: (image.width - w) / 2, height: h, width: w }
    }
}

impl Interpolation {
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::Bicubic => 0.0,
        }
    }
}

/// The region of an image, resized to `height` × `width`.
///
/// # Panics
/// If the region is empty or not inside the image.
pub fn resized_crop(
    image: &Image,
    region: Region,
    height: usize,
    width: usize,
    interpolation: Interpolation,
) -> Picture {
    let Region { top, left, height: rows, width: columns } = region;
    assert!(
        rows > 0 && columns > 0 && top + rows <= image.height && left + columns <= image.width,
        "{region:?} of an image of {} × {}",
        image.height,
        image.width
    );
    let c = image.channels;
    let across = Filter::new(columns, width, interpolation);
    let down = Filter::new(rows, height, interpolation);
    // Bytes to numbers, and the horizontal pass: rows × width.
    let mut line = vec![0.0_f32; columns * c];
    let mut narrow = vec![0.0_f32; rows * width * c];
    for (y, narrow) in narrow.chunks_exact_mut(width * c).enumerate() {
        let from = ((top + y) * image.width + left) * c;
        for (x, &byte) in line.iter_mut().zip(&image.pixels[from..from + columns * c]) {
            *x = f32::from(byte) / 255.0;
        }
        for (pixel, taps) in narrow.chunks_exact_mut(c).zip(&across.taps) {
            for (source, weight) in line[taps.first * c..].chunks_exact(c).zip(&taps.weights) {
                for (pixel, source) in pixel.iter_mut().zip(source) {
                    *pixel += weight * source;
                }
            }
        }
    }
    // The vertical pass: height × width.
    let mut pixels = vec![0.0_f32; height * width * c];
    for (row, taps) in pixels.chunks_exact_mut(width * c).zip(&down.taps) {
        for (source, weight) in narrow[taps.first * width * c..].chunks_exact(width * c).zip(&taps.weights) {
            for (pixel, source) in row.iter_mut().zip(source) {
                *pixel += weight * source;
            }
        }
        if interpolation == Interpolation::Bicubic {
            row.iter_mut().for_each(|pixel| *pixel = pixel.clamp(0.0, 1.0));
        }
    }
    Picture { height, width, channels: c, pixels }
}

/// For each output pixel, the input pixels that it is a mean of.
struct Filter {
    taps: Vec<Taps>,
}

struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl Filter {
    fn new(input: usize, output: usize, interpolation: Interpolation) -> Self {
        let scale = input as f64 / output as f64;
        let stretch = scale.max(1.0);
        let support = interpolation.support() * stretch;
        let taps = (0..output)
            .map(|i| {
                let center = scale * (i as f64 + 0.5);
                let first = (center - support + 0.5).max(0.0) as usize;
                let end = ((center + support + 0.5) as usize).min(input);
                let weights: Vec<f64> =
                    (first..end).map(|x| interpolation.weight((x as f64 - center + 0.5) / stretch)).collect();
                let total: f64 = weights.iter().sum();
                Taps { first, weights: weights.iter().map(|weight| (weight / total) as f32).collect() }
            })
            .collect();
        Self { taps }
    }
}
