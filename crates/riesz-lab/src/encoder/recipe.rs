//! Encoders as a recipe says them: a backbone, and a projector on top.

use riesz::rng::Key;
use serde::{Deserialize, Serialize};

use super::Encoder;
use crate::device::Device;
use crate::network::{Builder, Network, Residual, Stage, VitSize, cpu};
use crate::{Error, Result, room};

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
        self.check_room(size, channels)?;
        let ProjectorRecipe { hidden, output } = self.projector;
        if hidden == 0 || output < 2 {
            return Err(Error::input(format!(
                "encoder.projector has hidden = {hidden} and output = {output}; they must be at least 1 and 2"
            )));
        }
        let mut network = Builder::new([size, size, channels]);
        let stages = |blocks: [usize; 4], first: usize| -> Vec<Stage> {
            (0..4).map(|i| Stage { blocks: blocks[i], width: first << i }).collect()
        };
        let detail = match self.backbone {
            Backbone::ResnetSmall => self.resnet(&mut network, Residual::Basic, &stages([1; 4], 16)),
            Backbone::Resnet18 => self.resnet(&mut network, Residual::Basic, &stages([2; 4], 64)),
            Backbone::Resnet34 => self.resnet(&mut network, Residual::Basic, &stages([3, 4, 6, 3], 64)),
            Backbone::Resnet50 => self.resnet(&mut network, Residual::Bottleneck, &stages([3, 4, 6, 3], 64)),
            Backbone::VitTiny => {
                let patch = patch(size)?;
                network.vit(VitSize { patch, width: 192, layers: 12, heads: 3, hidden: 768 });
                format!("{} patches of {patch} × {patch}", (size / patch).pow(2))
            }
        };
        let name = serde_json::to_value(self.backbone)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default();
        let title = format!("{name} for {size} × {size} × {channels} ({detail})");
        Ok(network.project(hidden, output).titled(title))
    }

    /// Adds a residual network; says in words what was chosen.
    fn resnet(&self, network: &mut Builder, residual: Residual, stages: &[Stage]) -> String {
        let [size, ..] = network.shape(network.last());
        let imagenet_stem = match self.stem {
            Stem::Auto => size > 64,
            Stem::Small => false,
            Stem::Imagenet => true,
        };
        network.resnet(imagenet_stem, residual, stages);
        let stem = if imagenet_stem {
            "ImageNet stem: 7 × 7, stride 2, pooling"
        } else {
            "small stem: 3 × 3, stride 1"
        };
        let widths: Vec<String> =
            stages.iter().map(|stage| format!("{} × {}", stage.blocks, stage.width)).collect();
        format!("{stem}; stages {}", widths.join(", "))
    }

    /// An untrained encoder for images of `size` × `size` × `channels`; its numbers are a function of `key`.
    ///
    /// # Errors
    /// If a width is 0, the images do not suit the backbone, or it does not fit into memory.
    pub fn build(&self, size: usize, channels: usize, key: Key, device: &Device) -> Result<Box<dyn Encoder>> {
        let network = self.network(size, channels)?;
        Ok(match device {
            Device::Cpu => Box::new(cpu::Engine::new(network, key)),
            #[cfg(feature = "gpu")]
            Device::Gpu(device) => Box::new(crate::network::burn::Engine::new(network, key, device)),
        })
    }
}

/// Side of a vision transformer's patch: 4 pixels for images up to 64, 8 up to 128, else 16.
fn patch(size: usize) -> Result<usize> {
    let patch = match size {
        ..=64 => 4,
        65..=128 => 8,
        _ => 16,
    };
    if !size.is_multiple_of(patch) {
        return Err(Error::input(format!(
            "augment.size is {size}; vit-tiny cuts images of that size into patches of {patch}, of which it must be a multiple"
        )));
    }
    Ok(patch)
}
