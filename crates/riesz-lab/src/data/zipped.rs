//! Zip archives of files: the directory at the end is listed, members are read where they lie when they are asked for.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use super::archive::{damaged, within};
use super::member::Zipped;
use super::tree::{Content, Entry, LeftAside, Progress, Tree, is_hidden};
use crate::zip;
use crate::{Error, Result};

/// Lists the files of the zip at `path`; `None` if it does not begin as one.
///
/// # Errors
/// If its directory is damaged or missing, or no member of it can be taken.
pub(super) fn list(path: &Path, progress: Progress<'_>) -> Result<Option<Tree>> {
    let wrong = |error: std::io::Error| Error::io(path, &error);
    let file = File::open(path).map_err(wrong)?;
    let length = file.metadata().map_err(wrong)?.len();
    let mut file = BufReader::new(file);
    if !starts_as_zip(&mut file).map_err(wrong)? {
        return Ok(None);
    }
    let members = zip::members(&mut file, length).map_err(|error| damaged(path, &error))?;
    let mut left_aside = LeftAside::default();
    let mut entries: Vec<Entry> = Vec::with_capacity(members.len());
    for member in members {
        let name = Path::new(&member.name);
        match (within(name), member.refusal) {
            (Ok(name), None) if is_hidden(&name) => {}
            (Ok(path), None) => {
                entries.push(Entry::new(path, Content::Zipped(Box::new(Zipped::new(&member)))));
                progress(entries.len());
            }
            (Err(why), _) | (_, Some(why)) => left_aside.add(name, why),
        }
    }
    if let Some(told) = left_aside.told().filter(|_| entries.is_empty()) {
        return Err(Error::input(format!(
            "{}: a zip without a file that can be taken; {told}",
            path.display()
        )));
    }
    // A file that occurs twice is the later one, as when it is unpacked: the sort keeps their order.
    let mut tree = Tree::new(path, "zip", entries, &left_aside);
    tree.entries.reverse();
    tree.entries.dedup_by(|a, b| a.path == b.path);
    tree.entries.reverse();
    Ok(Some(tree))
}

fn starts_as_zip(file: &mut impl Read) -> std::io::Result<bool> {
    let mut start = [0; 4];
    match file.read_exact(&mut start) {
        Ok(()) => Ok(matches!(start, [b'P', b'K', 3, 4] | [b'P', b'K', 5, 6])),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
