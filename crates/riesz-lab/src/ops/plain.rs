//! The definitions: the operations as compositions of Burn's own, for any device.

use burn::backend::Backend;
use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;
use burn::tensor::ops::ConvOptions;

use super::{NormalizeGradients, Normalized};

fn options(stride: usize, padding: usize) -> ConvOptions<2> {
    ConvOptions::new([stride, stride], [padding, padding], [1, 1], 1)
}

fn channels_first<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_permute(x, &[0, 3, 1, 2])
}

fn channels_last<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_permute(x, &[0, 2, 3, 1])
}

pub(super) fn convolve<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> FloatTensor<B> {
    channels_last::<B>(B::conv2d(channels_first::<B>(x), weight, None, options(stride, padding)))
}

pub(super) fn convolve_dx<B: Backend>(
    [n, h, w, c]: [usize; 4],
    weight: FloatTensor<B>,
    dy: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> FloatTensor<B> {
    // Only the shape of x matters here.
    let x = B::float_zeros([n, c, h, w].into(), &dy.device(), dy.dtype().into());
    channels_last::<B>(B::conv2d_x_backward(x, weight, channels_first::<B>(dy), options(stride, padding)))
}

pub(super) fn convolve_dw<B: Backend>(
    x: FloatTensor<B>,
    weight_shape: [usize; 4],
    dy: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> FloatTensor<B> {
    let weight = B::float_zeros(weight_shape.into(), &dy.device(), dy.dtype().into());
    B::conv2d_weight_backward(
        channels_first::<B>(x),
        weight,
        channels_first::<B>(dy),
        options(stride, padding),
    )
}

/// Sums over all axes but the last: `[..., c]` → `[1, c]`.
fn channel_sums<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let channels = x.shape()[3];
    let rows = x.shape().num_elements() / channels;
    B::float_sum_dim(B::float_reshape(x, [rows, channels].into()), 0)
}

pub(super) fn moments<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let channels = x.shape()[3];
    let count = (x.shape().num_elements() / channels) as f64;
    let mean = B::float_div_scalar(channel_sums::<B>(x.clone()), count.into());
    let centered = B::float_sub(x, B::float_reshape(mean.clone(), [1, 1, 1, channels].into()));
    let squares = B::float_mul(centered.clone(), centered);
    let variance = B::float_div_scalar(channel_sums::<B>(squares), count.into());
    B::float_cat(vec![mean, variance], 0)
}

/// (x − mean) / √(variance + ε), and 1/√(variance + ε) as `[1, 1, 1, c]`.
fn standardized<B: Backend>(
    x: FloatTensor<B>,
    moments: FloatTensor<B>,
    epsilon: f64,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let channels = x.shape()[3];
    let row = |i: usize| {
        let slices = [burn::tensor::Slice::from(i..i + 1), burn::tensor::Slice::from(0..channels)];
        B::float_reshape(B::float_slice(moments.clone(), &slices), [1, 1, 1, channels].into())
    };
    let deviation = B::float_sqrt(B::float_add_scalar(row(1), epsilon.into()));
    let scale = B::float_recip(deviation);
    (B::float_mul(B::float_sub(x, row(0)), scale.clone()), scale)
}

pub(super) fn normalize<B: Backend>(
    x: FloatTensor<B>,
    moments: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    residual: Option<FloatTensor<B>>,
    epsilon: f64,
    relu: bool,
) -> FloatTensor<B> {
    let channels = x.shape()[3];
    let (standard, _) = standardized::<B>(x, moments, epsilon);
    let [gamma, beta] = [gamma, beta].map(|row| B::float_reshape(row, [1, 1, 1, channels].into()));
    let mut y = B::float_add(B::float_mul(standard, gamma), beta);
    if let Some(residual) = residual {
        y = B::float_add(y, residual);
    }
    if relu { B::relu(y) } else { y }
}

pub(super) fn normalize_gradients<B: Backend>(
    saved: Normalized<B>,
    dy: FloatTensor<B>,
) -> NormalizeGradients<B> {
    let channels = dy.shape()[3];
    let count = (dy.shape().num_elements() / channels) as f64;
    let dy = match saved.y {
        Some(y) => B::relu_backward(y, dy),
        None => dy,
    };
    let (standard, scale) = standardized::<B>(saved.x, saved.moments, saved.epsilon);
    let d_beta = channel_sums::<B>(dy.clone());
    let d_gamma = channel_sums::<B>(B::float_mul(dy.clone(), standard.clone()));
    let row = |sums: &FloatTensor<B>| {
        B::float_div_scalar(B::float_reshape(sums.clone(), [1, 1, 1, channels].into()), count.into())
    };
    let pulled = B::float_mul(standard, row(&d_gamma));
    let inner = B::float_sub(B::float_sub(dy.clone(), row(&d_beta)), pulled);
    let factor = B::float_mul(B::float_reshape(saved.gamma, [1, 1, 1, channels].into()), scale);
    NormalizeGradients {
        x: B::float_mul(inner, factor),
        gamma: B::float_reshape(d_gamma, [channels].into()),
        beta: B::float_reshape(d_beta, [channels].into()),
        residual: dy,
    }
}
