//! No result depends on the clock: a run that goes on a day earlier, ten years later, before 1970, or under a clock that jumps at
//! each look has the same bits, and every number of its timing is finite and not negative. Times of files decide nothing.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../processes/mod.rs"]
mod processes;
#[path = "../small_run/mod.rs"]
mod small_run;

use std::fs::{File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

use processes::{finish, told};
use small_run::{TRAIN, with_images};

/// Two epochs, with event files.
fn train() -> Vec<&'static str> {
    [&TRAIN[..], &["--epochs=2", "--tensorboard"]].concat()
}

const FILES: [&str; 3] = ["log.jsonl", "encoder.safetensors", "checkpoints/last.safetensors"];

fn bits(folder: &Path) -> [Vec<u8>; 3] {
    FILES.map(|name| std::fs::read(folder.join("r").join(name)).unwrap())
}

/// Another folder with the same images.
fn beside(whole: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(whole.join("images"), folder.path().join("images")).unwrap();
    folder
}

fn done(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = finish(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", told(&output));
    output.stdout
}

/// Gives all files below a folder this time.
fn touch(folder: &Path, time: SystemTime) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            touch(&path, time);
        }
        File::open(&path).unwrap().set_times(FileTimes::new().set_accessed(time).set_modified(time)).unwrap();
    }
}

/// An unfinished run: the folder of a finished one without what comes after its first epoch.
fn unfinished(whole: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("r/checkpoints")).unwrap();
    for name in ["recipe.toml", "environment.json", "log.jsonl", "timing.jsonl"] {
        std::fs::copy(whole.join("r").join(name), to.join("r").join(name)).unwrap();
    }
    let log = std::fs::read_to_string(to.join("r/log.jsonl")).unwrap();
    let (before, done) = log.trim_end().rsplit_once('\n').unwrap();
    assert!(done.contains("\"done\""));
    std::fs::write(to.join("r/log.jsonl"), format!("{before}\n")).unwrap();
    let previous = whole.join("r/checkpoints/previous.safetensors");
    std::fs::copy(previous, to.join("r/checkpoints/last.safetensors")).unwrap();
}

#[test]
fn times_of_files_decide_nothing() {
    let whole = with_images();
    done(whole.path(), &train());
    let want = bits(whole.path());
    done(whole.path(), &["embed", "r", "--output", "rows.parquet", "--quiet"]);
    let rows = std::fs::read(whole.path().join("rows.parquet")).unwrap();
    let page = std::fs::read(whole.path().join("r/report.html")).unwrap();
    let century = Duration::from_secs(100 * 365 * 86_400);
    for time in [SystemTime::UNIX_EPOCH - century, SystemTime::now() + century, SystemTime::UNIX_EPOCH] {
        let folder = beside(whole.path());
        let here = folder.path();
        unfinished(whole.path(), here);
        touch(&whole.path().join("images"), time);
        std::fs::write(here.join("r/.riesz-unfinished-of-a-dead-one"), "half").unwrap();
        touch(&here.join("r"), time);
        done(here, &train());
        assert!(bits(here) == want, "{time:?}");
        assert!(!here.join("r/.riesz-unfinished-of-a-dead-one").exists());
        // Of a finished run, whose page and numbers are older or newer than anything.
        touch(&here.join("r"), time);
        done(here, &["embed", "r", "--output", "rows.parquet", "--quiet"]);
        assert!(std::fs::read(here.join("rows.parquet")).unwrap() == rows, "{time:?}");
        done(here, &["eval", "r", "--quiet"]);
        std::fs::copy(whole.path().join("r/metrics.json"), here.join("r/metrics.json")).unwrap();
        touch(&here.join("r"), time);
        done(here, &["report", "r"]);
        assert!(std::fs::read(here.join("r/report.html")).unwrap() == page, "{time:?}");
        done(here, &["runs", "."]);
    }
}

/// The library before the C library needs a dynamic linker of GNU's.
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod shifted {
    use std::process::{Command, Output};

    use super::*;

    /// Compiles `shifted.rs` into a folder.
    fn library(folder: &Path) -> std::path::PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clock/shifted.rs");
        let library = folder.join("libshifted.so");
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let output = Command::new(rustc)
            .args(["--edition=2024", "--crate-type=cdylib", "-Copt-level=1", "-o"])
            .args([&library, &source])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", told(&output));
        library
    }

    /// Runs the program under a clock.
    fn under(clock: &str, library: &Path, folder: &Path, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_riesz"))
            .current_dir(folder)
            .args(arguments)
            .env("LD_PRELOAD", library)
            .env("SHIFTED_CLOCK", clock)
            .output()
            .unwrap()
    }

    /// All numbers of a JSON value.
    fn numbers(value: &serde_json::Value, found: &mut Vec<f64>) {
        match value {
            serde_json::Value::Number(number) => found.push(number.as_f64().unwrap()),
            serde_json::Value::Array(values) => values.iter().for_each(|value| numbers(value, found)),
            serde_json::Value::Object(values) => values.values().for_each(|value| numbers(value, found)),
            // What is not finite is null in JSON.
            serde_json::Value::Null => found.push(f64::NAN),
            _ => {}
        }
    }

    #[test]
    fn a_clock_that_jumps_changes_no_bit() {
        let whole = with_images();
        let library = library(whole.path());
        done(whole.path(), &train());
        let want = bits(whole.path());
        let environment = |folder: &Path| -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(folder.join("r/environment.json")).unwrap()).unwrap()
        };
        let started = environment(whole.path())["started_unix_seconds"].as_i64().unwrap();
        for (clock, shift) in [
            ("back", -86_400),
            ("ahead", 3_652 * 86_400),
            ("before 1970", -started),
            ("jumps", 0),
            ("still", 0),
        ] {
            let folder = beside(whole.path());
            let here = folder.path();
            unfinished(whole.path(), here);
            std::fs::create_dir(here.join("r/tensorboard")).unwrap();
            for entry in std::fs::read_dir(whole.path().join("r/tensorboard")).unwrap() {
                let entry = entry.unwrap();
                std::fs::copy(entry.path(), here.join("r/tensorboard").join(entry.file_name())).unwrap();
            }
            let output = under(clock, &library, here, &train());
            assert!(output.status.success(), "{clock}: {}", told(&output));
            assert!(!told(&output).contains("NaN") && !told(&output).contains("inf "), "{}", told(&output));
            assert!(bits(here) == want, "{clock}: other bits");

            // The program saw that clock.
            let continued = environment(here)["continued"][0]["started_unix_seconds"].as_i64().unwrap();
            if clock != "jumps" {
                assert!((continued - started - shift).abs() < 3_600, "{clock}: {continued}, {started}");
            }
            let timing = std::fs::read_to_string(here.join("r/timing.jsonl")).unwrap();
            assert_eq!(timing.lines().count(), 2, "{clock}: {timing}");
            for line in timing.lines() {
                let mut found = Vec::new();
                numbers(&serde_json::from_str(line).unwrap(), &mut found);
                assert!(found.iter().all(|x| x.is_finite() && (0.0..1e15).contains(x)), "{clock}: {line}");
            }
            let mut events: Vec<String> = std::fs::read_dir(here.join("r/tensorboard"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            events.sort();
            assert_eq!(events.len(), 2, "{clock}");
            assert!(whole.path().join("r/tensorboard").join(&events[0]).exists(), "{clock}: {events:?}");

            for arguments in [
                &["eval", "r"][..],
                &["report", "r"],
                &["runs", "."],
                &["embed", "r", "--output", "rows.npy"],
                &["geometry", "rows.npy", "--sample=200", "--json"],
                &["export", "r", "--output", "m.onnx"],
            ] {
                let output = under(clock, &library, here, arguments);
                assert!(output.status.success(), "{clock}, {arguments:?}: {}", told(&output));
                let words = [&output.stdout[..], &output.stderr].concat();
                let words = String::from_utf8_lossy(&words).into_owned();
                assert!(
                    !words.contains("NaN") && !words.contains("inf ") && !words.contains("panicked"),
                    "{words}"
                );
            }
        }
    }
}
