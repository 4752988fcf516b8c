//! Curves and maps as SVG text. Colors are CSS variables of the page, so that light and dark need no second drawing.

use std::fmt::Write;

use super::{Map, Summary};
use crate::console::on_a_row;

/// One curve.
pub(crate) struct Curve {
    /// For the legend.
    pub(crate) name: String,
    /// The CSS class that colors it: `c0` … `c5`, `ideal`.
    pub(crate) class: &'static str,
    /// (x, y); a y that is not finite breaks the line.
    pub(crate) points: Vec<(f64, f64)>,
    /// Whether the area below is filled.
    pub(crate) filled: bool,
}

/// How a chart is drawn.
pub(crate) struct Chart<'a> {
    /// For screen readers.
    pub(crate) title: &'a str,
    /// Below.
    pub(crate) x_label: &'a str,
    /// Width and height in CSS pixels.
    pub(crate) size: (f64, f64),
    /// Base-10 logarithm of y.
    pub(crate) logarithmic: bool,
    /// x counts something: ticks only at whole numbers.
    pub(crate) whole: bool,
    /// Where y must reach, if anywhere.
    pub(crate) include: Option<f64>,
}

/// What a chart may have besides its curves.
#[derive(Default)]
pub(crate) struct Extras {
    /// Places and words below the axis, instead of numbers; then curves have dots at their points.
    pub(crate) ticks: Vec<(f64, String)>,
    /// Areas.
    pub(crate) bands: Vec<Band>,
}

/// An area between two curves.
pub(crate) struct Band {
    /// The CSS class that colors it.
    pub(crate) class: &'static str,
    /// (x, lower y, upper y).
    pub(crate) points: Vec<(f64, f64, f64)>,
}

const MARGIN: (f64, f64, f64, f64) = (8.0, 8.0, 34.0, 48.0);

/// A chart with axes, ticks and curves.
pub(crate) fn chart(frame: &Chart<'_>, curves: &[Curve]) -> String {
    chart_with(frame, curves, &Extras::default())
}

/// As [`chart`], with more.
pub(crate) fn chart_with(chart: &Chart<'_>, curves: &[Curve], extras: &Extras) -> String {
    let y_of = |y: f64| if chart.logarithmic { y.log10() } else { y };
    let all: Vec<(f64, f64)> = curves
        .iter()
        .flat_map(|curve| curve.points.iter().map(|&(x, y)| (x, y_of(y))))
        .chain(extras.bands.iter().flat_map(|band| band.points.iter().map(|&(x, low, _)| (x, y_of(low)))))
        .chain(extras.bands.iter().flat_map(|band| band.points.iter().map(|&(x, _, high)| (x, y_of(high)))))
        .filter(|(x, y)| x.is_finite() && y.is_finite())
        .collect();
    let (width, height) = chart.size;
    let (top, right, bottom, left) = MARGIN;
    let mut svg = format!(
        r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{}" class="chart">"#,
        escape(chart.title)
    );
    if all.is_empty() {
        svg.push_str("<text x=\"20\" y=\"30\" class=\"tick\">nothing to show</text></svg>");
        return svg;
    }
    let (x_low, x_high) = widen(range(all.iter().map(|p| p.0)));
    // Words below the first and the last place have room.
    let beside = if extras.ticks.is_empty() { 0.0 } else { 0.06 * (x_high - x_low) };
    let (x_low, x_high) = (x_low - beside, x_high + beside);
    let (y_low, y_high) = widen(range(all.iter().map(|p| p.1).chain(chart.include.map(y_of))));
    let across = |x: f64| left + (x - x_low) / (x_high - x_low) * (width - left - right);
    let up = |y: f64| height - bottom - (y - y_low) / (y_high - y_low) * (height - top - bottom);
    let mut y_ticks = ticks(y_low, y_high, 5);
    // Whole powers of ten, where there are at least two.
    if chart.logarithmic && y_ticks.iter().filter(|tick| tick.fract() == 0.0).count() >= 2 {
        y_ticks.retain(|tick| tick.fract() == 0.0);
    }
    for tick in y_ticks {
        let label = match (chart.logarithmic, tick >= -3.0) {
            (false, _) => number(tick),
            (true, true) => number(10.0_f64.powf(tick)),
            (true, false) => format!("1e{}", number(tick)),
        };
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{left}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{label}</text>"#,
            width - right,
            left - 6.0,
            up(tick) + 4.0,
            y = up(tick),
        );
    }
    let x_ticks = if extras.ticks.is_empty() {
        let ticks = ticks(x_low, x_high, 6).into_iter().filter(|tick| !chart.whole || tick.fract() == 0.0);
        ticks.map(|tick| (tick, number(tick))).collect()
    } else {
        extras.ticks.clone()
    };
    for (tick, words) in x_ticks {
        // A letter takes 7 units at most; a tick that would leave the picture ends at its edge.
        let half = 3.5 * words.chars().count() as f64;
        let (x, anchor) = if across(tick) + half > width { (width, "end") } else { (across(tick), "middle") };
        let _ = write!(
            svg,
            r#"<text class="tick" x="{x:.1}" y="{:.1}" text-anchor="{anchor}">{}</text>"#,
            height - bottom + 16.0,
            escape(&words)
        );
    }
    let _ = write!(
        svg,
        r#"<line class="axis" x1="{left}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
        width - right,
        width - right,
        height - 4.0,
        escape(chart.x_label),
        y = height - bottom,
    );
    for band in &extras.bands {
        let forth = band.points.iter().map(|&(x, _, high)| (x, high));
        let back = band.points.iter().rev().map(|&(x, low, _)| (x, low));
        let corners: Vec<String> = forth
            .chain(back)
            .filter(|&(_, y)| y_of(y).is_finite())
            .map(|(x, y)| format!("{:.1} {:.1}", across(x), up(y_of(y))))
            .collect();
        if !corners.is_empty() {
            let _ = write!(svg, r#"<path class="area {}" d="M{}Z"/>"#, band.class, corners.join("L"));
        }
    }
    for curve in curves {
        let mut path = String::new();
        let mut pen = 'M';
        let mut drawn = Vec::new();
        for &(x, y) in &curve.points {
            let y = y_of(y);
            if !y.is_finite() {
                pen = 'M';
                continue;
            }
            let _ = write!(path, "{pen}{:.1} {:.1}", across(x), up(y));
            drawn.push(x);
            pen = 'L';
        }
        if drawn.is_empty() {
            continue;
        }
        if curve.filled {
            let floor = height - bottom;
            let (first, last) = range(drawn.iter().copied());
            let _ = write!(
                svg,
                r#"<path class="area {}" d="{path}L{:.1} {floor:.1}L{:.1} {floor:.1}Z"/>"#,
                curve.class,
                across(last),
                across(first)
            );
        }
        let name = escape(&curve.name);
        if drawn.len() == 1 || !extras.ticks.is_empty() {
            for &(x, y) in curve.points.iter().filter(|p| y_of(p.1).is_finite()) {
                let _ = write!(
                    svg,
                    r#"<circle class="dot {}" cx="{:.1}" cy="{:.1}" r="3"><title>{name}</title></circle>"#,
                    curve.class,
                    across(x),
                    up(y_of(y))
                );
            }
        }
        if drawn.len() > 1 {
            let _ =
                write!(svg, r#"<path class="line {}" d="{path}"><title>{name}</title></path>"#, curve.class);
        }
    }
    svg.push_str("</svg>");
    svg
}

/// The map: a thumbnail at each place, framed in its class's color.
pub(super) fn map(summary: &Summary, map: &Map) -> String {
    let side = 900.0;
    let (x_low, x_high) = widen(range(map.points.iter().map(|point| point.x)));
    let (y_low, y_high) = widen(range(map.points.iter().map(|point| point.y)));
    let picture = if map.points.len() > 300 { 22.0 } else { 28.0 };
    let room = side - picture - 4.0;
    let mut svg = format!(
        r#"<svg viewBox="0 0 {side} {side}" role="img" aria-label="held-out images laid out by their representations" class="map">"#
    );
    for point in &map.points {
        let x = 2.0 + (point.x - x_low) / (x_high - x_low) * room;
        let y = 2.0 + (point.y - y_low) / (y_high - y_low) * room;
        let class = point.label.map_or_else(|| "k".to_owned(), |label| format!("k{}", label % 10));
        let _ = write!(
            svg,
            r#"<g class="{class}"><title>{}{}</title><image x="{x:.1}" y="{y:.1}" width="{picture}" height="{picture}" preserveAspectRatio="xMidYMid slice" href="data:image/png;base64,{}"/><rect x="{x:.1}" y="{y:.1}" width="{picture}" height="{picture}"/></g>"#,
            escape(&on_a_row(&point.name)),
            point
                .label
                .map_or_else(String::new, |label| format!(": {}", escape(&class_name(summary, label)))),
            escape(&point.thumbnail),
        );
    }
    svg.push_str("</svg>");
    svg
}

/// The name of a class on one line, or its number.
pub(super) fn class_name(summary: &Summary, label: u32) -> String {
    let name = summary.classes.get(label as usize);
    name.map_or_else(|| label.to_string(), |name| on_a_row(name).into_owned())
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
}

/// A range that is not a point, and does not reach beyond zero for that.
fn widen((low, high): (f64, f64)) -> (f64, f64) {
    let half = if low == 0.0 { 0.5 } else { low.abs() / 2.0 };
    if high - low > 1e-12 * low.abs().max(1.0) { (low, high) } else { (low - half, high + half) }
}

/// Round numbers inside a range, about `count` of them.
fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let raw = (high - low) / count as f64;
    let power = 10.0_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= raw).unwrap_or(raw);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A tick's number without needless digits.
fn number(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    if x.abs() >= 1e5 {
        return format!("{x:e}");
    }
    let text = format!("{x:.4}");
    text.trim_end_matches('0').trim_end_matches('.').replace('-', "−")
}

/// Text that is safe inside XML.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(y: &[f64], logarithmic: bool) -> Vec<String> {
        let points = y.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect();
        let curve = Curve { name: "y".to_owned(), class: "c0", points, filled: false };
        let frame =
            Chart { title: "t", x_label: "x", whole: true, size: (300.0, 200.0), logarithmic, include: None };
        let svg = chart(&frame, &[curve]);
        let ticks = svg.split("text-anchor=\"end\">").skip(1);
        let mut found: Vec<String> = ticks.map(|text| text[..text.find('<').unwrap()].to_owned()).collect();
        assert_eq!(found.pop().unwrap(), "x");
        found
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(&[1.0, 0.03, 0.004], true), ["0.01", "0.1", "1"]);
        assert_eq!(labels(&[1.0, 1e-6], true), ["1e−6", "1e−4", "0.01", "1"]);
        assert_eq!(labels(&[-0.4, 0.4], false), ["−0.4", "−0.2", "0", "0.2", "0.4"]);
        // A share that was measured once has no ticks below zero.
        assert!(labels(&[0.1], false).iter().all(|tick| !tick.starts_with('−')));
    }
}
