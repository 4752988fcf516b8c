//! Attention: softmax(q kᵀ / √width) v in each head (Vaswani et al. 2017).
//!
//! t tokens, heads of `width` channels; a token's numbers are q, k and v of all heads, one after another.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use riesz::elementary::{Real, widest};
use riesz::product::{add_weighted_rows_transposed, rows_by_rows, weighted_rows};

use super::loops::enough;
use super::scratch::{Scratch, with_scratch};
use crate::network::Layer;

/// The sizes of one image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) tokens: usize,
    pub(super) heads: usize,
    pub(super) width: usize,
}

impl Sizes {
    /// Of a layer of so many heads.
    pub(super) fn of(layer: &Layer, heads: usize) -> Self {
        Self { tokens: layer.shape[0], heads, width: layer.channels() / heads }
    }

    /// Shares of all heads.
    pub(super) fn shares(self) -> usize {
        self.heads * self.tokens * self.tokens
    }

    fn row(self) -> usize {
        self.heads * self.width
    }

    /// One head's q (0), k (1) or v (2), `[t, width]`.
    fn part(self, x: &[f32], which: usize, head: usize, to: &mut [f32]) {
        let from = which * self.row() + head * self.width;
        for (to, x) in to.chunks_exact_mut(self.width).zip(x.chunks_exact(3 * self.row())) {
            to.copy_from_slice(&x[from..from + self.width]);
        }
    }

    fn put(self, part: &[f32], which: usize, head: usize, row: usize, to: &mut [f32]) {
        let from = which * self.row() + head * self.width;
        for (part, to) in part.chunks_exact(self.width).zip(to.chunks_exact_mut(row)) {
            to[from..from + self.width].copy_from_slice(part);
        }
    }
}

/// `x` `[t, 3 · heads · width]` of each image to `out` `[t, heads · width]`; keeps the softmax in `shares`.
pub(super) fn attend(sizes: Sizes, x: &[f32], shares: &mut [f32], out: &mut [f32]) {
    let Sizes { tokens: t, heads, width } = sizes;
    let row = sizes.row();
    let images = out.par_chunks_mut(t * row).zip(shares.par_chunks_mut(sizes.shares()));
    images.zip(x.par_chunks(3 * t * row)).for_each(|((out, shares), x)| {
        with_scratch(|Scratch { head: rows, .. }| {
            let rows = enough(rows, 4 * t * width);
            let (q, rest) = rows.split_at_mut(t * width);
            let (k, rest) = rest.split_at_mut(t * width);
            let (v, mixed) = rest.split_at_mut(t * width);
            for (head, shares) in (0..heads).zip(shares.chunks_exact_mut(t * t)) {
                for (which, part) in [&mut *q, &mut *k, &mut *v].into_iter().enumerate() {
                    sizes.part(x, which, head, part);
                }
                rows_by_rows(q, k, width, shares);
                softmax(shares, t, 1.0 / (width as f32).sqrt());
                weighted_rows(shares, v, t, width, mixed);
                sizes.put(mixed, 0, head, row, out);
            }
        });
    });
}

/// The gradient of [`attend`], written.
pub(super) fn attend_back(sizes: Sizes, g: &[f32], x: &[f32], shares: &[f32], to: &mut [f32]) {
    let Sizes { tokens: t, heads, width } = sizes;
    let row = sizes.row();
    let scale = 1.0 / (width as f32).sqrt();
    let images = to.par_chunks_mut(3 * t * row).zip(g.par_chunks(t * row));
    images.zip(x.par_chunks(3 * t * row).zip(shares.par_chunks(sizes.shares()))).for_each(
        |((to, g), (x, shares))| {
            with_scratch(|Scratch { head: rows, .. }| {
                let rows = enough(rows, 5 * t * width + t * t);
                let (of_scores, rows) = rows.split_at_mut(t * t);
                let mut parts = rows.chunks_exact_mut(t * width);
                let [q, k, v, of_mixed, out] = std::array::from_fn(|_| parts.next().expect("five parts"));
                for (head, shares) in (0..heads).zip(shares.chunks_exact(t * t)) {
                    for (which, part) in [&mut *q, &mut *k, &mut *v].into_iter().enumerate() {
                        sizes.part(x, which, head, part);
                    }
                    for (part, g) in of_mixed.chunks_exact_mut(width).zip(g.chunks_exact(row)) {
                        part.copy_from_slice(&g[head * width..(head + 1) * width]);
                    }
                    out.fill(0.0);
                    add_weighted_rows_transposed(shares, of_mixed, t, width, out);
                    sizes.put(out, 2, head, 3 * row, to);
                    rows_by_rows(of_mixed, v, width, of_scores);
                    for (of_scores, shares) in of_scores.chunks_exact_mut(t).zip(shares.chunks_exact(t)) {
                        let mean: f32 = of_scores.iter().zip(shares).map(|(g, share)| g * share).sum();
                        for (g, share) in of_scores.iter_mut().zip(shares) {
                            *g = (*g - mean) * share * scale;
                        }
                    }
                    weighted_rows(of_scores, k, t, width, out);
                    sizes.put(out, 0, head, 3 * row, to);
                    out.fill(0.0);
                    add_weighted_rows_transposed(of_scores, q, t, width, out);
                    sizes.put(out, 1, head, 3 * row, to);
                }
            });
        },
    );
}

/// Each row of t scores by its softmax of `scale` times them.
fn softmax(scores: &mut [f32], t: usize, scale: f32) {
    struct Rows<'a>(&'a mut [f32], usize, f32);
    impl WithSimd for Rows<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let Rows(scores, t, scale) = self;
            for row in scores.chunks_exact_mut(t) {
                let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                for x in &mut *row {
                    *x = Real::exp::<S>((*x - top) * scale);
                }
                let inverse = 1.0 / row.iter().sum::<f32>();
                for x in row {
                    *x *= inverse;
                }
            }
        }
    }
    widest(Rows(scores, t, scale));
}
