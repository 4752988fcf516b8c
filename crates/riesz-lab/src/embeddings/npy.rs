//! NumPy's array file: the magic `\x93NUMPY`, a version, the length of a header, a header that is a Python literal
//! `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`, and the numbers.

use std::io::{self, Read, Seek, Write};
use std::path::Path;

use riesz::{Matrix, Scalar};

use super::numbers::{Layout, Shapes, matrix_shape, source, write_numbers};
use super::source::{Failure, Source};
use super::values::{Kind, Values};
use crate::number::Number;
use crate::{Result, atomic};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Headers above this are not those of a matrix of numbers.
const LONGEST_HEADER: usize = 1 << 16;

/// Writes a matrix as an npy file of f32 or f64, as its type is.
///
/// # Errors
/// If the disk refuses; a file that was there is untouched.
pub fn write_npy<T: Scalar>(path: &Path, rows: &Matrix<T>) -> Result<()> {
    atomic::write(path, |file| write(file, rows))
}

/// Writes the bytes of an npy file.
pub(super) fn write<T: Scalar>(file: &mut impl Write, rows: &Matrix<T>) -> io::Result<()> {
    let mut header = format!(
        "{{'descr': '<f{}', 'fortran_order': False, 'shape': ({}, {}), }}",
        size_of::<T>(),
        rows.len(),
        rows.dim()
    );
    // The numbers start at a multiple of 64 bytes; the header ends with a line feed.
    let prefix = MAGIC.len() + 4;
    let padded = (prefix + header.len() + 1).next_multiple_of(64) - prefix;
    header.push_str(&" ".repeat(padded - 1 - header.len()));
    header.push('\n');
    file.write_all(MAGIC)?;
    file.write_all(&[1, 0])?;
    file.write_all(&(padded as u16).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    write_numbers(file, rows)
}

/// The matrix of an npy file of `length` bytes.
pub(super) fn open<R: Read + Seek + Send + 'static>(
    mut file: R,
    length: u64,
    shapes: Shapes,
) -> std::result::Result<Box<dyn Source>, Failure> {
    let (layout, header) = read_header(&mut file, shapes)?;
    let found = length.saturating_sub(header);
    let expected = layout.bytes();
    if u128::from(found) != expected {
        let Layout { rows, dim, .. } = layout;
        return Err(Failure::Content(format!(
            "{rows} × {dim} numbers are {expected} bytes, but the file has {found}; it is damaged or truncated"
        )));
    }
    source(file, layout)
}

/// Reads what comes before the numbers: how they lie, and its own length.
pub(super) fn read_header(
    file: &mut impl Read,
    shapes: Shapes,
) -> std::result::Result<(Layout, u64), Failure> {
    let (header, start) = header_of(file)?;
    Ok((parse(&header, shapes).map_err(Failure::Content)?, start))
}

/// The header's text, and the length of all that comes before the numbers.
fn header_of(file: &mut impl Read) -> std::result::Result<(String, u64), Failure> {
    let mut start = [0; 8];
    file.read_exact(&mut start)?;
    if &start[..6] != MAGIC {
        let what = if start.starts_with(b"PK") {
            "it is a zip archive, as .npz files are"
        } else {
            "it does not start with \\x93NUMPY"
        };
        return Err(Failure::Content(format!("is not an npy file: {what}")));
    }
    let (prefix, header_length) = match start[6] {
        1 => {
            let mut bytes = [0; 2];
            file.read_exact(&mut bytes)?;
            (10, usize::from(u16::from_le_bytes(bytes)))
        }
        2 | 3 => {
            let mut bytes = [0; 4];
            file.read_exact(&mut bytes)?;
            (12, u32::from_le_bytes(bytes) as usize)
        }
        version => return Err(Failure::Content(format!("is npy version {version}; 1, 2 and 3 are known"))),
    };
    if header_length > LONGEST_HEADER {
        return Err(Failure::Content(format!("has a header of {header_length} bytes; it is damaged")));
    }
    let mut header = vec![0; header_length];
    file.read_exact(&mut header)?;
    Ok((String::from_utf8_lossy(&header).into_owned(), (prefix + header_length) as u64))
}

/// One value a row, of an npy file of `length` bytes: integers, booleans, or text of a fixed width.
pub(super) fn read_values(file: &mut impl Read, length: u64) -> std::result::Result<Values, Failure> {
    let (header, start) = header_of(file)?;
    let Fields { descr, shape, .. } = fields(&header).map_err(Failure::Content)?;
    let &[count] = &shape[..] else {
        return Err(Failure::Content(format!("has the shape {shape:?}; expected one value a row")));
    };
    let (order, kind) = descr.split_at_checked(1).unwrap_or_default();
    let (letter, size) = kind.split_at_checked(1).unwrap_or_default();
    let is_number = ["1", "2", "4", "8"].contains(&size);
    let (kind, letters) = match letter {
        "i" if is_number => (Kind::Signed, 1),
        "u" if is_number => (Kind::Unsigned, 1),
        "b" if size == "1" => (Kind::Unsigned, 1),
        "U" => (Kind::Unicode, 4),
        "S" => (Kind::Bytes, 1),
        _ => {
            return Err(Failure::Content(format!(
                "holds values of type {descr}; expected integers, or text of a fixed width (numpy's astype(int), astype(str))"
            )));
        }
    };
    let size: usize = size.parse().map_err(|_| Failure::Content(format!("holds values of type {descr}")))?;
    Values::read(
        file,
        kind,
        order == ">",
        [size.saturating_mul(letters), count],
        length.saturating_sub(start),
    )
}

/// What a header tells.
struct Fields<'a> {
    descr: &'a str,
    by_columns: bool,
    shape: Vec<usize>,
}

/// Number type, order and shape of a matrix.
fn parse(header: &str, shapes: Shapes) -> std::result::Result<Layout, String> {
    let Fields { descr, by_columns, shape } = fields(header)?;
    let (order, kind) = descr.split_at_checked(1).unwrap_or_default();
    let number = match kind {
        "f2" => Number::F16,
        "f4" => Number::F32,
        "f8" => Number::F64,
        "b1" | "u1" => Number::U8,
        "i1" => Number::I8,
        "i2" => Number::I16,
        "u2" => Number::U16,
        "i4" => Number::I32,
        "u4" => Number::U32,
        "i8" => Number::I64,
        "u8" => Number::U64,
        "O" => return Err("is an array of Python objects; expected a matrix of numbers".to_owned()),
        _ => {
            return Err(format!(
                "holds values of type {descr}; expected floating-point numbers (f2, f4, f8), integers or booleans"
            ));
        }
    };
    let big_endian = match order {
        "<" => false,
        ">" => true,
        "|" if number.bytes() == 1 => false,
        _ => return Err(format!("holds values of type {descr}, which has no byte order; it is damaged")),
    };
    let (views, rows, dim) = matrix_shape(&shape, shapes)?;
    if by_columns && views.is_some() {
        return Err(format!(
            "has the shape {shape:?} and lies column after column; expected C order (numpy.ascontiguousarray)"
        ));
    }
    Ok(Layout { number, big_endian, by_columns, views, rows, dim })
}

fn fields(header: &str) -> std::result::Result<Fields<'_>, String> {
    let descr = value_of(header, "descr")?;
    let descr = descr
        .strip_prefix(['\'', '"'])
        .and_then(|rest| rest.split(['\'', '"']).next())
        .ok_or("is a structured array; expected a matrix of numbers")?;
    let fortran = value_of(header, "fortran_order")?;
    let by_columns = match (fortran.starts_with("True"), fortran.starts_with("False")) {
        (false, false) => return Err("has a header whose order cannot be read; it is damaged".to_owned()),
        (by_columns, _) => by_columns,
    };
    let shape: Vec<usize> = value_of(header, "shape")?
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'))
        .map(|(inside, _)| inside.split(',').map(str::trim).filter(|part| !part.is_empty()))
        .and_then(|parts| parts.map(|part| part.trim_end_matches('L').parse().ok()).collect())
        .ok_or("has a header whose shape cannot be read; it is damaged")?;
    Ok(Fields { descr, by_columns, shape })
}

/// What follows `'key':` in the header.
fn value_of<'a>(header: &'a str, key: &str) -> std::result::Result<&'a str, String> {
    ['\'', '"']
        .iter()
        .find_map(|quote| header.split_once(&format!("{quote}{key}{quote}")))
        .and_then(|(_, rest)| rest.trim_start().strip_prefix(':'))
        .map(str::trim_start)
        .ok_or_else(|| format!("has a header without {key}; it is damaged"))
}

#[cfg(test)]
mod tests {
    use super::super::rows::Rows;
    use super::*;

    fn file(version: u8, header: &str, numbers: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((header.len() as u16).to_le_bytes()),
            _ => bytes.extend((header.len() as u32).to_le_bytes()),
        }
        bytes.extend(header.bytes());
        bytes.extend(numbers);
        bytes
    }

    fn read_bytes(bytes: &[u8]) -> std::result::Result<Rows, String> {
        let file = std::io::Cursor::new(bytes.to_vec());
        let whole = open(file, bytes.len() as u64, Shapes::Matrix).and_then(super::super::source::whole);
        whole.map_err(|failure| match failure {
            Failure::Disk(error) => error.to_string(),
            Failure::Content(message) => message,
        })
    }

    #[test]
    fn every_version_and_half_precision_are_read() {
        let numbers = [0x00, 0x3c, 0x00, 0xc1]; // 1.0 and -2.5 in f16
        let header = "{'descr': '<f2', 'fortran_order': False, 'shape': (1, 2), }\n";
        for version in 1..=3 {
            let rows = read_bytes(&file(version, header, &numbers)).unwrap();
            assert_eq!(rows, Rows::F32(Matrix::new(vec![1.0, -2.5], 2)));
        }
    }

    #[test]
    fn what_is_no_plain_matrix_is_refused_in_a_sentence() {
        let cases = [
            ("{'descr': '|O', 'fortran_order': False, 'shape': (1, 2), }", "Python objects"),
            ("{'descr': '<c8', 'fortran_order': False, 'shape': (1, 2), }", "type <c8"),
            ("{'descr': '<U4', 'fortran_order': False, 'shape': (1, 2), }", "type <U4"),
            ("{'descr': '|f4', 'fortran_order': False, 'shape': (1, 2), }", "no byte order"),
            ("{'descr': 'é', 'fortran_order': False, 'shape': (1, 2), }", "type é"),
            ("{'descr': '', 'fortran_order': False, 'shape': (1, 2), }", "values of type"),
            ("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1, 2), }", "structured"),
            ("{'descr': '<f4', 'fortran_order': 1, 'shape': (1, 2), }", "order cannot be read"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "[2]"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "[]"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 1), }", "[1, 2, 1]"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 2), }", "[0, 2]"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, -2), }", "damaged"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }", "truncated"),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999, 9999999999999), }",
                "truncated",
            ),
            ("{'fortran_order': False}", "without descr"),
            ("", "without descr"),
        ];
        for (header, expected) in cases {
            let message = read_bytes(&file(1, header, &[0; 8])).unwrap_err();
            assert!(message.contains(expected), "{header}: {message}");
        }
        assert!(read_bytes(b"PK\x03\x04....").unwrap_err().contains("not an npy file"));
        assert!(read_bytes(&file(9, "", &[])).unwrap_err().contains("version 9"));
        let mut endless = file(2, "", &[]);
        endless[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read_bytes(&endless).unwrap_err().contains("damaged"));
    }
}
