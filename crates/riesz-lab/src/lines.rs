//! A file of lines of JSON that a run appends to, and that a checkpoint knows the length and the checksum of.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::hexadecimal::hexadecimal;
use crate::{Error, Result, atomic};

/// How far a file of lines was written, and what was in it, when a checkpoint was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Bytes.
    pub length: u64,
    /// SHA-256 of these bytes, in hexadecimal digits.
    pub sha256: String,
}

/// A file of lines that is appended to, a line at a time.
pub struct Lines {
    path: PathBuf,
    file: File,
    length: u64,
    hash: Sha256,
}

/// What [`Lines::at`] finds.
pub enum Found {
    /// The file has what the mark knows of; what came after is cut off.
    Fits(Lines),
    /// It does not, for this reason; nothing was changed.
    Unfit(String),
}

impl Lines {
    /// Opens `path` empty, whatever was in it.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn anew(path: &Path) -> Result<Self> {
        let file = open(path)?;
        let io = |error| Error::io(path, &error);
        file.set_len(0).map_err(io)?;
        // The name, too, survives a power cut.
        file.sync_all().map_err(io)?;
        atomic::sync_parent(path)?;
        Ok(Self { path: path.to_owned(), file, length: 0, hash: Sha256::new() })
    }

    /// Opens `path` and cuts it back to `mark`, if it holds what the mark knows of.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn at(path: &Path, mark: &Mark) -> Result<Found> {
        let place = path.display();
        let mut file = open(path)?;
        let io = |error| Error::io(path, &error);
        let length = file.metadata().map_err(io)?.len();
        if length < mark.length {
            return Ok(Found::Unfit(format!(
                "{place} has {length} bytes, and the checkpoint was written after {}",
                mark.length
            )));
        }
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        let mut hash = Sha256::new();
        let mut reader = BufReader::with_capacity(1 << 20, &mut file).take(mark.length);
        std::io::copy(&mut reader, &mut Hashed(&mut hash)).map_err(io)?;
        if hexadecimal(&hash.clone().finalize()) != mark.sha256 {
            return Ok(Found::Unfit(format!(
                "the first {} bytes of {place} are not those that the checkpoint was written after",
                mark.length
            )));
        }
        file.set_len(mark.length).map_err(io)?;
        Ok(Found::Fits(Self { path: path.to_owned(), file, length: mark.length, hash }))
    }

    /// Appends one line of JSON.
    ///
    /// # Errors
    /// If it cannot be written; then the file is cut back to its last whole line.
    pub fn append(&mut self, line: &impl Serialize) -> Result<()> {
        let text = self::line(line)?;
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            // A half-written line would make the log unreadable; if even this fails, reading says which line is bad.
            let _ = self.file.set_len(self.length);
            return Err(Error::io(&self.path, &error));
        }
        self.length += text.len() as u64;
        self.hash.update(text.as_bytes());
        Ok(())
    }

    /// Flushes all lines to the disk, and tells what a checkpoint may now count on.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn mark(&self) -> Result<Mark> {
        self.file.sync_all().map_err(|error| Error::io(&self.path, &error))?;
        Ok(Mark { length: self.length, sha256: hexadecimal(&self.hash.clone().finalize()) })
    }
}

/// For appending and reading.
fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(path)
        .map_err(|error| Error::io(path, &error))
}

/// Appends one line to a file, and flushes it to the disk.
///
/// # Errors
/// If the disk refuses.
pub fn append(path: &Path, line: &impl Serialize) -> Result<()> {
    let text = self::line(line)?;
    let whole = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    whole().map_err(|error| Error::io(path, &error))
}

/// All lines of a file; none if there is no file.
///
/// # Errors
/// If a line is not one of JSON that says a `T`; the sentence says which.
pub fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>> {
    let mut values = Vec::new();
    for (number, line) in whole_lines(path)?.into_iter().enumerate() {
        let value = serde_json::from_slice(&line).map_err(|error| {
            Error::input(format!("{}: line {} is not an event ({error})", path.display(), number + 1))
        })?;
        values.push(value);
    }
    Ok(values)
}

/// The lines of a file that say a `T`; others are passed over.
///
/// # Errors
/// If the disk refuses.
pub fn read_sound<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>> {
    Ok(whole_lines(path)?.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// The last line of a file, if there is one and it says a `T`.
///
/// # Errors
/// If the disk refuses.
pub fn read_last<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>> {
    Ok(whole_lines(path)?.last().and_then(|line| serde_json::from_slice(line).ok()))
}

/// The last line of a file and those before it, back to the first of which `enough` is true: newest first, and no more of the file
/// is read than that takes.
///
/// # Errors
/// If the disk refuses, or a line is no `T`.
pub fn read_back<T: for<'a> Deserialize<'a>>(path: &Path, enough: impl Fn(&T) -> bool) -> Result<Vec<T>> {
    let io = |error| Error::io(path, &error);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let length = file.metadata().map_err(io)?.len();
    let mut window = 4096;
    loop {
        let from = length.saturating_sub(window);
        file.seek(SeekFrom::Start(from)).map_err(io)?;
        let mut bytes = Vec::new();
        (&mut file).take(length - from).read_to_end(&mut bytes).map_err(io)?;
        let mut lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
        // What follows the last end is empty, or was being written when the program was killed.
        lines.pop();
        if from > 0 && !lines.is_empty() {
            // The window may begin within a line.
            lines.remove(0);
        }
        let mut found = Vec::new();
        for line in lines.iter().rev() {
            let value = serde_json::from_slice(line).map_err(|error| {
                Error::input(format!("{}: line {} from its end: {error}", path.display(), found.len() + 1))
            })?;
            let is_enough = enough(&value);
            found.push(value);
            if is_enough {
                return Ok(found);
            }
        }
        if from == 0 {
            return Ok(found);
        }
        window *= 4;
    }
}

/// A last line without its end was being written when the program was killed, and is left out.
fn whole_lines(path: &Path) -> Result<Vec<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(path, &error)),
    };
    let mut reader = BufReader::new(file);
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).map_err(|error| Error::io(path, &error))?;
        if line.pop() != Some(b'\n') {
            return Ok(lines);
        }
        lines.push(line);
    }
}

/// A line of JSON, with its end.
///
/// # Errors
/// If the value cannot be said in JSON.
pub fn line(value: &impl Serialize) -> Result<String> {
    let mut text = serde_json::to_string(value).map_err(|error| Error::input(error.to_string()))?;
    text.push('\n');
    Ok(text)
}

/// Bytes on their way into a checksum.
struct Hashed<'a>(&'a mut Sha256);

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_back_as_far_as_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        assert_eq!(read_back::<u32>(&path, |_| false).unwrap(), Vec::<u32>::new());
        let text: String = (0..20_000).map(|i| format!("{i}\n")).collect();
        std::fs::write(&path, format!("{text}1999")).unwrap();
        for last in [19_999, 19_998, 19_000, 15_000, 1, 0] {
            let expected: Vec<u32> = (last..20_000).rev().collect();
            assert_eq!(read_back(&path, |&value: &u32| value == last).unwrap(), expected);
        }
        assert_eq!(read_back::<u32>(&path, |_| false).unwrap().len(), 20_000);
        std::fs::write(&path, format!("x\n{text}")).unwrap();
        assert_eq!(read_back(&path, |&value: &u32| value == 7).unwrap().len(), 20_000 - 7);
        let error = read_back::<u32>(&path, |_| false).unwrap_err().to_string();
        assert!(error.contains("line 20001 from its end"), "{error}");
    }

    #[test]
    fn a_mark_is_what_the_file_is_cut_back_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let mut lines = Lines::anew(&path).unwrap();
        lines.append(&1).unwrap();
        let mark = lines.mark().unwrap();
        lines.append(&2).unwrap();
        drop(lines);
        // Power was lost: zeros where the system had not written yet.
        std::fs::write(&path, b"1\n2\n\0\0\0").unwrap();
        assert_eq!(read::<u8>(&path).unwrap(), [1, 2]);
        let Found::Fits(mut lines) = Lines::at(&path, &mark).unwrap() else { panic!("it fits") };
        lines.append(&3).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"1\n3\n");
        let later = lines.mark().unwrap();
        assert_eq!(later.length, 4);

        for (bytes, why) in
            [(&b"1\n"[..], "has 2 bytes, and the checkpoint was written after 4"), (b"1\n4\n", "not those")]
        {
            std::fs::write(&path, bytes).unwrap();
            let Found::Unfit(found) = Lines::at(&path, &later).unwrap() else { panic!("it does not fit") };
            assert!(found.contains(why), "{found}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "what does not fit is left as it is");
        }
    }

    #[test]
    fn damaged_lines_are_told_or_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        assert_eq!(read::<u8>(&path).unwrap(), [0; 0]);
        std::fs::write(&path, b"1\n\0\xff\n3\n4").unwrap();
        assert!(read::<u8>(&path).unwrap_err().to_string().contains("line 2 is not"));
        assert_eq!(read_sound::<u8>(&path).unwrap(), [1, 3]);
        assert_eq!(read_last::<u8>(&path).unwrap(), Some(3));
    }
}
