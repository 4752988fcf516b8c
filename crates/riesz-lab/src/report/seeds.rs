//! One table of several runs that differ in their seed alone: mean ± standard deviation, as Markdown.

use std::fmt::Write;

use super::Summary;
use crate::protocols::Row;
use crate::{Error, Result};

/// A column: its head, and a row's number in percent.
type Column = (String, fn(&Row) -> Option<f64>);

/// The table of `summaries`, with the number of runs and their pace below. The standard deviation is that of a sample
/// (n − 1); a single run has none. The largest mean of a column is bold.
///
/// # Errors
/// If there is no run, two runs differ in more than the seed or have the same seed, or a number is missing in one.
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
    let columns: Vec<&Column> =
        percent.iter().filter(|(_, number)| first.rows.iter().any(|row| number(row).is_some())).collect();
    let mut cells = Vec::new();
    for row in &first.rows {
        let mut line = Vec::new();
        for (head, number) in &columns {
            let mut numbers = Vec::new();
            for summary in summaries {
                let share = summary.row(&row.name).and_then(number).ok_or_else(|| {
                    Error::input(format!("{}: {} has no number for {head}", summary.run, row.name))
                })?;
                numbers.push(100.0 * share);
            }
            line.push(mean_and_deviation(&numbers));
        }
        cells.push(line);
    }

    let mut text = format!("| percent, {} held-out images |", first.settings.queries);
    columns.iter().for_each(|(head, _)| text.push_str(&format!(" {head} |")));
    let _ = write!(text, "\n|---|{}\n", "---|".repeat(columns.len()));
    for (row, line) in first.rows.iter().zip(&cells) {
        let _ = write!(text, "| {} ({}) |", first.called(&row.name), row.dim);
        for (column, &(mean, deviation)) in line.iter().enumerate() {
            let best = cells.iter().all(|other| other[column].0 <= mean);
            let bold = if best { "**" } else { "" };
            let spread = deviation.map_or_else(String::new, |deviation| format!(" ± {deviation:.1}"));
            let _ = write!(text, " {bold}{mean:.1}{spread}{bold} |");
        }
        text.push('\n');
    }
    let pace: Vec<f64> = summaries.iter().map(|summary| summary.images_per_second).collect();
    let (lowest, highest) =
        pace.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let _ = writeln!(
        text,
        "\nMean ± standard deviation, n = {} (seeds {}); training at {lowest:.0} to {highest:.0} images/s.",
        summaries.len(),
        seeds.join(", ")
    );
    Ok(text)
}

/// A run's seed, and its recipe without it.
fn seed_and_rest(summary: &Summary) -> Result<(u64, toml::Table)> {
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
