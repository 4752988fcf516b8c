//! `riesz geometry` as its users meet it: every container, bad files each with one sentence, parts that merge to the whole.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use riesz::geometry::METRICS;
use riesz::rng::{Key, normal};
use riesz::{Matrix, Points, normalize};
use riesz_lab::embeddings::{self, Columns, ParquetFile, Part};
use riesz_lab::geometry::Report;

fn riesz(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_riesz")).current_dir(folder).args(arguments).output().unwrap()
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "exit {:?}\n{}", output.status.code(), words(&output.stderr));
    words(&output.stdout)
}

/// Exit code 2 and one line that has all of `expected`.
fn refuses(output: &Output, expected: &[&str]) {
    let err = words(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert_eq!(err.trim_end().lines().count(), 1, "{err}");
    for word in expected {
        assert!(err.contains(word), "`{word}` is not in: {err}");
    }
}

fn write_parquet(path: &Path, names: &[String], labels: &[Option<u32>], rows: &Matrix<f32>) {
    let mut file = ParquetFile::create(path, Columns::default()).unwrap();
    let (names, labels, pixels) = (names.to_vec(), labels.to_vec(), names.to_vec());
    file.push(Part { names, labels, pixels, thumbnails: Vec::new(), rows: rows.clone() }).unwrap();
    file.finish().unwrap();
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn report(folder: &Path, arguments: &[&str]) -> Report {
    let output = riesz(folder, &[&["geometry"], arguments, &["--json", "--quiet"]].concat());
    serde_json::from_str(&succeeds(&output)).unwrap()
}

/// n rows of unequal lengths, about a point that is not 0.
fn cloud(n: usize, dim: usize, seed: u64) -> Matrix<f32> {
    let mut rng = Key::new(seed).rng();
    Matrix::new((0..n * dim).map(|_| (normal(&mut rng) + 0.4) as f32).collect(), dim)
}

#[test]
fn every_container_gives_the_same_numbers() {
    let tables = root().join("golden/tables");
    let want = report(&tables, &["rows.npy"]);
    assert_eq!((want.rows, want.dim, want.looked_at), (40, 6, 40));
    let mut read = 0;
    for entry in std::fs::read_dir(&tables).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let is_good = ["fixed", "f16", "f32", "f64", "stream", "zstd", "columns"]
            .iter()
            .any(|good| name.starts_with(good));
        if !is_good || name.ends_with(".py") {
            continue;
        }
        read += 1;
        // The numbers are multiples of ⅛, which every type holds.
        let got = report(&tables, &[&name]);
        assert_eq!((&got.metrics, &got.singular_values), (&want.metrics, &want.singular_values), "{name}");
    }
    assert_eq!(read, 17);
    for [name, column] in [["two.parquet", "other"], ["columns.parquet", "d"], ["columns.feather", "d"]] {
        assert_eq!(report(&tables, &[name, "--column", column]).metrics, want.metrics, "{name}");
    }
    // Labels are text, or numbers in a dictionary of text.
    let labeled = ["fixed.parquet", "columns.parquet", "columns.feather"]
        .map(|name| report(&tables, &[name, "--labels", "label"]).labeled);
    assert!(labeled[0].len() == 4 && labeled.iter().all(|values| *values == labeled[0]), "{labeled:?}");

    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let rows = embeddings::read(&tables.join("rows.npy"), None).unwrap().into_f32();
    let mut csv = String::from("name,class,e0,e1,e2,e3,e4,e5\n");
    let mut bare = String::new();
    for i in 0..rows.len() {
        let numbers: Vec<String> = rows.row(i).iter().map(f32::to_string).collect();
        csv.push_str(&format!("item {i},{},{}\n", i % 3, numbers.join(",")));
        bare.push_str(&format!("{}\n", numbers.join("\t")));
    }
    std::fs::write(here.join("a.csv"), csv).unwrap();
    std::fs::write(here.join("b.tsv"), bare).unwrap();
    embeddings::write_safetensors(&here.join("c.safetensors"), &[("z", &rows)], None).unwrap();
    for arguments in [&["a.csv"][..], &["a.csv", "--column", "e"], &["b.tsv"], &["c.safetensors"]] {
        assert_eq!(report(here, arguments).metrics, want.metrics, "{arguments:?}");
    }
}

/// Which columns of a table are the numbers is told, and is one thing in all files.
#[test]
fn tables_say_which_columns_they_are_of_and_must_agree() {
    let tables = root().join("golden/tables");
    let said = |name: &str| report(&tables, &[name]).notes;
    let taken = "the numbers of a row are in 6 columns: d0, d1, d2, d3, d4, d5; left out: item, label";
    for name in ["columns.parquet", "columns.feather"] {
        assert!(said(name).contains(&taken.to_owned()), "{:?}", said(name));
    }
    for name in ["columns-index.parquet", "columns-index.feather"] {
        assert!(said(name).contains(&format!("{taken}, row, year")), "{:?}", said(name));
    }
    assert!(said("fixed.parquet").is_empty());

    // As pandas writes a table: with its index in a first column without a name.
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let rows = cloud(40, 3, 5);
    let table = |head: &str, order: [usize; 3]| {
        let mut text = head.to_owned();
        for i in 0..rows.len() {
            let numbers = order.map(|k| rows.row(i)[k].to_string()).join(",");
            text.push_str(&format!("{i},{numbers}\n"));
        }
        text
    };
    std::fs::write(here.join("a.csv"), table(",x,y,z\n", [0, 1, 2])).unwrap();
    embeddings::write_npy(&here.join("a.npy"), &rows).unwrap();
    assert_eq!(report(here, &["a.csv"]).metrics.len(), METRICS.len());
    let [got, want] = ["a.csv", "a.npy"].map(|name| report(here, &[name]).value("uniformity").unwrap());
    assert!((got - want).abs() < 1e-6, "{got} for {want}");
    // The same columns in another order are not put side by side by their places.
    std::fs::write(here.join("b.csv"), table(",y,x,z\n", [1, 0, 2])).unwrap();
    refuses(
        &riesz(here, &["geometry", "a.csv", "b.csv"]),
        &["b.csv: number 0 of a row is in column y", "a.csv", "has x"],
    );
}

/// The numbers are those of the library, in the order of its list, and all of them.
#[test]
fn the_metrics_are_those_of_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let (u, v) = (cloud(700, 12, 1), cloud(700, 12, 2));
    embeddings::write_npy(&folder.path().join("u.npy"), &u).unwrap();
    embeddings::write_npy(&folder.path().join("v.npy"), &v).unwrap();
    let got = report(folder.path(), &["u.npy", "--pairs", "v.npy"]);
    let views = [u, v].map(|rows| {
        let mut rows = rows.to_f64();
        normalize(&mut rows).unwrap();
        rows
    });
    let found =
        riesz::geometry::Findings::of(&views.each_ref().map(|rows| Points::new(rows).unwrap())).unwrap();
    assert_eq!(got.metrics.len(), METRICS.len());
    for (value, metric) in got.metrics.iter().zip(METRICS) {
        assert_eq!(value.name, metric.name);
        assert!(value.low.is_none() && value.high.is_none(), "all pairs were looked at");
        let want = metric.read(&found).map(|want| want.value);
        match (value.value, want) {
            (Some(got), Some(want)) => {
                assert!(
                    (got - want).abs() < 1e-12 * want.abs().max(1e-3),
                    "{}: {got} for {want}",
                    metric.name
                );
            }
            // Too few directions for a power law; lengths are those of the file.
            (got, want) => assert!(metric.name.contains("length") || got == want, "{}: {got:?}", metric.name),
        }
    }
    let list = succeeds(&riesz(folder.path(), &["geometry", "--list"]));
    let page = std::fs::read_to_string(root().join("docs/geometry.md")).unwrap();
    for metric in METRICS {
        assert!(list.contains(metric.name) && list.contains(metric.formula) && list.contains(metric.source));
        assert!(
            page.contains(&format!("`{}`", metric.name)),
            "docs/geometry.md does not tell {}",
            metric.name
        );
    }
    let only = report(folder.path(), &["u.npy", "--metrics", "rank,hubness"]);
    assert_eq!(only.metrics.iter().map(|value| value.name.as_str()).collect::<Vec<_>>(), ["rank", "hubness"]);
}

/// In a cone neighbors are told apart in f64, however many rows there are, and a copy of a file has the neighbors of the file.
#[test]
fn neighbors_in_a_narrow_cone_are_the_true_ones() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut rng = Key::new(3).rng();
    let far: Vec<f64> = (0..4500 * 6).map(|_| normal(&mut rng) + 3000.0).collect();
    let far = Matrix::new(far, 6);
    embeddings::write_npy(&here.join("all.npy"), &far).unwrap();
    // The same rows about their mean have the same neighbors, but for what scaling to unit length moves, 10⁻³ of a distance.
    let few = Matrix::new(far.as_slice()[..4000 * 6].to_vec(), 6);
    embeddings::write_npy(&here.join("few.npy"), &few).unwrap();
    let [all, few] = ["all.npy", "few.npy"].map(|name| {
        let found = report(here, &[name, "--metrics", "hubness,intrinsic_dimension"]);
        ["hubness", "intrinsic_dimension"].map(|name| found.value(name).unwrap())
    });
    // Five of the six dimensions are left of the sphere; f32 would say a hubness above 10.
    assert!((all[0] - few[0]).abs() < 0.3 && (all[1] - few[1]).abs() < 0.3, "{all:?} {few:?}");
    assert!((4.0..6.0).contains(&all[1]) && all[0] < 2.0, "{all:?}");

    // Turned by a swap of its numbers.
    let turned: Vec<f64> = (0..far.len()).flat_map(|i| [5, 3, 4, 0, 2, 1].map(|k| far.row(i)[k])).collect();
    embeddings::write_npy(&here.join("turned.npy"), &Matrix::new(turned, 6)).unwrap();
    let output =
        riesz(here, &["compare", "all.npy", "turned.npy", "--fail-if", "knn_overlap < 0.9999", "--quiet"]);
    assert!(output.status.success(), "{}{}", words(&output.stdout), words(&output.stderr));
}

#[test]
fn equal_rows_are_duplicates_at_cosine_1_and_few_wide_rows_take_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let rows = cloud(100, 24, 6);
    let twice: Vec<f32> = (0..100).flat_map(|i| [rows.row(i), rows.row(i)].concat()).collect();
    embeddings::write_npy(&here.join("twice.npy"), &Matrix::new(twice, 24)).unwrap();
    let found = report(here, &["twice.npy", "--duplicate-cosine", "1"]);
    assert_eq!(found.value("near_duplicates"), Some(100.0));
    embeddings::write_npy(&here.join("wide.npy"), &cloud(50, 3000, 7)).unwrap();
    assert_eq!(report(here, &["wide.npy"]).value("rank"), Some(49.0));
}

#[test]
fn bad_files_get_one_sentence_with_the_file_and_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let tables = root().join("golden/tables");
    let rows = cloud(50, 8, 3);
    let refused = |name: &str, bytes: &[u8], expected: &[&str]| {
        std::fs::write(here.join(name), bytes).unwrap();
        refuses(&riesz(here, &["geometry", name]), &[&[name][..], expected].concat());
    };
    for name in ["fixed.parquet", "f16.feather", "fixed.feather", "zstd.feather", "zstd.arrow", "rows.npy"] {
        let whole = std::fs::read(tables.join(name)).unwrap();
        refused(&format!("cut-{name}"), &whole[..whole.len() / 2], &[]);
        refused(&format!("empty-{name}"), &[], &[]);
    }
    let whole = std::fs::read(tables.join("fixed.parquet")).unwrap();
    let mut footer = whole.clone();
    let end = footer.len() - 8;
    footer[end..end + 4].copy_from_slice(&0x00ff_ffff_u32.to_le_bytes());
    refused("footer.parquet", &footer, &["not a whole parquet file"]);
    for name in ["zstd.parquet", "zstd2.parquet", "zstd.feather", "zstd.arrow"] {
        // Every frame, without the number that each begins with.
        let mut page = std::fs::read(tables.join(name)).unwrap();
        for at in 0..page.len() - 4 {
            if page[at..at + 4] == [0x28, 0xb5, 0x2f, 0xfd] {
                page[at] = 0;
            }
        }
        refused(&format!("damaged-{name}"), &page, &["cannot be unpacked"]);
    }
    refused("empty.csv", b"", &["is empty"]);
    refused("head.csv", b"a,b\n", &["has no rows"]);
    refused("word.csv", b"a,b\n1,2\n3,x\n", &["row 1, column 1", "`x` is not a number"]);
    refused("short.csv", b"a,b\n1,2\n3\n", &["row 1 has 1 fields"]);
    refused("nan.csv", b"a,b\n1,2\nnan,1\n", &["row 1 has a number that is not finite"]);
    refused("one.csv", b"a,b\n1,2\n", &["at least 2"]);
    refused("a.h5", b"", &["HDF5", ".npy"]);
    refused("a.pt", b"", &["pickle"]);
    for (name, expected) in [
        ("uneven.parquet", &["row 23", "has 5 numbers", "have 6"][..]),
        ("null.parquet", &["row 9", "null"]),
        ("among.parquet", &["column d2 is called as the 5 columns", "holds something else"]),
        ("among.feather", &["column d2 is called as the 5 columns", "holds something else"]),
        ("hole.parquet", &["row 21 has a null"]),
        ("hole.feather", &["row 21 has a null"]),
        ("integers.parquet", &["lists of f16, f32 or f64", "INT32"]),
        ("empty.parquet", &["no rows"]),
    ] {
        refuses(&riesz(&tables, &["geometry", name]), &[&[name][..], expected].concat());
    }
    refuses(&riesz(&tables, &["geometry", "two.parquet", "--column", "item"]), &["column item holds INT64"]);
    refuses(&riesz(&tables, &["geometry", "columns.parquet", "--column", "d1"]), &["column d1 holds FLOAT"]);
    refuses(
        &riesz(&tables, &["geometry", "columns.feather", "--column", "d1"]),
        &["column d1 holds Float32"],
    );
    refuses(&riesz(&tables, &["geometry", "two.parquet", "--column", "no"]), &["no column no", "label"]);
    for (bad, word) in [(f32::NAN, "not finite"), (f32::INFINITY, "not finite"), (0.0, "zero row")] {
        let mut rows = rows.clone();
        rows.row_mut(31).fill(bad);
        embeddings::write_npy(&here.join("bad.npy"), &rows).unwrap();
        refuses(&riesz(here, &["geometry", "bad.npy"]), &["bad.npy: row 31 ", word]);
    }
    std::fs::create_dir_all(here.join("mixed")).unwrap();
    embeddings::write_npy(&here.join("mixed/a.npy"), &rows).unwrap();
    embeddings::write_npy(&here.join("mixed/b.npy"), &cloud(9, 5, 1)).unwrap();
    refuses(&riesz(here, &["geometry", "mixed"]), &["b.npy: has rows of 5", "a.npy before it", "8"]);
    std::fs::create_dir_all(here.join("none")).unwrap();
    refuses(&riesz(here, &["geometry", "none"]), &["none: has no file of embeddings"]);
    refuses(&riesz(here, &["geometry", "mixed/a.npy", "--pairs", "mixed/b.npy"]), &["b.npy: has fewer rows"]);
    refuses(&riesz(here, &["geometry", "mixed/a.npy", "--metrics", "rnak"]), &["rnak is no metric", "rank"]);
    refuses(&riesz(here, &["geometry", "mixed/a.npy", "--memory", "1MB"]), &["--memory allows", "--sample"]);
    refuses(&riesz(here, &["geometry", "mixed/a.npy", "--pair-by", "x"]), &["no column x"]);
    refuses(&riesz(here, &["geometry", "mixed/a.npy", "--labels", "x"]), &["no column x"]);
    std::fs::write(here.join("labels.txt"), "a\nb\n").unwrap();
    refuses(&riesz(here, &["geometry", "mixed/a.npy", "--labels", "labels.txt"]), &["2 labels for 50 rows"]);
}

#[test]
fn two_rows_of_one_value_are_a_pair_and_a_third_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let rows = cloud(7, 5, 8);
    let mut unit = rows.to_f64();
    normalize(&mut unit).unwrap();
    let apart = |i: usize, j: usize| -> f64 {
        unit.row(i).iter().zip(unit.row(j)).map(|(a, b)| (a - b).powi(2)).sum()
    };
    let names = ["a", "b", "a", "c", "b", "d", "e"].map(str::to_owned);
    let labels = [Some(1), None, Some(2), Some(2), None, Some(1), Some(9)];
    write_parquet(&here.join("rows.parquet"), &names, &labels, &rows);
    let mut csv = ["item,e0,e1,e2,e3,e4\n".to_owned(), "item,e0,e1,e2,e3,e4\n".to_owned()];
    for (i, name) in names.iter().enumerate() {
        let numbers: Vec<String> = rows.row(i).iter().map(f32::to_string).collect();
        csv[i / 4].push_str(&format!("{name},{}\n", numbers.join(",")));
    }
    std::fs::write(here.join("first.csv"), &csv[0]).unwrap();
    std::fs::write(here.join("second.csv"), &csv[1]).unwrap();
    let alone = "--pair-by: 3 rows with a value that no other row has; they are in no pair";
    let some =
        "--pair-by: 1 row with a value that no other row has, 2 rows without a value; they are in no pair";
    for (arguments, pairs, note) in [
        // Text, integers with holes, and pairs whose rows are in different files.
        (&["rows.parquet", "--pair-by", "name"][..], [(0, 2), (1, 4)], alone),
        (&["rows.parquet", "--pair-by", "label"], [(0, 5), (2, 3)], some),
        (&["first.csv", "second.csv", "--pair-by", "item"], [(0, 2), (1, 4)], alone),
    ] {
        let found = report(here, arguments);
        let want = pairs.iter().map(|&(i, j)| apart(i, j)).sum::<f64>() / 2.0;
        let got = found.value("alignment").unwrap();
        // A CSV has decimals, which are nearest to the f32s but not they.
        assert!((got - want).abs() < 1e-7, "{arguments:?}: {got} for {want}");
        assert!(found.notes.iter().any(|said| said == note), "{:?}", found.notes);
    }
    let pairs = ["x", "y", "y", "x"].map(str::to_owned);
    let four = Matrix::new(rows.as_slice()[..20].to_vec(), 5);
    write_parquet(&here.join("pairs.parquet"), &pairs, &[None; 4], &four);
    let whole = report(here, &["pairs.parquet", "--pair-by", "name"]);
    assert!((whole.value("alignment").unwrap() - 0.5 * (apart(0, 3) + apart(1, 2))).abs() < 1e-12);
    assert!(whole.notes.iter().all(|said| !said.contains("--pair-by")), "{:?}", whole.notes);
    // Nothing in the column: no pair, and no alignment.
    let none = report(here, &["pairs.parquet", "--pair-by", "label"]);
    assert!(
        none.value("alignment").is_none() && none.notes[0].contains("4 rows without a value"),
        "{none:?}"
    );

    let refused = |arguments: &[&str], expected: &[&str]| {
        refuses(&riesz(here, &[&["geometry"], arguments].concat()), expected);
    };
    let third = "item,e0,e1\nq,1,2\nq,2,1\nr,1,1\nq,3,1\n";
    std::fs::write(here.join("third.csv"), third).unwrap();
    refused(
        &["third.csv", "--pair-by", "item"],
        &["third.csv: row 3 is the third with the value q", "two rows a value"],
    );
    // The third may come in another file, where rows are counted anew.
    std::fs::write(here.join("more.csv"), "item,e0,e1\ns,1,2\nr,2,1\nr,2,3\n").unwrap();
    refused(
        &["more.csv", "third.csv", "--pair-by", "item"],
        &["third.csv: row 2 is the third with the value r"],
    );
    refused(&["rows.parquet", "--pair-by", "no"], &["no column no", "name"]);
    refused(
        &["rows.parquet", "--pair-by", "embedding"],
        &["column embedding holds FLOAT", "text or integers"],
    );
}

/// The example of docs/geometry-partials.md, and what its table says.
#[cfg(unix)]
#[test]
fn a_job_array_gives_what_one_pass_gives() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::create_dir_all(here.join("shards")).unwrap();
    let mut first = 0;
    let rows = cloud(2600, 16, 7);
    for (i, count) in [900, 1, 1000, 699].into_iter().enumerate() {
        let part = rows.as_slice()[first * 16..(first + count) * 16].to_vec();
        embeddings::write_npy(&here.join(format!("shards/part-{i}.npy")), &Matrix::new(part, 16)).unwrap();
        first += count;
    }
    let page = std::fs::read_to_string(root().join("docs/geometry-partials.md")).unwrap();
    let script = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_riesz")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let output =
        Command::new("bash").args(["-euc", script]).current_dir(here).env("PATH", path).output().unwrap();
    succeeds(&output);
    let merged: Report =
        serde_json::from_str(&std::fs::read_to_string(here.join("whole.json")).unwrap()).unwrap();
    let whole = report(here, &["shards", "--sample", "500"]);
    assert_eq!((merged.rows, merged.looked_at), (2600, 500));
    assert_eq!((&merged.sources, &merged.cosines), (&whole.sources, &whole.cosines));
    assert_eq!((&merged.near_duplicates, &merged.lengths), (&whole.near_duplicates, &whole.lengths));
    for (merged, whole) in merged.metrics.iter().zip(&whole.metrics) {
        let metric = METRICS.iter().find(|metric| metric.name == merged.name).unwrap();
        if metric.pairwise {
            assert_eq!(merged, whole);
            assert!(merged.low.is_some(), "{} is of a sample, without an interval", merged.name);
        } else if let (Some(a), Some(b)) = (merged.value, whole.value) {
            assert!((a - b).abs() < 1e-12 * b.abs(), "{}: {a} for {b}", merged.name);
        }
    }
    let largest = whole.singular_values[0];
    for (a, b) in merged.singular_values.iter().zip(&whole.singular_values) {
        assert!((a - b).abs() < 1e-13 * largest);
    }
    // As a tree, and with parts that do not agree or are no parts.
    let tree = ["geometry", "merge", "states/part-0.state", "states/part-1.state", "--partial", "two.state"];
    succeeds(&riesz(here, &tree));
    let again = ["geometry", "merge", "two.state", "states/part-2.state", "states/part-3.state", "--json"];
    let again: Report = serde_json::from_str(&succeeds(&riesz(here, &again))).unwrap();
    assert_eq!((again.rows, &again.cosines), (2600, &whole.cosines));
    let other =
        ["geometry", "shards/part-0.npy", "--seed", "4", "--sample", "500", "--partial", "other.state"];
    succeeds(&riesz(here, &other));
    refuses(&riesz(here, &["geometry", "merge", "two.state", "other.state"]), &["other.state: has seed 4"]);
    let twice = ["geometry", "merge", "states/part-3.state", "two.state", "states/part-1.state"];
    refuses(&riesz(here, &twice), &["part-1.state: has rows of part-1.npy", "count twice"]);
    refuses(&riesz(here, &["geometry", "merge", "shards/part-0.npy"]), &["is not a partial"]);
    let mut bytes = std::fs::read(here.join("two.state")).unwrap();
    let place = bytes.windows(17).position(|part| part == b"schema_version\\\":").unwrap();
    bytes[place + 17] = b'7';
    std::fs::write(here.join("newer.state"), &bytes).unwrap();
    refuses(&riesz(here, &["geometry", "merge", "newer.state"]), &["newer.state: is a partial of version 7"]);
    bytes.truncate(bytes.len() / 2);
    std::fs::write(here.join("cut.state"), &bytes).unwrap();
    refuses(&riesz(here, &["geometry", "merge", "cut.state"]), &["cut.state: is"]);
}

#[test]
fn the_verdict_names_what_is_wrong_with_its_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let told = |name: &str, rows: &Matrix<f32>| {
        embeddings::write_npy(&here.join(name), rows).unwrap();
        let found = report(here, &[name]).findings;
        found.into_iter().map(|finding| finding.sentence).collect::<Vec<_>>().join(" ")
    };
    let mut uniform = riesz::sphere::sample(1500, 24, Key::new(2)).to_f32();
    assert!(told("uniform.npy", &uniform).starts_with("As good as uniform"));
    let mut cone = uniform.clone();
    (0..1500).for_each(|i| cone.row_mut(i)[0] += 1.5);
    let said = told("cone.npy", &cone);
    assert!(
        said.contains("A narrow cone: the mean cosine is 0.") && said.contains("subtract the mean"),
        "{said}"
    );
    let mut equal = uniform.clone();
    (0..1500).for_each(|i| equal.row_mut(i)[0] += 50.0);
    assert!(told("equal.npy", &equal).starts_with("Collapsed:"));
    let mut flat = uniform.clone();
    (0..1500).for_each(|i| flat.row_mut(i)[2..].fill(0.0));
    assert!(told("flat.npy", &flat).starts_with("Few directions: the effective rank is 2.0"));
    for i in 0..1500 {
        let row = uniform.row(i / 2 * 2).to_vec();
        uniform.row_mut(i).copy_from_slice(&row);
    }
    assert!(told("twice.npy", &uniform).contains("Near duplicates: 0.500 pairs a row"));
}

#[test]
fn tables_and_the_page_hold_the_numbers_and_need_no_network() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let rows = cloud(300, 10, 4);
    let labels: String = (0..300).map(|i| format!("class {}\n", i % 3)).collect();
    std::fs::write(here.join("labels.txt"), labels).unwrap();
    // Markup, as far as the system lets files have such names.
    let (name, escaped) = if cfg!(unix) { ("<a>.npy", "&lt;a&gt;.npy") } else { ("&a.npy", "&amp;a.npy") };
    embeddings::write_npy(&here.join(name), &rows).unwrap();
    let value = report(here, &[name]).value("participation_ratio").unwrap();
    for (format, expected) in [
        ("markdown", "| participation ratio | "),
        ("latex", "participation ratio & "),
        ("csv", "participation_ratio,"),
    ] {
        let table = succeeds(&riesz(here, &["geometry", name, "--table", format, "--quiet"]));
        let line = table.lines().find(|line| line.starts_with(expected)).unwrap();
        assert!(line.contains(&value.to_string()[..4]) && line.contains("Gao et al."), "{line}");
        assert_eq!(table.matches("Koromilas").count(), 3, "{table}");
    }
    let page = ["geometry", name, "--labels", "labels.txt", "--output", "page.html", "--quiet"];
    let out = succeeds(&riesz(here, &page));
    assert!(out.contains("silhouette") && out.contains("linear probe"), "{out}");
    let html = std::fs::read_to_string(here.join("page.html")).unwrap();
    for section in ["cosines", "spectrum", "metrics", "lengths", "map"] {
        assert!(html.contains(&format!("<section id=\"{section}\">")), "{section}");
    }
    assert!(html.contains(escaped) && !html.contains(name) && !html.contains("NaN"));
    assert!(html.matches("<circle").count() == 300 && html.contains("class 2"));
    for outside in ["http:", "https:", "src=\"//", "@import", "<link"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

/// Where every row is told right, the interval is from below 1 to 1.
#[test]
fn shares_have_wilsons_interval() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut rows = riesz::sphere::sample(300, 8, Key::new(3)).to_f32();
    (0..300).for_each(|i| rows.row_mut(i)[i % 3] += 20.0);
    std::fs::write(here.join("labels.txt"), (0..300).map(|i| format!("{}\n", i % 3)).collect::<String>())
        .unwrap();
    embeddings::write_npy(&here.join("z.npy"), &rows).unwrap();
    let found = report(here, &["z.npy", "--labels", "labels.txt"]);
    for name in ["knn", "linear_probe"] {
        let value = found.labeled.iter().find(|value| value.name == name).unwrap();
        let want = riesz::geometry::Estimate::of_share(60, 60).interval.unwrap();
        assert_eq!((value.value, value.rows), (Some(1.0), 60));
        assert_eq!((value.low, value.high), (Some(want[0]), Some(want[1])));
        assert!((want[0] - 0.9398).abs() < 1e-4, "60 of 60: 1/(1 + z²/60) = {}", want[0]);
    }
    let silhouette = found.labeled.iter().find(|value| value.name == "silhouette").unwrap();
    assert!(silhouette.high.unwrap() <= 1.0 && silhouette.low.unwrap() > 0.9, "{silhouette:?}");
}

/// Draws are keyed by names: rows of files of one name in two folders would be drawn together.
#[test]
fn files_of_one_name_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    // Row i of both is nearly one point: 4,000 near duplicates, of which a sample of a tenth of the rows has a hundredth.
    let rows = cloud(4000, 12, 5);
    for name in ["A", "B"] {
        std::fs::create_dir_all(here.join(name)).unwrap();
    }
    embeddings::write_npy(&here.join("A/e.npy"), &rows).unwrap();
    let mut other = rows.clone();
    other.as_mut_slice().iter_mut().for_each(|x| *x *= 3.0);
    embeddings::write_npy(&here.join("B/e.npy"), &other).unwrap();
    let found = report(here, &["A/e.npy", "B/e.npy", "--sample", "800", "--duplicate-cosine", "0.99999"]);
    let names: Vec<&str> = found.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["A/e.npy", "B/e.npy"]);
    let pairs = found.metrics.iter().find(|metric| metric.name == "near_duplicates").unwrap();
    assert!(pairs.value.unwrap() < 8000.0 && pairs.low.unwrap() < 4000.0, "{pairs:?}");
    assert!(pairs.high.unwrap() > 4000.0, "{pairs:?}");

    // The folders' files are called alike, too; a file alone keeps its name.
    let names = |arguments: &[&str]| -> Vec<String> {
        report(here, arguments).sources.into_iter().map(|source| source.name).collect()
    };
    assert_eq!(names(&["A", "B"]), ["A/e.npy", "B/e.npy"]);
    assert_eq!(names(&["A"]), ["e.npy"]);
    refuses(&riesz(here, &["geometry", "A", "A/e.npy"]), &["A/e.npy: is given twice"]);

    // States that would be drawn alike are not joined.
    for name in ["A", "B"] {
        let [file, state] = [format!("{name}/e.npy"), format!("{name}.state")];
        succeeds(&riesz(here, &["geometry", &file, "--sample", "500", "--partial", &state, "--quiet"]));
    }
    refuses(
        &riesz(here, &["geometry", "merge", "A.state", "B.state"]),
        &["B.state: has a file e.npy, and so has a part before it"],
    );
}

#[test]
fn cosines_of_a_line_are_counted_whole() {
    let folder = tempfile::tempdir().unwrap();
    let rows = Matrix::new((0..40).map(|i| if i % 3 == 0 { -1.0_f32 } else { 2.0 }).collect(), 1);
    embeddings::write_npy(&folder.path().join("line.npy"), &rows).unwrap();
    let found = report(folder.path(), &["line.npy"]);
    let all: f64 = found.ideal_cosines.iter().sum();
    assert!((all - 1.0).abs() < 1e-12 && found.ideal_cosines[0] == 0.5, "{all}");
}
