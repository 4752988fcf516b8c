//! The parquet file: one row an image, with the columns `name` (string), `label` (int64 or null), `class` (the label's word, where
//! classes have names), `pixels` (string: which images are the same to the last pixel), `image` (a group of `bytes` and `path`, as data
//! hubs have it, if there are thumbnails) and `embedding` (list of float), so that pandas, polars, DuckDB, `datasets` and viewers of
//! embeddings read it as it is.
//!
//! Rows are written as they come, one row group after another.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use riesz::Matrix;
use serde_json::json;

use crate::atomic::Unfinished;
use crate::{Error, Result};

/// Bytes of a row group, which is what a writer holds at once, and some readers.
const GROUP: usize = 32 << 20;

/// Numbers handed to the column writer at once, which bounds the memory of the nesting levels.
const NUMBERS_A_BATCH: usize = 1 << 18;

/// What a file has beside names, labels, pixels and numbers.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Names of the classes, by label; empty if they have none.
    pub classes: Vec<String>,
    /// Whether rows have a small picture.
    pub thumbnails: bool,
    /// An entry of the file's metadata: its key and its value.
    pub about: Option<(String, String)>,
}

/// Some rows and what is beside them, all in one order.
#[derive(Clone, Debug)]
pub struct Part {
    /// Names of the images.
    pub names: Vec<String>,
    /// Their labels.
    pub labels: Vec<Option<u32>>,
    /// Words that are the same for images with the same pixels.
    pub pixels: Vec<String>,
    /// Small pictures, encoded; none if the file has no column of them.
    pub thumbnails: Vec<Vec<u8>>,
    /// The embeddings.
    pub rows: Matrix<f32>,
}

impl Part {
    fn bytes(&self) -> usize {
        let texts = self.names.iter().chain(&self.pixels).map(String::len).sum::<usize>();
        texts + self.thumbnails.iter().map(Vec::len).sum::<usize>() + 4 * self.rows.as_slice().len()
    }
}

/// A parquet file of embeddings that is being written; it has its name when it is finished.
pub struct ParquetFile {
    path: PathBuf,
    unfinished: Unfinished,
    writer: SerializedFileWriter<BufWriter<File>>,
    columns: Columns,
    waiting: Vec<Part>,
    bytes: usize,
}

impl ParquetFile {
    /// Begins the file `path`.
    ///
    /// # Errors
    /// If the disk refuses; a file that was there is untouched.
    pub fn create(path: &Path, columns: Columns) -> Result<Self> {
        let unfinished = Unfinished::new(path)?;
        let file = BufWriter::with_capacity(1 << 20, unfinished.file()?);
        let writer = begin(file, &columns).map_err(|error| Error::io(path, &to_io(error)))?;
        Ok(Self { path: path.to_owned(), unfinished, writer, columns, waiting: Vec::new(), bytes: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// If the disk refuses.
    ///
    /// # Panics
    /// If the lists differ in length.
    pub fn push(&mut self, part: Part) -> Result<()> {
        let n = part.rows.len();
        assert!(
            [part.names.len(), part.labels.len(), part.pixels.len()] == [n; 3]
                && part.thumbnails.len() == if self.columns.thumbnails { n } else { 0 },
            "names, labels, pixels and thumbnails of {n} rows"
        );
        self.bytes += part.bytes();
        self.waiting.push(part);
        if self.bytes >= GROUP { self.write() } else { Ok(()) }
    }

    /// Writes the rest, and gives the file its name.
    ///
    /// # Errors
    /// If the disk refuses; a file that was there is untouched.
    pub fn finish(mut self) -> Result<()> {
        self.write()?;
        let wrong = |error| Error::io(&self.path, &to_io(error));
        self.writer.finish().map_err(wrong)?;
        self.unfinished.finish()
    }

    /// Writes what waits as a row group.
    fn write(&mut self) -> Result<()> {
        let parts = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        if parts.is_empty() {
            return Ok(());
        }
        write_group(&mut self.writer, &self.columns, &parts)
            .map_err(|error| Error::io(&self.path, &to_io(error)))
    }
}

fn begin(file: BufWriter<File>, columns: &Columns) -> ParquetResult<SerializedFileWriter<BufWriter<File>>> {
    let class = if columns.classes.is_empty() { "" } else { "optional binary class (STRING);" };
    let image = match columns.thumbnails {
        true => "optional group image { optional binary bytes; optional binary path (STRING); }",
        false => "",
    };
    let schema = format!(
        "message embeddings {{ required binary name (STRING); optional int64 label; {class} required binary pixels (STRING); {image} \
         required group embedding (LIST) {{ repeated group list {{ required float element; }} }} }}"
    );
    let mut properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED);
    for parts in [
        &["name"][..],
        &["pixels"],
        &["image", "bytes"],
        &["image", "path"],
        &["embedding", "list", "element"],
    ] {
        let column = ColumnPath::new(parts.iter().map(|&part| part.to_owned()).collect());
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_statistics_enabled(column, EnabledStatistics::None);
    }
    let mut entries = vec![KeyValue::new("huggingface".to_owned(), features(columns))];
    entries.extend(columns.about.clone().map(|(key, value)| KeyValue::new(key, value)));
    let properties = properties.set_key_value_metadata(Some(entries)).build();
    SerializedFileWriter::new(file, Arc::new(parse_message_type(&schema)?), Arc::new(properties))
}

/// What the columns are, in the words of the library `datasets`.
fn features(columns: &Columns) -> String {
    let value = |kind: &str| json!({ "dtype": kind, "_type": "Value" });
    let mut features = serde_json::Map::new();
    features.insert("name".to_owned(), value("string"));
    if columns.classes.is_empty() {
        features.insert("label".to_owned(), value("int64"));
    } else {
        features.insert("label".to_owned(), json!({ "names": columns.classes, "_type": "ClassLabel" }));
        features.insert("class".to_owned(), value("string"));
    }
    features.insert("pixels".to_owned(), value("string"));
    if columns.thumbnails {
        features.insert("image".to_owned(), json!({ "_type": "Image" }));
    }
    features.insert("embedding".to_owned(), json!({ "feature": value("float32"), "_type": "Sequence" }));
    json!({ "info": { "features": features } }).to_string()
}

fn write_group(
    writer: &mut SerializedFileWriter<BufWriter<File>>,
    columns: &Columns,
    parts: &[Part],
) -> ParquetResult<()> {
    let mut group = writer.next_row_group()?;
    let words = |of: fn(&Part) -> &Vec<String>| -> Vec<ByteArray> {
        parts.iter().flat_map(of).map(|word| word.as_str().into()).collect()
    };
    let names = words(|part| &part.names);
    column::<ByteArrayType>(&mut group, &names, None)?;

    let labels: Vec<Option<u32>> = parts.iter().flat_map(|part| &part.labels).copied().collect();
    let defined = |some: &mut dyn Iterator<Item = bool>| some.map(i16::from).collect::<Vec<i16>>();
    let values: Vec<i64> = labels.iter().flatten().map(|&label| i64::from(label)).collect();
    column::<Int64Type>(&mut group, &values, Some(&defined(&mut labels.iter().map(Option::is_some))))?;
    if !columns.classes.is_empty() {
        let class = |label: &Option<u32>| columns.classes.get((*label)? as usize);
        let classes: Vec<Option<&String>> = labels.iter().map(class).collect();
        let values: Vec<ByteArray> = classes.iter().flatten().map(|word| word.as_str().into()).collect();
        let defined = defined(&mut classes.iter().map(Option::is_some));
        column::<ByteArrayType>(&mut group, &values, Some(&defined))?;
    }
    column::<ByteArrayType>(&mut group, &words(|part| &part.pixels), None)?;
    if columns.thumbnails {
        // The group is there (1), and so is what is in it (2).
        let defined = vec![2; names.len()];
        let thumbnails: Vec<ByteArray> =
            parts.iter().flat_map(|part| &part.thumbnails).map(|bytes| bytes.clone().into()).collect();
        column::<ByteArrayType>(&mut group, &thumbnails, Some(&defined))?;
        column::<ByteArrayType>(&mut group, &names, Some(&defined))?;
    }

    let mut embedding = group.next_column()?.ok_or_else(too_few)?;
    for part in parts {
        let dim = part.rows.dim();
        for batch in part.rows.as_slice().chunks((NUMBERS_A_BATCH / dim).max(1) * dim) {
            // Every list has all its elements (definition 1); the first of each starts a row (repetition 0).
            let defined = vec![1; batch.len()];
            let repeated: Vec<i16> = (0..batch.len()).map(|i| i16::from(i % dim != 0)).collect();
            embedding.typed::<FloatType>().write_batch(batch, Some(&defined), Some(&repeated))?;
        }
    }
    embedding.close()?;
    group.close()?;
    Ok(())
}

/// Writes the next column, which has no lists.
fn column<D: DataType>(
    group: &mut SerializedRowGroupWriter<'_, BufWriter<File>>,
    values: &[D::T],
    defined: Option<&[i16]>,
) -> ParquetResult<()> {
    let mut column = group.next_column()?.ok_or_else(too_few)?;
    column.typed::<D>().write_batch(values, defined, None)?;
    column.close()
}

fn too_few() -> ParquetError {
    ParquetError::General("the schema has fewer columns than are written".to_owned())
}

/// The disk's own error where there is one, so that a full disk is called a full disk.
fn to_io(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(disk) => *disk,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::{Field, RowAccessor};

    use super::*;

    /// Rows `first..last`, each with a thumbnail of three bytes if there are any.
    fn part(first: usize, last: usize, dim: usize, thumbnails: bool) -> Part {
        Part {
            names: (first..last).map(|i| format!("bild/ä{i}.png")).collect(),
            labels: (first..last).map(|i| (i % 3 != 0).then_some(i as u32 % 10)).collect(),
            pixels: (first..last).map(|i| format!("{:x}", i / 2)).collect(),
            thumbnails: (first..last).filter(|_| thumbnails).map(|i| vec![i as u8; 3]).collect(),
            rows: Matrix::new((first * dim..last * dim).map(|i| (i as f32).sin()).collect(), dim),
        }
    }

    #[test]
    fn a_reader_finds_what_was_written_in_every_row_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        // Two row groups, and more rows than one batch and than the default page.
        let (n, dim) = (20_000, 500);
        let classes: Vec<String> = (0..10).map(|i| format!("class {i}")).collect();
        let about = Some(("riesz".to_owned(), "{}".to_owned()));
        let mut file = ParquetFile::create(&path, Columns { classes, thumbnails: true, about }).unwrap();
        for first in (0..n).step_by(999) {
            file.push(part(first, n.min(first + 999), dim, true)).unwrap();
            assert!(!path.exists(), "a file has its name when it is whole");
        }
        file.finish().unwrap();
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let entries = reader.metadata().file_metadata().key_value_metadata().unwrap();
        assert!(entries.iter().any(|entry| entry.key == "riesz" && entry.value.as_deref() == Some("{}")));
        let wanted = part(0, n, dim, true);
        let mut i = 0;
        for row in reader.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let label = wanted.labels[i];
            assert_eq!(row.get_string(0).unwrap(), &wanted.names[i]);
            assert_eq!(row.get_long(1).ok().map(|label| label as u32), label);
            assert_eq!(row.get_string(2).ok(), label.map(|label| format!("class {label}")).as_ref());
            assert_eq!(row.get_string(3).unwrap(), &wanted.pixels[i]);
            let image = row.get_group(4).unwrap();
            assert_eq!(image.get_bytes(0).unwrap().data(), wanted.thumbnails[i]);
            assert_eq!(image.get_string(1).unwrap(), &wanted.names[i]);
            let embedding: Vec<Field> = row.get_list(5).unwrap().elements().to_vec();
            assert!(embedding.iter().zip(wanted.rows.row(i)).all(|(a, b)| *a == Field::Float(*b)), "row {i}");
            i += 1;
        }
        assert_eq!(i, n);
    }

    #[test]
    fn without_classes_and_thumbnails_there_are_four_columns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let mut file = ParquetFile::create(&path, Columns::default()).unwrap();
        file.push(part(0, 2, 3, false)).unwrap();
        file.finish().unwrap();
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let columns = reader.metadata().file_metadata().schema_descr().columns();
        let names: Vec<&str> = columns.iter().map(|column| column.path().parts()[0].as_str()).collect();
        assert_eq!(names, ["name", "label", "pixels", "embedding"]);
    }

    #[test]
    fn what_is_dropped_before_it_is_finished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = ParquetFile::create(&folder.path().join("rows.parquet"), Columns::default()).unwrap();
        file.push(part(0, 9, 1, false)).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_full_disk_is_called_so() {
        let full = ParquetError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(to_io(full).kind(), io::ErrorKind::StorageFull);
    }
}
