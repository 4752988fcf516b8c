//! Static pictures: a sphere with its points, the histogram of cosines, the Gram matrix.

use std::fmt::Write;

use riesz::sphere::ideal;

use super::Panel;
use crate::report::draw::escape;

/// Side of a square picture.
const SIDE: f64 = 300.0;
/// Bars of a histogram.
const BARS: usize = 48;
/// More rows than this are no squares that one could see.
const GRAM: usize = 256;

/// Light and dark, as the report has them.
const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #5e5e66; } .name { fill: #1d1d1f; font-weight: 650; } \
.globe { fill: #f3f0ea; stroke: #dcd9d3; } .edge { stroke: #5e5e66; stroke-opacity: .55; fill: none; } .back { opacity: .28; } \
.point { fill: #1b4f9c; stroke: #fdfcfa; } .second { fill: none; stroke: #c8591a; stroke-width: 1.4; } .bar { fill: #1b4f9c; } .law { fill: none; stroke: #1d1d1f; stroke-dasharray: 5 4; stroke-width: 1.4; } \
.axis { stroke: #5e5e66; } .low { fill: #c8591a; } .high { fill: #1b4f9c; } \
@media (prefers-color-scheme: dark) { text { fill: #a3a2a8; } .name { fill: #e9e7e2; } .globe { fill: #202126; stroke: #34353a; } \
.edge { stroke: #a3a2a8; } .point { fill: #7fb0ff; stroke: #16171a; } .second { stroke: #f39a5f; } .bar { fill: #7fb0ff; } .law { stroke: #e9e7e2; } \
.axis { stroke: #a3a2a8; } .low { fill: #f39a5f; } .high { fill: #7fb0ff; } }";

/// All panels side by side: a sphere for d = 3, else the Gram matrix; below each the histogram of cosines.
pub fn svg(panels: &[Panel]) -> String {
    let (width, height) = (SIDE * panels.len() as f64, SIDE + 210.0);
    let mut picture = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"><style>{STYLE}</style>"#
    );
    for (number, panel) in panels.iter().enumerate() {
        let _ = write!(picture, r#"<g transform="translate({} 0)">"#, SIDE * number as f64);
        picture.push_str(&head(panel));
        let _ = write!(picture, r#"<g transform="translate(0 44)">"#);
        picture.push_str(&if panel.dim == 3 { sphere(panel) } else { gram(panel) });
        let _ = write!(picture, r#"</g><g transform="translate(0 {})">"#, SIDE + 40.0);
        picture.push_str(&histogram(panel));
        picture.push_str("</g></g>");
    }
    picture.push_str("</svg>");
    picture
}

fn head(panel: &Panel) -> String {
    // What fits the width.
    let short: String = if panel.words.chars().count() > 42 {
        panel.words.chars().take(41).chain(std::iter::once('…')).collect()
    } else {
        panel.words.clone()
    };
    let name = panel.recognized.as_deref().unwrap_or("unknown");
    format!(
        r#"<text class="name" x="12" y="18">{}</text><text x="12" y="36">{} points, d = {}: {}</text>"#,
        escape(&short),
        panel.points,
        panel.dim,
        escape(name)
    )
}

/// Seen from a point at a small angle above the equator, so that no two points of a regular set hide each other.
fn turned(x: &[f64]) -> [f64; 3] {
    let (around, up) = (0.42_f64, 0.31_f64);
    let (a, b) = (x[0] * around.cos() - x[1] * around.sin(), x[0] * around.sin() + x[1] * around.cos());
    [a, b * up.sin() + x[2] * up.cos(), b * up.cos() - x[2] * up.sin()]
}

/// The sphere from a side, what is behind it paler.
fn sphere(panel: &Panel) -> String {
    let (middle, radius) = (SIDE / 2.0, SIDE / 2.0 - 16.0);
    let at = |x: &[f64]| {
        let [a, b, depth] = turned(x);
        (middle + radius * a, middle - radius * b, depth)
    };
    let rows = panel.rows();
    let mut picture = format!(r#"<circle class="globe" cx="{middle}" cy="{middle}" r="{radius}"/>"#);
    let side = |depth: f64| if depth < 0.0 { " back" } else { "" };
    for (i, j) in panel.edges() {
        let (a, b) = (at(rows.row(i)), at(rows.row(j)));
        let _ = write!(
            picture,
            r#"<line class="edge{}" x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#,
            side(a.2 + b.2),
            a.0,
            a.1,
            b.0,
            b.1
        );
    }
    let size = (28.0 / (panel.points as f64).sqrt()).clamp(2.0, 7.0);
    let mut order: Vec<usize> = (0..panel.points * panel.views).collect();
    order.sort_by(|&i, &j| turned(rows.row(i))[2].total_cmp(&turned(rows.row(j))[2]));
    for i in order {
        let (x, y, depth) = at(rows.row(i));
        let (class, r) = if i < panel.points { ("point", size) } else { ("second", size + 2.5) };
        let _ =
            write!(picture, r#"<circle class="{class}{}" cx="{x:.1}" cy="{y:.1}" r="{r:.1}"/>"#, side(depth));
    }
    picture
}

/// Bars of the pairs' cosines with the density of the uniform law.
pub(super) fn histogram(panel: &Panel) -> String {
    let cosines = panel.cosines();
    let mut counts = [0.0; BARS];
    for s in &cosines {
        // A cosine on the border of two bars to within rounding belongs to the upper one.
        let bar = ((s + 1.0 + 1e-9) / 2.0 * BARS as f64) as usize;
        counts[bar.min(BARS - 1)] += 1.0;
    }
    let (left, right, top, bottom) = (12.0, SIDE - 12.0, 8.0, 130.0);
    let width = (right - left) / BARS as f64;
    let pairs = cosines.len() as f64;
    let expected = |bar: usize| {
        let edge = |k: usize| -1.0 + 2.0 * k as f64 / BARS as f64;
        pairs * (ideal::cdf(panel.dim, edge(bar + 1)) - ideal::cdf(panel.dim, edge(bar)))
    };
    let tallest = counts.iter().copied().chain((0..BARS).map(expected)).fold(1.0, f64::max);
    let up = |count: f64| bottom - (bottom - top) * count / tallest;
    let mut picture = String::new();
    for (bar, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        let _ = write!(
            picture,
            r#"<rect class="bar" x="{:.1}" y="{:.1}" width="{:.1}" height="{:.1}"/>"#,
            left + width * bar as f64 + 0.5,
            up(count),
            width - 1.0,
            bottom - up(count)
        );
    }
    let path: Vec<String> = (0..BARS)
        .map(|bar| format!("{:.1} {:.1}", left + width * (bar as f64 + 0.5), up(expected(bar))))
        .collect();
    let _ = write!(
        picture,
        r#"<path class="law" d="M{}"/><line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>"#,
        path.join("L")
    );
    for (tick, anchor) in [(-1.0, "start"), (0.0, "middle"), (1.0, "end")] {
        let x = left + (right - left) * (tick + 1.0) / 2.0;
        let word = if tick < 0.0 { "−1".to_owned() } else { format!("{tick}") };
        let _ =
            write!(picture, r#"<text x="{x:.1}" y="{}" text-anchor="{anchor}">{word}</text>"#, bottom + 16.0);
    }
    let _ = write!(
        picture,
        r#"<text x="{left}" y="{}">cosines of pairs; dashed: uniform points</text>"#,
        bottom + 32.0
    );
    picture
}

/// The first view's Gram matrix, rows in a chain of nearest neighbors: one color toward −1, one toward 1.
pub(super) fn gram(panel: &Panel) -> String {
    let shown = panel.order.len().min(GRAM);
    let cell = (SIDE - 24.0) / shown as f64;
    let rows = panel.rows();
    let mut picture = String::new();
    for (y, &i) in panel.order.iter().take(shown).enumerate() {
        for (x, &j) in panel.order.iter().take(shown).enumerate() {
            let s: f64 = rows.row(i).iter().zip(rows.row(j)).map(|(a, b)| a * b).sum();
            if s.abs() > 0.02 {
                let _ = write!(
                    picture,
                    r#"<rect class="{}" x="{:.2}" y="{:.2}" width="{cell:.2}" height="{cell:.2}" opacity="{:.2}"/>"#,
                    if s < 0.0 { "low" } else { "high" },
                    12.0 + cell * x as f64,
                    12.0 + cell * y as f64,
                    s.abs().min(1.0)
                );
            }
        }
    }
    let _ = write!(
        picture,
        r#"<rect class="axis" fill="none" x="12" y="12" width="{side}" height="{side}"/>"#,
        side = SIDE - 24.0
    );
    picture
}
