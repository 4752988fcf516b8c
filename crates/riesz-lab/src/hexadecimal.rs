//! Digests as people write them.

/// The bytes in hexadecimal digits, two a byte.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn each_byte_has_two_digits() {
    assert_eq!(hexadecimal(&[0, 0x0a, 0xff]), "000aff");
}
