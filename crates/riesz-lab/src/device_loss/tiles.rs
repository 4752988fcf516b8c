//! Terms over other pairs than matched ones: the cosines of a chunk of rows with whole views, and what becomes of them.
//!
//! c rows in a chunk, N images. A tile is the cosines of a chunk with one view, [c, N]. Within a tile all pairs are of one
//! class but those of one image, which lie on a diagonal; so a tile's term takes all of it, or all but the diagonal, or
//! (rarely) the diagonal alone.

use std::ops::Range;

use burn::tensor::{Bool, Tensor};
use riesz::loss::Link;

use super::form::Ratio;
use super::{Planned, Sums, log_sum, log_sum_of_all};

/// In place of −∞, which GPUs may take for impossible: as ln κ, nothing beside any other.
const LOWEST: f64 = -1e30;

/// Each term's sums, in the order of the terms. Adds the gradient of the unit rows to `grads`.
pub(super) fn add(
    terms: &[&Planned<'_>],
    views: &[Tensor<2>],
    rows_at_once: usize,
    grads: &mut [Tensor<2>],
) -> Vec<Sums> {
    let totals: Vec<Vec<Tensor<2>>> = terms.iter().map(|term| totals(term, views, rows_at_once)).collect();
    // Of κ or logarithms, and of weights: columns of numbers.
    let (mut values, mut slopes) = (totals.clone(), vec![Vec::new(); terms.len()]);
    let mut anchored: Vec<Vec<Tensor<2>>> = vec![Vec::new(); views.len()];
    for_each_chunk(terms, views, rows_at_once, |chunk| {
        let mut weights: Vec<Option<Tensor<2>>> = vec![None; views.len()];
        for (i, term) in terms.iter().enumerate().filter(|(_, term)| chunk.view < term.anchor_views) {
            if !term.link().is_logarithmic() {
                let (value, slope) = chunk.weigh_plain(term, &mut weights);
                values[i].push(value);
                slopes[i].push(slope);
                continue;
            }
            let powers = Powers::new(chunk, term);
            let total = match term.link() {
                Link::LogMean => Some(totals[i][chunk.view].clone()),
                Link::ImageLogSum => Some(totals[i][0].clone().slice([chunk.images.clone(), 0..1])),
                _ => None,
            };
            let each = if let Some(total) = total {
                (powers.top.clone() - total).exp()
            } else {
                values[i].push(powers.log_sum());
                powers.sum.clone().recip()
            };
            slopes[i].push(powers.weigh(each, term, &mut weights));
        }
        let mut anchors = chunk.rows.zeros_like();
        for (other, weights) in weights.into_iter().enumerate() {
            let Some(weights) = weights else { continue };
            anchors = anchors + weights.clone().matmul(views[other].clone());
            grads[other] = grads[other].clone() + weights.transpose().matmul(chunk.rows.clone());
        }
        anchored[chunk.view].push(anchors);
    });
    for (grad, chunks) in grads.iter_mut().zip(anchored) {
        if !chunks.is_empty() {
            *grad = grad.clone() + Tensor::cat(chunks, 0);
        }
    }
    let sums = values.into_iter().zip(slopes);
    sums.map(|(value, slope)| Sums { value: Tensor::cat(value, 0), slope: Tensor::cat(slope, 0) }).collect()
}

/// ln Σ κ over the pairs anchored in each view, [1, 1], or in each image, [N, 1], for a term whose link asks that; else
/// nothing.
fn totals(term: &Planned<'_>, views: &[Tensor<2>], rows_at_once: usize) -> Vec<Tensor<2>> {
    if !matches!(term.link(), Link::LogMean | Link::ImageLogSum) {
        return Vec::new();
    }
    let mut rows: Vec<Vec<Tensor<2>>> = vec![Vec::new(); term.anchor_views];
    for_each_chunk(&[term], views, rows_at_once, |chunk| {
        rows[chunk.view].push(Powers::new(chunk, term).log_sum());
    });
    let rows: Vec<Tensor<2>> = rows.into_iter().map(|rows| Tensor::cat(rows, 0)).collect();
    if term.link() == Link::ImageLogSum {
        vec![log_sum(&rows)]
    } else {
        rows.into_iter().map(log_sum_of_all).collect()
    }
}

/// Calls `work` for each chunk of rows that are anchors of a term.
fn for_each_chunk(
    terms: &[&Planned<'_>],
    views: &[Tensor<2>],
    rows_at_once: usize,
    mut work: impl FnMut(&Chunk),
) {
    let [images, _] = views[0].dims();
    for first in (0..images).step_by(rows_at_once) {
        let range = first..images.min(first + rows_at_once);
        let other_image: Tensor<2, Bool> =
            Tensor::diag_mask([range.len(), images], first as i64, &views[0].device());
        let same_image = other_image.bool_not();
        for view in 0..views.len() {
            let meets = |other: usize| terms.iter().any(|term| term.compares(view, other));
            if (0..views.len()).any(meets) {
                work(&Chunk::new(views, view, range.clone(), meets, same_image.clone()));
            }
        }
    }
}

/// Some rows of a view, and their cosines with whole views.
struct Chunk {
    view: usize,
    /// Which images.
    images: Range<usize>,
    /// [c, d].
    rows: Tensor<2>,
    /// One tile a view, [c, N], where any term asks for it.
    cosines: Vec<Option<Tensor<2>>>,
    /// Whether row and column are of one image, [c, N].
    same_image: Tensor<2, Bool>,
}

impl Chunk {
    fn new(
        views: &[Tensor<2>],
        view: usize,
        images: Range<usize>,
        meets: impl Fn(usize) -> bool,
        same_image: Tensor<2, Bool>,
    ) -> Self {
        let [_, dim] = views[view].dims();
        let rows = views[view].clone().slice([images.clone(), 0..dim]);
        let cosines = (views.iter().enumerate())
            .map(|(other, x)| meets(other).then(|| rows.clone().matmul(x.clone().transpose())))
            .collect();
        Self { view, images, rows, cosines, same_image }
    }

    /// The tiles that have pairs of the term, and the view of each. A row's cosine with itself is 1 whatever rounding makes
    /// of it: a kernel may be steep there.
    fn tiles(&self, term: &Planned<'_>) -> impl Iterator<Item = (usize, Tensor<2>)> {
        let tiles = self.cosines.iter().enumerate();
        tiles
            .filter(|&(other, _)| term.compares(self.view, other))
            .filter_map(|(other, tile)| Some((other, tile.clone()?)))
            .map(|(other, tile)| {
                let has_itself = other == self.view && term.term.pairs.itself;
                (other, if has_itself { tile.mask_fill(self.same_image.clone(), 1.0) } else { tile })
            })
    }

    /// The tile with `other`, with `blank` wherever there is no pair of the term.
    fn struck(&self, term: &Planned<'_>, other: usize, tile: Tensor<2>, blank: f64) -> Tensor<2> {
        let mask = match (term.has(self.view, other, false), term.has(self.view, other, true)) {
            (true, true) => return tile,
            (true, false) => self.same_image.clone(),
            (false, _) => self.same_image.clone().bool_not(),
        };
        tile.mask_fill(mask, blank)
    }

    /// Adds a term's f κ′ to `weights`, one tile a view; returns each row's Σ κ and its weights' sum, [c, 1].
    fn weigh_plain(&self, term: &Planned<'_>, weights: &mut [Option<Tensor<2>>]) -> (Tensor<2>, Tensor<2>) {
        let (mut sum, mut slopes) = (None, None);
        for (other, cosines) in self.tiles(term) {
            let (value, slope) = term.form.at(cosines);
            let weight = self.struck(term, other, slope, 0.0) * term.factor;
            accumulate(&mut sum, self.struck(term, other, value, 0.0).sum_dim(1));
            accumulate(&mut slopes, weight.clone().sum_dim(1));
            accumulate(&mut weights[other], weight);
        }
        (sum.expect("a row has pairs"), slopes.expect("a row has pairs"))
    }
}

/// The values of a chunk's pairs, each row's largest taken out.
struct Powers {
    /// View, κ e^{−top} [c, N], and κ′/κ.
    tiles: Vec<(usize, Tensor<2>, Ratio)>,
    /// Each row's largest ln κ, [c, 1].
    top: Tensor<2>,
    /// Each row's Σ κ e^{−top}, [c, 1].
    sum: Tensor<2>,
}

impl Powers {
    fn new(chunk: &Chunk, term: &Planned<'_>) -> Self {
        let logarithms: Vec<(usize, Tensor<2>, Ratio)> = chunk
            .tiles(term)
            .map(|(other, cosines)| {
                let (logarithm, ratio) = term.form.ln_at(cosines);
                let ratio = match ratio {
                    Ratio::Constant(ratio) => Ratio::Constant(ratio),
                    Ratio::Each(ratio) => Ratio::Each(Box::new(chunk.struck(term, other, *ratio, 0.0))),
                };
                (other, chunk.struck(term, other, logarithm, LOWEST), ratio)
            })
            .collect();
        let tops = logarithms.iter().map(|(_, logarithm, _)| logarithm.clone().max_dim(1));
        let top = tops.reduce(Tensor::max_pair).expect("a row has pairs");
        let mut sum = None;
        let tiles = logarithms
            .into_iter()
            .map(|(other, logarithm, ratio)| {
                let powers = (logarithm - top.clone()).exp();
                accumulate(&mut sum, powers.clone().sum_dim(1));
                (other, powers, ratio)
            })
            .collect();
        Self { tiles, top, sum: sum.expect("a row has pairs") }
    }

    /// Each row's ln Σ κ, [c, 1].
    fn log_sum(&self) -> Tensor<2> {
        self.sum.clone().log() + self.top.clone()
    }

    /// Adds f κ′ e^{−top} · `each` to `weights`, with a number of each row, [c, 1]; returns the sum of each row's.
    fn weigh(self, each: Tensor<2>, term: &Planned<'_>, weights: &mut [Option<Tensor<2>>]) -> Tensor<2> {
        let mut slopes = None;
        for (other, powers, ratio) in self.tiles {
            let weight = match ratio {
                Ratio::Constant(ratio) => {
                    let each = each.clone() * (term.factor * ratio);
                    // Their sum is known without another look at the tile.
                    slopes = slopes.or_else(|| Some(self.sum.clone() * each.clone()));
                    powers * each
                }
                Ratio::Each(ratio) => {
                    let weight = powers * *ratio * (each.clone() * term.factor);
                    accumulate(&mut slopes, weight.clone().sum_dim(1));
                    weight
                }
            };
            accumulate(&mut weights[other], weight);
        }
        slopes.expect("a row has pairs")
    }
}

impl Planned<'_> {
    fn link(&self) -> Link {
        self.term.link
    }

    /// Whether rows of view `view`, as anchors, have pairs of the term in view `other`.
    fn compares(&self, view: usize, other: usize) -> bool {
        view < self.anchor_views && (self.has(view, other, false) || self.has(view, other, true))
    }

    /// Whether rows of these views, of one image or of two, are a pair of the term.
    fn has(&self, view: usize, other: usize, same_image: bool) -> bool {
        let same_view = view == other;
        self.term.pairs.contains(same_view && same_image, same_image, same_view)
    }
}

fn accumulate(sum: &mut Option<Tensor<2>>, part: Tensor<2>) {
    *sum = Some(match sum.take() {
        Some(sum) => sum + part,
        None => part,
    });
}
