//! Files that are whole or not there: written beside their place, flushed to the disk, and renamed.
//!
//! A reader sees the old bytes or the new ones, and a full disk or a power cut loses nothing that was there. A file that is being
//! written is locked by its process, so that the next one that writes in its folder can tell what a killed process left, and
//! removes that. Only a plain file is replaced, with the mode that it had; a new one has what the umask leaves.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, Permissions, TryLockError};
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
    match std::fs::remove_file(&second.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io(beside, &error)),
        _ => {}
    }
    first.finish()?;
    second.finish()
}

/// Where the file `path` is written: there, or where a link leads that is there.
///
/// # Errors
/// If no file can come there: its name is too long or a folder's, or what is there is a folder, a device, a pipe, a link to nothing.
pub fn place(path: &Path) -> Result<PathBuf> {
    let refused = |what: &str| Err(Error::input(what).at(path.display()));
    if path.to_string_lossy().ends_with(std::path::is_separator) {
        return refused("is the name of a folder; a file's is expected");
    }
    match path.metadata() {
        Ok(found) if found.is_dir() => refused("is a folder; choose another name"),
        Ok(found) if !found.is_file() => refused("not a plain file; choose another output"),
        Ok(_) if path.is_symlink() => path.canonicalize().map_err(|error| Error::io(path, &error)),
        Err(_) if path.is_symlink() => refused("is a link that leads to no file; choose another name"),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path, &error)),
        _ => Ok(path.to_owned()),
    }
}

/// A file that is being written beside its place; dropped before it is whole, it is gone.
pub struct Unfinished {
    beside: NamedTempFile,
    path: PathBuf,
    /// Of the file that was there.
    permissions: Option<Permissions>,
}

impl Unfinished {
    /// Begins the file `path`.
    ///
    /// # Errors
    /// If its folder cannot be written to, or as [`place`].
    pub fn new(path: &Path) -> Result<Self> {
        let path = place(path)?;
        let permissions = path.metadata().ok().map(|found| found.permissions());
        clear_once(folder(&path));
        loop {
            let beside = beside(&path, permissions.as_ref()).map_err(|error| Error::io(&path, &error))?;
            // Until it is locked, another process may take it for left behind.
            let is_mine = match cfg!(unix).then(|| beside.as_file().try_lock()) {
                Some(Ok(())) => beside.path().exists(),
                Some(Err(TryLockError::WouldBlock)) => false,
                // A file system without locks: nobody can tell there what is left behind, so nobody removes anything.
                Some(Err(TryLockError::Error(_))) | None => true,
            };
            if is_mine {
                return Ok(Self { beside, path, permissions });
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
        let Self { beside, path, permissions } = self;
        let whole = || -> io::Result<()> {
            beside.as_file().sync_all()?;
            if let Some(permissions) = permissions.filter(|_| cfg!(unix)) {
                beside.as_file().set_permissions(permissions)?;
            }
            beside.persist(&path).map_err(|error| error.error)?;
            sync_folder(folder(&path))
        };
        whole().map_err(|error| Error::io(&path, &error))
    }
}

/// A file beside `path`, which nobody may read who may not read the one that is there.
fn beside(path: &Path, permissions: Option<&Permissions>) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(BESIDE);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The kernel takes the umask from it.
        let mode = permissions.map_or(0o666, |permissions| permissions.mode() & 0o666 | 0o600);
        builder.permissions(Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = permissions;
    builder.tempfile_in(folder(path))
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

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_replaced_keeps_its_mode_and_a_link_its_target() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a"), folder.path().join("link"));
        symlink("a", &link).unwrap();
        let mode = || file.metadata().unwrap().permissions().mode() & 0o7777;
        for wanted in [0o600, 0o640, 0o664, 0o444, 0o755] {
            std::fs::write(&file, "old").unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(wanted)).unwrap();
            write_bytes(&link, b"new").unwrap();
            assert_eq!((mode(), std::fs::read(&file).unwrap()), (wanted, b"new".to_vec()));
            assert!(link.is_symlink());
            std::fs::remove_file(&file).unwrap();
        }
        for (path, write) in [(&file, 0o640), (&folder.path().join("b"), 0o604)] {
            std::fs::write(path, "old").unwrap();
            std::fs::set_permissions(path, Permissions::from_mode(write)).unwrap();
        }
        let beside = folder.path().join("b");
        write_both(&link, |_| Ok(()), &beside, |_| Ok(())).unwrap();
        assert_eq!((mode(), beside.metadata().unwrap().permissions().mode() & 0o7777), (0o640, 0o604));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_plain_file_is_left_alone() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let _socket = std::os::unix::net::UnixListener::bind(here.join("socket")).unwrap();
        std::fs::create_dir(here.join("folder")).unwrap();
        std::fs::write(here.join("file"), "old").unwrap();
        for (link, to) in
            [("to-socket", "socket"), ("to-folder", "folder"), ("to-none", "none"), ("loop", "loop")]
        {
            symlink(to, here.join(link)).unwrap();
        }
        let before = names(here);
        let long = "x".repeat(256);
        for (name, why) in [
            ("socket", "socket: not a plain file; choose another output"),
            ("to-socket", "to-socket: not a plain file"),
            ("folder", "folder: is a folder"),
            ("folder/", "is the name of a folder"),
            ("none/", "is the name of a folder"),
            ("to-folder", "to-folder: is a folder"),
            ("to-none", "is a link that leads to no file"),
            ("loop", "is a link that leads to no file"),
            ("file/a", "file: is a file; a folder is expected"),
            (&long, "the name is too long"),
        ] {
            let error = write_bytes(&here.join(name), b"new").unwrap_err().to_string();
            assert!(error.contains(why), "{name}: {error}");
            assert_eq!(names(here), before, "{name}");
        }
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
