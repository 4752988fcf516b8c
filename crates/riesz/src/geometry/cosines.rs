//! A walk over the cosines of all unordered pairs, tile by tile.

use rayon::prelude::*;

use crate::product::rows_by_rows;
use crate::{Points, Scalar};

/// Rows of a tile.
const ROWS: usize = 64;
/// Columns of a tile.
const COLUMNS: usize = 256;
/// Into how many shares the rows are dealt. Fixed, so that sums do not depend on the number of threads.
const SHARES: usize = 16;

/// Shows `visit` the cosines of every pair i < j once, a part of a row at a time and clamped to [−1, 1], and returns
/// what it made of each share of the rows, in order.
pub(super) fn fold<T: Scalar, A: Send>(
    points: Points<'_, T>,
    start: impl Fn() -> A + Sync,
    visit: impl Fn(&mut A, &[f64]) + Sync,
) -> Vec<A> {
    let (n, d, data) = (points.len(), points.dim(), points.as_slice());
    (0..SHARES)
        .into_par_iter()
        .map(|share| {
            let mut outcome = start();
            let mut tile = [T::default(); ROWS * COLUMNS];
            let mut cosines = [0.0; COLUMNS];
            // Blocks are dealt in turn because late rows have fewer partners.
            for first in (share * ROWS..n).step_by(SHARES * ROWS) {
                let end = n.min(first + ROWS);
                for left in (first..n).step_by(COLUMNS) {
                    let right = n.min(left + COLUMNS);
                    let width = right - left;
                    let tile = &mut tile[..(end - first) * width];
                    rows_by_rows(&data[first * d..end * d], &data[left * d..right * d], d, tile);
                    for (i, line) in (first..end).zip(tile.chunks_exact(width)) {
                        let line = &line[(i + 1).clamp(left, right) - left..];
                        for (s, x) in cosines.iter_mut().zip(line) {
                            *s = x.to_f64().clamp(-1.0, 1.0);
                        }
                        visit(&mut outcome, &cosines[..line.len()]);
                    }
                }
            }
            outcome
        })
        .collect()
}

/// n(n − 1)/2.
pub(super) fn pairs(n: usize) -> usize {
    n * n.saturating_sub(1) / 2
}
