//! The kernels as operations on tensors: the formulas of `riesz::kernel`, with the same care.
//!
//! s is a cosine, r = 2 − 2s ≥ 0 the squared distance. Where two points meet and a kernel is infinite, infinity is put in:
//! a GPU's ln 0 may be −88. Whoever calls strikes out what is no pair, and refuses what is not finite.

use std::any::Any;
use std::sync::Arc;

use burn::tensor::Tensor;
use riesz::kernel::{
    Cosine, DistancePower, Exponential, Gaussian, InverseMultiquadric, Kernel, LogDistance, Logarithmic,
    Riesz, ScaledExponential, Softplus, SquaredCosine,
};

/// A kernel that has formulas on tensors.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Cosine(Cosine),
    Exponential(Exponential),
    ScaledExponential(ScaledExponential),
    Gaussian(Gaussian),
    Logarithmic(Logarithmic),
    LogDistance(LogDistance),
    InverseMultiquadric(InverseMultiquadric),
    Riesz(Riesz),
    DistancePower(DistancePower),
    SquaredCosine(SquaredCosine),
    Softplus(Softplus),
}

/// κ′/κ: one number for all pairs, or each pair's.
pub(super) enum Ratio {
    Constant(f64),
    Each(Box<Tensor<2>>),
}

impl Ratio {
    /// `weights` · κ′/κ.
    pub(super) fn times(self, weights: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Constant(ratio) => weights * ratio,
            Self::Each(ratio) => weights * *ratio,
        }
    }
}

impl Form {
    /// The form of one of the core's kernels, if it is one.
    pub(super) fn of(kernel: &Arc<dyn Kernel>) -> Option<Self> {
        let kernel: &dyn Any = &**kernel;
        (kernel.downcast_ref().copied().map(Self::Cosine))
            .or_else(|| kernel.downcast_ref().copied().map(Self::Exponential))
            .or_else(|| kernel.downcast_ref().copied().map(Self::ScaledExponential))
            .or_else(|| kernel.downcast_ref().copied().map(Self::Gaussian))
            .or_else(|| kernel.downcast_ref().copied().map(Self::Logarithmic))
            .or_else(|| kernel.downcast_ref().copied().map(Self::LogDistance))
            .or_else(|| kernel.downcast_ref().copied().map(Self::InverseMultiquadric))
            .or_else(|| kernel.downcast_ref().copied().map(Self::Riesz))
            .or_else(|| kernel.downcast_ref().copied().map(Self::DistancePower))
            .or_else(|| kernel.downcast_ref().copied().map(Self::SquaredCosine))
            .or_else(|| kernel.downcast_ref().copied().map(Self::Softplus))
    }

    /// (κ, κ′) at every cosine.
    pub(super) fn at(self, s: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        match self {
            Self::Cosine(Cosine { scale }) => {
                let slope = s.full_like(scale);
                (s * scale, slope)
            }
            Self::Exponential(Exponential { temperature }) => {
                let value = (s / temperature).exp();
                (value.clone(), value / temperature)
            }
            Self::ScaledExponential(ScaledExponential { temperature, factor }) => {
                let value = (s / temperature).exp() * factor;
                (value.clone(), value / temperature)
            }
            Self::Gaussian(Gaussian { width }) => {
                let value = (squared_distance(s) * -width).exp();
                (value.clone(), value * (2.0 * width))
            }
            Self::Logarithmic(Logarithmic { width }) => {
                let grown = squared_distance(s) * width + 1.0;
                (grown.clone().log() * -0.5, grown.recip() * width)
            }
            Self::LogDistance(LogDistance) => {
                let r = squared_distance(s);
                let (value, slope) = (r.clone().log() * -0.5, r.clone().recip());
                (where_points_meet(&r, value, f64::INFINITY), where_points_meet(&r, slope, f64::INFINITY))
            }
            Self::InverseMultiquadric(InverseMultiquadric { offset }) => {
                let square = squared_distance(s) + offset * offset;
                let value = square.clone().sqrt().recip() * offset;
                (value.clone(), value / square)
            }
            Self::Riesz(Riesz { exponent }) => {
                let r = squared_distance(s);
                let power = raised(r.clone(), -0.5 * exponent);
                let (value, limit) = if exponent > 0.0 { (power, f64::INFINITY) } else { (-power, 0.0) };
                let slope = value.clone() / r.clone() * exponent;
                (where_points_meet(&r, value, limit), where_points_meet(&r, slope, limit))
            }
            Self::DistancePower(DistancePower { exponent }) => {
                let r = squared_distance(s);
                if exponent == 2.0 {
                    let slope = r.full_like(-2.0);
                    return (r, slope);
                }
                let value = raised(r.clone(), 0.5 * exponent);
                let slope = value.clone() / r.clone() * -exponent;
                (where_points_meet(&r, value, 0.0), where_points_meet(&r, slope, 0.0))
            }
            Self::SquaredCosine(SquaredCosine) => (s.clone().square(), s * 2.0),
            Self::Softplus(Softplus { scale, offset }) => {
                let x = s * scale + offset;
                let is_above = x.clone().greater_elem(0.0);
                let power = (-x.clone().abs()).exp();
                let grown = power.clone() + 1.0;
                // ln(1 + p) = p · ln g/(g − 1) with g = 1 + p as rounded: the quotient's errors cancel.
                let rounded = grown.clone() - 1.0;
                let ratio = grown.clone().log() / rounded.clone();
                let ratio = ratio.mask_fill(rounded.equal_elem(0.0), 1.0);
                let value = x.clamp_min(0.0) + power.clone() * ratio;
                (value, power.mask_fill(is_above, 1.0) / grown * scale)
            }
        }
    }

    /// (ln κ, κ′/κ) at every cosine, for a kernel that is positive.
    pub(super) fn ln_at(self, s: Tensor<2>) -> (Tensor<2>, Ratio) {
        match self {
            Self::Exponential(Exponential { temperature }) => {
                (s / temperature, Ratio::Constant(1.0 / temperature))
            }
            Self::ScaledExponential(ScaledExponential { temperature, factor }) => {
                (s / temperature + factor.ln(), Ratio::Constant(1.0 / temperature))
            }
            Self::Gaussian(Gaussian { width }) => {
                (squared_distance(s) * -width, Ratio::Constant(2.0 * width))
            }
            // −(p/2) ln r and p/r, where κ itself may be more than f32 holds, or less.
            Self::Riesz(Riesz { exponent }) => {
                let r = squared_distance(s);
                let (ln, ratio) = (r.clone().log() * (-0.5 * exponent), r.clone().recip() * exponent);
                let ratio = where_points_meet(&r, ratio, f64::INFINITY);
                (where_points_meet(&r, ln, f64::INFINITY), Ratio::Each(Box::new(ratio)))
            }
            _ => {
                let (value, slope) = self.at(s);
                (value.clone().log(), Ratio::Each(Box::new(slope / value)))
            }
        }
    }
}

/// r = 2 − 2s; rounding may not make it negative.
fn squared_distance(s: Tensor<2>) -> Tensor<2> {
    (s * -2.0 + 2.0).clamp_min(0.0)
}

/// `tile` with `limit` where r is 0.
fn where_points_meet(r: &Tensor<2>, tile: Tensor<2>, limit: f64) -> Tensor<2> {
    tile.mask_fill(r.clone().equal_elem(0.0), limit)
}

/// r^power for r ≥ 0; the powers of the usual exponents without a logarithm.
fn raised(r: Tensor<2>, power: f64) -> Tensor<2> {
    if power == 0.5 {
        r.sqrt()
    } else if power == -0.5 {
        r.sqrt().recip()
    } else if power == 1.0 {
        r
    } else if power == -1.0 {
        r.recip()
    } else {
        (r.log() * power).exp()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use riesz::kernel::catalogue;

    use super::*;
    use crate::device::{Device, GPUS, open};

    /// The first GPU of this build that the machine has; without one a test passes, or fails where `RIESZ_GPU_REQUIRED` is set, as
    /// those of `tests/gpu` do.
    fn gpu() -> Option<burn::tensor::Device> {
        let found = GPUS.iter().find_map(|name| match open(name) {
            Ok(Device::Gpu(device)) => Some(device),
            _ => None,
        });
        assert!(
            found.is_some() || std::env::var_os("RIESZ_GPU_REQUIRED").is_none(),
            "RIESZ_GPU_REQUIRED is set, but none of {GPUS:?} opens"
        );
        found
    }

    /// Cosines of −1 ≤ s < 1, denser towards 1; then 1 itself.
    fn cosines() -> Vec<f32> {
        let open = (0..4000).map(|i| 1.0 - 2.0 * (1.0 - f64::from(i) / 4000.0).powi(3));
        open.map(|s| s as f32).chain([1.0]).collect()
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    /// r is right to an ulp, so κ is right to an ulp times what a relative change of r does to it, at most 40 here: as the
    /// core holds its tiles to the definition.
    #[test]
    fn forms_are_the_definition() {
        let Some(gpu) = gpu() else { return };
        let s = cosines();
        let row = || Tensor::<2>::from_data(TensorData::new(s.clone(), [1, s.len()]), &gpu);
        let near = |got: f32, want: f64| {
            let got = f64::from(got);
            (got - want).abs() <= 40.0 * f64::from(f32::EPSILON) * (want.abs() + 0.1) || got == want
        };
        for kernel in catalogue() {
            let form = Form::of(&kernel).unwrap();
            let (value, slope) = form.at(row());
            let (value, slope) = (values(value), values(slope));
            for (i, &s) in s.iter().enumerate() {
                let want = kernel.at(f64::from(s));
                assert!(near(value[i], want.0), "{kernel:?} at {s}: {} for {}", value[i], want.0);
                assert!(near(slope[i], want.1), "{kernel:?}' at {s}: {} for {}", slope[i], want.1);
            }
            if !kernel.is_positive() {
                continue;
            }
            let (ln, ratio) = form.ln_at(row());
            let (ln, ratio) = (
                values(ln),
                match ratio {
                    Ratio::Constant(ratio) => vec![ratio as f32; s.len()],
                    Ratio::Each(ratio) => values(*ratio),
                },
            );
            for (i, &s) in s.iter().enumerate() {
                let want = kernel.ln_at(f64::from(s));
                if want.1.is_nan() {
                    continue; // κ′/κ where both are infinite
                }
                assert!(near(ln[i], want.0), "ln {kernel:?} at {s}: {} for {}", ln[i], want.0);
                assert!(near(ratio[i], want.1), "ratio of {kernel:?} at {s}: {} for {}", ratio[i], want.1);
            }
        }
    }

    #[derive(Debug)]
    struct Stranger;

    impl Kernel for Stranger {
        fn at(&self, s: f64) -> (f64, f64) {
            (s * s * s, 3.0 * s * s)
        }
    }

    #[test]
    fn a_kernel_of_someone_else_has_no_form() {
        let kernel: Arc<dyn Kernel> = Arc::new(Stranger);
        assert!(Form::of(&kernel).is_none());
    }
}
