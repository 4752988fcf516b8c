//! A grid of twelve cells that is killed at random moments, or run by several workers at once, leaves the same bits in every
//! cell as one that nobody disturbs, and no cell is run twice. A cell that fails is told, and the others are run.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod processes;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use riesz::rng::{Key, uniform};

use processes::{finish, start, told};

/// Two losses, three batches, two seeds; small images, no labels, and the shortest evaluation.
const GRID: &str = "seeds = [1, 2]
[base]
recipe = \"fashion-mnist-12k\"
epochs = 2
augment.size = 8
data.limit = 128
data.labels = \"none\"
evaluation.pairs = 16
evaluation.references = 16
encoder.projector = { hidden = 16, output = 8 }
[[grid]]
[[grid.axis]]
loss = [{ name = \"dcl\" }, { name = \"kcl\" }]
labels = [\"dcl\", \"kcl\"]
[[grid.axis]]
batch = [16, 32, 64]
";

/// What a cell leaves that must not depend on who ran it and how often: log, encoder, last checkpoint.
type Bits = BTreeMap<String, [Vec<u8>; 3]>;

fn bits(folder: &Path) -> Bits {
    let cells = std::fs::read_dir(folder.join("sweeps/g/cells")).unwrap();
    cells
        .map(|cell| {
            let cell = cell.unwrap();
            let names = ["log.jsonl", "encoder.safetensors", "checkpoints/last.safetensors"];
            let files = names.map(|name| std::fs::read(cell.path().join(name)).unwrap());
            assert!(cell.path().join("report.html").is_file());
            (cell.file_name().into_string().unwrap(), files)
        })
        .collect()
}

fn with_grid() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("g.toml"), GRID).unwrap();
    folder
}

/// The cells that a worker says it ran to their end.
fn done(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.starts_with("cell ") && line.contains("recall@1"));
    lines.map(|line| line.split_whitespace().nth(2).unwrap().trim_end_matches(':').to_owned()).collect()
}

#[test]
fn a_grid_that_is_killed_or_shared_is_the_undisturbed_one() {
    let whole = with_grid();
    let started = Instant::now();
    let output = finish(whole.path(), &["sweep", "g.toml"]);
    assert!(output.status.success(), "{}", told(&output));
    let seconds = started.elapsed().as_secs_f64();
    let want = bits(whole.path());
    assert_eq!((want.len(), done(&told(&output)).len()), (12, 12));
    // A second time there is nothing to do, and each command of the list has been done.
    let output = finish(whole.path(), &["sweep", "g.toml"]);
    assert!(output.status.success() && done(&told(&output)).is_empty(), "{}", told(&output));
    let output = finish(whole.path(), &["sweep", "g.toml", "--list"]);
    assert!(output.stdout.is_empty() && told(&output).contains("12 cells, 12 of them finished"));

    let killed = with_grid();
    let mut rng = Key::new(19).stream("kill").rng();
    let mut all = Vec::new();
    for _ in 0..10 {
        let child = start(killed.path(), &["sweep", "g.toml"]);
        // On average a ninth of the whole, so that the tenth moment falls near the end.
        std::thread::sleep(Duration::from_secs_f64(0.05 + 2.0 / 9.0 * seconds * uniform(&mut rng)));
        let status = Command::new("kill").args(["-KILL", &child.id().to_string()]).status().unwrap();
        assert!(status.success());
        all.extend(done(&told(&child.wait_with_output().unwrap())));
    }
    let output = finish(killed.path(), &["sweep", "g.toml"]);
    assert!(output.status.success(), "{}", told(&output));
    all.extend(done(&told(&output)));
    assert!(bits(killed.path()) == want, "a killed grid has other bits");
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "a cell was run twice");

    for workers in [2, 3] {
        let shared = with_grid();
        let children: Vec<Child> =
            (0..workers).map(|_| start(shared.path(), &["sweep", "g.toml", "--threads", "1"])).collect();
        let mut all = Vec::new();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", told(&output));
            all.extend(done(&told(&output)));
        }
        assert!(bits(shared.path()) == want, "{workers} workers leave other bits");
        all.sort();
        assert_eq!(all, want.keys().cloned().collect::<Vec<_>>(), "each cell was run once");
    }
}

#[test]
fn single_cells_and_listed_commands_are_the_same_cells() {
    let whole = with_grid();
    assert!(finish(whole.path(), &["sweep", "g.toml", "--cell", "2"]).status.success());
    let listed = with_grid();
    let output = finish(listed.path(), &["sweep", "g.toml", "--list"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 12);
    let command = text.lines().nth(1).unwrap().replacen("riesz", env!("CARGO_BIN_EXE_riesz"), 1);
    let status =
        Command::new("sh").args(["-c", &command]).current_dir(listed.path()).stdout(Stdio::null()).status();
    assert!(status.unwrap().success(), "{command}");
    assert!(bits(listed.path()) == bits(whole.path()));
    let output = finish(whole.path(), &["sweep", "g.toml", "--cell", "13"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("--cell 13: the grid has the cells 1 to 12"), "{}", told(&output));
}

#[test]
fn a_cell_that_fails_is_told_and_the_others_are_run() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let grid = GRID.replace("batch = [16, 32, 64]", "optimizer.learning-rate = [1e30, 0.1]");
    let grid = grid.replace("epochs = 2", "epochs = 2\nbatch = 16");
    std::fs::write(here.join("g.toml"), grid.replace("seeds = [1, 2]", "seeds = [1]")).unwrap();
    let output = finish(here, &["sweep", "g.toml"]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("loss=dcl,learning-rate=1e30,seed=1 failed: step "), "{text}");
    assert!(text.contains("riesz: 2 of 4 cells failed, and the others were run: "), "{text}");
    assert_eq!(done(&text).len(), 2);
    let failed = here.join("sweeps/g/cells/loss=dcl,learning-rate=1e30,seed=1/failed.txt");
    assert!(std::fs::read_to_string(&failed).unwrap().contains("lower optimizer.learning-rate"));
    // A grid that means other runs by the same names is refused before anything is touched; with a seed more, the report would
    // else mix runs of 2 and of 3 epochs in one mean.
    let files = ["grid.toml", "cells.json", "cells/loss=dcl,learning-rate=0.1,seed=1/log.jsonl"];
    let read = || files.map(|name| std::fs::read(here.join("sweeps/g").join(name)).unwrap());
    let before = read();
    let text = std::fs::read_to_string(here.join("g.toml")).unwrap();
    let changed = text.replace("epochs = 2", "epochs = 3").replace("seeds = [1]", "seeds = [1, 2]");
    std::fs::write(here.join("g.toml"), changed).unwrap();
    for arguments in [&["sweep", "g.toml"][..], &["sweep", "g.toml", "--list"]] {
        let output = finish(here, arguments);
        assert_eq!(output.status.code(), Some(2));
        let expected = "holds a run of another recipe than the grid's (there `epochs = 2`, here `epochs = 3`), and so do 3 more \
                        cells; give the grid another name";
        assert!(told(&output).contains(expected), "{}", told(&output));
        assert!(read() == before);
    }
    // As it was, it goes on.
    std::fs::write(here.join("g.toml"), text).unwrap();
    assert_eq!(finish(here, &["sweep", "g.toml"]).status.code(), Some(1));

    // A folder that another version made is refused as it is.
    let cells = here.join("sweeps/g/cells.json");
    let other =
        std::fs::read_to_string(&cells).unwrap().replace("\"schema_version\": 1", "\"schema_version\": 9");
    std::fs::write(&cells, &other).unwrap();
    let output = finish(here, &["sweep", "g.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("has schema version 9, and this program reads 1"), "{}", told(&output));
    assert_eq!(std::fs::read_to_string(&cells).unwrap(), other);
}

#[test]
fn two_runs_are_compared_by_what_differs() {
    let folder = with_grid();
    let here = folder.path();
    for cell in ["1", "5"] {
        assert!(finish(here, &["sweep", "g.toml", "--cell", cell]).status.success());
    }
    let [a, b] =
        ["loss=dcl,batch=16,seed=1", "loss=kcl,batch=32,seed=1"].map(|cell| format!("sweeps/g/cells/{cell}"));
    let output = finish(here, &["runs", "diff", &a, &b]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    let line = |key: &str| {
        let found = text.lines().find(|line| line.split_whitespace().next() == Some(key));
        found.unwrap_or_else(|| panic!("no {key} in {text}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("batch"), "batch 16 32");
    assert_eq!(line("loss.name"), "loss.name \"dcl\" \"kcl\"");
    assert_eq!(line("loss.temperature"), "loss.temperature 0.1 –");
    assert!(
        !text.contains("seed") && text.contains("effective rank") && text.contains("circumstances: the same")
    );
    let same = finish(here, &["runs", "diff", &a, &a]);
    assert_eq!(
        String::from_utf8(same.stdout).unwrap(),
        "recipe: the same\nmetrics (accuracies in %): the same\ncircumstances: the same\n"
    );
    // The report of what is there, and what is missing.
    let output = finish(here, &["sweep", "report", "g"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("2 of 12 cells"), "{text}");
    assert!(text.contains("missing: 10 cells: not begun"), "{text}");
    let table = std::fs::read_to_string(here.join("sweeps/g/results.csv")).unwrap();
    assert!(table.starts_with("cell,loss,batch,seed,knn,probe,"), "{table}");
    assert_eq!(table.lines().count(), 3);
    assert!(here.join("sweeps/g/results.parquet").metadata().unwrap().len() > 500);
    // What both cells' recipes say is on the page, once; what differs and the seed are not among it.
    let page = std::fs::read_to_string(here.join("sweeps/g/report.html")).unwrap();
    let shared = page.split("<pre>").nth(1).and_then(|rest| rest.split("</pre>").next()).unwrap();
    assert!(shared.contains("hidden = 16") && shared.contains("epochs = 2"), "{shared}");
    let lines: Vec<&str> = shared.lines().filter_map(|line| line.split(" = ").next()).collect();
    assert!(!lines.contains(&"batch") && !lines.contains(&"seed"), "{shared}");
    assert!(page.contains("<dt>seeds</dt><dd>1</dd>"));
    let output = finish(here, &["sweep", "report", "none"]);
    assert!(output.status.code() == Some(2) && told(&output).contains("none: no folder of a grid"));
}

/// A scheduler that waits for the cell's end must not go on by its success.
#[test]
fn a_cell_of_another_worker_is_no_success() {
    let folder = with_grid();
    let here = folder.path();
    std::fs::write(here.join("g.toml"), GRID.replace("epochs = 2", "epochs = 5000")).unwrap();
    let child = start(here, &["sweep", "g.toml", "--cell", "1"]);
    let log = here.join("sweeps/g/cells/loss=dcl,batch=16,seed=1/log.jsonl");
    let began = Instant::now();
    while !log.is_file() {
        assert!(began.elapsed() < Duration::from_secs(60), "the cell does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = finish(here, &["sweep", "g.toml", "--cell", "1", "--quiet"]);
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143));
    assert!(
        output.status.code() == Some(1) && told(&output).contains("is in another worker's hands"),
        "{}",
        told(&output)
    );
}

#[test]
fn a_grid_that_begins_with_weights_goes_on() {
    let folder = with_grid();
    let here = folder.path();
    assert!(finish(here, &["sweep", "g.toml", "--cell", "1"]).status.success());
    let from = "start.weights = \"sweeps/g/cells/loss=dcl,batch=16,seed=1\"\n\n[[grid]]";
    let grid = GRID.replacen("[[grid]]", from, 1).replace("seeds = [1, 2]", "seeds = [1]");
    std::fs::write(here.join("w.toml"), grid).unwrap();
    for cells in [&["1", "2"][..], &["1"]] {
        for cell in cells {
            let output = finish(here, &["sweep", "w.toml", "--cell", cell]);
            assert!(output.status.success(), "{}", told(&output));
        }
    }
    // Other weights under the same name are another grid.
    let weights = here.join("sweeps/g/cells/loss=dcl,batch=16,seed=1/encoder.safetensors");
    let other = here.join("sweeps/w/cells/loss=dcl,batch=16,seed=1/encoder.safetensors");
    std::fs::copy(other, weights).unwrap();
    let output = finish(here, &["sweep", "w.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("(there [start] `sha256 = "), "{}", told(&output));
}
