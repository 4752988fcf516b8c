//! The commit that a run records is the one that the program was built from, and says when something was changed since.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

#[path = "../build/commit.rs"]
mod commit;

/// Runs git with nobody's settings; whether it succeeds.
fn git(folder: &Path, arguments: &[&str]) -> bool {
    Command::new("git")
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=a", "-c", "user.email=a@b"])
        .args(arguments)
        .output()
        .unwrap()
        .status
        .success()
}

/// What cargo looks at to find out whether a path that it watches has changed: the newest time in it.
fn newest(path: &Path) -> SystemTime {
    let own = fs::metadata(path).unwrap().modified().unwrap();
    if !path.is_dir() {
        return own;
    }
    fs::read_dir(path).unwrap().map(|entry| newest(&entry.unwrap().path())).fold(own, SystemTime::max)
}

fn state(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    commit::tells(folder).into_iter().map(|path| (path.clone(), newest(&path))).collect()
}

/// Does `step`, and checks that the commit is another, and that cargo would see it.
fn another(folder: &Path, step: &[&str]) {
    let before = (commit::of(folder, &["src"]), state(folder));
    assert!(!before.1.is_empty());
    // File systems tell times in ticks.
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(git(folder, step), "{step:?}");
    let after = (commit::of(folder, &["src"]), state(folder));
    assert_ne!(before.0, after.0, "{step:?}");
    assert!(
        after.1.iter().zip(&before.1).any(|(after, before)| after.0 == before.0 && after.1 > before.1),
        "{step:?} is not seen: {before:?} {after:?}"
    );
}

fn repository(folder: &Path, settings: &[&str]) {
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("Cargo.toml"), "x").unwrap();
    fs::write(folder.join("src/a.rs"), "a").unwrap();
    fs::write(folder.join("notes"), "a").unwrap();
    assert!(git(folder, &["init", "-q", "-b", "main"]), "git is needed here");
    if !settings.is_empty() {
        assert!(git(folder, settings));
    }
    assert!(git(folder, &["add", "."]) && git(folder, &["commit", "-q", "-m", "one"]));
}

const EMPTY: [&str; 5] = ["commit", "-q", "--allow-empty", "-m", "empty"];

#[test]
fn every_commit_on_every_branch_is_seen() {
    let root = tempfile::tempdir().unwrap();
    for (name, settings) in [("log", &[][..]), ("no-log", &["config", "core.logAllRefUpdates", "false"])] {
        let folder = root.path().join(name);
        repository(&folder, settings);
        another(&folder, &EMPTY);
        assert!(git(&folder, &["checkout", "-q", "-b", "topic/one"]));
        another(&folder, &EMPTY);
        another(&folder, &["checkout", "-q", "main"]);
        // The branch's file goes away into another, and comes back with the next commit.
        assert!(git(&folder, &["pack-refs", "--all"]));
        another(&folder, &EMPTY);
        another(&folder, &["reset", "-q", "--hard", "HEAD~1"]);
        let beside = root.path().join(format!("{name}-worktree"));
        assert!(git(&folder, &["worktree", "add", "-q", "-b", "two", beside.to_str().unwrap()]));
        another(&beside, &EMPTY);
        assert_ne!(commit::of(&folder, &["src"]), commit::of(&beside, &["src"]));
    }
}

#[test]
fn what_was_changed_is_dirty_and_what_is_not_built_from_is_not() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("repository");
    repository(&folder, &[]);
    let of = || commit::of(&folder, &["src", "Cargo.toml"]);
    let clean = of();
    assert!(clean.len() >= 7 && clean.chars().all(|digit| digit.is_ascii_hexdigit()), "{clean}");
    fs::write(folder.join("notes"), "b").unwrap();
    assert_eq!(of(), clean);
    fs::write(folder.join("src/a.rs"), "b").unwrap();
    assert_eq!(of(), format!("{clean}-dirty"));
    assert!(git(&folder, &["add", "src/a.rs"]));
    assert_eq!(of(), format!("{clean}-dirty"), "staged is not committed");
    fs::write(folder.join("src/a.rs"), "a").unwrap();
    assert!(git(&folder, &["add", "src/a.rs"]));
    assert_eq!(of(), clean, "changed back");
    fs::write(folder.join("src/new.rs"), "new").unwrap();
    assert_eq!(of(), format!("{clean}-dirty"), "a source that git does not know");

    let inside = folder.join("vendored");
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join("Cargo.toml"), "x").unwrap();
    assert_eq!(commit::of(&inside, &["."]), "unknown");
    assert_eq!(commit::of(root.path(), &["."]), "unknown");
}

#[test]
fn a_package_tells_what_cargo_noted() {
    let root = tempfile::tempdir().unwrap();
    let note = |text: &str| fs::write(root.path().join(".cargo_vcs_info.json"), text).unwrap();
    note(
        "{\n  \"git\": {\n    \"sha1\": \"4d0c102460e9aabbccddeeff00112233445566ff\"\n  },\n  \"path_in_vcs\": \"crates/a\"\n}",
    );
    assert_eq!(commit::of(root.path(), &["src"]), "4d0c102460e9");
    note("{\"git\": {\"sha1\": \"4d0c102460e9aabbccddeeff00112233445566ff\", \"dirty\": true}}");
    assert_eq!(commit::of(root.path(), &["src"]), "4d0c102460e9-dirty");
    note("{}");
    assert_eq!(commit::of(root.path(), &["src"]), "unknown");
}
