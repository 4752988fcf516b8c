//! Engines evaluate a loss and its gradient on unit rows. [`Reference`] is the definition; [`Fused`] is what runs.

mod cached;
mod fused;
mod reference;
mod temperature;

pub use cached::value_and_grad_cached;
pub use fused::Fused;
pub use reference::Reference;
pub use temperature::temperature_grad;

use crate::loss::{Loss, Role};
use crate::rows::are_finite;
use crate::{Error, Matrix, Points, Scalar, normalize, normalize_backward};

/// A loss's number and its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The loss.
    pub value: f64,
    /// Each term's share, weight included; they sum to `value`.
    pub terms: Vec<f64>,
    /// The share of the attraction terms.
    pub attraction: f64,
    /// The share of the repulsion terms.
    pub repulsion: f64,
}

impl Value {
    /// Adds up the terms' shares, weight included, of a loss whose gradient is finite or is not.
    ///
    /// # Errors
    /// If the value or the gradient is not finite.
    pub fn new(loss: &Loss, terms: Vec<f64>, is_gradient_finite: bool) -> Result<Self, Error> {
        let part = |role| -> f64 {
            loss.terms.iter().zip(&terms).filter(|(term, _)| term.role == role).map(|(_, value)| value).sum()
        };
        let (attraction, repulsion) = (part(Role::Attraction), part(Role::Repulsion));
        let value = attraction + repulsion;
        if !value.is_finite() || !is_gradient_finite {
            return Err(Error::new(format!(
                "{} is {value} with an infinite gradient or value: two rows coincide where its kernel is infinite",
                loss.name
            )));
        }
        Ok(Self { value, terms, attraction, repulsion })
    }
}

/// A loss's number, its parts, and its gradient with respect to each view's unit rows.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueAndGrad<T> {
    /// The loss.
    pub value: f64,
    /// Each term's share, weight included; they sum to `value`.
    pub terms: Vec<f64>,
    /// The share of the attraction terms.
    pub attraction: f64,
    /// The share of the repulsion terms.
    pub repulsion: f64,
    /// ∂L/∂x for each view, `n × d`, as if the rows were free vectors of ℝᵈ and every cosine a dot product.
    pub grads: Vec<Matrix<T>>,
}

/// The same for raw rows of which [`value_and_grad_raw`] makes unit rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RawValueAndGrad<T> {
    /// The loss.
    pub value: f64,
    /// Each term's share, weight included.
    pub terms: Vec<f64>,
    /// The share of the attraction terms.
    pub attraction: f64,
    /// The share of the repulsion terms.
    pub repulsion: f64,
    /// ∂L/∂z, the shape of the rows that were given.
    pub grad: Matrix<T>,
}

/// An implementation of the sum over pairs.
pub trait Engine<T: Scalar>: std::fmt::Debug + Send + Sync {
    /// Evaluates `loss` on `views`, each n × d.
    ///
    /// # Errors
    /// If the loss has pairs of different images and there are fewer than two; if a term over matched pairs is given
    /// one view; if the value is not finite (coinciding rows under a kernel that is infinite there).
    ///
    /// # Panics
    /// If there is no view, or the views' shapes differ.
    fn value_and_grad(&self, loss: &Loss, views: &[Points<'_, T>]) -> Result<ValueAndGrad<T>, Error> {
        let mut grads: Vec<Matrix<T>> =
            views.iter().map(|view| Matrix::zeros(view.len(), view.dim())).collect();
        let mut slices: Vec<&mut [T]> = grads.iter_mut().map(Matrix::as_mut_slice).collect();
        let Value { value, terms, attraction, repulsion } = self.add_grad(loss, views, &mut slices)?;
        Ok(ValueAndGrad { value, terms, attraction, repulsion, grads })
    }

    /// The same, but adds ∂L/∂x to `grads`, one row-major n × d slice a view.
    ///
    /// # Errors
    /// As [`Engine::value_and_grad`]; `grads` then holds nothing of use.
    ///
    /// # Panics
    /// As [`Engine::value_and_grad`], and if `grads` are not of the views' shapes.
    fn add_grad(&self, loss: &Loss, views: &[Points<'_, T>], grads: &mut [&mut [T]]) -> Result<Value, Error>;
}

/// From raw rows, view-major (rows 0..n are view one), through [`normalize`] to the loss and back through
/// [`normalize_backward`].
///
/// # Errors
/// As [`normalize`] and [`Engine::value_and_grad`].
///
/// # Panics
/// If `views` does not divide the number of rows.
pub fn value_and_grad_raw<T: Scalar>(
    engine: &dyn Engine<T>,
    loss: &Loss,
    rows: &Matrix<T>,
    views: usize,
) -> Result<RawValueAndGrad<T>, Error> {
    assert!(
        views > 0 && rows.len().is_multiple_of(views),
        "{} rows are not {views} views of the same images",
        rows.len()
    );
    let mut unit = rows.clone();
    let lengths = normalize(&mut unit)?;
    let d = unit.dim();
    let per_view = unit.len() / views * d;
    let points: Vec<Points<'_, T>> = if per_view == 0 {
        return Err(Error::new("there are no rows"));
    } else {
        unit.as_slice().chunks_exact(per_view).map(|view| Points::normalized(view, d)).collect()
    };
    let mut grad = Matrix::zeros(unit.len(), d);
    let mut grads: Vec<&mut [T]> = grad.as_mut_slice().chunks_exact_mut(per_view).collect();
    let Value { value, terms, attraction, repulsion } = engine.add_grad(loss, &points, &mut grads)?;
    normalize_backward(Points::normalized(unit.as_slice(), d), &lengths, &mut grad);
    Ok(RawValueAndGrad { value, terms, attraction, repulsion, grad })
}

/// The sizes of a batch, checked against a loss.
#[derive(Clone, Copy, Debug)]
struct Batch {
    /// Views K.
    views: usize,
    /// Images N.
    images: usize,
    /// Ambient dimension d.
    dim: usize,
}

impl Batch {
    fn check<T: Scalar>(loss: &Loss, views: &[Points<'_, T>], grads: &[&mut [T]]) -> Result<Self, Error> {
        assert!(!views.is_empty(), "a loss needs at least one view");
        let batch = Self { views: views.len(), images: views[0].len(), dim: views[0].dim() };
        for view in views {
            assert!(
                view.len() == batch.images && view.dim() == batch.dim,
                "views differ: {} × {} and {} × {}",
                batch.images,
                batch.dim,
                view.len(),
                view.dim()
            );
        }
        assert!(
            grads.len() == batch.views && grads.iter().all(|grad| grad.len() == batch.images * batch.dim),
            "gradients are not of the shape of the views"
        );
        loss.check(batch.images, batch.views)?;
        Ok(batch)
    }
}

/// w_i = 2 − N softmax_i(s_i/σ) over the matched cosines of an anchor view.
fn focus_weights(cosines: &[f64], sigma: f64) -> Vec<f64> {
    let top = cosines.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = cosines.iter().map(|s| ((s - top) / sigma).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|power| 2.0 - cosines.len() as f64 * power / total).collect()
}

/// The value, if it and the gradient are finite.
fn finish<T: Scalar>(loss: &Loss, terms: Vec<f64>, grads: &[&mut [T]]) -> Result<Value, Error> {
    Value::new(loss, terms, grads.iter().all(|grad| are_finite(grad)))
}
