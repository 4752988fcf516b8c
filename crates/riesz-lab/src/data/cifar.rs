//! CIFAR-10 and CIFAR-100 in their binary version: records of one label (CIFAR-10) or a coarse and a fine one
//! (CIFAR-100; the fine one is taken), then 3 planes of 32 × 32. In the version for Python, which torchvision leaves, the planes are an
//! array in a pickle, and the labels a list beside it. Files may hold fewer records than the originals.

use std::io::Cursor;
use std::sync::Arc;

use super::records::{File, Layout, Order, Records, count, find, last_of_heads};
use super::tree::Tree;
use super::{Opened, Source};
use crate::number::Number;
use crate::pickle::{self, Content, Contents};
use crate::{Error, Result};

const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const TRAIN10: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];

/// Opens the CIFAR files of `tree`; `None` if it has none.
///
/// # Errors
/// If a file is missing or damaged.
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
    if find(tree, PYTHON10[0]).is_some() {
        return pickled(
            tree,
            "CIFAR-10 for Python",
            &PYTHON10,
            "test_batch",
            ["labels", "batches.meta", "label_names"],
        )
        .map(Some);
    }
    if find(tree, "train").is_some() && find(tree, "meta").is_some() && find(tree, "test").is_some() {
        return pickled(
            tree,
            "CIFAR-100 for Python",
            &["train"],
            "test",
            ["fine_labels", "meta", "fine_label_names"],
        )
        .map(Some);
    }
    Ok(None)
}

const PYTHON10: [&str; 5] = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"];

/// The most bytes of a pickle: CIFAR-100 for training has 155 MB.
const MOST_PICKLE: u64 = 512 << 20;

/// The version for Python: `labels` in the files of records, and the names of classes as `names` in `meta`.
fn pickled(
    tree: &Arc<Tree>,
    kind: &str,
    train: &[&str],
    test: &str,
    [labels, meta, names]: [&str; 3],
) -> Result<Opened> {
    let layout = Layout { head: 0, side: 32, order: Order::Rows };
    let entry = |name: &str| {
        find(tree, name)
            .ok_or_else(|| Error::input(format!("{}: {kind}, but {name} is missing", tree.place.display())))
    };
    let contents = |entry: usize| -> Result<Contents> {
        let bytes = tree.read(entry, MOST_PICKLE)?;
        let read = pickle::read(Cursor::new(&bytes), bytes.len() as u64);
        read.map_err(|error| Error::input(error.to_string()).at(tree.whereabouts(entry)))
    };
    let lacks =
        |entry: usize, what: &str| Error::input(format!("{}: has no {what}", tree.whereabouts(entry)));
    let classes = match find(tree, meta) {
        Some(entry) => match of(&contents(entry)?, names) {
            Some(Content::Texts(classes)) => classes.clone(),
            _ => return Err(lacks(entry, &format!("list {names}"))),
        },
        None => return Err(Error::input(format!("{}: {kind}, but {meta} is missing", tree.place.display()))),
    };
    let file = |name: &str, split: &'static str| -> Result<File> {
        let entry = entry(name)?;
        let contents = contents(entry)?;
        let pixels = match of(&contents, "data") {
            Some(Content::Array(array)) if array.number == Number::U8 => match array.shape[..] {
                [count, numbers] if numbers == layout.bytes() => array.in_file().map(|start| (count, start)),
                _ => None,
            },
            _ => None,
        };
        let (count, start) = pixels.ok_or_else(|| lacks(entry, "array data of rows of 3072 bytes"))?;
        let label = |label: &f64| {
            let is_class = label.fract() == 0.0 && (0.0..classes.len() as f64).contains(label);
            is_class.then_some(*label as u32)
        };
        let labels = match of(&contents, labels) {
            Some(Content::Numbers(found)) if found.len() == count => found
                .iter()
                .map(|found| label(found).ok_or(found))
                .collect::<std::result::Result<Vec<u32>, &f64>>(),
            _ => return Err(lacks(entry, &format!("list {labels} of a label for each of {count} images"))),
        };
        let labels = labels.map_err(|wrong| {
            Error::input(format!("{}: label {wrong} of {} classes", tree.whereabouts(entry), classes.len()))
        })?;
        Ok(File { entry, name: split, start, labels: labels.into_iter().map(Some).collect() })
    };
    let train = train.iter().map(|name| file(name, "train")).collect::<Result<Vec<File>>>()?;
    let test = vec![file(test, "test")?];
    Ok(opened(tree, kind, layout, classes, train, test))
}

/// What lies at a path.
fn of<'a>(contents: &'a Contents, path: &str) -> Option<&'a Content> {
    contents.iter().find(|thing| thing.path == path).map(|thing| &thing.content)
}

fn opened(
    tree: &Arc<Tree>,
    kind: &str,
    layout: Layout,
    classes: Vec<String>,
    train: Vec<File>,
    test: Vec<File>,
) -> Opened {
    let source =
        |files: Vec<File>| -> Box<dyn Source> { Box::new(Records { tree: Arc::clone(tree), layout, files }) };
    Opened {
        kind: kind.to_owned(),
        classes,
        notes: Vec::new(),
        train: source(train),
        test: Some(source(test)),
    }
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
        Ok(File {
            entry,
            name: split,
            start: 0,
            labels: labels.into_iter().map(|label| Some(label.into())).collect(),
        })
    };
    let train = train.iter().map(|name| file(name, "train")).collect::<Result<Vec<File>>>()?;
    let test = vec![file(test, "test")?];
    Ok(opened(tree, kind, layout, classes, train, test))
}
