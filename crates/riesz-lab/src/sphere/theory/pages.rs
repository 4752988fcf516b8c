//! The experiments as pages: Markdown for the documentation, and one HTML file with pictures that needs no network.

use std::fmt::Write;

use minijinja::{Value, context};

use super::{Experiment, Verdict};
use crate::Result;
use crate::report::template::fill;

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::Fails => "fails",
        Verdict::Open => "open",
    }
}

/// How many claims hold, fail and are left open.
pub fn headline(experiments: &[Experiment]) -> String {
    let count = |verdict| experiments.iter().filter(|one| one.verdict == verdict).count();
    format!(
        "{} claims hold, {} fail, {} left open",
        count(Verdict::Holds),
        count(Verdict::Fails),
        count(Verdict::Open)
    )
}

/// As Markdown, below `head` (a title and what was run).
pub fn markdown(head: &str, experiments: &[Experiment]) -> String {
    let mut page = format!("{head}\n\n");
    for (number, one) in experiments.iter().enumerate() {
        let _ = write!(
            page,
            "## {}. {}\n\n**Claim.** {}\n\n**Predicted.** {}\n\n**Measured.** {}\n\n**Verdict: {}.**\n\n",
            number + 1,
            one.title,
            one.statement,
            one.predicted,
            one.measured,
            word(one.verdict)
        );
        if let Some(table) = &one.table {
            let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
            page.push_str(&line(&table.head));
            page.push_str(&line(&vec!["---".to_owned(); table.head.len()]));
            table.rows.iter().for_each(|row| page.push_str(&line(row)));
            page.push('\n');
        }
    }
    page.trim_end().to_owned() + "\n"
}

/// As one HTML page.
///
/// # Errors
/// If the template cannot be rendered, which would be a bug.
pub fn html(title: &str, run: &str, experiments: &[Experiment]) -> Result<String> {
    let safe = Value::from_safe_string;
    let list: Vec<Value> = experiments
        .iter()
        .map(|one| {
            let tone = match one.verdict {
                Verdict::Holds => "good",
                Verdict::Fails => "bad",
                Verdict::Open => "mixed",
            };
            let figures: Vec<Value> = one
                .figures
                .iter()
                .map(|figure| {
                    let key: Vec<Value> = figure
                        .key
                        .iter()
                        .map(|(class, name)| context! { class => *class, name => name.clone() })
                        .collect();
                    context! { caption => figure.caption.clone(), key, svg => safe(figure.svg.clone()) }
                })
                .collect();
            context! {
                title => one.title.clone(),
                statement => one.statement.clone(),
                predicted => one.predicted.clone(),
                measured => one.measured.clone(),
                verdict => word(one.verdict),
                tone,
                head => one.table.as_ref().map(|table| table.head.clone()),
                rows => one.table.as_ref().map(|table| table.rows.clone()),
                figures,
            }
        })
        .collect();
    let fails = experiments.iter().any(|one| one.verdict == Verdict::Fails);
    fill(
        include_str!("page.html"),
        context! {
                title,
                run,
                tone => if fails { "bad" } else { "good" },
                headline => headline(experiments),
                experiments => list,
        },
    )
}
