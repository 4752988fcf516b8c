//! `riesz sphere` as its users meet it: what is found and proven, bad input, an interruption.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(target_os = "linux")]
mod ctrl_c;

use std::path::Path;
use std::process::{Command, Output};

use riesz_lab::embeddings;
use serde_json::Value;

fn riesz(folder: &Path, arguments: &str) -> Output {
    let arguments = arguments.split_whitespace();
    Command::new(env!("CARGO_BIN_EXE_riesz")).current_dir(folder).args(arguments).output().unwrap()
}

fn told(output: &Output) -> (String, String) {
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (words(&output.stdout), words(&output.stderr))
}

#[test]
fn an_energy_in_words_and_its_points_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let output = riesz(
        folder.path(),
        "sphere minimize --kernel riesz --exponent 1 --points 12 --dim 3 --starts 4 --output points.npy",
    );
    let (text, errors) = told(&output);
    assert!(output.status.success(), "{errors}");
    for expected in
        ["49.1652530576", "icosahedron", "-0.447213595500 × 30", "sharp: 3 cosines", "global minimum", "4×"]
    {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    let points = embeddings::read(&folder.path().join("points.npy"), None).unwrap().to_f64();
    assert_eq!((points.len(), points.dim()), (12, 3));
    for i in 0..12 {
        let square: f64 = points.row(i).iter().map(|x| x * x).sum();
        assert!((square - 1.0).abs() < 1e-14);
    }
}

#[test]
fn a_loss_for_machines() {
    let folder = tempfile::tempdir().unwrap();
    let command = "sphere minimize --loss dhel --points 9 --dim 8 --starts 4 --seed 3 --json";
    let output = riesz(folder.path(), command);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schema_version"], 1);
    assert_eq!(report["subject"], "dhel, paper convention, temperature 0.3");
    let best = &report["minima"][0];
    assert_eq!(best["recognized"], "regular simplex");
    assert_eq!((best["starts"].as_u64(), best["starts_near"].as_u64()), (Some(4), Some(2)));
    assert!(best["misalignment"].as_f64().unwrap() < 1e-12);
    let (value, bound) = (best["value"].as_f64().unwrap(), report["bound"]["value"].as_f64().unwrap());
    assert!((value - bound).abs() < 1e-12);
    assert!(report["certificates"][0].as_str().unwrap().contains("convexity"));
    // The same bytes again, and others by another seed.
    assert_eq!(riesz(folder.path(), command).stdout, output.stdout);
    assert_ne!(riesz(folder.path(), &command.replace("--seed 3", "--seed 4")).stdout, output.stdout);
}

/// Where nothing is known and nothing proven, that is what is said.
#[test]
fn what_is_unknown_and_unproven_is_called_that() {
    let folder = tempfile::tempdir().unwrap();
    let (text, _) = told(&riesz(
        folder.path(),
        "sphere minimize --kernel gaussian --width 3 --points 24 --dim 4 --starts 100",
    ));
    assert!(text.contains("recognized   unknown") && text.contains("certificate  none"), "{text}");
    assert!(text.contains("24-cell"), "the higher minimum is told, too:\n{text}");
    let (text, _) = told(&riesz(
        folder.path(),
        "sphere minimize --loss siglip --scale 1 --offset 0 --points 5 --dim 3 --starts 4",
    ));
    assert!(text.contains("no theorem gives one"), "{text}");
}

#[test]
fn bad_input_gets_one_sentence_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        ("--kernel riesz --exponent 1 --points 0 --dim 3", "0 points; at least 2"),
        ("--kernel riesz --exponent 1 --points 5 --dim 1", "1 dimensions; at least 2"),
        ("--kernel riesz --exponent -2.5 --points 5 --dim 3", "above -2 and not 0"),
        ("--kernel riesz --exponent 1 --points 1000000000 --dim 3", "needs at least"),
        ("--kernel riesz --exponent 1 --points 18446744073709551615 --dim 3", "needs at least"),
        ("--kernel riesz --exponent 1 --points 10 --dim 3 --starts 999999999999999", "needs at least"),
        ("--points 4 --dim 3", "--kernel NAME) is expected"),
        ("--loss nope --points 4 --dim 3", "unknown variant `nope`"),
        ("--loss kcl --kernel riesz --exponent 1 --convention reference --points 4 --dim 3", "no minimum"),
        ("--kernel foo --points 4 --dim 3", "unknown variant `foo`"),
        ("--kernel gaussian --gamma 2 --points 4 --dim 3", "--gamma is a flag of losses"),
        ("--loss dhel --points 4 --dim 3 --tolerance nan", "--tolerance is NaN"),
        ("--loss nt-xent --views 1 --points 4 --dim 3", "at least 2 views"),
        ("--loss dclw --views 3 --points 4 --dim 3", "dclw weighs the match of two views; there are 3"),
        ("--kernel exponential --temperature 1e-5 --points 8 --dim 3", "no start has a finite value"),
        ("--kernel exponential --temperature 1e-5 --points 8 --dim 3 --json", "no start has a finite value"),
    ] {
        let output = riesz(folder.path(), &format!("sphere minimize {arguments}"));
        let (text, errors) = told(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {errors}");
        assert!(
            text.is_empty() && errors.lines().count() == 1 && errors.contains(expected),
            "{arguments}: {errors}"
        );
    }
}

/// An energy that is more than f64 holds at the starts: e^{−1000/3} at the tetrahedron, in words and in a picture.
#[test]
fn narrow_kernels_lead_to_their_minimum() {
    let folder = tempfile::tempdir().unwrap();
    let over = "--kernel exponential --temperature 0.001 --points 4 --dim 3 --starts 2";
    let (text, errors) = told(&riesz(folder.path(), &format!("sphere minimize {over} --json")));
    let found: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{errors}"));
    let minimum = &found["minima"][0];
    assert!((minimum["value"].as_f64().unwrap().ln() + 1000.0 / 3.0).abs() < 1e-9, "{found}");
    assert_eq!(
        (minimum["starts"].as_u64(), minimum["recognized"].as_str()),
        (Some(2), Some("regular simplex")),
        "{found}"
    );
    let output = riesz(folder.path(), &format!("sphere plot {over} --html p.html"));
    assert!(output.status.success(), "{}", told(&output).1);
    let page = std::fs::read_to_string(folder.path().join("p.html")).unwrap();
    let data = page.split("const PANELS = ").nth(1).unwrap().split(";\n").next().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let frames = data[0]["frames"].as_array().unwrap();
    assert!(frames.len() > 3 && frames.iter().all(|frame| frame["v"].is_f64()), "{data}");
}

#[test]
fn pictures_turn_in_three_dimensions_and_are_matrices_in_more() {
    let folder = tempfile::tempdir().unwrap();
    for (points, dim) in [(6, 3), (8, 4)] {
        let output = riesz(
            folder.path(),
            &format!(
                "sphere plot --loss dhel --beside nt-xent,kcl --points {points} --dim {dim} --starts 4 --html p.html --svg p.svg"
            ),
        );
        let (text, errors) = told(&output);
        assert!(output.status.success() && text.matches("cross-polytope").count() == 3, "{text}{errors}");
        let page = std::fs::read_to_string(folder.path().join("p.html")).unwrap();
        let picture = std::fs::read_to_string(folder.path().join("p.svg")).unwrap();
        assert!(!page.contains("http") && page.matches("class=\"panel\"").count() == 3);
        assert_eq!(page.matches("<canvas").count(), if dim == 3 { 3 } else { 0 });
        // Two views of six points: dots and rings in each panel. Gram matrices: only squares.
        let (dots, rings) =
            (picture.matches("class=\"point").count(), picture.matches("class=\"second").count());
        assert_eq!((dots, rings), if dim == 3 { (18, 18) } else { (0, 0) });
        assert!(
            picture.starts_with("<svg") && picture.ends_with("</svg>") && picture.contains("class=\"law\"")
        );
        // The page's script reads frames that begin at the start and end at the minimum.
        let data = page.split("const PANELS = ").nth(1).unwrap().split(";\n").next().unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        if dim == 3 {
            let frames = data[0]["frames"].as_array().unwrap();
            assert!(
                frames.len() > 10 && frames[0]["i"] == 0 && frames[0]["x"].as_array().unwrap().len() == 36
            );
            assert_eq!(data[0]["edges"].as_array().unwrap().len(), 12, "the octahedron's edges");
        }
    }
    // Panels beside have as many views as the first, or are refused.
    let three =
        "sphere plot --loss dhel --beside nt-xent --views 3 --points 4 --dim 3 --starts 2 --html p.html";
    let (text, errors) = told(&riesz(folder.path(), three));
    let page = std::fs::read_to_string(folder.path().join("p.html")).unwrap();
    let data = page.split("const PANELS = ").nth(1).unwrap().split(";\n").next().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let numbers = |panel: usize| data[panel]["frames"][0]["x"].as_array().unwrap().len();
    assert_eq!((numbers(0), numbers(1)), (36, 36), "three views of four points: {text}{errors}");
    let output = riesz(folder.path(), &three.replace("nt-xent", "nt-xent,dclw").replace("p.html", "q.html"));
    let (text, errors) = told(&output);
    assert!(output.status.code() == Some(2) && text.is_empty() && !folder.path().join("q.html").exists());
    assert!(errors.contains("--beside dclw: dclw weighs the match of two views; there are 3"), "{errors}");
    let (_, errors) = told(&riesz(folder.path(), "sphere plot --loss dhel --points 6 --dim 3"));
    assert!(errors.contains("--html FILE or --svg FILE"), "{errors}");
    let output = riesz(folder.path(), "sphere plot --loss dhel --beside nope --points 6 --dim 3 --svg p.svg");
    assert_eq!(output.status.code(), Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn an_interruption_prints_the_best_so_far() {
    ctrl_c::heard();
    use std::process::Stdio;
    use std::time::Duration;

    let folder = tempfile::tempdir().unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_riesz"))
        .current_dir(folder.path())
        .args("sphere minimize --kernel riesz --exponent 1 --points 60 --dim 3 --starts 10000000".split(' '))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let catches = || {
        let text = std::fs::read_to_string(&status).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim().to_owned();
        u64::from_str_radix(&caught, 16).unwrap() & 2 != 0
    };
    while !catches() {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Long enough for some starts of a few milliseconds each.
    std::thread::sleep(Duration::from_secs(1));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let (text, errors) = told(&output);
    assert_eq!(output.status.code(), Some(130), "{errors}");
    assert!(text.contains("value ") && text.contains("local minima of"), "{text}");
    assert!(errors.contains("the best so far is above"), "{errors}");
}
