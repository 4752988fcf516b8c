//! Single values of parquet's columns: halves, texts; and what its errors are called.

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{DataType, FixedLenByteArray};
use parquet::errors::ParquetError;

use super::source::Failure;
use crate::parquet_columns::{one_line, unread};

type Outcome<T> = std::result::Result<T, Failure>;

/// A half-precision number as it is stored.
pub(super) fn half(x: &FixedLenByteArray) -> f32 {
    let bytes = x.data();
    half::f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// So many values of a flat column as text; empty where there is none.
pub(super) fn words(reader: &mut ColumnReader, count: usize) -> Outcome<Vec<String>> {
    match reader {
        ColumnReader::ByteArrayColumnReader(reader) => {
            values(reader, count, |x| String::from_utf8_lossy(x.data()).into_owned())
        }
        ColumnReader::Int32ColumnReader(reader) => values(reader, count, i32::to_string),
        ColumnReader::Int64ColumnReader(reader) => values(reader, count, i64::to_string),
        ColumnReader::BoolColumnReader(reader) => values(reader, count, bool::to_string),
        _ => Err(Failure::Content("a column of text or integers is of another type".to_owned())),
    }
}

fn values<D: DataType>(
    reader: &mut ColumnReaderImpl<D>,
    count: usize,
    word: impl Fn(&D::T) -> String,
) -> Outcome<Vec<String>> {
    let (mut defined, mut values) = (Vec::new(), Vec::new());
    let (records, _, _) =
        reader.read_records(count, Some(&mut defined), None, &mut values).map_err(not_whole)?;
    if records != count {
        return Err(Failure::Content("has columns of different lengths; it is damaged".to_owned()));
    }
    let mut values = values.iter();
    // A required column has no levels; of an optional one the highest is a value.
    if defined.is_empty() {
        return Ok(values.map(word).collect());
    }
    let full = defined.iter().copied().max().unwrap_or(0).max(1);
    let each = defined.iter().map(|&level| if level == full { values.next().map(&word) } else { None });
    Ok(each.map(Option::unwrap_or_default).collect())
}

/// The disk's own error where there is one; a codec that is not built in is called that.
pub(super) fn not_whole(error: ParquetError) -> Failure {
    if let Some(what) = unread(&error) {
        return Failure::Content(what);
    }
    let broken = |what: &str| Failure::Content(format!("is not a whole parquet file: {}", one_line(what)));
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(disk) => Failure::Disk(*disk),
            Err(other) => broken(&other.to_string()),
        },
        other => broken(&other.to_string()),
    }
}
