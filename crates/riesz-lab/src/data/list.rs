//! A list of paths: a .txt file with the path of an image on each line, below the list's folder or absolute.

use std::path::Path;

use super::table;
use super::tree::{Content, Entry, LeftAside, Progress, Tree};
use crate::names::{quoted, readable};
use crate::{Error, Result};

/// A list is smaller, of millions of paths too.
const MOST_BYTES: u64 = 1 << 30;

/// The files that the list at `path` names; `None` if it is no .txt file.
///
/// # Errors
/// If it names a file that is not there, or, but on Unix, a line is not UTF-8.
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
    let mut text = std::fs::read(path).map_err(wrong)?;
    table::remove_mark(&mut text).map_err(|error| error.at(path.display()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut entries = Vec::new();
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let refused = |why: String| Error::input(format!("{}: line {}: {why}", path.display(), number + 1));
        let named = as_path(line).ok_or_else(|| refused(table::NOT_UTF8.to_owned()))?;
        if !folder.join(named).is_file() {
            return Err(refused(format!("no such file: {}", quoted(&readable(line)))));
        }
        entries.push(Entry::new(named.to_owned(), Content::File));
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

/// A path by its bytes, as Unix has them.
#[cfg(unix)]
fn as_path(bytes: &[u8]) -> Option<&Path> {
    use std::os::unix::ffi::OsStrExt;
    Some(Path::new(std::ffi::OsStr::from_bytes(bytes)))
}

/// A path by its bytes, where paths are Unicode.
#[cfg(not(unix))]
fn as_path(bytes: &[u8]) -> Option<&Path> {
    std::str::from_utf8(bytes).ok().map(Path::new)
}
