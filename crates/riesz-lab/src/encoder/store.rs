//! Encoders on disk: one safetensors file whose tensors have torch's names and whose metadata says what to build.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use riesz::rng::Key;

use super::{Encoder, EncoderRecipe};
use crate::tensors::{from_bytes, to_bytes};
use crate::{Error, Result, atomic};

const FORMAT: &str = "riesz encoder 1";

impl Encoder {
    /// Writes the encoder to a safetensors file.
    ///
    /// # Errors
    /// If the disk refuses; a file that was there before is intact.
    pub fn save(&self, path: &Path) -> Result<()> {
        let recipe = serde_json::to_string(&self.recipe).map_err(|error| Error::input(error.to_string()))?;
        let metadata = BTreeMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("encoder".to_owned(), recipe),
            ("size".to_owned(), self.size.to_string()),
            ("channels".to_owned(), self.channels.to_string()),
        ]);
        atomic::write_bytes(path, &to_bytes(&self.named_tensors(), metadata)?)
    }

    /// Opens an encoder that [`Encoder::save`] wrote.
    ///
    /// # Errors
    /// If the file is missing, damaged, or not such a file.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, &error))?;
        let damaged =
            |why: String| Error::input(format!("{}: not an encoder of riesz ({why})", path.display()));
        let (tensors, metadata) = from_bytes(&bytes).map_err(|error| damaged(error.to_string()))?;
        let entry =
            |key: &str| metadata.get(key).ok_or_else(|| damaged(format!("its metadata has no {key}")));
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
}
