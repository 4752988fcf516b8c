//! CIFAR-10 and CIFAR-100 in their binary version: records of one label (CIFAR-10) or a coarse and a fine one
//! (CIFAR-100; the fine one is taken), then 3 planes of 32 × 32. Files may hold fewer records than the originals.

use std::sync::Arc;

use super::records::{File, Layout, Order, Records, count, find, last_of_heads};
use super::tree::Tree;
use super::{Opened, Source};
use crate::{Error, Result};

const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const TRAIN10: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];

/// Opens the CIFAR files of `tree`; `None` if it has none.
///
/// # Errors
/// If a file is missing, damaged, or of the version for Python, which is not read.
pub(super) fn open(tree: &Arc<Tree>) -> Result<Option<Opened>> {
    if find(tree, "test_batch.bin").is_some() || find(tree, TRAIN10[0]).is_some() {
        let names = names(tree, "batches.meta.txt")?.unwrap_or_else(|| CIFAR10.map(str::to_owned).to_vec());
        return files(tree, "CIFAR-10 binary", 1, &TRAIN10, "test_batch.bin", names).map(Some);
    }
    let is_100 = find(tree, "fine_label_names.txt").is_some()
        || tree.place.ends_with("cifar-100-binary")
        || (0..tree.entries.len()).any(|index| tree.name(index).starts_with("cifar-100-binary/"));
    if is_100 && find(tree, "train.bin").is_some() {
        let names = names(tree, "fine_label_names.txt")?;
        let names = names.unwrap_or_else(|| (0..100).map(|class| class.to_string()).collect());
        return files(tree, "CIFAR-100 binary", 2, &["train.bin"], "test.bin", names).map(Some);
    }
    let is_python = find(tree, "data_batch_1").is_some()
        || (find(tree, "train").is_some() && find(tree, "meta").is_some() && find(tree, "test").is_some());
    if is_python {
        return Err(Error::input(format!(
            "{}: this is CIFAR for Python (pickles), which is not read; take the binary version \
             (`riesz data fetch cifar10` or `cifar100`)",
            tree.place.display()
        )));
    }
    Ok(None)
}

/// Class names, one a line.
fn names(tree: &Tree, file: &str) -> Result<Option<Vec<String>>> {
    let Some(index) = find(tree, file) else { return Ok(None) };
    let text = tree.read(index, 1 << 20)?;
    let text = String::from_utf8_lossy(&text);
    Ok(Some(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()))
}

fn files(
    tree: &Arc<Tree>,
    kind: &str,
    head: usize,
    train: &[&str],
    test: &str,
    classes: Vec<String>,
) -> Result<Opened> {
    let layout = Layout { head, side: 32, order: Order::Rows };
    let file = |name: &str, split: &'static str| -> Result<File> {
        let entry = find(tree, name).ok_or_else(|| {
            Error::input(format!("{}: {kind} files, but {name} is missing", tree.place.display()))
        })?;
        let count = count(tree, entry, layout)?;
        // CIFAR-100 has the coarse label before the fine one.
        let labels = last_of_heads(tree, entry, layout, count)?;
        if let Some(wrong) = labels.iter().find(|&&label| usize::from(label) >= classes.len()) {
            return Err(Error::input(format!(
                "{}: label {wrong} of {} classes; the file is damaged or of another format",
                tree.whereabouts(entry),
                classes.len()
            )));
        }
        Ok(File { entry, name: split, labels: labels.into_iter().map(|label| Some(label.into())).collect() })
    };
    let source =
        |files: Vec<File>| -> Box<dyn Source> { Box::new(Records { tree: Arc::clone(tree), layout, files }) };
    let train = train.iter().map(|name| file(name, "train")).collect::<Result<Vec<File>>>()?;
    let test = vec![file(test, "test")?];
    let notes = Vec::new();
    Ok(Opened { kind: kind.to_owned(), classes, notes, train: source(train), test: Some(source(test)) })
}
