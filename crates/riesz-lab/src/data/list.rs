//! A list of paths: a .txt file with the path of an image on each line, below the list's folder or absolute.

use std::path::Path;

use super::tree::{Content, Entry, LeftAside, Progress, Tree};
use crate::names::quoted;
use crate::{Error, Result};

/// A list is smaller, of millions of paths too.
const MOST_BYTES: u64 = 1 << 30;

/// The files that the list at `path` names; `None` if it is no .txt file.
///
/// # Errors
/// If it is not UTF-8, or names a file that is not there.
pub(super) fn list(path: &Path, progress: Progress<'_>) -> Result<Option<Tree>> {
    if path.extension().is_none_or(|end| !end.eq_ignore_ascii_case("txt")) {
        return Ok(None);
    }
    let wrong = |error: std::io::Error| Error::io(path, &error);
    if std::fs::metadata(path).map_err(wrong)?.len() > MOST_BYTES {
        return Err(Error::input(format!(
            "{}: a list of more than {} MiB",
            path.display(),
            MOST_BYTES >> 20
        )));
    }
    let text = String::from_utf8(std::fs::read(path).map_err(wrong)?).map_err(|_| {
        Error::input(format!("{}: not UTF-8; expected the path of an image on each line", path.display()))
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut entries = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let named = line.trim();
        if named.is_empty() {
            continue;
        }
        if !folder.join(named).is_file() {
            let (number, named) = (number + 1, quoted(named));
            return Err(Error::input(format!("{}: line {number}: no such file: {named}", path.display())));
        }
        entries.push(Entry::new(named.into(), Content::File));
        progress(entries.len());
    }
    let mut tree = Tree::new(folder, "list", entries, &LeftAside::default());
    let named = tree.entries.len();
    tree.entries.dedup_by(|a, b| a.path == b.path);
    if tree.entries.len() < named {
        tree.notes.push(format!("{} lines of the list name a file again", named - tree.entries.len()));
    }
    Ok(Some(tree))
}
