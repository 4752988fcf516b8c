//! Image files of a folder or a tar.

use std::borrow::Cow;
use std::sync::Arc;

use super::arrange::{Arrangement, Item, Labels, arrange};
use super::decode::{EXTENSIONS, decode, is_image};
use super::tree::Tree;
use super::{Image, Opened, Source};
use crate::{Error, Result};

/// No image file is larger: what a decoder may allocate for it.
const MOST_BYTES: u64 = 1 << 30;

/// Opens the image files of `tree`.
///
/// # Errors
/// If there are none (the sentence says what there is instead), or labels are asked for that are not there.
pub(super) fn open(tree: &Arc<Tree>, labels: &Labels) -> Result<Opened> {
    let names: Vec<Cow<'_, str>> = (0..tree.entries.len()).map(|index| tree.name(index)).collect();
    let (entries, names): (Vec<usize>, Vec<Cow<'_, str>>) =
        names.into_iter().enumerate().filter(|(_, name)| is_image(name)).unzip();
    if entries.is_empty() {
        return Err(Error::input(format!(
            "{}: no images found; {}; expected {}, or IDX, CIFAR or STL-10 files{}",
            tree.place.display(),
            tree.census(),
            EXTENSIONS.join(", "),
            archive_inside(tree),
        )));
    }
    let Arrangement { train, test, classes, notes } =
        arrange(&names, labels, &tree.place).map_err(|error| error.at(tree.place.display()))?;
    let source = |items: Vec<Item>| -> Box<dyn Source> {
        let items = items.into_iter().map(|item| Item { image: entries[item.image], ..item }).collect();
        Box::new(Images { tree: Arc::clone(tree), items })
    };
    Ok(Opened {
        kind: format!("{} of images", tree.kind),
        classes,
        notes: [&tree.notes[..], &notes].concat(),
        train: source(train),
        test: test.map(source),
    })
}

/// For a folder that holds an archive: that the archive itself can be given.
fn archive_inside(tree: &Tree) -> String {
    const ENDS: [&str; 6] = [".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst"];
    let is_archive = |index: &usize| ENDS.iter().any(|end| tree.name(*index).to_lowercase().ends_with(end));
    let archive = (0..tree.entries.len()).find(is_archive).filter(|_| tree.kind == "folder");
    archive
        .map_or_else(String::new, |index| format!("; to open the archive, give {}", tree.whereabouts(index)))
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
