//! Unpacking a fetched archive: beside its place, and renamed when all of it is on the disk, so that a folder of the
//! final name is a whole one. What a dead process left is begun anew.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{archive, megabytes};
use crate::progress::Progress;
use crate::{Error, Result, atomic, interrupt};

/// Unpacks the plain files of the archive `packed` as the folder `folder`; the one folder that holds them all, if there
/// is one, is left out.
///
/// # Errors
/// If the archive is damaged, the disk refuses, or the user interrupts; then nothing is left.
pub(super) fn unpack(packed: &Path, folder: &Path, quiet: bool) -> Result<()> {
    let beside = beside(folder);
    let clear = || match fs::remove_dir_all(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(&beside, &error)),
        _ => Ok(()),
    };
    clear()?;
    let unpacked = fill(packed, &beside, quiet).and_then(|()| {
        let root = only_folder(&beside).unwrap_or_else(|| beside.clone());
        atomic::rename(&root, folder)
    });
    // Also what is left of it after the renaming of the folder within.
    let cleared = clear();
    unpacked.and(cleared)
}

/// The hidden folder that is filled: hidden files are no data.
fn beside(folder: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(folder.file_name().unwrap_or_default());
    name.push(".unpacking");
    folder.with_file_name(name)
}

fn fill(packed: &Path, beside: &Path, quiet: bool) -> Result<()> {
    let file = File::open(packed).map_err(|error| Error::io(packed, &error))?;
    let total = file.metadata().map_err(|error| Error::io(packed, &error))?.len();
    let progress = Progress::new("unpacking", "bytes", 0, total, quiet);
    // A failure to write is told of the file that is written, one to read of the archive.
    let mut unwritten = None;
    let read = archive::each(Watched { file, progress }, |name, length, content| {
        let path = beside.join(name);
        let written = write(&path, length, content)?;
        written.inspect_err(|error| unwritten = Some(Error::io(&path, error)))
    });
    if interrupt::asked() {
        return Err(Error::interrupted(format!(
            "{}: interrupted while unpacking; the same command begins that anew",
            packed.display()
        )));
    }
    match (read, unwritten) {
        (_, Some(error)) => Err(error),
        (Err(error), None) => Err(archive::damaged(packed, &error)),
        (Ok(()), None) if !beside.is_dir() => Err(Error::input(format!(
            "{}: the archive ({}) has no files",
            packed.display(),
            megabytes(total)
        ))),
        (Ok(()), None) => Ok(()),
    }
}

/// Writes one file and flushes it to the disk. The outer error is the reader's, the inner one the disk's.
fn write(path: &Path, length: u64, content: &mut dyn Read) -> io::Result<io::Result<()>> {
    let folder = path.parent().unwrap_or(path);
    let created = fs::create_dir_all(folder).and_then(|()| File::create(path));
    let mut file = match created {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    let mut buffer = vec![0; 1 << 16];
    let mut written = 0;
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        if let Err(error) = io::Write::write_all(&mut file, &buffer[..read]) {
            return Ok(Err(error));
        }
        written += read as u64;
    }
    if written != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(file.sync_all().and_then(|()| atomic::sync_folder(folder)))
}

/// The folder that is all that `folder` holds.
fn only_folder(folder: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(folder).ok()?.flatten();
    let only = entries.next()?.path();
    (entries.next().is_none() && only.is_dir()).then_some(only)
}

/// The archive's file: shows how much was read, and stops when the user interrupts.
struct Watched {
    file: File,
    progress: Progress,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if interrupt::asked() {
            return Err(io::Error::other("interrupted"));
        }
        let read = self.file.read(buffer)?;
        self.progress.advance(read as u64, String::new);
        Ok(read)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.progress.finish();
    }
}
