//! The gradients of all parameters that a loss has to learn, by name.

use super::{Value, logistic, temperature};
use crate::loss::Loss;

/// ∂L of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ParameterGrad {
    /// `temperature`, `scale` or `offset`.
    pub name: &'static str,
    /// The parameter θ.
    pub value: f64,
    /// ∂L/∂θ.
    pub grad: f64,
}

impl ParameterGrad {
    /// ∂L/∂ ln θ = θ ∂L/∂θ, by which temperatures and scales are learned; `None` for an offset, which has any sign.
    pub fn of_logarithm(&self) -> Option<f64> {
        (self.name != "offset").then_some(self.value * self.grad)
    }
}

/// [`temperature_grad`](super::temperature_grad) and [`logistic_grad`](super::logistic_grad), of what of them a loss has, from
/// Σ_p ⟨x_p, ∂L/∂x_p⟩ and its value.
pub(super) fn of(loss: &Loss, along: f64, value: &Value) -> Vec<ParameterGrad> {
    let one = |name, value, grad| ParameterGrad { name, value, grad };
    let mut all = Vec::new();
    if let (Some(tau), Some(slope)) = (loss.temperature(), temperature::slope(loss, along)) {
        all.push(one("temperature", tau, slope));
    }
    let slopes = logistic::slopes(loss, along, &value.slopes);
    if let (Some((scale, offset)), Some(slopes)) = (loss.scale_and_offset(), slopes) {
        all.extend([one("scale", scale, slopes.scale), one("offset", offset, slopes.offset)]);
    }
    all
}
