//! Rows of images, chunk by chunk: a thread decodes ahead while the encoder embeds, so that neither memory nor time is spent on more
//! than a few hundred images at once.

use std::path::Path;
use std::sync::mpsc::sync_channel;

use rayon::prelude::*;
use riesz::Matrix;
use sha2::{Digest, Sha256};

use super::{About, FORMAT, Part};
use crate::augment::{Augment, Interpolation};
use crate::data::{self, DataRecipe, Dataset, Image, Source, Unreadable};
use crate::device::Device;
use crate::encoder::{self, Encoder};
use crate::hexadecimal::hexadecimal;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::report::thumbnail::picture;
use crate::run::Run;
use crate::tensors::digest;
use crate::train::measure::unit_rows;
use crate::{Error, Result, interrupt, own_data, threads};

/// Numbers of the images of a chunk: 64 MiB.
const NUMBERS: usize = 1 << 24;
/// Images of a chunk, at most.
const IMAGES: usize = 256;

/// Which images of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// Those trained on.
    Train,
    /// Those held out.
    Test,
    /// Both, training images first.
    All,
}

/// Images to embed.
pub struct Images {
    /// For sentences.
    pub name: String,
    /// The images.
    pub source: Box<dyn Source>,
    /// Names of the classes; empty without labels.
    pub classes: Vec<String>,
    /// What a user should know of what was found.
    pub notes: Vec<String>,
}

impl Images {
    /// Images that are none of a run's: anything that `riesz train` takes, with these labels.
    ///
    /// # Errors
    /// If they cannot be opened, or there are none of that split.
    pub fn open(source: &str, labels: &str, split: Option<Split>) -> Result<Self> {
        // A run's limit and share held out do not concern them.
        let recipe =
            DataRecipe { source: source.to_owned(), labels: labels.to_owned(), held_out: 0.0, limit: None };
        let data = data::open(&recipe, 0)?;
        if split == Some(Split::Train) && data.test.is_empty() {
            return Err(Error::input(format!(
                "{}: has no split of its own, so that --split train would be all of it; leave --split out, or leave the images out for \
                 those that the run was trained on",
                data.name
            )));
        }
        Self::of(data, split.unwrap_or(Split::All))
    }

    fn of(data: Dataset, split: Split) -> Result<Self> {
        let (name, notes) = (data.name.clone(), data.notes.clone());
        let (source, classes) = match split {
            Split::Train => (data.train, data.classes),
            Split::Test => (data.test, data.classes),
            Split::All => data.all(),
        };
        if source.is_empty() {
            return Err(Error::input(format!("{name}: has no images of that split; leave --split out")));
        }
        Ok(Self { name, source, classes, notes })
    }

    /// Progress of embedding all of them.
    pub fn progress(&self, quiet: bool) -> Progress {
        Progress::new("embedding", "images", 0, self.source.len() as u64, quiet)
    }

    /// The name of the class of image `item`, if it has one.
    pub fn class(&self, item: usize) -> Option<String> {
        self.classes.get(self.source.label(item)? as usize).cloned()
    }
}

/// A run's encoder, and how it is shown images.
pub struct Embedder {
    run: Run,
    encoder: Box<dyn Encoder>,
    augment: Augment,
    recipe: Recipe,
    part: Part,
    digest: String,
}

/// What is made of images beside their rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside {
    /// Words that are the same for images with the same pixels.
    pub pixels: bool,
    /// Small pictures with sides of at most so many pixels.
    pub thumbnails: Option<usize>,
}

/// Some images that were embedded, in order.
pub struct Chunk {
    /// Their places in the source.
    pub items: Vec<usize>,
    /// Their rows.
    pub rows: Matrix<f32>,
    /// See [`Beside`]; empty if not asked for.
    pub pixels: Vec<String>,
    /// See [`Beside`]; empty if not asked for.
    pub thumbnails: Vec<Vec<u8>>,
}

impl Embedder {
    /// The encoder of the run in the folder `run`.
    ///
    /// # Errors
    /// If the folder is no run, or its encoder is missing, damaged or too large.
    pub fn open(run: &Path, part: Part, device: &Device) -> Result<Self> {
        let run = Run::open(run)?;
        let recipe = run.recipe()?;
        let augment = recipe.augment.plan()?;
        recipe.encoder.check_room(augment.size(), augment.channels())?;
        let path = run.encoder()?;
        let encoder = encoder::open(&path, device)?;
        let shown = [augment.size(), augment.size(), augment.channels()];
        if encoder.image_shape() != shown {
            return Err(Error::input(format!(
                "{}: takes images of {:?}; the run's recipe makes them {shown:?}",
                path.display(),
                encoder.image_shape()
            )));
        }
        let digest = digest(&encoder.named_tensors());
        Ok(Self { run, encoder, augment, recipe, part, digest })
    }

    /// The run's own images.
    ///
    /// # Errors
    /// If they cannot be opened, are not those that the run began with, or there are none of that split.
    pub fn own_images(&self, split: Option<Split>) -> Result<Images> {
        Images::of(own_data::open(&self.run, &self.recipe, None)?, split.unwrap_or(Split::Test))
    }

    /// Numbers of a row.
    pub fn dim(&self) -> usize {
        let [backbone, projector] = self.encoder.dims();
        match self.part {
            Part::Backbone => backbone,
            Part::Projector => projector,
        }
    }

    /// What a file says of rows that this encoder made of the images `source`.
    pub fn about(&self, source: &str, thumbnails: Option<usize>) -> About {
        let interpolation = match self.recipe.augment.interpolation {
            Interpolation::Bilinear => "bilinear",
            Interpolation::Bicubic => "bicubic",
        };
        let [size, _, channels] = self.encoder.image_shape();
        About {
            format: FORMAT.to_owned(),
            encoder: self.digest.clone(),
            view: format!("{size} × {size} × {channels}, {interpolation}"),
            part: self.part,
            source: source.to_owned(),
            thumbnails,
        }
    }

    /// The row of one image, which `name` names.
    ///
    /// # Errors
    /// If it is not finite.
    pub fn row(&self, image: &Image, name: &str) -> Result<Vec<f32>> {
        Ok(self.rows(&self.augment.clean(image), |_| name.to_owned())?.into_vec())
    }

    /// Embeds all images of a source and hands each chunk of them to `take`, in order; images that cannot be read are left out, the
    /// first of them are told, and all counted. `progress` is in images.
    ///
    /// # Errors
    /// If no image can be read, a row is not finite, the user interrupts, or what `take` returns.
    pub fn each(
        &self,
        source: &dyn Source,
        beside: Beside,
        progress: &mut Progress,
        mut take: impl FnMut(Chunk) -> Result<()>,
    ) -> Result<Unreadable> {
        let size = self.augment.size() * self.augment.size() * self.augment.channels();
        let images = (NUMBERS / size).clamp(1, IMAGES);
        let mut unreadable = Unreadable::default();
        let augment = &self.augment;
        std::thread::scope(|scope| {
            let (sender, shown) = sync_channel(1);
            threads::scoped(scope, move || {
                for first in (0..source.len()).step_by(images) {
                    let items = first..source.len().min(first + images);
                    // Who embeds has failed, and says so.
                    if sender.send(Shown::of(augment, source, items, beside)).is_err() {
                        return;
                    }
                }
            })?;
            for Shown { seen, items, numbers, pixels, thumbnails, left_out } in shown {
                if interrupt::asked() {
                    return Err(Error::interrupted("interrupted"));
                }
                unreadable.seen(seen);
                for (item, reason) in left_out {
                    unreadable.unreadable(&source.name(item), &reason);
                    let told = unreadable.first();
                    if let (Some((name, reason)), true) = (told.last(), told.len() == unreadable.counts().1) {
                        progress.say(&format!("left out {name}: {reason}"));
                    }
                }
                if !items.is_empty() {
                    let rows = self.rows(&numbers, |i| source.name(items[i]))?;
                    take(Chunk { items, rows, pixels, thumbnails })?;
                }
                let rate = progress.rate();
                progress.advance(seen as u64, || format!("{rate:.0} images/s"));
            }
            Ok(())
        })?;
        let (seen, left_out) = unreadable.counts();
        if seen == left_out {
            let first: Vec<String> =
                unreadable.first().iter().take(1).map(|(name, why)| format!("{name} ({why})")).collect();
            return Err(Error::input(format!(
                "none of {seen} images can be read; the first: {}",
                first.concat()
            )));
        }
        Ok(unreadable)
    }

    /// The rows of images as they are shown; `name` names one for a sentence.
    fn rows(&self, numbers: &[f32], name: impl Fn(usize) -> String) -> Result<Matrix<f32>> {
        let (backbone, mut projector) = self.encoder.embed(numbers);
        let rows = match self.part {
            Part::Backbone => backbone,
            Part::Projector => {
                unit_rows(&mut projector)?;
                projector
            }
        };
        match rows.as_slice().iter().position(|x| !x.is_finite()) {
            None => Ok(rows),
            Some(at) => Err(Error::input(format!(
                "{}: its row is not finite; the encoder diverged in training",
                name(at / rows.dim())
            ))),
        }
    }
}

/// Some images as the encoder is shown them.
struct Shown {
    /// How many were asked for.
    seen: usize,
    items: Vec<usize>,
    /// Of all images, one after another.
    numbers: Vec<f32>,
    pixels: Vec<String>,
    thumbnails: Vec<Vec<u8>>,
    left_out: Vec<(usize, String)>,
}

impl Shown {
    fn of(augment: &Augment, source: &dyn Source, items: std::ops::Range<usize>, beside: Beside) -> Self {
        let seen = items.len();
        let one = |item: usize| {
            let image = source.image(item)?;
            let thumbnail = beside.thumbnails.map(|side| picture(&image, side)).transpose()?;
            Ok((augment.clean(&image), beside.pixels.then(|| pixels(&image)), thumbnail))
        };
        let all: Vec<Result<_>> = items.clone().into_par_iter().map(one).collect();
        let mut shown = Self {
            seen,
            items: Vec::with_capacity(seen),
            numbers: Vec::new(),
            pixels: Vec::new(),
            thumbnails: Vec::new(),
            left_out: Vec::new(),
        };
        for (item, one) in items.zip(all) {
            match one {
                Ok((numbers, pixels, thumbnail)) => {
                    shown.items.push(item);
                    shown.numbers.reserve_exact(seen * numbers.len() - shown.numbers.len());
                    shown.numbers.extend(numbers);
                    shown.pixels.extend(pixels);
                    shown.thumbnails.extend(thumbnail);
                }
                Err(error) => shown.left_out.push((item, error.to_string())),
            }
        }
        shown
    }
}

/// 128 bits of a digest in hexadecimal digits: what is the same has the same word.
pub(super) fn word(hash: Sha256) -> String {
    hexadecimal(&hash.finalize()[..16])
}

/// The word of an image's size and pixels.
fn pixels(image: &Image) -> String {
    let mut hash = Sha256::new();
    for side in [image.width, image.height, image.channels] {
        hash.update((side as u64).to_le_bytes());
    }
    hash.update(&image.pixels);
    word(hash)
}
