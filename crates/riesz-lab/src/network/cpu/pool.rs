//! Means and maxima of pixels.

use rayon::prelude::*;

/// Mean of all pixels of each image of `size` numbers.
pub(super) fn mean(x: &[f32], size: usize, c: usize, out: &mut [f32]) {
    let pixels = (size / c) as f32;
    out.par_chunks_mut(c).zip(x.par_chunks(size)).for_each(|(out, x)| {
        out.fill(0.0);
        for pixel in x.chunks_exact(c) {
            for (out, &x) in out.iter_mut().zip(pixel) {
                *out += x;
            }
        }
        for out in out {
            *out /= pixels;
        }
    });
}

/// The gradient of [`mean`], written.
pub(super) fn mean_back(g: &[f32], size: usize, c: usize, to: &mut [f32]) {
    let pixels = (size / c) as f32;
    to.par_chunks_mut(size).zip(g.par_chunks(c)).for_each(|(to, g)| {
        for pixel in to.chunks_exact_mut(c) {
            for (to, &g) in pixel.iter_mut().zip(g) {
                *to = g / pixels;
            }
        }
    });
}

/// Maxima of 3 × 3 pixels, stride 2, of images `[h, w, c]`; and which of the nine each is.
pub(super) fn max(x: &[f32], [h, w, c]: [usize; 3], out: &mut [f32], which: &mut [u8]) {
    let [out_h, out_w] = [h.div_ceil(2), w.div_ceil(2)];
    let images = out.par_chunks_mut(out_h * out_w * c).zip(which.par_chunks_mut(out_h * out_w * c));
    images.zip(x.par_chunks(h * w * c)).for_each(|((out, which), x)| {
        let pixels = out.chunks_exact_mut(c).zip(which.chunks_exact_mut(c)).enumerate();
        for (pixel, (out, which)) in pixels {
            out.fill(f32::NEG_INFINITY);
            for_each_of_nine(pixel, [h, w], out_w, |place, tap| {
                let x = &x[place * c..(place + 1) * c];
                for ((out, which), &x) in out.iter_mut().zip(&mut *which).zip(x) {
                    if x > *out {
                        (*out, *which) = (x, tap);
                    }
                }
            });
        }
    });
}

/// The gradient of [`max`], written.
pub(super) fn max_back(g: &[f32], which: &[u8], [h, w, c]: [usize; 3], to: &mut [f32]) {
    let [out_h, out_w] = [h.div_ceil(2), w.div_ceil(2)];
    let images = g.par_chunks(out_h * out_w * c).zip(which.par_chunks(out_h * out_w * c));
    to.par_chunks_mut(h * w * c).zip(images).for_each(|(to, (g, which))| {
        to.fill(0.0);
        for (pixel, (g, which)) in g.chunks_exact(c).zip(which.chunks_exact(c)).enumerate() {
            for_each_of_nine(pixel, [h, w], out_w, |place, tap| {
                let to = &mut to[place * c..(place + 1) * c];
                for ((to, &g), &which) in to.iter_mut().zip(g).zip(which) {
                    if which == tap {
                        *to += g;
                    }
                }
            });
        }
    });
}

/// Calls `visit` with the place of each pixel under output pixel `pixel`, and which of the nine it is.
fn for_each_of_nine(pixel: usize, [h, w]: [usize; 2], out_w: usize, mut visit: impl FnMut(usize, u8)) {
    let (y, x) = (pixel / out_w * 2, pixel % out_w * 2);
    for row in 0..3 {
        for column in 0..3 {
            // One row and one column of nothing before.
            let (y, x) = (y + row, x + column);
            if (1..=h).contains(&y) && (1..=w).contains(&x) {
                visit((y - 1) * w + x - 1, (3 * row + column) as u8);
            }
        }
    }
}
