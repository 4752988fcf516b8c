//! Rows of a parquet file: a column of lists of f16, f32 or f64, all of one length, or a column of numbers for each dimension; row group
//! by row group and within one block by block. Fixed-size lists are lists in the file.

use std::fs::File;
use std::sync::Arc;

use parquet::basic::{LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{DataType, DoubleType, FixedLenByteArrayType, FloatType};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use riesz::{Matrix, Scalar};

use super::parquet_flat;
use super::parquet_values::{half, not_whole, words};
use super::rows::Rows;
use super::source::{BLOCK, Block, Failure, Source, Wanted};
use super::table::{self, Column, Dimensions, Embedding, Kind};
use crate::parquet_columns;

type Outcome<T> = std::result::Result<T, Failure>;

struct Parquet {
    reader: SerializedFileReader<File>,
    /// The same file, for columns whose pages are unpacked here.
    file: Arc<File>,
    /// The column of embeddings or of each of their dimensions, and the columns of texts.
    embedding: Embedding,
    texts: Vec<usize>,
    /// The column of embeddings; empty if there are several.
    name: String,
    rows: u64,
    dim: usize,
    /// The row group that is read, and its columns.
    group: usize,
    open: Option<(Vec<ColumnReader>, Vec<ColumnReader>)>,
    done: u64,
    /// The first block, which was read to know the dimension.
    ahead: Option<Block>,
}

/// The rows of a parquet file.
pub(super) fn open(file: File, wanted: &Wanted) -> Outcome<Box<dyn Source>> {
    let again = Arc::new(file.try_clone()?);
    let reader = SerializedFileReader::new(file).map_err(not_whole)?;
    let metadata = reader.metadata().file_metadata();
    let schema = metadata.schema_descr();
    let notes = metadata.key_value_metadata().into_iter().flatten();
    let pandas = notes.filter(|note| note.key == "pandas").find_map(|note| note.value.as_deref());
    let indices = pandas.map(table::indices).unwrap_or_default();
    let columns: Vec<Column> = schema.columns().iter().map(|column| described(column)).collect();
    let embedding =
        table::choose(&columns, wanted.name.as_deref(), &wanted.texts, &indices).map_err(Failure::Content)?;
    let (name, dim) = match &embedding {
        Embedding::Lists(column) => (root(&schema.column(*column)).to_owned(), 0),
        Embedding::Flat(columns, _) => (String::new(), columns.len()),
    };
    let texts = wanted.texts.iter().map(|text| text_column(schema.columns(), text));
    let texts = texts.collect::<std::result::Result<_, _>>().map_err(Failure::Content)?;
    let rows = u64::try_from(metadata.num_rows()).unwrap_or_default();
    if rows == 0 {
        return Err(Failure::Content("has no rows".to_owned()));
    }
    let mut parquet = Parquet {
        reader,
        file: again,
        embedding,
        texts,
        name,
        rows,
        dim,
        group: 0,
        open: None,
        done: 0,
        ahead: None,
    };
    parquet.ahead = parquet.read(1)?;
    Ok(Box::new(parquet))
}

/// The outermost name of a column.
fn root(column: &ColumnDescriptor) -> &str {
    column.path().parts().first().map_or("", String::as_str)
}

fn described(column: &ColumnDescriptor) -> Column {
    let is_half = column.physical_type() == Type::FIXED_LEN_BYTE_ARRAY
        && matches!(column.logical_type_ref(), Some(LogicalType::Float16));
    let is_float = matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE) || is_half;
    let lists = if column.max_rep_level() > 0 { "lists of " } else { "" };
    Column {
        name: root(column).to_owned(),
        path: column.path().string(),
        kind: match column.max_rep_level() {
            1 if is_float => Kind::Lists,
            0 if is_float && column.path().parts().len() == 1 => Kind::Number,
            _ => Kind::Other,
        },
        holds: format!("{lists}{}", column.physical_type()),
    }
}

fn text_column(columns: &[Arc<ColumnDescriptor>], name: &str) -> std::result::Result<usize, String> {
    let found = columns.iter().position(|column| root(column) == name);
    let column = found.ok_or_else(|| {
        format!(
            "has no column {name}; it has {}",
            columns.iter().map(|c| root(c)).collect::<Vec<_>>().join(", ")
        )
    })?;
    match (columns[column].max_rep_level(), columns[column].physical_type()) {
        (0, Type::BYTE_ARRAY | Type::INT32 | Type::INT64 | Type::BOOLEAN) => Ok(column),
        (_, other) => Err(format!("column {name} holds {other}; expected text or integers")),
    }
}

impl Source for Parquet {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> Option<u64> {
        Some(self.rows)
    }

    fn dimensions(&self) -> Option<&Dimensions> {
        self.embedding.dimensions()
    }

    fn next(&mut self) -> Outcome<Option<Block>> {
        match self.ahead.take() {
            Some(block) => Ok(Some(block)),
            None => self.read((BLOCK / self.dim).max(1)),
        }
    }
}

impl Parquet {
    /// At most `most` rows, from one row group.
    fn read(&mut self, most: usize) -> Outcome<Option<Block>> {
        loop {
            let (columns, texts) = match &mut self.open {
                Some(open) => open,
                None if self.group == self.reader.num_row_groups() => {
                    if self.done != self.rows {
                        return Err(Failure::Content(format!(
                            "promises {} rows and has {}; it is damaged",
                            self.rows, self.done
                        )));
                    }
                    return Ok(None);
                }
                None => {
                    let open = |column: usize| {
                        parquet_columns::reader(&self.file, self.reader.metadata(), self.group, column)
                    };
                    let texts = self.texts.iter().map(|&text| open(text)).collect::<Result<_, _>>();
                    let columns = self.embedding.columns().iter().map(|&column| open(column));
                    let columns = columns.collect::<Result<_, _>>().map_err(not_whole)?;
                    self.open.insert((columns, texts.map_err(not_whole)?))
                }
            };
            let rows = match &self.embedding {
                Embedding::Flat(..) => parquet_flat::rows(columns, most, self.done)?,
                Embedding::Lists(column) => {
                    let schema = self.reader.metadata().file_metadata().schema_descr();
                    let full = schema.column(*column).max_def_level();
                    let place = Place { name: &self.name, first: self.done, dim: self.dim, full };
                    lists_of(&mut columns[0], most, &place)?
                }
            };
            let Some(rows) = rows else {
                self.open = None;
                self.group += 1;
                continue;
            };
            let texts = texts.iter_mut().map(|text| words(text, rows.len())).collect::<Outcome<_>>()?;
            self.done += rows.len() as u64;
            self.dim = rows.dim();
            return Ok(Some(Block { rows, texts }));
        }
    }
}

/// Where a block stands, for its checks and their sentences.
struct Place<'a> {
    name: &'a str,
    first: u64,
    /// 0 as long as it is not known.
    dim: usize,
    /// The definition level of a number that is there.
    full: i16,
}

fn lists_of(column: &mut ColumnReader, most: usize, place: &Place<'_>) -> Outcome<Option<Rows>> {
    Ok(match column {
        ColumnReader::FloatColumnReader(reader) => {
            lists::<FloatType, f32>(reader, most, place, |x| *x)?.map(Rows::F32)
        }
        ColumnReader::DoubleColumnReader(reader) => {
            lists::<DoubleType, f64>(reader, most, place, |x| *x)?.map(Rows::F64)
        }
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            lists::<FixedLenByteArrayType, f32>(reader, most, place, half)?.map(Rows::F32)
        }
        _ => return Err(Failure::Content(format!("column {} is of an unknown type", place.name))),
    })
}

fn lists<D: DataType, T: Scalar>(
    reader: &mut ColumnReaderImpl<D>,
    most: usize,
    place: &Place<'_>,
    number: impl Fn(&D::T) -> T,
) -> Outcome<Option<Matrix<T>>> {
    let (mut defined, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let read = reader.read_records(most, Some(&mut defined), Some(&mut repeated), &mut values);
    let (records, _, _) = read.map_err(not_whole)?;
    if records == 0 {
        return Ok(None);
    }
    let wrong = |row: usize, what: String| {
        Err(Failure::Content(format!("row {} of column {} {what}", place.first + row as u64, place.name)))
    };
    let row_of = |at: usize| repeated[..=at].iter().filter(|level| **level == 0).count() - 1;
    if let Some(at) = defined.iter().position(|level| *level != place.full) {
        return wrong(row_of(at), "is null, empty or has a null in it; expected numbers".to_owned());
    }
    let dim = match place.dim {
        0 => repeated[1..].iter().position(|level| *level == 0).map_or(repeated.len(), |at| at + 1),
        dim => dim,
    };
    let even = |row: &[i16]| row.len() == dim && row[0] == 0 && row[1..].iter().all(|level| *level == 1);
    if let Some(row) = repeated.chunks(dim).position(|row| !even(row)) {
        let rest = &repeated[row * dim..];
        let has = rest[1..].iter().position(|level| *level == 0).map_or(rest.len(), |at| at + 1);
        return wrong(row, format!("has {has} numbers; the rows before have {dim}"));
    }
    Ok(Some(Matrix::new(values.iter().map(number).collect(), dim)))
}
