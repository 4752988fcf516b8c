//! One error type: a sentence that says what was found, where, and what was expected.

/// What the world outside can get wrong: numbers that are not finite, rows that are not unit, parameters out of
/// range, sizes too small. A caller's bug (shapes that do not match) panics instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
