//! Rows of an Arrow IPC file (Feather, version 2) or stream: a column of lists or fixed-size lists of f16, f32 or f64, or a column of
//! numbers for each dimension; record batch by record batch.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, RecordBatch};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use riesz::{Matrix, Scalar};

use super::arrow_promises;
use super::arrow_zstd::Unpacked;
use super::rows::Rows;
use super::source::{Block, Failure, Source, Wanted};
use super::table::{self, Column, Dimensions, Embedding, Kind};

type Outcome<T> = std::result::Result<T, Failure>;

struct Arrow {
    batches: Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>,
    embedding: Embedding,
    texts: Vec<usize>,
    name: String,
    dim: usize,
    done: u64,
    ahead: Option<Block>,
}

/// The rows of an Arrow file.
pub(super) fn open(file: File, wanted: &Wanted) -> Outcome<Box<dyn Source>> {
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut magic = [0; 6];
    file.read_exact(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    if magic.starts_with(b"FEA1") {
        return Err(Failure::Content(
            "is Feather version 1; write it as version 2, which is Arrow IPC".to_owned(),
        ));
    }
    // The messages of a file follow its mark as they do in a stream.
    let is_file = &magic == b"ARROW1";
    let first = if is_file { 8 } else { 0 };
    let is_zstd = if is_file {
        arrow_promises::check_file(&mut file)? && arrow_promises::check_stream(&mut file, first)?
    } else {
        arrow_promises::check_stream(&mut file, first)?
    };
    file.seek(SeekFrom::Start(0))?;
    let (schema, batches): (_, Box<dyn Iterator<Item = _> + Send>) = if is_zstd {
        let reader = StreamReader::try_new(Unpacked::new(file, first)?, None).map_err(not_whole)?;
        (reader.schema(), Box::new(reader))
    } else if is_file {
        let reader = FileReader::try_new(file, None).map_err(not_whole)?;
        (reader.schema(), Box::new(reader))
    } else {
        let reader = StreamReader::try_new(file, None).map_err(not_whole)?;
        (reader.schema(), Box::new(reader))
    };
    let indices = schema.metadata().get("pandas").map(|note| table::indices(note)).unwrap_or_default();
    let columns: Vec<Column> = schema.fields().iter().map(|field| described(field)).collect();
    let embedding =
        table::choose(&columns, wanted.name.as_deref(), &wanted.texts, &indices).map_err(Failure::Content)?;
    let texts = wanted.texts.iter().map(|text| {
        schema.index_of(text).map_err(|_| format!("has no column {text}; it has {}", names(&schema)))
    });
    let texts = texts.collect::<std::result::Result<_, _>>().map_err(Failure::Content)?;
    let name = schema.field(embedding.columns()[0]).name().clone();
    let mut arrow = Arrow { batches, embedding, texts, name, dim: 0, done: 0, ahead: None };
    arrow.ahead = arrow.read()?;
    if arrow.ahead.is_none() {
        return Err(Failure::Content("has no rows".to_owned()));
    }
    Ok(Box::new(arrow))
}

fn names(schema: &Schema) -> String {
    schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
}

fn described(field: &Field) -> Column {
    let is_float =
        |kind: &DataType| matches!(kind, DataType::Float16 | DataType::Float32 | DataType::Float64);
    let kind = match field.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)
            if is_float(item.data_type()) =>
        {
            Kind::Lists
        }
        kind if is_float(kind) => Kind::Number,
        _ => Kind::Other,
    };
    let name = field.name();
    Column { name: name.clone(), path: name.clone(), kind, holds: field.data_type().to_string() }
}

impl Source for Arrow {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> Option<u64> {
        None
    }

    fn dimensions(&self) -> Option<&Dimensions> {
        self.embedding.dimensions()
    }

    fn next(&mut self) -> Outcome<Option<Block>> {
        match self.ahead.take() {
            Some(block) => Ok(Some(block)),
            None => self.read(),
        }
    }
}

impl Arrow {
    fn read(&mut self) -> Outcome<Option<Block>> {
        loop {
            let Some(batch) = self.batches.next() else { return Ok(None) };
            let batch = batch.map_err(not_whole)?;
            if batch.num_rows() == 0 {
                continue;
            }
            let lists = batch.column(self.embedding.columns()[0]);
            let item = match lists.data_type() {
                DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                    Some(item.data_type())
                }
                _ => None,
            };
            let rows = match item {
                None => self.flat(&batch)?,
                Some(DataType::Float16) => {
                    Rows::F32(self.rows::<Float16Type, f32>(lists, half::f16::to_f32)?)
                }
                Some(DataType::Float32) => Rows::F32(self.rows::<Float32Type, f32>(lists, |x| x)?),
                Some(_) => Rows::F64(self.rows::<Float64Type, f64>(lists, |x| x)?),
            };
            let texts = self.texts.iter().map(|&text| words(batch.column(text))).collect::<Outcome<_>>()?;
            self.done += rows.len() as u64;
            self.dim = rows.dim();
            return Ok(Some(Block { rows, texts }));
        }
    }

    /// Rows whose numbers have a column each; f64 if one of the columns is.
    fn flat(&self, batch: &RecordBatch) -> Outcome<Rows> {
        let (count, dim) = (batch.num_rows(), self.embedding.columns().len());
        let mut across = vec![0.0; count * dim];
        let mut is_wide = false;
        for (at, &column) in self.embedding.columns().iter().enumerate() {
            let column = batch.column(column);
            if let Some(row) = (0..count).find(|&row| column.is_null(row)) {
                let row = self.done + row as u64;
                return Err(Failure::Content(format!("row {row} has a null in it; expected numbers")));
            }
            let mut put = |row: usize, x: f64| across[row * dim + at] = x;
            match column.data_type() {
                DataType::Float16 => {
                    let values = column.as_primitive::<Float16Type>().values().iter();
                    values.enumerate().for_each(|(row, x)| put(row, x.to_f64()));
                }
                DataType::Float32 => {
                    let values = column.as_primitive::<Float32Type>().values().iter();
                    values.enumerate().for_each(|(row, x)| put(row, f64::from(*x)));
                }
                _ => {
                    is_wide = true;
                    let values = column.as_primitive::<Float64Type>().values().iter();
                    values.enumerate().for_each(|(row, x)| put(row, *x));
                }
            }
        }
        Ok(if is_wide {
            Rows::F64(Matrix::new(across, dim))
        } else {
            Rows::F32(Matrix::new(across.into_iter().map(|x| x as f32).collect(), dim))
        })
    }

    fn rows<A: ArrowPrimitiveType, T: Scalar>(
        &self,
        lists: &ArrayRef,
        number: impl Fn(A::Native) -> T,
    ) -> Outcome<Matrix<T>> {
        let mut numbers = Vec::new();
        let mut dim = self.dim;
        for row in 0..lists.len() {
            let wrong = |what: String| {
                Err(Failure::Content(format!(
                    "row {} of column {} {what}",
                    self.done + row as u64,
                    self.name
                )))
            };
            if lists.is_null(row) {
                return wrong("is null; expected numbers".to_owned());
            }
            let list = match lists.data_type() {
                DataType::List(_) => lists.as_list::<i32>().value(row),
                DataType::LargeList(_) => lists.as_list::<i64>().value(row),
                _ => lists.as_fixed_size_list().value(row),
            };
            if list.null_count() > 0 || list.is_empty() {
                return wrong("is empty or has a null in it; expected numbers".to_owned());
            }
            if dim == 0 {
                dim = list.len();
            }
            if list.len() != dim {
                return wrong(format!("has {} numbers; the rows before have {dim}", list.len()));
            }
            numbers.extend(list.as_primitive::<A>().values().iter().map(|x| number(*x)));
        }
        Ok(Matrix::new(numbers, dim))
    }
}

/// The values of a column as text; empty where there is none.
fn words(column: &ArrayRef) -> Outcome<Vec<String>> {
    if let Some(coded) = column.as_any_dictionary_opt() {
        if coded.values().is_empty() {
            return Ok(vec![String::new(); column.len()]);
        }
        let values = words(coded.values())?;
        let word = |(row, key): (usize, usize)| match column.is_null(row) {
            true => String::new(),
            false => values[key].clone(),
        };
        return Ok(coded.normalized_keys().into_iter().enumerate().map(word).collect());
    }
    let word = |i: usize| -> Option<String> {
        if column.is_null(i) {
            return Some(String::new());
        }
        Some(match column.data_type() {
            DataType::Utf8 => column.as_string::<i32>().value(i).to_owned(),
            DataType::LargeUtf8 => column.as_string::<i64>().value(i).to_owned(),
            DataType::Utf8View => column.as_string_view().value(i).to_owned(),
            DataType::Int32 => column.as_primitive::<Int32Type>().value(i).to_string(),
            DataType::Int64 => column.as_primitive::<Int64Type>().value(i).to_string(),
            DataType::Boolean => column.as_boolean().value(i).to_string(),
            _ => return None,
        })
    };
    (0..column.len()).map(word).collect::<Option<_>>().ok_or_else(|| {
        Failure::Content(format!(
            "a column beside the embeddings holds {}; expected text or integers",
            column.data_type()
        ))
    })
}

fn not_whole(error: ArrowError) -> Failure {
    let told = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    match error {
        ArrowError::IoError(_, disk) if disk.kind() == std::io::ErrorKind::UnexpectedEof => {
            Failure::Disk(disk)
        }
        _ if told.contains("compression") => Failure::Content(format!(
            "is compressed in a way that riesz does not read ({told}); uncompressed, LZ4 and Zstandard are read"
        )),
        _ => Failure::Content(format!("is not a whole Arrow file: {told}")),
    }
}
