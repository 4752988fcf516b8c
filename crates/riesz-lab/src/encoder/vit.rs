//! ViT-tiny (Dosovitskiy et al. 2021; Touvron et al. 2021): patches, a class token, learned positions, twelve
//! pre-norm layers; h is the normalized class token. Names are those of the timm library.
//!
//! Shapes: n images, t tokens (patches and the class token), c = 192, 3 heads of 64.

use burn::tensor::{Tensor, activation};

use super::parameters::{Declare, Pass};
use crate::ops::gelu;
use crate::{Error, Result};

const DIM: usize = 192;
const HEADS: usize = 3;
const LAYERS: usize = 12;
const HIDDEN: usize = 4 * DIM;
const EPSILON: f64 = 1e-6;

pub(super) struct Vit {
    patch: usize,
    patches: usize,
}

impl Vit {
    pub(super) fn tiny(size: usize) -> Result<Self> {
        let patch = Self::patch(size)?;
        Ok(Self { patch, patches: (size / patch).pow(2) })
    }

    /// Patches of 4 pixels for images up to 64, 8 up to 128, else 16.
    pub(super) fn patch(size: usize) -> Result<usize> {
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

    pub(super) fn dim(&self) -> usize {
        DIM
    }

    pub(super) fn describe(&self) -> String {
        format!("{} patches of {} × {}", self.patches, self.patch, self.patch)
    }

    pub(super) fn declare(&self, declare: &mut Declare, channels: usize) {
        declare.normal("backbone.cls_token", &[1, 1, DIM], 0.02);
        declare.normal("backbone.pos_embed", &[1, self.patches + 1, DIM], 0.02);
        declare.convolution("backbone.patch_embed.proj", DIM, channels, self.patch);
        declare.bias("backbone.patch_embed.proj", DIM);
        for layer in 0..LAYERS {
            let name = format!("backbone.blocks.{layer}");
            declare.layer_norm(&format!("{name}.norm1"), DIM);
            declare.linear(&format!("{name}.attn.qkv"), 3 * DIM, DIM, true);
            declare.linear(&format!("{name}.attn.proj"), DIM, DIM, true);
            declare.layer_norm(&format!("{name}.norm2"), DIM);
            declare.linear(&format!("{name}.mlp.fc1"), HIDDEN, DIM, true);
            declare.linear(&format!("{name}.mlp.fc2"), DIM, HIDDEN, true);
        }
        declare.layer_norm("backbone.norm", DIM);
    }

    pub(super) fn forward(&self, pass: &mut Pass<'_>, images: Tensor<4>) -> Tensor<2> {
        let n = images.dims()[0];
        let tokens = self.patches + 1;
        let patches = pass.convolution("backbone.patch_embed.proj", images, self.patch, 0);
        let bias = pass.parameter::<1>("backbone.patch_embed.proj.bias");
        let patches = patches.reshape([n, self.patches, DIM]) + bias.unsqueeze();
        let class = pass.parameter::<3>("backbone.cls_token").repeat_dim(0, n);
        let x = Tensor::cat(vec![class, patches], 1) + pass.parameter::<3>("backbone.pos_embed");
        let mut x = x.reshape([n * tokens, DIM]);
        for layer in 0..LAYERS {
            let name = format!("backbone.blocks.{layer}");
            let normed = layer_norm(pass, &format!("{name}.norm1"), x.clone());
            x = x + attention(pass, &format!("{name}.attn"), normed, n, tokens);
            let normed = layer_norm(pass, &format!("{name}.norm2"), x.clone());
            let hidden = gelu(pass.linear_with_bias(&format!("{name}.mlp.fc1"), normed));
            x = x + pass.linear_with_bias(&format!("{name}.mlp.fc2"), hidden);
        }
        let class = x.reshape([n, tokens, DIM]).slice([0..n, 0..1, 0..DIM]).reshape([n, DIM]);
        layer_norm(pass, "backbone.norm", class)
    }
}

fn layer_norm(pass: &mut Pass<'_>, name: &str, x: Tensor<2>) -> Tensor<2> {
    let centered = x.clone() - x.mean_dim(1);
    let variance = (centered.clone() * centered.clone()).mean_dim(1);
    let gamma = pass.parameter::<1>(&format!("{name}.weight")).unsqueeze();
    let beta = pass.parameter::<1>(&format!("{name}.bias")).unsqueeze();
    centered / (variance + EPSILON).sqrt() * gamma + beta
}

/// softmax(q kᵀ / √64) v, head by head. `x [n·t, c]`.
fn attention(pass: &mut Pass<'_>, name: &str, x: Tensor<2>, n: usize, tokens: usize) -> Tensor<2> {
    let width = DIM / HEADS;
    let qkv = pass
        .linear_with_bias(&format!("{name}.qkv"), x)
        .reshape([n, tokens, 3 * HEADS, width])
        .permute([0, 2, 1, 3]);
    let part = |i: usize| qkv.clone().slice([0..n, i * HEADS..(i + 1) * HEADS, 0..tokens, 0..width]);
    let scores = part(0).matmul(part(1).transpose()) / (width as f64).sqrt();
    let mixed = activation::softmax(scores, 3).matmul(part(2));
    let mixed = mixed.permute([0, 2, 1, 3]).reshape([n * tokens, DIM]);
    pass.linear_with_bias(&format!("{name}.proj"), mixed)
}
