//! Encoders: a backbone, whose output is the representation h, and a projector on top, whose output is the embedding z
//! that the loss sees.
//!
//! An encoder is a list of named tensors (torch's names, so that the weights can be read elsewhere) and a function
//! that uses them by name. Shapes: n images, `[n, size, size, channels]` in, h `[n, d]`, z `[n, output]`.

mod parameters;
mod projector;
mod resnet;
mod store;
mod vit;

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use riesz::Matrix;
use riesz::rng::Key;
use serde::{Deserialize, Serialize};

use crate::network::cpu::Engine;
use crate::network::{self, Builder, Network, Residual, Role, Stage, VitSize};
use crate::tensors::NamedTensor;
use crate::{Error, Result, device, room};
use parameters::{Declare, Parameters, Pass};
use resnet::ResNet;
use vit::Vit;

/// Backbone and projector, as a recipe says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EncoderRecipe {
    /// The backbone.
    pub backbone: Backbone,
    /// A residual network's first layers.
    pub stem: Stem,
    /// The projector.
    pub projector: ProjectorRecipe,
}

/// The projector: Linear, BatchNorm, ReLU, Linear, BatchNorm without learned shift (as the base code of Koromilas et
/// al. 2024 has it); no biases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProjectorRecipe {
    /// Width of the hidden layer.
    pub hidden: usize,
    /// Dimension d of the embeddings.
    pub output: usize,
}

/// A backbone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backbone {
    /// Four stages of one basic block, 16, 32, 64 and 128 wide: trains in minutes on a CPU.
    ResnetSmall,
    /// ResNet-18 (He et al. 2016), h of 512.
    Resnet18,
    /// ResNet-34, h of 512.
    Resnet34,
    /// ResNet-50, h of 2048.
    Resnet50,
    /// ViT-tiny (Touvron et al. 2021): 12 layers, 192 wide, 3 heads.
    VitTiny,
}

/// A residual network's first layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// `small` for images up to 64 pixels, else `imagenet`.
    Auto,
    /// One 3 × 3 convolution, no pooling (the usual CIFAR stem).
    Small,
    /// A 7 × 7 convolution with stride 2, then max pooling with stride 2.
    Imagenet,
}

/// Every backbone's h is at least this wide.
const LEAST_DIM: usize = 128;

/// A backbone with a projector, and their numbers: run by our own engine on the CPU, by Burn on other devices.
pub struct Encoder {
    recipe: EncoderRecipe,
    size: usize,
    channels: usize,
    runs: Runs,
}

/// What runs an encoder.
pub enum Runs {
    /// The CPU.
    Cpu(Box<Engine>),
    /// A device of Burn's.
    Burn(Box<BurnEncoder>, Device),
}

/// An encoder in Burn's operations, on any of its devices.
pub struct BurnEncoder {
    size: usize,
    channels: usize,
    architecture: Architecture,
    parameters: Parameters,
}

enum Architecture {
    ResNet(ResNet),
    Vit(Vit),
}

impl EncoderRecipe {
    /// Bytes that its weights for images of `size` × `size` × `channels` and one such image take at least.
    pub fn least_bytes(&self, size: usize, channels: usize) -> u128 {
        let ProjectorRecipe { hidden, output } = self.projector;
        let image = room::bytes(4, &[size, size, channels]);
        let projector =
            room::bytes(4, &[hidden, output]).saturating_add(room::bytes(4, &[hidden, LEAST_DIM]));
        image.saturating_add(projector)
    }

    /// Checks that such an encoder fits into memory.
    ///
    /// # Errors
    /// If it does not.
    pub fn check_room(&self, size: usize, channels: usize) -> Result<()> {
        let ProjectorRecipe { hidden, output } = self.projector;
        let what = || {
            format!(
                "an encoder for images of {size} × {size} × {channels} with projector.hidden = {hidden} and \
                 projector.output = {output}"
            )
        };
        room::check(what, self.least_bytes(size, channels))
    }

    /// The same as a value, for images of `size` × `size` × `channels`.
    ///
    /// # Errors
    /// If a width is 0, the images do not suit the backbone, or it does not fit into memory.
    pub fn network(&self, size: usize, channels: usize) -> Result<Network> {
        let ProjectorRecipe { hidden, output } = self.checked_projector(size, channels)?;
        let mut network = Builder::new([size, size, channels]);
        let stages = |blocks: [usize; 4], first: usize| -> Vec<Stage> {
            (0..4).map(|i| Stage { blocks: blocks[i], width: first << i }).collect()
        };
        let (residual, stages) = match self.backbone {
            Backbone::ResnetSmall => (Residual::Basic, stages([1; 4], 16)),
            Backbone::Resnet18 => (Residual::Basic, stages([2; 4], 64)),
            Backbone::Resnet34 => (Residual::Basic, stages([3, 4, 6, 3], 64)),
            Backbone::Resnet50 => (Residual::Bottleneck, stages([3, 4, 6, 3], 64)),
            Backbone::VitTiny => {
                let patch = Vit::patch(size)?;
                network.vit(VitSize { patch, width: 192, layers: 12, heads: 3, hidden: 768 });
                return Ok(network.project(hidden, output));
            }
        };
        network.resnet(self.has_imagenet_stem(size), residual, &stages);
        Ok(network.project(hidden, output))
    }

    /// An untrained encoder for images of `size` × `size` × `channels`; its numbers are a function of `key`.
    ///
    /// # Errors
    /// If a width is 0, the images do not suit the backbone, or it does not fit into memory.
    pub fn build(&self, size: usize, channels: usize, key: Key, device: &Device) -> Result<Encoder> {
        let runs = if device::is_cpu(device) {
            Runs::Cpu(Box::new(Engine::new(self.network(size, channels)?, key)))
        } else {
            Runs::Burn(Box::new(self.build_on_burn(size, channels, key, device)?), device.clone())
        };
        Ok(Encoder { recipe: self.clone(), size, channels, runs })
    }

    fn checked_projector(&self, size: usize, channels: usize) -> Result<ProjectorRecipe> {
        self.check_room(size, channels)?;
        let ProjectorRecipe { hidden, output } = self.projector;
        if hidden == 0 || output < 2 {
            return Err(Error::input(format!(
                "encoder.projector has hidden = {hidden} and output = {output}; they must be at least 1 and 2"
            )));
        }
        Ok(self.projector.clone())
    }

    fn architecture(&self, size: usize) -> Result<Architecture> {
        let imagenet_stem = self.has_imagenet_stem(size);
        Ok(match self.backbone {
            Backbone::ResnetSmall => Architecture::ResNet(ResNet::small(imagenet_stem)),
            Backbone::Resnet18 => Architecture::ResNet(ResNet::basic([2, 2, 2, 2], imagenet_stem)),
            Backbone::Resnet34 => Architecture::ResNet(ResNet::basic([3, 4, 6, 3], imagenet_stem)),
            Backbone::Resnet50 => Architecture::ResNet(ResNet::bottleneck([3, 4, 6, 3], imagenet_stem)),
            Backbone::VitTiny => Architecture::Vit(Vit::tiny(size)?),
        })
    }

    fn has_imagenet_stem(&self, size: usize) -> bool {
        match self.stem {
            Stem::Auto => size > 64,
            Stem::Small => false,
            Stem::Imagenet => true,
        }
    }

    /// As [`build`](EncoderRecipe::build), in Burn's operations whatever the device.
    ///
    /// # Errors
    /// As [`build`](EncoderRecipe::build).
    pub fn build_on_burn(
        &self,
        size: usize,
        channels: usize,
        key: Key,
        device: &Device,
    ) -> Result<BurnEncoder> {
        let ProjectorRecipe { hidden, output } = self.checked_projector(size, channels)?;
        let architecture = self.architecture(size)?;
        let mut declare = Declare::new(key, device.clone());
        match &architecture {
            Architecture::ResNet(net) => net.declare(&mut declare, channels),
            Architecture::Vit(net) => net.declare(&mut declare, channels),
        }
        projector::declare(&mut declare, architecture.dim(), hidden, output);
        Ok(BurnEncoder { size, channels, architecture, parameters: declare.finish() })
    }
}

impl Architecture {
    fn dim(&self) -> usize {
        match self {
            Self::ResNet(net) => net.dim(),
            Self::Vit(net) => net.dim(),
        }
    }

    fn forward(&self, pass: &mut Pass<'_>, images: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        let h = match self {
            Self::ResNet(net) => net.forward(pass, images),
            Self::Vit(net) => net.forward(pass, images),
        };
        let z = projector::forward(pass, h.clone());
        (h, z)
    }
}

impl BurnEncoder {
    /// Training mode: h and z, tracked for a backward pass; batch norms use the batch's own statistics and update
    /// their running ones. `images` must be on an autodiff device.
    pub fn train_forward(&mut self, images: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        self.architecture.forward(&mut Pass::train(&mut self.parameters), images)
    }

    /// Evaluation mode: h and z of each image by itself; nothing changes.
    pub fn eval_forward(&self, images: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        self.architecture.forward(&mut Pass::eval(&self.parameters), images)
    }

    /// Replaces every parameter of the last training pass that has a gradient: `update(name, decays, weight,
    /// gradient)` returns the new weight; all are flat. `decays` is false for biases and normalizations.
    pub fn update_parameters(
        &mut self,
        gradients: &mut Gradients,
        update: impl FnMut(&str, bool, Tensor<1>, Tensor<1>) -> Tensor<1>,
    ) {
        self.parameters.update(gradients, update);
    }

    /// All parameters and buffers, in the order of their names.
    pub fn named_tensors(&self) -> Vec<NamedTensor> {
        self.parameters.named_tensors()
    }

    /// Replaces all parameters and buffers.
    ///
    /// # Errors
    /// If a name is missing or unknown, or a shape differs.
    pub fn load(&mut self, tensors: &[NamedTensor]) -> Result<()> {
        self.parameters.load(tensors)
    }

    /// Side and channels of the images that it takes.
    pub fn image_shape(&self) -> (usize, usize) {
        (self.size, self.channels)
    }

    /// A tensor `[n, size, size, channels]` of images one after another.
    pub fn images(&self, images: &[f32], device: &Device) -> Tensor<4> {
        let n = images.len() / (self.size * self.size * self.channels);
        Tensor::from_data(TensorData::new(images.to_vec(), [n, self.size, self.size, self.channels]), device)
    }
}

impl Encoder {
    /// What runs it.
    pub fn runs(&mut self) -> &mut Runs {
        &mut self.runs
    }

    /// h and z of images one after another, each by itself, in evaluation mode.
    pub fn embed(&self, images: &[f32]) -> (Matrix<f32>, Matrix<f32>) {
        match &self.runs {
            Runs::Cpu(engine) => engine.embed(images),
            Runs::Burn(encoder, device) => {
                let (h, z) = encoder.eval_forward(encoder.images(images, device));
                (matrix(h), matrix(z))
            }
        }
    }

    /// All parameters and buffers, in the order of their names.
    pub fn named_tensors(&self) -> Vec<NamedTensor> {
        match &self.runs {
            Runs::Cpu(engine) => {
                let named = |tensor: &network::cpu::Tensor| NamedTensor {
                    name: tensor.spec.name.clone(),
                    shape: tensor.spec.shape.clone(),
                    values: tensor.order().shaped(&tensor.values),
                };
                let mut all: Vec<NamedTensor> = engine.tensors().iter().map(named).collect();
                all.sort_by(|a, b| a.name.cmp(&b.name));
                all
            }
            Runs::Burn(encoder, _) => encoder.named_tensors(),
        }
    }

    /// Replaces all parameters and buffers.
    ///
    /// # Errors
    /// If a name is missing or unknown, or a shape differs.
    pub fn load(&mut self, tensors: &[NamedTensor]) -> Result<()> {
        let engine = match &mut self.runs {
            Runs::Burn(encoder, _) => return encoder.load(tensors),
            Runs::Cpu(engine) => engine,
        };
        let own = engine.tensors_mut();
        if tensors.len() != own.len() {
            return Err(Error::input(format!("{} tensors; this encoder has {}", tensors.len(), own.len())));
        }
        for NamedTensor { name, shape, values } in tensors {
            let tensor = own
                .iter_mut()
                .find(|tensor| tensor.spec.name == *name)
                .ok_or_else(|| Error::input(format!("{name}: this encoder has no tensor of that name")))?;
            if *shape != tensor.spec.shape {
                let own = &tensor.spec.shape;
                return Err(Error::input(format!("{name}: shape {shape:?}; this encoder's is {own:?}")));
            }
            tensor.values = tensor.order().held(values);
        }
        Ok(())
    }

    /// How many numbers are learned in (backbone, projector).
    pub fn parameter_counts(&self) -> (usize, usize) {
        match &self.runs {
            Runs::Cpu(engine) => {
                let learned = engine.tensors().iter().filter(|tensor| tensor.spec.role != Role::Buffer);
                let (projector, backbone): (Vec<_>, Vec<_>) =
                    learned.partition(|tensor| tensor.spec.name.starts_with("projector."));
                let count =
                    |tensors: Vec<&network::cpu::Tensor>| tensors.iter().map(|t| t.values.len()).sum();
                (count(backbone), count(projector))
            }
            Runs::Burn(encoder, _) => encoder.parameters.counts(),
        }
    }

    /// Dimension of h.
    pub fn dim(&self) -> usize {
        match &self.runs {
            Runs::Cpu(engine) => engine.network().layers()[engine.network().representation()].channels(),
            Runs::Burn(encoder, _) => encoder.architecture.dim(),
        }
    }

    /// Side and channels of the images that it takes.
    pub fn image_shape(&self) -> (usize, usize) {
        (self.size, self.channels)
    }

    /// In words, for the log: what was built, and which stem was chosen.
    pub fn describe(&self) -> String {
        let (backbone, projector) = self.parameter_counts();
        let name = serde_json::to_value(self.recipe.backbone)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default();
        let detail = match self.recipe.architecture(self.size) {
            Ok(Architecture::ResNet(net)) => net.describe(),
            Ok(Architecture::Vit(net)) => net.describe(),
            Err(error) => error.to_string(),
        };
        let ProjectorRecipe { hidden, output } = self.recipe.projector;
        format!(
            "{name} for {size} × {size} × {channels} ({detail}), {} parameters, h of {dim}; projector {dim} → {hidden} → {output}, {} parameters",
            thousands(backbone),
            thousands(projector),
            size = self.size,
            channels = self.channels,
            dim = self.dim(),
        )
    }
}

/// The rows of a rank-2 tensor.
pub(crate) fn matrix(rows: Tensor<2>) -> Matrix<f32> {
    let [_, dim] = rows.dims();
    let data = rows.into_data().try_into_vec::<f32>().expect("the encoder computes in f32");
    Matrix::new(data, dim)
}

/// 1234567 as `1,234,567`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
