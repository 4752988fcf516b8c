//! Rows in a file that holds numbers alone, and beside it a CSV of the same name that says whose they are: `index,name,label`, and
//! `class` where classes have names.

use std::io::{self, Write};
use std::path::Path;

use riesz::Matrix;

use super::safetensors::TENSOR;
use super::{npy, safetensors};
use crate::{Result, atomic};

/// What is known of each row.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The image's name.
    pub names: &'a [String],
    /// The class, if there is one.
    pub labels: &'a [Option<u32>],
    /// Names of the classes, in the order of their numbers; none where they have no names.
    pub classes: &'a [String],
}

/// The CSV's columns; the last only where classes have names.
const HEADER: [&str; 4] = ["index", "name", "label", "class"];

/// Writes a matrix as `path`, an npy file or a safetensors file with the tensors `embeddings` and `labels`, by its ending, and the CSV
/// beside it; label and class are empty where there is none. No reader finds rows with the names of others.
///
/// # Errors
/// If the disk refuses; files that were there are untouched.
///
/// # Panics
/// If there are not as many names, or labels, as rows, or the file has another ending.
pub fn write_named(path: &Path, rows: &Matrix<f32>, named: Named<'_>) -> Result<()> {
    let Named { names, labels, .. } = named;
    assert!(
        [names.len(), labels.len()] == [rows.len(); 2],
        "{} names and {} labels of {} rows",
        names.len(),
        labels.len(),
        rows.len()
    );
    let ending = path.extension().and_then(|ending| ending.to_str());
    atomic::write_both(
        path,
        |file| match ending {
            Some("npy") => npy::write(file, rows),
            Some("safetensors") => safetensors::write(file, &[(TENSOR, rows)], Some(labels)),
            _ => panic!("{}: neither .npy nor .safetensors", path.display()),
        },
        &path.with_extension("csv"),
        |file| named.write(file),
    )
}

impl Named<'_> {
    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        let columns = if self.classes.is_empty() { 3 } else { 4 };
        let mut csv = csv::Writer::from_writer(file);
        csv.write_record(&HEADER[..columns])?;
        for (index, (name, label)) in self.names.iter().zip(self.labels).enumerate() {
            let class = label.and_then(|label| self.classes.get(label as usize));
            let label = label.map(|label| label.to_string()).unwrap_or_default();
            let index = index.to_string();
            let fields = [index.as_str(), name, &label, class.map_or("", String::as_str)];
            csv.write_record(&fields[..columns])?;
        }
        csv.flush()
    }
}

/// Whether a text is such a CSV, by its first line.
pub fn is_list_of_rows(text: &str) -> bool {
    [3, 4].iter().any(|&columns| text.lines().next() == Some(&HEADER[..columns].join(",")))
}

#[cfg(test)]
mod tests {
    use super::super::{Rows, read};
    use super::*;

    #[test]
    fn names_and_classes_are_csv_and_quoted_where_needed() {
        let folder = tempfile::tempdir().unwrap();
        let rows = Matrix::new(vec![0.5_f32, -1.25, 3.0e-20, f32::MAX, f32::MIN_POSITIVE, -0.0], 2);
        let names = ["a,b.png", "c.png", "d.png"].map(str::to_owned);
        let labels = [None, Some(1), Some(7)];
        let classes = ["sand".to_owned(), "gravel, fine".to_owned()];
        for (classes, want) in [
            (&[][..], "index,name,label\n0,\"a,b.png\",\n1,c.png,1\n2,d.png,7\n"),
            (&classes, "index,name,label,class\n0,\"a,b.png\",,\n1,c.png,1,\"gravel, fine\"\n2,d.png,7,\n"),
        ] {
            for file in ["rows.npy", "others.safetensors"] {
                let path = folder.path().join(file);
                write_named(&path, &rows, Named { names: &names, labels: &labels, classes }).unwrap();
                assert_eq!(read(&path, None).unwrap(), Rows::F32(rows.clone()));
                let text = std::fs::read_to_string(path.with_extension("csv")).unwrap();
                assert!(text == want && is_list_of_rows(&text), "{file}: {text}");
            }
        }
        assert!(!is_list_of_rows("index,name,label,weight\n0,a,1,2\n") && !is_list_of_rows(""));
    }
}
