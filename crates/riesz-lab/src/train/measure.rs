//! What is measured on held-out images after each epoch, without labels where there are none: two keyed views of
//! each are embedded, and their geometry on the sphere is told.

use rayon::prelude::*;
use riesz::engine::{Coupling, coupling};
use riesz::geometry::{self, Diagnosis, Findings};
use riesz::loss::Loss;
use riesz::rng::{Key, permutation};
use riesz::{Matrix, Points, Scalar, normalize};

use super::Plan;
use crate::augment::Augment;
use crate::data::Source;
use crate::encoder::Encoder;
use crate::protocols::{Labeled, knn, retrieval, share};
use crate::run::Epoch;
use crate::{Error, Result};

/// Images embedded at once.
const CHUNK: usize = 250;
/// Pairs at which the gradients of attraction and repulsion are compared.
const COUPLED: usize = 128;
/// The distance up to which two unit rows of f32 are one.
const ROUNDED: f64 = 1e-6;

/// Readable images of a source with their item numbers, those that have a label first.
#[derive(Clone)]
pub struct Sample {
    /// Item numbers in the source: ascending among those with a label, and among the others.
    pub items: Vec<usize>,
    /// The labels of the first items; the others have none.
    pub labels: Vec<u32>,
    /// Items that could not be read, with the reason.
    pub unreadable: Vec<(usize, String)>,
}

impl Sample {
    /// At most `limit` readable items of `source`, drawn by `key`, whether they have a label or not.
    ///
    /// # Errors
    /// If fewer than two can be read.
    pub fn draw(source: &dyn Source, limit: usize, key: Key) -> Result<Self> {
        let mut items = permutation(&mut key.rng(), source.len());
        items.truncate(limit);
        Self::readable(source, items).at_least_two()
    }

    /// As [`Sample::draw`], but items without a label are drawn only where those with one are fewer than `limit`.
    ///
    /// # Errors
    /// If fewer than two can be read.
    pub fn draw_labeled_first(source: &dyn Source, limit: usize, key: Key) -> Result<Self> {
        Self::labeled_first(source, limit, key).at_least_two()
    }

    fn labeled_first(source: &dyn Source, limit: usize, key: Key) -> Self {
        let mut items = permutation(&mut key.rng(), source.len());
        // The sort is stable: among each kind the key's order stays.
        items.sort_by_key(|&item| source.label(item).is_none());
        items.truncate(limit);
        Self::readable(source, items)
    }

    fn readable(source: &dyn Source, mut items: Vec<usize>) -> Self {
        items.sort_unstable_by_key(|&item| (source.label(item).is_none(), item));
        let (items, unreadable) = readable(source, items);
        let labels = items.iter().map_while(|&item| source.label(item)).collect();
        Self { items, labels, unreadable }
    }

    fn at_least_two(self) -> Result<Self> {
        if self.items.len() < 2 {
            return Err(Error::input(format!(
                "{} of the chosen images can be read; at least 2 are needed",
                self.items.len()
            )));
        }
        Ok(self)
    }

    /// The items that have a label.
    pub fn labeled(&self) -> &[usize] {
        &self.items[..self.labels.len()]
    }

    /// The label of the `i`-th item, if it has one.
    pub fn label(&self, i: usize) -> Option<u32> {
        self.labels.get(i).copied()
    }
}

/// How many images of a source have a label.
pub fn labeled(source: &dyn Source) -> usize {
    (0..source.len()).filter(|&item| source.label(item).is_some()).count()
}

/// Those of `items` that can be read, in their order, and the others with the reason.
pub fn readable(source: &dyn Source, items: Vec<usize>) -> (Vec<usize>, Vec<(usize, String)>) {
    let reasons: Vec<Option<String>> =
        items.par_iter().map(|&item| source.image(item).err().map(|error| error.to_string())).collect();
    let (mut readable, mut unreadable) = (Vec::with_capacity(items.len()), Vec::new());
    for (item, reason) in items.into_iter().zip(reasons) {
        match reason {
            None => readable.push(item),
            Some(reason) => unreadable.push((item, reason)),
        }
    }
    (readable, unreadable)
}

/// How the images of a sample are shown to the encoder.
#[derive(Clone, Copy)]
pub enum Shown {
    /// As they are: resized and cropped to the encoder's size.
    Clean,
    /// Augmented, with the key of this view.
    View(u64),
}

/// Shows images to an encoder.
#[derive(Clone, Copy)]
pub struct Viewer<'a> {
    /// Size and channels of what is shown, and how views are made.
    pub augment: &'a Augment,
    /// The recipe's seed, below which views are keyed.
    pub seed: u64,
}

impl<'a> Viewer<'a> {
    /// As the run shows them.
    pub fn of(plan: &'a Plan) -> Self {
        Self { augment: &plan.augment, seed: plan.recipe.seed }
    }

    /// Numbers of an image as it is shown.
    pub fn numbers(self) -> usize {
        self.augment.size() * self.augment.size() * self.augment.channels()
    }

    /// The pixels of these items as the encoder sees them, one row an image. Beside the rows, memory holds one decoded
    /// image a thread.
    ///
    /// # Errors
    /// If an image that could be read before cannot be read now.
    pub fn pixels(self, source: &dyn Source, items: &[usize], shown: Shown) -> Result<Matrix<f32>> {
        let mut rows = Matrix::zeros(items.len(), self.numbers());
        let key = Key::new(self.seed).stream("held-out");
        rows.as_mut_slice().par_chunks_mut(self.numbers()).zip(items).try_for_each(|(row, &item)| {
            let image = source.image(item)?;
            match shown {
                Shown::Clean => row.copy_from_slice(&self.augment.clean(&image)),
                Shown::View(view) => self.augment.view(&image, key.at(item as u64).at(view), row),
            }
            Ok::<(), Error>(())
        })?;
        Ok(rows)
    }

    /// Representations h and embeddings z (raw rows) of these items, in evaluation mode.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn embed(
        self,
        encoder: &dyn Encoder,
        source: &dyn Source,
        items: &[usize],
        shown: Shown,
    ) -> Result<(Matrix<f32>, Matrix<f32>)> {
        let (mut representations, mut embeddings) = (Vec::new(), Vec::new());
        let (mut h_dim, mut z_dim) = (1, 1);
        for chunk in items.chunks(CHUNK) {
            let rows = self.pixels(source, chunk, shown)?;
            let (h, z) = encoder.embed(rows.as_slice());
            (h_dim, z_dim) = (h.dim(), z.dim());
            // All at once, so that growing vectors do not take twice the memory.
            representations.reserve_exact((items.len() * h_dim).saturating_sub(representations.len()));
            embeddings.reserve_exact((items.len() * z_dim).saturating_sub(embeddings.len()));
            representations.extend_from_slice(h.as_slice());
            embeddings.extend_from_slice(z.as_slice());
        }
        Ok((Matrix::new(representations, h_dim), Matrix::new(embeddings, z_dim)))
    }
}

/// The held-out images of a run and what is measured on them.
pub struct HeldOut<'a> {
    plan: &'a Plan,
    /// The images whose pairs of views are measured, with or without labels.
    pub sample: Sample,
    /// References and queries of the epoch's kNN, if there are labels: all of them have one.
    knn: Option<[Sample; 2]>,
}

impl<'a> HeldOut<'a> {
    /// Draws the held-out pairs, and the references and queries of the epoch's kNN among the images with labels.
    ///
    /// # Errors
    /// If fewer than two held-out images can be read.
    pub fn new(plan: &'a Plan) -> Result<Self> {
        let (train, test) = (&*plan.data.train, &*plan.data.test);
        let key = Key::new(plan.recipe.seed);
        let evaluation = &plan.recipe.evaluation;
        let mut sample = Self::pairs(plan)?;
        let queries = evaluation.pairs.min(labeled(test));
        let references = evaluation.epoch_references.min(labeled(train));
        let mut knn = None;
        if references >= 2 && queries >= 1 {
            // Where all held-out images have labels, the queries are the images of the pairs.
            let queries = if sample.labels.len() == sample.items.len() {
                sample.clone()
            } else {
                Sample::labeled_first(test, queries, key.stream("held-out items"))
            };
            for (item, reason) in &queries.unreadable {
                if sample.unreadable.iter().all(|(known, _)| known != item) {
                    sample.unreadable.push((*item, reason.clone()));
                }
            }
            let references = Sample::labeled_first(train, references, key.stream("references"));
            knn =
                (references.labels.len() >= 2 && !queries.labels.is_empty()).then_some([references, queries]);
        }
        Ok(Self { plan, sample, knn })
    }

    /// The held-out images whose pairs of views are measured.
    ///
    /// # Errors
    /// If fewer than two of them can be read.
    pub fn pairs(plan: &Plan) -> Result<Sample> {
        let key = Key::new(plan.recipe.seed).stream("held-out items");
        Sample::draw(&*plan.data.test, plan.recipe.evaluation.pairs, key)
    }

    /// Unit embeddings of the two views of each held-out image.
    ///
    /// # Errors
    /// If an image cannot be read, or an embedding is zero or not finite (the encoder diverged).
    pub fn views(&self, encoder: &dyn Encoder) -> Result<[Matrix<f32>; 2]> {
        let unit = |view| {
            let (_, mut z) = Viewer::of(self.plan).embed(
                encoder,
                &*self.plan.data.test,
                &self.sample.items,
                Shown::View(view),
            )?;
            unit_rows(&mut z)?;
            Ok::<_, Error>(z)
        };
        Ok([unit(0)?, unit(1)?])
    }

    /// Measures the encoder after an epoch.
    ///
    /// # Errors
    /// As [`HeldOut::views`].
    pub fn epoch(
        &self,
        encoder: &dyn Encoder,
        epoch: u64,
        step: u64,
        [loss, attraction, repulsion]: [f64; 3],
        learning_rate: f64,
    ) -> Result<Epoch> {
        let [u, v] = self.views(encoder)?;
        let Measured { values: geometry, diagnosis } = measure(&u, &v)?;
        let recall_at_1 = retrieval::recall(&u, &v)?.0.at_1;
        let knn = self.knn(encoder)?;
        // Of groups the two gradients are others than those of pairs alone.
        let coupling = match self.plan.recipe.loss.takes_groups() {
            true => Coupling::default(),
            false => coupled(&self.plan.loss, &[u, v])?,
        };
        Ok(Epoch {
            epoch,
            step,
            loss,
            attraction,
            repulsion,
            learning_rate,
            geometry,
            recall_at_1,
            gradient_cosine: coupling.cosine,
            pull_left: coupling.left,
            knn,
            knn_references: self.knn.as_ref().map_or(0, |[references, _]| references.labels.len()),
            knn_queries: self.knn.as_ref().map_or(0, |[_, queries]| queries.labels.len()),
            alarm: diagnosis.advice().map(|advice| format!("{diagnosis}; if it stays so, {advice}")),
        })
    }

    fn knn(&self, encoder: &dyn Encoder) -> Result<Option<f64>> {
        let Some([references, queries]) = &self.knn else { return Ok(None) };
        let embed = |source, sample: &Sample| -> Result<Labeled> {
            let (rows, _) = Viewer::of(self.plan).embed(encoder, source, &sample.items, Shown::Clean)?;
            Ok(Labeled { rows, labels: sample.labels.clone() })
        };
        let references = embed(&*self.plan.data.train, references)?;
        let queries = embed(&*self.plan.data.test, queries)?;
        let evaluation = &self.plan.recipe.evaluation;
        let neighbors = evaluation.neighbors.min(references.labels.len());
        let hits = knn::hits(&references, &queries, neighbors, evaluation.temperature)?;
        Ok(Some(share(&hits)))
    }
}

/// How the loss's attraction and repulsion stand to each other at the first 128 pairs. Where both points of every pair are one but for
/// rounding, nothing pulls, and the gradients have no angle.
///
/// # Errors
/// If the rows are not unit.
pub fn coupled(loss: &Loss, views: &[Matrix<f32>; 2]) -> Result<Coupling> {
    let first = views.each_ref().map(|view| {
        let numbers = view.dim() * view.len().min(COUPLED);
        Matrix::new(view.as_slice()[..numbers].iter().map(|&x| f64::from(x)).collect(), view.dim())
    });
    let [u, v] = first.each_ref().map(Points::new);
    let mut found = coupling(loss, &[u?, v?])?;
    let [u, v] = first.each_ref().map(|rows| rows.as_slice().chunks(rows.dim()));
    let squared = |(u, v): (&[f64], &[f64])| u.iter().zip(v).map(|(u, v)| (u - v).powi(2)).sum::<f64>();
    let is_pulled = u.zip(v).map(squared).any(|squared| squared > ROUNDED * ROUNDED);
    found.cosine = found.cosine.filter(|_| is_pulled);
    Ok(found)
}

/// What [`measure`] finds.
pub struct Measured {
    /// Metric name → value, in the order of the geometry's list.
    pub values: Vec<(String, f64)>,
    /// Whether the rows have collapsed.
    pub diagnosis: Diagnosis,
}

/// The geometry of two matched sets of unit rows, and whether they have collapsed.
///
/// # Errors
/// If the rows are not unit.
pub fn measure(u: &Matrix<f32>, v: &Matrix<f32>) -> Result<Measured> {
    let [u, v] = [u.to_f64(), v.to_f64()];
    let findings = Findings::of(&[points(&u)?, points(&v)?])?;
    let values = findings.logged();
    let diagnosis = geometry::diagnosis(&findings.spectrum);
    let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(Measured { values, diagnosis })
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

fn points<T: Scalar>(rows: &Matrix<T>) -> Result<Points<'_, T>> {
    Ok(Points::new(rows)?)
}

#[cfg(test)]
mod tests {
    use riesz::loss::Convention;
    use riesz::rng::{Key, normal};

    use super::*;

    #[test]
    fn what_coincides_is_not_pulled_anywhere() {
        let loss = Loss::dhel(0.3, Convention::Symmetric).unwrap();
        let mut rng = Key::new(2).rng();
        let rows = Matrix::new((0..40 * 7).map(|_| normal(&mut rng) as f32).collect(), 7);
        let at = |moved: f32| {
            let mut views = [rows.clone(), rows.clone()];
            views[1].as_mut_slice().iter_mut().step_by(7).for_each(|x| *x += moved);
            views.iter_mut().for_each(|view| unit_rows(view).unwrap());
            coupled(&loss, &views).unwrap()
        };
        // The gradient's rounding has an angle, which is not told.
        assert!(at(0.0).cosine.is_none() && at(0.0).left == Some(1.0), "{:?}", at(0.0));
        assert!(at(1e-3).cosine.is_some());
    }
}
