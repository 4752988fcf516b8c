//! Crops and antialiased resizing: torchvision's `resized_crop(antialias=True)` on float pictures.
//!
//! Resizing is separable. Output pixel i is centered at c = (i + ½) in/out; with r = max(in/out, 1) it is the mean of
//! the pixels x within r · support of c, weighted by filter((x + ½ − c)/r); weights sum to 1. The filter is the triangle
//! (support 1) or the cubic with a = −½ (support 2), whose overshoot is clamped to [0, 1].

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use serde::{Deserialize, Serialize};

use super::blur::add;
use super::picture::{OF_BYTE, Picture};
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
    let across = Filter::new(columns, width, window.left..window.left + window.width, interpolation);
    let down = Filter::new(rows, height, window.top..window.top + window.height, interpolation);
    let from = (top + down.needed.start) * image.width + left + across.needed.start;
    let rows = down.needed.len();
    let planes = Arch::new().dispatch(Across { filter: &across, image, from, rows });
    let (width, channels) = (window.width, image.channels);
    let clamp = interpolation == Interpolation::Bicubic;
    let pixels = Arch::new().dispatch(Down { filter: &down, planes: &planes, width, channels, clamp });
    Picture { height: window.height, width, channels, pixels }
}

/// For each of `output` pixels in a row, the first of the `input` pixels that it is a mean of, and their weights.
pub fn weights(input: usize, output: usize, interpolation: Interpolation) -> Vec<(usize, Vec<f32>)> {
    let filter = Filter::new(input, output, 0..output, interpolation);
    let start = filter.needed.start;
    filter.taps().map(|(first, weights)| (start + first, weights.to_vec())).collect()
}

/// For each wanted output pixel, the input pixels that it is a mean of.
struct Filter {
    /// The input pixels that any of them needs.
    needed: Range<usize>,
    /// Each output pixel's first input pixel, counted from the first that is needed.
    first: Vec<usize>,
    /// Where each output pixel's weights end; they begin where the one's before end.
    end: Vec<usize>,
    weights: Vec<f32>,
}

/// Rows of an image that are resized horizontally at once: a vector's lanes.
const ROWS: usize = 16;

impl Filter {
    fn new(input: usize, output: usize, wanted: Range<usize>, interpolation: Interpolation) -> Self {
        let scale = input as f64 / output as f64;
        let stretch = scale.max(1.0);
        let support = interpolation.support() * stretch;
        let mut filter = Self { needed: 0..0, first: Vec::new(), end: Vec::new(), weights: Vec::new() };
        let mut weights = Vec::new();
        for i in wanted {
            let center = scale * (i as f64 + 0.5);
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(input);
            weights.clear();
            weights.extend((first..end).map(|x| interpolation.weight((x as f64 - center + 0.5) / stretch)));
            let total: f64 = weights.iter().sum();
            filter.weights.extend(weights.iter().map(|weight| (weight / total) as f32));
            filter.first.push(first);
            filter.end.push(filter.weights.len());
        }
        // Both ends rise with the output pixel.
        let start = filter.first.first().copied().unwrap_or(0);
        let end = filter.taps().last().map_or(0, |(first, weights)| first + weights.len());
        filter.first.iter_mut().for_each(|first| *first -= start);
        filter.needed = start..end;
        filter
    }

    /// The first input pixel and the weights of each output pixel.
    #[inline(always)]
    fn taps(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let starts = std::iter::once(&0).chain(&self.end);
        self.first
            .iter()
            .zip(starts.zip(&self.end))
            .map(|(&first, (&start, &end))| (first, &self.weights[start..end]))
    }
}

/// The horizontal pass over `rows` rows of an image, the first of which begins at pixel `from`: planes of `rows` × the
/// filter's output. Bytes become numbers on the way, a few rows at once side by side.
struct Across<'a> {
    filter: &'a Filter,
    image: &'a Image,
    from: usize,
    rows: usize,
}

impl WithSimd for Across<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f32> {
        let Self { filter, image, from, rows } = self;
        let (c, needed, width) = (image.channels, filter.needed.len(), filter.first.len());
        let mut narrow = vec![0.0_f32; c * rows * width];
        let mut block = vec![[0.0_f32; ROWS]; c * needed];
        for above in (0..rows).step_by(ROWS) {
            let present = ROWS.min(rows - above);
            for row in 0..present {
                let line = &image.pixels[(from + (above + row) * image.width) * c..][..needed * c];
                for (numbers, &byte) in block.iter_mut().zip(line) {
                    numbers[row] = OF_BYTE[usize::from(byte)];
                }
            }
            for (channel, narrow) in narrow.chunks_exact_mut(rows * width).enumerate() {
                let narrow = &mut narrow[above * width..][..present * width];
                for (x, (first, weights)) in filter.taps().enumerate() {
                    let mut sums = [0.0_f32; ROWS];
                    for (source, &weight) in block[first * c + channel..].iter().step_by(c).zip(weights) {
                        for (sum, source) in sums.iter_mut().zip(source) {
                            *sum += weight * source;
                        }
                    }
                    for (narrow, sum) in narrow[x..].iter_mut().step_by(width).zip(sums) {
                        *narrow = sum;
                    }
                }
            }
        }
        narrow
    }
}

/// The vertical pass over planes of rows of `width` numbers; the outcome is clamped to [0, 1] if `clamp`.
struct Down<'a> {
    filter: &'a Filter,
    planes: &'a [f32],
    width: usize,
    channels: usize,
    clamp: bool,
}

impl WithSimd for Down<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f32> {
        let Self { filter, planes, width, channels, clamp } = self;
        let mut pixels = vec![0.0_f32; channels * filter.first.len() * width];
        let planes = planes.chunks_exact(filter.needed.len() * width);
        for (pixels, plane) in pixels.chunks_exact_mut(filter.first.len() * width).zip(planes) {
            for (row, (first, weights)) in pixels.chunks_exact_mut(width).zip(filter.taps()) {
                for (source, &weight) in plane[first * width..].chunks_exact(width).zip(weights) {
                    add(weight, source, row);
                }
                if clamp {
                    row.iter_mut().for_each(|pixel| *pixel = pixel.clamp(0.0, 1.0));
                }
            }
        }
        pixels
    }
}
