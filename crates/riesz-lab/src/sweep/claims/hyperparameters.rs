//! How much a loss's accuracy depends on its hyperparameters: its range over all settings of a grid.

use super::contrast::{Asked, contrast, loss, told};
use super::{Finding, Judgement, POINTS};
use crate::sweep::quantities::{QUANTITIES, Quantity};
use crate::sweep::results::{Line, Results};
use crate::sweep::statistics::Paired;
use crate::{Error, Result};

/// The range of kNN over the settings of a loss, ours against theirs.
pub(super) fn look(results: &Results) -> Result<Finding> {
    let place = Quantity::named("knn").0;
    let mut seeds: Vec<u64> = results.contents.cells.iter().map(|cell| cell.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    // A line a loss and seed, whose value is the range over its settings.
    let mut ranges: Vec<Line> = Vec::new();
    let mut details = Vec::new();
    for seed in seeds {
        let cells = results.contents.cells.iter().filter(|cell| cell.seed == seed).count();
        let here: Vec<(&Line, f64)> = (results.lines.iter())
            .filter(|line| line.seed == seed)
            .filter_map(|line| Some((line, line.values[place]?)))
            .collect();
        // A range over a part of the settings is too small.
        if here.len() < cells {
            details.push(format!(
                "seed {seed}: {} of {cells} cells are finished; it does not count",
                here.len()
            ));
            continue;
        }
        for name in results.settings("loss") {
            let mine: Vec<f64> =
                here.iter().filter(|(line, _)| loss(line) == name).map(|(_, value)| *value).collect();
            let low = mine.iter().copied().fold(f64::INFINITY, f64::min);
            let high = mine.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            details.push(format!(
                "{name}, seed {seed}: kNN {:.1} to {:.1} % over {} settings",
                100.0 * low,
                100.0 * high,
                mine.len()
            ));
            let mut values = vec![None; QUANTITIES.len()];
            values[place] = Some(high - low);
            ranges.push(Line {
                cell: name.clone(),
                settings: vec![("loss".to_owned(), name.clone())],
                seed,
                values,
                selection: None,
                saw_labels: false,
                spectrum: Vec::new(),
            });
        }
    }
    if ranges.is_empty() {
        return Err(Error::input(format!(
            "no seed of the grid is whole, and a range over a part of the settings is too small; finish the grid, and ask again ({})",
            details.join("; ")
        )));
    }
    let lines: Vec<&Line> = ranges.iter().collect();
    let asked: Asked<'_> = lines.iter().map(|line| (loss(line), line.seed)).collect();
    let ours_less = contrast(&asked, &lines, |line| line.values[place])?;
    // Positive where ours have the smaller range.
    let effect = Paired { mean: -ours_less.mean, ..ours_less };
    Ok(Finding {
        judgement: Judgement::of(&effect, 0.005),
        effect: format!(
            "range of kNN over temperature for NT-Xent and DCL less DHEL's over temperature and KCL's over width and γ: {}",
            told(&effect, 100.0, POINTS, 2)
        ),
        details,
    })
}
