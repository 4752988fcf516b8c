//! The backbone's weights as torchvision's residual networks and timm's vision transformers name them, and the Python lines
//! that load them.

use crate::encoder::{Backbone, EncoderRecipe};
use crate::tensors::NamedTensor;

/// The backbone's tensors without the prefix of an encoder's file.
pub fn weights(tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    let own = |tensor: NamedTensor| {
        let name = tensor.name.strip_prefix("backbone.")?.to_owned();
        Some(NamedTensor { name, ..tensor })
    };
    tensors.into_iter().filter_map(own).collect()
}

/// Python that builds the network and loads the file of that name; `tensors` are those of [`weights`].
pub fn loading(
    recipe: &EncoderRecipe,
    [size, channels]: [usize; 2],
    tensors: &[NamedTensor],
    file: &str,
) -> String {
    let shape =
        |name: &str| tensors.iter().find(|tensor| tensor.name == name).map(|tensor| &tensor.shape[..]);
    let pixels = recipe.pixels.as_ref().map_or_else(String::new, |pixels| {
        format!(
            "\nmodel = torch.nn.Sequential(torchvision.transforms.Normalize({:?}, {:?}), model)",
            pixels.mean, pixels.deviation
        )
    });
    let load = format!("model.load_state_dict(load_file({file:?}))\nmodel.eval(){pixels}");
    let head = "from safetensors.torch import load_file\n";
    if recipe.backbone.transformer().is_some() {
        let patch = shape("patch_embed.proj.weight").map_or(0, |shape| shape[3]);
        return format!(
            "import timm, torch{torchvision}\n{head}\nmodel = timm.create_model(\"{name}_patch16_224\", img_size={size}, patch_size={patch}, \
             in_chans={channels}, num_classes=0)\n{load}",
            torchvision = if pixels.is_empty() { "" } else { ", torchvision" },
            name = recipe.backbone.name().replace('-', "_"),
        );
    }
    let mut text = format!("import torch, torchvision\n{head}\n");
    let stem = shape("conv1.weight").map_or(&[][..], |shape| shape);
    let (width, kernel) = (stem.first().copied().unwrap_or(0), stem.last().copied().unwrap_or(0));
    let [build, stages]: [&str; 2] = match recipe.backbone {
        Backbone::ResnetSmall => [
            "torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])",
            "model.inplanes = 16\n\
             for i, width in enumerate([16, 32, 64, 128]):\n    \
             stage = model._make_layer(torchvision.models.resnet.BasicBlock, width, 1, stride=1 if i == 0 else 2)\n    \
             setattr(model, f\"layer{i + 1}\", stage)\n\
             model.bn1 = torch.nn.BatchNorm2d(16)\n",
        ],
        Backbone::Resnet18 => ["torchvision.models.resnet18()", ""],
        Backbone::Resnet34 => ["torchvision.models.resnet34()", ""],
        Backbone::Resnet50 => ["torchvision.models.resnet50()", ""],
        Backbone::VitTiny | Backbone::VitSmall | Backbone::VitBase => unreachable!("it was written above"),
    };
    text.push_str(&format!("model = {build}\n{stages}"));
    if kernel == 3 {
        text.push_str(&format!(
            "model.conv1 = torch.nn.Conv2d({channels}, {width}, 3, padding=1, bias=False)\n"
        ));
        text.push_str("model.maxpool = torch.nn.Identity()\n");
    } else if channels != 3 || width != 64 {
        text.push_str(&format!(
            "model.conv1 = torch.nn.Conv2d({channels}, {width}, 7, stride=2, padding=3, bias=False)\n"
        ));
    }
    text.push_str(&format!("model.fc = torch.nn.Identity()\n{load}"));
    text
}
