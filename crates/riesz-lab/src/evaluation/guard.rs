//! The protocol guard: an encoder that is evaluated is frozen, and this proves it.

use crate::tensors::{NamedTensor, digest};
use crate::{Error, Result};

/// Remembers every parameter and every BatchNorm buffer by a SHA-256 digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guard {
    digest: String,
}

impl Guard {
    /// Remembers these.
    pub(super) fn new(tensors: &[NamedTensor]) -> Self {
        Self { digest: digest(tensors) }
    }

    /// Compares.
    ///
    /// # Errors
    /// If any bit differs.
    pub(super) fn check(&self, tensors: &[NamedTensor]) -> Result<()> {
        if self.digest == digest(tensors) {
            return Ok(());
        }
        Err(Error::check(
            "the encoder changed while it was evaluated: parameters or BatchNorm buffers differ from before",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_bit_is_seen() {
        let tensor = |value: f32| NamedTensor {
            name: "bn.running_mean".to_owned(),
            shape: vec![2],
            values: vec![0.5, value],
        };
        let guard = Guard::new(&[tensor(1.0)]);
        guard.check(&[tensor(1.0)]).unwrap();
        let error = guard.check(&[tensor(f32::from_bits(1.0_f32.to_bits() + 1))]).unwrap_err();
        assert_eq!(error.exit_code(), 1);
    }
}
