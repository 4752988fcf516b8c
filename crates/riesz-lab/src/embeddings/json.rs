//! Rows in JSON: an object or a list of numbers on each line (`.jsonl`, `.ndjson`), or a list of them (`.json`), alone or as `data` of an
//! object, as services answer.
//!
//! A column is a path in the objects, keys and places joined by points: `embedding`, `response.body.data.0.embedding`.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use riesz::Matrix;
use serde_json::Value;

use super::rows::Rows;
use super::source::{BLOCK, Block, Failure, Source, Wanted};
use super::table::{self, Column, Embedding, Kind};

type Outcome<T> = std::result::Result<T, Failure>;

/// The most bytes of a line.
const LONGEST_LINE: u64 = 64 << 20;
/// The most bytes of a file that is one list, which is held.
const MOST_HELD: u64 = 512 << 20;
/// How deep a column may lie.
const DEEPEST: usize = 8;
/// Columns of the first row.
const MOST_COLUMNS: usize = 4096;

/// The rows of a file of a row a line.
pub(super) fn open_lines(file: File, wanted: &Wanted) -> Outcome<Box<dyn Source>> {
    open(Lines::OfFile(BufReader::with_capacity(1 << 20, file), 0), wanted)
}

/// The rows of a file of `length` bytes that is one list.
pub(super) fn open_list(file: File, length: u64, wanted: &Wanted) -> Outcome<Box<dyn Source>> {
    if length > MOST_HELD {
        return Err(Failure::Content(format!(
            "is one list of {} MB, of which 512 are held at most; write a row a line, as .jsonl",
            length >> 20
        )));
    }
    let value: Value = serde_json::from_reader(BufReader::with_capacity(1 << 20, file)).map_err(not_json)?;
    let rows = match value {
        Value::Array(rows) => Some(rows),
        Value::Object(mut object) => match object.remove("data") {
            Some(Value::Array(rows)) => Some(rows),
            _ => None,
        },
        _ => None,
    };
    let rows = rows.ok_or_else(|| {
        Failure::Content("is no list of rows, and no object with such a list as data".to_owned())
    })?;
    open(Lines::Held(rows.into_iter()), wanted)
}

fn open(mut lines: Lines, wanted: &Wanted) -> Outcome<Box<dyn Source>> {
    let Some(first) = lines.next()? else { return Err(Failure::Content("has no rows".to_owned())) };
    let mut columns = Vec::new();
    describe(&first, String::new(), 0, &mut columns);
    let path = match (&first, &wanted.name) {
        (Value::Array(_), None) => Vec::new(),
        (Value::Array(_), Some(_)) => {
            return Err(Failure::Content("has lists alone, and no columns; leave the name out".to_owned()));
        }
        _ => match table::choose(&columns, wanted.name.as_deref(), &wanted.texts, &[])
            .map_err(Failure::Content)?
        {
            Embedding::Lists(place) => parts(&columns[place].name),
            Embedding::Flat(..) => {
                return Err(Failure::Content("has no column that is a list of numbers".to_owned()));
            }
        },
    };
    let has = |text: &String| at(&first, &parts(text)).is_some();
    if let Some(missing) = wanted.texts.iter().find(|text| !has(text)) {
        let names: Vec<String> = columns.into_iter().map(|column| column.name).collect();
        return Err(Failure::Content(format!("has no column {missing}; it has {}", table::listed(&names))));
    }
    let dim = at(&first, &path).and_then(Value::as_array).map_or(0, Vec::len);
    if dim == 0 {
        return Err(Failure::Content("has an empty list in its first row".to_owned()));
    }
    let texts = wanted.texts.iter().map(|text| parts(text)).collect();
    Ok(Box::new(Json { lines, first: Some(first), path, texts, dim, done: 0 }))
}

/// Where values come from.
enum Lines {
    /// And the lines that were read.
    OfFile(BufReader<File>, u64),
    Held(std::vec::IntoIter<Value>),
}

impl Lines {
    fn next(&mut self) -> Outcome<Option<Value>> {
        let (file, number) = match self {
            Self::Held(rows) => return Ok(rows.next()),
            Self::OfFile(file, number) => (file, number),
        };
        loop {
            let mut line = Vec::new();
            file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(None);
            }
            *number += 1;
            if line.len() as u64 == LONGEST_LINE {
                return Err(Failure::Content(format!("line {number}: has 64 MB or more")));
            }
            let text = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&line);
            if text.trim_ascii().is_empty() {
                continue;
            }
            return serde_json::from_slice(text).map(Some).map_err(|error| {
                Failure::Content(format!("line {number}: is no JSON: {}", without_place(&error)))
            });
        }
    }
}

/// What the parser says, without the line, which it counts from where it began.
fn without_place(error: &serde_json::Error) -> String {
    let told = error.to_string();
    told.split(" at line ").next().unwrap_or_default().to_owned()
}

fn not_json(error: serde_json::Error) -> Failure {
    match error.io_error_kind() {
        Some(kind) => Failure::Disk(kind.into()),
        None => Failure::Content(format!("is no JSON: {error}")),
    }
}

/// The columns of a row, each by its path.
fn describe(value: &Value, name: String, depth: usize, columns: &mut Vec<Column>) {
    if columns.len() >= MOST_COLUMNS || depth > DEEPEST {
        return;
    }
    let within = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    let (kind, holds) = match value {
        Value::Object(entries) => {
            entries.iter().for_each(|(key, value)| describe(value, within(key), depth + 1, columns));
            return;
        }
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_number) => {
            (Kind::Lists, "lists")
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate().filter(|(_, item)| !item.is_number()) {
                describe(item, within(&place.to_string()), depth + 1, columns);
            }
            return;
        }
        Value::Number(_) => (Kind::Other, "numbers"),
        Value::String(_) => (Kind::Other, "text"),
        Value::Bool(_) => (Kind::Other, "true or false"),
        Value::Null => (Kind::Other, "null"),
    };
    columns.push(Column { path: name.clone(), name, kind, holds: holds.to_owned() });
}

fn parts(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

/// What lies at a path; a key may have points itself.
fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    let [first, rest @ ..] = path else { return Some(value) };
    match value {
        Value::Object(entries) => match entries.get(first) {
            Some(inner) => at(inner, rest),
            None => (2..=path.len()).find_map(|count| {
                entries.get(&path[..count].join(".")).and_then(|inner| at(inner, &path[count..]))
            }),
        },
        Value::Array(items) => at(items.get(first.parse::<usize>().ok()?)?, rest),
        _ => None,
    }
}

struct Json {
    lines: Lines,
    /// The first row, which told what there is.
    first: Option<Value>,
    path: Vec<String>,
    texts: Vec<Vec<String>>,
    dim: usize,
    /// Rows that were given.
    done: u64,
}

impl Source for Json {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> Option<u64> {
        match &self.lines {
            Lines::Held(rows) => Some(self.done + u64::from(self.first.is_some()) + rows.len() as u64),
            Lines::OfFile(..) => None,
        }
    }

    fn next(&mut self) -> Outcome<Option<Block>> {
        let mut numbers = Vec::new();
        let mut texts = vec![Vec::new(); self.texts.len()];
        while numbers.len() < BLOCK {
            let value = match self.first.take() {
                Some(first) => first,
                None => match self.lines.next()? {
                    Some(value) => value,
                    None => break,
                },
            };
            let row = self.done;
            let wrong = |what: String| Err(Failure::Content(format!("row {row} {what}")));
            let Some(Value::Array(items)) = at(&value, &self.path) else {
                let path = self.path.join(".");
                return wrong(if path.is_empty() {
                    "is no list".to_owned()
                } else {
                    format!("has no list {path}")
                });
            };
            if items.len() != self.dim {
                return wrong(format!("has {} numbers; the first has {}", items.len(), self.dim));
            }
            for (column, item) in items.iter().enumerate() {
                match item.as_f64() {
                    Some(number) => numbers.push(number),
                    None => return wrong(format!("has at {column} what is no number")),
                }
            }
            for (list, path) in texts.iter_mut().zip(&self.texts) {
                list.push(match at(&value, path) {
                    None | Some(Value::Null) => String::new(),
                    Some(Value::String(text)) => text.clone(),
                    Some(other @ (Value::Number(_) | Value::Bool(_))) => other.to_string(),
                    Some(_) => {
                        return wrong(format!("has at {} what is neither text nor number", path.join(".")));
                    }
                });
            }
            self.done += 1;
        }
        Ok((!numbers.is_empty()).then(|| Block { rows: Rows::F64(Matrix::new(numbers, self.dim)), texts }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the numbers are, and what they are, or the refusal.
    fn read(
        text: &str,
        is_list: bool,
        name: Option<&str>,
        texts: &[&str],
    ) -> Result<(Vec<f64>, Vec<Vec<String>>), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        std::fs::write(&path, text).unwrap();
        let file = File::open(&path).unwrap();
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        let wanted = Wanted { name: name.map(str::to_owned), texts };
        let source = match is_list {
            true => open_list(file, text.len() as u64, &wanted),
            false => open_lines(file, &wanted),
        };
        let block = source.and_then(|mut source| source.next());
        match block {
            Ok(block) => {
                let block = block.unwrap();
                Ok((block.rows.to_f64().into_vec(), block.texts))
            }
            Err(Failure::Disk(disk)) => Err(disk.to_string()),
            Err(Failure::Content(what)) => Err(what),
        }
    }

    #[test]
    fn rows_are_lists_at_a_path_on_lines_or_in_a_list() {
        let lines = "\u{feff}{\"id\": 1, \"embedding\": [0.5, -1e-3], \"meta\": {\"class\": \"a\", \"k\": null}}\n\n\
                     {\"meta\": {\"class\": \"b\"}, \"embedding\": [2, 3.5], \"id\": 2}";
        let list = format!("[{}]", lines.trim_start_matches('\u{feff}').replace("\n\n", ","));
        let answer = format!("{{\"object\": \"list\", \"data\": {list}}}");
        let want = vec![0.5, -1e-3, 2.0, 3.5];
        let texts = vec![vec!["1".to_owned(), "2".to_owned()], vec!["a".to_owned(), "b".to_owned()]];
        for (text, is_list) in [(lines, false), (&list, true), (&answer, true)] {
            let found = read(text, is_list, None, &["id", "meta.class"]).unwrap();
            assert_eq!(found, (want.clone(), texts.clone()), "{text}");
        }
        assert_eq!(read("[0.5, -1e-3]\n[2, 3.5]\n", false, None, &[]).unwrap().0, want);
        assert_eq!(read("[[0.5, -1e-3], [2, 3.5]]", true, None, &[]).unwrap().0, want);
        let hard = read("[31.245270191439438, 1e-310]", false, None, &[]).unwrap().0;
        assert_eq!(hard, [31.245270191439438, 1e-310], "to the bit");
        let nested = "{\"custom_id\": \"q\", \"response\": {\"body\": {\"data\": [{\"embedding\": [0.5, -1e-3]}], \"n.o\": [1]}}}";
        let path = "response.body.data.0.embedding";
        assert_eq!(
            read(nested, false, Some(path), &["custom_id"]).unwrap(),
            (want[..2].to_vec(), vec![vec!["q".to_owned()]])
        );
        assert_eq!(
            read(nested, false, Some("response.body.n.o"), &[]).unwrap().0,
            [1.0],
            "a key with a point"
        );
    }

    #[test]
    fn what_is_no_row_is_told() {
        let one = "{\"e\": [1, 2], \"t\": \"x\"}\n";
        for (text, is_list, name, texts, expected) in [
            (String::new(), false, None, &[][..], "has no rows"),
            ("[]".to_owned(), true, None, &[], "has no rows"),
            (
                "{\"e\": 1}".to_owned(),
                true,
                None,
                &[],
                "is no list of rows, and no object with such a list as data",
            ),
            (format!("{one}{{"), false, None, &[], "line 2: is no JSON: EOF while parsing an object"),
            ("[1, 2".to_owned(), true, None, &[], "is no JSON: EOF while parsing a list at line 1 column 5"),
            (format!("{one}{{\"e\": [1]}}"), false, None, &[], "row 1 has 1 numbers; the first has 2"),
            (format!("{one}{{\"e\": [1, null]}}"), false, None, &[], "row 1 has at 1 what is no number"),
            (format!("{one}{{\"f\": [1, 2]}}"), false, None, &[], "row 1 has no list e"),
            (
                format!("{one}{{\"e\": [1, 2], \"t\": []}}"),
                false,
                None,
                &["t"],
                "row 1 has at t what is neither text nor number",
            ),
            (one.to_owned(), false, None, &["u"], "has no column u; it has e, t"),
            (one.to_owned(), false, Some("u"), &[], "has no column u; it has e, t"),
            (one.to_owned(), false, Some("t"), &[], "column t holds text"),
            ("{\"t\": 3}".to_owned(), false, None, &[], "has no column of lists"),
            (
                "{\"a\": [1], \"b\": [2]}".to_owned(),
                false,
                None,
                &[],
                "has several columns of lists; name one of a, b",
            ),
            ("[1]".to_owned(), false, Some("a"), &[], "has lists alone, and no columns; leave the name out"),
            ("[]".to_owned(), false, None, &[], "has an empty list in its first row"),
            ("3".to_owned(), false, None, &[], "has no column of lists"),
        ] {
            let message = read(&text, is_list, name, texts).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
