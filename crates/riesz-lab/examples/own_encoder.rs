//! An encoder of one's own in riesz's training loop: h = z = tanh(W x), with its gradient by hand.
//!
//! `cargo run --release --example own_encoder -- runs/own loss.temperature=0.2 epochs=5`: the run's folder, then any keys of
//! the recipe fashion-mnist-12k. The same command goes on with an interrupted run.

use riesz::product::{add_weighted_rows_transposed, rows_by_rows};
use riesz::{Matrix, rng::Key, rng::normal};
use riesz_lab::commands::train::{carry_out, run_and_keys};
use riesz_lab::optim::{Parameter, Update};
use riesz_lab::recipe::{BUILT_IN, Recipe};
use riesz_lab::tensors::{NamedTensor, matched};
use riesz_lab::{Result, device::Device, encoder::Encoder, network::cpu::Order, train::Manner, train::Plan};

const OUT: usize = 128;
const IN: usize = 28 * 28;

/// W with its gradient, and x and z of the last training batch.
#[derive(Default)]
struct OneLayer {
    w: Vec<f32>,
    of_w: Vec<f32>,
    x: Vec<f32>,
    z: Vec<f32>,
}

impl OneLayer {
    fn new(key: Key) -> Self {
        let mut rng = key.stream("weight").rng();
        Self { w: (0..OUT * IN).map(|_| (normal(&mut rng) / 28.0) as f32).collect(), ..Self::default() }
    }
}

impl Encoder for OneLayer {
    fn image_shape(&self) -> [usize; 3] {
        [28, 28, 1]
    }
    fn dims(&self) -> [usize; 2] {
        [OUT, OUT]
    }
    fn describe(&self) -> String {
        format!("tanh of one matrix, {OUT} × {IN}")
    }
    fn embed(&self, x: &[f32]) -> (Matrix<f32>, Matrix<f32>) {
        let mut z = Matrix::zeros(x.len() / IN, OUT);
        rows_by_rows(x, &self.w, IN, z.as_mut_slice());
        z.as_mut_slice().iter_mut().for_each(|z| *z = z.tanh());
        (z.clone(), z)
    }
    fn forward(&mut self, x: &[f32]) -> Matrix<f32> {
        let (_, z) = self.embed(x);
        (self.x, self.z) = (x.to_vec(), z.as_slice().to_vec());
        z
    }
    fn backward(&mut self, of_z: &Matrix<f32>) {
        let of_sums = of_z.as_slice().iter().zip(&self.z).map(|(g, z)| g * (1.0 - z * z));
        self.of_w = vec![0.0; OUT * IN];
        add_weighted_rows_transposed(&of_sums.collect::<Vec<_>>(), &self.x, of_z.len(), IN, &mut self.of_w);
    }
    fn update(&mut self, update: &mut Update<'_>) {
        let (values, gradient, order) = (&mut self.w[..], &self.of_w[..], Order::default());
        update.parameter(Parameter { name: "weight", decays: true, values, gradient, order });
    }
    fn named_tensors(&self) -> Vec<NamedTensor> {
        vec![NamedTensor { name: "weight".to_owned(), shape: vec![OUT, IN], values: self.w.clone() }]
    }
    fn load(&mut self, tensors: &[NamedTensor]) -> Result<()> {
        self.w.clone_from(&matched([("weight", &[OUT, IN][..])], tensors)?[0].values);
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    riesz_lab::ended(|| {
        let (run, keys) = run_and_keys("own_encoder", "runs/own")?;
        let mut plan = Plan::new(Recipe::resolve(BUILT_IN[0].text, &keys, "own_encoder")?, Device::Cpu)?;
        plan.own_encoder = Some(Box::new(|key| Ok(Box::new(OneLayer::new(key)))));
        carry_out(&plan, &run, "own_encoder", "cpu", Manner::default()).map(|_| ())
    })
}
