//! One error type for the laboratory: a sentence, and what the program's exit code shall be.

use std::path::Path;
use std::process::ExitCode;

use crate::console::errln;

/// What went wrong, in one sentence that says what, where, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    message: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Input,
    Busy,
    Check,
    Interrupted,
}

impl Error {
    /// Bad use or bad input: exit code 2. Words from files may have many lines and no end: the sentence is on one line, and
    /// shortened in the middle beyond 1,500 characters.
    pub fn input(message: impl Into<String>) -> Self {
        Self { message: on_one_line(message.into()), kind: Kind::Input }
    }

    /// Another process is at it, and nothing is wrong: exit code 2.
    pub fn busy(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Kind::Busy }
    }

    /// Whether another process is at it.
    pub fn is_busy(&self) -> bool {
        self.kind == Kind::Busy
    }

    /// Whether the user asked the program to stop.
    pub fn is_interrupted(&self) -> bool {
        self.kind == Kind::Interrupted
    }

    /// A check or a comparison that was asked for did not hold: exit code 1.
    pub fn check(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Kind::Check }
    }

    /// The user pressed Ctrl-C, or SIGTERM came; what was done is saved: exit code 130 or 143, as shells expect.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Kind::Interrupted }
    }

    /// The same error, with the place in front: `place: message`.
    #[must_use]
    pub fn at(self, place: impl std::fmt::Display) -> Self {
        Self { message: on_one_line(format!("{place}: {}", self.message)), kind: self.kind }
    }

    /// An operating-system error at a path, in words.
    pub fn io(path: impl AsRef<Path>, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let path = path.as_ref();
        let what = match error.kind() {
            // Of a path through a file, the file is to blame.
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
                let file = path.ancestors().find(|place| place.exists() && !place.is_dir()).unwrap_or(path);
                return Self::input(format!("{}: is a file; a folder is expected", file.display()));
            }
            ErrorKind::IsADirectory => "is a folder; a file is expected".to_owned(),
            ErrorKind::InvalidFilename if cfg!(unix) => "the name is too long".to_owned(),
            ErrorKind::FileTooLarge => {
                "larger than a file may be here; what was written before is intact".to_owned()
            }
            ErrorKind::ReadOnlyFilesystem => "the disk can only be read".to_owned(),
            ErrorKind::NotFound => "no such file or folder".to_owned(),
            // What Windows answers to who opens a folder.
            ErrorKind::PermissionDenied if cfg!(windows) && path.is_dir() => "is a folder".to_owned(),
            ErrorKind::PermissionDenied => "permission denied".to_owned(),
            ErrorKind::StorageFull => {
                "no space left on the disk; what was written before is intact".to_owned()
            }
            ErrorKind::UnexpectedEof => "the file ends too early; it is truncated".to_owned(),
            _ => error.to_string(),
        };
        Self::input(format!("{}: {what}", path.display()))
    }

    /// The program's exit code for this error.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Input | Kind::Busy => 2,
            Kind::Check => 1,
            Kind::Interrupted => crate::interrupt::exit_code(),
        }
    }
}

/// How a program ends that does `work`: what went wrong is told in a sentence, and its exit code is the error's.
pub fn ended(work: impl FnOnce() -> Result<()>) -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            errln!("riesz: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn on_one_line(message: String) -> String {
    const HEAD: usize = 1000;
    const TAIL: usize = 500;
    if message.len() <= HEAD + TAIL && !message.contains(char::is_control) {
        return message;
    }
    let letters: Vec<char> = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if letters.len() <= HEAD + TAIL {
        return letters.into_iter().collect();
    }
    let end = &letters[letters.len() - TAIL..];
    letters[..HEAD].iter().chain(&[' ', '…', ' ']).chain(end).collect()
}

/// What the core refuses is bad input, and its sentence is whole.
impl From<riesz::Error> for Error {
    fn from(error: riesz::Error) -> Self {
        Self::input(error.to_string())
    }
}

/// A result of the laboratory.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_one_line_with_an_end() {
        assert_eq!(Error::input("a\nb\u{1b}[31m").to_string(), "a b [31m");
        assert_eq!(Error::input("é".repeat(1500)).to_string(), "é".repeat(1500));
        let long = Error::input(format!("{}; expected a number", "x".repeat(9000))).at("a.toml").to_string();
        assert!(
            long.len() < 1600 && long.starts_with("a.toml: xx") && long.ends_with("xx; expected a number")
        );
        assert!(long.contains("x … x"), "{long}");
    }
}
