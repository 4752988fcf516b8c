//! An array's numbers, wherever they lie: in the file itself, in a member of a zip, in a pickle that is held.

use std::io::{self, BufReader, Bytes, Cursor, ErrorKind, Read, Result, Seek, SeekFrom};
use std::sync::Arc;

use super::wrong;
use crate::number::Number;
use crate::zip::Packed;

/// What holds the bytes of an array.
#[derive(Clone, Debug)]
pub(super) enum Held {
    File,
    Member(Packed),
    Memory(Arc<[u8]>),
    /// As a text, of which each letter is a byte.
    Text(Box<Self>),
}

/// An array as its file describes it; every number that it speaks of lies in what holds it.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) number: Number,
    pub(crate) big_endian: bool,
    pub(crate) shape: Vec<usize>,
    /// Numbers from one to the next of each dimension.
    strides: Vec<usize>,
    held: Held,
    /// The byte of the first number; of a text, of its beginning.
    start: u64,
}

/// The most bytes of an array that lies otherwise than row after row, which is read whole.
const MOST_TURNED: usize = 1 << 30;

impl Array {
    /// An array, if all that it speaks of lies within the `length` bytes from `start` on.
    ///
    /// # Errors
    /// The reason, as what the array is or does.
    pub(super) fn new(
        number: Number,
        big_endian: bool,
        [shape, strides]: [Vec<usize>; 2],
        held: Held,
        [start, length]: [u64; 2],
    ) -> std::result::Result<Self, String> {
        let array = Self { number, big_endian, shape, strides, held, start };
        let numbers = array.shape.iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
        let reach = array.reach();
        let bytes = reach.and_then(|reach| reach.checked_mul(number.bytes()));
        match (numbers, bytes) {
            _ if array.shape.len() != array.strides.len() => {
                Err("is damaged: its strides are not those of its shape".to_owned())
            }
            (Some(numbers), Some(bytes)) if bytes as u64 <= length => match reach {
                Some(reach) if numbers > reach => {
                    Err("repeats its numbers (expand); write it as a copy (contiguous)".to_owned())
                }
                _ => Ok(array),
            },
            _ => Err("is damaged: it has more numbers than lie there".to_owned()),
        }
    }

    /// Strides of an array that lies row after row, or column after column.
    pub(super) fn plain_strides(shape: &[usize], by_columns: bool) -> Vec<usize> {
        let mut strides = vec![1; shape.len()];
        let sides: Vec<usize> =
            if by_columns { (0..shape.len()).collect() } else { (0..shape.len()).rev().collect() };
        let mut stride = 1_usize;
        for side in sides {
            strides[side] = stride;
            stride = stride.saturating_mul(shape[side].max(1));
        }
        strides
    }

    /// Numbers from the first to the last of those that it speaks of.
    fn reach(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        let last = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(0_usize, |last, (side, stride)| last.checked_add((side - 1).checked_mul(*stride)?));
        last?.checked_add(1)
    }

    /// The byte of the file at which its numbers lie, row after row; `None` if they lie otherwise.
    pub(crate) fn in_file(&self) -> Option<u64> {
        (matches!(self.held, Held::File) && self.is_by_rows()).then_some(self.start)
    }

    /// How many numbers it has.
    pub(crate) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether its numbers lie row after row, without gaps.
    fn is_by_rows(&self) -> bool {
        let plain = Self::plain_strides(&self.shape, false);
        self.shape.iter().zip(&self.strides).zip(plain).all(|((side, own), plain)| *side < 2 || *own == plain)
    }

    /// Its bytes row after row; whoever reads on behind the last finds damage of what holds them, where a checksum tells.
    ///
    /// # Errors
    /// If it lies otherwise and is larger than 1 GiB, or the file is damaged.
    pub(crate) fn open<'a>(&self, file: impl Read + Seek + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
        let bytes = self.count() * self.number.bytes();
        if self.is_by_rows() {
            return self.held.bytes(file, self.start, bytes as u64);
        }
        let reach = self.reach().unwrap_or_default() * self.number.bytes();
        if bytes.max(reach) > MOST_TURNED {
            return Err(wrong(
                "lies otherwise than row after row; more than 1 GiB of that is not read (contiguous)",
            ));
        }
        let mut lying = Vec::new();
        self.held.bytes(file, self.start, reach as u64)?.read_to_end(&mut lying)?;
        if lying.len() != reach {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(Box::new(Cursor::new(self.turned(&lying))))
    }

    /// Numbers that lie by strides, row after row.
    fn turned(&self, lying: &[u8]) -> Vec<u8> {
        let size = self.number.bytes();
        let mut rows = Vec::with_capacity(self.count() * size);
        let mut place = vec![0; self.shape.len()];
        for _ in 0..self.count() {
            let at: usize = place.iter().zip(&self.strides).map(|(place, stride)| place * stride).sum();
            rows.extend_from_slice(&lying[at * size..(at + 1) * size]);
            for side in (0..place.len()).rev() {
                place[side] += 1;
                if place[side] < self.shape[side] {
                    break;
                }
                place[side] = 0;
            }
        }
        rows
    }
}

impl Held {
    /// So many bytes from the byte `start` on.
    fn bytes<'a>(
        &self,
        mut file: impl Read + Seek + Send + 'a,
        start: u64,
        count: u64,
    ) -> Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::File => {
                file.seek(SeekFrom::Start(start))?;
                Box::new(BufReader::new(file.take(count)))
            }
            Self::Member(packed) => {
                let mut content = packed.open(file)?;
                let passed = io::copy(&mut (&mut content).take(start), &mut io::sink())?;
                if passed < start {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                Box::new(ToTheEnd { bytes: content, left: count })
            }
            Self::Memory(bytes) => {
                let mut held = Cursor::new(Arc::clone(bytes));
                held.set_position(start);
                Box::new(held.take(count))
            }
            // At most two bytes a letter.
            Self::Text(held) => Box::new(
                Letters { text: BufReader::new(held.bytes(file, start, 2 * count)?).bytes() }.take(count),
            ),
        })
    }
}

/// Some bytes; behind the last the rest is read, whose end tells of damage.
struct ToTheEnd<R> {
    bytes: R,
    left: u64,
}

impl<R: Read> Read for ToTheEnd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.left == 0 {
            io::copy(&mut self.bytes, &mut io::sink())?;
            return Ok(0);
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.bytes.read(&mut buffer[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}

/// The letters of a text in UTF-8 as bytes, each the letter's number.
struct Letters<R> {
    text: Bytes<R>,
}

impl<R: Read> Read for Letters<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        for (read, byte) in buffer.iter_mut().enumerate() {
            let Some(first) = self.text.next().transpose()? else { return Ok(read) };
            *byte = match first {
                0..0x80 => first,
                0xc2 | 0xc3 => match self.text.next().transpose()? {
                    Some(second @ 0x80..0xc0) => (first & 3) << 6 | second & 0x3f,
                    _ => return Err(wrong("is damaged: its text is not of bytes")),
                },
                _ => return Err(wrong("is damaged: its text is not of bytes")),
            };
        }
        Ok(buffer.len())
    }
}
