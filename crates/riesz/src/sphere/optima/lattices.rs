//! The shortest vectors of the lattice E8 and of the Leech lattice, and the 276 equiangular lines in the latter.

use super::made::{section_along, two_of, unit};
use crate::Matrix;

/// The 240 roots: ±e_k ± e_l, and (±½, …, ±½) with an even number of minus signs.
pub(super) fn e8() -> Matrix<f64> {
    let mut rows = two_of(8);
    for signs in (0..256_u32).filter(|signs| signs.count_ones().is_multiple_of(2)) {
        rows.extend((0..8).map(|k| if signs >> k & 1 == 1 { -0.5 } else { 0.5 }));
    }
    unit(rows, 8)
}

/// The 196,560 vectors of length √32 in the usual coordinates (Conway and Sloane, *Sphere Packings, Lattices and Groups*,
/// chapter 4): (±2⁸, 0¹⁶) on the octads of the Golay code with an even number of minus signs, (∓3, ±1²³) with the upper
/// signs on a word of the code, (±4², 0²²).
pub(super) fn leech() -> Matrix<f64> {
    let words = golay();
    let mut rows = Vec::with_capacity(196_560 * 24);
    for word in words.iter().filter(|word| word.count_ones() == 8) {
        let places: Vec<usize> = (0..24).filter(|k| word >> k & 1 == 1).collect();
        for signs in (0..256_u32).filter(|signs| signs.count_ones().is_multiple_of(2)) {
            let mut row = [0.0; 24];
            for (bit, &place) in places.iter().enumerate() {
                row[place] = if signs >> bit & 1 == 1 { -2.0 } else { 2.0 };
            }
            rows.extend(row);
        }
    }
    for word in &words {
        for three in 0..24 {
            rows.extend((0..24).map(|k| {
                let one = if k == three { -3.0 } else { 1.0 };
                if word >> k & 1 == 1 { -one } else { one }
            }));
        }
    }
    rows.extend(two_of(24).iter().map(|x| 4.0 * x));
    unit(rows, 24)
}

/// The shortest vectors at the same angle from a vector of the next length, (5, 1²³), without their part along it.
pub(super) fn equiangular() -> Matrix<f64> {
    let axis: Vec<f64> = (0..24).map(|k| if k == 0 { 5.0 } else { 1.0 } / 48.0_f64.sqrt()).collect();
    section_along(&leech(), &axis, 24.0 / (32.0_f64 * 48.0).sqrt())
}

/// The 4096 words of the extended Golay code: multiples of x¹¹ + x¹⁰ + x⁶ + x⁵ + x⁴ + x² + 1 modulo x²³ − 1, and parity.
fn golay() -> Vec<u32> {
    const GENERATOR: u32 = 0b1100_0111_0101;
    (0..1_u32 << 12)
        .map(|message| {
            let word = (0..12).filter(|k| message >> k & 1 == 1).fold(0, |word, k| word ^ GENERATOR << k);
            word | (word.count_ones() & 1) << 23
        })
        .collect()
}
