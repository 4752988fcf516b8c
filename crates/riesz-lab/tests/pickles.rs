//! Files that torch and NumPy pickled, made by golden/pickles/make.py: what is read of each, what is refused, and that nothing of them runs.

use std::path::{Path, PathBuf};

use riesz::Matrix;
use riesz_lab::embeddings::stream::{self, Wanted};
use riesz_lab::embeddings::{Rows, read, read_stacked};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/pickles").join(name)
}

const MATRIX: [f64; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 100.0];

#[test]
fn a_matrix_is_read_whatever_wrote_it_and_however_it_lies() {
    let mut wide = Vec::new();
    for file in [
        "float16.pt",
        "bfloat16.pt",
        "float32.pt",
        "float64.pt",
        "int8.pt",
        "uint8.pt",
        "int16.pt",
        "int32.pt",
        "int64.pt",
        "uint16.pt",
        "old.pt",
        "parameter.pt",
        "transposed.pt",
        "part.pt",
        "columns.pt",
        "without-checksum.pt",
        "dictionary.pt",
        "dictionary-old.pt",
        "numpy-within.pt",
        "list.pt",
        "protocol-2.pkl",
        "protocol-3.pkl",
        "protocol-4.pkl",
        "protocol-5.pkl",
        "fortran.pkl",
        "sentences.pkl",
        "each.pkl",
        "objects.pkl",
        "cycle.pkl",
        "tensors.pkl",
        "lists.pkl",
        "plain.pkl",
        "python-2.pkl",
        "call.pkl",
    ] {
        let rows = read(&golden(file), None).unwrap();
        assert_eq!(rows.to_f64(), Matrix::new(MATRIX.to_vec(), 2), "{file}");
        if matches!(rows, Rows::F64(_)) {
            wide.push(file);
        }
    }
    assert_eq!(
        wide,
        [
            "float64.pt",
            "int32.pt",
            "int64.pt",
            "dictionary-old.pt",
            "fortran.pkl",
            "tensors.pkl",
            "lists.pkl",
            "plain.pkl"
        ]
    );
    assert!(!Path::new("riesz-was-here").exists(), "the call in call.pkl was made");
    let truths = read(&golden("bool.pt"), None).unwrap().to_f64();
    assert_eq!(truths, Matrix::new(vec![0.0, 0.0, 0.0, 1.0, 1.0, 1.0], 2));
}

#[test]
fn one_of_several_is_chosen_by_its_path() {
    let v = Matrix::new(MATRIX.map(|x| x + 0.5).to_vec(), 2);
    assert_eq!(read(&golden("two.pt"), Some("inner.v")).unwrap(), Rows::F64(v));
    let of = |file: &str, path: &str| read(&golden(file), Some(path)).unwrap().to_f64();
    assert_eq!(of("module.pt", "a.weight"), Matrix::new(MATRIX.to_vec(), 2));
    assert_eq!(of("state.pt", "state_dict.a.weight"), Matrix::new(MATRIX.to_vec(), 2));
    assert_eq!(of("lists.pkl", "rows"), Matrix::new(MATRIX.to_vec(), 2));
    let (rows, views) = read_stacked(&golden("stacked.pt"), None).unwrap();
    let both: Vec<f64> = MATRIX.into_iter().chain(MATRIX.map(|x| x + 1.0)).collect();
    assert_eq!((rows.to_f64(), views), (Matrix::new(both, 2), Some(2)));
}

#[test]
fn lists_and_integers_beside_an_array_are_its_texts() {
    let texts = |file: &str, names: &[&str]| {
        let wanted = Wanted { name: None, texts: names.iter().map(|name| (*name).to_owned()).collect() };
        stream::open(&golden(file), &wanted)
            .and_then(|mut stream| stream.block())
            .map(|block| block.unwrap().texts)
    };
    let paths = ["a.jpg", "ä/b.jpg", "c.jpg"];
    assert_eq!(texts("dictionary.pt", &["labels", "paths"]).unwrap(), [["1", "-1", "300"], paths]);
    assert_eq!(texts("dictionary-old.pt", &["labels"]).unwrap(), [["1", "-1", "300"]]);
    assert_eq!(texts("sentences.pkl", &["sentences"]).unwrap(), [paths]);
    assert_eq!(texts("each.pkl", &["name"]).unwrap(), [paths]);
    assert_eq!(texts("objects.pkl", &["labels"]).unwrap(), [["x", "y", "z"]]);
    assert_eq!(texts("lists.pkl", &["labels", "ids"]).unwrap(), [["5", "6", "7"], paths]);
    assert_eq!(texts("tensors.pkl", &["ids"]).unwrap(), [["1", "-1", "300"]]);
    assert_eq!(texts("python-2.pkl", &["labels"]).unwrap(), [["1", "2", "3"]]);
    let message = texts("dictionary.pt", &["class"]).unwrap_err().to_string();
    let expected =
        "has no array or list class; it has features, labels, paths, and no dictionary.csv lies beside it";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn what_is_not_read_is_told() {
    for (file, path, expected) in [
        ("two.pt", None, "holds several arrays; name one of u, inner.v"),
        ("two.pt", Some("w"), "has no array w; it has u, inner.v"),
        ("dictionary.pt", Some("paths"), "paths is a list; expected an array, or a list of rows"),
        ("biases.pt", None, "holds several arrays; name one of a.bias, b.bias, b.scale"),
        ("uneven.pkl", None, "array 1 has 1 numbers; the first row has 2"),
        ("stacked.pt", None, "its array has the shape [2, 3, 2]; expected [rows, columns]"),
        ("expanded.pt", None, "its array repeats its numbers (expand)"),
        ("complex.pt", None, "its array holds values of type torch.ComplexFloatStorage"),
        (
            "sparse.pt",
            None,
            "its array is of a kind that is not read (sparse_tensor); write it as a dense tensor",
        ),
        ("protocol-0.pkl", None, "is no pickle: it does not begin as one of protocol 2 to 5 does"),
    ] {
        let message = read(&golden(file), path).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains(file), "{message}");
    }
}

#[test]
fn a_damaged_file_is_called_that() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8], expected: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let message = read(&path, None).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains(name) && !message.contains('\n'), "{message}");
    };
    let whole = std::fs::read(golden("float32.pt")).unwrap();
    let numbers: Vec<u8> = MATRIX.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect();
    let at = whole.windows(24).position(|bytes| bytes == numbers).unwrap();
    let mut changed = whole.clone();
    changed[at + 23] ^= 1;
    refused("a.pt", &changed, "its checksum does not hold");
    refused("a.pt", &whole[..whole.len() - 30], "directory is damaged or missing");
    let old = std::fs::read(golden("old.pt")).unwrap();
    refused("a.pt", &old[..old.len() - 1], "ends too early");
    refused("a.pt", b"", "is no pickle");
    refused("a.pt", b"\x80\x02", "ends too early");
    refused("a.pt", b"\x80\x09.", "protocol 9");
    refused("a.npy.pkl", &std::fs::read(golden("../arrays/i1.npy")).unwrap(), "is no pickle");
    refused("a.pt", &std::fs::read(golden("../arrays/one.npz")).unwrap(), "arrays of NumPy end in .npz");
}
