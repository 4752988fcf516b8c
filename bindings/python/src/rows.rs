//! Arrays of rows in, arrays of gradients out.

use numpy::{Element, PyArray1, PyArrayDescrMethods, PyArrayMethods, PyReadonlyArray2, PyUntypedArray};
use numpy::{PyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use riesz::{Matrix, Scalar};

use crate::losses::refused;

/// f32 or f64 of both worlds.
pub(crate) trait Number: Scalar + Element {}

impl Number for f32 {}
impl Number for f64 {}

/// What the rows are of.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Precision {
    F32,
    F64,
}

/// The precision of arrays, which must have one.
pub(crate) fn precision(views: &[Bound<'_, PyUntypedArray>]) -> PyResult<Precision> {
    let py = match views.first() {
        Some(view) => view.py(),
        None => return Err(PyValueError::new_err("there is no view")),
    };
    let of = |(i, view): (usize, &Bound<'_, PyUntypedArray>)| {
        let dtype = view.dtype();
        if dtype.is_equiv_to(&numpy::dtype::<f32>(py)) {
            Ok(Precision::F32)
        } else if dtype.is_equiv_to(&numpy::dtype::<f64>(py)) {
            Ok(Precision::F64)
        } else {
            Err(PyTypeError::new_err(format!("view {} is of {dtype}; float32 or float64 is expected", i + 1)))
        }
    };
    let all: Vec<Precision> = views.iter().enumerate().map(of).collect::<PyResult<_>>()?;
    if all.iter().any(|one| *one != all[0]) {
        return Err(PyTypeError::new_err("views differ in type: float32 and float64"));
    }
    Ok(all[0])
}

/// A copy of the rows of an array, which the core makes unit in place. A contiguous array is read in one piece.
pub(crate) fn matrix<T: Number>(name: &str, array: &Bound<'_, PyUntypedArray>) -> PyResult<Matrix<T>> {
    let shape = array.shape();
    let [rows, dim] = *shape else {
        return Err(PyValueError::new_err(format!(
            "{name} has the shape {shape:?}; rows of numbers are expected, n × d"
        )));
    };
    if rows == 0 || dim == 0 {
        return Err(PyValueError::new_err(format!("{name} is {rows} × {dim}; there are no rows")));
    }
    let array: PyReadonlyArray2<'_, T> = array.cast::<PyArray2<T>>()?.readonly();
    // An array in Fortran's order is a slice as well, of another order.
    let data = match array.as_slice() {
        Ok(slice) if array.is_c_contiguous() => slice.to_vec(),
        _ => array.as_array().iter().copied().collect(),
    };
    Ok(Matrix::new(data, dim))
}

/// The same for the views of a batch, which must be of one shape; or a sentence.
pub(crate) fn views<T: Number>(arrays: &[Bound<'_, PyUntypedArray>]) -> PyResult<Vec<Matrix<T>>> {
    let name = |i: usize| format!("view {}", i + 1);
    let views: Vec<Matrix<T>> =
        arrays.iter().enumerate().map(|(i, array)| matrix(&name(i), array)).collect::<PyResult<_>>()?;
    let first = &views[0];
    for view in &views {
        if (view.len(), view.dim()) != (first.len(), first.dim()) {
            return Err(PyValueError::new_err(format!(
                "views differ: {} × {} and {} × {}",
                first.len(),
                first.dim(),
                view.len(),
                view.dim()
            )));
        }
    }
    Ok(views)
}

/// Makes the rows of each view unit, and returns their lengths.
pub(crate) fn normalize<T: Number>(views: &mut [Matrix<T>]) -> PyResult<Vec<Vec<f64>>> {
    let one = |(i, view): (usize, &mut Matrix<T>)| {
        riesz::normalize(view).map_err(|error| PyValueError::new_err(format!("view {}: {error}", i + 1)))
    };
    views.iter_mut().enumerate().map(one).collect()
}

/// Checks labels against the number of images.
pub(crate) fn check_labels(labels: Option<&[u32]>, images: usize) -> PyResult<()> {
    match labels {
        Some(labels) if labels.len() != images => {
            Err(PyValueError::new_err(format!("{} labels for {images} images", labels.len())))
        }
        _ => Ok(()),
    }
}

/// An array that takes over a matrix without a copy.
pub(crate) fn array<T: Number>(py: Python<'_>, matrix: Matrix<T>) -> PyResult<Bound<'_, PyArray2<T>>> {
    let shape = [matrix.len(), matrix.dim()];
    PyArray1::from_vec(py, matrix.into_vec()).reshape(shape)
}

/// Unit rows as the core wants them.
pub(crate) fn points<T: Number>(views: &[Matrix<T>]) -> PyResult<Vec<riesz::Points<'_, T>>> {
    views.iter().map(|view| riesz::Points::new(view).map_err(refused)).collect()
}
