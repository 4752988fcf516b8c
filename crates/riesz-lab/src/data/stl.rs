//! STL-10 in its binary version: `train_X.bin`, `test_X.bin` and (if there) `unlabeled_X.bin`, records of three
//! 96 × 96 planes in column order; `train_y.bin` and `test_y.bin`, one byte an image, 1 … 10.
//!
//! As is usual for this set, one trains on the labeled and the unlabeled images; the latter have no label.

use std::sync::Arc;

use super::records::{File, Layout, Order, Records, count};
use super::tree::Tree;
use super::{Opened, Source};
use crate::{Error, Result};

const CLASSES: [&str; 10] =
    ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"];

const LAYOUT: Layout = Layout { head: 0, side: 96, order: Order::Columns };

/// Opens the STL-10 files of `tree`; `None` if it has none.
///
/// # Errors
/// If a file is missing or damaged, or images and labels do not fit each other.
pub(super) fn open(tree: &Arc<Tree>) -> Result<Option<Opened>> {
    let find = |name: &str| {
        tree.entries.iter().position(|entry| entry.path.file_name().is_some_and(|found| found == name))
    };
    if find("train_X.bin").is_none() && find("test_X.bin").is_none() {
        return Ok(None);
    }
    let need = |name: &str| {
        find(name).ok_or_else(|| {
            Error::input(format!("{}: STL-10 files, but {name} is missing", tree.place.display()))
        })
    };
    let labeled = |name: &'static str| -> Result<File> {
        let entry = need(&format!("{name}_X.bin"))?;
        let labels_entry = need(&format!("{name}_y.bin"))?;
        let (images, labels) = (count(tree, entry, LAYOUT)?, tree.read(labels_entry)?);
        let place = tree.place.join(&tree.entries[labels_entry].path);
        if labels.len() != images {
            return Err(Error::input(format!(
                "{}: {} labels for {images} images",
                place.display(),
                labels.len()
            )));
        }
        if let Some(wrong) = labels.iter().find(|label| !(1..=10).contains(*label)) {
            return Err(Error::input(format!("{}: label {wrong}; STL-10 has 1 to 10", place.display())));
        }
        Ok(File { entry, name, labels: labels.iter().map(|&label| Some(u32::from(label) - 1)).collect() })
    };
    let mut train = vec![labeled("train")?];
    let test = vec![labeled("test")?];
    let mut kind = "STL-10 binary, without its unlabeled images".to_owned();
    if let Some(entry) = find("unlabeled_X.bin") {
        let images = count(tree, entry, LAYOUT)?;
        kind = format!("STL-10 binary, {images} of the training images unlabeled");
        train.push(File { entry, name: "unlabeled", labels: vec![None; images] });
    }
    let source =
        |files| -> Box<dyn Source> { Box::new(Records { tree: Arc::clone(tree), layout: LAYOUT, files }) };
    let classes = CLASSES.map(str::to_owned).to_vec();
    Ok(Some(Opened { kind, classes, train: source(train), test: Some(source(test)) }))
}
