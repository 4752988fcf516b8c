//! STL-10 in its binary version: `train_X.bin`, `test_X.bin` and (if there) `unlabeled_X.bin`, records of three
//! 96 × 96 planes in column order; `train_y.bin` and `test_y.bin`, one byte an image, 1 … 10.
//!
//! As is usual for this set, one trains on the labeled and the unlabeled images; the latter have no label.

use std::sync::Arc;

use super::records::{File, Layout, Order, Records, count, find};
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
    if find(tree, "train_X.bin").is_none() && find(tree, "test_X.bin").is_none() {
        return Ok(None);
    }
    let need = |name: &str| {
        find(tree, name).ok_or_else(|| {
            Error::input(format!("{}: STL-10 files, but {name} is missing", tree.place.display()))
        })
    };
    let labeled = |name: &'static str| -> Result<File> {
        let entry = need(&format!("{name}_X.bin"))?;
        let labels_entry = need(&format!("{name}_y.bin"))?;
        let (images, labels) = (count(tree, entry, LAYOUT)?, tree.length(labels_entry)?);
        let place = tree.whereabouts(labels_entry);
        if labels != images as u64 {
            return Err(Error::input(format!(
                "{place}: {labels} labels for {images} images; one of the two files is damaged or truncated"
            )));
        }
        let labels = tree.read(labels_entry, labels)?;
        if let Some(wrong) = labels.iter().find(|label| !(1..=10).contains(*label)) {
            return Err(Error::input(format!("{place}: label {wrong}; STL-10 has 1 to 10")));
        }
        Ok(File {
            entry,
            name,
            start: 0,
            labels: labels.iter().map(|&label| Some(u32::from(label) - 1)).collect(),
        })
    };
    let mut train = vec![labeled("train")?];
    let test = vec![labeled("test")?];
    let mut kind = "STL-10 binary, without its unlabeled images".to_owned();
    if let Some(entry) = find(tree, "unlabeled_X.bin") {
        let images = count(tree, entry, LAYOUT)?;
        kind = format!("STL-10 binary, {images} of the training images unlabeled");
        train.push(File { entry, name: "unlabeled", start: 0, labels: vec![None; images] });
    }
    let source =
        |files| -> Box<dyn Source> { Box::new(Records { tree: Arc::clone(tree), layout: LAYOUT, files }) };
    let classes = CLASSES.map(str::to_owned).to_vec();
    let notes = Vec::new();
    Ok(Some(Opened { kind, classes, notes, train: source(train), test: Some(source(test)) }))
}
