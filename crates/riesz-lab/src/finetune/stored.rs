//! `classifier.safetensors`: a finetuned network with what rebuilds it and the names of its classes.

use std::collections::BTreeMap;
use std::path::Path;

use crate::encoder::{self, Encoder, EncoderRecipe, Stored};
use crate::network::Network;
use crate::tensors::{self, to_bytes};
use crate::{Error, Result, atomic};

/// What the metadata of a classifier's file calls its format.
const FORMAT: &str = "riesz classifier 1";

/// Writes a network that takes images of this size and channels, its backbone that of `recipe`.
///
/// # Errors
/// If the disk refuses; a file that was there before is intact.
pub(super) fn save(
    path: &Path,
    network: &dyn Encoder,
    recipe: &EncoderRecipe,
    [size, channels]: [usize; 2],
    classes: &[String],
) -> Result<()> {
    let json = |value: serde_json::Result<String>| value.map_err(|error| Error::input(error.to_string()));
    let about = BTreeMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("size".to_owned(), size.to_string()),
        ("channels".to_owned(), channels.to_string()),
        ("encoder".to_owned(), json(serde_json::to_string(recipe))?),
        ("classes".to_owned(), json(serde_json::to_string(classes))?),
    ]);
    atomic::write_bytes(path, &to_bytes(&network.named_tensors(), about)?)
}

/// What the file of a classifier holds.
pub struct Classifier {
    /// Images in, one logit a class out.
    pub network: Network,
    /// Backbone, size, channels and all numbers.
    pub stored: Stored,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
}

impl Classifier {
    /// Reads a file that `riesz finetune` wrote.
    ///
    /// # Errors
    /// If it is missing, damaged, or not such a file.
    pub fn read(path: &Path) -> Result<Self> {
        let (stored, metadata) = encoder::read_as(path, FORMAT, "a classifier")?;
        let refused =
            |why: String| Error::input(format!("not a classifier of riesz ({why})")).at(path.display());
        let classes = metadata.get("classes").map_or("", String::as_str);
        let classes: Vec<String> =
            serde_json::from_str(classes).map_err(|error| refused(format!("its classes: {error}")))?;
        if classes.len() < 2 {
            return Err(refused(format!("it has {} classes", classes.len())));
        }
        let network = stored.recipe.classifier(stored.size, stored.channels, classes.len())?;
        let specs = network.tensors();
        let own = specs.iter().map(|spec| (spec.name.as_str(), spec.shape.as_slice()));
        tensors::matched(own, &stored.tensors).map_err(|error| error.at(path.display()))?;
        Ok(Self { network, stored, classes })
    }
}
