//! Terms over matched pairs alone: O(K²Nd), and no matrix.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use super::Planned;

/// Σ κ over the ordered pairs of the term, weighted by its focus; adds the gradient of the unit rows to `grads`.
pub(super) fn add(plan: &Planned<'_>, views: &[Tensor<2>], grads: &mut [Tensor<2>]) -> Tensor<1> {
    let [images, _] = views[0].dims();
    let mut sum = Tensor::zeros([1], &views[0].device());
    for second in 1..views.len() {
        for first in 0..second {
            // Both orders of a pair have the same cosine, and the same focus.
            let orders = [first, second].iter().filter(|&&view| view < plan.anchor_views).count() as f64;
            if orders == 0.0 {
                continue;
            }
            let (u, v) = (views[first].clone(), views[second].clone());
            let cosines = (u.clone() * v.clone()).sum_dim(1);
            let (mut value, mut slope) = plan.form.at(cosines.clone());
            if let Some(sigma) = plan.term.focus {
                // 2 − N softmax(s/σ), held fixed.
                let weights = softmax(cosines / sigma, 0) * -(images as f64) + 2.0;
                (value, slope) = (value * weights.clone(), slope * weights);
            }
            sum = sum + value.sum() * orders;
            let pull = slope * (orders * plan.factor);
            grads[first] = grads[first].clone() + pull.clone() * v;
            grads[second] = grads[second].clone() + pull * u;
        }
    }
    sum
}
