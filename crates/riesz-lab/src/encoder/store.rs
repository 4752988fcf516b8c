//! Encoders on disk: one safetensors file whose tensors have torch's names and whose metadata says what to build.

use std::collections::BTreeMap;
use std::path::Path;

use riesz::rng::Key;

use super::{Encoder, EncoderRecipe};
use crate::device::Device;
use crate::tensors::{from_bytes, to_bytes};
use crate::{Error, Result, atomic};

const FORMAT: &str = "riesz encoder 1";

/// Writes an encoder to a safetensors file: one that `recipe` built, or without a recipe one that is not riesz's, of which the
/// file has the tensors and not what to build.
///
/// # Errors
/// If the disk refuses; a file that was there before is intact.
pub fn save(path: &Path, encoder: &dyn Encoder, recipe: Option<&EncoderRecipe>) -> Result<()> {
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
    atomic::write_bytes(path, &to_bytes(&encoder.named_tensors(), metadata)?)
}

/// Opens an encoder that [`save`] wrote with its recipe.
///
/// # Errors
/// If the file is missing, damaged, or not such a file.
pub fn open(path: &Path, device: &Device) -> Result<Box<dyn Encoder>> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, &error))?;
    let damaged = |why: String| Error::input(format!("{}: not an encoder of riesz ({why})", path.display()));
    let (tensors, metadata) = from_bytes(&bytes).map_err(|error| damaged(error.to_string()))?;
    let entry = |key: &str| metadata.get(key).ok_or_else(|| damaged(format!("its metadata has no {key}")));
    if entry("format")? != FORMAT {
        return Err(damaged(format!("its format is {}; expected {FORMAT}", entry("format")?)));
    }
    let number = |key: &str| -> Result<usize> {
        entry(key)?.parse().map_err(|_| damaged(format!("its {key} is not a number")))
    };
    let recipe: EncoderRecipe =
        serde_json::from_str(entry("encoder")?).map_err(|error| damaged(error.to_string()))?;
    let mut encoder = recipe.build(number("size")?, number("channels")?, Key::new(0), device)?;
    encoder.load(&tensors).map_err(|error| damaged(error.to_string()))?;
    Ok(encoder)
}
