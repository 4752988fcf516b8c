//! Which images the evaluation looks at, and their rows: as many as fit a budget of bytes.

use std::collections::BTreeMap;

use riesz::Matrix;
use riesz::rng::{Key, permutation};

use crate::Result;
use crate::data::{Source, Unreadable};
use crate::encoder::Encoder;
use crate::protocols::{self, Labeled, Questions, Replies, Row, Settings, knn};
use crate::report::map::layout;
use crate::report::thumbnail::thumbnail;
use crate::report::{Map, MapPoint, Neighbors, Thumb};
use crate::run::Event;
use crate::train::Plan;
use crate::train::measure::{HeldOut, Sample, Shown, Viewer, labeled};

/// Bytes of rows that are held at once.
pub(super) const BUDGET: usize = 1 << 30;
/// Raw pixels are a baseline while their rows are at most this wide: probes of wider ones take longer than the encoder.
const WIDEST_PIXEL_ROW: usize = 64 * 64 * 3;
/// Fewer images make no map.
const LEAST_MAPPED: usize = 10;
/// Images on the map.
const MAPPED: usize = 600;
/// Queries whose nearest neighbors are shown, and how many of these.
const SHOWN: (usize, usize) = (8, 7);
/// Side of a thumbnail on the map and among the neighbors, at most.
const THUMBNAIL: (usize, usize) = (28, 56);

/// The images that are looked at.
pub(super) struct Images<'a> {
    viewer: Viewer<'a>,
    train: &'a dyn Source,
    test: &'a dyn Source,
    /// Training images: those with labels are references of kNN and training rows of the probe.
    pub(super) references: Sample,
    /// Held-out images: those with labels are queries of kNN and test rows of the probe.
    pub(super) queries: Sample,
    /// Held-out images of which two views are retrieved.
    pub(super) pairs: Sample,
    /// What is left out for want of memory.
    pub(super) notes: Vec<String>,
}

/// Rows of one representation of all these images.
pub(super) struct Rows {
    pub(super) references: Matrix<f32>,
    pub(super) queries: Matrix<f32>,
    pub(super) views: [Matrix<f32>; 2],
}

impl<'a> Images<'a> {
    /// Draws them, so many that the rows h and z of an encoder fit `budget` bytes: references and queries that have a
    /// label first.
    pub(super) fn draw(plan: &'a Plan, encoder: &dyn Encoder, budget: usize) -> Result<Self> {
        let (train, test) = (&*plan.data.train, &*plan.data.test);
        let key = Key::new(plan.recipe.seed);
        let width: usize = encoder.dims().iter().sum();
        let fit = budget / (width * size_of::<f32>());
        let asked = plan.recipe.evaluation.references.clamp(2, train.len().max(2));
        let queries = test.len().min(fit / 2).max(2);
        let references = asked.min(fit.saturating_sub(queries)).max(2);
        let mut notes = Vec::new();
        if queries < test.len() || references < asked {
            notes.push(format!(
                "{references} of {asked} training images and {queries} of {} held-out images are looked at, as many as \
                 their rows of {width} numbers fit into {}",
                test.len(),
                bytes(budget)
            ));
        }
        if plan.recipe.learns_labels() {
            notes.push(format!(
                "the encoder was trained with the labels of {} images: a probe with few labels does not tell what it would be without",
                labeled(train)
            ));
        }
        if plan.recipe.begins_with_labels() {
            notes.push(
                "its starting weights were trained with labels: a probe with few labels does not tell what it would be without"
                    .to_owned(),
            );
        }
        let references = Sample::draw_labeled_first(train, references, key.stream("references"))?;
        let queries = Sample::draw_labeled_first(test, queries, key.stream("queries"))?;
        let pairs = HeldOut::pairs(plan)?;
        Ok(Self { viewer: Viewer::of(plan), train, test, references, queries, pairs, notes })
    }

    /// Name and reason of every image that could not be read, in training or now.
    pub(super) fn unreadable(&self, events: &[Event]) -> Vec<(String, String)> {
        let logged = events.iter().filter_map(|event| match event {
            Event::Unreadable { name, reason, .. } => Some((name.clone(), reason.clone())),
            _ => None,
        });
        // Each name is told once, in logs of older programs too.
        let once = |(name, reason): (String, String)| {
            let why = Unreadable::why(&name, &reason).to_owned();
            (name, why)
        };
        let told = |source: &'a dyn Source, sample: &Sample| -> Vec<(String, String)> {
            sample.unreadable.iter().map(|(item, reason)| (source.name(*item), reason.clone())).collect()
        };
        let now = told(self.train, &self.references).into_iter().chain(told(self.test, &self.queries));
        let all: BTreeMap<String, String> = logged.chain(now).map(once).collect();
        all.into_iter().collect()
    }

    /// Representations h and embeddings z.
    pub(super) fn embed(&self, encoder: &dyn Encoder) -> Result<(Rows, Rows)> {
        let show = |source, items: &[usize], shown| self.viewer.embed(encoder, source, items, shown);
        let (references_h, references_z) = show(self.train, &self.references.items, Shown::Clean)?;
        let (queries_h, queries_z) = show(self.test, &self.queries.items, Shown::Clean)?;
        let (first_h, first_z) = show(self.test, &self.pairs.items, Shown::View(0))?;
        let (second_h, second_z) = show(self.test, &self.pairs.items, Shown::View(1))?;
        Ok((
            Rows { references: references_h, queries: queries_h, views: [first_h, second_h] },
            Rows { references: references_z, queries: queries_z, views: [first_z, second_z] },
        ))
    }

    /// The raw pixels of those that are asked about, or why they are left out.
    pub(super) fn pixels(
        &self,
        questions: &Questions,
        budget: usize,
    ) -> Result<std::result::Result<Rows, String>> {
        let (references, queries) = match questions.labels {
            true => (self.references.labeled(), self.queries.labeled()),
            false => (&[][..], &[][..]),
        };
        let numbers = self.viewer.numbers();
        if numbers > WIDEST_PIXEL_ROW {
            return Ok(Err(format!(
                "raw pixels are left out: rows of {numbers} numbers; up to {WIDEST_PIXEL_ROW} are asked"
            )));
        }
        // Retrieval holds its views twice: as they are and as unit rows.
        let images = references.len() + queries.len() + 4 * self.pairs.items.len();
        let needed = images * numbers * size_of::<f32>();
        if needed > budget {
            return Ok(Err(format!(
                "raw pixels are left out: their rows would take {}, and at most {} are held",
                bytes(needed),
                bytes(budget)
            )));
        }
        let show = |source, items: &[usize], shown| self.viewer.pixels(source, items, shown);
        Ok(Ok(Rows {
            references: show(self.train, references, Shown::Clean)?,
            queries: show(self.test, queries, Shown::Clean)?,
            views: [
                show(self.test, &self.pairs.items, Shown::View(0))?,
                show(self.test, &self.pairs.items, Shown::View(1))?,
            ],
        }))
    }

    /// Asks everything of one kind of rows, and gives the views back; the other rows are used up.
    pub(super) fn ask(
        &self,
        name: &str,
        rows: Rows,
        questions: &Questions,
        settings: &Settings,
        key: Key,
    ) -> Result<(Row, Replies, [Matrix<f32>; 2])> {
        // Rows without a label come after those with one, and are not asked about.
        let labeled = |rows: Matrix<f32>, sample: &Sample| {
            let (dim, mut numbers) = (rows.dim(), rows.into_vec());
            numbers.truncate(sample.labels.len() * dim);
            Labeled { rows: Matrix::new(numbers, dim), labels: sample.labels.clone() }
        };
        let (row, replies) = protocols::evaluate_row(
            name,
            labeled(rows.references, &self.references),
            labeled(rows.queries, &self.queries),
            [&rows.views[0], &rows.views[1]],
            questions,
            settings,
            key,
        )
        .map_err(|error| error.at(name))?;
        Ok((row, replies, rows.views))
    }

    /// A few hundred held-out images, laid out by their representations.
    pub(super) fn map(&self, h: &Rows, key: Key) -> Result<Option<Map>> {
        if self.queries.items.len() < LEAST_MAPPED {
            return Ok(None);
        }
        let mut chosen = permutation(&mut key.stream("map").rng(), self.queries.items.len());
        chosen.truncate(MAPPED);
        let rows = take(&h.queries, &chosen);
        let places = layout(
            &Matrix::new(protocols::unit(rows.as_slice(), rows.dim()), rows.dim()),
            key.stream("layout"),
        )?;
        let points = chosen
            .iter()
            .zip(places)
            .map(|(&i, [x, y])| {
                let item = self.queries.items[i];
                Ok(MapPoint {
                    x,
                    y,
                    label: self.queries.label(i),
                    name: self.test.name(item),
                    thumbnail: thumbnail(&self.test.image(item)?, THUMBNAIL.0)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Some(Map { points }))
    }

    /// The nearest training images of some held-out ones.
    pub(super) fn neighbors(&self, h: &Rows, key: Key) -> Result<Vec<Neighbors>> {
        let mut chosen = permutation(&mut key.stream("shown").rng(), self.queries.items.len());
        chosen.truncate(SHOWN.0);
        let nearest =
            knn::nearest(&h.references, &take(&h.queries, &chosen), SHOWN.1.min(h.references.len()))?;
        let thumb = |source: &dyn Source, sample: &Sample, i: usize, cosine| -> Result<Thumb> {
            let item = sample.items[i];
            let thumbnail = thumbnail(&source.image(item)?, THUMBNAIL.1)?;
            Ok(Thumb { name: source.name(item), label: sample.label(i), cosine, thumbnail })
        };
        chosen
            .iter()
            .zip(nearest)
            .map(|(&i, nearest)| {
                Ok(Neighbors {
                    query: thumb(self.test, &self.queries, i, 1.0)?,
                    nearest: nearest
                        .into_iter()
                        .map(|(j, cosine)| thumb(self.train, &self.references, j, f64::from(cosine)))
                        .collect::<Result<_>>()?,
                })
            })
            .collect()
    }
}

/// Rows of these indices.
pub(super) fn take(rows: &Matrix<f32>, chosen: &[usize]) -> Matrix<f32> {
    Matrix::new(chosen.iter().flat_map(|&i| rows.row(i).iter().copied()).collect(), rows.dim())
}

/// `614 MB` or `2.4 GB`, in powers of ten.
fn bytes(bytes: usize) -> String {
    match bytes as f64 {
        few if few < 1e6 => format!("{:.0} kB", few / 1e3),
        some if some < 1e9 => format!("{:.0} MB", some / 1e6),
        many => format!("{:.1} GB", many / 1e9),
    }
}
