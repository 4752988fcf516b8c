//! Zonal kernels: what two points at cosine s cost each other.
//!
//! Every kernel here is a function of the cosine alone, because ‖x − y‖² = 2 − 2s =: r on the unit sphere. Its slope
//! κ′ is the derivative with respect to s: dκ/ds = −2 dκ/dr.
//!
//! | kernel | κ(s) | κ′(s) |
//! |---|---|---|
//! | [`Cosine`] | c s | c |
//! | [`Exponential`], [`ScaledExponential`] | e^{s/τ}, c e^{s/τ} | κ/τ |
//! | [`Gaussian`] | e^{−t r} | 2t κ |
//! | [`Logarithmic`] | −½ ln(1 + t r) | t/(1 + t r) |
//! | [`LogDistance`] | −½ ln r | 1/r |
//! | [`InverseMultiquadric`] | c (c² + r)^{−1/2} | c (c² + r)^{−3/2} |
//! | [`Riesz`], p > 0 | r^{−p/2} | p r^{−p/2−1} |
//! | [`Riesz`], p < 0 | −r^{∣p∣/2} | ∣p∣ r^{∣p∣/2−1} |
//! | [`DistancePower`] | r^{α/2} | −α r^{α/2−1} |
//! | [`SquaredCosine`] | s² | 2s |
//! | [`Softplus`] | ln(1 + e^{a s + b}) | a / (1 + e^{−a s − b}) |
//!
//! Kernels of Koromilas et al., ICML 2024 (their Gaussian, logarithmic, inverse multiquadric and Riesz).

mod catalogue;
mod powers;
mod scaled;
mod tile;

use std::any::Any;
use std::fmt::Debug;

use pulp::Simd;
use tile::{Zonal, tile_forms};

use crate::Error;
use crate::elementary::Real;

pub use catalogue::catalogue;
pub use powers::{DistancePower, Riesz};
pub use scaled::ScaledExponential;
pub(crate) use tile::Tiled;

/// A zonal kernel κ on the sphere. One of one's own needs [`Kernel::at`] alone, and [`Kernel::is_positive`] where it is not;
/// an example stands at [`Loss`](crate::loss::Loss). κ and κ′ are numbers at every s, but may be infinite at s = 1. [`Any`], so that an engine with formulas of its own can tell which kernel it is.
pub trait Kernel: Any + Debug + Send + Sync {
    /// (κ(s), κ′(s)) at one cosine s ∈ [−1, 1]. This is the definition.
    fn at(&self, s: f64) -> (f64, f64);

    /// (ln κ(s), κ′(s)/κ(s)), for links that take a logarithm; only meaningful where κ > 0.
    fn ln_at(&self, s: f64) -> (f64, f64) {
        let (value, slope) = self.at(s);
        (value.ln(), slope / value)
    }

    /// [`Kernel::at`] for many cosines, in `f32`. Override for speed only: a test holds it to `at`.
    fn tile_f32(&self, cosines: &[f32], value: &mut [f32], slope: &mut [f32]) {
        for ((s, v), d) in cosines.iter().zip(value).zip(slope) {
            let (first, second) = self.at(f64::from(*s));
            (*v, *d) = (first as f32, second as f32);
        }
    }

    /// [`Kernel::at`] for many cosines, in `f64`. Override for speed only: a test holds it to `at`.
    fn tile_f64(&self, cosines: &[f64], value: &mut [f64], slope: &mut [f64]) {
        for ((s, v), d) in cosines.iter().zip(value).zip(slope) {
            (*v, *d) = self.at(*s);
        }
    }

    /// [`Kernel::ln_at`] for many cosines, in `f32`. Override for speed only: a test holds it to `ln_at`.
    fn ln_tile_f32(&self, cosines: &[f32], ln: &mut [f32], ratio: &mut [f32]) {
        for ((s, v), d) in cosines.iter().zip(ln).zip(ratio) {
            let (first, second) = self.ln_at(f64::from(*s));
            (*v, *d) = (first as f32, second as f32);
        }
    }

    /// [`Kernel::ln_at`] for many cosines, in `f64`. Override for speed only: a test holds it to `ln_at`.
    fn ln_tile_f64(&self, cosines: &[f64], ln: &mut [f64], ratio: &mut [f64]) {
        for ((s, v), d) in cosines.iter().zip(ln).zip(ratio) {
            (*v, *d) = self.ln_at(*s);
        }
    }

    /// Whether the parameters are in their range: every engine asks. All are, if not said.
    ///
    /// # Errors
    /// Names a parameter that is not.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether [`Kernel::at`] and the tiles are also right a little beyond [−1, 1], where the cosines of rows that are equal or unit to
    /// 10⁻³ alone may lie. False if not said: engines then take the nearest end.
    fn takes_rounded(&self) -> bool {
        false
    }

    /// If κ depends on the cosine through rate · s alone, the rate: 1/τ for kernels with a temperature τ.
    fn rate(&self) -> Option<f64> {
        None
    }

    /// If κ depends on the cosine through a s + b alone, whatever a and b are: (a, b).
    fn affine(&self) -> Option<(f64, f64)> {
        None
    }

    /// If ln κ is affine in the cosine, how; engines then need one exponential a pair.
    fn exponent(&self) -> Option<Exponent> {
        None
    }

    /// Whether κ > 0 everywhere, so that its logarithm may be taken. True if not said: a kernel that can be 0 or below must
    /// say so, or a loss that takes its logarithm is an error only where it meets such a cosine, and not before.
    fn is_positive(&self) -> bool {
        true
    }

    /// Whether κ grows without bound as two points meet (s → 1).
    fn is_unbounded(&self) -> bool {
        false
    }

    /// Whether, up to a constant, κ is strictly completely monotone in r on (0, 4]: (−1)ᵏ dᵏκ/drᵏ > 0 for all k ≥ 1. Then
    /// Cohn and Kumar's theorem and the bounds of [`sphere::bound`](crate::sphere::bound) hold for its energy.
    fn is_completely_monotone(&self) -> bool {
        false
    }
}

/// ln κ(s) = min(scale · s + offset, most), and κ′ = scale · κ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exponent {
    /// Above 0.
    pub scale: f64,
    /// ln κ(0).
    pub offset: f64,
    /// The bound that rounding of the cosine may not exceed; ∞ for none.
    pub most: f64,
}

impl dyn Kernel {
    /// A cosine as it was rounded, brought into [−1, 1] for a kernel that is not defined elsewhere.
    fn within(&self, s: f64) -> f64 {
        if self.takes_rounded() { s } else { s.clamp(-1.0, 1.0) }
    }

    /// [`Kernel::at`] a cosine as it was rounded.
    pub(crate) fn at_rounded(&self, s: f64) -> (f64, f64) {
        self.at(self.within(s))
    }

    /// [`Kernel::ln_at`] a cosine as it was rounded.
    pub(crate) fn ln_at_rounded(&self, s: f64) -> (f64, f64) {
        self.ln_at(self.within(s))
    }
}

/// A parameter above 0 that is finite, as is its inverse.
pub(crate) fn positive(name: &str, value: f64) -> Result<f64, Error> {
    if value > 0.0 && value.is_finite() && value.recip().is_finite() {
        Ok(value)
    } else if value > 0.0 && value.is_finite() {
        Err(Error::new(format!("{name} is {value:e}; it must be so far above 0 that its inverse is finite")))
    } else {
        Err(Error::new(format!("{name} is {value}; it must be above 0 and finite")))
    }
}

/// A parameter of any sign.
fn finite(name: &str, value: f64) -> Result<f64, Error> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(Error::new(format!("{name} is {value}; it must be finite")))
    }
}

/// Squared distance of two unit vectors at cosine `s`; rounding may not make it negative.
fn squared_distance(s: f64) -> f64 {
    (2.0 - 2.0 * s).max(0.0)
}

/// The same for either scalar.
#[inline(always)]
fn square<T: Real>(s: T) -> T {
    (T::from_f64(2.0) - T::from_f64(2.0) * s).larger(T::from_f64(0.0))
}

/// κ(s) = c s: the attraction of every loss of the InfoNCE family, with c = 1/τ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cosine {
    /// The factor c.
    pub scale: f64,
}

impl Kernel for Cosine {
    fn at(&self, s: f64) -> (f64, f64) {
        (self.scale * s, self.scale)
    }
    fn is_positive(&self) -> bool {
        false
    }
    fn rate(&self) -> Option<f64> {
        Some(self.scale)
    }
    fn check(&self) -> Result<(), Error> {
        finite("scale", self.scale).map(drop)
    }
    tile_forms!();
}

impl Zonal for Cosine {
    #[inline(always)]
    fn pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let scale = T::from_f64(self.scale);
        (scale * s, scale)
    }
}

/// κ(s) = e^{s/τ}, τ > 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exponential {
    /// τ, above 0.
    pub temperature: f64,
}

impl Kernel for Exponential {
    fn at(&self, s: f64) -> (f64, f64) {
        let value = (s / self.temperature).exp();
        (value, value / self.temperature)
    }
    fn ln_at(&self, s: f64) -> (f64, f64) {
        (s / self.temperature, 1.0 / self.temperature)
    }
    fn rate(&self) -> Option<f64> {
        Some(1.0 / self.temperature)
    }
    fn exponent(&self) -> Option<Exponent> {
        let scale = 1.0 / self.temperature;
        Some(Exponent { scale, offset: 0.0, most: f64::INFINITY })
    }
    fn is_completely_monotone(&self) -> bool {
        true
    }
    fn check(&self) -> Result<(), Error> {
        positive("temperature", self.temperature).map(drop)
    }
    tile_forms!();
}

impl Zonal for Exponential {
    #[inline(always)]
    fn pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let rate = T::from_f64(1.0 / self.temperature);
        let value = (rate * s).exp::<S>();
        (value, rate * value)
    }
    #[inline(always)]
    fn ln_pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let rate = T::from_f64(1.0 / self.temperature);
        (rate * s, rate)
    }
}

/// κ(s) = e^{−t r} with r = 2 − 2s and width t > 0: the exponential kernel of τ = 1/(2t), scaled to κ(1) = 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaussian {
    /// t, above 0.
    pub width: f64,
}

impl Kernel for Gaussian {
    fn at(&self, s: f64) -> (f64, f64) {
        let value = (-self.width * squared_distance(s)).exp();
        (value, 2.0 * self.width * value)
    }
    fn ln_at(&self, s: f64) -> (f64, f64) {
        (-self.width * squared_distance(s), 2.0 * self.width)
    }
    fn exponent(&self) -> Option<Exponent> {
        Some(Exponent { scale: 2.0 * self.width, offset: -2.0 * self.width, most: 0.0 })
    }
    fn is_completely_monotone(&self) -> bool {
        true
    }
    fn check(&self) -> Result<(), Error> {
        positive("width", self.width).map(drop)
    }
    tile_forms!();
}

impl Zonal for Gaussian {
    #[inline(always)]
    fn pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let value = (T::from_f64(-self.width) * square(s)).exp::<S>();
        (value, T::from_f64(2.0 * self.width) * value)
    }
    #[inline(always)]
    fn ln_pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        (T::from_f64(-self.width) * square(s), T::from_f64(2.0 * self.width))
    }
}

/// κ(s) = −½ ln(1 + t r), t > 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logarithmic {
    /// t, above 0.
    pub width: f64,
}

impl Kernel for Logarithmic {
    fn at(&self, s: f64) -> (f64, f64) {
        let r = squared_distance(s);
        (-0.5 * (self.width * r).ln_1p(), self.width / (1.0 + self.width * r))
    }
    fn is_positive(&self) -> bool {
        false
    }
    fn is_completely_monotone(&self) -> bool {
        true
    }
    fn check(&self) -> Result<(), Error> {
        positive("width", self.width).map(drop)
    }
    tile_forms!();
}

impl Zonal for Logarithmic {
    #[inline(always)]
    fn pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let width = T::from_f64(self.width);
        let grown = width.mul_add::<S>(square(s), T::from_f64(1.0));
        (T::from_f64(-0.5) * grown.ln::<S>(), width / grown)
    }
}

/// κ(s) = −½ ln r: the logarithmic energy, the limit of Riesz exponents → 0. Infinite where two points meet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogDistance;

impl Kernel for LogDistance {
    fn at(&self, s: f64) -> (f64, f64) {
        let r = squared_distance(s);
        (-0.5 * r.ln(), 1.0 / r)
    }
    fn is_positive(&self) -> bool {
        false
    }
    fn is_unbounded(&self) -> bool {
        true
    }
    fn is_completely_monotone(&self) -> bool {
        true
    }
    tile_forms!();
}

impl Zonal for LogDistance {
    #[inline(always)]
    fn pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let r = square(s);
        (T::from_f64(-0.5) * r.ln::<S>(), T::from_f64(1.0) / r)
    }
}

/// κ(s) = c (c² + r)^{−1/2}, c > 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InverseMultiquadric {
    /// c, above 0.
    pub offset: f64,
}

impl Kernel for InverseMultiquadric {
    fn at(&self, s: f64) -> (f64, f64) {
        let square = self.offset * self.offset + squared_distance(s);
        let value = self.offset / square.sqrt();
        (value, value / square)
    }
    fn is_completely_monotone(&self) -> bool {
        true
    }
    fn check(&self) -> Result<(), Error> {
        positive("offset", self.offset).map(drop)
    }
    tile_forms!();
}

impl Zonal for InverseMultiquadric {
    #[inline(always)]
    fn pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let square = T::from_f64(self.offset * self.offset) + square(s);
        let value = T::from_f64(self.offset) / square.sqrt();
        (value, value / square)
    }
}

/// κ(s) = s²: nearer than orthogonal costs as much as farther (HaoChen et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SquaredCosine;

impl Kernel for SquaredCosine {
    fn at(&self, s: f64) -> (f64, f64) {
        (s * s, 2.0 * s)
    }
    fn is_positive(&self) -> bool {
        false
    }
    tile_forms!();
}

impl Zonal for SquaredCosine {
    #[inline(always)]
    fn pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        (s * s, T::from_f64(2.0) * s)
    }
}

/// κ(s) = ln(1 + e^{a s + b}): the cost of a pair that a logistic regression on the cosine should tell from a match.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Softplus {
    /// a, of either sign.
    pub scale: f64,
    /// b.
    pub offset: f64,
}

impl Kernel for Softplus {
    fn at(&self, s: f64) -> (f64, f64) {
        let x = self.scale * s + self.offset;
        let power = (-x.abs()).exp();
        let share = if x > 0.0 { 1.0 } else { power } / (1.0 + power);
        (x.max(0.0) + power.ln_1p(), self.scale * share)
    }
    fn affine(&self) -> Option<(f64, f64)> {
        Some((self.scale, self.offset))
    }
    fn check(&self) -> Result<(), Error> {
        finite("scale", self.scale).and(finite("offset", self.offset)).map(drop)
    }
    tile_forms!();
}

impl Zonal for Softplus {
    #[inline(always)]
    fn pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let (zero, one) = (T::from_f64(0.0), T::from_f64(1.0));
        let scale = T::from_f64(self.scale);
        let x = scale.mul_add::<S>(s, T::from_f64(self.offset));
        let power = (-x.larger(-x)).exp::<S>();
        let grown = one + power;
        // ln(1 + p) = p · ln g/(g − 1) with g = 1 + p as rounded: the quotient's errors cancel.
        let rounded = grown - one;
        let ratio = if rounded == zero { one } else { grown.ln::<S>() / rounded };
        let share = if x > zero { one } else { power } / grown;
        (x.larger(zero) + power * ratio, scale * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_the_derivatives() {
        for kernel in catalogue() {
            for s in [-1.0 + 1e-4, -0.6, 0.0, 0.3, 0.9] {
                let error = |step: f64| {
                    let difference = (kernel.at(s + step).0 - kernel.at(s - step).0) / (2.0 * step);
                    (difference - kernel.at(s).1).abs()
                };
                let scale = 1.0 + kernel.at(s).1.abs();
                assert!(error(1e-5) < 1e-7 * scale, "{kernel:?} at {s}: {:e}", error(1e-5));
            }
        }
    }

    #[test]
    fn the_logarithmic_form_is_the_logarithm() {
        for kernel in catalogue().into_iter().filter(|kernel| kernel.is_positive()) {
            for s in [-0.9, -0.2, 0.5, 0.95] {
                let ((value, slope), (ln, ratio)) = (kernel.at(s), kernel.ln_at(s));
                assert!((value.ln() - ln).abs() < 1e-14 * (1.0 + ln.abs()), "{kernel:?}");
                assert!((slope / value - ratio).abs() < 1e-13 * ratio.abs(), "{kernel:?}");
            }
        }
    }

    #[test]
    fn repelling_kernels_cost_more_when_nearer() {
        for kernel in catalogue().into_iter().filter(|kernel| kernel.at(0.0).1 > 0.0) {
            assert!(kernel.at(0.8).0 > kernel.at(-0.8).0, "{kernel:?}");
        }
    }

    /// Cosines of −1 ≤ s < 1, denser towards 1; then 1 itself.
    fn cosines() -> Vec<f64> {
        let open = (0..4000).map(|i| 1.0 - 2.0 * (1.0 - f64::from(i) / 4000.0).powi(3));
        open.map(|s| f64::from(s as f32)).chain([1.0]).collect()
    }

    /// r is right to an ulp, so κ is right to an ulp times what a relative change of r does to it, at most 40 here.
    fn assert_near(kernel: &dyn Kernel, s: f64, got: (f64, f64), want: (f64, f64), epsilon: f64) {
        for (got, want) in [(got.0, want.0), (got.1, want.1)] {
            let near = (got - want).abs() <= 40.0 * epsilon * (want.abs() + 0.1);
            assert!(near || got == want, "{kernel:?} at {s}: {got:e} for {want:e}");
        }
    }

    #[test]
    fn tiles_are_the_definition() {
        let s = cosines();
        let narrow: Vec<f32> = s.iter().map(|&s| s as f32).collect();
        let blank = vec![0.0; s.len()];
        let narrow_blank = vec![0.0_f32; s.len()];
        for kernel in catalogue() {
            let forms = if kernel.is_positive() { 2 } else { 1 };
            for logarithmic in 0..forms {
                let (mut first, mut second) = (blank.clone(), blank.clone());
                let (mut narrow_first, mut narrow_second) = (narrow_blank.clone(), narrow_blank.clone());
                if logarithmic == 0 {
                    kernel.tile_f64(&s, &mut first, &mut second);
                    kernel.tile_f32(&narrow, &mut narrow_first, &mut narrow_second);
                } else {
                    kernel.ln_tile_f64(&s, &mut first, &mut second);
                    kernel.ln_tile_f32(&narrow, &mut narrow_first, &mut narrow_second);
                }
                for (i, &s) in s.iter().enumerate() {
                    let want = if logarithmic == 0 { kernel.at(s) } else { kernel.ln_at(s) };
                    if want.1.is_nan() {
                        continue; // κ′/κ where both are infinite
                    }
                    assert_near(&*kernel, s, (first[i], second[i]), want, f64::EPSILON);
                    let narrow = (f64::from(narrow_first[i]), f64::from(narrow_second[i]));
                    assert_near(&*kernel, s, narrow, want, f64::from(f32::EPSILON));
                }
            }
        }
    }

    #[test]
    fn an_exponent_is_the_logarithm() {
        for kernel in catalogue() {
            let Some(exponent) = kernel.exponent() else { continue };
            for s in cosines() {
                let ln = (exponent.scale * s + exponent.offset).min(exponent.most);
                let (want, ratio) = kernel.ln_at(s);
                assert!(
                    (ln - want).abs() < 1e-14 * (1.0 + want.abs()) && ratio == exponent.scale,
                    "{kernel:?}"
                );
            }
        }
    }
}
