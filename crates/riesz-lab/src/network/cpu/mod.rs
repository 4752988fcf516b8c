//! The engine that runs networks on processors.
//!
//! Everything about a (network, batch) that shapes decide is planned once ([`Plan`]); its buffers are kept, so that a step
//! allocates nothing of size. Numbers are `f32`, channels last, n images one after another.
//!
//! **What is kept.** A convolution's outcome is written once, and its moments are taken while it is in the cache. The
//! normalization after it is not written at all if a single layer reads it that can normalize while it reads (a convolution,
//! another normalization that adds it): such a normalization is *passing*. Only where several layers read, at the end of a
//! residual block, the normalized, added and cut numbers are written.
//!
//! **The way back** goes the same way: the gradient of a normalization's input is never written, but made while the
//! convolution before it reads. What it needs are two sums for each channel, which are taken where its gradient is made.
//!
//! | file | what |
//! |---|---|
//! | `kernels` | products of rows that lie anywhere with packed weights |
//! | `convolve` | convolutions and linear maps, forward and back |
//! | `loops` | passes over numbers: normalization, moments, sums |
//! | `pool` | means and maxima of pixels |
//! | `tokens`, `attention` | what transformers have besides |
//! | `scratch` | each thread's own memory |
//!
//! Sums run in an order that shapes decide, so bits do not depend on the number of threads.

mod attention;
mod convolve;
mod kernels;
mod loops;
mod pool;
mod scratch;
mod tokens;

use rayon::prelude::*;
use riesz::rng::Key;

use super::{Layer, Network, Op, Role, Spec};
use convolve::{Convolution, Input, Read, ReadGradient};
use loops::{Cut, Moments, Norm, NormGradient};

/// ε of batch norm, as torch's default.
const BATCH_EPSILON: f64 = 1e-5;
/// How much of a batch's statistics goes into the running ones, as torch's default.
const BATCH_MOMENTUM: f64 = 0.1;

/// A network with its numbers.
#[derive(Debug)]
pub struct Engine {
    network: Network,
    tensors: Vec<Tensor>,
    /// Of each layer, its first tensor.
    first: Vec<usize>,
    plan: Option<Plan>,
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
        let mut tensor = Self { values: Vec::new(), gradient: Vec::new(), spec };
        tensor.set_in_order(&tensor.spec.begin(key));
        let learned = matches!(tensor.spec.role, Role::Learned { .. });
        tensor.gradient = vec![0.0; if learned { tensor.values.len() } else { 0 }];
        tensor
    }

    /// Outputs, inputs and taps, of weights that are not held in their shape's order.
    fn turned(&self) -> Option<[usize; 3]> {
        match self.spec.shape[..] {
            [out, input, rows, columns] => Some([out, input, rows * columns]),
            [out, input] => Some([out, input, 1]),
            _ => None,
        }
    }

    /// Numbers held as `values` or `gradient` are, in the order of the shape.
    pub fn in_order(&self, held: &[f32]) -> Vec<f32> {
        let Some([out, input, taps]) = self.turned() else { return held.to_vec() };
        let indices = (0..out).flat_map(|o| (0..input).flat_map(move |i| (0..taps).map(move |tap| (o, i, tap))));
        indices.map(|(o, i, tap)| held[(tap * input + i) * out + o]).collect()
    }

    /// Takes numbers in the order of the shape.
    ///
    /// # Panics
    /// If there are not as many as the shape says.
    pub fn set_in_order(&mut self, numbers: &[f32]) {
        assert_eq!(numbers.len(), self.spec.len(), "{} has another shape", self.spec.name);
        let Some([out, input, taps]) = self.turned() else {
            self.values = numbers.to_vec();
            return;
        };
        let indices = (0..taps).flat_map(|tap| (0..input).flat_map(move |i| (0..out).map(move |o| (o, i, tap))));
        self.values = indices.map(|(o, i, tap)| numbers[(o * input + i) * taps + tap]).collect();
    }
}

/// What shapes decide, and the buffers.
#[derive(Debug)]
struct Plan {
    images: usize,
    works: Vec<Work>,
    /// Outcomes, of layers that are written.
    maps: Vec<Vec<f32>>,
    /// Gradients with respect to outcomes.
    gradients: Vec<Vec<f32>>,
    /// In which layer's buffer a layer's gradient is.
    holder: Vec<usize>,
    /// Whether a layer's gradient has a first share.
    begun: Vec<bool>,
    /// Slots' gradients of weights.
    of_weights: Vec<f32>,
    of_bias: Vec<f64>,
    moments: Vec<Moments>,
    /// Room for a share of a gradient.
    share: Vec<f32>,
}

/// What a layer has besides its outcome.
#[derive(Debug)]
enum Work {
    Nothing,
    Convolution(Convolution),
    BatchNorm(Box<BatchNorm>),
    /// Which of nine pixels each maximum is.
    MaxPool(Vec<u8>),
    /// Its softmaxes.
    Attention(attention::Sizes, Vec<f32>),
}

#[derive(Debug)]
struct BatchNorm {
    /// Whether its outcome is not written.
    passes: bool,
    norm: Norm,
    deviation: Vec<f64>,
    back: NormGradient,
    /// For each slot of the layer that reads it Σ g and Σ g (x − mean) of each channel; of one slot if no reader took them.
    sums: Vec<f64>,
    is_summed: bool,
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
        let tensors: Vec<Tensor> =
            network.tensors().into_iter().map(|spec| Tensor::new(spec, key)).collect();
        let first = (0..network.layers().len())
            .map(|layer| tensors.iter().take_while(|tensor| tensor.spec.layer < layer).count())
            .collect();
        Self { network, tensors, first, plan: None }
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

    /// The outcome of layer `i` in the last pass.
    ///
    /// # Panics
    /// If there was none, or the layer's outcome is not written.
    pub fn outcome(&self, i: usize) -> &[f32] {
        let map = &self.plan.as_ref().expect("a pass was made").maps[i];
        assert!(!map.is_empty(), "{} is not written", self.network.layers()[i].name);
        map
    }

    /// h and z of `images`, `[n, h, w, c]`: rows of the two layers' outcomes.
    ///
    /// # Panics
    /// If there is no image, or their numbers are not those of whole images.
    pub fn forward(&mut self, images: &[f32], mode: Mode) -> (&[f32], &[f32]) {
        let size = self.network.layers()[0].size();
        assert!(!images.is_empty() && images.len().is_multiple_of(size), "{} numbers are no images", images.len());
        let n = images.len() / size;
        if self.plan.as_ref().is_none_or(|plan| plan.images != n) {
            self.plan = Some(Plan::new(&self.network, n));
        }
        let mut plan = self.plan.take().expect("it was just made");
        plan.set_weights(&self.network, &self.tensors, &self.first);
        plan.maps[0].clear();
        plan.maps[0].extend_from_slice(images);
        for i in 1..self.network.layers().len() {
            let first = self.first[i];
            let last = self.first.get(i + 1).copied().unwrap_or(self.tensors.len());
            plan.forward(&self.network, i, &mut self.tensors[first..last], mode);
        }
        self.plan = Some(plan);
        (self.outcome(self.network.representation()), self.outcome(self.network.layers().len() - 1))
    }

    /// The gradient of every tensor of Σ z · `of_z`, after a forward pass in [`Mode::Train`].
    ///
    /// # Panics
    /// If there was no such pass, or `of_z` is not as large as z.
    pub fn backward(&mut self, of_z: &[f32]) {
        let mut plan = self.plan.take().expect("a pass was made");
        let last = self.network.layers().len() - 1;
        assert_eq!(of_z.len(), plan.images * self.network.layers()[last].size(), "a gradient as large as z");
        plan.begin();
        plan.give(&self.network, last, |_, gradient| gradient.copy_from_slice(of_z));
        for i in (1..=last).rev() {
            let first = self.first[i];
            let end = self.first.get(i + 1).copied().unwrap_or(self.tensors.len());
            plan.backward(&self.network, i, &mut self.tensors[first..end]);
        }
        self.plan = Some(plan);
    }
}

/// Whether layer `i` is a normalization whose outcome is not written.
fn passes(network: &Network, i: usize) -> bool {
    let layers = network.layers();
    let Layer { op: Op::BatchNorm { relu, .. }, inputs, .. } = &layers[i] else { return false };
    let mut readers = network.readers(i);
    let (Some(reader), None) = (readers.next(), readers.next()) else { return false };
    let is_added = layers[reader].inputs.get(1) == Some(&i) && layers[reader].inputs[0] != i;
    inputs.len() == 1
        && i != network.representation()
        && match layers[reader].op {
            Op::Convolve { .. } | Op::Linear { .. } => true,
            // What is cut off at 0 could not be told from the sum.
            Op::BatchNorm { .. } => is_added && !relu,
            _ => false,
        }
}

impl Plan {
    fn new(network: &Network, n: usize) -> Self {
        let layers = network.layers();
        let (mut works, mut maps) = (Vec::new(), Vec::new());
        for (i, layer) in layers.iter().enumerate() {
            let input = |which: usize| layers[layer.inputs[which]].shape;
            let has_way_back = layer.inputs.first().is_some_and(|&input| input != 0);
            works.push(match layer.op {
                Op::Convolve { kernel, stride, padding, .. } => {
                    let convolution =
                        Convolution::new(n, input(0), layer.shape, kernel, stride, padding, has_way_back);
                    Work::Convolution(convolution)
                }
                Op::Linear { .. } => {
                    Work::Convolution(Convolution::new(n, input(0), layer.shape, 1, 1, 0, has_way_back))
                }
                Op::BatchNorm { relu, .. } => {
                    let before = &layers[layer.inputs[0]].op;
                    assert!(
                        matches!(before, Op::Convolve { .. } | Op::Linear { .. }),
                        "{} normalizes what is no convolution or linear map",
                        layer.name
                    );
                    Work::BatchNorm(Box::new(BatchNorm {
                        passes: passes(network, i),
                        norm: Norm { relu, ..Norm::default() },
                        deviation: Vec::new(),
                        back: NormGradient::default(),
                        sums: Vec::new(),
                        is_summed: false,
                    }))
                }
                Op::MaxPool => Work::MaxPool(vec![0; n * layer.size()]),
                Op::Attention { heads } => {
                    let (tokens, width) = (layer.shape[0], layer.channels() / heads);
                    let sizes = attention::Sizes { tokens, heads, width };
                    Work::Attention(sizes, vec![0.0; n * sizes.shares()])
                }
                _ => Work::Nothing,
            });
            maps.push(vec![0.0; if passes(network, i) { 0 } else { n * layer.size() }]);
        }
        Self {
            images: n,
            works,
            maps,
            gradients: vec![Vec::new(); layers.len()],
            holder: (0..layers.len()).collect(),
            begun: vec![false; layers.len()],
            of_weights: Vec::new(),
            of_bias: Vec::new(),
            moments: Vec::new(),
            share: Vec::new(),
        }
    }

    fn set_weights(&mut self, network: &Network, tensors: &[Tensor], first: &[usize]) {
        self.works.par_iter_mut().zip(first).zip(network.layers()).for_each(|((work, &first), _)| {
            if let Work::Convolution(convolution) = work {
                convolution.set_weights(&tensors[first].values);
            }
        });
    }

    /// How layer `i` is read.
    fn read(&self, network: &Network, i: usize) -> Read<'_> {
        match &self.works[i] {
            Work::BatchNorm(batch_norm) if batch_norm.passes => {
                Read::Normed(&self.maps[network.layers()[i].inputs[0]], &batch_norm.norm)
            }
            _ => Read::Plain(&self.maps[i]),
        }
    }

    fn forward(&mut self, network: &Network, i: usize, tensors: &mut [Tensor], mode: Mode) {
        let layer = &network.layers()[i];
        let mut map = std::mem::take(&mut self.maps[i]);
        let input = layer.inputs[0];
        match &layer.op {
            Op::Images => unreachable!("images are the first layer alone"),
            Op::Convolve { .. } | Op::Linear { .. } => {
                let Work::Convolution(convolution) = &self.works[i] else { unreachable!("it was planned") };
                let normed = mode == Mode::Train
                    && network.readers(i).any(|reader| matches!(network.layers()[reader].op, Op::BatchNorm { .. }));
                let bias = tensors.get(1).map(|bias| &bias.values[..]);
                let mut moments = std::mem::take(&mut self.moments);
                convolution.forward(self.read(network, input), bias, &mut map, normed.then_some(&mut moments));
                self.moments = moments;
            }
            Op::BatchNorm { .. } => {
                let Work::BatchNorm(mut batch_norm) = std::mem::replace(&mut self.works[i], Work::Nothing) else {
                    unreachable!("it was planned")
                };
                batch_norm.set(layer.channels(), tensors, (mode == Mode::Train).then_some(&self.moments[..]));
                if !batch_norm.passes {
                    let residual = layer.inputs.get(1).map(|&residual| self.read(network, residual));
                    write(&batch_norm.norm, &self.maps[input], residual, layer, &mut map);
                }
                self.works[i] = Work::BatchNorm(batch_norm);
            }
            Op::MaxPool => {
                let Work::MaxPool(which) = &mut self.works[i] else { unreachable!("it was planned") };
                pool::max(&self.maps[input], network.layers()[input].shape, &mut map, which);
            }
            Op::MeanPool => {
                let layer = &network.layers()[input];
                pool::mean(&self.maps[input], layer.size(), layer.channels(), &mut map);
            }
            Op::Tokens => tokens::embed(&self.maps[input], &tensors[0].values, &tensors[1].values, &mut map),
            Op::LayerNorm => {
                tokens::normalize(&self.maps[input], &tensors[0].values, &tensors[1].values, &mut map);
            }
            Op::Gelu => tokens::gelu(&self.maps[input], &mut map),
            Op::Attention { .. } => {
                let Work::Attention(sizes, shares) = &mut self.works[i] else { unreachable!("it was planned") };
                attention::attend(*sizes, &self.maps[input], shares, &mut map);
            }
            Op::Add => tokens::sum(&self.maps[input], &self.maps[layer.inputs[1]], &mut map),
            Op::First => {
                let before = &network.layers()[input];
                tokens::first(&self.maps[input], before.size(), before.channels(), &mut map);
            }
        }
        self.maps[i] = map;
    }

    /// Sends the gradient of layer `i` to its tensors and its inputs.
    fn backward(&mut self, network: &Network, i: usize, tensors: &mut [Tensor]) {
        let layer = &network.layers()[i];
        let input = layer.inputs[0];
        let before = &network.layers()[input];
        match &layer.op {
            Op::Images => unreachable!("images are the first layer alone"),
            Op::Convolve { .. } | Op::Linear { .. } => self.convolve_back(network, i, tensors),
            Op::BatchNorm { .. } => self.batch_norm_back(network, i, tensors),
            Op::MaxPool => self.give(network, input, |plan, to| {
                let Work::MaxPool(which) = &plan.works[i] else { unreachable!("it was planned") };
                pool::max_back(plan.gradient(i), which, before.shape, to);
            }),
            Op::MeanPool => self.give(network, input, |plan, to| {
                pool::mean_back(plan.gradient(i), before.size(), before.channels(), to);
            }),
            Op::Tokens => {
                let [class, places] = tensors else { unreachable!("tokens have two tensors") };
                tokens::embed_back(self.gradient(i), &mut class.gradient, &mut places.gradient);
                self.give(network, input, |plan, to| {
                    tokens::without_first(plan.gradient(i), layer.size(), layer.channels(), to);
                });
            }
            Op::LayerNorm => self.give(network, input, |plan, to| {
                let [gamma, beta] = tensors else { unreachable!("a normalization has two tensors") };
                let Tensor { values, gradient: of_gamma, .. } = gamma;
                let (g, x) = (plan.gradient(i), &plan.maps[input]);
                tokens::normalize_back(g, x, values, to, of_gamma, &mut beta.gradient);
            }),
            Op::Gelu => {
                self.give(network, input, |plan, to| tokens::gelu_back(plan.gradient(i), &plan.maps[input], to));
            }
            Op::Attention { .. } => self.give(network, input, |plan, to| {
                let Work::Attention(sizes, shares) = &plan.works[i] else { unreachable!("it was planned") };
                attention::attend_back(*sizes, plan.gradient(i), &plan.maps[input], shares, to);
            }),
            Op::Add => {
                self.hand(network, i, layer.inputs[0]);
                self.hand(network, i, layer.inputs[1]);
            }
            Op::First => self.give(network, input, |plan, to| {
                tokens::first_back(plan.gradient(i), before.size(), before.channels(), to);
            }),
        }
    }

    fn convolve_back(&mut self, network: &Network, i: usize, tensors: &mut [Tensor]) {
        let layers = network.layers();
        let Work::Convolution(convolution) = std::mem::replace(&mut self.works[i], Work::Nothing) else {
            unreachable!("it was planned")
        };
        let (n, input) = (self.images, layers[i].inputs[0]);
        let slots = convolution.slots(n);
        let mut of_weights = std::mem::take(&mut self.of_weights);
        of_weights.resize(slots * convolution.weights(), 0.0);
        let mut of_bias = std::mem::take(&mut self.of_bias);
        of_bias.resize(if tensors.len() > 1 { slots * layers[i].channels() } else { 0 }, 0.0);
        let bias = (!of_bias.is_empty()).then_some(&mut of_bias[..]);

        let (mut gradient, add) = self.take_gradient(network, input);
        let mut normalized = match &mut self.works[input] {
            Work::BatchNorm(batch_norm) if batch_norm.passes && input != 0 => {
                Some(std::mem::take(&mut batch_norm.sums))
            }
            _ => None,
        };
        if let Some(sums) = &mut normalized {
            sums.resize(slots * 2 * layers[input].channels(), 0.0);
        }
        let norm = normalized.as_deref_mut().map(|sums| {
            let Work::BatchNorm(batch_norm) = &self.works[input] else { unreachable!("it was planned") };
            (&self.maps[layers[input].inputs[0]][..], &batch_norm.norm, sums)
        });
        let to = (input != 0).then_some(Input { gradient: &mut gradient, add, norm });
        let after = network.readers(i).find(|&reader| layers[reader].inputs[0] == i);
        let of_output = match after.map(|reader| (reader, &self.works[reader])) {
            Some((reader, Work::BatchNorm(batch_norm))) => {
                ReadGradient::Normed(self.gradient(reader), &self.maps[i], &batch_norm.back)
            }
            _ => ReadGradient::Plain(self.gradient(i)),
        };
        convolution.backward(n, self.read(network, input), of_output, &mut of_weights, bias, to);

        convolution.add_slots(&of_weights, &mut tensors[0].gradient);
        if let Some(tensor) = tensors.get_mut(1) {
            let c = layers[i].channels();
            for (j, to) in tensor.gradient.iter_mut().enumerate() {
                *to = of_bias.chunks_exact(c).map(|slot| slot[j]).sum::<f64>() as f32;
            }
        }
        if let (Some(sums), Work::BatchNorm(batch_norm)) = (normalized, &mut self.works[input]) {
            batch_norm.sums = sums;
            batch_norm.is_summed = true;
        }
        self.put_gradient(input, gradient);
        self.of_weights = of_weights;
        self.of_bias = of_bias;
        self.works[i] = Work::Convolution(convolution);
    }

    fn batch_norm_back(&mut self, network: &Network, i: usize, tensors: &mut [Tensor]) {
        let layer = &network.layers()[i];
        let (c, x) = (layer.channels(), layer.inputs[0]);
        let Work::BatchNorm(mut batch_norm) = std::mem::replace(&mut self.works[i], Work::Nothing) else {
            unreachable!("it was planned")
        };
        if !batch_norm.is_summed {
            let holder = self.holder[i];
            let mut g = std::mem::take(&mut self.gradients[holder]);
            let BatchNorm { passes, norm, sums, .. } = &mut *batch_norm;
            let (size, x, map) = (layer.size(), &self.maps[x][..], &self.maps[i][..]);
            sums.resize(self.images * 2 * c, 0.0);
            g.par_chunks_mut(size).zip(sums.par_chunks_mut(2 * c)).enumerate().for_each(|(image, (g, sums))| {
                let numbers = image * size..(image + 1) * size;
                let cut = match (norm.relu, *passes) {
                    (false, _) => Cut::Nowhere,
                    (true, true) => Cut::Norm(norm),
                    (true, false) => Cut::Output(&map[numbers.clone()]),
                };
                sums.fill(0.0);
                loops::cut_and_sum(g, &x[numbers], &norm.mean, cut, sums);
            });
            self.gradients[holder] = g;
        }
        let count = (self.images * layer.size() / c) as f64;
        batch_norm.set_back(c, count, tensors);
        self.works[i] = Work::BatchNorm(batch_norm);
        if let Some(&residual) = layer.inputs.get(1) {
            self.hand(network, i, residual);
        }
    }

    /// The gradient with respect to layer `i`'s outcome.
    fn gradient(&self, i: usize) -> &[f32] {
        &self.gradients[self.holder[i]]
    }

    /// Forgets the gradients of the last way back.
    fn begin(&mut self) {
        self.begun.fill(false);
        for (i, holder) in self.holder.iter_mut().enumerate() {
            *holder = i;
        }
    }

    /// Gives layer `to` another share of its gradient, which `write` writes.
    fn give(&mut self, network: &Network, to: usize, write: impl FnOnce(&Self, &mut [f32])) {
        if to == 0 {
            return;
        }
        let (mut gradient, add) = self.take_gradient(network, to);
        if add {
            let mut share = std::mem::take(&mut self.share);
            share.resize(gradient.len(), 0.0);
            write(self, &mut share);
            loops::add(&mut gradient, &share);
            self.share = share;
        } else {
            write(self, &mut gradient);
        }
        self.put_gradient(to, gradient);
    }

    /// Gives layer `to` the gradient of layer `from` as it is. If it is the first share, both have one buffer: all who read it
    /// as `from`'s do so before another share is added, for they are later layers.
    fn hand(&mut self, network: &Network, from: usize, to: usize) {
        if self.begun[to] {
            self.give(network, to, |plan, share| share.copy_from_slice(plan.gradient(from)));
        } else if to != 0 {
            self.holder[to] = self.holder[from];
            self.begun[to] = true;
        }
    }

    /// Layer `i`'s gradient, and whether there is a share in it already.
    fn take_gradient(&mut self, network: &Network, i: usize) -> (Vec<f32>, bool) {
        if i == 0 {
            return (Vec::new(), false);
        }
        let add = self.begun[i];
        let mut gradient = std::mem::take(&mut self.gradients[self.holder[i]]);
        gradient.resize(self.images * network.layers()[i].size(), 0.0);
        (gradient, add)
    }

    fn put_gradient(&mut self, i: usize, gradient: Vec<f32>) {
        if i != 0 {
            self.begun[i] = true;
            let holder = self.holder[i];
            self.gradients[holder] = gradient;
        }
    }
}

/// A normalization's outcome.
fn write(norm: &Norm, x: &[f32], residual: Option<Read<'_>>, layer: &Layer, to: &mut [f32]) {
    // A row of pixels at a time.
    let row = layer.shape[1] * layer.shape[2] * layer.shape[0];
    to.par_chunks_mut(row).enumerate().for_each(|(i, to)| {
        let numbers = i * row..i * row + to.len();
        let x = &x[numbers.clone()];
        match residual {
            None => loops::normalize(norm, x, to),
            Some(Read::Plain(residual)) => loops::normalize_add(norm, x, &residual[numbers], to),
            Some(Read::Normed(y, of_residual)) => {
                loops::normalize(of_residual, &y[numbers], to);
                loops::normalize_add_to(norm, x, to);
            }
        }
    });
}

impl BatchNorm {
    /// Takes the moments of this batch, or the running ones. `tensors`: γ, β, running mean, running variance.
    fn set(&mut self, c: usize, tensors: &mut [Tensor], batch: Option<&[Moments]>) {
        let (mut mean, mut variance) = (vec![0.0; c], vec![0.0; c]);
        if let Some(chunks) = batch {
            let mut all = Moments::default();
            for chunk in chunks {
                all.add(chunk);
            }
            for i in 0..c {
                mean[i] = all.mean[i];
                variance[i] = all.squares[i] / all.count;
                let unbiased = all.squares[i] / (all.count - 1.0).max(1.0);
                for (tensor, of_batch) in [(2, mean[i]), (3, unbiased)] {
                    let running = &mut tensors[tensor].values[i];
                    *running = (f64::from(*running) * (1.0 - BATCH_MOMENTUM) + of_batch * BATCH_MOMENTUM) as f32;
                }
            }
        } else {
            for i in 0..c {
                mean[i] = f64::from(tensors[2].values[i]);
                variance[i] = f64::from(tensors[3].values[i]);
            }
        }
        let (gamma, beta) = (&tensors[0].values, &tensors[1].values);
        self.deviation.clear();
        self.deviation.extend(variance.iter().map(|variance| (variance + BATCH_EPSILON).sqrt()));
        self.norm.mean.set(c, |i| mean[i] as f32);
        self.norm.scale.set(c, |i| (f64::from(gamma[i]) / self.deviation[i]) as f32);
        self.norm.shift.set(c, |i| beta[i]);
        self.is_summed = false;
    }

    /// Takes the sums, and leaves what the gradient of its input is made of, and those of γ and β.
    fn set_back(&mut self, c: usize, count: f64, tensors: &mut [Tensor]) {
        let mut totals = vec![0.0; 2 * c];
        for sums in self.sums.chunks_exact(2 * c) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total += sum;
            }
        }
        let (plain, centered) = totals.split_at(c);
        let deviation = &self.deviation;
        let factor = |i: usize| f64::from(tensors[0].values[i]) / deviation[i];
        self.back.mean.clone_from(&self.norm.mean);
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
