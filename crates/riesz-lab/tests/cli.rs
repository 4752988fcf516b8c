//! The program as its users meet it: the whole way on a few real images, and bad input, each with one sentence, exit
//! code 2, and nothing lost.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(unix)]
mod ctrl_c;

use std::path::Path;
use std::process::{Command, Output};

use riesz::Matrix;
use riesz_lab::embeddings::{self, Rows};

fn riesz(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_riesz")).current_dir(folder).args(arguments).output().unwrap()
}

/// Few images, one epoch, small evaluation.
const SMALL: [&str; 12] = [
    "--epochs",
    "1",
    "--batch",
    "16",
    "--set",
    "data.limit=200",
    "--set",
    "evaluation.pairs=20",
    "--set",
    "evaluation.references=200",
    "--set",
    "evaluation.epoch-references=50",
];

fn train(folder: &Path, more: &[&str]) -> Output {
    riesz(folder, &[&["train"], more, &SMALL[..]].concat())
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeeds(output: &Output) -> (String, String) {
    let (out, err) = (words(&output.stdout), words(&output.stderr));
    assert!(output.status.success(), "exit {:?}\n{out}\n{err}", output.status.code());
    (out, err)
}

/// Exit code 2 and a single line on the error stream that has all of `expected`.
fn refuses(output: &Output, expected: &[&str]) -> String {
    let err = words(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    let told: Vec<&str> = err.lines().filter(|line| line.starts_with("riesz: ")).collect();
    assert_eq!(told.len(), 1, "{err}");
    assert!(err.trim_end().ends_with(told[0]), "the sentence is the last word: {err}");
    for word in expected {
        assert!(told[0].contains(word), "`{word}` is not in: {}", told[0]);
    }
    assert!(!err.contains("panicked"), "{err}");
    told[0].to_owned()
}

fn golden() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/inputs.safetensors").display().to_string()
}

/// `count` PNGs of noise in `folder`, in two class folders.
fn photos(folder: &Path, count: usize) {
    for i in 0..count {
        let class = folder.join(if i % 2 == 0 { "cats" } else { "dogs" });
        std::fs::create_dir_all(&class).unwrap();
        let picture = image::RgbImage::from_fn(36, 40, |x, y| {
            let wave = ((x * (3 + i as u32 % 5) + y * (1 + i as u32 % 7)) % 256) as u8;
            image::Rgb([wave, wave.wrapping_mul(3), (i * 5 % 256) as u8])
        });
        picture.save(class.join(format!("{i:03}.png"))).unwrap();
    }
}

#[test]
fn a_run_leaves_what_the_format_says_and_every_verb_works_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (out, err) = succeeds(&train(here, &["--run", "r", "--tensorboard"]));
    assert!(out.contains("trained backbone") && err.contains("small stem"), "{out}\n{err}");
    assert!(err.contains("loss       dhel, reference convention, temperature 0.3"), "{err}");
    for file in [
        "recipe.toml",
        "environment.json",
        "log.jsonl",
        "timing.jsonl",
        "checkpoints/last.safetensors",
        "encoder.safetensors",
        "metrics.json",
        "report.html",
        "tensorboard",
    ] {
        assert!(here.join("r").join(file).exists(), "{file}");
    }
    // What is generated can be deleted and made again, to the same bytes.
    let report = std::fs::read(here.join("r/report.html")).unwrap();
    std::fs::remove_file(here.join("r/report.html")).unwrap();
    succeeds(&riesz(here, &["report", "r"]));
    assert!(std::fs::read(here.join("r/report.html")).unwrap() == report);
    std::fs::remove_file(here.join("r/metrics.json")).unwrap();
    refuses(&riesz(here, &["report", "r"]), &["metrics.json", "riesz eval"]);
    let (again, _) = succeeds(&riesz(here, &["eval", "r", "--quiet"]));
    assert_eq!(again, out);
    assert!(std::fs::read(here.join("r/report.html")).unwrap() == report);

    let (runs, _) = succeeds(&riesz(here, &["runs", ".", "--json"]));
    let runs: serde_json::Value = serde_json::from_str(&runs).unwrap();
    assert_eq!(
        (runs["schema_version"].as_u64(), runs["runs"][0]["finished"].as_bool()),
        (Some(1), Some(true))
    );

    succeeds(&riesz(here, &["embed", "r", "--output", "e.npy"]));
    refuses(
        &riesz(here, &["embed", "r", "--output", "e.safetensors"]),
        &["e.csv: tells of the rows in e.npy"],
    );
    succeeds(&riesz(here, &["embed", "r", "--output", "f.safetensors"]));
    refuses(
        &riesz(here, &["embed", "r", "--output", "f.npy"]),
        &["f.csv: tells of the rows in f.safetensors"],
    );
    succeeds(&riesz(here, &["embed", "r", "--output", "e.parquet"]));
    let Rows::F32(npy) = embeddings::read(&here.join("e.npy"), None).unwrap() else { panic!("f32 expected") };
    let other = embeddings::read(&here.join("f.safetensors"), Some("embeddings")).unwrap();
    assert_eq!((npy.len(), Rows::F32(npy)), (2000, other));
    let [list, same] = ["e.csv", "f.csv"].map(|name| std::fs::read_to_string(here.join(name)).unwrap());
    assert!(list == same && list.lines().count() == 2001 && list.starts_with("index,name,label,class\n"));
    let named =
        |line: &str| line.rsplit(',').next().is_some_and(|class| class.chars().any(char::is_alphabetic));
    assert!(list.lines().all(named), "{list}");
    assert_eq!(&std::fs::read(here.join("e.parquet")).unwrap()[..4], b"PAR1");

    // The finished run is not overwritten, nor continued.
    let log = std::fs::read(here.join("r/log.jsonl")).unwrap();
    refuses(&train(here, &["--run", "r", "--tensorboard"]), &["finished run", "--run"]);
    // The recipe's loss by its name is the recipe's loss; another one is counted by the same convention.
    refuses(&train(here, &["--run", "r", "--loss", "dhel"]), &["finished run of this very recipe"]);
    refuses(&train(here, &["--run", "r", "--loss", "kcl"]), &["another recipe", "dhel", "kcl"]);
    refuses(&train(here, &["--run", "r", "--seed", "5"]), &["another recipe", "seed"]);
    assert!(std::fs::read(here.join("r/log.jsonl")).unwrap() == log);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_how_to_go_on_and_the_same_command_does() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let arguments = [
        "train",
        "--run",
        "r",
        "--epochs",
        "40",
        "--batch",
        "16",
        "--set",
        "data.limit=64",
        "--set",
        "evaluation.pairs=20",
        "--set",
        "evaluation.references=60",
        "--set",
        "evaluation.epoch-references=0",
    ];
    ctrl_c::heard();
    let mut child = Command::new(env!("CARGO_BIN_EXE_riesz"))
        .current_dir(here)
        .args(arguments)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let log = here.join("r/log.jsonl");
    while !std::fs::read_to_string(&log).is_ok_and(|text| text.lines().count() >= 3) {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it could be interrupted");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(
        words(&output.stderr).contains("the same command goes on from there"),
        "{}",
        words(&output.stderr)
    );
    let so_far = std::fs::read_to_string(&log).unwrap();
    // As if it had been started by another program.
    let environment = || -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(here.join("r/environment.json")).unwrap()).unwrap()
    };
    let mut elsewhere = environment();
    let commit = std::mem::replace(&mut elsewhere["commit"], "0123abc".into());
    std::fs::write(here.join("r/environment.json"), elsewhere.to_string()).unwrap();
    let (_, err) = succeeds(&riesz(here, &arguments));
    assert!(err.contains("continuing in r after step "), "{err}");
    assert!(
        err.contains("goes on with commit ") && err.contains(", not 0123abc; its bits may differ"),
        "{err}"
    );
    let recorded = environment();
    assert_eq!((&recorded["commit"], &recorded["continued"][0]["commit"]), (&"0123abc".into(), &commit));
    let whole = std::fs::read_to_string(&log).unwrap();
    assert!(whole.starts_with(&so_far) && whole.lines().last().unwrap().contains("done"));
}

#[test]
fn a_folder_with_a_broken_image_trains_and_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    photos(&here.join("photos"), 200);
    // Truncated JPEGs among good images.
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(64, 64, image::Rgb([9, 99, 199]))
        .write_to(&mut jpeg, image::ImageFormat::Jpeg)
        .unwrap();
    let jpeg = jpeg.into_inner();
    for i in 0..4 {
        std::fs::write(here.join(format!("photos/cats/broken{i}.jpg")), &jpeg[..jpeg.len() / 2]).unwrap();
    }
    let (out, err) = succeeds(&train(here, &["photos", "--run", "r", "--set", "data.held-out=0.2"]));
    assert!(err.contains("2 classes") && out.contains("trained backbone"), "{err}\n{out}");
    let log = std::fs::read_to_string(here.join("r/log.jsonl")).unwrap();
    let shown = std::fs::read_to_string(here.join("r/report.html")).unwrap();
    assert!(log.matches("broken").count() >= 2, "{log}");
    for i in 0..4 {
        assert!(shown.contains(&format!("broken{i}.jpg")), "{i} is not in the report");
    }
}

#[test]
fn black_images_are_images() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    photos(&here.join("photos"), 160);
    for i in 0..40 {
        let black = image::RgbImage::new(36, 40);
        black.save(here.join(format!("photos/dogs/black{i}.png"))).unwrap();
    }
    let (out, _) = succeeds(&train(here, &["photos", "--run", "r", "--set", "evaluation.pairs=60"]));
    assert!(out.contains("untrained projector"), "{out}");
}

#[test]
fn bad_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    refuses(&train(here, &["no/such/folder"]), &["no/such/folder", "no such file or folder"]);
    refuses(&train(here, &["nosuchname"]), &["nosuchname", "fashion-mnist"]);
    std::fs::create_dir(here.join("empty")).unwrap();
    refuses(&train(here, &["empty"]), &["empty"]);
    std::fs::create_dir(here.join("texts")).unwrap();
    for i in 0..5 {
        std::fs::write(here.join(format!("texts/{i}.txt")), "words").unwrap();
    }
    refuses(&train(here, &["texts"]), &["texts"]);
    // Text under an image's name: every one is unreadable.
    std::fs::create_dir(here.join("lies")).unwrap();
    for i in 0..40 {
        std::fs::write(here.join(format!("lies/{i}.jpg")), "words").unwrap();
    }
    refuses(&train(here, &["lies"]), &["cannot be read", "5 %"]);
    photos(&here.join("few"), 6);
    std::fs::write(here.join("few/more.heic"), "not read").unwrap();
    refuses(&train(here, &["few"]), &["fewer than one batch", "left out: 1 .heic"]);
    assert!(!here.join("runs").exists(), "a refused run leaves no folder");
}

#[test]
fn bad_recipes_and_flags_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (arguments, expected) in [
        (&["--set", "loss.tau=0.1"][..], &["tau"][..]),
        (&["--set", "colour=1"], &["colour"]),
        (&["--temperature=-0.1"], &["temperature", "-0.1", "above 0"]),
        (&["--set", "batch=1"], &["batch is 1"]),
        (&["--loss", "infonce"], &["infonce", "info-nce"]),
        (&["--recipe", "nosuch"], &["nosuch", "cifar10"]),
        (&["--device", "vulkan"], &["built without", "--features vulkan"]),
        (&["--device", "tpu"], &["tpu", "cpu"]),
        (&["--threads", "0"], &["--threads"]),
        (&["--set", "optimizer.learning-rate=-1"], &["optimizer.learning-rate", "-1"]),
        (&["--set", "augment.crop.scale=[0.9, 0.1]"], &["augment.crop.scale"]),
        (&["--set", "encoder.backbone=resnet19"], &["resnet19", "resnet18"]),
    ] {
        let output = riesz(here, &[&["train", "--run", "r"], arguments].concat());
        refuses(&output, expected);
    }
    std::fs::write(here.join("own.toml"), "seed = 1\nepochs = 2\n").unwrap();
    refuses(&riesz(here, &["train", "--recipe", "own.toml"]), &["own.toml", "missing"]);
    // A folder that is not a run is left alone.
    std::fs::create_dir(here.join("mine")).unwrap();
    std::fs::write(here.join("mine/thesis.txt"), "words").unwrap();
    refuses(&riesz(here, &["train", "--run", "mine"]), &["mine", "is not a run"]);
    refuses(&riesz(here, &["eval", "mine"]), &["mine", "not a run folder"]);
    refuses(&riesz(here, &["train", "--run", "own.toml"]), &["own.toml: a file, and a run is a folder"]);
    assert!(!here.join("r").exists() && !here.join("runs").exists());
    assert_eq!(riesz(here, &["train", "--no-such-flag"]).status.code(), Some(2));
}

#[test]
fn a_diverging_run_stops_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let output = train(folder.path(), &["--run", "r", "--learning-rate", "1e30"]);
    refuses(&output, &["diverge"]);
}

/// A limit on the size of files stands for a full disk: writes fail in the middle.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_refuses_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    succeeds(&train(here, &["--run", "r", "--quiet"]));
    let before = std::fs::read(here.join("r/metrics.json")).unwrap();
    let limited = |command: &str| {
        let script = format!("trap '' XFSZ; ulimit -f 8; exec \"$0\" {command}");
        Command::new("sh")
            .current_dir(here)
            .args(["-c", &script, env!("CARGO_BIN_EXE_riesz")])
            .output()
            .unwrap()
    };
    refuses(&limited("eval r --quiet"), &["r/metrics.json"]);
    assert!(std::fs::read(here.join("r/metrics.json")).unwrap() == before);
    std::fs::write(here.join("e.npy"), "what was there").unwrap();
    refuses(&limited("embed r --output e.npy"), &["e.npy"]);
    assert_eq!(std::fs::read_to_string(here.join("e.npy")).unwrap(), "what was there");
    let left: Vec<std::path::PathBuf> =
        std::fs::read_dir(here.join("r")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(
        left.iter().all(|path| !path.file_name().unwrap().to_string_lossy().starts_with(".riesz-unfinished")),
        "{left:?}"
    );
    // A checkpoint that does not fit ends the run, and the run goes on when there is room.
    let small = SMALL.join(" ");
    refuses(&limited(&format!("train --run c --quiet {small}")), &["checkpoints/last.safetensors"]);
    succeeds(&train(here, &["--run", "c", "--quiet"]));
}

#[test]
fn the_loss_command_agrees_with_the_golden_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let input = golden();
    let value = |arguments: &[&str]| -> f64 {
        let common = ["--input", &input, "--name", "aligned_8x4", "--json"];
        let (out, _) = succeeds(&riesz(folder.path(), &[&["loss"], arguments, &common[..]].concat()));
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        let parts = value["attraction"].as_f64().unwrap() + value["repulsion"].as_f64().unwrap();
        assert!((parts - value["value"].as_f64().unwrap()).abs() < 1e-12);
        value["value"].as_f64().unwrap()
    };
    let text = std::fs::read_to_string(Path::new(&input).with_file_name("golden.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut checked = 0;
    for case in golden["cases"].as_array().unwrap().iter().filter(|case| case["input"] == "aligned_8x4") {
        let number = |key: &str| case["params"][key].as_f64().map(|x| x.to_string());
        let (tau, t, gamma, sigma) = (number("tau"), number("t"), number("gamma"), number("sigma"));
        let mut arguments = match case["loss"].as_str() {
            Some("dhel") if case["params"]["include_augs"] == true => {
                vec!["dhel", "--convention", "reference"]
            }
            Some("dhel") => vec!["dhel"],
            Some("ntxent") => vec!["ntxent"],
            Some("dcl") => vec!["dcl"],
            Some("infonce_symmetric") => vec!["info-nce-symmetric", "--engine", "reference"],
            Some("dclw") => vec!["dclw"],
            Some("kcl") => {
                let kernel = case["params"]["kernel"].as_str().unwrap();
                let parameter = match kernel {
                    "gaussian" | "log" => "--width",
                    "imq" => "--offset",
                    _ => "--exponent",
                };
                vec!["kcl", "--convention", "reference", "--kernel", kernel, parameter, t.as_deref().unwrap()]
            }
            _ => continue,
        };
        arguments.extend(tau.as_deref().map(|tau| ["--temperature", tau]).into_iter().flatten());
        arguments.extend(sigma.as_deref().map(|sigma| ["--sigma", sigma]).into_iter().flatten());
        arguments.extend(gamma.as_deref().map(|gamma| ["--gamma", gamma]).into_iter().flatten());
        let (found, want) = (value(&arguments), case["value"].as_f64().unwrap());
        assert!((found - want).abs() <= 1e-9 * want.abs().max(1e-3), "{arguments:?}: {found} for {want}");
        checked += 1;
    }
    assert!(checked > 60, "{checked}");

    // A name alone is the paper's formula, and the gradient is of the whole array, in its precision.
    let (out, _) = succeeds(&riesz(
        folder.path(),
        &[
            "loss",
            "dhel",
            "--temperature",
            "0.3",
            "--input",
            &input,
            "--name",
            "aligned_8x4",
            "--grad",
            "g.npy",
        ],
    ));
    assert!(out.starts_with("dhel, paper convention, temperature 0.3 of 8 pairs"), "{out}");
    let Rows::F64(grad) = embeddings::read(&folder.path().join("g.npy"), None).unwrap() else {
        panic!("f64 expected")
    };
    assert_eq!((grad.len(), grad.dim()), (16, 4));
}

#[test]
fn bad_arrays_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let write = |name: &str, data: Vec<f32>, dim: usize| {
        embeddings::write_npy(&here.join(name), &Matrix::new(data, dim)).unwrap();
    };
    write("u.npy", vec![0.5; 12], 3);
    write("v.npy", vec![0.5; 10], 2);
    write("odd.npy", vec![0.5; 15], 3);
    write("nan.npy", vec![1.0, 0.0, f32::NAN, 1.0, 0.5, 0.5, 0.1, 0.2], 2);
    write("zero.npy", vec![0.0; 8], 2);
    write("one.npy", vec![1.0, 0.0, 0.0, 1.0], 2);
    std::fs::write(here.join("cut.npy"), &std::fs::read(here.join("u.npy")).unwrap()[..100]).unwrap();
    let loss = |more: &[&str]| riesz(here, &[&["loss", "dhel"], more].concat());
    let sentence =
        refuses(&loss(&["--input", "u.npy", "--second", "v.npy"]), &["u.npy is 4 × 3", "v.npy is 5 × 2"]);
    assert!(sentence.contains("differ in shape"));
    refuses(&loss(&["--input", "odd.npy"]), &["odd.npy", "5 rows"]);
    refuses(&loss(&["--input", "nan.npy"]), &["nan.npy", "row 1, column 0"]);
    refuses(&loss(&["--input", "zero.npy"]), &["zero.npy"]);
    refuses(&loss(&["--input", "one.npy"]), &["one.npy"]);
    refuses(&loss(&["--input", "cut.npy"]), &["cut.npy"]);
    refuses(&loss(&["--input", "gone.npy"]), &["gone.npy", "no such file"]);
    refuses(&loss(&["--input", "u.npy", "--temperature=-1"]), &["temperature", "-1"]);
    refuses(&loss(&["--input", "u.npy", "--width", "2"]), &["width"]);
    refuses(&riesz(here, &["loss", "nosuch", "--input", "u.npy"]), &["nosuch", "dhel"]);
    let output = riesz(here, &["loss", "kcl", "--kernel", "riesz", "--exponent=-3", "--input", "u.npy"]);
    refuses(&output, &["riesz: loss kcl: exponent is -3"]);
    let output = riesz(here, &["loss", "kcl", "--kernel", "riesz", "--exponent", "1", "--input", "u.npy"]);
    refuses(&output, &["riesz: loss kcl: the attraction kernel grows without bound"]);
}

#[test]
fn images_of_which_some_have_labels_get_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    photos(&here.join("photos"), 240);
    // Every other image of each class has a row.
    let table: String = (0..240)
        .filter(|i| i % 4 < 2)
        .map(|i| {
            let class = if i % 2 == 0 { "cats" } else { "dogs" };
            format!("{class}/{i:03}.png,{class}\n")
        })
        .collect();
    std::fs::write(here.join("labels.csv"), format!("name,label\n{table}")).unwrap();
    let labels = format!("data.labels={}", here.join("labels.csv").display());
    let more = ["photos", "--run", "r", "--set", &labels, "--set", "data.held-out=0.25"];
    let (out, err) = succeeds(&train(here, &more));
    assert!(err.contains(" of 180 training images and "), "{err}");
    assert!(out.contains("probe %") && out.contains(" of 180 training images and "), "{out}");
    assert!(out.contains("linear probe, all labels") && err.contains("  kNN "), "{out}\n{err}");
    let metrics: serde_json::Value =
        serde_json::from_slice(&std::fs::read(here.join("r/metrics.json")).unwrap()).unwrap();
    let log = std::fs::read_to_string(here.join("r/log.jsonl")).unwrap();
    let queries = metrics["labels"]["test"].as_u64().unwrap();
    assert!(log.contains("\"knn_queries\":") && (15..=45).contains(&queries), "{log}");
    assert_eq!(metrics["settings"]["queries"].as_u64(), Some(queries));
    assert_eq!(metrics["settings"]["references"], metrics["labels"]["train"]);

    // Other images are none of the run's: all of them are embedded, and neither its labels nor its limit are asked.
    std::fs::remove_file(here.join("labels.csv")).unwrap();
    photos(&here.join("other"), 260);
    succeeds(&riesz(here, &["embed", "r", "other", "--output", "e.npy"]));
    let rows = embeddings::read(&here.join("e.npy"), None).unwrap();
    let names = std::fs::read_to_string(here.join("e.csv")).unwrap();
    assert_eq!((rows.len(), names.lines().count()), (260, 261));
    assert!(names.contains("\n0,cats/000.png,0,cats\n") && names.contains("dogs/259.png,1,dogs"), "{names}");
    // A single image is enough; a split that other images do not have is named.
    std::fs::create_dir(here.join("one")).unwrap();
    std::fs::copy(here.join("other/cats/000.png"), here.join("one/a.png")).unwrap();
    succeeds(&riesz(here, &["embed", "r", "one", "--output", "one.npy"]));
    assert_eq!(embeddings::read(&here.join("one.npy"), None).unwrap().len(), 1);
    refuses(
        &riesz(here, &["embed", "r", "one", "--split", "test", "--output", "two.npy"]),
        &["one", "no images of that split"],
    );
}

#[test]
fn the_bench_command_measures_what_it_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let bench =
        |more: &[&str]| riesz(folder.path(), &[&["bench", "loss"], more, &["--seconds", "0"]].concat());
    // Few sizes: a large product is timed at each.
    let sizes = ["--m", "32", "--d", "4,8", "--views", "3", "--threads", "2", "--quiet"];
    let named = ["dhel", "nt_xent", "--convention", "reference", "--json"];
    let (out, err) = succeeds(&bench(&[&named[..], &sizes[..]].concat()));
    assert_eq!(err, "");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((report["schema_version"].as_u64(), report["threads"].as_u64()), (Some(1), Some(2)));
    assert_eq!(report["precision"], "f32");
    let measured = report["measured"].as_array().unwrap();
    assert_eq!(measured.len(), 4);
    assert_eq!(measured[0]["loss"]["convention"], "reference");
    assert_eq!((&measured[3]["loss"]["name"], measured[3]["dim"].as_u64()), (&"nt-xent".into(), Some(8)));
    for one in measured {
        let (m, d) = (one["images"].as_f64().unwrap(), one["dim"].as_f64().unwrap());
        // Two operations for three products (the tiles are kept) of each unordered pair: within three views, or of all rows.
        let pairs = if one["loss"]["name"] == "dhel" { 1.5 * m * m } else { 4.5 * m * m };
        assert_eq!(one["operations"].as_f64(), Some(6.0 * pairs * d));
        let seconds = |key: &str| one["seconds"][key].as_f64().unwrap();
        assert!(seconds("fastest") <= seconds("median") && seconds("median") <= seconds("slowest"));
        assert!(one["share"].as_f64().unwrap() > 0.0 && one["product_gflops"].as_f64().unwrap() > 0.0);
        assert!(one["calls"] == 3 && (one["extra_bytes"].is_u64() || one["extra_bytes"].is_null()));
    }
    let (out, _) = succeeds(&bench(&["kcl", "--m", "32", "--precision", "f64"]));
    assert!(
        out.contains(", f64, 2 views")
            && out.contains("kcl, ")
            && out.contains("M: images of a batch")
            && out.contains(" % "),
        "{out}"
    );

    refuses(&bench(&["nosuch"]), &["riesz bench loss nosuch: ", "dhel"]);
    refuses(&bench(&["--m", "256,0"]), &["--m is 0", "at least 2"]);
    refuses(&bench(&["--m", "1"]), &["--m is 1", "at least 2"]);
    refuses(&bench(&["--d", "0"]), &["--d is 0", "at least 1"]);
    refuses(&bench(&["--m", "1000000000000"]), &["--m 1000000000000 --d 128", "needs at least"]);
    refuses(&bench(&["--m", "18446744073709551615", "--d", "18446744073709551615"]), &["needs at least"]);
    refuses(&bench(&["--views", "1"]), &["--views is 1", "at least 2"]);
    refuses(&bench(&["dclw", "--views", "3"]), &["--views is 3", "dclw is defined for 2"]);
    refuses(&bench(&["--threads", "0"]), &["--threads is 0"]);
    for seconds in ["-1", "inf", "nan"] {
        let output = riesz(folder.path(), &["bench", "loss", &format!("--seconds={seconds}")]);
        refuses(&output, &["--seconds is ", "0 or more"]);
    }
}
