//! What DHEL and KCL have more of than NT-Xent and DCL, seed by seed, over all cells that a claim is about.

use std::collections::BTreeSet;

use crate::report::mean_and_deviation;
use crate::sweep::page::chance;
use crate::sweep::results::{Line, Results};
use crate::sweep::statistics::{Paired, corrected};
use crate::{Error, Result};

/// Whether a loss is one that the claims speak for, by its label.
pub(super) fn is_ours(label: &str) -> bool {
    label.starts_with("dhel") || label.starts_with("kcl")
}

pub(super) fn loss(line: &Line) -> &str {
    line.setting("loss").unwrap_or_default()
}

/// The cells that a claim is about, finished or not: the loss and the seed of each, in the grid's order.
pub(super) type Asked<'a> = Vec<(&'a str, u64)>;

/// The cells of the grid that are of these batches.
pub(super) fn asked(results: &Results, is_of: impl Fn(Option<&str>) -> bool) -> Asked<'_> {
    let cells = results.contents.cells.iter().filter(|cell| is_of(cell.setting("batch")));
    cells.map(|cell| (cell.setting("loss").unwrap_or_default(), cell.seed)).collect()
}

/// The losses that are asked for, in the grid's order, and the seeds.
pub(super) fn losses_and_seeds<'a>(asked: &Asked<'a>) -> (Vec<&'a str>, BTreeSet<u64>) {
    let mut losses: Vec<&str> = Vec::new();
    for (loss, _) in asked {
        if !losses.contains(loss) {
            losses.push(loss);
        }
    }
    (losses, asked.iter().map(|(_, seed)| *seed).collect())
}

/// The mean over a loss's cells of a seed, `None` unless all that are asked for have a value: a mean over some of them would put a
/// difference between batches as one between losses.
fn over_places(
    asked: &Asked<'_>,
    lines: &[&Line],
    (name, seed): (&str, u64),
    value: impl Fn(&Line) -> Option<f64>,
) -> Option<f64> {
    let here = lines.iter().filter(|line| line.seed == seed && loss(line) == name);
    let values: Vec<f64> = here.map(|line| value(line)).collect::<Option<_>>()?;
    let wanted = asked.iter().filter(|one| **one == (name, seed)).count();
    (wanted > 0 && values.len() == wanted).then(|| mean_and_deviation(&values).0)
}

/// Seed by seed: the mean of `value` over ours less that over theirs, where a seed has all losses that are asked for.
pub(super) fn contrast(
    asked: &Asked<'_>,
    lines: &[&Line],
    value: impl Fn(&Line) -> Option<f64>,
) -> Result<Paired> {
    let (losses, seeds) = losses_and_seeds(asked);
    // Each loss counts alike, whatever the number of its cells.
    let mean = |seed: u64, ours: bool| -> Option<f64> {
        let side = losses.iter().filter(|loss| is_ours(loss) == ours);
        let of = |name: &&str| over_places(asked, lines, (name, seed), &value);
        let means: Vec<f64> = side.map(of).collect::<Option<_>>()?;
        (!means.is_empty()).then(|| mean_and_deviation(&means).0)
    };
    let differences: Vec<f64> =
        seeds.iter().filter_map(|&seed| Some(mean(seed, true)? - mean(seed, false)?)).collect();
    if differences.is_empty() {
        let finished = |name: &str| {
            let of = |one: &&&Line| loss(one) == name && value(one).is_some();
            let wanted = asked.iter().filter(|(loss, _)| *loss == name).count();
            format!("{name} has {} of {wanted} cells", lines.iter().filter(of).count())
        };
        let finished: Vec<String> = losses.iter().map(|loss| finished(loss)).collect();
        return Err(Error::input(format!(
            "no seed has finished cells of all losses on both sides; finish the grid, and ask again ({})",
            finished.join(", ")
        )));
    }
    Ok(Paired::of(&differences))
}

/// `+1.2 points, 95 % interval 0.3 to 2.1, 3 seeds`.
pub(super) fn told(effect: &Paired, scale: f64, unit: &str, digits: usize) -> String {
    let number = |x: f64| format!("{:.digits$}", scale * x).replace('-', "−");
    let sign = if effect.mean >= 0.0 { "+" } else { "" };
    let interval = match effect.interval() {
        Some((low, high)) => {
            format!("95 % interval {} to {}, {} seeds", number(low), number(high), effect.seeds)
        }
        None if effect.seeds == 1 => "one seed, so no interval".to_owned(),
        None => format!("the same in all of {} seeds, so no interval", effect.seeds),
    };
    format!("{sign}{}{unit}, {interval}", number(effect.mean))
}

/// How a difference is told: of what, times what, with which unit and how many digits.
pub(super) type Told<'a> = (&'a str, f64, &'a str, usize);

/// Each of ours against each of theirs, a seed's value the mean over its cells; corrected together.
pub(super) fn each_pair(
    asked: &Asked<'_>,
    lines: &[&Line],
    value: impl Fn(&Line) -> Option<f64>,
    (what, scale, unit, digits): Told<'_>,
) -> Vec<String> {
    let (losses, seeds) = losses_and_seeds(asked);
    let of = |name: &str, seed: u64| over_places(asked, lines, (name, seed), &value);
    let mut pairs = Vec::new();
    for ours in losses.iter().copied().filter(|loss| is_ours(loss)) {
        for theirs in losses.iter().copied().filter(|loss| !is_ours(loss)) {
            let differences: Vec<f64> =
                seeds.iter().filter_map(|&seed| Some(of(ours, seed)? - of(theirs, seed)?)).collect();
            if !differences.is_empty() {
                pairs.push((ours, theirs, Paired::of(&differences)));
            }
        }
    }
    let family: Vec<Paired> = pairs.iter().map(|(.., paired)| *paired).collect();
    pairs
        .iter()
        .zip(corrected(&family))
        .map(|((ours, theirs, paired), p)| {
            let p = p.map_or_else(String::new, |p| format!(", p {} after Holm", chance(p)));
            format!("{what}, {ours} less {theirs}: {}{p}", told(paired, scale, unit, digits))
        })
        .collect()
}
