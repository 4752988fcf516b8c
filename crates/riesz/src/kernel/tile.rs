//! The tile form of a kernel: the formulas of [`Kernel::at`] and [`Kernel::ln_at`] in the scalar's own precision, for
//! many cosines at one dynamic call.

use pulp::{Simd, WithSimd};

use super::Kernel;
use crate::elementary::{Real, widest};

/// A kernel's formulas for either scalar: what [`tile_forms`] makes the four tile methods of.
pub(super) trait Zonal {
    /// (κ, κ′) at a cosine.
    fn pair<T: Real, S: Simd>(&self, s: T) -> (T, T);

    /// (ln κ, κ′/κ) at a cosine.
    #[inline(always)]
    fn ln_pair<T: Real, S: Simd>(&self, s: T) -> (T, T) {
        let (value, slope) = self.pair::<T, S>(s);
        (value.ln::<S>(), slope / value)
    }
}

/// (κ, κ′) or, if `logarithmic`, (ln κ, κ′/κ) at every cosine.
pub(super) fn fill<K: Zonal, T: Real>(
    kernel: &K,
    logarithmic: bool,
    cosines: &[T],
    first: &mut [T],
    second: &mut [T],
) {
    assert!(
        cosines.len() == first.len() && cosines.len() == second.len(),
        "a tile's slices differ in length"
    );
    widest(Fill { kernel, logarithmic, cosines, first, second });
}

struct Fill<'a, K, T> {
    kernel: &'a K,
    logarithmic: bool,
    cosines: &'a [T],
    first: &'a mut [T],
    second: &'a mut [T],
}

impl<K: Zonal, T: Real> WithSimd for Fill<'_, K, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let each = self.cosines.iter().zip(self.first).zip(self.second);
        if self.logarithmic {
            for ((&s, first), second) in each {
                (*first, *second) = self.kernel.ln_pair::<T, S>(s);
            }
        } else {
            for ((&s, first), second) in each {
                (*first, *second) = self.kernel.pair::<T, S>(s);
            }
        }
    }
}

/// The four tile methods of a [`Kernel`] that is [`Zonal`].
macro_rules! tile_forms {
    () => {
        fn takes_rounded(&self) -> bool {
            true
        }
        fn tile_f32(&self, cosines: &[f32], value: &mut [f32], slope: &mut [f32]) {
            tile::fill(self, false, cosines, value, slope);
        }
        fn tile_f64(&self, cosines: &[f64], value: &mut [f64], slope: &mut [f64]) {
            tile::fill(self, false, cosines, value, slope);
        }
        fn ln_tile_f32(&self, cosines: &[f32], ln: &mut [f32], ratio: &mut [f32]) {
            tile::fill(self, true, cosines, ln, ratio);
        }
        fn ln_tile_f64(&self, cosines: &[f64], ln: &mut [f64], ratio: &mut [f64]) {
            tile::fill(self, true, cosines, ln, ratio);
        }
    };
}
pub(super) use tile_forms;

/// The tile methods by the type of the scalar.
pub trait Tiled: Sized {
    /// [`Kernel::tile_f32`] or [`Kernel::tile_f64`] of cosines as they were rounded, which are brought into [−1, 1] for a kernel that is
    /// not defined elsewhere.
    fn tile(kernel: &dyn Kernel, cosines: &mut [Self], value: &mut [Self], slope: &mut [Self]);
    /// The same of [`Kernel::ln_tile_f32`] or [`Kernel::ln_tile_f64`].
    fn ln_tile(kernel: &dyn Kernel, cosines: &mut [Self], ln: &mut [Self], ratio: &mut [Self]);
}

impl Tiled for f32 {
    fn tile(kernel: &dyn Kernel, cosines: &mut [Self], value: &mut [Self], slope: &mut [Self]) {
        bring_in(kernel, cosines);
        kernel.tile_f32(cosines, value, slope);
    }
    fn ln_tile(kernel: &dyn Kernel, cosines: &mut [Self], ln: &mut [Self], ratio: &mut [Self]) {
        bring_in(kernel, cosines);
        kernel.ln_tile_f32(cosines, ln, ratio);
    }
}

impl Tiled for f64 {
    fn tile(kernel: &dyn Kernel, cosines: &mut [Self], value: &mut [Self], slope: &mut [Self]) {
        bring_in(kernel, cosines);
        kernel.tile_f64(cosines, value, slope);
    }
    fn ln_tile(kernel: &dyn Kernel, cosines: &mut [Self], ln: &mut [Self], ratio: &mut [Self]) {
        bring_in(kernel, cosines);
        kernel.ln_tile_f64(cosines, ln, ratio);
    }
}

fn bring_in<T: Real>(kernel: &dyn Kernel, cosines: &mut [T]) {
    if !kernel.takes_rounded() {
        let one = T::from_f64(1.0);
        cosines.iter_mut().for_each(|s| *s = s.larger(-one).smaller(one));
    }
}
