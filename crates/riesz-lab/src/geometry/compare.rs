//! Files of two encoders, or two checkpoints, on the same items: how alike they are, and how their metrics differ.

use riesz::geometry::{self, Estimate, Joint, Sampling, State, compared};
use riesz::rng::Key;
use serde::{Deserialize, Serialize};

use super::feed::{self, Input, Reading};
use super::labels::OF_LABELS;
use super::{SCHEMA_VERSION, Value, items};
use crate::embeddings::stream::Wanted;
use crate::progress::Progress;
use crate::{Error, Result};

/// How to compare.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names of the arrays or columns of both.
    pub names: [Option<String>; 2],
    /// Items that pairwise metrics and neighbors look at.
    pub sample: usize,
    /// Of the sample.
    pub seed: u64,
    /// k of the kNN overlap.
    pub neighbors: usize,
    /// Rows are of the same items by their places alone, whatever their names are.
    pub by_place: bool,
    /// Most bytes to take.
    pub memory: u64,
    /// No progress.
    pub quiet: bool,
}

/// A metric of both, and the difference B − A.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Its name.
    pub name: String,
    /// Of A.
    pub a: Option<f64>,
    /// Of B.
    pub b: Option<f64>,
    /// B − A with its interval.
    pub difference: Value,
}

/// Everything that is told of two encoders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// As of reports.
    pub schema_version: u32,
    /// Items.
    pub rows: u64,
    /// Dimensions of A and B.
    pub dims: [usize; 2],
    /// Items that pairwise metrics and neighbors looked at.
    pub looked_at: u64,
    /// k of the overlap.
    pub neighbors: usize,
    /// Linear CKA, Procrustes distance, kNN overlap.
    pub likeness: Vec<Value>,
    /// The metrics.
    pub metrics: Vec<Difference>,
    /// Where the numbers of both are, where names and first lines decided it.
    pub notes: Vec<String>,
}

impl Comparison {
    /// What a name in a condition stands for: a likeness, or a metric with `_a` or `_b` behind it.
    ///
    /// # Errors
    /// If it stands for nothing, or is not defined here.
    pub fn value(&self, name: &str) -> Result<f64> {
        let of = |value: Option<f64>| {
            value.ok_or_else(|| Error::input(format!("--fail-if: {name} is not defined for these rows")))
        };
        if let Some(value) = self.likeness.iter().find(|value| value.name == name) {
            return of(value.value);
        }
        let metric = |name: &str| self.metrics.iter().find(|metric| metric.name == name);
        match (name.strip_suffix("_a").and_then(metric), name.strip_suffix("_b").and_then(metric)) {
            (Some(metric), _) => of(metric.a),
            (_, Some(metric)) => of(metric.b),
            _ => Err(unknown(name)),
        }
    }
}

/// The names of likenesses.
const LIKENESS: [&str; 3] = ["linear_cka", "procrustes", "knn_overlap"];

/// Refuses a name that stands for nothing, before anything is read.
///
/// # Errors
/// If it does.
pub fn check_name(name: &str) -> Result<()> {
    let base = name.strip_suffix("_a").or_else(|| name.strip_suffix("_b"));
    let known =
        LIKENESS.contains(&name) || base.is_some_and(|base| compared().any(|metric| metric.name == base));
    if known { Ok(()) } else { Err(unknown(name)) }
}

fn unknown(name: &str) -> Error {
    if let Some(metric) = OF_LABELS.iter().find(|metric| name.starts_with(metric.name)) {
        return Error::input(format!(
            "--fail-if: {name} is unknown, as {0} needs labels, which compare does not take; `riesz geometry --labels` tells {0}",
            metric.name
        ));
    }
    let names: Vec<&str> = compared().map(|metric| metric.name).collect();
    Error::input(format!(
        "--fail-if: {name} is unknown; {} and these with _a or _b behind: {}",
        LIKENESS.join(", "),
        names.join(", ")
    ))
}

/// Reads both in step, once.
///
/// # Errors
/// One sentence with the file if it cannot be read, if the numbers of rows differ, or if both name the items of their rows and these
/// are others.
pub fn compare(a: &[Input], b: &[Input], settings: &Settings) -> Result<Comparison> {
    let names = if settings.by_place { None } else { items::column([a, b], &settings.names)? };
    let [wanted, other] = settings
        .names
        .clone()
        .map(|name| Wanted { name, texts: names.iter().map(|name| (*name).to_owned()).collect() });
    let key = Key::new(settings.seed).stream("sample");
    let mut joint: Option<Joint> = None;
    let [mut of_a, mut of_b] = [Reading::default(), Reading::default()];
    let mut rows = 0;
    let mut progress = Progress::new("reading", "MB", 0, feed::bytes(a).div_ceil(1 << 20), settings.quiet);
    let mut bytes = 0;
    feed::each(a, &wanted, Some((b, &other)), |mut part| {
        if let Some(told) = part.told.take() {
            of_a.add(told, &a[part.input]);
        }
        let Some(partners) = &part.partners else { return Ok(()) };
        if let Some(names) = part.block.texts.first() {
            items::check_same(rows, [names, &partners.texts], [a, b])?;
        }
        partners.told.iter().for_each(|(input, told)| of_b.add(told.clone(), &b[*input]));
        let (u, v) = (part.unit(a)?, &partners.rows);
        if joint.is_none() {
            check_memory([u.dim(), v.dim()], settings)?;
        }
        let sampling = Sampling { rows: settings.sample, key };
        joint.get_or_insert_with(|| Joint::new([u.dim(), v.dim()], sampling)).push(&u, v)?;
        rows += u.len() as u64;
        bytes += part.bytes;
        progress.advance(part.bytes >> 20, || format!("{rows} rows, {} MB", bytes >> 20));
        Ok(())
    })?;
    progress.finish();
    let joint = joint.ok_or_else(|| Error::input("there are no rows"))?;
    let likeness = joint.finish()?;
    let looked_at = likeness.places.len() as u64;
    let mut progress: Option<Progress> = None;
    let found = geometry::Comparison::of(&likeness, settings.neighbors, key, |_, of| {
        let start = || Progress::new("intervals", "groups", 0, of as u64, settings.quiet);
        progress.get_or_insert_with(start).advance(1, String::new);
    })?;
    progress.inspect(Progress::finish);
    let told = |one: geometry::Difference| {
        let name = one.metric.name;
        Difference {
            name: name.to_owned(),
            a: one.a,
            b: one.b,
            difference: Value::of(name, one.difference, one.rows),
        }
    };
    Ok(Comparison {
        schema_version: SCHEMA_VERSION,
        rows,
        dims: [likeness.spectra[0].dim(), likeness.spectra[1].dim()],
        looked_at,
        neighbors: settings.neighbors,
        likeness: vec![
            Value::of("linear_cka", likeness.linear_cka.map(Estimate::exact), rows),
            Value::of("procrustes", likeness.procrustes.map(Estimate::exact), rows),
            Value::of("knn_overlap", Some(found.knn_overlap), looked_at),
        ],
        metrics: found.differences.into_iter().map(told).collect(),
        notes: [("A", of_a), ("B", of_b)]
            .into_iter()
            .flat_map(|(side, reading)| reading.notes.into_iter().map(move |note| format!("{side}: {note}")))
            .collect(),
    })
}

/// Refuses what would take more memory than is allowed, before a row is kept.
fn check_memory(dims: [usize; 2], settings: &Settings) -> Result<()> {
    let (dim, sample) = (dims[0] + dims[1], settings.sample);
    // The state of rows side by side, its triangle taken apart, the sample thrice (in f64 twice), neighbors, blocks.
    let state = State::bytes(dim, 0) + 5 * 8 * (dim as u128 + 1).pow(2);
    let pairwise = sample as u128 * (20 * dim as u128 + 1600) + (40 << 20);
    // A list for each thread, and the joined ones of both.
    let lists = (rayon::current_num_threads() as u128 + 2)
        * sample as u128
        * (12 * (2 * settings.neighbors as u128 + 10) + 8);
    let needed = state + pairwise + lists + (200 << 20);
    if needed > u128::from(settings.memory) {
        return Err(Error::input(format!(
            "rows of {} and {} numbers side by side with a sample of {sample} take {:.1} GB, and --memory allows {:.1} GB; \
             lower --sample, or allow more",
            dims[0],
            dims[1],
            needed as f64 / 1e9,
            settings.memory as f64 / 1e9
        )));
    }
    Ok(())
}
