//! What is proven of a loss's minimum: a lower bound that no points can undercut, and with it a certificate for those that
//! attain it.
//!
//! - **Energies and KCL.** Matched points cost least where they coincide, and the repulsion is at least the
//!   [linear-programming bound](super::bound) if its kernel is completely monotone; so does align + uniform, whose
//!   uniformity is the logarithm of such an energy. The bound is attained by sharp configurations (among them the simplex up
//!   to M = d + 1 and the cross-polytope at M = 2d), which are then the minimum for every such kernel (Cohn and Kumar 2007).
//! - **InfoNCE, NT-Xent, DCL, DHEL.** By convexity the loss is at least its value at a regular simplex of aligned pairs,
//!   whatever M and d are; it is attained exactly there, which needs M ≤ d + 1 (Koromilas et al. 2024). Beyond, the bound
//!   remains true and is not attained; the logarithm of the row's sum has no linear-programming bound.
//! - **Spectral.** −2⟨u, v⟩ ≥ −2 and squares are not negative: at least −2, attained by orthonormal sets (M ≤ d). Beyond, the matrix
//!   of cosines A = UVᵀ has rank d at most, so ‖A‖²_F ≥ (tr A)²/d (Cauchy and Schwarz): with t the mean matched cosine the loss is at
//!   least −2t + (Mt²/d − 1)/(M − 1), which is least at t = 1. Attained exactly by aligned pairs in a tight frame (Welch's bound), and
//!   such there are for every M ≥ d.

use std::fmt;

use super::bound::Quadrature;
use super::cosines::Cosines;
use super::optima::simplex;
use crate::kernel::{Cosine, DistancePower, Exponential, Kernel, SquaredCosine};
use crate::loss::{Anchors, Link, Loss, Pairs, Term};

/// Why a bound holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
pub struct Bound {
    /// The value.
    pub value: f64,
    /// Why.
    pub theorem: Theorem,
}

/// What points that were found prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// The bound for `points` points in each of `views` views of Sᵈ⁻¹, if a theorem gives one; none does for fewer than 2 points.
pub fn bound(loss: &Loss, points: usize, dim: usize, views: usize) -> Option<Bound> {
    if points < 2 {
        return None;
    }
    if is_contrast(loss) && views == 2 {
        // The closed form needs the simplex's cosines alone, whether or not it fits into ℝᵈ.
        return Some(Bound { value: simplex(points).value(loss, views), theorem: Theorem::Convexity });
    }
    if views == 2
        && let Some(value) = of_tight_frames(loss, points, dim)
    {
        return Some(Bound { value, theorem: Theorem::Rank });
    }
    let mut theorem = Theorem::Elementary;
    let mut value = 0.0;
    for term in &loss.terms {
        let shares = anchors(term, views);
        value += shares
            * if term.pairs == Pairs::MATCHED && term.link == Link::Mean && term.focus.is_none() {
                least_of_a_match(term)?
            } else if term.pairs == Pairs::WITHIN && term.weight >= 0.0 {
                let quadrature = Quadrature::new(points, dim).ok()?;
                if !term.kernel.is_completely_monotone() {
                    return None;
                }
                theorem = Theorem::LinearProgramming { degree: quadrature.degree };
                let least = quadrature.energy(&*term.kernel);
                match term.link {
                    Link::Mean => term.weight * least,
                    Link::LogMean if least > 0.0 => term.weight * least.ln(),
                    _ => return None,
                }
            } else if is::<SquaredCosine>(term) && term.weight >= 0.0 && term.link == Link::Mean {
                0.0
            } else {
                return None;
            };
    }
    Some(Bound { value, theorem })
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
/// dimensions: −w + b (M/d − 1)/(M − 1), where w is so large that matches are best at 1.
fn of_tight_frames(loss: &Loss, points: usize, dim: usize) -> Option<f64> {
    let [pull, push] = &loss.terms[..] else { return None };
    let is_so = pull.pairs == Pairs::MATCHED
        && push.pairs == Pairs::CROSS
        && [pull, push].iter().all(|term| term.link == Link::Mean && term.focus.is_none())
        && [pull, push].iter().all(|term| matches!(term.anchors, Anchors::AllViews))
        && is::<Cosine>(pull)
        && is::<SquaredCosine>(push);
    let (m, d) = (points as f64, dim as f64);
    let (w, b) = (-pull.weight * pull.kernel.at(1.0).0, push.weight);
    let is_pulled = b >= 0.0 && w >= 2.0 * b * m / (d * (m - 1.0));
    (is_so && points > dim && is_pulled).then(|| -w + b * (m / d - 1.0) / (m - 1.0))
}

/// −s⁺/τ in the mean against the log of a row's sum of e^{s/τ}, as the theorem has it: both of the same anchors and
/// temperature; two such logs for one match only within views, where they do not meet.
fn is_contrast(loss: &Loss) -> bool {
    let [pull, push] = &loss.terms[..] else { return false };
    pull.link == Link::Mean
        && pull.pairs == Pairs::MATCHED
        && pull.focus.is_none()
        && pull.weight == -1.0
        && is::<Cosine>(pull)
        && push.link == Link::RowLogSum
        && is::<Exponential>(push)
        && pull.kernel.rate() == push.kernel.rate()
        && pull.anchors == push.anchors
        && !push.pairs.itself
        && (push.weight == 1.0 || (push.pairs == Pairs::WITHIN && push.weight > 0.0))
}

/// The least that a pair of matched points can cost: where they coincide, if the kernel grows with the cosine and attracts
/// or falls and repels.
fn least_of_a_match(term: &Term) -> Option<f64> {
    let increasing = term.kernel.is_completely_monotone() || is::<Cosine>(term);
    let together = (increasing && term.weight <= 0.0) || (is::<DistancePower>(term) && term.weight >= 0.0);
    together.then(|| term.weight * term.kernel.at(1.0).0).filter(|value| value.is_finite())
}

fn is<K: Kernel>(term: &Term) -> bool {
    (&*term.kernel as &dyn std::any::Any).is::<K>()
}

/// How often a term's mean over one view counts.
fn anchors(term: &Term, views: usize) -> f64 {
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
            Loss::siglip(10.0, -10.0),
            Loss::dclw(0.1, 0.5),
            Loss::mv_info_nce(0.5, Convention::Paper),
            Loss::energy(KclKernel::Cosine(1.0)),
        ];
        for loss in without {
            assert_eq!(bound(&loss.unwrap(), 6, 3, 2), None);
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
