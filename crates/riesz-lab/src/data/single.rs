//! One file given as the data: an IDX file of images, or a sentence that says what the file is and what to give.

use std::io::Read;

use super::tree::Tree;
use super::{Opened, idx};
use crate::{Error, Result};

/// Opens the one file of `tree`, which is no tar.
///
/// # Errors
/// If it is no IDX file of images, or a damaged one.
pub(super) fn open(tree: &Tree) -> Result<Opened> {
    let refused = |what: &str| Err(Error::input(what));
    if let Some(opened) = idx::open_one(tree)? {
        return Ok(opened);
    }
    let name = tree.name(0);
    if name.starts_with("data_batch_") || ["test_batch.bin", "train.bin", "test.bin"].contains(&&*name) {
        return refused("looks like one of CIFAR's files; give the folder that holds them all");
    }
    if name.ends_with("_X.bin") || name.ends_with("_y.bin") {
        return refused("looks like one of STL-10's files; give the folder that holds them all");
    }
    let mut head = Vec::new();
    tree.reader(0)?.take(300).read_to_end(&mut head).map_err(|error| Error::io(&*name, &error))?;
    let Some((what, instead)) = kind(&head, &name) else {
        return refused(
            "neither a folder nor an archive of images nor an IDX file; give the folder, tar or zip that holds the images",
        );
    };
    Err(Error::input(format!("{what}; {instead}")))
}

/// What a file is by its first bytes or its name, and what to do instead.
fn kind(head: &[u8], name: &str) -> Option<(String, &'static str)> {
    const FOLDER: &str = "give the folder, tar or zip that holds the images";
    const UNPACK: &str = "unpack it and give the folder";
    let as_told = |what: &str, instead| Some((what.to_owned(), instead));
    match head {
        [] => return as_told("the file is empty", FOLDER),
        [b'P', b'K', 7, ..] => return as_told("a zip in parts, which is not read", UNPACK),
        [b'7', b'z', 0xbc, 0xaf, ..] => return as_told("a 7z archive, which is not read", UNPACK),
        [b'R', b'a', b'r', b'!', ..] => return as_told("a rar archive, which is not read", UNPACK),
        [b'B', b'Z', b'h', ..] => return as_told("a bzip2 file, which is not read", UNPACK),
        [0x1f, 0x8b, ..] | [0xfd, b'7', b'z', b'X', b'Z', ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            return as_told("a compressed file that holds neither a tar nor IDX values", FOLDER);
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            return as_told("an array (npy), which is not read as images", FOLDER);
        }
        [0x89, b'H', b'D', b'F', ..] => return as_told("an HDF5 file, which is not read", FOLDER),
        [0x80, 2..=5, ..] => {
            return as_told("a Python pickle; CIFAR's are read, with all their folder", FOLDER);
        }
        _ => {}
    }
    if image::guess_format(head).is_ok() {
        return as_told("one image", "give the folder, tar or zip that holds the images");
    }
    if name.to_lowercase().ends_with(".tar") {
        return as_told("named a tar, but its first header is damaged or that of another format", FOLDER);
    }
    None
}
