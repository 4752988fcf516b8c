//! How fast a loss is on a device of Burn's.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use riesz::loss::Loss;
use riesz::rng::Key;

use super::{Place, Size, Speed, timed, unit_rows};
use crate::network::burn::rows;
use crate::{Error, Result, device_loss};

/// A device of Burn's, in `f32`.
pub struct OnDevice {
    device: Device,
    side: usize,
    left: Tensor<2>,
    right: Tensor<2>,
}

impl OnDevice {
    const SIDE: usize = 4096;
    /// So many that waiting for the device counts little.
    const PRODUCTS: usize = 5;

    /// Its matrices, filled.
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(device: &Device) -> Result<Self> {
        Self::with_side(device, Self::SIDE)
    }

    /// Its matrices, filled, of another size.
    ///
    /// # Errors
    /// If the device fails.
    pub fn with_side(device: &Device, side: usize) -> Result<Self> {
        let [left, right] = [1, 2].map(|seed| rows(&unit_rows(side, side, Key::new(seed)), device));
        let mut place = Self { device: device.clone(), side, left, right };
        // Once, to compile.
        place.rate()?;
        Ok(place)
    }
}

impl Place for OnDevice {
    fn side(&self) -> usize {
        self.side
    }

    fn rate(&mut self) -> Result<f64> {
        wait(&self.device)?;
        let started = Instant::now();
        for _ in 0..Self::PRODUCTS {
            drop(self.left.clone().matmul(self.right.clone()));
        }
        wait(&self.device)?;
        Ok(Self::PRODUCTS as f64 * (self.side as f64).powi(3) / started.elapsed().as_secs_f64())
    }

    fn multiply_adds(&self, loss: &Loss, size: Size) -> f64 {
        device_loss::multiply_adds(loss, size.images, size.views, size.dim)
    }

    fn measure(
        &mut self,
        loss: &Loss,
        size: Size,
        time: Duration,
        called: &mut dyn FnMut(),
    ) -> Result<Speed> {
        let z = rows(&unit_rows(size.rows(), size.dim, Key::new(0)), &self.device);
        let device = self.device.clone();
        let mut call = || -> Result<f64> {
            wait(&device)?;
            let started = Instant::now();
            drop(device_loss::value_and_grad(loss, z.clone(), size.views)?);
            wait(&device)?;
            let seconds = started.elapsed().as_secs_f64();
            called();
            Ok(seconds)
        };
        // The first call compiles.
        call()?;
        let first = call()?;
        let (seconds, product) = timed(self, first, time, call)?;
        Ok(Speed { seconds, multiply_adds: self.multiply_adds(loss, size), product, extra: None })
    }
}

/// Waits until the device has done what was asked of it.
fn wait(device: &Device) -> Result<()> {
    device.sync().map_err(|error| Error::input(format!("the device failed: {error}")))
}
