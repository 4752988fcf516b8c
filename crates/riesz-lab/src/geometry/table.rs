//! The metrics as text: for the terminal, Markdown, LaTeX and CSV.

use std::fmt::Write;

use riesz::geometry::{METRICS, Metric};

use super::labels::{OF_LABELS, OfLabels};
use super::{Report, Value, files};

/// A table's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For a README.
    Markdown,
    /// For a paper: `tabular` with the citations.
    Latex,
    /// For a spreadsheet.
    Csv,
}

/// The metrics as a table in this format.
pub fn table(report: &Report, format: Format) -> String {
    let mut text = String::new();
    match format {
        Format::Markdown => text.push_str("| metric | value | 95 % interval | rows | definition | source |\n|---|---|---|---|---|---|\n"),
        Format::Latex => text.push_str("\\begin{tabular}{lrrl}\n\\toprule\nmetric & value & 95\\,\\% interval & source \\\\\n\\midrule\n"),
        Format::Csv => text.push_str("metric,value,low,high,rows,definition,source\n"),
    }
    for value in report.metrics.iter().chain(&report.labeled) {
        let [_, formula, source] = described(&value.name);
        let shown = value.value.map_or_else(|| "–".to_owned(), figure);
        let interval = interval(value).unwrap_or_default();
        let line = match format {
            Format::Markdown => format!(
                "| {} | {shown} | {interval} | {} | {} | {source} |",
                value.name.replace('_', " "),
                value.rows,
                formula.replace('|', "\\|")
            ),
            Format::Latex => format!(
                "{} & {} & {} & {} \\\\",
                value.name.replace('_', " "),
                shown.replace('−', "$-$").replace('–', "--"),
                interval.replace('−', "$-$").replace('–', "--"),
                latex(source)
            ),
            Format::Csv => {
                let number = |x: Option<f64>| x.map(|x| x.to_string()).unwrap_or_default();
                let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
                format!(
                    "{},{},{},{},{},{},{}",
                    value.name,
                    number(value.value),
                    number(value.low),
                    number(value.high),
                    value.rows,
                    quoted(formula),
                    quoted(source)
                )
            }
        };
        text.push_str(&line);
        text.push('\n');
    }
    if format == Format::Latex {
        text.push_str("\\bottomrule\n\\end{tabular}\n");
    }
    text
}

/// What a number says, its definition and its source.
pub(super) fn described(name: &str) -> [&'static str; 3] {
    let metric = METRICS.iter().find(|metric| metric.name == name);
    let of_rows = metric.map(|metric| [metric.about, metric.formula, metric.source]);
    let of_labels = || OF_LABELS.iter().find(|metric| metric.name == name);
    of_rows
        .or_else(|| of_labels().map(|metric| [metric.about, metric.formula, metric.source]))
        .unwrap_or_default()
}

fn latex(text: &str) -> String {
    text.replace('&', "\\&").replace('–', "--").replace('%', "\\%").replace('_', "\\_")
}

/// The verdict and the metrics, for a terminal.
pub fn plain(report: &Report) -> String {
    let mut text = String::from("\n");
    for finding in &report.findings {
        let _ = writeln!(text, "{}", finding.sentence);
    }
    let _ = writeln!(text, "\n{}: {} rows of {}", files(&report.sources), report.rows, report.dim);
    for value in report.metrics.iter().chain(&report.labeled) {
        let _ = writeln!(text, "  {:<34}{}", value.name.replace('_', " "), with_interval(value));
    }
    if report.looked_at > 0 {
        let _ = if report.looked_at == report.rows {
            writeln!(text, "\nPairwise metrics: exact, all pairs of {} rows.", report.rows)
        } else {
            writeln!(
                text,
                "\nPairwise metrics: a keyed sample of {} of {} rows (seed {}), with 95 % intervals; --sample looks at more.\n\
                 Intrinsic dimension and hubness are those of as many rows.",
                report.looked_at, report.rows, report.seed
            )
        };
    }
    for note in &report.notes {
        let _ = writeln!(text, "{note}");
    }
    for pair in report.near_duplicates.iter().take(5) {
        let _ = writeln!(
            text,
            "  cosine {:.6}: {} row {}, {} row {}",
            pair.cosine, pair.a.file, pair.a.row, pair.b.file, pair.b.row
        );
    }
    if report.near_duplicates.len() > 5 {
        let _ = writeln!(text, "  … {} near duplicates are listed by --json", report.near_duplicates.len());
    }
    text
}

/// The list of metrics: name, definition, source, and how it is had.
pub fn list() -> String {
    let mut text = String::from(
        "x unit rows, m their mean; σ singular values of the rows, c those with the mean taken off, λ = c²/n; p = σ/Σσ;\n\
         H(p) = −Σ p ln p. Pairwise metrics are exact up to --sample rows, beyond that of a keyed sample.\n",
    );
    for Metric { name, about, formula, source, pairwise, .. } in METRICS {
        let kind = if *pairwise { "  (pairwise)" } else { "" };
        let _ = write!(text, "\n{name}{kind}\n  {about}\n  {formula}\n  {source}\n");
    }
    for OfLabels { name, about, formula, source } in OF_LABELS {
        let _ = write!(text, "\n{name}  (with --labels)\n  {about}\n  {formula}\n  {source}\n");
    }
    text
}

/// A value with its interval, for a terminal.
pub fn with_interval(value: &Value) -> String {
    let shown = value.value.map_or_else(|| "–".to_owned(), figure);
    let interval = interval(value).map_or_else(String::new, |interval| format!("  [{interval}]"));
    format!("{shown:>12}{interval}")
}

/// Both ends.
pub(super) fn interval(value: &Value) -> Option<String> {
    Some(format!("{} – {}", figure(value.low?), figure(value.high?)))
}

/// About five digits; whole numbers whole.
pub fn figure(x: f64) -> String {
    let text = match x.abs() {
        _ if x.fract() == 0.0 && x.abs() < 1e15 => format!("{x:.0}"),
        size if size >= 1000.0 => format!("{x:.1}"),
        size if size >= 100.0 => format!("{x:.2}"),
        size if size >= 10.0 => format!("{x:.3}"),
        size if size >= 1e-3 => format!("{x:.4}"),
        _ => format!("{x:.1e}"),
    };
    text.replace('-', "−")
}
