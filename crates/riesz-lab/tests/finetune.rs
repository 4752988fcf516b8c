//! `riesz finetune`: three stages on the same labels and held-out images; the same bits again; goes on after the stages that are
//! there; refuses what is of another task.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(unix)]
mod ctrl_c;

use std::path::Path;
use std::process::{Command, Output};

use riesz_lab::finetune::{Finetuned, Stage};

fn riesz(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_riesz")).args(arguments).output().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A run of the built-in images that learned next to nothing.
fn trained(folder: &Path) -> String {
    let run = folder.join("run").to_str().unwrap().to_owned();
    let keys = [
        "data.limit=256",
        "evaluation.pairs=20",
        "evaluation.references=64",
        "evaluation.epoch-references=64",
        "batch=64",
        "augment.size=12",
    ];
    let mut arguments = vec!["train", "--run", &run, "--epochs", "1", "--quiet"];
    arguments.extend(keys.iter().flat_map(|key| ["--set", key]));
    let output = riesz(&arguments);
    assert!(output.status.success(), "{}", told(&output));
    run
}

fn results(folder: &Path) -> (String, Finetuned) {
    let text = std::fs::read_to_string(folder.join("finetune.json")).unwrap();
    let found = serde_json::from_str(&text).unwrap();
    (text, found)
}

#[test]
fn three_stages_answer_the_same_images_and_are_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path());
    let at = |name: &str| folder.path().join(name);
    let go = |to: &str, more: &[&str]| {
        let to = at(to).to_str().unwrap().to_owned();
        let usual =
            ["finetune", &run, "--labels-per-class", "8", "--steps", "12", "--batch", "24", "--output", &to];
        riesz(&[&usual[..], more].concat())
    };
    let output = go("a", &[]);
    assert!(output.status.success(), "{}", told(&output));
    for part in
        ["80 labels of 10 classes", "2000 held-out images", "finetuned: ", "from nothing (", "Ankle boot"]
    {
        assert!(told(&output).contains(part), "{part}: {}", told(&output));
    }
    let (first, found) = results(&at("a"));
    assert_eq!(found.stages.iter().map(|found| found.stage).collect::<Vec<_>>(), Stage::ALL);
    assert_eq!((found.classes.len(), found.training_images, found.labels.len()), (10, 80, 2000));
    // Each held-out image is told by the name that `embed` gives it.
    let list = at("held-out.npy");
    assert!(riesz(&["embed", &run, "--output", list.to_str().unwrap(), "--quiet"]).status.success());
    let list = std::fs::read_to_string(list.with_extension("csv")).unwrap();
    let told_of = found.names.iter().zip(&found.labels).enumerate();
    let lines = told_of
        .map(|(index, (name, &label))| format!("{index},{name},{label},{}", found.classes[label as usize]));
    assert!(lines.eq(list.lines().skip(1)), "{}", found.names[0]);
    for stage in &found.stages {
        let right = stage.answers.iter().zip(&found.labels).filter(|(a, b)| a == b).count();
        assert_eq!(stage.accuracy, right as f64 / 2000.0);
        // Held-out classes are of equal size.
        let mean = stage.by_class.iter().map(|share| share.unwrap()).sum::<f64>() / 10.0;
        assert!((mean - stage.accuracy).abs() < 1e-9);
        // Twelve steps are too few for running statistics that begin with none.
        assert!(stage.stage == Stage::FromNothing || stage.accuracy > 0.15, "{}", stage.accuracy);
    }
    let difference = found.difference(Stage::Linear, Stage::FromNothing).unwrap();
    let shares = [Stage::Linear, Stage::FromNothing].map(|stage| found.stage(stage).unwrap().accuracy);
    assert!((difference.share - (shares[0] - shares[1])).abs() < 1e-9 && difference.margin.unwrap() > 0.0);

    // The same bits with another number of threads, and after an interruption between stages.
    assert!(go("b", &["--threads", "1", "--quiet"]).status.success());
    assert_eq!(results(&at("b")).0, first);
    let network = std::fs::read(at("a/classifier.safetensors")).unwrap();
    assert!(network == std::fs::read(at("b/classifier.safetensors")).unwrap());
    std::fs::create_dir(at("c")).unwrap();
    let cut = Finetuned { stages: found.stages[..1].to_vec(), ..found.clone() };
    std::fs::write(at("c/finetune.json"), serde_json::to_string(&cut).unwrap()).unwrap();
    assert!(go("c", &["--quiet"]).status.success());
    assert_eq!(results(&at("c")).0, first);
    // So does what was left before names were written.
    let nameless = Finetuned { names: Vec::new(), ..cut };
    std::fs::write(at("c/finetune.json"), serde_json::to_string(&nameless).unwrap()).unwrap();
    assert!(go("c", &["--quiet"]).status.success());
    assert_eq!(results(&at("c")).0, first);
    // A finished one is only told again, as JSON too.
    let json = go("a", &["--json", "--quiet"]);
    assert_eq!(String::from_utf8_lossy(&json.stdout).trim_end(), first);

    // What is frozen is the encoder's own; another seed draws other labels; other settings want another folder.
    assert!(go("d", &["--freeze-through", "backbone", "--quiet"]).status.success());
    let backbone = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors: Vec<(String, Vec<u8>)> = file
            .tensors()
            .into_iter()
            .filter(|(name, _)| name.starts_with("backbone."))
            .map(|(name, view)| (name, view.data().to_vec()))
            .collect();
        tensors.sort();
        tensors
    };
    let encoder = backbone(&Path::new(&run).join("encoder.safetensors"));
    assert!(
        backbone(&at("d/classifier.safetensors")) == encoder
            && backbone(&at("a/classifier.safetensors")) != encoder
    );
    let refused = go("a", &["--seed", "2"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(told(&refused).contains("results of other settings"), "{}", told(&refused));
    assert!(go("e", &["--seed", "2", "--quiet"]).status.success());
    assert_ne!(results(&at("e")).1.stages[0].answers, found.stages[0].answers);
}

#[test]
fn the_classifier_is_exported_with_its_classes_and_a_card() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let export = |more: &[&str]| riesz(&[&["export", run.as_str()], more].concat());
    let refused = |output: Output, expected: &str| {
        let message = told(&output);
        assert_eq!((output.status.code(), message.trim_end().lines().count()), (Some(2), 1), "{message}");
        assert!(message.contains(expected), "{message}");
    };
    refused(export(&["--classifier", "--output", &at("c.onnx")]), "`riesz finetune");
    let tuned = riesz(&["finetune", &run, "--labels-per-class=4", "--steps=2", "--batch=16", "--quiet"]);
    assert!(tuned.status.success(), "{}", told(&tuned));
    let made = export(&["--classifier", "--output", &at("c.onnx")]);
    assert!(made.status.success(), "{}", told(&made));
    let model = std::fs::read(at("c.onnx")).unwrap();
    let (_, found) = results(&Path::new(&run).join("finetune"));
    let classes = serde_json::to_string(&found.classes).unwrap();
    for part in ["logits", "head.weight", &classes] {
        assert!(model.windows(part.len()).any(|bytes| bytes == part.as_bytes()), "{part}");
    }
    let card = std::fs::read_to_string(at("c.md")).unwrap();
    let accuracy = format!("{:.1} %", 100.0 * found.stage(Stage::Finetuned).unwrap().accuracy);
    for part in [
        "float [batch, 10], one for each class",
        "Learned from 40 labels (at most 4 a class)",
        &format!("| finetuned (this file) | {accuracy} |"),
        "| 9 | Ankle boot | 200 |",
        "MIT, © 2017 Zalando SE",
    ] {
        assert!(card.contains(part), "{part}: {card}");
    }

    refused(export(&["--classifier", "--output", &at("c.safetensors")]), "must end in .onnx");
    refused(
        riesz(&["export", &format!("{run}/finetune"), "--output", &at("d.onnx")]),
        "`riesz export RUN --classifier=",
    );
    // Of another encoder, and one whose two files are of two trainings.
    let mut other = found.clone();
    other.settings.encoder = "0".repeat(64);
    let mut strange = found.clone();
    strange.classes.swap(0, 1);
    for (name, found, expected) in [
        ("other", &other, "was not finetuned from the encoder of"),
        ("strange", &strange, "do not belong together"),
    ] {
        let folder = at(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(
            format!("{run}/finetune/classifier.safetensors"),
            format!("{folder}/classifier.safetensors"),
        )
        .unwrap();
        std::fs::write(format!("{folder}/finetune.json"), serde_json::to_string(found).unwrap()).unwrap();
        refused(export(&[&format!("--classifier={folder}"), "--output", &at("d.onnx")]), expected);
    }
    assert!(!Path::new(&at("d.onnx")).exists());
}

#[test]
fn bad_use_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path());
    let to = folder.path().join("to").to_str().unwrap().to_owned();
    for (more, expected) in [
        (&["--labels", "none"][..], "at least 2 classes"),
        (&["--labels-per-class", "0"], "must be at least 1"),
        (&["--layer-decay", "0"], "--layer-decay is 0"),
        (&["--learning-rate=-1"], "--learning-rate is -1"),
        (&["--freeze-through", "layer9"], "no stage of the backbone is called `layer9`"),
        (&["nowhere/"], "nowhere"),
    ] {
        let output = riesz(&[&["finetune", run.as_str(), "--output", &to][..], more].concat());
        let message = told(&output);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {message}");
        assert!(message.contains(expected), "{message}");
    }
    let output = riesz(&["finetune", folder.path().to_str().unwrap()]);
    assert!(told(&output).contains("not a run folder"), "{}", told(&output));
}

#[cfg(unix)]
#[test]
fn an_interruption_keeps_the_stages_that_are_finished() {
    ctrl_c::heard();
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path());
    let to = folder.path().join("to");
    let child = Command::new(env!("CARGO_BIN_EXE_riesz"))
        .args([
            "finetune",
            &run,
            "--labels-per-class",
            "4",
            "--steps",
            "1000000",
            "--output",
            to.to_str().unwrap(),
        ])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let started = std::time::Instant::now();
    while !to.join("finetune.json").exists() {
        assert!(started.elapsed().as_secs() < 300, "no linear layer in five minutes");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // Into the steps of the next stage.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", told(&output));
    assert!(
        told(&output).contains("interrupted in the stage `finetuned`; finished stages are kept"),
        "{}",
        told(&output)
    );
    let (_, found) = results(&to);
    assert_eq!(found.stages.iter().map(|found| found.stage).collect::<Vec<_>>(), [Stage::Linear]);
    assert!(!to.join("classifier.safetensors").exists());
}
