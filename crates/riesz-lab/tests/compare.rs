//! `riesz compare`: two encoders on the same items, and conditions that fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use riesz::Matrix;
use riesz::rng::{Key, normal};
use riesz_lab::embeddings;
use riesz_lab::geometry::compare::Comparison;

fn riesz(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_riesz")).current_dir(folder).args(arguments).output().unwrap()
}

fn compare(folder: &Path, arguments: &[&str]) -> (Comparison, Option<i32>, String) {
    let output = riesz(folder, &[&["compare", "a.npy", "b.npy", "--json", "--quiet"], arguments].concat());
    let found = serde_json::from_slice(&output.stdout).unwrap();
    (found, output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Rows of A, and B = A with every coordinate but the first six scaled, so that B uses fewer directions.
fn write(folder: &Path, n: usize) {
    let mut rng = Key::new(3).rng();
    let a = Matrix::new((0..n * 16).map(|_| normal(&mut rng) as f32).collect(), 16);
    let mut b = a.clone();
    (0..n).for_each(|i| b.row_mut(i)[6..].iter_mut().for_each(|x| *x *= 0.2));
    embeddings::write_npy(&folder.join("a.npy"), &a).unwrap();
    embeddings::write_npy(&folder.join("b.npy"), &b).unwrap();
}

#[test]
fn differences_have_intervals_and_conditions_decide_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, 1500);
    let (found, code, _) = compare(here, &[]);
    assert_eq!((code, found.rows, found.dims), (Some(0), 1500, [16, 16]));
    let rank = found.metrics.iter().find(|metric| metric.name == "effective_rank").unwrap();
    let (low, high) = (rank.difference.low.unwrap(), rank.difference.high.unwrap());
    assert!(low < rank.difference.value.unwrap() && high < -1.0, "{rank:?}");
    assert!((rank.b.unwrap() - rank.a.unwrap() - rank.difference.value.unwrap()).abs() < 1e-12);
    // A count above a bound has no interval that items left out could tell.
    let count = found.metrics.iter().find(|metric| metric.name == "rank").unwrap();
    assert!(count.difference.value.is_some() && count.difference.low.is_none(), "{count:?}");
    let likeness: Vec<f64> = found.likeness.iter().map(|value| value.value.unwrap()).collect();
    assert!((0.4..0.9).contains(&likeness[0]) && (0.1..0.6).contains(&likeness[1]), "{likeness:?}");
    assert!((0.1..0.9).contains(&likeness[2]), "{likeness:?}");

    let fails = ["--fail-if", "effective_rank_b < 0.9*effective_rank_a", "--fail-if", "linear_cka < 0.1"];
    let (_, code, err) = compare(here, &fails);
    assert_eq!(code, Some(1));
    assert_eq!(err.trim_end(), "riesz: --fail-if holds: effective_rank_b < 0.9*effective_rank_a");
    assert_eq!(compare(here, &["--fail-if", "effective_rank_b > effective_rank_a"]).1, Some(0));

    let same = riesz(here, &["compare", "a.npy", "a.npy", "--json", "--quiet"]);
    let same: Comparison = serde_json::from_slice(&same.stdout).unwrap();
    let likeness: Vec<f64> = same.likeness.iter().map(|value| value.value.unwrap()).collect();
    assert!((likeness[0] - 1.0).abs() < 1e-12 && likeness[1] < 1e-12 && likeness[2] == 1.0, "{likeness:?}");
    assert!(
        same.metrics
            .iter()
            .all(|metric| metric.difference.value.is_none_or(|difference| difference.abs() < 1e-9))
    );
}

/// The overlap of a sample is another number than that of all, and is told as what it is.
#[test]
fn the_overlap_of_a_sample_is_said_to_be_that_of_so_many_rows() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1500);
    let told = |arguments: &[&str]| {
        let output = riesz(folder.path(), &[&["compare", "a.npy", "b.npy", "--quiet"], arguments].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let sample = told(&["--sample", "200"]);
    assert!(sample.contains("kNN overlap at 10 of 200 rows"), "{sample}");
    assert!(
        sample.contains("sample of 200 of 1500 items") && sample.contains("those of as many rows"),
        "{sample}"
    );
    let all = told(&[]);
    assert!(all.contains("  kNN overlap at 10   ") && !all.contains("as many rows"), "{all}");
    let (found, ..) = compare(folder.path(), &["--sample", "200"]);
    let (whole, ..) = compare(folder.path(), &[]);
    let [part, whole] = [found, whole].map(|found| found.likeness[2].clone());
    assert_eq!((part.rows, whole.rows), (200, 1500));
    assert!(part.low.unwrap() > whole.value.unwrap(), "{part:?}, {whole:?}");
}

/// The overlap is what sorting all cosines says, of encoders that are not alike, about the origin and in a narrow cone.
#[test]
fn the_overlap_is_that_of_the_largest_cosines() {
    let (folder, n) = (tempfile::tempdir().unwrap(), 300);
    let here = folder.path();
    for far in [0.0, 20.0] {
        write(here, n);
        let read = |name: &str| embeddings::read(&here.join(name), None).unwrap().into_f32();
        let moved = ["a.npy", "b.npy"].map(|name| {
            let rows = Matrix::new(read(name).into_vec().iter().map(|x| x + far).collect(), 16);
            embeddings::write_npy(&here.join(name), &rows).unwrap();
            rows
        });
        for k in [1, 10, 100] {
            let nearest = moved.each_ref().map(|rows| {
                let dot = |i: usize, j: usize| -> f64 {
                    rows.row(i).iter().zip(rows.row(j)).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
                };
                let cosine = |i: usize, j: usize| dot(i, j) / (dot(i, i) * dot(j, j)).sqrt();
                let list = |i: usize| {
                    let mut others: Vec<usize> = (0..n).filter(|&j| j != i).collect();
                    others.sort_by(|&a, &b| cosine(i, b).total_cmp(&cosine(i, a)));
                    others.truncate(k);
                    others
                };
                (0..n).map(list).collect::<Vec<_>>()
            });
            let pairs = nearest[0].iter().zip(&nearest[1]);
            let both: usize = pairs.map(|(a, b)| a.iter().filter(|j| b.contains(j)).count()).sum();
            let want = both as f64 / (n * k) as f64;
            let (found, ..) = compare(here, &["--k", &k.to_string()]);
            let found = found.likeness[2].value.unwrap();
            assert!(
                (0.1..0.9).contains(&want) && (found - want).abs() < 1e-12,
                "{far}, {k}: {found}, not {want}"
            );
        }
    }
}

/// What is seen nowhere among the items may be elsewhere, and what too few items cannot bound stands alone.
#[test]
fn rare_pairs_and_few_items_have_the_intervals_they_can_have() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, 600);
    let of = |found: &Comparison, name: &str| {
        found.metrics.iter().find(|metric| metric.name == name).unwrap().difference.clone()
    };
    let (found, ..) = compare(here, &[]);
    let pairs = of(&found, "near_duplicates");
    assert_eq!(pairs.value, Some(0.0));
    // The least rate that leaves 5 % of 600 items' draws without a pair is 3 pairs.
    assert!(pairs.low.unwrap() < -3.0 && pairs.high.unwrap() > 3.0, "{pairs:?}");
    // Of a sample, a pair stands for as many as it has of all.
    let (part, ..) = compare(here, &["--sample", "200"]);
    let wide = of(&part, "near_duplicates");
    assert!((wide.high.unwrap() / pairs.high.unwrap() - 600.0 * 599.0 / (200.0 * 199.0)).abs() < 1e-9);
    // A hundred copies in B alone are more than chance.
    let mut rows = embeddings::read(&here.join("b.npy"), None).unwrap().into_f32();
    (0..100).for_each(|i| {
        let copy = rows.row(500 + i).to_vec();
        rows.row_mut(i).copy_from_slice(&copy);
    });
    embeddings::write_npy(&here.join("b.npy"), &rows).unwrap();
    let pairs = of(&compare(here, &[]).0, "near_duplicates");
    assert_eq!(pairs.value, Some(100.0));
    assert!((50.0..90.0).contains(&pairs.low.unwrap()), "{pairs:?}");

    write(here, 12);
    let (few, code, _) = compare(here, &["--k", "10"]);
    let hubs = of(&few, "hubness");
    assert_eq!(code, Some(0));
    assert!(hubs.value.is_some() && hubs.low.is_none(), "{hubs:?}");
    let output = riesz(here, &["compare", "a.npy", "b.npy", "--quiet", "--k", "11"]);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(2) && err.contains("the k of the overlap is 11; expected 1 to 10"),
        "{err}"
    );
}

/// Rows that both sides name have to be of the same items; an array's names are in the table beside it.
#[test]
fn rows_of_other_items_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, 40);
    let table = |name: &str, column: &str, first: usize| {
        let lines: String = (0..40).map(|i| format!("{i},{}.png\n", first + i)).collect();
        std::fs::write(here.join(name), format!("index,{column}\n{lines}")).unwrap();
    };
    let run = |arguments: &[&str]| {
        let output = riesz(here, &[&["compare", "a.npy", "b.npy", "--quiet"], arguments].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    table("a.csv", "name", 0);
    assert_eq!(run(&[]).0, Some(0), "one side alone has names");
    table("b.csv", "id", 1);
    assert_eq!(run(&[]).0, Some(0), "they are called otherwise");
    table("b.csv", "name", 0);
    assert_eq!(run(&[]).0, Some(0));
    table("b.csv", "name", 1);
    let (code, err) = run(&[]);
    assert!(code == Some(2) && err.contains("row 0 is 0.png in a.npy and 1.png in b.npy"), "{err}");
    assert_eq!(run(&["--by-place"]).0, Some(0));
    // A table that cannot be read may name other items.
    std::fs::write(here.join("b.csv"), b"index,name\xff\n0,\xff\n").unwrap();
    let (code, err) = run(&[]);
    assert!(code == Some(2) && err.contains("b.npy: b.csv beside it cannot be read"), "{err}");
    assert_eq!(run(&["--by-place"]).0, Some(0));
    // A table of fewer rows, or of more, is not that of the array.
    table("b.csv", "name", 0);
    let whole = std::fs::read_to_string(here.join("b.csv")).unwrap();
    for lines in [whole.replace("39,39.png\n", ""), format!("{whole}40,40.png\n")] {
        assert_ne!(lines, whole);
        std::fs::write(here.join("b.csv"), lines).unwrap();
        let (code, err) = run(&[]);
        assert!(code == Some(2) && err.contains("b.npy: has not as many rows as b.csv beside it"), "{err}");
    }
}

#[test]
fn what_cannot_be_compared_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, 40);
    embeddings::write_npy(&here.join("few.npy"), &Matrix::new(vec![1.0_f32; 30], 3)).unwrap();
    let zeros = Matrix::new([vec![1.0_f32; 16 * 39], vec![0.0; 16]].concat(), 16);
    embeddings::write_npy(&here.join("zero.npy"), &zeros).unwrap();
    for (arguments, expected) in [
        (&["a.npy", "few.npy"][..], "few.npy: has fewer rows"),
        (&["few.npy", "a.npy"], "a.npy: has more rows"),
        (&["a.npy", "zero.npy"], "zero.npy: row 39 has length"),
        (&["a.npy", "b.npy", "--k", "40"], "the k of the overlap is 40"),
        (&["a.npy", "b.npy", "--fail-if", "rank < 3"], "rank is unknown"),
        (&["a.npy", "b.npy", "--fail-if", "knn_a < 3"], "knn needs labels, which compare does not take"),
        (&["a.npy", "b.npy", "--fail-if", "rank_a = 3"], "found `= 3`"),
        (&["a.npy", "b.npy", "--fail-if", "alpha_req_a < 3"], "alpha_req_a is not defined"),
        (&["a.npy", "none.npy"], "no such file"),
    ] {
        let output = riesz(here, &[&["compare", "--quiet"], arguments].concat());
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && err.contains(expected) && err.trim_end().lines().count() == 1,
            "{err}"
        );
    }
}

#[test]
fn which_columns_were_compared_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, 40);
    let rows = embeddings::read(&here.join("b.npy"), None).unwrap().into_f32();
    let line = |i: usize| rows.row(i).iter().map(f32::to_string).collect::<Vec<_>>().join(",");
    let lines: Vec<String> = (0..40).map(line).collect();
    let places: Vec<String> = (0..16).map(|place| place.to_string()).collect();
    std::fs::create_dir_all(here.join("csv")).unwrap();
    std::fs::write(here.join("csv/1.csv"), format!("{}\n{}\n", places.join(","), lines[..20].join("\n")))
        .unwrap();
    std::fs::write(here.join("csv/2.csv"), lines[20..].join("\n")).unwrap();
    let output = riesz(here, &["compare", "a.npy", "csv", "--json", "--quiet"]);
    let found: Comparison = serde_json::from_slice(&output.stdout).unwrap();
    let [first, second] = &found.notes[..] else { panic!("{:?}", found.notes) };
    assert!(first.starts_with("B: the first line counts from 0 and is taken as a header: "), "{first}");
    assert!(second.starts_with("B: 2.csv: the first line is taken as a row"), "{second}");
    let (same, ..) = compare(here, &[]);
    assert_eq!((same.rows, same.notes), (found.rows, Vec::new()));
    let told = String::from_utf8(riesz(here, &["compare", "a.npy", "csv", "--quiet"]).stdout).unwrap();
    assert!(told.contains(&format!("\n{first}\n{second}\n")), "{told}");
}

#[test]
fn a_bad_row_is_named_by_its_file_and_memory_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, 100);
    let rows = embeddings::read(&here.join("a.npy"), None).unwrap().into_f32();
    std::fs::create_dir_all(here.join("parts")).unwrap();
    let write_part = |name: &str, range: std::ops::Range<usize>, bad: Option<(usize, f32)>| {
        let mut part = Matrix::new(rows.as_slice()[range.start * 16..range.end * 16].to_vec(), 16);
        if let Some((row, x)) = bad {
            part.row_mut(row).fill(x);
        }
        embeddings::write_npy(&here.join(name), &part).unwrap();
    };
    let refused = |arguments: &[&str], expected: &[&str]| {
        let output = riesz(here, &[&["compare"], arguments].concat());
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), err.trim_end().lines().count()), (Some(2), 1), "{err}");
        expected.iter().for_each(|word| assert!(err.contains(word), "`{word}` is not in: {err}"));
    };
    write_part("parts/x.npy", 0..40, None);
    let seventh = format!("{}: row 7 has ", Path::new("parts").join("y.npy").display());
    for (x, word) in [(0.0, "zero row"), (f32::NAN, "not finite")] {
        write_part("parts/y.npy", 40..100, Some((7, x)));
        refused(&["a.npy", "parts"], &[&seventh, word]);
        refused(&["parts", "a.npy"], &[&seventh, word]);
    }
    refused(&["a.npy", "b.npy", "--memory", "1MB"], &["16 and 16", "--memory allows 0.0 GB", "--sample"]);
    refused(&["a.npy", "parts/x.npy"], &["parts/x.npy: has fewer rows"]);
}
