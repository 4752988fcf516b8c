//! Pictures of configurations: a page that turns and plays the descent, and a static SVG; beyond three dimensions the
//! cosines and the Gram matrix.

mod page;
mod svg;

use riesz::Matrix;
use riesz::rng::Key;
use riesz::sphere::found::{Found, NOWHERE};
use riesz::sphere::minimize::{Minimum, Settings};
use riesz::sphere::optima::Configuration;

use super::Subject;
use crate::{Error, Result, interrupt};

pub use page::html;
pub use svg::svg;

/// Pictures of a descent at most.
const FRAMES: usize = 80;

/// One loss's points.
pub struct Panel {
    /// The loss in words.
    pub words: String,
    /// Points of a view.
    pub points: usize,
    /// d.
    pub dim: usize,
    /// Views.
    pub views: usize,
    /// The value reached.
    pub value: f64,
    /// What it is, if known.
    pub recognized: Option<String>,
    /// (iteration, value, rows) along the descent to the best minimum; the last is the minimum.
    pub frames: Vec<(usize, f64, Matrix<f64>)>,
    /// The points' order in a Gram matrix: each next to the nearest that is left.
    pub order: Vec<usize>,
}

impl Panel {
    /// Searches, and follows the descent to the best minimum again.
    ///
    /// # Errors
    /// No start has a finite value; an interruption.
    pub fn new(subject: &Subject, starts: u64, key: Key, settings: Settings) -> Result<Self> {
        let problem = &subject.problem;
        let minima = problem.search_watched(key, starts, settings, &|| !interrupt::asked(), &|_| ());
        if interrupt::asked() {
            return Err(Error::interrupted("interrupted; no picture was written"));
        }
        let found = Found::new(problem, minima, subject.tolerance);
        let Some((group, best)) = found.best() else {
            return Err(Error::input(format!("{}: {NOWHERE}", subject.words)));
        };
        let mut frames: Vec<(usize, f64, Matrix<f64>)> = Vec::new();
        let mut every = 1;
        problem.descend(problem.start(key, best.start), settings, &mut |step| {
            // A descent that begins anew, on the logarithm.
            if step.iteration == 0 {
                frames.clear();
                every = 1;
            }
            // The first values of an energy that is descended on by its logarithm may be more than f64 holds.
            if step.value.is_finite() && step.iteration.is_multiple_of(every) {
                frames.push((step.iteration, step.value, step.rows()));
            }
            // Twice as many as are kept: every other one is let go.
            if frames.len() == 2 * FRAMES {
                every *= 2;
                frames.retain(|(iteration, ..)| iteration.is_multiple_of(every));
            }
            true
        });
        thin(&mut frames);
        frames.push((best.iterations, best.value, best.rows.clone()));
        Ok(Self {
            words: subject.words.clone(),
            points: problem.points(),
            dim: problem.dim(),
            views: problem.views(),
            value: best.value,
            recognized: group.recognized.as_ref().map(|one: &Configuration| one.name.clone()),
            order: chain(best, problem.points()),
            frames,
        })
    }

    /// The rows of the minimum, view after view.
    pub fn rows(&self) -> &Matrix<f64> {
        &self.frames.last().expect("a panel has a last frame").2
    }

    /// The cosines of the first view's pairs.
    pub fn cosines(&self) -> Vec<f64> {
        let rows = self.rows();
        let pairs = (0..self.points).flat_map(|i| (0..i).map(move |j| (i, j)));
        pairs.map(|(i, j)| rows.row(i).iter().zip(rows.row(j)).map(|(x, y)| x * y).sum()).collect()
    }

    /// Pairs of the first view that are neighbors: within a hundredth of the nearest pair's angle, if those are few.
    pub fn edges(&self) -> Vec<(usize, usize)> {
        let rows = self.rows();
        let dot = |i: usize, j: usize| rows.row(i).iter().zip(rows.row(j)).map(|(x, y)| x * y).sum::<f64>();
        let angle = |i: usize, j: usize| dot(i, j).clamp(-1.0, 1.0).acos();
        let pairs = || (0..self.points).flat_map(|i| (0..i).map(move |j| (i, j)));
        // Of each point the nearest, and whatever is as near to within a tenth: the edges of the hull, about.
        let nearest: Vec<f64> = (0..self.points)
            .map(|i| (0..self.points).filter(|&j| j != i).map(|j| angle(i, j)).fold(f64::INFINITY, f64::min))
            .collect();
        pairs().filter(|&(i, j)| angle(i, j) < 1.15 * nearest[i].max(nearest[j]).min(3.0)).collect()
    }
}

/// As many frames as are shown, evenly; the first ones, where most happens, all.
fn thin(frames: &mut Vec<(usize, f64, Matrix<f64>)>) {
    let all = frames.len();
    if all > FRAMES {
        let mut number = 0;
        frames.retain(|_| {
            number += 1;
            number * FRAMES / all != (number - 1) * FRAMES / all
        });
    }
}

/// Points in a chain of nearest neighbors.
fn chain(minimum: &Minimum, points: usize) -> Vec<usize> {
    let row = |i: usize| minimum.rows.row(i);
    let mut order = vec![0];
    let mut left: Vec<usize> = (1..points).collect();
    while !left.is_empty() {
        let last = order[order.len() - 1];
        let dot = |i: usize| row(last).iter().zip(row(i)).map(|(x, y)| x * y).sum::<f64>();
        let next = (0..left.len())
            .max_by(|&a, &b| {
                // Equal to rounding is equal, so that the order does not depend on it.
                let near = |i: usize| (dot(left[i]) * 1e9).round();
                near(a).total_cmp(&near(b)).then(b.cmp(&a))
            })
            .unwrap_or(0);
        order.push(left.remove(next));
    }
    order
}
