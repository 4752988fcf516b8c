//! The SimCLR set of augmentations (Chen et al. 2020) in torchvision's sense: from an image and a key to one view.
//!
//! Order: random resized crop, horizontal flip, color jitter (its four changes in a drawn order), grayscale, Gaussian
//! blur, solarization. Every deterministic change is that of torchvision on float pictures in [0, 1]; each draw is from
//! the view's own key. A view is `[size, size, channels]`, channels last, in [0, 1].

pub mod blur;
pub mod color;
pub mod crop;
pub mod picture;

use rayon::prelude::*;
use riesz::rng::{Generator, Key, permutation, uniform};
use serde::{Deserialize, Serialize};

use crate::data::Image;
use crate::{Error, Result};
pub use crop::Interpolation;
use crop::Region;
use picture::Picture;

/// How a view is made of an image, as a recipe says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AugmentRecipe {
    /// Side of a view, in pixels.
    pub size: usize,
    /// 1 (color becomes luma) or 3 (grey is repeated).
    pub channels: usize,
    /// How crops are resized; both are antialiased.
    pub interpolation: Interpolation,
    /// Probability of the horizontal flip.
    pub flip: f64,
    /// Probability of taking the color away.
    pub grayscale: f64,
    /// The random resized crop.
    pub crop: CropRecipe,
    /// Color jitter.
    pub jitter: JitterRecipe,
    /// Gaussian blur.
    pub blur: BlurRecipe,
    /// Solarization.
    pub solarize: SolarizeRecipe,
}

/// A random resized crop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CropRecipe {
    /// Share of the image's area, drawn uniformly.
    pub scale: [f64; 2],
    /// Width over height, drawn log-uniformly.
    pub ratio: [f64; 2],
}

/// Color jitter: factors from [1 − x, 1 + x], and a turn of the hue from [−x, x] (in turns).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JitterRecipe {
    /// Probability of the whole.
    pub probability: f64,
    /// Of the brightness.
    pub brightness: f64,
    /// Of the contrast.
    pub contrast: f64,
    /// Of the saturation.
    pub saturation: f64,
    /// Of the hue; at most 0.5.
    pub hue: f64,
}

/// Gaussian blur.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BlurRecipe {
    /// Its probability.
    pub probability: f64,
    /// Pixels of the kernel's side; odd.
    pub kernel: usize,
    /// Standard deviation in pixels, drawn uniformly.
    pub sigma: [f64; 2],
}

/// Solarization: pixels from the threshold on are inverted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SolarizeRecipe {
    /// Its probability.
    pub probability: f64,
    /// In [0, 1].
    pub threshold: f64,
}

/// Views above this side are a slip of the keys; a batch of them would not fit into memory.
const LARGEST_VIEW: usize = 4096;

/// A checked recipe.
#[derive(Clone, Debug)]
pub struct Augment {
    recipe: AugmentRecipe,
}

impl AugmentRecipe {
    /// Checks every number.
    ///
    /// # Errors
    /// One sentence for the first that is out of range.
    pub fn plan(&self) -> Result<Augment> {
        let refuse = |message: String| Err(Error::input(format!("augment.{message}")));
        if !(4..=LARGEST_VIEW).contains(&self.size) {
            return refuse(format!("size is {}; it must be from 4 to {LARGEST_VIEW}", self.size));
        }
        if self.channels != 1 && self.channels != 3 {
            return refuse(format!("channels is {}; it must be 1 or 3", self.channels));
        }
        for (name, probability) in [
            ("flip", self.flip),
            ("grayscale", self.grayscale),
            ("jitter.probability", self.jitter.probability),
            ("blur.probability", self.blur.probability),
            ("solarize.probability", self.solarize.probability),
            ("solarize.threshold", self.solarize.threshold),
        ] {
            if !(0.0..=1.0).contains(&probability) {
                return refuse(format!("{name} is {probability}; it must be from 0 to 1"));
            }
        }
        for (name, amount) in [
            ("jitter.brightness", self.jitter.brightness),
            ("jitter.contrast", self.jitter.contrast),
            ("jitter.saturation", self.jitter.saturation),
        ] {
            if !(amount >= 0.0 && amount.is_finite()) {
                return refuse(format!("{name} is {amount}; it must be at least 0 and finite"));
            }
        }
        if !(0.0..=0.5).contains(&self.jitter.hue) {
            return refuse(format!("jitter.hue is {}; it must be from 0 to 0.5", self.jitter.hue));
        }
        for (name, [low, high], most) in [
            ("crop.scale", self.crop.scale, 1.0),
            ("crop.ratio", self.crop.ratio, f64::MAX),
            ("blur.sigma", self.blur.sigma, f64::MAX),
        ] {
            if !(low > 0.0 && low <= high && high <= most) {
                let limit = if most == 1.0 { " and at most 1" } else { "" };
                return refuse(format!("{name} is [{low}, {high}]; it must be ascending, above 0{limit}"));
            }
        }
        let kernel = self.blur.kernel;
        if kernel.is_multiple_of(2) || kernel / 2 >= self.size {
            return refuse(format!("blur.kernel is {kernel}; it must be odd and below {}", 2 * self.size));
        }
        Ok(Augment { recipe: self.clone() })
    }

    /// In words, for the log: what is switched on.
    pub fn describe(&self) -> String {
        let JitterRecipe { probability, brightness, contrast, saturation, hue } = self.jitter;
        let mut words = vec![format!(
            "{size} × {size}, crop {}–{} of the area",
            self.crop.scale[0],
            self.crop.scale[1],
            size = self.size
        )];
        let mut say = |probability: f64, what: String| {
            if probability > 0.0 {
                words.push(format!("{what} with p = {probability}"));
            }
        };
        say(self.flip, "flip".to_owned());
        say(probability, format!("jitter {brightness}/{contrast}/{saturation}/{hue}"));
        say(self.grayscale, "grayscale".to_owned());
        say(self.blur.probability, format!("blur {}–{}", self.blur.sigma[0], self.blur.sigma[1]));
        say(self.solarize.probability, format!("solarize from {}", self.solarize.threshold));
        words.join(", ")
    }
}

impl Augment {
    /// Side of a view.
    pub fn size(&self) -> usize {
        self.recipe.size
    }

    /// Channels of a view.
    pub fn channels(&self) -> usize {
        self.recipe.channels
    }

    /// Numbers of a view.
    fn numbers(&self) -> usize {
        self.size() * self.size() * self.channels()
    }

    /// One augmented view of `image`; all draws are from `key`.
    ///
    /// # Panics
    /// If `out` is not as long as a view.
    pub fn view(&self, image: &Image, key: Key, out: &mut [f32]) {
        let recipe = &self.recipe;
        let mut rng = key.rng();
        let region = self.region(image, &mut rng);
        let mut picture = crop::resized_crop(image, region, self.size(), self.size(), recipe.interpolation);
        let happens = |probability: f64, rng: &mut Generator| uniform(rng) < probability;
        if happens(recipe.flip, &mut rng) {
            picture.flip();
        }
        if happens(recipe.jitter.probability, &mut rng) {
            self.jitter(&mut picture, &mut rng);
        }
        if happens(recipe.grayscale, &mut rng) {
            color::grayscale(&mut picture);
        }
        if happens(recipe.blur.probability, &mut rng) {
            let sigma = between(recipe.blur.sigma, &mut rng);
            picture = blur::gaussian(&picture, recipe.blur.kernel, sigma);
        }
        if happens(recipe.solarize.probability, &mut rng) {
            color::solarize(&mut picture, recipe.solarize.threshold as f32);
        }
        picture.write(self.channels(), out);
    }

    /// The image without augmentation: its shorter side resized to the view's, and the middle cut out; the image as it
    /// is where it has that size.
    pub fn clean(&self, image: &Image) -> Vec<f32> {
        let size = self.size();
        let mut out = vec![0.0; self.numbers()];
        let picture = if (image.height, image.width) == (size, size) {
            Picture::of(image)
        } else {
            let shorter = image.height.min(image.width);
            // The longer side as torchvision's Resize rounds it: down.
            let longer = |side: usize| if side == shorter { size } else { size * side / shorter };
            let resized = [longer(image.height), longer(image.width)];
            // A long strip would be resized to more than memory holds: only the middle is made of it.
            let middle = Region::middle(resized, size);
            crop::resized_window(image, Region::whole(image), resized, middle, self.recipe.interpolation)
        };
        picture.write(self.channels(), &mut out);
        out
    }

    /// One view for each job, one after another: the same bits for any number of threads.
    pub fn views(&self, jobs: &[(&Image, Key)]) -> Vec<f32> {
        let mut out = vec![0.0; jobs.len() * self.numbers()];
        out.par_chunks_mut(self.numbers())
            .zip(jobs)
            .for_each(|(out, &(image, key))| self.view(image, key, out));
        out
    }

    /// A region as torchvision's RandomResizedCrop draws it.
    fn region(&self, image: &Image, rng: &mut Generator) -> Region {
        let CropRecipe { scale, ratio } = self.recipe.crop;
        let (height, width) = (image.height as f64, image.width as f64);
        for _ in 0..10 {
            let area = height * width * between(scale, rng);
            let aspect = between([ratio[0].ln(), ratio[1].ln()], rng).exp();
            let (w, h) = ((area * aspect).sqrt().round_ties_even(), (area / aspect).sqrt().round_ties_even());
            if w >= 1.0 && w <= width && h >= 1.0 && h <= height {
                let place = |room: f64, rng: &mut Generator| (uniform(rng) * (room + 1.0)) as usize;
                let (top, left) = (place(height - h, rng), place(width - w, rng));
                return Region { top, left, height: h as usize, width: w as usize };
            }
        }
        Region::central(image, ratio)
    }

    fn jitter(&self, picture: &mut Picture, rng: &mut Generator) {
        let JitterRecipe { brightness, contrast, saturation, hue, .. } = self.recipe.jitter;
        // All four are drawn always, so that switching one off does not change the others.
        let factor =
            |amount: f64, rng: &mut Generator| between([(1.0 - amount).max(0.0), 1.0 + amount], rng) as f32;
        let order = permutation(rng, 4);
        let factors = [factor(brightness, rng), factor(contrast, rng), factor(saturation, rng)];
        let turn = between([-hue, hue], rng) as f32;
        for change in order {
            match change {
                0 if brightness > 0.0 => color::brightness(picture, factors[0]),
                1 if contrast > 0.0 => color::contrast(picture, factors[1]),
                2 if saturation > 0.0 => color::saturation(picture, factors[2]),
                3 if hue > 0.0 => color::hue(picture, turn),
                _ => {}
            }
        }
    }
}

fn between([low, high]: [f64; 2], rng: &mut Generator) -> f64 {
    low + (high - low) * uniform(rng)
}
