//! Rows of a table in text of which one column has lists of numbers: `[0.1, 0.2]`, as pandas and pgvector write them, `[0.1 0.2]` as NumPy
//! prints them, `{0.1,0.2}` as Postgres does.

use std::fs::File;

use riesz::Matrix;

use super::rows::Rows;
use super::source::{BLOCK, Block, Failure, Source};
use super::table::{self, Column, Embedding, Kind};
use super::text::not_text;

type Outcome<T> = std::result::Result<T, Failure>;

/// The numbers of a list; `None` if the field is none.
fn numbers(field: &str) -> Option<Result<Vec<f64>, String>> {
    let field = field.trim();
    let inner = [('[', ']'), ('{', '}')]
        .iter()
        .find_map(|(open, close)| field.strip_prefix(*open)?.strip_suffix(*close))?;
    if inner.contains("...") {
        return Some(Err("is a list that NumPy shortened (`...`); write all of it (tolist)".to_owned()));
    }
    let parts = inner.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty());
    let number = |part: &str| {
        part.parse::<f64>().map_err(|_| {
            let shown: String = part.chars().take(40).collect();
            format!("is a list with `{shown}`, which is not a number")
        })
    };
    Some(parts.map(number).collect())
}

/// Whether one of a row's fields is a list of numbers, as far as its beginning tells.
pub(super) fn has_list(record: &csv::StringRecord) -> bool {
    let begins = |field: &str| {
        let inner = field.trim().strip_prefix(['[', '{'])?;
        let first = inner.split(|c: char| c == ',' || c.is_whitespace()).find(|part| !part.is_empty())?;
        first.trim_end_matches([']', '}']).parse::<f64>().ok()
    };
    record.iter().any(|field| begins(field).is_some())
}

struct TextLists {
    records: csv::StringRecordsIntoIter<File>,
    first: Option<csv::StringRecord>,
    fields: usize,
    column: usize,
    name: String,
    texts: Vec<usize>,
    dim: usize,
    done: u64,
}

/// The rows of a table whose `first` row has a list; `name` is its column.
pub(super) fn open(
    records: csv::StringRecordsIntoIter<File>,
    first: csv::StringRecord,
    header: &[String],
    name: Option<&str>,
    texts: (&[String], Vec<usize>),
) -> Outcome<Box<dyn Source>> {
    let column = |(name, field): (&String, &str)| {
        let (kind, holds) = match numbers(field) {
            Some(_) => (Kind::Lists, "lists"),
            None => (Kind::Other, "text"),
        };
        Column { name: name.clone(), path: name.clone(), kind, holds: holds.to_owned() }
    };
    let columns: Vec<Column> = header.iter().zip(first.iter()).map(column).collect();
    let chosen = table::choose(&columns, name, texts.0, &[]).map_err(Failure::Content)?;
    let Embedding::Lists(column) = chosen else {
        return Err(Failure::Content("has no column of lists of numbers".to_owned()));
    };
    let (fields, name) = (header.len(), header[column].clone());
    let mut source =
        TextLists { records, first: None, fields, column, name, texts: texts.1, dim: 0, done: 0 };
    source.dim = source.list(&first)?.len();
    if source.dim == 0 {
        return Err(Failure::Content(format!("row 0, column {}: is an empty list", source.name)));
    }
    source.first = Some(first);
    Ok(Box::new(source))
}

impl TextLists {
    fn list(&self, record: &csv::StringRecord) -> Outcome<Vec<f64>> {
        let wrong =
            |what: String| Err(Failure::Content(format!("row {}, column {}: {what}", self.done, self.name)));
        match numbers(&record[self.column]) {
            Some(Ok(numbers)) => Ok(numbers),
            Some(Err(what)) => wrong(what),
            None => wrong("is no list of numbers".to_owned()),
        }
    }
}

impl Source for TextLists {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> Option<u64> {
        None
    }

    fn told(&self) -> Option<String> {
        Some(format!("the numbers of a row are the list in column {}", self.name))
    }

    fn next(&mut self) -> Outcome<Option<Block>> {
        let mut rows = Vec::new();
        let mut texts = vec![Vec::new(); self.texts.len()];
        while rows.len() < BLOCK {
            let record = match self.first.take() {
                Some(first) => first,
                None => match self.records.next() {
                    None => break,
                    Some(record) => record.map_err(not_text)?,
                },
            };
            let row = self.done;
            if record.len() != self.fields {
                return Err(Failure::Content(format!(
                    "row {row} has {} fields; the first line has {}",
                    record.len(),
                    self.fields
                )));
            }
            let numbers = self.list(&record)?;
            if numbers.len() != self.dim {
                return Err(Failure::Content(format!(
                    "row {row} has {} numbers; the first has {}",
                    numbers.len(),
                    self.dim
                )));
            }
            rows.extend(numbers);
            for (list, &column) in texts.iter_mut().zip(&self.texts) {
                list.push(record[column].trim().to_owned());
            }
            self.done += 1;
        }
        Ok((!rows.is_empty()).then(|| Block { rows: Rows::F64(Matrix::new(rows, self.dim)), texts }))
    }
}
