//! Each row's nearest others, and the groups of rows that are nearly the same.

use numpy::{PyArray1, PyUntypedArray};
use pyo3::prelude::*;
use riesz::Points;
use riesz::geometry::{self, Duplicates};

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
    fn of<T: Number>(
        py: Python<'_>,
        array: &Bound<'_, PyUntypedArray>,
        k: usize,
        threads: usize,
    ) -> PyResult<Vec<u32>> {
        let mut matrix = rows::matrix::<T>("x", array)?;
        let found = pool::run(py, threads, move || {
            riesz::normalize(&mut matrix)?;
            geometry::nearest(Points::new(&matrix)?, k)
        })?;
        found.map_err(refused)
    }
    let found = match rows::precision(std::slice::from_ref(array))? {
        Precision::F32 => of::<f32>(py, array, k, threads),
        Precision::F64 => of::<f64>(py, array, k, threads),
    };
    Ok(PyArray1::from_vec(py, found?))
}

/// Groups of rows that pairs with a cosine of at least `above` connect, and how many such pairs there are.
#[pyfunction]
pub(crate) fn duplicates(
    py: Python<'_>,
    array: &Bound<'_, PyUntypedArray>,
    above: f64,
    threads: usize,
) -> PyResult<(u64, Vec<Vec<usize>>)> {
    fn of<T: Number>(
        py: Python<'_>,
        array: &Bound<'_, PyUntypedArray>,
        above: f64,
        threads: usize,
    ) -> PyResult<Duplicates> {
        let mut matrix = rows::matrix::<T>("x", array)?;
        let found = pool::run(py, threads, move || {
            riesz::normalize(&mut matrix)?;
            Duplicates::of(Points::new(&matrix)?, above, &[], |_| ())
        })?;
        found.map_err(refused)
    }
    let found = match rows::precision(std::slice::from_ref(array))? {
        Precision::F32 => of::<f32>(py, array, above, threads),
        Precision::F64 => of::<f64>(py, array, above, threads),
    }?;
    Ok((found.pairs, found.groups))
}
