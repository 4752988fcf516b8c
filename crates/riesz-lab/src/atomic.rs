//! Files that are whole or not there: written beside their place, flushed to the disk, and renamed.
//!
//! A reader sees the old bytes or the new ones, and a full disk or a power cut loses nothing that was there. A file that is being
//! written is locked by its process, so that the next one that writes in its folder can tell what a killed process left, and
//! removes that.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

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
    Unfinished::filled(path, fill)?.finish()
}

/// Writes the file `path`, and the file `beside` that tells of it: a reader never finds one with another's other, because an older
/// `beside` is gone before the new `path` is there.
///
/// # Errors
/// If one cannot be written; if it is found out before both are on the disk, the files that were there before are untouched.
pub fn write_both(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
    beside: &Path,
    fill_beside: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> Result<()> {
    let first = Unfinished::filled(path, fill)?;
    let second = Unfinished::filled(beside, fill_beside)?;
    first.sync()?;
    second.sync()?;
    match std::fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io(beside, &error)),
        _ => {}
    }
    first.finish()?;
    second.finish()
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
        clear_once(folder(path));
        loop {
            let beside = tempfile::Builder::new().prefix(BESIDE).tempfile_in(folder(path));
            let beside = beside.map_err(|error| Error::io(path, &error))?;
            // Until it is locked, another process may take it for left behind.
            let is_mine = match cfg!(unix).then(|| beside.as_file().try_lock()) {
                Some(Ok(())) => beside.path().exists(),
                Some(Err(TryLockError::WouldBlock)) => false,
                // A file system without locks: nobody can tell there what is left behind, so nobody removes anything.
                Some(Err(TryLockError::Error(_))) | None => true,
            };
            if is_mine {
                return Ok(Self { beside, path: path.to_owned() });
            }
        }
    }

    /// Begins the file `path` and writes all of it.
    fn filled(path: &Path, fill: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>) -> Result<Self> {
        let mut unfinished = Self::new(path)?;
        let mut buffered = BufWriter::with_capacity(1 << 20, unfinished.beside.as_file_mut());
        let filled = fill(&mut buffered).and_then(|()| buffered.flush());
        drop(buffered);
        filled.map_err(|error| Error::io(path, &error))?;
        Ok(unfinished)
    }

    /// Flushes it to the disk, without its name.
    fn sync(&self) -> Result<()> {
        self.beside.as_file().sync_all().map_err(|error| Error::io(&self.path, &error))
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

/// Removes what killed processes left half written in a folder, the first time that this process writes there.
fn clear_once(folder: &Path) {
    static CLEARED: LazyLock<Mutex<BTreeSet<PathBuf>>> = LazyLock::new(Mutex::default);
    if CLEARED.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned()) {
        remove_leftovers(folder);
    }
}

/// Removes what killed processes left half written in a folder: files that no process holds the lock of. What cannot be removed harms
/// nobody, as it has no name that is read.
pub fn remove_leftovers(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if cfg!(unix)
            && is_leftover(&path)
            && let Ok(file) = OpenOptions::new().write(true).open(&path)
            && file.try_lock().is_ok()
        {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Whether this is a file that is being written, or was when a process was killed.
pub fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().map(std::ffi::OsStr::as_encoded_bytes).unwrap_or_default();
    name.starts_with(BESIDE.as_bytes())
}

pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A renamed file is found after a power cut only if its folder was flushed too; where folders cannot be opened as
/// files (Windows), the file system does that by itself.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[cfg(unix)]
    #[test]
    fn what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let living = Unfinished::new(&here.join("a")).unwrap();
        let name = living.beside.path().file_name().unwrap().to_str().unwrap().to_owned();
        std::fs::write(here.join(".riesz-unfinished-dead"), "half").unwrap();
        std::fs::create_dir(here.join(".riesz-unfinished-folder")).unwrap();
        std::fs::write(here.join(".riesz-other"), "not ours").unwrap();
        remove_leftovers(here);
        let mut kept = [".riesz-other", ".riesz-unfinished-folder", &name];
        kept.sort_unstable();
        assert_eq!(names(here), kept);
        living.finish().unwrap();
        assert_eq!(names(here), [".riesz-other", ".riesz-unfinished-folder", "a"]);
    }

    #[cfg(unix)]
    #[test]
    fn the_first_file_of_a_folder_clears_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".riesz-unfinished-dead"), "half").unwrap();
        write_bytes(&folder.path().join("a"), b"whole").unwrap();
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn two_files_that_belong_together_are_never_of_two() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let write = |text: &'static str| {
            write_both(&a, |file| file.write_all(text.as_bytes()), &b, |file| file.write_all(text.as_bytes()))
        };
        write("one").unwrap();
        write("two").unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!((read(&a), read(&b)), ("two".to_owned(), "two".to_owned()));
        // If one cannot be written, the other is as it was.
        let failed = write_both(&a, |file| file.write_all(b"three"), &b, |_| Err(io::Error::other("full")));
        assert!(failed.unwrap_err().to_string().contains("full"));
        assert_eq!((read(&a), read(&b), names(folder.path()).len()), ("two".to_owned(), "two".to_owned(), 2));
    }
}
