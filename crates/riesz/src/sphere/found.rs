//! What many descents came to: the local minima and how often each was reached, what it is, and what is proven of the lowest.
//!
//! ```
//! use riesz::loss::{Convention, Loss};
//! use riesz::rng::Key;
//! use riesz::sphere::{found::Found, minimize::{Problem, Settings}};
//!
//! let loss = Loss::dhel(0.3, Convention::Paper)?;
//! let problem = Problem::new(loss, 5, 4, 2)?; // 5 matched pairs on the sphere of 4 dimensions
//! let minima = problem.search(Key::new(1), 4, Settings::default());
//! let found = Found::new(&problem, minima, 1e-6);
//! let (group, minimum) = found.best().unwrap();
//! assert_eq!(group.recognized.as_ref().unwrap().name, "regular simplex");
//! assert!(minimum.value - found.bound.unwrap().value < 1e-12);
//! println!("{}", found.certificates()[0]); // global minimum: the bound by convexity (…) is attained
//! # Ok::<(), riesz::Error>(())
//! ```

use super::certificate::{Bound, Certificate, bound, certify};
use super::cosines::Cosines;
use super::minimize::{End, Minimum, Problem, distinct};
use super::optima::{Configuration, known};
use crate::Points;

/// What is said where there is nothing to tell: [`Found::best`] is `None`.
pub const NOWHERE: &str = "no start has a finite value that f64 holds; a kernel that is less steep has one";
/// The tolerance of cosines for [`Found::new`], where nothing else is said.
pub const EQUAL: f64 = 1e-6;
/// Values are counted as one local minimum within this, relative to the value.
const SAME_VALUE: f64 = 1e-9;
/// A bound counts as attained within this.
const ATTAINED: f64 = 1e-9;
/// Matched points count as one if 1 − ⟨x, y⟩ is at most this.
const ALIGNED: f64 = 1e-8;
/// Local minima that are looked at, from the lowest: cosines of many points are costly.
const LOOKED_AT: usize = 10;

/// One local minimum.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Group {
    /// The number of its best member in [`Found::minima`].
    pub best: usize,
    /// How many starts came to it.
    pub starts: usize,
    /// How many of these had their views near each other ([`Problem::starts_near`]).
    pub near: usize,
    /// The cosines of its first view.
    pub cosines: Cosines,
    /// The known configuration whose cosines these are, in every view.
    pub recognized: Option<Configuration>,
    /// The largest 1 − ⟨x, y⟩ of matched points, of the first view and any other; `None` of one view.
    pub misalignment: Option<f64>,
}

/// All that a search found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Found {
    /// Where each start came to. Those that were stopped count only if no other is there.
    pub minima: Vec<Minimum>,
    /// The ten lowest local minima, from the lowest value up.
    pub groups: Vec<Group>,
    /// What no points can undercut, if a theorem says.
    pub bound: Option<Bound>,
}

impl Found {
    /// Sorts what [`Problem::search`] found into local minima and looks at each. Cosines nearer than `tolerance` count as equal.
    ///
    /// # Panics
    /// If the minima are none of the problem's.
    pub fn new(problem: &Problem, minima: Vec<Minimum>, tolerance: f64) -> Self {
        let ended = |minimum: &Minimum| minimum.end != End::Stopped;
        let minima: Vec<Minimum> =
            if minima.iter().any(ended) { minima.into_iter().filter(ended).collect() } else { minima };
        let groups = distinct(&minima, SAME_VALUE)
            .iter()
            .take(LOOKED_AT)
            .map(|members| Group::of(problem, &minima, members, tolerance))
            .collect();
        let bound = bound(problem.loss(), problem.points(), problem.dim(), problem.views());
        Self { minima, groups, bound }
    }

    /// The lowest minimum, if any start had a finite value.
    pub fn best(&self) -> Option<(&Group, &Minimum)> {
        self.groups.first().map(|group| (group, &self.minima[group.best]))
    }

    /// What is proven of the lowest.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.best().map_or_else(Vec::new, |(group, minimum)| {
            // Every theorem has matched points coincide.
            let aligned = group.misalignment.is_none_or(|misalignment| misalignment < ALIGNED);
            if aligned { certify(minimum.value, self.bound, &group.cosines, ATTAINED) } else { Vec::new() }
        })
    }
}

impl Group {
    /// The value of the known configuration by its exact cosines ([`Configuration::value`]); `None` where none is recognized.
    ///
    /// # Panics
    /// As [`Configuration::value`].
    pub fn exact_value(&self, problem: &Problem) -> Option<f64> {
        self.recognized.as_ref().map(|one| one.value(problem.loss(), problem.views()))
    }

    fn of(problem: &Problem, minima: &[Minimum], members: &[usize], tolerance: f64) -> Self {
        let (points, dim, views) = (problem.points(), problem.dim(), problem.views());
        let best = members[0];
        let minimum = &minima[best];
        let size = points * dim;
        let cosines = |view: usize| {
            let rows = &minimum.rows.as_slice()[view * size..(view + 1) * size];
            Cosines::of(Points::from_slice(rows, dim).expect("a minimum has unit rows"), tolerance)
        };
        let first = cosines(0);
        let others: Vec<Cosines> = (1..views).map(cosines).collect();
        let recognized = known(points, dim).into_iter().find(|one| {
            let exact = one.cosines(dim);
            std::iter::once(&first).chain(&others).all(|view| view.matches(&exact, tolerance))
        });
        let near = |member: &&usize| views > 1 && Problem::starts_near(minima[**member].start);
        Self {
            best,
            starts: members.len(),
            near: members.iter().filter(near).count(),
            cosines: first,
            recognized,
            misalignment: (views > 1).then(|| misalignment(minimum, points, views)),
        }
    }
}

fn misalignment(minimum: &Minimum, points: usize, views: usize) -> f64 {
    let row = |i: usize| minimum.rows.row(i);
    (points..points * views)
        .map(|i| 0.5 * row(i % points).iter().zip(row(i)).map(|(x, y)| (x - y).powi(2)).sum::<f64>())
        .fold(0.0, f64::max)
}
