//! A walk over the cosines of all unordered pairs, tile by tile.

use rayon::prelude::*;

use crate::product::rows_by_rows;
use crate::{Points, Scalar};

/// Columns of a tile.
const COLUMNS: usize = 512;
/// Into how many shares the rows are dealt. Fixed, so that sums do not depend on the number of threads.
const SHARES: usize = 16;

/// Shows `visit` the cosines of every pair i < j once, a part of a row at a time and clamped to [−1, 1], and returns
/// what it made of each share of the rows, in order. `visit` is told i and the first j.
pub(super) fn fold<T: Scalar, A: Send>(
    points: Points<'_, T>,
    start: impl Fn() -> A + Sync,
    visit: impl Fn(&mut A, usize, usize, &[f64]) + Sync,
) -> Vec<A> {
    fold_and(points, start, visit, |outcome| outcome)
}

/// As [`fold`]; `finish` is given what was made of a share when that is done, so that not all need be held at once.
pub(super) fn fold_and<T: Scalar, A, B: Send>(
    points: Points<'_, T>,
    start: impl Fn() -> A + Sync,
    visit: impl Fn(&mut A, usize, usize, &[f64]) + Sync,
    finish: impl Fn(A) -> B + Sync,
) -> Vec<B> {
    let (n, d, data) = (points.len(), points.dim(), points.as_slice());
    // Rows of a tile: a product of many costs less a row, and few points are to be shared out, too.
    let height = if n < 8192 { 64 } else { 256 };
    (0..SHARES.min(n.div_ceil(height)))
        .into_par_iter()
        .map(|share| {
            let mut outcome = start();
            let mut tile = vec![T::default(); height * COLUMNS];
            let mut cosines = [0.0; COLUMNS];
            // Blocks are dealt in turn because late rows have fewer partners.
            for first in (share * height..n).step_by(SHARES * height) {
                let end = n.min(first + height);
                for left in (first..n).step_by(COLUMNS) {
                    let right = n.min(left + COLUMNS);
                    let width = right - left;
                    let tile = &mut tile[..(end - first) * width];
                    rows_by_rows(&data[first * d..end * d], &data[left * d..right * d], d, tile);
                    for (i, line) in (first..end).zip(tile.chunks_exact(width)) {
                        let from = (i + 1).clamp(left, right);
                        let line = &line[from - left..];
                        for (s, x) in cosines.iter_mut().zip(line) {
                            *s = x.to_f64().clamp(-1.0, 1.0);
                        }
                        visit(&mut outcome, i, from, &cosines[..line.len()]);
                    }
                }
            }
            finish(outcome)
        })
        .collect()
}

/// n(n − 1)/2.
pub(super) fn pairs(n: usize) -> usize {
    n * n.saturating_sub(1) / 2
}
