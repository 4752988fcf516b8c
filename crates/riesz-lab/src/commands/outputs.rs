//! What a command must not write over: a file that it reads, a file of a run folder, somebody's file beside the one that was asked for.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::run::Run;
use crate::{Error, Result, atomic};

/// Files and folders of a run folder that the verbs of a run make.
const OF_A_RUN: [&str; 8] = [
    "recipe.toml",
    "environment.json",
    "log.jsonl",
    "timing.jsonl",
    "encoder.safetensors",
    "metrics.json",
    "report.html",
    "lock",
];

/// Holds a file that shall be written against those that are read; what is in a folder that is read may be written over unless it is
/// parquet, which is images or rows there. Its folder must be there and take files, and no folder or device may have its name, which
/// would else be known when the work is done.
///
/// # Errors
/// If it is one of them, or a run's own, or its folder is not there or refuses files, or as [`atomic::place`].
pub(super) fn check<'a>(output: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let refused = |why: &str| Err(Error::input(why).at(output.display()));
    let place = atomic::place(output)?;
    let folder = atomic::folder(&place);
    let name = place.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_checkpoint = folder.ends_with("checkpoints") && folder.parent().is_some_and(Run::is_at);
    if is_checkpoint || Run::is_at(folder) && OF_A_RUN.contains(&name) {
        return refused("is a file of the run there; choose another name");
    }
    // A file without a name: nothing is left of it, whatever happens.
    tempfile::tempfile_in(folder).map_err(|error| Error::io(folder, &error))?;
    // What is not there yet is nobody's.
    let Ok(place) = place.canonicalize() else { return Ok(()) };
    let is_rows = place.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
    for input in inputs {
        let Ok(input) = input.canonicalize() else { continue };
        if input == place || is_rows && input.is_dir() && place.starts_with(&input) {
            return refused("is read by this very command, which would write over it; choose another name");
        }
    }
    Ok(())
}

/// Holds a folder that shall be made, or is there, and the files that shall be written in it, as [`check`] does: the folder that it
/// lies in, or itself, must take files.
///
/// # Errors
/// If a file has its name or is on the way to it, the disk refuses files there, or as [`check`].
pub(super) fn check_folder<'a>(folder: &Path, files: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let there = folder.ancestors().find(|place| place.symlink_metadata().is_ok()).unwrap_or(Path::new("."));
    if !there.is_dir() {
        return Err(Error::io(there, &ErrorKind::NotADirectory.into()));
    }
    tempfile::tempfile_in(there).map_err(|error| Error::io(there, &error))?;
    match folder.is_dir() {
        true => files.into_iter().try_for_each(|file| check(file, [])),
        false => Ok(()),
    }
}

/// Holds a page against the ending that pages have, and as [`check`].
///
/// # Errors
/// If it is not called `.html`, or as [`check`].
pub(super) fn check_page<'a>(output: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let ending = output.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if !["html", "htm"].contains(&ending.to_lowercase().as_str()) {
        return Err(Error::input("is a page; its name must end in .html").at(output.display()));
    }
    check(output, inputs)
}

/// The file of the same name with `ending` that is written beside `output`: it must not be there, or be a text that `is_ours`.
///
/// # Errors
/// If somebody else's file has the name, or one that cannot be read, or as [`check`].
pub(super) fn beside<'a>(
    output: &Path,
    ending: &str,
    is_ours: impl Fn(&str) -> bool,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<PathBuf> {
    let beside = output.with_extension(ending);
    check(&beside, inputs)?;
    let is_ours = match std::fs::read(&beside) {
        Ok(bytes) => is_ours(&String::from_utf8_lossy(&bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(Error::io(&beside, &error)),
    };
    if !is_ours {
        return Err(Error::input(format!(
            "would be written beside {} and is another's; choose another name",
            output.display()
        ))
        .at(beside.display()));
    }
    Ok(beside)
}
