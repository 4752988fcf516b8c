//! Learned places of a vision transformer for another number of patches: the grid is resized as a picture is, by the antialiased
//! cubic, as timm does (`resample_abs_pos_embed`); the class token's place stays.

use crate::augment::crop::{Interpolation, weights};
use crate::tensors::NamedTensor;

/// The side of a square grid of patches with a class token before them.
pub(super) fn side(tokens: usize) -> Option<usize> {
    let side = tokens.checked_sub(1)?.isqrt();
    (side > 0 && side * side + 1 == tokens).then_some(side)
}

/// Places `[1, tokens, c]` as those of `shape`, if both are square grids behind a class token, of the same width.
pub(super) fn resized(places: &NamedTensor, shape: &[usize]) -> Option<Vec<f32>> {
    let (&[1, from, c], &[1, to, width]) = (&places.shape[..], shape) else { return None };
    let (from, to) = (side(from)?, side(to)?);
    if c != width {
        return None;
    }
    let (class, grid) = places.values.split_at(c);
    let taps = weights(from, to, Interpolation::Bicubic);
    let sum = |first: usize, weights: &[f32], at: &dyn Fn(usize) -> f32| -> f32 {
        weights.iter().enumerate().map(|(i, weight)| weight * at(first + i)).sum()
    };
    // Rows of the old grid, columns of the new one.
    let mut wide = Vec::with_capacity(from * to * c);
    for row in 0..from {
        for (first, weights) in &taps {
            wide.extend((0..c).map(|k| sum(*first, weights, &|column| grid[(row * from + column) * c + k])));
        }
    }
    let mut values = class.to_vec();
    for (first, weights) in &taps {
        for column in 0..to {
            values.extend((0..c).map(|k| sum(*first, weights, &|row| wide[(row * to + column) * c + k])));
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(side: usize) -> NamedTensor {
        // A plane: 1 + 2 x + 3 y in one channel, its half in the other; 7 and 8 for the class token.
        let of = |i: usize| ((i % side) as f32 + 0.5, (i / side) as f32 + 0.5);
        let grid = (0..side * side).flat_map(|i| {
            let (x, y) = of(i);
            let plane = (2.0 * x + 3.0 * y) / side as f32;
            [1.0 + plane, 0.5 + plane / 2.0]
        });
        let values: Vec<f32> = [7.0, 8.0].into_iter().chain(grid).collect();
        NamedTensor { name: "pos_embed".to_owned(), shape: vec![1, side * side + 1, 2], values }
    }

    #[test]
    fn a_plane_stays_one_inside_and_the_class_token_stays() {
        // At scales below 1 that are no whole part a sampled filter is only nearly exact.
        for (from, to) in [(8, 8), (8, 16), (16, 8), (14, 20)] {
            let found = resized(&places(from), &[1, to * to + 1, 2]).unwrap();
            let expected = places(to).values;
            assert_eq!((found.len(), &found[..2]), (expected.len(), &[7.0, 8.0][..]));
            // At the border the filter has fewer pixels on one side.
            let inner = 3 * to.div_ceil(from)..to - 3 * to.div_ceil(from);
            for y in inner.clone() {
                for x in inner.clone() {
                    let i = 2 + 2 * (y * to + x);
                    assert!((found[i] - expected[i]).abs() < 1e-5, "{from} → {to}: {x}, {y}");
                }
            }
        }
        assert_eq!(resized(&places(5), &[1, 26, 2]).unwrap(), places(5).values);
    }

    #[test]
    fn what_is_no_square_or_of_another_width_is_left() {
        for shape in [&[1, 27, 2][..], &[1, 26, 3], &[1, 1, 2], &[26, 2]] {
            assert_eq!(resized(&places(4), shape), None, "{shape:?}");
        }
        assert_eq!((side(197), side(1), side(0), side(198)), (Some(14), None, None, None));
    }
}
