//! A folder or an archive, listed: relative paths in byte order, and their bytes when asked.
//!
//! Listing opens no file of a folder and decodes nothing, so a million paths take seconds. Hidden files are skipped
//! (a dot before any component below the root). Bytes are read by path or by offset, without keeping files open.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::archive;
use crate::{Error, Result};

/// What is told while a folder or an archive is listed: how many files were found so far.
pub(super) type Progress<'a> = &'a mut dyn FnMut(usize);

/// A listed folder, archive, or single file.
pub(super) struct Tree {
    /// The folder, or the archive's file.
    pub(super) place: PathBuf,
    /// `folder`, `tar` or `file`, for sentences.
    pub(super) kind: &'static str,
    /// Sorted by the bytes of the path.
    pub(super) entries: Vec<Entry>,
}

/// One file of a [`Tree`].
pub(super) struct Entry {
    /// Relative to the tree's root.
    pub(super) path: PathBuf,
    /// Where its content is.
    pub(super) content: Content,
}

/// Where an entry's bytes are.
pub(super) enum Content {
    /// In the file `place/path`.
    File,
    /// In memory, from a compressed archive.
    Memory(Vec<u8>),
    /// In the file `place`, from an uncompressed archive.
    Span {
        /// First byte.
        start: u64,
        /// Number of bytes.
        length: u64,
    },
}

impl Tree {
    /// Lists what lies at `path`: a folder, a tar (also compressed), or one file.
    ///
    /// # Errors
    /// If there is nothing, or it cannot be read; the sentence names the path.
    pub(super) fn open(path: &Path, progress: Progress<'_>) -> Result<Self> {
        let found = std::fs::metadata(path).map_err(|error| Error::io(path, &error))?;
        let (kind, entries) = if found.is_dir() {
            ("folder", folder(path, progress)?)
        } else if let Some(entries) = archive::entries(path, progress)? {
            ("tar", entries)
        } else {
            let name = path.file_name().map(PathBuf::from).unwrap_or_default();
            let place = path.parent().map(Path::to_path_buf).unwrap_or_default();
            return Ok(Self {
                place,
                kind: "file",
                entries: vec![Entry { path: name, content: Content::File }],
            });
        };
        let mut entries: Vec<Entry> = entries.into_iter().filter(|entry| !is_hidden(&entry.path)).collect();
        entries.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
        Ok(Self { place: path.to_path_buf(), kind, entries })
    }

    /// Entry `index`'s relative path with `/` between components; what is not Unicode is replaced.
    pub(super) fn name(&self, index: usize) -> Cow<'_, str> {
        let name = self.entries[index].path.to_string_lossy();
        if std::path::MAIN_SEPARATOR == '/' {
            return name;
        }
        Cow::Owned(name.replace(std::path::MAIN_SEPARATOR, "/"))
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
            Content::File => {
                let path = self.place.join(&entry.path);
                Ok(std::fs::metadata(&path).map_err(|error| Error::io(&path, &error))?.len())
            }
        }
    }

    /// All bytes of entry `index`.
    ///
    /// # Errors
    /// If they cannot be read; the sentence names the entry.
    pub(super) fn read(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        let entry = &self.entries[index];
        match &entry.content {
            Content::Memory(bytes) => Ok(Cow::Borrowed(bytes)),
            Content::Span { length, .. } => Ok(Cow::Owned(self.read_at(index, 0, *length as usize)?)),
            Content::File => {
                let path = self.place.join(&entry.path);
                std::fs::read(&path)
                    .map(Cow::Owned)
                    .map_err(|error| Error::io(self.name(index).as_ref(), &error))
            }
        }
    }

    /// `length` bytes of entry `index`, from `offset` on.
    ///
    /// # Errors
    /// If there are fewer, or they cannot be read.
    pub(super) fn read_at(&self, index: usize, offset: u64, length: usize) -> Result<Vec<u8>> {
        let entry = &self.entries[index];
        let wrong = |error: std::io::Error| Error::io(self.name(index).as_ref(), &error);
        let (path, start) = match &entry.content {
            Content::Memory(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let part = from.checked_add(length).and_then(|end| bytes.get(from..end));
                return part
                    .map(<[u8]>::to_vec)
                    .ok_or_else(|| wrong(std::io::ErrorKind::UnexpectedEof.into()));
            }
            Content::Span { start, .. } => (self.place.clone(), *start),
            Content::File => (self.place.join(&entry.path), 0),
        };
        let mut file = File::open(&path).map_err(wrong)?;
        file.seek(SeekFrom::Start(start + offset)).map_err(wrong)?;
        let mut bytes = Vec::new();
        // `take` and not a buffer of `length`: a damaged archive may claim more than memory holds.
        file.take(length as u64).read_to_end(&mut bytes).map_err(wrong)?;
        if bytes.len() < length {
            return Err(wrong(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(bytes)
    }

    /// What there is, in words: `12 files, of them 9 .txt, 3 without extension`.
    pub(super) fn census(&self) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for entry in &self.entries {
            let extension = entry.path.extension().map_or_else(
                || "without extension".to_owned(),
                |extension| format!(".{}", extension.to_string_lossy().to_lowercase()),
            );
            *counts.entry(extension).or_default() += 1;
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let told: Vec<String> =
            counts.iter().take(4).map(|(extension, count)| format!("{count} {extension}")).collect();
        let more = if counts.len() > 4 { ", …" } else { "" };
        match self.entries.len() {
            0 => format!("the {} is empty", self.kind),
            1 => format!("1 file ({})", self.name(0)),
            files => format!("{files} files, of them {}{more}", told.join(", ")),
        }
    }
}

/// Every file below a folder; links are followed.
fn folder(root: &Path, progress: Progress<'_>) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let visible = |entry: &walkdir::DirEntry| entry.depth() == 0 || !starts_with_dot(entry.file_name());
    for entry in WalkDir::new(root).follow_links(true).into_iter().filter_entry(visible) {
        let entry = entry.map_err(|error| unlisted(root, &error))?;
        if entry.file_type().is_file() {
            let path = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_path_buf();
            entries.push(Entry { path, content: Content::File });
            progress(entries.len());
        }
    }
    Ok(entries)
}

fn unlisted(root: &Path, error: &walkdir::Error) -> Error {
    let path = error.path().unwrap_or(root);
    match (error.loop_ancestor(), error.io_error()) {
        (Some(ancestor), _) => {
            Error::input(format!("{}: a link that leads back to {}", path.display(), ancestor.display()))
        }
        (None, Some(error)) => Error::io(path, error),
        (None, None) => Error::input(format!("{}: cannot be listed", path.display())),
    }
}

fn is_hidden(path: &Path) -> bool {
    path.components().any(|component| starts_with_dot(component.as_os_str()))
}

fn starts_with_dot(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}
