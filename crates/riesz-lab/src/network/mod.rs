//! A network is a value: layers in order of execution, each with its name, its inputs and its shape; no numbers in it.
//! Two engines evaluate it: [`cpu`], and `burn` in a program that is built for a GPU. Counting, naming, drawing the first
//! weights and describing are walks over it.
//!
//! Shapes are those of one image, `[h, w, c]`; tokens and rows have w = 1. Names are torchvision's and timm's, so that the
//! weights can be read elsewhere.

#[cfg(feature = "gpu")]
pub mod burn;
pub mod cpu;
mod resnet;
mod stages;
mod tensors;
mod vit;

pub use resnet::{Residual, Stage};
pub use stages::BACKBONE;
pub(crate) use tensors::thousands;
pub use tensors::{Draw, Role, Spec};
pub use vit::VitSize;

/// ε of batch norm, as torch's default.
pub(crate) const BATCH_EPSILON: f64 = 1e-5;
/// How much of a batch's moments goes into the running ones, as torch's default.
const BATCH_MOMENTUM: f64 = 0.1;
/// ε of layer norm, as timm's.
pub(crate) const LAYER_EPSILON: f32 = 1e-6;

/// What a layer does with its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The images themselves: always the first layer, and no other.
    Images,
    /// Cross-correlation with zeros around; weight `[out, in, kernel, kernel]`.
    Convolve {
        /// Side of the kernel.
        kernel: usize,
        /// Step between outputs.
        stride: usize,
        /// Zeros on each side.
        padding: usize,
        /// Whether a learned number is added to each channel.
        bias: bool,
    },
    /// Each pixel's or token's channels by a matrix; weight `[out, in]`.
    Linear {
        /// Whether a learned number is added to each channel.
        bias: bool,
    },
    /// Normalization of each channel over all images and pixels, then the second input, if there is one, is added, then
    /// max(0, ·) if `relu`.
    BatchNorm {
        /// Whether negative numbers become 0.
        relu: bool,
        /// Whether the shift β is learned; else it stays 0.
        shift: bool,
    },
    /// Maxima of 3 × 3 pixels, stride 2, nothing around.
    MaxPool,
    /// The mean of all pixels.
    MeanPool,
    /// A learned token before all others, and a learned number for each place added.
    Tokens,
    /// Normalization of each token's channels.
    LayerNorm,
    /// x Φ(x), Φ the normal distribution.
    Gelu,
    /// softmax(q kᵀ / √width) v in each head, of channels that hold q, k and v of all heads one after another.
    Attention {
        /// Heads.
        heads: usize,
    },
    /// The sum of two inputs.
    Add,
    /// The first token.
    First,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Where its weights are found; layers without weights have names for messages only.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// The layers that it reads, earlier ones.
    pub inputs: Vec<usize>,
    /// `[h, w, c]` of its output.
    pub shape: [usize; 3],
}

impl Layer {
    /// Numbers of its output for one image.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Channels of its output.
    pub fn channels(&self) -> usize {
        self.shape[2]
    }
}

/// Layers from images to embeddings: the last one's output is z, [`representation`](Network::representation)'s is h.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    title: String,
    layers: Vec<Layer>,
    representation: usize,
    /// Parts of the backbone from the images up, each with the number of layers up to its end.
    stages: Vec<(String, usize)>,
    /// Layers at the beginning that do not learn: at least the images.
    frozen: usize,
    /// What is taken from each channel of the images, and what the rest is divided by.
    pixels: Option<[Vec<f32>; 2]>,
}

impl Network {
    /// All layers, each after those that it reads.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The layer whose output is the representation h.
    pub fn representation(&self) -> usize {
        self.representation
    }

    /// The same network by another title, which is for messages only.
    #[must_use]
    pub fn titled(self, title: String) -> Self {
        Self { title, ..self }
    }

    /// The same network, which begins by (x − mean) / deviation of each channel: what other people's weights were trained on.
    ///
    /// # Panics
    /// If they are not one number a channel.
    #[must_use]
    pub fn with_pixels(self, mean: Vec<f32>, deviation: Vec<f32>) -> Self {
        let channels = self.layers[0].channels();
        assert!(mean.len() == channels && deviation.len() == channels, "{channels} channels");
        Self { pixels: Some([mean, deviation]), ..self }
    }

    /// Mean and deviation of [`with_pixels`](Self::with_pixels).
    pub fn pixels(&self) -> Option<&[Vec<f32>; 2]> {
        self.pixels.as_ref()
    }

    /// Dimensions of h and z.
    pub fn dims(&self) -> [usize; 2] {
        [self.representation, self.layers.len() - 1].map(|layer| self.layers[layer].size())
    }

    /// `[h, w, c]` of an image.
    pub fn image_shape(&self) -> [usize; 3] {
        self.layers[0].shape
    }

    /// Multiply-adds of an image's way forward and back, as the layers' definitions have them: one product forward; back one for
    /// the weights, and one for the input if that is neither an image nor frozen; frozen layers have no way back.
    pub fn training_multiply_adds(&self) -> f64 {
        let products = self.layers.iter().enumerate().map(|(i, layer)| {
            let input = layer.inputs.first().map_or(0, |&input| self.layers[input].channels());
            let of_output = match layer.op {
                Op::Convolve { kernel, .. } => kernel * kernel * input,
                Op::Linear { .. } => input,
                // Scores, and what they mix.
                Op::Attention { .. } => 2 * layer.shape[0],
                _ => 0,
            };
            let passes = match layer.inputs.first() {
                _ if i < self.frozen => 1,
                Some(&input) if input < self.frozen => 2,
                _ => 3,
            };
            (passes * of_output * layer.size()) as f64
        });
        products.sum()
    }

    /// The layers that read layer `i`.
    pub fn readers(&self, i: usize) -> impl Iterator<Item = usize> {
        (i + 1..self.layers.len()).filter(move |&j| self.layers[j].inputs.contains(&i))
    }
}

/// Puts layers one after another.
#[derive(Debug)]
pub struct Builder {
    layers: Vec<Layer>,
    stages: Vec<(String, usize)>,
}

impl Builder {
    /// Begins with images of `[h, w, c]`.
    ///
    /// # Panics
    /// If one of the three is 0.
    pub fn new(image: [usize; 3]) -> Self {
        assert!(image.iter().all(|&n| n > 0), "images of {image:?} have no pixels");
        let images = Layer { name: "images".to_owned(), op: Op::Images, inputs: Vec::new(), shape: image };
        Self { layers: vec![images], stages: Vec::new() }
    }

    /// The newest layer.
    pub fn last(&self) -> usize {
        self.layers.len() - 1
    }

    /// `[h, w, c]` of layer `i`.
    pub fn shape(&self, i: usize) -> [usize; 3] {
        self.layers[i].shape
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[usize], shape: [usize; 3]) -> usize {
        assert!(inputs.iter().all(|&i| i < self.layers.len()), "{name} reads a later layer");
        assert!(shape.iter().all(|&n| n > 0), "{name} would give {shape:?}");
        self.layers.push(Layer { name: name.to_owned(), op, inputs: inputs.to_vec(), shape });
        self.last()
    }

    /// [`Op::Convolve`] of layer `x` to `out` channels.
    ///
    /// # Panics
    /// If the kernel is larger than the image with its zeros.
    pub fn convolve(
        &mut self,
        name: &str,
        x: usize,
        out: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        bias: bool,
    ) -> usize {
        let [h, w, _] = self.shape(x);
        let side = |n: usize| {
            assert!(n + 2 * padding >= kernel, "{name}: a kernel of {kernel} does not fit {n} pixels");
            (n + 2 * padding - kernel) / stride + 1
        };
        let op = Op::Convolve { kernel, stride, padding, bias };
        self.push(name, op, &[x], [side(h), side(w), out])
    }

    /// [`Op::Linear`] of layer `x` to `out` channels.
    pub fn linear(&mut self, name: &str, x: usize, out: usize, bias: bool) -> usize {
        let [h, w, _] = self.shape(x);
        self.push(name, Op::Linear { bias }, &[x], [h, w, out])
    }

    /// [`Op::BatchNorm`] of layer `x`, with `residual` added before the max.
    ///
    /// # Panics
    /// If `x` is not the newest layer, whose moments an engine has at hand, or their shapes differ.
    pub fn batch_norm(
        &mut self,
        name: &str,
        x: usize,
        residual: Option<usize>,
        relu: bool,
        shift: bool,
    ) -> usize {
        assert_eq!(x, self.last(), "{name} does not come right after what it normalizes");
        let shape = self.shape(x);
        let inputs: Vec<usize> = [x].into_iter().chain(residual).collect();
        assert!(inputs.iter().all(|&i| self.shape(i) == shape), "{name} adds layers of different shapes");
        self.push(name, Op::BatchNorm { relu, shift }, &inputs, shape)
    }

    /// [`Op::MaxPool`] of layer `x`.
    pub fn max_pool(&mut self, x: usize) -> usize {
        let [h, w, c] = self.shape(x);
        self.push("max pooling", Op::MaxPool, &[x], [h.div_ceil(2), w.div_ceil(2), c])
    }

    /// [`Op::MeanPool`] of layer `x`.
    pub fn mean_pool(&mut self, x: usize) -> usize {
        let [_, _, c] = self.shape(x);
        self.push("mean pooling", Op::MeanPool, &[x], [1, 1, c])
    }

    /// [`Op::Tokens`] of the pixels of layer `x`; parameters `{name}.cls_token` and `{name}.pos_embed`.
    pub fn tokens(&mut self, name: &str, x: usize) -> usize {
        let [h, w, c] = self.shape(x);
        self.push(name, Op::Tokens, &[x], [h * w + 1, 1, c])
    }

    /// [`Op::LayerNorm`] of layer `x`.
    pub fn layer_norm(&mut self, name: &str, x: usize) -> usize {
        let shape = self.shape(x);
        self.push(name, Op::LayerNorm, &[x], shape)
    }

    /// [`Op::Gelu`] of layer `x`.
    pub fn gelu(&mut self, x: usize) -> usize {
        let shape = self.shape(x);
        self.push("gelu", Op::Gelu, &[x], shape)
    }

    /// [`Op::Attention`] of layer `x`, whose channels are q, k and v.
    ///
    /// # Panics
    /// If the channels are not three times a multiple of `heads`.
    pub fn attention(&mut self, x: usize, heads: usize) -> usize {
        let [t, w, c] = self.shape(x);
        assert!(c.is_multiple_of(3 * heads), "{c} channels are not q, k and v of {heads} heads");
        self.push("attention", Op::Attention { heads }, &[x], [t, w, c / 3])
    }

    /// [`Op::Add`] of two layers.
    ///
    /// # Panics
    /// If their shapes differ.
    pub fn add(&mut self, x: usize, y: usize) -> usize {
        let shape = self.shape(x);
        assert_eq!(shape, self.shape(y), "layers of different shapes are added");
        self.push("sum", Op::Add, &[x, y], shape)
    }

    /// [`Op::First`] of layer `x`.
    pub fn first(&mut self, x: usize) -> usize {
        let [_, _, c] = self.shape(x);
        self.push("first token", Op::First, &[x], [1, 1, c])
    }

    /// Ends at the newest layer; h is the output of layer `representation`.
    pub fn finish(self, representation: usize) -> Network {
        let Self { layers, stages } = self;
        Network { title: "a network".to_owned(), layers, representation, stages, frozen: 1, pixels: None }
    }

    /// The projector on top of h, the newest layer, and the end: Linear, BatchNorm, ReLU, Linear, BatchNorm without learned
    /// shift (as the base code of Koromilas et al. 2024 has it); no biases.
    pub fn project(mut self, hidden: usize, output: usize) -> Network {
        let h = self.last();
        let x = self.linear("projector.0", h, hidden, false);
        let x = self.batch_norm("projector.1", x, None, true, true);
        let x = self.linear("projector.3", x, output, false);
        self.batch_norm("projector.4", x, None, false, false);
        self.finish(h)
    }
}
