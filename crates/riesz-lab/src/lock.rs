//! One process at a time in a folder: the file `lock` in it is locked by who works there, and says who.
//!
//! The system lets go of a lock when its process ends in any way, so that neither a lock of a killed process nor what the file
//! says of it holds anybody up.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::{Error, Result};

/// The file's name.
pub const LOCK: &str = "lock";

/// A folder in which no other process works as long as this value lives.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not looked at")] File);

impl Lock {
    /// Takes the lock of the folder `root`; `None` where the file system has no locks. `what` names the folder in a sentence.
    ///
    /// # Errors
    /// If another process holds it, or the disk refuses.
    pub fn take(root: &Path, what: &str) -> Result<Option<Self>> {
        let path = root.join(LOCK);
        let io = |error: &io::Error| Error::io(&path, error);
        if path.is_dir() {
            return Err(Error::input(format!(
                "{}: is a folder, and no lock can be there; move it away",
                path.display()
            )));
        }
        // Not truncated: until it is locked, it says who holds it.
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let mut file = options.open(&path).map_err(|error| io(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::busy(format!(
                    "{}: another process{} is working in this {what}; wait until it ends, or choose another folder",
                    root.display(),
                    holder(&mut file)
                )));
            }
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok(None);
            }
            Err(TryLockError::Error(error)) => return Err(io(&error)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "process {}", std::process::id()))
            .map_err(|error| io(&error))?;
        Ok(Some(Self(file)))
    }
}

/// ` (process 123)`, if the file says so. Where a lock also hides the content, and where it is none of ours, the holder stays
/// unnamed.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.take(64).read_to_string(&mut text);
    match text.trim().strip_prefix("process ").map(str::parse::<u32>) {
        Some(Ok(number)) => format!(" (process {number})"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_and_its_content_holds_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        // Of a process that was killed and whose number another has now; of another machine; of nobody.
        for stale in [format!("process {}\n", std::process::id()), "host-7 12".to_owned(), String::new()] {
            std::fs::write(here.join(LOCK), stale).unwrap();
            let held = Lock::take(here, "run folder").unwrap().unwrap();
            let told = Lock::take(here, "run folder").unwrap_err();
            assert!(told.is_busy());
            let mine = format!(
                "another process (process {}) is working in this run folder; wait",
                std::process::id()
            );
            assert!(told.to_string().contains(&mine), "{told}");
            drop(held);
        }
        std::fs::write(here.join(LOCK), [0xff; 100_000]).unwrap();
        let held = Lock::take(here, "run folder").unwrap();
        std::fs::write(here.join(LOCK), [b'x'; 100_000]).unwrap();
        let told = Lock::take(here, "run folder").unwrap_err().to_string();
        assert!(told.contains(": another process is working"), "{told}");
        drop(held);
        std::fs::remove_file(here.join(LOCK)).unwrap();
        std::fs::create_dir(here.join(LOCK)).unwrap();
        let told = Lock::take(here, "run folder").unwrap_err().to_string();
        assert!(told.contains("is a folder") && told.ends_with("move it away"), "{told}");
    }
}
