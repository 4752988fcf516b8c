//! One value a row as text, from an array of one dimension (integers, or text of a fixed width) or a list.

use std::io::Read;

use super::source::Failure;

/// Most bytes of such an array, which is read whole.
const MOST_BYTES: u128 = 1 << 30;

/// What the bytes of a value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Signed,
    Unsigned,
    /// Four bytes a character.
    Unicode,
    /// UTF-8.
    Bytes,
}

/// An array of values, or a list.
#[derive(Debug)]
pub(super) struct Values {
    held: Held,
    /// The text that stands for no value, if one does.
    pub(super) none: Option<&'static str>,
}

#[derive(Debug)]
enum Held {
    Array {
        kind: Kind,
        big_endian: bool,
        /// Bytes of a value.
        size: usize,
        count: usize,
        bytes: Vec<u8>,
    },
    List(Vec<String>),
}

/// An array of one dimension, or the names of those that its file has.
pub(super) enum Found {
    Values(Values),
    Names(Vec<String>),
}

impl Values {
    /// Reads `count` values of `size` bytes each, of which `found` bytes are there.
    pub(super) fn read(
        file: &mut impl Read,
        kind: Kind,
        big_endian: bool,
        [size, count]: [usize; 2],
        found: u64,
    ) -> Result<Self, Failure> {
        let wrong = |what: String| Err(Failure::Content(what));
        let length = size as u128 * count as u128;
        if length != u128::from(found) {
            return wrong(format!(
                "has {count} values of {size} bytes in {found} bytes; it is damaged or truncated"
            ));
        }
        if length > MOST_BYTES {
            return wrong("has more than 1 GiB of values".to_owned());
        }
        let mut bytes = Vec::new();
        file.take(found).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != found {
            return Err(Failure::Disk(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(Self { held: Held::Array { kind, big_endian, size, count, bytes }, none: None })
    }

    /// A list of texts.
    pub(super) fn of_texts(texts: Vec<String>) -> Self {
        Self { held: Held::List(texts), none: None }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        match &self.held {
            Held::Array { count, .. } => *count,
            Held::List(texts) => texts.len(),
        }
    }

    /// The value at a place as text; empty where it stands for none.
    pub(super) fn text(&self, place: usize) -> String {
        let text = match &self.held {
            Held::List(texts) => texts[place].clone(),
            Held::Array { kind, big_endian, size, bytes, .. } => {
                of_bytes(*kind, *big_endian, &bytes[place * size..(place + 1) * size])
            }
        };
        if self.none.is_some_and(|none| none == text) { String::new() } else { text }
    }
}

fn of_bytes(kind: Kind, big_endian: bool, bytes: &[u8]) -> String {
    match kind {
        Kind::Bytes => String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned(),
        Kind::Unicode => {
            let (characters, _) = bytes.as_chunks::<4>();
            let code = |four: &[u8; 4]| {
                if big_endian { u32::from_be_bytes(*four) } else { u32::from_le_bytes(*four) }
            };
            let letter = |four| char::from_u32(code(four)).unwrap_or(char::REPLACEMENT_CHARACTER);
            characters.iter().map(letter).collect::<String>().trim_end_matches('\0').to_owned()
        }
        Kind::Signed | Kind::Unsigned => {
            let mut bytes = bytes.to_vec();
            if big_endian {
                bytes.reverse();
            }
            let is_negative = kind == Kind::Signed && bytes.last().is_some_and(|byte| *byte > 127);
            bytes.resize(16, if is_negative { 0xff } else { 0 });
            let (whole, _) = bytes.as_chunks::<16>();
            whole.first().map_or_else(String::new, |whole| i128::from_le_bytes(*whole).to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_numpy_says_they_are() {
        let texts = |kind, big_endian, size: usize, bytes: &[u8]| {
            let count = bytes.len().checked_div(size).unwrap_or(0);
            let values =
                Values::read(&mut { bytes }, kind, big_endian, [size, count], bytes.len() as u64).unwrap();
            (0..values.len()).map(|i| values.text(i)).collect::<Vec<_>>()
        };
        assert_eq!(texts(Kind::Signed, false, 1, &[0xff, 3, 0x80]), ["-1", "3", "-128"]);
        assert_eq!(texts(Kind::Unsigned, false, 1, &[0xff, 3]), ["255", "3"]);
        assert_eq!(texts(Kind::Signed, true, 2, &[0xff, 0xfe, 1, 0]), ["-2", "256"]);
        assert_eq!(texts(Kind::Unsigned, false, 8, &[0xff; 8]), [u64::MAX.to_string()]);
        assert_eq!(texts(Kind::Bytes, false, 3, b"ab\0\xc3\xa9x"), ["ab", "éx"]);
        let unicode: Vec<u8> = "é\0äö".chars().flat_map(|c| (c as u32).to_be_bytes()).collect();
        assert_eq!(texts(Kind::Unicode, true, 8, &unicode), ["é", "äö"]);

        let mut values = Values::read(&mut &[0xff, 1][..], Kind::Signed, false, [1, 2], 2).unwrap();
        values.none = Some("-1");
        assert_eq!([values.text(0), values.text(1)], ["", "1"]);
        let refused = |size, count, found| {
            Values::read(&mut &[0_u8; 4][..], Kind::Signed, false, [size, count], found).is_err()
        };
        assert!(refused(2, 3, 4) && refused(usize::MAX, usize::MAX, 4) && refused(4, 2, 8));
    }
}
