//! Labels of rows, and what they say: kNN, linear probe, LiDAR, silhouette.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use riesz::geometry::{Estimate, Sampled, lidar, silhouette};
use riesz::rng::{Key, permutation};
use riesz::{Matrix, Points};

use super::Value;
use crate::protocols::{Labeled, knn, probe};
use crate::{Result, input};

/// Neighbors of the kNN vote and its temperature: those of the evaluation of runs.
const VOTE: (usize, f64) = (20, 0.07);
/// One of so many rows is asked; the others are references.
const ASKED: usize = 5;
/// Rows and classes from which questions make sense.
const FEWEST: usize = 20;

/// Bytes of a text of labels at most.
const MOST_TEXT: u64 = 4 << 30;

/// Words that say that there is no label, as pandas and NumPy write and read them; so does an empty one.
const MISSING: [&str; 9] = ["nan", "NaN", "<NA>", "NA", "N/A", "n/a", "None", "null", "NULL"];

/// A number of rows and their labels.
#[derive(Clone, Copy, Debug)]
pub struct OfLabels {
    /// Its name.
    pub name: &'static str,
    /// What it says, in one line.
    pub about: &'static str,
    /// Its definition.
    pub formula: &'static str,
    /// Who defined it.
    pub source: &'static str,
}

/// Every number that needs labels, in the order in which they are told.
pub const OF_LABELS: [OfLabels; 4] = [
    OfLabels {
        name: "knn",
        about: "share of the rows asked that get their label by the votes of the 20 nearest of the other rows",
        formula: "argmax over classes of Σ e^(s/0.07)",
        source: "Wu et al., CVPR 2018",
    },
    OfLabels {
        name: "linear_probe",
        about: "share of the rows asked that get their label by logistic regression on the other rows",
        formula: "argmax of Wx + b, fitted with the penalty λ/2 ‖W‖²",
        source: "scikit-learn's LogisticRegression",
    },
    OfLabels {
        name: "lidar",
        about: "directions in which classes are told apart; between 1 and the lower of d and the classes less one",
        formula: "exp H(q + 10⁻⁷), q the shares of the eigenvalues of Σ_w^(−½) Σ_b Σ_w^(−½)",
        source: "Thilak et al., ICLR 2024",
    },
    OfLabels {
        name: "silhouette",
        about: "how much nearer rows are to their class than to the next one; 1 far apart, 0 where classes mean nothing",
        formula: "mean (b − a)/max(a, b), a the mean of 1 − s within the class, b to the nearest other class",
        source: "Rousseeuw, J. Comput. Appl. Math. 1987",
    },
];

/// Where labels are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A text with one line a row, in order.
    File(PathBuf),
    /// A column or array beside the embeddings.
    Column(String),
}

impl Wanted {
    /// A file or pipe if there is one of that name, else a column.
    pub fn parse(text: &str) -> Self {
        if input::is_there(Path::new(text)) { Self::File(text.into()) } else { Self::Column(text.to_owned()) }
    }

    /// The column's name.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::File(_) => None,
            Self::Column(name) => Some(name),
        }
    }

    /// For sentences.
    pub fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Column(name) => format!("column {name}"),
        }
    }

    /// Adds the lines of a file.
    pub(super) fn read_file(&self, classes: &mut Classes) -> Result<()> {
        if let Self::File(path) = self {
            let text = input::text(path, MOST_TEXT)?;
            text.lines().for_each(|line| classes.push(line.trim()));
        }
        Ok(())
    }
}

/// Each row's class; no label is a class of its own name, "".
#[derive(Clone, Debug, Default)]
pub struct Classes {
    /// The names, in the order in which they first came.
    pub names: Vec<String>,
    places: BTreeMap<String, u32>,
    /// A place among the names for each row.
    pub of: Vec<u32>,
    /// Rows with a word that says that there is no label.
    missing: BTreeMap<&'static str, u64>,
}

impl Classes {
    pub(super) fn push(&mut self, name: &str) {
        let name = match MISSING.into_iter().find(|word| *word == name) {
            Some(word) => {
                *self.missing.entry(word).or_default() += 1;
                ""
            }
            None => name,
        };
        let class = match self.places.get(name) {
            Some(&class) => class,
            None => {
                let class = self.names.len() as u32;
                self.names.push(name.to_owned());
                self.places.insert(name.to_owned(), class);
                class
            }
        };
        self.of.push(class);
    }

    /// The class of a row of all, by its name; empty if it has none.
    pub(super) fn name(&self, row: u64) -> &str {
        &self.names[self.of[row as usize] as usize]
    }

    /// What is to be known of rows whose label was taken for none.
    fn note(&self) -> Option<String> {
        let told = self.missing.iter().map(|(word, count)| format!("{count} say {word}"));
        let told = told.collect::<Vec<_>>().join(", ");
        (!told.is_empty()).then(|| format!("labels: of all rows {told}, which counts as no label"))
    }
}

/// Asks the sampled rows (unit, at `places` of all) that have a label. What is not defined is told so.
pub(super) fn measure(
    classes: &Classes,
    rows: &Sampled,
    places: &[u64],
    wanted: &[&OfLabels],
    key: Key,
    notes: &mut Vec<String>,
) -> Result<Vec<Value>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    notes.extend(classes.note());
    let labels = places.iter().map(|&place| (classes.of[place as usize], classes.name(place)));
    let labeled: Vec<(usize, u32)> = labels
        .enumerate()
        .filter(|(_, (_, name))| !name.is_empty())
        .map(|(row, (class, _))| (row, class))
        .collect();
    let of: Vec<u32> = labeled.iter().map(|(_, class)| *class).collect();
    let count = classes_of(&of);
    let mut found: BTreeMap<&str, Estimate> = BTreeMap::new();
    let mut asked = 0;
    if count < 2 || of.len() < FEWEST {
        notes.push(format!(
            "labels: {} rows that were looked at have one, of {count} classes; at least {FEWEST} and 2 are needed",
            of.len()
        ));
    } else {
        let chosen: Vec<usize> = labeled.iter().map(|(row, _)| *row).collect();
        let rows = rows.take(&chosen);
        let points = Points::new(&rows)?;
        if is_one_point(&rows) {
            notes.push("labels: silhouette and LiDAR are not defined, as all rows are one point".to_owned());
        } else {
            found.insert("silhouette", silhouette(points, &of)?);
            match lidar(points, &of) {
                Ok(lidar) => drop(found.insert("lidar", Estimate::exact(lidar))),
                Err(error) => notes.push(format!("labels: LiDAR is not defined, as {error}")),
            }
        }
        let [votes, hits] = ask(&rows, &of, key, notes)?;
        asked = of.len() / ASKED;
        found.extend(votes.map(|votes| ("knn", of_hits(&votes))));
        found.extend(hits.map(|hits| ("linear_probe", of_hits(&hits))));
    }
    let value = |metric: &&OfLabels| {
        let is_asked = ["knn", "linear_probe"].contains(&metric.name);
        let rows = if is_asked { asked } else { of.len() };
        Value::of(metric.name, found.get(metric.name).copied(), rows as u64)
    };
    Ok(wanted.iter().map(value).collect())
}

/// Whether kNN's vote and the probe tell each of a keyed fifth of the rows right, from the others.
fn ask(rows: &Matrix<f64>, of: &[u32], key: Key, notes: &mut Vec<String>) -> Result<[Option<Vec<bool>>; 2]> {
    let order = permutation(&mut key.stream("asked").rng(), of.len());
    let (asked, references) = order.split_at(of.len() / ASKED);
    let take = |chosen: &[usize]| Labeled {
        rows: Matrix::new(chosen.iter().flat_map(|&i| rows.row(i)).map(|x| *x as f32).collect(), rows.dim()),
        labels: chosen.iter().map(|&i| of[i]).collect(),
    };
    let (mut references, mut asked) = (take(references), take(asked));
    let known: BTreeSet<u32> = references.labels.iter().copied().collect();
    if known.len() < 2 {
        notes.push(format!(
            "labels: kNN and probe are not asked: the {} references, all but a keyed fifth of the rows, are of one class",
            references.labels.len()
        ));
        return Ok([None, None]);
    }
    let neighbors = VOTE.0.min(references.labels.len());
    let votes = knn::hits(&references, &asked, neighbors, VOTE.1)?;
    probe::standardize(&mut references.rows, &mut asked.rows);
    let (probe, hits) = probe::probe(&mut references, &asked, key.stream("probe"))?;
    notes.push(format!(
        "labels: {} rows of {} classes; kNN (k = {neighbors}, T = {}) and probe are asked of {} of them, the others are references; \
         with Wilson's 95 % intervals of the rows asked",
        of.len(),
        classes_of(of),
        VOTE.1,
        asked.labels.len()
    ));
    let strange = asked.labels.iter().filter(|class| !known.contains(class)).count();
    if strange > 0 {
        notes.push(format!(
            "labels: {strange} of {} rows asked are of classes that no reference has, and so count as wrong",
            asked.labels.len()
        ));
    }
    if !probe.converged {
        notes.push(format!(
            "the probe's gradient ended at {:.0e} of its start, and had not converged",
            probe.gradient
        ));
    }
    Ok([Some(votes), Some(hits)])
}

fn classes_of(of: &[u32]) -> usize {
    of.iter().collect::<BTreeSet<_>>().len()
}

/// Whether 1 − s is rounding for every row and the first, so that no distance tells anything.
fn is_one_point(rows: &Matrix<f64>) -> bool {
    let squared = |i| rows.row(0).iter().zip(rows.row(i)).map(|(x, y)| (x - y).powi(2)).sum::<f64>();
    (1..rows.len()).all(|i| squared(i) < 2.0 * f64::EPSILON)
}

fn of_hits(hits: &[bool]) -> Estimate {
    Estimate::of_share(hits.iter().filter(|hit| **hit).count(), hits.len())
}

#[cfg(test)]
mod tests {
    use riesz::normalize;
    use riesz::rng::normal;

    use super::*;

    /// What is said of unit rows with these labels, and the notes.
    fn measured(mut rows: Matrix<f64>, names: &[&str], seed: u64) -> (Vec<Option<f64>>, String) {
        normalize(&mut rows).unwrap();
        let mut classes = Classes::default();
        names.iter().for_each(|name| classes.push(name));
        let places: Vec<u64> = (0..rows.len() as u64).collect();
        let wanted: Vec<&OfLabels> = OF_LABELS.iter().collect();
        let mut notes = Vec::new();
        let values =
            measure(&classes, &Sampled::of(rows), &places, &wanted, Key::new(seed), &mut notes).unwrap();
        assert_eq!(
            values.iter().map(|value| value.name.as_str()).collect::<Vec<_>>(),
            wanted.iter().map(|one| one.name).collect::<Vec<_>>()
        );
        (values.into_iter().map(|value| value.value).collect(), notes.join("; "))
    }

    fn cloud(n: usize, seed: u64) -> Matrix<f64> {
        let mut rng = Key::new(seed).rng();
        Matrix::new((0..n * 5).map(|_| normal(&mut rng)).collect(), 5)
    }

    /// A collapsed encoder has neighbors and a probe, but no directions in which its classes differ.
    #[test]
    fn classes_of_one_mean_have_no_lidar_and_one_point_no_silhouette() {
        for (period, n) in [(2, 40), (3, 40), (7, 61)] {
            let rows = Matrix::new([1.0, 2.0, 3.0].repeat(n), 3);
            let names: Vec<&str> = (0..n).map(|i| if i % period == 0 { "a" } else { "b" }).collect();
            let (values, notes) = measured(rows, &names, 1);
            assert!(values[0].is_some() && values[1].is_some() && values[2..] == [None, None], "{values:?}");
            assert!(
                notes.contains("not defined, as all rows are one point") && notes.contains("kNN (k = 20"),
                "{notes}"
            );
        }
        // Each row once in either class.
        let once = cloud(30, 2).into_vec();
        let rows = Matrix::new([once.clone(), once].concat(), 5);
        let names: Vec<&str> = (0..60).map(|i| if i < 30 { "a" } else { "b" }).collect();
        let (values, notes) = measured(rows, &names, 1);
        assert!(values[2].is_none() && values[3].is_some_and(|value| value.abs() < 0.1), "{values:?}");
        assert!(notes.contains("LiDAR is not defined, as all classes have one mean"), "{notes}");
    }

    #[test]
    fn a_class_that_no_reference_has_is_told() {
        // One row of its own class is among the references or is asked, as the key decides.
        let names: Vec<&str> = (0..300).map(|i| if i == 9 { "b" } else { "a" }).collect();
        let mut told = BTreeSet::new();
        for seed in 0..20 {
            let (values, notes) = measured(cloud(300, 3), &names, seed);
            assert!(values[2..].iter().all(Option::is_some), "{values:?}");
            assert_eq!(values[0].is_some(), values[1].is_some());
            assert_eq!(
                values[0].is_none(),
                notes.contains("the 240 references, all but a keyed fifth of the rows, are of one class")
            );
            told.insert(values[0].is_some());
        }
        assert_eq!(told.len(), 2);

        // 50 rows of one class, 200 of a class each.
        let own: Vec<String> =
            (0..250).map(|i| if i < 50 { "a".to_owned() } else { format!("b{i}") }).collect();
        let names: Vec<&str> = own.iter().map(String::as_str).collect();
        let mut rows = cloud(250, 4);
        (0..250).for_each(|i| rows.row_mut(i)[0] += if i < 50 { 40.0 } else { -40.0 });
        let (values, notes) = measured(rows, &names, 1);
        let right = (50.0 * values[0].unwrap()).round();
        assert!(
            notes.contains(&format!(
                "labels: {} of 50 rows asked are of classes that no reference has",
                50.0 - right
            )),
            "{values:?} {notes}"
        );
    }

    #[test]
    fn words_for_no_label_are_none_and_are_told() {
        let words = ["a", "b", "nan", "NaN", "None", "", "<NA>", "NA", "nan"];
        let names: Vec<&str> = (0..90).map(|i| words[i % 9]).collect();
        let (values, notes) = measured(cloud(90, 5), &names, 1);
        assert!(values.iter().all(|value| value.is_some()), "{values:?}");
        let told = "of all rows 10 say <NA>, 10 say NA, 10 say NaN, 10 say None, 20 say nan, which counts as no label";
        assert!(notes.contains(told) && notes.contains("20 rows of 2 classes"), "{notes}");
        let (values, notes) = measured(cloud(60, 5), &names[..60], 1);
        assert!(values == [None; 4] && notes.contains("at least 20 and 2 are needed"), "{values:?} {notes}");
    }
}
