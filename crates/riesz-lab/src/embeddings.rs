//! Files of embeddings: a matrix of n rows × d columns in npy, safetensors or parquet.
//!
//! | format | read | written | beside the matrix |
//! |---|---|---|---|
//! | `.npy` | f16, f32, f64, integers, booleans; both byte orders, C and Fortran order | f32, f64 | a CSV of names and labels, by [`write_names`] |
//! | `.npz` | the same, by array name; stored or deflated | – | other arrays |
//! | `.safetensors` | f16, bf16, f32, f64 by tensor name | f32 | tensor `labels`, i64, −1 where there is none |
//! | `.parquet` | – | columns `name`, `label`, `embedding` | in the file |
//!
//! Half-precision numbers and integers of up to 16 bits widen to f32 without loss, longer integers to f64 (without loss
//! below 2⁵³). What a header promises is never allocated before it is there, and at most 16 GiB. Every writer writes beside its place and renames, so that a
//! reader sees the old file or the new one and a full disk loses nothing.

mod npy;
mod npz;
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
    /// From f16, bf16, f32, or integers of 8 or 16 bits.
    F32(Matrix<f32>),
    /// From f64, or integers of 32 or 64 bits.
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

/// Reads a matrix from a `.npy`, `.npz` or `.safetensors` file. `name` chooses an array of an npz or a tensor of a
/// safetensors file; it is not needed if only one of them is a matrix of numbers.
///
/// # Errors
/// One sentence with the path if the file cannot be read, is damaged, holds something else than a matrix of numbers
/// with at least one row and one column, or if the name does not choose one.
pub fn read(path: &Path, name: Option<&str>) -> Result<Rows> {
    let file = File::open(path).map_err(|error| Error::io(path, &error))?;
    let metadata = file.metadata().map_err(|error| Error::io(path, &error))?;
    if metadata.is_dir() {
        return Err(Error::input(format!(
            "{}: is a folder; expected a .npy, .npz or .safetensors file",
            path.display()
        )));
    }
    let mut file = BufReader::new(file);
    let rows = match path.extension().and_then(|extension| extension.to_str()) {
        Some("npy") if name.is_some() => Err(Failure::Content(
            "an npy file holds one array, without a name; leave the name out".to_owned(),
        )),
        Some("npy") => npy::read(&mut file, metadata.len()),
        Some("npz") => npz::read(&mut file, metadata.len(), name),
        Some("safetensors") => safetensors::read(&mut file, metadata.len(), name),
        _ => Err(Failure::Content("the file's name must end in .npy, .npz or .safetensors".to_owned())),
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

/// A type of numbers in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    F16,
    Bf16,
    F32,
    F64,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
}

impl Number {
    fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }
}

/// How the numbers of a matrix lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    number: Number,
    big_endian: bool,
    /// Column after column (Fortran order), not row after row.
    by_columns: bool,
    rows: usize,
    dim: usize,
}

impl Layout {
    /// Bytes of the numbers.
    fn bytes(self) -> u128 {
        self.rows as u128 * self.dim as u128 * self.number.bytes() as u128
    }
}

/// Rows and columns of an array that shall be a matrix.
fn matrix_shape(shape: &[usize]) -> std::result::Result<(usize, usize), String> {
    match *shape {
        [rows, dim] if rows > 0 && dim > 0 => Ok((rows, dim)),
        _ => Err(format!("has the shape {shape:?}; expected [rows, columns] with at least one of each")),
    }
}

/// More numbers than any matrix that is asked about here.
const MOST_BYTES: u128 = 16 << 30;

/// Reads the numbers of a matrix. The caller has checked that the file claims to hold them.
fn read_numbers(file: &mut impl Read, layout: Layout) -> std::result::Result<Rows, Failure> {
    if layout.bytes() > MOST_BYTES {
        let Layout { rows, dim, .. } = layout;
        return Err(Failure::Content(format!("{rows} × {dim} numbers are more than 16 GiB")));
    }
    Ok(match layout.number {
        Number::F16 => Rows::F32(decode(file, layout, |b| half::f16::from_le_bytes(b).to_f32())?),
        Number::Bf16 => Rows::F32(decode(file, layout, |b| half::bf16::from_le_bytes(b).to_f32())?),
        Number::F32 => Rows::F32(decode(file, layout, f32::from_le_bytes)?),
        Number::F64 => Rows::F64(decode(file, layout, f64::from_le_bytes)?),
        Number::I8 => Rows::F32(decode(file, layout, |b| f32::from(i8::from_le_bytes(b)))?),
        Number::U8 => Rows::F32(decode(file, layout, |b| f32::from(u8::from_le_bytes(b)))?),
        Number::I16 => Rows::F32(decode(file, layout, |b| f32::from(i16::from_le_bytes(b)))?),
        Number::U16 => Rows::F32(decode(file, layout, |b| f32::from(u16::from_le_bytes(b)))?),
        Number::I32 => Rows::F64(decode(file, layout, |b| f64::from(i32::from_le_bytes(b)))?),
        Number::U32 => Rows::F64(decode(file, layout, |b| f64::from(u32::from_le_bytes(b)))?),
        Number::I64 => Rows::F64(decode(file, layout, |b| i64::from_le_bytes(b) as f64)?),
        Number::U64 => Rows::F64(decode(file, layout, |b| u64::from_le_bytes(b) as f64)?),
    })
}

/// Reads numbers into a row-major matrix; memory grows with what is there.
fn decode<const BYTES: usize, T: Scalar>(
    file: &mut impl Read,
    layout: Layout,
    number: impl Fn([u8; BYTES]) -> T,
) -> io::Result<Matrix<T>> {
    const AT_ONCE: usize = 1 << 16;
    let Layout { rows, dim, .. } = layout;
    let mut numbers = Vec::new();
    let mut buffer = vec![0; AT_ONCE * BYTES];
    while numbers.len() < rows * dim {
        let part = &mut buffer[..(rows * dim - numbers.len()).min(AT_ONCE) * BYTES];
        file.read_exact(part)?;
        numbers.extend(part.as_chunks_mut().0.iter_mut().map(|bytes| {
            if layout.big_endian {
                bytes.reverse();
            }
            number(*bytes)
        }));
    }
    if layout.by_columns {
        numbers = (0..rows * dim).map(|i| numbers[i % dim * rows + i / dim]).collect();
    }
    Ok(Matrix::new(numbers, dim))
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

    fn golden(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/arrays").join(name)
    }

    const MATRIX: [f64; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 100.0];

    #[test]
    fn arrays_are_read_as_numpy_saves_them() {
        let mut types = 0;
        for entry in std::fs::read_dir(golden("")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if !name.ends_with(".npy") {
                continue;
            }
            types += 1;
            let rows = read(&path, None).unwrap();
            let want = if name == "booleans.npy" { [0.0, 0.0, 0.0, 1.0, 1.0, 1.0] } else { MATRIX };
            assert_eq!(rows.to_f64(), Matrix::new(want.to_vec(), 2), "{name}");
            let is_wide =
                ["f8", "4.npy", "8.npy"].iter().any(|end| name.contains(end)) && !name.contains("f4");
            assert_eq!(matches!(rows, Rows::F64(_)), is_wide, "{name}");
        }
        assert_eq!(types, 20);
    }

    #[test]
    fn an_array_of_an_npz_is_chosen_by_name_or_is_the_only_matrix() {
        let narrow = Rows::F32(Matrix::new(MATRIX.map(|x| x as f32).to_vec(), 2));
        assert_eq!(read(&golden("one.npz"), None).unwrap(), narrow);
        assert_eq!(read(&golden("one.npz"), Some("arr_0")).unwrap(), narrow);
        let wide = Rows::F64(Matrix::new(MATRIX.to_vec(), 2));
        assert_eq!(read(&golden("named.npz"), None).unwrap(), wide, "deflated, big-endian, by columns");
        assert_eq!(read(&golden("several.npz"), None).unwrap(), narrow, "labels and names are no matrix");
        let half = MATRIX.map(|x| x + 0.5).to_vec();
        assert_eq!(read(&golden("two.npz"), Some("v")).unwrap(), Rows::F64(Matrix::new(half, 2)));
        for (file, name, expected) in [
            ("two.npz", None, "two.npz: holds several arrays; name one of u, v"),
            ("two.npz", Some("w"), "has no array w; it has u, v"),
            ("several.npz", Some("labels"), "array labels has the shape [3]; expected [rows, columns]"),
            ("several.npz", Some("names"), "array names holds values of type <U1"),
        ] {
            let message = read(&golden(file), name).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    /// Whatever is in a file, the answer is a matrix or a sentence.
    #[test]
    fn mutated_arrays_never_panic() {
        use riesz::rng::{Key, below};
        let folder = tempfile::tempdir().unwrap();
        let mut read_anyway = 0;
        for (file, name) in
            ["named.npz", "two.npz", "one.npz", "fortran.npy", "version-2.npy"].iter().zip(0..)
        {
            let whole = std::fs::read(golden(file)).unwrap();
            let path = folder.path().join(file);
            for case in 0..400 {
                let mut rng = Key::new(11).at(name).at(case).rng();
                let mut bytes = whole.clone();
                for _ in 0..=below(&mut rng, 3) {
                    let at = below(&mut rng, bytes.len() as u64) as usize;
                    bytes[at] = [0, 0xff, below(&mut rng, 256) as u8][below(&mut rng, 3) as usize];
                }
                if below(&mut rng, 4) == 0 {
                    bytes.truncate(below(&mut rng, bytes.len() as u64) as usize);
                }
                std::fs::write(&path, &bytes).unwrap();
                match read(&path, None) {
                    Ok(_) => read_anyway += 1,
                    Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
                }
            }
        }
        assert!(read_anyway > 0, "some mutations leave the file readable");
    }

    #[test]
    fn a_damaged_npz_is_called_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let whole = std::fs::read(golden("one.npz")).unwrap();
        // The last number of the array, which is stored; the size in the directory; the end.
        let last = whole.len() - 22 - 55 - 1;
        let mut changed = whole.clone();
        changed[last] ^= 1;
        let mut promised = whole.clone();
        let directory = whole.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
        promised[directory + 24..directory + 28].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
        for (bytes, expected) in [
            (&changed[..], "array arr_0 is damaged: its checksum does not hold"),
            (&promised, "array arr_0 claims more bytes than it can hold"),
            (&whole[..whole.len() - 30], "its directory is damaged or missing"),
            (b"text", "does not start with PK"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let message = read(&path, None).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("a.npz"), "{message}");
        }
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
        refused("a.txt", b"", None, "must end in .npy, .npz or .safetensors");
        refused("a.npy", b"", Some("x"), "without a name");
        refused("a.npy", b"", None, "too early");
        refused("a.safetensors", b"", None, "too early");
        let message = read(&folder.path().join("none.npy"), None).unwrap_err().to_string();
        assert!(message.ends_with("none.npy: no such file or folder"), "{message}");
        let message = read(folder.path(), None).unwrap_err().to_string();
        assert!(message.contains("is a folder"), "{message}");
    }
}
