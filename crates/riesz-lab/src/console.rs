//! The one place where this program prints: a reader who has gone away is no error, and never a panic.
//!
//! `riesz loss … | head` ends well, and a run whose terminal or log pipe is closed goes on to its report. What else can
//! go wrong with standard output (a full disk) is kept, and told at the end by [`finish`].

use std::borrow::Cow;
use std::fmt::{Arguments, Write as _};
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// The first error of standard output that is not a closed pipe.
static FAILED: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// Writes to standard output.
pub fn print(text: Arguments<'_>) {
    let mut stream = std::io::stdout().lock();
    note(match stream.is_terminal() {
        true => stream.write_all(visible(&text.to_string()).as_bytes()),
        false => stream.write_fmt(text),
    });
}

/// Writes a line to standard error; who does not read it has lost nothing.
pub fn tell(text: Arguments<'_>) {
    // In one piece, so that lines of two processes do not mix.
    let line = format!("{text}\n");
    let _ = std::io::stderr().lock().write_all(visible(&line).as_bytes());
}

/// With `\x1b` and the like in the place of control characters, but for tabs and ends of lines.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let commands = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match commands(c) {
            true => write!(shown, "\\x{:02x}", u32::from(c)).expect("writing to a string succeeds"),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// The same on one row of a table: ends of lines and tabs are shown too.
pub(crate) fn on_a_row(name: &str) -> Cow<'_, str> {
    match visible(name) {
        shown if shown.contains(['\n', '\t']) => {
            Cow::Owned(shown.replace('\n', "\\x0a").replace('\t', "\\x09"))
        }
        shown => shown,
    }
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

/// Keeps what went wrong when standard output was written, for [`finish`].
pub fn note(written: std::io::Result<()>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_shown() {
        assert_eq!(visible("a\u{1b}[31mred\rb\u{9b}2J\n\tend"), "a\\x1b[31mred\\x0db\\x9b2J\n\tend");
        assert!(matches!(visible("plain é\n"), Cow::Borrowed("plain é\n")));
        assert_eq!(on_a_row("a\u{1b}\r\n\tend"), "a\\x1b\\x0d\\x0a\\x09end");
        assert!(matches!(on_a_row("plain é"), Cow::Borrowed("plain é")));
    }
}
