//! Free points on the sphere: where a loss or an energy puts them, and what no points can undercut.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use numpy::PyArray1;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use riesz::rng::Key;
use riesz::sphere::certificate;
use riesz::sphere::found::{EQUAL, Found, Group, NOWHERE};
use riesz::sphere::minimize::{Problem, Settings};
use riesz::sphere::{self, ideal};

use crate::losses::{kernel, loss, refused};
use crate::pool;

/// How often Ctrl-C is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Everything that a search found, by name.
#[pyfunction]
#[pyo3(signature = (sentence, numbers, points, dim, views, starts, seed, threads))]
#[expect(clippy::too_many_arguments, reason = "Python's call")]
pub(crate) fn minimize<'py>(
    py: Python<'py>,
    sentence: &str,
    numbers: Vec<f64>,
    points: usize,
    dim: usize,
    views: usize,
    starts: u64,
    seed: u64,
    threads: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let problem = Problem::new(loss(sentence, &numbers)?, points, dim, views).map_err(refused)?;
    let pool = pool::pool(py, threads)?;
    let key = Key::new(seed).stream("sphere");
    let stop = AtomicBool::new(false);
    let search = || {
        let go_on = || !stop.load(Ordering::Relaxed);
        pool.install(|| {
            let minima = problem.search_watched(key, starts, Settings::default(), &go_on, &|_| ());
            Found::new(&problem, minima, EQUAL)
        })
    };
    // Signals are heard by this thread alone, so that another one waits for the search.
    let found = thread::scope(|scope| {
        let waiting = scope.spawn(search);
        while !waiting.is_finished() {
            py.detach(|| thread::sleep(LOOK));
            if let Err(interrupted) = py.check_signals() {
                stop.store(true, Ordering::Relaxed);
                py.detach(|| drop(waiting.join()));
                return Err(interrupted);
            }
        }
        waiting.join().map_err(|_| PyRuntimeError::new_err("the search panicked"))
    })?;
    tell(py, &problem, &found)
}

fn tell<'py>(py: Python<'py>, problem: &Problem, found: &Found) -> PyResult<Bound<'py, PyDict>> {
    let name = |group: &Group| group.recognized.as_ref().map(|one| one.name.clone());
    let dict = PyDict::new(py);
    dict.set_item("bound", found.bound.map(|bound| (bound.value, bound.theorem.to_string())))?;
    let certificates: Vec<String> = found.certificates().iter().map(ToString::to_string).collect();
    dict.set_item("certificates", certificates)?;
    let minima: Vec<_> = found
        .groups
        .iter()
        .map(|group| (found.minima[group.best].value, group.starts, name(group)))
        .collect();
    dict.set_item("minima", minima)?;
    if let Some((group, minimum)) = found.best() {
        let cosines: Vec<_> = group.cosines.distinct.iter().map(|one| (one.cosine, one.pairs)).collect();
        dict.set_item("value", minimum.value)?;
        dict.set_item("points", PyArray1::from_slice(py, minimum.rows.as_slice()))?;
        dict.set_item("gradient", minimum.gradient)?;
        dict.set_item("end", minimum.end.to_string())?;
        dict.set_item("misalignment", group.misalignment)?;
        dict.set_item("cosines", cosines)?;
        dict.set_item("configuration", name(group))?;
        dict.set_item("exact_value", group.exact_value(problem))?;
    } else {
        dict.set_item("nowhere", NOWHERE)?;
    }
    Ok(dict)
}

/// What no points undercut, and the theorem in words; `None` if none says.
#[pyfunction]
pub(crate) fn bound(
    sentence: &str,
    numbers: Vec<f64>,
    points: usize,
    dim: usize,
    views: usize,
) -> PyResult<Option<(f64, String)>> {
    let problem = Problem::new(loss(sentence, &numbers)?, points, dim, views).map_err(refused)?;
    let bound = certificate::bound(problem.loss(), points, dim, views);
    Ok(bound.map(|bound| (bound.value, bound.theorem.to_string())))
}

/// Independent uniform points, n·d numbers.
#[pyfunction]
pub(crate) fn sample(
    py: Python<'_>,
    points: usize,
    dim: usize,
    seed: u64,
    threads: usize,
) -> PyResult<Bound<'_, PyArray1<f64>>> {
    let rows = pool::run(py, threads, move || sphere::sample(points, dim, Key::new(seed)))?;
    Ok(PyArray1::from_vec(py, rows.into_vec()))
}

/// The energy of the uniform law.
#[pyfunction]
pub(crate) fn uniform_energy(name: &str, number: f64, dim: usize) -> PyResult<f64> {
    ideal::energy(dim, kernel(name, number)?).map_err(refused)
}
