//! The page: one HTML file that needs no network.

use minijinja::{Value, context};
use riesz::geometry::{Better, METRICS};

use super::draw::{Chart, Curve, chart, class_name, map};
use super::plain::{few_labels, how_many_labels, unconverged};
use super::template::fill;
use super::{LossBound, Settings, Summary, Thumb, Tone, verdict};
use crate::Result;
use crate::console::on_a_row;
use crate::progress::duration;
use crate::protocols::{Row, TOLERANCE};
use crate::run::Epoch;

/// The report as HTML.
///
/// # Errors
/// If the template cannot be rendered, which would be a bug.
pub fn render(summary: &Summary) -> Result<String> {
    let safe = Value::from_safe_string;
    let verdict = verdict(summary);
    let tone = match verdict.tone {
        Tone::Good => "good",
        Tone::Mixed => "mixed",
        Tone::Bad => "bad",
    };
    let environment_lines: Vec<(String, String)> = summary
        .environment
        .as_object()
        .map(|object| object.iter().map(|(key, value)| (key.replace('_', " "), plain(value))).collect())
        .unwrap_or_default();
    let recall_of_chance = 1.0 / (2.0 * summary.settings.pairs as f64 - 1.0).max(1.0);
    fill(
        include_str!("page.html"),
        context! {
            run => summary.run.clone(),
            data => summary.data.clone(),
            encoder => summary.encoder.clone(),
            loss => summary.loss.clone(),
            optimizer => summary.optimizer.clone(),
            recipe => summary.recipe.clone(),
            environment => pairs(&environment_lines),
            settings => settings(summary),
            train_images => summary.train_images,
            test_images => summary.test_images,
            training_time => duration(summary.training_seconds),
            images_per_second => format!("{:.0}", summary.images_per_second),
            tone => tone,
            headline => verdict.headline,
            reasons => verdict.reasons.iter().map(|reason| unbroken(reason)).collect::<Vec<_>>(),
            has_labels => summary.has_labels(),
            has_few_labels => summary.has_few_labels(),
            has_raw_pixels => summary.comparisons.iter().any(|comparison| comparison.theirs == "raw pixels"),
            tolerance => format!("{TOLERANCE:.0e}"),
            notes => notes(summary),
            table => table(summary),
            trained => if summary.was_trained() { "trained" } else { "as it is" },
            trained_backbone => summary.called("trained backbone"),
            trained_projector => summary.called("trained projector"),
            chance => format!("{:.2}", 100.0 * recall_of_chance),
            loss_chart => safe(losses(summary)),
            saw_labels => summary.saw_labels(),
            loss_bound => summary.loss_bound.as_ref().map(LossBound::told),
            epoch_charts => epoch_charts(&summary.epochs),
            cosines => safe(cosines(summary)),
            dim => summary.cosines.dim,
            spectrum => safe(spectrum(summary)),
            map => summary.map.as_ref().map(|points| safe(map(summary, points))),
            legend => legend(summary),
            neighbors => neighbors(summary),
            geometry => geometry(summary),
            alarm => summary.alarm.as_deref(),
            collapsed => summary.collapsed,
            was_trained => summary.was_trained(),
            unreadable => pairs(&summary.unreadable),
        },
    )
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn pairs(pairs: &[(String, String)]) -> Value {
    Value::from(pairs.iter().map(|(a, b)| Value::from(vec![a.clone(), b.clone()])).collect::<Vec<Value>>())
}

/// A difference and its error stay on one line.
fn unbroken(text: &str) -> String {
    text.replace(" ± ", "\u{a0}±\u{a0}")
        .replace(" points)", "\u{a0}points)")
        .replace("(-", "(−")
        .replace(" %", "\u{a0}%")
}

/// What has to be known beside the table, as sentences.
fn notes(summary: &Summary) -> Vec<String> {
    let sentences = [how_many_labels(summary), unconverged(summary)].into_iter().flatten();
    sentences
        .chain(summary.notes.iter().cloned())
        .map(|sentence| {
            let mut letters = sentence.chars();
            let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
            // kNN keeps its spelling.
            if sentence.starts_with("kNN") {
                format!("{sentence}.")
            } else {
                format!("{first}{}.", letters.as_str())
            }
        })
        .collect()
}

fn settings(summary: &Summary) -> Value {
    let Settings { neighbors, temperature, references, queries, few_labels, few_draws, pairs, gallery } =
        summary.settings;
    context! { neighbors, temperature, references, queries, few_labels, few_draws, pairs, gallery }
}

/// Cells as text, with the best of each column marked.
fn table(summary: &Summary) -> Value {
    let rows = &summary.rows;
    let columns: [fn(&Row) -> Option<f64>; 5] = [
        |row| row.probe.map(|probe| probe.accuracy),
        |row| row.few.map(|few| few.mean),
        |row| row.knn,
        |row| Some(row.recall.at_1),
        |row| Some(row.recall.at_5),
    ];
    let best = columns.map(|column| rows.iter().filter_map(column).fold(f64::NEG_INFINITY, f64::max));
    let lines: Vec<Value> = rows
        .iter()
        .map(|row| {
            let cells: Vec<Value> = columns
                .iter()
                .zip(best)
                .enumerate()
                .map(|(i, (column, best))| {
                    let value = column(row);
                    let text = match (i, row.few) {
                        (1, Some(few)) => few_labels(&few, &summary.settings),
                        _ => value.map_or_else(|| "–".to_owned(), |share| format!("{:.1}", 100.0 * share)),
                    };
                    context! { text => text, best => value == Some(best) }
                })
                .collect();
            let probe = row.probe.map(|probe| {
                format!(
                    "λ = {:e}, {} iterations to a gradient of {:.1e} of its start, {}",
                    probe.penalty,
                    probe.iterations,
                    probe.gradient,
                    if probe.converged { "converged" } else { "not converged" }
                )
            });
            context! { name => summary.called(&row.name), dim => row.dim, cells => cells, trained => row.name.starts_with("trained"), probe => probe }
        })
        .collect();
    Value::from(lines)
}

fn losses(summary: &Summary) -> String {
    let curve = |name: &str, class, part: &dyn Fn(&super::StepPoint) -> f64| Curve {
        name: name.to_owned(),
        class,
        points: summary.steps.iter().map(|point| (point.step as f64, part(point))).collect(),
        filled: false,
    };
    let mut curves = vec![
        curve("loss", "c0", &|point| point.loss),
        curve("attraction", "c1", &|point| point.attraction),
        curve("repulsion", "c2", &|point| point.repulsion),
    ];
    if let Some(LossBound { value, .. }) = summary.loss_bound {
        curves.push(curve("bound", "ideal", &|_| value));
    }
    let frame = Chart {
        title: "loss over the steps",
        x_label: "step",
        whole: true,
        size: (720.0, 280.0),
        logarithmic: false,
        include: None,
    };
    chart(&frame, &curves)
}

/// One small chart a measure.
fn epoch_charts(epochs: &[Epoch]) -> Value {
    let metric = |name: &'static str| {
        move |epoch: &Epoch| {
            epoch.geometry.iter().find(|(found, _)| found == name).map_or(f64::NAN, |(_, value)| *value)
        }
    };
    type Measure = Box<dyn Fn(&Epoch) -> f64>;
    let mut measures: Vec<(String, Measure)> =
        vec![("recall@1, projector".to_owned(), Box::new(|epoch: &Epoch| epoch.recall_at_1))];
    if let Some(asked) = epochs.iter().find(|epoch| epoch.knn.is_some()) {
        let of = match [asked.knn_queries, asked.knn_references] {
            [0, _] | [_, 0] => String::new(),
            [queries, references] => format!(", {queries} queries against {references} references"),
        };
        let title = format!("kNN, backbone{of}");
        measures.push((title, Box::new(|epoch: &Epoch| epoch.knn.unwrap_or(f64::NAN))));
    }
    for name in ["alignment", "uniformity", "wasserstein_uniformity", "effective_rank"] {
        measures.push((format!("{}, projector", name.replace('_', " ")), Box::new(metric(name))));
    }
    let charts: Vec<Value> = measures
        .into_iter()
        .map(|(name, measure)| {
            let points = epochs.iter().map(|epoch| (epoch.epoch as f64, measure(epoch))).collect();
            let curve = Curve { name: name.clone(), class: "c0", points, filled: false };
            let frame = Chart {
                title: &name,
                x_label: "epoch",
                whole: true,
                size: (340.0, 190.0),
                logarithmic: false,
                include: None,
            };
            context! { title => name.clone(), svg => Value::from_safe_string(chart(&frame, &[curve])) }
        })
        .collect();
    Value::from(charts)
}

fn cosines(summary: &Summary) -> String {
    let cosines = &summary.cosines;
    let curve = |name: &str, class, shares: &[f64], filled| Curve {
        name: name.to_owned(),
        class,
        // Shares of bins as densities.
        points: shares
            .iter()
            .enumerate()
            .map(|(i, share)| {
                let center = (2 * i + 1) as f64 / cosines.bins as f64 - 1.0;
                (center, share * cosines.bins as f64 / 2.0)
            })
            .collect(),
        filled,
    };
    let curves = [
        curve("other pairs", "c1", &cosines.other, true),
        curve("matched pairs", "c2", &cosines.matched, true),
        curve("uniform points on the sphere", "ideal", &cosines.ideal, false),
    ];
    let frame = Chart {
        title: "distribution of cosines",
        x_label: "cosine",
        whole: false,
        size: (720.0, 280.0),
        logarithmic: false,
        include: Some(0.0),
    };
    chart(&frame, &curves)
}

fn spectrum(summary: &Summary) -> String {
    const CLASSES: [&str; 4] = ["c0", "c1", "c2", "c3"];
    let curves: Vec<Curve> = summary
        .spectrum
        .iter()
        .zip(CLASSES)
        .map(|(spectrum, class)| Curve {
            name: summary.called(&spectrum.name).into_owned(),
            class,
            // Below 1e-6 of the largest is rounding.
            points: spectrum
                .values
                .iter()
                .enumerate()
                .map(|(i, value)| ((i + 1) as f64, value.max(1e-6)))
                .collect(),
            filled: false,
        })
        .collect();
    let frame = Chart {
        title: "singular values",
        x_label: "index",
        whole: true,
        size: (720.0, 280.0),
        logarithmic: true,
        include: Some(1.0),
    };
    chart(&frame, &curves)
}

fn legend(summary: &Summary) -> Value {
    let mut labels: Vec<u32> =
        summary.map.iter().flat_map(|map| map.points.iter().filter_map(|point| point.label)).collect();
    labels.sort_unstable();
    labels.dedup();
    // Ten colors tell ten classes apart; more would repeat them.
    if labels.len() > 10 {
        labels.clear();
    }
    let mut entries: Vec<Value> = labels
        .into_iter()
        .map(|label| context! { class => format!("k{}", label % 10), name => class_name(summary, label) })
        .collect();
    let some_have_none = summary.map.iter().flat_map(|map| &map.points).any(|point| point.label.is_none());
    if some_have_none && !entries.is_empty() {
        entries.push(context! { class => "k", name => "no label" });
    }
    Value::from(entries)
}

fn neighbors(summary: &Summary) -> Value {
    let thumb = |thumb: &Thumb, query: Option<u32>| {
        let wrong = matches!((thumb.label, query), (Some(label), Some(query)) if label != query);
        context! {
            name => on_a_row(&thumb.name),
            class => thumb.label.map(|label| class_name(summary, label)),
            cosine => format!("{:.3}", thumb.cosine),
            thumbnail => thumb.thumbnail.clone(),
            wrong => wrong,
        }
    };
    let lines: Vec<Value> = summary
        .neighbors
        .iter()
        .map(|line| {
            let nearest: Vec<Value> = line.nearest.iter().map(|near| thumb(near, line.query.label)).collect();
            context! { query => thumb(&line.query, None), nearest => nearest }
        })
        .collect();
    Value::from(lines)
}

fn geometry(summary: &Summary) -> Value {
    let lines: Vec<Value> = summary
        .geometry
        .iter()
        .map(|line| {
            let metric = METRICS.iter().find(|metric| metric.name == line.metric);
            let better = metric.map_or("", |metric| match metric.better {
                Better::Lower => "lower",
                Better::Higher => "higher",
                Better::Neither => "",
            });
            context! {
                name => line.metric.replace('_', " "),
                trained => figure(line.trained),
                untrained => figure(line.untrained),
                better => better,
                about => metric.map_or("", |metric| metric.about),
            }
        })
        .collect();
    Value::from(lines)
}

/// Three digits, unless it is a count.
fn figure(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.3}") }
}
