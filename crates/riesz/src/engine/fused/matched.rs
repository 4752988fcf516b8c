//! Terms over the matched pairs of a batch without groups: O(K²Nd), and no tile.

use crate::engine::{Batch, Sums, focus_weights};
use crate::loss::{Link, Term};
use crate::rows::{add_scaled, dots};
use crate::{Points, Scalar};

/// The matched pairs of two views, all images of them.
struct Matches {
    first: usize,
    second: usize,
    /// How many of the two are anchors. Both orders of a pair have the same cosine.
    orders: f64,
    /// Of each image; and in their place at last W_pq + W_qp.
    cosines: Vec<f64>,
}

/// The term's value and Σ ∂L/∂s; adds its gradient, if there is one. Dot products are in `f64`.
pub(super) fn add<T: Scalar>(
    batch: Batch<'_>,
    term: &Term,
    views: &[Points<'_, T>],
    grads: &mut [&mut [T]],
) -> Sums {
    let (anchors, d) = (term.anchor_views(batch.views), batch.dim);
    let pairs = (1..batch.views).flat_map(|second| (0..second).map(move |first| (first, second)));
    let mut matches: Vec<Matches> = pairs
        .filter(|&(first, _)| first < anchors)
        .map(|(first, second)| {
            let mut cosines = vec![0.0; batch.images];
            dots(views[first].as_slice(), views[second].as_slice(), d, &mut cosines);
            Matches { first, second, orders: if second < anchors { 2.0 } else { 1.0 }, cosines }
        })
        .collect();
    let value = if term.link.is_logarithmic() {
        weigh_joined(batch, term, &mut matches)
    } else {
        weigh_each(batch, term, &mut matches)
    };
    let mut slope = 0.0;
    for Matches { first, second, cosines: weights, .. } in &matches {
        slope += weights.iter().sum::<f64>();
        if grads.is_empty() {
            continue;
        }
        let weights: Vec<T> = weights.iter().map(|&weight| T::from_f64(weight)).collect();
        let (before, after) = grads.split_at_mut(*second);
        add_scaled(&weights, views[*second].as_slice(), d, before[*first]);
        add_scaled(&weights, views[*first].as_slice(), d, after[0]);
    }
    Sums { value, slope }
}

/// Turns cosines into weights and returns the value, for links without a logarithm.
fn weigh_each(batch: Batch<'_>, term: &Term, matches: &mut [Matches]) -> f64 {
    let factor = batch.pair_factor(term);
    let mut value = 0.0;
    for Matches { orders, cosines, .. } in matches {
        let focus = term.focus.map(|sigma| focus_weights(cosines, sigma));
        for (i, cell) in cosines.iter_mut().enumerate() {
            let weight = *orders * factor * focus.as_ref().map_or(1.0, |weights| weights[i]);
            let (cost, slope) = term.kernel.at_rounded(*cell);
            value += weight * cost;
            *cell = weight * slope;
        }
    }
    value
}

/// The same for links with one: each logarithm joins the pairs anchored in a row, an image or a view.
fn weigh_joined(batch: Batch<'_>, term: &Term, matches: &mut [Matches]) -> f64 {
    let (anchors, images, factor) = (term.anchor_views(batch.views), batch.images, batch.pair_factor(term));
    let place = |view: usize, image: usize| match term.link {
        Link::ImageLogSum => image,
        Link::LogMean => view,
        _ => view * images + image,
    };
    let logarithms = place(anchors - 1, images - 1) + 1;
    // Calls `with` for every anchor of a pair: where its pair is joined, and ln κ.
    let for_each = |matches: &[Matches], with: &mut dyn FnMut(usize, f64)| {
        for Matches { first, second, cosines, .. } in matches {
            for view in [*first, *second].into_iter().filter(|&view| view < anchors) {
                for (image, &s) in cosines.iter().enumerate() {
                    with(place(view, image), term.kernel.ln_at_rounded(s).0);
                }
            }
        }
    };
    let mut top = vec![f64::NEG_INFINITY; logarithms];
    for_each(matches, &mut |place, ln| top[place] = top[place].max(ln));
    let (mut sum, mut count) = (vec![0.0; logarithms], vec![0_usize; logarithms]);
    for_each(matches, &mut |place, ln| {
        sum[place] += (ln - top[place]).exp();
        count[place] += 1;
    });
    let mut value = 0.0;
    for ((&top, &sum), &count) in top.iter().zip(&sum).zip(&count) {
        let of_count = if term.link.is_log_mean() { (count as f64).ln() } else { 0.0 };
        value += factor * (top + sum.ln() - of_count);
    }
    for Matches { first, second, cosines, .. } in matches {
        for (image, cell) in cosines.iter_mut().enumerate() {
            let (ln, ratio) = term.kernel.ln_at_rounded(*cell);
            let ends = [*first, *second].into_iter().filter(|&view| view < anchors);
            let share: f64 =
                ends.map(|view| place(view, image)).map(|place| (ln - top[place]).exp() / sum[place]).sum();
            *cell = factor * ratio * share;
        }
    }
    value
}
