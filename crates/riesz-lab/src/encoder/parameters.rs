//! The numbers of an encoder: parameters (learned) and buffers (running statistics), flat tensors by name; and the two
//! ways to go over them: [`Declare`] makes them, [`Pass`] uses them.

use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use riesz::rng::{Key, normal, uniform};

use crate::tensors::NamedTensor;
use crate::{Error, Result, ops};

/// ε of batch norm, as torch's default.
const BATCH_EPSILON: f64 = 1e-5;
/// How much of a batch's statistics goes into the running ones, as torch's default.
const BATCH_MOMENTUM: f64 = 0.1;

struct Parameter {
    /// Not tracked by autodiff.
    value: Tensor<1>,
    shape: Vec<usize>,
    decays: bool,
}

/// All numbers of an encoder.
#[derive(Default)]
pub(super) struct Parameters {
    parameters: BTreeMap<String, Parameter>,
    /// Never tracked by autodiff.
    buffers: BTreeMap<String, Tensor<1>>,
    /// The tracked copies that the last training pass used.
    leaves: BTreeMap<String, Tensor<1>>,
}

impl Parameters {
    pub(super) fn update(
        &mut self,
        gradients: &mut Gradients,
        mut update: impl FnMut(&str, bool, Tensor<1>, Tensor<1>) -> Tensor<1>,
    ) {
        for (name, leaf) in std::mem::take(&mut self.leaves) {
            let Some(gradient) = leaf.grad_remove(gradients) else { continue };
            let parameter = self.parameters.get_mut(&name).expect("a leaf is made of a parameter");
            parameter.value = update(&name, parameter.decays, parameter.value.clone(), gradient);
        }
    }

    pub(super) fn named_tensors(&self) -> Vec<NamedTensor> {
        let host = |name: &String, value: &Tensor<1>, shape: &[usize]| NamedTensor {
            name: name.clone(),
            shape: shape.to_vec(),
            values: value.to_data().try_into_vec().expect("encoders compute in f32"),
        };
        let parameters = self.parameters.iter().map(|(name, p)| host(name, &p.value, &p.shape));
        let buffers = self.buffers.iter().map(|(name, b)| host(name, b, &b.dims()));
        let mut all: Vec<NamedTensor> = parameters.chain(buffers).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    pub(super) fn load(&mut self, tensors: &[NamedTensor]) -> Result<()> {
        let expected = self.parameters.len() + self.buffers.len();
        if tensors.len() != expected {
            return Err(Error::input(format!("{} tensors; this encoder has {expected}", tensors.len())));
        }
        for tensor in tensors {
            let (value, shape) = match self.parameters.get_mut(&tensor.name) {
                Some(parameter) => (&mut parameter.value, parameter.shape.clone()),
                None => {
                    let buffer = self.buffers.get_mut(&tensor.name).ok_or_else(|| {
                        Error::input(format!("{}: this encoder has no tensor of that name", tensor.name))
                    })?;
                    let shape = buffer.dims().to_vec();
                    (buffer, shape)
                }
            };
            if tensor.shape != shape {
                return Err(Error::input(format!(
                    "{}: shape {:?}; this encoder's is {shape:?}",
                    tensor.name, tensor.shape
                )));
            }
            *value = flat(tensor.values.clone(), &value.device());
        }
        Ok(())
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        let (mut backbone, mut projector) = (0, 0);
        for (name, parameter) in &self.parameters {
            let count = parameter.shape.iter().product::<usize>();
            if name.starts_with("projector.") { projector += count } else { backbone += count }
        }
        (backbone, projector)
    }
}

fn flat(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

/// Makes parameters and buffers; each draw is keyed by the parameter's name.
pub(super) struct Declare {
    key: Key,
    device: Device,
    made: Parameters,
}

impl Declare {
    pub(super) fn new(key: Key, device: Device) -> Self {
        Self { key, device, made: Parameters::default() }
    }

    pub(super) fn finish(self) -> Parameters {
        self.made
    }

    /// A convolution without bias; N(0, 2/(k² · out)) (He et al. 2015, fan out).
    pub(super) fn convolution(&mut self, name: &str, out: usize, channels: usize, kernel: usize) {
        let deviation = (2.0 / (kernel * kernel * out) as f64).sqrt();
        self.draw(&format!("{name}.weight"), &[out, channels, kernel, kernel], |rng| deviation * normal(rng));
    }

    /// A linear layer; U(±1/√in) for the weight and, if there is one, the bias (torch's default).
    pub(super) fn linear(&mut self, name: &str, out: usize, input: usize, bias: bool) {
        let bound = 1.0 / (input as f64).sqrt();
        self.draw(&format!("{name}.weight"), &[out, input], |rng| bound * (2.0 * uniform(rng) - 1.0));
        if bias {
            self.draw(&format!("{name}.bias"), &[out], |rng| bound * (2.0 * uniform(rng) - 1.0));
        }
    }

    /// A bias of zeros.
    pub(super) fn bias(&mut self, name: &str, length: usize) {
        self.constant(&format!("{name}.bias"), &[length], 0.0);
    }

    /// A batch norm: γ = 1, β = 0, running mean 0 and variance 1.
    pub(super) fn batch_norm(&mut self, name: &str, channels: usize) {
        self.constant(&format!("{name}.weight"), &[channels], 1.0);
        self.constant(&format!("{name}.bias"), &[channels], 0.0);
        self.statistics(name, channels);
    }

    /// A batch norm whose shift stays 0: it is a buffer.
    pub(super) fn batch_norm_without_shift(&mut self, name: &str, channels: usize) {
        self.constant(&format!("{name}.weight"), &[channels], 1.0);
        self.buffer(&format!("{name}.bias"), channels, 0.0);
        self.statistics(name, channels);
    }

    /// A layer norm: γ = 1, β = 0.
    pub(super) fn layer_norm(&mut self, name: &str, dim: usize) {
        self.constant(&format!("{name}.weight"), &[dim], 1.0);
        self.constant(&format!("{name}.bias"), &[dim], 0.0);
    }

    /// A parameter drawn from N(0, deviation²).
    pub(super) fn normal(&mut self, name: &str, shape: &[usize], deviation: f64) {
        self.draw(name, shape, |rng| deviation * normal(rng));
    }

    fn statistics(&mut self, name: &str, channels: usize) {
        self.buffer(&format!("{name}.running_mean"), channels, 0.0);
        self.buffer(&format!("{name}.running_var"), channels, 1.0);
    }

    fn draw(
        &mut self,
        name: &str,
        shape: &[usize],
        mut draw: impl FnMut(&mut riesz::rng::ChaCha8Rng) -> f64,
    ) {
        let mut rng = self.key.stream(name).rng();
        let values = (0..shape.iter().product()).map(|_| draw(&mut rng) as f32).collect();
        self.parameter(name, shape, values);
    }

    fn constant(&mut self, name: &str, shape: &[usize], value: f32) {
        self.parameter(name, shape, vec![value; shape.iter().product()]);
    }

    fn parameter(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        // Vectors are biases and normalizations; what is a matrix or more is a weight.
        let decays = shape.len() > 1 && !name.ends_with("pos_embed") && !name.ends_with("cls_token");
        let parameter = Parameter { value: flat(values, &self.device), shape: shape.to_vec(), decays };
        assert!(
            self.made.parameters.insert(name.to_owned(), parameter).is_none(),
            "{name} is declared twice"
        );
    }

    fn buffer(&mut self, name: &str, length: usize, value: f32) {
        let value = flat(vec![value; length], &self.device);
        self.made.buffers.insert(name.to_owned(), value);
    }
}

/// A forward pass: layers by name.
pub(super) struct Pass<'a> {
    mode: Mode<'a>,
}

enum Mode<'a> {
    Train(&'a mut Parameters),
    Eval(&'a Parameters),
}

impl<'a> Pass<'a> {
    pub(super) fn train(parameters: &'a mut Parameters) -> Self {
        parameters.leaves.clear();
        Self { mode: Mode::Train(parameters) }
    }

    pub(super) fn eval(parameters: &'a Parameters) -> Self {
        Self { mode: Mode::Eval(parameters) }
    }

    /// A parameter in its shape: tracked in training.
    pub(super) fn parameter<const D: usize>(&mut self, name: &str) -> Tensor<D> {
        let missing = || panic!("the encoder has no parameter {name}");
        match &mut self.mode {
            Mode::Train(all) => {
                let parameter = all.parameters.get(name).unwrap_or_else(missing);
                let shape = parameter.shape.clone();
                let leaf = Tensor::from_inner(parameter.value.clone()).require_grad();
                all.leaves.insert(name.to_owned(), leaf.clone());
                leaf.reshape(array::<D>(&shape))
            }
            Mode::Eval(all) => {
                let parameter = all.parameters.get(name).unwrap_or_else(missing);
                parameter.value.clone().reshape(array::<D>(&parameter.shape))
            }
        }
    }

    fn buffer(&self, name: &str) -> Tensor<1> {
        let all: &Parameters = match &self.mode {
            Mode::Train(all) => all,
            Mode::Eval(all) => all,
        };
        all.buffers.get(name).unwrap_or_else(|| panic!("the encoder has no buffer {name}")).clone()
    }

    pub(super) fn convolution(
        &mut self,
        name: &str,
        x: Tensor<4>,
        stride: usize,
        padding: usize,
    ) -> Tensor<4> {
        let weight = self.parameter::<4>(&format!("{name}.weight"));
        ops::conv2d(x, weight, stride, padding)
    }

    /// `[n, in]` → `[n, out]`, without bias.
    pub(super) fn linear(&mut self, name: &str, x: Tensor<2>) -> Tensor<2> {
        let weight = self.parameter::<2>(&format!("{name}.weight"));
        let ([n, input], [out, _]) = (x.dims(), weight.dims());
        // A linear layer is a convolution of one pixel, whose bits do not depend on threads.
        let y = ops::conv2d(x.reshape([n, 1, 1, input]), weight.reshape([out, input, 1, 1]), 1, 0);
        y.reshape([n, out])
    }

    /// As `linear`, with bias.
    pub(super) fn linear_with_bias(&mut self, name: &str, x: Tensor<2>) -> Tensor<2> {
        let y = self.linear(name, x);
        y + self.parameter::<1>(&format!("{name}.bias")).unsqueeze()
    }

    /// Batch norm, then the residual, then max(0, ·) if `relu`.
    pub(super) fn batch_norm(
        &mut self,
        name: &str,
        x: Tensor<4>,
        residual: Option<Tensor<4>>,
        relu: bool,
    ) -> Tensor<4> {
        let bias_name = format!("{name}.bias");
        let gamma = self.parameter::<1>(&format!("{name}.weight"));
        let is_learned = match &self.mode {
            Mode::Train(all) => all.parameters.contains_key(&bias_name),
            Mode::Eval(all) => all.parameters.contains_key(&bias_name),
        };
        let beta = match (is_learned, &self.mode) {
            (true, _) => self.parameter::<1>(&bias_name),
            (false, Mode::Train(_)) => Tensor::from_inner(self.buffer(&bias_name)),
            (false, Mode::Eval(_)) => self.buffer(&bias_name),
        };
        let (mean_name, variance_name) = (format!("{name}.running_mean"), format!("{name}.running_var"));
        match &mut self.mode {
            Mode::Eval(_) => {
                let (mean, variance) = (self.buffer(&mean_name), self.buffer(&variance_name));
                ops::batch_norm_eval(x, gamma, beta, mean, variance, BATCH_EPSILON, residual, relu)
            }
            Mode::Train(all) => {
                let [n, h, w, _] = x.dims();
                let rows = (n * h * w) as f64;
                let (y, mean, variance) =
                    ops::batch_norm_train(x, gamma, beta, BATCH_EPSILON, residual, relu);
                let unbiased = variance * (rows / (rows - 1.0).max(1.0));
                for (name, batch) in [(mean_name, mean), (variance_name, unbiased)] {
                    let buffer = all.buffers.get_mut(&name).expect("a batch norm has running statistics");
                    *buffer = buffer.clone() * (1.0 - BATCH_MOMENTUM) + batch * BATCH_MOMENTUM;
                }
                y
            }
        }
    }
}

fn array<const D: usize>(shape: &[usize]) -> [usize; D] {
    shape.try_into().unwrap_or_else(|_| panic!("a tensor of shape {shape:?} used with {D} dimensions"))
}
