//! Training with labels: SupCon matches the images of one label, and those without one match their own views alone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

use riesz::engine::{Reference, value_and_grad_raw_grouped};
use riesz::loss::Loss;
use riesz_lab::device;
use riesz_lab::recipe::{self, Recipe};
use riesz_lab::train::Plan;
use riesz_lab::train::batches::{Decoded, Schedule, prepare};

/// Forty small pictures, and a table that has the labels of those in `labeled`.
fn photos(folder: &Path, labeled: impl Fn(u32) -> bool) {
    let photos = folder.join("photos");
    std::fs::create_dir_all(&photos).unwrap();
    let mut table = "name,label\n".to_owned();
    for i in 0..40_u32 {
        let wave = |x: u32, y: u32| image::Luma([(x * (2 + i % 3 * 5) + y * (1 + i % 7) + 3 * i) as u8]);
        image::GrayImage::from_fn(28, 28, wave).save(photos.join(format!("{i}.png"))).unwrap();
        if labeled(i) {
            writeln!(table, "{i}.png,{}", ["a", "b", "c"][i as usize % 3]).unwrap();
        }
    }
    std::fs::write(folder.join("labels.csv"), table).unwrap();
}

fn resolved(folder: &Path, more: &[&str]) -> Recipe {
    let (text, origin) = recipe::read("fashion-mnist-12k").unwrap();
    let source = format!("data.source={:?}", folder.join("photos").to_str().unwrap());
    let labels = format!("data.labels={:?}", folder.join("labels.csv").to_str().unwrap());
    let keys = ["batch=12", "epochs=1", "evaluation.pairs=4", "evaluation.few-labels=1", &source, &labels];
    let keys: Vec<String> = keys.iter().chain(more).map(|&key| key.to_owned()).collect();
    Recipe::resolve(&text, &keys, &origin).unwrap()
}

#[test]
fn the_loss_of_a_batch_is_that_of_its_labels() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path(), |i| i % 4 != 0);
    for views in [2, 3] {
        let recipe = resolved(folder.path(), &["loss={ name = \"sup-con\" }", &format!("views={views}")]);
        let plan = Plan::new(recipe.clone(), device::open("cpu").unwrap()).unwrap();
        let images = Decoded::new(&*plan.data.train, 1 << 20);
        let schedule = Schedule::of(&recipe, plan.data.train.len());
        let batch = std::thread::scope(|scope| {
            prepare(scope, &images, &plan.augment, schedule, 0, 1).unwrap().recv().unwrap()
        });
        let label = |item: usize| {
            let name = plan.data.train.name(item);
            let number: u32 = name.rsplit('/').next().unwrap().trim_end_matches(".png").parse().unwrap();
            if number.is_multiple_of(4) { 1000 + number } else { number % 3 }
        };
        let groups: Vec<u32> = batch.items.iter().map(|&item| label(item)).collect();
        let mut encoder = plan.encoder().unwrap();
        let z = encoder.forward(&batch.views);
        let loss = Loss::sup_con(0.1).unwrap();
        let of = |groups| value_and_grad_raw_grouped(&Reference, &loss, &z.to_f64(), views, groups).unwrap();
        let (want, without) = (of(Some(&groups[..])).value, of(None).value);
        assert!((want - without).abs() > 1e-3, "labels matter: {want} and {without}");
        let got = riesz_lab::encoder::Objective { loss: &plan.loss, views, groups: batch.groups.as_deref() }
            .on_processor(&z)
            .unwrap()
            .value;
        assert!((got - want).abs() < 1e-5 * want, "{views} views: {got} for {want}");
    }
}

#[test]
fn a_run_with_labels_says_so_and_one_without_any_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path(), |_| true);
    let train = |more: &[&str]| -> Output {
        Command::new(env!("CARGO_BIN_EXE_riesz"))
            .current_dir(folder.path())
            .args(["train", "photos", "--recipe", "fashion-mnist-12k", "--loss", "sup-con", "--batch", "12"])
            .args(["--epochs", "1", "--run", "run", "--set", "evaluation.few-labels=1"])
            .args(["--set", "evaluation.pairs=4"])
            .args(more)
            .output()
            .unwrap()
    };
    let output = train(&["--set", "data.labels=none"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), told.lines().count()), (Some(2), 1), "{told}");
    assert!(told.contains("no training image has a label; without labels it is nt-xent"), "{told}");
    assert!(!folder.path().join("run").exists());

    let output = train(&["--set", "data.labels=labels.csv"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("loss       sup-con, temperature 0.1, images of one label matched\n"), "{told}");
    let log = std::fs::read_to_string(folder.path().join("run/log.jsonl")).unwrap();
    let epoch = log.lines().find(|line| line.contains("\"epoch\"")).unwrap();
    let epoch: serde_json::Value = serde_json::from_str(epoch).unwrap();
    let metrics = std::fs::read_to_string(folder.path().join("run/metrics.json")).unwrap();
    assert!(metrics.contains("the encoder was trained with the labels of 20 images"), "{metrics}");
    let succeeds = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_riesz"))
            .current_dir(folder.path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    succeeds(&["export", "run", "--output", "encoder.onnx"]);
    let exported = std::fs::read_to_string(folder.path().join("encoder.md")).unwrap();
    assert!(
        exported
            .contains("with the labels of 20 images (so that the few labels below are not all that it saw)"),
        "{exported}"
    );
    let finetuned = succeeds(&["finetune", "run", "--steps", "1", "--batch", "4"]);
    assert!(finetuned.contains("the encoder was trained with the labels of its images"), "{finetuned}");
    // They are of pairs alone.
    assert!(epoch["gradient_cosine"].is_null() && epoch["pull_left"].is_null(), "{epoch}");
}

/// Told of a run that began with a run's folder, of one that began with that one's file, and of one that began with weights exported
/// from it.
#[test]
fn a_run_that_begins_with_weights_that_saw_labels_says_so() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path(), |_| true);
    let told = |arguments: &[&str]| -> String {
        let mut riesz = Command::new(env!("CARGO_BIN_EXE_riesz"));
        let output = riesz.current_dir(folder.path()).args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
        told
    };
    let train = |run: &str, more: &[&str]| {
        let small = ["--recipe", "fashion-mnist-12k", "--batch", "12", "--set", "data.labels=labels.csv"];
        let few = ["--set", "evaluation.few-labels=1", "--set", "evaluation.pairs=4", "--run", run];
        told(&[&["train", "photos"], &small[..], &few[..], more].concat())
    };
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let begun = "start      these weights were trained with labels\n";

    assert!(!train("alone", &["--epochs", "1"]).contains("labels were"));
    assert!(!train("from-alone", &["--epochs", "0", "--from", "alone"]).contains(begun));
    assert!(!read("from-alone/recipe.toml").contains("trained-with-labels"));

    train("labels", &["--epochs", "1", "--loss", "sup-con"]);
    assert!(train("second", &["--epochs", "1", "--from", "labels"]).contains(begun));
    let metrics: serde_json::Value = serde_json::from_str(&read("second/metrics.json")).unwrap();
    let of = |key: &str| metrics[key].as_bool();
    assert_eq!(["trained_with_labels", "start_trained_with_labels"].map(of), [Some(false), Some(true)]);
    assert!(read("second/report.html").contains("Its starting weights were trained with labels"));
    told(&["export", "second", "--output", "weights.safetensors"]);
    let card = read("weights.md");
    assert!(card.contains("Contrastive, without labels,"), "{card}");
    assert!(card.contains("safetensors`, which were trained with labels; their own data"), "{card}");
    let finetuned = told(&["finetune", "second", "--steps", "1", "--batch", "4"]);
    assert!(finetuned.contains("the encoder's starting weights were trained with labels"), "{finetuned}");

    for (run, from) in [("third", "second/encoder.safetensors"), ("fourth", "weights.safetensors")] {
        assert!(train(run, &["--epochs", "0", "--from", from]).contains(begun), "{run}");
    }
    // A recipe that names the weights itself.
    let named = format!("start={{ weights = {:?} }}", folder.path().join("third").to_str().unwrap());
    assert!(train("fifth", &["--epochs", "0", "--set", &named]).contains(begun));
}
