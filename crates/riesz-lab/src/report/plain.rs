//! Verdict and table for the terminal, and the sentences about how the table was made.

use std::fmt::Write;

use super::{Labels, Settings, Summary, verdict};
use crate::protocols::{Few, MOST_ITERATIONS, TOLERANCE};

/// The verdict and the table, at most 110 columns wide.
pub fn plain(summary: &Summary) -> String {
    let verdict = verdict(summary);
    let mut text = format!("\n{}\n", verdict.headline);
    for reason in &verdict.reasons {
        text.push_str(&format!("  {reason}\n"));
    }
    let settings = &summary.settings;
    let few = format!("{} labels/class", settings.few_labels);
    let _ = write!(text, "\n{:<21}{:>5}", "", "dim");
    if summary.has_labels() {
        let _ = write!(text, "{:>10}{few:>19}{:>9}", "probe %", "kNN %");
    }
    let _ = writeln!(text, "{:>11}{:>11}", "recall@1 %", "recall@5 %");
    let percent =
        |share: Option<f64>| share.map_or_else(|| "–".to_owned(), |share| format!("{:.1}", 100.0 * share));
    for row in &summary.rows {
        let _ = write!(text, "{:<21}{:>5}", summary.called(&row.name), row.dim);
        if summary.has_labels() {
            let few = row.few.map_or_else(|| "–".to_owned(), |few| few_labels(&few, settings));
            let probe = percent(row.probe.map(|probe| probe.accuracy));
            let _ = write!(text, "{probe:>10}{few:>19}{:>9}", percent(row.knn));
        }
        let _ =
            writeln!(text, "{:>11}{:>11}", percent(Some(row.recall.at_1)), percent(Some(row.recall.at_5)));
    }
    let _ = write!(
        text,
        "\nretrieval: the other view among all {} views of {} held-out images",
        2 * settings.pairs,
        settings.pairs
    );
    if summary.has_labels() {
        let _ = write!(
            text,
            "\nprobe and kNN (k = {}, T = {}): {} training images, {} held-out queries",
            settings.neighbors, settings.temperature, settings.references, settings.queries
        );
        if summary.has_few_labels() {
            let _ = write!(text, "; {} of {} labels a class", draws(settings.few_draws), settings.few_labels);
        }
    }
    for sentence in [how_many_labels(summary), unconverged(summary)].into_iter().flatten() {
        let _ = write!(text, "\n{sentence}");
    }
    for note in &summary.notes {
        let _ = write!(text, "\n{note}");
    }
    text.push('\n');
    text
}

/// The probe with few labels in percent: mean ± standard deviation over the draws; a single one has no spread.
pub(super) fn few_labels(few: &Few, settings: &Settings) -> String {
    let spread = match settings.few_draws {
        1 => String::new(),
        _ => format!(" ± {:.1}", 100.0 * few.deviation),
    };
    format!("{:.1}{spread}", 100.0 * few.mean)
}

fn draws(count: usize) -> String {
    if count == 1 { "1 draw".to_owned() } else { format!("{count} draws") }
}

/// How many images have a label, where it is some of them.
pub(super) fn how_many_labels(summary: &Summary) -> Option<String> {
    let Labels { train, test } = summary.labels;
    let some = train + test > 0 && (train, test) != (summary.train_images, summary.test_images);
    some.then(|| {
        format!(
            "labels: {train} of {} training images and {test} of {} held-out images have one; the others count in \
             retrieval, geometry and map",
            summary.train_images, summary.test_images
        )
    })
}

/// Which probes did not converge, if any.
pub(super) fn unconverged(summary: &Summary) -> Option<String> {
    let mut names = Vec::new();
    for row in &summary.rows {
        if let Some(probe) = row.probe.filter(|probe| !probe.converged) {
            let name = summary.called(&row.name);
            names.push(format!("{name} (gradient at {:.0e} of its start)", probe.gradient));
        }
        if let Some(few) = row.few.filter(|few| few.unconverged > 0) {
            names.push(format!("{} ({} of few labels)", summary.called(&row.name), draws(few.unconverged)));
        }
    }
    (!names.is_empty()).then(|| {
        format!(
            "not converged to a gradient of {TOLERANCE:.0e} of its start in {MOST_ITERATIONS} iterations: {}",
            names.join(", ")
        )
    })
}
