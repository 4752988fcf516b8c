//! Files that are whole or not there: written beside their place, flushed to the disk, and renamed.
//!
//! A reader sees the old bytes or the new ones, and a full disk or a power cut loses nothing that was there.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{Error, Result};

/// How the name of a file begins until it is whole.
const BESIDE: &str = ".riesz-unfinished-";

/// Writes these bytes as the file `path`.
///
/// # Errors
/// If they cannot be written; the file that was there before is untouched.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, |file| file.write_all(bytes))
}

/// Writes the file `path` by `fill`.
///
/// # Errors
/// If it cannot be written; the file that was there before is untouched.
pub fn write(path: &Path, fill: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>) -> Result<()> {
    replace(path, |beside| {
        let mut buffered = BufWriter::with_capacity(1 << 20, beside.as_file_mut());
        fill(&mut buffered)?;
        buffered.flush()
    })
}

/// Writes the file `path` by a function that wants a path to write to.
///
/// # Errors
/// If it cannot be written; the file that was there before is untouched.
pub fn write_by_path(path: &Path, fill: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    replace(path, |beside| fill(beside.path()))
}

fn replace(path: &Path, fill: impl FnOnce(&mut NamedTempFile) -> io::Result<()>) -> Result<()> {
    let mut unfinished = Unfinished::new(path)?;
    fill(&mut unfinished.beside).map_err(|error| Error::io(path, &error))?;
    unfinished.finish()
}

/// A file that is being written beside its place; dropped before it is whole, it is gone.
pub struct Unfinished {
    beside: NamedTempFile,
    path: PathBuf,
}

impl Unfinished {
    /// Begins the file `path`.
    ///
    /// # Errors
    /// If its folder cannot be written to.
    pub fn new(path: &Path) -> Result<Self> {
        let beside = tempfile::Builder::new().prefix(BESIDE).tempfile_in(folder(path));
        Ok(Self { beside: beside.map_err(|error| Error::io(path, &error))?, path: path.to_owned() })
    }

    /// The file to write to; all its handles write in one place after another.
    ///
    /// # Errors
    /// If the system has no more handles.
    pub fn file(&self) -> Result<File> {
        self.beside.as_file().try_clone().map_err(|error| Error::io(&self.path, &error))
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// If the disk refuses; the file that was there before is untouched.
    pub fn finish(self) -> Result<()> {
        let Self { beside, path } = self;
        let whole = || -> io::Result<()> {
            beside.as_file().sync_all()?;
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                beside.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
            }
            beside.persist(&path).map_err(|error| error.error)?;
            sync_folder(folder(&path))
        };
        whole().map_err(|error| Error::io(&path, &error))
    }
}

/// Renames a file within its folder, so that the new name survives a power cut.
///
/// # Errors
/// If the disk refuses.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).and_then(|()| sync_folder(folder(to))).map_err(|error| Error::io(from, &error))
}

/// Flushes the folder of `path` to the disk, so that the file's name survives a power cut.
///
/// # Errors
/// If the disk refuses.
pub fn sync_parent(path: &Path) -> Result<()> {
    sync_folder(folder(path)).map_err(|error| Error::io(path, &error))
}

/// Removes what killed processes left half written in a folder that no other process writes to now.
///
/// # Errors
/// If the folder cannot be read or a file cannot be removed.
pub fn remove_leftovers(folder: &Path) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| Error::io(folder, &error))?.path();
        if is_leftover(&path) {
            std::fs::remove_file(&path).map_err(|error| Error::io(&path, &error))?;
        }
    }
    Ok(())
}

/// Whether this is a file that was being written when a process was killed.
pub fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().map(std::ffi::OsStr::as_encoded_bytes).unwrap_or_default();
    name.starts_with(BESIDE.as_bytes()) && path.is_file()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A renamed file is found after a power cut only if its folder was flushed too; where folders cannot be opened as
/// files (Windows), the file system does that by itself.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
