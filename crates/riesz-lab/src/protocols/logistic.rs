//! Multinomial logistic regression by L-BFGS.
//!
//! n rows, d numbers a row, C classes. Minimized is mean cross-entropy + (λ/2) ‖W‖², the shift not penalized: a convex
//! function, so that there is one minimum and how far away it is can be said: by the gradient's norm. Rows are read
//! where they lie and never copied; what is allocated grows with C (n + d), not with n d.

use std::collections::VecDeque;

use rayon::prelude::*;
use riesz::product::{add_weighted_rows, rows_by_rows};

use super::cross_entropy::of_row;

/// Converged: the gradient's norm is at most this share of its norm at zero weights.
pub const TOLERANCE: f64 = 1e-4;
/// L-BFGS iterations at most.
pub const MOST_ITERATIONS: usize = 4000;
/// Pairs of steps and gradient changes that L-BFGS remembers.
const MEMORY: usize = 20;

/// Rows of `dim` numbers and a label for each, from 0 to below the number of classes.
#[derive(Clone, Copy)]
pub(super) struct Set<'a> {
    pub(super) rows: &'a [f32],
    pub(super) dim: usize,
    pub(super) labels: &'a [u32],
}

impl<'a> Set<'a> {
    /// Those before the `at`-th, and the others.
    pub(super) fn split_at(self, at: usize) -> (Self, Self) {
        let (rows, labels) = (self.rows.split_at(at * self.dim), self.labels.split_at(at));
        (Self { rows: rows.0, labels: labels.0, ..self }, Self { rows: rows.1, labels: labels.1, ..self })
    }
}

/// A fitted regression: for each class d weights and a shift.
pub(super) struct Fit {
    classes: usize,
    pub(super) weights: Vec<f64>,
    pub(super) iterations: usize,
    /// The gradient's norm relative to its norm at zero weights.
    pub(super) gradient: f64,
}

impl Fit {
    /// Minimizes from `start`, or zero.
    pub(super) fn new(set: Set<'_>, classes: usize, penalty: f64, start: Option<Vec<f64>>) -> Self {
        let problem = Problem { set, classes, penalty };
        let zero = vec![0.0; classes * (set.dim + 1)];
        let scale = norm(&problem.value_and_gradient(&zero).1);
        let (weights, iterations, reached) =
            minimize(|weights| problem.value_and_gradient(weights), start.unwrap_or(zero), TOLERANCE * scale);
        // Where zero weights are the minimum already there is nothing to compare with.
        let gradient = if scale > 0.0 { reached / scale } else { 0.0 };
        Self { classes, weights, iterations, gradient }
    }

    /// Whether the gradient's norm is within [`TOLERANCE`].
    pub(super) fn converged(&self) -> bool {
        self.gradient <= TOLERANCE
    }

    /// Which rows get their label. Of classes with equal values the lowest is given.
    pub(super) fn hits(&self, set: Set<'_>) -> Vec<bool> {
        let (weights, shifts) = narrow(&self.weights, set.dim);
        set.rows
            .par_chunks(TILE * set.dim)
            .zip(set.labels.par_chunks(TILE))
            .flat_map_iter(|(rows, labels)| {
                let logits = logits(rows, &weights, &shifts, set.dim);
                let hit = |(logits, label): (&[f32], &u32)| {
                    let winner = (0..self.classes).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
                    winner == Some(*label as usize)
                };
                logits.chunks_exact(self.classes).zip(labels).map(hit).collect::<Vec<bool>>()
            })
            .collect()
    }
}

/// Rows whose logits are made at once where only the winner is asked for.
const TILE: usize = 256;

/// The weights and the shifts in `f32`.
fn narrow(weights: &[f64], dim: usize) -> (Vec<f32>, Vec<f32>) {
    let rows = weights.chunks_exact(dim + 1);
    let shifts = rows.clone().map(|row| row[dim] as f32).collect();
    (rows.flat_map(|row| row[..dim].iter().map(|&w| w as f32)).collect(), shifts)
}

/// `n × C`: a row's products with the classes' weights, and the shifts added.
fn logits(rows: &[f32], weights: &[f32], shifts: &[f32], dim: usize) -> Vec<f32> {
    let mut logits = vec![0.0; rows.len() / dim * shifts.len()];
    rows_by_rows(rows, weights, dim, &mut logits);
    for logits in logits.chunks_exact_mut(shifts.len()) {
        logits.iter_mut().zip(shifts).for_each(|(logit, shift)| *logit += shift);
    }
    logits
}

pub(super) struct Problem<'a> {
    pub(super) set: Set<'a>,
    pub(super) classes: usize,
    pub(super) penalty: f64,
}

impl Problem<'_> {
    /// Mean cross-entropy + (λ/2) ‖W‖², and its gradient.
    pub(super) fn value_and_gradient(&self, weights: &[f64]) -> (f64, Vec<f64>) {
        let (n, d, c) = (self.set.labels.len(), self.set.dim, self.classes);
        let (narrow, shifts) = narrow(weights, d);
        // Parts by shape alone, added in order: the bits do not depend on threads.
        let part = n.div_ceil(16).max(64);
        let parts: Vec<(f64, Vec<f32>, Vec<f64>)> = self
            .set
            .rows
            .par_chunks(part * d)
            .zip(self.set.labels.par_chunks(part))
            .map(|(rows, labels)| {
                let m = labels.len();
                let logits = logits(rows, &narrow, &shifts, d);
                // Class-major, so that the gradient is a plain product.
                let mut residuals = vec![0.0_f32; c * m];
                let (mut loss, mut of_shifts) = (0.0, vec![0.0; c]);
                for (i, (logits, &label)) in logits.chunks_exact(c).zip(labels).enumerate() {
                    loss += of_row(logits, label as usize, |class, residual| {
                        let residual = residual / n as f64;
                        residuals[class * m + i] = residual as f32;
                        of_shifts[class] += residual;
                    });
                }
                let mut gradient = vec![0.0_f32; c * d];
                add_weighted_rows(&residuals, rows, m, d, &mut gradient);
                (loss, gradient, of_shifts)
            })
            .collect();
        let (mut value, mut gradient) = (0.0, vec![0.0_f64; c * (d + 1)]);
        for (loss, of_weights, of_shifts) in parts {
            value += loss / n as f64;
            for ((sum, weights), shift) in
                gradient.chunks_exact_mut(d + 1).zip(of_weights.chunks_exact(d)).zip(of_shifts)
            {
                sum.iter_mut().zip(weights).for_each(|(sum, g)| *sum += f64::from(*g));
                sum[d] += shift;
            }
        }
        for (weights, gradient) in weights.chunks_exact(d + 1).zip(gradient.chunks_exact_mut(d + 1)) {
            for (w, g) in weights[..d].iter().zip(gradient) {
                value += 0.5 * self.penalty * w * w;
                *g += self.penalty * w;
            }
        }
        (value, gradient)
    }
}

/// L-BFGS (Nocedal 1980) with backtracking, for a convex function, until the gradient's norm is at most `tolerance`;
/// returns the point, the iterations, and the norm that was reached.
///
/// Values of `f` are rounded, and near the minimum rounding hides their descent. There the slope decides (the
/// approximate Wolfe condition of Hager and Zhang 2005): a convex function's slope along a line grows, so a step after
/// which it is not as steep upwards as it was downwards did not pass the minimum by far.
fn minimize(
    f: impl Fn(&[f64]) -> (f64, Vec<f64>),
    mut x: Vec<f64>,
    tolerance: f64,
) -> (Vec<f64>, usize, f64) {
    let (mut value, mut gradient) = f(&x);
    let mut pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
    for iteration in 0..MOST_ITERATIONS {
        if norm(&gradient) <= tolerance {
            return (x, iteration, norm(&gradient));
        }
        let mut direction = descent(&gradient, &pairs);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            pairs.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = -dot(&gradient, &gradient);
        }
        let mut step = if pairs.is_empty() { 1.0 / norm(&gradient).max(1.0) } else { 1.0 };
        let (next, next_value, next_gradient) = loop {
            let next: Vec<f64> = x.iter().zip(&direction).map(|(x, p)| x + step * p).collect();
            let (next_value, next_gradient) = f(&next);
            let descends = next_value <= value + 1e-4 * step * slope;
            let level = next_value <= value + 1e-6 * value.abs();
            if descends || level && dot(&direction, &next_gradient) <= -0.8 * slope {
                break (next, next_value, next_gradient);
            }
            step *= 0.5;
            if step < 1e-10 {
                return (x, iteration, norm(&gradient));
            }
        };
        let moved: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let turned: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&moved, &turned);
        if curvature > 1e-12 * dot(&turned, &turned) {
            if pairs.len() == MEMORY {
                pairs.pop_front();
            }
            pairs.push_back((moved, turned, curvature));
        }
        (x, value, gradient) = (next, next_value, next_gradient);
    }
    let reached = norm(&gradient);
    (x, MOST_ITERATIONS, reached)
}

/// −H g by the two loops.
fn descent(gradient: &[f64], pairs: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut factors = Vec::with_capacity(pairs.len());
    for (moved, turned, curvature) in pairs.iter().rev() {
        let factor = dot(moved, &q) / curvature;
        q.iter_mut().zip(turned).for_each(|(q, y)| *q -= factor * y);
        factors.push(factor);
    }
    if let Some((_, turned, curvature)) = pairs.back() {
        let scale = curvature / dot(turned, turned);
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((moved, turned, curvature), factor) in pairs.iter().zip(factors.iter().rev()) {
        let other = dot(turned, &q) / curvature;
        q.iter_mut().zip(moved).for_each(|(q, s)| *q += (factor - other) * s);
    }
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}
