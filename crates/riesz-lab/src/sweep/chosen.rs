//! What a selection chose: the best setting by kNN on a part of the training images, and how it and the whole range do on
//! the held-out images.

use serde::Serialize;

use super::compare::{Group, groups};
use super::quantities::QUANTITIES;
use super::results::{Line, Results, Settings, rest};
use super::select::Selection;
use crate::report::mean_and_deviation;

/// A choice for one setting of the other axes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The other axes and their settings.
    pub place: Vec<(String, String)>,
    /// The chosen axes and settings.
    pub chosen: Vec<(String, String)>,
    /// Of how many.
    pub among: usize,
    /// Mean kNN over seeds on the training images that choose.
    pub selection: f64,
    /// One a quantity, on held-out images: (mean, standard deviation) of the chosen setting.
    pub values: Vec<Option<(f64, Option<f64>)>>,
    /// One a quantity: the lowest and the highest mean over the range.
    pub range: Vec<Option<(f64, f64)>>,
}

/// The choices, in the grid's order. Cells without a score, and settings that stand alone, are left out.
pub fn choices(results: &Results, selection: &Selection) -> Vec<Choice> {
    let is_chosen = |axis: &str| selection.axes.iter().any(|chosen| chosen == axis);
    let scored: Vec<Line> = results.lines.iter().filter(|line| line.selection.is_some()).cloned().collect();
    let all = groups(&scored);
    let rest = |group: &Group<'_>| rest(&group.settings, is_chosen);
    let mut places: Vec<Settings> = Vec::new();
    for group in &all {
        if group.settings.iter().any(|(axis, _)| is_chosen(axis)) && !places.contains(&rest(group)) {
            places.push(rest(group));
        }
    }
    let score = |group: &Group<'_>| {
        let scores: Vec<f64> = group.lines.iter().filter_map(|line| line.selection).collect();
        mean_and_deviation(&scores).0
    };
    places
        .into_iter()
        .filter_map(|place| {
            let here: Vec<&Group<'_>> = all.iter().filter(|group| rest(group) == place).collect();
            // A setting of which a seed failed, or is not there yet, has a mean over fewer, and is not chosen beside one that has more.
            let seeds = here.iter().map(|group| group.lines.len()).max()?;
            let whole = here.iter().filter(|group| group.lines.len() == seeds);
            // Of equal scores the first in the grid's order.
            let best = whole.rev().max_by(|a, b| score(a).total_cmp(&score(b)))?;
            let chosen = best.settings.iter().filter(|(axis, _)| is_chosen(axis)).cloned().collect();
            let told = |group: &Group<'_>, quantity: usize| {
                let values = group.values(quantity);
                (!values.is_empty()).then(|| mean_and_deviation(&values))
            };
            let range = |quantity: usize| {
                let means = here.iter().filter_map(|group| told(group, quantity)).map(|(mean, _)| mean);
                means.fold(None, |range: Option<(f64, f64)>, mean| {
                    Some(range.map_or((mean, mean), |(low, high)| (low.min(mean), high.max(mean))))
                })
            };
            Some(Choice {
                chosen,
                among: here.len(),
                selection: score(best),
                values: (0..QUANTITIES.len()).map(|quantity| told(best, quantity)).collect(),
                range: (0..QUANTITIES.len()).map(range).collect(),
                place,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::results::made;

    #[test]
    fn the_choice_looks_at_the_training_images_and_not_at_the_held_out_ones() {
        // (loss, temperature, score on training images, held-out kNN): the held-out best is another.
        let told = [
            ("dcl", "0.1", 0.70, 0.80),
            ("dcl", "0.5", 0.75, 0.60),
            ("dhel", "0.1", 0.71, 0.66),
            ("dhel", "0.5", 0.70, 0.65),
        ];
        let lines = told.iter().flat_map(|&(loss, temperature, score, knn)| {
            (1..=2).map(move |seed| {
                let (cell, settings) =
                    (format!("{loss}{temperature}{seed}"), [("loss", loss), ("temperature", temperature)]);
                Line {
                    selection: Some(score),
                    ..made::line(&cell, &settings, seed, knn + 0.01 * seed as f64)
                }
            })
        });
        let results = made::results(Vec::new(), lines.collect());
        let found = choices(&results, &Selection { axes: vec!["temperature".into()] });
        let chosen: Vec<&str> = found.iter().map(|one| one.chosen[0].1.as_str()).collect();
        assert_eq!(chosen, ["0.5", "0.1"]);
        // A setting that has fewer seeds is not chosen, however good they are.
        let mut fewer = results.clone();
        fewer.lines.retain(|line| line.cell != "dcl0.52");
        let chosen = choices(&fewer, &Selection { axes: vec!["temperature".into()] })[0].chosen[0].1.clone();
        assert_eq!(chosen, "0.1");
        assert_eq!((found[0].among, found[0].selection), (2, 0.75));
        let (mean, deviation) = found[0].values[0].unwrap();
        assert!((mean - 0.615).abs() < 1e-12 && (deviation.unwrap() - 0.01 / 2.0_f64.sqrt()).abs() < 1e-12);
        let (low, high) = found[0].range[0].unwrap();
        assert!((low - 0.615).abs() < 1e-12 && (high - 0.815).abs() < 1e-12);
    }
}
