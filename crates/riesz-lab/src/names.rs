//! Names of files, and words from files, for people.

use std::borrow::Cow;
use std::fmt::Write;

use crate::console::on_a_row;

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

/// What a file says, as a part of a sentence: without line ends, its first 200 characters.
pub(crate) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(200).is_some() {
        short.push('…');
    }
    short
}

/// Somebody else's words as plain text of a page in Markdown, on one line: nothing of them is markup, or ends the cell of a table.
pub(crate) fn in_markdown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in on_a_row(text).chars() {
        if "\\`*_~[]<>&|#$".contains(c) {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown
}

/// The same as a span of code, between more marks than it has in a row.
pub(crate) fn as_code(text: &str) -> String {
    let text = on_a_row(text);
    match text.split(|c| c != '`').map(str::len).max().unwrap_or(0) {
        0 => format!("`{text}`"),
        longest => {
            let marks = "`".repeat(longest + 1);
            format!("{marks} {text} {marks}")
        }
    }
}

/// `1 group`, `24 groups`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_several() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "epoch")), ["0 epochs", "1 epoch", "2 epochs"]);
    }

    #[test]
    fn words_are_no_markup() {
        assert_eq!(in_markdown("T-shirt/top (2.0)"), "T-shirt/top (2.0)");
        assert_eq!(in_markdown("<b>a|b</b>"), "\\<b\\>a\\|b\\</b\\>");
        assert_eq!(in_markdown("`x` *y* [z](u) &lt;"), "\\`x\\` \\*y\\* \\[z\\](u) \\&lt;");
        assert_eq!(in_markdown("two\nlines \\x"), "two\\\\x0alines \\\\x");
    }

    #[test]
    fn code_ends_where_its_words_do() {
        assert_eq!(["a_b.onnx", "a`b", "``"].map(as_code), ["`a_b.onnx`", "`` a`b ``", "``` `` ```"]);
    }

    #[test]
    fn what_is_quoted_is_short_and_one_line() {
        assert_eq!(quoted("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(quoted(&"é".repeat(200)), "é".repeat(200));
        assert_eq!(quoted(&"é".repeat(201)), format!("{}…", "é".repeat(200)));
    }
}
