//! Two encoders on the same items: what takes blocks of both, and what is told of them.

use numpy::PyUntypedArray;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use riesz::Matrix;
use riesz::geometry::{Comparison, Estimate, Joint, Sampling};
use riesz::rng::Key;

use crate::losses::refused;
use crate::pool;
use crate::rows::{self, Precision};

/// Rows of both that are gone.
#[pyclass(module = "riesz._riesz")]
pub(crate) struct JointState {
    joint: Joint,
    rows: u64,
    dims: (usize, usize),
    key: Key,
}

#[pymethods]
impl JointState {
    #[new]
    fn new(dims: (usize, usize), sample: usize, seed: u64) -> PyResult<Self> {
        if dims.0 == 0 || dims.1 == 0 {
            return Err(PyValueError::new_err("rows of no numbers"));
        }
        // As the command has it: its samples are these.
        let key = Key::new(seed).stream("sample");
        let joint = Joint::new([dims.0, dims.1], Sampling { rows: sample, key });
        Ok(Self { joint, rows: 0, dims, key })
    }

    /// Takes a block of both.
    fn push(
        &mut self,
        py: Python<'_>,
        a: &Bound<'_, PyUntypedArray>,
        b: &Bound<'_, PyUntypedArray>,
        threads: usize,
    ) -> PyResult<()> {
        let (mut a, mut b) = (rows("a", a)?, rows("b", b)?);
        let (first, joint) = (self.rows, &mut self.joint);
        self.rows += a.len() as u64;
        pool::run(py, threads, move || {
            for (name, rows) in [("a", &mut a), ("b", &mut b)] {
                riesz::normalize_from(rows, first)
                    .map_err(|error| PyValueError::new_err(format!("{name}: {error}")))?;
            }
            joint.push(&a, &b).map_err(refused)
        })?
    }

    /// Everything that is told, by name.
    fn finish<'py>(&self, py: Python<'py>, neighbors: usize, threads: usize) -> PyResult<Bound<'py, PyDict>> {
        let (joint, key) = (self.joint.clone(), self.key);
        let (likeness, found) = pool::run(py, threads, move || {
            let likeness = joint.finish()?;
            let found = Comparison::of(&likeness, neighbors, key, |_, _| ())?;
            Ok((likeness, found))
        })?
        .map_err(refused)?;
        let told = |estimate: Estimate| (estimate.value, estimate.interval);
        let differences: Vec<_> = found
            .differences
            .into_iter()
            .map(|one| (one.metric.name, one.a, one.b, one.difference.map(told), one.rows))
            .collect();
        let dict = PyDict::new(py);
        dict.set_item("rows", self.rows)?;
        dict.set_item("dims", self.dims)?;
        dict.set_item("looked_at", likeness.places.len())?;
        dict.set_item("neighbors", neighbors)?;
        dict.set_item("linear_cka", likeness.linear_cka)?;
        dict.set_item("procrustes", likeness.procrustes)?;
        dict.set_item("knn_overlap", told(found.knn_overlap))?;
        dict.set_item("differences", differences)?;
        Ok(dict)
    }
}

/// Rows of either precision, in f64.
fn rows(name: &str, array: &Bound<'_, PyUntypedArray>) -> PyResult<Matrix<f64>> {
    match rows::precision(std::slice::from_ref(array))? {
        Precision::F32 => Ok(rows::matrix::<f32>(name, array)?.to_f64()),
        Precision::F64 => rows::matrix::<f64>(name, array),
    }
}
