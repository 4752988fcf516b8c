//! A pass forward and a pass back over all layers of a network, with their buffers.

use rayon::prelude::*;

use super::batch_norm::BatchNorm;
use super::convolve::{Convolution, Input, Read, ReadGradient};
use super::kernels::Panels;
use super::loops::{self, Cut, Moments, Norm};
use super::{Mode, Tensor, attention, pool, tokens};
use crate::network::{Layer, Network, Op};

/// What shapes decide, and the buffers.
#[derive(Debug)]
pub(super) struct Plan {
    images: usize,
    mode: Mode,
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
    /// Weights as they are used: of every layer in [`Mode::Eval`], else those of one layer's use at a time.
    panels: Vec<Panels>,
    /// Room for a share of a gradient.
    share: Vec<f32>,
}

/// What a layer has besides its outcome.
#[derive(Debug)]
enum Work {
    Nothing,
    Convolution(Box<Convolution>),
    BatchNorm(Box<BatchNorm>),
    /// Which of nine pixels each maximum is.
    MaxPool(Vec<u8>),
    /// Its softmaxes.
    Attention(attention::Sizes, Vec<f32>),
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
    /// For passes of `n` images; [`Mode::Eval`] has no way back, and packs no weights for it.
    pub(super) fn new(network: &Network, n: usize, mode: Mode) -> Self {
        let layers = network.layers();
        let (mut works, mut maps) = (Vec::new(), Vec::new());
        for (i, layer) in layers.iter().enumerate() {
            let input = |which: usize| layers[layer.inputs[which]].shape;
            let has_way_back = mode == Mode::Train && layer.inputs.first().is_some_and(|&input| input != 0);
            works.push(match layer.op {
                Op::Convolve { kernel, stride, padding, .. } => {
                    let convolution =
                        Convolution::new(n, input(0), layer.shape, kernel, stride, padding, has_way_back);
                    Work::Convolution(Box::new(convolution))
                }
                Op::Linear { .. } => {
                    let convolution = Convolution::new(n, input(0), layer.shape, 1, 1, 0, has_way_back);
                    Work::Convolution(Box::new(convolution))
                }
                Op::BatchNorm { relu, .. } => {
                    let before = &layers[layer.inputs[0]].op;
                    assert!(
                        matches!(before, Op::Convolve { .. } | Op::Linear { .. }),
                        "{} normalizes what is no convolution or linear map",
                        layer.name
                    );
                    Work::BatchNorm(Box::new(BatchNorm::new(passes(network, i), relu)))
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
            mode,
            works,
            maps,
            gradients: vec![Vec::new(); layers.len()],
            holder: (0..layers.len()).collect(),
            begun: vec![false; layers.len()],
            of_weights: Vec::new(),
            of_bias: Vec::new(),
            moments: Vec::new(),
            panels: vec![Panels::default(); if mode == Mode::Eval { layers.len() } else { 1 }],
            share: Vec::new(),
        }
    }

    pub(super) fn is_for(&self, images: usize, mode: Mode) -> bool {
        (self.images, self.mode) == (images, mode)
    }

    /// Of how many images.
    pub(super) fn images(&self) -> usize {
        self.images
    }

    /// Layer `i`'s outcome; empty if it is not written.
    pub(super) fn outcome(&self, i: usize) -> &[f32] {
        &self.maps[i]
    }

    /// Takes the images.
    pub(super) fn show(&mut self, images: &[f32]) {
        self.maps[0].copy_from_slice(images);
    }

    /// Takes the batch's moments into the running ones.
    pub(super) fn follow(&self, tensors: &mut [Tensor], first: &[usize]) {
        for (work, &first) in self.works.iter().zip(first) {
            if let Work::BatchNorm(batch_norm) = work {
                batch_norm.follow(&mut tensors[first..first + 4]);
            }
        }
    }

    /// Takes the weights of all layers, for [`Mode::Eval`]; `first`: each layer's first tensor.
    pub(super) fn set_weights(&mut self, tensors: &[Tensor], first: &[usize]) {
        self.works.iter().zip(&mut self.panels).zip(first).for_each(|((work, panels), &first)| {
            if let Work::Convolution(convolution) = work {
                convolution.pack(&tensors[first].values, panels);
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

    /// Computes layer `i`.
    pub(super) fn forward(&mut self, network: &Network, i: usize, tensors: &[Tensor], mode: Mode) {
        let layer = &network.layers()[i];
        let mut map = std::mem::take(&mut self.maps[i]);
        let input = layer.inputs[0];
        match &layer.op {
            Op::Images => unreachable!("images are the first layer alone"),
            Op::Convolve { .. } | Op::Linear { .. } => {
                let Work::Convolution(convolution) = &self.works[i] else { unreachable!("it was planned") };
                let normed = mode == Mode::Train
                    && network
                        .readers(i)
                        .any(|reader| matches!(network.layers()[reader].op, Op::BatchNorm { .. }));
                let bias = tensors.get(1).map(|bias| &bias.values[..]);
                let mut moments = std::mem::take(&mut self.moments);
                let own = match mode {
                    Mode::Train => {
                        convolution.pack(&tensors[0].values, &mut self.panels[0]);
                        0
                    }
                    Mode::Eval => i,
                };
                convolution.forward(
                    self.read(network, input),
                    &self.panels[own],
                    bias,
                    &mut map,
                    normed.then_some(&mut moments),
                );
                self.moments = moments;
            }
            Op::BatchNorm { .. } => {
                let Work::BatchNorm(mut batch_norm) = std::mem::replace(&mut self.works[i], Work::Nothing)
                else {
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
                let Work::Attention(sizes, shares) = &mut self.works[i] else {
                    unreachable!("it was planned")
                };
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
    pub(super) fn backward(&mut self, network: &Network, i: usize, tensors: &mut [Tensor]) {
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
                self.give(network, input, |plan, to| {
                    tokens::gelu_back(plan.gradient(i), &plan.maps[input], to)
                });
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
        if input != 0 {
            convolution.pack_back(&tensors[0].values, &mut self.panels);
        }
        let to = (input != 0).then_some(Input { gradient: &mut gradient, add, norm });
        let after = network.readers(i).find(|&reader| layers[reader].inputs[0] == i);
        let of_output = match after.map(|reader| (reader, &self.works[reader])) {
            Some((reader, Work::BatchNorm(batch_norm))) => {
                ReadGradient::Normed(self.gradient(reader), &self.maps[i], &batch_norm.back)
            }
            _ => ReadGradient::Plain(self.gradient(i)),
        };
        let x = self.read(network, input);
        convolution.backward(n, x, &self.panels, of_output, &mut of_weights, bias, to);

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
            g.par_chunks_mut(size).zip(sums.par_chunks_mut(2 * c)).enumerate().for_each(
                |(image, (g, sums))| {
                    let numbers = image * size..(image + 1) * size;
                    let cut = match (norm.relu, *passes) {
                        (false, _) => Cut::Nowhere,
                        (true, true) => Cut::Norm(norm),
                        (true, false) => Cut::Output(&map[numbers.clone()]),
                    };
                    sums.fill(0.0);
                    loops::cut_and_sum(g, &x[numbers], &norm.mean, cut, sums);
                },
            );
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

    /// Forgets the gradients of the last way back, and takes that of the last layer.
    pub(super) fn begin(&mut self, network: &Network, of_z: &[f32]) {
        self.begun.fill(false);
        for (i, holder) in self.holder.iter_mut().enumerate() {
            *holder = i;
        }
        self.give(network, network.layers().len() - 1, |_, gradient| gradient.copy_from_slice(of_z));
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
    let size = layer.size();
    to.par_chunks_mut(size).enumerate().for_each(|(i, to)| {
        let numbers = i * size..(i + 1) * size;
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
