//! The one door to matrix products: row-major slices in, checked, single-threaded, SIMD chosen at run time.
//!
//! Single-threaded on purpose: callers divide work by rows, so that the order of additions is fixed by shapes alone
//! and the bits are the same for any number of threads.

use crate::Scalar;

/// `out[m × n] = a[m × k] · b[n × k]ᵀ`: all dot products of the rows of `a` with the rows of `b`.
///
/// # Panics
/// If a slice's length is not what its shape says.
pub fn rows_by_rows<T: Scalar>(a: &[T], b: &[T], k: usize, out: &mut [T]) {
    let (m, n) = (a.len() / k, b.len() / k);
    assert!(a.len() == m * k && b.len() == n * k && out.len() == m * n, "shapes of a product differ");
    // SAFETY: the three slices hold m·k, n·k and m·n numbers, checked above, and the strides stay inside them.
    #[expect(unsafe_code, reason = "the gemm crate takes pointers and strides")]
    unsafe {
        multiply(m, n, k, out.as_mut_ptr(), false, a.as_ptr(), (k, 1), b.as_ptr(), (1, k));
    }
}

/// `out[m × n] += w[m × k] · x[k × n]`.
///
/// # Panics
/// If a slice's length is not what its shape says.
pub fn add_weighted_rows<T: Scalar>(w: &[T], x: &[T], k: usize, n: usize, out: &mut [T]) {
    let m = out.len() / n;
    assert!(w.len() == m * k && x.len() == k * n && out.len() == m * n, "shapes of a product differ");
    // SAFETY: the three slices hold m·k, k·n and m·n numbers, checked above, and the strides stay inside them.
    #[expect(unsafe_code, reason = "the gemm crate takes pointers and strides")]
    unsafe {
        multiply(m, n, k, out.as_mut_ptr(), true, w.as_ptr(), (k, 1), x.as_ptr(), (n, 1));
    }
}

/// `out[m × n] = w[m × k] · x[k × n]`.
///
/// # Panics
/// If a slice's length is not what its shape says.
pub fn weighted_rows<T: Scalar>(w: &[T], x: &[T], k: usize, n: usize, out: &mut [T]) {
    let m = out.len() / n;
    assert!(w.len() == m * k && x.len() == k * n && out.len() == m * n, "shapes of a product differ");
    // SAFETY: the three slices hold m·k, k·n and m·n numbers, checked above, and the strides stay inside them.
    #[expect(unsafe_code, reason = "the gemm crate takes pointers and strides")]
    unsafe {
        multiply(m, n, k, out.as_mut_ptr(), false, w.as_ptr(), (k, 1), x.as_ptr(), (n, 1));
    }
}

/// `out[m × n] += w[k × m]ᵀ · x[k × n]`.
///
/// # Panics
/// If a slice's length is not what its shape says.
pub fn add_weighted_rows_transposed<T: Scalar>(w: &[T], x: &[T], k: usize, n: usize, out: &mut [T]) {
    let m = out.len() / n;
    assert!(w.len() == m * k && x.len() == k * n && out.len() == m * n, "shapes of a product differ");
    // SAFETY: the three slices hold k·m, k·n and m·n numbers, checked above, and the strides stay inside them.
    #[expect(unsafe_code, reason = "the gemm crate takes pointers and strides")]
    unsafe {
        multiply(m, n, k, out.as_mut_ptr(), true, w.as_ptr(), (1, m), x.as_ptr(), (n, 1));
    }
}

/// `out[m × n] (+)= a · b` with (row stride, column stride) of `a` and `b`; `out` is row-major.
///
/// # Safety
/// Every index that the shapes and strides reach must lie inside the three allocations.
#[expect(unsafe_code, reason = "the gemm crate takes pointers and strides")]
unsafe fn multiply<T: Scalar>(
    m: usize,
    n: usize,
    k: usize,
    out: *mut T,
    add: bool,
    a: *const T,
    (a_row, a_column): (usize, usize),
    b: *const T,
    (b_row, b_column): (usize, usize),
) {
    let one = T::from_f64(1.0);
    // SAFETY: the caller's promise.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            n as isize,
            add,
            a,
            a_column as isize,
            a_row as isize,
            b,
            b_column as isize,
            b_row as isize,
            one,
            one,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_what_loops_say() {
        let (m, n, k) = (5, 3, 7);
        let a: Vec<f64> = (0..m * k).map(|i| (i as f64).sin()).collect();
        let b: Vec<f64> = (0..n * k).map(|i| (i as f64).cos()).collect();
        let mut dots = vec![0.0; m * n];
        rows_by_rows(&a, &b, k, &mut dots);
        for i in 0..m {
            for j in 0..n {
                let want: f64 = (0..k).map(|l| a[i * k + l] * b[j * k + l]).sum();
                assert!((dots[i * n + j] - want).abs() < 1e-14);
            }
        }
        let mut out = vec![1.0; m * k];
        add_weighted_rows(&dots, &b, n, k, &mut out);
        for i in 0..m {
            for l in 0..k {
                let want: f64 = 1.0 + (0..n).map(|j| dots[i * n + j] * b[j * k + l]).sum::<f64>();
                assert!((out[i * k + l] - want).abs() < 1e-13);
            }
        }
        let mut fresh = vec![f64::NAN; m * k];
        weighted_rows(&dots, &b, n, k, &mut fresh);
        for (fresh, out) in fresh.iter().zip(&out) {
            assert!((fresh + 1.0 - out).abs() < 1e-13);
        }
        let mut out = vec![1.0; n * k];
        add_weighted_rows_transposed(&dots, &a, m, k, &mut out);
        for j in 0..n {
            for l in 0..k {
                let want: f64 = 1.0 + (0..m).map(|i| dots[i * n + j] * a[i * k + l]).sum::<f64>();
                assert!((out[j * k + l] - want).abs() < 1e-13);
            }
        }
    }
}
