//! Zonal kernels: what two points at cosine s cost each other.
//!
//! Every kernel here is a function of the cosine alone, because ‖x − y‖² = 2 − 2s =: r on the unit sphere. Its slope
//! κ′ is the derivative with respect to s: dκ/ds = −2 dκ/dr.
//!
//! | kernel | κ(s) | κ′(s) |
//! |---|---|---|
//! | [`Cosine`] | c s | c |
//! | [`Exponential`] | e^{s/τ} | κ/τ |
//! | [`Gaussian`] | e^{−t r} | 2t κ |
//! | [`Logarithmic`] | −½ ln(1 + t r) | t/(1 + t r) |
//! | [`LogDistance`] | −½ ln r | 1/r |
//! | [`InverseMultiquadric`] | c (c² + r)^{−1/2} | c (c² + r)^{−3/2} |
//! | [`Riesz`], p > 0 | r^{−p/2} | p r^{−p/2−1} |
//! | [`Riesz`], p < 0 | −r^{∣p∣/2} | ∣p∣ r^{∣p∣/2−1} |
//! | [`DistancePower`] | r^{α/2} | −α r^{α/2−1} |
//!
//! Kernels of Koromilas et al., ICML 2024 (their Gaussian, logarithmic, inverse multiquadric and Riesz).

use std::fmt::Debug;

/// A zonal kernel κ on the sphere.
pub trait Kernel: Debug + Send + Sync {
    /// (κ(s), κ′(s)) at one cosine s ∈ [−1, 1]. This is the definition.
    fn at(&self, s: f64) -> (f64, f64);

    /// (ln κ(s), κ′(s)/κ(s)), for links that take a logarithm; only meaningful where κ > 0.
    fn ln_at(&self, s: f64) -> (f64, f64) {
        let (value, slope) = self.at(s);
        (value.ln(), slope / value)
    }

    /// `at` for many cosines; provided, so that one dynamic call serves a whole tile.
    fn tile(&self, cosines: &[f64], value: &mut [f64], slope: &mut [f64]) {
        for ((s, v), d) in cosines.iter().zip(value).zip(slope) {
            (*v, *d) = self.at(*s);
        }
    }

    /// `ln_at` for many cosines.
    fn ln_tile(&self, cosines: &[f64], ln: &mut [f64], ratio: &mut [f64]) {
        for ((s, v), d) in cosines.iter().zip(ln).zip(ratio) {
            (*v, *d) = self.ln_at(*s);
        }
    }

    /// Whether κ > 0 everywhere, so that its logarithm may be taken.
    fn is_positive(&self) -> bool {
        true
    }

    /// Whether κ grows without bound as two points meet (s → 1).
    fn is_unbounded(&self) -> bool {
        false
    }
}

/// Squared distance of two unit vectors at cosine `s`; rounding may not make it negative.
fn squared_distance(s: f64) -> f64 {
    (2.0 - 2.0 * s).max(0.0)
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
}

/// κ(s) = r^{−p/2} for exponent p > 0, −r^{∣p∣/2} for −2 < p < 0: powers of the distance ‖x − y‖^{−p}, signed so that
/// nearer points cost more. Infinite for p > 0 where two points meet.
///
/// For p < 0 the slope is infinite where two points meet; there the gradient is taken as 0, its mean over directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Riesz {
    /// p, above −2 and not 0.
    pub exponent: f64,
}

impl Kernel for Riesz {
    fn at(&self, s: f64) -> (f64, f64) {
        let r = squared_distance(s);
        let p = self.exponent;
        if p > 0.0 {
            let value = r.powf(-0.5 * p);
            (value, p * value / r)
        } else if r == 0.0 {
            (0.0, 0.0)
        } else {
            let value = -r.powf(-0.5 * p);
            (value, p * value / r)
        }
    }
    fn is_positive(&self) -> bool {
        self.exponent > 0.0
    }
    fn is_unbounded(&self) -> bool {
        self.exponent > 0.0
    }
}

/// κ(s) = r^{α/2} = ‖x − y‖^α, α > 0: what alignment sums (Wang & Isola, ICML 2020).
///
/// For α < 2 the slope is infinite where two points meet; there the gradient is taken as 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DistancePower {
    /// α, above 0.
    pub exponent: f64,
}

impl Kernel for DistancePower {
    fn at(&self, s: f64) -> (f64, f64) {
        let r = squared_distance(s);
        let value = r.powf(0.5 * self.exponent);
        if r == 0.0 {
            (value, if self.exponent == 2.0 { -2.0 } else { 0.0 })
        } else {
            (value, -self.exponent * value / r)
        }
    }
    fn is_positive(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Box<dyn Kernel>> {
        vec![
            Box::new(Cosine { scale: 3.0 }),
            Box::new(Exponential { temperature: 0.3 }),
            Box::new(Gaussian { width: 2.0 }),
            Box::new(Logarithmic { width: 2.0 }),
            Box::new(LogDistance),
            Box::new(InverseMultiquadric { offset: 0.7 }),
            Box::new(Riesz { exponent: 1.0 }),
            Box::new(Riesz { exponent: -1.0 }),
            Box::new(Riesz { exponent: 2.5 }),
            Box::new(DistancePower { exponent: 2.0 }),
            Box::new(DistancePower { exponent: 1.0 }),
        ]
    }

    #[test]
    fn slopes_are_the_derivatives() {
        for kernel in all() {
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
        for kernel in all().into_iter().filter(|kernel| kernel.is_positive()) {
            for s in [-0.9, -0.2, 0.5, 0.95] {
                let ((value, slope), (ln, ratio)) = (kernel.at(s), kernel.ln_at(s));
                assert!((value.ln() - ln).abs() < 1e-14 * (1.0 + ln.abs()), "{kernel:?}");
                assert!((slope / value - ratio).abs() < 1e-13 * ratio.abs(), "{kernel:?}");
            }
        }
    }

    #[test]
    fn repelling_kernels_cost_more_when_nearer() {
        for kernel in all().into_iter().filter(|kernel| kernel.at(0.0).1 > 0.0) {
            assert!(kernel.at(0.8).0 > kernel.at(-0.8).0, "{kernel:?}");
        }
    }
}
