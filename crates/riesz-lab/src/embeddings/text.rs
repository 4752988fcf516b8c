//! Rows of a table of numbers in text: CSV or TSV, with or without a header.
//!
//! Without a name the numbers are in all columns but those that are beside an embedding by their names (`table.rs`) and those that were
//! asked for as text; a name is what the headers of the numbers begin with.

use std::fs::File;

use riesz::Matrix;

use super::rows::Rows;
use super::source::{BLOCK, Block, Failure, Source, Wanted};
use super::table::{self, Dimensions, listed};

type Outcome<T> = std::result::Result<T, Failure>;

struct Text {
    records: csv::StringRecordsIntoIter<File>,
    /// The first record, if it was no header.
    first: Option<csv::StringRecord>,
    columns: Vec<usize>,
    /// What they are called, if there is a header.
    dimensions: Option<Dimensions>,
    texts: Vec<usize>,
    width: usize,
    done: u64,
}

/// The rows of a table.
pub(super) fn open(file: File, wanted: &Wanted, separator: u8) -> Outcome<Box<dyn Source>> {
    let reader =
        csv::ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(file);
    let mut records = reader.into_records();
    let Some(first) = records.next() else { return Err(Failure::Content("is empty".to_owned())) };
    let first = first.map_err(not_text)?;
    let bare = |field: &str| field.trim_start_matches('\u{feff}').trim().to_owned();
    let header: Vec<String> = first.iter().map(bare).collect();
    let is_header = header.iter().any(|field| field.parse::<f64>().is_err());
    if !is_header && (wanted.name.is_some() || !wanted.texts.is_empty()) {
        return Err(Failure::Content("has no header, so that no column can be named".to_owned()));
    }
    let place = |text: &String| {
        header
            .iter()
            .position(|field| field == text)
            .ok_or_else(|| Failure::Content(format!("has no column {text}; it has {}", listed(&header))))
    };
    let texts = wanted.texts.iter().map(place).collect::<Outcome<Vec<usize>>>()?;
    let is_number = |field: &String| match &wanted.name {
        Some(name) => field.starts_with(name.as_str()),
        None => !is_header || !table::is_beside(field, &[], &wanted.texts),
    };
    let columns: Vec<usize> = (0..header.len()).filter(|&i| is_number(&header[i])).collect();
    if columns.is_empty() {
        return Err(Failure::Content(format!(
            "has no column {}; it has {}",
            wanted
                .name
                .as_ref()
                .map_or_else(|| "of numbers".to_owned(), |name| format!("that begins with {name}")),
            listed(&header)
        )));
    }
    let first = (!is_header).then_some(first);
    let dimensions = is_header.then(|| Dimensions::new(&header, &columns));
    Ok(Box::new(Text { records, first, columns, dimensions, texts, width: header.len(), done: 0 }))
}

impl Source for Text {
    fn dim(&self) -> usize {
        self.columns.len()
    }

    fn rows(&self) -> Option<u64> {
        None
    }

    fn dimensions(&self) -> Option<&Dimensions> {
        self.dimensions.as_ref()
    }

    fn next(&mut self) -> Outcome<Option<Block>> {
        let dim = self.columns.len();
        let mut numbers = Vec::new();
        let mut texts = vec![Vec::new(); self.texts.len()];
        while numbers.len() < BLOCK {
            let record = match self.first.take() {
                Some(first) => first,
                None => match self.records.next() {
                    None => break,
                    Some(record) => record.map_err(not_text)?,
                },
            };
            let row = self.done;
            if record.len() != self.width {
                return Err(Failure::Content(format!(
                    "row {row} has {} fields; the first line has {}",
                    record.len(),
                    self.width
                )));
            }
            for &column in &self.columns {
                let field = record[column].trim();
                let number = field.parse::<f64>().map_err(|_| {
                    let shown: String = field.chars().take(40).collect();
                    Failure::Content(format!("row {row}, column {column}: `{shown}` is not a number"))
                })?;
                numbers.push(number);
            }
            for (list, &column) in texts.iter_mut().zip(&self.texts) {
                list.push(record[column].trim().to_owned());
            }
            self.done += 1;
        }
        if numbers.is_empty() {
            return if self.done == 0 { Err(Failure::Content("has no rows".to_owned())) } else { Ok(None) };
        }
        Ok(Some(Block { rows: Rows::F64(Matrix::new(numbers, dim)), texts }))
    }
}

fn not_text(error: csv::Error) -> Failure {
    match error.into_kind() {
        csv::ErrorKind::Io(disk) => Failure::Disk(disk),
        csv::ErrorKind::Utf8 { pos, .. } => {
            Failure::Content(format!("line {}: not UTF-8; save it as UTF-8", pos.map_or(0, |pos| pos.line())))
        }
        other => Failure::Content(format!("is not a table: {other:?}")),
    }
}
