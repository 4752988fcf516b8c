//! What a term asks of a tile: which of its entries, in which form, with which factor.

use super::blocks::{Block, Tile};
use super::loops::Power;
use crate::Scalar;
use crate::engine::Batch;
use crate::loss::{Link, Term};

/// A term that runs over tiles.
#[derive(Debug)]
pub(super) struct Plan<'a, T> {
    pub(super) term: &'a Term,
    /// Its place in the loss.
    pub(super) index: usize,
    /// Of one pair's value in the loss: [`Term::pair_factor`].
    pub(super) factor: f64,
    pub(super) form: Form<T>,
    anchor_views: usize,
}

/// How a pair's value and slope come of its cosine.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form<T> {
    /// κ = e^{power + shift} and κ′ = scale · κ: one exponential a pair, with the same shift for all.
    Power { power: Power<T>, scale: f64, shift: f64 },
    /// (κ, κ′).
    Plain,
    /// (ln κ, κ′/κ), with a running maximum for each row.
    Logarithmic,
}

/// Rows may be longer than 1 by 10⁻³ ([`Points`](crate::Points)), so cosines are within ±1.002001, and ln κ = scale · s +
/// offset lies within scale · 2.004002 of its largest value.
const SPREAD: f64 = 2.005;

impl<'a, T: Scalar> Plan<'a, T> {
    pub(super) fn new(batch: Batch, index: usize, term: &'a Term) -> Self {
        let factor = term.pair_factor(batch.images, batch.views);
        let form = form(term, factor);
        Self { term, index, factor, form, anchor_views: term.anchor_views(batch.views) }
    }

    /// Whether the value needs log-sums, and so a sweep of its own.
    pub(super) fn is_logarithmic(&self) -> bool {
        matches!(self.term.link, Link::RowLogSum | Link::LogMean)
    }

    /// Whether the block's rows are anchors.
    pub(super) fn anchors(&self, block: Block) -> bool {
        block.view < self.anchor_views
    }

    /// As how many ordered pairs (anchor, other) an entry of the tile counts in the value: once for each end that is an
    /// anchor. A block with itself has both orders of a pair as two entries.
    pub(super) fn ends(&self, tile: Tile) -> f64 {
        let theirs = !tile.is_diagonal() && self.anchors(tile.columns);
        f64::from(u8::from(self.anchors(tile.rows)) + u8::from(theirs))
    }

    /// The entries of the tile that are pairs of the term, if any.
    pub(super) fn cover(&self, tile: Tile) -> Option<Cover> {
        let pairs = self.term.pairs;
        let elsewhere = pairs.contains(tile.same_view(), false);
        let same_image = pairs.contains(tile.same_view(), true);
        let aligned = tile.same_images();
        let any = elsewhere || (aligned && same_image);
        (any && self.ends(tile) > 0.0).then_some(Cover { aligned, elsewhere, same_image })
    }
}

/// The shift of a logarithmic link is ln κ(1). Nothing then overflows or underflows to harm if no power leaves the normal
/// numbers, and no weight does:
///
/// - a power is e^x with −scale · 2.005 ≤ x ≤ scale · 0.0021, and both ends are normal if scale · 2.005 ≤
///   [`LARGEST_EXPONENT`](crate::elementary::Real::LARGEST_EXPONENT) (86 in `f32`, 700 in `f64`);
/// - a log-sum's Σ is at least its largest power ≥ e^{−2.005 scale}, at most the number of pairs times 1.2 (2.1 in `f64`),
///   and kept in `f64`;
/// - a weight is power · (factor · scale / Σ), whose bracket is at most factor · scale · e^{2.005 scale}: finite in the
///   scalar's precision if scale · 2.005 + ln(factor · scale) ≤ `LARGEST_EXPONENT`, and the weight at most factor ·
///   scale · 1.2, because power ≤ Σ.
///
/// For e^{s/τ} in `f32` that is τ ≥ 0.0234, and 0.0029 in `f64`. Below, running maxima serve at any temperature.
///
/// A link without a logarithm takes κ as it is.
fn form<T: Scalar>(term: &Term, factor: f64) -> Form<T> {
    let logarithmic = matches!(term.link, Link::RowLogSum | Link::LogMean);
    let Some(exponent) = term.kernel.exponent() else {
        return if logarithmic { Form::Logarithmic } else { Form::Plain };
    };
    let scale = exponent.scale;
    let shift = if logarithmic { (scale + exponent.offset).min(exponent.most) } else { 0.0 };
    let needed = scale * SPREAD + (factor.abs() * scale).max(1.0).ln();
    if logarithmic && needed > T::LARGEST_EXPONENT {
        return Form::Logarithmic;
    }
    let power = Power {
        scale: T::from_f64(scale),
        offset: T::from_f64(exponent.offset - shift),
        most: T::from_f64(exponent.most - shift),
    };
    Form::Power { power, scale, shift }
}

/// Which entries of a tile are pairs of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cover {
    /// Whether entry (i, i) is of one image; if not, all entries are pairs.
    aligned: bool,
    /// Whether pairs of different images are.
    elsewhere: bool,
    /// Whether pairs of one image are.
    same_image: bool,
}

impl Cover {
    /// Whether every entry is a pair.
    pub(super) fn is_whole(self) -> bool {
        !self.aligned || (self.elsewhere && self.same_image)
    }

    /// Fills with `blank` what is no pair, in a strip of the tile from row `from` on.
    pub(super) fn mask<T: Copy>(self, strip: &mut [T], width: usize, from: usize, blank: T) {
        if !self.aligned {
            return;
        }
        for (i, row) in (from..).zip(strip.chunks_exact_mut(width)) {
            if !self.elsewhere {
                let matched = row[i];
                row.fill(blank);
                row[i] = matched;
            }
            if !self.same_image {
                row[i] = blank;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{KclKernel, Loss};

    const BATCH: Batch = Batch { views: 2, images: 100, dim: 4 };

    fn form_of<T: Scalar>(loss: Result<Loss, crate::Error>) -> Form<T> {
        let loss = loss.expect("the parameters are in range");
        let term = loss.terms.last().expect("the loss repels");
        Plan::new(BATCH, 1, term).form
    }

    fn is_shifted<T: Scalar>(temperature: f64) -> bool {
        matches!(form_of::<T>(Loss::nt_xent(temperature)), Form::Power { .. })
    }

    #[test]
    fn the_shift_is_fixed_as_long_as_that_is_safe() {
        assert!(is_shifted::<f32>(0.5) && is_shifted::<f32>(0.0236) && !is_shifted::<f32>(0.0232));
        assert!(is_shifted::<f64>(0.0232) && is_shifted::<f64>(0.00295) && !is_shifted::<f64>(0.00285));
    }

    /// At the coldest temperature with a fixed shift, the ends of what the bound admits are normal numbers, and so is a pull
    /// against the smallest sum.
    fn ends_are_normal<T: Scalar>(temperature: f64) {
        let Form::Power { power, scale, shift } = form_of::<T>(Loss::nt_xent(temperature)) else {
            panic!("{temperature} is too cold");
        };
        assert_eq!(shift, scale);
        let at = |s: f64| {
            let x = T::from_f64(s).mul_add::<pulp::Scalar>(power.scale, power.offset).smaller(power.most);
            x.exp::<pulp::Scalar>()
        };
        let (lowest, highest) = (at(-1.002_001).to_f64(), at(1.002_001).to_f64());
        assert!(T::from_f64(0.5 * lowest).to_f64() > 0.0 && lowest < 1e-30, "{lowest:e}");
        assert!(highest < 2.1, "{highest}");
        let factor = 1.0 / 200.0;
        assert!(T::from_f64(factor * scale / lowest).to_f64().is_finite());
    }

    #[test]
    fn the_ends_of_the_fixed_shift_are_normal_numbers() {
        ends_are_normal::<f32>(0.0236);
        ends_are_normal::<f64>(0.00295);
    }

    #[test]
    fn means_take_the_kernel_as_it_is() {
        let kernel = KclKernel::Exponential(0.001);
        assert!(matches!(form_of::<f32>(Loss::energy(kernel)), Form::Power { shift: 0.0, .. }));
        assert!(matches!(form_of::<f32>(Loss::energy(KclKernel::Riesz(1.0))), Form::Plain));
    }
}
