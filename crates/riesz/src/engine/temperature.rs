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
/// raw rows do not do: they have lost what points along the row. So they are taken in between:
///
/// ```
/// use riesz::engine::{Engine, Fused, temperature_grad};
/// use riesz::loss::Loss;
/// use riesz::{UnitViews, rng::Key, sphere};
///
/// // What an encoder gave, of any length.
/// let raw = [1, 2].map(|seed| sphere::sample(32, 8, Key::new(seed)));
/// let unit = UnitViews::new(&[raw[0].as_slice(), raw[1].as_slice()], 8)?;
/// let views = unit.points();
/// let value = |temperature| Ok::<_, riesz::Error>(Fused.value(&Loss::nt_xent(temperature)?, &views, None)?);
///
/// let mut outcome = Fused.value_and_grad(&Loss::nt_xent(0.5)?, &views)?;
/// let slope = temperature_grad(&Loss::nt_xent(0.5)?, &views, &outcome.grads).expect("NT-Xent has one");
/// unit.backward(&mut outcome.grads)?; // and now ∂L/∂z of the raw rows
///
/// let difference = (value(0.5 + 1e-6)? - value(0.5 - 1e-6)?) / 2e-6;
/// assert!((slope - difference).abs() < 1e-7);
/// let temperature = (0.5_f64.ln() - 0.1 * 0.5 * slope).exp(); // a step in ln τ
/// assert!(value(temperature)? < outcome.value);
/// # Ok::<(), riesz::Error>(())
/// ```
///
/// # Panics
/// If the shapes of `views` and `grads` differ.
pub fn temperature_grad<T: Scalar>(loss: &Loss, views: &[Points<'_, T>], grads: &[Matrix<T>]) -> Option<f64> {
    loss.temperature()?;
    slope(loss, along_rows(views, grads))
}

/// ∂L/∂τ from Σ_p ⟨x_p, ∂L/∂x_p⟩.
pub(super) fn slope(loss: &Loss, along: f64) -> Option<f64> {
    Some(-along / (2.0 * loss.temperature()?))
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
        sum += along(view.as_slice(), grad.as_slice(), view.dim());
    }
    sum
}

/// The same of rows and gradients in one piece each.
pub(super) fn along<T: Scalar>(rows: &[T], grads: &[T], dim: usize) -> f64 {
    let mut along = vec![0.0; rows.len() / dim];
    dots(rows, grads, dim, &mut along);
    along.iter().sum::<f64>()
}
