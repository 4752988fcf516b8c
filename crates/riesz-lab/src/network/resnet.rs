//! Residual networks (He et al. 2016), as torchvision builds and names them (stride in the 3 × 3 convolution of a bottleneck),
//! with either stem.

use super::Builder;

/// Blocks of one width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// How many.
    pub blocks: usize,
    /// Channels of their 3 × 3 convolutions.
    pub width: usize,
}

/// The residual blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residual {
    /// Two 3 × 3 convolutions.
    Basic,
    /// 1 × 1, 3 × 3, 1 × 1; four times as wide outside as inside.
    Bottleneck,
}

impl Residual {
    /// Channels of a block's output for its width.
    pub fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

impl Builder {
    /// A residual network from the newest layer to h. Each stage after the first halves the image. The ImageNet stem is a
    /// 7 × 7 convolution with stride 2 and max pooling; the other one 3 × 3 convolution.
    ///
    /// # Panics
    /// If there is no stage.
    pub fn resnet(&mut self, imagenet_stem: bool, residual: Residual, stages: &[Stage]) -> usize {
        let images = self.last();
        let (kernel, stride, padding) = if imagenet_stem { (7, 2, 3) } else { (3, 1, 1) };
        let stem = stages[0].width;
        let x = self.convolve("backbone.conv1", images, stem, kernel, stride, padding, false);
        let mut x = self.batch_norm("backbone.bn1", x, None, true, true);
        if imagenet_stem {
            x = self.max_pool(x);
        }
        self.end_stage("stem");
        for (i, stage) in stages.iter().enumerate() {
            for block in 0..stage.blocks {
                let stride = if i > 0 && block == 0 { 2 } else { 1 };
                let name = format!("backbone.layer{}.{block}", i + 1);
                x = self.residual(&name, x, residual, stage.width, stride);
            }
            self.end_stage(&format!("layer{}", i + 1));
        }
        self.mean_pool(x)
    }

    fn residual(&mut self, name: &str, x: usize, residual: Residual, width: usize, stride: usize) -> usize {
        let output = width * residual.expansion();
        let shortcut = if stride != 1 || self.shape(x)[2] != output {
            let y = self.convolve(&format!("{name}.downsample.0"), x, output, 1, stride, 0, false);
            self.batch_norm(&format!("{name}.downsample.1"), y, None, false, true)
        } else {
            x
        };
        // Output, kernel, stride and padding of each convolution.
        let steps: &[(usize, usize, usize, usize)] = match residual {
            Residual::Basic => &[(width, 3, stride, 1), (output, 3, 1, 1)],
            Residual::Bottleneck => &[(width, 1, 1, 0), (width, 3, stride, 1), (output, 1, 1, 0)],
        };
        let mut x = x;
        for (i, &(out, kernel, stride, padding)) in steps.iter().enumerate() {
            x = self.convolve(&format!("{name}.conv{}", i + 1), x, out, kernel, stride, padding, false);
            let residual = (i + 1 == steps.len()).then_some(shortcut);
            x = self.batch_norm(&format!("{name}.bn{}", i + 1), x, residual, true, true);
        }
        x
    }
}
