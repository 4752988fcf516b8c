//! Residual networks (He et al. 2016), as torchvision builds and names them (stride in the 3 × 3 convolution of a
//! bottleneck), with either stem.

use burn::tensor::Tensor;

use super::parameters::{Declare, Pass};
use crate::ops;

/// A residual network: stages of blocks, each stage after the first halving the image.
pub(super) struct ResNet {
    imagenet_stem: bool,
    /// Blocks and base width of each stage.
    stages: Vec<(usize, usize)>,
    block: Block,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// Two 3 × 3 convolutions.
    Basic,
    /// 1 × 1, 3 × 3, 1 × 1; four times as wide outside as inside.
    Bottleneck,
}

impl Block {
    fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// One block's place in the network.
struct Place {
    name: String,
    input: usize,
    width: usize,
    output: usize,
    stride: usize,
}

impl Place {
    fn changes_shape(&self) -> bool {
        self.stride != 1 || self.input != self.output
    }
}

impl ResNet {
    pub(super) fn small(imagenet_stem: bool) -> Self {
        Self { imagenet_stem, stages: vec![(1, 16), (1, 32), (1, 64), (1, 128)], block: Block::Basic }
    }

    pub(super) fn basic(blocks: [usize; 4], imagenet_stem: bool) -> Self {
        Self { imagenet_stem, stages: four_stages(blocks), block: Block::Basic }
    }

    pub(super) fn bottleneck(blocks: [usize; 4], imagenet_stem: bool) -> Self {
        Self { imagenet_stem, stages: four_stages(blocks), block: Block::Bottleneck }
    }

    pub(super) fn dim(&self) -> usize {
        self.stages.last().map_or(0, |stage| stage.1) * self.block.expansion()
    }

    pub(super) fn describe(&self) -> String {
        let stem = if self.imagenet_stem {
            "ImageNet stem: 7 × 7, stride 2, pooling"
        } else {
            "small stem: 3 × 3, stride 1"
        };
        let widths: Vec<String> =
            self.stages.iter().map(|(blocks, width)| format!("{blocks} × {width}")).collect();
        format!("{stem}; stages {}", widths.join(", "))
    }

    pub(super) fn declare(&self, declare: &mut Declare, channels: usize) {
        let kernel = if self.imagenet_stem { 7 } else { 3 };
        let stem_width = self.stages[0].1;
        declare.convolution("backbone.conv1", stem_width, channels, kernel);
        declare.batch_norm("backbone.bn1", stem_width);
        for Place { name, input, width, output, stride } in self.places() {
            let shapes: &[(usize, usize, usize)] = match self.block {
                Block::Basic => &[(width, input, 3), (output, width, 3)],
                Block::Bottleneck => &[(width, input, 1), (width, width, 3), (output, width, 1)],
            };
            for (i, &(out, channels, kernel)) in shapes.iter().enumerate() {
                declare.convolution(&format!("{name}.conv{}", i + 1), out, channels, kernel);
                declare.batch_norm(&format!("{name}.bn{}", i + 1), out);
            }
            if stride != 1 || input != output {
                declare.convolution(&format!("{name}.downsample.0"), output, input, 1);
                declare.batch_norm(&format!("{name}.downsample.1"), output);
            }
        }
    }

    pub(super) fn forward(&self, pass: &mut Pass<'_>, images: Tensor<4>) -> Tensor<2> {
        let (stride, padding) = if self.imagenet_stem { (2, 3) } else { (1, 1) };
        let mut x = pass.convolution("backbone.conv1", images, stride, padding);
        x = pass.batch_norm("backbone.bn1", x, None, true);
        if self.imagenet_stem {
            x = ops::max_pool(x);
        }
        for place in self.places() {
            x = self.block(pass, &place, x);
        }
        ops::mean_pool(x)
    }

    fn block(&self, pass: &mut Pass<'_>, place: &Place, x: Tensor<4>) -> Tensor<4> {
        let Place { name, stride, .. } = place;
        let shortcut = if place.changes_shape() {
            let y = pass.convolution(&format!("{name}.downsample.0"), x.clone(), *stride, 0);
            pass.batch_norm(&format!("{name}.downsample.1"), y, None, false)
        } else {
            x.clone()
        };
        // Stride and padding of each convolution.
        let steps: &[(usize, usize)] = match self.block {
            Block::Basic => &[(*stride, 1), (1, 1)],
            Block::Bottleneck => &[(1, 0), (*stride, 1), (1, 0)],
        };
        let mut x = x;
        for (i, &(stride, padding)) in steps.iter().enumerate() {
            x = pass.convolution(&format!("{name}.conv{}", i + 1), x, stride, padding);
            let residual = (i + 1 == steps.len()).then(|| shortcut.clone());
            x = pass.batch_norm(&format!("{name}.bn{}", i + 1), x, residual, true);
        }
        x
    }

    /// Every block in order.
    fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        let mut input = self.stages[0].1;
        for (stage, &(blocks, width)) in self.stages.iter().enumerate() {
            let output = width * self.block.expansion();
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                places.push(Place {
                    name: format!("backbone.layer{}.{block}", stage + 1),
                    input,
                    width,
                    output,
                    stride,
                });
                input = output;
            }
        }
        places
    }
}

fn four_stages(blocks: [usize; 4]) -> Vec<(usize, usize)> {
    blocks.into_iter().zip([64, 128, 256, 512]).collect()
}
