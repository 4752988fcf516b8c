//! Where images come from: a [`Source`] lists items and decodes one of them when asked.
//!
//! [`open`] takes a known name or a path and finds out by itself what lies there: image files in a folder, a tar, a zip, shards
//! of tars or a list of paths; parquet files of images; IDX files, CIFAR or STL-10 records.
//!
//! Shapes: an [`Image`] is height × width × channels, 8 bits, channels last.

use std::path::Path;
use std::sync::Arc;

use riesz::rng::{Key, permutation};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

mod archive;
mod arrange;
mod beside;
mod cifar;
mod classes;
mod decode;
pub mod fetch;
mod folder;
mod hub;
mod idx;
mod images;
mod known;
mod list;
mod member;
mod records;
mod separated;
mod shards;
mod single;
mod split;
mod stl;
mod table;
mod tiff_jpeg;
mod tree;
mod unpack;
mod unreadable;
mod upright;
mod zipped;

use arrange::Labels;
pub use decode::image_file;
pub use known::{BUILT_IN, KNOWN, Known, Remote, cache, megabytes};
pub use split::part;
pub use table::labels_here;
use tree::{Content, Entry, LeftAside, Progress, Tree};
pub use unreadable::Unreadable;

/// One decoded picture: 8-bit pixels, row-major, channels last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// `height * width * channels` bytes.
    pub pixels: Vec<u8>,
}

/// A list of images that can be decoded one at a time, from any thread.
pub trait Source: Send + Sync {
    /// How many items there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A stable name of item `index`, for logs and embedding files: a relative path, or `train/00012`.
    fn name(&self, index: usize) -> String;

    /// The class of item `index`, if the source knows it.
    fn label(&self, index: usize) -> Option<u32>;

    /// Decodes item `index`.
    ///
    /// # Errors
    /// If the bytes are not a readable image; the sentence names the item and the reason.
    fn image(&self, index: usize) -> Result<Image>;
}

/// What a data specification opens to: images to train on, held-out images, and the names of the classes.
pub struct Dataset {
    /// For printing: `fashion-mnist (built in)`, or the path.
    pub name: String,
    /// Images to train on.
    pub train: Box<dyn Source>,
    /// Held-out images, never trained on.
    pub test: Box<dyn Source>,
    /// Names of the classes; empty without labels.
    pub classes: Vec<String>,
    /// What a user should know of what was found: sentences on files left aside, images without a label.
    pub notes: Vec<String>,
}

/// Which images, as a recipe says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataRecipe {
    /// `fashion-mnist-12k` (built in), another known name (`riesz data list`), or a path: a folder of images, a tar of
    /// them (also .gz, .xz, .zst), a zip, shards (`name-{000..146}.tar` or a folder of tars), parquet files with a column of
    /// images, a .txt with a path on each line, or a folder, archive or file in the IDX, CIFAR or STL-10 format.
    pub source: String,
    /// `auto`: the labels that the data has, class folders if they are evident. `folders`: class folders, or an error.
    /// `none`. Or a table (.csv, .tsv or .txt) with columns of names and labels, looked for in the data's folder first.
    pub labels: String,
    /// Share of the images held out where the data has no test set of its own: from 0 to 0.5. At least 50 images
    /// are held out (but not more than half), and none if the share is 0.
    pub held_out: f64,
    /// Train on a keyed choice of this many images only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl DataRecipe {
    /// Checks the numbers.
    ///
    /// # Errors
    /// One sentence for a number out of range.
    pub fn check(&self) -> Result<()> {
        if !(0.0..=0.5).contains(&self.held_out) {
            return Err(Error::input(format!(
                "data.held-out is {}; it must be from 0 to 0.5",
                self.held_out
            )));
        }
        if self.limit == Some(0) {
            return Err(Error::input("data.limit is 0; at least 1 image is needed"));
        }
        Ok(())
    }
}

/// Opens the images of a recipe; what is held out and chosen is keyed by `seed`.
///
/// # Errors
/// If a key is out of range, or nothing fits what lies at the path; the sentence says what was found.
pub fn open(recipe: &DataRecipe, seed: u64) -> Result<Dataset> {
    open_with_progress(recipe, seed, &mut |_| {})
}

/// [`open`], and `progress` is told how many files were listed so far.
///
/// # Errors
/// As [`open`].
pub fn open_with_progress(recipe: &DataRecipe, seed: u64, progress: Progress<'_>) -> Result<Dataset> {
    recipe.check()?;
    let labels = Labels::parse(&recipe.labels)?;
    let (name, mut opened) = locate(&recipe.source, &labels, progress)?;
    if labels == Labels::None {
        opened.classes.clear();
        opened.train = split::without_labels(opened.train);
        opened.test = opened.test.map(split::without_labels);
    }
    let (train, test) = match opened.test {
        Some(test) => (opened.train, test),
        None => {
            opened.notes.extend(split::raised(recipe.held_out, opened.train.len()));
            split::hold_out(opened.train, recipe.held_out, seed)
        }
    };
    let train = match recipe.limit {
        Some(limit) => split::limit(train, limit, seed),
        None => train,
    };
    Ok(Dataset { name, train, test, classes: opened.classes, notes: opened.notes })
}

/// The usual shorter side of the images at `source` (the median of a few), and 3 if any of them has color, else 1.
///
/// # Errors
/// If it cannot be opened, or none of a few images can be read.
pub fn typical_size(source: &str) -> Result<(usize, usize)> {
    let recipe =
        DataRecipe { source: source.to_owned(), labels: "none".to_owned(), held_out: 0.0, limit: None };
    open(&recipe, 0)?.typical_size()
}

impl Dataset {
    /// All images, those to train on first, and the names of the classes.
    pub fn all(self) -> (Box<dyn Source>, Vec<String>) {
        (split::joined(self.train, self.test), self.classes)
    }

    /// The usual shorter side of the training images (the median of a few), and 3 if any of them has color, else 1.
    ///
    /// # Errors
    /// If none of a few images can be read.
    pub fn typical_size(&self) -> Result<(usize, usize)> {
        let few = permutation(&mut Key::new(0).stream("typical size").rng(), self.train.len());
        let mut unreadable = Unreadable::default();
        let mut sizes = Vec::new();
        for &index in few.iter().take(32) {
            unreadable.seen(1);
            match self.train.image(index) {
                Ok(image) => sizes.push((image.width.min(image.height), image.channels)),
                Err(error) => unreadable.unreadable(&self.train.name(index), &error.to_string()),
            }
        }
        if sizes.is_empty() {
            unreadable.check().map_err(|error| error.at(&self.name))?;
            return Err(Error::input(format!("{}: there are no images to train on", self.name)));
        }
        sizes.sort_unstable();
        let channels = if sizes.iter().any(|&(_, channels)| channels == 3) { 3 } else { 1 };
        Ok((sizes[sizes.len() / 2].0, channels))
    }
}

/// What a format's reader finds.
struct Opened {
    /// For the data's name: `IDX`, `folder of images`.
    kind: String,
    classes: Vec<String>,
    notes: Vec<String>,
    train: Box<dyn Source>,
    /// `None` if the data has no test set of its own.
    test: Option<Box<dyn Source>>,
}

/// Finds a known name or a path, and opens it. Also its name for printing.
fn locate(source: &str, labels: &Labels, progress: Progress<'_>) -> Result<(String, Opened)> {
    if source == BUILT_IN {
        let opened = idx::open_bytes([
            include_bytes!("../../data/fashion-mnist-12k/train-images-idx3-ubyte.gz"),
            include_bytes!("../../data/fashion-mnist-12k/train-labels-idx1-ubyte.gz"),
            include_bytes!("../../data/fashion-mnist-12k/t10k-images-idx3-ubyte.gz"),
            include_bytes!("../../data/fashion-mnist-12k/t10k-labels-idx1-ubyte.gz"),
        ])?;
        let classes = known::FASHION_MNIST_CLASSES.map(str::to_owned).to_vec();
        return Ok((format!("{BUILT_IN} (built in)"), Opened { classes, ..own_labels(opened, labels)? }));
    }
    if let Some(known) = Known::named(source) {
        let place = known.find()?;
        let mut opened = open_path(&place, labels, progress)?;
        if known.classes.len() == opened.classes.len() {
            opened.classes = known.classes.iter().map(|&class| class.to_owned()).collect();
        }
        return Ok((format!("{source} ({}, {})", place.display(), opened.kind), opened));
    }
    let path = Path::new(source);
    if !path.exists()
        && let Some(shards) = shards::named(source)?
    {
        let tree = shards::list(Path::new(""), shards, progress)?;
        let opened = images::open(&Arc::new(tree), labels)?;
        return Ok((format!("{source} ({})", opened.kind), opened));
    }
    if !path.exists() && path.components().count() == 1 {
        let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
        return Err(Error::input(format!(
            "{source}: no such file or folder, and no known data set ({BUILT_IN}, {})",
            names.join(", ")
        )));
    }
    let opened = open_path(path, labels, progress)?;
    Ok((format!("{source} ({})", opened.kind), opened))
}

/// Finds out what lies at `path`.
fn open_path(path: &Path, labels: &Labels, progress: Progress<'_>) -> Result<Opened> {
    let tree = Arc::new(list(path, progress)?);
    if matches!(tree.kind, "file" | "folder")
        && let Some(opened) = hub::open(&tree)?
    {
        return own_labels(opened, labels).map_err(|error| error.at(path.display()));
    }
    if tree.kind == "file" {
        let opened = single::open(&tree).map_err(|error| error.at(path.display()))?;
        return own_labels(opened, labels).map_err(|error| error.at(path.display()));
    }
    for reader in [idx::open, cifar::open, stl::open] {
        if let Some(opened) = reader(&tree)? {
            return own_labels(opened, labels).map_err(|error| error.at(path.display()));
        }
    }
    let shards = shards::within(&tree);
    if shards.is_empty() || tree.kind != "folder" || images::are_in(&tree) {
        return images::open(&tree, labels);
    }
    images::open(&Arc::new(shards::list(path, shards, progress)?), labels)
}

/// Lists the files of a folder or an archive, or the one file that lies at `path`.
fn list(path: &Path, progress: Progress<'_>) -> Result<Tree> {
    let found = std::fs::metadata(path).map_err(|error| Error::io(path, &error))?;
    if found.is_dir() {
        return folder::list(path, progress);
    }
    if !found.is_file() {
        return Err(Error::input(format!(
            "{}: neither a folder nor a plain file; give the folder, tar or zip that holds the images",
            path.display()
        )));
    }
    for reader in [archive::list, zipped::list, list::list] {
        if let Some(tree) = reader(path, progress)? {
            return Ok(tree);
        }
    }
    let name = path.file_name().map(Into::into).unwrap_or_default();
    let entries = vec![Entry::new(name, Content::File)];
    Ok(Tree::new(path.parent().unwrap_or(Path::new("")), "file", entries, &LeftAside::default()))
}

/// Formats with labels of their own take none from elsewhere.
fn own_labels(opened: Opened, labels: &Labels) -> Result<Opened> {
    match labels {
        Labels::Auto | Labels::None => Ok(opened),
        Labels::Folders | Labels::Table(_) => Err(Error::input(format!(
            "{} files have labels of their own; data.labels must be \"auto\" or \"none\"",
            opened.kind
        ))),
    }
}
