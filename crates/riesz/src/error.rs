//! One error type: a sentence that says what was found, where, and what was expected.

/// What the world outside can get wrong: numbers that are not finite, rows that are not unit, parameters out of
/// range, sizes too small. A caller's bug (shapes that do not match) panics instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    /// With this sentence: what was found, where, what was expected. For [engines](crate::engine::Engine) of one's own, that refuse what they
    /// cannot evaluate.
    ///
    /// ```
    /// let error = riesz::Error::new("3 views; this engine takes two");
    /// assert_eq!(error.to_string(), "3 views; this engine takes two");
    /// ```
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
