//! Rows of a table of numbers in text: CSV or TSV, with or without a header.
//!
//! Without a name the numbers are in all columns but those that are beside an embedding by their names (`table.rs`) and those that were
//! asked for as text; a name is what the headers of the numbers begin with. A column that counts the rows is no number of an embedding,
//! and is refused. Of a table that has a list of numbers in its first row the lists are the rows (`text_lists.rs`).

use std::fs::File;

use riesz::Matrix;

use super::rows::Rows;
use super::separator;
use super::source::{BLOCK, Block, Failure, Source, Wanted};
use super::table::{self, Dimensions, listed};
use super::text_lists;

type Outcome<T> = std::result::Result<T, Failure>;

/// Rows from which a column that counts them is taken for what it is.
const COUNTED: usize = 10;

/// What the first line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// Names, of which one at least is no number.
    Header,
    /// 0, 1, …, as pandas names columns that have no names.
    Places,
    /// The first row.
    Row,
}

impl First {
    fn of(fields: &[String]) -> Self {
        if fields.iter().any(|field| field.parse::<f64>().is_err()) {
            return Self::Header;
        }
        let are_places = fields.iter().enumerate().all(|(place, field)| *field == place.to_string());
        if are_places { Self::Places } else { Self::Row }
    }
}

struct Text {
    records: csv::StringRecordsIntoIter<File>,
    separator: u8,
    /// The first row, if it was read to see what there is.
    first: Option<csv::StringRecord>,
    columns: Vec<usize>,
    /// Where the numbers are, in words.
    told: String,
    /// What they are called, if there is a header.
    dimensions: Option<Dimensions>,
    /// The places among `columns` of those that nobody named, and that may count the rows.
    unnamed: Vec<usize>,
    header: Vec<String>,
    texts: Vec<usize>,
    done: u64,
}

/// The rows of a table.
pub(super) fn open(file: File, wanted: &Wanted, separator: u8) -> Outcome<Box<dyn Source>> {
    let reader =
        csv::ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(file);
    let mut records = reader.into_records();
    let Some(record) = records.next() else { return Err(Failure::Content("is empty".to_owned())) };
    let record = record.map_err(not_text)?;
    let bare = |field: &str| field.trim_start_matches('\u{feff}').trim().to_owned();
    let header: Vec<String> = record.iter().map(bare).collect();
    let first = First::of(&header);
    let is_header = first != First::Row;
    if !is_header && (wanted.name.is_some() || !wanted.texts.is_empty()) {
        return Err(Failure::Content("has no header, so that no column can be named".to_owned()));
    }
    let none = |what: String| {
        let other = separator::of_header(&header, separator);
        Failure::Content(format!("has no column {what}; it has {}{other}", listed(&header)))
    };
    let place =
        |text: &String| header.iter().position(|field| field == text).ok_or_else(|| none(text.clone()));
    let texts = wanted.texts.iter().map(place).collect::<Outcome<Vec<usize>>>()?;
    let second = if first == First::Header { records.next().transpose().map_err(not_text)? } else { None };
    let second = match second {
        Some(row) if row.len() == header.len() && text_lists::has_list(&row) => {
            return text_lists::open(records, row, &header, wanted.name.as_deref(), (&wanted.texts, texts));
        }
        second => second,
    };
    let is_number = |field: &String| match &wanted.name {
        Some(name) => field.starts_with(name.as_str()),
        None => !is_header || !table::is_beside(field, &[], &wanted.texts),
    };
    let columns: Vec<usize> = (0..header.len()).filter(|&i| is_number(&header[i])).collect();
    if columns.is_empty() {
        return Err(none(match &wanted.name {
            Some(name) => format!("that begins with {name}"),
            None => "of numbers".to_owned(),
        }));
    }
    let dimensions = is_header.then(|| Dimensions::new(&header, &columns));
    let told = match (&dimensions, first) {
        (Some(dimensions), First::Header) => format!("the first line is a header: {}", dimensions.told()),
        (Some(dimensions), _) => {
            format!("the first line counts from 0 and is taken as a header: {}", dimensions.told())
        }
        (None, _) => format!(
            "the first line is taken as a row, as it has numbers alone: all {} columns are numbers of a row",
            columns.len()
        ),
    };
    let is_unnamed = |place: &usize| !is_header || !table::is_in_a_row(&header, columns[*place]);
    let unnamed = match wanted.name {
        None if columns.len() > 1 => (0..columns.len()).filter(is_unnamed).collect(),
        _ => Vec::new(),
    };
    let first = if is_header { second } else { Some(record) };
    Ok(Box::new(Text {
        records,
        separator,
        first,
        columns,
        told,
        dimensions,
        unnamed,
        header,
        texts,
        done: 0,
    }))
}

impl Text {
    /// Refuses a column that counts the rows, from the first of them.
    fn check_counts(&self, numbers: &[f64]) -> Outcome<()> {
        let dim = self.columns.len();
        if numbers.len() / dim < COUNTED {
            return Ok(());
        }
        let counts = |place: &&usize| {
            let mut column = numbers.iter().skip(**place).step_by(dim).enumerate();
            let start = numbers[**place];
            start.fract() == 0.0 && column.all(|(row, x)| *x == start + row as f64)
        };
        let Some(&place) = self.unnamed.iter().find(counts) else { return Ok(()) };
        let (column, start) = (self.columns[place], numbers[place]);
        let counting = format!("counts the rows ({start}, {}, {}, …) and", start + 1.0, start + 2.0);
        Err(Failure::Content(match &self.dimensions {
            Some(_) => format!(
                "column {} {counting} would be a number of the embedding; call it index, or name the others by what their names begin \
                 with (--column)",
                self.header[column]
            ),
            None => format!(
                "column {column} {counting} would be a number of the embedding; leave it out, or begin the file with a header in which it \
                 is called index"
            ),
        }))
    }
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

    fn told(&self) -> Option<String> {
        Some(self.told.clone())
    }

    fn next(&mut self) -> Outcome<Option<Block>> {
        let (dim, is_start) = (self.columns.len(), self.done == 0);
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
            if record.len() != self.header.len() {
                let other =
                    record.iter().map(|field| separator::of_field(field, record.len() == 1, self.separator));
                let other = other.into_iter().find(|told| !told.is_empty()).unwrap_or_default();
                return Err(Failure::Content(format!(
                    "row {row} has {} fields; the first line has {}{other}",
                    record.len(),
                    self.header.len()
                )));
            }
            for &column in &self.columns {
                let field = record[column].trim();
                let number = field.parse::<f64>().map_err(|_| {
                    let shown: String = field.chars().take(40).collect();
                    let other = separator::of_field(field, record.len() == 1, self.separator);
                    Failure::Content(format!("row {row}, column {column}: `{shown}` is not a number{other}"))
                })?;
                numbers.push(number);
            }
            for (list, &column) in texts.iter_mut().zip(&self.texts) {
                list.push(record[column].trim().to_owned());
            }
            self.done += 1;
        }
        if is_start {
            self.check_counts(&numbers)?;
        }
        if numbers.is_empty() {
            return if self.done == 0 { Err(Failure::Content("has no rows".to_owned())) } else { Ok(None) };
        }
        Ok(Some(Block { rows: Rows::F64(Matrix::new(numbers, dim)), texts }))
    }
}

pub(super) fn not_text(error: csv::Error) -> Failure {
    match error.into_kind() {
        csv::ErrorKind::Io(disk) => Failure::Disk(disk),
        csv::ErrorKind::Utf8 { pos, .. } => {
            Failure::Content(format!("line {}: not UTF-8; save it as UTF-8", pos.map_or(0, |pos| pos.line())))
        }
        other => Failure::Content(format!("is not a table: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::whole;
    use super::*;

    /// Where the numbers are said to be and what they are, or the refusal.
    fn read(text: &str, separator: u8, name: Option<&str>) -> Result<(String, Rows), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        std::fs::write(&path, text).unwrap();
        let wanted = Wanted { name: name.map(str::to_owned), texts: Vec::new() };
        let read = |source: Box<dyn Source>| Ok((source.told().unwrap(), whole(source)?));
        open(File::open(&path).unwrap(), &wanted, separator).and_then(read).map_err(|failure| match failure {
            Failure::Disk(disk) => disk.to_string(),
            Failure::Content(what) => what,
        })
    }

    fn of(rows: &[[f64; 2]]) -> Rows {
        Rows::F64(Matrix::new(rows.as_flattened().to_vec(), 2))
    }

    #[test]
    fn a_first_line_that_counts_from_0_is_a_header_and_whether_there_is_one_is_told() {
        let want = of(&[[0.5, 1.5], [2.5, 3.5]]);
        for (text, expected) in [
            (
                "0,1\n0.5,1.5\n2.5,3.5\n",
                "the first line counts from 0 and is taken as a header: the numbers of a row are in 2 columns: 0, 1",
            ),
            (
                ",0,1\n0,0.5,1.5\n1,2.5,3.5\n",
                "is a header: the numbers of a row are in 2 columns: 0, 1; left out: one without a name",
            ),
            (
                "path,0,1\na,0.5,1.5\nb,2.5,3.5\n",
                "is a header: the numbers of a row are in 2 columns: 0, 1; left out: path",
            ),
            (
                "0.5,1.5\n2.5,3.5\n",
                "the first line is taken as a row, as it has numbers alone: all 2 columns",
            ),
        ] {
            let (told, rows) = read(text, b',', None).unwrap();
            assert!(told.contains(expected) && rows == want, "{text}: {told}");
        }
        // Written as fractions, or in another order, they are numbers.
        for text in ["0.0,1.0\n2,3\n", "1,2\n2,3\n", "1,0\n2,3\n"] {
            assert!(read(text, b',', None).unwrap().0.contains("taken as a row"), "{text}");
        }
    }

    #[test]
    fn a_column_that_counts_the_rows_is_refused_where_nobody_named_it() {
        let table = |head: &str, rows: usize, start: usize| {
            let lines = (0..rows).map(|i| format!("{},{},0.5\n", start + i, (i * i) % 7));
            format!("{head}{}", lines.collect::<String>())
        };
        for (head, start, expected) in [
            (
                "idx,a,b\n",
                0,
                "column idx counts the rows (0, 1, 2, …) and would be a number of the embedding; call it index",
            ),
            ("row,f0,f1\n", 1, "column row counts the rows (1, 2, 3, …)"),
            ("n,f0,f1\n", 700, "column n counts the rows (700, 701, 702, …)"),
            (
                "",
                0,
                "column 0 counts the rows (0, 1, 2, …) and would be a number of the embedding; leave it out",
            ),
        ] {
            let message = read(&table(head, 20, start), b',', None).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        // Few rows may do so by chance; one in a row of names is a dimension, and so is one that was named.
        assert!(read(&table("idx,a,b\n", 9, 0), b',', None).is_ok());
        assert!(read(&table("f0,f1,f2\n", 20, 0), b',', None).is_ok());
        assert!(read(&table("idx,ia,ib\n", 20, 0), b',', Some("i")).is_ok());
        assert_eq!(read(&table("index,a,b\n", 20, 0), b',', None).unwrap().1.dim(), 2);
    }

    #[test]
    fn a_column_of_lists_is_the_embedding_however_it_is_written() {
        let want = of(&[[0.5, -1.5e-3], [2.5, 3.0]]);
        for text in [
            "id,embedding\na,\"[0.5, -1.5e-3]\"\nb,\"[2.5, 3]\"\n",
            "id,n,vector\na,7,[ 0.5   -0.0015]\nb,8,\"[2.5\n 3. ]\"\n",
            "id,vector\na,\"{0.5,-0.0015}\"\nb,\"{2.5,3}\"\n",
            "vector,embedding\n[1],\"[0.5, -0.0015]\"\n[2],\"[2.5, 3]\"\n",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("table");
            std::fs::write(&path, text).unwrap();
            let rows = whole(open(File::open(&path).unwrap(), &Wanted::default(), b',').unwrap()).unwrap();
            assert_eq!(rows, want, "{text}");
        }
        let tabs = "id\tembedding\na\t[0.5, -0.0015]\nb\t[2.5, 3]\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        std::fs::write(&path, tabs).unwrap();
        let wanted = Wanted { name: Some("embedding".to_owned()), texts: vec!["id".to_owned()] };
        let mut source = open(File::open(&path).unwrap(), &wanted, b'\t').unwrap();
        assert_eq!(
            source.next().unwrap().unwrap(),
            Block { rows: want, texts: vec![vec!["a".into(), "b".into()]] }
        );
        for (text, name, expected) in [
            ("id,e\na,\"[0.5, 1]\"\nb,\"[2.5]\"\n", None, "row 1 has 1 numbers; the first has 2"),
            ("id,e\na,\"[0.5, 1]\"\nb,x\n", None, "row 1, column e: is no list of numbers"),
            ("id,e\na,\"[0.5, x]\"\n", None, "row 0, column e: is a list with `x`, which is not a number"),
            ("id,e\na,[0.1 0.2 ... 0.3]\n", None, "row 0, column e: is a list that NumPy shortened (`...`)"),
            ("id,e\na,\"[0.5, 1]\"\nb\n", None, "row 1 has 1 fields; the first line has 2"),
            ("d,e\n[1],[2]\n", None, "has several columns of lists; name one of d, e"),
            ("d,e\n[1],[2]\n", Some("f"), "has no column f; it has d, e"),
        ] {
            let message = read(text, b',', name).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn another_separator_is_named() {
        for (text, own, name, expected) in [
            (
                "0.1;0.2\n0.3;0.4\n",
                b',',
                None,
                "`0.3;0.4` is not a number; fields are separated by `;` here, and by `,` in a .csv",
            ),
            (
                "a;b\n0,1;0,2\n",
                b',',
                None,
                "row 0 has 3 fields; the first line has 1; fields are separated by `;` here",
            ),
            ("a\tb\n1\t2\n", b',', None, "separated by tabs here, and by `,` in a .csv; call it .tsv"),
            ("1,2\n3,4\n", b'\t', None, "separated by `,` here, and by tabs in a .tsv; call it .csv"),
            (
                "0,5\t0,1\n0,2\t0,3\n",
                b'\t',
                None,
                "`0,2` is not a number; it has a comma where numbers have a point",
            ),
            ("a b\n1 2\n", b',', None, "separated by blanks here"),
            (
                "e0;e1\n1;2\n",
                b',',
                Some("f"),
                "has no column that begins with f; it has e0;e1; fields are separated by `;` here",
            ),
            (
                "a,b\n\"0,5\",1\n",
                b',',
                None,
                "`0,5` is not a number; it has a comma where numbers have a point",
            ),
        ] {
            let message = read(text, own, name).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
        let plain = read("a,b\n1,x;y\n", b',', None).unwrap_err();
        assert!(plain.ends_with("`x;y` is not a number"), "{plain}");
    }
}
