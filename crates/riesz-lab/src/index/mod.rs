//! Images by their rows: an encoder embeds those of any source ([`Embedder`]), a file keeps the rows ([`Stored`]), and rows are asked
//! for the nearest of an image ([`search`]) and for images that are nearly the same ([`duplicates`]); so are the rows of any file of
//! embeddings, whoever's ([`Plain`]).
//!
//! Rows of two encoders cannot be compared, so a file says whose they are, and those of another are refused.

pub mod duplicates;
mod embed;
mod plain;
pub mod search;
mod sheet;
mod stored;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::{Error, Result};
pub use embed::{Beside, Chunk, Embedder, Images, Split};
pub use plain::Plain;
pub use sheet::Pictures;
pub use stored::{Rows, Stored};

/// The version of what `--json` prints.
pub const SCHEMA_VERSION: u32 = 1;
/// The key of [`About`] in a file's metadata.
pub const KEY: &str = "riesz";
/// Its format.
const FORMAT: &str = "riesz index 1";

/// Which rows of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The backbone's output h.
    Backbone,
    /// The projector's output z, scaled to unit rows.
    Projector,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Backbone => "backbone",
            Self::Projector => "projector",
        })
    }
}

/// What a file's metadata says of its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    format: String,
    /// SHA-256 of the encoder's tensors.
    pub encoder: String,
    /// How it is shown images.
    pub view: String,
    /// Which of its rows.
    pub part: Part,
    /// The images, as they were given.
    pub source: String,
    /// The longest side of the small pictures, if there are any.
    pub thumbnails: Option<usize>,
}

/// An image that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// Its place among the images.
    pub row: usize,
    /// Its name.
    pub name: String,
    /// The name of its class, if it has one.
    pub class: Option<String>,
    /// The cosine of its row with that of the image that was asked for.
    pub cosine: f64,
}

/// Images to look at: their rows are in a file, or are still to be made.
pub enum Searched {
    /// In a file.
    File(Stored),
    /// Still to be made.
    Images(Images),
}

/// Opens the encoder of the run in the folder `run`, and the images to look at: a file of rows, or images, else all of the run's own.
/// Rows are those of `part`; if that is not said, those of the file, else the backbone's.
///
/// # Errors
/// If something cannot be opened, there are both, or the file has rows of another encoder or part.
pub fn open(
    run: &Path,
    index: Option<&Path>,
    images: Option<&str>,
    part: Option<Part>,
    device: &Device,
) -> Result<(Embedder, Searched)> {
    match (index, images) {
        (Some(path), None) => {
            let stored = Stored::open(path)?;
            let of_file = stored.about().part;
            let part = part.unwrap_or(of_file);
            if part != of_file {
                let path = path.display();
                return Err(Error::input(format!("{path}: has rows of the {of_file}; leave --part out")));
            }
            let embedder = Embedder::open(run, part, device)?;
            stored.check(&embedder.about("", None), run)?;
            Ok((embedder, Searched::File(stored)))
        }
        (None, Some(images)) => {
            let embedder = Embedder::open(run, part.unwrap_or(Part::Backbone), device)?;
            Ok((embedder, Searched::Images(Images::open(images, "auto", None)?)))
        }
        (Some(_), Some(images)) => Err(Error::input(format!(
            "{images}: with --index the images are those of the index; leave one out"
        ))),
        (None, None) => {
            let embedder = Embedder::open(run, part.unwrap_or(Part::Backbone), device)?;
            let images = embedder.own_images(Some(Split::All))?;
            Ok((embedder, Searched::Images(images)))
        }
    }
}

impl Searched {
    /// Where the pictures for a sheet are.
    ///
    /// # Errors
    /// If the file has none.
    pub fn pictures(&self) -> Result<Pictures<'_>> {
        match self {
            Self::File(stored) => Ok(Pictures::Small(stored.pictures()?)),
            Self::Images(images) => Ok(Pictures::Whole(&*images.source)),
        }
    }
}
