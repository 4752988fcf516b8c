//! [`Riesz`](super::Riesz) of exponent 1 from AVX-512's estimate of 1/√r, good to 2⁻¹⁴: half the time of a root and a division.
//!
//! With h = 1 − r y² for the estimate y, ∣h∣ < 1.3·10⁻⁴ and 1/√r = y (1 − h)^{−½} = y (1 + h/2 + 3h²/8 + 5h³/16 + …), whose rest
//! is below 35h⁴/128 < 8·10⁻¹⁷; so the value is right to 2 ulp, as [`inverse_root`](crate::elementary::Real::inverse_root)
//! is, which needs no estimate and serves everywhere else.

#[cfg(target_arch = "x86_64")]
use pulp::{NullaryFnOnce, Simd, cast, f64x8, x86::V4};

/// Values and slopes of the inverse distance; false, and nothing done, on a processor that has no such estimate.
#[cfg(target_arch = "x86_64")]
pub(super) fn fill(cosines: &[f64], value: &mut [f64], slope: &mut [f64]) -> bool {
    assert!(cosines.len() == value.len() && cosines.len() == slope.len(), "a tile's slices differ in length");
    let Some(simd) = V4::try_new() else { return false };
    simd.vectorize(Fill { simd, cosines, value, slope });
    true
}

/// No other processors' estimates are used.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn fill(_: &[f64], _: &mut [f64], _: &mut [f64]) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
struct Fill<'a> {
    simd: V4,
    cosines: &'a [f64],
    value: &'a mut [f64],
    slope: &'a mut [f64],
}

#[cfg(target_arch = "x86_64")]
impl NullaryFnOnce for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { simd, cosines, value, slope } = self;
        let (cosines, few_cosines) = V4::as_simd_f64s(cosines);
        let (value, few_values) = V4::as_mut_simd_f64s(value);
        let (slope, few_slopes) = V4::as_mut_simd_f64s(slope);
        for ((s, value), slope) in cosines.iter().zip(value).zip(slope) {
            (*value, *slope) = pair(simd, *s);
        }
        // The rest by the same operations, so that a number does not depend on its place.
        let (value, slope) = pair(simd, simd.partial_load_f64s(few_cosines));
        simd.partial_store_f64s(few_values, value);
        simd.partial_store_f64s(few_slopes, slope);
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn pair(simd: V4, s: f64x8) -> (f64x8, f64x8) {
    let all = |x: f64| simd.splat_f64s(x);
    let r = simd.mul_add_f64s(all(-2.0), s, all(2.0));
    let y: f64x8 = cast(simd.avx512f._mm512_rsqrt14_pd(cast(r)));
    let h = simd.mul_add_f64s(simd.neg_f64s(simd.mul_f64s(r, y)), y, all(1.0));
    let series = simd.mul_add_f64s(simd.mul_add_f64s(all(0.3125), h, all(0.375)), h, all(0.5));
    let root = simd.mul_add_f64s(simd.mul_f64s(y, h), series, y);
    // Where the points meet, or rounding has the cosine above 1.
    let value = simd.select_f64s(simd.greater_than_f64s(r, all(0.0)), root, all(f64::INFINITY));
    (value, simd.mul_f64s(simd.mul_f64s(value, value), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distances from 2 down to the least that a cosine below 1 has, against the library's root.
    #[test]
    fn estimates_are_refined_to_2_ulp() {
        let s: Vec<f64> = (0..200_003_i32)
            .map(|i| 1.0 - 2.0_f64.powi(1 - i % 53) * (0.5 + 0.5 * f64::from(i) / 200_003.0))
            .chain([1.0, 1.0 + f64::EPSILON, -1.0])
            .collect();
        let (mut value, mut slope) = (vec![0.0; s.len()], vec![0.0; s.len()]);
        if !fill(&s, &mut value, &mut slope) {
            return;
        }
        for ((&s, value), slope) in s.iter().zip(value).zip(slope) {
            let want = 1.0 / (2.0 - 2.0 * s).max(0.0).sqrt();
            if want.is_infinite() {
                assert_eq!((value, slope), (want, want), "{s}");
                continue;
            }
            assert!((value - want).abs() <= 2.0 * f64::EPSILON * want, "{s}: {value:e} for {want:e}");
            let cube = want * want * want;
            assert!((slope - cube).abs() <= 8.0 * f64::EPSILON * cube, "{s}: {slope:e} for {cube:e}");
        }
        let mut short = [[0.0; 3]; 2];
        let [first, second] = &mut short;
        fill(&[0.3, -0.2, 0.9], first, second);
        let mut long = [[0.0; 9]; 2];
        let [first, second] = &mut long;
        fill(&[0.3, -0.2, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3], first, second);
        assert_eq!((short[0], short[1][0]), ([long[0][0], long[0][1], long[0][2]], long[1][8]));
    }
}
