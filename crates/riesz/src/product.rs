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
    let (m, n) = (rows_of(a, k), rows_of(b, k));
    assert!(is(a, m, k) && is(b, n, k) && is(out, m, n), "shapes of a product differ");
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
    let m = out.len().checked_div(n).unwrap_or_else(|| rows_of(w, k));
    assert!(is(w, m, k) && is(x, k, n) && is(out, m, n), "shapes of a product differ");
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
    let m = out.len().checked_div(n).unwrap_or_else(|| rows_of(w, k));
    assert!(is(w, m, k) && is(x, k, n) && is(out, m, n), "shapes of a product differ");
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
    let m = out.len().checked_div(n).unwrap_or_else(|| rows_of(w, k));
    assert!(is(w, k, m) && is(x, k, n) && is(out, m, n), "shapes of a product differ");
    // SAFETY: the three slices hold k·m, k·n and m·n numbers, checked above, and the strides stay inside them.
    #[expect(unsafe_code, reason = "the gemm crate takes pointers and strides")]
    unsafe {
        multiply(m, n, k, out.as_mut_ptr(), true, w.as_ptr(), (1, m), x.as_ptr(), (n, 1));
    }
}

/// How many rows of `width` numbers these are; none, if rows have no numbers.
fn rows_of<T>(numbers: &[T], width: usize) -> usize {
    numbers.len().checked_div(width).unwrap_or(0)
}

/// Whether these are `rows × columns` numbers.
fn is<T>(numbers: &[T], rows: usize, columns: usize) -> bool {
    rows.checked_mul(columns) == Some(numbers.len())
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

    #[test]
    fn sizes_that_wrap_are_refused() {
        let far = 1 << (usize::BITS - 1);
        let refused = |call: fn(usize, &mut [f64])| {
            let outcome = std::panic::catch_unwind(|| call(far, &mut [0.0; 4]));
            assert!(outcome.is_err(), "a product of {far} rows was made");
        };
        refused(|far, out| weighted_rows(&[], &[], far, 2, out));
        refused(|far, out| add_weighted_rows(&[], &[], far, 2, out));
        refused(|far, out| add_weighted_rows_transposed(&[], &[], far, 2, out));
        refused(|_, out| rows_by_rows(&[], &[], 0, out));
    }

    #[test]
    fn sums_over_nothing_are_0_and_rows_of_nothing_are_none() {
        let mut out = [3.0; 4];
        add_weighted_rows::<f64>(&[], &[], 0, 2, &mut out);
        add_weighted_rows_transposed::<f64>(&[], &[], 0, 2, &mut out);
        assert_eq!(out, [3.0; 4]);
        weighted_rows::<f64>(&[], &[], 0, 2, &mut out);
        assert_eq!(out, [0.0; 4]);
        weighted_rows::<f64>(&[1.0; 6], &[], 3, 0, &mut []);
        add_weighted_rows::<f64>(&[1.0; 6], &[], 3, 0, &mut []);
        add_weighted_rows_transposed::<f64>(&[1.0; 6], &[], 3, 0, &mut []);
        rows_by_rows::<f64>(&[], &[], 0, &mut []);
    }
}
