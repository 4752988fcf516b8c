//! What is said of pairs of points, in one walk over all of them; and how far a sample may be from the whole.
//!
//! S points are looked at, of n. If S = n the numbers are exact. Else they are those of a sample without replacement, with
//! a 95 % interval: a mean over pairs varies as 4 Var(h)/S (1 − S/n), h the mean over a point's pairs (Hoeffding 1948),
//! which is taken from 1,024 of the points; what is no mean is made one first (ln by its slope, W₁ by the sign of F̂ − F).
//! Intervals end where the number does: uniformity is from −8 to 0, W₁ from 0 to 1.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::cosines;
use super::duplicates::{self, near};
use super::neighbors::{Nearest, direction};
use super::sample::Sampled;
use super::uniformity::gaussians;
use super::wasserstein::Gathered;
use super::{Estimate, TWO_SIDED, Unit, at_least_two};
use crate::product::rows_by_rows;
use crate::rng::{Key, permutation};
use crate::sphere::ideal;
use crate::{Error, Points, Scalar};

/// Neighbors whose counts are [`Pairwise::hubness`].
pub const NEIGHBORS: usize = 10;
/// Bins of [`Pairwise::histogram`].
pub const BINS: usize = 256;
/// Points whose pairs tell how much a mean over pairs varies.
const PROBES: usize = 1024;
/// Parts of which one is left out to tell how much hubness varies, and how often rows are dealt into them.
const FIFTHS: usize = 5;
const DEALS: u64 = 12;
/// Pairs that are listed.
const LISTED: usize = 1000;
/// The numbers of pairs of points.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pairwise {
    /// S, the points looked at.
    pub looked_at: usize,
    /// n, of how many.
    pub of: u64,
    /// ln mean e^{−2‖x − y‖²}.
    pub uniformity: Estimate,
    /// W₁ to the ideal law.
    pub wasserstein_uniformity: Estimate,
    /// TwoNN, if three points differ. Of a sample it is that of its coarser scale.
    pub intrinsic_dimension: Option<Estimate>,
    /// Skewness of how often a point is among the 10 nearest of another, if there are more than 11 points.
    pub hubness: Option<Estimate>,
    /// Pairs with a cosine of at least the bound.
    pub duplicates: Estimate,
    /// At most 1,000 of them, nearest first: two of the points looked at, and their cosine.
    pub listed: Vec<(usize, usize, f64)>,
    /// How many pairs have their cosine in each 256th of [−1, 1].
    pub histogram: Vec<u64>,
}

/// What a walk has gathered.
struct Seen<T> {
    gaussians: f64,
    cosines: Gathered,
    nearest: Nearest<T>,
    duplicates: u64,
    /// Of each point.
    partners: Vec<u32>,
    listed: Vec<(usize, usize, f64)>,
}

impl Pairwise {
    /// Of points that are all of `of`, or a sample of them; `duplicate` is the cosine from which two count as near
    /// duplicates. Time O(S² d), memory O(S).
    ///
    /// # Errors
    /// If there are fewer than two points, or more than 2³².
    ///
    /// # Panics
    /// If there are more points than `of`, or `duplicate` is no cosine.
    pub fn of<T: Scalar>(points: Points<'_, T>, of: u64, duplicate: f64, key: Key) -> Result<Self, Error> {
        let unit = Unit::of(points);
        let points = unit.points();
        Self::walk(points, &|i, out| direction(points, i, out), of, duplicate, key)
    }

    /// Of sampled rows, as [`Pairwise::of`]: with cosines in f64 if the rows are at most 4,096, or their mean has a squared length above
    /// 0.99; else in f32, where they are right to 10⁻⁷. Which of points that nearly coincide is nearer is found in f64 either way.
    ///
    /// # Errors
    /// As [`Pairwise::of`].
    ///
    /// # Panics
    /// As [`Pairwise::of`].
    pub fn of_sample(rows: &Sampled, of: u64, duplicate: f64, key: Key) -> Result<Self, Error> {
        let exact = |i: usize, out: &mut [f64]| rows.direction(i, out);
        match rows.rounded() {
            Some(rounded) => Self::walk(Points::new(&rounded)?, &exact, of, duplicate, key),
            None => {
                let all: Vec<usize> = (0..rows.len()).collect();
                Self::walk(Points::new(&rows.take(&all))?, &exact, of, duplicate, key)
            }
        }
    }

    /// Of points, and their directions in f64.
    fn walk<T: Scalar>(
        points: Points<'_, T>,
        exact: &(impl Fn(usize, &mut [f64]) + Sync),
        of: u64,
        duplicate: f64,
        key: Key,
    ) -> Result<Self, Error> {
        at_least_two(points)?;
        let n = points.len();
        if u32::try_from(n).is_err() {
            return Err(Error::new(format!("{n} points are too many to look at all pairs; take a sample")));
        }
        assert!(n as u64 <= of, "{n} points of {of}");
        let duplicate = duplicates::bound::<T>(duplicate);
        let left = 1.0 - n as f64 / of as f64;
        // Lists of a sample still have enough where a fifth of it is left out.
        let reach = if left > 0.0 { 2 * NEIGHBORS } else { NEIGHBORS };
        let start = || Seen {
            gaussians: 0.0,
            cosines: Gathered::of(n),
            nearest: Nearest::new(n, reach.min(n - 1)),
            duplicates: 0,
            partners: vec![0; n],
            listed: Vec::new(),
        };
        // Lists of neighbors are the largest of what is gathered, and can be joined in any order.
        let joined: Mutex<Option<Nearest<T>>> = Mutex::new(None);
        let visit = |seen: &mut Seen<T>, i: usize, first: usize, part: &[f64]| {
            seen.gaussians += gaussians(part);
            seen.cosines.add(part);
            seen.nearest.add(i, first, part);
            for (j, s) in near(part, first, duplicate) {
                seen.duplicates += 1;
                seen.partners[i] += 1;
                seen.partners[j] += 1;
                seen.listed.push((i, j, s));
            }
            if seen.listed.len() > 4 * LISTED {
                shorten(&mut seen.listed);
            }
        };
        let mut shares = cosines::fold_and(points, start, visit, |mut seen| {
            let nearest = std::mem::replace(&mut seen.nearest, Nearest::new(0, 0));
            let mut joined = joined.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *joined {
                None => *joined = Some(nearest),
                Some(joined) => joined.join(&nearest),
            }
            seen
        });
        let pairs = cosines::pairs(n) as f64;
        let mean = shares.iter().map(|seen| seen.gaussians).sum::<f64>() / pairs;
        let found: u64 = shares.iter().map(|seen| seen.duplicates).sum();
        let mut partners = vec![0.0; n];
        for seen in &shares {
            partners.iter_mut().zip(&seen.partners).for_each(|(sum, count)| *sum += f64::from(*count));
        }
        let mut listed: Vec<_> =
            shares.iter_mut().flat_map(|seen| std::mem::take(&mut seen.listed)).collect();
        shorten(&mut listed);
        let gathered = Gathered::joined(shares.into_iter().map(|seen| seen.cosines).collect());
        let histogram = gathered.histogram(BINS);
        let mut nearest = joined.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(nearest) = &mut nearest {
            nearest.settle(points, exact);
        }
        let spread = (left > 0.0).then(|| Spread::of(points, &histogram, left, key));
        let estimate = |value: f64, error: Option<f64>| match error {
            None => Estimate::exact(value),
            Some(error) => Estimate::with_error(value, error),
        };
        let distance =
            estimate(gathered.distance(points.dim()), spread.as_ref().map(|spread| spread.distance));
        let bias = spread.as_ref().map_or(0.0, |spread| spread.bias);
        let ratios =
            nearest.as_ref().map(|nearest| nearest.log_ratios(points.dim(), exact)).unwrap_or_default();
        let hubness = nearest.filter(|_| n > NEIGHBORS + 1).map(|nearest| {
            let value = skewness(&nearest.occurrences(NEIGHBORS, |_| true));
            estimate(value, (left > 0.0).then(|| hubness_error(&nearest, n, key)))
        });
        let whole = of as f64 * (of as f64 - 1.0) / 2.0;
        let duplicates = if left > 0.0 {
            // A few rare pairs vary as a Poisson count; none at all does not prove that there are none, and those seen are.
            let count = found as f64;
            let poisson = TWO_SIDED * (count + 1.0).sqrt() + 2.0;
            let error = poisson.max(TWO_SIDED * jackknife(&partners, count) * left.sqrt());
            let scale = whole / pairs;
            let interval = [(scale * (count - error)).max(count), scale * (count + error)];
            Estimate { value: scale * count, interval: Some(interval) }.within(0.0, whole)
        } else {
            Estimate::exact(found as f64)
        };
        Ok(Self {
            looked_at: n,
            of,
            uniformity: estimate(mean.ln(), spread.as_ref().map(|spread| spread.gaussian / mean))
                .within(-8.0, 0.0),
            wasserstein_uniformity: Estimate {
                // A sample's W₁ is more than that of the whole where the law is all but ideal: ∣F̂ − F∣ is never below 0.
                interval: distance.interval.map(|[low, high]| [low - bias, high]),
                ..distance
            }
            .within(0.0, 1.0),
            intrinsic_dimension: two_nn(&ratios)
                .map(|(d, error)| estimate(d, (left > 0.0).then_some(error)).within(0.0, f64::INFINITY)),
            hubness,
            duplicates,
            listed,
            histogram,
        })
    }
}

/// The most similar pairs, in an order that is the same for any walk.
fn shorten(listed: &mut Vec<(usize, usize, f64)>) {
    listed.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
    listed.truncate(LISTED);
}

/// Standard errors of means over pairs, and by how much W₁ may be too large.
struct Spread {
    gaussian: f64,
    distance: f64,
    bias: f64,
}

impl Spread {
    fn of<T: Scalar>(points: Points<'_, T>, histogram: &[u64], left: f64, key: Key) -> Self {
        let (n, d) = (points.len(), points.dim());
        // φ with φ′ = sign(F̂ − F), so that W₁ moves with −mean φ(s) as long as the sign stays.
        let pairs = histogram.iter().sum::<u64>() as f64;
        let (mut below, mut phi) = (0, vec![0.0]);
        for (bin, count) in histogram.iter().enumerate() {
            let middle = 2.0 * (bin as f64 + 0.5) / BINS as f64 - 1.0;
            let law = (below as f64 + 0.5 * *count as f64) / pairs;
            let slope = (law - ideal::cdf(d, middle)).signum();
            phi.push(phi[bin] + slope * 2.0 / BINS as f64);
            below += count;
        }
        let at = |s: f64| {
            let place = (s.clamp(-1.0, 1.0) + 1.0) * 0.5 * BINS as f64;
            let bin = (place as usize).min(BINS - 1);
            phi[bin] + (phi[bin + 1] - phi[bin]) * (place - bin as f64)
        };
        let mut order = permutation(&mut key.stream("probes").rng(), n);
        order.truncate(PROBES);
        let (means, laws): (Vec<[f64; 2]>, Vec<Vec<f64>>) = order
            .par_iter()
            .map(|&i| {
                let mut cosines = vec![T::default(); n];
                rows_by_rows(points.row(i), points.as_slice(), d, &mut cosines);
                let mut law = vec![0.0; BINS];
                let mut sums = [0.0; 2];
                for (_, s) in cosines.iter().enumerate().filter(|(j, _)| *j != i) {
                    let s = s.to_f64();
                    sums[0] += (4.0 * s - 4.0).exp();
                    sums[1] += at(s);
                    law[(((s + 1.0) * 0.5 * BINS as f64).max(0.0) as usize).min(BINS - 1)] += 1.0;
                }
                let mut below = 0.0;
                for share in &mut law {
                    below += *share / (n - 1) as f64;
                    *share = below;
                }
                (sums.map(|sum| sum / (n - 1) as f64), law)
            })
            .unzip();
        let error = |which: usize| {
            let count = means.len() as f64;
            let mean = means.iter().map(|h| h[which]).sum::<f64>() / count;
            let variance =
                means.iter().map(|h| (h[which] - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
            (4.0 * variance / n as f64 * left).sqrt()
        };
        // Where F̂ is F but for chance, ∣F̂ − F∣ is √(2/π) of its standard error.
        let mut below = 0;
        let chance = histogram.iter().enumerate().map(|(bin, count)| {
            below += count;
            let off = below as f64 / pairs - ideal::cdf(d, 2.0 * (bin + 1) as f64 / BINS as f64 - 1.0);
            let mean = laws.iter().map(|law| law[bin]).sum::<f64>() / laws.len() as f64;
            let square = laws.iter().map(|law| (law[bin] - mean).powi(2)).sum::<f64>();
            let error = (4.0 * square / (laws.len() as f64 - 1.0).max(1.0) / n as f64 * left).sqrt();
            if off.abs() < 2.0 * error { std::f64::consts::FRAC_2_PI.sqrt() * error } else { 0.0 }
        });
        let bias = chance.sum::<f64>() * 2.0 / BINS as f64;
        Self { gaussian: error(0), distance: error(1), bias }
    }
}

/// The delete-one jackknife's standard error of a count of pairs, from each point's share in it.
fn jackknife(partners: &[f64], count: f64) -> f64 {
    let n = partners.len() as f64;
    let mean = 2.0 * count / n;
    ((n - 1.0) / n * partners.iter().map(|x| (x - mean).powi(2)).sum::<f64>()).sqrt()
}

/// d = (N − 1)/Σ ln(r₂/r₁), the maximum-likelihood form of TwoNN (Facco et al. 2017), and its standard error. Two points that
/// are each other's nearest share r₁, and their terms vary together; so the variance is that of the sums of such pairs.
fn two_nn(ratios: &[(usize, usize, f64)]) -> Option<(f64, f64)> {
    let n = ratios.len() as f64;
    let mean = ratios.iter().map(|(.., x)| x).sum::<f64>() / n;
    // Equal distances, as of a simplex, tell of no dimension.
    if ratios.len() < 2 || mean <= 1e-9 {
        return None;
    }
    let squares = ratios.iter().map(|&(row, nearest, x)| {
        let other = ratios.binary_search_by_key(&nearest, |one| one.0).map(|place| ratios[place]);
        let mutual = other.ok().filter(|other| other.1 == row).map_or(0.0, |other| other.2 - mean);
        (x - mean) * (x - mean + mutual)
    });
    let variance = squares.sum::<f64>().max(0.0) / (n - 1.0);
    let dimension = (n - 1.0) / (n * mean);
    Some((dimension, dimension * (variance / n).sqrt() / mean))
}

/// The skewness E(x − μ)³/σ³ of counts; 0 if all are equal.
fn skewness(counts: &[f64]) -> f64 {
    let n = counts.len() as f64;
    let mean = counts.iter().sum::<f64>() / n;
    let moment = |power: i32| counts.iter().map(|x| (x - mean).powi(power)).sum::<f64>() / n;
    let variance = moment(2);
    if variance <= 1e-12 { 0.0 } else { moment(3) / variance.powf(1.5) }
}

/// The standard error of hubness by the jackknife that leaves out a fifth of the rows, each time with the neighbors among the others:
/// counts of rows are no independent draws, and leaving out fewer rows says too much where there are no hubs, more too little where
/// there are.
fn hubness_error<T: Scalar>(nearest: &Nearest<T>, n: usize, key: Key) -> f64 {
    let deals = (0..DEALS).into_par_iter().map(|deal| {
        let order = permutation(&mut key.stream("fifths").at(deal).rng(), n);
        let mut fifth = vec![0; n];
        order.iter().enumerate().for_each(|(place, &row)| fifth[row] = place % FIFTHS);
        let without = |left_out| skewness(&nearest.occurrences(NEIGHBORS, |row| fifth[row] != left_out));
        let found: Vec<f64> = (0..FIFTHS).map(without).collect();
        let mean = found.iter().sum::<f64>() / FIFTHS as f64;
        found.iter().map(|x| (x - mean).powi(2)).sum::<f64>()
    });
    let deals: Vec<f64> = deals.collect();
    let share = (FIFTHS - 1) as f64 / FIFTHS as f64;
    (share * deals.iter().sum::<f64>() / DEALS as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sphere::sample;

    /// Draws of uniform points as samples of very many; the truth is the mean over all draws, as the dimension is that of so
    /// many points. Taken as independent, 87 to 89 of 100 intervals would hold it.
    #[test]
    #[expect(clippy::print_stdout, reason = "the shares are the page's figures")]
    fn the_intrinsic_dimensions_interval_covers_what_it_says() {
        let (n, draws) = (600, 1000);
        for d in [2, 3, 8, 30] {
            let found: Vec<(f64, f64)> = (0..draws)
                .into_par_iter()
                .map(|draw| {
                    let rows = sample(n, d, Key::new(77).at(draw));
                    let points = Points::new(&rows).unwrap();
                    let mut nearest = Nearest::<f64>::new(n, 2);
                    let mut cosines = vec![0.0; n];
                    for i in 0..n - 1 {
                        rows_by_rows(
                            points.row(i),
                            &points.as_slice()[(i + 1) * d..],
                            d,
                            &mut cosines[i + 1..],
                        );
                        nearest.add(i, i + 1, &cosines[i + 1..]);
                    }
                    two_nn(&nearest.log_ratios(d, &|i, out| direction(points, i, out))).unwrap()
                })
                .collect();
            let truth = found.iter().map(|(value, _)| value).sum::<f64>() / draws as f64;
            let held =
                found.iter().filter(|(value, error)| (value - truth).abs() <= TWO_SIDED * error).count();
            let share = held as f64 / draws as f64;
            println!(
                "{n} points in {d} dimensions: {truth:.3}, {:.1} % of {draws} intervals hold it",
                100.0 * share
            );
            assert!((0.93..=0.975).contains(&share), "{d} dimensions: {share}");
        }
    }

    /// Samples of uniform points, whose W₁ is all but 0 and a sample's is not, and of points to one side. The whole is a draw, too.
    #[test]
    #[expect(clippy::print_stdout, reason = "the shares are the page's figures")]
    fn the_interval_of_w1_covers_what_it_says() {
        let (n, kept, draws) = (2500, 400, 200);
        for (d, off) in [(3, 0.0), (16, 0.0), (16, 0.02), (16, 0.3)] {
            let mut rows = sample(n, d, Key::new(79));
            (0..n).for_each(|i| rows.row_mut(i)[0] += off);
            crate::normalize(&mut rows).unwrap();
            let truth = crate::geometry::wasserstein_uniformity(Points::new(&rows).unwrap()).unwrap();
            let held: usize = (0..draws)
                .into_par_iter()
                .map(|draw| {
                    let order = permutation(&mut Key::new(80).at(draw).rng(), n);
                    let data = order[..kept].iter().flat_map(|&i| rows.row(i)).copied().collect();
                    let some = crate::Matrix::new(data, d);
                    let found =
                        Pairwise::of(Points::new(&some).unwrap(), n as u64, 0.99, Key::new(draw)).unwrap();
                    let [low, high] = found.wasserstein_uniformity.interval.unwrap();
                    usize::from((low..=high).contains(&truth))
                })
                .sum();
            let share = held as f64 / draws as f64;
            println!(
                "{kept} of {n} points in {d} dimensions, {off} off: W₁ {truth:.5}, {:.1} % of {draws} intervals hold it",
                100.0 * share
            );
            assert!(share >= 0.92, "{d} dimensions, {off} off: {share}");
        }
    }

    /// Uniform points, and points about a direction off the middle, among which are hubs; the truth is the mean over all draws, as
    /// hubness is that of so many points. Taken as independent, counts gave intervals that held it in 65 to 100 of 100.
    #[test]
    #[expect(clippy::print_stdout, reason = "the shares are the page's figures")]
    fn the_interval_of_hubness_covers_what_it_says() {
        let (n, draws) = (600, 200);
        for (d, off) in [(3, 0.0), (30, 0.0), (30, 0.6), (100, 0.3)] {
            let found: Vec<Estimate> = (0..draws)
                .into_par_iter()
                .map(|draw| {
                    let mut rows = sample(n, d, Key::new(78).at(draw));
                    (0..n).for_each(|i| rows.row_mut(i)[0] += off);
                    crate::normalize(&mut rows).unwrap();
                    let points = Points::new(&rows).unwrap();
                    Pairwise::of(points, 1 << 40, 0.99, Key::new(draw)).unwrap().hubness.unwrap()
                })
                .collect();
            let mean = |of: &dyn Fn(&Estimate) -> f64| found.iter().map(of).sum::<f64>() / draws as f64;
            let truth = mean(&|one| one.value);
            let deviation = mean(&|one| (one.value - truth).powi(2)).sqrt();
            let half = mean(&|one| one.interval.unwrap()[1] - one.value);
            let share = mean(&|one| {
                let [low, high] = one.interval.unwrap();
                f64::from(u8::from((low..=high).contains(&truth)))
            });
            println!(
                "{n} points in {d} dimensions, {off} off: {truth:.3} ± {half:.3}, {:.1} % of {draws} intervals hold it; \
                 1.96 deviations are {:.3}",
                100.0 * share,
                TWO_SIDED * deviation
            );
            assert!(
                share >= 0.92 && half < 2.0 * TWO_SIDED * deviation,
                "{d} dimensions, {off} off: {share}"
            );
        }
    }
}
