//! Tar archives, plain or compressed (gzip, xz, zstd), found out by content.
//!
//! Of a plain tar only the offsets are kept. Of a compressed one the files' own bytes are kept in memory, up to
//! [`MOST_BYTES`]: compressed images are small, and a compressed stream cannot be read from the middle. What is
//! fetched, and may be larger, is unpacked once (`unpack.rs`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::{Component, Path, PathBuf};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::member::MOST_BYTES;
use super::tree::{Content, Entry, LeftAside, Progress, Tree, is_hidden};
use crate::{Error, Result};

/// Lists the files of the archive at `path`; `None` if it is no tar.
///
/// # Errors
/// If the archive is damaged, truncated, or too large for memory, or no member of it can be taken.
pub(super) fn list(path: &Path, progress: Progress<'_>) -> Result<Option<Tree>> {
    let mut left_aside = LeftAside::default();
    let Some(found) =
        files(path, &mut Taking { archive: 0, bytes: 0, left_aside: &mut left_aside, progress })?
    else {
        return Ok(None);
    };
    if let Some(told) = left_aside.told().filter(|_| found.is_empty()) {
        return Err(Error::input(format!(
            "{}: a tar without a file that can be taken; {told}",
            path.display()
        )));
    }
    let entries = found.into_iter().map(|(path, content)| Entry::new(path, content)).collect();
    Ok(Some(Tree { archives: vec![path.to_path_buf()], ..Tree::new(path, "tar", entries, &left_aside) }))
}

/// What is known while the files of one archive or several are listed.
pub(super) struct Taking<'a> {
    /// The archive's place among those of the tree.
    pub(super) archive: u32,
    /// Bytes that are held in memory so far.
    pub(super) bytes: u64,
    pub(super) left_aside: &'a mut LeftAside,
    pub(super) progress: Progress<'a>,
}

/// The files of the archive at `path`; `None` if it is no tar.
///
/// # Errors
/// If the archive is damaged, truncated, or too large for memory.
pub(super) fn files(path: &Path, taking: &mut Taking<'_>) -> Result<Option<Found>> {
    let wrong = |error: std::io::Error| Error::io(path, &error);
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(wrong)?);
    let start = file.fill_buf().map_err(wrong)?;
    let Some(mut stream) = decompressed(start).map(|open| open(file)) else {
        let mut head = Vec::new();
        let mut file = File::open(path).map_err(wrong)?;
        (&file).take(HEADER).read_to_end(&mut head).map_err(wrong)?;
        if !is_tar(&head) {
            return Ok(None);
        }
        file.rewind().map_err(wrong)?;
        return spans(file, taking).map(Some).map_err(|error| damaged(path, &error));
    };
    let mut head = Vec::new();
    // A compressed stream that breaks within its first bytes is not known to be a tar; as such it is told.
    stream.by_ref().take(HEADER).read_to_end(&mut head).map_err(|error| damaged(path, &error))?;
    if !is_tar(&head) {
        return Ok(None);
    }
    contents(Cursor::new(head).chain(stream), path, taking).map(Some)
}

/// Hands every file of a compressed tar to `take`, with its name and a reader of its bytes.
///
/// # Errors
/// If the stream is no compressed tar, or is damaged or truncated, or what `take` returns.
pub(super) fn each(
    stream: impl Read + 'static,
    mut take: impl FnMut(&Path, u64, &mut dyn Read) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    let start = stream.fill_buf()?;
    let Some(open) = decompressed(start) else { return Err(broken("it is no compressed archive")) };
    for entry in tar::Archive::new(open(stream)).entries()? {
        let mut entry = entry?;
        if let Member::File(name) = member(&entry)? {
            let length = entry.size();
            take(&name, length, &mut entry)?;
        }
    }
    Ok(())
}

/// A reader of the content, if the first bytes are those of a compressed stream.
#[expect(clippy::type_complexity, reason = "one private table of three functions")]
fn decompressed<R: Read + 'static>(start: &[u8]) -> Option<fn(BufReader<R>) -> Box<dyn Read>> {
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

/// Files by name. A file that occurs twice is the later one, as when it is unpacked.
pub(super) type Found = BTreeMap<PathBuf, Content>;

/// Labels of WebDataset, a few bytes each, are taken when they are passed.
const LONGEST_LABEL: u64 = 64;

/// Where the files of an uncompressed tar lie.
fn spans(file: File, taking: &mut Taking<'_>) -> std::io::Result<Found> {
    let whole = file.metadata()?.len();
    let mut archive = tar::Archive::new(file);
    let mut found = BTreeMap::new();
    for entry in archive.entries_with_seek()? {
        let mut entry = entry?;
        let Some(name) = member(&entry)?.file(taking.left_aside) else { continue };
        let (start, length) = (entry.raw_file_position(), entry.size());
        if start.checked_add(length).is_none_or(|end| end > whole) {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let content = if length <= LONGEST_LABEL && name.extension().is_some_and(|end| end == "cls") {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            Content::Memory(bytes)
        } else {
            Content::Span { archive: taking.archive, start, length }
        };
        found.insert(name, content);
        (taking.progress)(found.len());
    }
    Ok(found)
}

/// The files of a compressed tar, with their bytes.
fn contents(stream: impl Read, path: &Path, taking: &mut Taking<'_>) -> Result<Found> {
    let wrong = |error: std::io::Error| damaged(path, &error);
    let mut archive = tar::Archive::new(stream);
    let mut found = BTreeMap::new();
    for entry in archive.entries().map_err(wrong)? {
        let mut entry = entry.map_err(wrong)?;
        let Some(name) = member(&entry).map_err(wrong)?.file(taking.left_aside) else { continue };
        let length = entry.size();
        taking.bytes = taking.bytes.saturating_add(length);
        if taking.bytes > MOST_BYTES {
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
        (taking.progress)(found.len());
    }
    Ok(found)
}

/// What a member of a tar is.
enum Member {
    /// A visible plain file: its name without `./`.
    File(PathBuf),
    /// A folder, a hidden file, or a record about the archive: nothing to tell.
    Nothing,
    /// What might have been an image: its name, and why it is not taken.
    Refused(PathBuf, &'static str),
}

impl Member {
    /// The name of a file; what is refused is noted.
    fn file(self, left_aside: &mut LeftAside) -> Option<PathBuf> {
        match self {
            Self::File(name) => Some(name),
            Self::Nothing => None,
            Self::Refused(name, why) => {
                left_aside.add(&name, why);
                None
            }
        }
    }
}

fn member<R: Read>(entry: &tar::Entry<'_, R>) -> std::io::Result<Member> {
    use tar::EntryType;
    let path = entry.path()?;
    let refused = |why| Ok(Member::Refused(path.to_path_buf(), why));
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous => {}
        EntryType::Link | EntryType::Symlink => return refused("a link"),
        EntryType::GNUSparse => return refused("a sparse file"),
        EntryType::Char | EntryType::Block | EntryType::Fifo => return refused("a device or pipe"),
        _ => return Ok(Member::Nothing),
    }
    if entry.path_bytes().ends_with(b"/") {
        // A folder of the oldest tars.
        return Ok(Member::Nothing);
    }
    let name = match within(&path) {
        Ok(name) => name,
        Err(why) => return refused(why),
    };
    Ok(if is_hidden(&name) { Member::Nothing } else { Member::File(name) })
}

/// The path of a member below the archive's root, without `./`; or why it may not be taken.
pub(super) fn within(path: &Path) -> std::result::Result<PathBuf, &'static str> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    for part in parts.clone() {
        match part {
            Component::Normal(_) => {}
            Component::ParentDir => return Err("its name leads out of the archive"),
            _ => return Err("its name begins at the root of a disk"),
        }
    }
    Ok(parts.collect())
}

/// The sentence for an archive that cannot be read to its end.
pub(super) fn damaged(path: &Path, error: &std::io::Error) -> Error {
    let reason = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        _ => error.to_string().replace('\n', " "),
    };
    Error::input(format!("{}: the archive is damaged or truncated: {reason}", path.display()))
}

/// All frames of a zstd stream one after another, skippable frames left out.
struct ZstdFrames<R> {
    source: BufReader<R>,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: Read> Read for ZstdFrames<R> {
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
