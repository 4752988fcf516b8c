//! The verdict in words: what was found, its threshold, what it means, what to do.

use super::{Diagnosis, FEW_DIRECTIONS, Findings, NEARLY_EQUAL, diagnosis};
use crate::sphere::ideal;

/// Mean cosine above which the rows are called a cone: a typical pair is at less than 73°.
const CONE: f64 = 0.3;
/// Share of the variance in one direction from which it is said to have most.
const ONE_DIRECTION: f64 = 0.5;
/// Skewness of 10-occurrences from which a few rows are called hubs.
const HUBS: f64 = 3.0;
/// Near duplicates a row from which they are told.
const REPEATED: f64 = 0.01;
/// Spread of lengths from which dot products and cosines rank differently.
const UNEQUAL: f64 = 0.01;
/// Distance of the law of cosines from the ideal one, in its standard deviations 1/√d, below which rows are as good as uniform.
const UNIFORM: f64 = 0.1;

/// How things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tone {
    /// Not usable as it is.
    Bad,
    /// To be known before use.
    Mixed,
    /// Well.
    Good,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad.
    pub tone: Tone,
    /// In a sentence with its number, its threshold and what to do.
    pub sentence: String,
}

/// All that is to be said of these numbers, worst first; at least one finding. What was not looked at is not judged.
pub fn verdict(findings: &Findings) -> Vec<Finding> {
    let spectrum = &findings.spectrum;
    let mut all = Vec::new();
    let mut find = |tone: Tone, sentence: String| all.push(Finding { tone, sentence });
    let mean_cosine = spectrum.mean_cosine();
    let diagnosis = diagnosis(spectrum);
    match diagnosis {
        Diagnosis::Collapsed { mean_cosine } => find(
            Tone::Bad,
            format!(
                "Collapsed: two rows have cosine {mean_cosine:.3} on average (above {NEARLY_EQUAL}), so that they can \
                 hardly be told apart; if the spread that is left matters, subtract the mean, else train anew."
            ),
        ),
        Diagnosis::Dimensional { effective_rank, uniform } => find(
            Tone::Bad,
            format!(
                "Few directions: the effective rank is {effective_rank:.1}, where uniform points have {uniform:.1} (below \
                 1/{:.0} of it); a smaller dimension holds the same.",
                1.0 / FEW_DIRECTIONS
            ),
        ),
        Diagnosis::Healthy => {}
    }
    if mean_cosine > CONE && mean_cosine <= NEARLY_EQUAL {
        find(
            Tone::Mixed,
            format!(
                "A narrow cone: the mean cosine is {mean_cosine:.2} (above {CONE}); subtract the mean before cosine search."
            ),
        );
    }
    let largest = 1.0 / spectrum.ne_sum();
    if spectrum.ne_sum() > 0.0 && largest > ONE_DIRECTION && spectrum.dim() > 2 {
        find(
            Tone::Mixed,
            format!(
                "One direction has {:.0} % of the variance (above {:.0} %); cosines tell little but the place along it.",
                100.0 * largest,
                100.0 * ONE_DIRECTION
            ),
        );
    }
    if let Some(pairwise) = &findings.pairwise {
        if let Some(hubness) = pairwise.hubness.filter(|hubness| hubness.value > HUBS) {
            find(
                Tone::Mixed,
                format!(
                    "Hubs: how often a row is among the 10 nearest of others has skewness {:.1} (above {HUBS}); a few rows \
                     answer too many searches. Subtract the mean, or correct for it (CSLS).",
                    hubness.value
                ),
            );
        }
        let a_row = pairwise.duplicates.value / spectrum.rows as f64;
        if a_row > REPEATED && !matches!(diagnosis, Diagnosis::Collapsed { .. }) {
            find(
                Tone::Mixed,
                format!(
                    "Near duplicates: {:.3} pairs a row (above {REPEATED}); remove them before rows are split into training and \
                     test.",
                    a_row
                ),
            );
        }
    }
    if let Some(lengths) = &findings.lengths {
        let spread = lengths.deviation() / lengths.mean;
        if spread > UNEQUAL {
            find(
                Tone::Mixed,
                format!(
                    "Lengths differ: {} to {}, with a spread of {:.0} % of their mean (above {:.0} %); dot products and \
                     cosines rank differently. Everything here is of rows scaled to unit length.",
                    short(lengths.least),
                    short(lengths.most),
                    100.0 * spread,
                    100.0 * UNEQUAL
                ),
            );
        }
    }
    if diagnosis == Diagnosis::Healthy {
        let uniform =
            ideal::effective_rank(usize::try_from(spectrum.rows).unwrap_or(usize::MAX), spectrum.dim());
        let share = 100.0 * spectrum.effective_rank_roy_vetterli() / uniform;
        let bound = UNIFORM / (spectrum.dim() as f64).sqrt();
        let distance = findings.pairwise.as_ref().map(|pairwise| pairwise.wasserstein_uniformity.value);
        match distance {
            Some(distance) if distance < bound => find(
                Tone::Good,
                format!(
                    "As good as uniform: the law of the cosines is {distance:.4} from the ideal one (below {bound:.4}), and the \
                     effective rank is {share:.0} % of what uniform points have."
                ),
            ),
            _ => find(
                Tone::Good,
                format!(
                    "No collapse: the effective rank is {share:.0} % of what uniform points have (at least {:.1} %).",
                    100.0 * FEW_DIRECTIONS
                ),
            ),
        }
    }
    all.sort_by_key(|finding| finding.tone);
    all
}

/// Three decimals, or a power of ten where those say nothing.
fn short(x: f64) -> String {
    if (1e-2..1e6).contains(&x) { format!("{x:.3}") } else { format!("{x:.2e}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{NEAR_DUPLICATE, Pairwise, Spectrum};
    use crate::rng::Key;
    use crate::sphere::sample;
    use crate::{Matrix, Points, normalize};

    fn said(mut rows: Matrix<f64>) -> Vec<Finding> {
        normalize(&mut rows).unwrap();
        let points = Points::new(&rows).unwrap();
        let pairwise = Pairwise::of(points, rows.len() as u64, NEAR_DUPLICATE, Key::new(0)).unwrap();
        let spectrum = Spectrum::of(points).unwrap();
        verdict(&Findings { spectrum, lengths: None, alignment: None, pairwise: Some(pairwise) })
    }

    #[test]
    fn what_is_narrow_or_of_one_direction_is_not_called_well_first() {
        let uniform = said(sample(2000, 16, Key::new(1)));
        assert_eq!(uniform.len(), 1);
        assert!(uniform[0].tone == Tone::Good && uniform[0].sentence.starts_with("As good as uniform"));
        let mut cone = sample(500, 16, Key::new(1));
        (0..500).for_each(|i| cone.row_mut(i)[0] += 3.0);
        let cone = said(cone);
        assert!(cone[0].tone == Tone::Mixed && cone[0].sentence.starts_with("A narrow cone"), "{cone:?}");
        let mut line = Matrix::zeros(50, 8);
        (0..50).for_each(|i| line.row_mut(i)[0] = if i % 2 == 0 { 1.0 } else { -1.0 });
        let line = said(line);
        assert!(
            line.iter().all(|finding| finding.tone != Tone::Good || finding.sentence.contains("No collapse"))
        );
        assert!(line[0].sentence.starts_with("One direction has 100 % of the variance"), "{line:?}");
        let collapsed = said(Matrix::new(vec![1.0; 60], 6));
        assert!(collapsed[0].tone == Tone::Bad && collapsed[0].sentence.starts_with("Collapsed"));
    }
}
