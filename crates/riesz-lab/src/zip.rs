//! Zip archives (PKWARE's APPNOTE 6.3), also with 64-bit sizes: the members that the directory at the end lists, and the
//! bytes of one, stored or deflated, held to its size and checksum.
//!
//! What is wrong with a file's content is an error of the kind `InvalidData` that says what; other errors are the disk's.

use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use crate::names::readable;

/// A directory is smaller, of millions of members too.
const LONGEST_DIRECTORY: u64 = 1 << 30;

/// What deflate can make of a byte, rounded up.
const MOST_INFLATED: u64 = 1040;

/// A member as the directory lists it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its path; bytes that are not Unicode as `\xff`.
    pub(crate) name: String,
    /// Bytes of its content.
    pub(crate) size: u64,
    /// Where and how its content lies.
    pub(crate) packed: Packed,
    /// Why its content cannot be read, if it cannot.
    pub(crate) refusal: Option<&'static str>,
}

/// Where and how a member's content lies in the archive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed {
    is_deflated: bool,
    /// None where none was computed.
    checksum: Option<u32>,
    /// Bytes in the archive.
    length: u64,
    /// Bytes of the content.
    size: u64,
    /// Where the member's own header begins.
    start: u64,
}

/// Every member that the directory of the archive of `length` bytes lists, folders left out.
///
/// # Errors
/// If it is no zip, or its directory is damaged or missing.
pub(crate) fn members(file: &mut (impl Read + Seek), length: u64) -> Result<Vec<Member>> {
    let damaged = || wrong("its directory is damaged or missing");
    let mut start = [0; 2];
    file.rewind()?;
    file.read_exact(&mut start)?;
    if start != *b"PK" {
        return Err(wrong("it does not start with PK"));
    }
    // The end record is the last 22 bytes, before a comment of at most 65,535; its 64-bit form lies before it.
    let tail_length = length.min(22 + 65_535 + 20);
    let mut tail = vec![0; tail_length as usize];
    file.seek(SeekFrom::Start(length - tail_length))?;
    file.read_exact(&mut tail)?;
    let end = tail.windows(22).rposition(|record| record.starts_with(b"PK\x05\x06")).ok_or_else(damaged)?;
    let (mut size, mut at) = (u64::from(u32_at(&tail, end + 12)), u64::from(u32_at(&tail, end + 16)));
    let locator =
        end.checked_sub(20).map(|at| &tail[at..end]).filter(|record| record.starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        let mut record = [0; 56];
        file.seek(SeekFrom::Start(u64_at(locator, 8)))?;
        file.read_exact(&mut record).map_err(|_| damaged())?;
        if record[..4] != *b"PK\x06\x06" {
            return Err(damaged());
        }
        (size, at) = (u64_at(&record, 40), u64_at(&record, 48));
    }
    if size > LONGEST_DIRECTORY || at.checked_add(size).is_none_or(|end| end > length) {
        return Err(damaged());
    }
    let mut bytes = vec![0; size as usize];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    let mut members = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (member, after) = member(rest).ok_or_else(damaged)?;
        if !member.name.ends_with('/') {
            members.push(member);
        }
        rest = after;
    }
    Ok(members)
}

/// The first member of a directory, and what follows it.
fn member(bytes: &[u8]) -> Option<(Member, &[u8])> {
    let record = bytes.get(..46).filter(|record| record.starts_with(b"PK\x01\x02"))?;
    let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(record, at)));
    let after = bytes.get(46 + name + extra + comment..)?;
    let [mut length, mut size, mut start] = [20, 24, 42].map(|at| u64::from(u32_at(record, at)));
    // What does not fit into 32 bits is in the extra field 1, in this order.
    let mut wide = extra_field(&bytes[46 + name..46 + name + extra], 1).unwrap_or_default();
    for value in [&mut size, &mut length, &mut start] {
        if *value == u64::from(u32::MAX) {
            *value = u64_at(wide.get(..8)?, 0);
            wide = &wide[8..];
        }
    }
    let is_deflated = u16_at(record, 10) == 8;
    let most = length.saturating_mul(if is_deflated { MOST_INFLATED } else { 1 });
    let refusal = match u16_at(record, 10) {
        _ if record[8] & 1 == 1 => Some("is encrypted"),
        0 | 8 if size > most => Some("claims more bytes than it can hold; it is damaged"),
        0 | 8 => None,
        _ => Some("is packed by a method that is not read; stored and deflated members are"),
    };
    let packed = Packed { is_deflated, checksum: Some(u32_at(record, 16)), length, size, start };
    Some((Member { name: readable(&bytes[46..46 + name]).into_owned(), size, packed, refusal }, after))
}

impl Packed {
    /// Bytes of the content.
    pub(crate) fn size(self) -> u64 {
        self.size
    }

    /// The same, where a checksum of 0 says that none was computed.
    pub(crate) fn unless_zero(self) -> Self {
        Self { checksum: self.checksum.filter(|sum| *sum != 0), ..self }
    }

    /// The content's bytes out of the archive's file.
    ///
    /// # Errors
    /// If the member's header is not where the directory says.
    pub(crate) fn open<'a, R: Read + Seek + Send + 'a>(self, mut file: R) -> Result<Content<'a>> {
        file.seek(SeekFrom::Start(self.start))?;
        let mut header = [0; 30];
        file.read_exact(&mut header)?;
        if header[..4] != *b"PK\x03\x04" {
            return Err(wrong("is not where the directory says; the file is damaged"));
        }
        let skipped = i64::from(u16_at(&header, 26)) + i64::from(u16_at(&header, 28));
        file.seek(SeekFrom::Current(skipped))?;
        let packed = file.take(self.length);
        let bytes: Box<dyn Read + Send + 'a> =
            if self.is_deflated { Box::new(DeflateDecoder::new(packed)) } else { Box::new(packed) };
        // One byte more, to notice what is longer than the directory says.
        let bytes = bytes.take(self.size.saturating_add(1));
        Ok(Content { bytes, left: self.size, sum: Crc::new(), checksum: self.checksum })
    }
}

/// The content of a member; reading its end finds it whole, or says that it is not.
pub(crate) struct Content<'a> {
    bytes: std::io::Take<Box<dyn Read + Send + 'a>>,
    left: u64,
    sum: Crc,
    checksum: Option<u32>,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.bytes.read(buffer)?;
        self.sum.update(&buffer[..read]);
        let left = self.left.checked_sub(read as u64);
        self.left = left.ok_or_else(|| wrong("is damaged: it has more bytes than the directory says"))?;
        if read == 0 && !buffer.is_empty() {
            if self.left > 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if self.checksum.is_some_and(|checksum| self.sum.sum() != checksum) {
                return Err(wrong("is damaged: its checksum does not hold"));
            }
        }
        Ok(read)
    }
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// The content of the extra field `wanted`.
fn extra_field(mut extra: &[u8], wanted: u16) -> Option<&[u8]> {
    while extra.len() >= 4 {
        let (kind, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let content = extra.get(4..4 + length)?;
        if kind == wanted {
            return Some(content);
        }
        extra = &extra[4 + length..];
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
