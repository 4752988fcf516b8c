//! Ways to damage a file.

/// Draws an integer below another.
pub(crate) type Draw<'a> = &'a mut dyn FnMut(u64) -> u64;

/// Numbers at which readers' sums and sizes break.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Words that texts do not expect.
const WORDS: [&str; 20] = [
    "-1",
    "0",
    "1e999",
    "-0.0",
    "NaN",
    "inf",
    "99999999999999999999999",
    "0.5",
    "true",
    "null",
    "\"\"",
    "[]",
    "{}",
    "[[[[[[[[",
    "\0",
    "\u{feff}",
    "../../etc/passwd",
    "é",
    "\n",
    ",",
];

/// One file with one to six damages; some take from another file.
pub(crate) fn damaged(bytes: &[u8], other: &[u8], draw: Draw<'_>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=draw(6) {
        damage(&mut bytes, other, draw);
    }
    bytes
}

/// One file with a number that a reader compared in the place of the other, as if it had been what was expected; `None` if neither is
/// in the file.
pub(crate) fn mended(bytes: &[u8], compared: &[[u64; 2]], draw: Draw<'_>) -> Option<Vec<u8>> {
    // What was compared last is more often what decided.
    let reach = if draw(2) == 0 { 4 } else { compared.len() as u64 };
    let mut pair = *compared.get(draw(reach.max(1)) as usize)?;
    if draw(2) == 0 {
        pair.reverse();
    }
    let most = pair[0].max(pair[1]);
    let fits = [(8, u64::MAX), (4, u64::from(u32::MAX)), (2, u64::from(u16::MAX))];
    let widths: Vec<usize> =
        fits.iter().filter(|(_, limit)| most <= *limit).map(|(width, _)| *width).collect();
    let width = widths[draw(widths.len() as u64) as usize];
    let is_big = draw(2) == 0;
    let [here, new] = pair.map(|number| {
        let mut raw = number.to_le_bytes()[..width].to_vec();
        if is_big {
            raw.reverse();
        }
        raw
    });
    let places: Vec<usize> =
        (0..(bytes.len() + 1).saturating_sub(width)).filter(|&at| bytes[at..at + width] == here).collect();
    let at = *places.get(draw(places.len().max(1) as u64) as usize)?;
    let mut bytes = bytes.to_vec();
    bytes[at..at + width].copy_from_slice(&new);
    Some(bytes)
}

fn damage(bytes: &mut Vec<u8>, other: &[u8], draw: Draw<'_>) {
    let length = bytes.len() as u64;
    if length == 0 {
        bytes.extend(&other[..other.len().min(64)]);
        return;
    }
    // Heads decide more than bodies.
    let reach = if draw(2) == 0 { length } else { length.min(64) };
    let at = draw(reach) as usize;
    match draw(12) {
        0 => bytes[at] ^= 1 << draw(8),
        1 => bytes[at] = draw(256) as u8,
        2 => overwrite(bytes, at, draw),
        3 => {
            let step = 1 + draw(4) as u8;
            bytes[at] =
                if draw(2) == 0 { bytes[at].wrapping_add(step) } else { bytes[at].wrapping_sub(step) };
        }
        4 => bytes.truncate(at),
        5 => {
            let end = (at + (1 + draw(64) as usize)).min(bytes.len());
            bytes.drain(at..end);
        }
        6 => {
            let end = (at + (1 + draw(64) as usize)).min(bytes.len());
            let copy = bytes[at..end].to_vec();
            let place = draw(length) as usize;
            bytes.splice(place..place, copy);
        }
        7 => {
            let from = draw(other.len().max(1) as u64) as usize;
            let end = (from + (1 + draw(256) as usize)).min(other.len());
            let taken = other.get(from..end).unwrap_or_default();
            let end = if draw(2) == 0 { at } else { (at + taken.len()).min(bytes.len()) };
            bytes.splice(at..end, taken.iter().copied());
        }
        8 => {
            let count = 1 + draw(1000) as usize;
            let byte = [0, 0xff, b'0', b' ', b'['][draw(5) as usize];
            bytes.splice(at..at, std::iter::repeat_n(byte, count));
        }
        9 => number(bytes, draw),
        10 => {
            let word = WORDS[draw(WORDS.len() as u64) as usize];
            bytes.splice(at..at, word.bytes());
        }
        _ => line(bytes, draw),
    }
}

/// A number of one to eight bytes, of either order, in the place of what is there.
fn overwrite(bytes: &mut [u8], at: usize, draw: Draw<'_>) {
    let near = bytes.len() as u64;
    let value = match draw(4) {
        0 => near.wrapping_add(draw(9)).wrapping_sub(4),
        1 => draw(1 << 16),
        _ => NUMBERS[draw(NUMBERS.len() as u64) as usize],
    };
    let width = 1 << draw(4);
    let mut raw = value.to_le_bytes()[..width].to_vec();
    if draw(2) == 0 {
        raw.reverse();
    }
    for (byte, new) in bytes[at..].iter_mut().zip(raw) {
        *byte = new;
    }
}

/// A word in the place of a number that is written in digits.
fn number(bytes: &mut Vec<u8>, draw: Draw<'_>) {
    let starts: Vec<usize> = (0..bytes.len())
        .filter(|&i| bytes[i].is_ascii_digit() && (i == 0 || !bytes[i - 1].is_ascii_digit()))
        .collect();
    if starts.is_empty() {
        return;
    }
    let start = starts[draw(starts.len() as u64) as usize];
    let end = start + bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let word = if draw(2) == 0 {
        NUMBERS[draw(NUMBERS.len() as u64) as usize].to_string()
    } else {
        WORDS[draw(WORDS.len() as u64) as usize].to_owned()
    };
    bytes.splice(start..end, word.bytes());
}

/// A line twice, or not at all.
fn line(bytes: &mut Vec<u8>, draw: Draw<'_>) {
    let ends: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i] == b'\n').collect();
    if ends.len() < 2 {
        return;
    }
    let which = draw(ends.len() as u64 - 1) as usize;
    let (start, end) = (ends[which] + 1, ends[which + 1] + 1);
    if draw(2) == 0 {
        bytes.drain(start..end);
    } else {
        let copy = bytes[start..end].to_vec();
        bytes.splice(end..end, copy);
    }
}
