//! Terms over matched pairs alone: O(K²Nd), and no tile.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::elementary::widest;
use crate::engine::{Batch, focus_weights};
use crate::loss::Term;
use crate::{Matrix, Points, Scalar};

/// Images that one thread takes at once.
const IMAGES: usize = 512;
/// Independent sums within one dot product.
const LANES: usize = 16;

/// The term's value; adds its gradient. Dot products are in `f64`.
pub(super) fn add<T: Scalar>(
    batch: Batch,
    term: &Term,
    views: &[Points<'_, T>],
    threaded: bool,
    grads: &mut [Matrix<T>],
) -> f64 {
    let (factor, d) = (batch.pair_factor(term), batch.dim);
    let anchors = batch.anchor_views(term);
    let mut value = 0.0;
    for second in 1..batch.views {
        for first in 0..second {
            // Both orders of a pair have the same cosine, and the same focus.
            let orders = f64::from(u8::from(first < anchors) + u8::from(second < anchors));
            if orders == 0.0 {
                continue;
            }
            let (u, v) = (views[first].as_slice(), views[second].as_slice());
            let mut cosines = vec![0.0; batch.images];
            let chunk =
                |((x, y), cosines): ((&[T], &[T]), &mut [f64])| widest(Dots { x, y, dim: d, cosines });
            let chunks = u.chunks(IMAGES * d).zip(v.chunks(IMAGES * d)).zip(cosines.chunks_mut(IMAGES));
            for_each(threaded, chunks, chunk);
            let focus = term.focus.map(|sigma| focus_weights(&cosines, sigma));
            let mut pulls = Vec::with_capacity(batch.images);
            for (i, &s) in cosines.iter().enumerate() {
                let weight = orders * factor * focus.as_ref().map_or(1.0, |weights| weights[i]);
                let (cost, slope) = term.kernel.at(s);
                value += weight * cost;
                pulls.push(T::from_f64(weight * slope));
            }
            let (before, after) = grads.split_at_mut(second);
            for (grad, pulled_to) in [(&mut before[first], v), (&mut after[0], u)] {
                let chunk = |((grad, x), pulls): ((&mut [T], &[T]), &[T])| {
                    widest(AddScaled { pulls, x, dim: d, grad });
                };
                let chunks = grad.as_mut_slice().chunks_mut(IMAGES * d).zip(pulled_to.chunks(IMAGES * d));
                let chunks = chunks.zip(pulls.chunks(IMAGES));
                for_each(threaded, chunks, chunk);
            }
        }
    }
    value
}

/// Calls `work` for each item, on threads or not. Items write to places of their own.
fn for_each<I: Send>(threaded: bool, items: impl Iterator<Item = I>, work: impl Fn(I) + Sync + Send) {
    if threaded {
        items.collect::<Vec<_>>().into_par_iter().for_each(work);
    } else {
        items.for_each(work);
    }
}

/// cosines_i = ⟨x_i, y_i⟩.
struct Dots<'a, T> {
    x: &'a [T],
    y: &'a [T],
    dim: usize,
    cosines: &'a mut [f64],
}

impl<T: Scalar> WithSimd for Dots<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.x.chunks_exact(self.dim).zip(self.y.chunks_exact(self.dim));
        for ((x, y), cosine) in rows.zip(self.cosines) {
            let mut lanes = [0.0; LANES];
            let (x, y) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
            let mut dot = 0.0;
            for (a, b) in x.remainder().iter().zip(y.remainder()) {
                dot += a.to_f64() * b.to_f64();
            }
            for (a, b) in x.zip(y) {
                for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                    *lane += a.to_f64() * b.to_f64();
                }
            }
            for lane in lanes {
                dot += lane;
            }
            *cosine = dot;
        }
    }
}

/// grad_i += pull_i x_i.
struct AddScaled<'a, T> {
    pulls: &'a [T],
    x: &'a [T],
    dim: usize,
    grad: &'a mut [T],
}

impl<T: Scalar> WithSimd for AddScaled<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.grad.chunks_exact_mut(self.dim).zip(self.x.chunks_exact(self.dim));
        for ((grad, x), &pull) in rows.zip(self.pulls) {
            for (g, &x) in grad.iter_mut().zip(x) {
                *g = pull.mul_add::<S>(x, *g);
            }
        }
    }
}
