//! A float picture between operations.

use crate::data::Image;

/// Pixels in [0, 1], row-major, channels last.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 or 3.
    pub channels: usize,
    /// `height * width * channels` numbers.
    pub pixels: Vec<f32>,
}

/// ITU-R 601 luma, with torchvision's digits.
pub const LUMA: [f32; 3] = [0.2989, 0.587, 0.114];

impl Picture {
    /// The picture of an image: its bytes over 255.
    pub fn of(image: &Image) -> Self {
        let pixels = image.pixels.iter().map(|&byte| f32::from(byte) / 255.0).collect();
        Self { height: image.height, width: image.width, channels: image.channels, pixels }
    }

    /// Mirrors left and right.
    pub fn flip(&mut self) {
        let channels = self.channels;
        for row in self.pixels.chunks_exact_mut(self.width * channels) {
            let columns = row.len() / channels;
            for left in 0..columns / 2 {
                for channel in 0..channels {
                    row.swap(left * channels + channel, (columns - 1 - left) * channels + channel);
                }
            }
        }
    }

    /// Writes the picture with 1 channel (luma) or 3 (grey repeated).
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn write(&self, channels: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.height * self.width * channels, "the length of a view");
        match (self.channels, channels) {
            (3, 1) => {
                for (out, pixel) in out.iter_mut().zip(self.pixels.chunks_exact(3)) {
                    *out = luma(pixel);
                }
            }
            (1, 3) => {
                for (out, grey) in out.chunks_exact_mut(3).zip(&self.pixels) {
                    out.fill(*grey);
                }
            }
            _ => out.copy_from_slice(&self.pixels),
        }
    }
}

/// The luma of a pixel of three channels.
pub fn luma(pixel: &[f32]) -> f32 {
    LUMA[0] * pixel[0] + LUMA[1] * pixel[1] + LUMA[2] * pixel[2]
}
