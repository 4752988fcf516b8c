//! The gradient with respect to a learned scale and offset of the cosines.

use super::ValueAndGrad;
use super::temperature::along_rows;
use crate::loss::Loss;
use crate::{Points, Scalar};

/// ∂L/∂t and ∂L/∂b of a loss that sees cosines as ±(t s + b).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogisticGrad {
    /// ∂L/∂t. A scale is learned as ln t, whose gradient is t times this.
    pub scale: f64,
    /// ∂L/∂b.
    pub offset: f64,
}

/// Both from what the loss's evaluation already has, in O(Nd), for a loss with a
/// [scale and an offset](Loss::scale_and_offset) (SigLIP, which learns them: Zhai et al., ICCV 2023); `None` for others.
///
/// Such a loss is a function of x_pq = t s_pq + b, so with W = ∂L/∂s = t ∂L/∂x over ordered pairs: ∂L/∂b = (1/t) Σ_pq W_pq,
/// the sum of [slopes](ValueAndGrad::slopes), and ∂L/∂t = (1/t) Σ_pq s_pq W_pq = (1/2t) Σ_p ⟨x_p, ∂L/∂x_p⟩, because ∂L/∂x_p =
/// Σ_q (W_pq + W_qp) x_q counts each pair at both ends.
///
/// `outcome` is that of [`Engine::value_and_grad`](super::Engine::value_and_grad) on `views`. Gradients with respect to
/// raw rows do not do: they have lost what points along the row.
///
/// # Panics
/// If the shapes of `views` and of the gradients differ.
pub fn logistic_grad<T: Scalar>(
    loss: &Loss,
    views: &[Points<'_, T>],
    outcome: &ValueAndGrad<T>,
) -> Option<LogisticGrad> {
    loss.scale_and_offset()?;
    slopes(loss, along_rows(views, &outcome.grads), &outcome.slopes)
}

/// Both from Σ_p ⟨x_p, ∂L/∂x_p⟩ and the terms' slopes.
pub(super) fn slopes(loss: &Loss, along: f64, slopes: &[f64]) -> Option<LogisticGrad> {
    let (scale, _) = loss.scale_and_offset()?;
    Some(LogisticGrad { scale: along / (2.0 * scale), offset: slopes.iter().sum::<f64>() / scale })
}
