//! A run is evaluated again as its recipe says, to the same numbers; and asked otherwise, which changes nothing that is written.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod small_run;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use riesz_lab::report::Summary;
use small_run::{TRAIN, with_images};

fn riesz(here: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_riesz")).current_dir(here).args(arguments).output().unwrap()
}

#[test]
fn other_questions_are_answered_beside_what_is_written() {
    let folder = with_images();
    let here = folder.path();
    assert!(riesz(here, &TRAIN).status.success());
    let written = || {
        ["metrics.json", "report.html", "recipe.toml"]
            .map(|name| fs::read(here.join("r").join(name)).unwrap())
    };
    let before = written();
    let answers = |more: &[&str]| -> Summary {
        let output = riesz(here, &[&["eval", "r", "--json", "--quiet"], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let own: Summary = serde_json::from_slice(&before[0]).unwrap();
    let asked = answers(&["--set", "evaluation.neighbors=1", "--set", "evaluation.pairs=8"]);
    assert_eq!((asked.settings.neighbors, asked.settings.pairs), (1, 8));
    assert_ne!((own.settings.neighbors, own.settings.pairs), (1, 8));
    assert!(asked.recipe.contains("neighbors = 1\n"), "{}", asked.recipe);
    assert!(written() == before, "nothing is written");
    // Without questions of one's own it is the run's evaluation again.
    let again = answers(&[]);
    assert_eq!((again.rows, again.geometry), (own.rows, own.geometry));

    for (key, why) in [
        ("seed=2", "--set seed=2: an evaluation takes keys of evaluation alone"),
        ("evaluation.neighbors=0", "--set over the run's recipe: evaluation.neighbors is 0"),
        ("neighbors=3", "--set over the run's recipe: unknown field `neighbors`"),
    ] {
        let output = riesz(here, &["eval", "r", "--quiet", "--set", key]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), told.lines().count()), (Some(2), 1), "{told}");
        assert!(told.contains(why), "{told}");
    }
}
