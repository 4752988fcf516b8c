//! The verdict: did the encoder learn something? Computed from the table, with and without labels, and honest about
//! what is worse.
//!
//! Like is compared with like: the trained backbone, whose rows are what one uses later, against the untrained backbone
//! and raw pixels, and where training began with weights with these, each on the same questions. A difference counts when it is beyond its margin
//! ([`difference`](crate::protocols::difference)).

use super::{Comparison, START, Summary};
use crate::protocols::{Measure, Row};

/// How things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Better than raw pixels and the untrained encoder wherever it was asked.
    Good,
    /// Better in some ways.
    Mixed,
    /// Not better at all, collapsed or not.
    Bad,
}

/// What to tell first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How things stand.
    pub tone: Tone,
    /// In one sentence.
    pub headline: String,
    /// Why, each with its number.
    pub reasons: Vec<String>,
}

/// Compares the trained encoder with what costs nothing.
pub fn verdict(summary: &Summary) -> Verdict {
    let mut tally = Tally::default();
    let mut reasons = Vec::new();
    for measure in [Measure::Retrieval, Measure::Probe, Measure::FewLabels, Measure::Knn] {
        let asked: Vec<&Comparison> =
            summary.comparisons.iter().filter(|comparison| comparison.measure == measure).collect();
        let value = |name: &str| summary.row(name).and_then(|row: &Row| row.value(measure));
        let Some(ours) = asked.first().and_then(|comparison| value(&comparison.ours)) else { continue };
        let compared: Vec<String> = asked
            .iter()
            .filter_map(|comparison| Some(tally.count(comparison, value(&comparison.theirs)?)))
            .collect();
        let what = match measure {
            Measure::Retrieval => "retrieval of the other view (recall@1)".to_owned(),
            Measure::Probe => "linear probe, all labels".to_owned(),
            Measure::FewLabels => format!("linear probe, {} labels a class", summary.settings.few_labels),
            Measure::Knn => "kNN".to_owned(),
        };
        reasons.push(format!("{what}: {:.1} %; {}", 100.0 * ours, compared.join("; ")));
    }
    let nothing = reasons.is_empty();
    reasons.splice(0..0, summary.alarm.clone());
    let baselines = match summary.comparisons.iter().any(|comparison| comparison.theirs == "raw pixels") {
        true => ["raw pixels and", "raw pixels or"],
        false => ["", ""],
    };
    let [and, or] = baselines.map(|pixels| format!("{pixels} an untrained encoder").trim_start().to_owned());
    let begun = match summary.comparisons.iter().any(|comparison| comparison.theirs == START) {
        true => [" and the weights that it began with", " or the weights that it began with"],
        false => [""; 2],
    };
    let [and, or] = [and + begun[0], or + begun[1]];
    let (tone, headline) = match summary.was_trained() {
        true => of_training(summary, &tally, nothing, &and, &or),
        false => of_weights(&tally, &and, &or),
    };
    Verdict { tone, headline, reasons }
}

/// What the comparisons say of an encoder that was trained.
fn of_training(summary: &Summary, tally: &Tally, nothing: bool, and: &str, or: &str) -> (Tone, String) {
    // The alarm is of the projector; where the backbone is better than what costs nothing, it can be used.
    if summary.collapsed && tally.better == 0 {
        (Tone::Bad, "The embeddings collapsed: the encoder is not usable as it is.".to_owned())
    } else if nothing {
        (Tone::Bad, "There is no evaluation of a trained encoder.".to_owned())
    } else if tally.worse == 0 && tally.better > 0 && tally.equal == 0 {
        (Tone::Good, format!("The encoder learned: it is better than {and} in everything asked."))
    } else if tally.worse == 0 && tally.better > 0 {
        let headline = "The encoder learned: it is better in most of what was asked, and worse in nothing.";
        match tally.better > tally.equal {
            true => (Tone::Good, headline.to_owned()),
            false => (Tone::Good, headline.replace("most", "part")),
        }
    } else if tally.better == 0 && tally.worse == 0 {
        (Tone::Mixed, format!("Nothing can be told apart from {and}: train longer, or hold out more images."))
    } else if tally.better > 0 {
        (Tone::Mixed, "The encoder learned something, but is not better everywhere.".to_owned())
    } else {
        (Tone::Bad, format!("The encoder learned nothing that {or} does not give for free."))
    }
}

/// What they say of weights that were judged without any training.
fn of_weights(tally: &Tally, and: &str, or: &str) -> (Tone, String) {
    let weights = "Without further training the weights that the run began with";
    match (tally.better, tally.equal, tally.worse) {
        (0, 0, 0) => (Tone::Bad, "There is no evaluation of these weights.".to_owned()),
        (_, 0, 0) => (Tone::Good, format!("{weights} are better than {and} in everything asked.")),
        (better @ 1.., equal, 0) => {
            let share = if better > equal { "most" } else { "part" };
            (Tone::Good, format!("{weights} are better in {share} of what was asked, and worse in nothing."))
        }
        (0, _, 0) => {
            (Tone::Mixed, format!("{weights} cannot be told apart from {and}; hold out more images."))
        }
        (1.., _, _) => {
            (Tone::Mixed, format!("{weights} are better in some of what was asked, and worse in some."))
        }
        _ => (Tone::Bad, format!("{weights} give nothing that {or} does not give for free.")),
    }
}

#[derive(Default)]
struct Tally {
    better: usize,
    worse: usize,
    equal: usize,
}

impl Tally {
    /// Counts a comparison and tells it.
    fn count(&mut self, comparison: &Comparison, other: f64) -> String {
        let Comparison { theirs, difference, margin, .. } = comparison;
        let (counted, word) = match *margin {
            Some(margin) if *difference > margin => (&mut self.better, "better than"),
            Some(margin) if *difference < -margin => (&mut self.worse, "worse than"),
            Some(_) => (&mut self.equal, "within the error of"),
            None => (&mut self.equal, "not judged against"),
        };
        *counted += 1;
        let error = match margin {
            Some(margin) => format!(" ± {:.1} points", 100.0 * margin),
            None => " points; a single draw of labels has no spread".to_owned(),
        };
        format!("{word} {theirs} at {:.1} % ({:+.1}{error})", 100.0 * other, 100.0 * difference)
    }
}
