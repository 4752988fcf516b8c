//! A float picture between operations.

use pulp::{Arch, Simd, WithSimd};

use crate::data::Image;

/// Pixels in [0, 1], one channel after another, each row-major: a change of color is a pass over whole planes.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 or 3.
    pub channels: usize,
    /// `channels * height * width` numbers.
    pub pixels: Vec<f32>,
}

/// ITU-R 601 luma, with torchvision's digits.
pub const LUMA: [f32; 3] = [0.2989, 0.587, 0.114];

/// x / 255 of every byte.
pub(super) const OF_BYTE: [f32; 256] = {
    let mut numbers = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        numbers[byte] = byte as f32 / 255.0;
        byte += 1;
    }
    numbers
};

impl Picture {
    /// The picture of an image: its bytes over 255.
    pub fn of(image: &Image) -> Self {
        let Image { height, width, channels, ref pixels } = *image;
        let plane = |channel: usize| pixels[channel..].iter().step_by(channels);
        let pixels = (0..channels).flat_map(plane).map(|&byte| OF_BYTE[usize::from(byte)]).collect();
        Self { height, width, channels, pixels }
    }

    /// The planes of red, green and blue.
    ///
    /// # Panics
    /// If the picture has not three channels.
    pub(super) fn rgb(&self) -> [&[f32]; 3] {
        assert_eq!(self.channels, 3, "a picture in color");
        let plane = self.height * self.width;
        [&self.pixels[..plane], &self.pixels[plane..2 * plane], &self.pixels[2 * plane..]]
    }

    /// The planes of red, green and blue, to be written.
    ///
    /// # Panics
    /// If the picture has not three channels.
    pub(super) fn rgb_mut(&mut self) -> [&mut [f32]; 3] {
        assert_eq!(self.channels, 3, "a picture in color");
        let plane = self.height * self.width;
        let (red, rest) = self.pixels.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        [red, green, blue]
    }

    /// Mirrors left and right.
    pub fn flip(&mut self) {
        self.pixels.chunks_exact_mut(self.width).for_each(<[f32]>::reverse);
    }

    /// Writes the picture, channels last, with 1 channel (luma) or 3 (grey repeated).
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn write(&self, channels: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.height * self.width * channels, "the length of a view");
        Arch::new().dispatch(Write { picture: self, channels, out });
    }
}

struct Write<'a> {
    picture: &'a Picture,
    channels: usize,
    out: &'a mut [f32],
}

impl WithSimd for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { picture, channels, out } = self;
        match (picture.channels, channels) {
            (3, 1) => {
                let [red, green, blue] = picture.rgb();
                for (((out, &r), &g), &b) in out.iter_mut().zip(red).zip(green).zip(blue) {
                    *out = luma([r, g, b]);
                }
            }
            (3, 3) => {
                let [red, green, blue] = picture.rgb();
                for (((out, &r), &g), &b) in out.chunks_exact_mut(3).zip(red).zip(green).zip(blue) {
                    out[0] = r;
                    out[1] = g;
                    out[2] = b;
                }
            }
            (1, 3) => {
                for (out, &grey) in out.chunks_exact_mut(3).zip(&picture.pixels) {
                    out.fill(grey);
                }
            }
            _ => out.copy_from_slice(&picture.pixels),
        }
    }
}

/// The luma of a pixel of three channels.
#[inline(always)]
pub fn luma([r, g, b]: [f32; 3]) -> f32 {
    LUMA[0] * r + LUMA[1] * g + LUMA[2] * b
}
