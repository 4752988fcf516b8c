//! The plots of a grid: quantities over an axis with a line and a band a loss, spectra side by side, heat maps of two axes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::quantities::Quantity;
use super::results::{Line, Results, Settings, rest, words};
use crate::report::draw::{Band, Chart, Curve, Extras, chart, chart_with, escape};
use crate::report::mean_and_deviation;

/// The colors of lines, in order; further lines have them again.
pub(super) const CLASSES: [&str; 6] = ["c0", "c1", "c2", "c3", "c4", "c5"];

/// A plot with its caption.
pub(super) struct Figure {
    pub(super) caption: String,
    pub(super) svg: String,
}

/// The axis whose settings are the lines of plots and the sides of comparisons: the first that is no number, else the first.
pub(super) fn line_axis(results: &Results) -> Option<&str> {
    let axes = results.axes();
    axes.iter().find(|axis| !results.is_numeric(axis)).or(axes.first()).copied()
}

/// The axes that plots run over: numbers, at least two of them.
pub(super) fn numeric_axes(results: &Results) -> Vec<&str> {
    let lines = line_axis(results);
    let is_plotted =
        |axis: &&str| Some(*axis) != lines && results.is_numeric(axis) && results.settings(axis).len() > 1;
    results.axes().into_iter().filter(is_plotted).collect()
}

/// The places (settings of all axes but `shown`) that a picture takes means over, and of how many: those at which every planned cell
/// of every seed that has come to one such place is finished. A mean over whatever is finished would put a difference between places
/// where only some of them are there, as one between the settings shown. With a single place there is no mean, and all is shown.
pub(super) struct Places<'a> {
    shown: &'a [&'a str],
    taken: Option<Vec<Settings>>,
    /// Of how many.
    pub(super) of: usize,
}

impl<'a> Places<'a> {
    pub(super) fn of(results: &Results, shown: &'a [&'a str]) -> Self {
        let is_shown = |settings: &[(String, String)]| {
            shown.iter().all(|axis| settings.iter().any(|(other, _)| other == axis))
        };
        let finished: BTreeSet<&str> = results.lines.iter().map(|line| line.cell.as_str()).collect();
        // Of each place, the seeds whose planned cells are all there.
        let mut places: Vec<(Settings, BTreeMap<u64, bool>)> = Vec::new();
        for cell in results.contents.cells.iter().filter(|cell| is_shown(&cell.settings)) {
            let there = finished.contains(cell.name.as_str());
            let here = rest(&cell.settings, |axis| shown.contains(&axis));
            let at = places.iter().position(|(known, _)| *known == here).unwrap_or_else(|| {
                places.push((here, BTreeMap::new()));
                places.len() - 1
            });
            *places[at].1.entry(cell.seed).or_insert(true) &= there;
        }
        let of = places.len();
        if of < 2 {
            return Self { shown, taken: None, of };
        }
        let seeds: BTreeSet<u64> = places
            .iter()
            .flat_map(|(_, seeds)| seeds.iter().filter(|(_, whole)| **whole).map(|(seed, _)| *seed))
            .collect();
        let whole = |of_seed: &BTreeMap<u64, bool>| {
            !seeds.is_empty() && seeds.iter().all(|seed| of_seed.get(seed) == Some(&true))
        };
        let taken =
            places.into_iter().filter(|(_, of_seed)| whole(of_seed)).map(|(place, _)| place).collect();
        Self { shown, taken: Some(taken), of }
    }

    fn has(&self, line: &Line) -> bool {
        let place = || rest(&line.settings, |axis| self.shown.contains(&axis));
        self.taken.as_ref().is_none_or(|taken| taken.contains(&place()))
    }

    /// Over how many places the means are, where that is fewer than there are.
    pub(super) fn left(&self) -> Option<usize> {
        self.taken.as_ref().map(Vec::len).filter(|&count| count < self.of)
    }
}

/// A quantity over an axis: a line a setting of `by`, with a band of one standard deviation over seeds. Where cells differ in
/// further axes, a seed's value is the mean over `places`.
pub(super) fn over(
    results: &Results,
    by: &str,
    axis: &str,
    places: &Places<'_>,
    quantity: &str,
) -> Option<String> {
    let (place, quantity) = Quantity::named(quantity);
    let scale = if quantity.percent { 100.0 } else { 1.0 };
    let settings = results.settings(axis);
    let (mut curves, mut bands) = (Vec::new(), Vec::new());
    for (number, name) in results.settings(by).into_iter().enumerate() {
        let class = CLASSES[number % CLASSES.len()];
        let (mut points, mut band) = (Vec::new(), Vec::new());
        for (x, setting) in settings.iter().enumerate() {
            let here = results.lines.iter().filter(|line| {
                line.setting(by) == Some(&name) && line.setting(axis) == Some(setting) && places.has(line)
            });
            let values = by_seed(here, place);
            if values.is_empty() {
                continue;
            }
            let (mean, deviation) = mean_and_deviation(&values);
            points.push((x as f64, scale * mean));
            if let Some(deviation) = deviation {
                band.push((x as f64, scale * (mean - deviation), scale * (mean + deviation)));
            }
        }
        if !points.is_empty() {
            curves.push(Curve { name, class, points, filled: false });
            bands.push(Band { class, points: band });
        }
    }
    let ticks = settings.into_iter().enumerate().map(|(x, setting)| (x as f64, setting)).collect();
    let frame = Chart {
        title: quantity.title,
        x_label: axis,
        size: (440.0, 280.0),
        logarithmic: false,
        whole: false,
        include: None,
    };
    (!curves.is_empty()).then(|| chart_with(&frame, &curves, &Extras { ticks, bands }))
}

/// A value a seed: the mean over its cells.
fn by_seed<'a>(lines: impl Iterator<Item = &'a Line>, quantity: usize) -> Vec<f64> {
    let mut seeds: Vec<(u64, f64, f64)> = Vec::new();
    for line in lines {
        let Some(value) = line.values[quantity] else { continue };
        match seeds.iter_mut().find(|(seed, ..)| *seed == line.seed) {
            Some((_, sum, count)) => {
                *sum += value;
                *count += 1.0;
            }
            None => seeds.push((line.seed, value, 1.0)),
        }
    }
    seeds.into_iter().map(|(_, sum, count)| sum / count).collect()
}

/// Singular values of the projector's embeddings, mean over seeds: one plot a place of the other axes, a line a setting of `by`.
pub(super) fn spectra(results: &Results, by: &str) -> Vec<Figure> {
    let mut places: Vec<Vec<(String, String)>> = Vec::new();
    for line in results.lines.iter().filter(|line| !line.spectrum.is_empty()) {
        let place = line.without(by);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
        .into_iter()
        .map(|place| {
            let mut curves = Vec::new();
            for (number, name) in results.settings(by).into_iter().enumerate() {
                let here = |line: &&Line| line.setting(by) == Some(&name) && line.without(by) == place;
                let spectra: Vec<&Vec<f64>> = results
                    .lines
                    .iter()
                    .filter(here)
                    .map(|line| &line.spectrum)
                    .filter(|s| !s.is_empty())
                    .collect();
                let Some(length) = spectra.iter().map(|spectrum| spectrum.len()).min() else { continue };
                let mean =
                    |j: usize| spectra.iter().map(|spectrum| spectrum[j]).sum::<f64>() / spectra.len() as f64;
                let shown = |x: f64| if x > 1e-9 { x } else { f64::NAN };
                let points = (0..length).map(|j| (j as f64 + 1.0, shown(mean(j)))).collect();
                curves.push(Curve { name, class: CLASSES[number % CLASSES.len()], points, filled: false });
            }
            let frame = Chart {
                title: "singular values",
                x_label: "place",
                size: (440.0, 280.0),
                logarithmic: true,
                whole: true,
                include: None,
            };
            Figure { caption: words(&place), svg: chart(&frame, &curves) }
        })
        .collect()
}

/// A quantity over two numeric axes: rows are the settings of `by` with those of `down`, columns those of `across`.
pub(super) fn heat_map(
    results: &Results,
    by: &str,
    down: &str,
    across: &str,
    quantity: &str,
) -> Option<String> {
    let (place, quantity) = Quantity::named(quantity);
    let shown = [by, down, across];
    let places = Places::of(results, &shown);
    let columns = results.settings(across);
    let mut rows: Vec<(String, Vec<Option<f64>>)> = Vec::new();
    for name in results.settings(by) {
        for setting in results.settings(down) {
            let value = |column: &String| {
                let here = results.lines.iter().filter(|line| {
                    line.setting(by) == Some(&name)
                        && line.setting(down) == Some(&setting)
                        && line.setting(across) == Some(column)
                        && places.has(line)
                });
                let values = by_seed(here, place);
                (!values.is_empty()).then(|| mean_and_deviation(&values).0)
            };
            let values: Vec<Option<f64>> = columns.iter().map(value).collect();
            if values.iter().any(Option::is_some) {
                rows.push((format!("{name}, {down} {setting}"), values));
            }
        }
    }
    let all: Vec<f64> = rows.iter().flat_map(|(_, values)| values.iter().copied().flatten()).collect();
    let low = all.iter().copied().fold(f64::INFINITY, f64::min);
    let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if all.is_empty() {
        return None;
    }
    let (left, top, wide, tall) = (210.0, 26.0, 86.0, 34.0);
    let (width, height) = (left + wide * columns.len() as f64, top + tall * rows.len() as f64);
    let mut svg = format!(
        r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{}" class="chart heat">"#,
        escape(quantity.title)
    );
    for (x, column) in columns.iter().enumerate() {
        let _ = write!(
            svg,
            r#"<text class="tick" x="{:.1}" y="16" text-anchor="middle">{}</text>"#,
            left + wide * (x as f64 + 0.5),
            escape(column)
        );
    }
    for (y, (name, values)) in rows.iter().enumerate() {
        let middle = top + tall * (y as f64 + 0.5) + 4.0;
        let _ = write!(
            svg,
            r#"<text class="tick" x="{}" y="{middle:.1}" text-anchor="end">{}</text>"#,
            left - 8.0,
            escape(name)
        );
        for (x, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            let share = if high > low { (value - low) / (high - low) } else { 0.5 };
            let (x, y) = (left + wide * x as f64, top + tall * y as f64);
            let _ = write!(
                svg,
                r#"<rect class="heat" x="{:.1}" y="{:.1}" width="{}" height="{}" fill-opacity="{:.3}"/><text class="value" x="{:.1}" y="{middle:.1}" text-anchor="middle">{}</text>"#,
                x + 1.0,
                y + 1.0,
                wide - 2.0,
                tall - 2.0,
                0.08 + 0.62 * share,
                x + wide / 2.0,
                quantity.tell(*value)
            );
        }
    }
    svg.push_str("</svg>");
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::super::results::made;
    use super::*;

    /// Two losses × two temperatures × two learning rates × two seeds, of which `is_there` says what is finished.
    fn results(is_there: impl Fn(&str, &str, &str, u64) -> bool) -> Results {
        let (mut cells, mut lines) = (Vec::new(), Vec::new());
        for seed in [1, 2] {
            for loss in ["dcl", "dhel"] {
                for temperature in ["0.1", "0.5"] {
                    for rate in ["0.5", "9"] {
                        let settings =
                            [("loss", loss), ("temperature", temperature), ("learning-rate", rate)];
                        let cell = format!("{loss},{temperature},{rate},{seed}");
                        let knn = if rate == "9" { 0.1 } else { 0.8 };
                        let line = made::line(&cell, &settings, seed, knn);
                        cells.push(made::entry(&line));
                        if is_there(loss, temperature, rate, seed) {
                            lines.push(line);
                        }
                    }
                }
            }
        }
        made::results(cells, lines)
    }

    #[test]
    fn means_are_over_places_that_are_finished_for_all_that_is_shown() {
        let shown = ["loss", "temperature"];
        let taken = |results: &Results| {
            let places = Places::of(results, &shown);
            let rates: BTreeSet<&str> = results
                .lines
                .iter()
                .filter(|line| places.has(line))
                .filter_map(|line| line.setting("learning-rate"))
                .collect();
            (rates.into_iter().collect::<Vec<_>>().join(" "), places.left())
        };
        assert_eq!(taken(&results(|_, _, _, _| true)), ("0.5 9".to_owned(), None));
        // The high rate diverged but for DHEL at 0.1: else DHEL would be drawn at 0.45 there, and DCL at 0.8.
        let diverged =
            results(|loss, temperature, rate, _| rate == "0.5" || (loss, temperature) == ("dhel", "0.1"));
        assert_eq!(taken(&diverged), ("0.5".to_owned(), Some(1)));
        // The second seed is under way: what it has not come to is left out for both.
        assert_eq!(taken(&results(|_, _, rate, seed| seed == 1 || rate == "9")), ("9".to_owned(), Some(1)));
        assert_eq!(
            taken(&results(|loss, _, _, seed| seed == 1 || loss == "dcl")),
            ("0.5 9".to_owned(), None)
        );
        assert_eq!(taken(&results(|_, _, rate, _| rate == "0.7")), (String::new(), Some(0)));
        // Where nothing is averaged, whatever is finished is shown.
        let places = Places::of(&diverged, &["loss", "temperature", "learning-rate"]);
        assert!(places.left().is_none() && diverged.lines.iter().all(|line| places.has(line)));
    }
}
