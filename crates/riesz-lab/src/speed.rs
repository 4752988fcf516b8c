//! How fast a loss is evaluated on this machine: value and gradient with respect to unit rows, beside the machine's own
//! matrix product in the same minute on the same threads.

use std::time::{Duration, Instant};

use rayon::prelude::*;
use riesz::engine::{Engine, Fused, ValueAndGrad};
use riesz::loss::Loss;
use riesz::product::weighted_rows;
use riesz::rng::{Key, normal};
use riesz::{Matrix, Points, Scalar, normalize};

use crate::{Result, memory};

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

/// Measures `loss`: a first call for the memory, which also allocates what threads keep, then as many as fit in `time`, but
/// at least [`PARTS`]. `called` hears of each call.
///
/// # Errors
/// If the loss cannot be evaluated at that size.
pub fn measure<T: Scalar>(
    loss: &Loss,
    size: Size,
    time: Duration,
    product: &mut Product<T>,
    mut called: impl FnMut(),
) -> Result<Speed> {
    let rows: Vec<Matrix<T>> =
        (0..size.views).map(|view| unit_rows(size.images, size.dim, Key::new(view as u64))).collect();
    let views: Vec<Points<'_, T>> = rows.iter().map(Points::new).collect::<std::result::Result<_, _>>()?;
    let mut call = || -> Result<(f64, ValueAndGrad<T>)> {
        let started = Instant::now();
        let outcome = Fused.value_and_grad(loss, &views)?;
        let seconds = started.elapsed().as_secs_f64();
        called();
        Ok((seconds, outcome))
    };

    let (first, rise) = memory::peak(&mut call);
    let mut shortest = first?.0;
    if shortest < time.as_secs_f64() {
        shortest = call()?.0.min(shortest);
    }
    let per_part = (time.as_secs_f64() / shortest / PARTS as f64) as usize;
    // Odd, so that there is a call in the middle.
    let per_part = per_part.clamp(1, MOST).div_ceil(2) * 2 - 1;

    let (mut seconds, mut products) = (Vec::new(), Vec::new());
    for _ in 0..PARTS {
        products.push(product.rate());
        for _ in 0..per_part {
            seconds.push(call()?.0);
        }
    }
    seconds.sort_by(f64::total_cmp);
    products.sort_by(f64::total_cmp);
    let gradients = (size.rows() * size.dim * size_of::<T>()) as u64;
    Ok(Speed {
        seconds,
        multiply_adds: Fused::multiply_adds::<T>(loss, size.images, size.views, size.dim),
        product: products[PARTS / 2],
        extra: rise.map(|rise| rise.saturating_sub(gradients)),
    })
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

/// A square product whose rows are dealt to all threads: the machine's own rate.
pub struct Product<T> {
    left: Matrix<T>,
    right: Matrix<T>,
    out: Matrix<T>,
}

impl<T: Scalar> Product<T> {
    /// Rows and columns of each of its three matrices: large enough for full speed, and a fraction of a second.
    pub const SIDE: usize = 2048;

    /// Its matrices, filled.
    pub fn new() -> Self {
        let [left, right] = [1, 2].map(|seed| unit_rows(Self::SIDE, Self::SIDE, Key::new(seed)));
        let mut product = Self { left, right, out: Matrix::zeros(Self::SIDE, Self::SIDE) };
        // Once, to allocate what threads keep.
        product.rate();
        product
    }

    /// Multiply-adds a second, this time.
    pub fn rate(&mut self) -> f64 {
        let started = Instant::now();
        let numbers = Self::SIDE.div_ceil(rayon::current_num_threads()) * Self::SIDE;
        let right = self.right.as_slice();
        self.out
            .as_mut_slice()
            .par_chunks_mut(numbers)
            .zip(self.left.as_slice().par_chunks(numbers))
            .for_each(|(out, left)| weighted_rows(left, right, Self::SIDE, Self::SIDE, out));
        (Self::SIDE as f64).powi(3) / started.elapsed().as_secs_f64()
    }
}

impl<T: Scalar> Default for Product<T> {
    fn default() -> Self {
        Self::new()
    }
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
        let mut product = Product::<f32>::new();
        let speed = measure(&loss, size, Duration::ZERO, &mut product, || calls += 1).unwrap();
        assert_eq!((speed.seconds.len(), calls), (PARTS, PARTS + 1));
        assert_eq!(speed.multiply_adds, 3.0 * 32.0 * 32.0 * 8.0);
        let speed = measure(&loss, size, Duration::from_millis(20), &mut product, || ()).unwrap();
        assert!(speed.seconds.len() % 2 == 1 && speed.seconds.is_sorted());
    }
}
