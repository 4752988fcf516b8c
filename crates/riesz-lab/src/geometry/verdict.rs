//! The verdict of the core as a report keeps it.

use riesz::geometry::{self, Findings};
use serde::{Deserialize, Serialize};

/// How things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// Not usable as it is.
    Bad,
    /// To be known before use.
    Mixed,
    /// Well.
    Good,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub tone: Tone,
    /// In a sentence with its number, its threshold and what to do.
    pub sentence: String,
}

/// All findings of [`geometry::verdict`], worst first; at least one.
pub fn verdict(findings: &Findings) -> Vec<Finding> {
    let kept = |geometry::Finding { tone, sentence, .. }| {
        let tone = match tone {
            geometry::Tone::Bad => Tone::Bad,
            geometry::Tone::Mixed => Tone::Mixed,
            geometry::Tone::Good => Tone::Good,
        };
        Finding { tone, sentence }
    };
    geometry::verdict(findings).into_iter().map(kept).collect()
}
