//! Hands the commit, the compiler and the versions of what decides a run's bits to `environment.json`.

use std::process::Command;

fn main() {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let lock_path = format!("{manifest}/../../Cargo.lock");
    println!("cargo::rerun-if-changed={lock_path}");
    println!("cargo::rerun-if-changed={manifest}/../../.git/HEAD");
    let lock = std::fs::read_to_string(lock_path).unwrap_or_default();
    for (package, variable) in [("burn-core", "BURN"), ("image", "IMAGE"), ("zune-jpeg", "ZUNE_JPEG")] {
        println!("cargo::rustc-env=RIESZ_{variable}={}", version(&lock, package));
    }
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    println!("cargo::rustc-env=RIESZ_COMPILER={}", first_line(Command::new(compiler).arg("--version")));
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--abbrev=12"]).current_dir(manifest);
    println!("cargo::rustc-env=RIESZ_COMMIT={}", first_line(&mut git));
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
