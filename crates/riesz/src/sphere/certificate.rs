//! What is proven of a loss's minimum: a lower bound that no points can undercut, and with it a certificate for those that
//! attain it.
//!
//! - **Energies and KCL.** Matched points cost least where they coincide, and the repulsion is at least the
//!   [linear-programming bound](super::bound) if its kernel is completely monotone; so does align + uniform, whose
//!   uniformity is the logarithm of such an energy. The bound is attained by sharp configurations (among them the simplex up
//!   to M = d + 1 and the cross-polytope at M = 2d), which are then the minimum for every such kernel (Cohn and Kumar 2007).
//! - **InfoNCE, NT-Xent, DCL, DHEL, MV-DHEL.** By convexity the loss is at least its value at a regular simplex of aligned pairs,
//!   whatever N and d are; it is attained there, which needs N ≤ d + 1 (Koromilas et al. 2024). Beyond, the bound
//!   remains true and is not attained; the logarithm of the row's sum has no linear-programming bound. The proof is below.
//! - **Spectral.** −2⟨u, v⟩ ≥ −2 and squares are not negative: at least −2, attained by orthonormal sets (M ≤ d). Beyond, the matrix
//!   of cosines A = UVᵀ has rank d at most, so ‖A‖²_F ≥ (tr A)²/d (Cauchy and Schwarz): with t the mean matched cosine the loss is at
//!   least −2t + (Mt²/d − 1)/(M − 1), which is least at t = 1. Attained exactly by aligned pairs in a tight frame (Welch's bound), and
//!   such there are for every M ≥ d.
//!
//! # Convexity
//!
//! N images in K views, x_il row i of view l, S_l = Σ_i x_il, P the mean matched cosine, Q the mean cosine of different images over
//! those pairs that a loss repels. Matches that differ pull the sums of views apart: by Cauchy and Schwarz
//! N K(K − 1)(1 − P) = ½ Σ_{l≠m} Σ_i ‖x_il − x_im‖² ≥ (1/2N) Σ_{l≠m} ‖S_l − S_m‖².
//!
//! 1. *Repulsion within views* alone (DHEL, MV-DHEL). ln(c + Σ_j e^{s_ij/τ}) is convex, increasing and symmetric in the cosines, so its mean over
//!    anchors is at least ln(c + (N − 1) e^{Q/τ}) (Jensen), and Q ≥ −1/(N − 1) because ‖S_l‖² ≥ 0. A match costs least where it coincides,
//!    in whatever way matches are summed. Both are at their least at the aligned simplex; so weights do not matter, nor does K.
//! 2. *Any repulsion of other images, with the match in the denominator or without* (InfoNCE, NT-Xent, DCL), against −s/τ in the mean over
//!    matches. By Jensen, first within a row and then over rows, the loss is at least ln(a + n e^{(Q − P)/τ}), a and n how many
//!    matches and other images a row's sum has. Remains Q − P ≥ −N/(N − 1), which Cauchy and Schwarz above turn into a sum of squares:
//!    for all anchors K(K − 1)N(N − 1)(Q − P + N/(N − 1)) ≥ (K − 1) Σ_l ‖S_l‖² across views, K²N(N − 1)(…) ≥ ‖Σ_l S_l‖² across and
//!    within; for the first view's anchors each other view m is a case of two views, and across and within K N(N − 1)(…) ≥
//!    Σ_{m≠1} ( K/(K − 1) ‖S_1‖² + ⟨S_1, D_m⟩ + c ‖D_m‖² ) with D_m = S_m − S_1 and c = (KN − 1)/(2N(K − 1)) > ½, whose discriminant is negative.
//! 3. *A match inside a logarithm* (MV-InfoNCE, L_in of SupCon) is −s/τ and a constant where an image has one match: for two views.
//!    For more the logarithm of their sum is above their mean, and no theorem is known here.
//! 4. *Weighted matches* (DCLW), w_i = 2 − N softmax_i(s_i/σ): over the N anchors of a view Σ_i w_i = 2N − N = N, and w falls where s grows. For two
//!    sequences in opposite order Chebyshev's sum inequality says (1/N) Σ w_i s_i ≤ (1/N) Σ w_i · (1/N) Σ s_i, which is the mean cosine;
//!    no w need be positive. So −w s/τ costs at least −s/τ in the mean: DCLW ≥ DCL ≥ DCL's bound, with equality where all s are equal,
//!    as at the simplex. It is the same for any kernel that grows with the cosine and attracts, or falls and repels.
//! 5. *SigLIP.* ln(1 + eˣ) =: f is convex, so the loss is at least K − 1 times f(−tP − b) + (N − 1) f(tQ + b). For two views ⟨S_1, S_2⟩ ≥ −¼ ‖S_1 −
//!    S_2‖² ≥ −½ N²(1 − P), so that Q ≥ −(½ N(1 − P) + P)/(N − 1); the mean over pairs of views is linear. What results is convex in P,
//!    and least at P = 1 if its slope there is not above 0: ½ (N − 2) σ(b − t/(N − 1)) ≤ σ(−t − b), σ the logistic function. Where that does not hold
//!    nothing is said.

use std::borrow::Cow;
use std::fmt;

use super::bound::Quadrature;
use super::cosines::Cosines;
use super::optima::{known, simplex};
use crate::kernel::{Cosine, DistancePower, Kernel, Softplus, SquaredCosine};
use crate::loss::{Anchors, Link, Loss, Pairs, Term};

/// Why a bound holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Theorem {
    /// Convexity of the batch loss.
    Convexity,
    /// Linear programming with a polynomial of this degree.
    LinearProgramming {
        /// τ.
        degree: usize,
    },
    /// No square is negative and no cosine above 1.
    Elementary,
    /// The squares of a matrix of rank d sum to at least its squared trace over d (Welch).
    Rank,
}

impl fmt::Display for Theorem {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Convexity => write!(to, "convexity (the value at an aligned simplex)"),
            Self::LinearProgramming { degree } => {
                write!(to, "linear programming with a polynomial of degree {degree}")
            }
            Self::Elementary => write!(to, "squares and cosines' ranges"),
            Self::Rank => write!(to, "the rank of the matrix of cosines (tight frames)"),
        }
    }
}

/// A value that no points undercut.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Bound {
    /// The value.
    pub value: f64,
    /// Why.
    pub theorem: Theorem,
}

/// What points that were found prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Certificate {
    /// The value is the bound: a global minimum.
    Attained(Theorem),
    /// The points are sharp, so that they minimize the energy of every completely monotone kernel.
    Sharp {
        /// Distinct cosines.
        cosines: usize,
        /// Strength as a spherical design.
        strength: usize,
    },
    /// The 600-cell: not sharp (8 cosines, strength 11), yet universally optimal, by a proof of its own (Cohn and Kumar).
    Cell600,
}

impl fmt::Display for Certificate {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attained(by) => write!(to, "global minimum: the bound by {by} is attained"),
            Self::Sharp { cosines, strength } => write!(
                to,
                "sharp: {cosines} cosines, a spherical {strength}-design; minimal for every completely monotone kernel (Cohn and Kumar)"
            ),
            Self::Cell600 => write!(
                to,
                "600-cell: 8 cosines, a spherical 11-design; minimal for every completely monotone kernel (Cohn and Kumar)"
            ),
        }
    }
}

/// The bound for `points` points in each of `views` views of Sᵈ⁻¹, if a theorem gives one; none does for fewer than 2 points, or
/// for a loss that cannot be evaluated on them.
pub fn bound(loss: &Loss, points: usize, dim: usize, views: usize) -> Option<Bound> {
    if points < 2 || loss.check(points, views).is_err() {
        return None;
    }
    if is_contrast(loss, views) || is_logistic(loss, points) {
        return Some(Bound { value: at_simplex(&loss.terms, points, views), theorem: Theorem::Convexity });
    }
    if let Some(value) = of_tight_frames(loss, points, dim) {
        return Some(Bound { value, theorem: Theorem::Rank });
    }
    let mut of_all = Bound { value: 0.0, theorem: Theorem::Elementary };
    for term in &loss.terms {
        let one = of_term(term, points, dim, views)?;
        of_all.value += one.value;
        // What two of them can attain together is the simplex.
        if one.theorem != Theorem::Elementary && of_all.theorem != Theorem::Convexity {
            of_all.theorem = one.theorem;
        }
    }
    Some(of_all)
}

/// Which points attain a bound of [`bound`], in words; none that are known if `None`.
pub fn attained_by(
    bound: Bound,
    loss: &Loss,
    points: usize,
    dim: usize,
    views: usize,
) -> Option<Cow<'static, str>> {
    match bound.theorem {
        Theorem::Rank => Some("a tight frame".into()),
        Theorem::Elementary => (points <= dim).then_some("orthonormal rows".into()),
        Theorem::Convexity | Theorem::LinearProgramming { .. } if points <= dim + 1 => {
            Some(simplex(points).name.into())
        }
        Theorem::Convexity => None,
        // Of d + 2 and d + 3 points the cross-polytope alone is sharp, and the others are too many to look at.
        Theorem::LinearProgramming { .. } if points <= dim + 3 && points != 2 * dim => None,
        Theorem::LinearProgramming { .. } => known(points, dim)
            .into_iter()
            .find(|one| {
                let attained = Certificate::Attained(bound.theorem);
                certify(one.value(loss, views), Some(bound), &one.cosines(dim), 1e-12).contains(&attained)
            })
            .map(|one| one.name.into()),
    }
}

/// The least that a term can be by itself.
fn of_term(term: &Term, points: usize, dim: usize, views: usize) -> Option<Bound> {
    let theirs = || at_simplex(std::slice::from_ref(term), points, views);
    let (value, theorem) = if term.pairs == Pairs::MATCHED {
        (is_least_together(term).then(theirs)?, Theorem::Elementary)
    } else if term.weight < 0.0 {
        return None;
    } else if (Pairs { itself: false, ..term.pairs }) == Pairs::WITHIN && is_log_sum(term) {
        (theirs(), Theorem::Convexity)
    } else if term.pairs == Pairs::WITHIN && term.kernel.is_completely_monotone() {
        let quadrature = Quadrature::new(points, dim).ok()?;
        let least = quadrature.energy(&*term.kernel);
        let value = match term.link {
            Link::Mean => term.weight * least,
            Link::LogMean if least > 0.0 => term.weight * least.ln(),
            _ => return None,
        };
        (shares(term, views) * value, Theorem::LinearProgramming { degree: quadrature.degree })
    } else if is::<SquaredCosine>(term) && term.link == Link::Mean {
        (0.0, Theorem::Elementary)
    } else {
        return None;
    };
    value.is_finite().then_some(Bound { value, theorem })
}

/// What proves that points with these cosines (of one view, all views alike, matched points together) are a minimum of a
/// loss with this bound, if anything does: they are universally optimal, or attain the bound. The latter takes a `value` within
/// `tolerance` of it, and cosines within 10⁻⁶ of those at which the bound can be attained; a value alone could be near because
/// the loss is flat, as under a low temperature.
pub fn certify(value: f64, bound: Option<Bound>, cosines: &Cosines, tolerance: f64) -> Vec<Certificate> {
    let Some(bound) = bound else { return Vec::new() };
    let mut found = Vec::new();
    let near = (value - bound.value).abs() <= tolerance * (1.0 + value.abs().max(bound.value.abs()));
    let possible = places(bound.theorem, cosines.points, cosines.dim);
    let is_possible = |cosine: f64| {
        possible.as_ref().is_none_or(|places| places.iter().any(|place| (cosine - place).abs() < 1e-6))
    };
    if near && cosines.distinct.iter().all(|one| is_possible(one.cosine)) {
        found.push(Certificate::Attained(bound.theorem));
    }
    // Universal optimality is about energies, and about losses of which an energy is all that is not at its least.
    if matches!(bound.theorem, Theorem::LinearProgramming { .. }) {
        let count = cosines.distinct.len();
        let strength = cosines.design_strength(2 * count.min(20));
        if cosines.is_sharp() {
            found.push(Certificate::Sharp { cosines: count, strength });
        } else if (cosines.points, cosines.dim, count, strength) == (120, 4, 8, 11) {
            found.push(Certificate::Cell600);
        }
    }
    found
}

/// The cosines of different points at which a bound holds with equality; `None` if any can be, as those of tight frames.
fn places(theorem: Theorem, points: usize, dim: usize) -> Option<Vec<f64>> {
    Some(match theorem {
        Theorem::Rank => return None,
        Theorem::Convexity => vec![-1.0 / (points as f64 - 1.0)],
        Theorem::LinearProgramming { .. } => Quadrature::new(points, dim)
            .map(|quadrature| quadrature.nodes.into_iter().map(|(node, _)| node).collect())
            .unwrap_or_default(),
        Theorem::Elementary => vec![0.0],
    })
}

/// Of w times the mean matched cosine taken from b times the mean square of the others' across two views, for more points than
/// dimensions: −w + b (M/d − 1)/(M − 1), where w is so large that matches are best at 1. More views are the mean over pairs of them.
fn of_tight_frames(loss: &Loss, points: usize, dim: usize) -> Option<f64> {
    let [pull, push] = &loss.terms[..] else { return None };
    let is_so = pull.pairs == Pairs::MATCHED
        && push.pairs == Pairs::CROSS
        && [pull, push].iter().all(|term| term.link == Link::Mean)
        && [pull, push].iter().all(|term| matches!(term.anchors, Anchors::AllViews))
        && is::<Cosine>(pull)
        && is::<SquaredCosine>(push);
    let (m, d) = (points as f64, dim as f64);
    let (w, b) = (-pull.weight * pull.kernel.at(1.0).0, push.weight);
    let is_pulled = b >= 0.0 && w >= 2.0 * b * m / (d * (m - 1.0));
    (is_so && points > dim && is_pulled).then(|| -w + b * (m / d - 1.0) / (m - 1.0))
}

/// −s/τ of the matches against the log of sums of e^{s/τ} over other images, with the matches or without, of the same anchors and
/// temperature: the second and third case of the proof.
fn is_contrast(loss: &Loss, views: usize) -> bool {
    let [pull, push] = &loss.terms[..] else { return false };
    let Some(exponent) = push.kernel.exponent() else { return false };
    let pulls = match pull.link {
        Link::Mean => is::<Cosine>(pull) && pull.kernel.rate() == Some(exponent.scale),
        _ => {
            let is_of_rate = pull.kernel.exponent().is_some_and(|pull| pull.scale == exponent.scale);
            views == 2 && is_log_sum(pull) && is_of_rate
        }
    };
    views > 1
        && pulls
        && (pull.pairs, pull.weight, push.weight) == (Pairs::MATCHED, -1.0, 1.0)
        && is_log_sum(push)
        && (push.pairs.cross || push.pairs.within)
        && !push.pairs.itself
        && pull.anchors == push.anchors
        // An image's log-sum is not counted once for each view.
        && pull.anchors != Anchors::EachView
}

/// A mean over anchors or images of the log of a sum of what is e to a cosine's multiple.
fn is_log_sum(term: &Term) -> bool {
    matches!(term.link, Link::RowLogSum | Link::RowLogMean | Link::ImageLogSum)
        && term.kernel.exponent().is_some()
}

/// SigLIP with a scale and an offset under which matches that coincide are best: the fifth case.
fn is_logistic(loss: &Loss, points: usize) -> bool {
    let [pull, push] = &loss.terms[..] else { return false };
    let Some((scale, offset)) = loss.scale_and_offset() else { return false };
    let logistic = |x: f64| (1.0 + (-x).exp()).recip();
    let others = points as f64 - 1.0;
    let is_so = [pull, push]
        .iter()
        .all(|term| is::<Softplus>(term) && term.link == Link::RowSum && term.anchors == Anchors::AllViews);
    is_so
        && (pull.pairs, push.pairs) == (Pairs::MATCHED, Pairs::CROSS)
        && pull.weight == push.weight
        && pull.weight > 0.0
        && push.kernel.affine() == Some((scale, offset))
        && pull.kernel.affine() == Some((-scale, -offset))
        && 0.5 * (others - 1.0) * logistic(offset - scale / others) <= logistic(-scale - offset)
}

/// Whether matches cost least where they coincide: the kernel grows with the cosine and attracts, or falls and repels.
fn is_least_together(term: &Term) -> bool {
    let increasing = term.kernel.is_completely_monotone()
        || term.kernel.exponent().is_some()
        || (is::<Cosine>(term) && term.kernel.at(1.0).0 >= 0.0);
    (increasing && term.weight <= 0.0) || (is::<DistancePower>(term) && term.weight >= 0.0)
}

/// The value of terms at a regular simplex of aligned images: cosines alone, whether or not it fits into ℝᵈ.
fn at_simplex(terms: &[Term], points: usize, views: usize) -> f64 {
    simplex(points).value(&Loss::new("terms", terms.to_vec()), views)
}

fn is<K: Kernel>(term: &Term) -> bool {
    (&*term.kernel as &dyn std::any::Any).is::<K>()
}

/// How often a term's mean over one view counts.
fn shares(term: &Term, views: usize) -> f64 {
    match term.anchors {
        Anchors::EachView => views as f64,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{Convention, KclKernel};
    use crate::sphere::optima::{cross_polytope, known, orthogonal_simplices};

    fn names(loss: &Loss, name: &str, points: usize, dim: usize) -> Vec<Certificate> {
        let one = known(points, dim).into_iter().find(|one| one.name.contains(name)).unwrap();
        let bound = bound(loss, points, dim, 2);
        certify(one.value(loss, 2), bound, &one.cosines(dim), 1e-12)
    }

    #[test]
    fn bounds_are_attained_where_theorems_say_so() {
        let gaussian = KclKernel::Gaussian(2.0);
        for convention in [Convention::Paper, Convention::Symmetric, Convention::Reference] {
            let kcl = Loss::kcl(gaussian, gaussian, 16.0, convention).unwrap();
            let dhel = Loss::dhel(0.3, convention).unwrap();
            for (name, points, dim, of_kcl, of_dhel) in [
                ("simplex", 9, 8, 2, 1),
                ("cross-polytope", 16, 8, 2, 0),
                ("icosahedron", 12, 3, 2, 0),
                ("E8", 240, 8, 2, 0),
                ("600-cell", 120, 4, 1, 0),
                ("24-cell", 24, 4, 0, 0),
                ("triangular", 5, 3, 0, 0),
            ] {
                assert_eq!(names(&kcl, name, points, dim).len(), of_kcl, "KCL at the {name}");
                assert_eq!(names(&dhel, name, points, dim).len(), of_dhel, "DHEL at the {name}");
            }
        }
    }

    /// Values near the bound for want of digits prove nothing: a low temperature, a narrow Gaussian.
    #[test]
    fn flat_losses_are_not_certified_by_their_values() {
        let narrow = KclKernel::Gaussian(30.0);
        for loss in [Loss::info_nce(0.02), Loss::kcl(narrow, narrow, 16.0, Convention::Paper)] {
            let loss = loss.unwrap();
            let bound = bound(&loss, 6, 4, 2).unwrap();
            for one in known(6, 4) {
                let value = one.value(&loss, 2);
                assert!((value - bound.value).abs() < 1e-12, "{} at the {}", loss.name, one.name);
                assert!(certify(value, Some(bound), &one.cosines(4), 1e-9).is_empty(), "{}", one.name);
            }
        }
    }

    /// No loss of the catalogue is below its bound at any configuration known for its size.
    #[test]
    fn nothing_known_is_below_a_bound() {
        let mut held = 0;
        for (points, dim) in
            [(2, 2), (5, 8), (6, 3), (6, 4), (7, 3), (8, 3), (8, 4), (12, 3), (20, 3), (24, 4), (27, 6)]
        {
            for loss in Loss::catalogue() {
                let Some(bound) = bound(&loss, points, dim, 2) else { continue };
                for one in known(points, dim) {
                    let value = one.value(&loss, 2);
                    assert!(
                        value >= bound.value - 1e-11 * (1.0 + value.abs()),
                        "{} at the {}: {value} below {}",
                        loss.name,
                        one.name,
                        bound.value
                    );
                    held += 1;
                }
            }
        }
        assert!(held > 250, "{held}");
    }

    #[test]
    fn losses_without_a_theorem_have_no_bound() {
        let without = [
            (Loss::siglip(1.0, 0.0), 2),
            (Loss::mv_info_nce(0.5, Convention::Paper), 3),
            (Loss::sup_con_in(0.5), 3),
            (Loss::energy(KclKernel::Cosine(1.0)), 2),
            // No loss of these numbers of views.
            (Loss::nt_xent(0.5), 1),
            (Loss::dclw(0.1, 0.5), 3),
        ];
        for (loss, views) in without {
            assert_eq!(bound(&loss.unwrap(), 6, 3, views), None);
        }
        let spectral = bound(&Loss::spectral(), 8, 8, 2).unwrap();
        assert_eq!((spectral.value, spectral.theorem), (-2.0, Theorem::Elementary));
        // Beyond M = d by tight frames: an orthonormal set and its antipodes, the icosahedron, and whatever is found.
        let spectral = Loss::spectral();
        for (name, points, dim, is_tight) in [
            ("cross-polytope", 16, 8, true),
            ("icosahedron", 12, 3, true),
            ("simplex", 9, 8, true),
            ("600-cell", 120, 4, true),
            ("triangular", 5, 3, false),
        ] {
            let certificates = names(&spectral, name, points, dim);
            let expected = if is_tight { vec![Certificate::Attained(Theorem::Rank)] } else { Vec::new() };
            assert_eq!(certificates, expected, "{name}");
        }
        assert_eq!(bound(&spectral, 10, 4, 2).unwrap().value, -2.0 + 1.5 / 9.0);
        // In one dimension matches are not best at 1.
        assert_eq!(bound(&spectral, 2, 1, 2).unwrap().theorem, Theorem::Elementary);
        assert!(orthogonal_simplices(&[2, 4]).value(&Loss::spectral(), 2) > -2.0);
        assert!(cross_polytope(2).value(&Loss::spectral(), 2) > -2.0);
    }

    /// (−1)ᵏ dᵏκ/drᵏ > 0 by divided differences of the first orders, for the kernels that say so, and not for others.
    #[test]
    fn completely_monotone_kernels_are() {
        let alternates = |kernel: &dyn Kernel| {
            let r = |i: i32| 0.3 + 0.25 * f64::from(i);
            let mut values: Vec<f64> = (0..9).map(|i| kernel.at(1.0 - 0.5 * r(i)).0).collect();
            (1..6).all(|order| {
                values = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
                values.iter().all(|value| if order % 2 == 1 { *value < 0.0 } else { *value > 0.0 })
            })
        };
        let losses = Loss::catalogue();
        let of_losses = losses.iter().flat_map(|loss| &loss.terms).map(|term| term.kernel.clone());
        let mut kinds = [0, 0];
        for kernel in of_losses.chain(crate::kernel::catalogue()) {
            let said = kernel.is_completely_monotone();
            // SigLIP's cross pairs alternate to any order that differences can see, and not for ever.
            let softplus = (&*kernel as &dyn std::any::Any).is::<crate::kernel::Softplus>();
            assert!(softplus && !said || alternates(&*kernel) == said, "{kernel:?}");
            kinds[usize::from(said)] += 1;
        }
        assert!(kinds[0] > 5 && kinds[1] > 20);
        for exponent in [-3.0, -2.0, -0.5, 4.0] {
            let riesz = crate::kernel::Riesz { exponent };
            assert_eq!(alternates(&riesz), riesz.is_completely_monotone(), "{exponent}");
        }
    }
}
