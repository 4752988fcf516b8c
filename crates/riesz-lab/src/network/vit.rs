//! Vision transformers (Dosovitskiy et al. 2021; Touvron et al. 2021): patches, a class token, learned positions, pre-norm
//! layers; h is the normalized class token. Names are those of the timm library.

use super::Builder;

/// The sizes of a vision transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VitSize {
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Channels of a token.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Channels inside a layer's two linear maps.
    pub hidden: usize,
}

impl Builder {
    /// A vision transformer from the newest layer to h.
    pub fn vit(&mut self, size: VitSize) -> usize {
        let VitSize { patch, width, layers, heads, hidden } = size;
        let images = self.last();
        let x = self.convolve("backbone.patch_embed.proj", images, width, patch, patch, 0, true);
        let mut x = self.tokens("backbone", x);
        self.end_stage("stem");
        for layer in 0..layers {
            let name = format!("backbone.blocks.{layer}");
            let y = self.layer_norm(&format!("{name}.norm1"), x);
            let y = self.linear(&format!("{name}.attn.qkv"), y, 3 * width, true);
            let y = self.attention(y, heads);
            let y = self.linear(&format!("{name}.attn.proj"), y, width, true);
            x = self.add(x, y);
            let y = self.layer_norm(&format!("{name}.norm2"), x);
            let y = self.linear(&format!("{name}.mlp.fc1"), y, hidden, true);
            let y = self.gelu(y);
            let y = self.linear(&format!("{name}.mlp.fc2"), y, width, true);
            x = self.add(x, y);
            self.end_stage(&format!("blocks.{layer}"));
        }
        let class = self.first(x);
        self.layer_norm("backbone.norm", class)
    }
}
