//! Labels of rows for `riesz geometry`: where they may be, which numbers need them, and what is told where one is not defined.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use riesz::Matrix;
use riesz::rng::{Key, normal};
use riesz_lab::embeddings::{self, Named, write_named};
use riesz_lab::geometry::{OF_LABELS, Report};

fn riesz(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_riesz")).current_dir(folder).args(arguments).output().unwrap()
}

fn report(folder: &Path, arguments: &[&str]) -> Report {
    let output = riesz(folder, &[&["geometry"], arguments, &["--json", "--quiet"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Exit code 2 and one line that has all of `expected`.
fn refuses(folder: &Path, arguments: &[&str], expected: &[&str]) {
    let output = riesz(folder, &[&["geometry"], arguments].concat());
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), err.trim_end().lines().count()), (Some(2), 1), "{err}");
    expected.iter().for_each(|word| assert!(err.contains(word), "`{word}` is not in: {err}"));
}

/// Rows about three points.
fn rows(n: usize) -> Matrix<f32> {
    let mut rng = Key::new(3).rng();
    let mut rows = Matrix::new((0..n * 6).map(|_| normal(&mut rng) as f32).collect(), 6);
    (0..n).for_each(|i| rows.row_mut(i)[i % 3] += 3.0);
    rows
}

/// An npy file of these bytes.
fn npy(descr: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), bytes].concat()
}

/// A zip archive of members that are stored.
fn npz(path: &Path, members: &[(&str, Vec<u8>)]) {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let mut checksum = flate2::Crc::new();
        checksum.update(content);
        let size = (content.len() as u32).to_le_bytes();
        let mut head = [20_u16, 0, 0, 0, 0].map(u16::to_le_bytes).concat();
        head.extend([&checksum.sum().to_le_bytes()[..], &size, &size].concat());
        head.extend([(name.len() as u16).to_le_bytes(), [0; 2]].concat());
        let at = (file.len() as u32).to_le_bytes();
        file.extend([b"PK\x03\x04", &head[..], name.as_bytes(), content].concat());
        directory.extend([b"PK\x01\x02\x14\x00", &head[..], &[0; 10], &at, name.as_bytes()].concat());
    }
    let at = (file.len() as u32).to_le_bytes();
    let count = (members.len() as u16).to_le_bytes();
    let size = (directory.len() as u32).to_le_bytes();
    let end = [&b"PK\x05\x06"[..], &[0; 4], &count, &count, &size, &at, &[0; 2]].concat();
    std::fs::File::create(path).unwrap().write_all(&[file, directory, end].concat()).unwrap();
}

#[test]
fn labels_are_taken_from_an_array_of_the_same_file() {
    let (folder, n) = (tempfile::tempdir().unwrap(), 90);
    let here = folder.path();
    let rows = rows(n);
    embeddings::write_npy(&here.join("z.npy"), &rows).unwrap();
    let numbers = std::fs::read(here.join("z.npy")).unwrap();
    std::fs::write(here.join("labels.txt"), (0..n).map(|i| format!("{}\n", i % 3)).collect::<String>())
        .unwrap();
    let want = report(here, &["z.npy", "--labels", "labels.txt"]).labeled;
    assert!(want.len() == 4 && want.iter().all(|value| value.value.is_some()), "{want:?}");

    let integers: Vec<u8> = (0..n as i64).flat_map(|i| (i % 3).to_le_bytes()).collect();
    let words: Vec<u8> =
        (0..n as u32).flat_map(|i| [120, 48 + i % 3].map(u32::to_le_bytes)).flatten().collect();
    let count = format!("{n},");
    npz(
        &here.join("z.npz"),
        &[
            ("z.npy", numbers),
            ("y.npy", npy("<i8", &count, &integers)),
            ("words.npy", npy("<U2", &count, &words)),
            ("few.npy", npy("|u1", "2,", &[1, 2])),
            ("wide.npy", npy("|u1", "1, 2", &[1, 2])),
            ("halves.npy", npy("<f2", "2,", &[0; 4])),
        ],
    );
    for name in ["y", "words"] {
        assert_eq!(report(here, &["z.npz", "--column", "z", "--labels", name]).labeled, want, "{name}");
    }
    for (name, expected) in [
        ("no", "z.npz: has no array no; it has z, y, words, few, wide, halves, and no z.csv lies beside it"),
        ("few", "z.npz: array few has 2 values for 90 rows"),
        ("wide", "array wide has the shape [1, 2]; expected one value a row"),
        ("halves", "array halves holds values of type <f2; expected integers, or text"),
    ] {
        refuses(here, &["z.npz", "--column", "z", "--labels", name], &[expected]);
    }

    // As `riesz embed` writes them: a tensor with −1 for none, and a table.
    let labels: Vec<Option<u32>> = (0..n).map(|i| (i >= 30).then_some(i as u32 % 3)).collect();
    let names: Vec<String> = (0..n).map(|i| i.to_string()).collect();
    let named = Named { names: &names, labels: &labels, classes: &[] };
    write_named(&here.join("own.safetensors"), &rows, named).unwrap();
    let [tensor, column] =
        ["labels", "label"].map(|name| report(here, &["own.safetensors", "--labels", name]).labeled);
    assert_eq!((tensor[2].rows, &tensor), (60, &column));
    refuses(
        here,
        &["own.safetensors", "--labels", "no"],
        &[
            "has no column no: own.csv beside it has index, name, label, and the file itself has embeddings, labels",
        ],
    );
    refuses(
        here,
        &["own.safetensors", "--labels", "embeddings"],
        &["tensor embeddings holds F32; expected integers"],
    );
    std::fs::remove_file(here.join("own.csv")).unwrap();
    refuses(here, &["own.safetensors", "--labels", "no"], &["has no tensor no; it has embeddings, labels"]);
}

#[test]
fn numbers_of_labels_are_metrics_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    embeddings::write_npy(&here.join("z.npy"), &rows(60)).unwrap();
    let labels: String = (0..60).map(|i| ["a\n", "b\n", "nan\n"][i % 3]).collect();
    std::fs::write(here.join("labels.txt"), labels).unwrap();
    let list = String::from_utf8(riesz(here, &["geometry", "--list"]).stdout).unwrap();
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/geometry.md"))
        .unwrap();
    for metric in OF_LABELS {
        for text in
            [&format!("\n{}  (with --labels)\n", metric.name), metric.about, metric.formula, metric.source]
        {
            assert!(list.contains(text), "{text}");
        }
        assert!(
            page.contains(&format!("`{}`", metric.name)),
            "docs/geometry.md does not tell {}",
            metric.name
        );
        refuses(
            here,
            &["z.npy", "--metrics", metric.name],
            &[metric.name, "needs labels: --labels FILE or COLUMN"],
        );
    }
    let some = report(here, &["z.npy", "--labels", "labels.txt", "--metrics", "lidar,rank,knn"]);
    let of = |values: &[riesz_lab::geometry::Value]| {
        values.iter().map(|value| value.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (of(&some.metrics), of(&some.labeled)),
        (vec!["rank".to_owned()], vec!["knn".to_owned(), "lidar".to_owned()])
    );
    assert!(
        some.notes.iter().any(|note| note == "labels: of all rows 20 say nan, which counts as no label"),
        "{:?}",
        some.notes
    );
    let rows_alone = report(here, &["z.npy", "--labels", "labels.txt", "--metrics", "rank"]);
    assert!(rows_alone.labeled.is_empty() && rows_alone.notes.is_empty(), "{:?}", rows_alone.notes);
    let table =
        riesz(here, &["geometry", "z.npy", "--labels", "labels.txt", "--table", "markdown", "--quiet"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("| Thilak et al., ICLR 2024 |"));
    refuses(
        here,
        &["z.npy", "--metrics", "knnn"],
        &["knnn is no metric", "hubness", "with --labels knn, linear_probe, lidar, silhouette"],
    );
}

/// The rest of the report stands.
#[test]
fn a_collapsed_encoder_has_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    embeddings::write_npy(&here.join("z.npy"), &Matrix::new([1.0_f32, 2.0, 3.0].repeat(40), 3)).unwrap();
    std::fs::write(here.join("labels.txt"), "a\nb\n".repeat(20)).unwrap();
    let output =
        riesz(here, &["geometry", "z.npy", "--labels", "labels.txt", "--quiet", "--output", "page.html"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.starts_with("\nCollapsed: "), "{told}");
    let line = told.lines().find(|line| line.starts_with("  lidar ")).unwrap();
    assert!(line.ends_with('–') && told.contains("not defined, as all rows are one point"), "{told}");
}
