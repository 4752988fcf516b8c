//! Normalization of a channel by the moments of a batch (Ioffe & Szegedy 2015), and what its gradient is made of.

use super::Tensor;
use super::loops::{Moments, Norm, NormGradient};
use crate::network::{BATCH_EPSILON as EPSILON, BATCH_MOMENTUM as MOMENTUM, Role};

/// One normalization.
#[derive(Debug, Default)]
pub(super) struct BatchNorm {
    /// Whether its outcome is not written.
    pub(super) passes: bool,
    pub(super) norm: Norm,
    /// Of the batch, in training.
    moments: Moments,
    deviation: Vec<f64>,
    pub(super) back: NormGradient,
    /// For each slot of the layer that reads it Σ g and Σ g (x − mean) of each channel; of one slot if no reader took them.
    pub(super) sums: Vec<f64>,
    pub(super) is_summed: bool,
    /// Their sum.
    totals: Vec<f64>,
}

impl BatchNorm {
    pub(super) fn new(passes: bool, relu: bool) -> Self {
        Self { passes, norm: Norm { relu, ..Norm::default() }, ..Self::default() }
    }

    /// Takes the moments of this batch, or the running ones. `tensors`: γ, β, running mean, running variance.
    pub(super) fn set(&mut self, c: usize, tensors: &[Tensor], batch: Option<&[Moments]>) {
        let [gamma, beta, mean, variance] = tensors else { unreachable!("a batch norm has four tensors") };
        let (gamma, beta) = (&gamma.values, &beta.values);
        self.moments.count = 0.0;
        for chunk in batch.into_iter().flatten().filter(|chunk| chunk.count > 0.0) {
            self.moments.add(chunk);
        }
        let Moments { count, mean: of_batch, squares } = &self.moments;
        let mean = |i: usize| if batch.is_some() { of_batch[i] } else { f64::from(mean.values[i]) };
        let variance =
            |i: usize| if batch.is_some() { squares[i] / count } else { f64::from(variance.values[i]) };
        self.deviation.clear();
        self.deviation.extend((0..c).map(|i| (variance(i) + EPSILON).sqrt()));
        self.norm.mean.set(c, |i| mean(i) as f32);
        self.norm.scale.set(c, |i| (f64::from(gamma[i]) / self.deviation[i]) as f32);
        self.norm.shift.set(c, |i| beta[i]);
        self.is_summed = false;
    }

    /// Takes the batch's moments into the running ones; a frozen one had none.
    pub(super) fn follow(&self, tensors: &mut [Tensor]) {
        let Moments { count, mean, squares } = &self.moments;
        if *count == 0.0 {
            return;
        }
        for i in 0..mean.len() {
            let unbiased = squares[i] / (count - 1.0).max(1.0);
            for (tensor, of_batch) in [(2, mean[i]), (3, unbiased)] {
                let running = &mut tensors[tensor].values[i];
                *running = (f64::from(*running) * (1.0 - MOMENTUM) + of_batch * MOMENTUM) as f32;
            }
        }
    }

    /// Takes the sums, and leaves what the gradient of its input is made of, and those of γ and β.
    pub(super) fn set_back(&mut self, c: usize, count: f64, tensors: &mut [Tensor]) {
        self.totals.clear();
        self.totals.resize(2 * c, 0.0);
        for sums in self.sums.chunks_exact(2 * c) {
            for (total, sum) in self.totals.iter_mut().zip(sums) {
                *total += sum;
            }
        }
        let (plain, centered) = self.totals.split_at(c);
        let deviation = &self.deviation;
        let factor = |i: usize| f64::from(tensors[0].values[i]) / deviation[i];
        self.back.mean.copy(&self.norm.mean);
        self.back.of_gradient.set(c, |i| factor(i) as f32);
        self.back.of_value.set(c, |i| (-factor(i) * centered[i] / (deviation[i].powi(2) * count)) as f32);
        self.back.constant.set(c, |i| (-factor(i) * plain[i] / count) as f32);
        for i in 0..c {
            tensors[0].gradient[i] = (centered[i] / deviation[i]) as f32;
        }
        if matches!(tensors[1].spec.role, Role::Learned { .. }) {
            for i in 0..c {
                tensors[1].gradient[i] = plain[i] as f32;
            }
        }
    }
}
