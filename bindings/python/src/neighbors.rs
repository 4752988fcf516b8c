//! Each row's nearest others, and the groups of rows that are nearly the same.

use numpy::{PyArray1, PyUntypedArray};
use pyo3::prelude::*;
use riesz::geometry::{self, Duplicates};
use riesz::{Error, Points};

use crate::losses::refused;
use crate::pool;
use crate::rows::{self, Number, Precision};

/// The places of the `k` nearest others of each row, n·k numbers, one list after another.
#[pyfunction]
pub(crate) fn nearest<'py>(
    py: Python<'py>,
    array: &Bound<'py, PyUntypedArray>,
    k: usize,
    threads: usize,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let found = match rows::precision(std::slice::from_ref(array))? {
        Precision::F32 => of_units::<f32, _>(py, array, threads, |points| geometry::nearest(points, k)),
        Precision::F64 => of_units::<f64, _>(py, array, threads, |points| geometry::nearest(points, k)),
    };
    Ok(PyArray1::from_vec(py, found?))
}

/// Groups of rows that pairs with a cosine of at least `above` connect.
#[pyfunction]
pub(crate) fn duplicates(
    py: Python<'_>,
    array: &Bound<'_, PyUntypedArray>,
    above: f64,
    threads: usize,
) -> PyResult<Vec<Vec<usize>>> {
    fn groups<T: Number>(points: Points<'_, T>, above: f64) -> Result<Vec<Vec<usize>>, Error> {
        Ok(Duplicates::of(points, above, &[], |_| ())?.groups)
    }
    match rows::precision(std::slice::from_ref(array))? {
        Precision::F32 => of_units::<f32, _>(py, array, threads, |points| groups(points, above)),
        Precision::F64 => of_units::<f64, _>(py, array, threads, |points| groups(points, above)),
    }
}

/// What `work` finds of the rows of an array, scaled to unit length.
fn of_units<T: Number, R: Send>(
    py: Python<'_>,
    array: &Bound<'_, PyUntypedArray>,
    threads: usize,
    work: impl FnOnce(Points<'_, T>) -> Result<R, Error> + Send,
) -> PyResult<R> {
    let mut matrix = rows::matrix::<T>("x", array)?;
    let found = pool::run(py, threads, move || {
        riesz::normalize(&mut matrix)?;
        work(Points::new(&matrix)?)
    })?;
    found.map_err(refused)
}
