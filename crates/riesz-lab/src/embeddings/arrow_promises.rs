//! Where the buffers of an Arrow file lie and what compressed ones promise, looked at before they are decoded: the crate that does
//! so panics at the one and allocates the other.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};

use arrow_ipc::{Message, root_as_footer, root_as_message};

use super::Failure;

type Outcome<T> = std::result::Result<T, Failure>;

/// LZ4 makes a byte of at most 255.
const MOST_OF_A_BYTE: u64 = 255;
/// Bytes of a message's mark and size.
const HEAD: u64 = 8;
/// What a file begins and ends with.
const MARK: &[u8] = b"ARROW1";

/// Looks at every record batch and dictionary of a file, or of a stream.
pub(super) fn check(file: &mut BufReader<File>, is_file: bool) -> Outcome<()> {
    let length = file.get_ref().metadata()?.len();
    if is_file {
        return of_footer(file, length)?
            .into_iter()
            .try_for_each(|place| message(file, place, length).map(drop));
    }
    let mut place = 0;
    while let Some(next) = message(file, place, length)? {
        place = next;
    }
    Ok(())
}

/// Where the messages of a file begin, as its footer says.
fn of_footer(file: &mut BufReader<File>, length: u64) -> Outcome<Vec<u64>> {
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
    blocks.map(|block| u64::try_from(block.offset()).map_err(|_| cut())).collect()
}

/// Looks at the message at a place, and says where the next one begins; `None` behind the last.
fn message(file: &mut BufReader<File>, place: u64, length: u64) -> Outcome<Option<u64>> {
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
    let bytes = at(file, begin, u64::from(size))?;
    let message = root_as_message(&bytes)
        .map_err(|_| Failure::Content("is not a whole Arrow file: a message is damaged".to_owned()))?;
    let end = u64::try_from(message.bodyLength()).ok().and_then(|size| body.checked_add(size));
    let end = end.filter(|&end| end <= length).ok_or_else(cut)?;
    buffers(file, &message, body, end)?;
    Ok(Some(end))
}

/// Every buffer of a message lies in its body, from `body` to `end`, and one that is compressed can become what it promises.
fn buffers(file: &mut BufReader<File>, message: &Message<'_>, body: u64, end: u64) -> Outcome<()> {
    let batch = message
        .header_as_record_batch()
        .or_else(|| message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()));
    let Some(batch) = batch else { return Ok(()) };
    for buffer in batch.buffers().into_iter().flatten() {
        let cut = || Failure::Content("is not a whole Arrow file: a buffer does not lie in it".to_owned());
        let size = u64::try_from(buffer.length()).map_err(|_| cut())?;
        let place = u64::try_from(buffer.offset()).ok().and_then(|offset| body.checked_add(offset));
        let lies = |place: &u64| place.checked_add(size).is_some_and(|behind| behind <= end);
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
            || u64::try_from(promised).is_ok_and(|promised| promised <= size.saturating_mul(MOST_OF_A_BYTE));
        if !holds {
            return Err(Failure::Content(format!(
                "is not a whole Arrow file: a compressed buffer of {size} bytes promises {promised}"
            )));
        }
    }
    Ok(())
}

/// So many bytes of a file from a place.
fn at(file: &mut BufReader<File>, place: u64, count: u64) -> Outcome<Vec<u8>> {
    file.seek(SeekFrom::Start(place))?;
    let mut bytes = Vec::new();
    file.take(count).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != count {
        return Err(Failure::Disk(ErrorKind::UnexpectedEof.into()));
    }
    Ok(bytes)
}
