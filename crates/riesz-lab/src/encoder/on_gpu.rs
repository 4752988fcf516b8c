//! Networks on Burn's devices as encoders: rows, losses and updates stay where they are, and only numbers for the log come to
//! the host.

use riesz::Matrix;
use riesz::engine::{RawValueAndGrad, Value};

use super::{Encoder, Objective};
use crate::network::Role;
use crate::network::burn::{Engine, matrix, rows};
use crate::optim::Update;
use crate::tensors::{NamedTensor, matched};
use crate::{Result, device_loss};

impl Encoder for Engine {
    fn image_shape(&self) -> [usize; 3] {
        self.network().image_shape()
    }

    fn dims(&self) -> [usize; 2] {
        self.network().dims()
    }

    fn describe(&self) -> String {
        self.network().describe()
    }

    fn embed(&self, images: &[f32]) -> (Matrix<f32>, Matrix<f32>) {
        let [h, z] = Self::embed(self, images);
        (matrix(h), matrix(z))
    }

    fn forward(&mut self, images: &[f32]) -> Matrix<f32> {
        let [_, z] = Self::forward(self, images);
        matrix(z)
    }

    fn forward_only(&mut self, images: &[f32]) -> Result<Matrix<f32>> {
        Ok(matrix(Self::forward_only(self, images)))
    }

    fn recompute(&mut self) -> Result<()> {
        Self::recompute(self);
        Ok(())
    }

    fn loss(&self, objective: Objective<'_>, z: &Matrix<f32>) -> Result<RawValueAndGrad<f32>> {
        if objective.groups.is_some() {
            return objective.on_processor(z);
        }
        let z = rows(z, self.device());
        let outcome = device_loss::value_and_grad(objective.loss, z, objective.views)?;
        Ok(outcome.value.with_grad(matrix(outcome.grad)))
    }

    fn backward(&mut self, of_z: &Matrix<f32>) {
        let of_z = rows(of_z, self.device());
        Self::backward(self, of_z);
    }

    fn update(&mut self, update: &mut Update<'_>) {
        for tensor in self.tensors_mut() {
            let Role::Learned { decays } = tensor.spec.role else { continue };
            let gradient = tensor.gradient.take().expect("a backward pass came before");
            tensor.values = update.on_burn(&tensor.spec.name, decays, tensor.values.clone(), gradient);
        }
    }

    fn named_tensors(&self) -> Vec<NamedTensor> {
        let named = self.tensors().iter().map(|tensor| NamedTensor {
            name: tensor.spec.name.clone(),
            shape: tensor.spec.shape.clone(),
            values: tensor.values.to_data().try_into_vec().expect("networks compute in f32"),
        });
        let mut all: Vec<NamedTensor> = named.collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn load(&mut self, tensors: &[NamedTensor]) -> Result<()> {
        let own = self.tensors().iter().map(|tensor| (&tensor.spec.name[..], &tensor.spec.shape[..]));
        let given = matched(own, tensors)?;
        for (place, given) in given.into_iter().enumerate() {
            self.set(place, &given.values);
        }
        Ok(())
    }

    /// Groups are no matter of the device's losses: with them the rows come to the processor, and their gradient goes back.
    fn value_and_grad(&mut self, objective: Objective<'_>, images: &[f32]) -> Result<Value> {
        let [_, z] = Self::forward(self, images);
        if objective.groups.is_some() {
            let (value, grad) = objective.on_processor(&matrix(z))?.split();
            Self::backward(self, rows(&grad, self.device()));
            return Ok(value);
        }
        let outcome = device_loss::value_and_grad(objective.loss, z, objective.views)?;
        Self::backward(self, outcome.grad);
        Ok(outcome.value)
    }
}
