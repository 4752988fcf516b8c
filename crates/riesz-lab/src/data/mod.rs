//! Where images come from: a [`Source`] lists items and decodes one of them when asked.
//!
//! Shapes: an [`Image`] is height × width × channels, 8 bits, channels last.

use crate::Result;

/// One decoded picture: 8-bit pixels, row-major, channels last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// `height * width * channels` bytes.
    pub pixels: Vec<u8>,
}

/// A list of images that can be decoded one at a time, from any thread.
pub trait Source: Send + Sync {
    /// How many items there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A stable name of item `index`, for logs and embedding files: a relative path, or `train/00012`.
    fn name(&self, index: usize) -> String;

    /// The class of item `index`, if the source knows it.
    fn label(&self, index: usize) -> Option<u32>;

    /// Decodes item `index`.
    ///
    /// # Errors
    /// If the bytes are not a readable image; the sentence names the item and the reason.
    fn image(&self, index: usize) -> Result<Image>;
}

/// What a data specification opens to: images to train on, held-out images, and the names of the classes.
pub struct Dataset {
    /// For printing: `fashion-mnist (built in)`, or the path.
    pub name: String,
    /// Images to train on.
    pub train: Box<dyn Source>,
    /// Held-out images, never trained on.
    pub test: Box<dyn Source>,
    /// Names of the classes; empty without labels.
    pub classes: Vec<String>,
}
