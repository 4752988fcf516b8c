//! The wire format of Protocol Buffers, as much of it as writing an ONNX file takes: fields of whole numbers, floats, and bytes
//! of a known length (texts, messages, packed arrays).

/// A message under way.
#[derive(Default)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A field that is a whole number.
    pub(super) fn number(&mut self, field: u32, number: i64) -> &mut Self {
        self.tag(field, 0);
        // Negative numbers are ten bytes of two's complement.
        self.varint(number.cast_unsigned());
        self
    }

    /// A field that is a float.
    pub(super) fn float(&mut self, field: u32, number: f32) -> &mut Self {
        self.tag(field, 5);
        self.bytes.extend(number.to_le_bytes());
        self
    }

    /// A field of bytes: a text, a message, or raw numbers.
    pub(super) fn bytes(&mut self, field: u32, content: &[u8]) -> &mut Self {
        self.tag(field, 2);
        self.varint(content.len() as u64);
        self.bytes.extend(content);
        self
    }

    /// A field that is a text.
    pub(super) fn text(&mut self, field: u32, text: &str) -> &mut Self {
        self.bytes(field, text.as_bytes())
    }

    /// A field that is a message.
    pub(super) fn message(&mut self, field: u32, message: &Self) -> &mut Self {
        self.bytes(field, &message.bytes)
    }

    /// A field of several whole numbers, packed.
    pub(super) fn numbers(&mut self, field: u32, numbers: &[i64]) -> &mut Self {
        let mut packed = Self::default();
        numbers.iter().for_each(|number| packed.varint(number.cast_unsigned()));
        self.message(field, &packed)
    }

    /// The bytes of the whole message.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn tag(&mut self, field: u32, kind: u64) {
        self.varint(u64::from(field) << 3 | kind);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the format's own documentation.
    #[test]
    fn fields_are_written_as_the_documentation_shows() {
        let mut message = Message::default();
        message.number(1, 150).text(2, "testing");
        assert_eq!(message.into_bytes(), [&[0x08, 0x96, 0x01, 0x12, 0x07][..], b"testing"].concat());
        let mut message = Message::default();
        message.numbers(6, &[3, 270, 86942]).number(1, -1).float(2, 1.0);
        let expected = [
            &[0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05][..],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x15, 0, 0, 0x80, 0x3f],
        ];
        assert_eq!(message.into_bytes(), expected.concat());
    }
}
