//! A network of Burn's modules in riesz's training loop: a convolution with batch norm, the mean of all pixels as h, z = W h.
//!
//! `cargo run --release --features wgpu,burn-nn --example burn_encoder -- runs/burn epochs=5`: the run's folder, then any recipe keys.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData, activation::relu};
use burn_nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, conv::Conv2d, conv::Conv2dConfig};
use riesz::{Matrix, rng::Key};
use riesz_lab::commands::train::{carry_out, run_and_keys};
use riesz_lab::network::burn::{matrix, rows};
use riesz_lab::recipe::{BUILT_IN, Recipe};
use riesz_lab::tensors::{NamedTensor, matched};
use riesz_lab::train::{Manner, Plan};
use riesz_lab::{Result, device, encoder::Encoder, optim::Update};

#[derive(Module, Debug)]
struct Network {
    convolution: Conv2d,
    norm: BatchNorm,
    out: Linear,
}

impl Network {
    fn new(key: Key, device: &Device) -> Self {
        device.seed(key.number());
        let convolution = Conv2dConfig::new([1, 64], [5, 5]).with_stride([2, 2]).init(device);
        let (norm, out) = (BatchNormConfig::new(64).init(device), LinearConfig::new(64, 32).init(device));
        Self { convolution, norm, out }.materialize()
    }
    /// h and z; where gradients are tracked, batch norm takes the batch's moments.
    fn rows(&self, images: &[f32]) -> [Tensor<2>; 2] {
        let (n, device) = (images.len() / 784, self.out.weight.device());
        let x = Tensor::from_data(TensorData::new(images.to_vec(), [n, 1, 28, 28]), &device);
        let x = relu(self.norm.forward(self.convolution.forward(x)));
        let h = x.flatten::<3>(2, 3).mean_dim(2).reshape([n, 64]);
        [h.clone(), self.out.forward(h)]
    }
}

type Each<'a> = dyn FnMut(&str, &[usize], Tensor<1>, Option<Tensor<1>>) -> Tensor<1> + 'a;
/// Has other numbers made of a tensor's name, shape and numbers, and of its gradient if it is learned.
struct Walk<'a, 'b>(Vec<String>, Option<&'a Gradients>, &'a mut Each<'b>);
impl ModuleMapper for Walk<'_, '_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.0.push(name.to_owned());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.0.pop();
    }
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, x, mapper) = parameter.consume();
        let (shape, tracks, is_learned) = (x.dims(), x.is_autodiff(), x.is_require_grad());
        let gradient = self.1.and_then(|all| x.grad(all)).map(|g| g.flatten(0, D - 1));
        let made = (self.2)(&self.0.join("."), &shape, x.inner().flatten(0, D - 1), gradient).reshape(shape);
        let made = if tracks { made.autodiff().set_require_grad(is_learned) } else { made };
        Param::from_mapped_value(id, made, mapper)
    }
}

struct BurnEncoder(Network, Option<Tensor<2>>, Option<Gradients>);

impl Encoder for BurnEncoder {
    fn image_shape(&self) -> [usize; 3] {
        [28, 28, 1]
    }
    fn dims(&self) -> [usize; 2] {
        [64, 32]
    }
    fn describe(&self) -> String {
        format!("a convolution of Burn's, {} parameters", self.0.num_params())
    }
    fn embed(&self, images: &[f32]) -> (Matrix<f32>, Matrix<f32>) {
        let [h, z] = self.0.valid().rows(images);
        (matrix(h), matrix(z))
    }
    fn forward(&mut self, images: &[f32]) -> Matrix<f32> {
        let [_, z] = self.0.rows(images);
        matrix(self.1.insert(z).clone().inner())
    }
    fn backward(&mut self, of_z: &Matrix<f32>) {
        let of_z = rows(of_z, &self.0.valid().out.weight.device());
        self.2 = self.1.take().map(|z| (z * of_z).sum().backward());
    }
    fn update(&mut self, update: &mut Update<'_>) {
        self.0 = self.0.clone().map(&mut Walk(Vec::new(), self.2.as_ref(), &mut |name, shape, x, g| {
            let Some(g) = g else { return x };
            update.on_burn(name, shape.len() > 1, x, g)
        }));
    }
    fn named_tensors(&self) -> Vec<NamedTensor> {
        let mut all = Vec::new();
        let _ = self.0.valid().map(&mut Walk(Vec::new(), None, &mut |name, shape, x, _| {
            let values = x.to_data().try_into_vec().expect("it computes in f32");
            all.push(NamedTensor { name: name.to_owned(), shape: shape.to_vec(), values });
            x
        }));
        all
    }
    fn load(&mut self, tensors: &[NamedTensor]) -> Result<()> {
        let own = self.named_tensors();
        let mut given = matched(own.iter().map(|x| (&x.name[..], &x.shape[..])), tensors)?.into_iter();
        // Burn gathers running statistics by thread until it is asked for them, as `valid` does.
        self.0 = self.0.valid().train().map(&mut Walk(Vec::new(), None, &mut |_, _, x, _| {
            let data = TensorData::new(given.next().expect("one for each").values.clone(), x.dims());
            Tensor::from_data(data, &x.device())
        }));
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    riesz_lab::ended(|| {
        let (run, keys) = run_and_keys("burn_encoder", "runs/burn")?;
        let recipe = Recipe::resolve(BUILT_IN[0].text, &keys, "burn_encoder")?;
        let mut plan = Plan::new(recipe, device::open(device::GPUS[0])?)?;
        let device::Device::Gpu(gpu) = plan.device.clone() else { unreachable!("it is no processor") };
        let built = move |key| BurnEncoder(Network::new(key, &gpu.clone().autodiff()), None, None);
        plan.own_encoder = Some(Box::new(move |key| Ok(Box::new(built(key)))));
        carry_out(&plan, &run, "burn_encoder", device::GPUS[0], Manner::default()).map(|_| ())
    })
}
