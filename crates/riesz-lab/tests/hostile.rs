//! Nobody who uses the program meets a panic: closed streams, a full disk behind standard output, names that are not
//! UTF-8, sizes that no machine has.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn riesz(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riesz"));
    command.current_dir(folder);
    command
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn refuses(output: &Output, expected: &str) {
    let err = told(output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains(expected) && !err.contains("panicked"), "`{expected}` is not in: {err}");
    assert_eq!(err.trim_end().lines().count(), 1, "{err}");
}

const SMALL: [&str; 14] = [
    "train",
    "--run",
    "r",
    "--epochs=1",
    "--batch=16",
    "--set",
    "data.limit=100",
    "--set",
    "evaluation.pairs=20",
    "--set",
    "evaluation.references=200",
    "--set",
    "evaluation.epoch-references=50",
    "--tensorboard",
];

fn loss() -> [String; 6] {
    let input = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/inputs.safetensors");
    ["loss", "dhel", "--input", input.to_str().unwrap(), "--name", "aligned_8x4"].map(str::to_owned)
}

#[test]
fn a_reader_who_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let closed = |command: &mut Command| -> Output {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        child.wait_with_output().unwrap()
    };
    for arguments in [&loss().map(OsString::from)[..], &["recipes".into()], &["data".into(), "list".into()]] {
        let output = closed(riesz(here).args(arguments));
        assert_eq!((output.status.code(), told(&output)), (Some(0), String::new()), "{arguments:?}");
    }
    // A run whose streams are both closed trains, reports and is done.
    let mut child = riesz(here).args(SMALL).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let log = std::fs::read_to_string(here.join("r/log.jsonl")).unwrap();
    assert!(log.lines().last().unwrap().contains("\"done\""));
    assert!(here.join("r/report.html").is_file());
    for verb in ["report", "eval"] {
        let output = closed(riesz(here).args([verb, "r"]));
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }
    // Not closed, but full: what was asked for did not arrive.
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = riesz(here).args(loss()).stdout(full).output().unwrap();
    refuses(&output, "standard output: no space left");
}

#[test]
fn names_need_not_be_utf8() {
    let folder = tempfile::tempdir().unwrap();
    // The folder that the program is in, the run folder, and a file to write.
    let here = folder.path().join(OsStr::from_bytes(b"h\xff"));
    std::fs::create_dir(&here).unwrap();
    let run = OsStr::from_bytes(b"r\xfe");
    let mut arguments: Vec<&OsStr> = SMALL.iter().map(OsStr::new).collect();
    arguments[2] = run;
    let output = riesz(&here).args(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let file = OsStr::from_bytes(b"e\xfd.npy");
    let output =
        riesz(&here).args([OsStr::new("embed"), run, OsStr::new("--output"), file]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(here.join(file).is_file());
    for verb in ["report", "eval"] {
        let output = riesz(&here).args([OsStr::new(verb), run]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }
    let output = riesz(&here).arg("runs").arg(".").output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("finished"));
    // Data by a relative path, below a folder that a recipe cannot name.
    for i in 0..40_u8 {
        let picture = image::RgbImage::from_fn(32, 32, |x, y| image::Rgb([(x * y) as u8, i, (x + y) as u8]));
        std::fs::create_dir_all(here.join("photos")).unwrap();
        picture.save(here.join(format!("photos/{i}.png"))).unwrap();
    }
    let mut on_photos = SMALL.to_vec();
    on_photos.splice(1..3, ["photos", "--run", "p"]);
    let output = riesz(&here).args(&on_photos).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    // What a recipe cannot say.
    let output = riesz(&here).arg("train").arg(OsStr::from_bytes(b"p\xff")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("UTF-8") && !told(&output).contains("panicked"), "{}", told(&output));
}

#[test]
fn sizes_that_no_machine_has_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    const HUGE: &str = "1000000000000000000";
    for (key, expected) in [
        ("encoder.projector.hidden", "encoder.projector.hidden = 1000000000000000000"),
        ("encoder.projector.output", "encoder.projector.output = 1000000000000000000"),
        ("batch", "batch = 1000000000000000000"),
        ("augment.size", "augment.size is 1000000000000000000; it must be from 4 to 4096"),
        ("augment.channels", "augment.channels is 1000000000000000000; it must be 1 or 3"),
        ("augment.blur.kernel", "augment.blur.kernel is 1000000000000000000"),
        ("epochs", "epochs is 1000000000000000000; at most 2147483647"),
        ("evaluation.few-draws", "evaluation.few-draws is 1000000000000000000; at most 10000"),
    ] {
        for backbone in ["resnet-small", "vit-tiny"] {
            let set = format!("{key}={HUGE}");
            let backbone = format!("encoder.backbone={backbone}");
            let arguments = ["train", "--run", "r", "--set", &set, "--set", &backbone];
            let output = riesz(here).args(arguments).output().unwrap();
            refuses(&output, expected);
        }
    }
    let both = ["train", "--run", "r", "--set", "augment.size=4096", "--batch=1000000000"];
    let output = riesz(here).args(both).output().unwrap();
    refuses(&output, "batch = 1000000000, augment.size = 4096");
    assert!(told(&output).contains("needs at least"));
    // 2 TB of outcomes and gradients, of which a chunk's are enough.
    let large = ["train", "--run", "r", "--backbone=resnet50", "--set", "augment.size=224", "--batch=8192"];
    let output = riesz(here).args(large).output().unwrap();
    refuses(&output, "batch = 8192, augment.size = 224");
    assert!(told(&output).contains("; with --accumulate ") && told(&output).contains(" it needs "));
    let output = riesz(here).args(["train", "--run", "r", "--epochs=100000000"]).output().unwrap();
    refuses(&output, "epochs is 100000000, at 39 updates each");
    let output = riesz(here).args(["train", "--run", "r", "--threads", HUGE]).output().unwrap();
    refuses(&output, "--threads is 1000000000000000000; at most 1024");
    assert!(!here.join("r").exists());

    // What says "at most" means all there are.
    let all = ["pairs", "references", "epoch-references", "neighbors", "few-labels"];
    let all: Vec<String> = all.iter().map(|key| format!("--set=evaluation.{key}={HUGE}")).collect();
    let few = ["train", "--run", "r", "--epochs=1", "--batch=16", "--set=data.limit=100"];
    let minutes = format!("--checkpoint-minutes={HUGE}");
    let output = riesz(here).args(few).args(all).arg(minutes).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));

    // An encoder whose metadata says it is larger than it is.
    let path = here.join("r/encoder.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().as_ref().unwrap()["riesz"].clone();
    for (what, absurd) in [
        ("\\\"hidden\\\":128", "\\\"hidden\\\":1000000000000000000"),
        ("\"size\":\"28\"", "\"size\":\"1000000000000000000\""),
        ("\"channels\":\"1\"", "\"channels\":\"1000000000000000000\""),
    ] {
        assert!(metadata.contains(what), "{metadata}");
        let metadata = std::iter::once(("riesz".to_owned(), metadata.replace(what, absurd))).collect();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        std::fs::write(&path, safetensors::serialize(file.tensors(), Some(metadata)).unwrap()).unwrap();
        let output = riesz(here).args(["embed", "r", "--output", "e.npy"]).output().unwrap();
        refuses(&output, "1000000000000000000");
    }
}
