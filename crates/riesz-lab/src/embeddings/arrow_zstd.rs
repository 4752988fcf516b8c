//! Arrow files that are compressed by Zstandard. The crate that reads Arrow needs a library in C for these; here it reads a stream in
//! which every buffer of such a batch is unpacked by `ruzstd` and marked, as the format allows, as not compressed after all.

use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind, Read};

use arrow_ipc::{BodyCompression, CompressionType, Message};
use ruzstd::decoding::StreamingDecoder;

use super::arrow_promises::{Envelope, at, batch, envelope, is_zstd};
use super::source::Failure;

/// The mark of a buffer that is not compressed, though its batch is.
const AS_IT_IS: [u8; 8] = (-1_i64).to_le_bytes();
/// Buffers begin at multiples of so many bytes.
const ALIGNED: usize = 64;

/// A file's messages from a place, as a stream.
pub(super) struct Unpacked {
    file: BufReader<File>,
    place: u64,
    length: u64,
    message: Cursor<Vec<u8>>,
}

impl Unpacked {
    pub(super) fn new(file: BufReader<File>, place: u64) -> io::Result<Self> {
        let length = file.get_ref().metadata()?.len();
        Ok(Self { file, place, length, message: Cursor::default() })
    }
}

impl Read for Unpacked {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.message.position() == self.message.get_ref().len() as u64 {
            let next = envelope(&mut self.file, self.place, self.length).map_err(told)?;
            let Some(next) = next else { return Ok(0) };
            self.place = next.end;
            self.message = Cursor::new(unpacked(&mut self.file, next).map_err(told)?);
        }
        self.message.read(bytes)
    }
}

fn told(failure: Failure) -> io::Error {
    match failure {
        Failure::Disk(error) => error,
        Failure::Content(what) => io::Error::new(ErrorKind::InvalidData, what),
    }
}

/// A message with its mark, its size and its body, in which no buffer is compressed by Zstandard.
fn unpacked(file: &mut BufReader<File>, envelope: Envelope) -> Result<Vec<u8>, Failure> {
    let said = envelope.message()?;
    let mut words = envelope.message.clone();
    let body = match batch(&said).filter(is_zstd) {
        None => at(file, envelope.body, envelope.end - envelope.body)?,
        Some(batch) => {
            let (mut body, mut places) = (Vec::new(), Vec::new());
            for buffer in batch.buffers().into_iter().flatten() {
                // Where it lies, and that its size is no less than the mark's, has been looked at.
                let (place, size) = (buffer.offset().cast_unsigned(), buffer.length().cast_unsigned());
                body.resize(body.len().next_multiple_of(ALIGNED), 0);
                let begin = body.len();
                if size > 0 {
                    body.extend(AS_IT_IS);
                    unpack(&at(file, envelope.body + place, size)?, &mut body)?;
                }
                places.push((begin, body.len() - begin));
            }
            body.resize(body.len().next_multiple_of(ALIGNED), 0);
            rewrite(&mut words, &said, &places, body.len());
            body
        }
    };
    let size =
        u32::try_from(words.len()).map_err(|_| Failure::Content("a message is too long".to_owned()))?;
    Ok([&u32::MAX.to_le_bytes()[..], &size.to_le_bytes(), &words, &body].concat())
}

/// Appends what a buffer, which begins with the size that it promises, holds.
fn unpack(packed: &[u8], body: &mut Vec<u8>) -> Result<(), Failure> {
    let wrong = |what: String| Failure::Content(format!("a buffer cannot be unpacked: {what}"));
    let (promised, packed) =
        packed.split_first_chunk().ok_or_else(|| wrong("it has less than 8 bytes".to_owned()))?;
    if promised == &AS_IT_IS {
        body.extend(packed);
        return Ok(());
    }
    let promised = u64::from_le_bytes(*promised);
    let frame = StreamingDecoder::new(packed).map_err(|error| wrong(error.to_string()))?;
    let before = body.len();
    frame.take(promised + 1).read_to_end(body).map_err(|error| wrong(error.to_string()))?;
    let found = (body.len() - before) as u64;
    if found != promised {
        return Err(wrong(format!("it promises {promised} bytes and has {found} or more")));
    }
    Ok(())
}

/// Writes other places and sizes of buffers into a message, and the codec that arrow-ipc reads: a flat buffer's numbers of fixed size
/// are changed where they stand.
fn rewrite(words: &mut [u8], said: &Message<'_>, buffers: &[(usize, usize)], body: usize) {
    let mut put = |at: usize, bytes: &[u8]| words[at..at + bytes.len()].copy_from_slice(bytes);
    let number = |number: usize| (number as i64).to_le_bytes();
    // What is not written has its first value: no body, LZ4.
    let written = |table: usize, slot: u16| (slot > 0).then(|| table + usize::from(slot));
    if let Some(at) = written(said._tab.loc(), said._tab.vtable().get(Message::VT_BODYLENGTH)) {
        put(at, &number(body));
    }
    let Some(batch) = batch(said) else { return };
    if let Some(how) = batch.compression()
        && let Some(at) = written(how._tab.loc(), how._tab.vtable().get(BodyCompression::VT_CODEC))
    {
        put(at, &[CompressionType::LZ4_FRAME.0.cast_unsigned()]);
    }
    if let Some(listed) = batch.buffers() {
        let first = listed.bytes().as_ptr().addr() - said._tab.buf().as_ptr().addr();
        for (i, (place, size)) in buffers.iter().enumerate() {
            put(first + 16 * i, &number(*place));
            put(first + 16 * i + 8, &number(*size));
        }
    }
}
