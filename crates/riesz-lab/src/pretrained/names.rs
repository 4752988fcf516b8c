//! What other people call the tensors of the networks that riesz has.
//!
//! Riesz's own names are torchvision's for residual networks and timm's for vision transformers, behind `backbone.`. Training
//! libraries put words in front (`module.`, `encoder_q.`, `backbone.`), and torchvision has other names for a transformer.

use crate::encoder::{Backbone, PixelsRecipe};
use crate::tensors::NamedTensor;
use crate::{Error, Result};

/// Tensors by riesz's names.
pub(super) struct Named {
    pub(super) tensors: Vec<NamedTensor>,
    /// What stood in front.
    pub(super) prefix: String,
    /// Names without that.
    pub(super) others: Vec<String>,
}

/// A name that every network of a kind has, and no part of another name ends with.
const RESIDUAL: &str = "layer1.0.conv1.weight";
const TIMM: &str = "blocks.0.attn.qkv.weight";
const TORCHVISION: &str = "encoder.layers.encoder_layer_0.self_attention.in_proj_weight";

/// What torchvision calls the parts of a transformer, and what timm does.
const PARTS: &[[&str; 2]] = &[
    ["self_attention.in_proj_weight", "attn.qkv.weight"],
    ["self_attention.in_proj_bias", "attn.qkv.bias"],
    ["self_attention.out_proj", "attn.proj"],
    ["ln_1", "norm1"],
    ["ln_2", "norm2"],
    ["mlp.linear_1", "mlp.fc1"],
    ["mlp.linear_2", "mlp.fc2"],
    ["mlp.0", "mlp.fc1"],
    ["mlp.3", "mlp.fc2"],
];

/// Finds riesz's names. Where a file has several networks (a student and its teacher), the one with the shortest prefix is taken, of
/// those the first.
pub(super) fn named(tensors: Vec<NamedTensor>) -> Result<Named> {
    let prefixes = tensors.iter().filter_map(|tensor| {
        let prefix = [RESIDUAL, TIMM, TORCHVISION].iter().find_map(|end| tensor.name.strip_suffix(end))?;
        (prefix.is_empty() || prefix.ends_with('.')).then(|| prefix.to_owned())
    });
    let Some(prefix) = prefixes.min_by_key(|prefix| (prefix.len(), prefix.clone())) else {
        let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        names.truncate(3);
        return Err(Error::input(format!(
            "its names are neither torchvision's nor timm's for a residual network or a vision transformer ({RESIDUAL}, {TIMM}); \
             they are such as {}",
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        )));
    };
    let by_torchvision = tensors.iter().any(|tensor| tensor.name == format!("{prefix}{TORCHVISION}"));
    let mut named = Named { tensors: Vec::new(), prefix, others: Vec::new() };
    for tensor in tensors {
        let Some(name) = tensor.name.strip_prefix(&named.prefix) else {
            named.others.push(tensor.name);
            continue;
        };
        let name = if by_torchvision { of_timm(name) } else { name.to_owned() };
        named.tensors.push(NamedTensor { name: format!("backbone.{name}"), ..tensor });
    }
    Ok(named)
}

/// Timm's name of a tensor of torchvision's transformer.
fn of_timm(name: &str) -> String {
    let ends = [
        ("class_token", "cls_token"),
        ("encoder.pos_embedding", "pos_embed"),
        ("encoder.ln.weight", "norm.weight"),
        ("encoder.ln.bias", "norm.bias"),
        ("conv_proj.weight", "patch_embed.proj.weight"),
        ("conv_proj.bias", "patch_embed.proj.bias"),
    ];
    if let Some((_, timm)) = ends.iter().find(|(torchvision, _)| *torchvision == name) {
        return (*timm).to_owned();
    }
    let inner = name.strip_prefix("encoder.layers.encoder_layer_").and_then(|rest| rest.split_once('.'));
    let Some((layer, part)) = inner else { return name.to_owned() };
    let part = PARTS
        .iter()
        .find_map(|[torchvision, timm]| Some(format!("{timm}{}", part.strip_prefix(torchvision)?)))
        .unwrap_or_else(|| part.to_owned());
    format!("blocks.{layer}.{part}")
}

/// The network that weights are of, and the images that it takes.
pub(super) struct Kind {
    backbone: Backbone,
    /// A residual network's stem: whether it is ImageNet's.
    imagenet_stem: Option<bool>,
    channels: usize,
    /// Side of a transformer's images.
    size: Option<usize>,
}

/// Finds the network that weights are of by the shapes of some.
pub(super) fn kind(tensors: &[NamedTensor]) -> Result<Kind> {
    let shape = |name: &str| {
        let tensor = tensors.iter().find(|tensor| tensor.name.strip_prefix("backbone.") == Some(name));
        tensor.map_or(&[][..], |tensor| &tensor.shape[..])
    };
    let count = |start: &str, end: &str| {
        (0..).take_while(|i| !shape(&format!("{start}.{i}.{end}")).is_empty()).count()
    };
    let lacks = |name: &str| Err(Error::input(format!("has no tensor {name}")));
    if !shape("blocks.0.attn.qkv.weight").is_empty() {
        let (layers, &[width, _]) = (count("blocks", "attn.qkv.bias"), shape("blocks.0.attn.proj.weight"))
        else {
            return lacks("blocks.0.attn.proj.weight");
        };
        let &[_, channels, patch, _] = shape("patch_embed.proj.weight") else {
            return lacks("patch_embed.proj.weight");
        };
        let backbone = [Backbone::VitTiny, Backbone::VitSmall, Backbone::VitBase]
            .into_iter()
            .find(|backbone| layers == 12 && backbone.transformer().is_some_and(|[own, _]| own == width));
        let Some(backbone) = backbone else {
            return Err(Error::input(format!(
                "a vision transformer of {layers} layers, {width} wide; riesz has vit-tiny, vit-small and vit-base: 12 layers, \
                 192, 384 and 768 wide"
            )));
        };
        let size = match shape("pos_embed") {
            &[_, tokens, _] => super::places::side(tokens).map(|side| side * patch),
            _ => None,
        };
        return Ok(Kind { backbone, imagenet_stem: None, channels, size });
    }
    let is_bottleneck = !shape("layer1.0.conv3.weight").is_empty();
    let blocks = [1, 2, 3, 4].map(|layer| count(&format!("layer{layer}"), "conv1.weight"));
    let width = shape("layer1.0.conv1.weight").first().copied().unwrap_or(0);
    let backbone = match (is_bottleneck, blocks, width) {
        (false, [1, 1, 1, 1], 16) => Backbone::ResnetSmall,
        (false, [2, 2, 2, 2], 64) => Backbone::Resnet18,
        (false, [3, 4, 6, 3], 64) => Backbone::Resnet34,
        (true, [3, 4, 6, 3], 64) => Backbone::Resnet50,
        _ => {
            return Err(Error::input(format!(
                "a residual network of {blocks:?} {} blocks, {width} wide at first; riesz has resnet18, resnet34, resnet50 and \
                 resnet-small",
                if is_bottleneck { "bottleneck" } else { "basic" }
            )));
        }
    };
    let &[_, channels, kernel, _] = shape("conv1.weight") else { return lacks("conv1.weight") };
    Ok(Kind { backbone, imagenet_stem: Some(kernel == 7), channels, size: None })
}

impl Kind {
    /// What the pixels become, where the file does not say it: for three channels as ImageNet's.
    pub(super) fn usual_pixels(&self) -> Option<PixelsRecipe> {
        (self.channels == 3).then(PixelsRecipe::imagenet)
    }

    /// As keys of a recipe.
    pub(super) fn recipe_keys(&self) -> Vec<String> {
        let Self { backbone, imagenet_stem, channels, size } = self;
        let mut keys =
            vec![format!("encoder.backbone={}", backbone.name()), format!("augment.channels={channels}")];
        keys.extend(
            imagenet_stem.map(|it| format!("encoder.stem={}", if it { "imagenet" } else { "small" })),
        );
        keys.extend(size.map(|size| format!("augment.size={size}")));
        keys
    }
}
