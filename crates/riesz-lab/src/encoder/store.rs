//! Encoders on disk: one safetensors file whose tensors have torch's names and whose metadata says what to build.

use std::collections::BTreeMap;
use std::path::Path;

use riesz::rng::Key;

use super::{Encoder, EncoderRecipe};
use crate::device::Device;
use crate::tensors::{NamedTensor, from_bytes, to_bytes};
use crate::{Error, Result, atomic};

/// What the metadata of an encoder's file calls its format.
pub const FORMAT: &str = "riesz encoder 1";

/// The entry of a file's metadata, `true`, that its numbers or those that they began with learned from labels; none where not.
pub const TRAINED_WITH_LABELS: &str = "trained-with-labels";

/// Writes an encoder to a safetensors file: one that `recipe` built, or without a recipe one that is not riesz's, of which the
/// file has the tensors and not what to build. The file also says whether its numbers, or those that they began with, learned from
/// labels.
///
/// # Errors
/// If the disk refuses; a file that was there before is intact.
pub fn save(
    path: &Path,
    encoder: &dyn Encoder,
    recipe: Option<&EncoderRecipe>,
    trained_with_labels: bool,
) -> Result<()> {
    let [size, _, channels] = encoder.image_shape();
    let mut metadata = BTreeMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("size".to_owned(), size.to_string()),
        ("channels".to_owned(), channels.to_string()),
    ]);
    if let Some(recipe) = recipe {
        let recipe = serde_json::to_string(recipe).map_err(|error| Error::input(error.to_string()))?;
        metadata.insert("encoder".to_owned(), recipe);
    }
    if trained_with_labels {
        metadata.insert(TRAINED_WITH_LABELS.to_owned(), "true".to_owned());
    }
    atomic::write_bytes(path, &to_bytes(&encoder.named_tensors(), metadata)?)
}

/// What the file of an encoder holds.
pub struct Stored {
    /// What to build.
    pub recipe: EncoderRecipe,
    /// Side of the images that it takes, in pixels.
    pub size: usize,
    /// Their channels.
    pub channels: usize,
    /// Its numbers.
    pub tensors: Vec<NamedTensor>,
}

/// Reads the file of an encoder that [`save`] wrote with its recipe; whether its numbers fit the recipe is not looked at.
///
/// # Errors
/// If the file is missing, damaged, or not such a file.
pub fn read(path: &Path) -> Result<Stored> {
    Ok(read_as(path, FORMAT, "an encoder")?.0)
}

/// Reads a file of numbers with what to build, of this format, which sentences call `what`; and all of its metadata.
///
/// # Errors
/// If the file is missing, damaged, or of another format.
pub(crate) fn read_as(path: &Path, format: &str, what: &str) -> Result<(Stored, BTreeMap<String, String>)> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, &error))?;
    let damaged = |why: String| not_such(path, what, &why);
    let (tensors, metadata) = from_bytes(&bytes).map_err(|error| damaged(error.to_string()))?;
    let entry = |key: &str| metadata.get(key).ok_or_else(|| damaged(format!("its metadata has no {key}")));
    if entry("format")? != format {
        return Err(damaged(format!("its format is {}; expected {format}", entry("format")?)));
    }
    let number = |key: &str| -> Result<usize> {
        entry(key)?.parse().map_err(|_| damaged(format!("its {key} is not a number")))
    };
    let recipe: EncoderRecipe =
        serde_json::from_str(entry("encoder")?).map_err(|error| damaged(error.to_string()))?;
    let stored = Stored { recipe, size: number("size")?, channels: number("channels")?, tensors };
    Ok((stored, metadata))
}

/// Opens an encoder that [`save`] wrote with its recipe.
///
/// # Errors
/// If the file is missing, damaged, or not such a file.
pub fn open(path: &Path, device: &Device) -> Result<Box<dyn Encoder>> {
    let Stored { recipe, size, channels, tensors } = read(path)?;
    let mut encoder = recipe.build(size, channels, Key::new(0), device)?;
    encoder.load(&tensors).map_err(|error| not_such(path, "an encoder", &error.to_string()))?;
    Ok(encoder)
}

fn not_such(path: &Path, what: &str, why: &str) -> Error {
    Error::input(format!("{}: not {what} of riesz ({why})", path.display()))
}
