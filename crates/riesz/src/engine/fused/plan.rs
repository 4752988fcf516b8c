//! What a term asks of a tile: which of its entries, in which form, with which factor.

use super::blocks::{Block, Tile};
use super::kin::Kin;
use super::loops::Power;
use crate::Scalar;
use crate::engine::Batch;
use crate::loss::Term;

/// A term that runs over tiles.
#[derive(Debug)]
pub(super) struct Plan<'a, T> {
    pub(super) term: &'a Term,
    /// Its place in the loss.
    pub(super) index: usize,
    /// Of one pair's value in the loss, but for the anchor's share: [`Batch::pair_factor`].
    pub(super) factor: f64,
    pub(super) form: Form<T>,
    batch: Batch<'a>,
    kin: Option<&'a Kin<'a>>,
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
    pub(super) fn new(batch: Batch<'a>, kin: Option<&'a Kin<'a>>, index: usize, term: &'a Term) -> Self {
        let factor = batch.pair_factor(term);
        let form = form(term, factor);
        Self { term, index, factor, form, batch, kin }
    }

    /// Whether the value needs log-sums, and so a sweep of its own.
    pub(super) fn is_logarithmic(&self) -> bool {
        self.term.link.is_logarithmic()
    }

    /// Whether the block's rows are anchors.
    pub(super) fn anchors(&self, block: Block) -> bool {
        block.view < self.term.anchor_views(self.batch.views)
    }

    /// [`Batch::share`] of the block's rows, one after another; 0 if they are no anchors.
    pub(super) fn shares(&self, block: Block) -> impl Iterator<Item = f64> {
        let anchors = f64::from(u8::from(self.anchors(block)));
        (block.first..block.end).map(move |image| anchors * self.batch.share(self.term, image))
    }

    /// The entries of the tile that are pairs of the term, if any.
    pub(super) fn cover(&self, tile: Tile) -> Option<Cover<'a>> {
        if !self.anchors(tile.rows) && !self.anchors(tile.columns) {
            return None;
        }
        let pairs = self.term.pairs;
        let elsewhere = pairs.contains(false, false, tile.same_view());
        let diagonal = tile.is_diagonal().then_some(pairs.itself);
        let Some(kin) = self.kin else {
            let diagonal = tile.same_images().then_some(diagonal.unwrap_or(pairs.matched));
            return (elsewhere || diagonal == Some(true)).then_some(Cover {
                groups: None,
                diagonal,
                elsewhere,
            });
        };
        let groups = kin.meeting(tile).filter(|_| pairs.matched != elsewhere);
        let any = elsewhere || groups.is_some() && pairs.matched || diagonal == Some(true);
        any.then_some(Cover { groups, diagonal, elsewhere })
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
    let logarithmic = term.link.is_logarithmic();
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
pub(super) struct Cover<'a> {
    /// The groups of the rows and of the columns, if pairs of one group differ from the others in being pairs of the term.
    groups: Option<(&'a [u32], &'a [u32])>,
    /// Whether entries (i, i) are pairs, if that is not told by what follows.
    diagonal: Option<bool>,
    /// Whether entries of two groups are pairs; those of one group are not if these are, and are if these are not.
    elsewhere: bool,
}

impl Cover<'_> {
    /// Whether every entry is a pair.
    pub(super) fn is_whole(self) -> bool {
        self.groups.is_none() && self.elsewhere && self.diagonal != Some(false)
    }

    /// Fills with `blank` what is no pair, in a strip of the tile from row `from` on.
    pub(super) fn mask<T: Copy>(self, strip: &mut [T], width: usize, from: usize, blank: T) {
        if self.is_whole() {
            return;
        }
        for (i, row) in (from..).zip(strip.chunks_exact_mut(width)) {
            let on_diagonal = self.diagonal.map(|kept| if kept { row[i] } else { blank });
            if let Some((rows, columns)) = self.groups {
                let group = rows[i];
                for (cell, &column) in row.iter_mut().zip(columns) {
                    *cell = if (column == group) == self.elsewhere { blank } else { *cell };
                }
            } else if !self.elsewhere {
                row.fill(blank);
            }
            if let Some(kept) = on_diagonal {
                row[i] = kept;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{KclKernel, Loss};

    const BATCH: Batch<'_> = Batch { views: 2, images: 100, dim: 4, groups: None };

    fn form_of<T: Scalar>(loss: Result<Loss, crate::Error>) -> Form<T> {
        let loss = loss.expect("the parameters are in range");
        let term = loss.terms.last().expect("the loss repels");
        Plan::new(BATCH, None, 1, term).form
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
