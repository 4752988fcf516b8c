//! The operations on Burn's CPU backend, by hand.

use std::borrow::Cow;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::TensorData;
use burn_flex::FlexTensor;

use super::conv::{self, Geometry};
use super::{ChannelsLast, ChannelsLastGradients, NormalizeGradients, Normalized, norm};

/// The numbers of a tensor in row-major order, without a copy where they lie so already.
fn numbers(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice::<f32>() {
        Some(slice) => Cow::Borrowed(slice),
        None => {
            let contiguous = tensor.to_contiguous();
            Cow::Owned(contiguous.as_slice::<f32>().expect("the CPU path computes in f32").to_vec())
        }
    }
}

fn tensor(data: Vec<f32>, shape: impl Into<Vec<usize>>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(data, shape.into()))
}

fn shape(tensor: &FlexTensor) -> Vec<usize> {
    tensor.shape().to_vec()
}

fn geometry(x: &[usize], weight: &[usize], stride: usize, padding: usize) -> Geometry {
    assert!(
        x.len() == 4 && weight.len() == 4 && weight[1] == x[3] && weight[2] == weight[3],
        "convolution of {x:?} (n, h, w, c) with {weight:?} (o, c, k, k)"
    );
    assert!(
        x[1] + 2 * padding >= weight[2] && x[2] + 2 * padding >= weight[2] && stride > 0,
        "images of {} × {} are smaller than the kernel of {}",
        x[1],
        x[2],
        weight[2]
    );
    Geometry {
        images: x[0],
        height: x[1],
        width: x[2],
        channels: x[3],
        out: weight[0],
        kernel: weight[2],
        stride,
        padding,
    }
}

impl ChannelsLast for Flex {
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let g = geometry(&shape(&x), &shape(&weight), stride, padding);
        let (h, w) = g.out_size();
        tensor(conv::forward(&numbers(&x), &numbers(&weight), g), [g.images, h, w, g.out])
    }

    fn moments(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let channels = x.shape()[3];
        tensor(norm::moments(&numbers(&x), channels), [2, channels])
    }

    fn normalize(
        x: FloatTensor<Self>,
        moments: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> FloatTensor<Self> {
        let y = norm::forward(
            &numbers(&x),
            &numbers(&moments),
            &numbers(&gamma),
            &numbers(&beta),
            None,
            epsilon,
            relu,
        );
        tensor(y, shape(&x))
    }

    fn normalize_add(
        x: FloatTensor<Self>,
        moments: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> FloatTensor<Self> {
        let residual = numbers(&residual);
        let y = norm::forward(
            &numbers(&x),
            &numbers(&moments),
            &numbers(&gamma),
            &numbers(&beta),
            Some(&residual),
            epsilon,
            relu,
        );
        tensor(y, shape(&x))
    }
}

impl ChannelsLastGradients for Flex {
    fn convolve_dx(
        x_shape: [usize; 4],
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let g = geometry(&x_shape, &shape(&weight), stride, padding);
        tensor(conv::input_gradient(&numbers(&weight), &numbers(&dy), g), x_shape)
    }

    fn convolve_dw(
        x: FloatTensor<Self>,
        weight_shape: [usize; 4],
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let g = geometry(&shape(&x), &weight_shape, stride, padding);
        tensor(conv::weight_gradient(&numbers(&x), &numbers(&dy), g), weight_shape)
    }

    fn normalize_gradients(saved: Normalized<Self>, dy: FloatTensor<Self>) -> NormalizeGradients<Self> {
        let y = saved.y.as_ref().map(numbers);
        let gradients = norm::backward(
            &numbers(&saved.x),
            &numbers(&saved.moments),
            &numbers(&saved.gamma),
            y.as_deref(),
            &numbers(&dy),
            saved.epsilon,
        );
        let (x_shape, channels) = (shape(&saved.x), saved.x.shape()[3]);
        NormalizeGradients {
            x: tensor(gradients.x, x_shape.clone()),
            gamma: tensor(gradients.gamma, [channels]),
            beta: tensor(gradients.beta, [channels]),
            residual: gradients.residual.map_or(dy, |residual| tensor(residual, x_shape)),
        }
    }
}
