//! Arrays of rows in, arrays of gradients out.

use numpy::{Element, PyArray1, PyArrayDescrMethods, PyArrayMethods, PyReadonlyArray2, PyUntypedArray};
use numpy::{PyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use riesz::{Matrix, Scalar};

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

/// The shape of an array of rows, n × d, or a sentence.
fn shape(name: &str, array: &Bound<'_, PyUntypedArray>) -> PyResult<(usize, usize)> {
    let shape = array.shape();
    let [rows, dim] = *shape else {
        return Err(PyValueError::new_err(format!(
            "{name} has the shape {shape:?}; rows of numbers are expected, n × d"
        )));
    };
    if rows == 0 || dim == 0 {
        return Err(PyValueError::new_err(format!("{name} is {rows} × {dim}; there are no rows")));
    }
    Ok((rows, dim))
}

/// A copy of the rows of an array. A contiguous array is read in one piece.
pub(crate) fn matrix<T: Number>(name: &str, array: &Bound<'_, PyUntypedArray>) -> PyResult<Matrix<T>> {
    let (_, dim) = shape(name, array)?;
    let array: PyReadonlyArray2<'_, T> = array.cast::<PyArray2<T>>()?.readonly();
    let data = match row_major(&array) {
        Some(slice) => slice.to_vec(),
        None => array.as_array().iter().copied().collect(),
    };
    Ok(Matrix::new(data, dim))
}

/// The numbers as they lie, if that is row by row.
fn row_major<'a, T: Number>(array: &'a PyReadonlyArray2<'_, T>) -> Option<&'a [T]> {
    // An array in Fortran's order is a slice as well, of another order.
    if array.is_c_contiguous() { array.as_slice().ok() } else { None }
}

/// The views of a batch, which are of one shape: read where they lie, or from a copy where they do not lie row by row.
pub(crate) struct Views<'py, T: Number> {
    arrays: Vec<(PyReadonlyArray2<'py, T>, Option<Vec<T>>)>,
    pub(crate) images: usize,
    pub(crate) dim: usize,
}

impl<'py, T: Number> Views<'py, T> {
    /// Or a sentence.
    pub(crate) fn new(arrays: &[Bound<'py, PyUntypedArray>]) -> PyResult<Self> {
        let name = |i: usize| format!("view {}", i + 1);
        let shapes: Vec<(usize, usize)> =
            arrays.iter().enumerate().map(|(i, array)| shape(&name(i), array)).collect::<PyResult<_>>()?;
        let (images, dim) = shapes[0];
        if let Some((n, d)) = shapes.into_iter().find(|&shape| shape != (images, dim)) {
            return Err(PyValueError::new_err(format!("views differ: {images} × {dim} and {n} × {d}")));
        }
        let read = |array: &Bound<'py, PyUntypedArray>| {
            let array = array.cast::<PyArray2<T>>()?.readonly();
            let copy = row_major(&array).is_none().then(|| array.as_array().iter().copied().collect());
            Ok((array, copy))
        };
        Ok(Self { arrays: arrays.iter().map(read).collect::<PyResult<_>>()?, images, dim })
    }

    /// The numbers of each view, row by row.
    pub(crate) fn slices(&self) -> PyResult<Vec<&[T]>> {
        let mut slices = Vec::with_capacity(self.arrays.len());
        for (array, copy) in &self.arrays {
            slices.push(match copy {
                Some(copy) => copy.as_slice(),
                None => array.as_slice()?,
            });
        }
        Ok(slices)
    }
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
