//! Terms over matched pairs alone: O(K²Nd), and no matrix.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use riesz::loss::Link;

use super::form::Ratio;
use super::{Planned, Sums, log_sum, log_sum_of_all};

/// The matched pairs of two views, all images of them.
struct Matches {
    first: usize,
    second: usize,
    /// Cosines, [N, 1]. Both orders of a pair have the same one.
    cosines: Tensor<2>,
}

/// The term's sums; adds the gradient of the unit rows to `grads`.
pub(super) fn add(plan: &Planned<'_>, views: &[Tensor<2>], grads: &mut [Tensor<2>]) -> Sums {
    let pairs = (1..views.len()).flat_map(|second| (0..second).map(move |first| (first, second)));
    let matches: Vec<Matches> = pairs
        .filter(|&(first, _)| first < plan.anchor_views)
        .map(|(first, second)| {
            let cosines = (views[first].clone() * views[second].clone()).sum_dim(1);
            Matches { first, second, cosines }
        })
        .collect();
    let (value, weights) = if plan.term.link.is_logarithmic() {
        weigh_joined(plan, &matches)
    } else {
        weigh_each(plan, &matches)
    };
    let slope = Tensor::cat(weights.clone(), 0);
    for (Matches { first, second, .. }, weights) in matches.iter().zip(weights) {
        let (u, v) = (views[*first].clone(), views[*second].clone());
        grads[*first] = grads[*first].clone() + weights.clone() * v;
        grads[*second] = grads[*second].clone() + weights * u;
    }
    Sums { value, slope }
}

/// κ of the ordered pairs, weighted by the term's focus, [n, 1], and the weights W_pq + W_qp of each two views, [N, 1].
fn weigh_each(plan: &Planned<'_>, matches: &[Matches]) -> (Tensor<2>, Vec<Tensor<2>>) {
    let mut sums = Vec::new();
    let weights = matches
        .iter()
        .map(|of_views| {
            let (cosines, orders) = (of_views.cosines.clone(), of_views.anchors(plan).count() as f64);
            let (mut value, mut slope) = plan.form.at(cosines.clone());
            if let Some(sigma) = plan.term.focus {
                // 2 − N softmax(s/σ), held fixed; the same for both orders.
                let [images, _] = cosines.dims();
                let weights = softmax(cosines / sigma, 0) * -(images as f64) + 2.0;
                (value, slope) = (value * weights.clone(), slope * weights);
            }
            sums.push(value * orders);
            slope * (orders * plan.factor)
        })
        .collect();
    (Tensor::cat(sums, 0), weights)
}

/// The term's logarithms ln Σ κ, [n, 1], each of the pairs anchored in a row, an image or a view; and the weights.
fn weigh_joined(plan: &Planned<'_>, matches: &[Matches]) -> (Tensor<2>, Vec<Tensor<2>>) {
    let logarithms: Vec<(Tensor<2>, Ratio)> =
        matches.iter().map(|of_views| plan.form.ln_at(of_views.cosines.clone())).collect();
    // ln Σ κ over the pairs anchored in each row of a view, [N, 1].
    let of_rows = (0..plan.anchor_views).map(|view| {
        let anchored = matches.iter().zip(&logarithms);
        let anchored = anchored.filter(|(of_views, _)| of_views.anchors(plan).any(|anchor| anchor == view));
        log_sum(&anchored.map(|(_, (ln, _))| ln.clone()).collect::<Vec<_>>())
    });
    // Of what each row of a view is joined in: [N, 1], or [1, 1] for all of the view.
    let (value, totals): (Tensor<2>, Vec<Tensor<2>>) = match plan.term.link {
        Link::ImageLogSum => {
            let total = log_sum(&of_rows.collect::<Vec<_>>());
            (total.clone(), vec![total; plan.anchor_views])
        }
        link => {
            let of_rows = of_rows.map(|rows| if link == Link::LogMean { log_sum_of_all(rows) } else { rows });
            let totals: Vec<Tensor<2>> = of_rows.collect();
            (Tensor::cat(totals.clone(), 0), totals)
        }
    };
    let weights = matches
        .iter()
        .zip(logarithms)
        .map(|(of_views, (ln, ratio))| {
            let shares = of_views.anchors(plan).map(|view| (ln.clone() - totals[view].clone()).exp());
            let shares = shares.reduce(|all, share| all + share).expect("the first view is one of anchors");
            ratio.times(shares) * plan.factor
        })
        .collect();
    (value, weights)
}

impl Matches {
    /// Which of the two views are anchors of the term.
    fn anchors(&self, plan: &Planned<'_>) -> impl Iterator<Item = usize> {
        let anchor_views = plan.anchor_views;
        [self.first, self.second].into_iter().filter(move |&view| view < anchor_views)
    }
}
