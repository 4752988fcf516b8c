//! Parquet files of images, as data hubs keep them: a column of groups with `bytes` (an encoded image) and `path`, and a column of
//! labels, whose names the schema's `huggingface` entry may have.
//!
//! Row groups are read when one of their images is asked for, and kept within a budget. Beyond it the last few are kept, so that
//! images that are asked for in order are read once; of a large row group only runs of images, as its pages are small. A small one
//! is mostly a single page, which an image costs whole.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::basic::{LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::schema::types::ColumnDescriptor;

use super::classes::in_order;
use super::decode::decode;
use super::shards;
use super::tree::Tree;
use super::{Image, Opened, Source};
use crate::parquet_columns::{self, one_line, unread};
use crate::{Error, Result, foreign};

/// Bytes of encoded images that are kept once they were read.
const KEPT: usize = 1 << 30;

/// Bytes of the runs of images that were read last, beyond these.
const RECENT: usize = 256 << 20;

/// Beyond the budget a row group with more bytes is not read whole, but runs of it with as many bytes as a page should have; unless it
/// has so few rows that Python's writers put them into one page, however large.
const WHOLE: usize = 64 << 20;
const ONE_PAGE: usize = 1024;
const RUN: usize = 1 << 20;

/// Columns of images that are taken where several would do.
const IMAGES: [&str; 2] = ["image", "img"];

/// Columns of labels, the first that is there.
const LABELS: [&str; 6] = ["label", "labels", "fine_label", "class", "target", "category"];

/// Opens the parquet files of `tree`; `None` if it has none.
///
/// # Errors
/// If a file is damaged, or has no column of images.
pub(super) fn open(tree: &Tree) -> Result<Option<Opened>> {
    if super::images::are_in(tree) {
        return Ok(None);
    }
    let files: Vec<PathBuf> = tree.entries.iter().map(|entry| tree.place.join(&entry.path)).collect();
    let files: Vec<PathBuf> =
        files.into_iter().filter(|path| is_parquet(path, tree.kind == "file")).collect();
    if files.is_empty() {
        return Ok(None);
    }
    let files = files.into_iter().map(Table::open_any).collect::<Result<Vec<_>>>()?;
    let (train, test, left_aside) = shards::by_split(files, |file| file.path.as_path());
    let classes = Classes::of(train.iter().chain(test.iter().flatten()));
    let source = |name: &'static str, files: Vec<Table>| -> Box<dyn Source> {
        Box::new(Images::new(name, files, &classes))
    };
    Ok(Some(Opened {
        kind: "parquet of images".to_owned(),
        notes: [&tree.notes[..], &left_aside[..]].concat(),
        train: source("train", train),
        test: test.map(|files| source("test", files)),
        classes: classes.names,
    }))
}

/// By the ending; a file that was named alone by its first bytes.
fn is_parquet(path: &Path, alone: bool) -> bool {
    let mut start = [0; 4];
    match alone {
        false => path.extension().is_some_and(|end| end == "parquet"),
        true => File::open(path)
            .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start))
            .is_ok_and(|()| start == *b"PAR1"),
    }
}

/// One file.
struct Table {
    path: PathBuf,
    metadata: Arc<ParquetMetaData>,
    /// The leaf column of encoded images.
    images: usize,
    /// The column of labels, as words; empty if there is none.
    words: Vec<Option<String>>,
    /// The names of the classes, if the file has them.
    names: Option<Vec<String>>,
    /// Whether the labels are whole numbers.
    numbers: bool,
}

impl Table {
    /// Opens a file, damaged or not.
    fn open_any(path: PathBuf) -> Result<Self> {
        let given_up = || Err(Error::input(format!("{}: {GIVEN_UP}", path.display())));
        foreign::decoded(|| Self::open(path.clone())).unwrap_or_else(given_up)
    }

    fn open(path: PathBuf) -> Result<Self> {
        let wrong = |error: ParquetError| damaged(&path, &error);
        let file = File::open(&path).map_err(|error| Error::io(&path, &error))?;
        let length = file.metadata().map_err(|error| Error::io(&path, &error))?.len();
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).map_err(wrong)?;
        let schema = metadata.file_metadata().schema_descr();
        let images = image_column(schema.columns()).map_err(|why| Error::input(why).at(path.display()))?;
        let mut rows = 0_u64;
        for group in metadata.row_groups() {
            rows = rows.saturating_add(u64::try_from(group.num_rows()).unwrap_or(u64::MAX));
        }
        if rows > length {
            return Err(Error::input(format!(
                "{}: claims {rows} images in {length} bytes; it is damaged",
                path.display()
            )));
        }
        let flat = |name: &str| {
            schema.columns().iter().position(|column| {
                let parts = column.path().parts();
                parts.len() == 1 && parts[0] == name && column.max_rep_level() == 0
            })
        };
        let labels = LABELS.iter().find_map(|&name| Some((name, flat(name)?)));
        let names = labels.and_then(|(name, _)| names(&metadata, name));
        let numbers = labels.is_some_and(|(_, column)| {
            matches!(schema.column(column).physical_type(), Type::INT32 | Type::INT64)
        });
        let mut table = Self {
            path: path.clone(),
            metadata: Arc::new(metadata),
            images,
            words: Vec::new(),
            names,
            numbers,
        };
        if let Some((name, column)) = labels {
            for group in 0..table.metadata.num_row_groups() {
                let read = table.words(group, column).map_err(wrong)?;
                let read = read.ok_or_else(|| {
                    Error::input(format!(
                        "{}: column {name} holds neither whole numbers nor text",
                        path.display()
                    ))
                })?;
                table.words.extend(read);
            }
            if table.words.len() as u64 != rows {
                let found = table.words.len();
                return Err(Error::input(format!(
                    "{}: promises {rows} rows and has {found} labels; it is damaged",
                    path.display()
                )));
            }
        }
        Ok(table)
    }

    fn rows_of(&self, group: usize) -> usize {
        usize::try_from(self.metadata.row_group(group).num_rows()).unwrap_or(0)
    }

    /// A reader of a column of a row group, with a file of its own.
    fn reader(&self, group: usize, column: usize) -> std::result::Result<ColumnReader, ParquetError> {
        parquet_columns::reader(&Arc::new(File::open(&self.path)?), &self.metadata, group, column)
    }

    /// The labels of a row group; `None` for a column of another type.
    fn words(
        &self,
        group: usize,
        column: usize,
    ) -> std::result::Result<Option<Vec<Option<String>>>, ParquetError> {
        let full = self.metadata.file_metadata().schema_descr().column(column).max_def_level();
        let count = self.rows_of(group);
        Ok(Some(match self.reader(group, column)? {
            ColumnReader::Int32ColumnReader(mut reader) => values(&mut reader, count, full, i32::to_string)?,
            ColumnReader::Int64ColumnReader(mut reader) => values(&mut reader, count, full, i64::to_string)?,
            ColumnReader::ByteArrayColumnReader(mut reader) => {
                values(&mut reader, count, full, |word| String::from_utf8_lossy(word.data()).into_owned())?
            }
            _ => return Ok(None),
        }))
    }

    /// Encoded images of a row group: `count` of them from row `first` on; `None` where there is none.
    fn images(
        &self,
        group: usize,
        first: usize,
        count: usize,
    ) -> std::result::Result<Vec<Option<ByteArray>>, ParquetError> {
        let full = self.metadata.file_metadata().schema_descr().column(self.images).max_def_level();
        match self.reader(group, self.images)? {
            ColumnReader::ByteArrayColumnReader(mut reader) => {
                reader.skip_records(first)?;
                values::<ByteArrayType, _>(&mut reader, count, full, ByteArray::clone)
            }
            _ => Err(ParquetError::General("the column of images is of another type".to_owned())),
        }
    }
}

/// The next `count` values of a column without lists; `None` where one is missing.
fn values<D: DataType, T>(
    reader: &mut ColumnReaderImpl<D>,
    count: usize,
    full: i16,
    value: impl Fn(&D::T) -> T,
) -> std::result::Result<Vec<Option<T>>, ParquetError> {
    let (mut defined, mut found, mut records) = (Vec::new(), Vec::new(), 0);
    while records < count {
        let (read, _, _) = reader.read_records(count - records, Some(&mut defined), None, &mut found)?;
        if read == 0 {
            return Err(ParquetError::General("a column has fewer rows than it promises".to_owned()));
        }
        records += read;
    }
    let mut found = found.iter().map(value);
    if full == 0 {
        return Ok(found.map(Some).collect());
    }
    Ok(defined.iter().map(|&level| if level == full { found.next() } else { None }).collect())
}

/// The leaf that holds encoded images.
fn image_column(columns: &[Arc<ColumnDescriptor>]) -> std::result::Result<usize, String> {
    let root = |column: &ColumnDescriptor| column.path().parts().first().cloned().unwrap_or_default();
    let is_text = |column: &ColumnDescriptor| matches!(column.logical_type_ref(), Some(LogicalType::String));
    let holds_images = |column: &ColumnDescriptor| {
        let parts = column.path().parts();
        let named = match parts {
            [_, bytes] => bytes == "bytes",
            [only] => IMAGES.contains(&only.as_str()),
            _ => false,
        };
        named && column.max_rep_level() == 0 && column.physical_type() == Type::BYTE_ARRAY && !is_text(column)
    };
    let found: Vec<usize> = (0..columns.len()).filter(|&i| holds_images(&columns[i])).collect();
    let usual = |&i: &usize| IMAGES.contains(&root(&columns[i]).as_str());
    match found[..] {
        [only] => Ok(only),
        [] => {
            let all: BTreeSet<String> = columns.iter().map(|column| root(column)).collect();
            Err(format!(
                "has no column of images; expected image or img with the encoded images as its field bytes, found {}",
                all.into_iter().collect::<Vec<_>>().join(", ")
            ))
        }
        _ => found.iter().copied().find(usual).ok_or_else(|| {
            let names: Vec<String> = found.iter().map(|&i| root(&columns[i])).collect();
            format!("has several columns of images ({}); one named image or img is taken", names.join(", "))
        }),
    }
}

/// The names of the classes of a column, if the schema's `huggingface` entry has them.
fn names(metadata: &ParquetMetaData, column: &str) -> Option<Vec<String>> {
    let entries = metadata.file_metadata().key_value_metadata()?;
    let entry = entries.iter().find(|entry| entry.key == "huggingface")?;
    let value: serde_json::Value = serde_json::from_str(entry.value.as_deref()?).ok()?;
    let names = value.pointer("/info/features")?.get(column)?.get("names")?.as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The classes of all files.
struct Classes {
    names: Vec<String>,
    /// Whether a label is a place in `names`, as the schema says; otherwise it is one of them.
    are_places: bool,
}

impl Classes {
    fn of<'a>(files: impl Iterator<Item = &'a Table> + Clone) -> Self {
        if let Some(names) = files.clone().find_map(|file| file.names.as_ref().filter(|_| file.numbers)) {
            return Self { names: names.clone(), are_places: true };
        }
        let words: BTreeSet<&str> =
            files.flat_map(|file| file.words.iter().flatten()).map(String::as_str).collect();
        let names = in_order(words).into_iter().map(str::to_owned).collect();
        Self { names, are_places: false }
    }

    /// The class of a label; none for a number outside the names, as unlabelled images have −1.
    fn class(&self, word: &str) -> Option<u32> {
        let place = match self.are_places {
            true => word.parse().ok().filter(|&place: &usize| place < self.names.len()),
            false => self.names.iter().position(|name| name == word),
        };
        place.and_then(|place| u32::try_from(place).ok())
    }
}

/// The images of some files, one after another.
struct Images {
    name: &'static str,
    groups: Vec<Group>,
    files: Vec<Table>,
    labels: Vec<Option<u32>>,
    len: usize,
    /// Bytes that may still be kept.
    room: AtomicUsize,
    /// The last runs that were read beyond it, the latest first.
    recent: Mutex<VecDeque<Run>>,
}

/// Some encoded images of a row group.
struct Run {
    group: usize,
    /// The row of the first.
    first: usize,
    bytes: usize,
    images: Arc<[Option<ByteArray>]>,
}

/// A row group.
struct Group {
    file: usize,
    /// Its place in the file.
    place: usize,
    /// The number of its first image among all.
    first: usize,
    rows: usize,
    /// Bytes of its encoded images, as the file says.
    bytes: usize,
    /// Images of a run.
    run: usize,
    /// Its encoded images, once they were read, if there was room.
    kept: Mutex<Kept>,
}

enum Kept {
    NotYet,
    Images(Arc<[Option<ByteArray>]>),
    NoRoom,
}

impl Images {
    fn new(name: &'static str, mut files: Vec<Table>, classes: &Classes) -> Self {
        let (mut groups, mut labels, mut len) = (Vec::new(), Vec::new(), 0);
        let mut known = std::collections::BTreeMap::<String, Option<u32>>::new();
        for (index, file) in files.iter_mut().enumerate() {
            for place in 0..file.metadata.num_row_groups() {
                let rows = file.rows_of(place);
                let bytes = file.metadata.row_group(place).column(file.images).uncompressed_size();
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                let rows_of_run = (RUN / (bytes / rows.max(1)).max(1)).clamp(1, rows.max(1));
                let run = if bytes <= WHOLE || rows <= ONE_PAGE { rows.max(1) } else { rows_of_run };
                let kept = Mutex::new(Kept::NotYet);
                groups.push(Group { file: index, place, first: len, rows, bytes, run, kept });
                len += rows;
            }
            for word in std::mem::take(&mut file.words) {
                labels.push(word.and_then(|word| {
                    let class = classes.class(&word);
                    *known.entry(word).or_insert(class)
                }));
            }
            labels.resize(len, None);
        }
        Self { name, groups, files, labels, len, room: AtomicUsize::new(KEPT), recent: Mutex::default() }
    }

    /// The encoded image `index`.
    fn encoded(&self, index: usize) -> std::result::Result<Option<ByteArray>, (PathBuf, ParquetError)> {
        let at = self.groups.partition_point(|group| group.first <= index) - 1;
        let group = &self.groups[at];
        let file = &self.files[group.file];
        let row = index - group.first;
        let wrong = |error| (file.path.clone(), error);
        let mut kept = group.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Kept::NotYet = *kept {
            let take = |room: usize| room.checked_sub(group.bytes);
            *kept = match self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
                Ok(_) => Kept::Images(file.images(group.place, 0, group.rows).map_err(wrong)?.into()),
                Err(_) => Kept::NoRoom,
            };
        }
        if let Kept::Images(images) = &*kept {
            return Ok(images[row].clone());
        }
        // Who waits for a whole group finds it read; runs of one may be read at once.
        let _whole = if group.run == group.rows { Some(kept) } else { None };
        let first = row / group.run * group.run;
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            recent().iter().find(|run| (run.group, run.first) == (at, first)).map(|run| run.images.clone());
        if let Some(images) = known {
            return Ok(images[row - first].clone());
        }
        let images: Arc<[Option<ByteArray>]> =
            file.images(group.place, first, group.run.min(group.rows - first)).map_err(wrong)?.into();
        let image = images[row - first].clone();
        let mut recent = recent();
        recent.push_front(Run { group: at, first, bytes: group.bytes / group.rows * images.len(), images });
        let mut bytes = 0_usize;
        recent.retain(|run| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(run.bytes.max(1));
            is_first || bytes <= RECENT
        });
        Ok(image)
    }
}

impl Source for Images {
    fn len(&self) -> usize {
        self.len
    }

    fn name(&self, index: usize) -> String {
        format!("{}/{index:05}", self.name)
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels[index]
    }

    fn image(&self, index: usize) -> Result<Image> {
        let encoded = foreign::decoded(|| self.encoded(index))
            .ok_or_else(|| Error::input(GIVEN_UP).at(self.name(index)))?;
        let bytes = encoded.map_err(|(path, error)| damaged(&path, &error))?;
        let bytes = bytes.ok_or_else(|| {
            Error::input("has no bytes; an image that is only named by a path is not read")
                .at(self.name(index))
        })?;
        decode(bytes.data()).map_err(|reason| Error::input(reason).at(self.name(index)))
    }
}

const GIVEN_UP: &str = "the parquet file is damaged: what decodes it gave up";

/// The sentence for a file that cannot be read.
fn damaged(path: &Path, error: &ParquetError) -> Error {
    let broken = || format!("the parquet file is damaged or truncated: {}", one_line(&error.to_string()));
    Error::input(format!("{}: {}", path.display(), unread(error).unwrap_or_else(broken)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(budget: usize, most: usize) -> Images {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/sources/hub/data");
        let file = |name: &str| Table::open(folder.join(name)).unwrap();
        let files = vec![file("train-00000-of-00002.parquet"), file("train-00001-of-00002.parquet")];
        let classes = Classes::of(files.iter());
        let mut images = Images::new("train", files, &classes);
        images.room = AtomicUsize::new(budget);
        images.groups.iter_mut().for_each(|group| group.run = group.run.min(most));
        images
    }

    #[test]
    fn images_beyond_the_budget_are_the_same_in_any_order() {
        let kept = images(KEPT, 1);
        let n = kept.len();
        let wanted: Vec<Result<Image>> = (0..n).map(|i| kept.image(i)).collect();
        assert!(n > 4 && wanted[0].is_ok() && wanted[0] != wanted[1]);
        for run in [1, 2, 3, 1000] {
            let images = images(0, run);
            for i in (0..n).chain((0..n).rev()).chain((0..n).map(|i| i * 5 % n)) {
                assert_eq!(images.image(i), wanted[i], "image {i}, runs of {run}");
            }
            assert!(images.groups.iter().all(|group| matches!(*group.kept.lock().unwrap(), Kept::NoRoom)));
            // All of them are small enough to be still there, each once.
            let runs: usize = images.groups.iter().map(|group| group.rows.div_ceil(group.run)).sum();
            assert_eq!(images.recent.lock().unwrap().len(), runs);
        }
    }
}
