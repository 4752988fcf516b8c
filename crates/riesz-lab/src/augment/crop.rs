//! Crops and antialiased resizing: torchvision's `resized_crop(antialias=True)` on float pictures.
//!
//! Resizing is separable. Output pixel i is centered at c = (i + ½) in/out; with r = max(in/out, 1) it is the mean of
//! the pixels x within r · support of c, weighted by filter((x + ½ − c)/r); weights sum to 1. The filter is the triangle
//! (support 1) or the cubic with a = −½ (support 2), whose overshoot is clamped to [0, 1].

use std::ops::Range;

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

    /// The middle `side` × `side` pixels of a picture of that height and width, as torchvision's CenterCrop rounds them.
    ///
    /// # Panics
    /// If the picture is smaller.
    pub fn middle([height, width]: [usize; 2], side: usize) -> Self {
        assert!(side <= height && side <= width, "{side} of {height} × {width}");
        let start = |room: usize| (room as f64 / 2.0).round_ties_even() as usize;
        Self { top: start(height - side), left: start(width - side), height: side, width: side }
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
    resized_window(image, region, [height, width], Region { top: 0, left: 0, height, width }, interpolation)
}

/// The part `window` of the region of an image resized to `height` × `width`: the same bits as if it were cut out
/// afterwards, but only the pixels that it needs are looked at.
///
/// # Panics
/// If the region is empty or not inside the image, or the window not inside the resized region.
pub fn resized_window(
    image: &Image,
    region: Region,
    [height, width]: [usize; 2],
    window: Region,
    interpolation: Interpolation,
) -> Picture {
    let Region { top, left, height: rows, width: columns } = region;
    assert!(
        rows > 0 && columns > 0 && top + rows <= image.height && left + columns <= image.width,
        "{region:?} of an image of {} × {}",
        image.height,
        image.width
    );
    assert!(
        window.top + window.height <= height && window.left + window.width <= width,
        "{window:?} of {height} × {width}"
    );
    let c = image.channels;
    let across = Filter::new(columns, width, window.left..window.left + window.width, interpolation);
    let down = Filter::new(rows, height, window.top..window.top + window.height, interpolation);
    let (height, width) = (window.height, window.width);
    // Bytes to numbers, and the horizontal pass: the needed rows × width.
    let mut line = vec![0.0_f32; across.needed.len() * c];
    let mut narrow = vec![0.0_f32; down.needed.len() * width * c];
    for (y, narrow) in down.needed.clone().zip(narrow.chunks_exact_mut(width * c)) {
        let from = ((top + y) * image.width + left + across.needed.start) * c;
        for (x, &byte) in line.iter_mut().zip(&image.pixels[from..]) {
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

/// For each wanted output pixel, the input pixels that it is a mean of.
struct Filter {
    /// The input pixels that any of them needs.
    needed: Range<usize>,
    taps: Vec<Taps>,
}

struct Taps {
    /// Counted from the first that is needed.
    first: usize,
    weights: Vec<f32>,
}

impl Filter {
    fn new(input: usize, output: usize, wanted: Range<usize>, interpolation: Interpolation) -> Self {
        let scale = input as f64 / output as f64;
        let stretch = scale.max(1.0);
        let support = interpolation.support() * stretch;
        let mut taps: Vec<Taps> = wanted
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
        let start = taps.iter().map(|taps| taps.first).min().unwrap_or(0);
        let end = taps.iter().map(|taps| taps.first + taps.weights.len()).max().unwrap_or(0);
        taps.iter_mut().for_each(|taps| taps.first -= start);
        Self { needed: start..end, taps }
    }
}
