//! Rows of a parquet file that has a column of numbers for each dimension, as data frames are written.

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use riesz::Matrix;

use super::parquet_values::{half, not_whole};
use super::rows::Rows;
use super::source::Failure;

type Outcome<T> = std::result::Result<T, Failure>;

/// At most `most` rows of a row group, the first of which is row `first` of the file; `None` behind the last. They are f64 if one of the
/// columns is.
pub(super) fn rows(columns: &mut [ColumnReader], most: usize, first: u64) -> Outcome<Option<Rows>> {
    let is_wide = columns.iter().any(|column| matches!(column, ColumnReader::DoubleColumnReader(_)));
    let numbers: Vec<Vec<f64>> =
        columns.iter_mut().map(|column| read(column, most, first)).collect::<Outcome<_>>()?;
    let (count, dim) = (numbers[0].len(), numbers.len());
    if numbers.iter().any(|column| column.len() != count) {
        return Err(Failure::Content("has columns of different lengths; it is damaged".to_owned()));
    }
    if count == 0 {
        return Ok(None);
    }
    let across = (0..count).flat_map(|row| numbers.iter().map(move |column| column[row]));
    Ok(Some(if is_wide {
        Rows::F64(Matrix::new(across.collect(), dim))
    } else {
        Rows::F32(Matrix::new(across.map(|x| x as f32).collect(), dim))
    }))
}

fn read(column: &mut ColumnReader, most: usize, first: u64) -> Outcome<Vec<f64>> {
    match column {
        ColumnReader::FloatColumnReader(reader) => values(reader, most, first, |x| f64::from(*x)),
        ColumnReader::DoubleColumnReader(reader) => values(reader, most, first, |x| *x),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            values(reader, most, first, |x| f64::from(half(x)))
        }
        _ => Err(Failure::Content("a column of numbers is of an unknown type".to_owned())),
    }
}

fn values<D: DataType>(
    reader: &mut ColumnReaderImpl<D>,
    most: usize,
    first: u64,
    number: impl Fn(&D::T) -> f64,
) -> Outcome<Vec<f64>> {
    let (mut defined, mut values) = (Vec::new(), Vec::new());
    let (records, ..) =
        reader.read_records(most, Some(&mut defined), None, &mut values).map_err(not_whole)?;
    if values.len() != records {
        let row = defined.iter().position(|&level| level == 0).unwrap_or(0) as u64;
        return Err(Failure::Content(format!("row {} has a null in it; expected numbers", first + row)));
    }
    Ok(values.iter().map(number).collect())
}
