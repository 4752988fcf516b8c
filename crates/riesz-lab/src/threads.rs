//! Threads beside those of the pool. That the system starts no more of them is an error, and no panic.

use std::io;
use std::thread::{Builder, Scope};

use crate::{Error, Result};

/// Starts a thread that does `work` until the scope ends at the latest.
///
/// # Errors
/// If the system starts no more threads.
pub(crate) fn scoped<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() + Send + 'scope,
) -> Result<()> {
    Builder::new().spawn_scoped(scope, work).map(drop).map_err(|error| refused(&error))
}

/// Starts a thread that nobody waits for.
///
/// # Errors
/// If the system starts no more threads.
pub(crate) fn free(work: impl FnOnce() + Send + 'static) -> Result<()> {
    Builder::new().spawn(work).map(drop).map_err(|error| refused(&error))
}

fn refused(error: &io::Error) -> Error {
    Error::input(format!("a thread cannot be started: {error}; a limit of processes or of memory is reached"))
}
