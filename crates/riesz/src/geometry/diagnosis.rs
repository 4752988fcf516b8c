//! Whether points have collapsed, in one sentence.

use std::fmt;

use super::Spectrum;
use crate::sphere::ideal;

/// Mean cosine of pairs above which all rows count as nearly equal: an angle of 18° between two typical points.
pub const NEARLY_EQUAL: f64 = 0.95;
/// Share of the effective rank of uniform points below which directions count as lost.
pub const FEW_DIRECTIONS: f64 = 0.125;

/// What [`diagnosis`] saw. Its `Display` is one sentence: what was seen, and what it means.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Diagnosis {
    /// Neither of the two below. Points may still be a cone or lie near few directions: [`verdict`](super::verdict) looks for more.
    Healthy,
    /// All rows are nearly equal.
    Collapsed {
        /// Mean cosine of the pairs.
        mean_cosine: f64,
    },
    /// The points lie near a great sphere of far fewer dimensions than they could use.
    Dimensional {
        /// Effective rank (Roy and Vetterli's).
        effective_rank: f64,
        /// What as many uniform points would have.
        uniform: f64,
    },
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => write!(
                f,
                "the embeddings have not collapsed: two of them have cosine {NEARLY_EQUAL} on average at most, and their effective \
                 rank is at least 1/{:.0} of that of uniform points",
                1.0 / FEW_DIRECTIONS
            ),
            Self::Collapsed { mean_cosine } => write!(
                f,
                "the embeddings have collapsed: two of them have cosine {mean_cosine:.3} on average, so that images can \
                 hardly be told apart"
            ),
            Self::Dimensional { effective_rank, uniform } => write!(
                f,
                "the embeddings use few directions: their effective rank is {effective_rank:.1}, where uniform points \
                 have {uniform:.1}"
            ),
        }
    }
}

impl Diagnosis {
    /// What to try in training where it lasts; `None` when all is well.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Healthy => None,
            Self::Collapsed { .. } => Some("try a lower learning rate, a longer warm-up or a larger batch"),
            Self::Dimensional { .. } => {
                Some("try a lower temperature, stronger augmentation or a smaller embedding")
            }
        }
    }
}

/// Looks for collapse: [`Diagnosis::Collapsed`] if the mean cosine of pairs is above 0.95, else
/// [`Diagnosis::Dimensional`] if the effective rank is below an eighth of what n uniform points of ℝᵈ have.
pub fn diagnosis(spectrum: &Spectrum) -> Diagnosis {
    let mean_cosine = spectrum.mean_cosine();
    if mean_cosine > NEARLY_EQUAL {
        return Diagnosis::Collapsed { mean_cosine };
    }
    let effective_rank = spectrum.effective_rank_roy_vetterli();
    let rows = usize::try_from(spectrum.rows).unwrap_or(usize::MAX);
    let uniform = ideal::effective_rank(rows, spectrum.dim());
    if effective_rank < FEW_DIRECTIONS * uniform {
        return Diagnosis::Dimensional { effective_rank, uniform };
    }
    Diagnosis::Healthy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;
    use crate::sphere::sample;
    use crate::{Matrix, Points, normalize};

    /// Uniform points with every coordinate but the first `kept` scaled by `scale`.
    fn squeezed(kept: usize, scale: f64) -> Matrix<f64> {
        let mut rows = sample(400, 64, Key::new(8));
        for i in 0..rows.len() {
            rows.row_mut(i)[kept..].iter_mut().for_each(|x| *x *= scale);
        }
        normalize(&mut rows).unwrap();
        rows
    }

    #[test]
    fn each_state_is_seen_and_said() {
        let see = |rows: &Matrix<f64>| diagnosis(&Spectrum::of(Points::new(rows).unwrap()).unwrap());
        assert_eq!(see(&squeezed(0, 1.0)), Diagnosis::Healthy);
        let said = Diagnosis::Healthy.to_string();
        assert!(said.contains("cosine 0.95 on average at most") && said.contains("at least 1/8"), "{said}");
        assert_eq!(see(&squeezed(32, 0.1)), Diagnosis::Healthy);
        let few = see(&squeezed(3, 0.0));
        assert!(
            matches!(few, Diagnosis::Dimensional { effective_rank, .. } if (effective_rank - 3.0).abs() < 0.1)
        );
        assert!(few.to_string().contains("effective rank is 3.0, where uniform points have 62."), "{few}");
        let mut rows = squeezed(0, 1.0);
        for i in 0..rows.len() {
            rows.row_mut(i)[0] += 10.0;
        }
        normalize(&mut rows).unwrap();
        let equal = see(&rows);
        assert!(matches!(equal, Diagnosis::Collapsed { mean_cosine } if mean_cosine > 0.98));
        assert!(
            equal.to_string().starts_with("the embeddings have collapsed: two of them have cosine 0.99"),
            "{equal}"
        );
    }

    #[test]
    fn uniform_points_have_the_effective_rank_that_is_expected_of_them() {
        for (n, d, bound) in [(400, 64, 0.01), (64, 400, 0.01), (100, 100, 0.12)] {
            let rows = sample(n, d, Key::new(4));
            let got = Spectrum::of(Points::new(&rows).unwrap()).unwrap().effective_rank_roy_vetterli();
            let want = ideal::effective_rank(n, d);
            assert!((got - want).abs() < bound * want, "n = {n}, d = {d}: {got} for {want}");
        }
    }
}
