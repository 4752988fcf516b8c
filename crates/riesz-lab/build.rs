//! Hands the commit, the compiler and the versions of what decides a run's bits to `environment.json`.

use std::path::Path;
use std::process::Command;

#[path = "build/commit.rs"]
mod commit;

/// All that the program is built from, from this folder.
const SOURCES: [&str; 10] = [
    "src",
    "build.rs",
    "build",
    "Cargo.toml",
    "../riesz/src",
    "../riesz/Cargo.toml",
    "data",
    "recipes",
    "../../Cargo.toml",
    "../../Cargo.lock",
];

fn main() {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let folder = Path::new(&manifest);
    // A package has no more than its own folder.
    for source in SOURCES.into_iter().filter(|source| folder.join(source).exists()) {
        println!("cargo::rerun-if-changed={source}");
    }
    for path in commit::tells(folder) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    println!("cargo::rustc-env=RIESZ_COMMIT={}", commit::of(folder, &SOURCES));
    let lock = ["../../Cargo.lock", "Cargo.lock"].map(|lock| std::fs::read_to_string(folder.join(lock)));
    let lock = lock.into_iter().find_map(Result::ok).unwrap_or_default();
    for (package, variable) in [("burn-core", "BURN"), ("image", "IMAGE"), ("zune-jpeg", "ZUNE_JPEG")] {
        println!("cargo::rustc-env=RIESZ_{variable}={}", version(&lock, package));
    }
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    println!("cargo::rustc-env=RIESZ_COMPILER={}", first_line(Command::new(compiler).arg("--version")));
}

fn version(lock: &str, package: &str) -> String {
    let name = format!("name = \"{package}\"");
    lock.split("[[package]]")
        .find(|block| block.lines().any(|line| line == name))
        .and_then(|block| block.lines().find_map(|line| line.strip_prefix("version = ")))
        .map_or_else(|| "unknown".to_owned(), |version| version.trim_matches('"').to_owned())
}

fn first_line(command: &mut Command) -> String {
    command
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|text| text.lines().next().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}
