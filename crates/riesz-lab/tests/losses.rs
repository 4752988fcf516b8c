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

/// Of the golden rows, as JSON.
fn of_golden(arguments: &str) -> serde_json::Value {
    let input = ["--input", "golden/inputs.safetensors", "--name", "aligned_8x4", "--json"];
    told(&loss(&[&arguments.split(' ').collect::<Vec<_>>()[..], &input[..]].concat()))
}

/// By hand from N = 8 images in d = 4 dimensions, for which no simplex fits; and by differences.
#[test]
fn what_is_proven_of_a_loss_is_told_and_what_is_not_too() {
    let n = 8.0_f64;
    let a = |tau: f64| n / ((n - 1.0) * tau);
    for (arguments, least, by) in [
        ("info-nce --temperature 0.3", (1.0 + 7.0 * (-a(0.3)).exp()).ln(), "convexity"),
        ("nt-xent --temperature 0.3", (1.0 + 14.0 * (-a(0.3)).exp()).ln(), "convexity"),
        ("dcl --temperature 0.3", 14.0_f64.ln() - a(0.3), "convexity"),
        ("dclw --temperature 0.3 --sigma 0.2", 14.0_f64.ln() - a(0.3), "convexity"),
        ("dhel --temperature 0.3", 7.0_f64.ln() - a(0.3), "convexity"),
        (
            "mv-dhel --temperature 0.3 --convention reference",
            2.0 * (7.0_f64.ln() - 1.0 / 2.1) - 1.0 / 0.3,
            "convexity",
        ),
        (
            "siglip --scale 10 --offset=-10",
            2.0_f64.ln() + 7.0 * (-10.0 - 10.0 / 7.0_f64).exp().ln_1p(),
            "convexity",
        ),
        // The 16-cell: one antipode at r = 4, six at r = 2.
        (
            "kcl --kernel gaussian --width 2 --gamma 16",
            -1.0 + 16.0 * ((-8.0_f64).exp() + 6.0 * (-4.0_f64).exp()) / 7.0,
            "linear programming",
        ),
        ("spectral", -2.0 + 1.0 / 7.0, "rank"),
    ] {
        let report = of_golden(arguments);
        let bound = &report["bound"];
        let (value, told) = (report["value"].as_f64().unwrap(), bound["value"].as_f64().unwrap());
        assert!((told - least).abs() < 1e-12, "{arguments}: {told} for {least}");
        assert!((bound["gap"].as_f64().unwrap() - (value - told)).abs() < 1e-12 && value > told, "{report}");
        assert!(
            bound["theorem"].as_str().unwrap().contains(by) && report["bound_note"].is_null(),
            "{report}"
        );
        let attained = match by {
            "convexity" => serde_json::Value::Null,
            "rank" => "a tight frame".into(),
            _ => "cross-polytope".into(),
        };
        assert_eq!(bound["attained_by"], attained, "{arguments}");
    }
    // Five images in four dimensions have their simplex, and four views are two or four.
    let report = of_golden("mv-info-nce --views 4");
    assert!(report["bound"].is_null() && report["bound_note"].as_str().unwrap().starts_with("no theorem"));
    let report = of_golden("nt-xent --views 4 --temperature 0.5");
    let least = (3.0 + 4.0 * 3.0 * (-4.0 / 1.5_f64).exp()).ln();
    assert!((report["bound"]["value"].as_f64().unwrap() - least).abs() < 1e-12);
    assert_eq!(report["bound"]["attained_by"], "regular simplex");
    let report = of_golden("nt-xent --groups golden/losses/groups.txt");
    assert!(report["bound"].is_null() && report["bound_note"].as_str().unwrap().contains("groups"));
    let input = ["--input", "golden/inputs.safetensors", "--name", "aligned_8x4"];
    let text =
        |arguments: &[&str]| String::from_utf8(loss(&[arguments, &input[..]].concat()).stdout).unwrap();
    let table = text(&["siglip", "--scale", "1", "--offset", "0"]);
    assert!(table.contains("\nbound       – (no theorem that is tried gives one"), "{table}");
    assert!(
        table.contains("\nscale       gradient ") && table.contains("\noffset      gradient "),
        "{table}"
    );
    let table = text(&["kcl"]);
    assert!(
        table.contains(", attained by cross-polytope; value − bound +")
            && table.contains("\nparameters  – (the loss has no"),
        "{table}"
    );
}

#[test]
fn gradients_of_parameters_are_differences_of_values() {
    for (arguments, name, at) in [
        ("info-nce --temperature=", "temperature", 0.3),
        ("nt-xent --views 4 --engine reference --temperature=", "temperature", 0.5),
        ("mv-dhel --convention reference --temperature=", "temperature", 0.2),
        ("sup-con --groups golden/losses/groups.txt --temperature=", "temperature", 0.4),
        ("dclw --sigma 0.5 --temperature=", "temperature", 0.3),
        ("siglip --offset=-2 --scale=", "scale", 3.0),
        ("siglip --scale=3 --offset=", "offset", -2.0),
    ] {
        let of = |parameter: f64| of_golden(&format!("{arguments}{parameter}"));
        let value = |parameter: f64| of(parameter)["value"].as_f64().unwrap();
        let difference = (value(at + 1e-5) - value(at - 1e-5)) / 2e-5;
        let grads = &of(at)["parameter_grads"];
        let grad = grads[name].as_f64().unwrap();
        assert!(
            (grad - difference).abs() < 1e-7 * (1.0 + grad.abs()),
            "{arguments}: {grad} for {difference}"
        );
        match grads[format!("log_{name}")].as_f64() {
            Some(of_logarithm) => assert!((of_logarithm - at * grad).abs() < 1e-12 * (1.0 + grad.abs())),
            None => assert_eq!(name, "offset"),
        }
    }
    assert_eq!(of_golden("kcl")["parameter_grads"], serde_json::json!({}));
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

/// An array [K, N, d] is the rows of K views, one above the other; what does not fit it is refused.
#[test]
fn stacked_views_are_those_above_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Key::new(9).rng();
    let rows = Matrix::new((0..12 * 2).map(|_| normal(&mut rng)).collect::<Vec<f64>>(), 2);
    let flat = folder.path().join("flat.npy");
    embeddings::write_npy(&flat, &rows).unwrap();
    let bytes = std::fs::read(&flat).unwrap();
    let stacked = |name: &str, from: &str, to: &str| {
        let place = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        // The header is padded: what the shape grows by is taken from its spaces.
        let end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
        let grown = to.len() - from.len();
        let whole =
            [&bytes[..place], to.as_bytes(), &bytes[place + from.len()..end - grown], &bytes[end..]].concat();
        let path = folder.path().join(name);
        std::fs::write(&path, whole).unwrap();
        path.display().to_string()
    };
    let three = stacked("three.npy", "(12, 2)", "(3, 4, 2)");
    let run = |arguments: &[&str]| loss(&[&["mv-dhel"], arguments].concat());
    let flat = flat.display().to_string();
    let want = told(&run(&["--input", &flat, "--views", "3", "--json"]));
    assert_eq!(told(&run(&["--input", &three, "--json"])), want);
    assert_eq!(told(&run(&["--input", &three, "--views", "3", "--json"])), want);
    assert_eq!((want["views"].as_u64(), want["images"].as_u64()), (Some(3), Some(4)));
    // The same in safetensors, by its only tensor.
    let numbers: Vec<u8> = rows.as_slice().iter().flat_map(|x| x.to_le_bytes()).collect();
    let header =
        format!("{{\"x\":{{\"dtype\":\"F64\",\"shape\":[3,4,2],\"data_offsets\":[0,{}]}}}}", numbers.len());
    let tensors = folder.path().join("three.safetensors");
    std::fs::write(
        &tensors,
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &numbers].concat(),
    )
    .unwrap();
    assert_eq!(told(&run(&["--input", tensors.to_str().unwrap(), "--json"])), want);
    refuses(&run(&["--input", &three, "--views", "2"]), "three.npy: an array of 3 views, with --views 2");
    refuses(&run(&["--input", &three, "--second", &flat]), "an array of 3 views, with another for view two");
    let four = stacked("four.npy", "(12, 2)", "(2, 2, 3, 2)");
    refuses(
        &run(&["--input", &four]),
        "expected [rows, columns] or [views, rows, columns] with at least one",
    );
    let none = stacked("none.npy", "(12, 2)", "(0, 4, 2)");
    refuses(&run(&["--input", &none]), "none.npy: has the shape [0, 4, 2]");
    let turned = stacked("turned.npy", "False, 'shape': (12, 2)", "True, 'shape': (3, 4, 2)");
    refuses(&run(&["--input", &turned]), "column after column; expected C order");
    // Other verbs take matrices alone.
    let output = Command::new(env!("CARGO_BIN_EXE_riesz")).args(["geometry", &three]).output().unwrap();
    refuses(&output, "has the shape [3, 4, 2]; expected [rows, columns] with");
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
    let catalogue: BTreeSet<String> = Loss::catalogue().iter().map(|loss| loss.name.to_string()).collect();
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
