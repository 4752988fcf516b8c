//! An encoder in forms that other programs take: an ONNX model, or weights under torchvision's and timm's names; and a card
//! that says what it is.

mod card;
mod onnx;
mod preparing;
mod protobuf;
mod torchvision;

pub use card::{Written, card};
pub use onnx::{Rows, onnx};
pub use preparing::preparing;
pub use torchvision::{loading, weights};
