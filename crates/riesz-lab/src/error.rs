//! One error type for the laboratory: a sentence, and what the program's exit code shall be.

use std::path::Path;

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
    /// Bad use or bad input: exit code 2.
    pub fn input(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Kind::Input }
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
        Self { message: format!("{place}: {}", self.message), kind: self.kind }
    }

    /// An operating-system error at a path, in words.
    pub fn io(path: impl AsRef<Path>, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let what = match error.kind() {
            ErrorKind::NotFound => "no such file or folder".to_owned(),
            ErrorKind::PermissionDenied => "permission denied".to_owned(),
            ErrorKind::StorageFull => {
                "no space left on the disk; what was written before is intact".to_owned()
            }
            ErrorKind::UnexpectedEof => "the file ends too early; it is truncated".to_owned(),
            _ => error.to_string(),
        };
        Self::input(format!("{}: {what}", path.as_ref().display()))
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

/// What the core refuses is bad input, and its sentence is whole.
impl From<riesz::Error> for Error {
    fn from(error: riesz::Error) -> Self {
        Self::input(error.to_string())
    }
}

/// A result of the laboratory.
pub type Result<T> = std::result::Result<T, Error>;
