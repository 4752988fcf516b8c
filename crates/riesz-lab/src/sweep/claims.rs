//! The paper's experimental claims, each with the grid that tries it and a rule, fixed beforehand, by which it is judged.
//!
//! One number is the effect. Its 95 % interval over seeds decides: above 0 the claim is supported; below the least effect that
//! would matter it is not supported; otherwise it is undecided at this scale.

mod contrast;
mod hyperparameters;

use super::compare::groups;
use super::folder::Folder;
use super::probes;
use super::quantities::Quantity;
use super::results::{Line, Results};
use super::statistics::Paired;
use crate::device::Device;
use crate::report::mean_and_deviation;
use crate::{Error, Result};
use contrast::{asked, contrast, each_pair, loss, losses_and_seeds, told};

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
        statement: "Attraction and repulsion, which DHEL and KCL decouple, work against each other less than in NT-Xent and DCL.",
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

/// The smallest batch of the grid.
fn smallest_batch(results: &Results) -> Result<String> {
    results.planned("batch").first().cloned().ok_or_else(|| Error::input("the grid has no batches"))
}

const POINTS: &str = " points";

fn small_batch(results: &Results) -> Result<Finding> {
    let smallest = smallest_batch(results)?;
    let all: Vec<&Line> = results.lines.iter().collect();
    let small: Vec<&Line> =
        all.iter().copied().filter(|line| line.setting("batch") == Some(&smallest)).collect();
    let (of_all, of_small) = (asked(results, |_| true), asked(results, |batch| batch == Some(&smallest)));
    let knn = |line: &Line| line.values[Quantity::named("knn").0];
    let effect = contrast(&of_small, &small, knn)?;
    let over_all = |value: &dyn Fn(&Line) -> Option<f64>| {
        contrast(&of_all, &all, value)
            .map_or_else(|error| error.to_string(), |effect| told(&effect, 100.0, POINTS, 2))
    };
    let mut details = vec![format!("kNN, mean over all batches: {}", over_all(&knn))];
    let probe = |line: &Line| line.values[Quantity::named("probe").0];
    details.push(format!(
        "linear probe, batch {smallest}: {}",
        told(&contrast(&of_small, &small, probe)?, 100.0, POINTS, 2)
    ));
    details.push(format!("linear probe, all batches: {}", over_all(&probe)));
    details.extend(each_pair(&of_small, &small, knn, (&format!("kNN, batch {smallest}"), 100.0, POINTS, 2)));
    Ok(Finding {
        judgement: Judgement::of(&effect, 0.005),
        effect: format!(
            "kNN of DHEL and KCL less that of NT-Xent and DCL at batch {smallest}: {}",
            told(&effect, 100.0, POINTS, 2)
        ),
        details,
    })
}

fn dimensions(results: &Results) -> Result<Finding> {
    let all: Vec<&Line> = results.lines.iter().collect();
    let asked = asked(results, |_| true);
    let of = |name: &str| {
        let place = Quantity::named(name).0;
        contrast(&asked, &all, |line| line.values[place])
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
    details.extend(each_pair(&asked, &all, |line| line.values[place], ("effective rank", 1.0, "", 2)));
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
    for (name, lines) in of_batch(results, &middle_batch(results)?)? {
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
    let batch = middle_batch(results)?;
    for (name, lines) in of_batch(results, &batch)? {
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
    let asked = asked(results, |one| one == Some(&batch));
    let effect = contrast(&asked, &last.iter().collect::<Vec<_>>(), |line| line.values[0])?;
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

/// The middle batch of the grid.
fn middle_batch(results: &Results) -> Result<String> {
    let batches = results.planned("batch");
    batches.get(batches.len() / 2).cloned().ok_or_else(|| Error::input("the grid has no batches"))
}

/// The finished cells of each loss at a batch.
///
/// # Errors
/// If a loss has none.
fn of_batch<'a>(results: &'a Results, batch: &str) -> Result<Vec<(String, Vec<&'a Line>)>> {
    let (losses, _) = losses_and_seeds(&asked(results, |one| one == Some(batch)));
    let of = |name: &str| {
        let is_here = |line: &&Line| loss(line) == name && line.setting("batch") == Some(batch);
        let here: Vec<&Line> = results.lines.iter().filter(is_here).collect();
        if here.is_empty() {
            let what =
                format!("{name} has no finished cell at batch {batch}; finish the grid, and ask again");
            return Err(Error::input(what));
        }
        Ok((name.to_owned(), here))
    };
    losses.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::super::results::made;
    use super::contrast::{Asked, is_ours};
    use super::*;

    fn lines(values: &[(&str, u64, f64)]) -> Vec<Line> {
        let line = |&(loss, seed, value): &(&str, u64, f64)| Line {
            cell: format!("{loss}{seed}"),
            settings: vec![("loss".into(), loss.into())],
            seed,
            values: vec![Some(value)],
            selection: None,
            saw_labels: false,
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
        let asked: Asked<'_> = ["nt-xent", "dcl", "dhel-paper", "kcl-gaussian"]
            .into_iter()
            .flat_map(|loss| [1, 2, 3].map(|seed| (loss, seed)))
            .collect();
        let found = contrast(&asked, &all, |line| line.values[0]).unwrap();
        assert_eq!((found.seeds, found.mean), (2, 2.75));
        let refused = contrast(&asked, &all[..3], |line| line.values[0]).unwrap_err().to_string();
        assert!(
            refused.contains("nt-xent has 1 of 3 cells, ") && refused.contains("gaussian has 0 of 3"),
            "{refused}"
        );

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
        let asked = super::asked(&whole, |_| true);
        let found = contrast(&asked, &lines, |line| line.values[place]).unwrap();
        assert!(found.seeds == 2 && found.mean.abs() < 0.01, "{found:?}");
        let told = each_pair(&asked, &lines, |line| line.values[place], ("rank", 1.0, "", 2)).join("; ");
        assert!(
            told.contains("less nt-xent: ") && !told.contains("+1.") && told.contains("2 seeds"),
            "{told}"
        );
    }

    /// What is not finished is not left out of a claim: a loss, the smallest batch.
    #[test]
    fn nothing_is_judged_of_losses_or_batches_without_a_finished_cell() {
        let better = |loss: &str, batch: f64| 0.5 + if is_ours(loss) { 0.05 } else { 0.0 } * (1.0 + batch);
        let whole = results(3, better);
        let without = |is_out: &dyn Fn(&Line) -> bool| {
            let mut part = whole.clone();
            part.lines.retain(|line| !is_out(line));
            part
        };
        let no_dcl = without(&|line| loss(line) == "dcl");
        for refused in [small_batch(&no_dcl), dimensions(&no_dcl)] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("dcl has 0 of "), "{refused}");
        }
        let refused = of_batch(&no_dcl, &middle_batch(&no_dcl).unwrap()).unwrap_err().to_string();
        assert!(refused.starts_with("dcl has no finished cell at batch 512"), "{refused}");
        let large = without(&|line| line.setting("batch") == Some("32"));
        let refused = small_batch(&large).unwrap_err().to_string();
        assert!(refused.contains("nt-xent has 0 of 3 cells"), "{refused}");
        assert!(dimensions(&large).unwrap_err().to_string().contains("nt-xent has 3 of 6 cells"));
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
