//! The definition: f64, plain loops over every ordered pair, the whole matrix of cosines kept.
//!
//! N images, K views, m = K·N rows; row p = view·N + image.

use super::{Batch, Engine, Value, finish, focus_weights};
use crate::loss::{Anchors, Link, Loss, Term};
use crate::{Error, Points, Scalar};

/// Every value and gradient as its formula says. For tests and small inputs: O(m²) memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl<T: Scalar> Engine<T> for Reference {
    fn add_grad(&self, loss: &Loss, views: &[Points<'_, T>], grads: &mut [&mut [T]]) -> Result<Value, Error> {
        let batch = Batch::check(loss, views, grads)?;
        let rows: Vec<Vec<f64>> = views
            .iter()
            .flat_map(|view| (0..batch.images).map(|i| view.row(i).iter().map(|x| x.to_f64()).collect()))
            .collect();
        let m = rows.len();
        let cosines: Vec<Vec<f64>> =
            (0..m).map(|p| (0..m).map(|q| dot(&rows[p], &rows[q])).collect()).collect();

        // slopes[p][q] = ∂L/∂s_pq with p as anchor; the gradient of row p gathers both orders.
        let mut slopes = vec![vec![0.0; m]; m];
        let terms: Vec<f64> =
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
        finish(loss, terms, grads)
    }
}

/// The term's value, weight included; adds its ∂L/∂s to `slopes`.
fn add_term(batch: Batch, term: &Term, cosines: &[Vec<f64>], slopes: &mut [Vec<f64>]) -> f64 {
    let n = batch.images;
    let anchors = match term.anchors {
        Anchors::AllViews => 0..batch.views * n,
        Anchors::FirstView => 0..n,
    };
    let pairs_of = |p: usize| -> Vec<usize> {
        (0..batch.views * n).filter(|&q| term.pairs.contains(p / n == q / n, p % n == q % n)).collect()
    };
    let factor = term.pair_factor(n, batch.views);
    match term.link {
        Link::Mean | Link::RowSum => {
            let focus: Option<Vec<f64>> = term.focus.map(|sigma| {
                (0..term.anchor_views(batch.views))
                    .flat_map(|view| {
                        let matched: Vec<f64> =
                            (0..n).map(|i| cosines[view * n + i][(1 - view) * n + i]).collect();
                        focus_weights(&matched, sigma)
                    })
                    .collect()
            });
            let mut value = 0.0;
            for p in anchors {
                let weight = focus.as_ref().map_or(1.0, |weights| weights[p]);
                for q in pairs_of(p) {
                    let (cost, slope) = term.kernel.at(cosines[p][q]);
                    value += factor * weight * cost;
                    slopes[p][q] += factor * weight * slope;
                }
            }
            value
        }
        Link::RowLogSum => {
            let mut value = 0.0;
            for p in anchors {
                let pairs = pairs_of(p);
                let logs: Vec<(f64, f64)> = pairs.iter().map(|&q| term.kernel.ln_at(cosines[p][q])).collect();
                let log_sum = log_sum_exp(logs.iter().map(|(ln, _)| *ln));
                value += factor * log_sum;
                for (q, (ln, ratio)) in pairs.into_iter().zip(logs) {
                    slopes[p][q] += factor * (ln - log_sum).exp() * ratio;
                }
            }
            value
        }
        Link::LogMean => {
            let mut value = 0.0;
            for view in 0..term.anchor_views(batch.views) {
                let pairs: Vec<(usize, usize)> = (view * n..(view + 1) * n)
                    .flat_map(|p| pairs_of(p).into_iter().map(move |q| (p, q)))
                    .collect();
                let logs: Vec<(f64, f64)> =
                    pairs.iter().map(|&(p, q)| term.kernel.ln_at(cosines[p][q])).collect();
                let log_sum = log_sum_exp(logs.iter().map(|(ln, _)| *ln));
                value += factor * (log_sum - (pairs.len() as f64).ln());
                for ((p, q), (ln, ratio)) in pairs.into_iter().zip(logs) {
                    slopes[p][q] += factor * (ln - log_sum).exp() * ratio;
                }
            }
            value
        }
    }
}

/// log Σ e^x with the largest x taken out.
fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let top = values.clone().fold(f64::NEG_INFINITY, f64::max);
    top + values.map(|x| (x - top).exp()).sum::<f64>().ln()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| a * b).sum()
}
