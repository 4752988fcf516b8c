//! Vectors of words, and plain matrices, in text with blanks between numbers: a word and its numbers on each line, as GloVe has them, after
//! a line of how many there are and of how many numbers, as fastText and word2vec have it; or numbers alone, as `numpy.savetxt` writes.
//!
//! A word may have blanks in it: of a line the last numbers count. The words are the column `word`.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use riesz::Matrix;

use super::rows::Rows;
use super::source::{BLOCK, Block, Failure, Source, Wanted};

type Outcome<T> = std::result::Result<T, Failure>;

/// The most bytes of a line.
const LONGEST_LINE: u64 = 1 << 20;
/// What the words are called.
const WORD: &str = "word";

struct Words {
    lines: Lines,
    /// The first row, which told what there is.
    first: Option<String>,
    has_words: bool,
    dim: usize,
    /// How many rows the first line promised.
    promised: Option<u64>,
    texts: usize,
    done: u64,
}

/// The rows of a file.
pub(super) fn open(file: File, wanted: &Wanted) -> Outcome<Box<dyn Source>> {
    let wrong = |what: String| Err(Failure::Content(what));
    let mut lines = Lines { file: BufReader::with_capacity(1 << 20, file), number: 0 };
    let none = || Failure::Content("has no rows".to_owned());
    let mut first = lines.next()?.ok_or_else(none)?;
    let counts: Vec<Option<u64>> = fields(&first).map(|field| field.parse().ok()).collect();
    let mut promised = None;
    if let [Some(rows), Some(dim)] = counts[..] {
        let second = lines.next()?.ok_or_else(none)?;
        let is_header = dim > 0 && fields(&second).count() as u64 > dim;
        if !is_header {
            return wrong(format!(
                "begins with the two numbers {rows} and {dim}, as files of words do, but the next line has no word and {dim} numbers; a \
                 matrix of two columns is read from a .csv"
            ));
        }
        promised = Some((rows, dim as usize));
        first = second;
    }
    let count = fields(&first).count();
    let is_number = |field: &str| field.parse::<f64>().is_ok();
    let has_words = promised.is_some() || !fields(&first).next().is_some_and(is_number);
    let dim = promised.map_or(count - usize::from(has_words), |(_, dim)| dim);
    if dim == 0 {
        return wrong(
            "line 1: has no numbers; expected a word and its numbers, or numbers, with blanks between"
                .to_owned(),
        );
    }
    if let Some(name) = wanted.texts.iter().find(|name| *name != WORD || !has_words) {
        let has = if has_words { WORD } else { "numbers alone" };
        return wrong(format!("has no column {name}; it has {has}"));
    }
    if let Some(name) = &wanted.name {
        return wrong(format!(
            "has no column {name}: a .txt or .vec file has one vector a line; leave the name out"
        ));
    }
    let promised = promised.map(|(rows, _)| rows);
    Ok(Box::new(Words {
        lines,
        first: Some(first),
        has_words,
        dim,
        promised,
        texts: wanted.texts.len(),
        done: 0,
    }))
}

fn fields(line: &str) -> impl DoubleEndedIterator<Item = &str> {
    line.split([' ', '\t']).filter(|field| !field.is_empty())
}

struct Lines {
    file: BufReader<File>,
    number: u64,
}

impl Lines {
    /// The next line that says something.
    fn next(&mut self) -> Outcome<Option<String>> {
        loop {
            let mut line = Vec::new();
            self.file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(None);
            }
            self.number += 1;
            let wrong = |what: &str| Err(Failure::Content(format!("line {}: {what}", self.number)));
            if line.len() as u64 == LONGEST_LINE {
                return wrong("has 1 MB or more");
            }
            let Ok(text) = String::from_utf8(line) else { return wrong("not UTF-8; save it as UTF-8") };
            let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r', ' ', '\t']);
            // What numpy.savetxt writes above the numbers; a word may begin so.
            let is_remark =
                text.starts_with("# ") && fields(text).skip(1).any(|field| field.parse::<f64>().is_err());
            if !text.is_empty() && !is_remark {
                return Ok(Some(text.to_owned()));
            }
        }
    }
}

impl Source for Words {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> Option<u64> {
        self.promised
    }

    fn told(&self) -> Option<String> {
        Some(match self.has_words {
            true => format!("each line is a word and its {} numbers", self.dim),
            false => format!("each line is {} numbers", self.dim),
        })
    }

    fn next(&mut self) -> Outcome<Option<Block>> {
        let mut numbers = Vec::new();
        let mut words = Vec::new();
        while numbers.len() < BLOCK {
            let line = match self.first.take() {
                Some(first) => first,
                None => match self.lines.next()? {
                    Some(line) => line,
                    None => break,
                },
            };
            let place = self.lines.number;
            let count = fields(&line).count();
            let least = self.dim + usize::from(self.has_words);
            if count < least || (count > least && !self.has_words) {
                let (words, dim) = (if self.has_words { "a word and " } else { "" }, self.dim);
                return Err(Failure::Content(format!(
                    "line {place}: has {count} fields; expected {words}{dim} numbers"
                )));
            }
            for field in fields(&line).skip(count - self.dim) {
                let number = field.parse::<f64>().map_err(|_| {
                    let shown: String = field.chars().take(40).collect();
                    Failure::Content(format!("line {place}: `{shown}` is not a number"))
                })?;
                numbers.push(number);
            }
            words.push(fields(&line).take(count - self.dim).collect::<Vec<_>>().join(" "));
            self.done += 1;
        }
        if numbers.is_empty() {
            return match self.promised {
                Some(promised) if promised != self.done => {
                    Err(Failure::Content(format!("has {} rows; its first line says {promised}", self.done)))
                }
                _ => Ok(None),
            };
        }
        let texts = if self.texts == 0 { Vec::new() } else { vec![words; self.texts] };
        Ok(Some(Block { rows: Rows::F64(Matrix::new(numbers, self.dim)), texts }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::whole;
    use super::*;

    fn opened(text: &str, texts: &[&str]) -> Outcome<Box<dyn Source>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words");
        std::fs::write(&path, text).unwrap();
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        open(File::open(&path).unwrap(), &Wanted { name: None, texts })
    }

    #[test]
    fn words_and_plain_matrices_are_read_as_their_programs_write_them() {
        let want = Rows::F64(Matrix::new(vec![0.5, -1.5e-3, 2.5, 3.0], 2));
        for (text, words) in [
            ("the 0.5 -0.0015\n, 2.5 3\n", Some(["the", ","])),
            ("2 2\nthe 0.5 -0.0015 \n# 2.5 3.0 \n", Some(["the", "#"])),
            ("the 0.5 -0.0015\r\n. . . 2.5 3\r\n", Some(["the", ". . ."])),
            ("2 2\n2008 0.5 -0.0015\n\u{e4} 2.5 3\n", Some(["2008", "\u{e4}"])),
            ("# x y\n5.0e-01 -1.5e-03\n2.5e+00\t3\n\n", None),
        ] {
            assert_eq!(whole(opened(text, &[]).unwrap()).unwrap(), want, "{text}");
            if let Some(words) = words {
                let block = opened(text, &["word"]).unwrap().next().unwrap().unwrap();
                assert_eq!(block.texts, [words], "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_row_is_told() {
        for (text, texts, expected) in [
            ("", &[][..], "has no rows"),
            ("the\n", &[], "line 1: has no numbers"),
            ("1 2\n3 4\n", &[], "a matrix of two columns is read from a .csv"),
            ("the 1 2\na 1\n", &[], "line 2: has 2 fields; expected a word and 2 numbers"),
            ("1.5 2\n3 4 5\n", &[], "line 2: has 3 fields; expected 2 numbers"),
            ("1.5 2\nthe 4\n", &[], "line 2: `the` is not a number"),
            ("the 1 2\na b 2\n", &[], "line 2: `b` is not a number"),
            ("3 2\nthe 1 2\na 3 4\n", &[], "has 2 rows; its first line says 3"),
            ("1.5 2\n", &["word"], "has no column word; it has numbers alone"),
            ("the 1 2\n", &["label"], "has no column label; it has word"),
        ] {
            let outcome = opened(text, texts).and_then(whole);
            let Err(Failure::Content(message)) = outcome else { panic!("{text}: {outcome:?}") };
            assert!(message.contains(expected), "{text}: {message}");
        }
        let bytes = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(bytes.path(), b"the 1 2\n\xff 1 2\n").unwrap();
        let outcome = open(File::open(bytes.path()).unwrap(), &Wanted::default()).and_then(whole);
        assert!(matches!(outcome, Err(Failure::Content(what)) if what.contains("line 2: not UTF-8")));
    }
}
