//! Any loss of K views of free points, by the fused engine.

use super::columns::Shape;
use super::lbfgs::Objective;
use crate::Points;
use crate::engine::{Engine, Fused};
use crate::loss::Loss;

/// A loss of points by coordinate: view after view, or one set that is every view.
pub(super) struct Views<'a> {
    pub(super) shape: Shape,
    pub(super) loss: &'a Loss,
    pub(super) views: usize,
    /// Whether all views are the same points.
    pub(super) tied: bool,
}

impl Objective for Views<'_> {
    fn evaluate(&mut self, x: &[f64], gradient: &mut [f64]) -> (f64, f64) {
        let Self { shape, loss, views, tied } = *self;
        let rows = self.shape.rows(x);
        let size = if tied { rows.as_slice().len() } else { rows.as_slice().len() / views };
        let view = |k: usize| if tied { 0 } else { k * size };
        let points: Vec<Points<'_, f64>> = (0..views)
            .map(|k| Points::normalized(&rows.as_slice()[view(k)..view(k) + size], shape.dim))
            .collect();
        let mut grads = vec![vec![0.0; size]; views];
        let mut slices: Vec<&mut [f64]> = grads.iter_mut().map(Vec::as_mut_slice).collect();
        let Ok(value) = Fused.add_grad(loss, &points, &mut slices) else {
            return (f64::INFINITY, f64::INFINITY);
        };
        gradient.fill(0.0);
        let images = size / shape.dim;
        for (k, grad) in grads.iter().enumerate() {
            for (i, row) in grad.chunks_exact(shape.dim).enumerate() {
                let point = if tied { i } else { k * images + i };
                for (c, g) in row.iter().enumerate() {
                    gradient[c * shape.stride + point] += g;
                }
            }
        }
        (value.value, value.terms.iter().map(|term| term.abs()).sum())
    }
}
