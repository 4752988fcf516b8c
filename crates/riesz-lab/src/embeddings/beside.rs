//! Texts beside an array of numbers: in the table that has the array's name, as `riesz embed` leaves one, or in an array of one
//! dimension in the same file.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use super::source::{Block, Failure, Source};
use super::table::listed;
use super::values::{Found, Values};
use super::{npz, pickled, safetensors};
use crate::input;

/// Rows of an array, with texts beside them.
struct Beside {
    numbers: Box<dyn Source>,
    /// The table beside the array and its name, if a text is in it.
    table: Option<(csv::StringRecordsIntoIter<File>, String)>,
    texts: Vec<Text>,
    /// Rows that were given.
    done: usize,
}

/// Where the texts of a name are.
enum Text {
    /// In a column of the table.
    Column(usize),
    /// In an array of the same file.
    Array(Values),
}

/// The array at `path` with these texts beside it.
pub(super) fn with_texts(
    numbers: Box<dyn Source>,
    path: &Path,
    texts: &[String],
) -> Result<Box<dyn Source>, Failure> {
    let name = beside(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let table = open(path)?;
    let header = table.as_ref().map(|(_, header)| header);
    let place = |text: &String| {
        if let Some(column) = header.and_then(|header| header.iter().position(|field| field == text)) {
            return Ok(Text::Column(column));
        }
        let (kind, arrays) = match in_file(path, text)? {
            Some((kind, Found::Values(values))) => return of_rows(values, &*numbers, kind, text),
            Some((kind, Found::Names(names))) => (kind, names),
            None => ("column", Vec::new()),
        };
        let has = |list: String| if arrays.is_empty() { String::new() } else { list };
        Err(Failure::Content(match header {
            Some(header) => format!(
                "has no column {text}: {name} beside it has {}{}",
                listed(header),
                has(format!(", and the file itself has {}", listed(&arrays)))
            ),
            None if arrays.is_empty() => format!(
                "has no column {text}: the file holds numbers alone, and no {name} lies beside it; parquet, Arrow and CSV files have columns"
            ),
            None => {
                format!("has no {kind} {text}; it has {}, and no {name} lies beside it", listed(&arrays))
            }
        }))
    };
    let texts = texts.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let is_column = |text: &Text| matches!(text, Text::Column(_));
    let table = table.filter(|_| texts.iter().any(is_column)).map(|(table, _)| (table.into_records(), name));
    Ok(Box::new(Beside { numbers, table, texts, done: 0 }))
}

/// The array or tensor of that name in the same file, or what there is; `None` where a file has one array alone.
fn in_file(path: &Path, name: &str) -> Result<Option<(&'static str, Found)>, Failure> {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_lowercase);
    let opened = || -> Result<_, Failure> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok((BufReader::with_capacity(1 << 20, file), length))
    };
    match ending.as_deref() {
        Some("npz") => {
            let (file, length) = opened()?;
            Ok(Some(("array", npz::values(file, length, name)?)))
        }
        Some("safetensors") => {
            let (file, length) = opened()?;
            Ok(Some(("tensor", safetensors::values(file, length, name)?)))
        }
        Some("pt" | "pth" | "pkl" | "pickle") => {
            let (file, length) = opened()?;
            Ok(Some(("array or list", pickled::values(file.get_ref(), length, name)?)))
        }
        _ => Ok(None),
    }
}

/// Values that are as many as the rows.
fn of_rows(values: Values, numbers: &dyn Source, kind: &str, name: &str) -> Result<Text, Failure> {
    match numbers.rows() {
        Some(rows) if rows != values.len() as u64 => {
            Err(Failure::Content(format!("{kind} {name} has {} values for {rows} rows", values.len())))
        }
        _ => Ok(Text::Array(values)),
    }
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("csv")
}

type Table = csv::Reader<File>;

/// The table beside the array at `path`, and the names of its columns, if there is one.
pub(super) fn open(path: &Path) -> Result<Option<(Table, Vec<String>)>, Failure> {
    let beside = beside(path);
    let file = match input::open(&beside) {
        Ok(Some(file)) => file,
        Ok(None) => {
            return Err(Failure::Content(format!("{} beside it is not a plain file", beside.display())));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::Disk(error)),
    };
    let name = beside.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut table = csv::Reader::from_reader(file);
    let header = table.headers().map_err(|error| not_read(&name, &error))?;
    let header = header.iter().map(|field| field.trim_start_matches('\u{feff}').trim().to_owned()).collect();
    Ok(Some((table, header)))
}

fn not_read(name: &str, error: &csv::Error) -> Failure {
    Failure::Content(format!("{name} beside it cannot be read: {}", error.to_string().replace('\n', " ")))
}

fn of_another_length(table: &str) -> Failure {
    Failure::Content(format!("has not as many rows as {table} beside it"))
}

impl Source for Beside {
    fn dim(&self) -> usize {
        self.numbers.dim()
    }

    fn rows(&self) -> Option<u64> {
        self.numbers.rows()
    }

    fn next(&mut self) -> Result<Option<Block>, Failure> {
        let Some(mut block) = self.numbers.next()? else {
            return match self.table.as_mut().map(|(table, name)| (table.next(), name)) {
                Some((Some(_), name)) => Err(of_another_length(name)),
                _ => Ok(None),
            };
        };
        block.texts = vec![Vec::new(); self.texts.len()];
        for row in self.done..self.done + block.rows.len() {
            let record = match &mut self.table {
                Some((table, name)) => {
                    let record = table.next().ok_or_else(|| of_another_length(name))?;
                    Some(record.map_err(|error| not_read(name, &error))?)
                }
                None => None,
            };
            for (list, text) in block.texts.iter_mut().zip(&self.texts) {
                list.push(match text {
                    Text::Column(column) => {
                        record.as_ref().and_then(|record| record.get(*column)).unwrap_or_default().to_owned()
                    }
                    Text::Array(values) => values.text(row),
                });
            }
        }
        self.done += block.rows.len();
        Ok(Some(block))
    }
}
