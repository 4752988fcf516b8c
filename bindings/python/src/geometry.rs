//! What rows' geometry is read from: a state that takes blocks of rows, merges, and goes through pickles.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use numpy::{PyArray1, PyReadonlyArray1, PyUntypedArray};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use riesz::Points;
use riesz::geometry::{
    Better, Finding, Findings, Finished, Lengths, METRICS, Pairwise, Parts, Sampled, Sampling, Source, State,
    Tone, alignment, lidar, silhouettes, verdict,
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

/// Rows that are gone. Several threads may hold it: who comes second waits for the block that is being taken, and not with the GIL.
#[pyclass(module = "riesz._riesz", frozen)]
pub(crate) struct GeometryState {
    kept: Mutex<Kept>,
    seed: u64,
}

/// What changes together, or not at all.
struct Kept {
    state: State,
    /// The sum of the squared distances of matched pairs, and how many there were.
    matched: (f64, u64),
    /// The names of sources, in the order in which they came; rows that come are of `source`.
    sources: Vec<String>,
    source: String,
    /// One array a block; none, if rows have none.
    labels: Vec<Py<PyAny>>,
}

/// Where draws of the sample are: as the command line has it.
fn key(seed: u64, source: &str) -> Key {
    Key::new(seed).stream("sample").stream(source)
}

#[pymethods]
impl GeometryState {
    #[new]
    fn new(dim: usize, sample: usize, seed: u64, source: String) -> PyResult<Self> {
        if dim == 0 {
            return Err(PyValueError::new_err("rows of no numbers"));
        }
        let state = State::with_sample(dim, Sampling { rows: sample, key: key(seed, &source) });
        let sources = vec![source.clone()];
        Ok(Self::of(Kept { state, matched: (0.0, 0), sources, source, labels: Vec::new() }, seed))
    }

    /// The rows from now on are the first of another source.
    fn begin(&self, py: Python<'_>, source: String) {
        let key = key(self.seed, &source);
        self.with(py, move |kept| {
            kept.state.begin(key);
            kept.sources.push(source.clone());
            kept.source = source;
        });
    }

    /// Takes all rows of a block with their pairs and labels, or none. Errors count rows from `first`. Signals are left to Python.
    #[pyo3(signature = (block, pairs, labels, first, threads))]
    fn push(
        &self,
        py: Python<'_>,
        block: &Bound<'_, PyUntypedArray>,
        pairs: Option<&Bound<'_, PyUntypedArray>>,
        labels: Option<Py<PyAny>>,
        first: u64,
        threads: usize,
    ) -> PyResult<()> {
        let arrays: Vec<_> = [Some(block), pairs].into_iter().flatten().cloned().collect();
        match rows::precision(&arrays)? {
            Precision::F32 => self.take::<f32>(py, block, pairs, labels, first, threads),
            Precision::F64 => self.take::<f64>(py, block, pairs, labels, first, threads),
        }
    }

    /// Adds all that another one has. Signals are left to Python.
    fn merge(&self, py: Python<'_>, other: &Self, threads: usize) -> PyResult<()> {
        let copy = |kept: &mut Kept| {
            let Kept { state, matched, sources, .. } = &*kept;
            (state.clone(), *matched, sources.clone())
        };
        let (state, matched, sources) = other.with(py, copy);
        let labels = other.labels(py);
        if (self.dim(py), self.seed) != (state.dim(), other.seed) {
            return Err(PyValueError::new_err(format!(
                "states of dimension {} and {}, seed {} and {}; parts must agree",
                self.dim(py),
                state.dim(),
                self.seed,
                other.seed
            )));
        }
        self.change(py, threads, |kept| {
            kept.state.merge(state);
            kept.matched = (kept.matched.0 + matched.0, kept.matched.1 + matched.1);
            kept.sources.extend(sources);
            kept.labels.extend(labels);
        })
    }

    #[getter]
    fn rows(&self, py: Python<'_>) -> u64 {
        self.with(py, |kept| kept.state.rows())
    }

    #[getter]
    fn dim(&self, py: Python<'_>) -> usize {
        self.with(py, |kept| kept.state.dim())
    }

    #[getter]
    fn sources(&self, py: Python<'_>) -> Vec<String> {
        self.with(py, |kept| kept.sources.clone())
    }

    /// That of the rows that come.
    #[getter]
    fn source(&self, py: Python<'_>) -> String {
        self.with(py, |kept| kept.source.clone())
    }

    /// Whether its rows have labels.
    #[getter]
    fn labeled(&self, py: Python<'_>) -> bool {
        self.with(py, |kept| !kept.labels.is_empty())
    }

    /// One array a block.
    #[getter]
    fn labels(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        // The lock is asked for without the GIL, and references are counted with it.
        loop {
            let kept = match self.kept.try_lock() {
                Ok(kept) => kept,
                Err(TryLockError::Poisoned(kept)) => kept.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    py.detach(|| drop(self.lock()));
                    continue;
                }
            };
            return kept.labels.iter().map(|labels| labels.clone_ref(py)).collect();
        }
    }

    /// All numbers, by name: what [`Self::from_parts`] takes.
    fn parts<'py>(&self, py: Python<'py>, threads: usize) -> PyResult<Bound<'py, PyDict>> {
        let copy =
            |kept: &mut Kept| (kept.state.clone(), kept.matched, kept.sources.clone(), kept.source.clone());
        let (state, matched, sources, source) = self.with(py, copy);
        let labels = self.labels(py);
        let parts = pool::run(py, threads, move || state.into_parts())?;
        let dict = PyDict::new(py);
        let lengths = parts.lengths;
        dict.set_item("dim", parts.dim)?;
        dict.set_item("rows", parts.rows)?;
        dict.set_item("capacity", parts.capacity)?;
        dict.set_item("seed", self.seed)?;
        dict.set_item("matched", matched)?;
        dict.set_item("sources", sources)?;
        dict.set_item("source", source)?;
        dict.set_item("draws", parts.source.map(|source| (source.key.words(), source.rows)))?;
        dict.set_item("labels", labels)?;
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
        let draws: Option<([u64; 4], u64)> = item("draws")?.extract()?;
        let labels: Vec<Py<PyAny>> = item("labels")?.extract()?;
        let state = State::from_parts(Parts {
            dim: item("dim")?.extract()?,
            rows: item("rows")?.extract()?,
            lengths: Lengths { count, mean, squares, least, most, bins: whole("length_bins")? },
            triangle: numbers("triangle")?,
            source: draws.map(|(words, rows)| Source { key: Key::from_words(words), rows }),
            capacity: item("capacity")?.extract()?,
            sample_numbers: whole("sample_numbers")?,
            sample_places: whole("sample_places")?,
            sample_rows: numbers("sample_rows")?,
        });
        let kept = Kept {
            state: state.map_err(refused)?,
            matched: item("matched")?.extract()?,
            sources: item("sources")?.extract()?,
            source: item("source")?.extract()?,
            labels,
        };
        Ok(Self::of(kept, item("seed")?.extract()?))
    }

    /// Everything that is told, by name. `labels` has the number of the class of each row.
    fn finish<'py>(
        &self,
        py: Python<'py>,
        near_duplicate: f64,
        labels: Option<Vec<u32>>,
        threads: usize,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (state, matched) = self.with(py, |kept| (kept.state.clone(), kept.matched));
        let (rows, seed) = (state.rows(), self.seed);
        if labels.as_ref().is_some_and(|labels| labels.len() as u64 != rows) {
            let count = labels.map_or(0, |labels| labels.len());
            return Err(PyValueError::new_err(format!("{count} labels for {rows} rows")));
        }
        let told = pool::run(py, threads, move || {
            let Finished { lengths, spectrum, places, sample: sampled, .. } =
                state.finish().map_err(refused)?;
            let key = Key::new(seed).stream("pairs");
            let pairwise = (sampled.len() > 1)
                .then(|| Pairwise::of_sample(&sampled, rows, near_duplicate, key))
                .transpose()
                .map_err(refused)?;
            let labeled = labels.as_ref().map(|labels| labeled(&sampled, labels, &places)).transpose()?;
            let mut findings = Findings::new(spectrum);
            findings.lengths = Some(lengths);
            findings.alignment = (matched.1 > 0).then(|| matched.0 / matched.1 as f64);
            findings.pairwise = pairwise;
            Ok::<_, PyErr>((findings, places, labeled))
        })??;
        tell(py, rows, told)
    }
}

impl GeometryState {
    fn of(kept: Kept, seed: u64) -> Self {
        Self { kept: Mutex::new(kept), seed }
    }

    /// Not to be called with the GIL: who has the lock may wait for it.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R: Send>(&self, py: Python<'_>, read: impl FnOnce(&mut Kept) -> R + Send) -> R {
        py.detach(|| read(&mut self.lock()))
    }

    /// The lock is taken before the pool is: a thread of the pool that waits for others may be given other work, and must not wait for
    /// a lock that it has.
    fn change<R: Send>(
        &self,
        py: Python<'_>,
        threads: usize,
        work: impl FnOnce(&mut Kept) -> R + Send,
    ) -> PyResult<R> {
        let pool = pool::pool(py, threads)?;
        Ok(self.with(py, |kept| pool.install(|| work(kept))))
    }

    fn take<T: Number>(
        &self,
        py: Python<'_>,
        block: &Bound<'_, PyUntypedArray>,
        pairs: Option<&Bound<'_, PyUntypedArray>>,
        labels: Option<Py<PyAny>>,
        first: u64,
        threads: usize,
    ) -> PyResult<()> {
        let mut block = rows::matrix::<T>("the block", block)?;
        let mut pairs = pairs.map(|pairs| rows::matrix::<T>("pairs", pairs)).transpose()?;
        let dim = self.dim(py);
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
        self.change(py, threads, |kept| {
            let mut found = 0.0;
            let count = block.len() as u64;
            let as_given = pairs.is_some().then(|| block.clone());
            if let Some(pairs) = &mut pairs {
                riesz::normalize_from(pairs, first)
                    .map_err(|error| PyValueError::new_err(format!("pairs: {error}")))?;
                riesz::normalize_from(&mut block, first).map_err(refused)?;
                let (u, v) = (Points::new(&block).map_err(refused)?, Points::new(pairs).map_err(refused)?);
                found = alignment(u, v).map_err(refused)? * count as f64;
            }
            kept.state.push_from(as_given.as_ref().unwrap_or(&block).as_slice(), first).map_err(refused)?;
            if pairs.is_some() {
                kept.matched = (kept.matched.0 + found, kept.matched.1 + count);
            }
            kept.labels.extend(labels);
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
            let found = metric.read(&findings);
            (metric.name, found.map(|found| found.value), found.and_then(|found| found.interval))
        })
        .collect();
    let dim = findings.spectrum.dim();
    dict.set_item("rows", rows)?;
    dict.set_item("dim", dim)?;
    dict.set_item("looked_at", findings.pairwise.as_ref().map_or(0, |pairwise| pairwise.looked_at))?;
    dict.set_item("metrics", metrics)?;
    dict.set_item("labeled", labeled)?;
    let said = verdict(&findings).into_iter().map(|Finding { tone, sentence, .. }| {
        let tone = match tone {
            Tone::Bad => "bad",
            Tone::Mixed => "mixed",
            Tone::Good => "good",
        };
        (tone, sentence)
    });
    dict.set_item("findings", said.collect::<Vec<_>>())?;
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
