//! Two encoders, or two checkpoints, on the same items: how alike they are, and how their metrics differ.
//!
//! A metric's difference has an interval: what it might be for other items of the same kind. Its standard error is that of a
//! delete-a-group jackknife (20 groups) over at most 3,000 of the items, scaled to all of them by the root of their numbers; intervals
//! are Student's with 19 degrees of freedom.

use rayon::prelude::*;
use riesz::geometry::{
    Estimate, Findings, Joint, METRICS, Metric, NEAR_DUPLICATE, Pairwise, Sampled, Sampling, Spectrum, State,
};
use riesz::rng::{Key, permutation};
use riesz::{Matrix, Points};
use serde::{Deserialize, Serialize};

use super::feed::{self, Input, Reading};
use super::labels::OF_LABELS;
use super::{SCHEMA_VERSION, Value, items};
use crate::embeddings::stream::Wanted;
use crate::progress::Progress;
use crate::{Error, Result};

/// Items of the jackknife, and its groups.
const JACKKNIFE: (usize, usize) = (3000, 20);

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

/// Metrics that two encoders have: of rows alone, and not of their lengths.
fn compared() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().filter(|metric| metric.name != "alignment" && !metric.name.contains("length"))
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
    let looked_at = likeness.places.len();
    let k = settings.neighbors;
    if looked_at < 3 {
        return Err(Error::input(format!("neighbors are compared of 3 rows or more; there are {looked_at}")));
    }
    if k == 0 || k + 1 >= looked_at {
        return Err(Error::input(format!(
            "--k is {k}; expected 1 to {}, since of {} others that a row looked at has all would be shared",
            looked_at - 2,
            looked_at - 1
        )));
    }
    let overlap = overlap(&likeness.samples, k, rows, key.stream("overlap"))?;
    let findings = |spectrum: &Spectrum, sample: &Matrix<f64>| -> Result<Findings> {
        let pairwise = Pairwise::of_sample(&Sampled::of(sample.clone()), rows, NEAR_DUPLICATE, key)?;
        Ok(Findings { spectrum: spectrum.clone(), lengths: None, alignment: None, pairwise: Some(pairwise) })
    };
    let [left, right] = [0, 1].map(|i| findings(&likeness.spectra[i], &likeness.samples[i]));
    let (left, right) = (left?, right?);
    let groups = JACKKNIFE.1.min(looked_at);
    let errors = jackknife(&likeness.samples, groups, key.stream("jackknife"), settings.quiet)?;
    let metrics = compared().zip(errors).map(|(metric, error)| {
        let [a, b] = [&left, &right].map(|findings| (metric.read)(findings).map(|found| found.value));
        let of = if metric.pairwise { looked_at as u64 } else { rows };
        let scale = (looked_at.min(JACKKNIFE.0) as f64 / of as f64).sqrt();
        let estimate = a.zip(b).map(|(a, b)| match error {
            // Of too few items to leave some out.
            None => Estimate::exact(b - a),
            // A count of directions above a bound: leaving items out says nothing of the next that crosses it.
            Some(_) if metric.name == "rank" => Estimate::exact(b - a),
            Some(error) if is_count(metric) => {
                let found = Estimate::with_error_of_groups(b - a, error * scale * pairs(rows), groups);
                rare(found, looked_at as u64, rows)
            }
            Some(error) => Estimate::with_error_of_groups(b - a, error * scale, groups),
        });
        Difference { name: metric.name.to_owned(), a, b, difference: Value::of(metric.name, estimate, of) }
    });
    Ok(Comparison {
        schema_version: SCHEMA_VERSION,
        rows,
        dims: [likeness.spectra[0].dim(), likeness.spectra[1].dim()],
        looked_at: looked_at as u64,
        neighbors: k,
        likeness: vec![
            Value::of("linear_cka", likeness.linear_cka.map(Estimate::exact), rows),
            Value::of("procrustes", likeness.procrustes.map(Estimate::exact), rows),
            Value::of("knn_overlap", Some(overlap), looked_at as u64),
        ],
        metrics: metrics.collect(),
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

/// The mean share of a row's k nearest in A that are so in B, among the rows looked at: a number of as many rows, as the k
/// nearest of a sample are farther away than those of all. Its error is that of the jackknife that leaves out a third of the rows, each
/// time with the nearest among the others: the shares of rows are no independent draws, as they have neighbors in common.
fn overlap(samples: &[Matrix<f64>; 2], k: usize, of: u64, key: Key) -> Result<Estimate> {
    let n = samples[0].len();
    let is_exact = n as u64 == of;
    // Long enough where a third is left out, but for rows of which that takes far more than its share.
    let reach = if is_exact { k } else { (2 * k + 10).min(n - 1) };
    let nearest =
        |rows: &Matrix<f64>| -> Result<Vec<u32>> { Ok(riesz::geometry::nearest(Points::new(rows)?, reach)?) };
    let lists = [nearest(&samples[0])?, nearest(&samples[1])?];
    let among = |is_kept: &(dyn Fn(usize) -> bool + Sync)| {
        let kept: Vec<usize> = (0..n).filter(|&i| is_kept(i)).collect();
        let shared: usize = kept
            .par_iter()
            .map(|i| {
                let [a, b] = lists.each_ref().map(|lists| {
                    let list = &lists[i * reach..(i + 1) * reach];
                    list.iter().filter(|j| is_kept(**j as usize)).take(k).copied().collect::<Vec<u32>>()
                });
                a.iter().filter(|j| b.contains(j)).count()
            })
            .sum();
        shared as f64 / (kept.len() * k) as f64
    };
    let value = among(&|_| true);
    if is_exact {
        return Ok(Estimate::exact(value));
    }
    let mut squares = 0.0;
    for deal in 0..DEALS {
        let order = permutation(&mut key.stream("thirds").at(deal).rng(), n);
        let mut third = vec![0; n];
        order.iter().enumerate().for_each(|(place, &row)| third[row] = place % 3);
        let found = [0, 1, 2].map(|left_out| among(&|row| third[row] != left_out));
        let mean = found.iter().sum::<f64>() / 3.0;
        squares += 2.0 / 3.0 * found.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    }
    Ok(Estimate::with_error(value, (squares / DEALS as f64).sqrt()).within(0.0, 1.0))
}

/// How often rows are dealt into thirds.
const DEALS: u64 = 12;

/// Whether a metric counts pairs. Its errors are told as shares of all pairs, which do not grow with the items.
fn is_count(metric: &Metric) -> bool {
    metric.name == "near_duplicates"
}

fn pairs(items: u64) -> f64 {
    items as f64 * (items as f64 - 1.0) / 2.0
}

/// The difference of two counts of pairs of so many rows, from those looked at. A few rare pairs vary as a Poisson count, and that none
/// differs where somebody looked does not prove that none does elsewhere.
fn rare(found: Estimate, looked_at: u64, rows: u64) -> Estimate {
    let scale = pairs(rows) / pairs(looked_at);
    let poisson = Estimate::with_error(0.0, ((found.value / scale).abs() + 1.0).sqrt());
    let least = poisson.interval.map_or(0.0, |[_, high]| (high + 2.0) * scale);
    let wider = |[low, high]: [f64; 2]| [low.min(found.value - least), high.max(found.value + least)];
    Estimate { interval: found.interval.map(wider), ..found }
}

/// For each metric the standard error of B − A over the items of the jackknife, from so many groups.
fn jackknife(samples: &[Matrix<f64>; 2], groups: usize, key: Key, quiet: bool) -> Result<Vec<Option<f64>>> {
    let mut order = permutation(&mut key.rng(), samples[0].len());
    order.truncate(JACKKNIFE.0);
    let mut differences: Vec<Vec<Option<f64>>> = Vec::new();
    let mut progress = Progress::new("intervals", "groups", 0, groups as u64, quiet);
    for group in 0..groups {
        let kept: Vec<usize> =
            order.iter().enumerate().filter(|(place, _)| place % groups != group).map(|(_, i)| *i).collect();
        let mut read = Vec::new();
        for rows in samples {
            let data = kept.iter().flat_map(|&i| rows.row(i)).copied().collect();
            let rows = Matrix::new(data, rows.dim());
            let points = Points::new(&rows)?;
            let findings = Findings {
                spectrum: Spectrum::of(points)?,
                lengths: None,
                alignment: None,
                pairwise: Some(Pairwise::of(points, kept.len() as u64, NEAR_DUPLICATE, key)?),
            };
            let of = pairs(kept.len() as u64);
            let values = compared().map(|metric| {
                let found = (metric.read)(&findings)?.value;
                Some(if is_count(metric) { found / of } else { found })
            });
            read.push(values.collect::<Vec<_>>());
        }
        let pairs = read[0].iter().zip(&read[1]);
        differences.push(pairs.map(|(a, b)| a.zip(*b).map(|(a, b)| b - a)).collect());
        progress.advance(1, String::new);
    }
    progress.finish();
    let error = |metric: usize| {
        let values = differences.iter().map(|found| found[metric]).collect::<Option<Vec<f64>>>()?;
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        Some(((count - 1.0) / count * values.iter().map(|x| (x - mean).powi(2)).sum::<f64>()).sqrt())
    };
    Ok((0..compared().count()).map(error).collect())
}

#[cfg(test)]
mod tests {
    use riesz::normalize;
    use riesz::rng::normal;

    use super::*;

    /// Samples of two encoders' rows that differ by noise; the truth is the mean over all draws, as the overlap is that of so many rows.
    /// Taken as independent, rows' shares gave intervals that held it in 73 to 87 of 100.
    #[test]
    fn the_overlaps_interval_covers_what_it_says() {
        let (n, kept, draws) = (2000, 300, 200);
        for (d, k, noise) in [(3, 10, 0.2), (8, 10, 0.5), (8, 1, 0.5), (30, 10, 1.0)] {
            let mut rng = Key::new(5).rng();
            let a = Matrix::new((0..n * d).map(|_| normal(&mut rng)).collect(), d);
            let b = a.as_slice().iter().map(|x| x + noise * normal(&mut rng)).collect();
            let mut both = [a, Matrix::new(b, d)];
            both.iter_mut().for_each(|rows| drop(normalize(rows).unwrap()));
            let found: Vec<Estimate> = (0..draws)
                .into_par_iter()
                .map(|draw| {
                    let order = permutation(&mut Key::new(6).at(draw).rng(), n);
                    let some = both.each_ref().map(|rows| {
                        Matrix::new(order[..kept].iter().flat_map(|&i| rows.row(i)).copied().collect(), d)
                    });
                    overlap(&some, k, n as u64, Key::new(draw)).unwrap()
                })
                .collect();
            let truth = found.iter().map(|one| one.value).sum::<f64>() / draws as f64;
            let holds =
                |one: &&Estimate| one.interval.is_some_and(|[low, high]| (low..=high).contains(&truth));
            let share = found.iter().filter(holds).count() as f64 / draws as f64;
            println!(
                "{k} nearest of {kept} rows in {d} dimensions: {truth:.3}, {:.1} % of {draws} hold it",
                100.0 * share
            );
            assert!(share >= 0.92, "{d} dimensions, k = {k}: {share}");
        }
    }
}
