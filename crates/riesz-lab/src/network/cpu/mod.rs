//! The engine that runs networks on processors.
//!
//! Everything about a (network, batch) that shapes decide is planned once (`plan`); its buffers are kept, so that a step
//! after the first allocates nothing. Numbers are `f32`, channels last, n images one after another.
//!
//! **What is kept.** A convolution's outcome is written once, and its moments are taken while it is in the cache. The
//! normalization after it is not written at all if a single layer reads it that can normalize while it reads (a convolution,
//! another normalization that adds it): such a normalization is *passing*, and so is x Φ(x) before a linear map. Only where
//! several layers read, at the end of a residual block, the normalized, added and cut numbers are written.
//!
//! **The way back** goes the same way: the gradient of a normalization's input is never written, but made while the
//! convolution before it reads. What it needs are two sums for each channel, which are taken where its gradient is made.
//!
//! | file | what |
//! |---|---|
//! | `plan` | a pass forward and a pass back over all layers |
//! | `lives` | which buffer holds which numbers, and how long |
//! | `kernels` | products of rows that lie anywhere with packed weights |
//! | `winograd`, `transforms` | 3 × 3 convolutions with a quarter of the multiplications |
//! | `convolve` | convolutions and linear maps, forward and back |
//! | `batch_norm` | moments of a batch, and what its gradient is made of |
//! | `loops` | passes over numbers: normalization, moments, sums |
//! | `pool` | means and maxima of pixels |
//! | `tokens`, `attention` | what transformers have besides |
//! | `scratch` | each thread's own memory |
//!
//! Sums run in an order that shapes decide, so bits do not depend on the number of threads.

mod attention;
mod batch_norm;
mod convolve;
mod kernels;
mod lives;
mod loops;
mod plan;
mod pool;
mod scratch;
mod tokens;
mod transforms;
mod winograd;

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use riesz::Matrix;
use riesz::rng::Key;

use super::{Layer, Network, Role, Spec};
use plan::Plan;

/// Numbers of all layers' outcomes of the images that are embedded at once: 256 MiB.
pub const EMBEDDED: usize = 1 << 26;

/// Numbers of all buffers that a training pass forward and back needs for each image, if it recomputes or not.
pub fn training_numbers(network: &Network, recomputes: bool) -> usize {
    let turns = lives::way_back(network, recomputes);
    lives::Buffers::of(network, &turns).sizes.iter().sum()
}

/// A network with its numbers.
#[derive(Debug)]
pub struct Engine {
    network: Network,
    tensors: Vec<Tensor>,
    /// Of each layer, its first tensor.
    first: Vec<usize>,
    /// Whether outcomes inside of blocks are made again on the way back.
    recomputes: bool,
    /// Of training passes.
    plan: Option<Plan>,
    /// Of images that are only embedded.
    embedding: Mutex<Option<Plan>>,
}

/// A tensor of the network. Weights of convolutions and linear maps are held as rows (k, k, in) × out: as they are used.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Name, shape and role.
    pub spec: Spec,
    /// Its numbers.
    pub values: Vec<f32>,
    /// Their gradient in the last way back; empty for buffers.
    pub gradient: Vec<f32>,
}

impl Tensor {
    fn new(spec: Spec, key: Key) -> Self {
        let values = Order::of(&spec.shape).held(&spec.begin(key));
        let learned = matches!(spec.role, Role::Learned { .. });
        let gradient = vec![0.0; if learned { values.len() } else { 0 }];
        Self { spec, values, gradient }
    }

    /// The order of its numbers.
    pub fn order(&self) -> Order {
        Order::of(&self.spec.shape)
    }
}

/// In which order the numbers of a tensor are held: weights as rows (tap, in) × out; by default, in its shape's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Outputs, inputs and taps, of what is not held in its shape's order.
    turned: Option<[usize; 3]>,
}

impl Order {
    fn of(shape: &[usize]) -> Self {
        let turned = match *shape {
            [out, input, rows, columns] => Some([out, input, rows * columns]),
            [out, input] => Some([out, input, 1]),
            _ => None,
        };
        Self { turned }
    }

    /// Numbers as they are held, in the order of the shape.
    pub fn shaped(self, held: &[f32]) -> Vec<f32> {
        let Some([out, input, taps]) = self.turned else { return held.to_vec() };
        let indices =
            (0..out).flat_map(|o| (0..input).flat_map(move |i| (0..taps).map(move |tap| (o, i, tap))));
        indices.map(|(o, i, tap)| held[(tap * input + i) * out + o]).collect()
    }

    /// Numbers in the order of the shape, as they are held.
    ///
    /// # Panics
    /// If they are fewer than the shape says.
    pub fn held(self, shaped: &[f32]) -> Vec<f32> {
        let Some([out, input, taps]) = self.turned else { return shaped.to_vec() };
        let indices =
            (0..taps).flat_map(|tap| (0..input).flat_map(move |i| (0..out).map(move |o| (o, i, tap))));
        indices.map(|(o, i, tap)| shaped[(o * input + i) * taps + tap]).collect()
    }
}

/// How batch norms normalize.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By the batch's own moments, which also go into the running ones.
    Train,
    /// By the running moments.
    Eval,
}

impl Engine {
    /// A network whose first numbers are a function of `key`.
    pub fn new(network: Network, key: Key) -> Self {
        let tensors: Vec<Tensor> = network.tensors().into_iter().map(|spec| Tensor::new(spec, key)).collect();
        let first = (0..network.layers().len())
            .map(|layer| tensors.iter().take_while(|tensor| tensor.spec.layer < layer).count())
            .collect();
        Self { network, tensors, first, recomputes: false, plan: None, embedding: Mutex::new(None) }
    }

    /// From now on the way back makes outcomes inside of blocks again, in the same bits, instead of keeping them: a block is what lies
    /// between two sums beyond which nothing is read, such as a residual block.
    pub fn recompute(&mut self) {
        (self.recomputes, self.plan) = (true, None);
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// All tensors, layer by layer.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// All tensors, to be changed: their numbers, not their lengths.
    pub fn tensors_mut(&mut self) -> &mut [Tensor] {
        &mut self.tensors
    }

    /// h and z of `images`, `[n, h, w, c]`: rows of the two layers' outcomes. The running moments follow in [`Mode::Train`].
    ///
    /// # Panics
    /// If there is no image, or their numbers are not those of whole images.
    pub fn forward(&mut self, images: &[f32], mode: Mode) -> (&[f32], &[f32]) {
        let held = self.plan.take();
        let mut plan = self.plan_for(held, images, mode);
        if mode == Mode::Eval {
            plan.set_weights(&self.tensors, &self.first);
        }
        self.pass(&mut plan, images);
        if mode == Mode::Train {
            plan.follow(&mut self.tensors, &self.first);
        }
        let plan = self.plan.insert(plan);
        let outcome = |i: usize| plan.outcome(&self.network, i);
        (outcome(self.network.representation()), outcome(self.network.layers().len() - 1))
    }

    /// z of `images` as [`forward`](Self::forward) gives it in [`Mode::Train`], but the running moments stay.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn forward_only(&mut self, images: &[f32]) -> &[f32] {
        let held = self.plan.take();
        let mut plan = self.plan_for(held, images, Mode::Train);
        self.pass(&mut plan, images);
        self.plan.insert(plan).outcome(&self.network, self.network.layers().len() - 1)
    }

    /// h and z of `images` in [`Mode::Eval`], each image by itself; so many at a time that all layers' outcomes stay within
    /// [`EMBEDDED`] numbers.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn embed(&self, images: &[f32]) -> (Matrix<f32>, Matrix<f32>) {
        let layers = self.network.layers();
        let outcomes: usize = layers.iter().map(Layer::size).sum();
        let images_at_once = (EMBEDDED / outcomes).max(1) * layers[0].size();
        let ends = [self.network.representation(), layers.len() - 1];
        let mut rows: [Vec<f32>; 2] = Default::default();
        let mut plan = self.embedding.lock().unwrap_or_else(PoisonError::into_inner).take();
        for (part, images) in images.chunks(images_at_once).enumerate() {
            let mut passed = self.plan_for(plan.take(), images, Mode::Eval);
            if part == 0 {
                passed.set_weights(&self.tensors, &self.first);
            }
            self.pass(&mut passed, images);
            for (rows, end) in rows.iter_mut().zip(ends) {
                rows.extend_from_slice(passed.outcome(&self.network, end));
            }
            plan = Some(passed);
        }
        *self.embedding.lock().unwrap_or_else(PoisonError::into_inner) = plan;
        let [h, z] = rows;
        (Matrix::new(h, layers[ends[0]].size()), Matrix::new(z, layers[ends[1]].size()))
    }

    /// Where layer `i`'s tensors are.
    fn tensors_of(&self, i: usize) -> Range<usize> {
        self.first[i]..self.first.get(i + 1).copied().unwrap_or(self.tensors.len())
    }

    /// The plan that was held, if it is one for these images, or another.
    fn plan_for(&self, held: Option<Plan>, images: &[f32], mode: Mode) -> Plan {
        let size = self.network.layers()[0].size();
        assert!(
            !images.is_empty() && images.len().is_multiple_of(size),
            "{} numbers are no images",
            images.len()
        );
        let n = images.len() / size;
        let held = held.filter(|plan| plan.is_for(n, mode));
        held.unwrap_or_else(|| Plan::new(&self.network, n, mode, self.recomputes))
    }

    fn pass(&self, plan: &mut Plan, images: &[f32]) {
        plan.show(&self.network, images);
        for i in 1..self.network.layers().len() {
            plan.forward(&self.network, i, &self.tensors[self.tensors_of(i)]);
        }
    }

    /// The gradient of every tensor of Σ z · `of_z`, after a forward pass in [`Mode::Train`].
    ///
    /// # Panics
    /// If there was no such pass, or `of_z` is not as large as z.
    pub fn backward(&mut self, of_z: &[f32]) {
        let mut plan = self.plan.take().expect("a pass was made");
        let last = self.network.layers().len() - 1;
        assert_eq!(
            of_z.len(),
            plan.images() * self.network.layers()[last].size(),
            "a gradient as large as z"
        );
        plan.begin(&self.network, of_z);
        for turn in 0..plan.turns() {
            let own = self.tensors_of(plan.turn_of(turn));
            plan.take_turn(&self.network, turn, &mut self.tensors[own]);
        }
        self.plan = Some(plan);
    }
}
