//! The definition: f64, plain loops over every ordered pair, the whole matrix of cosines kept.
//!
//! N images, K views, m = K·N rows; row p = view·N + image.

use super::groups::Groups;
use super::{Batch, Engine, Sums, Value, finish, focus_weights};
use crate::loss::{Link, Loss, Term};
use crate::{Error, Points, Scalar};

/// Every value and gradient as its formula says. For tests and small inputs: O(m²) memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reference;

impl<T: Scalar> Engine<T> for Reference {
    fn add_grad_grouped(
        &self,
        loss: &Loss,
        views: &[Points<'_, T>],
        groups: Option<&[u32]>,
        grads: &mut [&mut [T]],
    ) -> Result<Value, Error> {
        let groups = Groups::new(groups, views.first().map_or(0, |view| view.len()));
        let batch = Batch::check(loss, views, groups.as_ref(), grads)?;
        let rows: Vec<Vec<f64>> = views
            .iter()
            .flat_map(|view| (0..batch.images).map(|i| view.row(i).iter().map(|x| x.to_f64()).collect()))
            .collect();
        let m = rows.len();
        // A row's with itself is 1 whatever rounding makes of it: a kernel may be steep there.
        let cosine = |p: usize, q: usize| if p == q { 1.0 } else { dot(&rows[p], &rows[q]) };
        let cosines: Vec<Vec<f64>> = (0..m).map(|p| (0..m).map(|q| cosine(p, q)).collect()).collect();

        // slopes[p][q] = ∂L/∂s_pq with p as anchor; the gradient of row p gathers both orders.
        let mut slopes = vec![vec![0.0; m]; m];
        let sums: Vec<Sums> =
            loss.terms.iter().map(|term| add_term(batch, term, &cosines, &mut slopes)).collect();

        for p in 0..m {
            let mut sum = vec![0.0; batch.dim];
            for q in 0..m {
                let w = slopes[p][q] + slopes[q][p];
                if w != 0.0 {
                    for (total, x) in sum.iter_mut().zip(&rows[q]) {
                        *total += w * x;
                    }
                }
            }
            let grad = grads[p / batch.images].chunks_exact_mut(batch.dim).nth(p % batch.images);
            for (g, total) in grad.into_iter().flatten().zip(sum) {
                *g += T::from_f64(total);
            }
        }
        finish(batch, loss, views, &sums, grads)
    }
}

/// The term's value, weight included, and Σ ∂L/∂s; adds its ∂L/∂s to `slopes`.
fn add_term(batch: Batch<'_>, term: &Term, cosines: &[Vec<f64>], slopes: &mut [Vec<f64>]) -> Sums {
    let (n, m) = (batch.images, batch.views * batch.images);
    let group = |image: usize| batch.groups.map_or(image as u32, |groups| groups.of[image]);
    let is_pair =
        |p: usize, q: usize| term.pairs.contains(p == q, group(p % n) == group(q % n), p / n == q / n);
    let anchors = term.anchor_views(batch.views) * n;
    let pairs_of = |p: usize| (0..m).filter(move |&q| is_pair(p, q)).map(move |q| (p, q));
    let factor = batch.pair_factor(term);
    let mut sums = Sums::default();
    if !term.link.is_logarithmic() {
        let focus: Option<Vec<f64>> = term.focus.map(|sigma| {
            (0..term.anchor_views(batch.views))
                .flat_map(|view| {
                    let matched: Vec<f64> =
                        (0..n).map(|i| cosines[view * n + i][(1 - view) * n + i]).collect();
                    focus_weights(&matched, sigma)
                })
                .collect()
        });
        for p in 0..anchors {
            let weight = focus.as_ref().map_or(1.0, |weights| weights[p]);
            let factor = factor * batch.share(term, p % n) * weight;
            for (p, q) in pairs_of(p) {
                let (cost, slope) = term.kernel.at_rounded(cosines[p][q]);
                sums += Sums { value: factor * cost, slope: factor * slope };
                slopes[p][q] += factor * slope;
            }
        }
        return sums;
    }
    // The anchors whose pairs are summed in one logarithm.
    let joined: Vec<Vec<usize>> = match term.link {
        Link::ImageLogSum => (0..n).map(|i| (i..anchors).step_by(n).collect()).collect(),
        Link::LogMean => (0..anchors / n).map(|view| (view * n..(view + 1) * n).collect()).collect(),
        _ => (0..anchors).map(|p| vec![p]).collect(),
    };
    for anchors in joined {
        let pairs: Vec<(usize, usize)> = anchors.into_iter().flat_map(pairs_of).collect();
        let logs: Vec<(f64, f64)> =
            pairs.iter().map(|&(p, q)| term.kernel.ln_at_rounded(cosines[p][q])).collect();
        let log_sum = log_sum_exp(logs.iter().map(|(ln, _)| *ln));
        let of_count = if term.link.is_log_mean() { (pairs.len() as f64).ln() } else { 0.0 };
        sums.value += factor * (log_sum - of_count);
        for ((p, q), (ln, ratio)) in pairs.into_iter().zip(logs) {
            let slope = factor * (ln - log_sum).exp() * ratio;
            sums.slope += slope;
            slopes[p][q] += slope;
        }
    }
    sums
}

/// log Σ e^x with the largest x taken out.
fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let top = values.clone().fold(f64::NEG_INFINITY, f64::max);
    top + values.map(|x| (x - top).exp()).sum::<f64>().ln()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| a * b).sum()
}
