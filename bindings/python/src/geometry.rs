//! What rows' geometry is read from: a state that takes blocks of rows, merges, and goes through pickles.

use numpy::{PyArray1, PyReadonlyArray1, PyUntypedArray};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use riesz::Points;
use riesz::geometry::{
    Better, Findings, Lengths, METRICS, Pairwise, Parts, Sampled, Sampling, State, alignment, diagnosis,
    lidar, silhouettes,
};
use riesz::rng::Key;
use riesz::sphere::ideal;

use crate::losses::refused;
use crate::pool;
use crate::rows::{self, Number, Precision};

/// Name, what it says, formula, source, better ("lower", "higher", ""), and whether it looks at pairs, of every metric.
#[pyfunction]
pub(crate) fn metrics() -> Vec<(&'static str, &'static str, &'static str, &'static str, &'static str, bool)> {
    let better = |better| match better {
        Better::Lower => "lower",
        Better::Higher => "higher",
        Better::Neither => "",
    };
    let told = METRICS.iter().map(|metric| {
        (metric.name, metric.about, metric.formula, metric.source, better(metric.better), metric.pairwise)
    });
    told.collect()
}

/// Rows that are gone, and the sum of the squared distances of matched pairs.
#[pyclass(module = "riesz._riesz")]
pub(crate) struct GeometryState {
    state: State,
    matched: (f64, u64),
    seed: u64,
}

/// Where draws of the sample are: as the command line has it.
fn key(seed: u64, source: &str) -> Key {
    Key::new(seed).stream("sample").stream(source)
}

#[pymethods]
impl GeometryState {
    #[new]
    fn new(dim: usize, sample: usize, seed: u64, source: &str) -> PyResult<Self> {
        if dim == 0 {
            return Err(PyValueError::new_err("rows of no numbers"));
        }
        let sampling = Sampling { rows: sample, key: key(seed, source) };
        Ok(Self { state: State::with_sample(dim, sampling), matched: (0.0, 0), seed })
    }

    /// The rows from now on are the first of another source.
    fn begin(&mut self, source: &str) {
        self.state.begin(key(self.seed, source));
    }

    fn push(
        &mut self,
        py: Python<'_>,
        block: &Bound<'_, PyUntypedArray>,
        pairs: Option<&Bound<'_, PyUntypedArray>>,
        threads: usize,
    ) -> PyResult<()> {
        let arrays: Vec<_> = [Some(block), pairs].into_iter().flatten().cloned().collect();
        match rows::precision(&arrays)? {
            Precision::F32 => self.take::<f32>(py, block, pairs, threads),
            Precision::F64 => self.take::<f64>(py, block, pairs, threads),
        }
    }

    fn merge(&mut self, py: Python<'_>, other: &Self, threads: usize) -> PyResult<()> {
        if (self.state.dim(), self.seed) != (other.state.dim(), other.seed) {
            return Err(PyValueError::new_err(format!(
                "states of dimension {} and {}, seed {} and {}; parts must agree",
                self.state.dim(),
                other.state.dim(),
                self.seed,
                other.seed
            )));
        }
        let theirs = other.state.clone();
        let state = &mut self.state;
        pool::run(py, threads, move || state.merge(theirs))?;
        self.matched = (self.matched.0 + other.matched.0, self.matched.1 + other.matched.1);
        Ok(())
    }

    #[getter]
    fn rows(&self) -> u64 {
        self.state.rows()
    }

    #[getter]
    fn dim(&self) -> usize {
        self.state.dim()
    }

    /// All numbers, by name: what [`Self::from_parts`] takes.
    fn parts<'py>(&self, py: Python<'py>, threads: usize) -> PyResult<Bound<'py, PyDict>> {
        let state = self.state.clone();
        let parts = pool::run(py, threads, move || state.into_parts())?;
        let dict = PyDict::new(py);
        let lengths = parts.lengths;
        dict.set_item("dim", parts.dim)?;
        dict.set_item("rows", parts.rows)?;
        dict.set_item("capacity", parts.capacity)?;
        dict.set_item("seed", self.seed)?;
        dict.set_item("matched", self.matched)?;
        dict.set_item(
            "lengths",
            (lengths.count, lengths.mean, lengths.squares, lengths.least, lengths.most),
        )?;
        dict.set_item("length_bins", PyArray1::from_vec(py, lengths.bins))?;
        dict.set_item("triangle", PyArray1::from_vec(py, parts.triangle))?;
        dict.set_item("sample_numbers", PyArray1::from_vec(py, parts.sample_numbers))?;
        dict.set_item("sample_places", PyArray1::from_vec(py, parts.sample_places))?;
        dict.set_item("sample_rows", PyArray1::from_vec(py, parts.sample_rows))?;
        Ok(dict)
    }

    #[staticmethod]
    fn from_parts(parts: &Bound<'_, PyDict>) -> PyResult<Self> {
        let item = |name: &str| {
            parts.get_item(name)?.ok_or_else(|| PyValueError::new_err(format!("a state without {name}")))
        };
        let numbers = |name: &str| -> PyResult<Vec<f64>> {
            Ok(item(name)?.extract::<PyReadonlyArray1<'_, f64>>()?.as_array().to_vec())
        };
        let whole = |name: &str| -> PyResult<Vec<u64>> {
            Ok(item(name)?.extract::<PyReadonlyArray1<'_, u64>>()?.as_array().to_vec())
        };
        let (count, mean, squares, least, most) = item("lengths")?.extract()?;
        let parts = Parts {
            dim: item("dim")?.extract()?,
            rows: item("rows")?.extract()?,
            lengths: Lengths { count, mean, squares, least, most, bins: whole("length_bins")? },
            triangle: numbers("triangle")?,
            capacity: item("capacity")?.extract()?,
            sample_numbers: whole("sample_numbers")?,
            sample_places: whole("sample_places")?,
            sample_rows: numbers("sample_rows")?,
        };
        let state = State::from_parts(parts).map_err(refused)?;
        Ok(Self { state, matched: item("matched")?.extract()?, seed: item("seed")?.extract()? })
    }

    /// Everything that is told, by name. `labels` has the number of the class of each row.
    fn finish<'py>(
        &self,
        py: Python<'py>,
        near_duplicate: f64,
        labels: Option<Vec<u32>>,
        threads: usize,
    ) -> PyResult<Bound<'py, PyDict>> {
        let rows = self.state.rows();
        if labels.as_ref().is_some_and(|labels| labels.len() as u64 != rows) {
            let count = labels.map_or(0, |labels| labels.len());
            return Err(PyValueError::new_err(format!("{count} labels for {rows} rows")));
        }
        let (state, matched, seed) = (self.state.clone(), self.matched, self.seed);
        let told = pool::run(py, threads, move || {
            let (lengths, spectrum, places, sampled) = state.finish().map_err(refused)?;
            let key = Key::new(seed).stream("pairs");
            let pairwise = (sampled.len() > 1)
                .then(|| Pairwise::of_sample(&sampled, rows, near_duplicate, key))
                .transpose()
                .map_err(refused)?;
            let labeled = labels.as_ref().map(|labels| labeled(&sampled, labels, &places)).transpose()?;
            let findings = Findings {
                spectrum,
                lengths: Some(lengths),
                alignment: (matched.1 > 0).then(|| matched.0 / matched.1 as f64),
                pairwise,
            };
            Ok::<_, PyErr>((findings, places, labeled))
        })??;
        tell(py, rows, told)
    }
}

impl GeometryState {
    fn take<T: Number>(
        &mut self,
        py: Python<'_>,
        block: &Bound<'_, PyUntypedArray>,
        pairs: Option<&Bound<'_, PyUntypedArray>>,
        threads: usize,
    ) -> PyResult<()> {
        let mut block = rows::matrix::<T>("the block", block)?;
        let mut pairs = pairs.map(|pairs| rows::matrix::<T>("pairs", pairs)).transpose()?;
        let dim = self.state.dim();
        if block.dim() != dim {
            return Err(PyValueError::new_err(format!(
                "the block has rows of {} numbers; those before have {dim}",
                block.dim()
            )));
        }
        if let Some(pairs) = pairs.as_ref().filter(|pairs| (pairs.len(), pairs.dim()) != (block.len(), dim)) {
            return Err(PyValueError::new_err(format!(
                "pairs are {} × {}, and the rows {} × {dim}",
                pairs.len(),
                pairs.dim(),
                block.len()
            )));
        }
        let (state, matched) = (&mut self.state, &mut self.matched);
        pool::run(py, threads, move || {
            let mut found = 0.0;
            let count = block.len() as u64;
            let as_given = pairs.is_some().then(|| block.clone());
            if let Some(pairs) = &mut pairs {
                riesz::normalize(pairs).map_err(|error| PyValueError::new_err(format!("pairs: {error}")))?;
                riesz::normalize(&mut block).map_err(refused)?;
                let (u, v) = (Points::new(&block).map_err(refused)?, Points::new(pairs).map_err(refused)?);
                found = alignment(u, v).map_err(refused)? * count as f64;
            }
            state.push(as_given.as_ref().unwrap_or(&block).as_slice()).map_err(refused)?;
            if pairs.is_some() {
                *matched = (matched.0 + found, matched.1 + count);
            }
            Ok(())
        })?
    }
}

/// LiDAR and the mean silhouette of sampled points.
fn labeled(rows: &Sampled, labels: &[u32], places: &[u64]) -> PyResult<(f64, f64)> {
    let classes: Vec<u32> = places.iter().map(|&place| labels[place as usize]).collect();
    let all: Vec<usize> = (0..rows.len()).collect();
    let rows = rows.take(&all);
    let points = Points::new(&rows).map_err(refused)?;
    let shares = silhouettes(points, &classes).map_err(refused)?;
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    Ok((lidar(points, &classes).map_err(refused)?, mean))
}

type Told = (Findings, Vec<u64>, Option<(f64, f64)>);

fn tell(py: Python<'_>, rows: u64, (findings, places, labeled): Told) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    let metrics: Vec<(&str, Option<f64>, Option<[f64; 2]>)> = METRICS
        .iter()
        .map(|metric| {
            let found = (metric.read)(&findings);
            (metric.name, found.map(|found| found.value), found.and_then(|found| found.interval))
        })
        .collect();
    let dim = findings.spectrum.dim();
    dict.set_item("rows", rows)?;
    dict.set_item("dim", dim)?;
    dict.set_item("looked_at", findings.pairwise.as_ref().map_or(0, |pairwise| pairwise.looked_at))?;
    dict.set_item("metrics", metrics)?;
    dict.set_item("labeled", labeled)?;
    dict.set_item("verdict", diagnosis(&findings.spectrum).to_string())?;
    if let Some(pairwise) = findings.pairwise {
        let bins = pairwise.histogram.len();
        let edge = |bin: usize| ideal::cdf(dim, 2.0 * bin as f64 / bins as f64 - 1.0);
        let ideal: Vec<f64> = (0..bins).map(|bin| edge(bin + 1) - edge(bin)).collect();
        let pairs: Vec<(u64, u64, f64)> =
            pairwise.listed.iter().map(|&(a, b, cosine)| (places[a], places[b], cosine)).collect();
        dict.set_item("near_duplicate_pairs", pairs)?;
        dict.set_item("cosines", PyArray1::from_vec(py, pairwise.histogram))?;
        dict.set_item("ideal_cosines", PyArray1::from_vec(py, ideal))?;
    }
    dict.set_item("singular_values", PyArray1::from_vec(py, findings.spectrum.values))?;
    dict.set_item("mean", PyArray1::from_vec(py, findings.spectrum.mean))?;
    Ok(dict)
}
