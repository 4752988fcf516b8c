//! How much work the scheme needs, whatever the machine: what a rate is counted by.

use super::{Fused, needs_no_tile};
use crate::engine::Batch;
use crate::loss::{Loss, Term};

impl Fused {
    /// Multiply-adds of the products that the symmetric scheme needs for value and gradient of `loss` on `views` views of
    /// `images` images in `dim` dimensions: for each unordered pair of rows that a term compares four times `dim`, or three
    /// times if no term that compares it has a logarithm (one sweep). Exponentials and terms over matched pairs are not
    /// counted. A multiply-add is two floating-point operations.
    pub fn multiply_adds(loss: &Loss, images: usize, views: usize, dim: usize) -> f64 {
        let batch = Batch { views, images, dim, groups: None };
        let terms: Vec<&Term> = loss.terms.iter().filter(|term| !needs_no_tile(batch, term)).collect();
        let of_views = |first: usize, second: usize| -> f64 {
            let met: Vec<&&Term> = terms
                .iter()
                .filter(|term| {
                    term.pairs.contains(false, false, first == second)
                        && first.min(second) < term.anchor_views(views)
                })
                .collect();
            let products = match met.iter().any(|term| term.link.is_logarithmic()) {
                true => 4.0,
                false if met.is_empty() => 0.0,
                false => 3.0,
            };
            // Half of the square: with itself each pair of a view would count in both orders.
            let pairs = (images as f64).powi(2) * if first == second { 0.5 } else { 1.0 };
            products * pairs * dim as f64
        };
        (0..views).flat_map(|second| (0..=second).map(move |first| of_views(first, second))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{Convention, KclKernel};

    /// In units of M² d.
    fn count(loss: Result<Loss, crate::Error>, views: usize) -> f64 {
        let (images, dim) = (64, 8);
        let loss = loss.expect("the parameters are in range");
        Fused::multiply_adds(&loss, images, views, dim) / (images * images * dim) as f64
    }

    #[test]
    fn each_unordered_pair_counts_four_products_or_three() {
        let kcl = |convention| {
            let gaussian = KclKernel::Gaussian(2.0);
            Loss::kcl(gaussian, gaussian, 16.0, convention)
        };
        // Half of the square of one view, of each of two, and of both together.
        assert_eq!(count(Loss::dhel(0.3, Convention::Paper), 2), 2.0);
        assert_eq!(count(Loss::dhel(0.3, Convention::Reference), 2), 4.0);
        assert_eq!(count(Loss::nt_xent(0.5), 2), 8.0);
        assert_eq!(count(Loss::dcl(0.1), 2), 8.0);
        // One sweep.
        assert_eq!(count(kcl(Convention::Paper), 2), 1.5);
        assert_eq!(count(kcl(Convention::Reference), 2), 3.0);
        // Pairs across views alone, and three views.
        assert_eq!(count(Loss::info_nce(0.1), 2), 4.0);
        assert_eq!(count(Loss::nt_xent(0.5), 3), 18.0);
        // No view that is no anchor meets itself: 2 within the first view, 4 with each of two others.
        assert_eq!(count(Loss::nt_xent_one_sided(0.5), 3), 10.0);
    }
}
