//! Weights that were trained before, as the start of an encoder: torchvision's and timm's, and those of an earlier run.
//!
//! | file | what |
//! |---|---|
//! | `names.rs` | what other people call the tensors of the networks that riesz has, and which network a file is of |
//! | `fit.rs` | which tensors fit an encoder, told in sentences |
//! | `pickled.rs` | weights as torch saves them |
//! | `places.rs` | learned places of a transformer for another number of patches |

mod fit;
mod names;
mod pickled;
mod places;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::encoder::{self, Encoder, EncoderRecipe, PixelsRecipe};
use crate::hexadecimal::hexadecimal;
use crate::tensors::{NamedTensor, floats};
use crate::{Error, Result};
pub use fit::Fitted;
pub(crate) use fit::some;
use names::Named;

/// What an encoder begins with, as a recipe says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StartRecipe {
    /// A file of safetensors or of torch, or the folder of a finished run.
    pub weights: String,
    /// SHA-256 of the file; found when the run is made, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether they learned from labels, as far as is known: files that riesz wrote tell it, others do not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trained_with_labels: bool,
}

impl StartRecipe {
    /// The same, with the file's SHA-256 and what it tells of labels, if the SHA-256 is not said.
    ///
    /// # Errors
    /// As [`Weights::read`].
    pub fn pinned(self) -> Result<Self> {
        if self.sha256.is_some() {
            return Ok(self);
        }
        let Weights { sha256, trained_with_labels, .. } = Weights::read(Path::new(&self.weights))?;
        let trained_with_labels = self.trained_with_labels || trained_with_labels;
        Ok(Self { sha256: Some(sha256), trained_with_labels, ..self })
    }

    /// Gives an encoder the weights, and says which.
    ///
    /// # Errors
    /// If the file cannot be read, is another than the recipe says, or nothing of it fits.
    pub fn give(&self, encoder: &mut dyn Encoder) -> Result<Fitted> {
        let weights = Weights::read(Path::new(&self.weights))?;
        let at = |error: Error| error.at(weights.path.display());
        if let Some(expected) = self.sha256.as_ref().filter(|&expected| *expected != weights.sha256) {
            return Err(at(Error::input(format!(
                "is another file than the recipe says: its SHA-256 is {}, expected {expected}",
                weights.sha256
            ))));
        }
        let (tensors, mut fitted) = fit::fit(encoder.named_tensors(), &weights).map_err(at)?;
        encoder.load(&tensors)?;
        fitted
            .told
            .extend(self.trained_with_labels.then(|| "these weights were trained with labels".to_owned()));
        Ok(fitted)
    }
}

/// A file of weights, its tensors by riesz's names.
pub struct Weights {
    path: PathBuf,
    sha256: String,
    tensors: Vec<NamedTensor>,
    /// Names of tensors that are no weights of a network that riesz has: counters, other networks' in the same file.
    others: Vec<String>,
    /// Whether the file says that they learned from labels.
    trained_with_labels: bool,
    /// Whose.
    origin: Origin,
}

/// Whose weights they are.
enum Origin {
    /// Riesz's, with what to build if a recipe built it, and size and channels of its images.
    Own(Option<EncoderRecipe>, [usize; 2]),
    /// Torchvision's or timm's; what they call theirs behind this prefix, and what the pixels become, if riesz exported the file, which
    /// then says it.
    Others(String, Option<Exported>),
}

/// The entry of a file's metadata that says what pixels become, as [`Exported`] in JSON.
pub const PIXELS: &str = "pixels";

/// What the pixels of images become before the first layer of exported weights; nothing if it is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exported(pub Option<PixelsRecipe>);

impl Weights {
    /// Reads a file of safetensors or of torch, or that of a run's folder.
    ///
    /// # Errors
    /// If it is missing or damaged, of another format, or has no name that is known.
    pub fn read(path: &Path) -> Result<Self> {
        let path = file(path)?;
        let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, &error))?;
        let at = |error: Error| error.at(path.display());
        let found = match pickled::is_pickled(&bytes) {
            true => pickled::floats(&bytes).map_err(at)?,
            false => floats(&bytes).map_err(|error| at(Error::input(format!("{NEITHER} ({error})"))))?,
        };
        let sha256 = digest(&bytes);
        let about = found.metadata.unwrap_or_default();
        let trained_with_labels = about.contains_key(encoder::TRAINED_WITH_LABELS);
        match about.get("format") {
            Some(format) if format == encoder::FORMAT => {
                let recipe = about.contains_key("encoder").then(|| encoder::read(&path)).transpose()?;
                let shape = recipe.as_ref().map_or([0; 2], |stored| [stored.size, stored.channels]);
                let origin = Origin::Own(recipe.map(|stored| stored.recipe), shape);
                Ok(Self {
                    sha256,
                    tensors: found.tensors,
                    others: found.others,
                    trained_with_labels,
                    origin,
                    path,
                })
            }
            Some(format) => Err(at(Error::input(format!(
                "its format is {format}; give the run's folder, or its encoder.safetensors"
            )))),
            None => {
                let Named { tensors, prefix, others } = names::named(found.tensors).map_err(at)?;
                let others = others.into_iter().chain(found.others).collect();
                let pixels = about.get(PIXELS).map(|text| serde_json::from_str(text)).transpose();
                let pixels =
                    pixels.map_err(|error| at(Error::input(format!("its {PIXELS} is damaged: {error}"))))?;
                let origin = Origin::Others(prefix, pixels);
                Ok(Self { sha256, tensors, others, trained_with_labels, origin, path })
            }
        }
    }

    /// The keys of a recipe, `a.b=value`, that the file says: itself, the encoder that it is of, the channels of the images that
    /// it takes, and for a transformer their size. Files that riesz exported say how pixels were normalized; other people's do not: three
    /// channels are taken to be ImageNet's.
    ///
    /// # Errors
    /// If it is of a network that riesz does not have.
    pub fn recipe_keys(&self) -> Result<Vec<String>> {
        let path = dunce::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let toml = |value: &dyn Fn() -> std::result::Result<toml::Value, toml::ser::Error>| {
            value().map_err(|error| Error::input(error.to_string()))
        };
        let start = StartRecipe {
            weights: path.to_string_lossy().into_owned(),
            sha256: Some(self.sha256.clone()),
            trained_with_labels: self.trained_with_labels,
        };
        let mut keys = vec![format!("start={}", toml(&|| toml::Value::try_from(&start))?)];
        match &self.origin {
            Origin::Own(None, _) => {}
            Origin::Own(Some(recipe), [size, channels]) => {
                // What the stem was, whatever the size of the images that come.
                let recipe = EncoderRecipe { stem: recipe.stem.of(*size), ..recipe.clone() };
                keys.push(format!("encoder={}", toml(&|| toml::Value::try_from(&recipe))?));
                keys.push(format!("augment.channels={channels}"));
                keys.extend(recipe.backbone.transformer().map(|_| format!("augment.size={size}")));
            }
            Origin::Others(_, exported) => {
                let kind = names::kind(&self.tensors).map_err(|error| error.at(self.path.display()))?;
                keys.extend(kind.recipe_keys());
                let pixels = match exported {
                    Some(Exported(pixels)) => pixels.clone(),
                    None => kind.usual_pixels(),
                };
                keys.extend(pixels.map(|pixels| pixels.key()));
            }
        }
        Ok(keys)
    }
}

/// The file of weights in a run's folder, or the path itself.
fn file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let inside = path.join("encoder.safetensors");
    match inside.is_file() {
        true => Ok(inside),
        false => Err(Error::input(format!(
            "{}: the folder has no encoder.safetensors, which a run has when it has finished",
            path.display()
        ))),
    }
}

const NEITHER: &str = "neither safetensors nor a file of torch.save";

fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}
