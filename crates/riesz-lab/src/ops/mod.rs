//! Operations that riesz adds to Burn: convolution and normalization with channels last, `[n, h, w, c]`.
//!
//! Each has a body made of Burn's own operations, which is its definition and works on every device, and a
//! hand-written one for the CPU backend (`flex.rs`, on the loops of `conv.rs` and `norm.rs`). Gradients are written by
//! hand for all devices (`autodiff.rs`). `tests/ops.rs` holds the two together.
//!
//! Letters: n images, h × w pixels, c channels in, o channels out, k × k taps.

mod autodiff;
mod conv;
mod flex;
mod norm;
mod plain;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

/// Forward operations, dispatched to the device that holds the tensors.
#[backend_extension(Autodiff, Flex, Cube: cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm")))]
pub trait ChannelsLast: Backend {
    /// `x [n, h, w, c]`, `weight [o, c, k, k]` → `[n, h', w', o]`, zeros around, no bias.
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        plain::convolve::<Self>(x, weight, stride, padding)
    }

    /// Mean and biased variance of each channel: `[2, c]`.
    fn moments(x: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::moments::<Self>(x)
    }

    /// γ (x − mean) / √(variance + ε) + β, then max(0, ·) if `relu`. The gradient takes `moments` as those of x.
    fn normalize(
        x: FloatTensor<Self>,
        moments: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> FloatTensor<Self> {
        plain::normalize::<Self>(x, moments, gamma, beta, None, epsilon, relu)
    }

    /// As `normalize`, with `residual` added before the max.
    fn normalize_add(
        x: FloatTensor<Self>,
        moments: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> FloatTensor<Self> {
        plain::normalize::<Self>(x, moments, gamma, beta, Some(residual), epsilon, relu)
    }
}

/// The gradients of [`ChannelsLast`], on the device below autodiff.
pub trait ChannelsLastGradients: Backend {
    /// ∂/∂x of a convolution, given ∂/∂y.
    fn convolve_dx(
        x_shape: [usize; 4],
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        plain::convolve_dx::<Self>(x_shape, weight, dy, stride, padding)
    }

    /// ∂/∂weight of a convolution, given ∂/∂y.
    fn convolve_dw(
        x: FloatTensor<Self>,
        weight_shape: [usize; 4],
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        plain::convolve_dw::<Self>(x, weight_shape, dy, stride, padding)
    }

    /// ∂/∂(x, γ, β, residual) of a normalization with its own moments, given its output y and ∂/∂y.
    fn normalize_gradients(saved: Normalized<Self>, dy: FloatTensor<Self>) -> NormalizeGradients<Self> {
        plain::normalize_gradients::<Self>(saved, dy)
    }
}

/// What a normalization's gradient needs of its forward pass.
pub struct Normalized<B: Backend> {
    /// Input.
    pub x: FloatTensor<B>,
    /// Mean and variance of the input.
    pub moments: FloatTensor<B>,
    /// γ.
    pub gamma: FloatTensor<B>,
    /// Output, whose zeros are where the max cut; `None` without it.
    pub y: Option<FloatTensor<B>>,
    /// ε.
    pub epsilon: f64,
}

/// Gradients of a normalization.
pub struct NormalizeGradients<B: Backend> {
    /// With respect to x.
    pub x: FloatTensor<B>,
    /// With respect to γ.
    pub gamma: FloatTensor<B>,
    /// With respect to β.
    pub beta: FloatTensor<B>,
    /// With respect to the residual: ∂/∂y where the max did not cut.
    pub residual: FloatTensor<B>,
}

#[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
mod cube {
    use super::{ChannelsLast, ChannelsLastGradients};
    use burn::backend::Cube;

    impl ChannelsLast for Cube {}
    impl ChannelsLastGradients for Cube {}
}

/// Convolution: `x [n, h, w, c]`, `weight [o, c, k, k]` (torch's order) → `[n, h', w', o]`, h' = (h + 2p − k)/s + 1.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::convolve(x.into_dispatch(), weight.into_dispatch(), stride, padding))
}

/// Training batch norm over all axes but the last, then the residual, then max(0, ·): the output, and the batch's
/// mean and biased variance (detached).
pub fn batch_norm_train(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    residual: Option<Tensor<4>>,
    relu: bool,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let detached = x.clone().inner();
    let channels = detached.dims()[3];
    let moments: Tensor<2> = Tensor::from_dispatch(Dispatch::moments(detached.into_dispatch()));
    let row = |i: usize| moments.clone().slice([i..i + 1, 0..channels]).reshape([channels]);
    let (mean, variance) = (row(0), row(1));
    let moments = Tensor::from_inner(moments);
    (apply(x, moments, gamma, beta, epsilon, residual, relu), mean, variance)
}

/// Evaluation batch norm with running statistics, then the residual, then max(0, ·). Not for gradients.
pub fn batch_norm_eval(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    epsilon: f64,
    residual: Option<Tensor<4>>,
    relu: bool,
) -> Tensor<4> {
    let moments = Tensor::stack(vec![mean, variance], 0);
    apply(x, moments, gamma, beta, epsilon, residual, relu)
}

fn apply(
    x: Tensor<4>,
    moments: Tensor<2>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    residual: Option<Tensor<4>>,
    relu: bool,
) -> Tensor<4> {
    let (x, moments) = (x.into_dispatch(), moments.into_dispatch());
    let (gamma, beta) = (gamma.into_dispatch(), beta.into_dispatch());
    Tensor::from_dispatch(match residual {
        None => Dispatch::normalize(x, moments, gamma, beta, epsilon, relu),
        Some(residual) => {
            Dispatch::normalize_add(x, moments, gamma, beta, residual.into_dispatch(), epsilon, relu)
        }
    })
}

/// Max pooling 3 × 3, stride 2, padding 1: the ImageNet stem's.
pub fn max_pool(x: Tensor<4>) -> Tensor<4> {
    let options = burn::tensor::ops::MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
    burn::tensor::module::max_pool2d(x.permute([0, 3, 1, 2]), options).permute([0, 2, 3, 1])
}

/// GELU, x Φ(x) with the normal law's distribution function Φ (Hendrycks & Gimpel 2016), and its derivative Φ(x) + x φ(x).
///
/// Written out, as Burn's own operation has on GPUs the derivative of another function, the approximation by tanh (0.22.1).
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * ((x * std::f64::consts::FRAC_1_SQRT_2).erf() * 0.5 + 0.5)
}

/// The mean over pixels: `[n, h, w, c]` → `[n, c]`.
pub fn mean_pool(x: Tensor<4>) -> Tensor<2> {
    let [n, h, w, c] = x.dims();
    x.reshape([n, h * w, c]).mean_dim(1).reshape([n, c])
}
