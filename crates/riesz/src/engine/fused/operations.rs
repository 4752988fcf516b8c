//! How much work the scheme needs, whatever the machine: what a rate is counted by.

use super::blocks::Tile;
use super::{Fused, kept, needs_no_tile, plans, schedule};
use crate::Scalar;
use crate::engine::Batch;
use crate::loss::{Loss, Term};

impl Fused {
    /// Multiply-adds of the products that the symmetric scheme needs for value and gradient of `loss` on `views` views of
    /// `images` images in `dim` dimensions: for each unordered pair of rows that a term compares four times `dim`, or three
    /// times if no term that compares it has a logarithm (one sweep), or if the pair's tile is kept from the first sweep for
    /// the second. Exponentials and terms over matched pairs are not counted. A multiply-add is two floating-point
    /// operations. None for no rows.
    pub fn multiply_adds<T: Scalar>(loss: &Loss, images: usize, views: usize, dim: usize) -> f64 {
        if views == 0 || images == 0 {
            return 0.0;
        }
        let batch = Batch { views, images, dim, groups: None };
        let terms: Vec<&Term> = loss.terms.iter().filter(|term| !needs_no_tile(batch, term)).collect();
        // A block with itself has each pair in both orders.
        let once = |same: bool| if same { 0.5 } else { 1.0 };
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
            products * (images as f64).powi(2) * once(first == second)
        };
        let of_all = (0..views).flat_map(|second| (0..=second).map(move |first| (first, second)));
        let needed: f64 = of_all.map(|(first, second)| of_views(first, second)).sum();
        let kept = kept::tiles(&schedule(batch, loss), &plans::<T>(batch, None, loss));
        let saved = |tile: &Tile| tile.cells() as f64 * once(tile.is_diagonal());
        (needed - kept.iter().flatten().map(saved).sum::<f64>()) * dim as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{Convention, KclKernel};

    /// In units of M² d.
    fn count_of(images: usize, loss: Result<Loss, crate::Error>, views: usize) -> f64 {
        let dim = 8;
        let loss = loss.expect("the parameters are in range");
        Fused::multiply_adds::<f32>(&loss, images, views, dim) / (images * images * dim) as f64
    }

    /// Of so many that nothing is kept.
    fn count(loss: Result<Loss, crate::Error>, views: usize) -> f64 {
        count_of(1 << 16, loss, views)
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

    #[test]
    fn no_rows_are_no_work() {
        let loss = Loss::spectral();
        for (images, views) in [(0, 2), (8, 0), (0, 0)] {
            assert_eq!(Fused::multiply_adds::<f32>(&loss, images, views, 8), 0.0);
        }
    }

    #[test]
    fn a_kept_tile_saves_a_product() {
        let images = 1024;
        assert_eq!(count_of(images, Loss::dhel(0.3, Convention::Reference), 2), 3.0);
        assert_eq!(count_of(images, Loss::nt_xent(0.5), 2), 6.0);
        // So cold that maxima are taken.
        assert_eq!(count_of(images, Loss::nt_xent(0.01), 2), 8.0);
        // Some of the tiles of a larger batch.
        let some = count_of(4096, Loss::nt_xent(0.5), 2);
        assert!(6.5 < some && some < 8.0, "{some}");
    }
}
