//! Files of embeddings: a matrix of n rows × d columns, read block by block.
//!
//! | format | read | written | beside the matrix |
//! |---|---|---|---|
//! | `.npy` | f16, f32, f64, integers, booleans; both byte orders, C and Fortran order | f32, f64 | a CSV of names, labels and classes, by [`write_named`] |
//! | `.npz` | the same, by array name; stored or deflated | – | arrays of one dimension, integers or text; else the same CSV |
//! | `.safetensors` | f16, bf16, f32, f64 by tensor name | f32 | tensor `labels`, i64, −1 where there is none, or another of one integer a row; the same CSV |
//! | `.parquet` | a list or fixed-size-list column of f16, f32, f64, or such a number a column | columns `name`, `label`, `class`, `pixels`, `image`, `embedding` | in the file |
//! | `.arrow`, `.feather`, `.ipc` | the same | – | in the file |
//! | `.csv`, `.tsv` | columns of numbers, or one of lists in brackets | – | in the file |
//! | `.jsonl`, `.ndjson`, `.json` | a list of numbers a row, by its path in an object | – | in the file |
//! | `.vec`, `.txt` | a word and its numbers a line, or numbers alone, with blanks between | – | in the file |
//! | `.pt`, `.pth`, `.pkl`, `.pickle` | a tensor of torch or an array of NumPy, by its path; nothing is run | – | arrays of integers and lists; the same CSV |
//!
//! Half-precision numbers and integers of up to 16 bits widen to f32 without loss, longer integers to f64 (without loss
//! below 2⁵³). What a header promises is never allocated before it is there. Every writer writes beside its place and
//! renames, so that a reader sees the old file or the new one and a full disk loses nothing.

mod arrow;
mod arrow_promises;
mod arrow_zstd;
mod beside;
mod json;
mod named;
mod npy;
mod npz;
mod numbers;
mod parquet;
mod parquet_flat;
mod parquet_rows;
mod parquet_values;
mod pickled;
mod rows;
mod safetensors;
mod separator;
mod source;
pub mod stream;
mod table;
mod text;
mod text_lists;
mod values;
mod words;

use std::path::Path;

use crate::{Error, Result};
pub use named::{Named, is_list_of_rows, write_named};
pub use npy::write_npy;
pub use parquet::{Columns, ParquetFile, Part};
pub use rows::{Rows, check_finite};
pub use safetensors::{TENSOR, write_safetensors};
use source::{Block, Wanted};
pub use table::Dimensions;

/// No matrix that is read whole is larger: 16 GiB.
const MOST_BYTES: u128 = 16 << 30;

/// Reads a matrix whole, from any file that [`stream::open`] takes. `name` chooses an array of an npz, a tensor of a
/// safetensors file or a column; it is not needed if only one of them is a matrix of numbers.
///
/// # Errors
/// One sentence with the path if the file cannot be read, is damaged, holds something else than a matrix of numbers
/// with at least one row and one column, if it is larger than 16 GiB, or if the name does not choose one.
pub fn read(path: &Path, name: Option<&str>) -> Result<Rows> {
    whole(stream::open(path, &Wanted { name: name.map(str::to_owned), texts: Vec::new() })?)
}

/// The same, and an array [K, N, d] too, as the rows of K views, one above the other; then with K.
///
/// # Errors
/// As [`read`].
pub fn read_stacked(path: &Path, name: Option<&str>) -> Result<(Rows, Option<usize>)> {
    let stream = stream::open_stacked(path, &Wanted { name: name.map(str::to_owned), texts: Vec::new() })?;
    let views = stream.views();
    Ok((whole(stream)?, views))
}

fn whole(mut stream: stream::Stream) -> Result<Rows> {
    let mut all: Option<Rows> = None;
    while let Some(Block { rows, .. }) = stream.block()? {
        match &mut all {
            None => all = Some(rows),
            Some(all) => all.extend(rows),
        }
        let held = all.as_ref().map_or(0, |all| 8 * all.len() as u128 * all.dim() as u128);
        if held > MOST_BYTES {
            return Err(Error::input("holds more numbers than 16 GiB").at(stream.path().display()));
        }
    }
    all.ok_or_else(|| Error::input("has no rows").at(stream.path().display()))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use riesz::Matrix;

    use super::*;
    use crate::atomic;

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
        refused(
            "a.doc",
            b"",
            None,
            "must end in .npy, .npz, .safetensors, .parquet, .arrow, .feather, .ipc, .csv, .tsv, .jsonl, .ndjson, .json, .pt",
        );
        refused("a.npy", b"", Some("x"), "without a name");
        refused("a.npy", b"", None, "too early");
        refused("a.safetensors", b"", None, "too early");
        let message = read(&folder.path().join("none.npy"), None).unwrap_err().to_string();
        assert!(message.ends_with("none.npy: no such file or folder"), "{message}");
        let message = read(folder.path(), None).unwrap_err().to_string();
        assert!(message.contains("is a folder"), "{message}");
    }
}
