//! Where the messages and buffers of an Arrow file lie and what compressed ones promise, looked at before they are decoded: the crate that does
//! so panics at the one and allocates the other.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};

use arrow_ipc::{Block, CompressionType, Message, RecordBatch, root_as_footer, root_as_message};

use super::source::Failure;

type Outcome<T> = std::result::Result<T, Failure>;

/// LZ4 makes a byte of at most 255.
const MOST_OF_LZ4: u64 = 255;
/// Zstandard makes four bytes of a block of 128 KiB that are all the same.
const MOST_OF_ZSTD: u64 = 1 << 15;
/// Bytes of a message's mark and size.
const HEAD: u64 = 8;
/// What a file begins and ends with.
const MARK: &[u8] = b"ARROW1";

/// Looks at every record batch and dictionary that the footer of a file names, and says whether one is compressed by Zstandard.
pub(super) fn check_file(file: &mut BufReader<File>) -> Outcome<bool> {
    let length = file.get_ref().metadata()?.len();
    let mut is_zstd = false;
    for [place, words, body] in of_footer(file, length)? {
        let envelope = envelope(file, place, length)?;
        // The crate believes the footer where this looks at the message.
        let envelope = envelope
            .filter(|found| found.body - place == words && found.end - found.body == body)
            .ok_or_else(|| {
                Failure::Content(
                    "is not a whole Arrow file: its footer tells another message than lies there".to_owned(),
                )
            })?;
        is_zstd |= check(file, &envelope)?;
    }
    Ok(is_zstd)
}

/// The same of the messages that follow one another from a place.
pub(super) fn check_stream(file: &mut BufReader<File>, mut place: u64) -> Outcome<bool> {
    let length = file.get_ref().metadata()?.len();
    let mut is_zstd = false;
    while let Some(envelope) = envelope(file, place, length)? {
        is_zstd |= check(file, &envelope)?;
        place = envelope.end;
    }
    Ok(is_zstd)
}

/// A message of a file: what it says, and from where to where its body lies.
pub(super) struct Envelope {
    pub(super) message: Vec<u8>,
    pub(super) body: u64,
    pub(super) end: u64,
}

impl Envelope {
    /// What it says, read.
    pub(super) fn message(&self) -> Outcome<Message<'_>> {
        root_as_message(&self.message)
            .map_err(|_| Failure::Content("is not a whole Arrow file: a message is damaged".to_owned()))
    }
}

/// The batch of a message, or of the dictionary that it is.
pub(super) fn batch<'a>(message: &Message<'a>) -> Option<RecordBatch<'a>> {
    message
        .header_as_record_batch()
        .or_else(|| message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()))
}

/// Whether the buffers of a batch are compressed by Zstandard.
pub(super) fn is_zstd(batch: &RecordBatch<'_>) -> bool {
    batch.compression().is_some_and(|how| how.codec() == CompressionType::ZSTD)
}

/// Where the messages of a file begin, and how long they and their bodies are, as its footer says.
fn of_footer(file: &mut BufReader<File>, length: u64) -> Outcome<Vec<[u64; 3]>> {
    let cut = || Failure::Content("is not a whole Arrow file: it has no footer".to_owned());
    let end = length.checked_sub(10).ok_or_else(cut)?;
    let bytes = at(file, end, 10)?;
    let size = u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    if &bytes[4..] != MARK || size > end {
        return Err(cut());
    }
    let bytes = at(file, end - size, size)?;
    let footer = root_as_footer(&bytes).map_err(|_| cut())?;
    let blocks =
        footer.recordBatches().into_iter().flatten().chain(footer.dictionaries().into_iter().flatten());
    let number = |number: i64| u64::try_from(number).map_err(|_| cut());
    let told = |block: &Block| -> Outcome<_> {
        Ok([number(block.offset())?, number(block.metaDataLength().into())?, number(block.bodyLength())?])
    };
    blocks.map(told).collect()
}

/// The message at a place; `None` behind the last.
pub(super) fn envelope(file: &mut BufReader<File>, place: u64, length: u64) -> Outcome<Option<Envelope>> {
    if length.saturating_sub(place) < HEAD {
        return Ok(None);
    }
    let head = at(file, place, HEAD)?;
    let number =
        |from: usize| u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
    // Before version 0.15 a message began with its size.
    let (size, begin) =
        if number(0) == u32::MAX { (number(4), place + HEAD) } else { (number(0), place + 4) };
    if size == 0 {
        return Ok(None);
    }
    let body = begin + u64::from(size);
    let cut = || Failure::Content("is not a whole Arrow file: a message ends behind the file".to_owned());
    if body > length {
        return Err(cut());
    }
    let mut envelope = Envelope { message: at(file, begin, u64::from(size))?, body, end: body };
    let end = u64::try_from(envelope.message()?.bodyLength()).ok().and_then(|size| body.checked_add(size));
    envelope.end = end.filter(|&end| end <= length).ok_or_else(cut)?;
    Ok(Some(envelope))
}

/// Every buffer of a message lies in its body, and one that is compressed can become what it promises; whether by Zstandard.
fn check(file: &mut BufReader<File>, envelope: &Envelope) -> Outcome<bool> {
    let message = envelope.message()?;
    let Some(batch) = batch(&message) else { return Ok(false) };
    let is_zstd = is_zstd(&batch);
    let most = if is_zstd { MOST_OF_ZSTD } else { MOST_OF_LZ4 };
    for buffer in batch.buffers().into_iter().flatten() {
        let cut = || Failure::Content("is not a whole Arrow file: a buffer does not lie in it".to_owned());
        let size = u64::try_from(buffer.length()).map_err(|_| cut())?;
        let place = u64::try_from(buffer.offset()).ok().and_then(|offset| envelope.body.checked_add(offset));
        let lies = |place: &u64| place.checked_add(size).is_some_and(|behind| behind <= envelope.end);
        let place = place.filter(lies).ok_or_else(cut)?;
        if size == 0 || batch.compression().is_none() {
            continue;
        }
        if size < 8 {
            return Err(cut());
        }
        let bytes = at(file, place, 8)?;
        let promised = i64::from_le_bytes([
            bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
        ]);
        // −1: it is not compressed after all.
        let holds = promised == -1
            || u64::try_from(promised).is_ok_and(|promised| promised <= size.saturating_mul(most));
        if !holds {
            return Err(Failure::Content(format!(
                "is not a whole Arrow file: a compressed buffer of {size} bytes promises {promised}"
            )));
        }
    }
    Ok(is_zstd)
}

/// So many bytes of a file from a place.
pub(super) fn at(file: &mut BufReader<File>, place: u64, count: u64) -> Outcome<Vec<u8>> {
    file.seek(SeekFrom::Start(place))?;
    let mut bytes = Vec::new();
    file.take(count).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != count {
        return Err(Failure::Disk(ErrorKind::UnexpectedEof.into()));
    }
    Ok(bytes)
}
