//! The page: panels that turn together and play their descents, one HTML file that needs no network.

use minijinja::{Value, context};
use serde_json::json;

use super::Panel;
use super::svg::{gram, histogram};
use crate::Result;
use crate::report::template::fill;

/// As one HTML page.
///
/// # Errors
/// If the template cannot be rendered, which would be a bug.
pub fn html(title: &str, panels: &[Panel]) -> Result<String> {
    let safe = Value::from_safe_string;
    let list: Vec<Value> = panels
        .iter()
        .map(|panel| {
            context! {
                words => panel.words.clone(),
                name => panel.recognized.clone().unwrap_or_else(|| "unknown".to_owned()),
                value => panel.value,
                turns => panel.dim == 3,
                gram => safe(if panel.dim == 3 { String::new() } else { gram(panel) }),
                histogram => safe(histogram(panel)),
            }
        })
        .collect();
    let data: Vec<serde_json::Value> = panels.iter().map(numbers).collect();
    // A string of JSON inside a script must not end it.
    let data = serde_json::Value::from(data).to_string().replace("</", "<\\/");
    let points = panels.first().map_or(0, |panel| panel.points);
    let dim = panels.first().map_or(0, |panel| panel.dim);
    fill(
        include_str!("page.html"),
        context! {
                play => safe(include_str!("page.js").to_owned()),
                data => safe(data),
                title,
                points,
                dim,
                turns => dim == 3,
                panels => list,
        },
    )
}

/// What the page's script draws: coordinates to four digits of each frame, and edges, in three dimensions alone.
fn numbers(panel: &Panel) -> serde_json::Value {
    if panel.dim != 3 {
        return json!(null);
    }
    let short = |x: &f64| (x * 1e4).round() / 1e4;
    let frames: Vec<serde_json::Value> = panel
        .frames
        .iter()
        .map(|(iteration, value, rows)| {
            json!({
                "i": iteration,
                "v": value,
                "x": rows.as_slice().iter().map(short).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "n": panel.points, "views": panel.views, "edges": panel.edges(), "frames": frames })
}
