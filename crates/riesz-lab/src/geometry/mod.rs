//! The geometry of files of embeddings: gathered in one pass ([`gather`]), kept in a file or merged ([`partial`]), and told as
//! a [`Report`] with a verdict, as tables and as a page.

pub mod compare;
pub mod condition;
mod feed;
mod items;
pub mod labels;
mod matched;
mod page;
pub mod partial;
pub mod table;
mod verdict;

use riesz::geometry::{Estimate, Findings, Finished, METRICS, Metric, Pairwise, Sampled, Sampling, State};
use riesz::rng::Key;
use riesz::sphere::ideal;
use serde::{Deserialize, Serialize};

use crate::embeddings::Rows;
use crate::embeddings::stream::Wanted;
use crate::progress::Progress;
use crate::{Error, Result};
use feed::Reading;
pub(crate) use feed::tell_apart;
pub use feed::{Input, inputs};
pub use labels::OF_LABELS;
use labels::OfLabels;
use matched::{Groups, Matched};
pub use page::render;
pub use verdict::{Finding, Tone, verdict};

/// The version of the JSON.
pub const SCHEMA_VERSION: u32 = 1;
/// Rows of the map.
const MAPPED: usize = 800;

/// How to gather.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names of arrays and columns.
    pub name: Option<String>,
    /// Rows that pairwise metrics look at.
    pub sample: usize,
    /// Of the sample.
    pub seed: u64,
    /// Most bytes to take.
    pub memory: u64,
    /// The column whose equal values make two rows a matched pair.
    pub pair_by: Option<String>,
    /// Labels of the rows.
    pub labels: Option<labels::Wanted>,
    /// No progress.
    pub quiet: bool,
}

/// A file, and how many rows it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name, or its path below the folder that was given.
    pub name: String,
    /// Rows.
    pub rows: u64,
}

/// What is known of rows that are gone.
#[derive(Debug)]
pub struct Gathered {
    /// Lengths, triangle and sample.
    pub state: State,
    /// The files, in order.
    pub sources: Vec<Source>,
    /// Σ ‖u − v‖² over matched pairs, and their number.
    pub matched: (f64, u64),
    /// Of the sample.
    pub seed: u64,
    /// Most rows of the sample.
    pub sample: usize,
    /// Each row's class, if labels were given.
    pub labels: Option<labels::Classes>,
    /// What is to be known beside the numbers.
    pub notes: Vec<String>,
}

/// Reads all rows once.
///
/// # Errors
/// One sentence with the file, and the row if it is one that is wrong; or if the state would take more than the memory
/// that is allowed.
pub fn gather(inputs: &[Input], pairs: Option<&[Input]>, settings: &Settings) -> Result<Gathered> {
    let mut texts = Vec::new();
    texts.extend(settings.pair_by.clone());
    let label_column = settings.labels.as_ref().and_then(labels::Wanted::column).map(str::to_owned);
    texts.extend(label_column.clone());
    let wanted = Wanted { name: settings.name.clone(), texts };
    let mut sources: Vec<Source> =
        inputs.iter().map(|input| Source { name: input.name.clone(), rows: 0 }).collect();
    let key = Key::new(settings.seed).stream("sample");
    let mut state: Option<State> = None;
    let mut matched = Matched::default();
    let mut groups = Groups::new(settings.memory / 4);
    let [mut reading, mut of_pairs] = [Reading::default(), Reading::default()];
    let mut classes = settings.labels.as_ref().map(|_| labels::Classes::default());
    let total = feed::bytes(inputs).div_ceil(1 << 20);
    let mut progress = Progress::new("reading", "MB", 0, total, settings.quiet);
    let (mut current, mut bytes, mut told) = (usize::MAX, 0, 0);
    let other = Wanted { name: settings.name.clone(), texts: Vec::new() };
    feed::each(inputs, &wanted, pairs.map(|pairs| (pairs, &other)), |mut part| {
        let rows = &part.block.rows;
        let input = &inputs[part.input];
        let place = |error: riesz::Error| Error::from(error).at(input.path.display());
        if state.is_none() {
            check_memory(rows.dim(), part.of, settings)?;
            state = Some(State::with_sample(rows.dim(), Sampling { rows: settings.sample, key }));
        }
        let Some(state) = &mut state else { return Ok(()) };
        if let Some(told) = part.told.take() {
            reading.add(told, input);
        }
        if part.input != current {
            current = part.input;
            state.begin(key.stream(&input.name));
        }
        match rows {
            Rows::F32(rows) => state.push(rows.as_slice()),
            Rows::F64(rows) => state.push(rows.as_slice()),
        }
        .map_err(place)?;
        if let Some(partners) = &part.partners {
            matched.add(&part.unit(inputs)?, &partners.rows)?;
            for (other, told) in &partners.told {
                pairs.into_iter().for_each(|pairs| of_pairs.add(told.clone(), &pairs[*other]));
            }
        }
        let mut texts = part.block.texts.iter();
        if settings.pair_by.is_some()
            && let Some(values) = texts.next()
        {
            let rows = part.unit(inputs)?;
            groups
                .add(&rows, values, part.first, &mut matched)
                .map_err(|error| error.at(input.path.display()))?;
        }
        if label_column.is_some()
            && let (Some(classes), Some(words)) = (&mut classes, texts.next())
        {
            words.iter().for_each(|word| classes.push(word));
        }
        sources[part.input].rows += rows.len() as u64;
        bytes += part.bytes;
        let done = bytes >> 20;
        progress.advance(done - told, || format!("{} rows", state.rows()));
        told = done;
        Ok(())
    })?;
    progress.finish();
    let state = state.ok_or_else(|| Error::input("there are no rows"))?;
    let mut notes = reading.notes;
    notes.extend(of_pairs.notes.into_iter().map(|note| format!("--pairs: {note}")));
    notes.extend(groups.note());
    if let (Some(classes), Some(wanted)) = (&mut classes, &settings.labels) {
        wanted.read_file(classes)?;
        if classes.of.len() as u64 != state.rows() {
            return Err(Error::input(format!(
                "{}: there are {} labels for {} rows; a file of labels has one a line, and --labels COLUMN takes a column beside the rows",
                wanted.place(),
                classes.of.len(),
                state.rows()
            )));
        }
    }
    let (seed, sample) = (settings.seed, settings.sample);
    let matched = (matched.sum, matched.pairs);
    Ok(Gathered { state, sources, matched, seed, sample, labels: classes, notes })
}

/// Refuses what would take more memory than is allowed; `rows` is how many there are, if that is known.
fn check_memory(dim: usize, rows: Option<u64>, settings: &Settings) -> Result<()> {
    let known = rows.map_or(usize::MAX, |rows| usize::try_from(rows).unwrap_or(usize::MAX));
    let sample = settings.sample.min(known);
    // The state, its copies when it is finished, the sample once more, its neighbors and cosines, and blocks that are read.
    let state = State::bytes(dim, sample) + 5 * 8 * (dim as u128 + 1).pow(2);
    let pairwise = sample as u128 * (8 * dim as u128 + 1600) + (40 << 20);
    let needed = state + pairwise + (160 << 20);
    if needed > u128::from(settings.memory) {
        return Err(Error::input(format!(
            "rows of {dim} numbers with a sample of {sample} take {:.1} GB, and --memory allows {:.1} GB; lower --sample",
            needed as f64 / 1e9,
            settings.memory as f64 / 1e9
        )));
    }
    Ok(())
}

impl Gathered {
    /// Adds what another has, as if its files came after these.
    ///
    /// # Errors
    /// If dimension, seed or sample differ, or if both have the rows of one file, or files of one name.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        let differ = |what: &str, a: u64, b: u64| {
            Err(Error::input(format!("has {what} {b}, and the parts before have {a}; parts must agree")))
        };
        match () {
            () if self.state.dim() != other.state.dim() => {
                differ("dimension", self.state.dim() as u64, other.state.dim() as u64)
            }
            () if self.seed != other.seed => differ("seed", self.seed, other.seed),
            () if self.sample != other.sample => differ("sample", self.sample as u64, other.sample as u64),
            () => {
                if let Some(place) = self.state.common(&other.state) {
                    let mut rows = 0;
                    let source = other.sources.iter().find(|source| {
                        rows += source.rows;
                        place < rows
                    });
                    return Err(Error::input(format!(
                        "has rows of {} that a part before it has too, and which would count twice",
                        source.map_or("a file", |source| source.name.as_str())
                    )));
                }
                let is_here = |source: &&Source| self.sources.iter().any(|here| here.name == source.name);
                if let Some(source) = other.sources.iter().find(is_here)
                    && self.sample > 0
                {
                    return Err(Error::input(format!(
                        "has a file {0}, and so has a part before it; rows are drawn by their file's name, and two files of one name \
                         would be drawn alike. Measure one of them under another name, as by a link, or the folder above both",
                        source.name
                    )));
                }
                self.state.merge(other.state);
                self.sources.extend(other.sources);
                self.matched = (self.matched.0 + other.matched.0, self.matched.1 + other.matched.1);
                Ok(())
            }
        }
    }
}

/// A metric as it is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// Its name in `METRICS`.
    pub name: String,
    /// The number; `None` where it is not defined.
    pub value: Option<f64>,
    /// The 95 % interval, if it is of a sample.
    pub low: Option<f64>,
    /// Its other end.
    pub high: Option<f64>,
    /// Rows that were looked at.
    pub rows: u64,
}

impl Value {
    pub(crate) fn of(name: &str, estimate: Option<Estimate>, rows: u64) -> Self {
        let interval = estimate.and_then(|found| found.interval);
        Self {
            name: name.to_owned(),
            value: estimate.map(|found| found.value),
            low: interval.map(|[low, _]| low),
            high: interval.map(|[_, high]| high),
            rows,
        }
    }
}

/// A row by its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// Its row there, counted from 0.
    pub row: u64,
}

/// Two rows that are nearly the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Duplicate {
    /// One.
    pub a: Place,
    /// The other.
    pub b: Place,
    /// Their cosine.
    pub cosine: f64,
}

/// A row on the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spot {
    /// Across.
    pub x: f64,
    /// Down.
    pub y: f64,
    /// Which row.
    pub place: Place,
    /// Its class.
    pub class: Option<String>,
}

/// Everything that is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The version of riesz.
    pub version: String,
    /// The files.
    pub sources: Vec<Source>,
    /// n.
    pub rows: u64,
    /// d.
    pub dim: usize,
    /// Rows that pairwise metrics looked at: all, or a keyed sample.
    pub looked_at: u64,
    /// The sample's seed.
    pub seed: u64,
    /// The cosine from which two rows count as near duplicates.
    pub duplicate_cosine: f64,
    /// What is found, worst first.
    pub findings: Vec<Finding>,
    /// Metrics, in the order of the list.
    pub metrics: Vec<Value>,
    /// Numbers that need labels.
    pub labeled: Vec<Value>,
    /// What is to be known beside the numbers.
    pub notes: Vec<String>,
    /// Pairs that are nearly the same, nearest first, at most 1,000.
    pub near_duplicates: Vec<Duplicate>,
    /// Singular values of the unit rows, largest first.
    pub singular_values: Vec<f64>,
    /// The same with the mean taken off.
    pub centered_singular_values: Vec<f64>,
    /// Shares of pairs by cosine, in equal parts of [−1, 1]; of a uniform law beside.
    pub cosines: Vec<f64>,
    /// Shares of pairs of uniform points.
    pub ideal_cosines: Vec<f64>,
    /// Lengths of rows: (length, share).
    pub lengths: Vec<(f64, f64)>,
    /// The map, if it was asked for.
    pub map: Vec<Spot>,
}

impl Report {
    /// A metric's value, where it is defined.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|value| value.name == name)?.value
    }
}

/// What to make of what was gathered.
#[derive(Clone, Debug)]
pub struct Told {
    /// Metrics by name; all if empty.
    pub metrics: Vec<String>,
    /// The cosine from which two rows count as near duplicates.
    pub duplicate_cosine: f64,
    /// Whether to make the map.
    pub map: bool,
}

/// Which numbers are told.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Of rows alone.
    pub metrics: Vec<&'static Metric>,
    /// Of rows and their labels.
    pub of_labels: Vec<&'static OfLabels>,
}

/// The numbers of these names, or all that can be told with labels or without.
///
/// # Errors
/// If there is none of a name, or if it needs labels that are not given.
pub fn chosen(names: &[String], has_labels: bool) -> Result<Chosen> {
    let of_rows: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    let of_labels: Vec<&str> = OF_LABELS.iter().map(|metric| metric.name).collect();
    for name in names.iter().map(String::as_str) {
        match (of_rows.contains(&name), of_labels.contains(&name)) {
            (false, false) => {
                return Err(Error::input(format!(
                    "{name} is no metric; those are {}, and with --labels {}",
                    of_rows.join(", "),
                    of_labels.join(", ")
                )));
            }
            (false, true) if !has_labels => {
                return Err(Error::input(format!(
                    "{name} needs labels: --labels FILE or COLUMN gives them; states of --partial keep none"
                )));
            }
            _ => {}
        }
    }
    let is_chosen = |name: &str| names.is_empty() || names.iter().any(|chosen| chosen == name);
    Ok(Chosen {
        metrics: METRICS.iter().filter(|metric| is_chosen(metric.name)).collect(),
        of_labels: OF_LABELS.iter().filter(|metric| has_labels && is_chosen(metric.name)).collect(),
    })
}

/// Finishes the state and tells all.
///
/// # Errors
/// If there are fewer than two rows.
pub fn report(gathered: Gathered, told: &Told) -> Result<Report> {
    let Gathered { state, sources, matched, seed, labels, mut notes, .. } = gathered;
    let Chosen { metrics, of_labels } = chosen(&told.metrics, labels.is_some())?;
    let rows = state.rows();
    let Finished { lengths, spectrum, places, sample: sampled, .. } =
        state.finish().map_err(|error| Error::from(error).at(files(&sources)))?;
    let key = Key::new(seed).stream("pairs");
    let looks_at_pairs = metrics.iter().any(|metric| metric.pairwise) && sampled.len() > 1;
    let pairwise = looks_at_pairs
        .then(|| Pairwise::of_sample(&sampled, rows, told.duplicate_cosine, key))
        .transpose()?;
    let dim = spectrum.dim();
    let labeled = match &labels {
        Some(classes) => labels::measure(classes, &sampled, &places, &of_labels, key, &mut notes)?,
        None => Vec::new(),
    };
    let mut findings = Findings::new(spectrum);
    findings.lengths = Some(lengths);
    findings.alignment = (matched.1 > 0).then(|| matched.0 / matched.1 as f64);
    findings.pairwise = pairwise;
    let place = |sample: usize| place_of(&sources, places[sample]);
    let class = |sample: usize| {
        let name = labels.as_ref().map(|classes| classes.name(places[sample]).to_owned());
        name.filter(|name| !name.is_empty())
    };
    let map =
        if told.map { map_of(&sampled, &place, &class, Key::new(seed).stream("map"))? } else { Vec::new() };
    let looked_at = sampled.len() as u64;
    let values = metrics.iter().map(|metric| {
        let estimate = metric.read(&findings);
        Value::of(metric.name, estimate, if metric.pairwise { looked_at } else { rows })
    });
    let (mut cosines, mut near_duplicates) = (Vec::new(), Vec::new());
    if let Some(pairwise) = &findings.pairwise {
        let all = pairwise.histogram.iter().sum::<u64>() as f64;
        cosines = pairwise.histogram.iter().map(|count| *count as f64 / all).collect();
        near_duplicates = pairwise
            .listed
            .iter()
            .map(|&(a, b, cosine)| Duplicate { a: place(a), b: place(b), cosine })
            .collect();
    }
    let bins = cosines.len();
    // Between the outer edges lies all of the law, at d = 1 at the edges themselves.
    let edge = |bin: usize| match bin {
        0 => 0.0,
        bin => ideal::cdf(dim, 2.0 * bin as f64 / bins as f64 - 1.0),
    };
    let ideal_cosines = (0..bins).map(|bin| edge(bin + 1) - edge(bin)).collect();
    Ok(Report {
        schema_version: SCHEMA_VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rows,
        dim,
        looked_at: if looks_at_pairs { looked_at } else { 0 },
        seed,
        duplicate_cosine: told.duplicate_cosine,
        findings: verdict(&findings),
        metrics: values.collect(),
        labeled,
        notes,
        near_duplicates,
        singular_values: findings.spectrum.values.clone(),
        centered_singular_values: findings.spectrum.centered.clone(),
        cosines,
        ideal_cosines,
        lengths: findings.lengths.as_ref().map(riesz::geometry::Lengths::histogram).unwrap_or_default(),
        map,
        sources,
    })
}

/// The file and row of a row of all.
fn place_of(sources: &[Source], mut row: u64) -> Place {
    for source in sources {
        if row < source.rows {
            return Place { file: source.name.clone(), row };
        }
        row -= source.rows;
    }
    Place { file: String::new(), row }
}

fn map_of(
    rows: &Sampled,
    place: &impl Fn(usize) -> Place,
    class: &impl Fn(usize) -> Option<String>,
    key: Key,
) -> Result<Vec<Spot>> {
    if rows.len() < 4 {
        return Ok(Vec::new());
    }
    let mut chosen = riesz::rng::permutation(&mut key.stream("rows").rng(), rows.len());
    chosen.truncate(MAPPED);
    chosen.sort_unstable();
    let places = crate::report::map::layout(&rows.take(&chosen).to_f32(), key)?;
    let spot = |(&[x, y], &i): (&[f64; 2], &usize)| Spot { x, y, place: place(i), class: class(i) };
    Ok(places.iter().zip(&chosen).map(spot).collect())
}

/// Bytes as people write them: `2GB`, `512 MB`, `1.5GiB`.
///
/// # Errors
/// If it is no size.
pub fn size(text: &str) -> std::result::Result<u64, String> {
    let wrong = || format!("`{text}` is no size; write it as 2GB or 512MB");
    let split = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit.to_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => f64::from(1 << 10),
        "mib" => f64::from(1 << 20),
        "gib" => f64::from(1 << 30),
        _ => return Err(wrong()),
    };
    let bytes = number.trim().parse::<f64>().map_err(|_| wrong())? * scale;
    if bytes.is_finite() && bytes >= 0.0 { Ok(bytes as u64) } else { Err(wrong()) }
}

/// The file's name, or how many there are.
fn files(sources: &[Source]) -> String {
    match sources {
        [only] => only.name.clone(),
        several => format!("{} files", several.len()),
    }
}
