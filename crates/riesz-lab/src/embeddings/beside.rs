//! Columns of texts beside an array of numbers: in the table that has the array's name, as `riesz embed` leaves one.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::source::{Block, Failure, Source};
use super::table::listed;

/// Rows of an array, with columns of the table beside it.
struct Beside {
    numbers: Box<dyn Source>,
    table: csv::StringRecordsIntoIter<File>,
    name: String,
    columns: Vec<usize>,
}

/// The array at `path` with these columns of the table beside it.
pub(super) fn with_texts(
    numbers: Box<dyn Source>,
    path: &Path,
    texts: &[String],
) -> Result<Box<dyn Source>, Failure> {
    let name = beside(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some((table, header)) = open(path)? else {
        return Err(Failure::Content(format!(
            "has no column {}: the file holds numbers alone, and no {name} lies beside it; parquet, Arrow and CSV files have columns",
            texts[0]
        )));
    };
    let place = |text: &String| {
        header.iter().position(|field| field == text).ok_or_else(|| {
            Failure::Content(format!("has no column {text}: {name} beside it has {}", listed(&header)))
        })
    };
    let columns = texts.iter().map(place).collect::<Result<_, _>>()?;
    Ok(Box::new(Beside { numbers, table: table.into_records(), name, columns }))
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("csv")
}

type Table = csv::Reader<File>;

/// The table beside the array at `path`, and the names of its columns, if there is one.
pub(super) fn open(path: &Path) -> Result<Option<(Table, Vec<String>)>, Failure> {
    let beside = beside(path);
    let file = match File::open(&beside) {
        Ok(file) => file,
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

impl Beside {
    fn of_another_length(&self) -> Failure {
        Failure::Content(format!("has not as many rows as {} beside it", self.name))
    }
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
            return if self.table.next().is_some() { Err(self.of_another_length()) } else { Ok(None) };
        };
        block.texts = vec![Vec::new(); self.columns.len()];
        for _ in 0..block.rows.len() {
            let record = self.table.next().ok_or_else(|| self.of_another_length())?;
            let record = record.map_err(|error| not_read(&self.name, &error))?;
            for (list, &column) in block.texts.iter_mut().zip(&self.columns) {
                list.push(record.get(column).unwrap_or_default().to_owned());
            }
        }
        Ok(Some(block))
    }
}
