//! `riesz embed`, `riesz search` and `riesz duplicates` on a small folder: held to the rows themselves, and to sentences where
//! they refuse.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod processes;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use image::{ImageFormat, Rgb, RgbImage};
use processes::{finish, told};
use riesz::Matrix;
use riesz_lab::embeddings;
use serde_json::Value;

/// Few epochs and questions.
const SMALL: &str =
    "--epochs 2 --batch 16 --recipe folder-32 --set evaluation.pairs=8 --set data.held-out=0.2 --quiet";

/// Pictures, of which the last four are: the first again in another format, the second a little brighter, the third with another
/// name that is markup, and a file that is no image.
fn photos(folder: &Path) {
    let picture = |i: u32, lighter: u8| {
        RgbImage::from_fn(40 + i % 3, 36, |x, y| {
            let wave = |a: u32, b: u32| ((x * a + y * b) / 4 % 64 * 3) as u8;
            Rgb([wave(3 + i % 5, 1 + i % 7) + lighter, wave(i % 4, 5), (i * 4) as u8 + lighter])
        })
    };
    for class in ["cats", "dogs"] {
        std::fs::create_dir_all(folder.join(class)).unwrap();
    }
    for i in 0..60 {
        let class = if i % 2 == 0 { "cats" } else { "dogs" };
        picture(i, 0).save(folder.join(format!("{class}/{i:03}.png"))).unwrap();
    }
    picture(0, 0).save(folder.join("cats/again.bmp")).unwrap();
    picture(1, 1).save(folder.join("dogs/brighter.png")).unwrap();
    picture(2, 0).save_with_format(folder.join("cats/<b>&amp.png"), ImageFormat::Png).unwrap();
    std::fs::write(folder.join("cats/broken.jpg"), "no image").unwrap();
}

fn words(command: &str) -> Vec<&str> {
    command.split_whitespace().collect()
}

fn succeeds(here: &Path, command: &str) -> String {
    let output = finish(here, &words(command));
    assert!(output.status.success(), "riesz {command}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn refuses(here: &Path, command: &str, expected: &[&str]) {
    let output: Output = finish(here, &words(command));
    let err = told(&output);
    assert_eq!(output.status.code(), Some(2), "riesz {command}: {err}");
    assert_eq!(err.trim_end().lines().count(), 1, "riesz {command}: {err}");
    for word in expected {
        assert!(err.contains(word), "riesz {command}: `{word}` is not in: {err}");
    }
}

fn json(here: &Path, command: &str) -> Value {
    serde_json::from_str(&succeeds(here, command)).unwrap()
}

/// Names of the images, and their rows scaled to unit length, out of the npy file and the CSV beside it.
fn unit_rows(here: &Path, file: &str) -> (Vec<String>, Matrix<f64>) {
    let mut rows = embeddings::read(&here.join(file), None).unwrap().to_f64();
    riesz::normalize(&mut rows).unwrap();
    let names = std::fs::read_to_string(here.join(file).with_extension("csv")).unwrap();
    let names = names.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().to_owned()).collect();
    (names, rows)
}

fn cosine(rows: &Matrix<f64>, i: usize, j: usize) -> f64 {
    rows.row(i).iter().zip(rows.row(j)).map(|(a, b)| a * b).sum()
}

/// A folder with photos and a run on them.
fn trained() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    photos(&folder.path().join("photos"));
    succeeds(folder.path(), &format!("train photos --run r {SMALL}"));
    folder
}

#[test]
fn what_is_found_is_what_the_rows_say() {
    let folder = trained();
    let here = folder.path();
    succeeds(here, "embed r photos --output e.npy");
    let embedded = finish(here, &words("embed r photos --output e.parquet --thumbnails=24"));
    let said = told(&embedded);
    assert!(said.contains("left out cats/broken.jpg") && said.contains("63 rows of "), "{said}");
    assert!(said.contains(" images/s, 1 unreadable image left out"), "{said}");
    // Log and report name it once.
    let metrics: Value =
        serde_json::from_slice(&std::fs::read(here.join("r/metrics.json")).unwrap()).unwrap();
    let left_out = &metrics["unreadable"][0];
    assert_eq!(left_out[0], "cats/broken.jpg", "{left_out}");
    assert!(!left_out[1].as_str().unwrap().contains("broken.jpg"), "{left_out}");
    let log = std::fs::read_to_string(here.join("r/log.jsonl")).unwrap();
    assert!(log.lines().all(|line| line.matches("broken.jpg").count() <= 1), "{log}");
    let (names, rows) = unit_rows(here, "e.npy");
    assert_eq!(names.len(), 63);

    // Nearest, from the images and from the file: the same.
    let queries = ["photos/dogs/007.png", "photos/cats/000.png"];
    let asked = queries.join(" ");
    let found = json(here, &format!("search r {asked} photos --top 5 --json"));
    assert_eq!(found["images"], 63);
    assert_eq!(found["unreadable"], 1);
    for (query, answer) in queries.iter().zip(found["queries"].as_array().unwrap()) {
        assert_eq!(answer["query"], *query);
        let i = names.iter().position(|name| *query == format!("photos/{name}")).unwrap();
        let mut all: Vec<usize> = (0..names.len()).collect();
        all.sort_by(|&a, &b| cosine(&rows, i, b).total_cmp(&cosine(&rows, i, a)));
        let nearest = answer["nearest"].as_array().unwrap();
        assert_eq!(nearest.len(), 5);
        for (hit, want) in nearest.iter().zip(all) {
            let j = names.iter().position(|name| hit["name"] == **name).unwrap();
            assert!((cosine(&rows, i, j) - cosine(&rows, i, want)).abs() < 1e-6, "{hit} for {}", names[want]);
            assert!((hit["cosine"].as_f64().unwrap() - cosine(&rows, i, j)).abs() < 1e-6, "{hit}");
            assert_eq!(hit["class"].as_str(), names[j].split('/').next());
        }
        assert!(nearest[0]["cosine"].as_f64().unwrap() > 0.999_999);
    }
    let indexed = json(here, &format!("search r {asked} --index e.parquet --top 5 --json"));
    let hits = |found: &Value| -> Vec<(Value, Value, Value)> {
        let answers = found["queries"].as_array().unwrap().iter();
        let hits = answers.flat_map(|answer| answer["nearest"].as_array().unwrap());
        hits.map(|hit| (hit["name"].clone(), hit["class"].clone(), hit["cosine"].clone())).collect()
    };
    assert_eq!(hits(&found), hits(&indexed));
    let all = json(here, "search r photos/cats/000.png --index e.parquet --top 1000 --json");
    assert_eq!(all["queries"][0]["nearest"].as_array().unwrap().len(), 63);
    let listed = succeeds(here, "search r photos/cats/000.png --index e.parquet --top 3");
    assert_eq!(listed.lines().count(), 4);
    assert!(listed.contains("   1  1.0000  cats/") && listed.contains("(cats)"), "{listed}");

    // Groups: those that a walk from image to image finds.
    let above = 0.9999;
    let found = json(here, &format!("duplicates r photos --above {above} --json"));
    let mut group: Vec<usize> = (0..names.len()).collect();
    let mut pairs = 0;
    for (i, j) in (0..names.len()).flat_map(|j| (0..j).map(move |i| (i, j))) {
        if cosine(&rows, i, j) >= above {
            pairs += 1;
            let (a, b) = (group[i].min(group[j]), group[i].max(group[j]));
            group.iter_mut().filter(|of| **of == b).for_each(|of| *of = a);
        }
    }
    let mut want: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    (0..names.len()).for_each(|i| want.entry(group[i]).or_default().push(&names[i]));
    let mut want: Vec<Vec<&str>> = want.into_values().filter(|names| names.len() > 1).collect();
    want.sort_by_key(|names| std::cmp::Reverse(names.len()));
    let groups: Vec<Vec<&str>> = found["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let images = group["images"].as_array().unwrap();
            images.iter().map(|image| image["name"].as_str().unwrap()).collect()
        })
        .collect();
    assert_eq!((&groups, found["pairs"].as_u64()), (&want, Some(pairs)));
    assert!(groups.len() >= 3, "{groups:?}");
    let copies: BTreeMap<&str, &str> = found["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["images"].as_array().unwrap())
        .filter_map(|image| Some((image["name"].as_str().unwrap(), image["copy_of"].as_str()?)))
        .collect();
    // Exact copies are told apart from the picture that is a little brighter.
    let want = [("cats/again.bmp", "cats/000.png"), ("cats/<b>&amp.png", "cats/002.png")];
    assert_eq!(copies, BTreeMap::from(want));
    assert_eq!((found["copies"].as_u64(), found["images"].as_u64()), (Some(2), Some(63)));
    let own = json(here, &format!("duplicates r --above {above} --json"));
    assert_eq!(
        (&own["pairs"], &own["copies"], &own["images"]),
        (&found["pairs"], &found["copies"], &found["images"])
    );
    let from_index = json(here, &format!("duplicates r --index e.parquet --above {above} --json"));
    assert_eq!((&from_index["pairs"], &from_index["copies"]), (&found["pairs"], &found["copies"]));
    let alone = json(here, &format!("duplicates e.parquet --above {above} --json"));
    assert_eq!((&alone["groups"], &alone["pairs"]), (&from_index["groups"], &from_index["pairs"]));
    let alone = json(here, "search e.parquet dogs/007.png --top 5 --json");
    let others = indexed["queries"][0]["nearest"].as_array().unwrap();
    let others: Vec<&Value> = others.iter().filter(|hit| hit["name"] != "dogs/007.png").collect();
    let nearest = alone["queries"][0]["nearest"].as_array().unwrap();
    let pairs = nearest.iter().zip(&others);
    assert!(pairs.clone().all(|(a, b)| a["name"] == b["name"]) && nearest.len() == 5, "{alone}");
    // Exact copies are a group even where rounding keeps their cosine below the bound.
    let exact = json(here, "duplicates r --index e.parquet --above 1 --json");
    assert!(exact["groups"].as_array().unwrap().len() >= 2, "{exact}");
    let crowded = succeeds(here, "duplicates r --index e.parquet --above=-1");
    let headline =
        "2 of 63 images are exact copies of earlier ones and could go; 60 more are only near, in 1 group.";
    assert!(crowded.starts_with(headline) && crowded.contains("The largest group has 63"), "{crowded}");

    // The file is one of embeddings, of images with labels, and of a data hub.
    let told = succeeds(here, "geometry e.parquet --labels class --column embedding --json");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["rows"].as_u64(), Some(63));
    assert!(told["labeled"].as_array().unwrap().iter().any(|metric| metric["name"] == "knn"), "{told}");
    let shown = succeeds(here, "data show e.parquet");
    assert!(shown.contains("training   32 images") && shown.contains("classes    2: cats, dogs"), "{shown}");

    // Sheets: a picture an image, no network, names escaped.
    succeeds(here, &format!("search r {asked} photos --top 4 --output found.html"));
    succeeds(here, "search r photos/cats/002.png --index e.parquet --top 4 --output indexed.html");
    succeeds(here, "duplicates r --index e.parquet --above 0.9999 --output groups.html");
    succeeds(here, "duplicates e.parquet --above 0.9999 --output alone.html");
    let page = |name: &str| std::fs::read_to_string(here.join(name)).unwrap().matches("<img").count();
    assert_eq!(page("alone.html"), page("groups.html"));
    succeeds(here, "search e.parquet cats/002.png --top 4 --output near.html");
    assert_eq!(page("near.html"), 5);
    for (sheet, pictures) in [("found.html", 10), ("indexed.html", 5), ("groups.html", groups.concat().len())]
    {
        let page = std::fs::read_to_string(here.join(sheet)).unwrap();
        assert_eq!(page.matches("<img").count(), pictures, "{sheet}");
        assert_eq!(page.matches("src=\"data:image/png;base64,").count(), pictures, "{sheet}");
        assert!(!page.contains("http") && !page.contains("<b>&amp.png"), "{sheet}");
        assert!(sheet == "found.html" || page.contains("&lt;b&gt;&amp;amp.png"), "{sheet}");
    }
    assert!(std::fs::read_to_string(here.join("groups.html")).unwrap().contains("same pixels as "));
    refused(here);
}

/// Bad use of what `what_is_found_is_what_the_rows_say` made.
fn refused(here: &Path) {
    let query = "photos/cats/000.png";
    succeeds(here, &format!("train photos --run other --seed 2 {SMALL}"));
    refuses(
        here,
        &format!("search other {query} --index e.parquet"),
        &["e.parquet", "another encoder", "other"],
    );
    refuses(here, "duplicates other --index e.parquet", &["e.parquet", "another encoder"]);
    refuses(here, &format!("search r {query} --index e.parquet --part projector"), &["rows of the backbone"]);
    succeeds(here, "embed r photos --output p.parquet --part projector --quiet");
    let found = json(here, &format!("search r {query} --index p.parquet --json --top 1"));
    assert!(found["queries"][0]["nearest"][0]["cosine"].as_f64().unwrap() > 0.999_999, "{found}");
    let sheet = format!("search r {query} --index p.parquet --output s.html");
    refuses(here, &sheet, &["p.parquet", "no small pictures", "--thumbnails"]);
    assert!(!here.join("s.html").exists());
    refuses(here, &format!("search r {query}"), &["what to search is missing"]);
    refuses(here, &format!("search r {query} photos --top 0"), &["--top is 0"]);
    refuses(here, "search r photos/cats photos", &["photos/cats", "expected one image file"]);
    refuses(here, "search r photos/cats/broken.jpg photos", &["broken.jpg", "none of jpeg"]);
    refuses(here, "search r none.jpg photos", &["none.jpg", "no such file"]);
    refuses(here, "duplicates r photos --index e.parquet", &["leave one out"]);
    refuses(here, "duplicates r photos --above 1.5", &["--above is 1.5", "[-1, 1]"]);
    refuses(here, "embed r photos --output t.npy --thumbnails", &["t.npy", ".parquet"]);
    refuses(here, "embed r photos --output t.parquet --thumbnails=4", &["--thumbnails=4"]);
    refuses(here, "embed r photos --output t.parquet --split train", &["photos", "no split of its own"]);
    // A table of labels is the one that is said, though one of its name lies in the folder.
    let table = |class: &str| format!("path,label\ncats/000.png,{class}\ndogs/001.png,other\n");
    std::fs::write(here.join("photos/labels.csv"), table("there")).unwrap();
    std::fs::write(here.join("labels.csv"), table("here")).unwrap();
    succeeds(here, "embed r photos --labels labels.csv --output l.parquet --quiet");
    let found = json(here, "search r photos/cats/000.png --index l.parquet --json --top 1");
    assert_eq!(found["queries"][0]["nearest"][0]["class"], "here", "{found}");
    let shown = succeeds(here, "data show photos --labels labels.csv");
    assert!(shown.contains("classes    2: here, other"), "{shown}");
    std::fs::remove_file(here.join("photos/labels.csv")).unwrap();
    let whole = std::fs::read(here.join("e.parquet")).unwrap();
    std::fs::write(here.join("cut.parquet"), &whole[..whole.len() / 2]).unwrap();
    refuses(
        here,
        &format!("search r {query} --index cut.parquet"),
        &["cut.parquet", "not a whole parquet file"],
    );
    let of_others = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/tables/f32.parquet");
    let of_others = format!("search r {query} --index {}", of_others.display());
    refuses(here, &of_others, &["its metadata has no entry riesz"]);
    std::fs::create_dir(here.join("broken")).unwrap();
    std::fs::write(here.join("broken/a.png"), "").unwrap();
    refuses(here, "embed r broken --output b.parquet --quiet", &["none of 1 images can be read", "a.png"]);
    assert!(!here.join("b.parquet").exists());
}

/// Rows of any model: an array alone, with names beside it, in f64 beyond what f32 holds.
#[test]
fn rows_without_a_run_are_searched_and_grouped() {
    use riesz::rng::{Key, normal};
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (n, d) = (200, 8);
    let mut rng = Key::new(3).rng();
    let mut rows = Matrix::new((0..n * d).map(|_| normal(&mut rng)).collect(), d);
    // A copy, the same direction, and one that is near.
    for (to, from, by) in [(150, 10, 1.0), (160, 10, 7.0), (170, 20, 1.0)] {
        let row: Vec<f64> = rows.row(from).iter().map(|x| x * by).collect();
        rows.row_mut(to).copy_from_slice(&row);
    }
    rows.row_mut(170)[0] += 1e-4;
    rows.row_mut(5).iter_mut().for_each(|x| *x *= 1e60);
    embeddings::write_npy(&here.join("rows.npy"), &rows).unwrap();
    let found = json(here, "duplicates rows.npy --above 0.999 --json --quiet");
    assert_eq!(
        (&found["copies"], &found["near"], &found["pairs"]),
        (&1.into(), &2.into(), &4.into()),
        "{found}"
    );
    let members = |group: usize| -> Vec<(u64, Option<&str>)> {
        let images = found["groups"][group]["images"].as_array().unwrap();
        images.iter().map(|image| (image["row"].as_u64().unwrap(), image["copy_of"].as_str())).collect()
    };
    assert_eq!(members(0), [(10, None), (150, Some("row 10")), (160, None)]);
    assert_eq!(members(1), [(20, None), (170, None)]);
    let printed = succeeds(here, "duplicates rows.npy --above 0.999 --quiet");
    assert!(printed.contains("row 150  same numbers as row 10"), "{printed}");

    let mut unit = rows.clone();
    riesz::normalize(&mut unit).unwrap();
    let found = json(here, "search rows.npy 33 5 --top 6 --json --quiet");
    for (answer, row) in found["queries"].as_array().unwrap().iter().zip([33, 5]) {
        let mut others: Vec<usize> = (0..n).filter(|&i| i != row).collect();
        others.sort_by(|&a, &b| cosine(&unit, row, b).total_cmp(&cosine(&unit, row, a)));
        let nearest: Vec<u64> =
            answer["nearest"].as_array().unwrap().iter().map(|hit| hit["row"].as_u64().unwrap()).collect();
        assert!(
            nearest.iter().zip(&others).all(|(a, b)| *a as usize == *b) && nearest.len() == 6,
            "{answer}"
        );
    }

    // Names beside the rows; a name goes before a number.
    let names: String =
        (0..n).map(|i| format!("{i},\"text {}\",{}\n", if i == 8 { 7 } else { i }, i % 2)).collect();
    std::fs::write(here.join("rows.csv"), format!("index,name,label\n{names}")).unwrap();
    let found = json(here, "search rows.npy 9 --top 1 --json --quiet");
    assert_eq!(
        (&found["queries"][0]["query"], found["images"].as_u64()),
        (&"text 9".into(), Some(200)),
        "{found}"
    );
    let output = finish(here, &["search", "rows.npy", "text 7", "--quiet"]);
    assert!(told(&output).contains("rows 7 and 8 are both called text 7"), "{}", told(&output));
    for (command, expected) in [
        ("search rows.npy 200", "no row is called 200, and it is no number of a row: 0 to 199"),
        ("search rows.npy 1 --index rows.npy", "--index is of a run folder"),
        ("duplicates rows.npy --part backbone", "--part is of a run folder"),
        ("duplicates rows.npy photos", "rows.npy is a file of rows already"),
        ("duplicates rows.npy --output sheet.html", "a sheet shows pictures: "),
        ("duplicates rows.npy --column x", "without a name"),
    ] {
        refuses(here, command, &[expected]);
    }
    rows.row_mut(60).fill(0.0);
    embeddings::write_npy(&here.join("zero.npy"), &rows).unwrap();
    refuses(here, "duplicates zero.npy --quiet", &["zero.npy: row 60 has length 0"]);
}
