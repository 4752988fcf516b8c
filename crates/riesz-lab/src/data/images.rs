//! Image files of a folder, a tar, a zip, shards or a list.

use std::borrow::Cow;
use std::sync::Arc;

use super::arrange::{Arrangement, Item, Labels, arrange};
use super::beside::{self, Beside};
use super::decode::{EXTENSIONS, decode, is_image, is_unread};
use super::shards::{SHARDS, split_folder};
use super::tree::Tree;
use super::{Image, Opened, Source};
use crate::{Error, Result};

/// No image file is larger: what a decoder may allocate for it.
const MOST_BYTES: u64 = 1 << 30;

/// Whether `tree` has image files.
pub(super) fn are_in(tree: &Tree) -> bool {
    (0..tree.entries.len()).any(|index| is_image(&tree.name(index)))
}

/// Opens the image files of `tree`.
///
/// # Errors
/// If there are none (the sentence says what there is instead), or labels are asked for that are not there.
pub(super) fn open(tree: &Arc<Tree>, labels: &Labels) -> Result<Opened> {
    let names = (0..tree.entries.len()).map(|index| (index, tree.name(index)));
    let (images, others): (Vec<_>, Vec<_>) = names.partition(|(_, name)| is_image(name));
    let (entries, names): (Vec<usize>, Vec<Cow<'_, str>>) = images.into_iter().unzip();
    if entries.is_empty() {
        return Err(Error::input(format!(
            "{}: no images found; {}; expected {}, or parquet, IDX, CIFAR or STL-10 files",
            tree.place.display(),
            tree.census(),
            EXTENSIONS.join(", "),
        )));
    }
    let split_folder = split_folder(tree);
    let arranged: Vec<Cow<'_, str>> = names
        .iter()
        .zip(&entries)
        .map(|(name, &entry)| inside(name, tree.entries[entry].shard, &split_folder))
        .collect();
    let beside = match labels {
        Labels::Auto if matches!(tree.kind, "tar" | SHARDS) => beside::labels(tree, &entries)?,
        _ => None,
    };
    let asked = if beside.is_some() { &Labels::None } else { labels };
    let mut arrangement =
        arrange(&arranged, asked, &tree.place).map_err(|error| error.at(tree.place.display()))?;
    if let Some(Beside { label_of, classes }) = beside {
        let items = arrangement.train.iter_mut().chain(arrangement.test.iter_mut().flatten());
        items.for_each(|item| item.label = label_of[item.image]);
        arrangement.classes = classes;
    }
    let Arrangement { train, test, classes, notes } = arrangement;
    let source = |items: Vec<Item>| -> Box<dyn Source> {
        let items = items.into_iter().map(|item| Item { image: entries[item.image], ..item }).collect();
        Box::new(Images { tree: Arc::clone(tree), items })
    };
    Ok(Opened {
        kind: format!("{} of images", tree.kind),
        classes,
        notes: [&tree.notes[..], unread(tree, &others).as_slice(), &notes].concat(),
        train: source(train),
        test: test.map(source),
    })
}

/// What is told of pictures of other kinds, and of all else that a list names.
fn unread(tree: &Tree, others: &[(usize, Cow<'_, str>)]) -> Option<String> {
    let is_asked = |name: &str| tree.kind == "list" || is_unread(name);
    let left: Vec<usize> =
        others.iter().filter(|(_, name)| is_asked(name)).map(|(index, _)| *index).collect();
    let kinds = tree.kinds(left.iter().copied());
    match left.len() {
        0 => None,
        1 => Some(format!("1 file is of a kind that is not read, and left out: {kinds}")),
        count => Some(format!("{count} files are of kinds that are not read, and left out: {kinds}")),
    }
}

/// The name of an image within its shard, below a folder of the split if the shards' names tell it.
fn inside<'a>(
    name: &'a str,
    shard: usize,
    split_folder: &impl Fn(&str) -> Option<&'static str>,
) -> Cow<'a, str> {
    if shard == 0 {
        return Cow::Borrowed(name);
    }
    let end = name.match_indices('/').nth(shard - 1).map_or(0, |(at, _)| at);
    let (shard, inner) = (&name[..end], &name[end + 1..]);
    match split_folder(shard) {
        Some(split) => Cow::Owned(format!("{split}/{inner}")),
        None => Cow::Borrowed(inner),
    }
}

struct Images {
    tree: Arc<Tree>,
    /// `image` is the entry of the tree.
    items: Vec<Item>,
}

impl Source for Images {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn name(&self, index: usize) -> String {
        self.tree.name(self.items[index].image).into_owned()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.items[index].label
    }

    fn image(&self, index: usize) -> Result<Image> {
        let bytes = self.tree.read(self.items[index].image, MOST_BYTES)?;
        decode(&bytes).map_err(|reason| Error::input(reason).at(self.name(index)))
    }
}
