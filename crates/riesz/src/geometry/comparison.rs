//! How the metrics of two encoders, or two checkpoints, differ on the same items.
//!
//! A metric's difference has an interval: what it might be for other items of the same kind. Its standard error is that of a
//! delete-a-group jackknife (20 groups) over at most 3,000 of the items, scaled to all of them by the root of their numbers; intervals
//! are Student's with 19 degrees of freedom.

use rayon::prelude::*;

use super::{
    Estimate, Findings, Likeness, METRICS, Metric, NEAR_DUPLICATE, Pairwise, Sampled, Spectrum, nearest,
};
use crate::rng::{Key, permutation};
use crate::{Error, Matrix, Points};

/// Items of the jackknife, and its groups.
const JACKKNIFE: (usize, usize) = (3000, 20);

/// A metric of two encoders, A and B.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Difference {
    /// Which.
    pub metric: &'static Metric,
    /// Of A; `None` where it is not defined.
    pub a: Option<f64>,
    /// Of B.
    pub b: Option<f64>,
    /// B − A; its interval is of other items of the same kind. None is told of `rank`, a count of directions above a bound, and of
    /// items too few to leave some out.
    pub difference: Option<Estimate>,
    /// Items that were looked at.
    pub rows: u64,
}

/// How two encoders differ.
///
/// ```
/// use riesz::geometry::{Comparison, Joint, Sampling};
/// use riesz::{Matrix, normalize, rng::Key, sphere};
///
/// // The same 500 items by two encoders: B has the first half of A's directions.
/// let a = sphere::sample(500, 16, Key::new(1));
/// let mut b = Matrix::new((0..500).flat_map(|i| a.row(i)[..8].to_vec()).collect(), 8);
/// normalize(&mut b)?;
///
/// let mut joint = Joint::new([16, 8], Sampling { rows: 10_000, key: Key::new(2) });
/// joint.push(&a, &b)?; // block by block, if they are many
/// let likeness = joint.finish()?;
/// let found = Comparison::of(&likeness, 10, Key::new(2), |_, _| ())?;
/// assert!(likeness.linear_cka.unwrap() < 0.8 && found.knn_overlap.value < 0.5);
/// let rank = found.differences.iter().find(|one| one.metric.name == "effective_rank").unwrap();
/// let [low, high] = rank.difference.unwrap().interval.unwrap();
/// assert!(-9.0 < low && high < -7.0);
/// # Ok::<(), riesz::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// The mean share of an item's k nearest others in A that are among its k nearest in B, of the items that were sampled; exact if
    /// these are all. The k nearest of a sample are farther away than those of all items: the number is of as many as were looked at.
    pub knn_overlap: Estimate,
    /// Each of [`compared`].
    pub differences: Vec<Difference>,
}

/// The metrics that two encoders have: of rows alone, and not of their lengths.
pub fn compared() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().filter(|metric| metric.name != "alignment" && !metric.name.contains("length"))
}

impl Comparison {
    /// From the samples and spectra of both; `key` draws what is left out for the intervals. `progress` is told how many of its steps
    /// are done, and of how many. The same numbers for any number of threads.
    ///
    /// # Errors
    /// If `neighbors`, the k of the overlap, is 0 or not below the number of others that a sampled row has less one, of which all would
    /// be shared.
    pub fn of(
        likeness: &Likeness,
        neighbors: usize,
        key: Key,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Self, Error> {
        let rows = likeness.spectra[0].rows;
        let looked_at = likeness.places.len();
        if looked_at < 3 {
            return Err(Error::new(format!(
                "neighbors are compared of 3 rows or more; there are {looked_at}"
            )));
        }
        if neighbors == 0 || neighbors + 1 >= looked_at {
            return Err(Error::new(format!(
                "the k of the overlap is {neighbors}; expected 1 to {}, since of {} others that a row looked at has all would be shared",
                looked_at - 2,
                looked_at - 1
            )));
        }
        let knn_overlap = overlap(&likeness.samples, neighbors, rows, key.stream("overlap"))?;
        let findings = |spectrum: &Spectrum, sample: &Matrix<f64>| -> Result<Findings, Error> {
            let pairwise = Pairwise::of_sample(&Sampled::of(sample.clone()), rows, NEAR_DUPLICATE, key)?;
            Ok(Findings {
                spectrum: spectrum.clone(),
                lengths: None,
                alignment: None,
                pairwise: Some(pairwise),
            })
        };
        let [left, right] = [0, 1].map(|i| findings(&likeness.spectra[i], &likeness.samples[i]));
        let (left, right) = (left?, right?);
        let groups = JACKKNIFE.1.min(looked_at);
        let errors = jackknife(&likeness.samples, groups, key.stream("jackknife"), &mut progress)?;
        let differences = compared().zip(errors).map(|(metric, error)| {
            let [a, b] = [&left, &right].map(|findings| metric.read(findings).map(|found| found.value));
            let of = if metric.pairwise { looked_at as u64 } else { rows };
            let scale = (looked_at.min(JACKKNIFE.0) as f64 / of as f64).sqrt();
            let difference = a.zip(b).map(|(a, b)| match error {
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
            Difference { metric, a, b, difference, rows: of }
        });
        Ok(Self { knn_overlap, differences: differences.collect() })
    }
}

/// The mean share of a row's k nearest in A that are so in B, among the rows looked at: a number of as many rows, as the k
/// nearest of a sample are farther away than those of all. Its error is that of the jackknife that leaves out a third of the rows, each
/// time with the nearest among the others: the shares of rows are no independent draws, as they have neighbors in common.
fn overlap(samples: &[Matrix<f64>; 2], k: usize, of: u64, key: Key) -> Result<Estimate, Error> {
    let n = samples[0].len();
    let is_exact = n as u64 == of;
    // Long enough where a third is left out, but for rows of which that takes far more than its share.
    let reach = if is_exact { k } else { (2 * k + 10).min(n - 1) };
    let list = |rows: &Matrix<f64>| -> Result<Vec<u32>, Error> { nearest(Points::new(rows)?, reach) };
    let lists = [list(&samples[0])?, list(&samples[1])?];
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
fn jackknife(
    samples: &[Matrix<f64>; 2],
    groups: usize,
    key: Key,
    progress: &mut impl FnMut(usize, usize),
) -> Result<Vec<Option<f64>>, Error> {
    let mut order = permutation(&mut key.rng(), samples[0].len());
    order.truncate(JACKKNIFE.0);
    let mut differences: Vec<Vec<Option<f64>>> = Vec::new();
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
                let found = metric.read(&findings)?.value;
                Some(if is_count(metric) { found / of } else { found })
            });
            read.push(values.collect::<Vec<_>>());
        }
        let pairs = read[0].iter().zip(&read[1]);
        differences.push(pairs.map(|(a, b)| a.zip(*b).map(|(a, b)| b - a)).collect());
        progress(group + 1, groups);
    }
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
    use super::*;
    use crate::normalize;
    use crate::rng::normal;

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
            assert!(share >= 0.92, "{d} dimensions, k = {k}: {share} hold {truth}");
        }
    }
}
