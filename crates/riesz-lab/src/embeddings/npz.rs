//! NumPy's archive of arrays: a zip file (PKWARE's APPNOTE 6.3) whose members are npy files, stored or deflated.
//!
//! Members are listed by the directory at the archive's end, also in its 64-bit form. Only the wanted array is read,
//! and its checksum held to the directory's.

use std::io::{Read, Seek, SeekFrom};

use flate2::read::DeflateDecoder;

use super::numbers::{ByRows, Layout, source};
use super::stream::{Block, Source};
use super::{Failure, npy};

/// The directory of an archive of arrays is smaller.
const LONGEST_DIRECTORY: u64 = 64 << 20;

/// What deflate can make of a byte, rounded up.
const MOST_INFLATED: u64 = 1040;

type Outcome<T> = std::result::Result<T, Failure>;

/// Most bytes of an array that lies column after column, which is read whole.
const MOST_BY_COLUMNS: u128 = 1 << 30;

/// The matrix of an npz file of `length` bytes; `name` chooses one of several arrays.
pub(super) fn open<R: Read + Seek + Send + 'static>(
    mut file: R,
    length: u64,
    name: Option<&str>,
) -> Outcome<Box<dyn Source>> {
    let arrays: Vec<Array> = directory(&mut file, length)?;
    let array = choose(&mut file, &arrays, name)?;
    let in_array = |failure| match failure {
        Failure::Content(message) => Failure::Content(format!("array {} {message}", array.name)),
        disk @ Failure::Disk(_) => disk,
    };
    let Array { name, checksum, size, .. } = array;
    let mut content = Checked::new(array.open(file)?);
    let (layout, header) = npy::read_header(&mut content).map_err(in_array)?;
    let Layout { rows, dim, .. } = layout;
    let found = size.saturating_sub(header);
    if u128::from(found) != layout.bytes() {
        return Err(in_array(Failure::Content(format!(
            "has {rows} × {dim} numbers in {found} bytes; it is damaged"
        ))));
    }
    if layout.by_columns {
        if layout.bytes() > MOST_BY_COLUMNS {
            return Err(in_array(Failure::Content(
                "lies column after column; more than 1 GiB of that is read from a .npy file alone".to_owned(),
            )));
        }
        let mut numbers = Vec::new();
        content.read_to_end(&mut numbers)?;
        content.check(*checksum).map_err(in_array)?;
        return source(std::io::Cursor::new(numbers), layout);
    }
    let (name, checksum) = (name.clone(), *checksum);
    Ok(Box::new(Member { name, checksum, numbers: ByRows::new(content, layout) }))
}

/// An array, whose checksum is looked at when its last row was read.
struct Member<R> {
    name: String,
    checksum: u32,
    numbers: ByRows<Checked<R>>,
}

impl<R: Read + Send> Source for Member<R> {
    fn dim(&self) -> usize {
        self.numbers.dim()
    }

    fn rows(&self) -> Option<u64> {
        self.numbers.rows()
    }

    fn next(&mut self) -> Outcome<Option<Block>> {
        let block = self.numbers.next()?;
        if block.is_none() {
            self.numbers.file.check(self.checksum).map_err(|failure| match failure {
                Failure::Content(message) => Failure::Content(format!("array {} {message}", self.name)),
                disk @ Failure::Disk(_) => disk,
            })?;
        }
        Ok(block)
    }
}

/// The array of that name, or the only one, or the only matrix of numbers.
fn choose<'a>(
    file: &mut (impl Read + Seek + Send),
    arrays: &'a [Array],
    name: Option<&str>,
) -> Outcome<&'a Array> {
    let names: Vec<&str> = arrays.iter().map(|array| array.name.as_str()).collect();
    let wrong = |message: String| Err(Failure::Content(message));
    match (name, arrays) {
        (_, []) => wrong("holds no array".to_owned()),
        (Some(name), _) => match arrays.iter().find(|array| array.name == name) {
            Some(array) => Ok(array),
            None => wrong(format!("has no array {name}; it has {}", names.join(", "))),
        },
        (None, [only]) => Ok(only),
        (None, several) => {
            let mut matrices = Vec::new();
            for array in several {
                if npy::read_header(&mut array.open(&mut *file)?).is_ok() {
                    matrices.push(array);
                }
            }
            match matrices[..] {
                [only] => Ok(only),
                _ => wrong(format!("holds several arrays; name one of {}", names.join(", "))),
            }
        }
    }
}

/// An array as the directory lists it.
struct Array {
    /// The member's name without `.npy`.
    name: String,
    is_deflated: bool,
    is_encrypted: bool,
    checksum: u32,
    /// Bytes in the archive.
    packed: u64,
    /// Bytes of the npy file.
    size: u64,
    /// Where its own header begins.
    start: u64,
}

impl Array {
    /// The npy file's bytes.
    fn open<'a, R: Read + Seek + Send + 'a>(&self, mut file: R) -> Outcome<Box<dyn Read + Send + 'a>> {
        let wrong = |what: &str| Err(Failure::Content(format!("array {} {what}", self.name)));
        if self.is_encrypted {
            return wrong("is encrypted");
        }
        if self.size > self.packed.saturating_mul(if self.is_deflated { MOST_INFLATED } else { 1 }) {
            return wrong("claims more bytes than it can hold; it is damaged");
        }
        file.seek(SeekFrom::Start(self.start))?;
        let mut header = [0; 30];
        file.read_exact(&mut header)?;
        if header[..4] != *b"PK\x03\x04" {
            return wrong("is not where the directory says; the file is damaged");
        }
        let skipped = i64::from(u16_at(&header, 26)) + i64::from(u16_at(&header, 28));
        file.seek(SeekFrom::Current(skipped))?;
        let content = file.take(self.packed);
        Ok(if self.is_deflated { Box::new(DeflateDecoder::new(content)) } else { Box::new(content) })
    }
}

/// Every array that the directory at the end lists.
fn directory(file: &mut (impl Read + Seek), length: u64) -> Outcome<Vec<Array>> {
    let damaged =
        || Failure::Content("is not a whole npz file: its directory is damaged or missing".to_owned());
    let mut start = [0; 4];
    file.read_exact(&mut start)?;
    if start[..2] != *b"PK" {
        return Err(Failure::Content("is not an npz file: it does not start with PK".to_owned()));
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
    let mut arrays = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (name, array, after) = member(rest).ok_or_else(damaged)??;
        if let Some(name) = name.strip_suffix(".npy") {
            arrays.push(Array { name: name.to_owned(), ..array });
        }
        rest = after;
    }
    Ok(arrays)
}

/// The first member of a directory: its file name, the member, and what follows it.
fn member(bytes: &[u8]) -> Option<Outcome<(String, Array, &[u8])>> {
    let record = bytes.get(..46).filter(|record| record.starts_with(b"PK\x01\x02"))?;
    let lengths = [28, 30, 32].map(|at| usize::from(u16_at(record, at)));
    let name = bytes.get(46..46 + lengths[0])?;
    let name = String::from_utf8_lossy(name).into_owned();
    let extra = bytes.get(46 + lengths[0]..46 + lengths[0] + lengths[1])?;
    let after = bytes.get(46 + lengths.iter().sum::<usize>()..)?;
    let [mut packed, mut size, mut start] = [20, 24, 42].map(|at| u64::from(u32_at(record, at)));
    // What does not fit into 32 bits is in the extra field 1, in this order.
    let mut wide = extra_field(extra, 1).unwrap_or_default();
    for value in [&mut size, &mut packed, &mut start] {
        if *value == u64::from(u32::MAX) {
            *value = u64_at(wide.get(..8)?, 0);
            wide = &wide[8..];
        }
    }
    let is_deflated = match u16_at(record, 10) {
        0 => false,
        8 => true,
        method => {
            let what = format!("{name} is packed by method {method}; stored and deflated members are read");
            return Some(Err(Failure::Content(what)));
        }
    };
    let is_encrypted = record[8] & 1 == 1;
    let checksum = u32_at(record, 16);
    let array = Array { name: String::new(), is_deflated, is_encrypted, checksum, packed, size, start };
    Some(Ok((name, array, after)))
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

/// A reader that sums what passes.
struct Checked<R> {
    content: R,
    sum: flate2::Crc,
}

impl<R> Checked<R> {
    fn new(content: R) -> Self {
        Self { content, sum: flate2::Crc::new() }
    }

    /// Holds what has passed to the directory's checksum.
    fn check(&self, checksum: u32) -> Outcome<()> {
        if self.sum.sum() == checksum {
            return Ok(());
        }
        Err(Failure::Content("is damaged: its checksum does not hold".to_owned()))
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.sum.update(&buffer[..read]);
        Ok(read)
    }
}
