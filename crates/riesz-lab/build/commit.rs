//! The commit that a program is built from, and the files that change whenever it is another.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The commit that `folder` is at, `abc-dirty` if what git knows or does not know of `sources` (paths from `folder`) is
/// not as committed; `unknown` if `folder` is not part of a repository.
pub(crate) fn of(folder: &Path, sources: &[&str]) -> String {
    let known = || {
        // A copy inside somebody else's repository has none of its commits.
        git(folder, &["ls-files", "--error-unmatch", "Cargo.toml"])?;
        let commit = git(folder, &["describe", "--always", "--abbrev=12"])?;
        let changes =
            git(folder, &[&["--no-optional-locks", "status", "--porcelain", "--"], sources].concat())?;
        Some(if changes.is_empty() { commit } else { format!("{commit}-dirty") })
    };
    known().unwrap_or_else(|| "unknown".to_owned())
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
