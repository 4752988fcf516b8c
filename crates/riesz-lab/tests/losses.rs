//! `riesz loss` on losses of several views and of groups, on SigLIP and the spectral loss; and the names of the pages in
//! `docs/losses`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use riesz::Matrix;
use riesz::loss::Loss;
use riesz::rng::{Key, normal};
use riesz_lab::embeddings;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn loss(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_riesz"))
        .current_dir(root())
        .arg("loss")
        .args(arguments)
        .output()
        .unwrap()
}

fn told(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refuses(output: &Output, expected: &str) {
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.lines().count() == 1 && err.contains(expected), "{err}");
}

#[test]
fn values_and_norms_are_the_golden_ones() {
    let text = std::fs::read_to_string(root().join("golden/losses/cases.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let groups = folder.path().join("groups.txt");
    let mut checked = 0;
    for case in golden["cases"].as_array().unwrap() {
        let name = case["loss"].as_str().unwrap();
        let (name, convention) = match name.rsplit_once('_') {
            Some((name, "printed")) => (name, Some("paper")),
            Some((name, "code")) => (name, Some("reference")),
            _ => (name, None),
        };
        let mut arguments = vec![name.to_owned()];
        let mut add = |key: &str, value: String| arguments.push(format!("--{key}={value}"));
        add("input", "golden/inputs.safetensors".to_owned());
        add("name", case["input"].as_str().unwrap().to_owned());
        add("views", case["views"].to_string());
        for (key, flag) in [("tau", "temperature"), ("scale", "scale"), ("offset", "offset")] {
            if let Some(value) = case["params"][key].as_f64() {
                add(flag, value.to_string());
            }
        }
        if let Some(convention) = convention {
            add("convention", convention.to_owned());
        }
        if let Some(of) = case["groups"].as_array() {
            let lines: Vec<String> = of.iter().map(|group| format!("class {group}")).collect();
            std::fs::write(&groups, lines.join("\r\n")).unwrap();
            add("groups", groups.display().to_string());
        }
        arguments.push("--json".to_owned());
        let report = told(&loss(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
        for (key, want) in [("value", "value"), ("grad_norm", "grad_norm")] {
            let (got, want) = (report[key].as_f64().unwrap(), case[want].as_f64().unwrap());
            assert!(
                (got - want).abs() < 1e-10 * want.abs().max(1.0),
                "{arguments:?}: {key} {got} for {want}"
            );
        }
        checked += 1;
    }
    assert_eq!(checked, 50);
}

#[test]
fn bad_groups_and_views_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let input = ["--input", "golden/inputs.safetensors", "--name", "aligned_8x4"];
    let run = |arguments: &[&str]| loss(&[arguments, &input[..]].concat());
    refuses(&run(&["sup-con", "--groups", &file("few.txt", "a\nb\n")]), "2 lines for 8 images");
    refuses(&run(&["sup-con", "--groups", "none.txt"]), "none.txt: no such file");
    let one = file("one.txt", &"a\n".repeat(8));
    refuses(&run(&["dcl", "--groups", &one]), "dcl needs a row of another group for each row");
    refuses(&run(&["dclw", "--groups", &one]), "it takes no groups");
    refuses(&run(&["mv-dhel", "--views", "3"]), "16 rows; 3 views of M images are 3 M rows");
    refuses(&run(&["mv-dhel", "--views", "1"]), "needs at least 2 views");
    refuses(&run(&["mv-dhel", "--views", "4", "--second", "v.npy"]), "--views 4 with a file for view two");
    refuses(&run(&["siglip", "--temperature", "0.1"]), "temperature");
    refuses(&run(&["spectral", "--scale", "2"]), "scale");
    let of_nothing = file("empty.txt", "");
    refuses(&run(&["sup-con", "--groups", &of_nothing]), "0 lines");
    let output = Command::new(env!("CARGO_BIN_EXE_riesz"))
        .current_dir(folder.path())
        .args(["train", "--loss", "sup-con", "--set", "data.labels=none"])
        .output()
        .unwrap();
    refuses(
        &output,
        "loss sup-con matches images of one class, and no training image has a label; without labels it is nt-xent",
    );
}

/// The pages but the index, with their texts.
fn pages() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(root().join("docs/losses")).unwrap();
    let pages = folder.map(|entry| entry.unwrap().path()).map(|path| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap())
    });
    pages.filter(|(name, _)| name != "README.md").collect()
}

/// The names that recipes and the command know, as a wrong one is told.
fn names() -> BTreeSet<String> {
    let told = String::from_utf8(loss(&["nonsense", "--input", "golden/inputs.safetensors"]).stderr).unwrap();
    let (_, rest) = told.split_once("expected one of ").unwrap();
    rest.split(',').map(|name| name.trim().trim_matches('`').to_owned()).collect()
}

#[test]
fn every_loss_is_in_the_catalogue_has_a_page_and_is_in_index_and_help() {
    // An energy is of one set of points: `riesz sphere`.
    let catalogue: BTreeSet<String> = Loss::catalogue().iter().map(|loss| loss.name.to_owned()).collect();
    let of_pairs: BTreeSet<String> = catalogue.into_iter().filter(|name| name != "energy").collect();
    assert_eq!(names(), of_pairs);
    let help = String::from_utf8(loss(&["--help"]).stdout).unwrap();
    let (_, rest) = help.split_once("Losses: ").unwrap();
    let helped = rest.split_once('.').unwrap().0.split(',').map(|name| name.trim().to_owned());
    assert_eq!(names(), helped.collect());
    let index = std::fs::read_to_string(root().join("docs/losses/README.md")).unwrap();
    for name in names() {
        assert!(index.contains(&format!("`{name}`")), "docs/losses/README.md does not name {name}");
        assert!(pages().iter().any(|(_, text)| text.contains(&format!("`{name}`"))), "no page names {name}");
    }
    for (page, text) in pages() {
        assert!(text.contains("\nriesz loss "), "{page} has no command");
        assert!(index.contains(&format!("]({page})")), "docs/losses/README.md does not lead to {page}");
    }
}

/// Every loss of the command by both engines, with one to four views, with groups and without: a number, or one sentence.
#[test]
fn every_loss_of_any_number_of_views_is_a_number_or_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Key::new(4).rng();
    let rows = Matrix::new((0..12 * 4).map(|_| normal(&mut rng)).collect::<Vec<f64>>(), 4);
    let input = folder.path().join("v.npy");
    embeddings::write_npy(&input, &rows).unwrap();
    let input = input.to_str().unwrap();
    let names = [
        "info-nce",
        "info-nce-symmetric",
        "nt-xent",
        "nt-xent-one-sided",
        "dcl",
        "dcl-one-sided",
        "dcl-cross",
        "dclw",
        "dhel",
        "kcl",
        "align-uniform",
        "siglip",
        "spectral",
        "mv-info-nce",
        "mv-dhel",
        "sup-con",
        "sup-con-in",
    ];
    let (mut numbers, mut refused) = (0, 0);
    for views in 1..=4 {
        let lines =
            |of: &dyn Fn(usize) -> usize| (0..12 / views).map(|i| format!("{}\n", of(i))).collect::<String>();
        let groups = folder.path().join(format!("{views}.txt"));
        std::fs::write(&groups, lines(&|image| image / 2)).unwrap();
        let views = views.to_string();
        for name in names {
            for engine in ["fused", "reference"] {
                for groups in [&[][..], &["--groups", groups.to_str().unwrap()]] {
                    let common = [name, "--views", &views, "--engine", engine, "--input", input, "--json"];
                    let output = loss(&[&common[..], groups].concat());
                    let err = String::from_utf8_lossy(&output.stderr);
                    if output.status.success() {
                        assert!(told(&output)["value"].is_f64() && (name != "dclw" || views == "2"));
                        numbers += 1;
                    } else {
                        assert_eq!(
                            (output.status.code(), err.lines().count()),
                            (Some(2), 1),
                            "{common:?}: {err}"
                        );
                        refused += 1;
                    }
                    if name == "dclw" && ["3", "4"].contains(&views.as_str()) {
                        assert!(
                            err.contains(&format!("dclw weighs the match of two views; there are {views}")),
                            "{err}"
                        );
                    }
                }
            }
        }
    }
    assert!(numbers > 170 && refused > 40, "{numbers} and {refused}");
}
