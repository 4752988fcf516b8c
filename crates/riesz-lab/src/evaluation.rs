//! The evaluation at the end of a run: what the encoder learned, beside raw pixels and the untrained encoder, and
//! everything else that the report shows.

use std::collections::BTreeMap;

use riesz::rng::{Key, permutation};
use riesz::sphere::ideal;
use riesz::{Matrix, Points, geometry};

use crate::data::Source;
use crate::encoder::Encoder;
use crate::progress::Progress;
use crate::protocols::{self, Guard, Row, knn};
use crate::report::map::{layout, thumbnail};
use crate::report::{
    Cosines, Geometry, Map, MapPoint, Neighbors, SCHEMA_VERSION, Settings, Spectrum, StepPoint, Summary,
    Thumb,
};
use crate::run::{Event, Run};
use crate::train::Plan;
use crate::train::measure::{HeldOut, Measured, Sample, Shown, embed, measure, pixels, unit_rows};
use crate::{Error, Result};

/// Raw pixels are a baseline while their rows are at most this wide; wider ones would not fit in memory.
const WIDEST_PIXEL_ROW: usize = 64 * 64 * 3;
/// Fewer images make no map.
const LEAST_MAPPED: usize = 10;
/// Images on the map.
const MAPPED: usize = 600;
/// Queries whose nearest neighbors are shown, and how many of these.
const SHOWN: (usize, usize) = (8, 7);
/// Side of a thumbnail on the map and among the neighbors, at most.
const THUMBNAIL: (usize, usize) = (28, 56);
/// Bins of the cosines' histogram over [−1, 1].
const BINS: usize = 100;
/// Points of the loss curve.
const CURVE: usize = 1000;

/// Evaluates `encoder` and gathers what the report shows.
///
/// # Errors
/// If an image cannot be read, the encoder diverged, or it changed while it was evaluated.
pub fn evaluate(plan: &Plan, run: &Run, encoder: &Encoder, quiet: bool) -> Result<Summary> {
    let recipe = &plan.recipe;
    let guard = Guard::new(&encoder.named_tensors());
    let untrained = plan.encoder()?;
    let images = Images::draw(plan)?;
    let settings = protocols::Settings {
        // The table tells how many there were.
        neighbors: recipe.evaluation.neighbors.min(images.references.items.len()),
        temperature: recipe.evaluation.temperature,
        few_labels: recipe.evaluation.few_labels,
        few_draws: recipe.evaluation.few_draws,
    };
    let key = Key::new(recipe.seed).stream("evaluation");
    let mut progress = Progress::new("evaluating", "steps", 0, 7, quiet);
    let mut rows: Vec<Row> = Vec::new();
    let mut row = |name: &str, shown: &Representations| -> Result<()> {
        rows.push(images.row(name, shown, &settings, key)?);
        Ok(())
    };
    if plan.augment.size().pow(2) * plan.augment.channels() <= WIDEST_PIXEL_ROW {
        row("raw pixels", &images.show(|source, items, shown| pixels(plan, source, items, shown))?)?;
    } else {
        progress.say(&format!(
            "raw pixels are left out of the table: rows of {} numbers would not fit in memory",
            plan.augment.size().pow(2) * plan.augment.channels()
        ));
    }
    progress.advance(1, || "raw pixels".to_owned());
    let (untrained_h, untrained_z) = images.embed(plan, &untrained)?;
    progress.advance(1, || "untrained encoder embedded".to_owned());
    row("untrained backbone", &untrained_h)?;
    row("untrained projector", &untrained_z)?;
    progress.advance(1, || "untrained encoder evaluated".to_owned());
    let (h, z) = images.embed(plan, encoder)?;
    progress.advance(1, || "trained encoder embedded".to_owned());
    row("trained backbone", &h)?;
    row("trained projector", &z)?;
    progress.advance(1, || "trained encoder evaluated".to_owned());
    guard.check(&encoder.named_tensors())?;

    let Measured { values, alarm } = measure_views(&z)?;
    let geometry = values
        .into_iter()
        .zip(measure_views(&untrained_z)?.values)
        .map(|((metric, trained), (_, untrained))| Geometry { metric, trained, untrained })
        .collect();
    let cosines = cosines(&z.views)?;
    let spectrum = [
        ("trained backbone", &h),
        ("trained projector", &z),
        ("untrained backbone", &untrained_h),
        ("untrained projector", &untrained_z),
    ]
    .into_iter()
    .map(|(name, shown)| spectrum(name, &shown.views))
    .collect::<Result<_>>()?;
    progress.advance(1, || "geometry measured".to_owned());
    let map = images.map(plan, &h, key)?;
    let neighbors = images.neighbors(plan, &h, key)?;
    progress.advance(1, || "map drawn".to_owned());
    progress.finish();

    let events = run.events()?;
    let timings = run.timings()?;
    let environment_path = run.path("environment.json");
    let environment =
        std::fs::read_to_string(&environment_path).map_err(|error| Error::io(&environment_path, &error))?;
    let mut rates: Vec<f64> = timings.iter().map(|timing| timing.images_per_second).collect();
    rates.sort_by(f64::total_cmp);
    Ok(Summary {
        schema_version: SCHEMA_VERSION,
        run: run.root().display().to_string(),
        data: plan.data.name.clone(),
        classes: plan.data.classes.clone(),
        train_images: plan.data.train.len(),
        test_images: plan.data.test.len(),
        encoder: encoder.describe(),
        loss: recipe.loss.describe(),
        optimizer: recipe.optimizer.describe(recipe.batch),
        recipe: recipe.to_toml(),
        environment: serde_json::from_str(&environment)
            .map_err(|error| Error::input(format!("{}: {error}", environment_path.display())))?,
        settings: Settings {
            neighbors: settings.neighbors,
            temperature: settings.temperature,
            references: images.references.items.len(),
            queries: images.queries.items.len(),
            few_labels: settings.few_labels,
            few_draws: settings.few_draws,
            pairs: images.pairs.items.len(),
        },
        rows,
        steps: curve(&events),
        unreadable: images.unreadable(&events),
        epochs: events
            .into_iter()
            .filter_map(|event| match event {
                Event::Epoch(epoch) => Some(epoch),
                _ => None,
            })
            .collect(),
        training_seconds: timings.iter().map(|timing| timing.training_seconds).sum(),
        images_per_second: rates.get(rates.len() / 2).copied().unwrap_or(0.0),
        geometry,
        alarm,
        cosines,
        spectrum,
        map,
        neighbors,
    })
}

/// Which images the evaluation looks at.
struct Images<'a> {
    train: &'a dyn Source,
    test: &'a dyn Source,
    /// Training images: references of kNN, training rows of the probe.
    references: Sample,
    /// Held-out images: queries of kNN, test rows of the probe.
    queries: Sample,
    /// Held-out images of which two views are retrieved.
    pairs: Sample,
}

/// Rows of one representation of all these images.
struct Representations {
    references: Matrix<f32>,
    queries: Matrix<f32>,
    views: [Matrix<f32>; 2],
}

impl<'a> Images<'a> {
    fn draw(plan: &'a Plan) -> Result<Self> {
        let (train, test) = (&*plan.data.train, &*plan.data.test);
        let key = Key::new(plan.recipe.seed);
        let evaluation = &plan.recipe.evaluation;
        let references = Sample::draw(train, evaluation.references.max(2), key.stream("references"))?;
        let queries = Sample::readable(test, (0..test.len()).collect());
        let pairs = HeldOut::new(plan)?.sample;
        Ok(Self { train, test, references, queries, pairs })
    }

    fn show(
        &self,
        show: impl Fn(&dyn Source, &[usize], Shown) -> Result<Matrix<f32>>,
    ) -> Result<Representations> {
        Ok(Representations {
            references: show(self.train, &self.references.items, Shown::Clean)?,
            queries: show(self.test, &self.queries.items, Shown::Clean)?,
            views: [
                show(self.test, &self.pairs.items, Shown::View(0))?,
                show(self.test, &self.pairs.items, Shown::View(1))?,
            ],
        })
    }

    /// Name and reason of every image that could not be read, in training or now.
    fn unreadable(&self, events: &[Event]) -> Vec<(String, String)> {
        let logged = events.iter().filter_map(|event| match event {
            Event::Unreadable { name, reason, .. } => Some((name.clone(), reason.clone())),
            _ => None,
        });
        let told = |source: &'a dyn Source, sample: &Sample| -> Vec<(String, String)> {
            sample.unreadable.iter().map(|(item, reason)| (source.name(*item), reason.clone())).collect()
        };
        let now = told(self.train, &self.references).into_iter().chain(told(self.test, &self.queries));
        let all: BTreeMap<String, String> = logged.chain(now).collect();
        all.into_iter().collect()
    }

    /// Representations h and embeddings z.
    fn embed(&self, plan: &Plan, encoder: &Encoder) -> Result<(Representations, Representations)> {
        let show = |source, items: &[usize], shown| embed(plan, encoder, source, items, shown);
        let (references_h, references_z) = show(self.train, &self.references.items, Shown::Clean)?;
        let (queries_h, queries_z) = show(self.test, &self.queries.items, Shown::Clean)?;
        let (first_h, first_z) = show(self.test, &self.pairs.items, Shown::View(0))?;
        let (second_h, second_z) = show(self.test, &self.pairs.items, Shown::View(1))?;
        Ok((
            Representations { references: references_h, queries: queries_h, views: [first_h, second_h] },
            Representations { references: references_z, queries: queries_z, views: [first_z, second_z] },
        ))
    }

    fn row(
        &self,
        name: &str,
        shown: &Representations,
        settings: &protocols::Settings,
        key: Key,
    ) -> Result<Row> {
        let (references, queries) = (self.references.all_labels(), self.queries.all_labels());
        protocols::evaluate_row(
            name,
            (&shown.references, references.as_deref()),
            (&shown.queries, queries.as_deref()),
            [&shown.views[0], &shown.views[1]],
            settings,
            key,
        )
        .map_err(|error| error.at(name))
    }

    /// A few hundred held-out images, laid out by their representations.
    fn map(&self, plan: &Plan, h: &Representations, key: Key) -> Result<Option<Map>> {
        if self.queries.items.len() < LEAST_MAPPED {
            return Ok(None);
        }
        let mut chosen = permutation(&mut key.stream("map").rng(), self.queries.items.len());
        chosen.truncate(MAPPED);
        let rows = protocols::unit(&take(&h.queries, &chosen))?;
        let places = layout(&rows, key.stream("layout"))?;
        let points = chosen
            .iter()
            .zip(places)
            .map(|(&i, [x, y])| {
                let item = self.queries.items[i];
                Ok(MapPoint {
                    x,
                    y,
                    label: self.queries.labels[i],
                    name: plan.data.test.name(item),
                    thumbnail: thumbnail(&plan.data.test.image(item)?, THUMBNAIL.0)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Some(Map { points }))
    }

    /// The nearest training images of some held-out ones.
    fn neighbors(&self, plan: &Plan, h: &Representations, key: Key) -> Result<Vec<Neighbors>> {
        let mut chosen = permutation(&mut key.stream("shown").rng(), self.queries.items.len());
        chosen.truncate(SHOWN.0);
        let nearest =
            knn::nearest(&h.references, &take(&h.queries, &chosen), SHOWN.1.min(h.references.len()))?;
        let thumb = |source: &dyn Source, item: usize, label, cosine| -> Result<Thumb> {
            let thumbnail = thumbnail(&source.image(item)?, THUMBNAIL.1)?;
            Ok(Thumb { name: source.name(item), label, cosine, thumbnail })
        };
        chosen
            .iter()
            .zip(nearest)
            .map(|(&i, nearest)| {
                Ok(Neighbors {
                    query: thumb(&*plan.data.test, self.queries.items[i], self.queries.labels[i], 1.0)?,
                    nearest: nearest
                        .into_iter()
                        .map(|(j, cosine)| {
                            let (item, label) = (self.references.items[j], self.references.labels[j]);
                            thumb(&*plan.data.train, item, label, f64::from(cosine))
                        })
                        .collect::<Result<_>>()?,
                })
            })
            .collect()
    }
}

fn take(rows: &Matrix<f32>, chosen: &[usize]) -> Matrix<f32> {
    Matrix::new(chosen.iter().flat_map(|&i| rows.row(i).iter().copied()).collect(), rows.dim())
}

fn measure_views(shown: &Representations) -> Result<Measured> {
    let [u, v] = with_direction(&shown.views)?;
    measure(&u, &v)
}

/// Unit rows of the images of which both views have a direction: an untrained encoder gives a black image none.
fn with_direction(views: &[Matrix<f32>; 2]) -> Result<[Matrix<f32>; 2]> {
    let zero = |row: &[f32]| row.iter().all(|x| *x == 0.0);
    let kept: Vec<usize> =
        (0..views[0].len()).filter(|&i| !views.iter().any(|view| zero(view.row(i)))).collect();
    if kept.len() < 2 {
        return Err(Error::input(format!(
            "{} of {} held-out images have a representation that is not zero; at least 2 are needed",
            kept.len(),
            views[0].len()
        )));
    }
    let [mut u, mut v] = [&views[0], &views[1]].map(|view| take(view, &kept));
    unit_rows(&mut u)?;
    unit_rows(&mut v)?;
    Ok([u, v])
}

/// Shares of cosines a bin: matched pairs, all other pairs of the 2M views, and the ideal law.
fn cosines(views: &[Matrix<f32>; 2]) -> Result<Cosines> {
    let [u, v] = with_direction(views)?;
    let (images, dim) = (u.len(), u.dim());
    let bin = |s: f64| (((s + 1.0) / 2.0 * BINS as f64).max(0.0) as usize).min(BINS - 1);
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let (mut matched, mut other) = (vec![0_u64; BINS], vec![0_u64; BINS]);
    let row = |i: usize| if i < images { u.row(i) } else { v.row(i - images) };
    for i in 0..2 * images {
        for j in i + 1..2 * images {
            let counts = if j == i + images { &mut matched } else { &mut other };
            counts[bin(dot(row(i), row(j)))] += 1;
        }
    }
    let shares = |counts: Vec<u64>| {
        let total = counts.iter().sum::<u64>().max(1) as f64;
        counts.into_iter().map(|count| count as f64 / total).collect()
    };
    let edge = |i: usize| ideal::cdf(dim, 2.0 * i as f64 / BINS as f64 - 1.0);
    let ideal = (0..BINS).map(|i| edge(i + 1) - edge(i)).collect();
    Ok(Cosines { dim, bins: BINS, matched: shares(matched), other: shares(other), ideal })
}

/// Singular values of unit rows, the largest scaled to 1.
fn spectrum(name: &str, views: &[Matrix<f32>; 2]) -> Result<Spectrum> {
    let [rows, _] = with_direction(views)?;
    let points = Points::new(&rows).map_err(|error| Error::input(error.to_string()))?;
    let mut values = geometry::singular_values(points);
    let largest = values.first().copied().unwrap_or(1.0).max(f64::MIN_POSITIVE);
    values.iter_mut().for_each(|value| *value /= largest);
    Ok(Spectrum { name: name.to_owned(), values })
}

/// The loss curve, with means over neighboring steps so that at most [`CURVE`] points remain.
fn curve(events: &[Event]) -> Vec<StepPoint> {
    let steps: Vec<StepPoint> = events
        .iter()
        .filter_map(|event| match *event {
            Event::Step { step, loss, attraction, repulsion, .. } => {
                Some(StepPoint { step, loss, attraction, repulsion })
            }
            _ => None,
        })
        .collect();
    let width = steps.len().div_ceil(CURVE).max(1);
    steps
        .chunks(width)
        .map(|chunk| {
            let mean = |part: fn(&StepPoint) -> f64| chunk.iter().map(part).sum::<f64>() / chunk.len() as f64;
            StepPoint {
                step: chunk[chunk.len() / 2].step,
                loss: mean(|point| point.loss),
                attraction: mean(|point| point.attraction),
                repulsion: mean(|point| point.repulsion),
            }
        })
        .collect()
}
