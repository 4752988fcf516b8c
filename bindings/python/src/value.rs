//! Value and gradient of a loss on raw rows.

use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::PyList;
use riesz::engine::{Engine, Fused, ValueAndGrad, logistic_grad, temperature_grad};
use riesz::loss::Loss;
use riesz::{Error, Matrix, Points, UnitViews};

use crate::losses::{loss, refused};
use crate::pool;
use crate::rows::{self, Number, Precision};

type Outcome<'py> = (f64, f64, f64, Vec<f64>, Vec<f64>, Bound<'py, PyList>);

/// Value, attraction, repulsion, each term's share, the gradients of the learnable numbers (temperature; scale and offset;
/// or none, and none unless `learns`), and of the raw rows of each view.
#[pyfunction]
#[pyo3(signature = (sentence, numbers, views, labels, learns, threads))]
pub(crate) fn value_and_grad<'py>(
    py: Python<'py>,
    sentence: &str,
    numbers: Vec<f64>,
    views: Vec<Bound<'py, PyUntypedArray>>,
    labels: Option<Vec<u32>>,
    learns: bool,
    threads: usize,
) -> PyResult<Outcome<'py>> {
    let loss = loss(sentence, &numbers)?;
    match rows::precision(&views)? {
        Precision::F32 => with_grad::<f32>(py, &loss, &views, labels.as_deref(), learns, threads),
        Precision::F64 => with_grad::<f64>(py, &loss, &views, labels.as_deref(), learns, threads),
    }
}

/// The value alone.
#[pyfunction]
#[pyo3(signature = (sentence, numbers, views, labels, threads))]
pub(crate) fn value(
    py: Python<'_>,
    sentence: &str,
    numbers: Vec<f64>,
    views: Vec<Bound<'_, PyUntypedArray>>,
    labels: Option<Vec<u32>>,
    threads: usize,
) -> PyResult<f64> {
    let loss = loss(sentence, &numbers)?;
    match rows::precision(&views)? {
        Precision::F32 => alone::<f32>(py, &loss, &views, labels.as_deref(), threads),
        Precision::F64 => alone::<f64>(py, &loss, &views, labels.as_deref(), threads),
    }
}

fn alone<T: Number>(
    py: Python<'_>,
    loss: &Loss,
    arrays: &[Bound<'_, PyUntypedArray>],
    labels: Option<&[u32]>,
    threads: usize,
) -> PyResult<f64> {
    let views = rows::Views::<T>::new(arrays)?;
    rows::check_labels(labels, views.images)?;
    let (slices, dim) = (views.slices()?, views.dim);
    pool::run(py, threads, || {
        let unit = UnitViews::new(&slices, dim).map_err(refused)?;
        Fused.value(loss, &unit.points(), labels).map_err(refused)
    })?
}

fn with_grad<'py, T: Number>(
    py: Python<'py>,
    loss: &Loss,
    arrays: &[Bound<'py, PyUntypedArray>],
    labels: Option<&[u32]>,
    learns: bool,
    threads: usize,
) -> PyResult<Outcome<'py>> {
    let views = rows::Views::<T>::new(arrays)?;
    rows::check_labels(labels, views.images)?;
    let (slices, dim) = (views.slices()?, views.dim);
    let (outcome, learnt) = pool::run(py, threads, || {
        let unit = UnitViews::new(&slices, dim).map_err(refused)?;
        let points = unit.points();
        let mut outcome = evaluate(loss, &points, labels).map_err(refused)?;
        let learnt = if learns { learnable(loss, &points, &outcome) } else { Vec::new() };
        unit.backward(&mut outcome.grads).map_err(refused)?;
        Ok::<_, PyErr>((outcome, learnt))
    })??;
    let (value, grads) = outcome.split();
    let arrays: Vec<_> =
        grads.into_iter().map(|grad: Matrix<T>| rows::array(py, grad)).collect::<PyResult<_>>()?;
    let arrays = PyList::new(py, arrays)?;
    Ok((value.value, value.attraction, value.repulsion, value.terms, learnt, arrays))
}

fn evaluate<T: Number>(
    loss: &Loss,
    points: &[Points<'_, T>],
    labels: Option<&[u32]>,
) -> Result<ValueAndGrad<T>, Error> {
    match labels {
        None => Fused.value_and_grad(loss, points),
        Some(labels) => Fused.value_and_grad_grouped(loss, points, labels),
    }
}

/// ∂L/∂τ, or ∂L/∂t and ∂L/∂b, or nothing.
fn learnable<T: Number>(loss: &Loss, points: &[Points<'_, T>], outcome: &ValueAndGrad<T>) -> Vec<f64> {
    if let Some(grad) = temperature_grad(loss, points, &outcome.grads) {
        return vec![grad];
    }
    logistic_grad(loss, points, outcome).map_or_else(Vec::new, |grad| vec![grad.scale, grad.offset])
}
