//! Settings against each other, paired by seed.

use serde::Serialize;

use super::results::{Line, Results};
use super::statistics::{self, Paired};

/// The cells that differ in their seed alone.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// Axis and setting.
    pub settings: Vec<(String, String)>,
    /// Its cells.
    pub lines: Vec<&'a Line>,
}

impl Group<'_> {
    /// Whether its encoders learned from labels, in their runs or before.
    pub fn saw_labels(&self) -> bool {
        self.lines.iter().any(|line| line.saw_labels)
    }

    /// A quantity of every cell that has it, by its place in the list of quantities.
    pub fn values(&self, quantity: usize) -> Vec<f64> {
        self.lines.iter().filter_map(|line| line.values[quantity]).collect()
    }
}

/// The groups of a grid, in its order.
pub fn groups(lines: &[Line]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for line in lines {
        match groups.iter_mut().find(|group| group.settings == line.settings) {
            Some(group) => group.lines.push(line),
            None => groups.push(Group { settings: line.settings.clone(), lines: vec![line] }),
        }
    }
    groups
}

/// One setting of an axis against another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The quantity's name.
    pub quantity: &'static str,
    /// Whose values.
    pub ours: String,
    /// Less whose.
    pub theirs: String,
    /// The settings of the other axes; `None` for the mean over all places where both were run.
    pub place: Option<Vec<(String, String)>>,
    /// Seeds.
    pub seeds: usize,
    /// The mean difference.
    pub difference: f64,
    /// Half of the 95 % interval.
    pub margin: Option<f64>,
    /// By Holm's rule within its family: all pairs of this quantity at all places, or all pairs of the means over places, which
    /// have two seeds or more. `None` with one seed, or where all differences are equal and not 0.
    pub p_corrected: Option<f64>,
}

impl Comparison {
    /// Whether the corrected test finds a difference at 5 %.
    pub fn is_found(&self) -> bool {
        self.p_corrected.is_some_and(|p| p < 0.05)
    }
}

/// The settings of the other axes.
type Place = Vec<(String, String)>;
/// Seeds and what they have.
type BySeed = Vec<(u64, f64)>;

/// All pairs of settings of `axis`, at each place of the other axes and on average over the places that both have.
pub fn comparisons(results: &Results, axis: &str, quantity: usize) -> Vec<Comparison> {
    let name = super::quantities::QUANTITIES[quantity].name;
    let settings = results.settings(axis);
    let mut places: Vec<Place> = Vec::new();
    for line in &results.lines {
        let place = line.without(axis);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let value = |setting: &str, place: &[(String, String)], seed: u64| {
        let line = results.lines.iter().find(|line| {
            line.seed == seed && line.setting(axis) == Some(setting) && line.without(axis) == place
        });
        line.and_then(|line| line.values[quantity])
    };
    let mut seeds: Vec<u64> = results.lines.iter().map(|line| line.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    // Differences by place and seed.
    let differences = |ours: &str, theirs: &str, place: &[(String, String)]| -> BySeed {
        seeds
            .iter()
            .filter_map(|&seed| Some((seed, value(ours, place, seed)? - value(theirs, place, seed)?)))
            .collect()
    };
    let (mut each, mut all) = (Vec::new(), Vec::new());
    for (i, ours) in settings.iter().enumerate() {
        for theirs in &settings[i + 1..] {
            let comparison = |place: Option<Vec<(String, String)>>, differences: &[f64]| {
                let paired = Paired::of(differences);
                let told = Comparison {
                    quantity: name,
                    ours: ours.clone(),
                    theirs: theirs.clone(),
                    place,
                    seeds: paired.seeds,
                    difference: paired.mean,
                    margin: paired.margin,
                    p_corrected: None,
                };
                (told, paired)
            };
            let found: Vec<(&Place, BySeed)> = places
                .iter()
                .map(|place| (place, differences(ours, theirs, place)))
                .filter(|(_, differences)| !differences.is_empty())
                .collect();
            for (place, differences) in &found {
                let numbers: Vec<f64> = differences.iter().map(|(_, difference)| *difference).collect();
                each.push(comparison(Some((*place).clone()), &numbers));
            }
            let of_seed = |&seed: &u64| -> Option<f64> {
                let at = |(_, differences): &(_, BySeed)| {
                    differences.iter().find(|(other, _)| *other == seed).map(|(_, difference)| *difference)
                };
                let numbers: Vec<f64> = found.iter().map(at).collect::<Option<_>>()?;
                (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
            };
            let means: Vec<f64> = seeds.iter().filter_map(of_seed).collect();
            if found.len() > 1 && !means.is_empty() {
                all.push(comparison(None, &means));
            }
        }
    }
    [all, each].into_iter().flat_map(corrected).collect()
}

/// A family of comparisons, its p-values corrected together.
fn corrected(family: Vec<(Comparison, Paired)>) -> Vec<Comparison> {
    let (family, paired): (Vec<Comparison>, Vec<Paired>) = family.into_iter().unzip();
    let corrected = statistics::corrected(&paired);
    family
        .into_iter()
        .zip(corrected)
        .map(|(comparison, p_corrected)| Comparison { p_corrected, ..comparison })
        .collect()
}

#[cfg(test)]
mod tests {
    use riesz::rng::{Key, normal};

    use super::*;
    use crate::sweep::results::made;

    /// A table of three losses at two batches: b is `planted` above a, c is as a; every seed has its own level.
    fn planted(seeds: u64, planted: f64, key: Key) -> Results {
        let mut rng = key.rng();
        let mut lines = Vec::new();
        for seed in 0..seeds {
            let level = 5.0 * normal(&mut rng);
            for (loss, shift) in [("a", 0.0), ("b", planted), ("c", 0.0)] {
                for batch in ["32", "128"] {
                    let value = level + shift + normal(&mut rng);
                    let cell = format!("{loss}{batch}{seed}");
                    lines.push(made::line(&cell, &[("loss", loss), ("batch", batch)], seed, value));
                }
            }
        }
        made::results(Vec::new(), lines)
    }

    #[test]
    fn intervals_cover_what_was_planted_and_a_null_is_not_found() {
        let draws = 2000;
        // (places, averages): intervals that cover; families in which a null was found; planted differences found.
        let (mut covered, mut asked, mut false_finds, mut finds) = ([0; 2], [0; 2], 0, 0);
        for draw in 0..draws {
            let results = planted(3, 2.0, Key::new(7).stream("planted").at(draw));
            let found = comparisons(&results, "loss", 0);
            let truth = |one: &Comparison| match (one.ours.as_str(), one.theirs.as_str()) {
                ("a", "b") => -2.0,
                ("b", "c") => 2.0,
                _ => 0.0,
            };
            for one in &found {
                let kind = usize::from(one.place.is_none());
                asked[kind] += 1;
                covered[kind] += usize::from((one.difference - truth(one)).abs() <= one.margin.unwrap());
            }
            let with_ten = planted(10, 2.0, Key::new(8).stream("planted").at(draw));
            let found = comparisons(&with_ten, "loss", 0);
            let averages: Vec<&Comparison> = found.iter().filter(|one| one.place.is_none()).collect();
            assert_eq!((averages.len(), found.len()), (3, 9));
            false_finds += usize::from(averages.iter().any(|one| truth(one) == 0.0 && one.is_found()));
            finds += averages.iter().filter(|one| truth(one) != 0.0 && one.is_found()).count();
        }
        for kind in 0..2 {
            let share = covered[kind] as f64 / asked[kind] as f64;
            assert!((0.93..=0.97).contains(&share), "{share} of the intervals cover");
        }
        let (false_finds, finds) = (false_finds as f64 / draws as f64, finds as f64 / (2 * draws) as f64);
        assert!(false_finds < 0.06, "{false_finds} of the families find the null");
        assert!(finds > 0.9, "{finds} of the planted differences are found with ten seeds");
    }

    /// Two settings that give the same numbers: their p is 1, and the other pairs are corrected by all six.
    #[test]
    fn settings_without_any_difference_count_in_the_family() {
        let mut results = planted(3, 2.0, Key::new(3));
        let places = ["32", "128"].map(|batch| vec![("batch".to_owned(), batch.to_owned())]);
        let of = |lines: &[Line], loss: &str, batch: &str, seed: u64| {
            lines.iter().find(|line| line.cell == format!("{loss}{batch}{seed}")).unwrap().values[0]
        };
        let before = results.lines.clone();
        for line in &mut results.lines {
            if line.setting("loss") == Some("c") {
                let batch = line.setting("batch").unwrap().to_owned();
                line.values[0] = of(&before, "a", &batch, line.seed);
            }
        }
        let found = comparisons(&results, "loss", 0);
        let each: Vec<&Comparison> = found.iter().filter(|one| one.place.is_some()).collect();
        assert_eq!(each.len(), 6);
        for one in each.iter().filter(|one| one.ours == "a" && one.theirs == "c") {
            assert_eq!((one.difference, one.margin, one.p_corrected), (0.0, None, Some(1.0)));
        }
        let p = |ours: &str, theirs: &str, batch: &str| {
            let at = |loss: &str, seed: u64| of(&results.lines, loss, batch, seed).unwrap();
            let differences: Vec<f64> = (0..3).map(|seed| at(ours, seed) - at(theirs, seed)).collect();
            Paired::of(&differences).p.unwrap()
        };
        let least = ["32", "128"]
            .into_iter()
            .flat_map(|batch| [p("a", "b", batch), p("b", "c", batch)])
            .fold(1.0, f64::min);
        let lowest = each.iter().filter_map(|one| one.p_corrected).fold(1.0, f64::min);
        assert!((lowest - (6.0 * least).min(1.0)).abs() < 1e-12, "{lowest} for 6 × {least}");
        assert!(
            least < 1.0 / 6.0
                && each.iter().all(|one| places.iter().any(|place| one.place.as_ref() == Some(place)))
        );
    }

    #[test]
    fn cells_that_are_missing_take_their_seed_from_their_comparisons_alone() {
        let mut results = planted(3, 1.0, Key::new(1));
        results.lines.retain(|line| line.cell != "b1280");
        let found = comparisons(&results, "loss", 0);
        let of = |ours: &str, theirs: &str, batch: Option<&str>| {
            let place = batch.map(|batch| vec![("batch".to_owned(), batch.to_owned())]);
            found.iter().find(|one| one.ours == ours && one.theirs == theirs && one.place == place).unwrap()
        };
        assert_eq!(of("a", "b", Some("32")).seeds, 3);
        assert_eq!(of("a", "b", Some("128")).seeds, 2);
        assert_eq!(of("a", "b", None).seeds, 2, "a mean over places takes seeds that have all of them");
        assert_eq!(of("a", "c", None).seeds, 3);
        results.lines.retain(|line| line.seed == 0);
        let one = comparisons(&results, "loss", 0);
        assert!(one.iter().all(|one| one.margin.is_none() && one.p_corrected.is_none() && !one.is_found()));
    }
}
