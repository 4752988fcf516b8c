//! The verdict: did the encoder learn something? Computed from the table, with and without labels, and honest about
//! what is worse.
//!
//! A difference of two shares of n queries counts when it is above twice its standard error
//! √(p(1−p)/n + q(1−q)/n); queries are the same images, so this is the cautious side.

use super::Summary;
use crate::protocols::Row;

/// How things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Better than raw pixels and the untrained encoder wherever it was asked.
    Good,
    /// Better in some ways.
    Mixed,
    /// Collapsed, or not better at all.
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
    let Some(trained) = summary.row("trained backbone") else {
        return Verdict {
            tone: Tone::Bad,
            headline: "There is no evaluation of a trained encoder.".to_owned(),
            reasons: Vec::new(),
        };
    };
    let mut tally = Tally::default();
    let mut reasons = Vec::new();
    let baselines: Vec<&Row> =
        ["raw pixels", "untrained backbone"].iter().filter_map(|name| summary.row(name)).collect();
    let settings = &summary.settings;
    type Measure = fn(&Row) -> Option<f64>;
    let few = format!("linear probe, {} labels a class", settings.few_labels);
    // Retrieval is asked of whichever rows of the encoder do it best: the projector was trained for it.
    let retrieving = match summary.row("trained projector") {
        Some(projector) if projector.recall.at_1 > trained.recall.at_1 => projector,
        _ => trained,
    };
    let asked: [(&str, &Row, usize, Measure); 4] = [
        ("retrieval of the other view (recall@1)", retrieving, 2 * settings.pairs, |row| {
            Some(row.recall.at_1)
        }),
        ("linear probe, all labels", trained, settings.queries, |row| row.probe.map(|probe| probe.accuracy)),
        (&few, trained, settings.queries, |row| row.few.map(|few| few.mean)),
        ("kNN", trained, settings.queries, |row| row.knn),
    ];
    for (what, rows, queries, measure) in asked {
        let Some(value) = measure(rows) else { continue };
        let compared: Vec<String> = baselines
            .iter()
            .filter_map(|baseline| Some(tally.compare(value, &baseline.name, measure(baseline)?, queries)))
            .collect();
        reasons.push(format!("{what}: {:.1} %; {}", 100.0 * value, compared.join("; ")));
    }
    if let Some(alarm) = &summary.alarm {
        reasons.insert(0, alarm.clone());
    }
    let (tone, headline) = if summary.alarm.is_some() {
        (Tone::Bad, "The embeddings collapsed: the encoder is not usable as it is.")
    } else if tally.worse == 0 && tally.better > 0 && tally.equal == 0 {
        (
            Tone::Good,
            "The encoder learned: it is better than raw pixels and than an untrained encoder in everything asked.",
        )
    } else if tally.worse == 0 && tally.better > 0 {
        (Tone::Good, "The encoder learned: it is better in most of what was asked, and worse in nothing.")
    } else if tally.better == 0 && tally.worse == 0 {
        (
            Tone::Mixed,
            "Nothing can be told apart from raw pixels and an untrained encoder: train longer, or hold out more images.",
        )
    } else if tally.better > 0 {
        (Tone::Mixed, "The encoder learned something, but is not better everywhere.")
    } else {
        (
            Tone::Bad,
            "The encoder learned nothing that raw pixels or an untrained encoder do not give for free.",
        )
    };
    Verdict { tone, headline: headline.to_owned(), reasons }
}

#[derive(Default)]
struct Tally {
    better: usize,
    worse: usize,
    equal: usize,
}

impl Tally {
    /// Counts a comparison and tells it.
    fn compare(&mut self, value: f64, name: &str, other: f64, queries: usize) -> String {
        let n = queries.max(1) as f64;
        let margin = 2.0 * (value * (1.0 - value) / n + other * (1.0 - other) / n).sqrt();
        let apart = value - other;
        let word = if apart > margin {
            self.better += 1;
            "better than"
        } else if apart < -margin {
            self.worse += 1;
            "worse than"
        } else {
            self.equal += 1;
            "within the error of"
        };
        format!(
            "{word} {name} at {:.1} % ({:+.1} ± {:.1} points)",
            100.0 * other,
            100.0 * apart,
            100.0 * margin
        )
    }
}
