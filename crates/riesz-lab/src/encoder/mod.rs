//! Encoders: from images to the representation h, a backbone's output, and on to the embedding z that the loss sees.
//!
//! [`Encoder`] is all that training and evaluation know of one; `examples/own_encoder.rs` shows one that is not riesz's. Those
//! that a recipe builds ([`EncoderRecipe`]) are values ([`Network`](crate::network::Network)), which one of two engines runs.
//! Shapes: n images, `[n, h, w, channels]` in, h `[n, d]`, z `[n, output]`.

mod on_cpu;
#[cfg(feature = "gpu")]
mod on_gpu;
mod recipe;
mod store;

use riesz::Matrix;
use riesz::engine::{Fused, RawValueAndGrad, Value, value_and_grad_raw_grouped};
use riesz::loss::Loss;

use crate::optim::Update;
use crate::tensors::NamedTensor;
use crate::{Error, Result};

pub use recipe::{Backbone, EncoderRecipe, PixelsRecipe, ProjectorRecipe, Stem, begin};
pub(crate) use store::read_as;
pub use store::{FORMAT, Stored, TRAINED_WITH_LABELS, open, read, save};

/// What is minimized of a training batch.
#[derive(Clone, Copy, Debug)]
pub struct Objective<'a> {
    /// The loss.
    pub loss: &'a Loss,
    /// K: the batch is the first view of each image, then the second of each, and so on.
    pub views: usize,
    /// The group of each image, where the matched rows of a row are all others of its group
    /// ([`value_and_grad_grouped`](riesz::engine::Engine::value_and_grad_grouped)); without any, those of its image.
    pub groups: Option<&'a [u32]>,
}

impl Objective<'_> {
    /// Its value and gradient at the rows z, on the processor.
    ///
    /// # Errors
    /// If a row has no direction or is not finite, or the loss is not.
    pub fn on_processor(self, z: &Matrix<f32>) -> Result<RawValueAndGrad<f32>> {
        Ok(value_and_grad_raw_grouped(&Fused, self.loss, z, self.views, self.groups)?)
    }
}

/// A map from images to rows that can be trained.
pub trait Encoder {
    /// `[h, w, channels]` of the images that it takes.
    fn image_shape(&self) -> [usize; 3];

    /// Dimensions of h and z.
    fn dims(&self) -> [usize; 2];

    /// In words, for the log.
    fn describe(&self) -> String;

    /// h and z of images one after another, each by itself: what an encoder does once it is trained.
    fn embed(&self, images: &[f32]) -> (Matrix<f32>, Matrix<f32>);

    /// z of a training batch, `[n, h, w, channels]`, a function of these and of [`named_tensors`](Self::named_tensors); keeps what
    /// [`backward`](Self::backward) needs.
    fn forward(&mut self, images: &[f32]) -> Matrix<f32>;

    /// Takes the gradient with respect to the z of the last [`forward`](Self::forward), and keeps that of every parameter until
    /// the next one.
    ///
    /// # Panics
    /// It may, if there was no such pass, or the gradient is not as large as z.
    fn backward(&mut self, of_z: &Matrix<f32>);

    /// Hands every parameter with its gradient to [`Update::parameter`], in an order that is always the same.
    fn update(&mut self, update: &mut Update<'_>);

    /// All that the encoder's rows depend on, each tensor by a name of its own: parameters, and what else training changes.
    fn named_tensors(&self) -> Vec<NamedTensor>;

    /// Replaces all of [`named_tensors`](Self::named_tensors); [`tensors::matched`](crate::tensors::matched) checks names and
    /// shapes.
    ///
    /// # Errors
    /// If a name is missing or unknown, or a shape differs.
    fn load(&mut self, tensors: &[NamedTensor]) -> Result<()>;

    /// z as [`forward`](Self::forward) gives it, while [`named_tensors`](Self::named_tensors) stay as they are and no way back
    /// follows. As it is here, all of them are set back afterwards; an encoder that has no running statistics, or knows how to leave
    /// them, need not do that.
    ///
    /// # Errors
    /// If they cannot be set back.
    fn forward_only(&mut self, images: &[f32]) -> Result<Matrix<f32>> {
        let before = self.named_tensors();
        let z = self.forward(images);
        self.load(&before)?;
        Ok(z)
    }

    /// From now on makes again, on the way back, what it need not keep for it: less memory for more time, and the same numbers.
    ///
    /// # Errors
    /// If it cannot.
    fn recompute(&mut self) -> Result<()> {
        Err(Error::input(format!("--recompute: {} keeps what it needs; leave it out", self.describe())))
    }

    /// The objective at the rows z, with its gradient, evaluated where the encoder is.
    ///
    /// # Errors
    /// If a row has no direction or is not finite, or the loss is not.
    fn loss(&self, objective: Objective<'_>, z: &Matrix<f32>) -> Result<RawValueAndGrad<f32>> {
        objective.on_processor(z)
    }

    /// The objective of a training batch; keeps the gradient of every parameter. An encoder whose rows are not in the processor's
    /// memory can leave them where they are; others leave this as it is.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    fn value_and_grad(&mut self, objective: Objective<'_>, images: &[f32]) -> Result<Value> {
        let z = self.forward(images);
        let (value, grad) = self.loss(objective, &z)?.split();
        self.backward(&grad);
        Ok(value)
    }
}
