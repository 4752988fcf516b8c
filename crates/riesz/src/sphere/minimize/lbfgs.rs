//! Riemannian L-BFGS on a product of spheres: retraction by division, vector transport by projection, and a line search
//! for the strong Wolfe conditions that goes on where the value no longer resolves the descent.
//!
//! Near a minimum the value changes by less than its rounding long before the gradient does. There a step is accepted by
//! its slope alone (the approximate Wolfe condition of Hager and Zhang, SIAM J. Optim. 2005), so that the gradient goes to
//! the floor of f64. After each step the remembered steps and gradient changes are projected onto the new tangent space.

use std::collections::VecDeque;

use pulp::{Simd, WithSimd};

use super::columns::{Shape, add_and_dot, dot, longest, project_both, retract, tangent};
use super::{End, Settings, Step};
use crate::elementary::widest;

/// What is minimized.
pub(super) trait Objective {
    /// (value, what its rounding is relative to) at points by coordinate; their gradient in ℝᵈ goes to `gradient`. The
    /// value is not finite where there is none.
    fn evaluate(&mut self, x: &[f64], gradient: &mut [f64]) -> (f64, f64);
}

/// Sufficient decrease, and the share of the slope that may remain.
const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
/// What a value's last digits are not believed, relative to its scale.
const NOISE: f64 = 1e-14;
/// Pairs that can be remembered.
const MEMORY: usize = 64;
/// Below, the squares of a gradient are 0 in f64.
pub(super) const VANISHED: f64 = 1e-140;
/// Evaluations of one line search at most.
const TRIALS: usize = 40;
/// Iterations without a lower value or gradient after which rounding is all that is left.
const IDLE: usize = 100;

/// A point of the descent.
struct Place {
    x: Vec<f64>,
    gradient: Vec<f64>,
    value: f64,
    scale: f64,
    /// ‖gradient‖.
    norm: f64,
}

/// How a descent ended.
pub(super) struct Descent {
    pub(super) x: Vec<f64>,
    pub(super) value: f64,
    pub(super) scale: f64,
    pub(super) gradient: f64,
    pub(super) iterations: usize,
    pub(super) evaluations: usize,
    pub(super) end: End,
}

/// A step and what it did to the gradient, both tangent at the present place.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// ⟨step, change⟩.
    curvature: f64,
}

/// Descends from `x`; `watch` sees each step before it is made and may stop it.
pub(super) fn descend(
    shape: Shape,
    objective: &mut dyn Objective,
    x: Vec<f64>,
    settings: Settings,
    watch: &mut dyn FnMut(&Step<'_>) -> bool,
) -> Descent {
    let mut search = Search {
        shape,
        objective,
        direction: vec![0.0; shape.len()],
        inverse: vec![1.0; shape.stride],
        trial: vec![0.0; shape.len()],
        trial_gradient: vec![0.0; shape.len()],
        evaluations: 0,
    };
    let mut place = search.begin(x);
    let mut pairs: VecDeque<Pair> = VecDeque::new();
    let mut spare: Vec<Pair> = Vec::new();
    let mut best = (place.norm, place.value, place.x.clone());
    let (mut iterations, mut idle) = (0, 0);
    let end = loop {
        if !place.value.is_finite() {
            break End::Infinite;
        }
        if place.value.abs() < VANISHED && place.norm == 0.0 {
            break End::Flat;
        }
        if place.norm <= settings.tolerance * place.value.abs() {
            break End::Converged;
        }
        if iterations >= settings.iterations {
            break End::Iterations;
        }
        let step = Step {
            iteration: iterations,
            value: place.value,
            gradient: place.norm,
            shape,
            columns: &place.x,
        };
        if !watch(&step) {
            break End::Stopped;
        }
        let slope = widest(Direction { gradient: &place.gradient, pairs: &pairs, to: &mut search.direction });
        let steepest = pairs.is_empty() || slope >= -1e-12 * place.norm * place.norm.sqrt();
        let slope = if slope < 0.0 {
            slope
        } else {
            pairs.clear();
            search.direction.iter_mut().zip(&place.gradient).for_each(|(p, g)| *p = -g);
            -place.norm * place.norm
        };
        let first = if pairs.is_empty() {
            // A tenth of the distance between neighbors.
            let apart = (shape.points as f64).powf(-1.0 / (shape.dim as f64 - 1.0).max(1.0));
            0.1 * apart / longest(shape, &search.direction).max(f64::MIN_POSITIVE)
        } else {
            1.0
        };
        let Some((step, value, scale, norm)) = search.line(&place, slope, first) else {
            if steepest {
                break End::Floor;
            }
            pairs.clear();
            continue;
        };
        let mut pair =
            if pairs.len() >= settings.memory.clamp(1, MEMORY) { pairs.pop_front() } else { spare.pop() }
                .unwrap_or_else(|| Pair {
                    step: vec![0.0; shape.len()],
                    change: vec![0.0; shape.len()],
                    curvature: 0.0,
                });
        pair.step.iter_mut().zip(&search.direction).for_each(|(to, p)| *to = step * p);
        pair.change.copy_from_slice(&place.gradient);
        let lower = value < place.value - NOISE * scale;
        std::mem::swap(&mut place.x, &mut search.trial);
        std::mem::swap(&mut place.gradient, &mut search.trial_gradient);
        (place.value, place.scale, place.norm) = (value, scale, norm);
        let curved = widest(Transport {
            shape,
            x: &place.x,
            gradient: &place.gradient,
            latest: &mut pair,
            pairs: &mut pairs,
        });
        if curved {
            pairs.push_back(pair);
        } else {
            spare.push(pair);
        }
        iterations += 1;
        let better = lower || norm < best.0;
        idle = if better { 0 } else { idle + 1 };
        if better {
            (best.0, best.1) = (norm, value);
            best.2.copy_from_slice(&place.x);
        }
        if idle > IDLE {
            break End::Floor;
        }
    };
    if end == End::Floor {
        (place.norm, place.value, place.x) = best;
    }
    let evaluations = search.evaluations;
    Descent {
        x: place.x,
        value: place.value,
        scale: place.scale,
        gradient: place.norm,
        iterations,
        evaluations,
        end,
    }
}

struct Search<'a> {
    shape: Shape,
    objective: &'a mut dyn Objective,
    direction: Vec<f64>,
    inverse: Vec<f64>,
    trial: Vec<f64>,
    trial_gradient: Vec<f64>,
    evaluations: usize,
}

/// A trial step: its length, value and slope.
#[derive(Clone, Copy)]
struct Trial {
    step: f64,
    value: f64,
    slope: f64,
}

impl Search<'_> {
    fn begin(&mut self, x: Vec<f64>) -> Place {
        let mut gradient = vec![0.0; self.shape.len()];
        let (value, scale) = self.objective.evaluate(&x, &mut gradient);
        self.evaluations = 1;
        let (square, _) = tangent(self.shape, &x, &mut gradient, &x, &self.inverse);
        Place { x, gradient, value, scale, norm: square.sqrt() }
    }

    /// A step along the direction that satisfies the strong Wolfe conditions, or the approximate one: (step, value, scale,
    /// gradient norm), the place and its gradient left in `trial` and `trial_gradient`. None if there is no such step.
    fn line(&mut self, from: &Place, slope: f64, first: f64) -> Option<(f64, f64, f64, f64)> {
        let noise = NOISE * from.scale;
        let mut low = Trial { step: 0.0, value: from.value, slope };
        let mut high: Option<Trial> = None;
        let mut step = first;
        for _ in 0..TRIALS {
            retract(self.shape, &from.x, step, &self.direction, &mut self.trial, &mut self.inverse);
            let (value, scale) = self.objective.evaluate(&self.trial, &mut self.trial_gradient);
            self.evaluations += 1;
            let (square, along) =
                tangent(self.shape, &self.trial, &mut self.trial_gradient, &self.direction, &self.inverse);
            let now = Trial { step, value, slope: along };
            let finite = value.is_finite() && square.is_finite();
            if finite && along.abs() <= -CURVATURE * slope {
                let enough = value <= from.value + DECREASE * step * slope;
                if enough || (value <= from.value + noise && along <= -0.8 * slope) {
                    return Some((step, value, scale, square.sqrt()));
                }
            }
            if !finite || value > from.value + noise || along >= 0.0 {
                high = Some(now);
            } else {
                low = now;
            }
            let next = match high {
                None => 2.0 * step,
                Some(high) => between(low, high),
            };
            if next == step || high.is_some_and(|high| high.step - low.step < 1e-15 * high.step) {
                return None;
            }
            step = next;
        }
        None
    }
}

/// Inside an interval: the minimum of the cubic through both values and slopes, kept a tenth away from the ends; the middle
/// where one is not finite.
fn between(low: Trial, high: Trial) -> f64 {
    let width = high.step - low.step;
    let middle = low.step + 0.5 * width;
    if !high.value.is_finite() || !high.slope.is_finite() {
        return low.step + 0.2 * width;
    }
    let inner = low.slope + high.slope - 3.0 * (high.value - low.value) / width;
    let square = inner * inner - low.slope * high.slope;
    if square < 0.0 {
        return middle;
    }
    let root = square.sqrt();
    let share = (root - low.slope + inner) / (high.slope - low.slope + 2.0 * root);
    // Where values have no digits left, the secant of the slopes.
    let share = if share.is_finite() { share } else { -low.slope / (high.slope - low.slope) };
    if share.is_finite() { low.step + share.clamp(0.1, 0.9) * width } else { middle }
}

/// −H g by the two loops over remembered pairs; gives its slope ⟨g, −H g⟩.
struct Direction<'a> {
    gradient: &'a [f64],
    pairs: &'a VecDeque<Pair>,
    to: &'a mut [f64],
}

impl WithSimd for Direction<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let Self { gradient, pairs, to } = self;
        to.iter_mut().zip(gradient).for_each(|(p, g)| *p = -g);
        let Some(latest) = pairs.back() else { return -dot(simd, gradient, gradient) };
        // Each pass over `to` adds what the one before found, and takes the product that the next one needs.
        let mut shares = [0.0; MEMORY];
        let mut product = dot(simd, &latest.step, to);
        for (k, pair) in pairs.iter().enumerate().rev() {
            shares[k] = product / pair.curvature;
            let next = if k > 0 { &pairs[k - 1].step } else { &pair.change };
            product = add_and_dot(simd, 1.0, to, -shares[k], &pair.change, next);
        }
        let mut scale = latest.curvature / dot(simd, &latest.change, &latest.change);
        product *= scale;
        for (k, pair) in pairs.iter().enumerate() {
            let back = product / pair.curvature;
            let next = pairs.get(k + 1).map_or(gradient, |next| &next.change);
            product = add_and_dot(simd, scale, to, shares[k] - back, &pair.step, next);
            scale = 1.0;
        }
        product
    }
}

/// Carries everything remembered to the tangent space at `x`. `latest` comes with the step and the old gradient, and
/// leaves with the change of the gradient; gives whether its curvature is positive.
struct Transport<'a> {
    shape: Shape,
    x: &'a [f64],
    gradient: &'a [f64],
    latest: &'a mut Pair,
    pairs: &'a mut VecDeque<Pair>,
}

impl WithSimd for Transport<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let Self { shape, x, gradient, latest, pairs } = self;
        for pair in pairs.iter_mut() {
            pair.curvature = project_both(simd, shape, x, &mut pair.step, &mut pair.change);
        }
        project_both(simd, shape, x, &mut latest.step, &mut latest.change);
        latest.change.iter_mut().zip(gradient).for_each(|(change, g)| *change = g - *change);
        latest.curvature = dot(simd, &latest.step, &latest.change);
        let lengths = dot(simd, &latest.step, &latest.step) * dot(simd, &latest.change, &latest.change);
        // A pair that the projection has turned over is of no more use.
        pairs.retain(|pair| pair.curvature > 0.0);
        latest.curvature > 1e-10 * lengths.sqrt()
    }
}
