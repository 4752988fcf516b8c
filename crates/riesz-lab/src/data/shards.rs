//! Several tars that hold one set of images, as WebDataset writes them: `name-{000000..000146}.tar`, or a folder of tars.
//!
//! The files of shard `a/b.tar` are named `a/b/…`, so that two shards may use a name twice.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::archive::{self, Taking};
use super::arrange::{HELD_OUT, TRAIN};
use super::tree::{Entry, LeftAside, Progress, Tree};
use crate::{Error, Result};

/// The kind of their tree.
pub(super) const SHARDS: &str = "set of shards";

/// More names than any set has shards.
const MOST_SHARDS: usize = 100_000;

/// The paths that a source with braces names, in order: `{000..146}` counts, with as many digits; `{a,b}` is either. A source
/// without braces names none.
///
/// # Errors
/// If the braces do not fit, or name too many.
pub(super) fn named(source: &str) -> Result<Option<Vec<PathBuf>>> {
    let Some((before, rest)) = source.split_once('{') else { return Ok(None) };
    let refused = |what: &str| Err(Error::input(format!("{source}: {what}")));
    let Some((inside, after)) = rest.split_once('}') else {
        return refused("a brace without its end; expected {000..146} or {a,b}");
    };
    let choices: Vec<String> = match inside.split_once("..") {
        Some((first, last)) => {
            let (Ok(low), Ok(high)) = (first.parse::<usize>(), last.parse::<usize>()) else {
                return refused("expected two whole numbers around .., as in {000..146}");
            };
            if low > high || high - low >= MOST_SHARDS {
                return refused(&format!("expected an ascending range of at most {MOST_SHARDS} in braces"));
            }
            (low..=high).map(|number| format!("{number:0width$}", width = first.len())).collect()
        }
        None => inside.split(',').map(str::to_owned).collect(),
    };
    let mut paths = Vec::new();
    for choice in choices {
        let one = format!("{before}{choice}{after}");
        match named(&one)? {
            Some(several) => paths.extend(several),
            None => paths.push(PathBuf::from(one)),
        }
        if paths.len() > MOST_SHARDS {
            return refused(&format!("the braces name more than {MOST_SHARDS} shards"));
        }
    }
    Ok(Some(paths))
}

/// The tars of a folder that holds no images itself.
pub(super) fn within(folder: &Tree) -> Vec<PathBuf> {
    let shards = folder.entries.iter().filter(|entry| stem(&entry.path).is_some());
    shards.map(|entry| folder.place.join(&entry.path)).collect()
}

/// What the names of a shard's files begin with where the shards tell the split: `train/` or the like.
pub(super) fn split_folder(tree: &Tree) -> impl Fn(&str) -> Option<&'static str> {
    let words: BTreeSet<&str> = tree.archives.iter().filter_map(|shard| split(shard)).collect();
    let tells = words.contains(TRAIN) && words.len() > 1;
    move |shard: &str| split(Path::new(shard)).filter(|_| tells)
}

/// Lists the files of these tars, which lie below `root`.
///
/// # Errors
/// If one is missing, no tar, damaged, or all together are too large for memory.
pub(super) fn list(root: &Path, shards: Vec<PathBuf>, progress: Progress<'_>) -> Result<Tree> {
    if let Some(missing) = shards.iter().find(|shard| !shard.is_file()) {
        let all = shards.len();
        return Err(Error::input(format!("{}: no such file, of {all} shards", missing.display())));
    }
    let mut left_aside = LeftAside::default();
    let mut entries = Vec::new();
    let mut bytes = 0;
    for (index, shard) in (0..).zip(&shards) {
        let before = entries.len();
        let mut taking = Taking {
            archive: index,
            bytes,
            left_aside: &mut left_aside,
            progress: &mut |found| progress(before + found),
        };
        let Some(found) = archive::files(shard, &mut taking)? else {
            return Err(Error::input(format!("{}: not a tar, as a shard must be", shard.display())));
        };
        bytes = taking.bytes;
        let below = shard.strip_prefix(root).unwrap_or(shard);
        let name = stem(below).map_or_else(|| below.to_path_buf(), |stem| below.with_file_name(stem));
        let shard = name.components().count();
        let below = |(path, content)| Entry { shard, ..Entry::new(name.join(path), content) };
        entries.extend(found.into_iter().map(below));
    }
    let mut tree = Tree::new(root, SHARDS, entries, &left_aside);
    let first = shards.first().map(|shard| shard.display().to_string()).unwrap_or_default();
    tree.notes.insert(0, format!("{} shards opened, {first} and so on", shards.len()));
    Ok(Tree { archives: shards, ..tree })
}

/// The file name of a tar without its ending; `None` for other files.
fn stem(path: &Path) -> Option<&str> {
    const ENDS: [&str; 6] = [".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst"];
    let name = path.file_name().and_then(OsStr::to_str)?;
    ENDS.iter().find_map(|end| name.strip_suffix(end))
}

/// Parts by the split that their file names tell: those to train on, those held out, and a sentence on what is neither. Where
/// not both splits are there, all are to train on.
pub(super) fn by_split<T>(
    parts: Vec<T>,
    path: impl Fn(&T) -> &Path,
) -> (Vec<T>, Option<Vec<T>>, Vec<String>) {
    let words: Vec<Option<&'static str>> = parts.iter().map(|part| split(path(part))).collect();
    let held_out = HELD_OUT.into_iter().find(|word| words.contains(&Some(word)));
    let Some(held_out) = held_out.filter(|_| words.contains(&Some(TRAIN))) else {
        return (parts, None, Vec::new());
    };
    let (mut train, mut test, mut left_aside) = (Vec::new(), Vec::new(), 0);
    for (part, word) in parts.into_iter().zip(words) {
        match word {
            Some(word) if word == TRAIN => train.push(part),
            Some(word) if word == held_out => test.push(part),
            _ => left_aside += 1,
        }
    }
    let note = format!("{left_aside} files that are neither {TRAIN} nor {held_out} left aside");
    (train, Some(test), if left_aside > 0 { vec![note] } else { Vec::new() })
}

/// The split that a file's name tells by one of its words.
fn split(path: &Path) -> Option<&'static str> {
    let name = path.file_name().and_then(OsStr::to_str)?;
    let mut words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.find_map(|word| std::iter::once(TRAIN).chain(HELD_OUT).find(|&known| known == word))
}
