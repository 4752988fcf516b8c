//! The one place where this program prints: a reader who has gone away is no error, and never a panic.
//!
//! `riesz loss … | head` ends well, and a run whose terminal or log pipe is closed goes on to its report. What else can
//! go wrong with standard output (a full disk) is kept, and told at the end by [`finish`].

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

/// The first error of standard output that is not a closed pipe.
static FAILED: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// Writes to standard output.
pub fn print(text: Arguments<'_>) {
    let mut stream = std::io::stdout().lock();
    note(stream.write_fmt(text));
}

/// Writes a line to standard error; who does not read it has lost nothing.
pub fn tell(text: Arguments<'_>) {
    // In one piece, so that lines of two processes do not mix.
    let _ = std::io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Hands everything to the system, and tells whether all that was printed arrived (or its reader wanted no more).
///
/// # Errors
/// If standard output could not be written, as on a full disk.
pub fn finish() -> std::io::Result<()> {
    note(std::io::stdout().lock().flush());
    let failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner).take();
    failed.map_or(Ok(()), Err)
}

fn note(written: std::io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// `print!`, by [`print`].
macro_rules! out {
    ($($text:tt)*) => { $crate::console::print(format_args!($($text)*)) };
}

/// `println!`, by [`print`].
macro_rules! outln {
    ($($text:tt)*) => { $crate::console::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// `eprintln!`, by [`tell`].
macro_rules! errln {
    ($($text:tt)*) => { $crate::console::tell(format_args!($($text)*)) };
}

pub(crate) use {errln, out, outln};
