//! Numbers that describe points on the sphere, and the state from which they are had when the points stream by.
//!
//! n points of ℝᵈ in a view; s = ⟨x, y⟩ a cosine; pairs are unordered pairs of different points. [`METRICS`] has each
//! number's name, formula and source. A [`State`] takes rows block by block, and states merge; a [`Spectrum`] has the
//! singular values, and all that follows from them; [`Pairwise`] walks over the pairs, in memory linear in the points.
//! [`Findings`] joins them ([`Findings::of_points`] of points that are all there), and [`verdict`] says what they mean. [`nearest`] are the neighbors of each point, [`Duplicates`] are the
//! groups of points that are nearly the same. [`Joint`] takes two encoders' rows of the same items, and a [`Comparison`] says how they differ.
//!
//! Rows that come in blocks, from two files whose states are merged:
//!
//! ```
//! use riesz::geometry::{Findings, METRICS, NEAR_DUPLICATE, Pairwise, Sampling, State, Tone, verdict};
//! use riesz::{rng::Key, sphere};
//!
//! let seen = |file: &str| {
//!     // Draws of the sample are a function of seed and file, so that each file needs a name of its own.
//!     let key = Key::new(1).stream("sample").stream(file);
//!     let mut state = State::with_sample(16, Sampling { rows: 1000, key });
//!     for block in 0..4 {
//!         state.push(sphere::sample(500, 16, key.at(block)).as_slice())?;
//!     }
//!     Ok::<_, riesz::Error>(state)
//! };
//! let mut state = seen("a.npy")?;
//! state.merge(seen("b.npy")?);
//!
//! let rows = state.rows();
//! let found = state.finish()?;
//! let mut findings = Findings::new(found.spectrum);
//! findings.lengths = Some(found.lengths);
//! findings.pairwise = Some(Pairwise::of_sample(&found.sample, rows, NEAR_DUPLICATE, Key::new(1))?);
//! for metric in METRICS {
//!     if let Some(found) = metric.read(&findings) {
//!         println!("{} = {:.4} ({})", metric.name, found.value, metric.formula);
//!     }
//! }
//! assert_eq!(rows, 4000);
//! assert!((findings.spectrum.effective_rank_roy_vetterli() - 16.0).abs() < 0.1);
//! assert_eq!(verdict(&findings)[0].tone, Tone::Good); // as good as uniform
//! # Ok::<(), riesz::Error>(())
//! ```

mod comparison;
mod cosines;
mod diagnosis;
mod duplicates;
mod joint;
mod labeled;
mod lengths;
mod metrics;
mod neighbors;
mod pairwise;
mod sample;
mod singular;
mod spectrum;
mod state;
mod triangle;
mod uniformity;
mod verdict;
mod wasserstein;

pub use comparison::{Comparison, Difference, compared};
pub use diagnosis::{Diagnosis, FEW_DIRECTIONS, NEARLY_EQUAL, diagnosis};
pub use duplicates::Duplicates;
pub use joint::{Joint, Likeness};
pub use labeled::{lidar, silhouette, silhouettes};
pub use lengths::Lengths;
pub use metrics::{Better, Findings, METRICS, Metric, NEAR_DUPLICATE};
pub use neighbors::nearest;
pub use pairwise::{BINS, NEIGHBORS, Pairwise};
pub use sample::{Sampled, Sampling};
pub use spectrum::Spectrum;
pub use state::{Finished, Parts, Source, State};
pub use uniformity::{alignment, uniformity};
pub use verdict::{Finding, Tone, verdict};
pub use wasserstein::wasserstein_uniformity;

use crate::points::lengths;
use crate::rows::divide;
use crate::sphere::ideal;
use crate::{Error, Matrix, Points, Scalar};

/// A number, and its 95 % interval if it is of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Both ends; `None` if the value is exact.
    pub interval: Option<[f64; 2]>,
}

/// 95 % of a normal law lie within so many deviations.
const TWO_SIDED: f64 = 1.959_963_984_540_054;

impl Estimate {
    /// A number that is no estimate.
    pub fn exact(value: f64) -> Self {
        Self { value, interval: None }
    }

    /// A number with this standard error.
    pub fn with_error(value: f64, error: f64) -> Self {
        Self { value, interval: Some([value - TWO_SIDED * error, value + TWO_SIDED * error]) }
    }

    /// A number with a standard error that was found from so many groups: value ± t · error, t the 97.5 % quantile of Student's law with
    /// groups − 1 degrees of freedom.
    ///
    /// # Panics
    /// If there are fewer than two groups.
    pub fn with_error_of_groups(value: f64, error: f64, groups: usize) -> Self {
        assert!(groups > 1, "{groups} groups have no spread");
        let t = ideal::student_quantile(0.975, groups - 1);
        Self { value, interval: Some([value - t * error, value + t * error]) }
    }

    /// The share of `hits` among `asked` independent questions with Wilson's interval (J. Am. Stat. Assoc. 1927), the p with
    /// |p̂ − p| ≤ z √(p(1 − p)/n): it stays within [0, 1], has a width at 0 and 1, and covers what it says nearer to them than
    /// p̂ ± z √(p̂(1 − p̂)/n) does (Brown, Cai & DasGupta, Stat. Sci. 2001).
    ///
    /// # Panics
    /// If nothing was asked, or there are more hits than questions.
    pub fn of_share(hits: usize, asked: usize) -> Self {
        assert!(0 < asked && hits <= asked, "{hits} hits of {asked}");
        let (value, n) = (hits as f64 / asked as f64, asked as f64);
        let square = TWO_SIDED * TWO_SIDED / n;
        let middle = (value + 0.5 * square) / (1.0 + square);
        let half = (square * (value * (1.0 - value) + 0.25 * square)).sqrt() / (1.0 + square);
        let low = if hits == 0 { 0.0 } else { middle - half };
        let high = if hits == asked { 1.0 } else { middle + half };
        Self { value, interval: Some([low, high]) }
    }

    /// The interval without what the number cannot be: below `low` or above `high`.
    #[must_use]
    pub fn within(self, low: f64, high: f64) -> Self {
        Self { interval: self.interval.map(|ends| ends.map(|end| end.clamp(low, high))), ..self }
    }
}

/// Points as cosines want them: those that are given, or, where these are of unit length to no more than [`Points`] asks, copies that are
/// so to rounding.
struct Unit<'a, T> {
    given: Points<'a, T>,
    scaled: Option<Matrix<T>>,
}

impl<'a, T: Scalar> Unit<'a, T> {
    fn of(points: Points<'a, T>) -> Self {
        let rounding = 8.0 * if size_of::<T>() == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let lengths = lengths(points.as_slice(), points.dim(), 0).unwrap_or_default();
        let is_unit = lengths.iter().all(|length| (length - 1.0).abs() <= rounding);
        let scaled = (!is_unit).then(|| {
            let mut rows = Matrix::new(points.as_slice().to_vec(), points.dim());
            divide(rows.as_mut_slice(), points.dim(), &lengths);
            rows
        });
        Self { given: points, scaled }
    }

    fn points(&self) -> Points<'_, T> {
        match &self.scaled {
            Some(rows) => Points::normalized(rows.as_slice(), rows.dim()),
            None => self.given,
        }
    }
}

/// What every metric of one point set needs.
fn at_least_two<T: Scalar>(points: Points<'_, T>) -> Result<(), Error> {
    if points.len() < 2 {
        return Err(Error::new(format!("geometry needs at least 2 points; there are {}", points.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Key, uniform};
    use crate::sphere::sample;

    #[test]
    fn lengths_within_what_points_may_have_change_no_number() {
        let unit = sample(300, 5, Key::new(3));
        let mut other = unit.clone();
        for i in 0..300 {
            other.row_mut(i).iter_mut().for_each(|x| *x *= 1.0 + 9e-4 * ((i % 7) as f64 / 3.0 - 1.0));
        }
        let classes: Vec<u32> = (0..300).map(|i| i % 4).collect();
        let numbers = |rows: &Matrix<f64>| {
            let points = Points::new(rows).unwrap();
            let pairwise = Pairwise::of(points, 300, 0.99, Key::new(1)).unwrap();
            let views = sample(300, 5, Key::new(4));
            vec![
                uniformity(points).unwrap(),
                wasserstein_uniformity(points).unwrap(),
                alignment(points, Points::new(&views).unwrap()).unwrap(),
                silhouettes(points, &classes).unwrap()[7],
                lidar(points, &classes).unwrap(),
                pairwise.uniformity.value,
                pairwise.duplicates.value,
                pairwise.hubness.unwrap().value,
                pairwise.intrinsic_dimension.unwrap().value,
            ]
        };
        for (a, b) in numbers(&unit).into_iter().zip(numbers(&other)) {
            assert!((a - b).abs() < 1e-10, "{a} and {b}");
        }
        assert_eq!(nearest(Points::new(&unit).unwrap(), 5), nearest(Points::new(&other).unwrap(), 5));
    }

    #[test]
    fn errors_of_groups_are_students() {
        for (groups, t) in [(2, 12.706_205), (5, 2.776_445), (20, 2.093_024), (1000, 1.962_341)] {
            let [low, high] = Estimate::with_error_of_groups(3.0, 0.5, groups).interval.unwrap();
            assert!(
                (high - 3.0 - 0.5 * t).abs() < 1e-5 && (3.0 - low - 0.5 * t).abs() < 1e-5,
                "{groups}: {high}"
            );
        }
    }

    /// Of 4,000 draws, near to 1 and farther; where all or none are hits, one end is 1 or 0 and the other is not.
    #[test]
    #[expect(clippy::print_stdout, reason = "the shares are the page's figures")]
    fn intervals_of_shares_cover_what_they_say() {
        for (p, asked) in [(0.998, 1000), (0.9, 400), (0.5, 50)] {
            let mut rng = Key::new(6).stream("shares").rng();
            let draws = 4000;
            let covered = (0..draws)
                .filter(|_| {
                    let hits = (0..asked).filter(|_| uniform(&mut rng) < p).count();
                    let [low, high] = Estimate::of_share(hits, asked).interval.unwrap();
                    assert!(0.0 <= low && low < high && high <= 1.0, "{low} to {high}");
                    (low..=high).contains(&p)
                })
                .count();
            let share = f64::from(u32::try_from(covered).unwrap()) / f64::from(draws);
            println!("p = {p}, n = {asked}: {:.1} % cover", 100.0 * share);
            assert!((0.935..0.965).contains(&share), "p = {p}: {share} cover");
        }
        // 10 of 10: 1 − z²/(n + z²) to 1.
        let [low, high] = Estimate::of_share(10, 10).interval.unwrap();
        assert!((low - 0.722_467_2).abs() < 1e-7 && high == 1.0, "{low} to {high}");
        let [low, high] = Estimate::of_share(0, 10).interval.unwrap();
        assert!(low == 0.0 && (high - 0.277_532_8).abs() < 1e-7, "{low} to {high}");
    }
}
