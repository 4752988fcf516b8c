//! Encoders on disk: one safetensors file whose tensors have torch's names and whose metadata says what to build.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use riesz::rng::Key;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{Encoder, EncoderRecipe, NamedTensor};
use crate::run::write_atomically;
use crate::{Error, Result};

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
        write_atomically(path, &to_bytes(&self.named_tensors(), metadata)?)
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

/// Named tensors as the bytes of a safetensors file, tensors in the order of their names; the metadata is one entry
/// `riesz` of JSON.
pub(crate) fn to_bytes(tensors: &[NamedTensor], metadata: BTreeMap<String, String>) -> Result<Vec<u8>> {
    let bytes: Vec<(&NamedTensor, Vec<u8>)> = tensors
        .iter()
        .map(|tensor| (tensor, tensor.values.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(tensor, bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)
            .expect("the bytes of a tensor are as long as its shape says");
        (tensor.name.as_str(), view)
    });
    // One entry, as the format does not order them, and equal encoders shall be equal files.
    let metadata = serde_json::to_string(&metadata).map_err(|error| Error::input(error.to_string()))?;
    let metadata = std::iter::once(("riesz".to_owned(), metadata)).collect();
    safetensors::serialize(views, Some(metadata)).map_err(|error| Error::input(error.to_string()))
}

/// The inverse of [`to_bytes`], in the order of the names.
///
/// # Errors
/// If the bytes are damaged, or a tensor is not f32; the sentence says why, not where.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<(Vec<NamedTensor>, BTreeMap<String, String>)> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| Error::input(error.to_string()))?;
    let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get("riesz"));
    let metadata = metadata.ok_or_else(|| Error::input("its metadata has no entry riesz"))?;
    let metadata =
        serde_json::from_str(metadata).map_err(|error| Error::input(format!("its metadata: {error}")))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| Error::input(error.to_string()))?;
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(Error::input(format!("{name} is {:?}, not F32", view.dtype())));
        }
        let values =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.push(NamedTensor { name, shape: view.shape().to_vec(), values });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((tensors, metadata))
}
