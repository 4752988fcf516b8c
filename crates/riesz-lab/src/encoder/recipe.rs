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
    /// What the pixels become first; without it they are as they are, in [0, 1].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixels: Option<PixelsRecipe>,
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

/// Of each channel, what is taken from its pixels in [0, 1], and what the rest is divided by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PixelsRecipe {
    /// Taken away.
    pub mean: Vec<f64>,
    /// Divided by.
    pub deviation: Vec<f64>,
}

impl PixelsRecipe {
    /// ImageNet's, for which torchvision's weights and most of timm's were trained.
    pub fn imagenet() -> Self {
        Self { mean: vec![0.485, 0.456, 0.406], deviation: vec![0.229, 0.224, 0.225] }
    }

    /// From −1 to 1: what weights of timm want that were trained on ImageNet-21k by its augreg recipes.
    pub fn symmetric() -> Self {
        Self { mean: vec![0.5; 3], deviation: vec![0.5; 3] }
    }

    /// As a key of a recipe, with its value.
    pub fn key(&self) -> String {
        let Self { mean, deviation } = self;
        format!("encoder.pixels={{ mean = {mean:?}, deviation = {deviation:?} }}")
    }

    /// Both in f32.
    fn numbers(&self, channels: usize) -> Result<[Vec<f32>; 2]> {
        let Self { mean, deviation } = self;
        let refused = |what: String| Err(Error::input(format!("encoder.pixels: {what}")));
        if mean.len() != channels || deviation.len() != channels {
            return refused(format!(
                "{} means and {} deviations for images of {channels} channels",
                mean.len(),
                deviation.len()
            ));
        }
        if let Some(mean) = mean.iter().find(|mean| !mean.is_finite()) {
            return refused(format!("the mean {mean} is not finite"));
        }
        if let Some(deviation) = deviation.iter().find(|&&x| !(x.is_finite() && x as f32 > 0.0)) {
            return refused(format!("the deviation {deviation} must be above 0"));
        }
        Ok([mean, deviation].map(|numbers| numbers.iter().map(|&x| x as f32).collect()))
    }
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
    /// ViT-small: 12 layers, 384 wide, 6 heads.
    VitSmall,
    /// ViT-base (Dosovitskiy et al. 2021): 12 layers, 768 wide, 12 heads.
    VitBase,
}

impl Backbone {
    /// Width and heads of a vision transformer of twelve layers.
    pub fn transformer(self) -> Option<[usize; 2]> {
        match self {
            Self::VitTiny => Some([192, 3]),
            Self::VitSmall => Some([384, 6]),
            Self::VitBase => Some([768, 12]),
            Self::ResnetSmall | Self::Resnet18 | Self::Resnet34 | Self::Resnet50 => None,
        }
    }

    /// As recipes say it.
    pub fn name(self) -> String {
        let name = serde_json::to_value(self).ok();
        name.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
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

impl Stem {
    /// What is meant for images of this size: `small` or `imagenet`.
    pub fn of(self, size: usize) -> Self {
        match self {
            Self::Auto if size > 64 => Self::Imagenet,
            Self::Auto => Self::Small,
            said => said,
        }
    }
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

    /// Checks the projector's widths.
    ///
    /// # Errors
    /// If one is too small.
    pub fn check_projector(&self) -> Result<()> {
        let ProjectorRecipe { hidden, output } = self.projector;
        match hidden == 0 || output < 2 {
            true => Err(Error::input(format!(
                "encoder.projector has hidden = {hidden} and output = {output}; they must be at least 1 and 2"
            ))),
            false => Ok(()),
        }
    }

    /// The same as a value, for images of `size` × `size` × `channels`.
    ///
    /// # Errors
    /// If a width is 0, the images do not suit the backbone, or it does not fit into memory.
    pub fn network(&self, size: usize, channels: usize) -> Result<Network> {
        self.check_room(size, channels)?;
        self.check_projector()?;
        let ProjectorRecipe { hidden, output } = self.projector;
        let (backbone, title) = self.backbone(size, channels)?;
        let network = self.with_pixels(backbone.project(hidden, output).titled(title), channels)?;
        let (backbone, projector) = network.parameter_counts();
        room::check(
            || format!("an encoder of {}", network.describe()),
            room::bytes(4, &[backbone + projector]),
        )?;
        Ok(network)
    }

    /// The backbone with one linear layer, `head`, from h to as many logits as there are classes.
    ///
    /// # Errors
    /// If the images do not suit the backbone.
    pub fn classifier(&self, size: usize, channels: usize, classes: usize) -> Result<Network> {
        let (mut backbone, title) = self.backbone(size, channels)?;
        let h = backbone.last();
        backbone.linear("head", h, classes, true);
        self.with_pixels(backbone.finish(h).titled(title), channels)
    }

    fn with_pixels(&self, network: Network, channels: usize) -> Result<Network> {
        let Some(pixels) = &self.pixels else { return Ok(network) };
        let [mean, deviation] = pixels.numbers(channels)?;
        Ok(network.with_pixels(mean, deviation))
    }

    /// The layers up to h, and a title.
    fn backbone(&self, size: usize, channels: usize) -> Result<(Builder, String)> {
        let mut network = Builder::new([size, size, channels]);
        let stages = |blocks: [usize; 4], first: usize| -> Vec<Stage> {
            (0..4).map(|i| Stage { blocks: blocks[i], width: first << i }).collect()
        };
        let detail = match self.backbone {
            Backbone::ResnetSmall => self.resnet(&mut network, Residual::Basic, &stages([1; 4], 16)),
            Backbone::Resnet18 => self.resnet(&mut network, Residual::Basic, &stages([2; 4], 64)),
            Backbone::Resnet34 => self.resnet(&mut network, Residual::Basic, &stages([3, 4, 6, 3], 64)),
            Backbone::Resnet50 => self.resnet(&mut network, Residual::Bottleneck, &stages([3, 4, 6, 3], 64)),
            Backbone::VitTiny | Backbone::VitSmall | Backbone::VitBase => {
                let [width, heads] = self.backbone.transformer().expect("these are transformers");
                let patch = patch(size, self.backbone)?;
                network.vit(VitSize { patch, width, layers: 12, heads, hidden: 4 * width });
                format!("{} patches of {patch} × {patch}", (size / patch).pow(2))
            }
        };
        let title = format!("{} for {size} × {size} × {channels} ({detail})", self.backbone.name());
        Ok((network, title))
    }

    /// Adds a residual network; says in words what was chosen.
    fn resnet(&self, network: &mut Builder, residual: Residual, stages: &[Stage]) -> String {
        let [size, ..] = network.shape(network.last());
        let imagenet_stem = self.stem.of(size) == Stem::Imagenet;
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
        Ok(begin(self.network(size, channels)?, key, device))
    }
}

/// A network on a device; its first numbers are a function of `key`.
pub fn begin(network: Network, key: Key, device: &Device) -> Box<dyn Encoder> {
    match device {
        Device::Cpu => Box::new(cpu::Engine::new(network, key)),
        #[cfg(feature = "gpu")]
        Device::Gpu(device) => Box::new(crate::network::burn::Engine::new(network, key, device)),
    }
}

/// Side of a vision transformer's patch: 4 pixels for images up to 64, 8 up to 128, else 16.
fn patch(size: usize, backbone: Backbone) -> Result<usize> {
    let patch = match size {
        ..=64 => 4,
        65..=128 => 8,
        _ => 16,
    };
    if !size.is_multiple_of(patch) {
        return Err(Error::input(format!(
            "augment.size is {size}; {} cuts images of that size into patches of {patch}, of which it must be a multiple",
            backbone.name()
        )));
    }
    Ok(patch)
}
