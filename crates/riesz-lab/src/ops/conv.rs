//! Convolution on slices, channels last, for the CPU: patches of a few images are laid out as rows (in cache, never
//! for a whole batch) and multiplied with the weights by the `gemm` crate, which chooses its SIMD at run time.
//!
//! Rows of patches are output pixels; columns are taps (ky, kx, channel), so that a row's k·c numbers of one ky are one
//! copy. Images are divided into groups by shape alone, each group's sums are added in order, and a product is always
//! single-threaded: the bits do not depend on the number of threads.

use std::cell::RefCell;

use rayon::prelude::*;

/// The sizes of one convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) images: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) out: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

/// Output pixels worth laying out at once: enough rows to feed the product, few enough to stay in cache.
const ROWS: usize = 784;

impl Geometry {
    /// h', w'.
    pub(super) fn out_size(self) -> (usize, usize) {
        let size = |side: usize| (side + 2 * self.padding - self.kernel) / self.stride + 1;
        (size(self.height), size(self.width))
    }

    fn out_pixels(self) -> usize {
        let (h, w) = self.out_size();
        h * w
    }

    fn in_numbers(self) -> usize {
        self.height * self.width * self.channels
    }

    fn taps(self) -> usize {
        self.kernel * self.kernel * self.channels
    }

    /// Images handled together: a function of shapes alone.
    fn group(self) -> usize {
        (ROWS / self.out_pixels()).clamp(1, self.images)
    }

    /// A 1 × 1 convolution with stride 1 needs no patches: its input is already laid out.
    fn is_pointwise(self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.padding == 0
    }
}

thread_local! {
    static PATCHES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Weights `[o, c, k, k]` as `[o, ky, kx, c]`.
fn taps_last(weight: &[f32], g: Geometry) -> Vec<f32> {
    let (k2, c) = (g.kernel * g.kernel, g.channels);
    let mut rows = vec![0.0; weight.len()];
    for (row, taps) in rows.chunks_exact_mut(g.taps()).zip(weight.chunks_exact(g.taps())) {
        for channel in 0..c {
            for tap in 0..k2 {
                row[tap * c + channel] = taps[channel * k2 + tap];
            }
        }
    }
    rows
}

/// The inverse of [`taps_last`].
fn channels_first(rows: &[f32], g: Geometry) -> Vec<f32> {
    let (k2, c) = (g.kernel * g.kernel, g.channels);
    let mut weight = vec![0.0; rows.len()];
    for (row, taps) in rows.chunks_exact(g.taps()).zip(weight.chunks_exact_mut(g.taps())) {
        for channel in 0..c {
            for tap in 0..k2 {
                taps[channel * k2 + tap] = row[tap * c + channel];
            }
        }
    }
    weight
}

/// y = x ∗ weight.
pub(super) fn forward(x: &[f32], weight: &[f32], g: Geometry) -> Vec<f32> {
    let weight = taps_last(weight, g);
    let group = g.group();
    let mut y = vec![0.0; g.images * g.out_pixels() * g.out];
    y.par_chunks_mut(group * g.out_pixels() * g.out).zip(x.par_chunks(group * g.in_numbers())).for_each(
        |(y, x)| {
            with_patches(x, g, |patches| {
                let rows = patches.len() / g.taps();
                product(rows, g.out, g.taps(), y, false, patches, (g.taps(), 1), &weight, (1, g.taps()));
            });
        },
    );
    y
}

/// ∂/∂weight = Σ over images of dyᵀ · patches.
pub(super) fn weight_gradient(x: &[f32], dy: &[f32], g: Geometry) -> Vec<f32> {
    let group = g.group();
    let groups = g.images.div_ceil(group);
    // Sixteen partial sums at most, each over neighboring groups in order; their number depends on shapes alone.
    let groups_a_part = groups.div_ceil(16);
    let images_a_part = groups_a_part * group;
    let parts: Vec<Vec<f32>> = x
        .par_chunks(images_a_part * g.in_numbers())
        .zip(dy.par_chunks(images_a_part * g.out_pixels() * g.out))
        .map(|(x, dy)| {
            let mut sum = vec![0.0; g.out * g.taps()];
            for (x, dy) in x.chunks(group * g.in_numbers()).zip(dy.chunks(group * g.out_pixels() * g.out)) {
                with_patches(x, g, |patches| {
                    let rows = patches.len() / g.taps();
                    product(g.out, g.taps(), rows, &mut sum, true, dy, (1, g.out), patches, (g.taps(), 1));
                });
            }
            sum
        })
        .collect();
    let mut total = vec![0.0; g.out * g.taps()];
    for part in parts {
        for (total, part) in total.iter_mut().zip(part) {
            *total += part;
        }
    }
    channels_first(&total, g)
}

/// ∂/∂x: dy · weight gives each patch's gradient, which is added back to the pixels it came from.
pub(super) fn input_gradient(weight: &[f32], dy: &[f32], g: Geometry) -> Vec<f32> {
    let weight = taps_last(weight, g);
    let group = g.group();
    let mut dx = vec![0.0; g.images * g.in_numbers()];
    dx.par_chunks_mut(group * g.in_numbers()).zip(dy.par_chunks(group * g.out_pixels() * g.out)).for_each(
        |(dx, dy)| {
            let rows = dy.len() / g.out;
            if g.is_pointwise() {
                product(rows, g.taps(), g.out, dx, false, dy, (g.out, 1), &weight, (g.taps(), 1));
                return;
            }
            PATCHES.with_borrow_mut(|patches| {
                patches.resize(rows * g.taps(), 0.0);
                product(rows, g.taps(), g.out, patches, false, dy, (g.out, 1), &weight, (g.taps(), 1));
                for (image, patches) in
                    dx.chunks_exact_mut(g.in_numbers()).zip(patches.chunks_exact(g.out_pixels() * g.taps()))
                {
                    add_patches(image, patches, g);
                }
            });
        },
    );
    dx
}

/// Lays out the patches of some images as rows, and hands them on.
fn with_patches(x: &[f32], g: Geometry, work: impl FnOnce(&[f32])) {
    if g.is_pointwise() {
        return work(x);
    }
    PATCHES.with_borrow_mut(|patches| {
        let images = x.len() / g.in_numbers();
        patches.resize(images * g.out_pixels() * g.taps(), 0.0);
        for (image, patches) in
            x.chunks_exact(g.in_numbers()).zip(patches.chunks_exact_mut(g.out_pixels() * g.taps()))
        {
            lay_patches(image, patches, g);
        }
        work(patches);
    });
}

/// For each output pixel and ky: which numbers of the patch row are inside the image, and where they come from.
fn for_each_run(g: Geometry, mut run: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>, usize)) {
    let (out_h, out_w) = g.out_size();
    let (c, k) = (g.channels, g.kernel);
    for oy in 0..out_h {
        for ox in 0..out_w {
            let row = (oy * out_w + ox) * g.taps();
            let left = (ox * g.stride) as isize - g.padding as isize;
            let skipped = (-left).max(0) as usize;
            let end = ((g.width as isize - left).max(0) as usize).min(k);
            for ky in 0..k {
                let y = (oy * g.stride + ky) as isize - g.padding as isize;
                let taps = row + ky * k * c..row + (ky + 1) * k * c;
                if y < 0 || y >= g.height as isize || skipped >= end {
                    run(taps.clone(), taps.start..taps.start, 0);
                } else {
                    let from = (y as usize * g.width + (left + skipped as isize) as usize) * c;
                    run(taps.clone(), taps.start + skipped * c..taps.start + end * c, from);
                }
            }
        }
    }
}

fn lay_patches(image: &[f32], patches: &mut [f32], g: Geometry) {
    for_each_run(g, |taps, inside, from| {
        if inside.len() < taps.len() {
            patches[taps].fill(0.0);
        }
        let length = inside.len();
        patches[inside].copy_from_slice(&image[from..from + length]);
    });
}

fn add_patches(image: &mut [f32], patches: &[f32], g: Geometry) {
    for_each_run(g, |_, inside, to| {
        let length = inside.len();
        for (pixel, patch) in image[to..to + length].iter_mut().zip(&patches[inside]) {
            *pixel += patch;
        }
    });
}

/// `out[m × n] (+)= a · b`, single-threaded, with (row stride, column stride) of `a` and `b`; `out` is row-major.
fn product(
    m: usize,
    n: usize,
    k: usize,
    out: &mut [f32],
    add: bool,
    a: &[f32],
    (a_row, a_column): (usize, usize),
    b: &[f32],
    (b_row, b_column): (usize, usize),
) {
    let last = |rows: usize, columns: usize, (row, column): (usize, usize)| {
        (rows - 1) * row + (columns - 1) * column
    };
    assert!(m > 0 && n > 0 && k > 0 && out.len() >= m * n);
    assert!(last(m, k, (a_row, a_column)) < a.len() && last(k, n, (b_row, b_column)) < b.len());
    // SAFETY: the largest index that shapes and strides reach is inside each slice, checked above.
    #[expect(unsafe_code, reason = "the gemm crate takes pointers and strides")]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.as_ptr(),
            a_column as isize,
            a_row as isize,
            b.as_ptr(),
            b_column as isize,
            b_row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
