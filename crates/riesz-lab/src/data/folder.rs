//! The files of a folder, at any depth; links are followed.
//!
//! Listing opens no file and decodes nothing, so a million paths take seconds.

use std::path::Path;

use walkdir::WalkDir;

use super::tree::{Content, Entry, LeftAside, Progress, Tree, is_hidden};
use crate::{Error, Result};

/// Lists the visible files below `root`. Links that lead back to a folder above them, or nowhere, are left aside.
///
/// # Errors
/// If a folder cannot be read; the sentence names it.
pub(super) fn list(root: &Path, progress: Progress<'_>) -> Result<Tree> {
    let mut entries = Vec::new();
    let mut left_aside = LeftAside::default();
    let visible = |entry: &walkdir::DirEntry| entry.depth() == 0 || !is_hidden(Path::new(entry.file_name()));
    for entry in WalkDir::new(root).follow_links(true).into_iter().filter_entry(visible) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => {
                let path = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_path_buf();
                entries.push(Entry::new(path, Content::File));
                progress(entries.len());
            }
            Ok(_) => {}
            Err(error) => skip(root, &error, &mut left_aside)?,
        }
    }
    Ok(Tree::new(root, "folder", entries, &left_aside))
}

/// Notes a link that cannot be followed; anything else that cannot be listed is an error.
fn skip(root: &Path, error: &walkdir::Error, left_aside: &mut LeftAside) -> Result<()> {
    let path = error.path().unwrap_or(root);
    let below = path.strip_prefix(root).unwrap_or(path);
    // Errors come before the filter: a hidden link is no news.
    if is_hidden(below) {
        return Ok(());
    }
    if error.loop_ancestor().is_some() {
        left_aside.add(below, "a link that leads back to its own folder");
        return Ok(());
    }
    let is_denied =
        error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    if path != root && path.is_symlink() && !is_denied {
        left_aside.add(below, "a link that leads nowhere");
        return Ok(());
    }
    Err(match error.io_error() {
        Some(error) => Error::io(path, error),
        None => Error::input(format!("{}: cannot be listed", path.display())),
    })
}
