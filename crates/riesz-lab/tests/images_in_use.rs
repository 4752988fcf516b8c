//! Folders of images as users have them: changed while a run lives, with a stray file in them, with images that cannot be read, all
//! black; and runs that are not finished. Each is told or refused in a sentence that says what to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod small_run;

use std::fs;
use std::path::Path;
use std::process::Command;

use small_run::{TRAIN, with_images};

/// The exit code, and all that was said.
fn riesz(here: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_riesz")).current_dir(here).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

fn succeeds(here: &Path, arguments: &[&str]) -> String {
    let (code, said) = riesz(here, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    said
}

/// The last line, which has all of `expected`.
fn refuses(here: &Path, arguments: &[&str], expected: &[&str]) -> String {
    let (code, said) = riesz(here, arguments);
    assert_eq!(code, Some(2), "{arguments:?}: {said}");
    let sentence = said.lines().last().unwrap().to_owned();
    for word in expected {
        assert!(sentence.contains(word), "{arguments:?}: `{word}` is not in: {sentence}");
    }
    sentence
}

/// The command that trains the run `run`.
fn train<'a>(run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    TRAIN.iter().map(|&word| if word == "r" { run } else { word }).chain(more.iter().copied()).collect()
}

/// The same, saying what it does.
fn loud<'a>(command: &[&'a str]) -> Vec<&'a str> {
    command.iter().copied().filter(|word| *word != "--quiet").collect()
}

/// Makes of a finished run what it was before its last measurement: a run that was interrupted.
fn unfinish(run: &Path) {
    for name in ["encoder.safetensors", "metrics.json", "report.html"] {
        fs::remove_file(run.join(name)).unwrap();
    }
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let (kept, done) = log.trim_end().rsplit_once('\n').unwrap();
    assert!(done.contains("\"done\""));
    fs::write(run.join("log.jsonl"), format!("{kept}\n")).unwrap();
}

#[test]
fn a_run_takes_no_other_images_for_its_own() {
    let folder = with_images();
    let here = folder.path();
    let command = train("r", &["--epochs=1"]);
    succeeds(here, &command);
    let verbs: [&[&str]; 3] = [
        &["eval", "r", "--quiet"],
        &["embed", "r", "--output", "x.npy", "--quiet"],
        &["finetune", "r", "--steps=2", "--quiet"],
    ];
    let before = fs::read(here.join("r/metrics.json")).unwrap();

    // One less, then as many but another.
    let (image, other) = (here.join("images/dark/00.pgm"), here.join("images/dark/99.pgm"));
    let bytes = fs::read(&image).unwrap();
    fs::remove_file(&image).unwrap();
    let sentences = [
        "142 training and 50 held-out images then, 141 and 50 now",
        "142 training and 50 held-out images then, 142 and 50 of other names now",
    ];
    for sentence in sentences {
        for verb in verbs {
            refuses(here, verb, &["r: ", sentence, "give the images back", "`riesz embed r FOLDER`"]);
        }
        succeeds(here, &["embed", "r", "images", "--output", "x.npy", "--quiet"]);
        fs::write(&other, &bytes).unwrap();
    }
    assert_eq!(fs::read(here.join("r/metrics.json")).unwrap(), before, "nothing was made of other images");
    fs::rename(&other, &image).unwrap();
    verbs.iter().for_each(|verb| drop(succeeds(here, verb)));

    // The same images elsewhere are the run's, if it is told where; others are not.
    fs::rename(here.join("images"), here.join("elsewhere")).unwrap();
    verbs
        .iter()
        .for_each(|verb| drop(refuses(here, verb, &["images: no such", "`riesz runs moved r PLACE`"])));
    let recipe = fs::read(here.join("r/recipe.toml")).unwrap();
    refuses(here, &["runs", "moved", "r", "elsewhere/dark"], &["r: ", "nothing was changed"]);
    refuses(here, &["runs", "moved", "r", "nowhere"], &["nowhere"]);
    assert_eq!(fs::read(here.join("r/recipe.toml")).unwrap(), recipe);
    let elsewhere: Vec<&str> =
        command.iter().map(|&word| if word == "images" { "elsewhere" } else { word }).collect();
    refuses(here, &elsewhere, &["another recipe", "`riesz runs moved r ", "if its images lie there now"]);
    let said = succeeds(here, &["runs", "moved", "r", "elsewhere"]);
    assert!(said.contains("elsewhere (folder of images): the run's 192 images"), "{said}");
    // What was finetuned keeps where its images lay.
    verbs[..2].iter().for_each(|verb| drop(succeeds(here, verb)));
    succeeds(here, &["finetune", "r", "--steps=2", "--quiet", "--output", "f"]);
    fs::rename(here.join("elsewhere"), here.join("images")).unwrap();
    succeeds(here, &["runs", "moved", "r", "images"]);
    assert_eq!(fs::read(here.join("r/recipe.toml")).unwrap(), recipe);

    // Labels are no images: they may be mended, which is told; but a log has one kind of them.
    let names: Vec<String> = (0..96)
        .flat_map(|i| ["dark", "light"].map(|class| format!("{class}/{i:02}.pgm,{class}\n")))
        .collect();
    let table = |more: &str| {
        fs::write(here.join("images/labels.csv"), format!("name,label\n{}{more}", names[2..].concat()))
            .unwrap();
    };
    table("dark/00.pgm,light\nlight/00.pgm,dark\n");
    let labeled = train("l", &["--epochs=1", "--set", "data.labels=labels.csv"]);
    succeeds(here, &labeled);
    table("dark/00.pgm,dark\nlight/00.pgm,light\n");
    assert!(succeeds(here, &["eval", "l"]).contains("the labels are others than when the run was trained"));
    unfinish(&here.join("l"));
    refuses(here, &labeled, &["l: the labels of ", "the same command goes on"]);

    // What older programs left says nothing of it, and is read as before.
    let path = here.join("r/environment.json");
    let mut environment: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(environment.as_object_mut().unwrap().remove("data").is_some());
    fs::write(&path, environment.to_string()).unwrap();
    fs::remove_file(&image).unwrap();
    succeeds(here, &["eval", "r", "--quiet"]);
}

#[test]
fn an_unfinished_run_goes_on_with_its_images_alone_and_says_how() {
    let folder = with_images();
    let here = folder.path();
    let command = train("r", &["--epochs=2"]);
    succeeds(here, &command);
    succeeds(here, &["embed", "r", "--output", "rows.parquet", "--quiet"]);
    let log = fs::read(here.join("r/log.jsonl")).unwrap();
    unfinish(&here.join("r"));
    let recipe = Path::new("r").join("recipe.toml");
    let goes_on = format!("riesz train --recipe {} --run r", recipe.display());
    let verbs: [&[&str]; 9] = [
        &["embed", "r", "--output", "x.npy"],
        &["export", "r", "--output", "x.onnx"],
        &["search", "r", "images/dark/00.pgm", "images"],
        &["duplicates", "r", "--index", "rows.parquet"],
        &["finetune", "r"],
        &["eval", "r"],
        &["report", "r"],
        &["geometry", "r"],
        &["train", "images", "--from", "r", "--run", "other"],
    ];
    for verb in verbs {
        let sentence = refuses(here, verb, &["r: the run is not finished", &goes_on]);
        assert!(!sentence.contains("riesz eval"), "{sentence}");
    }
    // Rows of two runs are compared once they are of the same images.
    let made = "`riesz embed r IMAGES --output a.parquet`";
    refuses(
        here,
        &["compare", "r", "rows.parquet"],
        &["r: a run", made, "`riesz compare a.parquet rows.parquet`"],
    );
    let both = "a.parquet` and `riesz embed ./r IMAGES --output b.parquet`, and then `riesz compare a.parquet b.parquet`";
    refuses(here, &["compare", "r", "./r"], &[made, both]);
    // A run's folder alone is a list of one run, and is no recipe.
    assert!(succeeds(here, &["runs", "r"]).lines().any(|line| line.starts_with("r ")));
    refuses(here, &["train", "--recipe", "r"], &["r: a run's folder; its recipe is ", "recipe.toml"]);
    assert!(succeeds(here, &["runs", "diff", "r", "r"]).contains("circumstances: the same"));

    // Its circumstances are in its folder before it has finished.
    let path = here.join("r/environment.json");
    let environment = fs::read_to_string(&path).unwrap();
    fs::create_dir(here.join("s")).unwrap();
    fs::copy(here.join("r/recipe.toml"), here.join("s/recipe.toml")).unwrap();
    fs::write(here.join("s/environment.json"), environment.replace("\"device\": \"", "\"device\": \"other "))
        .unwrap();
    let diff = succeeds(here, &["runs", "diff", "r", "s"]);
    assert!(diff.contains("device") && diff.contains("other ") && !diff.contains("riesz  "), "{diff}");

    let image = here.join("images/light/50.pgm");
    let bytes = fs::read(&image).unwrap();
    fs::remove_file(&image).unwrap();
    refuses(
        here,
        &command,
        &["142 training and 50 held-out images then, 141 and 50 now", "the same command goes on"],
    );
    fs::write(&image, bytes).unwrap();
    // In the words of the sentence.
    let words: Vec<&str> = goes_on.split(' ').skip(1).chain(["--quiet"]).collect();
    succeeds(here, &words);
    assert!(fs::read(here.join("r/log.jsonl")).unwrap() == log, "the same bytes as in one piece");
}

#[test]
fn a_stray_image_is_told_where_it_costs_the_labels() {
    let folder = with_images();
    let here = folder.path();
    fs::copy(here.join("images/dark/00.pgm"), here.join("images/banner.pgm")).unwrap();
    let note = "note       class folders are not taken as labels: banner.pgm lies in none";
    assert!(succeeds(here, &["data", "show", "images"]).contains(note));
    let command = train("r", &["--epochs=1"]);
    let said = succeeds(here, &loud(&command));
    assert!(said.contains(note) && said.contains("no labels"), "{said}");
}

#[test]
fn images_that_cannot_be_read_are_told_and_listed() {
    let folder = with_images();
    let here = folder.path();
    let cut = |number: usize| {
        let path = here.join(format!("images/dark/{number:02}.pgm"));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len().min(40)]).unwrap();
    };
    (0..4).for_each(cut);
    let command = train("r", &["--epochs=1"]);
    let said = succeeds(here, &loud(&command));
    let told: Vec<&str> = said.lines().filter(|line| line.starts_with("left out dark/0")).collect();
    assert!(!told.is_empty() && told.len() <= 4, "{said}");
    let count = format!("{} images that cannot be read were left out", told.len());
    assert!(said.contains(&count), "{said}");

    (4..40).for_each(cut);
    let sentence = refuses(
        here,
        &train("b", &["--epochs=1"]),
        &[
            " images looked at so far cannot be read",
            "at most 7 of 142 are tolerated",
            "images --check` lists them all",
        ],
    );
    // The numbers are what was looked at, not what would be.
    let numbers: Vec<usize> = sentence.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(numbers[0] <= 40 && numbers[1] < 142, "{sentence}");
    let (code, said) = riesz(here, &["data", "show", "images", "--check"]);
    assert_eq!(
        (code, said.lines().filter(|line| line.starts_with("dark/")).count()),
        (Some(1), 40),
        "{said}"
    );
    assert!(said.contains("40 of 192 images cannot be read"), "{said}");
    let said = succeeds(here, &["data", "show", "images/light", "--check"]);
    assert_eq!(said, "all 96 images can be read\n");
}

#[test]
fn black_images_are_said_to_be_black() {
    let folder = with_images();
    let here = folder.path();
    for class in ["dark", "light"] {
        for number in 0..96 {
            let bytes = [&b"P5 12 12 255\n"[..], &[0; 144]].concat();
            fs::write(here.join(format!("images/{class}/{number:02}.pgm")), bytes).unwrap();
        }
    }
    let command = train("r", &["--epochs=1"]);
    let sentence =
        refuses(here, &command, &["step 0: all 16 images of the batch are black", "take black images away"]);
    assert!(!sentence.contains("checkpoint") && !sentence.contains("diverged"), "{sentence}");
}
