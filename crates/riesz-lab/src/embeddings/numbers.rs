//! Numbers as they lie in a file, read block of rows by block, and written.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};

use riesz::{Matrix, Scalar};

use super::rows::Rows;
use super::source::{BLOCK, Block, Failure, Source};
use crate::number::Number;

/// How the numbers of a matrix lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) number: Number,
    pub(super) big_endian: bool,
    /// Column after column (Fortran order), not row after row.
    pub(super) by_columns: bool,
    /// K, if the array is [K, N, d]: `rows` are then K N.
    pub(super) views: Option<usize>,
    pub(super) rows: usize,
    pub(super) dim: usize,
}

impl Layout {
    /// Bytes of the numbers.
    pub(super) fn bytes(self) -> u128 {
        self.rows as u128 * self.dim as u128 * self.number.bytes() as u128
    }
}

/// What shapes an array may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shapes {
    /// [rows, columns].
    Matrix,
    /// The same, or [views, rows, columns].
    Stacked,
}

/// Views, if it has such, rows of all of them, and columns of an array.
pub(super) fn matrix_shape(
    shape: &[usize],
    shapes: Shapes,
) -> std::result::Result<(Option<usize>, usize, usize), String> {
    let expected = match shapes {
        Shapes::Matrix => "[rows, columns]",
        Shapes::Stacked => "[rows, columns] or [views, rows, columns]",
    };
    let found = match *shape {
        [rows, dim] => Some((None, rows, dim)),
        [views, rows, dim] if shapes == Shapes::Stacked => {
            views.checked_mul(rows).map(|rows| (Some(views), rows, dim))
        }
        _ => None,
    };
    found
        .filter(|&(_, rows, dim)| rows > 0 && dim > 0)
        .ok_or_else(|| format!("has the shape {shape:?}; expected {expected} with at least one of each"))
}

/// A matrix's numbers, row after row, from where `file` stands.
pub(super) struct ByRows<R> {
    pub(super) file: R,
    pub(super) layout: Layout,
    done: usize,
}

impl<R: Read> ByRows<R> {
    pub(super) fn new(file: R, layout: Layout) -> Self {
        Self { file, layout, done: 0 }
    }

    fn next_rows(&mut self) -> Result<Option<Rows>, Failure> {
        let rows = (BLOCK / self.layout.dim).max(1).min(self.layout.rows - self.done);
        if rows == 0 {
            return Ok(None);
        }
        self.done += rows;
        Ok(Some(decode(&mut self.file, self.layout, rows * self.layout.dim)?.into_rows(self.layout.dim)))
    }
}

impl<R: Read + Send> Source for ByRows<R> {
    fn dim(&self) -> usize {
        self.layout.dim
    }

    fn rows(&self) -> Option<u64> {
        Some(self.layout.rows as u64)
    }

    fn views(&self) -> Option<usize> {
        self.layout.views
    }

    fn next(&mut self) -> Result<Option<Block>, Failure> {
        Ok(self.next_rows()?.map(Block::of))
    }
}

/// The rows of an array, whose checksum is looked at when the last was read.
pub(super) struct Checked<R> {
    /// The array, in words.
    pub(super) called: String,
    pub(super) numbers: ByRows<R>,
}

impl<R: Read + Send> Source for Checked<R> {
    fn dim(&self) -> usize {
        self.numbers.dim()
    }

    fn rows(&self) -> Option<u64> {
        self.numbers.rows()
    }

    fn views(&self) -> Option<usize> {
        self.numbers.views()
    }

    fn next(&mut self) -> Result<Option<Block>, Failure> {
        let block = self.numbers.next().map_err(|failure| match failure {
            Failure::Disk(disk) => of_array(&self.called, disk),
            content @ Failure::Content(_) => content,
        })?;
        if block.is_none() {
            // The end itself, which no row needs.
            let end = self.numbers.file.read(&mut [0]).map_err(|error| of_array(&self.called, error))?;
            debug_assert_eq!(end, 0, "the size was looked at");
        }
        Ok(block)
    }
}

/// What is wrong with the content of an array, or the disk.
pub(super) fn of_array(called: &str, error: io::Error) -> Failure {
    match error.kind() {
        ErrorKind::InvalidData => Failure::Content(format!("{called} {error}")),
        _ => Failure::Disk(error),
    }
}

/// A matrix's numbers, column after column from the place `start` of a file on: each block seeks to each column.
struct ByColumns<R> {
    file: R,
    layout: Layout,
    start: u64,
    done: usize,
}

impl<R: Read + Seek + Send> Source for ByColumns<R> {
    fn dim(&self) -> usize {
        self.layout.dim
    }

    fn rows(&self) -> Option<u64> {
        Some(self.layout.rows as u64)
    }

    fn next(&mut self) -> Result<Option<Block>, Failure> {
        let Layout { rows, dim, number, .. } = self.layout;
        // Long pieces of a column, as each costs a seek.
        let count = (4 * BLOCK / dim).max(1).min(rows - self.done);
        if count == 0 {
            return Ok(None);
        }
        let mut columns: Option<Decoded> = None;
        for column in 0..dim {
            let place = (column as u64 * rows as u64 + self.done as u64) * number.bytes() as u64;
            self.file.seek(SeekFrom::Start(self.start + place))?;
            let part = decode(&mut self.file, self.layout, count)?;
            match &mut columns {
                None => columns = Some(part),
                Some(columns) => columns.extend(part),
            }
        }
        self.done += count;
        Ok(columns.map(|columns| Block::of(columns.turned(count).into_rows(dim))))
    }
}

/// The matrix that starts where `file` stands.
pub(super) fn source<R: Read + Seek + Send + 'static>(
    mut file: R,
    layout: Layout,
) -> Result<Box<dyn Source>, Failure> {
    if layout.by_columns {
        let start = file.stream_position()?;
        return Ok(Box::new(ByColumns { file, layout, start, done: 0 }));
    }
    Ok(Box::new(ByRows::new(file, layout)))
}

/// Numbers in the type that holds them.
enum Decoded {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Decoded {
    fn into_rows(self, dim: usize) -> Rows {
        match self {
            Self::F32(numbers) => Rows::F32(Matrix::new(numbers, dim)),
            Self::F64(numbers) => Rows::F64(Matrix::new(numbers, dim)),
        }
    }

    fn extend(&mut self, other: Self) {
        match (self, other) {
            (Self::F32(all), Self::F32(more)) => all.extend(more),
            (Self::F64(all), Self::F64(more)) => all.extend(more),
            _ => unreachable!("one layout has one type"),
        }
    }

    /// Columns of `rows` numbers as rows.
    fn turned(self, rows: usize) -> Self {
        fn turn<T: Scalar>(numbers: &[T], rows: usize) -> Vec<T> {
            let dim = numbers.len() / rows;
            (0..numbers.len()).map(|i| numbers[i % dim * rows + i / dim]).collect()
        }
        match self {
            Self::F32(numbers) => Self::F32(turn(&numbers, rows)),
            Self::F64(numbers) => Self::F64(turn(&numbers, rows)),
        }
    }
}

/// Reads `count` numbers.
fn decode(file: &mut impl Read, layout: Layout, count: usize) -> io::Result<Decoded> {
    let Layout { number, big_endian: big, .. } = layout;
    Ok(match number {
        Number::F16 => Decoded::F32(each(file, count, big, |b| half::f16::from_le_bytes(b).to_f32())?),
        Number::Bf16 => Decoded::F32(each(file, count, big, |b| half::bf16::from_le_bytes(b).to_f32())?),
        Number::F32 => Decoded::F32(each(file, count, big, f32::from_le_bytes)?),
        Number::F64 => Decoded::F64(each(file, count, big, f64::from_le_bytes)?),
        Number::I8 => Decoded::F32(each(file, count, big, |b| f32::from(i8::from_le_bytes(b)))?),
        Number::U8 | Number::Bool => {
            Decoded::F32(each(file, count, big, |b| f32::from(u8::from_le_bytes(b)))?)
        }
        Number::I16 => Decoded::F32(each(file, count, big, |b| f32::from(i16::from_le_bytes(b)))?),
        Number::U16 => Decoded::F32(each(file, count, big, |b| f32::from(u16::from_le_bytes(b)))?),
        Number::I32 => Decoded::F64(each(file, count, big, |b| f64::from(i32::from_le_bytes(b)))?),
        Number::U32 => Decoded::F64(each(file, count, big, |b| f64::from(u32::from_le_bytes(b)))?),
        Number::I64 => Decoded::F64(each(file, count, big, |b| i64::from_le_bytes(b) as f64)?),
        Number::U64 => Decoded::F64(each(file, count, big, |b| u64::from_le_bytes(b) as f64)?),
    })
}

/// Reads `count` numbers of so many bytes; memory grows with what is there.
fn each<const BYTES: usize, T: Scalar>(
    file: &mut impl Read,
    count: usize,
    big_endian: bool,
    number: impl Fn([u8; BYTES]) -> T,
) -> io::Result<Vec<T>> {
    const AT_ONCE: usize = 1 << 16;
    let mut numbers = Vec::new();
    let mut buffer = vec![0; AT_ONCE.min(count) * BYTES];
    while numbers.len() < count {
        let part = &mut buffer[..(count - numbers.len()).min(AT_ONCE) * BYTES];
        file.read_exact(part)?;
        if big_endian {
            part.as_chunks_mut::<BYTES>().0.iter_mut().for_each(|bytes| bytes.reverse());
        }
        numbers.extend(part.as_chunks().0.iter().map(|bytes| number(*bytes)));
    }
    Ok(numbers)
}

/// Writes all numbers of a matrix, little-endian, in its own width.
pub(super) fn write_numbers<T: Scalar>(file: &mut impl Write, rows: &Matrix<T>) -> io::Result<()> {
    let wide = size_of::<T>() == 8;
    let mut buffer = Vec::with_capacity(rows.dim() * size_of::<T>());
    for row in rows.as_slice().chunks(rows.dim()) {
        buffer.clear();
        for x in row {
            if wide {
                buffer.extend_from_slice(&x.to_f64().to_le_bytes());
            } else {
                // Exact: an f32 came from an f32.
                buffer.extend_from_slice(&(x.to_f64() as f32).to_le_bytes());
            }
        }
        file.write_all(&buffer)?;
    }
    Ok(())
}
