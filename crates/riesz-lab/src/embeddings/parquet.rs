//! The parquet file: one row an item, with the columns `name` (string), `label` (int32 or null) and `embedding`
//! (list of float), so that pandas, polars, DuckDB and embedding viewers read it as it is.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int32Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use riesz::Matrix;

use crate::{Error, Result, atomic};

const SCHEMA: &str = "message embeddings {
    required binary name (STRING);
    optional int32 label;
    required group embedding (LIST) { repeated group list { required float element; } }
}";

/// Numbers of a row group (64 MiB of floats), which is what a reader holds at once.
const NUMBERS_A_GROUP: usize = 1 << 24;

/// Numbers handed to the column writer at once, which bounds the memory of the nesting levels.
const NUMBERS_A_BATCH: usize = 1 << 18;

/// Writes a parquet file with the columns `name` (string), `label` (int32, null where there is none) and `embedding`
/// (list of float), uncompressed: embeddings do not compress.
///
/// # Errors
/// If a label is above 2³¹ − 1 or the disk refuses; a file that was there is untouched.
///
/// # Panics
/// If names, labels and rows differ in number.
pub fn write_parquet(
    path: &Path,
    names: &[String],
    labels: Option<&[Option<u32>]>,
    rows: &Matrix<f32>,
) -> Result<()> {
    assert!(names.len() == rows.len(), "{} names, {} rows", names.len(), rows.len());
    assert!(
        labels.is_none_or(|labels| labels.len() == rows.len()),
        "labels and {} rows differ in number",
        rows.len()
    );
    let labels: Vec<Option<i32>> = match labels {
        None => vec![None; rows.len()],
        Some(labels) => labels
            .iter()
            .map(|label| label.map(|label| to_int32(path, label)).transpose())
            .collect::<Result<_>>()?,
    };
    atomic::write(path, |file| write(file, names, &labels, rows).map_err(to_io))
}

fn write(
    file: impl io::Write + Send,
    names: &[String],
    labels: &[Option<i32>],
    rows: &Matrix<f32>,
) -> ParquetResult<()> {
    let embedding = ColumnPath::new(["embedding", "list", "element"].map(str::to_owned).to_vec());
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(embedding.clone(), false)
        .set_column_dictionary_enabled(ColumnPath::from("name"), false)
        .set_column_statistics_enabled(embedding, EnabledStatistics::None)
        .build();
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
    let dim = rows.dim();
    let group_rows = (NUMBERS_A_GROUP / dim).max(1);
    for first in (0..rows.len()).step_by(group_rows) {
        let range = first..rows.len().min(first + group_rows);
        let mut group = writer.next_row_group()?;

        let mut column = next(&mut group)?;
        let values: Vec<ByteArray> = names[range.clone()].iter().map(|name| name.as_str().into()).collect();
        column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
        column.close()?;

        let mut column = next(&mut group)?;
        let labels = &labels[range.clone()];
        let values: Vec<i32> = labels.iter().copied().flatten().collect();
        let defined: Vec<i16> = labels.iter().map(|label| i16::from(label.is_some())).collect();
        column.typed::<Int32Type>().write_batch(&values, Some(&defined), None)?;
        column.close()?;

        let mut column = next(&mut group)?;
        let numbers = &rows.as_slice()[range.start * dim..range.end * dim];
        for batch in numbers.chunks((NUMBERS_A_BATCH / dim).max(1) * dim) {
            // Every list has all its elements (definition 1); the first of each starts a row (repetition 0).
            let defined = vec![1; batch.len()];
            let repeated: Vec<i16> = (0..batch.len()).map(|i| i16::from(i % dim != 0)).collect();
            column.typed::<FloatType>().write_batch(batch, Some(&defined), Some(&repeated))?;
        }
        column.close()?;
        group.close()?;
    }
    writer.close()?;
    Ok(())
}

fn next<'a, W: io::Write + Send>(
    group: &'a mut SerializedRowGroupWriter<'_, W>,
) -> ParquetResult<SerializedColumnWriter<'a>> {
    group
        .next_column()?
        .ok_or_else(|| ParquetError::General("the schema has fewer than three columns".to_owned()))
}

fn to_int32(path: &Path, label: u32) -> Result<i32> {
    i32::try_from(label).map_err(|_| {
        Error::input(format!("{}: label {label} does not fit into parquet's int32", path.display()))
    })
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
    use parquet::record::RowAccessor;

    use super::*;

    fn read_back(path: &Path) -> Vec<(String, Option<i32>, Vec<f32>)> {
        let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
        let row = |row: parquet::record::Row| {
            let embedding = row.get_list(2).unwrap().elements().iter().map(|x| match x {
                parquet::record::Field::Float(x) => *x,
                other => panic!("{other:?} is no float"),
            });
            (row.get_string(0).unwrap().clone(), row.get_int(1).ok(), embedding.collect())
        };
        reader.get_row_iter(None).unwrap().map(|found| row(found.unwrap())).collect()
    }

    #[test]
    fn a_reader_finds_names_labels_and_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        // More rows than one batch, and than the default page.
        let (n, dim) = (3000, 100);
        let rows = Matrix::new((0..n * dim).map(|i| (i as f32).sin()).collect(), dim);
        let names: Vec<String> = (0..n).map(|i| format!("bild/ä{i}.png")).collect();
        let labels: Vec<Option<u32>> = (0..n as u32).map(|i| (i % 3 != 0).then_some(i % 10)).collect();
        write_parquet(&path, &names, Some(&labels), &rows).unwrap();
        let found = read_back(&path);
        assert_eq!(found.len(), n);
        for (i, (name, label, embedding)) in found.iter().enumerate() {
            assert_eq!((name, label.map(|label| label as u32)), (&names[i], labels[i]));
            assert_eq!(embedding, rows.row(i));
        }
        write_parquet(&path, &names[..1], None, &Matrix::new(vec![0.5; dim], dim)).unwrap();
        assert_eq!(read_back(&path), [(names[0].clone(), None, vec![0.5; dim])]);
    }

    #[test]
    fn a_label_that_does_not_fit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let rows = Matrix::new(vec![0.5_f32], 1);
        let error = write_parquet(&path, &["a".to_owned()], Some(&[Some(u32::MAX)]), &rows).unwrap_err();
        assert!(error.to_string().contains("int32"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_full_disk_is_called_so() {
        let full = ParquetError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(to_io(full).kind(), io::ErrorKind::StorageFull);
    }
}
