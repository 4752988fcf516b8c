//! How fast a loss is evaluated: value and gradient, beside a plain matrix product in the same minute on the same threads or
//! the same device. On the CPU with respect to unit rows; on a device with respect to raw rows, as training needs it there.

#[cfg(feature = "gpu")]
mod on_device;

use std::time::{Duration, Instant};

use rayon::prelude::*;
use riesz::engine::{Engine, Fused, ValueAndGrad};
use riesz::loss::Loss;
use riesz::product::weighted_rows;
use riesz::rng::{Key, normal};
use riesz::{Matrix, Points, Scalar, normalize};

use crate::{Result, memory};

#[cfg(feature = "gpu")]
pub use on_device::OnDevice;

/// The sizes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Images: M of the papers. With two views, the batch has M matched pairs and 2M rows.
    pub images: usize,
    /// Views K of each image.
    pub views: usize,
    /// Ambient dimension d.
    pub dim: usize,
}

impl Size {
    /// Rows of all views.
    pub fn rows(self) -> usize {
        self.images * self.views
    }
}

/// What was measured of a loss at one size.
#[derive(Clone, Debug)]
pub struct Speed {
    /// Seconds of each call, from fast to slow; an odd number.
    pub seconds: Vec<f64>,
    /// [`Fused::multiply_adds`] of a call.
    pub multiply_adds: f64,
    /// Multiply-adds a second of the product, the median of [`PARTS`] between the calls.
    pub product: f64,
    /// Bytes that a call takes beyond rows and gradients, by [`memory::peak`].
    pub extra: Option<u64>,
}

impl Speed {
    /// Median seconds of a call.
    pub fn median(&self) -> f64 {
        self.seconds[self.seconds.len() / 2]
    }

    /// Multiply-adds a second, in units of the product's.
    pub fn share(&self) -> f64 {
        self.multiply_adds / self.median() / self.product
    }
}

/// Into how many parts the calls are divided, a product before each, so that both see the same machine.
pub const PARTS: usize = 3;
/// Most calls of a part.
const MOST: usize = 333;

/// Where losses are measured, with that place's own matrix product.
pub trait Place {
    /// Rows and columns of each of the product's three matrices: large enough for full speed, and a fraction of a second.
    fn side(&self) -> usize;

    /// Multiply-adds a second of the product, this time.
    ///
    /// # Errors
    /// If the device fails.
    fn rate(&mut self) -> Result<f64>;

    /// Multiply-adds of the products of a call.
    fn multiply_adds(&self, loss: &Loss, size: Size) -> f64;

    /// Measures `loss`: a first call for the memory, which also allocates what threads keep, then as many as fit in `time`,
    /// but at least [`PARTS`]. `called` hears of each call.
    ///
    /// # Errors
    /// If the loss cannot be evaluated at that size, or the device fails.
    fn measure(&mut self, loss: &Loss, size: Size, time: Duration, called: &mut dyn FnMut())
    -> Result<Speed>;
}

/// Seconds of calls, from fast to slow, an odd number, and the rate of the product between them. `first`: of a call before.
fn timed(
    place: &mut dyn Place,
    first: f64,
    time: Duration,
    mut call: impl FnMut() -> Result<f64>,
) -> Result<(Vec<f64>, f64)> {
    let mut shortest = first;
    if shortest < time.as_secs_f64() {
        shortest = call()?.min(shortest);
    }
    let per_part = (time.as_secs_f64() / shortest / PARTS as f64) as usize;
    // Odd, so that there is a call in the middle.
    let per_part = per_part.clamp(1, MOST).div_ceil(2) * 2 - 1;

    let (mut seconds, mut products) = (Vec::new(), Vec::new());
    for _ in 0..PARTS {
        products.push(place.rate()?);
        for _ in 0..per_part {
            seconds.push(call()?);
        }
    }
    seconds.sort_by(f64::total_cmp);
    products.sort_by(f64::total_cmp);
    Ok((seconds, products[PARTS / 2]))
}

/// The CPU: rows of a product are dealt to all threads.
pub struct Cpu<T> {
    left: Matrix<T>,
    right: Matrix<T>,
    out: Matrix<T>,
}

impl<T: Scalar> Cpu<T> {
    const SIDE: usize = 2048;

    /// Its matrices, filled.
    pub fn new() -> Self {
        let [left, right] = [1, 2].map(|seed| unit_rows(Self::SIDE, Self::SIDE, Key::new(seed)));
        let mut cpu = Self { left, right, out: Matrix::zeros(Self::SIDE, Self::SIDE) };
        // Once, to allocate what threads keep.
        cpu.product();
        cpu
    }

    fn product(&mut self) {
        let numbers = Self::SIDE.div_ceil(rayon::current_num_threads()) * Self::SIDE;
        let right = self.right.as_slice();
        self.out
            .as_mut_slice()
            .par_chunks_mut(numbers)
            .zip(self.left.as_slice().par_chunks(numbers))
            .for_each(|(out, left)| weighted_rows(left, right, Self::SIDE, Self::SIDE, out));
    }
}

impl<T: Scalar> Default for Cpu<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Scalar> Place for Cpu<T> {
    fn side(&self) -> usize {
        Self::SIDE
    }

    fn rate(&mut self) -> Result<f64> {
        let started = Instant::now();
        self.product();
        Ok((Self::SIDE as f64).powi(3) / started.elapsed().as_secs_f64())
    }

    fn multiply_adds(&self, loss: &Loss, size: Size) -> f64 {
        Fused::multiply_adds::<T>(loss, size.images, size.views, size.dim)
    }

    fn measure(
        &mut self,
        loss: &Loss,
        size: Size,
        time: Duration,
        called: &mut dyn FnMut(),
    ) -> Result<Speed> {
        let rows: Vec<Matrix<T>> =
            (0..size.views).map(|view| unit_rows(size.images, size.dim, Key::new(view as u64))).collect();
        let views: Vec<Points<'_, T>> =
            rows.iter().map(Points::new).collect::<std::result::Result<_, _>>()?;
        let mut call = || -> Result<(f64, ValueAndGrad<T>)> {
            let started = Instant::now();
            let outcome = Fused.value_and_grad(loss, &views)?;
            let seconds = started.elapsed().as_secs_f64();
            called();
            Ok((seconds, outcome))
        };
        let (first, rise) = memory::peak(&mut call);
        let first = first?.0;
        let (seconds, product) = timed(self, first, time, || Ok(call()?.0))?;
        let gradients = (size.rows() * size.dim * size_of::<T>()) as u64;
        Ok(Speed {
            seconds,
            multiply_adds: self.multiply_adds(loss, size),
            product,
            extra: rise.map(|rise| rise.saturating_sub(gradients)),
        })
    }
}

/// Rows of random directions.
fn unit_rows<T: Scalar>(rows: usize, dim: usize, key: Key) -> Matrix<T> {
    let mut rng = key.rng();
    let numbers = (0..rows * dim).map(|_| T::from_f64(normal(&mut rng))).collect();
    let mut rows = Matrix::new(numbers, dim);
    // A row of normal draws that is zero has not been seen, and `Points` would refuse it.
    drop(normalize(&mut rows));
    rows
}

#[cfg(test)]
mod tests {
    use riesz::loss::Convention;

    use super::*;

    #[test]
    fn calls_are_odd_in_number_and_each_is_told() {
        let loss = Loss::dhel(0.3, Convention::Reference).unwrap();
        let size = Size { images: 32, views: 2, dim: 8 };
        let mut calls = 0;
        let mut cpu = Cpu::<f32>::new();
        let speed = cpu.measure(&loss, size, Duration::ZERO, &mut || calls += 1).unwrap();
        assert_eq!((speed.seconds.len(), calls), (PARTS, PARTS + 1));
        assert_eq!(speed.multiply_adds, 3.0 * 32.0 * 32.0 * 8.0);
        let speed = cpu.measure(&loss, size, Duration::from_millis(20), &mut || ()).unwrap();
        assert!(speed.seconds.len() % 2 == 1 && speed.seconds.is_sorted());
    }
}
