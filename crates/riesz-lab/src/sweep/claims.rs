//! The paper's experimental claims, each with the grid that tries it and a rule, fixed beforehand, by which it is judged.
//!
//! One number is the effect. Its 95 % interval over seeds decides: above 0 the claim is supported; below the least effect that
//! would matter it is not supported; otherwise it is undecided at this scale.

mod hyperparameters;

use std::collections::BTreeSet;

use super::compare::groups;
use super::folder::Folder;
use super::page::chance;
use super::probes;
use super::quantities::Quantity;
use super::results::{Line, Results};
use super::statistics::{Paired, corrected};
use crate::device::Device;
use crate::report::mean_and_deviation;
use crate::{Error, Result};

/// A claim of Koromilas et al. (ICML 2024).
pub struct Claim {
    /// What `riesz reproduce` calls it.
    pub name: &'static str,
    /// What is claimed.
    pub statement: &'static str,
    /// The grid's name, without the scale.
    pub grid: &'static str,
    look: fn(&Results, &Folder, &Device) -> Result<Finding>,
}

/// All claims, in the order in which they are tried.
pub const CLAIMS: [Claim; 5] = [
    Claim {
        name: "small-batch",
        statement: "DHEL and KCL give better representations than NT-Xent (SimCLR) and DCL, also at small batches.",
        grid: "small-batch",
        look: |results, _, _| small_batch(results),
    },
    Claim {
        name: "hyperparameters",
        statement: "DHEL and KCL depend less on their hyperparameters than NT-Xent and DCL.",
        grid: "hyperparameters",
        look: |results, _, _| hyperparameters::look(results),
    },
    Claim {
        name: "dimensions",
        statement: "DHEL and KCL use more dimensions of the embedding space than NT-Xent and DCL.",
        grid: "small-batch",
        look: |results, _, _| dimensions(results),
    },
    Claim {
        name: "batch-independence",
        statement: "The mean of KCL over batches of M pairs does not depend on M; that of the InfoNCE family does.",
        grid: "small-batch",
        look: batch_independence,
    },
    Claim {
        name: "gradients",
        statement: "Attraction and repulsion are decoupled in DHEL and KCL, and not in NT-Xent and DCL.",
        grid: "small-batch",
        look: gradients,
    },
];

/// How a claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The interval is above 0.
    Supported,
    /// The interval is below the least effect that would matter.
    NotSupported,
    /// Neither.
    Undecided,
}

impl Judgement {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::NotSupported => "not supported",
            Self::Undecided => "undecided at this scale",
        }
    }

    /// By an effect that is positive where the claim is right; `least` is the smallest that would matter.
    fn of(effect: &Paired, least: f64) -> Self {
        match effect.interval() {
            Some((low, _)) if low > 0.0 => Self::Supported,
            Some((_, high)) if high < least => Self::NotSupported,
            _ => Self::Undecided,
        }
    }
}

/// What was found of a claim.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How it stands.
    pub judgement: Judgement,
    /// The effect that decided, in a sentence with its interval.
    pub effect: String,
    /// What else was seen.
    pub details: Vec<String>,
}

impl Claim {
    /// The claim of that name.
    ///
    /// # Errors
    /// If there is none; the sentence lists them.
    pub fn named(name: &str) -> Result<&'static Self> {
        CLAIMS.iter().find(|claim| claim.name == name).ok_or_else(|| {
            let names: Vec<&str> = CLAIMS.iter().map(|claim| claim.name).collect();
            Error::input(format!("no claim is called `{name}`; there are {}", names.join(", ")))
        })
    }

    /// Looks at what the grid's finished cells say of it.
    ///
    /// # Errors
    /// If cells are missing that it needs, or their files are damaged.
    pub fn judge(&self, results: &Results, folder: &Folder, device: &Device) -> Result<Finding> {
        (self.look)(results, folder, device)
    }
}

/// Whether a loss is one that the claims speak for, by its label.
fn is_ours(label: &str) -> bool {
    label.starts_with("dhel") || label.starts_with("kcl")
}

fn loss(line: &Line) -> &str {
    line.setting("loss").unwrap_or_default()
}

/// The mean over a loss's cells of a seed, `None` unless it has one at every place (batch) at which `lines` have any: a mean over some
/// of them would put a difference between batches as one between losses.
fn over_places(lines: &[&Line], name: &str, seed: u64, value: impl Fn(&Line) -> Option<f64>) -> Option<f64> {
    let places: BTreeSet<_> = lines.iter().map(|line| line.without("loss")).collect();
    let here: Vec<&&Line> = lines.iter().filter(|line| line.seed == seed && loss(line) == name).collect();
    let values: Vec<f64> = here.iter().map(|line| value(line)).collect::<Option<_>>()?;
    (!values.is_empty() && values.len() == places.len()).then(|| mean_and_deviation(&values).0)
}

/// Seed by seed: the mean of `value` over ours less that over theirs, where a seed has both.
fn contrast(lines: &[&Line], value: impl Fn(&Line) -> Option<f64>) -> Result<Paired> {
    let mut seeds: Vec<u64> = lines.iter().map(|line| line.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    // Each loss counts alike, whatever the number of its cells.
    let mean = |seed: u64, ours: bool| -> Option<f64> {
        let mut losses: Vec<&str> =
            lines.iter().map(|line| loss(line)).filter(|loss| is_ours(loss) == ours).collect();
        losses.sort_unstable();
        losses.dedup();
        let of = |name: &&str| over_places(lines, name, seed, &value);
        let means: Vec<f64> = losses.iter().map(of).collect::<Option<_>>()?;
        (!means.is_empty()).then(|| mean_and_deviation(&means).0)
    };
    let differences: Vec<f64> =
        seeds.iter().filter_map(|&seed| Some(mean(seed, true)? - mean(seed, false)?)).collect();
    if differences.is_empty() {
        return Err(Error::input(
            "no seed has finished cells of all losses on both sides; finish the grid, and ask again",
        ));
    }
    Ok(Paired::of(&differences))
}

/// `+1.2 points, 95 % interval 0.3 to 2.1, 3 seeds`.
fn told(effect: &Paired, scale: f64, unit: &str, digits: usize) -> String {
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

/// The smallest batch of the grid.
fn smallest_batch(results: &Results) -> Result<String> {
    results
        .settings("batch")
        .first()
        .cloned()
        .ok_or_else(|| Error::input("the grid has no finished cell with a batch"))
}

const POINTS: &str = " points";

fn small_batch(results: &Results) -> Result<Finding> {
    let smallest = smallest_batch(results)?;
    let all: Vec<&Line> = results.lines.iter().collect();
    let small: Vec<&Line> =
        all.iter().copied().filter(|line| line.setting("batch") == Some(&smallest)).collect();
    let knn = |line: &Line| line.values[Quantity::named("knn").0];
    let effect = contrast(&small, knn)?;
    let over_all = |value: &dyn Fn(&Line) -> Option<f64>| {
        contrast(&all, value).map_or_else(|error| error.to_string(), |effect| told(&effect, 100.0, POINTS, 2))
    };
    let mut details = vec![format!("kNN, mean over all batches: {}", over_all(&knn))];
    let probe = |line: &Line| line.values[Quantity::named("probe").0];
    details.push(format!(
        "linear probe, batch {smallest}: {}",
        told(&contrast(&small, probe)?, 100.0, POINTS, 2)
    ));
    details.push(format!("linear probe, all batches: {}", over_all(&probe)));
    details.extend(each_pair(&small, knn, (&format!("kNN, batch {smallest}"), 100.0, POINTS, 2)));
    Ok(Finding {
        judgement: Judgement::of(&effect, 0.005),
        effect: format!(
            "kNN of DHEL and KCL less that of NT-Xent and DCL at batch {smallest}: {}",
            told(&effect, 100.0, POINTS, 2)
        ),
        details,
    })
}

/// How a difference is told: of what, times what, with which unit and how many digits.
type Told<'a> = (&'a str, f64, &'a str, usize);

/// Each of ours against each of theirs, a seed's value the mean over its lines; corrected together.
fn each_pair(
    lines: &[&Line],
    value: impl Fn(&Line) -> Option<f64>,
    (what, scale, unit, digits): Told<'_>,
) -> Vec<String> {
    let (mut losses, mut seeds): (Vec<&str>, Vec<u64>) = (Vec::new(), Vec::new());
    for line in lines {
        if !losses.contains(&loss(line)) {
            losses.push(loss(line));
        }
        if !seeds.contains(&line.seed) {
            seeds.push(line.seed);
        }
    }
    let of = |name: &str, seed: u64| over_places(lines, name, seed, &value);
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

fn dimensions(results: &Results) -> Result<Finding> {
    let all: Vec<&Line> = results.lines.iter().collect();
    let of = |name: &str| {
        let place = Quantity::named(name).0;
        contrast(&all, |line| line.values[place])
    };
    let effect = of("effective_rank")?;
    let mut details = vec![
        format!(
            "Wasserstein uniformity (less is more uniform): {}",
            told(&of("wasserstein_uniformity")?, 1.0, "", 4)
        ),
        format!("uniformity (less is more uniform): {}", told(&of("uniformity")?, 1.0, "", 3)),
    ];
    let (place, quantity) = Quantity::named("effective_rank");
    details.extend(each_pair(&all, |line| line.values[place], ("effective rank", 1.0, "", 2)));
    for group in groups(&results.lines) {
        let values = group.values(place);
        if !values.is_empty() {
            let words: Vec<&str> = group.settings.iter().map(|(_, setting)| setting.as_str()).collect();
            let (mean, _) = mean_and_deviation(&values);
            details.push(format!(
                "effective rank, {}: {} (n = {})",
                words.join(" at batch "),
                quantity.tell(mean),
                values.len()
            ));
        }
    }
    Ok(Finding {
        judgement: Judgement::of(&effect, 1.0),
        effect: format!(
            "effective rank of DHEL's and KCL's embeddings less that of NT-Xent's and DCL's, mean over batches: {}",
            told(&effect, 1.0, "", 2)
        ),
        details,
    })
}

/// How far from 0 a bias matters, in standard deviations of the loss over batches.
const LEAST_BIAS: f64 = 0.1;

fn batch_independence(results: &Results, folder: &Folder, device: &Device) -> Result<Finding> {
    let (mut supported, mut refuted) = (true, false);
    let (mut details, mut worst) = (Vec::new(), (0.0_f64, f64::INFINITY));
    for (name, lines) in middle(results)? {
        let found = lines
            .iter()
            .map(|line| probes::bias(&folder.cell(&line.cell), device))
            .collect::<Result<Vec<_>>>()?;
        let relative: Vec<f64> = found.iter().map(|bias| bias.mean / bias.deviation).collect();
        let paired = Paired::of(&relative);
        let is_free = name.starts_with("kcl");
        match paired.interval() {
            None => supported = false,
            Some((low, high)) => {
                let is_small = low > -LEAST_BIAS && high < LEAST_BIAS;
                let is_large = low > LEAST_BIAS || high < -LEAST_BIAS;
                supported &= if is_free { is_small } else { is_large };
                refuted |= if is_free { is_large } else { is_small };
            }
        }
        if is_free {
            worst.0 = worst.0.max(paired.mean.abs());
        } else {
            worst.1 = worst.1.min(paired.mean.abs());
        }
        details.push(format!(
            "{name}: batches of {} against all {} pairs at once: {}",
            probes::SMALL,
            found[0].pairs,
            told(&paired, 1.0, " standard deviations", 3)
        ));
    }
    Ok(Finding {
        judgement: match (supported, refuted) {
            (true, _) => Judgement::Supported,
            (_, true) => Judgement::NotSupported,
            _ => Judgement::Undecided,
        },
        effect: format!(
            "bias of the loss of batches of {} on its own encoder's held-out embeddings, in standard deviations over batches: KCL's at \
             most {:.3}, the others' at least {:.3} (means over seeds; intervals below, {LEAST_BIAS} counts as none)",
            probes::SMALL,
            worst.0,
            worst.1
        ),
        details,
    })
}

fn gradients(results: &Results, folder: &Folder, device: &Device) -> Result<Finding> {
    let mut moments: Vec<(String, Vec<Line>)> = Vec::new();
    let mut details = Vec::new();
    for (name, lines) in middle(results)? {
        let seen = lines
            .iter()
            .map(|line| probes::gradients(&folder.cell(&line.cell), device))
            .collect::<Result<Vec<_>>>()?;
        let along = lines
            .iter()
            .map(|line| probes::along_training(&folder.cell(&line.cell)))
            .collect::<Result<Option<Vec<f64>>>>()?;
        if let Some(along) = along {
            details.push(format!(
                "{name}, mean over the epochs: cosine {}",
                told(&Paired::of(&along), 1.0, "", 3)
            ));
        }
        for moment in 0..seen.iter().map(Vec::len).min().unwrap_or(0) {
            let when = seen[0][moment].when.clone();
            let cosines: Vec<f64> = seen.iter().map(|one| one[moment].cosine).collect();
            let left: Vec<f64> = seen.iter().map(|one| one[moment].left).collect();
            details.push(format!(
                "{name}, {when}: cosine {}; share of the pull left {:.4}",
                told(&Paired::of(&cosines), 1.0, "", 3),
                mean_and_deviation(&left).0
            ));
            let told = lines
                .iter()
                .zip(&cosines)
                .map(|(line, cosine)| Line { values: vec![Some(*cosine)], ..(*line).clone() });
            match moments.iter_mut().find(|(known, _)| *known == when) {
                Some((_, all)) => all.extend(told),
                None => moments.push((when, told.collect())),
            }
        }
    }
    let (when, last) = moments.last().ok_or_else(|| Error::input("no cell has a checkpoint to look at"))?;
    let effect = contrast(&last.iter().collect::<Vec<_>>(), |line| line.values[0])?;
    Ok(Finding {
        judgement: Judgement::of(&effect, 0.05),
        effect: format!(
            "cosine between the gradients of attraction and repulsion (0: neither disturbs the other, −1: they cancel), {when}, DHEL and \
             KCL less NT-Xent and DCL: {}",
            told(&effect, 1.0, "", 3)
        ),
        details,
    })
}

/// The cells of each loss at the middle batch.
fn middle(results: &Results) -> Result<Vec<(String, Vec<&Line>)>> {
    let batches = results.settings("batch");
    let batch = batches.get(batches.len() / 2).ok_or_else(|| {
        Error::input("the grid has no finished cell with a batch; finish it, and ask again")
    })?;
    let of = |name: String| {
        let here =
            results.lines.iter().filter(|line| loss(line) == name && line.setting("batch") == Some(batch));
        let here: Vec<&Line> = here.collect();
        (!here.is_empty()).then_some((name, here))
    };
    Ok(results.settings("loss").into_iter().filter_map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::super::results::made;
    use super::*;

    fn lines(values: &[(&str, u64, f64)]) -> Vec<Line> {
        let line = |&(loss, seed, value): &(&str, u64, f64)| Line {
            cell: format!("{loss}{seed}"),
            settings: vec![("loss".into(), loss.into())],
            seed,
            values: vec![Some(value)],
            selection: None,
            spectrum: Vec::new(),
        };
        values.iter().map(line).collect()
    }

    /// Losses × two batches × three seeds (or one), kNN and effective rank by a rule.
    fn results(seeds: u64, rule: impl Fn(&str, f64) -> f64) -> Results {
        let mut found = Vec::new();
        for seed in 1..=seeds {
            for loss in ["nt-xent", "dcl", "dhel-paper", "kcl-gaussian"] {
                for (batch, place) in [("512", 1.0), ("32", 0.0)] {
                    // Over three seeds ours less theirs varies by −a, a/2, a/2, which has the mean 0; more at one batch, so that
                    // ranges over batches vary too.
                    let noise = (1.0 + place)
                        * match (loss, seed) {
                            ("nt-xent", 1) | ("dhel-paper", 2) => 0.001,
                            ("nt-xent", 3) | ("dhel-paper", 1) => -0.001,
                            _ => 0.0,
                        };
                    let cell = format!("{loss}{seed}");
                    let mut line = made::line(&cell, &[("loss", loss), ("batch", batch)], seed, 0.0);
                    for name in ["knn", "probe", "effective_rank", "wasserstein_uniformity", "uniformity"] {
                        line.values[Quantity::named(name).0] = Some(rule(loss, place) + noise);
                    }
                    found.push(line);
                }
            }
        }
        made::results(found.iter().map(made::entry).collect(), found)
    }

    #[test]
    fn planted_effects_are_judged_as_planted() {
        let better = |by: f64| {
            move |loss: &str, batch: f64| 0.5 + if is_ours(loss) { by } else { 0.0 } * (1.0 + batch)
        };
        for (by, seeds, expected) in [
            (0.05, 3, Judgement::Supported),
            (-0.05, 3, Judgement::NotSupported),
            (0.0, 3, Judgement::NotSupported),
            (0.05, 1, Judgement::Undecided),
        ] {
            let found = small_batch(&results(seeds, better(by))).unwrap();
            assert_eq!(found.judgement, expected, "{by}: {}", found.effect);
            assert!(found.effect.contains("at batch 32"), "{}", found.effect);
        }
        let found = dimensions(&results(3, better(20.0))).unwrap();
        assert_eq!(found.judgement, Judgement::Supported, "{}", found.effect);
        // Over the batches kNN has a range of 0.1 with ours and of 0 with theirs, and the other way round.
        let steep =
            |ours: bool| move |loss: &str, batch: f64| if is_ours(loss) == ours { 0.1 * batch } else { 0.0 };
        assert_eq!(
            hyperparameters::look(&results(3, steep(true))).unwrap().judgement,
            Judgement::NotSupported
        );
        assert_eq!(hyperparameters::look(&results(3, steep(false))).unwrap().judgement, Judgement::Supported);
        // A seed that lacks a cell does not count, and without a whole seed nothing is judged.
        let mut part = results(3, steep(false));
        part.lines.remove(0);
        let found = hyperparameters::look(&part).unwrap();
        assert!(
            found.details.iter().any(|one| one.starts_with("seed 1: 7 of 8 cells")),
            "{:?}",
            found.details
        );
        assert!(found.effect.contains("2 seeds"), "{}", found.effect);
        part.lines.retain(|line| line.setting("loss") != Some("dcl"));
        let refused = hyperparameters::look(&part).unwrap_err().to_string();
        assert!(refused.contains("no seed of the grid is whole"), "{refused}");
    }

    #[test]
    fn a_contrast_weighs_losses_alike_and_pairs_seeds() {
        let all = lines(&[
            ("nt-xent", 1, 1.0),
            ("dcl", 1, 3.0),
            ("dhel-paper", 1, 4.0),
            ("kcl-gaussian", 1, 6.0),
            ("nt-xent", 2, 11.0),
            ("dcl", 2, 13.0),
            ("dhel-paper", 2, 14.0),
            ("kcl-gaussian", 2, 15.0),
            // A seed without all losses says nothing.
            ("dhel-paper", 3, 99.0),
        ]);
        let all: Vec<&Line> = all.iter().collect();
        let found = contrast(&all, |line| line.values[0]).unwrap();
        assert_eq!((found.seeds, found.mean), (2, 2.75));
        assert!(contrast(&all[..2], |line| line.values[0]).is_err());

        // A cell that failed is no reason to compare one loss's small batches with another's large and small ones.
        let whole = results(3, |_, place| 10.0 * place);
        let place = Quantity::named("effective_rank").0;
        let failed = ("nt-xent", 2, Some("512"));
        let lines: Vec<&Line> = whole
            .lines
            .iter()
            .filter(|line| (loss(line), line.seed, line.setting("batch")) != failed)
            .collect();
        assert_eq!(lines.len() + 1, whole.lines.len());
        let found = contrast(&lines, |line| line.values[place]).unwrap();
        assert!(found.seeds == 2 && found.mean.abs() < 0.01, "{found:?}");
        let told = each_pair(&lines, |line| line.values[place], ("rank", 1.0, "", 2)).join("; ");
        assert!(
            told.contains("less nt-xent: ") && !told.contains("+1.") && told.contains("2 seeds"),
            "{told}"
        );
    }

    #[test]
    fn a_judgement_is_the_intervals() {
        let effect = |mean, margin| Paired { seeds: 3, mean, margin, p: None };
        for (mean, margin, expected) in [
            (1.0, Some(0.5), Judgement::Supported),
            (-1.0, Some(0.5), Judgement::NotSupported),
            (0.0, Some(0.1), Judgement::NotSupported),
            (0.0, Some(0.5), Judgement::Undecided),
            (1.0, None, Judgement::Undecided),
        ] {
            assert_eq!(Judgement::of(&effect(mean, margin), 0.2), expected, "{mean} {margin:?}");
        }
    }
}
