//! Kernels that are powers of the distance.

mod estimated;

use pulp::Simd;

use super::tile::{self, Zonal, tile_forms};
use super::{Kernel, finite, positive, square, squared_distance};
use crate::Error;
use crate::elementary::Real;

/// κ(s) = r^{−p/2} for exponent p > 0, −r^{∣p∣/2} for −2 < p < 0: powers of the distance ‖x − y‖^{−p}, signed so that
/// nearer points cost more. Infinite for p > 0 where two points meet.
///
/// For p < 0 the slope is infinite where two points meet; there the gradient is taken as 0, its mean over directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Riesz {
    /// p, not 0. Up to −2 a minimum of the energy is no spread: at −2 only the mean is repelled, below it points gather in two antipodal
    /// clusters.
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
    /// −(p/2) ln r and p/r, where κ itself may be more than f64 holds, or less.
    fn ln_at(&self, s: f64) -> (f64, f64) {
        let (r, p) = (squared_distance(s), self.exponent);
        if p > 0.0 { (-0.5 * p * r.ln(), p / r) } else { (f64::NAN, f64::NAN) }
    }
    fn is_positive(&self) -> bool {
        self.exponent > 0.0
    }
    fn is_unbounded(&self) -> bool {
        self.exponent > 0.0
    }
    fn is_completely_monotone(&self) -> bool {
        self.exponent > -2.0 && self.exponent != 0.0
    }
    fn check(&self) -> Result<(), Error> {
        let exponent = finite("exponent", self.exponent)?;
        if exponent == 0.0 {
            return Err(Error::new(
                "exponent is 0; a Riesz kernel needs another (its limit there is the logarithm of the distance)",
            ));
        }
        Ok(())
    }
    fn takes_rounded(&self) -> bool {
        true
    }
    fn tile_f32(&self, cosines: &[f32], value: &mut [f32], slope: &mut [f32]) {
        self.tile(cosines, value, slope);
    }
    fn tile_f64(&self, cosines: &[f64], value: &mut [f64], slope: &mut [f64]) {
        if self.exponent != 1.0 || !estimated::fill(cosines, value, slope) {
            self.tile(cosines, value, slope);
        }
    }
    fn ln_tile_f32(&self, cosines: &[f32], ln: &mut [f32], ratio: &mut [f32]) {
        tile::fill(self, true, cosines, ln, ratio);
    }
    fn ln_tile_f64(&self, cosines: &[f64], ln: &mut [f64], ratio: &mut [f64]) {
        tile::fill(self, true, cosines, ln, ratio);
    }
}

impl Riesz {
    /// The usual exponents are known to the compiler, which otherwise computes a logarithm for every pair.
    fn tile<T: Real>(&self, cosines: &[T], value: &mut [T], slope: &mut [T]) {
        if self.exponent == 1.0 {
            tile::fill(&InverseDistance, false, cosines, value, slope);
        } else if self.exponent == -1.0 {
            tile::fill(&Distance, false, cosines, value, slope);
        } else {
            tile::fill(self, false, cosines, value, slope);
        }
    }
}

/// [`Riesz`] of exponent 1.
struct InverseDistance;

impl Zonal for InverseDistance {
    #[inline(always)]
    fn pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let inverse = square(s).inverse_root::<S>();
        (inverse, inverse * inverse * inverse)
    }
}

/// [`Riesz`] of exponent −1.
struct Distance;

impl Zonal for Distance {
    #[inline(always)]
    fn pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let (zero, distance) = (T::from_f64(0.0), square(s).sqrt());
        let slope = T::from_f64(1.0) / distance;
        (-distance, if distance == zero { zero } else { slope })
    }
}

impl Zonal for Riesz {
    #[inline(always)]
    fn pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let r = square(s);
        let p = self.exponent;
        let power = raised::<T, S>(r, -0.5 * p);
        let value = if p > 0.0 { power } else { -power };
        let slope = T::from_f64(p) * value / r;
        let meets = p < 0.0 && r == T::from_f64(0.0);
        (value, if meets { T::from_f64(0.0) } else { slope })
    }

    #[inline(always)]
    fn ln_pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let r = square(s);
        (T::from_f64(-0.5 * self.exponent) * r.ln::<S>(), T::from_f64(self.exponent) / r)
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
    fn check(&self) -> Result<(), Error> {
        positive("exponent", self.exponent).map(drop)
    }
    tile_forms!();
}

impl Zonal for DistancePower {
    #[inline(always)]
    fn pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let r = square(s);
        let value = raised::<T, S>(r, 0.5 * self.exponent);
        let slope = T::from_f64(-self.exponent) * value / r;
        let where_they_meet = T::from_f64(if self.exponent == 2.0 { -2.0 } else { 0.0 });
        (value, if r == T::from_f64(0.0) { where_they_meet } else { slope })
    }
}

/// r^power for r ≥ 0; the powers of the usual exponents without a logarithm.
#[inline(always)]
fn raised<T: Real, S: Simd>(r: T, power: f64) -> T {
    let one = T::from_f64(1.0);
    if power == 0.5 {
        r.sqrt()
    } else if power == -0.5 {
        one / r.sqrt()
    } else if power == 1.0 {
        r
    } else if power == -1.0 {
        one / r
    } else {
        (T::from_f64(power) * r.ln::<S>()).exp::<S>()
    }
}
