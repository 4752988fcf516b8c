//! exp, ln and the like in a scalar's own precision, without branches or tables, so that a plain loop over a slice
//! becomes SIMD; and the choice of the widest SIMD that the processor has, at run time.
//!
//! An operation over slices is a struct that implements [`pulp::WithSimd`], its body marked `#[inline(always)]` down
//! to the functions here: only what is inlined is compiled for the instruction set that [`widest`] chose. The type
//! `S` says which one that is; all that is asked of it is whether a fused multiply-add is one instruction there.
//!
//! No part of what the crate promises: `riesz-lab` alone uses it from outside.
//!
//! | function | domain | error |
//! |---|---|---|
//! | `exp` | all but NaN; below the smallest normal number the result is 0 | ≤ 2 ulp |
//! | `ln` | 0 and the positive normal numbers, ∞ | ≤ 2 ulp |
//! | `inverse_root` | 0 and the positive normal numbers | ≤ 2 ulp |

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use pulp::{Arch, Simd, WithSimd};

/// Runs `op` compiled for the widest instructions of this processor: AVX-512, AVX2 with FMA, NEON, or none.
pub fn widest<Op: WithSimd>(op: Op) -> Op::Output {
    Arch::new().dispatch(op)
}

/// Arithmetic in the scalar's own precision. Supertrait of [`Scalar`](crate::Scalar), which is sealed.
pub trait Real:
    Copy
    + PartialOrd
    + Default
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + Send
    + Sync
    + std::fmt::Debug
    + std::fmt::Display
    + 'static
{
    /// −∞, whose exponential is 0.
    const NEG_INFINITY: Self;
    /// The lowest finite number: a running maximum begins here, so that no difference of infinities arises.
    const LOWEST: Self;
    /// e^x and e^−x are normal numbers for 0 ≤ x ≤ this.
    const LARGEST_EXPONENT: f64;

    /// The nearest value of this type.
    fn from_f64(x: f64) -> Self;
    /// The same value in `f64`.
    fn to_f64(self) -> f64;

    /// self · by + plus: one rounding where that is one instruction, else two.
    fn mul_add<S: Simd>(self, by: Self, plus: Self) -> Self;
    /// e^self.
    fn exp<S: Simd>(self) -> Self;
    /// ln self.
    fn ln<S: Simd>(self) -> Self;
    /// √self.
    fn sqrt(self) -> Self;
    /// 1/√self, without a root or a division, which take several times as long as all of it.
    fn inverse_root<S: Simd>(self) -> Self;

    /// self / divisor, in `f64` and rounded once; `inverse` is 1 / divisor, which is as good for an `f32`.
    fn over(self, divisor: f64, inverse: f64) -> Self;

    /// The larger number.
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    /// The smaller number.
    #[inline(always)]
    fn smaller(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
}

/// Whether a fused multiply-add is one instruction. Elsewhere it would be a call of a library function for each number.
const fn is_fused<S: Simd>() -> bool {
    !S::IS_SCALAR && cfg!(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64"))
}

/// Σ cₖ xᵏ, the highest coefficient first.
#[inline(always)]
fn polynomial<T: Real, S: Simd, const N: usize>(x: T, coefficients: [T; N]) -> T {
    let mut sum = coefficients[0];
    for &c in &coefficients[1..] {
        sum = sum.mul_add::<S>(x, c);
    }
    sum
}

/// The bits of a floating-point format are what exp, ln and 1/√ take apart, for `f32` and `f64` alike.
///
/// exp: with n = round(x / ln 2) and r = x − n ln 2, ∣r∣ ≤ ½ ln 2, it is 2ⁿ Σ rᵏ/k!. Adding 1.5 · 2^mantissa leaves n
/// in the low bits of a float; ln 2 is in two parts, the first with so few bits that n times it is exact; the product
/// with 2ⁿ is an addition to the exponent's bits.
///
/// ln: x = m 2ᵏ with √½ ≤ m < √2; with f = m − 1, q = f/(2 + f) and z = q², it is k ln 2 + 2 artanh q, and
/// 2 artanh q = f − q (f − z Σ 2 zʲ/(2j + 3)), a small correction of an exact f.
///
/// 1/√: the bits read as an integer are, but for a constant, 2^mantissa log₂ x within 0.09 of a binade, so that half of them taken
/// from a constant (Robertson 2012) are the bits of a y that is right to 3.5 %. With h = 1 − x y², which is then below 0.071,
/// 1/√x = y (1 − h)^{−½} = y (1 + h/2 + 3h²/8 + 5h³/16 + …); cut there its error is 35h⁴/128 < 7·10⁻⁶, and with the h of that
/// y once more it is 10⁻²⁰; for `f32` h/2 is enough the second time.
///
/// The series are cut where their rest is below a tenth of an ulp.
macro_rules! elementary {
    (
        $real:ident, $bits:ident, $over:expr, mantissa: $mantissa:literal, bias: $bias:literal, ln2: $high:expr, $low:expr;
        exp from $lowest:literal to $highest:literal, its series $exp:expr; ln: its series $ln:expr;
        inverse root from $seed:literal, the second series $root:expr; largest exponent $largest:literal
    ) => {
        impl Real for $real {
            const NEG_INFINITY: Self = Self::NEG_INFINITY;
            const LOWEST: Self = Self::MIN;
            const LARGEST_EXPONENT: f64 = $largest;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as Self
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }

            #[inline(always)]
            fn mul_add<S: Simd>(self, by: Self, plus: Self) -> Self {
                if const { is_fused::<S>() } { Self::mul_add(self, by, plus) } else { self * by + plus }
            }

            #[inline(always)]
            fn exp<S: Simd>(self) -> Self {
                const SHIFT: $real = 1.5 * ((1 as $bits) << $mantissa) as $real;
                let shifted = Real::mul_add::<S>(self, std::$real::consts::LOG2_E, SHIFT);
                let n = shifted - SHIFT;
                let r = Real::mul_add::<S>(n, -$high, self);
                let r = Real::mul_add::<S>(n, -$low, r);
                let tail = polynomial::<Self, S, _>(r, $exp);
                let power = 1.0 + Real::mul_add::<S>(r * r, tail, r);
                let scaled = power.to_bits().wrapping_add(shifted.to_bits() << $mantissa);
                let normal = if self < $lowest { 0.0 } else { Self::from_bits(scaled) };
                if self > $highest { Self::INFINITY } else { normal }
            }

            #[inline(always)]
            fn ln<S: Simd>(self) -> Self {
                const ONE: $bits = (1.0 as $real).to_bits();
                const ROOT_HALF: $bits = std::$real::consts::FRAC_1_SQRT_2.to_bits();
                const MANTISSA: $bits = (1 << $mantissa) - 1;
                // The float 2^mantissa: an integer in its low bits is added to its value.
                const WHOLE: $real = ((1 as $bits) << $mantissa) as $real;
                let bits = self.to_bits().wrapping_add(ONE - ROOT_HALF);
                let k = Self::from_bits(WHOLE.to_bits() | (bits >> $mantissa)) - (WHOLE + $bias);
                let m = Self::from_bits((bits & MANTISSA) + ROOT_HALF);
                let f = m - 1.0;
                let q = f / (2.0 + f);
                let z = q * q;
                let tail = z * polynomial::<Self, S, _>(z, $ln);
                let ln = Real::mul_add::<S>(k, $high, f - Real::mul_add::<S>(k, -$low, q * (f - tail)));
                let positive = if self > Self::MAX { Self::INFINITY } else { ln };
                if self == 0.0 { Self::NEG_INFINITY } else { positive }
            }

            #[inline(always)]
            fn over(self, divisor: f64, inverse: f64) -> Self {
                let over: fn(Self, f64, f64) -> Self = $over;
                over(self, divisor, inverse)
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                Self::sqrt(self)
            }

            #[inline(always)]
            fn inverse_root<S: Simd>(self) -> Self {
                // y (1 + h · series), h = 1 − x y².
                let refined = |y: Self, series: fn(Self) -> Self| {
                    let h = Real::mul_add::<S>(-(self * y), y, 1.0);
                    Real::mul_add::<S>(y * h, series(h), y)
                };
                let rough = Self::from_bits(($seed as $bits).wrapping_sub(self.to_bits() >> 1));
                let near = refined(rough, |h| polynomial::<Self, S, _>(h, [0.3125, 0.375, 0.5]));
                let root = refined(near, |h| polynomial::<Self, S, _>(h, $root));
                if self == 0.0 { Self::INFINITY } else { root }
            }
        }
    };
}

elementary! {
    f32, u32, |x, _, inverse| (f64::from(x) * inverse) as f32, mantissa: 23, bias: 127.0,
    ln2: 355.0 / 512.0, ((std::f64::consts::LN_2 - 355.0 / 512.0) as f32);
    exp from -87.33 to 88.722_84,
    its series [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];
    ln: its series [2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0];
    inverse root from 0x5f37_5a86, the second series [0.5]; largest exponent 86.0
}

elementary! {
    f64, u64, |x, divisor, _| x / divisor, mantissa: 52, bias: 1023.0,
    // ln 2 cut after 32 bits, and the rest.
    ln2: 0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10;
    exp from -708.39 to 709.782_712_893_384,
    its series [
        1.0 / 6_227_020_800.0, 1.0 / 479_001_600.0, 1.0 / 39_916_800.0, 1.0 / 3_628_800.0, 1.0 / 362_880.0,
        1.0 / 40_320.0, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5,
    ];
    ln: its series [
        2.0 / 21.0, 2.0 / 19.0, 2.0 / 17.0, 2.0 / 15.0, 2.0 / 13.0, 2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0,
        2.0 / 3.0,
    ];
    inverse root from 0x5fe6_eb50_c7b5_37a9, the second series [0.3125, 0.375, 0.5]; largest exponent 700.0
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Function {
        Exp,
        Ln,
        InverseRoot,
    }
    use Function::{Exp, InverseRoot, Ln};

    impl Function {
        /// By the library.
        fn of(self, x: f64) -> f64 {
            match self {
                Exp => x.exp(),
                Ln => x.ln(),
                InverseRoot => 1.0 / x.sqrt(),
            }
        }
    }

    struct Map<'a, T> {
        x: &'a [T],
        function: Function,
        out: &'a mut [T],
    }

    impl<T: Real> WithSimd for Map<'_, T> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let each = self.out.iter_mut().zip(self.x);
            match self.function {
                Exp => each.for_each(|(out, x)| *out = x.exp::<S>()),
                Ln => each.for_each(|(out, x)| *out = x.ln::<S>()),
                InverseRoot => each.for_each(|(out, x)| *out = x.inverse_root::<S>()),
            }
        }
    }

    /// ulps between `got` and a true value known in `f64`.
    fn ulps(got: f32, want: f64) -> f64 {
        let near = want as f32;
        if got == near {
            return 0.0;
        }
        let exponent = (want.abs().to_bits() >> 52) as i32 - 1023;
        (f64::from(got) - want).abs() / 2.0_f64.powi(exponent - 23)
    }

    /// The worst error over the floats whose bits are `first .. first + 2^16 · blocks`, with the widest instructions;
    /// and over every 16th block of them with none.
    fn worst(function: Function, first: u32, blocks: u32) -> f64 {
        let block = |block: u32| {
            let x: Vec<f32> = (0..1 << 16).map(|i| f32::from_bits(first + (block << 16) + i)).collect();
            let want: Vec<f64> = x.iter().map(|&x| function.of(f64::from(x))).collect();
            let error =
                |got: &[f32]| got.iter().zip(&want).map(|(&got, &want)| ulps(got, want)).fold(0.0, f64::max);
            let mut got = vec![0.0; x.len()];
            widest(Map { x: &x, function, out: &mut got });
            let wide = error(&got);
            if !block.is_multiple_of(16) {
                return wide;
            }
            Map { x: &x, function, out: &mut got }.with_simd(pulp::Scalar::new());
            error(&got).max(wide)
        };
        (0..blocks).into_par_iter().map(block).reduce(|| 0.0, f64::max)
    }

    /// Every float of 2⁻²⁴ ≤ ∣x∣ up to where the result leaves the normal numbers; nearer 0 the result is 1.
    #[test]
    fn exp_of_every_f32_is_good_to_2_ulp() {
        let (small, sign) = (2.0_f32.powi(-24).to_bits(), (-0.0_f32).to_bits());
        let blocks = |end: f32| (end.to_bits() - small) >> 16;
        let error = worst(Exp, small, blocks(88.7)).max(worst(Exp, sign + small, blocks(87.3)));
        assert!(error <= 2.0, "{error} ulp");
        for x in [0.0, -0.0, 1e-30, -1e-9, f32::MIN_POSITIVE] {
            assert_eq!(Real::exp::<pulp::Scalar>(x), 1.0_f32);
        }
    }

    /// Every float of 2⁻²⁵ ≤ x < 8, which holds every squared distance of unit rows; and every mantissa at the ends.
    #[test]
    fn ln_of_every_f32_is_good_to_2_ulp() {
        let binades = |first: i32, many: u32| worst(Ln, 2.0_f32.powi(first).to_bits(), many << 7);
        let error = binades(-25, 28).max(binades(-126, 2)).max(binades(126, 2));
        assert!(error <= 2.0, "{error} ulp");
    }

    /// Every mantissa at both parities of the exponent, in eight places of the range; the constant knows nothing else of it.
    #[test]
    fn inverse_root_of_every_f32_mantissa_is_good_to_2_ulp() {
        let error = [-126, -62, -24, -2, 0, 2, 64, 126]
            .map(|first| worst(InverseRoot, 2.0_f32.powi(first).to_bits(), 2 << 7))
            .into_iter()
            .fold(0.0, f64::max);
        assert!(error <= 2.0, "{error} ulp");
    }

    #[test]
    fn f64_is_good_to_2_ulp() {
        for function in [Exp, Ln, InverseRoot] {
            let x: Vec<f64> = if function == Exp {
                (0..2_000_000).map(|i| -708.0 + 7.08e-4 * f64::from(i)).collect()
            } else {
                (0..2_000_000).map(|i| (-700.0 + 7e-4 * f64::from(i)).exp() * (1.0 + f64::EPSILON)).collect()
            };
            let near_one = (0..1000)
                .map(|i| if function == Exp { f64::from(i) * 1e-6 } else { 0.9 + f64::from(i) * 2e-4 });
            let x: Vec<f64> = x.into_iter().chain(near_one).collect();
            let mut runs = [vec![0.0; x.len()], vec![0.0; x.len()]];
            widest(Map { x: &x, function, out: &mut runs[0] });
            Map { x: &x, function, out: &mut runs[1] }.with_simd(pulp::Scalar::new());
            for run in runs {
                for (x, got) in x.iter().zip(run) {
                    let want = function.of(*x);
                    let ulp = want.abs().max(f64::MIN_POSITIVE) * f64::EPSILON;
                    assert!((got - want).abs() <= 2.0 * ulp, "{function:?} of {x}: {got} for {want}");
                }
            }
        }
    }

    #[test]
    fn the_ends_are_exact() {
        let exp = |x: f32| Real::exp::<pulp::Scalar>(x);
        assert_eq!([exp(f32::NEG_INFINITY), exp(-88.0), exp(f32::MIN)], [0.0; 3]);
        assert_eq!([exp(89.0), exp(f32::INFINITY)], [f32::INFINITY; 2]);
        let ln = |x: f32| Real::ln::<pulp::Scalar>(x);
        assert_eq!([ln(0.0), ln(1.0), ln(f32::INFINITY)], [f32::NEG_INFINITY, 0.0, f32::INFINITY]);
        let exp = |x: f64| Real::exp::<pulp::Scalar>(x);
        assert_eq!([exp(f64::NEG_INFINITY), exp(-709.0), exp(0.0)], [0.0, 0.0, 1.0]);
        assert_eq!([exp(710.0), exp(f64::INFINITY)], [f64::INFINITY; 2]);
        let ln = |x: f64| Real::ln::<pulp::Scalar>(x);
        assert_eq!([ln(0.0), ln(1.0), ln(f64::INFINITY)], [f64::NEG_INFINITY, 0.0, f64::INFINITY]);
        let root = |x: f32| Real::inverse_root::<pulp::Scalar>(x);
        assert_eq!([root(0.0), root(1.0), root(4.0), root(0.25)], [f32::INFINITY, 1.0, 0.5, 2.0]);
        let root = |x: f64| Real::inverse_root::<pulp::Scalar>(x);
        assert_eq!([root(0.0), root(1.0), root(4.0), root(0.25)], [f64::INFINITY, 1.0, 0.5, 2.0]);
        for x in [f32::LARGEST_EXPONENT as f32, -f32::LARGEST_EXPONENT as f32] {
            assert!(Real::exp::<pulp::Scalar>(x).is_normal());
        }
        for x in [f64::LARGEST_EXPONENT, -f64::LARGEST_EXPONENT] {
            assert!(Real::exp::<pulp::Scalar>(x).is_normal());
        }
    }
}
