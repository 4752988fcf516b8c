//! The report of a grid: for the terminal, and as one HTML file that needs no network.

use std::fmt::Write;

use minijinja::{Value, context};

use super::chosen::{Choice, choices};
use super::compare::{Comparison, Group, comparisons, groups};
use super::figures::{CLASSES, Places, heat_map, line_axis, numeric_axes, over, spectra};
use super::quantities::{QUANTITIES, Quantity};
use super::results::{Results, words};
use crate::Result;
use crate::report::mean_and_deviation;
use crate::report::template::fill;

/// Quantities that are plotted over an axis.
const PLOTTED: [&str; 4] = ["knn", "probe", "effective_rank", "wasserstein_uniformity"];
/// Quantities whose comparisons are written out; all of them are in the table of comparisons on disk.
const COMPARED: [&str; 4] = ["knn", "probe", "effective_rank", "wasserstein_uniformity"];
/// Quantities of the terminal's table.
const TOLD: [&str; 6] =
    ["knn", "probe", "few_labels", "recall_at_1_projector", "wasserstein_uniformity", "effective_rank"];

/// What the mark of settings says whose encoders learned from labels.
const WITH_LABELS: &str = "* trained with labels, in its run or before: its numbers and those without labels are not compared like for like";

/// Axes and settings in words, with the mark.
fn called(group: &Group<'_>) -> String {
    let mark = if group.saw_labels() { "*" } else { "" };
    words(&group.settings) + mark
}

/// `79.8 ± 0.3`, or a dash.
fn told(group: &Group<'_>, quantity: usize) -> String {
    let values = group.values(quantity);
    if values.is_empty() {
        return "–".to_owned();
    }
    spread(&QUANTITIES[quantity], mean_and_deviation(&values))
}

fn spread(quantity: &Quantity, (mean, deviation): (f64, Option<f64>)) -> String {
    let deviation = deviation
        .map_or_else(String::new, |deviation| format!(" ± {}", quantity.tell_beside(deviation, mean)));
    quantity.tell(mean) + &deviation
}

/// The difference and its interval.
fn difference(one: &Comparison) -> String {
    let (_, quantity) = Quantity::named(one.quantity);
    let sign = if one.difference >= 0.0 { "+" } else { "" };
    let margin = one
        .margin
        .map_or_else(String::new, |margin| format!(" ± {}", quantity.tell_beside(margin, one.difference)));
    format!("{sign}{}{margin}", quantity.tell(one.difference))
}

/// The sentence that the report begins with.
fn headline(results: &Results, averages: &[Comparison]) -> String {
    let (cells, all) = (results.lines.len(), results.contents.cells.len());
    let finished = match all {
        1 => "1 cell".to_owned(),
        _ if cells == all => format!("{all} cells"),
        _ => format!("{cells} of {all} cells"),
    };
    let knn: Vec<&Comparison> = averages.iter().filter(|one| one.quantity == "knn").collect();
    let tested = knn.iter().filter(|one| one.seeds > 1).count();
    let found = knn.iter().filter(|one| one.is_found()).count();
    match (tested, found) {
        (0, _) => format!("{finished}; nothing was tested, which needs two seeds."),
        (1, 0) => format!("{finished}; the only pair does not differ in kNN beyond chance."),
        (1, _) => format!("{finished}; the only pair differs in kNN beyond chance."),
        (_, 0) => format!("{finished}; of {tested} pairs, no difference in kNN is beyond chance."),
        (_, 1) => format!("{finished}; of {tested} pairs, 1 differs in kNN beyond chance."),
        _ => format!("{finished}; of {tested} pairs, {found} differ in kNN beyond chance."),
    }
}

/// Comparisons of all quantities, averages over places first.
///
/// Nothing if there is no axis.
pub fn all_comparisons(results: &Results) -> Vec<Comparison> {
    let Some(by) = line_axis(results) else { return Vec::new() };
    (0..QUANTITIES.len()).flat_map(|quantity| comparisons(results, by, quantity)).collect()
}

/// Comparisons that stand for the whole grid: averages over places, or those of the only place.
fn averages(all: &[Comparison]) -> Vec<Comparison> {
    let has_averages = all.iter().any(|one| one.place.is_none());
    all.iter().filter(|one| !has_averages || one.place.is_none()).cloned().collect()
}

/// The report for the terminal.
pub fn plain(results: &Results) -> String {
    let all = all_comparisons(results);
    let averages = averages(&all);
    let groups = groups(&results.lines);
    let names: Vec<String> =
        groups.iter().map(|group| format!("{} (n = {})", called(group), group.lines.len())).collect();
    let wide = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(43) + 1;
    let mut text = format!("\n{}\n\n{:<wide$}", headline(results, &averages), "");
    for name in TOLD {
        let _ = write!(text, "{:>20}", Quantity::named(name).1.title.replace("Wasserstein", "W."));
    }
    text.push('\n');
    for (group, name) in groups.iter().zip(names) {
        let _ = write!(text, "{name:<wide$}");
        for name in TOLD {
            let _ = write!(text, "{:>20}", told(group, Quantity::named(name).0));
        }
        text.push('\n');
    }
    if groups.iter().any(Group::saw_labels) {
        let _ = writeln!(text, "{WITH_LABELS}");
    }
    let found: Vec<&Comparison> =
        averages.iter().filter(|one| one.is_found() && COMPARED.contains(&one.quantity)).collect();
    if !found.is_empty() {
        text.push_str(
            "\ndifferences beyond chance, paired by seed (95 % interval; Holm's correction, 5 %)\n",
        );
    }
    for one in found {
        let title = Quantity::named(one.quantity).1.title;
        let _ = writeln!(text, "  {title}: {} less {}: {}", one.ours, one.theirs, difference(one));
    }
    if let Some(selection) = &results.contents.select {
        text.push_str("\nchosen by kNN on a part of the training images; told on the held-out ones\n");
        for choice in choices(results, selection) {
            let (place, knn) = Quantity::named("knn");
            let value = choice.values[place].map_or_else(|| "–".to_owned(), |value| spread(knn, value));
            let _ = writeln!(
                text,
                "  {}: {} of {}: kNN {value}, over the range {}",
                words(&choice.place),
                words(&choice.chosen),
                choice.among,
                range(&choice, place)
            );
        }
    }
    for sentence in missing(results) {
        let _ = writeln!(text, "missing: {sentence}");
    }
    text
}

/// The cells that are missing, in sentences: those of one reason together, by name where they are few.
pub fn missing(results: &Results) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for (cell, why) in &results.missing {
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, cells)) => cells.push(cell),
            None => reasons.push((why, vec![cell])),
        }
    }
    let told = |(why, cells): (&str, Vec<&str>)| match cells.len() {
        1..=3 => format!("{}: {why}", cells.join(", ")),
        count => format!("{count} cells: {why}"),
    };
    reasons.into_iter().map(told).collect()
}

fn range(choice: &Choice, quantity: usize) -> String {
    choice.range[quantity].map_or_else(
        || "–".to_owned(),
        |(low, high)| format!("{} to {}", QUANTITIES[quantity].tell(low), QUANTITIES[quantity].tell(high)),
    )
}

/// The report as HTML.
///
/// # Errors
/// If the template cannot be rendered, which would be a bug.
pub fn render(results: &Results) -> Result<String> {
    let safe = Value::from_safe_string;
    let all = all_comparisons(results);
    let averages = averages(&all);
    let by = line_axis(results).unwrap_or_default();
    let lines: Vec<Value> = results
        .settings(by)
        .into_iter()
        .enumerate()
        .map(|(number, name)| context! { class => CLASSES[number % CLASSES.len()], name })
        .collect();
    let numeric = numeric_axes(results);
    let axes: Vec<Value> = numeric
        .iter()
        .map(|axis| {
            let shown = [by, *axis];
            let places = Places::of(results, &shown);
            let charts: Vec<Value> = PLOTTED
                .into_iter()
                .filter_map(|name| {
                    let svg = safe(over(results, by, axis, &places, name)?);
                    Some(context! { title => Quantity::named(name).1.title, svg })
                })
                .collect();
            let left = places.left().map(|count| {
                format!(
                    "Finished for all that is shown: {count} of {} settings of the other axes; means are over these alone.",
                    places.of
                )
            });
            context! { name => *axis, charts, left }
        })
        .collect();
    let mut heats: Vec<Value> = Vec::new();
    for (i, down) in numeric.iter().enumerate() {
        for across in &numeric[i + 1..] {
            if let Some(svg) = heat_map(results, by, down, across, "knn") {
                heats.push(context! { down => *down, across => *across, svg => safe(svg) });
            }
        }
    }
    let spectra: Vec<Value> = spectra(results, by)
        .into_iter()
        .map(|figure| context! { caption => figure.caption, svg => safe(figure.svg) })
        .collect();
    fill(
        include_str!("page.html"),
        context! {
            name => results.contents.name.clone(),
            headline => headline(results, &averages),
            by,
            lines,
            axes,
            heats,
            spectra,
            table => table(results),
            with_labels => results.lines.iter().any(|line| line.saw_labels).then_some(WITH_LABELS),
            quantities => QUANTITIES.iter().map(|quantity| quantity.title).collect::<Vec<_>>(),
            comparisons => COMPARED.into_iter().map(|name| compared(&all, &averages, name)).collect::<Vec<_>>(),
            choices => results.contents.select.as_ref().map(|selection| chosen(&choices(results, selection))),
            seeds => seeds(results).len(),
            numbers => seeds(results).iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
            recipe => results.contents.recipe.clone(),
            shared => results.shared.to_string(),
            data => results.data.clone(),
            made => results.made.clone(),
            missing => missing(results),
        },
    )
}

fn seeds(results: &Results) -> Vec<u64> {
    let mut seeds: Vec<u64> = results.lines.iter().map(|line| line.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}

fn table(results: &Results) -> Vec<Value> {
    let groups = groups(&results.lines);
    groups
        .iter()
        .map(|group| {
            let cells: Vec<String> =
                (0..QUANTITIES.len()).map(|quantity| told(group, quantity).replace(' ', "\u{a0}")).collect();
            context! { name => called(group), n => group.lines.len(), cells }
        })
        .collect()
}

/// A p-value with three digits; none is 0.
pub(super) fn chance(p: f64) -> String {
    if p < 0.0005 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// The comparisons of one quantity: averages, and each place.
fn compared(all: &[Comparison], averages: &[Comparison], name: &str) -> Value {
    let line = |one: &Comparison| {
        context! {
            pair => format!("{} less {}", one.ours, one.theirs),
            place => one.place.as_ref().map(|place| words(place)),
            difference => difference(one).replace(' ', "\u{a0}"),
            seeds => one.seeds,
            p => one.p_corrected.map_or_else(|| "–".to_owned(), chance),
            found => one.is_found(),
        }
    };
    let means: Vec<Value> = averages.iter().filter(|one| one.quantity == name).map(line).collect();
    let has_means = all.iter().any(|one| one.place.is_none());
    let each: Vec<Value> =
        all.iter().filter(|one| has_means && one.quantity == name && one.place.is_some()).map(line).collect();
    context! { title => Quantity::named(name).1.title, percent => Quantity::named(name).1.percent, means, each }
}

fn chosen(choices: &[Choice]) -> Vec<Value> {
    let (knn, probe) = (Quantity::named("knn").0, Quantity::named("probe").0);
    choices
        .iter()
        .map(|choice| {
            let value = |quantity: usize| {
                choice.values[quantity]
                    .map_or_else(|| "–".to_owned(), |value| spread(&QUANTITIES[quantity], value))
            };
            context! {
                place => words(&choice.place),
                chosen => words(&choice.chosen),
                among => choice.among,
                selection => QUANTITIES[knn].tell(choice.selection),
                knn => value(knn),
                knn_range => range(choice, knn),
                probe => value(probe),
                probe_range => range(choice, probe),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::results::{Line, made};
    use super::*;

    #[test]
    fn settings_that_saw_labels_are_marked() {
        let reports = |saw_labels: bool| {
            let line =
                |loss: &str, saw_labels| Line { saw_labels, ..made::line(loss, &[("loss", loss)], 1, 0.5) };
            let lines = vec![line("dhel", false), line("sup-con", saw_labels)];
            let results = made::results(lines.iter().map(made::entry).collect(), lines);
            [plain(&results), render(&results).unwrap()]
        };
        for report in reports(true) {
            let row = report.contains("loss sup-con* (n = 1)") || report.contains("loss sup-con*</th>");
            assert!(row && !report.contains("loss dhel*") && report.contains(WITH_LABELS), "{report}");
        }
        for report in reports(false) {
            assert!(!report.contains("sup-con*") && !report.contains(WITH_LABELS), "{report}");
        }
    }

    #[test]
    fn no_chance_is_zero() {
        assert_eq!(
            [1.0, 0.0456, 0.0005, 0.000_499, 0.0].map(chance),
            ["1.000", "0.046", "0.001", "< 0.001", "< 0.001"]
        );
    }
}
