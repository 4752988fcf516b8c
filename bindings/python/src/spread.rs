//! Own rows against a block of others', for batches that are spread over processes: `riesz::engine::Fused::{log_sums, sweep}`.

use numpy::{PyArray1, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray3, PyUntypedArray};
use numpy::{PyArrayDescrMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use riesz::Points;
use riesz::engine::{Ends, Fused, Part, Whole};
use riesz::loss::Loss;

use crate::losses::{loss, refused};
use crate::pool;
use crate::rows::Number;

/// Unit rows [K, n, d], contiguous, and the place of their first image in the batch.
type Rows<'py> = (Bound<'py, PyUntypedArray>, usize);

/// Of each term the factors and logarithms of a part's rows, K · n each.
type Numbers<'py> = Vec<(PyReadonlyArray1<'py, f64>, PyReadonlyArray1<'py, f64>)>;

fn is_single(py: Python<'_>, rows: &Rows<'_>) -> bool {
    rows.0.dtype().is_equiv_to(&numpy::dtype::<f32>(py))
}

fn array<'py, T: Number>(rows: &Rows<'py>) -> PyResult<PyReadonlyArray3<'py, T>> {
    let array = rows.0.cast::<PyArray3<T>>()?.readonly();
    if !array.is_c_contiguous() || array.shape().contains(&0) {
        return Err(PyValueError::new_err("a part is some contiguous rows, [K, n, d]"));
    }
    Ok(array)
}

fn points<'a, T: Number>(array: &'a PyReadonlyArray3<'_, T>) -> PyResult<Vec<Points<'a, T>>> {
    let (rows, dim) = (array.shape()[1], array.shape()[2]);
    let view = |view| Points::from_slice(view, dim).map_err(refused);
    array.as_slice()?.chunks_exact(rows * dim).map(view).collect()
}

/// Of each term the logarithms of own rows' sums over the block, K · n; none without a logarithm.
#[pyfunction]
pub(crate) fn log_sums<'py>(
    py: Python<'py>,
    sentence: &str,
    numbers: Vec<f64>,
    images: usize,
    groups: Option<Vec<u32>>,
    own: Rows<'py>,
    other: Rows<'py>,
    threads: usize,
) -> PyResult<Bound<'py, PyList>> {
    let loss = loss(sentence, &numbers)?;
    let whole = Whole { images, groups: groups.as_deref() };
    let found = if is_single(py, &own) {
        sums::<f32>(py, &loss, whole, &own, &other, threads)?
    } else {
        sums::<f64>(py, &loss, whole, &own, &other, threads)?
    };
    PyList::new(py, found.into_iter().map(|numbers| PyArray1::from_vec(py, numbers)))
}

fn sums<T: Number>(
    py: Python<'_>,
    loss: &Loss,
    whole: Whole<'_>,
    own: &Rows<'_>,
    other: &Rows<'_>,
    threads: usize,
) -> PyResult<Vec<Vec<f64>>> {
    let (own_array, other_array) = (array::<T>(own)?, array::<T>(other)?);
    let (own_views, other_views) = (points(&own_array)?, points(&other_array)?);
    let own = Part { first: own.1, views: &own_views };
    let other = Part { first: other.1, views: &other_views };
    pool::run(py, threads, || Fused.log_sums(loss, whole, own, other))
}

/// Adds to `grad` [K, n, d] what own rows owe to the block; each term's share of value and slope.
#[pyfunction]
pub(crate) fn sweep<'py>(
    py: Python<'py>,
    sentence: &str,
    numbers: Vec<f64>,
    images: usize,
    groups: Option<Vec<u32>>,
    own: Rows<'py>,
    own_ends: Numbers<'py>,
    other: Rows<'py>,
    other_ends: Numbers<'py>,
    grad: &Bound<'py, PyUntypedArray>,
    threads: usize,
) -> PyResult<Vec<(f64, f64)>> {
    let loss = loss(sentence, &numbers)?;
    let whole = Whole { images, groups: groups.as_deref() };
    if is_single(py, &own) {
        swept::<f32>(py, &loss, whole, (&own, &own_ends), (&other, &other_ends), grad, threads)
    } else {
        swept::<f64>(py, &loss, whole, (&own, &own_ends), (&other, &other_ends), grad, threads)
    }
}

fn swept<T: Number>(
    py: Python<'_>,
    loss: &Loss,
    whole: Whole<'_>,
    (own, own_ends): (&Rows<'_>, &Numbers<'_>),
    (other, other_ends): (&Rows<'_>, &Numbers<'_>),
    grad: &Bound<'_, PyUntypedArray>,
    threads: usize,
) -> PyResult<Vec<(f64, f64)>> {
    let (own_array, other_array) = (array::<T>(own)?, array::<T>(other)?);
    let (own_views, other_views) = (points(&own_array)?, points(&other_array)?);
    let mut grad = grad.cast::<PyArray3<T>>()?.readwrite();
    if grad.shape() != own_array.shape() {
        return Err(PyValueError::new_err("the gradient is not of the shape of the rows"));
    }
    let per_view = own_array.shape()[1] * own_array.shape()[2];
    let mut grads: Vec<&mut [T]> = grad.as_slice_mut()?.chunks_exact_mut(per_view).collect();
    let (own_ends, other_ends) = (ends(own_ends)?, ends(other_ends)?);
    let own = Part { first: own.1, views: &own_views };
    let other = Part { first: other.1, views: &other_views };
    let shares =
        pool::run(py, threads, || Fused.sweep(loss, whole, own, &own_ends, other, &other_ends, &mut grads))?;
    Ok(shares.into_iter().map(|share| (share.value, share.slope)).collect())
}

fn ends<'a>(numbers: &'a Numbers<'_>) -> PyResult<Vec<Ends<'a>>> {
    let of_term = |(factors, log_sums): &'a (PyReadonlyArray1<'_, f64>, PyReadonlyArray1<'_, f64>)| {
        Ok(Ends { factors: factors.as_slice()?, log_sums: log_sums.as_slice()? })
    };
    numbers.iter().map(of_term).collect()
}
