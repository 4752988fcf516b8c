//! One table of several runs that differ in their seed alone: mean ± standard deviation, as Markdown.

use std::fmt::Write;

use super::{Settings, Summary};
use crate::protocols::Row;
use crate::{Error, Result};

/// A column: its head, and a row's number in percent.
type Column = (String, fn(&Row) -> Option<f64>);

/// The table of `summaries`, with the number of runs and their pace below. The standard deviation is that of a sample
/// (n − 1); a single run has none. Where a number is missing in some runs, the mean is of the others, with their n; where it is
/// in all, there is a dash. The largest mean of a column is bold.
///
/// # Errors
/// If there is no run, or two runs differ in more than the seed or have the same seed.
pub fn markdown(summaries: &[Summary]) -> Result<String> {
    let Some(first) = summaries.first() else {
        return Err(Error::input("there is no finished run to make a table of"));
    };
    let mut seeds = Vec::new();
    for summary in summaries {
        let (seed, recipe) = seed_and_rest(summary)?;
        if recipe != seed_and_rest(first)?.1 {
            return Err(Error::input(format!(
                "{} and {} differ in more than the seed; a table is made of runs of one recipe",
                first.run, summary.run
            )));
        }
        if seeds.contains(&seed) {
            return Err(Error::input(format!("{}: another run has its seed {seed} too", summary.run)));
        }
        seeds.push(seed);
    }
    let percent: [Column; 5] = [
        ("linear probe".to_owned(), |row| row.probe.map(|probe| probe.accuracy)),
        (format!("{} labels a class", first.settings.few_labels), |row| row.few.map(|few| few.mean)),
        ("kNN".to_owned(), |row| row.knn),
        ("recall@1".to_owned(), |row| Some(row.recall.at_1)),
        ("recall@5".to_owned(), |row| Some(row.recall.at_5)),
    ];
    let mut rows: Vec<&Row> = Vec::new();
    for row in summaries.iter().flat_map(|summary| &summary.rows) {
        if !rows.iter().any(|known| known.name == row.name) {
            rows.push(row);
        }
    }
    let numbers = |row: &Row, number: fn(&Row) -> Option<f64>| -> Vec<f64> {
        let found = summaries.iter().filter_map(|summary| summary.row(&row.name).and_then(number));
        found.map(|share| 100.0 * share).collect()
    };
    let columns: Vec<&Column> = percent
        .iter()
        .filter(|(_, number)| rows.iter().any(|row| !numbers(row, *number).is_empty()))
        .collect();
    let cells: Vec<Vec<Option<Cell>>> = rows
        .iter()
        .map(|row| columns.iter().map(|(_, number)| Cell::of(&numbers(row, *number))).collect())
        .collect();

    let mut text = format!("| percent, {} |", asked(summaries));
    columns.iter().for_each(|(head, _)| text.push_str(&format!(" {head} |")));
    let _ = write!(text, "\n|---|{}\n", "---|".repeat(columns.len()));
    for (row, line) in rows.iter().zip(&cells) {
        let _ = write!(text, "| {} ({}) |", first.called(&row.name), row.dim);
        for (column, cell) in line.iter().enumerate() {
            let Some(Cell { n, mean, deviation }) = cell else {
                text.push_str(" – |");
                continue;
            };
            let best =
                cells.iter().all(|other| other[column].as_ref().is_none_or(|other| other.mean <= *mean));
            let bold = if best { "**" } else { "" };
            let spread = deviation.map_or_else(String::new, |deviation| format!(" ± {deviation:.1}"));
            let of = if *n < summaries.len() { format!(" (n = {n})") } else { String::new() };
            let _ = write!(text, " {bold}{mean:.1}{spread}{bold}{of} |");
        }
        text.push('\n');
    }
    let pace: Vec<f64> = summaries.iter().map(|summary| summary.images_per_second).collect();
    let (lowest, highest) =
        pace.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let of = match &seeds[..] {
        [seed] => format!("One run (seed {seed})"),
        seeds => format!("Mean ± standard deviation, n = {} (seeds {})", seeds.len(), seeds.join(", ")),
    };
    let pace = match [lowest, highest].map(|pace| format!("{pace:.0}")) {
        [_, highest] if highest == "0" => String::new(),
        [lowest, highest] if lowest == highest => format!("; training at {highest} images/s"),
        [lowest, highest] => format!("; training at {lowest} to {highest} images/s"),
    };
    let _ = writeln!(text, "\n{of}{pace}.");
    Ok(text)
}

/// What the numbers of one row and column say of the runs that have one.
struct Cell {
    n: usize,
    mean: f64,
    deviation: Option<f64>,
}

impl Cell {
    fn of(numbers: &[f64]) -> Option<Self> {
        let (mean, deviation) = mean_and_deviation(numbers);
        (!numbers.is_empty()).then_some(Self { n: numbers.len(), mean, deviation })
    }
}

/// How many held-out images were asked: those of probes and kNN, and those of the retrieval if they are others or alone.
fn asked(summaries: &[Summary]) -> String {
    let told = |number: fn(&Settings) -> usize| {
        let numbers = || summaries.iter().map(|summary| number(&summary.settings));
        match (numbers().min().unwrap_or(0), numbers().max().unwrap_or(0)) {
            (low, high) if low == high => low.to_string(),
            (low, high) => format!("{low} to {high}"),
        }
    };
    let (queries, pairs) = (told(|settings| settings.queries), told(|settings| settings.pairs));
    let has_labels = summaries.iter().any(Summary::has_labels);
    match has_labels {
        true if queries == pairs => format!("{queries} held-out images"),
        true => format!("{queries} held-out images ({pairs} for recall)"),
        false => format!("{pairs} held-out images"),
    }
}

/// A run's seed, and its recipe without it.
pub(crate) fn seed_and_rest(summary: &Summary) -> Result<(u64, toml::Table)> {
    let damaged = || Error::input(format!("{}: metrics.json has no recipe with a seed", summary.run));
    let mut recipe: toml::Table = summary.recipe.parse().map_err(|_| damaged())?;
    let seed = recipe.remove("seed").and_then(|seed| seed.as_integer()).ok_or_else(damaged)?;
    Ok((seed as u64, recipe))
}

/// Mean and standard deviation of a sample (n − 1); a single number has no deviation.
pub(crate) fn mean_and_deviation(numbers: &[f64]) -> (f64, Option<f64>) {
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let squares: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, (numbers.len() > 1).then(|| (squares / (n - 1.0)).sqrt()))
}
