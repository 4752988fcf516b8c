//! Tidiness is a test: what the documents say of the tree must be so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root().join("crates"), "rs", &mut found);
    assert!(found.len() > 20, "only {} source files were found", found.len());
    found
}

#[test]
fn sources_open_with_what_they_are_and_stay_short() {
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        let place = path.display();
        assert!(text.starts_with("//!"), "{place} does not open with //!");
        let lines = text.lines().count();
        assert!(lines <= 600, "{place} has {lines} lines; split it");
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            !["utils", "util", "common", "helpers", "misc"].contains(&stem),
            "{place}: name what it is about"
        );
        let unfinished = ["TO", "DO"].concat();
        assert!(!text.contains(&unfinished), "{place} has an unfinished note");
    }
}

#[test]
fn the_core_depends_only_on_what_cannot_touch_the_world() {
    let manifest = fs::read_to_string(root().join("crates/riesz/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let allowed = ["gemm", "pulp", "rand_chacha", "rand_core", "rayon", "thiserror"];
    for name in manifest["dependencies"].as_table().unwrap().keys() {
        assert!(allowed.contains(&name.as_str()), "riesz depends on {name}; say why in DESIGN.md and here");
    }
}

#[test]
fn every_path_that_the_documents_name_exists() {
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "DESIGN.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let mut named = 0;
        for word in text.split('`').skip(1).step_by(2) {
            let is_path = ["crates/", "docs/", "golden/", "records/", "recipes/", "bench/", "data/", ".ci/"]
                .iter()
                .any(|start| word.starts_with(start));
            if is_path && !word.contains(['*', ' ', '<']) && word != "recipes/NAME.toml" {
                named += 1;
                let here =
                    root().join(word).exists() || root().join("crates/riesz-lab/src").join(word).exists();
                assert!(here, "{document} names {word}, which does not exist");
            }
        }
        assert!(named > 0, "{document} names no path");
    }
}

#[test]
fn recipes_open_with_what_they_are_and_a_command() {
    let mut recipes = Vec::new();
    files(&root().join("recipes"), "toml", &mut recipes);
    for path in recipes {
        let text = fs::read_to_string(&path).unwrap();
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(head.iter().any(|line| line.contains("riesz train")), "{} names no command", path.display());
    }
}
