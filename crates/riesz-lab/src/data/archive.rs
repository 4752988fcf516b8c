//! Tar archives, plain or compressed (gzip, xz, zstd), found out by content.
//!
//! Of a plain tar only the offsets are kept. Of a compressed one the files' own bytes are kept in memory, up to
//! [`MOST_BYTES`]: compressed images are small, and a compressed stream cannot be read from the middle.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Component, Path, PathBuf};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::tree::{Content, Entry, Progress};
use crate::{Error, Result};

/// What the files of a compressed archive may take in memory.
const MOST_BYTES: u64 = 4 << 30;

/// The files of the archive at `path`; `None` if it is no tar.
///
/// # Errors
/// If the archive is damaged, truncated, or too large for memory.
pub(super) fn entries(path: &Path, progress: Progress<'_>) -> Result<Option<Vec<Entry>>> {
    let wrong = |error: std::io::Error| Error::io(path, &error);
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(wrong)?);
    let start = file.fill_buf().map_err(wrong)?;
    let Some(mut stream) = decompressed(start).map(|open| open(file)) else {
        let mut head = Vec::new();
        let file = File::open(path).map_err(wrong)?;
        (&file).take(HEADER).read_to_end(&mut head).map_err(wrong)?;
        if !is_tar(&head) {
            return Ok(None);
        }
        return spans(path, progress).map(Some).map_err(|error| damaged(path, &error));
    };
    let mut head = Vec::new();
    // A compressed stream that breaks within its first bytes is not known to be a tar; as such it is told.
    stream.by_ref().take(HEADER).read_to_end(&mut head).map_err(|error| damaged(path, &error))?;
    if !is_tar(&head) {
        return Ok(None);
    }
    contents(Cursor::new(head).chain(stream), path, progress).map(Some)
}

/// A reader of the content, if the first bytes are those of a compressed stream.
#[expect(clippy::type_complexity, reason = "one private table of three functions")]
fn decompressed(start: &[u8]) -> Option<fn(BufReader<File>) -> Box<dyn Read>> {
    match start {
        [0x1f, 0x8b, ..] => Some(|file| Box::new(flate2::bufread::MultiGzDecoder::new(file))),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(|file| Box::new(lzma_rust2::XzReader::new(file, true))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Some(|file| Box::new(ZstdFrames { source: file, decoder: FrameDecoder::new(), in_frame: false }))
        }
        _ => None,
    }
}

/// Bytes of a tar header.
const HEADER: u64 = 512;

/// Whether these are a tar's first bytes: the checksum in the header is right.
fn is_tar(head: &[u8]) -> bool {
    if head.len() < HEADER as usize {
        return false;
    }
    let stored = std::str::from_utf8(&head[148..156]).unwrap_or("");
    let stored = u32::from_str_radix(stored.trim_matches(['\0', ' ']), 8);
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    stored == Ok(sum(&head[..148]) + 8 * u32::from(b' ') + sum(&head[156..512]))
}

/// Where the files of an uncompressed tar lie.
fn spans(path: &Path, progress: Progress<'_>) -> std::io::Result<Vec<Entry>> {
    let file = File::open(path)?;
    let whole = file.metadata()?.len();
    let mut archive = tar::Archive::new(file);
    let mut found = BTreeMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let Some(name) = file_name(&entry)? else { continue };
        let (start, length) = (entry.raw_file_position(), entry.size());
        if start.checked_add(length).is_none_or(|end| end > whole) {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        found.insert(name, Content::Span { start, length });
        progress(found.len());
    }
    Ok(listed(found))
}

/// The files of a compressed tar, with their bytes.
fn contents(stream: impl Read, path: &Path, progress: Progress<'_>) -> Result<Vec<Entry>> {
    let wrong = |error: std::io::Error| damaged(path, &error);
    let mut archive = tar::Archive::new(stream);
    let mut found = BTreeMap::new();
    let mut total = 0;
    for entry in archive.entries().map_err(wrong)? {
        let mut entry = entry.map_err(wrong)?;
        let Some(name) = file_name(&entry).map_err(wrong)? else { continue };
        let length = entry.size();
        total += length;
        if total > MOST_BYTES {
            return Err(Error::input(format!(
                "{}: its files take more than {} GiB of memory; unpack it (tar -xf) and give the folder",
                path.display(),
                MOST_BYTES >> 30
            )));
        }
        // The size is a claim until it is read: memory grows with what is there.
        let mut bytes = Vec::with_capacity(length.min(1 << 20) as usize);
        entry.read_to_end(&mut bytes).map_err(wrong)?;
        if bytes.len() as u64 != length {
            return Err(wrong(std::io::ErrorKind::UnexpectedEof.into()));
        }
        found.insert(name, Content::Memory(bytes));
        progress(found.len());
    }
    Ok(listed(found))
}

/// The name of a plain file without `./`; `None` for folders, links and names that lead out of the archive.
fn file_name<R: Read>(entry: &tar::Entry<'_, R>) -> std::io::Result<Option<PathBuf>> {
    if !entry.header().entry_type().is_file() {
        return Ok(None);
    }
    let path = entry.path()?;
    let parts = path.components().filter(|part| *part != Component::CurDir);
    if parts.clone().any(|part| !matches!(part, Component::Normal(_))) {
        return Ok(None);
    }
    Ok(Some(parts.collect()))
}

/// A file that occurs twice is the later one, as when it is unpacked.
fn listed(found: BTreeMap<PathBuf, Content>) -> Vec<Entry> {
    found.into_iter().map(|(path, content)| Entry { path, content }).collect()
}

fn damaged(path: &Path, error: &std::io::Error) -> Error {
    let reason = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        _ => error.to_string().replace('\n', " "),
    };
    Error::input(format!("{}: the archive is damaged or truncated: {reason}", path.display()))
}

/// All frames of a zstd stream one after another, skippable frames left out.
struct ZstdFrames {
    source: BufReader<File>,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl Read for ZstdFrames {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if self.in_frame {
                while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                    let one = BlockDecodingStrategy::UptoBlocks(1);
                    self.decoder.decode_blocks(&mut self.source, one).map_err(broken)?;
                }
                let count = self.decoder.read(buffer)?;
                if count > 0 || buffer.is_empty() {
                    return Ok(count);
                }
                let stored = self.decoder.get_checksum_from_data();
                if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
                    return Err(broken("the checksum does not hold"));
                }
                self.in_frame = false;
            }
            if self.source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            match self.decoder.init(&mut self.source) {
                Ok(()) => self.in_frame = true,
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    std::io::copy(&mut (&mut self.source).take(u64::from(length)), &mut std::io::sink())?;
                }
                Err(error) => return Err(broken(error)),
            }
        }
    }
}

fn broken(reason: impl std::fmt::Display) -> std::io::Error {
    std::io::Error::other(reason.to_string())
}
