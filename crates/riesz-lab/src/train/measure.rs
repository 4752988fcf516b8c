//! What is measured on held-out images after each epoch, without labels where there are none: two keyed views of
//! each are embedded, and their geometry on the sphere is told.

use rayon::prelude::*;
use riesz::geometry::{self, Diagnosis};
use riesz::rng::{Key, permutation};
use riesz::{Matrix, Points, normalize};

use super::{Plan, matrix, tensor};
use crate::data::{Image, Source};
use crate::encoder::Encoder;
use crate::protocols::{knn, retrieval};
use crate::run::Epoch;
use crate::{Error, Result};

/// Images embedded at once.
const CHUNK: usize = 250;

/// Readable images of a source with their item numbers, chosen by key.
pub struct Sample {
    /// Item numbers in the source, ascending.
    pub items: Vec<usize>,
    /// Their labels, if the source knows them.
    pub labels: Vec<Option<u32>>,
    /// Items that could not be read, with the reason.
    pub unreadable: Vec<(usize, String)>,
}

impl Sample {
    /// At most `limit` readable items of `source`, drawn by `key`, in ascending order.
    ///
    /// # Errors
    /// If fewer than two can be read.
    pub fn draw(source: &dyn Source, limit: usize, key: Key) -> Result<Self> {
        let mut items = permutation(&mut key.rng(), source.len());
        items.truncate(limit);
        items.sort_unstable();
        let sample = Self::readable(source, items);
        if sample.items.len() < 2 {
            return Err(Error::input(format!(
                "{} of the chosen images can be read; at least 2 are needed",
                sample.items.len()
            )));
        }
        Ok(sample)
    }

    /// Those of `items` that can be read, in their order.
    pub fn readable(source: &dyn Source, items: Vec<usize>) -> Self {
        let reasons: Vec<Option<String>> =
            items.par_iter().map(|&item| source.image(item).err().map(|error| error.to_string())).collect();
        let (mut readable, mut unreadable) = (Vec::with_capacity(items.len()), Vec::new());
        for (item, reason) in items.into_iter().zip(reasons) {
            match reason {
                None => readable.push(item),
                Some(reason) => unreadable.push((item, reason)),
            }
        }
        let labels = readable.iter().map(|&item| source.label(item)).collect();
        Self { items: readable, labels, unreadable }
    }

    /// The labels, if every item has one.
    pub fn all_labels(&self) -> Option<Vec<u32>> {
        self.labels.iter().copied().collect()
    }
}

/// How the images of a sample are shown to the encoder.
#[derive(Clone, Copy)]
pub enum Shown {
    /// As they are: resized and cropped to the encoder's size.
    Clean,
    /// Augmented, with the key of this view.
    View(u64),
}

/// The pixels of a sample's images as the encoder sees them, one row an image.
///
/// # Errors
/// If an image that could be read before cannot be read now.
pub fn pixels(plan: &Plan, source: &dyn Source, items: &[usize], shown: Shown) -> Result<Matrix<f32>> {
    let images: Vec<Image> = items.par_iter().map(|&item| source.image(item)).collect::<Result<_>>()?;
    let data = match shown {
        Shown::Clean => images.par_iter().map(|image| plan.augment.clean(image)).collect::<Vec<_>>().concat(),
        Shown::View(view) => {
            let key = Key::new(plan.recipe.seed).stream("held-out");
            let jobs: Vec<(&Image, Key)> = images
                .iter()
                .zip(items)
                .map(|(image, &item)| (image, key.at(item as u64).at(view)))
                .collect();
            plan.augment.views(&jobs)
        }
    };
    let dim = plan.augment.size() * plan.augment.size() * plan.augment.channels();
    Ok(Matrix::new(data, dim))
}

/// Representations h and embeddings z (raw rows) of a sample's images, in evaluation mode.
///
/// # Errors
/// If an image cannot be read.
pub fn embed(
    plan: &Plan,
    encoder: &Encoder,
    source: &dyn Source,
    items: &[usize],
    shown: Shown,
) -> Result<(Matrix<f32>, Matrix<f32>)> {
    let (mut representations, mut embeddings) = (Vec::new(), Vec::new());
    let (mut h_dim, mut z_dim) = (0, 0);
    for chunk in items.chunks(CHUNK) {
        let rows = pixels(plan, source, chunk, shown)?;
        let images = tensor(rows.as_slice(), chunk.len(), &plan.augment, &plan.device);
        let (h, z) = encoder.eval_forward(images);
        let (h, z) = (matrix(h), matrix(z));
        (h_dim, z_dim) = (h.dim(), z.dim());
        representations.extend_from_slice(h.as_slice());
        embeddings.extend_from_slice(z.as_slice());
    }
    Ok((Matrix::new(representations, h_dim), Matrix::new(embeddings, z_dim)))
}

/// The held-out images of a run and what is measured on them.
pub struct HeldOut<'a> {
    plan: &'a Plan,
    /// The images whose pairs of views are measured.
    pub sample: Sample,
    references: Option<(Vec<usize>, Vec<u32>)>,
}

impl<'a> HeldOut<'a> {
    /// Draws the held-out pairs, and the references of the epoch's kNN if there are labels.
    ///
    /// # Errors
    /// If fewer than two held-out images can be read.
    pub fn new(plan: &'a Plan) -> Result<Self> {
        let key = Key::new(plan.recipe.seed);
        let evaluation = &plan.recipe.evaluation;
        let sample = Sample::draw(&*plan.data.test, evaluation.pairs, key.stream("held-out items"))?;
        let references = if evaluation.epoch_references >= 2 && sample.all_labels().is_some() {
            let drawn =
                Sample::draw(&*plan.data.train, evaluation.epoch_references, key.stream("references"))?;
            drawn.all_labels().map(|labels| (drawn.items, labels))
        } else {
            None
        };
        Ok(Self { plan, sample, references })
    }

    /// Unit embeddings of the two views of each held-out image.
    ///
    /// # Errors
    /// If an image cannot be read, or an embedding is zero or not finite (the encoder diverged).
    pub fn views(&self, encoder: &Encoder) -> Result<[Matrix<f32>; 2]> {
        let unit = |view| {
            let (_, mut z) =
                embed(self.plan, encoder, &*self.plan.data.test, &self.sample.items, Shown::View(view))?;
            unit_rows(&mut z)?;
            Ok(z)
        };
        Ok([unit(0)?, unit(1)?])
    }

    /// Measures the encoder after an epoch.
    ///
    /// # Errors
    /// As [`HeldOut::views`].
    pub fn epoch(
        &self,
        encoder: &Encoder,
        epoch: u64,
        step: u64,
        [loss, attraction, repulsion]: [f64; 3],
        learning_rate: f64,
    ) -> Result<Epoch> {
        let [u, v] = self.views(encoder)?;
        let Measured { values: geometry, alarm } = measure(&u, &v)?;
        let recall_at_1 = retrieval::recall(&u, &v)?.at_1;
        let knn = self.knn(encoder)?;
        Ok(Epoch {
            epoch,
            step,
            loss,
            attraction,
            repulsion,
            learning_rate,
            geometry,
            recall_at_1,
            knn,
            alarm,
        })
    }

    fn knn(&self, encoder: &Encoder) -> Result<Option<f64>> {
        let (Some((items, reference_labels)), Some(labels)) = (&self.references, self.sample.all_labels())
        else {
            return Ok(None);
        };
        let plan = self.plan;
        let (references, _) = embed(plan, encoder, &*plan.data.train, items, Shown::Clean)?;
        let (queries, _) = embed(plan, encoder, &*plan.data.test, &self.sample.items, Shown::Clean)?;
        let evaluation = &plan.recipe.evaluation;
        knn::accuracy(
            &references,
            reference_labels,
            &queries,
            &labels,
            evaluation.neighbors.min(references.len()),
            evaluation.temperature,
        )
        .map(Some)
    }
}

/// What [`measure`] finds.
pub struct Measured {
    /// Metric name → value, in the order of the geometry's list.
    pub values: Vec<(String, f64)>,
    /// What the collapse alarm says; `None` when all is well.
    pub alarm: Option<String>,
}

/// The geometry of two matched sets of unit rows, and the collapse alarm in words.
///
/// # Errors
/// If the rows are not unit.
pub fn measure(u: &Matrix<f32>, v: &Matrix<f32>) -> Result<Measured> {
    let views = [points(u)?, points(v)?];
    let values = geometry::measure_all(&views).map_err(|error| Error::input(error.to_string()))?;
    let diagnosis = geometry::diagnosis(views[0]).map_err(|error| Error::input(error.to_string()))?;
    let alarm = (diagnosis != Diagnosis::Healthy).then(|| diagnosis.to_string());
    Ok(Measured { values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(), alarm })
}

/// Scales embeddings to unit rows.
///
/// # Errors
/// If a row is zero or not finite: the encoder diverged.
pub fn unit_rows(rows: &mut Matrix<f32>) -> Result<()> {
    normalize(rows).map(|_| ()).map_err(|error| {
        Error::input(format!("the encoder's embeddings: {error}; it diverged, lower optimizer.learning-rate"))
    })
}

fn points(rows: &Matrix<f32>) -> Result<Points<'_, f32>> {
    Points::new(rows).map_err(|error| Error::input(error.to_string()))
}
