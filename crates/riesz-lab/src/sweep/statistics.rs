//! What seeds tell: means, spreads, and differences paired by seed.
//!
//! Two settings are run with the same seeds, which give them the same first weights, batches and views; the differences of
//! a seed's two results are what varies. Their mean d̄ over n seeds has the interval d̄ ± t(0.975, n − 1) s/√n, and a p-value
//! by Student's t. Of several comparisons the p-values are corrected by Holm's rule (1979), which holds the chance of any
//! false find in the family to 5 %, whatever their dependence.

use riesz::sphere::ideal;

use crate::report::mean_and_deviation;

/// Spreads up to this are those of rounding.
const ROUNDING: f64 = 1e-12;

/// A difference, paired over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paired {
    /// Seeds.
    pub seeds: usize,
    /// The mean difference.
    pub mean: f64,
    /// Half of the 95 % interval's width; `None` with one seed, or without a spread.
    pub margin: Option<f64>,
    /// The chance of a mean as far from 0 if there were no difference: 1 where all differences are 0; `None` with one seed,
    /// or where they are all equal and not 0.
    pub p: Option<f64>,
}

impl Paired {
    /// Of the differences of each seed.
    ///
    /// # Panics
    /// If there is none.
    pub fn of(differences: &[f64]) -> Self {
        assert!(!differences.is_empty(), "a comparison of no seed");
        let seeds = differences.len();
        let (mean, deviation) = mean_and_deviation(differences);
        // Equal differences, which are shares of a few thousand images, are a coincidence and no spread of 0: with them Student's t
        // says nothing. If all are 0, no mean is nearer to 0 than theirs, whatever the spread.
        let is_zero = seeds > 1 && differences.iter().all(|x| x.abs() <= ROUNDING);
        let error = deviation
            .map(|deviation| deviation / (seeds as f64).sqrt())
            .filter(|&error| error > ROUNDING * (1.0 + mean.abs()));
        Self {
            seeds,
            mean,
            margin: error.map(|error| ideal::student_quantile(0.975, seeds - 1) * error),
            p: error
                .map(|error| 2.0 * student_cdf(-(mean / error).abs(), seeds - 1))
                .or(is_zero.then_some(1.0)),
        }
    }

    /// The 95 % interval.
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.margin.map(|margin| (self.mean - margin, self.mean + margin))
    }
}

/// P(T ≤ t) for Student's law, the inverse of [`ideal::student_quantile`], from the ideal law of the sphere as that is.
///
/// # Panics
/// If `freedom` is 0.
pub fn student_cdf(t: f64, freedom: usize) -> f64 {
    assert!(freedom > 0, "Student's law needs a degree of freedom");
    let s = t / (freedom as f64 + t * t).sqrt();
    ideal::cdf(freedom + 1, s)
}

/// Holm's corrected p-values, in the order given: sorted from the smallest, the k-th of m is multiplied by m − k + 1, and none is
/// below the one before it.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![0.0; p.len()];
    let mut least = 0.0_f64;
    for (place, &i) in order.iter().enumerate() {
        least = least.max((p.len() - place) as f64 * p[i]).min(1.0);
        corrected[i] = least;
    }
    corrected
}

/// The p-values of a family, corrected: all comparisons of two seeds or more. One whose p is not known, as its differences are
/// equal and not 0, counts in the family as 1, which nobody would have found, and stays without a p.
pub(super) fn corrected(family: &[Paired]) -> Vec<Option<f64>> {
    let p: Vec<f64> = family.iter().filter(|one| one.seeds > 1).map(|one| one.p.unwrap_or(1.0)).collect();
    let mut corrected = holm(&p).into_iter();
    let of = |one: &Paired| {
        let corrected = if one.seeds > 1 { corrected.next() } else { None };
        one.p.and(corrected)
    };
    family.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn students_law_is_the_tables() {
        // Quantiles of 97.5 % as printed in every table.
        for (freedom, expected) in
            [(1, 12.706_204_74), (2, 4.302_652_73), (3, 3.182_446_31), (9, 2.262_157_16), (100, 1.983_971_52)]
        {
            let found = ideal::student_quantile(0.975, freedom);
            assert!((found - expected).abs() < 1e-7, "{freedom}: {found}");
            assert!((student_cdf(found, freedom) - 0.975).abs() < 1e-12);
        }
        // P(T ≤ t) = ½ + arctan(t)/π with one degree of freedom, ½ + t/(2√(2 + t²)) with two.
        for t in [-30.0_f64, -1.0, 0.0, 0.5, 4.0] {
            assert!((student_cdf(t, 1) - (0.5 + t.atan() / std::f64::consts::PI)).abs() < 1e-12);
            assert!((student_cdf(t, 2) - (0.5 + t / (2.0 * (2.0 + t * t).sqrt()))).abs() < 1e-12);
        }
    }

    #[test]
    fn paired_differences_by_hand() {
        // d = 1, 2, 3: mean 2, s = 1, error 1/√3, t = 2√3.
        let found = Paired::of(&[1.0, 2.0, 3.0]);
        assert_eq!((found.seeds, found.mean), (3, 2.0));
        assert!((found.margin.unwrap() - 4.302_652_73 / 3.0_f64.sqrt()).abs() < 1e-8);
        let t = 2.0 * 3.0_f64.sqrt();
        let p = 2.0 * (0.5 - t / (2.0 * (2.0 + t * t).sqrt()));
        assert!((found.p.unwrap() - p).abs() < 1e-12, "{:?}", found.p);
        assert_eq!(Paired::of(&[0.5]), Paired { seeds: 1, mean: 0.5, margin: None, p: None });
        assert_eq!(Paired::of(&[1.0, 1.0]), Paired { seeds: 2, mean: 1.0, margin: None, p: None });
        // Equal but for rounding, as 0.788 − 0.795 and 0.791 − 0.798 are.
        assert_eq!(Paired::of(&[0.788 - 0.795, 0.791 - 0.798]).p, None);
    }

    #[test]
    fn a_pair_without_a_spread_stays_in_the_family() {
        assert_eq!(Paired::of(&[0.0, 0.0, 0.0]).p, Some(1.0));
        assert_eq!(Paired::of(&[0.0]).p, None);
        let one = |differences: &[f64]| Paired::of(differences);
        let alone = one(&[1.0, 1.2, 1.1]);
        let p = alone.p.unwrap();
        // Five others: no difference at all, equal differences, and three ordinary ones with a larger p.
        let others =
            [&[0.0, 0.0, 0.0][..], &[1.0, 1.0, 1.0], &[1.0, -1.0, 0.5], &[2.0, -1.0, 0.5], &[3.0, -1.0, 0.5]];
        let mut family = vec![alone];
        family.extend(others.iter().map(|differences| one(differences)));
        let found = corrected(&family);
        assert!((found[0].unwrap() - 6.0 * p).abs() < 1e-15, "{found:?}, {p}");
        assert_eq!((found[1], found[2]), (Some(1.0), None));
        // One seed is no test, and makes no family larger.
        family.push(one(&[1.0]));
        assert_eq!(corrected(&family)[..6], found[..]);
        assert_eq!(corrected(&family)[6], None);
    }

    #[test]
    fn holm_by_hand() {
        assert_eq!(holm(&[]), [0.0; 0]);
        let found = holm(&[0.01, 0.04, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
        assert_eq!(holm(&[0.6, 0.9]), [1.0, 1.0]);
    }
}
