//! Every verb that writes, killed and terminated at random moments: a file is as it was or whole, never half; what a killed process
//! left half written is gone after the next one; and the same command ends with the bits of one that nobody stopped.
//!
//! The long form, 200 kills and 50 terminations of each verb, with `MOMENTS=40` in the environment 40 and 10:
//! `cargo test --release -p riesz-lab --test killed -- --ignored --nocapture`.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "where the moments fell is told to who asks for it")]

mod processes;
mod signals;
mod small_run;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use riesz::Matrix;
use riesz::rng::{Key, normal, uniform};
use riesz_lab::embeddings;

use processes::{finish, start, told};
use signals::{leftovers, signal};
use small_run::{TRAIN, with_images};

/// A command, and what must not depend on how often it was stopped.
struct Work {
    /// Its verb, in words.
    name: &'static str,
    arguments: Vec<&'static str>,
    /// Names of the files whose bits are compared, wherever they lie.
    files: &'static [&'static str],
    /// What the command goes on from.
    keeps: Keeps,
    /// Whether SIGTERM is heard and answered by a sentence; else the signal ends the process, as a kill does.
    listens: bool,
}

/// What is between a stop and the next command.
enum Keeps {
    /// A folder, which a trial begins without; and, latest first, what is there when a moment fell behind some point.
    Folder(&'static str, &'static [(&'static str, &'static str)]),
    /// Nothing: each file is as it was, or whole; and where two belong `together`, none is whole beside an older one.
    Nothing { together: bool },
}

/// Files by their path, of those that are compared.
type Bits = BTreeMap<String, Vec<u8>>;

/// What stands in place of the files in half of the trials; as a list of names or a card it is riesz's, which may be written over.
const OLD: &[u8] = b"index,name,label\n## Recipe\n\n```toml\nof e.onnx and w.safetensors, old";
const BEFORE: &str = "before anything was written";
const WRITING: &str = "while a file was being written";
const BETWEEN: &str = "between two files";
const WHOLE: &str = "after the files were whole";
const ENDED: &str = "after its end";

impl Work {
    fn bits(&self, folder: &Path) -> Bits {
        let mut found = Bits::new();
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            if path.is_dir() {
                let below = self.bits(&path).into_iter();
                found.extend(below.map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
            } else if self.files.contains(&name.as_str()) {
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
        found
    }

    /// Whether one of the files is there.
    fn has_some(&self, folder: &Path) -> bool {
        std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            self.files.iter().any(|&name| entry.file_name() == name)
                || is_folder && self.has_some(&entry.path())
        })
    }

    /// Makes the folder what it is before a trial.
    fn begin(&self, folder: &Path, want: &Bits, with_old: bool) {
        match self.keeps {
            Keeps::Folder(made, _) => {
                let _ = std::fs::remove_dir_all(folder.join(made));
            }
            Keeps::Nothing { .. } => {
                for name in want.keys() {
                    let path = folder.join(name);
                    if with_old {
                        std::fs::write(path, OLD).unwrap();
                    } else {
                        let _ = std::fs::remove_file(path);
                    }
                }
            }
        }
    }

    /// Where a moment fell, by what is there.
    fn place(&self, folder: &Path, want: &Bits) -> &'static str {
        let together = match self.keeps {
            Keeps::Folder(_, stages) => {
                let reached = stages.iter().find(|(path, _)| folder.join(path).exists());
                return reached.map_or(BEFORE, |(_, words)| words);
            }
            Keeps::Nothing { together } => together,
        };
        let found = self.bits(folder);
        let whole: Vec<bool> = want.iter().map(|(name, bytes)| found.get(name) == Some(bytes)).collect();
        for (name, bytes) in &found {
            assert!(bytes == OLD || bytes == &want[name], "{}: {name} is half", self.name);
        }
        // What is told beside rows or a model is their own, or not there yet.
        if together && whole.contains(&true) && whole.contains(&false) {
            assert!(!found.values().any(|bytes| bytes == OLD), "{}: files of two commands", self.name);
        }
        match () {
            () if whole.iter().all(|&whole| whole) => WHOLE,
            () if !leftovers(folder).is_empty() && !whole.contains(&true) => WRITING,
            () if whole.contains(&true) => BETWEEN,
            () => BEFORE,
        }
    }
}

/// The files below a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(names(&entry.path()).into_iter().map(|below| format!("{name}/{below}")));
        } else {
            found.insert(name);
        }
    }
    found
}

/// One at a time: the moments are drawn by how long a command takes when it is alone.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs the command in one piece, stops it by `name` at `count` random moments, lets the same command end each time, and says
/// where the moments fell.
fn stopped(work: &Work, folder: &Path, name: &str, count: usize, seed: u64) -> String {
    let began = Instant::now();
    let (want, table, [first, all]) = in_one_piece(work, folder, if count > 10 { 5 } else { 1 });
    let there = names(folder);
    let mut rng = Key::new(seed).stream(name).stream(work.name).rng();
    let mut fell: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut stops, mut trial) = (0, 0);
    while stops < count {
        trial += 1;
        work.begin(folder, &want, trial % 4 >= 2);
        let before = work.bits(folder);
        let mut ended = None;
        // What goes on is stopped a second time in half of the trials.
        let times = if matches!(work.keeps, Keeps::Folder(..)) { 1 + trial % 2 } else { 1 };
        for _ in 0..times {
            let was = work.place(folder, &want);
            let mut child = start(folder, &work.arguments);
            // Half of the moments fall behind the first one at which something is written.
            let from = if trial % 2 == 1 { 0.0 } else { first };
            std::thread::sleep(Duration::from_secs_f64(from + (all - from) * uniform(&mut rng)));
            if child.try_wait().unwrap().is_none() {
                signal(&child, name);
            }
            let output = child.wait_with_output().unwrap();
            stops += 1;
            let place = match (output.status.code(), output.status.signal()) {
                (Some(0), _) => ENDED,
                (Some(143), _) => {
                    assert_eq!((name, leftovers(folder)), ("TERM", Vec::new()), "{}", told(&output));
                    let said = told(&output);
                    assert!(said.contains("interrupted"), "{}: {said}", work.name);
                    if matches!(work.keeps, Keeps::Nothing { .. }) {
                        assert!(work.bits(folder) == before, "{}: something was written; {said}", work.name);
                    } else {
                        let goes_on = ["the same command goes on", "nothing was changed"]
                            .iter()
                            .any(|words| said.contains(words));
                        assert!(goes_on, "{}: {said}", work.name);
                    }
                    work.place(folder, &want)
                }
                (None, Some(15)) => {
                    let place = work.place(folder, &want);
                    // Before it listens there is nothing to save.
                    assert!(!work.listens || place == was, "{}: not heard {place}", work.name);
                    place
                }
                (None, Some(9)) => work.place(folder, &want),
                other => panic!("{}, trial {trial}: {other:?}: {}", work.name, told(&output)),
            };
            *fell.entry(place).or_default() += 1;
            if place == ENDED {
                ended = Some(output);
                break;
            }
        }
        let output = ended.unwrap_or_else(|| finish(folder, &work.arguments));
        // Killed between the last line of a run's log and the end of the process.
        let is_done = output.status.code() == Some(2) && told(&output).contains("holds the finished run");
        assert!(output.status.success() || is_done, "{}, trial {trial}: {}", work.name, told(&output));
        assert!(work.bits(folder) == want, "{}, trial {trial}: other bits than in one piece", work.name);
        assert!(is_done || output.stdout == table, "{}, trial {trial}: another table", work.name);
        assert_eq!(names(folder), there, "{}, trial {trial}", work.name);
    }
    let known = fell.len();
    let mut places = vec![BEFORE, WRITING, BETWEEN, WHOLE];
    if let Keeps::Folder(_, stages) = work.keeps {
        places.extend(stages.iter().rev().map(|(_, words)| words));
    }
    places.push(ENDED);
    let fell: Vec<String> =
        places.iter().filter_map(|place| Some(format!("{} {place}", fell.get(place)?))).collect();
    assert_eq!(fell.len(), known);
    format!(
        "{}: {name} at {stops} moments of {all:.2} s: {}; every time the same bits after the same command ({} files; {:.0} s in all)",
        work.name,
        fell.join(", "),
        want.len(),
        began.elapsed().as_secs_f64()
    )
}

/// What the command leaves and prints when nobody stops it, when it begins to write, and how long it takes: the median of so many times.
fn in_one_piece(work: &Work, folder: &Path, times: usize) -> (Bits, Vec<u8>, [f64; 2]) {
    let mut seconds = Vec::new();
    let mut left: Option<(Bits, Vec<u8>)> = None;
    for _ in 0..times {
        let made = left.as_ref().map(|(bits, _)| bits.clone()).unwrap_or_default();
        work.begin(folder, &made, false);
        let before = Instant::now();
        let mut child = start(folder, &work.arguments);
        let mut first = None;
        while child.try_wait().unwrap().is_none() {
            // Of small outputs, which do not fill the pipe.
            if first.is_none() && (!leftovers(folder).is_empty() || work.has_some(folder)) {
                first = Some(before.elapsed().as_secs_f64());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let all = before.elapsed().as_secs_f64();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}: {}", work.name, told(&output));
        seconds.push([first.unwrap_or(0.0), all]);
        let found = (work.bits(folder), output.stdout);
        assert!(!found.0.is_empty() && left.as_ref().is_none_or(|left| *left == found), "{}", work.name);
        left = Some(found);
    }
    seconds.sort_by(|a, b| a[1].total_cmp(&b[1]));
    let (bits, table) = left.unwrap();
    (bits, table, seconds[times / 2])
}

fn with(first: &[&'static str], more: &[&'static str]) -> Vec<&'static str> {
    [first, more].concat()
}

/// Training, with a checkpoint after each of 36 steps.
fn training(name: &str, count: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = with_images();
    let work = Work {
        name: "train",
        arguments: with(&TRAIN, &["--epochs=4"]),
        files: &["log.jsonl", "encoder.safetensors", "last.safetensors"],
        keeps: Keeps::Folder(
            "r",
            &[
                ("r/metrics.json", "with the evaluation done"),
                ("r/encoder.safetensors", "while evaluating"),
                ("r/checkpoints/previous.safetensors", "while training"),
                ("r/checkpoints/last.safetensors", "after the first checkpoint"),
            ],
        ),
        listens: true,
    };
    println!("{}", stopped(&work, folder.path(), name, count, 1));
}

const GRID: &str = "seeds = [1]
[base]
recipe = \"fashion-mnist-12k\"
epochs = 2
data.source = \"images\"
data.held-out = 0.2
augment.size = 8
evaluation.pairs = 16
evaluation.references = 64
evaluation.few-draws = 1
encoder.projector = { hidden = 16, output = 8 }
[[grid]]
[[grid.axis]]
loss = [{ name = \"dcl\" }, { name = \"kcl\" }]
labels = [\"dcl\", \"kcl\"]
[[grid.axis]]
batch = [16, 32]
";

/// A grid of four cells; and what its report makes of them.
fn sweeping(name: &str, count: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = with_images();
    let here = folder.path();
    std::fs::write(here.join("g.toml"), GRID).unwrap();
    let cells = Work {
        name: "sweep",
        arguments: vec!["sweep", "g.toml", "--quiet"],
        files: &["log.jsonl", "encoder.safetensors", "last.safetensors"],
        keeps: Keeps::Folder(
            "sweeps",
            &[
                ("sweeps/g/cells/loss=kcl,batch=32,seed=1/recipe.toml", "in the fourth cell"),
                ("sweeps/g/cells/loss=kcl,batch=16,seed=1/recipe.toml", "in the third cell"),
                ("sweeps/g/cells/loss=dcl,batch=32,seed=1/recipe.toml", "in the second cell"),
                ("sweeps/g/cells/loss=dcl,batch=16,seed=1/recipe.toml", "in the first cell"),
            ],
        ),
        listens: true,
    };
    println!("{}", stopped(&cells, here, name, count, 2));
    // The folder is now that of cells which were stopped; another folder has cells of one piece.
    let results = Work {
        name: "sweep report",
        arguments: vec!["sweep", "report", "g"],
        files: &["results.csv", "results.parquet"],
        keeps: Keeps::Nothing { together: false },
        listens: false,
    };
    println!("{}", stopped(&results, here, name, count, 3));
    let whole = with_images();
    std::fs::write(whole.path().join("g.toml"), GRID).unwrap();
    for arguments in [&cells.arguments, &results.arguments] {
        assert!(finish(whole.path(), arguments).status.success());
    }
    assert_eq!(table(whole.path()), table(here), "the results of a grid that was stopped are others");
}

/// `results.csv` but for its one column of seconds.
fn table(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("sweeps/g/results.csv")).unwrap();
    let mut cut = String::new();
    for line in text.lines() {
        let mut fields: Vec<&str> = line.rsplitn(3, ',').collect();
        let seconds = fields.remove(1);
        assert!(seconds == "training_seconds" || seconds.parse::<f64>().unwrap() > 0.0, "{text}");
        cut.push_str(&format!("{},{}\n", fields[1], fields[0]));
    }
    cut
}

/// The verbs that take a run's folder.
fn of_a_run(name: &str, count: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = with_images();
    let here = folder.path();
    let made = |arguments: &[&str]| {
        let output = finish(here, arguments);
        assert!(output.status.success(), "{}", told(&output));
    };
    made(&with(&TRAIN, &["--epochs=1"]));
    // Weights of 45 MB, so that moments fall while they are written.
    let large = ["--epochs=1", "--set", "encoder.backbone=\"resnet18\"", "--set", "data.labels=none"];
    let mut large = with(&TRAIN, &large);
    large[3] = "large";
    made(&large);
    std::fs::remove_file(here.join("large/report.html")).unwrap();
    let replaces = |name, arguments: &[&'static str], files, listens| Work {
        name,
        arguments: arguments.to_vec(),
        files,
        keeps: Keeps::Nothing { together: true },
        listens,
    };
    let works = [
        replaces("export to ONNX", &["export", "large", "--output", "e.onnx"], &["e.onnx", "e.md"], false),
        replaces(
            "export for torchvision",
            &["export", "large", "--format", "torchvision", "--output", "w.safetensors"],
            &["w.safetensors", "w.md"],
            false,
        ),
        replaces("report", &["report", "r"], &["report.html"], false),
        replaces(
            "embed to npy",
            &["embed", "r", "fashion-mnist-12k", "--output", "rows.npy", "--quiet"],
            &["rows.npy", "rows.csv"],
            true,
        ),
        replaces(
            "embed to safetensors",
            &["embed", "r", "fashion-mnist-12k", "--output", "f.safetensors", "--quiet"],
            &["f.safetensors", "f.csv"],
            true,
        ),
        replaces(
            "embed to parquet",
            &["embed", "r", "fashion-mnist-12k", "--output", "rows.parquet", "--thumbnails=28", "--quiet"],
            &["rows.parquet"],
            true,
        ),
        Work {
            name: "finetune",
            arguments: vec![
                "finetune",
                "r",
                "--labels-per-class=8",
                "--steps=20",
                "--batch=16",
                "--output",
                "few",
                "--quiet",
            ],
            files: &["finetune.json", "classifier.safetensors"],
            keeps: Keeps::Folder(
                "few",
                &[
                    ("few/classifier.safetensors", "after the second stage"),
                    ("few/finetune.json", "after the first stage"),
                    ("few/lock", "in the first stage"),
                ],
            ),
            listens: true,
        },
    ];
    for work in works {
        println!("{}", stopped(&work, here, name, count, 4));
    }
}

/// The verbs that read rows and states; what they write lies among what they read.
fn of_rows(name: &str, count: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::create_dir(here.join("shards")).unwrap();
    for shard in 0..2 {
        let mut rng = Key::new(shard).stream("rows").rng();
        let rows = Matrix::new((0..8000 * 256).map(|_| (normal(&mut rng) + 0.4) as f32).collect(), 256);
        embeddings::write_npy(&here.join(format!("shards/part-{shard}.npy")), &rows).unwrap();
        // All rows for the states; few for the page, which looks at pairs.
        for (state, sample) in
            [(format!("part-{shard}.state"), "20000"), (format!("few-{shard}.state"), "500")]
        {
            let rows = format!("shards/part-{shard}.npy");
            let arguments = ["geometry", &rows, "--partial", &state, "--sample", sample, "--quiet"];
            let output = finish(here, &arguments);
            assert!(output.status.success(), "{}", told(&output));
        }
    }
    let replaces = |name, arguments: &[&'static str], files| Work {
        name,
        arguments: with(arguments, &["--quiet"]),
        files,
        keeps: Keeps::Nothing { together: true },
        listens: true,
    };
    for work in [
        replaces(
            "geometry --partial",
            &["geometry", "shards", "--partial", "shards/all.state"],
            &["all.state"],
        ),
        replaces(
            "geometry merge --partial",
            &["geometry", "merge", "part-0.state", "part-1.state", "--partial", "whole.state"],
            &["whole.state"],
        ),
        replaces(
            "geometry merge --output",
            &["geometry", "merge", "few-0.state", "few-1.state", "--output", "page.html"],
            &["page.html"],
        ),
    ] {
        println!("{}", stopped(&work, here, name, count, 5));
    }
}

#[test]
fn a_killed_training_goes_on() {
    training("KILL", 5);
}

#[test]
fn a_terminated_training_goes_on() {
    training("TERM", 3);
}

#[test]
fn a_grid_that_is_killed_or_terminated_goes_on() {
    sweeping("KILL", 3);
    sweeping("TERM", 2);
}

#[test]
fn verbs_of_a_run_that_are_killed_leave_nothing_half() {
    of_a_run("KILL", 5);
}

#[test]
fn verbs_of_a_run_that_are_terminated_leave_nothing_half() {
    of_a_run("TERM", 3);
}

#[test]
fn verbs_of_rows_that_are_killed_or_terminated_leave_nothing_half() {
    of_rows("KILL", 5);
    of_rows("TERM", 3);
}

/// Kills and terminations of a verb in the long form.
fn counts() -> [(&'static str, usize); 2] {
    let kills = std::env::var("MOMENTS").map_or(200, |moments| moments.parse().unwrap());
    [("KILL", kills), ("TERM", kills / 4)]
}

#[test]
#[ignore = "many minutes"]
fn training_is_stopped_many_times() {
    counts().into_iter().for_each(|(name, count)| training(name, count));
}

#[test]
#[ignore = "many minutes"]
fn a_grid_is_stopped_many_times() {
    counts().into_iter().for_each(|(name, count)| sweeping(name, count));
}

#[test]
#[ignore = "many minutes"]
fn verbs_of_a_run_are_stopped_many_times() {
    counts().into_iter().for_each(|(name, count)| of_a_run(name, count));
}

#[test]
#[ignore = "many minutes"]
fn verbs_of_rows_are_stopped_many_times() {
    counts().into_iter().for_each(|(name, count)| of_rows(name, count));
}
