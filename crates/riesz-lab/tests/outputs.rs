//! No command writes over what it reads, over a run's own files, or over somebody's file beside the one that was asked for.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod processes;
mod small_run;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use riesz::Matrix;
use riesz::rng::{Key, normal};
use riesz_lab::embeddings::write_npy;

use processes::{finish, told};
use small_run::{TRAIN, with_images};

#[test]
fn what_is_read_and_what_is_others_is_not_written_over() {
    let folder = with_images();
    let here = folder.path();
    let made = |line: &str| {
        let output = finish(here, &line.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{line}: {}", told(&output));
    };
    let output = finish(here, &[&TRAIN[..], &["--epochs=1"]].concat());
    assert!(output.status.success(), "{}", told(&output));
    let mut rng = Key::new(1).rng();
    let rows = Matrix::new((0..50 * 8).map(|_| normal(&mut rng)).collect(), 8);
    std::fs::create_dir_all(here.join("shards")).unwrap();
    for name in ["rows.npy", "others.npy", "shards/a.npy", "shards/b.npy"] {
        write_npy(&here.join(name), &rows).unwrap();
    }
    std::fs::write(here.join("labels.txt"), "a\nb\n".repeat(25)).unwrap();
    std::fs::write(here.join("images.csv"), "path,label\nx,y\n").unwrap();
    std::fs::write(here.join("notes.md"), "# r of mine\n").unwrap();
    made("geometry rows.npy --partial p.state --quiet");
    made("embed r fashion-mnist-12k --output index.parquet --thumbnails --quiet");
    std::fs::copy(here.join("images/dark/00.pgm"), here.join("query.png")).unwrap();
    std::os::unix::fs::symlink("rows.npy", here.join("link.npy")).unwrap();

    let (read, page, run, other) =
        ("is read by this very command", "must end in .html", "is a file of the run", "is another's");
    for (line, file, why) in [
        ("geometry rows.npy --output rows.npy", "rows.npy", page),
        ("geometry rows.npy --partial rows.npy", "rows.npy", read),
        ("geometry rows.npy --partial link.npy", "rows.npy", read),
        ("geometry link.npy --partial ./rows.npy", "rows.npy", read),
        ("geometry shards --partial shards/b.npy", "shards/b.npy", read),
        ("geometry rows.npy --pairs others.npy --partial others.npy", "others.npy", read),
        ("geometry rows.npy --output r/report.html", "r/report.html", run),
        ("geometry rows.npy --partial r/encoder.safetensors", "r/encoder.safetensors", run),
        ("geometry merge p.state --partial p.state", "p.state", read),
        ("geometry merge p.state --output p.state", "p.state", page),
        ("loss dhel --input rows.npy --grad rows.npy", "rows.npy", read),
        ("loss dhel --input rows.npy --second others.npy --grad others.npy", "others.npy", read),
        ("embed r --output r/encoder.safetensors", "r/encoder.safetensors", run),
        ("export r --output r/encoder.safetensors", "r/encoder.safetensors", run),
        ("embed r --output r/checkpoints/last.safetensors", "r/checkpoints/last.safetensors", run),
        ("embed r images --labels images.csv --output images.npy", "images.csv", read),
        ("embed r images --output images.npy", "images.csv", other),
        ("embed r images --output images.safetensors", "images.csv", other),
        ("export r --output notes.onnx", "notes.md", other),
        ("search r query.png images --output query.png", "query.png", page),
        ("search r query.png --index index.parquet --output index.parquet", "index.parquet", page),
        ("duplicates r --index index.parquet --output r/report.html", "r/report.html", run),
    ] {
        let before = std::fs::read(here.join(file)).unwrap();
        let output = finish(here, &line.split(' ').collect::<Vec<_>>());
        let said = told(&output);
        assert_eq!((output.status.code(), said.trim_end().lines().count()), (Some(2), 1), "{line}: {said}");
        assert!(said.contains(why), "{line}: {said}");
        assert!(std::fs::read(here.join(file)).unwrap() == before, "{line}: {file} is another");
    }
    // A folder that is not there, or a file in its place, is told before the work.
    let refuses = |lines: &[(&str, &str)]| {
        for (line, why) in lines {
            let output = finish(here, &line.split(' ').collect::<Vec<_>>());
            let said = told(&output);
            let lines = said.trim_end().lines().count();
            assert_eq!((output.status.code(), lines), (Some(2), 1), "{line}: {said}");
            assert!(said.contains(why), "{line}: {said}");
        }
    };
    refuses(&[
        ("embed r images --output none/e.npy", "none: no such file or folder"),
        ("embed r images --output rows.npy/e.parquet", "rows.npy: "),
        ("export r --output none/e.onnx", "none: no such file or folder"),
        ("search r query.png images --output none/found.html", "none: no such file or folder"),
        ("duplicates r --index index.parquet --output none/d.html", "none: no such file or folder"),
        ("geometry rows.npy --partial none/p.state", "none: no such file or folder"),
        ("geometry rows.npy --output none/page.html", "none: no such file or folder"),
    ]);
    // So is what no file can take the place of, and a name that no file can have.
    let long = format!("{}.npy", "x".repeat(252));
    std::fs::create_dir(here.join("pipes")).unwrap();
    for name in
        ["pipe", "pipe.html", "pipe.npy", "pipes/e.csv", "pipes/in.npy", "pipes/in.csv", "pipes/in.parquet"]
    {
        assert!(Command::new("mkfifo").arg(here.join(name)).status().unwrap().success());
    }
    for folder in ["d.npy", "d.parquet", "d.onnx", "d.html", "d.svg", "d.md", "d.csv"] {
        std::fs::create_dir(here.join(folder)).unwrap();
    }
    std::os::unix::fs::symlink("r/encoder.safetensors", here.join("far.state")).unwrap();
    let (a_folder, no_file, no_folder) =
        ("is a folder", "not a plain file", "is a file; a folder is expected");
    for (line, why) in [
        ("embed r --output d.npy", a_folder),
        ("embed r --output d.parquet", a_folder),
        ("embed r --output pipe.npy", no_file),
        ("embed r --output pipes/e.npy", no_file),
        (&format!("embed r --output {long}"), "the name is too long"),
        ("export r --output d.onnx", a_folder),
        ("search r query.png images --output d.html", a_folder),
        ("search r query.png images --output pipe.html", no_file),
        ("duplicates r --index index.parquet --output d.html", a_folder),
        ("geometry rows.npy --output d.html", a_folder),
        ("geometry rows.npy --partial d.npy", a_folder),
        ("geometry rows.npy --partial pipe", no_file),
        ("geometry rows.npy --partial /dev/null", no_file),
        ("geometry rows.npy --partial far.state", "is a file of the run"),
        ("loss dhel --input rows.npy --grad d.npy", a_folder),
        ("loss dhel --input rows.npy --grad /dev/null", no_file),
        ("sphere minimize --loss dhel --points 4 --dim 3 --starts 1 --output d.npy", a_folder),
        ("sphere minimize --loss dhel --points 4 --dim 3 --starts 1 --output pipe", no_file),
        ("sphere plot --loss dhel --points 4 --dim 3 --starts 1 --html d.html", a_folder),
        ("sphere plot --loss dhel --points 4 --dim 3 --starts 1 --svg d.svg", a_folder),
        ("sphere theory --reduced --markdown d.md", a_folder),
        ("sphere theory --reduced --html rows.npy/t.html", no_folder),
        ("man --output rows.npy", no_folder),
        ("finetune r --steps 1 --output rows.npy", no_folder),
        ("runs rows.npy", no_folder),
        ("train images --run rows.npy/r --batch=16", no_folder),
        ("geometry pipes/in.npy", no_file),
        ("loss dhel --input pipes/in.npy", no_file),
        ("compare pipes/in.npy rows.npy", no_file),
        ("search r query.png --index pipes/in.parquet", no_file),
        ("duplicates pipes/in.npy", no_file),
    ] {
        let output = finish(here, &line.split(' ').collect::<Vec<_>>());
        let said = told(&output);
        let last = said.trim_end().lines().last().unwrap_or_default();
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{line}: {said}");
        assert!(last.contains(why) && !last.contains("os error"), "{line}: {said}");
    }
    // A folder in which one of the files cannot be written is told before any is.
    std::fs::create_dir_all(here.join("pages/riesz-train.1")).unwrap();
    std::fs::create_dir_all(here.join("tuned/classifier.safetensors")).unwrap();
    refuses(&[
        ("man --output pages", "pages/riesz-train.1: is a folder"),
        ("man --output rows.npy/pages", "rows.npy: is a file; a folder is expected"),
        ("finetune r --output tuned", "tuned/classifier.safetensors: is a folder"),
        ("finetune r --output rows.npy/tuned", "rows.npy: is a file; a folder is expected"),
        ("finetune r --output /proc/tuned", "/proc: "),
    ]);
    for folder in ["pages", "tuned"] {
        assert_eq!(std::fs::read_dir(here.join(folder)).unwrap().count(), 1, "{folder}");
    }
    // One's own files are made anew.
    for line in [
        "embed r --output e.npy",
        "export r --output e.onnx",
        "geometry shards --output shards/page.html --quiet",
        "geometry shards --partial shards/all.state --quiet",
    ] {
        made(line);
        made(line);
    }
    // With the mode that they had; new ones with what the umask leaves.
    let mode = |name: &str| here.join(name).metadata().unwrap().permissions().mode() & 0o777;
    std::fs::set_permissions(here.join("e.csv"), Permissions::from_mode(0o600)).unwrap();
    let script = "umask 027; exec \"$0\" embed r --output e.npy --quiet";
    std::fs::remove_file(here.join("e.npy")).unwrap();
    let mut shell = Command::new("sh");
    assert!(
        shell.args(["-c", script, env!("CARGO_BIN_EXE_riesz")]).current_dir(here).status().unwrap().success()
    );
    assert_eq!((mode("e.npy"), mode("e.csv")), (0o640, 0o600));
    // The card of one file is not that of another.
    let output = finish(here, &["export", "r", "--output", "e.safetensors"]);
    let is_refused =
        output.status.code() == Some(2) && told(&output).contains("e.md: ") && told(&output).contains(other);
    assert!(is_refused && !Path::new(&here.join("e.safetensors")).exists(), "{}", told(&output));
}
