//! What released versions left is read by this one: runs are reported, gone on with, finetuned and searched, states of embeddings are
//! merged, grids reported. `golden/runs/make.py` made a folder for each version. What a later version might leave is refused in a
//! sentence that names both formats.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod processes;
mod stored_runs;

use std::path::{MAIN_SEPARATOR, Path};
use std::process::Output;

use processes::{finish, told};
use riesz::Matrix;
use riesz_lab::embeddings;
use serde_json::Value;
use stored_runs::{copy_of, stored};

/// Another processor's sums differ in their last digits, and a few updates make more of that.
const CLOSE: f64 = 1e-3;

fn riesz(here: &Path, command: &str) -> Output {
    finish(here, &command.split_whitespace().collect::<Vec<_>>())
}

fn succeeds(here: &Path, command: &str) -> String {
    let output = riesz(here, command);
    assert!(output.status.success(), "riesz {command}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn is_close(got: f64, want: f64) -> bool {
    (got - want).abs() <= CLOSE * want.abs().max(1.0)
}

fn rows(path: &Path) -> Matrix<f32> {
    embeddings::read(path, None).unwrap().into_f32()
}

/// Losses of a log's steps.
fn losses(log: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(log).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == "step").map(|event| event["loss"].as_f64().unwrap()).collect()
}

fn read(version: &str) {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    copy_of(version, here);

    // A finished run.
    let listed: Value = serde_json::from_str(&succeeds(here, "runs . --json")).unwrap();
    let runs = listed["runs"].as_array().unwrap();
    let finished: Vec<bool> = runs.iter().map(|run| run["finished"].as_bool().unwrap()).collect();
    assert_eq!(finished, [true, false], "{listed}");
    // Results are the evaluation's, of the trained backbone; what is only the last epoch's quick check is marked.
    let metrics = json(&here.join("finished/metrics.json"));
    let trained =
        metrics["rows"].as_array().unwrap().iter().find(|row| row["name"] == "trained backbone").unwrap();
    assert_eq!(runs[0]["evaluation"]["knn"], trained["knn"]);
    assert_eq!(runs[0]["evaluation"]["recall_at_1"], trained["recall"]["at_1"]);
    assert!(runs[0]["evaluation"]["knn"] != runs[0]["last_epoch"]["knn"] && runs[1]["evaluation"].is_null());
    let table = succeeds(here, "runs .");
    let line = |run: &str| {
        table.lines().find(|line| line.contains(run)).unwrap().split_whitespace().collect::<Vec<_>>()
    };
    let percent =
        |share: &Value, mark: &str| [format!("{:.1}", 100.0 * share.as_f64().unwrap()), format!("%{mark}")];
    let shares =
        |recall: &Value, knn: &Value, mark: &str| [percent(recall, mark), percent(knn, mark)].concat();
    let finished = line(&format!("{MAIN_SEPARATOR}finished"));
    assert_eq!(
        finished[finished.len() - 4..],
        shares(&trained["recall"]["at_1"], &trained["knn"], ""),
        "{table}"
    );
    let (unfinished, last) = (line(&format!("{MAIN_SEPARATOR}unfinished")), &runs[1]["last_epoch"]);
    assert_eq!(
        unfinished[unfinished.len() - 4..],
        shares(&last["recall_at_1"], &last["knn"], "*"),
        "{table}"
    );
    assert!(table.contains("* not evaluated: the last epoch's quick check"), "{table}");
    succeeds(here, "report finished");
    assert!(std::fs::read_to_string(here.join("finished/report.html")).unwrap().contains("</html>"));
    succeeds(here, "embed finished photos --output again.npy --quiet");
    let (got, want) = (rows(&here.join("again.npy")), rows(&here.join("rows.npy")));
    assert_eq!((got.len(), got.dim()), (want.len(), want.dim()));
    for (got, want) in got.as_slice().iter().zip(want.as_slice()) {
        assert!(is_close(f64::from(*got), f64::from(*want)), "{got} {want}");
    }
    let before = json(&here.join("finished/metrics.json"));
    succeeds(here, "eval finished");
    let after = json(&here.join("finished/metrics.json"));
    let probe = |metrics: &Value| metrics["rows"].as_array().unwrap().len();
    assert_eq!((probe(&before), before["classes"].clone()), (probe(&after), after["classes"].clone()));
    let found: Value = serde_json::from_str(&succeeds(
        here,
        "search finished photos/cats/01.png --index index.parquet --json",
    ))
    .unwrap();
    assert_eq!(found["queries"][0]["nearest"][0]["name"], "cats/01.png", "{found}");
    succeeds(here, "finetune finished --steps 2 --batch 8 --output tuned --quiet");
    assert_eq!(
        json(&here.join("tuned/finetune.json"))["classes"],
        json(&here.join("finished/finetune/finetune.json"))["classes"]
    );

    // One that was interrupted goes on by its own command.
    let command = std::fs::read_to_string(here.join("command.txt")).unwrap();
    let begun = std::fs::read(here.join("unfinished/log.jsonl")).unwrap();
    let output = riesz(here, command.trim().strip_prefix("riesz ").unwrap());
    assert!(output.status.success(), "{}", told(&output));
    assert!(std::fs::read(here.join("unfinished/log.jsonl")).unwrap().starts_with(&begun));
    let [got, want] = ["unfinished", "finished"].map(|run| losses(&here.join(run).join("log.jsonl")));
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(&want) {
        assert!(is_close(*got, *want), "{got} {want}");
    }

    // States of embeddings.
    let merged: Value =
        serde_json::from_str(&succeeds(here, "geometry merge part-0.state part-1.state --json --quiet"))
            .unwrap();
    let want = json(&here.join("geometry.json"));
    let metrics = want["metrics"].as_array().unwrap();
    assert!(metrics.len() > 10);
    for metric in metrics {
        let got =
            merged["metrics"].as_array().unwrap().iter().find(|got| got["name"] == metric["name"]).unwrap();
        match (got["value"].as_f64(), metric["value"].as_f64()) {
            (Some(got), Some(want)) => assert!(is_close(got, want), "{metric}: {got}"),
            (got, want) => assert_eq!(got, want, "{metric}"),
        }
    }

    // A grid.
    let results = std::fs::read(here.join("sweeps/grid/results.csv")).unwrap();
    succeeds(here, "sweep report grid");
    assert!(std::fs::read(here.join("sweeps/grid/results.csv")).unwrap() == results, "the grid's results");
}

#[test]
fn what_released_versions_left_is_read() {
    let mut versions = Vec::new();
    for entry in std::fs::read_dir(stored()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            read(&name);
            versions.push(name);
        }
    }
    assert!(!versions.is_empty());
}

#[test]
fn what_a_later_version_might_leave_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    copy_of(env!("CARGO_PKG_VERSION"), here);
    let raised = |file: &str, from: &str, to: &str| {
        let path = here.join(file);
        let bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let bytes = [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat();
        std::fs::write(path, bytes).unwrap();
    };
    let train = std::fs::read_to_string(here.join("command.txt")).unwrap();
    let train = train.trim().strip_prefix("riesz ").unwrap();
    for (file, from, to, command) in [
        ("finished/metrics.json", "\"schema_version\":2", "\"schema_version\":3", "report finished"),
        ("unfinished/checkpoints/last.safetensors", "riesz checkpoint 2", "riesz checkpoint 3", train),
        ("sweeps/grid/cells.json", "\"schema_version\": 1", "\"schema_version\": 2", "sweep report grid"),
        (
            "part-0.state",
            "\\\"schema_version\\\":1",
            "\\\"schema_version\\\":2",
            "geometry merge part-0.state part-1.state",
        ),
        (
            "index.parquet",
            "riesz index 1",
            "riesz index 2",
            "search finished photos/cats/01.png --index index.parquet",
        ),
        (
            "finished/encoder.safetensors",
            "riesz encoder 1",
            "riesz encoder 2",
            "embed finished photos --output e.npy",
        ),
    ] {
        raised(file, from, to);
        let output = riesz(here, command);
        let said = told(&output);
        assert_eq!(output.status.code(), Some(2), "riesz {command}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "riesz {command}: {said}");
        let numbers = [from, to].map(|text| text.trim_end().chars().last().unwrap());
        for number in numbers {
            assert!(said.contains(number), "riesz {command}: {number} is not in: {said}");
        }
    }
}
