//! The commit that a program is built from, and the files that change whenever it is another.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The commit that `folder` is at, `abc-dirty` if what git knows or does not know of `sources` (paths from `folder`) is
/// not as committed; of a package what cargo noted in it; `unknown` if `folder` is neither.
pub(crate) fn of(folder: &Path, sources: &[&str]) -> String {
    let known = || {
        // A copy inside somebody else's repository has none of its commits.
        git(folder, &["ls-files", "--error-unmatch", "Cargo.toml"])?;
        let commit = git(folder, &["describe", "--always", "--abbrev=12"])?;
        let changes =
            git(folder, &[&["--no-optional-locks", "status", "--porcelain", "--"], sources].concat())?;
        Some(if changes.is_empty() { commit } else { format!("{commit}-dirty") })
    };
    known().or_else(|| packaged(folder)).unwrap_or_else(|| "unknown".to_owned())
}

/// The commit in `.cargo_vcs_info.json`, as long as git's.
fn packaged(folder: &Path) -> Option<String> {
    let note = std::fs::read_to_string(folder.join(".cargo_vcs_info.json")).ok()?;
    let (_, after) = note.split_once("\"sha1\"")?;
    let commit: String = after
        .chars()
        .skip_while(|c| !c.is_ascii_hexdigit())
        .take_while(char::is_ascii_hexdigit)
        .take(12)
        .collect();
    let changed = if note.contains("\"dirty\": true") { "-dirty" } else { "" };
    (commit.len() == 12).then(|| format!("{commit}{changed}"))
}

/// Files and folders of which one changes whenever the commit does: the log of HEAD, which every commit, checkout and
/// reset appends to, in a worktree of its own too; where none is kept, HEAD and every place where branches are.
pub(crate) fn tells(folder: &Path) -> Vec<PathBuf> {
    let path = |name: &str| Some(folder.join(git(folder, &["rev-parse", "--git-path", name])?));
    let existing = |names: &[&str]| -> Vec<PathBuf> {
        names.iter().filter_map(|name| path(name)).filter(|path| path.exists()).collect()
    };
    let log = existing(&["logs/HEAD"]);
    if log.is_empty() { existing(&["HEAD", "refs/heads", "packed-refs", "reftable"]) } else { log }
}

/// What git prints; `None` if it fails or is not there.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(folder).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
