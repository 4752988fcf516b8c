//! Files to read, as their names were given. A file of rows must be plain, as it is read more than once, or from its end; a text may
//! come through a pipe.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::{Error, Result};

/// Opens a plain file; `None` if something else has the name. It is looked at first: a pipe is opened only when somebody writes to it.
///
/// # Errors
/// If nothing has the name, or it cannot be opened.
pub(crate) fn open(path: &Path) -> io::Result<Option<File>> {
    path.metadata()?.is_file().then(|| File::open(path)).transpose()
}

/// What a text is called by its path: the file's name, and `stdin` for what comes through a pipe that has none of its own (`/dev/stdin`;
/// `/dev/fd/63`, as a shell's `<(…)` says it).
pub(crate) fn name(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let is_descriptor =
        name.parse::<u32>().is_ok() && path.parent().is_some_and(|folder| folder.ends_with("fd"));
    Some(if is_descriptor { "stdin" } else { name })
}

/// Whether there is something that a text can be read from: a plain file, a pipe.
pub(crate) fn is_there(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| !found.is_dir())
}

/// A text of at most `most` bytes, read once to its end.
///
/// # Errors
/// If it cannot be read, is longer, or is not UTF-8.
pub(crate) fn text(path: &Path, most: u64) -> Result<String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| Error::io(path, &error))?;
    if bytes.len() as u64 > most {
        return Err(Error::input(format!("has more than {} MB of text", most >> 20)).at(path.display()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::input(format!("is not a text: byte {at} is not UTF-8")).at(path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_without_a_name_is_called_stdin() {
        for (path, called) in [
            ("/dev/stdin", "stdin"),
            ("/dev/fd/63", "stdin"),
            ("/proc/self/fd/0", "stdin"),
            ("grids/63", "63"),
            ("fd/63.toml", "63.toml"),
            ("a/b.toml", "b.toml"),
        ] {
            assert_eq!(name(Path::new(path)), Some(called), "{path}");
        }
        assert_eq!(name(Path::new("/")), None);
    }
}
