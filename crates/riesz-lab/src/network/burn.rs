//! The engine that runs networks on GPUs: each layer in Burn's own operations, differentiated by Burn.
//!
//! Maps are tensors `[n, h, w, c]`, as on processors; convolutions see them as `[n, c, h, w]`. Parameters are flat, in the order
//! of their shapes. Held to the processor's engine by `tests/gpu`.

use std::ops::Range;

use ::burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use ::burn::tensor::{Device, Tensor, TensorData, activation, module};
use riesz::Matrix;
use riesz::rng::Key;

use super::{BATCH_EPSILON, BATCH_MOMENTUM, LAYER_EPSILON, Layer, Network, Op, Role, Spec};

/// A network with its numbers on a device.
#[derive(Debug)]
pub struct Engine {
    network: Network,
    device: Device,
    /// The device for training passes.
    tracking: Device,
    tensors: Vec<Held>,
    /// z of the last training pass, tracked.
    passed: Option<Tensor<2>>,
}

/// A tensor of the network.
#[derive(Debug)]
pub struct Held {
    /// Name, shape and role.
    pub spec: Spec,
    /// Its numbers, flat, not tracked.
    pub values: Tensor<1>,
    /// Their gradient in the last way back, of what is learned.
    pub gradient: Option<Tensor<1>>,
    /// The tracked copy that the last training pass used, of what is learned.
    leaf: Option<Tensor<1>>,
}

impl Engine {
    /// A network whose first numbers are a function of `key`: those of the processor's engine.
    pub fn new(network: Network, key: Key, device: &Device) -> Self {
        let held =
            |spec: Spec| Held { values: flat(&spec.begin(key), device), spec, gradient: None, leaf: None };
        let tensors = network.tensors().into_iter().map(held).collect();
        let tracking = device.clone().autodiff();
        Self { network, device: device.clone(), tracking, tensors, passed: None }
    }

    /// From now on Burn's autodiff makes outcomes of cheap operations again on the way back ("balanced checkpointing"): those of
    /// products and convolutions it keeps.
    pub fn recompute(&mut self) {
        self.tracking = self.tracking.clone().gradient_checkpointing();
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Where its numbers are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// All tensors, layer by layer.
    pub fn tensors(&self) -> &[Held] {
        &self.tensors
    }

    /// All tensors, to be changed: their numbers, not their lengths.
    pub fn tensors_mut(&mut self) -> &mut [Held] {
        &mut self.tensors
    }

    /// Gives tensor `place` other numbers, in the order of its shape.
    pub fn set(&mut self, place: usize, values: &[f32]) {
        self.tensors[place].values = flat(values, &self.device);
    }

    /// h and z of a training batch, not tracked: batch norms use the batch's own moments, which also go into the running ones.
    pub fn forward(&mut self, images: &[f32]) -> [Tensor<2>; 2] {
        let tracking = &self.tracking;
        let tracked: Vec<Tensor<1>> = self
            .tensors
            .iter_mut()
            .map(|tensor| {
                let leaf = follow(tensor.values.clone(), tracking);
                let is_learned = matches!(tensor.spec.role, Role::Learned { .. });
                tensor.leaf = is_learned.then(|| leaf.clone().require_grad());
                tensor.gradient = None;
                tensor.leaf.clone().unwrap_or(leaf)
            })
            .collect();
        let images = self.images(images, &self.tracking);
        let mut moments = Vec::new();
        let [h, z] = self.pass(images, &tracked, Some(&mut moments));
        for (place, of_batch) in moments {
            let running = &mut self.tensors[place].values;
            *running = running.clone() * (1.0 - BATCH_MOMENTUM) + of_batch * BATCH_MOMENTUM;
        }
        self.passed = Some(z.clone());
        [h.inner(), z.inner()]
    }

    /// z as [`forward`](Self::forward) gives it, with nothing kept for a way back; the running moments stay.
    pub fn forward_only(&self, images: &[f32]) -> Tensor<2> {
        let values: Vec<Tensor<1>> = self.tensors.iter().map(|tensor| tensor.values.clone()).collect();
        let [_, z] = self.pass(self.images(images, &self.device), &values, Some(&mut Vec::new()));
        z
    }

    /// The gradient of every learned tensor of Σ z · `of_z`, after [`forward`](Self::forward).
    ///
    /// # Panics
    /// If there was no such pass, or `of_z` is not as large as z.
    pub fn backward(&mut self, of_z: Tensor<2>) {
        let z = self.passed.take().expect("a pass was made");
        // The gradient of Σ z·g with g held fixed is g.
        let mut gradients = (z * follow(of_z, &self.tracking)).sum().backward();
        for tensor in &mut self.tensors {
            tensor.gradient = tensor.leaf.take().and_then(|leaf| leaf.grad_remove(&mut gradients));
        }
    }

    /// h and z of images, each by itself, by the running moments.
    pub fn embed(&self, images: &[f32]) -> [Tensor<2>; 2] {
        let values: Vec<Tensor<1>> = self.tensors.iter().map(|tensor| tensor.values.clone()).collect();
        self.pass(self.images(images, &self.device), &values, None)
    }

    fn images(&self, images: &[f32], device: &Device) -> Tensor<4> {
        let [h, w, c] = self.network.image_shape();
        let n = images.len() / (h * w * c);
        let images = Tensor::from_data(TensorData::new(images.to_vec(), [n, h, w, c]), device);
        let Some(pixels) = self.network.pixels() else { return images };
        let [mean, deviation] =
            pixels.each_ref().map(|x| Tensor::from_data(TensorData::new(x.clone(), [1, 1, 1, c]), device));
        (images - mean) / deviation
    }

    /// h and z by these numbers; in training, `moments` gets what the running moments follow, each with its tensor's place.
    fn pass(
        &self,
        images: Tensor<4>,
        numbers: &[Tensor<1>],
        mut moments: Option<&mut Vec<(usize, Tensor<1>)>>,
    ) -> [Tensor<2>; 2] {
        let layers = self.network.layers();
        let [n, ..] = images.dims();
        let mut maps: Vec<Option<Tensor<4>>> = vec![Some(images)];
        let mut ends = Vec::new();
        let mut first = 0;
        for (i, layer) in layers.iter().enumerate().skip(1) {
            let own: Range<usize> = first..self.first_from(first, i + 1);
            first = own.end;
            let inputs: Vec<Tensor<4>> =
                layer.inputs.iter().map(|&input| maps[input].clone().expect("it is read later")).collect();
            for &input in &layer.inputs {
                if self.network.readers(input).all(|reader| reader <= i) {
                    maps[input] = None;
                }
            }
            let tensors = &numbers[own.clone()];
            let map = match (&layer.op, moments.as_deref_mut()) {
                (Op::BatchNorm { .. }, Some(moments)) if i >= self.network.frozen() => {
                    let (map, of_batch) = normalize_by_batch(layer, tensors, inputs);
                    moments.extend([own.start + 2, own.start + 3].into_iter().zip(of_batch));
                    map
                }
                _ => outcome(layer, tensors, inputs),
            };
            let is_end = i == self.network.representation() || i + 1 == layers.len();
            if is_end {
                ends.push(map.clone().reshape([n, layer.size()]));
            }
            maps.push(Some(map));
        }
        let z = ends.last().expect("a network has layers").clone();
        [ends.swap_remove(0), z]
    }

    /// The first tensor, from `first` on, of layer `layer` or a later one.
    fn first_from(&self, first: usize, layer: usize) -> usize {
        let rest = self.tensors[first..].iter();
        first + rest.take_while(|tensor| tensor.spec.layer < layer).count()
    }
}

/// What a layer makes of its inputs; batch norms by their running moments.
fn outcome(layer: &Layer, own: &[Tensor<1>], inputs: Vec<Tensor<4>>) -> Tensor<4> {
    let [h, w, c] = layer.shape;
    let mut inputs = inputs.into_iter();
    let x = inputs.next().expect("a layer reads another");
    let [n, in_h, in_w, in_c] = x.dims();
    match layer.op {
        Op::Convolve { kernel, stride, padding, bias } => {
            let weight = own[0].clone().reshape([c, in_c, kernel, kernel]);
            let options = ConvOptions::new([stride, stride], [padding, padding], [1, 1], 1);
            let bias = bias.then(|| own[1].clone());
            channels_last(module::conv2d(channels_first(x), weight, bias, options))
        }
        Op::Linear { bias } => {
            let weight = own[0].clone().reshape([c, in_c]);
            let y = x.reshape([n * h * w, in_c]).matmul(weight.transpose());
            let y = if bias { y + own[1].clone().unsqueeze() } else { y };
            y.reshape([n, h, w, c])
        }
        Op::BatchNorm { relu, .. } => {
            let x = x.reshape([n * h * w, c]) - own[2].clone().unsqueeze();
            finish_norm(x, own[3].clone().unsqueeze(), own, [n, h, w, c], inputs.next(), relu)
        }
        Op::MaxPool => {
            let options = MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
            channels_last(module::max_pool2d(channels_first(x), options))
        }
        Op::MeanPool => x.reshape([n, in_h * in_w, c]).mean_dim(1).reshape([n, 1, 1, c]),
        Op::Tokens => {
            let class = own[0].clone().reshape([1, 1, c]).repeat_dim(0, n);
            let tokens = Tensor::cat(vec![class, x.reshape([n, h - 1, c])], 1);
            (tokens + own[1].clone().reshape([1, h, c])).reshape([n, h, 1, c])
        }
        Op::LayerNorm => {
            let x = x.reshape([n * h * w, c]);
            let centered = x.clone() - x.mean_dim(1);
            let variance = (centered.clone() * centered.clone()).mean_dim(1);
            let normal = centered / (variance + LAYER_EPSILON).sqrt();
            (normal * own[0].clone().unsqueeze() + own[1].clone().unsqueeze()).reshape([n, h, w, c])
        }
        // Written out, as Burn's own operation has on GPUs the derivative of another function, the approximation by tanh
        // (0.22.1).
        Op::Gelu => x.clone() * ((x * std::f64::consts::FRAC_1_SQRT_2).erf() * 0.5 + 0.5),
        Op::Attention { heads } => {
            let width = c / heads;
            let qkv = x.reshape([n, h, 3 * heads, width]).permute([0, 2, 1, 3]);
            let part = |i: usize| qkv.clone().slice([0..n, i * heads..(i + 1) * heads, 0..h, 0..width]);
            let scores = part(0).matmul(part(1).transpose()) / (width as f64).sqrt();
            let mixed = activation::softmax(scores, 3).matmul(part(2));
            mixed.permute([0, 2, 1, 3]).reshape([n, h, 1, c])
        }
        Op::Add => x + inputs.next().expect("a sum is of two"),
        Op::First => x.slice([0..n, 0..1, 0..1, 0..c]),
        Op::Images => unreachable!("images are the first layer"),
    }
}

/// A batch norm by the batch's own moments; and these, the variance unbiased, not tracked.
fn normalize_by_batch(
    layer: &Layer,
    own: &[Tensor<1>],
    inputs: Vec<Tensor<4>>,
) -> (Tensor<4>, [Tensor<1>; 2]) {
    let ([h, w, c], Op::BatchNorm { relu, .. }) = (layer.shape, layer.op.clone()) else {
        unreachable!("{} is no batch norm", layer.name)
    };
    let mut inputs = inputs.into_iter();
    let x = inputs.next().expect("a layer reads another");
    let [n, ..] = x.dims();
    let rows = n * h * w;
    let x = x.reshape([rows, c]);
    let mean = x.clone().mean_dim(0);
    let centered = x - mean.clone();
    let variance = (centered.clone() * centered.clone()).mean_dim(0);
    let unbiased = variance.clone().inner() * (rows as f64 / (rows as f64 - 1.0).max(1.0));
    let moments = [mean.inner().reshape([c]), unbiased.reshape([c])];
    (finish_norm(centered, variance, own, [n, h, w, c], inputs.next(), relu), moments)
}

/// γ x / √(variance + ε) + β of centered rows x, the residual added, then max(0, ·) if `relu`.
fn finish_norm(
    centered: Tensor<2>,
    variance: Tensor<2>,
    own: &[Tensor<1>],
    shape: [usize; 4],
    residual: Option<Tensor<4>>,
    relu: bool,
) -> Tensor<4> {
    let scale = own[0].clone().unsqueeze() / (variance + BATCH_EPSILON).sqrt();
    let mut y = (centered * scale + own[1].clone().unsqueeze()).reshape(shape);
    if let Some(residual) = residual {
        y = y + residual;
    }
    if relu { activation::relu(y) } else { y }
}

fn channels_first(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

fn channels_last(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}

/// A tensor that is not tracked, as one of the device `tracking`: all that meet in an operation must have one strategy.
fn follow<const D: usize>(x: Tensor<D>, tracking: &Device) -> Tensor<D> {
    let strategy = tracking.gradient_checkpointing_strategy().expect("a device that tracks has a strategy");
    Tensor::from_inner(x).with_gradient_checkpointing_strategy(strategy)
}

fn flat(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// Rows from the host on a device.
pub fn rows(rows: &Matrix<f32>, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(rows.as_slice().to_vec(), [rows.len(), rows.dim()]), device)
}

/// Rows from a device on the host.
pub fn matrix(rows: Tensor<2>) -> Matrix<f32> {
    let [_, dim] = rows.dims();
    Matrix::new(rows.into_data().try_into_vec::<f32>().expect("networks compute in f32"), dim)
}
