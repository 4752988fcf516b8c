//! What is learned from, and what is asked: images with labels, their classes, and the network.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use riesz::Matrix;
use riesz::rng::Key;

use super::results::Found;
use super::{Settings, Stage, stored};
use crate::augment::{Augment, AugmentRecipe};
use crate::data::{self, Dataset, Source};
use crate::device::Device;
use crate::encoder::{self, Encoder, EncoderRecipe, Stored};
use crate::network::Network;
use crate::protocols::{Head, Labeled, draw_items, places};
use crate::recipe::Recipe;
use crate::tensors::NamedTensor;
use crate::train::measure::{Shown, Viewer, readable};
use crate::{Error, Result};

/// Images with labels, classes and a network.
pub struct Task {
    pub(super) settings: Settings,
    encoder: EncoderRecipe,
    tensors: Vec<NamedTensor>,
    /// Crop and flip of the run's recipe, and nothing else.
    pub(super) augment: Augment,
    device: Device,
    /// Learned from, each with the place of its class.
    pub(super) train: Box<dyn Source>,
    pub(super) labels: Vec<u32>,
    /// Asked about, each with the place of its class; those of no class have the place after the last.
    held_out: Box<dyn Source>,
    pub(super) asked: Vec<u32>,
    /// Their names, in the order of places.
    pub(super) classes: Vec<String>,
    /// What a user should know.
    pub notes: Vec<String>,
}

impl Task {
    /// Draws the images of `data`, which `settings` say; `stored` is an encoder that `recipe` trained.
    ///
    /// # Errors
    /// If a setting is out of range, or the labels are of fewer than two classes, or none of a held-out image.
    pub fn new(
        recipe: &Recipe,
        data: Dataset,
        stored: Stored,
        settings: Settings,
        device: Device,
    ) -> Result<Self> {
        settings.check()?;
        let Dataset { train, test, classes: names, notes, .. } = data;
        let mut notes = notes;
        if recipe.learns_labels() {
            notes.push(
                "the encoder was trained with the labels of its images: what begins with it does not tell what few labels alone do"
                    .to_owned(),
            );
        }
        if recipe.begins_with_labels() {
            notes.push(
                "the encoder's starting weights were trained with labels: what begins with it does not tell what few labels alone do"
                    .to_owned(),
            );
        }
        let mut augment = AugmentRecipe { grayscale: 0.0, ..recipe.augment.clone() };
        augment.jitter.probability = 0.0;
        augment.blur.probability = 0.0;
        augment.solarize.probability = 0.0;
        let augment = augment.plan()?;
        let of = |source: &dyn Source, items: &[usize]| -> Vec<u32> {
            items.iter().filter_map(|&item| source.label(item)).collect()
        };
        let labeled = |source: &dyn Source| -> Vec<usize> {
            (0..source.len()).filter(|&item| source.label(item).is_some()).collect()
        };
        let (mut items, asked) = (labeled(&*train), labeled(&*test));
        if let Some(per_class) = settings.labels_per_class {
            let (count, own, _) = places(&of(&*train, &items), &[]);
            let mut drawn: Vec<usize> =
                draw_items(&own, count, per_class, Key::new(settings.seed).stream("labels"))
                    .into_iter()
                    .map(|i| items[i])
                    .collect();
            drawn.sort_unstable();
            if drawn.len() < per_class * count {
                notes.push(format!(
                    "some classes have fewer than {per_class} labels: {} are used, of {count} classes",
                    drawn.len()
                ));
            }
            items = drawn;
        }
        let ((items, left_out), (asked, not_asked)) = (readable(&*train, items), readable(&*test, asked));
        if let Some((item, why)) = left_out.first() {
            notes.push(format!(
                "{} images cannot be read, such as {}: {why}",
                left_out.len(),
                train.name(*item)
            ));
        }
        if let Some((item, why)) = not_asked.first() {
            notes.push(format!(
                "{} held-out images cannot be read, such as {}: {why}",
                not_asked.len(),
                test.name(*item)
            ));
        }
        let class_numbers = of(&*train, &items);
        let (count, labels, asked_labels) = places(&class_numbers, &of(&*test, &asked));
        if count < 2 || asked.is_empty() {
            return Err(Error::input(format!(
                "{}: {} training images with labels of {count} classes and {} held-out images with labels; at least 2 classes and \
                 a held-out image are needed (--labels says where labels are)",
                settings.data.source,
                items.len(),
                asked.len()
            )));
        }
        let named: BTreeMap<u32, u32> = class_numbers.iter().copied().zip(labels.iter().copied()).collect();
        let classes = named
            .keys()
            .map(|&class| names.get(class as usize).cloned().unwrap_or_else(|| format!("class {class}")))
            .collect();
        let strange = asked_labels.iter().filter(|&&label| label as usize == count).count();
        if strange > 0 {
            notes.push(format!(
                "{strange} held-out images are of classes without a training label, and count as wrong"
            ));
        }
        Ok(Self {
            encoder: stored.recipe,
            tensors: stored.tensors,
            augment,
            device,
            train: data::part(Arc::from(train), items),
            labels,
            held_out: data::part(Arc::from(test), asked),
            asked: asked_labels,
            classes,
            notes,
            settings,
        })
    }

    /// The training images' and the held-out images' number, and the classes'.
    pub fn sizes(&self) -> [usize; 3] {
        [self.labels.len(), self.asked.len(), self.classes.len()]
    }

    fn viewer(&self) -> Viewer<'_> {
        Viewer { augment: &self.augment, seed: self.settings.seed }
    }

    /// The network of a stage: the backbone, and a linear layer to one logit a class.
    ///
    /// # Errors
    /// If it has no stage that shall be frozen.
    pub fn network(&self, stage: Stage) -> Result<Network> {
        let network =
            self.encoder.classifier(self.augment.size(), self.augment.channels(), self.classes.len())?;
        match (&self.settings.freeze_through, stage) {
            (Some(through), Stage::Finetuned) => network.frozen_through(through),
            _ => Ok(network),
        }
    }

    /// The linear layer, fitted on the backbone's rows of the training images.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub(super) fn head(&self) -> Result<Head> {
        let backbone = self.begin(self.network(Stage::Linear)?, None)?;
        let items: Vec<usize> = (0..self.train.len()).collect();
        let (rows, _) = self.viewer().embed(&*backbone, &*self.train, &items, Shown::Clean)?;
        let train = Labeled { rows, labels: self.labels.clone() };
        Head::fit(&train, self.classes.len(), Key::new(self.settings.seed).stream("head"))
    }

    /// A stage's network with its first numbers.
    ///
    /// # Errors
    /// As [`network`](Self::network).
    pub(super) fn classifier(&self, stage: Stage, head: Option<&Head>) -> Result<Box<dyn Encoder>> {
        let network = self.network(stage)?;
        match stage {
            Stage::FromNothing => {
                Ok(encoder::begin(network, Key::new(self.settings.seed).stream("encoder"), &self.device))
            }
            _ => self.begin(network, head),
        }
    }

    /// The encoder's backbone, with this head.
    fn begin(&self, network: Network, head: Option<&Head>) -> Result<Box<dyn Encoder>> {
        let mut encoder = encoder::begin(network, Key::new(0), &self.device);
        let mut tensors = encoder.named_tensors();
        for tensor in &mut tensors {
            let own = self.tensors.iter().find(|own| own.name == tensor.name);
            match (tensor.name.as_str(), head, own) {
                ("head.weight", Some(head), _) => tensor.values.clone_from(&head.weights),
                ("head.bias", Some(head), _) => tensor.values.clone_from(&head.shifts),
                (_, _, Some(own)) => tensor.clone_from(own),
                _ => {}
            }
        }
        encoder.load(&tensors)?;
        Ok(encoder)
    }

    /// What a network answers for the held-out images.
    ///
    /// # Errors
    /// If an image cannot be read, or a logit is not finite.
    pub(super) fn ask(
        &self,
        stage: Stage,
        encoder: &dyn Encoder,
        head: Option<&Head>,
        loss: Option<f64>,
    ) -> Result<Found> {
        let items: Vec<usize> = (0..self.held_out.len()).collect();
        let (_, logits) = self.viewer().embed(encoder, &*self.held_out, &items, Shown::Clean)?;
        if logits.as_slice().iter().any(|logit| !logit.is_finite()) {
            return Err(Error::input(format!(
                "{}: the network's answers are not finite; lower --learning-rate",
                stage.describe()
            )));
        }
        Ok(Found::of(self, stage, winners(&logits), head, loss))
    }

    /// Writes a network with its classes.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(super) fn save(&self, encoder: &dyn Encoder, path: &Path) -> Result<()> {
        let shape = [self.augment.size(), self.augment.channels()];
        stored::save(path, encoder, &self.encoder, shape, &self.classes)
    }

    /// Names of the held-out images, in their order.
    pub(super) fn names(&self) -> Vec<String> {
        (0..self.held_out.len()).map(|item| self.held_out.name(item)).collect()
    }
}

/// The place of the largest logit of each row; of equal ones the first.
fn winners(logits: &Matrix<f32>) -> Vec<u32> {
    let winner = |row: &[f32]| (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b]));
    logits.as_slice().chunks_exact(logits.dim()).map(|row| winner(row).unwrap_or(0) as u32).collect()
}
