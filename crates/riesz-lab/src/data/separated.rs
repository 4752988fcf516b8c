//! Records of separated fields, quoted as RFC 4180 has it, each with its line.

use crate::{Error, Result};

/// All records with the lines that they begin on, without blank ones.
///
/// # Errors
/// If a quotation mark is not closed.
pub(super) fn records(text: &str, separator: u8) -> Result<Vec<(usize, csv::StringRecord)>> {
    let mut records = Vec::new();
    let (mut line, mut counted) = (1, 0);
    for record in reader(text, separator).into_records() {
        let record = record.map_err(|error| Error::input(error.to_string()))?;
        // The reader's own count is behind where lines end in CRLF or are blank.
        let mut start = record.position().map_or(counted, |position| position.byte() as usize);
        start += text[start..].bytes().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        line += line_ends(&text[counted..start]);
        counted = start;
        if record.iter().any(|field| field.contains(['\n', '\r'])) && !is_closed(&text[start..], separator) {
            return Err(Error::input(format!("line {line}: a quotation mark is not closed")));
        }
        if !is_blank(&record) {
            records.push((line, record));
        }
    }
    Ok(records)
}

/// A reader of all records, which may differ in length.
pub(super) fn reader(text: &str, separator: u8) -> csv::Reader<&[u8]> {
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(separator).has_headers(false).flexible(true).from_reader(text.as_bytes())
}

/// Whether a record has no text in any field.
pub(super) fn is_blank(record: &csv::StringRecord) -> bool {
    record.iter().all(|field| field.trim().is_empty())
}

/// Whether each quoted field of the record at the beginning of `text` ends where a field may: otherwise a mark that was forgotten has
/// taken the lines up to the next one in.
fn is_closed(mut text: &str, separator: u8) -> bool {
    let separator = char::from(separator);
    loop {
        let rest = match text.strip_prefix('"') {
            None => text.trim_start_matches(|c| c != separator && c != '\n' && c != '\r'),
            Some(quoted) => match after_quoted(quoted) {
                None => return false,
                Some(rest) => rest.trim_start_matches(' '),
            },
        };
        match rest.strip_prefix(separator) {
            Some(next) => text = next,
            None => return rest.is_empty() || rest.starts_with(['\n', '\r']),
        }
    }
}

/// What follows the mark that ends a quoted field; two marks are one of its text.
fn after_quoted(mut text: &str) -> Option<&str> {
    loop {
        let (_, rest) = text.split_once('"')?;
        match rest.strip_prefix('"') {
            Some(more) => text = more,
            None => return Some(rest),
        }
    }
}

/// How many lines end here: in LF, CRLF or CR.
fn line_ends(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
        + text.split('\r').skip(1).filter(|rest| !rest.starts_with('\n')).count()
}
