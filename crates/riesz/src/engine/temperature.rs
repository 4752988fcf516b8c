//! The gradient with respect to the temperature, which the gradient of the rows already holds.

use crate::loss::Loss;
use crate::rows::dots;
use crate::{Matrix, Points, Scalar};

/// ∂L/∂τ of a loss with a [temperature](Loss::temperature) τ, from its gradient with respect to unit rows, in O(Nd); `None`
/// for other losses. Learnt temperatures are updated in ln τ, whose gradient is τ times this.
///
/// Such a loss sees s/τ alone, so ∂L/∂τ = −(1/τ) Σ_pq s_pq ∂L/∂s_pq over ordered pairs; and since ∂L/∂x_p = Σ_q (W_pq +
/// W_qp) x_q with W = ∂L/∂s, Σ_p ⟨x_p, ∂L/∂x_p⟩ counts each s_pq W_pq twice: ∂L/∂τ = −(1/2τ) Σ_p ⟨x_p, ∂L/∂x_p⟩.
///
/// `grads` are those of [`Engine::value_and_grad`](super::Engine::value_and_grad) on `views`. Gradients with respect to
/// raw rows do not do: they have lost what points along the row.
///
/// # Panics
/// If the shapes of `views` and `grads` differ.
pub fn temperature_grad<T: Scalar>(loss: &Loss, views: &[Points<'_, T>], grads: &[Matrix<T>]) -> Option<f64> {
    let temperature = loss.temperature()?;
    Some(-along_rows(views, grads) / (2.0 * temperature))
}

/// Σ_p ⟨x_p, ∂L/∂x_p⟩, twice Σ_pq s_pq ∂L/∂s_pq.
pub(super) fn along_rows<T: Scalar>(views: &[Points<'_, T>], grads: &[Matrix<T>]) -> f64 {
    assert_eq!(views.len(), grads.len(), "views and gradients differ in number");
    let mut sum = 0.0;
    for (view, grad) in views.iter().zip(grads) {
        assert!(
            view.len() == grad.len() && view.dim() == grad.dim(),
            "a view and its gradient differ in shape"
        );
        let mut along = vec![0.0; view.len()];
        dots(view.as_slice(), grad.as_slice(), view.dim(), &mut along);
        sum += along.iter().sum::<f64>();
    }
    sum
}
