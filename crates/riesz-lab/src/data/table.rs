//! Files of labels as people have them: a header, then a row an image.
//!
//! The header has a column of names (`path`, `filename`, `file`, `image` or `name`) and one of labels (`label`, `class`
//! or `target`), in any case. Fields are separated by commas, semicolons or tabs and may be quoted, with separators and line
//! ends inside, as RFC 4180 has it. A name is the image's path below the data's folder, also with `./` or the folder itself
//! before it, absolute, or as much of its end (a bare file name), with or without the ending, as no other image has. A name
//! that fits no image stands for an image elsewhere.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use super::classes::in_order;
use super::separated::{is_blank, reader, records};
use crate::names::quoted;
use crate::{Error, Result};

const NAMES: [&str; 5] = ["path", "filename", "file", "image", "name"];
const LABELS: [&str; 3] = ["label", "class", "target"];
const ENDINGS: [&str; 3] = [".csv", ".tsv", ".txt"];

/// No table is larger.
const MOST_BYTES: u64 = 1 << 30;

/// The labels of a list of images.
#[derive(Debug)]
pub(super) struct Table {
    /// Each image's class.
    pub(super) class_of: Vec<Option<String>>,
    /// The classes: sorted as numbers if all are numbers, else by bytes.
    pub(super) classes: Vec<String>,
    /// What does not fit and is no error, in sentences.
    pub(super) notes: Vec<String>,
}

/// Whether `path` has the ending of a table.
pub(super) fn is_table(path: &str) -> bool {
    ENDINGS.iter().any(|ending| path.to_lowercase().ends_with(ending))
}

/// Whether what lies at `path` can perhaps be read once alone: a pipe, a terminal.
pub(super) fn is_stream(path: &str) -> bool {
    Path::new(path).metadata().is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Labels as a command line says them: a table that is there from the working directory is that one, wherever else one of its name lies.
pub fn labels_here(said: &str) -> String {
    match std::path::absolute(said) {
        Ok(here) if is_table(said) && here.is_file() => here.to_string_lossy().into_owned(),
        _ => said.to_owned(),
    }
}

/// Reads the table at `path` (looked for in the data's own `place` first, and beside it) for images of these names.
///
/// # Errors
/// If it cannot be read as a table, fits no image, names one of several images of that name, gives one image two
/// labels, or has fewer than two labels.
pub(super) fn read(path: &Path, names: &[Cow<'_, str>], place: &Path) -> Result<Table> {
    let near = [place.join(path), place.with_file_name(path)].into_iter().find(|near| near.is_file());
    let path = near.as_deref().unwrap_or(path);
    parse(&text(path)?, names, place).map_err(|error| error.at(path.display()))
}

/// The file's text without a byte-order mark.
fn text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let wrong = |message: String| Err(Error::input(message).at(path.display()));
    let file = std::fs::File::open(path).map_err(|error| Error::io(path, &error))?;
    if file.metadata().map_err(|error| Error::io(path, &error))?.len() > MOST_BYTES {
        return wrong("larger than 1 GiB; a table of labels is smaller".to_owned());
    }
    file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(|error| Error::io(path, &error))?;
    remove_mark(&mut bytes).map_err(|error| error.at(path.display()))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            wrong(format!("line {line}: {NOT_UTF8}"))
        }
    }
}

/// What a line is called that is no UTF-8.
pub(super) const NOT_UTF8: &str = "not UTF-8 (Latin-1 or Windows-1252, perhaps); save it as UTF-8";

/// Takes a byte-order mark from a text.
///
/// # Errors
/// If the mark says that the text is UTF-16.
pub(super) fn remove_mark(bytes: &mut Vec<u8>) -> Result<()> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Error::input("encoded as UTF-16; save it as UTF-8"));
    }
    if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
        bytes.drain(..3);
    }
    Ok(())
}

/// One row.
struct Row<'a> {
    line: usize,
    name: &'a str,
    label: &'a str,
}

fn parse(text: &str, names: &[Cow<'_, str>], place: &Path) -> Result<Table> {
    let (separator, [name_column, label_column]) = columns(text)?;
    let records = records(text, separator)?;
    let mut rows = Vec::new();
    for (line, record) in records.iter().skip(1) {
        let field = |column: usize| record.get(column).map(bare).unwrap_or_default();
        let (name, label) = (field(name_column), field(label_column));
        let columns = records[0].1.len();
        if record.iter().skip(columns).any(|field| !field.trim().is_empty()) {
            return Err(Error::input(format!(
                "line {line}: {} fields, but the header has {columns}; fields with a separator must be quoted",
                record.len()
            )));
        }
        if record.len() <= name_column.max(label_column) {
            return Err(Error::input(format!(
                "line {line}: {} fields, but the header has {columns}",
                record.len()
            )));
        }
        if name.is_empty() {
            return Err(Error::input(format!("line {line}: the name is empty")));
        }
        rows.push(Row { line: *line, name, label });
    }
    fit(&rows, names, place)
}

/// A field without the blanks around it, and without the quotation marks that blanks before them made text.
fn bare(field: &str) -> &str {
    let field = field.trim();
    field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(field).trim()
}

/// The separator, and the columns of names and labels: those that the header has.
fn columns(text: &str) -> Result<(u8, [usize; 2])> {
    for separator in [b',', b';', b'\t'] {
        let header = reader(text, separator).into_records().flatten().find(|fields| !is_blank(fields));
        let Some(fields) = header else { continue };
        let fields: Vec<String> = fields.iter().map(|field| bare(field).to_lowercase()).collect();
        let column =
            |wanted: &[&str]| wanted.iter().find_map(|name| fields.iter().position(|field| field == name));
        if let (Some(name), Some(label)) = (column(&NAMES), column(&LABELS)) {
            return Ok((separator, [name, label]));
        }
    }
    let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let found: String = header.chars().take(80).collect();
    Err(Error::input(format!(
        "its first line is `{found}`; expected a header with one of {} and one of {}, separated by commas, semicolons or tabs",
        NAMES.join(", "),
        LABELS.join(", ")
    )))
}

/// Gives each image its row's label.
fn fit(rows: &[Row<'_>], names: &[Cow<'_, str>], place: &Path) -> Result<Table> {
    let images = Images::new(names, place);
    let mut row_of: BTreeMap<usize, &Row<'_>> = BTreeMap::new();
    let (mut strangers, mut empty) = (Vec::new(), 0);
    for row in rows {
        let Some(image) = images.named(row)? else {
            strangers.push(row);
            continue;
        };
        if row.label.is_empty() {
            empty += 1;
            continue;
        }
        if let Some(before) = row_of.insert(image, row).filter(|before| before.label != row.label) {
            return Err(Error::input(format!(
                "line {}: {} is {}, but line {} says {}; an image has one label",
                row.line, names[image], row.label, before.line, before.label
            )));
        }
    }
    let example = names.first().map_or("", |name| name.as_ref());
    if let (Some(first), true) = (strangers.first(), strangers.len() == rows.len()) {
        return Err(Error::input(format!(
            "none of its {} rows names an image; line {} has {}, images are named such as {example}",
            rows.len(),
            first.line,
            first.name
        )));
    }
    let classes: BTreeSet<String> = row_of.values().map(|row| row.label.to_owned()).collect();
    if classes.len() < 2 {
        return Err(Error::input(format!(
            "{} different labels in {} rows; at least 2 are needed",
            classes.len(),
            rows.len()
        )));
    }
    let classes = in_order(classes);
    let mut notes = Vec::new();
    if let Some(first) = strangers.first() {
        notes.push(format!(
            "{} of {} rows of labels name no image here; the first is {} (line {})",
            strangers.len(),
            rows.len(),
            quoted(first.name),
            first.line
        ));
    }
    if empty > 0 {
        notes.push(format!("{empty} of {} rows of labels have an empty label", rows.len()));
    }
    let unlabeled = (0..names.len()).filter(|image| !row_of.contains_key(image));
    if let Some(first) = unlabeled.clone().next() {
        notes.push(format!(
            "{} of {} images have no label; the first is {}",
            unlabeled.count(),
            names.len(),
            quoted(&names[first])
        ));
    }
    let class_of = (0..names.len()).map(|image| row_of.get(&image).map(|row| row.label.to_owned())).collect();
    Ok(Table { class_of, classes, notes })
}

/// The images, to be found by what tables call them.
struct Images<'a> {
    names: &'a [Cow<'a, str>],
    /// By path below the data's folder, whole and without the ending.
    by_path: [BTreeMap<&'a str, Found>; 2],
    /// By file name, whole and without the ending: all that have it.
    by_file: [BTreeMap<&'a str, Vec<usize>>; 2],
    /// The data's folder (of an archive, its path without ending), as given and absolute, `/` between components.
    places: [String; 2],
}

/// What a path without ending stands for.
#[derive(Clone, Copy)]
enum Found {
    One(usize),
    Several(usize, usize),
}

impl<'a> Images<'a> {
    fn new(names: &'a [Cow<'a, str>], place: &Path) -> Self {
        let mut by_path = [BTreeMap::new(), BTreeMap::new()];
        let mut by_file: [BTreeMap<&str, Vec<usize>>; 2] = [BTreeMap::new(), BTreeMap::new()];
        for (image, name) in names.iter().enumerate() {
            for (way, name) in [name.as_ref(), without_ending(name)].into_iter().enumerate() {
                by_path[way]
                    .entry(name)
                    .and_modify(|found| {
                        if let Found::One(first) = *found {
                            *found = Found::Several(first, image);
                        }
                    })
                    .or_insert(Found::One(image));
                by_file[way].entry(file_of(name)).or_default().push(image);
            }
        }
        let absolute = dunce::canonicalize(place).unwrap_or_else(|_| place.to_path_buf());
        let places = [place, &absolute].map(|place| {
            let mut text = place.to_string_lossy().replace('\\', "/");
            text.truncate(text.trim_end_matches('/').len());
            if place.is_file() {
                let file = text.len() - file_of(&text).len();
                text.truncate(text[file..].find('.').map_or(text.len(), |dot| file + dot));
            }
            text
        });
        Self { names, by_path, by_file, places }
    }

    /// The image that a row names, if there is one.
    fn named(&self, row: &Row<'_>) -> Result<Option<usize>> {
        let slashed = row.name.replace('\\', "/");
        // A backslash may be part of a name: as it is written first.
        for name in [row.name, &slashed] {
            let readings = self.readings(name);
            for way in 0..2 {
                for &name in &readings {
                    match self.by_path[way].get(name) {
                        Some(&Found::One(image)) => return Ok(Some(image)),
                        Some(&Found::Several(first, second)) => {
                            return Err(self.ambiguous(row, &[first, second]));
                        }
                        None => {}
                    }
                }
                let name = plain(name);
                let with_name = self.by_file[way].get(file_of(name)).map(Vec::as_slice).unwrap_or_default();
                let ends = |image: &&usize| {
                    let whole = self.names[**image].as_ref();
                    let whole = if way == 0 { whole } else { without_ending(whole) };
                    whole.strip_suffix(name).is_some_and(|before| before.ends_with('/'))
                };
                let fitting: Vec<usize> = with_name.iter().filter(ends).copied().collect();
                match fitting[..] {
                    [] => {}
                    [image] => return Ok(Some(image)),
                    _ => return Err(self.ambiguous(row, &fitting)),
                }
            }
        }
        Ok(None)
    }

    /// `name`, what follows the data's folder in it, and the same from that folder's name on, as archives have it.
    fn readings<'n>(&self, name: &'n str) -> Vec<&'n str> {
        let mut readings = vec![plain(name)];
        for place in &self.places {
            readings
                .extend(name.strip_prefix(place.as_str()).and_then(|rest| rest.strip_prefix('/')).map(plain));
        }
        for folder in self.places.iter().map(|place| file_of(place)).filter(|folder| !folder.is_empty()) {
            for (at, _) in name.match_indices(folder).filter(|&(at, _)| at == 0 || name[..at].ends_with('/'))
            {
                if let Some(below) = name[at + folder.len()..].strip_prefix('/') {
                    readings.extend([plain(below), &name[at..]]);
                }
            }
        }
        readings
    }

    fn ambiguous(&self, row: &Row<'_>, images: &[usize]) -> Error {
        Error::input(format!(
            "line {}: {} may be {} or {}; say which by its path",
            row.line, row.name, self.names[images[0]], self.names[images[1]]
        ))
    }
}

/// A path without `./` before it.
fn plain(mut path: &str) -> &str {
    while let Some(rest) = path.strip_prefix("./") {
        path = rest.trim_start_matches('/');
    }
    path
}

fn file_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A path without the ending of its file name.
fn without_ending(path: &str) -> &str {
    path.rsplit_once('.').filter(|(_, ending)| !ending.contains('/')).map_or(path, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGES: [&str; 6] = ["a.png", "b.png", "c/d.png", "c/e.jpg", "f/e.jpg", "g h.png"];

    fn table(text: &str) -> Result<Table> {
        let names: Vec<Cow<'_, str>> = IMAGES.into_iter().map(Cow::Borrowed).collect();
        parse(text, &names, Path::new("/data/photos"))
    }

    fn labels(text: &str) -> Vec<Option<String>> {
        table(text).unwrap_or_else(|error| panic!("{text}: {error}")).class_of
    }

    fn expected(pairs: &[(&str, &str)]) -> Vec<Option<String>> {
        let label =
            |name: &str| pairs.iter().find(|(image, _)| *image == name).map(|(_, label)| (*label).to_owned());
        IMAGES.into_iter().map(label).collect()
    }

    #[test]
    fn every_usual_header_and_separator_is_read() {
        let want = expected(&[("a.png", "x"), ("b.png", "y")]);
        for name in ["path", "image", "file", "filename", "name", "Path", "FileName", " IMAGE "] {
            for label in ["label", "class", "target", "Label", "CLASS"] {
                for separator in [",", ";", "\t"] {
                    for line in ["\n", "\r\n", "\r"] {
                        let rows = [[name, label], ["a.png", "x"], ["b.png", "y"]];
                        let text: String = rows.iter().flat_map(|[a, b]| [*a, separator, *b, line]).collect();
                        assert_eq!(labels(&text), want, "{text:?}");
                    }
                }
            }
        }
        // Other columns before, between and after; the preferred of two columns of names.
        assert_eq!(labels("index,name,split,label,note\n0,a.png,train,x,\n1,b.png,train,y,n\n"), want);
        assert_eq!(labels("name;path;label\nfirst;a.png;x\nsecond;b.png;y\n"), want);
        assert_eq!(
            labels("\n\nname,label\n\na.png,x\nb.png,y"),
            want,
            "blank lines before, no line end after"
        );
    }

    #[test]
    fn quotes_blank_lines_and_empty_fields_are_read() {
        let want = expected(&[("a.png", "x, y"), ("g h.png", "say \"z\"")]);
        for text in [
            "name,label\n\"a.png\",\"x, y\"\n\"g h.png\",\"say \"\"z\"\"\"\n\n\n",
            "\"name\",\"label\"\r\n\"a.png\",\"x, y\"\r\ng h.png,\"say \"\"z\"\"\"\r\n,\r\n  \r\n",
            "name;label\na.png;x, y;\n g h.png ; say \"z\" ;;\n;;;\n",
        ] {
            assert_eq!(labels(text), want, "{text:?}");
        }
        let found = table("name,label\na.png,x\nb.png,\ng h.png,y\n").unwrap();
        assert_eq!(found.class_of, expected(&[("a.png", "x"), ("g h.png", "y")]));
        assert_eq!(
            found.notes,
            ["1 of 3 rows of labels have an empty label", "4 of 6 images have no label; the first is b.png"]
        );
    }

    /// As `riesz embed` writes the names of such files to rows.csv.
    #[test]
    fn a_quoted_field_may_have_line_ends() {
        for end in ["\n", "\r\n", "\r"] {
            let names = [format!("two{end}lines.png"), "b.png".to_owned(), "c.png".to_owned()];
            let text = format!(
                "name,\"a{end}note\",label{end}\"{}\",,\"x{end}\"\"y\"\"\"{end}b.png,\"1{end}\" ,z{end}c.png,,z",
                names[0]
            );
            let names: Vec<Cow<'_, str>> = names.iter().map(|name| Cow::Borrowed(name.as_str())).collect();
            let found = parse(&text, &names, Path::new("/data/photos"));
            let found = found.unwrap_or_else(|error| panic!("{text:?}: {error}"));
            let labels: Vec<&str> = found.class_of.iter().flatten().map(String::as_str).collect();
            assert_eq!(labels, [&format!("x{end}\"y\""), "z", "z"]);
        }
        let notes = table("name,label\na.png,x\nb.png,y\n\"z\n\",x\n").unwrap().notes;
        assert_eq!(notes[0], "1 of 3 rows of labels name no image here; the first is z (line 4)");
    }

    #[test]
    fn an_image_is_found_by_what_people_call_it() {
        for (name, image) in [
            ("a.png", "a.png"),
            ("./a.png", "a.png"),
            ("a", "a.png"),
            ("/data/photos/a.png", "a.png"),
            ("/data/photos/c/d.png", "c/d.png"),
            ("photos/c/d.png", "c/d.png"),
            ("data/photos/c/e", "c/e.jpg"),
            ("c/d.png", "c/d.png"),
            ("c\\d.png", "c/d.png"),
            (".\\c\\d.png", "c/d.png"),
            ("d.png", "c/d.png"),
            ("d", "c/d.png"),
            ("f/e", "f/e.jpg"),
            ("g h", "g h.png"),
        ] {
            let text = format!("name,label\n{name},x\nb.png,y\n");
            assert_eq!(labels(&text), expected(&[(image, "x"), ("b.png", "y")]), "{name}");
        }
        // The same folder on another machine.
        let text = "path,label\n/home/me/photos/a.png,x\nD:\\me\\photos\\c\\d.png,y\n";
        assert_eq!(labels(text), expected(&[("a.png", "x"), ("c/d.png", "y")]));
        // Below the data's folder, but not where the image is.
        let found = table("path,label\n/data/photos/d.png,x\na.png,u\nb.png,v\n").unwrap();
        assert_eq!(found.class_of, expected(&[("a.png", "u"), ("b.png", "v")]));
        // The same name elsewhere is another image.
        let found = table("path,label\ntest/a.png,x\ntrain/b.png,y\na.png,u\nb.png,v\n").unwrap();
        assert_eq!(found.class_of, expected(&[("a.png", "u"), ("b.png", "v")]));
        assert_eq!(
            found.notes[0],
            "2 of 4 rows of labels name no image here; the first is test/a.png (line 2)"
        );
    }

    #[test]
    fn numbers_are_sorted_as_numbers() {
        assert_eq!(table("name,label\na.png,10\nb.png,9\nc/d.png,-1\n").unwrap().classes, ["-1", "9", "10"]);
        assert_eq!(table("name,label\na.png,10.0\nb.png,9.0\n").unwrap().classes, ["9.0", "10.0"]);
        assert_eq!(table("name,label\na.png,10\nb.png,9\nc/d.png,x\n").unwrap().classes, ["10", "9", "x"]);
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_line() {
        for (text, expected) in [
            ("", "its first line is ``; expected a header"),
            ("a.png,1\n", "its first line is `a.png,1`; expected a header with one of path, filename"),
            ("name|label\na.png|1\n", "separated by commas, semicolons or tabs"),
            (
                "name,label\nz.png,1\n",
                "none of its 1 rows names an image; line 2 has z.png, images are named such as a.png",
            ),
            (
                "name,label\na.png,1\n\n./a.png,2\n",
                "line 4: a.png is 2, but line 2 says 1; an image has one label",
            ),
            ("\r\nname,label\r\n\r\na.png,1\r\n\r\n\r\na.png,2\r\n", "line 7: a.png is 2, but line 4 says 1"),
            ("name,label\r\ra.png,1\ra.png,2", "line 4: a.png is 2, but line 3 says 1"),
            ("name,label\n\"a.png\",\"x\ny\n", "line 2: a quotation mark is not closed"),
            ("name,label\na.png,1\nb.png,\"2\nc/d.png,\"3\"\n", "line 3: a quotation mark is not closed"),
            ("name,label\n\"a.png,1\nc/d.png,\"3\"\n", "line 2: a quotation mark is not closed"),
            (
                "name,label,note\na.png,1,\"of\r\nthree\n\nlines\"\nb.png,2\n./a.png,2,\n",
                "line 7: a.png is 2, but line 2 says 1",
            ),
            ("name,label\n\"z\n.png\",1\n", "none of its 1 rows names an image; line 2 has z .png, images"),
            ("name,label\ne.jpg,1\n", "line 2: e.jpg may be c/e.jpg or f/e.jpg; say which by its path"),
            ("name,label\na.png,1\na.png,1\n", "1 different labels in 2 rows"),
            ("name,label\na.png\n", "line 2: 1 fields, but the header has 2"),
            ("name,label\na.png,1,2\n", "line 2: 3 fields, but the header has 2"),
            ("name,label\n,1\n", "line 2: the name is empty"),
            ("name,label\nb.png,1\n\"a.png,2\nc/d.png,3\n", "line 3: a quotation mark is not closed"),
        ] {
            let message = table(text).unwrap_err().to_string();
            assert!(message.contains(expected) && !message.contains('\n'), "{text:?}: {message}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_text_and_other_encodings_are_called_that() {
        let folder = tempfile::tempdir().unwrap();
        let names = [Cow::Borrowed("a.png"), Cow::Borrowed("b.png")];
        let with = |bytes: &[u8]| {
            std::fs::write(folder.path().join("labels.csv"), bytes).unwrap();
            read(Path::new("labels.csv"), &names, folder.path())
        };
        let found = with(b"\xef\xbb\xbfname,label\na.png,x\nb.png,y\n").unwrap();
        assert_eq!(found.classes, ["x", "y"]);
        for (bytes, expected) in [
            (&b"name,label\na.png,caf\xe9\n"[..], "labels.csv: line 2: not UTF-8"),
            (b"\xff\xfen\0a\0m\0e\0", "labels.csv: encoded as UTF-16"),
            (b"\xfe\xff\0n\0a\0m\0e", "labels.csv: encoded as UTF-16"),
        ] {
            let message = with(bytes).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        // Beside the data, and nowhere.
        std::fs::create_dir(folder.path().join("photos")).unwrap();
        with(b"name,label\na.png,x\nb.png,y\n").unwrap();
        read(Path::new("labels.csv"), &names, &folder.path().join("photos")).unwrap();
        let message = read(Path::new("none.csv"), &names, folder.path()).unwrap_err().to_string();
        assert_eq!(message, "none.csv: no such file or folder");
    }
}
