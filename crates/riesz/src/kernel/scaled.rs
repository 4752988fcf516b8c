//! The exponential kernel times a constant, for losses that count a pair in part.

use pulp::Simd;

use super::tile::{self, Zonal, tile_forms};
use super::{Exponent, Kernel, positive};
use crate::Error;
use crate::elementary::Real;

/// κ(s) = c e^{s/τ}, with τ > 0 and c > 0. In a logarithmic link c adds ln c to the value and nothing to the gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaledExponential {
    /// τ, above 0.
    pub temperature: f64,
    /// c, above 0.
    pub factor: f64,
}

impl Kernel for ScaledExponential {
    fn at(&self, s: f64) -> (f64, f64) {
        let value = self.factor * (s / self.temperature).exp();
        (value, value / self.temperature)
    }
    fn ln_at(&self, s: f64) -> (f64, f64) {
        (s / self.temperature + self.factor.ln(), 1.0 / self.temperature)
    }
    fn rate(&self) -> Option<f64> {
        Some(1.0 / self.temperature)
    }
    fn exponent(&self) -> Option<Exponent> {
        let scale = 1.0 / self.temperature;
        Some(Exponent { scale, offset: self.factor.ln(), most: f64::INFINITY })
    }
    fn is_completely_monotone(&self) -> bool {
        true
    }
    fn check(&self) -> Result<(), Error> {
        positive("temperature", self.temperature).and(positive("factor", self.factor)).map(drop)
    }
    tile_forms!();
}

impl Zonal for ScaledExponential {
    #[inline(always)]
    fn pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let rate = T::from_f64(1.0 / self.temperature);
        let value = T::from_f64(self.factor) * (rate * s).exp::<S>();
        (value, rate * value)
    }
    #[inline(always)]
    fn ln_pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let rate = T::from_f64(1.0 / self.temperature);
        (rate.mul_add::<S>(s, T::from_f64(self.factor.ln())), rate)
    }
}
