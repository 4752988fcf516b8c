//! Verdict and table for the terminal.

use std::fmt::Write;

use super::{Summary, verdict};

/// The verdict and the table, at most 110 columns wide.
pub fn plain(summary: &Summary) -> String {
    let verdict = verdict(summary);
    let mut text = format!("\n{}\n", verdict.headline);
    for reason in &verdict.reasons {
        text.push_str(&format!("  {reason}\n"));
    }
    let settings = &summary.settings;
    let has_labels = summary.rows.iter().any(|row| row.knn.is_some());
    let few = format!("{} labels/class", settings.few_labels);
    let _ = write!(text, "\n{:<21}{:>5}", "", "dim");
    if has_labels {
        let _ = write!(text, "{:>10}{few:>19}{:>9}", "probe %", "kNN %");
    }
    let _ = writeln!(text, "{:>11}{:>11}", "recall@1 %", "recall@5 %");
    let percent =
        |share: Option<f64>| share.map_or_else(|| "–".to_owned(), |share| format!("{:.1}", 100.0 * share));
    for row in &summary.rows {
        let _ = write!(text, "{:<21}{:>5}", row.name, row.dim);
        if has_labels {
            let few = row.few.map_or_else(
                || "–".to_owned(),
                |few| format!("{:.1} ± {:.1}", 100.0 * few.mean, 100.0 * few.deviation),
            );
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
    if has_labels {
        let _ = write!(
            text,
            "\nprobe and kNN (k = {}, T = {}): {} training images, {} held-out queries; {} draws of {} labels a class",
            settings.neighbors,
            settings.temperature,
            settings.references,
            settings.queries,
            settings.few_draws,
            settings.few_labels
        );
    }
    text.push('\n');
    text
}
