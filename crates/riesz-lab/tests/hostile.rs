//! Nobody who uses the program meets a panic: closed streams, a full disk behind standard output, names that are not
//! UTF-8 or have more than one line, texts that come through a pipe, sizes that no machine has, limits of memory and threads.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod small_run;

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
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = riesz(here).args(loss()).stdout(full()).output().unwrap();
    refuses(&output, "standard output: no space left");
    for help in
        [&["--help"][..], &["help"], &["train", "--help"], &["sweep", "help", "report"], &["--version"]]
    {
        let output = riesz(here).args(help).stdout(full()).output().unwrap();
        refuses(&output, "standard output: no space left");
        let output = closed(riesz(here).args(help));
        assert_eq!((output.status.code(), told(&output)), (Some(0), String::new()), "{help:?}");
    }
}

#[test]
fn a_class_has_one_row_whatever_its_name() {
    let folder = small_run::with_images();
    let here = folder.path();
    for (before, after) in [("dark", "dark\nand red \u{1b}[31m"), ("light", "light\r\tgrey")] {
        std::fs::rename(here.join("images").join(before), here.join("images").join(after)).unwrap();
    }
    let (dark, light) = ("dark\\x0aand red \\x1b[31m", "light\\x0d\\x09grey");
    let said = |arguments: &[&str]| -> String {
        let output = riesz(here).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", told(&output));
        format!("{}{}", String::from_utf8_lossy(&output.stdout), told(&output))
    };
    let page = |name: &str| std::fs::read_to_string(here.join(name)).unwrap();
    let shows_both = |text: &str, what: &str| {
        let strange = text.chars().find(|&c| c.is_control() && c != '\n');
        let broken = text.find("\nand red").map(|at| &text[at.saturating_sub(200)..at + 20]);
        assert!(strange.is_none() && broken.is_none(), "{what}: {strange:?}, {broken:?}");
        assert!(text.contains(dark) && text.contains(light), "{what}: {text}");
    };
    let rare = ["--set", "evaluation.few-labels=70", "--epochs=1"];
    let trained = said(&[&small_run::TRAIN[..], &rare].concat());
    assert!(trained.contains(dark) || trained.contains(light), "{trained}");
    shows_both(&page("r/report.html"), "report");
    shows_both(&said(&["data", "show", "images"]), "data");
    shows_both(&said(&["finetune", "r", "--steps=1", "--quiet"]), "finetune");
    said(&["export", "r", "--classifier", "--output", "c.onnx"]);
    // In Markdown its name is no markup.
    let card = page("c.md");
    assert!(card.contains("| 0 | dark\\\\x0aand red \\\\x1b\\[31m |"), "{card}");
    said(&["embed", "r", "--output", "e.parquet", "--thumbnails", "--split=all", "--quiet"]);
    let of = |class: &str| ["images", class, "00.pgm"].iter().collect::<std::path::PathBuf>();
    let queries =
        [of("dark\nand red \u{1b}[31m"), of("light\r\tgrey")].map(|path| path.display().to_string());
    let search = ["search", "r", &queries[0], &queries[1], "--index", "e.parquet", "--top=3", "--quiet"];
    shows_both(&said(&search), "search");
    said(&[&search[..], &["--output", "s.html"]].concat());
    said(&["geometry", "e.parquet", "--name=embedding", "--labels=class", "--output=g.html", "--quiet"]);
    shows_both(&page("g.html"), "geometry");
    assert!(!said(&["eval", "r"]).contains("\nand red"));
}

#[test]
fn a_recipe_and_a_grid_may_come_through_a_pipe() {
    let folder = small_run::with_images();
    let here = folder.path();
    let recipe = riesz(here).args(["recipes", "folder-28"]).output().unwrap().stdout;
    std::fs::write(here.join("recipe.toml"), &recipe).unwrap();
    let grid = "name = \"piped\"\nseeds = [1]\n[base]\nrecipe = \"recipe.toml\"\n[base.data]\nsource = \"images\"\n\
                [[grid]]\n[[grid.axis]]\nbatch = [16]\n";
    let through_pipe = |text: &[u8], arguments: &[&str]| -> Output {
        let mut child = riesz(here)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that refuses reads nothing.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), text);
        child.wait_with_output().unwrap()
    };
    let train = [&small_run::TRAIN[..], &["--epochs=1", "--recipe=/dev/stdin"]].concat();
    let output = through_pipe(&recipe, &train);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let output = through_pipe(grid.as_bytes(), &["sweep", "/dev/stdin", "--list"]);
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && listed.contains("sweeps/piped/"), "{listed}{}", told(&output));
    // What has no name of its own is called stdin.
    let unnamed = grid.replace("name = \"piped\"\n", "");
    let output = through_pipe(unnamed.as_bytes(), &["sweep", "/dev/fd/0", "--list"]);
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && listed.contains("sweeps/stdin/"), "{listed}{}", told(&output));
    let rows = riesz::Matrix::new((0..60 * 4).map(|i| (i as f32).sin()).collect(), 4);
    riesz_lab::embeddings::write_npy(&here.join("rows.npy"), &rows).unwrap();
    let labels = "a\nb\nc\n".repeat(20);
    let output = through_pipe(labels.as_bytes(), &["geometry", "rows.npy", "--labels=/dev/stdin"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("60 rows of 3 classes"), "{}", told(&output));
    // A run reads its labels again.
    let labels = ["--set", "data.labels=/dev/stdin"];
    let output = through_pipe(b"name,label\n", &[&small_run::TRAIN[..], &labels].concat());
    refuses(&output, "data.labels is \"/dev/stdin\", no plain file; labels are read again whenever");
    // Without an end, without a text, without a sense.
    refuses(&riesz(here).args(["train", "--recipe=/dev/zero"]).output().unwrap(), "more than 16 MB of text");
    refuses(&riesz(here).args(["sweep", "/dev/zero"]).output().unwrap(), "more than 16 MB of text");
    refuses(&through_pipe(b"\xff", &train), "/dev/stdin: is not a text");
    refuses(&through_pipe(b"batch = ", &train), "/dev/stdin: ");
    refuses(&riesz(here).args(["sweep", "images"]).output().unwrap(), "images: is a folder");
}

#[test]
fn limits_of_memory_and_threads_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    // Room for the weights and not for a step; nothing is made to find that out.
    let script = "ulimit -v 600000; exec \"$0\" train --run r --set encoder.backbone=vit-base --threads 1";
    let limited = |script: &str| {
        Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_riesz")])
            .current_dir(here)
            .output()
            .unwrap()
    };
    refuses(&limited(script), "GB, and this process may have (ulimit -v) 0.6 GB");
    let script = script.replace("600000", "300000");
    refuses(&limited(&script), "an encoder of vit-base for 28 × 28 × 1");
    // Stacks that nobody has room for stand for a limit of processes.
    for line in [
        "train --run r",
        "sphere minimize --loss dhel --points 4 --dim 3 --starts 1",
        "data fetch cifar10 --to data",
        "runs .",
        "report r",
    ] {
        let output =
            riesz(here).args(line.split(' ')).env("RUST_MIN_STACK", "140737488355328").output().unwrap();
        refuses(&output, "the CPU threads cannot be started: ");
    }
    assert!(!here.join("r").exists() && !here.join("data").exists());
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
