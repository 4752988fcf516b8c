//! Files of embeddings: a matrix of n rows × d columns in npy, safetensors or parquet.
//!
//! | format | read | written | beside the matrix |
//! |---|---|---|---|
//! | `.npy` | f16, f32, f64 in C order | f32, f64 | a CSV of names and labels, by [`write_names`] |
//! | `.safetensors` | f16, bf16, f32, f64 by tensor name | f32 | tensor `labels`, i64, −1 where there is none |
//! | `.parquet` | – | columns `name`, `label`, `embedding` | in the file |
//!
//! Half-precision numbers widen to f32 without loss. Every writer writes beside its place and renames, so that a
//! reader sees the old file or the new one and a full disk loses nothing.

mod npy;
mod parquet;
mod safetensors;

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use riesz::{Matrix, Scalar};

use crate::{Error, Result, atomic};
pub use npy::write_npy;
pub use parquet::write_parquet;
pub use safetensors::write_safetensors;

/// A matrix as it was in a file: n rows × d columns, both at least 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// From f16, bf16 or f32.
    F32(Matrix<f32>),
    /// From f64.
    F64(Matrix<f64>),
}

impl Rows {
    /// Number of rows n.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(rows) => rows.len(),
            Self::F64(rows) => rows.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of columns d.
    pub fn dim(&self) -> usize {
        match self {
            Self::F32(rows) => rows.dim(),
            Self::F64(rows) => rows.dim(),
        }
    }

    /// The same numbers in f64.
    pub fn to_f64(&self) -> Matrix<f64> {
        match self {
            Self::F32(rows) => rows.to_f64(),
            Self::F64(rows) => rows.clone(),
        }
    }

    /// Refuses NaN and infinity.
    ///
    /// # Errors
    /// Names row and column of the first number that is not finite, both counted from 0.
    pub fn check_finite(&self) -> Result<()> {
        match self {
            Self::F32(rows) => check_finite(rows),
            Self::F64(rows) => check_finite(rows),
        }
    }
}

/// Refuses NaN and infinity in a matrix.
///
/// # Errors
/// Names row and column of the first number that is not finite, both counted from 0.
pub fn check_finite<T: Scalar>(rows: &Matrix<T>) -> Result<()> {
    match rows.as_slice().iter().position(|x| !x.to_f64().is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::input(format!(
            "row {}, column {} is {}; every number must be finite",
            at / rows.dim(),
            at % rows.dim(),
            rows.as_slice()[at]
        ))),
    }
}

/// Reads a matrix from a `.npy` or `.safetensors` file. `name` chooses a tensor of a safetensors file; it is not
/// needed if only one of them is a matrix of floating-point numbers.
///
/// # Errors
/// One sentence with the path if the file cannot be read, is damaged, holds something else than a matrix of
/// floating-point numbers with at least one row and one column, or if the name does not choose one.
pub fn read(path: &Path, name: Option<&str>) -> Result<Rows> {
    let file = File::open(path).map_err(|error| Error::io(path, &error))?;
    let metadata = file.metadata().map_err(|error| Error::io(path, &error))?;
    if metadata.is_dir() {
        return Err(Error::input(format!(
            "{}: is a folder; expected a .npy or .safetensors file",
            path.display()
        )));
    }
    let mut file = BufReader::new(file);
    let rows = match path.extension().and_then(|extension| extension.to_str()) {
        Some("npy") if name.is_some() => Err(Failure::Content(
            "an npy file holds one array, without a name; leave the name out".to_owned(),
        )),
        Some("npy") => npy::read(&mut file, metadata.len()),
        Some("safetensors") => safetensors::read(&mut file, metadata.len(), name),
        _ => Err(Failure::Content("the file's name must end in .npy or .safetensors".to_owned())),
    };
    rows.map_err(|failure| match failure {
        Failure::Disk(error) => Error::io(path, &error),
        Failure::Content(message) => Error::input(message).at(path.display()),
    })
}

/// Writes the names and labels of a matrix's rows as CSV with the header `index,name,label`; the label is empty where
/// there is none.
///
/// # Errors
/// If the disk refuses; a file that was there is untouched.
///
/// # Panics
/// If there are not as many labels as names.
pub fn write_names(path: &Path, names: &[String], labels: &[Option<u32>]) -> Result<()> {
    assert!(names.len() == labels.len(), "{} names, {} labels", names.len(), labels.len());
    atomic::write(path, |file| {
        let mut csv = csv::Writer::from_writer(file);
        csv.write_record(["index", "name", "label"])?;
        for (index, (name, label)) in names.iter().zip(labels).enumerate() {
            let label = label.map(|label| label.to_string()).unwrap_or_default();
            csv.write_record([&index.to_string(), name, &label])?;
        }
        csv.flush()
    })
}

/// Why a file gives no matrix.
#[derive(Debug)]
enum Failure {
    Disk(io::Error),
    Content(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// A floating-point type of a file, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

impl Float {
    fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Rows and columns of an array that shall be a matrix.
fn matrix_shape(shape: &[usize]) -> std::result::Result<(usize, usize), String> {
    match *shape {
        [rows, dim] if rows > 0 && dim > 0 => Ok((rows, dim)),
        _ => Err(format!("has the shape {shape:?}; expected [rows, columns] with at least one of each")),
    }
}

/// Reads `rows × dim` numbers. The caller has checked that the file holds that many, so that a header cannot ask for
/// more memory than the file has bytes (times two, for half precision).
fn read_numbers(file: &mut impl Read, float: Float, rows: usize, dim: usize) -> io::Result<Rows> {
    let count = rows * dim;
    Ok(match float {
        Float::F16 => {
            Rows::F32(Matrix::new(decode(file, count, |b| half::f16::from_le_bytes(b).to_f32())?, dim))
        }
        Float::Bf16 => {
            Rows::F32(Matrix::new(decode(file, count, |b| half::bf16::from_le_bytes(b).to_f32())?, dim))
        }
        Float::F32 => Rows::F32(Matrix::new(decode(file, count, f32::from_le_bytes)?, dim)),
        Float::F64 => Rows::F64(Matrix::new(decode(file, count, f64::from_le_bytes)?, dim)),
    })
}

fn decode<const BYTES: usize, T>(
    file: &mut impl Read,
    count: usize,
    number: impl Fn([u8; BYTES]) -> T,
) -> io::Result<Vec<T>> {
    let mut numbers = Vec::with_capacity(count);
    let mut buffer = vec![0; (1 << 16) * BYTES];
    while numbers.len() < count {
        let part = &mut buffer[..(count - numbers.len()).min(1 << 16) * BYTES];
        file.read_exact(part)?;
        numbers.extend(part.as_chunks().0.iter().map(|bytes| number(*bytes)));
    }
    Ok(numbers)
}

/// Writes all numbers of a matrix, little-endian, in its own width.
fn write_numbers<T: Scalar>(file: &mut impl Write, rows: &Matrix<T>) -> io::Result<()> {
    let wide = size_of::<T>() == 8;
    let mut buffer = Vec::with_capacity(rows.dim() * size_of::<T>());
    for row in rows.as_slice().chunks(rows.dim()) {
        buffer.clear();
        for x in row {
            if wide {
                buffer.extend_from_slice(&x.to_f64().to_le_bytes());
            } else {
                // Exact: an f32 came from an f32.
                buffer.extend_from_slice(&(x.to_f64() as f32).to_le_bytes());
            }
        }
        file.write_all(&buffer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Matrix<f32> {
        Matrix::new(vec![0.5, -1.25, 3.0e-20, f32::MAX, f32::MIN_POSITIVE, -0.0], 3)
    }

    #[test]
    fn npy_and_safetensors_give_back_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        let (rows, wide) = (sample(), sample().to_f64());
        let path = folder.path().join("rows.npy");
        write_npy(&path, &rows).unwrap();
        assert_eq!(read(&path, None).unwrap(), Rows::F32(rows.clone()));
        write_npy(&path, &wide).unwrap();
        assert_eq!(read(&path, None).unwrap(), Rows::F64(wide.clone()));
        let path = folder.path().join("rows.safetensors");
        write_safetensors(&path, &[("embeddings", &rows)], Some(&[Some(3), None])).unwrap();
        assert_eq!(read(&path, None).unwrap(), Rows::F32(rows.clone()), "labels are no matrix");
        assert_eq!(read(&path, Some("embeddings")).unwrap().to_f64(), wide);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
    }

    #[test]
    fn names_are_csv_and_quoted_where_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        write_names(&path, &["a,b.png".to_owned(), "c.png".to_owned()], &[None, Some(7)]).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "index,name,label\n0,\"a,b.png\",\n1,c.png,7\n");
    }

    #[test]
    fn a_number_that_is_not_finite_is_named() {
        let mut rows = sample();
        assert!(Rows::F32(rows.clone()).check_finite().is_ok());
        rows.row_mut(1)[2] = f32::NAN;
        let message = Rows::F32(rows).check_finite().unwrap_err().to_string();
        assert_eq!(message, "row 1, column 2 is NaN; every number must be finite");
    }

    #[test]
    fn a_writer_that_fails_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.npy");
        std::fs::write(&path, "old").unwrap();
        let full = atomic::write(&path, |file| {
            file.write_all(&[0; 5000])?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(full.unwrap_err().to_string().contains("no space left on the disk"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
        let nowhere = write_npy(&folder.path().join("no/such/folder.npy"), &sample());
        assert!(nowhere.unwrap_err().to_string().ends_with("no such file or folder"));
    }

    #[test]
    fn what_is_no_matrix_file_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |name: &str, bytes: &[u8], tensor: Option<&str>, expected: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let message = read(&path, tensor).unwrap_err().to_string();
            assert!(
                message.contains(expected) && message.contains(name) && !message.contains('\n'),
                "{message}"
            );
        };
        refused("a.txt", b"", None, "must end in .npy or .safetensors");
        refused("a.npy", b"", Some("x"), "without a name");
        refused("a.npy", b"", None, "too early");
        refused("a.safetensors", b"", None, "too early");
        let message = read(&folder.path().join("none.npy"), None).unwrap_err().to_string();
        assert!(message.ends_with("none.npy: no such file or folder"), "{message}");
        let message = read(folder.path(), None).unwrap_err().to_string();
        assert!(message.contains("is a folder"), "{message}");
    }
}
