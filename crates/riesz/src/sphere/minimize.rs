//! Free points on the sphere, where a loss or an energy puts them: Riemannian L-BFGS in f64 from keyed random starts.
//!
//! A problem is a [`Loss`] of K views of M points of Sᵈ⁻¹; an energy ([`Loss::energy`]) has one view. Its value is minimized
//! over all K M points at once, to a gradient along the spheres whose norm is `tolerance` times the value's magnitude, or
//! to the floor that f64 allows, where neither value nor gradient can be lowered any more; [`Minimum::end`] says which.
//! Each start is one thread's work and a function of its key, so that the results have the same bits for any number of
//! threads.
//!
//! Energies in up to 8 dimensions run by loops over pairs (`pairs`), all else by the fused engine (`views`). An energy that is more than
//! f64 holds at the start, or less where it comes to, as of a narrow kernel, is descended on by its logarithm. Where a loss attracts matched
//! points by a kernel with a cusp at coincidence (Riesz with −2 < p < 0: its slope there is infinite), no gradient vanishes
//! at the minimum; there the views are put together once they are near each other, and the descent goes on with one set.
//!
//! Thomson's problem of four charges, whose minimum is the tetrahedron:
//!
//! ```
//! use riesz::loss::{KclKernel, Loss};
//! use riesz::rng::Key;
//! use riesz::sphere::minimize::{End, Problem, Settings, distinct};
//!
//! let problem = Problem::new(Loss::energy(KclKernel::Riesz(1.0))?, 4, 3, 1)?;
//! let minima = problem.search(Key::new(1), 8, Settings::default());
//! let best = &minima[distinct(&minima, 1e-9)[0][0]];
//!
//! let tetrahedron = (8.0_f64 / 3.0).sqrt().recip(); // the mean of 1/‖x − y‖ over pairs
//! assert!((best.value - tetrahedron).abs() < 1e-14);
//! assert!(matches!(best.end, End::Converged | End::Floor));
//! let cosine: f64 = best.rows.row(0).iter().zip(best.rows.row(1)).map(|(x, y)| x * y).sum();
//! assert!((cosine + 1.0 / 3.0).abs() < 1e-10);
//! # Ok::<(), riesz::Error>(())
//! ```

mod columns;
mod lbfgs;
mod pairs;
mod views;

use std::fmt;

use rayon::prelude::*;

use columns::Shape;
use lbfgs::{Descent, descend};
use pairs::PairEnergy;
use views::Views;

use super::sample;
use crate::loss::{Link, Loss, Pairs, Term};
use crate::rng::Key;
use crate::{Error, Matrix, Points, normalize};

/// Dimensions up to which loops over pairs are faster than the engine's matrix products, at 100 to 2,000 points.
const LOOPS: usize = 8;

/// When a descent ends: `Settings::default().with_iterations(100)`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Converged where the gradient's norm is at most this times the magnitude of the value; 0 or more.
    pub tolerance: f64,
    /// Iterations at most.
    pub iterations: usize,
    /// Steps that L-BFGS remembers; from 1 to 64, others count as the nearest of these.
    pub memory: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tolerance: 1e-12, iterations: 20_000, memory: 8 }
    }
}

impl Settings {
    /// The same with this tolerance.
    #[must_use]
    pub fn with_tolerance(self, tolerance: f64) -> Self {
        Self { tolerance, ..self }
    }

    /// The same with at most so many iterations.
    #[must_use]
    pub fn with_iterations(self, iterations: usize) -> Self {
        Self { iterations, ..self }
    }

    /// The same with a memory of so many steps.
    #[must_use]
    pub fn with_memory(self, memory: usize) -> Self {
        Self { memory, ..self }
    }
}

/// Why a descent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The gradient is within the tolerance.
    Converged,
    /// Rounding hides what is left of the gradient.
    Floor,
    /// The most iterations were made.
    Iterations,
    /// It was told to stop.
    Stopped,
    /// The value at the start is not finite, and neither is that of an energy whose logarithm was descended on instead.
    Infinite,
    /// The value is below 10⁻¹⁴⁰ and the gradient's squares are 0 in f64: the kernel vanishes at these distances, and nothing
    /// says which way to go. Nor did an energy's logarithm lead to a value that f64 holds.
    Flat,
}

impl fmt::Display for End {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Converged => "converged",
            Self::Floor => "at the floor of f64",
            Self::Iterations => "not converged: the most iterations were made",
            Self::Stopped => "not converged: stopped",
            Self::Infinite => "not finite at the start",
            Self::Flat => "flat: value and gradient vanish in f64, nothing says which way to go",
        })
    }
}

/// Where a descent came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Minimum {
    /// The start's number.
    pub start: u64,
    /// The points, view after view: K M unit rows.
    pub rows: Matrix<f64>,
    /// The value of the loss.
    pub value: f64,
    /// What the value's rounding is relative to: the sum of its terms' magnitudes.
    pub scale: f64,
    /// The norm of the gradient along the spheres, all points together.
    pub gradient: f64,
    /// Steps.
    pub iterations: usize,
    /// Evaluations of value and gradient.
    pub evaluations: usize,
    /// Why it ended.
    pub end: End,
    /// Whether the views were put together at the attraction's cusp.
    pub tied: bool,
}

/// A descent under way, as who watches it sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Step<'a> {
    /// Steps made so far.
    pub iteration: usize,
    /// The value of the loss.
    pub value: f64,
    /// The norm of the gradient along the spheres.
    pub gradient: f64,
    shape: Shape,
    columns: &'a [f64],
}

impl Step<'_> {
    /// The points, view after view.
    pub fn rows(&self) -> Matrix<f64> {
        self.shape.rows(self.columns)
    }
}

/// A loss, and how many points of which sphere it shall be minimized over.
#[derive(Clone, Debug)]
pub struct Problem {
    loss: Loss,
    points: usize,
    dim: usize,
    views: usize,
}

impl Problem {
    /// `points` points of Sᵈ⁻¹ in each of `views` views.
    ///
    /// # Errors
    /// If there are fewer than 2 points, 2 dimensions or 1 view; if the loss cannot be evaluated on such views; if an
    /// attraction grows without bound as points meet, so that there is no minimum.
    pub fn new(loss: Loss, points: usize, dim: usize, views: usize) -> Result<Self, Error> {
        for (what, number, least) in [("points", points, 2), ("dimensions", dim, 2), ("views", views, 1)] {
            if number < least {
                return Err(Error::new(format!("{number} {what}; at least {least} are needed")));
            }
        }
        loss.check(points, views)?;
        let pulls = |weight: f64| weight < 0.0;
        if loss.terms.iter().any(|term| pulls(term.weight) && term.kernel.is_unbounded()) {
            return Err(Error::new(format!(
                "{} attracts without bound as matched points meet, so it has no minimum; choose another attraction kernel",
                loss.name
            )));
        }
        Ok(Self { loss, points, dim, views })
    }

    /// The loss.
    pub fn loss(&self) -> &Loss {
        &self.loss
    }

    /// Points of a view.
    pub fn points(&self) -> usize {
        self.points
    }

    /// d.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Views.
    pub fn views(&self) -> usize {
        self.views
    }

    /// Bytes that the results of so many starts take at most.
    pub fn bytes(&self, starts: u64) -> u64 {
        let numbers = (self.points as u64).saturating_mul(self.dim as u64).saturating_mul(self.views as u64);
        numbers.saturating_mul(8).saturating_mul(starts)
    }

    /// Descends from `starts` random starts, on all threads, start i from [`Problem::start`]. In the order of the starts.
    ///
    /// # Panics
    /// If the tolerance is below 0 or no number.
    pub fn search(&self, key: Key, starts: u64, settings: Settings) -> Vec<Minimum> {
        self.search_watched(key, starts, settings, &|| true, &|_| ())
    }

    /// [`search`](Self::search) that is watched and can be stopped: `ended` hears of
    /// each minimum as it is found, in any order; `go_on` is asked at each step, and when it says no, what is under way ends as
    /// [`End::Stopped`] and further starts are left out.
    ///
    /// # Panics
    /// If the tolerance is below 0 or no number.
    pub fn search_watched(
        &self,
        key: Key,
        starts: u64,
        settings: Settings,
        go_on: &(dyn Fn() -> bool + Sync),
        ended: &(dyn Fn(&Minimum) + Sync),
    ) -> Vec<Minimum> {
        (0..starts)
            .into_par_iter()
            .filter_map(|start| {
                if !go_on() {
                    return None;
                }
                let mut found = self.descend(self.start(key, start), settings, &mut |_| go_on());
                found.start = start;
                if found.end != End::Stopped {
                    ended(&found);
                }
                Some(found)
            })
            .collect()
    }

    /// Start number `start`: uniform points for all views, view after view, independent of each other or, if
    /// [`Problem::starts_near`], the first view's points displaced by a tenth.
    #[expect(clippy::missing_panics_doc, reason = "a displaced unit row is not 0")]
    pub fn start(&self, key: Key, start: u64) -> Matrix<f64> {
        let mut rows = sample(self.points * self.views, self.dim, key.at(start));
        if self.views > 1 && Self::starts_near(start) {
            for row in self.points..rows.len() {
                let first = rows.row(row % self.points).to_vec();
                rows.row_mut(row).iter_mut().zip(first).for_each(|(x, first)| *x = first + 0.1 * *x);
            }
            normalize(&mut rows).expect("a displaced unit row is not 0");
        }
        rows
    }

    /// Whether a start's views begin near each other: the odd ones. Where the attraction's pull fades with distance,
    /// independent views are often caught with points in each other's places.
    pub fn starts_near(start: u64) -> bool {
        !start.is_multiple_of(2)
    }

    /// Descends from `start`, K M rows; `watch` sees each step before it is made, and ends the descent by saying no. A descent
    /// that begins anew, on the logarithm, has step 0 again.
    ///
    /// # Panics
    /// If `start` is not of the problem's shape or has a row that is not of unit length ([`Points`]), or the tolerance is none.
    pub fn descend(
        &self,
        start: Matrix<f64>,
        settings: Settings,
        watch: &mut dyn FnMut(&Step<'_>) -> bool,
    ) -> Minimum {
        assert!(
            start.len() == self.points * self.views && start.dim() == self.dim,
            "a start of {} × {} for {} views of {} × {}",
            start.len(),
            start.dim(),
            self.views,
            self.points,
            self.dim
        );
        if let Err(error) = Points::new(&start) {
            panic!("a start of a descent: {error}");
        }
        assert!(settings.tolerance >= 0.0, "a tolerance of {}", settings.tolerance);
        let shape = Shape::new(start.len(), self.dim);
        let x = shape.columns(&start);
        let descent = match self.pair_energy() {
            Some(factor) => {
                let kernel = &*self.loss.terms[0].kernel;
                descend(shape, &mut PairEnergy::new(shape, kernel, factor), x, settings, watch)
            }
            None => {
                let mut free = Views { shape, loss: &self.loss, views: self.views, tied: false };
                descend(shape, &mut free, x, settings, watch)
            }
        };
        let tied = self.views > 1 && descent.end != End::Stopped && self.has_cusp();
        let free = minimum(shape, descent, false);
        if Self::is_lost(&free)
            && let Some(found) = self.by_logarithm(shape, shape.columns(&start), settings, watch)
        {
            let is_told = found.end == End::Stopped || found.value.is_normal();
            if is_told && (free.end == End::Infinite || found.value <= (1.0 + 1e-9) * free.value) {
                return found;
            }
            if !is_told && free.end == End::Floor && free.value.abs() >= lbfgs::VANISHED {
                // There is less than this, and f64 does not hold it.
                return Minimum { value: f64::INFINITY, end: End::Infinite, ..free };
            }
        }
        if tied { self.tie(free, settings) } else { free }
    }

    /// Whether a descent's values were more than f64 holds, or less, or fell by so many powers of ten that no step fitted both
    /// ends.
    fn is_lost(minimum: &Minimum) -> bool {
        match minimum.end {
            End::Infinite | End::Flat => true,
            End::Floor => {
                minimum.gradient > 1e-6 * minimum.value.abs() || minimum.value.abs() < lbfgs::VANISHED
            }
            End::Converged | End::Iterations | End::Stopped => false,
        }
    }

    /// The term of a loss that is the energy of one view.
    fn energy(&self) -> Option<&Term> {
        match &self.loss.terms[..] {
            [term] if term.link == Link::Mean && term.pairs == Pairs::WITHIN && term.focus.is_none() => {
                (self.views == 1).then_some(term)
            }
            _ => None,
        }
    }

    /// If the loss is the energy of one view in few dimensions, the factor of each unordered pair.
    fn pair_energy(&self) -> Option<f64> {
        let term = self.energy().filter(|_| self.dim <= LOOPS)?;
        Some(2.0 * term.pair_factor(self.points, 1))
    }

    /// The descent of an energy whose values are more or less than f64 holds, on its logarithm, which has the same
    /// minimizers. None if it has none. The value is no normal number where what is least is too small for f64.
    fn by_logarithm(
        &self,
        shape: Shape,
        x: Vec<f64>,
        settings: Settings,
        watch: &mut dyn FnMut(&Step<'_>) -> bool,
    ) -> Option<Minimum> {
        let term = self.energy().filter(|term| term.weight > 0.0 && term.kernel.is_positive())?;
        let logarithm = Term { link: Link::LogMean, weight: 1.0, ..term.clone() };
        let loss = self.loss.of(vec![logarithm]);
        let energy = |logarithm: f64| term.weight * logarithm.exp();
        let mut views = Views { shape, loss: &loss, views: 1, tied: false };
        // The gradient of ln E is that of E over E, so that here it is the gradient alone that the tolerance bounds.
        let to_the_floor = Settings { tolerance: 0.0, ..settings };
        let descent = descend(shape, &mut views, x, to_the_floor, &mut |step| {
            let value = energy(step.value);
            watch(&Step { value, gradient: value * step.gradient, ..*step })
        });
        let mut found = minimum(shape, descent, false);
        found.value = energy(found.value);
        if matches!(found.end, End::Floor | End::Flat) && found.gradient <= settings.tolerance {
            found.end = End::Converged;
        }
        found.gradient *= found.value;
        found.scale = found.value;
        found.evaluations += 1;
        Some(found)
    }

    /// Whether a term over matched pairs has an infinite slope where they meet.
    fn has_cusp(&self) -> bool {
        self.loss.terms.iter().any(|term| {
            let slope = |from_one: f64| term.kernel.at(1.0 - from_one).1.abs();
            term.pairs == Pairs::MATCHED && term.link == Link::Mean && slope(1e-14) > 1.5 * slope(1e-6)
        })
    }

    /// Goes on with all views in one place, an image's rows put in their mean direction; keeps it if that is lower. What
    /// matched points add is then a constant, and is left out of the descent, where its rounding would hide the rest.
    fn tie(&self, free: Minimum, settings: Settings) -> Minimum {
        let mut means = Matrix::zeros(self.points, self.dim);
        for row in 0..free.rows.len() {
            let mean = means.row_mut(row % self.points);
            mean.iter_mut().zip(free.rows.row(row)).for_each(|(mean, x)| *mean += x);
        }
        if normalize(&mut means).is_err() {
            return free;
        }
        let shape = Shape::new(self.points, self.dim);
        let (matched, rest): (Vec<Term>, Vec<Term>) = self
            .loss
            .terms
            .iter()
            .cloned()
            .partition(|term| term.pairs == Pairs::MATCHED && term.link == Link::Mean);
        let constant: f64 = matched
            .iter()
            .map(|term| {
                let pairs = self.points * (self.views - 1) * term.anchor_views(self.views);
                pairs as f64 * term.pair_factor(self.points, self.views) * term.kernel.at(1.0).0
            })
            .sum();
        let loss = self.loss.of(rest);
        let mut one = Views { shape, loss: &loss, views: self.views, tied: true };
        let descent = descend(shape, &mut one, shape.columns(&means), settings, &mut |_| true);
        let mut tied = minimum(shape, descent, true);
        tied.value += constant;
        tied.scale += constant.abs();
        // The free value is known to about the square root of f64's precision, because of the cusp.
        if !tied.value.is_finite() || tied.value > free.value + 1e-7 * (constant.abs() + free.value.abs()) {
            return free;
        }
        tied.iterations += free.iterations;
        tied.evaluations += free.evaluations;
        tied.rows = Matrix::new(tied.rows.as_slice().repeat(self.views), self.dim);
        tied
    }
}

fn minimum(shape: Shape, descent: Descent, tied: bool) -> Minimum {
    let Descent { x, value, scale, gradient, iterations, evaluations, end } = descent;
    Minimum { start: 0, rows: shape.rows(&x), value, scale, gradient, iterations, evaluations, end, tied }
}

/// The local minima: lists of the numbers of those of equal value, to within `tolerance` relative to it and its rounding, from
/// the lowest value up; in each list the one with the least gradient first. Those without a finite value are left out.
pub fn distinct(minima: &[Minimum], tolerance: f64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..minima.len()).filter(|&i| minima[i].value.is_finite()).collect();
    order.sort_by(|&a, &b| minima[a].value.total_cmp(&minima[b].value));
    order
        .chunk_by(|&a, &b| {
            let (a, b) = (&minima[a], &minima[b]);
            let rounding = 64.0 * f64::EPSILON * a.scale.max(b.scale);
            b.value - a.value <= tolerance * a.value.abs().max(b.value.abs()) + rounding
        })
        .map(|equal| {
            let mut equal = equal.to_vec();
            equal.sort_by(|&a, &b| minima[a].gradient.total_cmp(&minima[b].gradient));
            equal
        })
        .collect()
}
