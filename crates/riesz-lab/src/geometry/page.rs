//! The page: one HTML file that needs no network.

use std::fmt::Write;

use minijinja::{Value, context};

use super::table::{described, figure, interval};
use super::verdict::Tone;
use super::{Place, Report, files};
use crate::Result;
use crate::console::on_a_row;
use crate::report::draw::{Chart, Curve, chart, escape};
use crate::report::template::fill;

/// Near duplicates that the page lists.
const LISTED: usize = 50;
/// Classes that have a color of their own.
const COLORS: usize = 10;

/// The report as HTML.
///
/// # Errors
/// If the template cannot be rendered, which would be a bug.
pub fn render(report: &Report) -> Result<String> {
    let safe = Value::from_safe_string;
    let tone = |tone: Tone| match tone {
        Tone::Bad => "bad",
        Tone::Mixed => "mixed",
        Tone::Good => "good",
    };
    // The first clause of the worst finding is the headline; the sentences stand below.
    let worst = &report.findings[0];
    let headline = worst.sentence.split(':').next().unwrap_or_default().to_owned() + ".";
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| context! { tone => tone(finding.tone), sentence => finding.sentence.clone() })
        .collect();
    let looked_at = match report.looked_at {
        0 => None,
        all if all == report.rows => Some(format!("exact, all pairs of {all} rows")),
        some => Some(format!("a keyed sample of {some} rows (seed {}), with 95 % intervals", report.seed)),
    };
    let place = |place: &Place| format!("{} row {}", place.file, place.row);
    let duplicates: Vec<Value> = report
        .near_duplicates
        .iter()
        .take(LISTED)
        .map(|pair| context! { cosine => format!("{:.6}", pair.cosine), a => place(&pair.a), b => place(&pair.b) })
        .collect();
    let (spots, legend) = spots(report);
    fill(
        include_str!("page.html"),
        context! {
            title => files(&report.sources),
            tone => tone(worst.tone),
            headline => headline,
            findings => findings,
            rows => report.rows,
            dim => report.dim,
            files => report.sources.len(),
            looked_at => looked_at,
            notes => report.notes.clone(),
            cosines => (!report.cosines.is_empty()).then(|| safe(cosines(report))),
            wasserstein => report.value("wasserstein_uniformity").map(figure),
            spectrum => safe(spectrum(report)),
            metrics => metrics(report),
            // Unit rows differ by rounding, which is no picture.
            lengths => report.value("length_spread").filter(|spread| *spread > 1e-3).map(|_| safe(lengths(report))),
            length => report.value("mean_length").map(figure),
            map => (!report.map.is_empty()).then(|| safe(spots)),
            spots => report.map.len(),
            legend => legend,
            duplicate_cosine => report.duplicate_cosine,
            more_duplicates => report.near_duplicates.len().saturating_sub(LISTED),
            duplicates => duplicates,
        },
    )
}

fn metrics(report: &Report) -> Value {
    let told = report.metrics.iter().chain(&report.labeled).filter(|value| value.value.is_some());
    let lines = told.map(|value| {
        let [about, formula, source] = described(&value.name);
        context! {
            name => value.name.replace('_', " "),
            value => value.value.map_or_else(|| "–".to_owned(), figure),
            interval => interval(value).unwrap_or_else(|| if value.value.is_some() { "exact".to_owned() } else { String::new() }),
            about => about,
            formula => formula,
            source => source.trim_matches('–'),
        }
    });
    Value::from(lines.collect::<Vec<_>>())
}

fn frame<'a>(title: &'a str, x_label: &'a str) -> Chart<'a> {
    Chart { title, x_label, size: (900.0, 260.0), logarithmic: false, whole: false, include: Some(0.0) }
}

/// Densities over the part of [−1, 1] where there is anything.
fn cosines(report: &Report) -> String {
    let bins = report.cosines.len();
    let width = 2.0 / bins as f64;
    let some = |bin: &usize| report.cosines[*bin] > 1e-5 || report.ideal_cosines[*bin] > 1e-5;
    let first = (0..bins).find(some).unwrap_or(0).saturating_sub(2);
    let last = ((0..bins).rev().find(some).unwrap_or(bins - 1) + 2).min(bins - 1);
    let curve = |name: &str, class, shares: &[f64], filled| {
        let points =
            (first..=last).map(|bin| (-1.0 + width * (bin as f64 + 0.5), shares[bin] / width)).collect();
        Curve { name: name.to_owned(), class, points, filled }
    };
    let curves = [
        curve("these rows", "c0", &report.cosines, true),
        curve("uniform points", "ideal", &report.ideal_cosines, false),
    ];
    chart(&frame("densities of the cosines of pairs", "cosine"), &curves)
}

fn spectrum(report: &Report) -> String {
    let largest = report.singular_values.first().copied().unwrap_or(1.0).max(f64::MIN_POSITIVE);
    let curve = |name: &str, class, values: &[f64]| {
        // What is rounding has no place on a logarithmic axis.
        let shown = values.iter().map(|value| value / largest).map(|x| if x > 1e-9 { x } else { f64::NAN });
        let points = shown.enumerate().map(|(j, x)| (j as f64 + 1.0, x)).collect();
        Curve { name: name.to_owned(), class, points, filled: false }
    };
    let even = 1.0 / (report.dim as f64).sqrt();
    let mean = (report.singular_values.iter().map(|x| x * x).sum::<f64>()).sqrt() / largest;
    let level = vec![mean * even * largest; report.dim.min(report.singular_values.len())];
    let curves = [
        curve("unit rows", "c0", &report.singular_values),
        curve("with the mean taken off", "c1", &report.centered_singular_values),
        curve("uniform points", "ideal", &level),
    ];
    // A logarithm shows decay over decades, and would spoil a spectrum that is nearly flat.
    let least = report.singular_values.last().copied().unwrap_or(1.0) / largest;
    let logarithmic = least < 0.05;
    let include = (!logarithmic).then_some(0.0);
    let frame = Chart { logarithmic, whole: true, include, ..frame("singular values", "place") };
    chart(&frame, &curves)
}

fn lengths(report: &Report) -> String {
    let curve = Curve { name: "rows".to_owned(), class: "c0", points: report.lengths.clone(), filled: true };
    chart(&frame("lengths of the rows", "length"), &[curve])
}

/// The map, and the classes that its colors stand for.
fn spots(report: &Report) -> (String, Vec<Value>) {
    let side = 900.0;
    let range = |of: fn(&super::Spot) -> f64| {
        let values = report.map.iter().map(of);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
    };
    let (x, y) = (range(|spot| spot.x), range(|spot| spot.y));
    let across =
        |value: f64, (low, high): (f64, f64)| 8.0 + (value - low) / (high - low).max(1e-300) * (side - 16.0);
    let mut classes: Vec<&String> = Vec::new();
    for class in report.map.iter().filter_map(|spot| spot.class.as_ref()) {
        if !classes.contains(&class) {
            classes.push(class);
        }
    }
    classes.sort();
    let color =
        |class: Option<&String>| match class.and_then(|class| classes.iter().position(|c| *c == class)) {
            Some(place) if classes.len() <= COLORS => format!("k{place}"),
            _ => String::new(),
        };
    let mut svg = format!(
        r#"<svg viewBox="0 0 {side} {side}" role="img" aria-label="rows laid out in the plane" class="map spots">"#
    );
    for spot in &report.map {
        let class =
            spot.class.as_ref().map_or_else(String::new, |class| format!(": {}", escape(&on_a_row(class))));
        let _ = write!(
            svg,
            r#"<circle class="{}" cx="{:.1}" cy="{:.1}" r="4"><title>{} row {}{class}</title></circle>"#,
            color(spot.class.as_ref()),
            across(spot.x, x),
            across(spot.y, y),
            escape(&on_a_row(&spot.place.file)),
            spot.place.row
        );
    }
    svg.push_str("</svg>");
    let named = if classes.len() <= COLORS { classes.len() } else { 0 };
    let legend =
        (0..named).map(|i| context! { class => format!("k{i}"), name => on_a_row(classes[i]) }).collect();
    (svg, legend)
}
