//! Engines evaluate a loss and its gradient on unit rows. [`Reference`] is the definition; [`Fused`] is what runs.

mod cached;
mod coinciding;
mod coupling;
mod fused;
mod groups;
mod logistic;
mod parameters;
mod precision;
mod reference;
mod temperature;

pub use cached::value_and_grad_cached;
pub use coupling::{Coupling, coupling};
pub use fused::{Ends, Fused, Part, Share, Whole};
pub use logistic::{LogisticGrad, logistic_grad};
pub use parameters::ParameterGrad;
pub use reference::Reference;
pub use temperature::temperature_grad;

use groups::Groups;

use crate::loss::{Link, Loss, Role, Term};
use crate::points::check_grad;
use crate::rows::are_finite;
use crate::{Error, Matrix, Points, Scalar, normalize, normalize_backward};

/// A loss's number and its parts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Value {
    /// The loss.
    pub value: f64,
    /// Each term's share, weight included; they sum to `value`.
    pub terms: Vec<f64>,
    /// Each term's Σ_pq ∂L/∂s_pq over ordered pairs: its slope if all cosines grew alike.
    pub slopes: Vec<f64>,
    /// The share of the attraction terms.
    pub attraction: f64,
    /// The share of the repulsion terms.
    pub repulsion: f64,
}

/// A loss's number, its parts, and its gradient with respect to each view's unit rows.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ValueAndGrad<T> {
    /// The loss.
    pub value: f64,
    /// Each term's share, weight included; they sum to `value`.
    pub terms: Vec<f64>,
    /// Each term's Σ_pq ∂L/∂s_pq over ordered pairs: its slope if all cosines grew alike.
    pub slopes: Vec<f64>,
    /// The share of the attraction terms.
    pub attraction: f64,
    /// The share of the repulsion terms.
    pub repulsion: f64,
    /// ∂L/∂x for each view, `n × d`, as if the rows were free vectors of ℝᵈ and every cosine a dot product.
    pub grads: Vec<Matrix<T>>,
}

/// The same for raw rows of which [`value_and_grad_raw`] makes unit rows.
///
/// ```
/// use riesz::engine::{Fused, value_and_grad_raw};
/// use riesz::{Matrix, loss::Loss};
///
/// let rows = Matrix::new(vec![1.0_f32, 0.2, 0.1, 1.0, 0.9, 0.3, 0.2, 1.1], 2);
/// let (value, grad) = value_and_grad_raw(&Fused, &Loss::nt_xent(0.5)?, &rows, 2)?.split();
/// println!("{} = {} + {}", value.value, value.attraction, value.repulsion);
/// let backward: Vec<f32> = grad.into_vec(); // for the encoder
/// # assert_eq!(backward.len(), 8);
/// # Ok::<(), riesz::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RawValueAndGrad<T> {
    /// The loss.
    pub value: f64,
    /// Each term's share, weight included.
    pub terms: Vec<f64>,
    /// Each term's Σ_pq ∂L/∂s_pq over ordered pairs.
    pub slopes: Vec<f64>,
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
    /// As [`Loss::check`]; if a weight or a kernel's parameter is out of the range of `T`; if value or gradient are not finite (coinciding rows
    /// under a kernel that is infinite there, a kernel of one's own that gives what is no number), or finite only because the cosine of two
    /// equal rows was rounded below 1.
    ///
    /// # Panics
    /// If there is no view, or the views' shapes differ.
    fn value_and_grad(&self, loss: &Loss, views: &[Points<'_, T>]) -> Result<ValueAndGrad<T>, Error> {
        let mut grads = zeros(views);
        let value = self.add_grad(loss, views, &mut slices(&mut grads))?;
        Ok(value.with_grads(grads))
    }

    /// The same where images are in groups: image i is in group `groups[i]`, and the matched pairs of a row are all other
    /// rows of its group, in whatever view. Numbers of groups are names, no order. If all differ, the batch is as
    /// without groups, to the bit.
    ///
    /// # Errors
    /// As [`Engine::value_and_grad`]; if an anchor has no pair of a term (nothing to repel in a batch of one group,
    /// nothing to match in one view of an image that is alone); if the loss weighs the matched pairs (DCLW).
    ///
    /// # Panics
    /// As [`Engine::value_and_grad`], and if `groups` are not as many as images.
    fn value_and_grad_grouped(
        &self,
        loss: &Loss,
        views: &[Points<'_, T>],
        groups: &[u32],
    ) -> Result<ValueAndGrad<T>, Error> {
        let mut grads = zeros(views);
        let value = self.add_grad_grouped(loss, views, Some(groups), &mut slices(&mut grads))?;
        Ok(value.with_grads(grads))
    }

    /// As [`Engine::value_and_grad`], but adds ∂L/∂x to `grads`, one row-major n × d slice a view.
    ///
    /// # Errors
    /// As [`Engine::value_and_grad`]; `grads` then holds nothing of use.
    ///
    /// # Panics
    /// As [`Engine::value_and_grad`], and if `grads` are not of the views' shapes.
    fn add_grad(&self, loss: &Loss, views: &[Points<'_, T>], grads: &mut [&mut [T]]) -> Result<Value, Error> {
        self.add_grad_grouped(loss, views, None, grads)
    }

    /// As [`Engine::value_and_grad_grouped`] if there are groups, but adds ∂L/∂x to `grads`.
    ///
    /// # Errors
    /// As [`Engine::value_and_grad_grouped`]; `grads` then holds nothing of use.
    ///
    /// # Panics
    /// As [`Engine::value_and_grad_grouped`], and if `grads` are not of the views' shapes.
    fn add_grad_grouped(
        &self,
        loss: &Loss,
        views: &[Points<'_, T>],
        groups: Option<&[u32]>,
        grads: &mut [&mut [T]],
    ) -> Result<Value, Error>;
}

fn zeros<T: Scalar>(views: &[Points<'_, T>]) -> Vec<Matrix<T>> {
    views.iter().map(|view| Matrix::zeros(view.len(), view.dim())).collect()
}

fn slices<T: Scalar>(grads: &mut [Matrix<T>]) -> Vec<&mut [T]> {
    grads.iter_mut().map(Matrix::as_mut_slice).collect()
}

impl Value {
    /// Adds up the terms' shares, weight included, of a loss whose gradient is finite or is not.
    ///
    /// # Errors
    /// If the value or the gradient is not finite.
    pub fn new(
        loss: &Loss,
        terms: Vec<f64>,
        slopes: Vec<f64>,
        is_gradient_finite: bool,
    ) -> Result<Self, Error> {
        let part = |role| -> f64 {
            loss.terms.iter().zip(&terms).filter(|(term, _)| term.role == role).map(|(_, value)| value).sum()
        };
        let (attraction, repulsion) = (part(Role::Attraction), part(Role::Repulsion));
        let value = attraction + repulsion;
        if !value.is_finite() || !is_gradient_finite {
            return Err(Error::new(format!(
                "{} is {value}, or its gradient is not finite: two rows coincide where its kernel is infinite, or a kernel of \
                 one's own gives what is no number",
                loss.name
            )));
        }
        Ok(Self { value, terms, slopes, attraction, repulsion })
    }

    /// With the gradient with respect to raw rows.
    pub fn with_grad<T>(self, grad: Matrix<T>) -> RawValueAndGrad<T> {
        let Self { value, terms, slopes, attraction, repulsion } = self;
        RawValueAndGrad { value, terms, slopes, attraction, repulsion, grad }
    }

    /// With the gradients with respect to each view's unit rows.
    pub fn with_grads<T>(self, grads: Vec<Matrix<T>>) -> ValueAndGrad<T> {
        let Self { value, terms, slopes, attraction, repulsion } = self;
        ValueAndGrad { value, terms, slopes, attraction, repulsion, grads }
    }
}

impl<T> ValueAndGrad<T> {
    /// Value and gradients apart.
    pub fn split(self) -> (Value, Vec<Matrix<T>>) {
        let Self { value, terms, slopes, attraction, repulsion, grads } = self;
        (Value { value, terms, slopes, attraction, repulsion }, grads)
    }
}

impl<T> RawValueAndGrad<T> {
    /// Value and gradient apart.
    pub fn split(self) -> (Value, Matrix<T>) {
        let Self { value, terms, slopes, attraction, repulsion, grad } = self;
        (Value { value, terms, slopes, attraction, repulsion }, grad)
    }
}

/// From raw rows, view-major (rows 0..n are view one), through [`normalize`] to the loss and back through
/// [`normalize_backward`].
///
/// # Errors
/// As [`normalize`] and [`Engine::value_and_grad`]; if a row is so short that its gradient is not finite.
///
/// # Panics
/// If `views` does not divide the number of rows.
pub fn value_and_grad_raw<T: Scalar>(
    engine: &dyn Engine<T>,
    loss: &Loss,
    rows: &Matrix<T>,
    views: usize,
) -> Result<RawValueAndGrad<T>, Error> {
    value_and_grad_raw_grouped(engine, loss, rows, views, None)
}

/// The same where images are in groups, if any are given, as in [`Engine::value_and_grad_grouped`].
///
/// # Errors
/// As [`value_and_grad_raw`] and [`Engine::value_and_grad_grouped`].
///
/// # Panics
/// If `views` does not divide the number of rows, or `groups` are not as many as images.
pub fn value_and_grad_raw_grouped<T: Scalar>(
    engine: &dyn Engine<T>,
    loss: &Loss,
    rows: &Matrix<T>,
    views: usize,
    groups: Option<&[u32]>,
) -> Result<RawValueAndGrad<T>, Error> {
    raw(engine, loss, rows, views, groups, |_, _, _| ())
}

/// The same, and the gradient of each parameter that the loss has to learn.
///
/// # Errors
/// As [`value_and_grad_raw_grouped`].
///
/// # Panics
/// As [`value_and_grad_raw_grouped`].
pub fn value_and_grad_raw_with_parameters<T: Scalar>(
    engine: &dyn Engine<T>,
    loss: &Loss,
    rows: &Matrix<T>,
    views: usize,
    groups: Option<&[u32]>,
) -> Result<(RawValueAndGrad<T>, Vec<ParameterGrad>), Error> {
    let mut parameters = Vec::new();
    let outcome = raw(engine, loss, rows, views, groups, |unit, grad, value| {
        parameters =
            parameters::of(loss, temperature::along(unit.as_slice(), grad.as_slice(), unit.dim()), value);
    })?;
    Ok((outcome, parameters))
}

/// From raw rows to the loss and back; `between` sees the unit rows with their gradient.
fn raw<T: Scalar>(
    engine: &dyn Engine<T>,
    loss: &Loss,
    rows: &Matrix<T>,
    views: usize,
    groups: Option<&[u32]>,
    between: impl FnOnce(&Matrix<T>, &Matrix<T>, &Value),
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
    let value = engine.add_grad_grouped(loss, &points, groups, &mut grads)?;
    between(&unit, &grad, &value);
    normalize_backward(Points::normalized(unit.as_slice(), d), &lengths, &mut grad);
    check_grad(&grad, &lengths)?;
    Ok(value.with_grad(grad))
}

/// The sizes of a batch, checked against a loss.
#[derive(Clone, Copy, Debug)]
struct Batch<'a> {
    /// Views K.
    views: usize,
    /// Images N.
    images: usize,
    /// Ambient dimension d.
    dim: usize,
    /// If some images are of one group.
    groups: Option<&'a Groups<'a>>,
}

impl<'a> Batch<'a> {
    fn check<T: Scalar>(
        loss: &Loss,
        views: &[Points<'_, T>],
        groups: Option<&'a Groups<'a>>,
        grads: &[&mut [T]],
    ) -> Result<Self, Error> {
        let batch = Self::of(loss, views, groups)?;
        batch.check_grads(grads);
        Ok(batch)
    }

    /// The same where no gradient is wanted.
    fn of<T: Scalar>(
        loss: &Loss,
        views: &[Points<'_, T>],
        groups: Option<&'a Groups<'a>>,
    ) -> Result<Self, Error> {
        assert!(!views.is_empty(), "a loss needs at least one view");
        let batch = Self { views: views.len(), images: views[0].len(), dim: views[0].dim(), groups };
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
        loss.check_grouped(batch.images, batch.views, groups.map(|groups| groups.sizes.as_slice()))?;
        precision::check::<T>(loss)?;
        Ok(batch)
    }

    fn check_grads<T>(self, grads: &[&mut [T]]) {
        assert!(
            grads.len() == self.views && grads.iter().all(|grad| grad.len() == self.images * self.dim),
            "gradients are not of the shape of the views"
        );
    }

    /// [`Term::pair_factor`], but for the anchor's [share](Self::share) where the batch has groups.
    fn pair_factor(self, term: &Term) -> f64 {
        if self.groups.is_none() {
            term.pair_factor(self.images, self.views)
        } else {
            term.sum_factor(self.images, self.views)
        }
    }

    /// What else divides the factor of an anchor's pairs where the rows of images have different numbers of them.
    fn share(self, term: &Term, image: usize) -> f64 {
        if term.link == Link::Mean && self.groups.is_some() {
            1.0 / self.count(term, image) as f64
        } else {
            1.0
        }
    }

    /// How many pairs of the term an anchor has that is a row of `image`.
    fn count(self, term: &Term, image: usize) -> usize {
        let size = self.groups.map_or(1, |groups| groups.sizes[image]);
        term.pairs.count_in_group(self.images, self.views, size)
    }
}

/// w_i = 2 − N softmax_i(s_i/σ) over the matched cosines of an anchor view.
fn focus_weights(cosines: &[f64], sigma: f64) -> Vec<f64> {
    let top = cosines.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = cosines.iter().map(|s| ((s - top) / sigma).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|power| 2.0 - cosines.len() as f64 * power / total).collect()
}

/// What an engine says of a term: its share of the value, and Σ ∂L/∂s over its ordered pairs.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    value: f64,
    slope: f64,
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.value += other.value;
        self.slope += other.slope;
    }
}

/// The value, if it and the gradient are finite and it is none that rounding alone keeps finite.
fn finish<T: Scalar>(
    batch: Batch<'_>,
    loss: &Loss,
    views: &[Points<'_, T>],
    sums: &[Sums],
    grads: &[&mut [T]],
) -> Result<Value, Error> {
    let terms = sums.iter().map(|sums| sums.value).collect();
    let slopes = sums.iter().map(|sums| sums.slope).collect();
    let value = Value::new(loss, terms, slopes, grads.iter().all(|grad| are_finite(grad)))?;
    coinciding::refuse(batch, loss, views)?;
    Ok(value)
}
