//! A listed folder, archive or single file: relative paths in byte order, and their bytes when asked for.
//!
//! Hidden files are skipped (a dot before any component below the root). Bytes are read by path or by offset, without
//! keeping files open, and never more of them than the caller expects.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::member::Zipped;
use crate::{Error, Result, names};

/// What is told while a folder or an archive is listed: how many files were found so far.
pub(super) type Progress<'a> = &'a mut dyn FnMut(usize);

/// A listed folder, archive, or single file.
pub(super) struct Tree {
    /// The folder, or the archive's file.
    pub(super) place: PathBuf,
    /// `folder`, `tar`, `zip`, `shards` or `file`, for sentences.
    pub(super) kind: &'static str,
    /// The archives that hold the entries, if any do.
    pub(super) archives: Vec<PathBuf>,
    /// Sorted by the bytes of the path.
    pub(super) entries: Vec<Entry>,
    /// What was left aside, in sentences.
    pub(super) notes: Vec<String>,
}

/// One file of a [`Tree`].
pub(super) struct Entry {
    /// Relative to the tree's root.
    pub(super) path: PathBuf,
    /// How many components of the path name a shard, before those of the file in it.
    pub(super) shard: usize,
    /// Where its content is.
    pub(super) content: Content,
}

impl Entry {
    /// A file that is in no shard.
    pub(super) fn new(path: PathBuf, content: Content) -> Self {
        Self { path, shard: 0, content }
    }
}

/// Where an entry's bytes are.
pub(super) enum Content {
    /// In the file `place/path`.
    File,
    /// In memory, from a compressed archive.
    Memory(Vec<u8>),
    /// In an uncompressed tar.
    Span {
        /// Which of the tree's archives.
        archive: u32,
        /// First byte.
        start: u64,
        /// Number of bytes.
        length: u64,
    },
    /// In the file `place`, a zip.
    Zipped(Box<Zipped>),
}

/// What a listing finds and does not take: how much, and the first few with the reason.
#[derive(Default)]
pub(super) struct LeftAside {
    count: usize,
    first: Vec<String>,
}

impl LeftAside {
    /// Notes one.
    pub(super) fn add(&mut self, path: &Path, why: &str) {
        self.count += 1;
        if self.first.len() < 3 {
            self.first.push(format!("{} ({why})", readable(path)));
        }
    }

    /// In words: `2 left aside: a (reason), b (reason)`; `None` if nothing was.
    pub(super) fn told(&self) -> Option<String> {
        let more = if self.count > self.first.len() { ", …" } else { "" };
        (self.count > 0).then(|| format!("{} left aside: {}{more}", self.count, self.first.join(", ")))
    }
}

impl Tree {
    /// The tree of these files: visible ones, in the order of their paths.
    pub(super) fn new(
        place: &Path,
        kind: &'static str,
        mut entries: Vec<Entry>,
        left_aside: &LeftAside,
    ) -> Self {
        entries.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
        let notes = left_aside.told().into_iter().collect();
        Self { place: place.to_path_buf(), kind, archives: Vec::new(), entries, notes }
    }

    /// Entry `index`'s relative path with `/` between components; bytes that are not Unicode as `\xff`, so that two
    /// files never have one name.
    pub(super) fn name(&self, index: usize) -> Cow<'_, str> {
        readable(&self.entries[index].path)
    }

    /// The tree's archive `index`.
    fn archive(&self, index: u32) -> &Path {
        &self.archives[index as usize]
    }

    /// Where entry `index` is, for sentences.
    pub(super) fn whereabouts(&self, index: usize) -> String {
        self.place.join(&self.entries[index].path).display().to_string()
    }

    /// How many bytes entry `index` has.
    ///
    /// # Errors
    /// If its file is gone.
    pub(super) fn length(&self, index: usize) -> Result<u64> {
        let entry = &self.entries[index];
        match &entry.content {
            Content::Memory(bytes) => Ok(bytes.len() as u64),
            Content::Span { length, .. } => Ok(*length),
            Content::Zipped(zipped) => Ok(zipped.length()),
            Content::File => {
                let found = std::fs::metadata(self.place.join(&entry.path));
                Ok(found.map_err(|error| Error::io(self.name(index).as_ref(), &error))?.len())
            }
        }
    }

    /// All bytes of entry `index`, if they are at most `most`.
    ///
    /// # Errors
    /// If they are more, or cannot be read; the sentence names the entry.
    pub(super) fn read(&self, index: usize, most: u64) -> Result<Cow<'_, [u8]>> {
        if let Content::Memory(bytes) = &self.entries[index].content {
            return Ok(Cow::Borrowed(bytes));
        }
        if self.length(index)? > most {
            let limit = format!("the file is larger than {} MiB", most >> 20);
            return Err(Error::input(limit).at(self.name(index)));
        }
        let mut bytes = Vec::new();
        let mut content = self.reader(index)?.take(most);
        content.read_to_end(&mut bytes).map_err(|error| Error::io(self.name(index).as_ref(), &error))?;
        Ok(Cow::Owned(bytes))
    }

    /// The bytes of entry `index`, one after another.
    ///
    /// # Errors
    /// If its file cannot be opened; the sentence names the entry.
    pub(super) fn reader(&self, index: usize) -> Result<Box<dyn Read + '_>> {
        let entry = &self.entries[index];
        let open = || -> io::Result<Box<dyn Read + '_>> {
            Ok(match &entry.content {
                Content::Memory(bytes) => Box::new(Cursor::new(bytes)),
                Content::Span { archive, start, length } => {
                    let mut file = File::open(self.archive(*archive))?;
                    file.seek(SeekFrom::Start(*start))?;
                    Box::new(file.take(*length))
                }
                Content::Zipped(zipped) => Box::new(zipped.reader(&self.place)?),
                Content::File => Box::new(File::open(self.place.join(&entry.path))?),
            })
        };
        open().map_err(|error| Error::io(self.name(index).as_ref(), &error))
    }

    /// `length` bytes of entry `index`, from `offset` on.
    ///
    /// # Errors
    /// If there are fewer, or they cannot be read.
    pub(super) fn read_at(&self, index: usize, offset: u64, length: usize) -> Result<Vec<u8>> {
        let entry = &self.entries[index];
        let wrong = |error: io::Error| Error::io(self.name(index).as_ref(), &error);
        let part_of = |bytes: &[u8]| {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let part = from.checked_add(length).and_then(|end| bytes.get(from..end));
            part.map(<[u8]>::to_vec).ok_or_else(|| wrong(io::ErrorKind::UnexpectedEof.into()))
        };
        let (path, start) = match &entry.content {
            Content::Memory(bytes) => return part_of(bytes),
            Content::Zipped(zipped) => return part_of(zipped.whole(&self.place).map_err(wrong)?),
            Content::Span { archive, start, .. } => (self.archive(*archive).to_path_buf(), *start),
            Content::File => (self.place.join(&entry.path), 0),
        };
        let mut file = File::open(&path).map_err(wrong)?;
        file.seek(SeekFrom::Start(start.saturating_add(offset))).map_err(wrong)?;
        let mut bytes = Vec::new();
        // `take` and not a buffer of `length`: a damaged archive may claim more than memory holds.
        file.take(length as u64).read_to_end(&mut bytes).map_err(wrong)?;
        if bytes.len() < length {
            return Err(wrong(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(bytes)
    }

    /// What there is, in words: `12 files, of them 9 .txt, 3 without extension`.
    pub(super) fn census(&self) -> String {
        let found = match self.entries.len() {
            0 if self.notes.is_empty() => format!("the {} is empty", self.kind),
            0 => "no file".to_owned(),
            1 => format!("1 file ({})", self.name(0)),
            files => format!("{files} files, of them {}", self.kinds(0..files)),
        };
        [&[found], &self.notes[..]].concat().join("; ")
    }

    /// How many of these entries have which extension, the most frequent first: `9 .txt, 3 without extension`.
    pub(super) fn kinds(&self, entries: impl IntoIterator<Item = usize>) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for entry in entries {
            let extension = self.entries[entry].path.extension().map_or_else(
                || "without extension".to_owned(),
                |extension| format!(".{}", extension.to_string_lossy().to_lowercase()),
            );
            *counts.entry(extension).or_default() += 1;
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let told: Vec<String> =
            counts.iter().take(4).map(|(extension, count)| format!("{count} {extension}")).collect();
        told.join(", ") + if counts.len() > 4 { ", …" } else { "" }
    }
}

/// A relative path for people: `/` between components, bytes that are not Unicode as `\xff`.
fn readable(path: &Path) -> Cow<'_, str> {
    let name = names::readable(path.as_os_str().as_encoded_bytes());
    if std::path::MAIN_SEPARATOR == '/' {
        return name;
    }
    Cow::Owned(name.replace(std::path::MAIN_SEPARATOR, "/"))
}

/// Whether any component of a relative path begins with a dot.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.components().any(|component| component.as_os_str().as_encoded_bytes().starts_with(b"."))
}
