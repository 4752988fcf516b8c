//! Our own engine of networks, on processors, as an encoder.

use riesz::Matrix;

use super::Encoder;
use crate::Result;
use crate::network::Role;
use crate::network::cpu::{Engine, Mode};
use crate::optim::{Parameter, Update};
use crate::tensors::{NamedTensor, matched};

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
        Self::embed(self, images)
    }

    fn forward(&mut self, images: &[f32]) -> Matrix<f32> {
        let [_, dim] = self.network().dims();
        let (_, z) = Self::forward(self, images, Mode::Train);
        Matrix::new(z.to_vec(), dim)
    }

    fn forward_only(&mut self, images: &[f32]) -> Result<Matrix<f32>> {
        let [_, dim] = self.network().dims();
        Ok(Matrix::new(Self::forward_only(self, images).to_vec(), dim))
    }

    fn recompute(&mut self) -> Result<()> {
        Self::recompute(self);
        Ok(())
    }

    fn backward(&mut self, of_z: &Matrix<f32>) {
        Self::backward(self, of_z.as_slice());
    }

    fn update(&mut self, update: &mut Update<'_>) {
        for tensor in self.tensors_mut() {
            let Role::Learned { decays } = tensor.spec.role else { continue };
            let order = tensor.order();
            let (values, gradient) = (&mut tensor.values[..], &tensor.gradient[..]);
            update.parameter(Parameter { name: &tensor.spec.name, decays, values, gradient, order });
        }
    }

    fn named_tensors(&self) -> Vec<NamedTensor> {
        let named = self.tensors().iter().map(|tensor| NamedTensor {
            name: tensor.spec.name.clone(),
            shape: tensor.spec.shape.clone(),
            values: tensor.order().shaped(&tensor.values),
        });
        let mut all: Vec<NamedTensor> = named.collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn load(&mut self, tensors: &[NamedTensor]) -> Result<()> {
        let own = self.tensors().iter().map(|tensor| (&tensor.spec.name[..], &tensor.spec.shape[..]));
        let given = matched(own, tensors)?;
        for (tensor, given) in self.tensors_mut().iter_mut().zip(given) {
            tensor.values = tensor.order().held(&given.values);
        }
        Ok(())
    }
}
