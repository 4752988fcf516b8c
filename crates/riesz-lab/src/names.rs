//! Names of files for people.

use std::borrow::Cow;
use std::fmt::Write;

/// A name as text; bytes that are not Unicode as `\xff`, so that two names never become one.
pub(crate) fn readable(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(name) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(name);
    }
    let mut name = String::new();
    for chunk in bytes.utf8_chunks() {
        name.push_str(chunk.valid());
        for byte in chunk.invalid() {
            write!(name, "\\x{byte:02x}").expect("writing to a string succeeds");
        }
    }
    Cow::Owned(name)
}
