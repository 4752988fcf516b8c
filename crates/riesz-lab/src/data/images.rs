//! Image files of a folder or a tar.

use std::borrow::Cow;
use std::sync::Arc;

use super::arrange::{Arrangement, Item, Labels, arrange};
use super::decode::{EXTENSIONS, decode, is_image};
use super::tree::Tree;
use super::{Image, Opened, Source};
use crate::{Error, Result};

/// Opens the image files of `tree`.
///
/// # Errors
/// If there are none (the sentence says what there is instead), or labels are asked for that are not there.
pub(super) fn open(tree: &Arc<Tree>, labels: &Labels) -> Result<Opened> {
    let names: Vec<Cow<'_, str>> = (0..tree.entries.len()).map(|index| tree.name(index)).collect();
    let (entries, names): (Vec<usize>, Vec<Cow<'_, str>>) =
        names.into_iter().enumerate().filter(|(_, name)| is_image(name)).unzip();
    if tree.kind == "file" {
        return Err(Error::input(format!(
            "{}: neither a folder nor an archive of images nor an IDX file; give the folder that holds the images",
            tree.place.join(&tree.entries[0].path).display()
        )));
    }
    if entries.is_empty() {
        return Err(Error::input(format!(
            "{}: no images found; {}; expected {}, or IDX, CIFAR or STL-10 files",
            tree.place.display(),
            tree.census(),
            EXTENSIONS.join(", ")
        )));
    }
    let Arrangement { train, test, classes, left_aside } =
        arrange(&names, labels, &tree.place).map_err(|error| error.at(tree.place.display()))?;
    let beside = match left_aside {
        0 => String::new(),
        count => format!(", {count} outside its training and test folders left aside"),
    };
    let source = |items: Vec<Item>| -> Box<dyn Source> {
        let items = items.into_iter().map(|item| Item { image: entries[item.image], ..item }).collect();
        Box::new(Images { tree: Arc::clone(tree), items })
    };
    Ok(Opened {
        kind: format!("{} of images{beside}", tree.kind),
        classes,
        train: source(train),
        test: test.map(source),
    })
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
        let bytes = self.tree.read(self.items[index].image)?;
        decode(&bytes).map_err(|reason| Error::input(reason).at(self.name(index)))
    }
}
