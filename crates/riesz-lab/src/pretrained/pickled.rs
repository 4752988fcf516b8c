//! Weights as torch saves them (`.pth`, `.pt`, `.bin`, `.ckpt`): a state dictionary, a checkpoint around one, or a whole module.

use std::io::{Cursor, Read};

use half::{bf16, f16};

use crate::number::Number;
use crate::pickle::{self, Array, Content};
use crate::tensors::{Floats, NamedTensor};
use crate::{Error, Result};

/// Whether a file is a zip or a pickle of protocol 2 to 5. A safetensors file may begin so with the length of its header, and has that
/// then.
pub(super) fn is_pickled(bytes: &[u8]) -> bool {
    let is_header = bytes.get(8) == Some(&b'{');
    bytes.starts_with(b"PK") || (matches!(bytes, [0x80, 2..=5, ..]) && !is_header)
}

/// All tensors of floating-point numbers, as f32, by the paths of the nest that they are in.
///
/// # Errors
/// If the file is damaged; the sentence says why, not where.
pub(super) fn floats(bytes: &[u8]) -> Result<Floats> {
    let input = |error: std::io::Error| Error::input(error.to_string());
    let contents = pickle::read(Cursor::new(bytes), bytes.len() as u64).map_err(input)?;
    let mut found = Floats { tensors: Vec::new(), others: Vec::new(), metadata: None };
    for thing in contents {
        match thing.content {
            Content::Array(array) => match numbers(&array, bytes) {
                Some(values) => {
                    let values = values.map_err(|error| input(error).at(&thing.path))?;
                    found.tensors.push(NamedTensor { name: thing.path, shape: array.shape, values });
                }
                None => found.others.push(thing.path),
            },
            Content::Unread(_) => found.others.push(thing.path),
            // Epochs, rates: settings beside the weights.
            Content::Texts(_) | Content::Numbers(_) => {}
        }
    }
    found.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    found.others.sort();
    Ok(found)
}

/// Its numbers as f32; `None` if they are integers.
fn numbers(array: &Array, file: &[u8]) -> Option<std::io::Result<Vec<f32>>> {
    let decode: fn(&[u8], bool) -> f32 = match array.number {
        Number::F16 => |bytes, big| f16::from_bits(u16::from_le_bytes(ordered(bytes, big))).to_f32(),
        Number::Bf16 => |bytes, big| bf16::from_bits(u16::from_le_bytes(ordered(bytes, big))).to_f32(),
        Number::F32 => |bytes, big| f32::from_le_bytes(ordered(bytes, big)),
        Number::F64 => |bytes, big| f64::from_le_bytes(ordered(bytes, big)) as f32,
        _ => return None,
    };
    let read = || {
        let mut bytes = Vec::new();
        array.open(Cursor::new(file))?.read_to_end(&mut bytes)?;
        if bytes.len() != array.count() * array.number.bytes() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes.chunks_exact(array.number.bytes()).map(|number| decode(number, array.big_endian)).collect())
    };
    Some(read())
}

/// The bytes of a number, the lowest first.
fn ordered<const N: usize>(bytes: &[u8], big_endian: bool) -> [u8; N] {
    let mut ordered = [0; N];
    ordered.copy_from_slice(bytes);
    if big_endian {
        ordered.reverse();
    }
    ordered
}
