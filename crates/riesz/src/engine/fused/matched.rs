//! Terms over matched pairs alone: O(K²Nd), and no tile.

use crate::engine::{Batch, focus_weights};
use crate::loss::Term;
use crate::rows::{add_scaled, dots};
use crate::{Points, Scalar};

/// The term's value; adds its gradient. Dot products are in `f64`.
pub(super) fn add<T: Scalar>(
    batch: Batch,
    term: &Term,
    views: &[Points<'_, T>],
    grads: &mut [&mut [T]],
) -> f64 {
    let (factor, d) = (term.pair_factor(batch.images, batch.views), batch.dim);
    let anchors = term.anchor_views(batch.views);
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
            dots(u, v, d, &mut cosines);
            let focus = term.focus.map(|sigma| focus_weights(&cosines, sigma));
            let mut pulls = Vec::with_capacity(batch.images);
            for (i, &s) in cosines.iter().enumerate() {
                let weight = orders * factor * focus.as_ref().map_or(1.0, |weights| weights[i]);
                let (cost, slope) = term.kernel.at(s);
                value += weight * cost;
                pulls.push(T::from_f64(weight * slope));
            }
            let (before, after) = grads.split_at_mut(second);
            add_scaled(&pulls, v, d, before[first]);
            add_scaled(&pulls, u, d, after[0]);
        }
    }
    value
}
