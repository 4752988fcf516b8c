//! A pass forward and a pass back over all layers of a network, with their buffers.

use rayon::prelude::*;

use super::batch_norm::BatchNorm;
use super::convolve::{Convolution, Input, Read, ReadGradient};
use super::kernels::Panels;
use super::lives::{Buffers, Turn, passes, way_back};
use super::loops::{self, Cut, Moments, Norm, enough};
use super::scratch::{Scratch, with_scratch};
use super::{Mode, Tensor, attention, pool, tokens};
use crate::network::{Layer, Network, Op};

/// What shapes decide, and the buffers.
#[derive(Debug)]
pub(super) struct Plan {
    /// For how many images it was made, and how many are shown.
    room: usize,
    images: usize,
    mode: Mode,
    works: Vec<Work>,
    /// The way back.
    turns: Vec<Turn>,
    /// Where outcomes and gradients are.
    places: Buffers,
    buffers: Vec<Vec<f32>>,
    /// Whether a layer's gradient has a first share.
    begun: Vec<bool>,
    /// Slots' gradients of weights.
    of_weights: Vec<f32>,
    of_bias: Vec<f64>,
    moments: Vec<Moments>,
    /// Weights as they are used: of every layer in [`Mode::Eval`], else those of one layer's use at a time.
    panels: Vec<Panels>,
}

/// What a layer has besides its outcome.
#[derive(Debug)]
enum Work {
    Nothing,
    Convolution(Box<Convolution>),
    BatchNorm(Box<BatchNorm>),
    /// Which of nine pixels each maximum is.
    MaxPool(Vec<u8>),
}

impl Plan {
    /// For passes of `n` images; [`Mode::Eval`] has no way back, and packs no weights for it. If it recomputes, the way back makes
    /// again what lies inside of blocks.
    pub(super) fn new(network: &Network, n: usize, mode: Mode, recomputes: bool) -> Self {
        let layers = network.layers();
        let mut works = Vec::new();
        for (i, layer) in layers.iter().enumerate() {
            let input = |which: usize| layers[layer.inputs[which]].shape;
            let has_way_back =
                mode == Mode::Train && layer.inputs.first().is_some_and(|&input| input >= network.frozen());
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
                _ => Work::Nothing,
            });
        }
        let turns = if mode == Mode::Train { way_back(network, recomputes) } else { Vec::new() };
        let places = Buffers::of(network, &turns);
        Self {
            room: n,
            images: n,
            mode,
            works,
            turns,
            buffers: places.sizes.iter().map(|size| vec![0.0; n * size]).collect(),
            places,
            begun: vec![false; layers.len()],
            of_weights: Vec::new(),
            of_bias: Vec::new(),
            moments: Vec::new(),
            panels: vec![Panels::default(); if mode == Mode::Eval { layers.len() } else { 1 }],
        }
    }

    /// Whether `images` images can be shown: just as many as it was made for, or fewer if there is no way back.
    pub(super) fn is_for(&self, images: usize, mode: Mode) -> bool {
        self.mode == mode && (images == self.room || mode == Mode::Eval && images < self.room)
    }

    /// Of how many images.
    pub(super) fn images(&self) -> usize {
        self.images
    }

    /// The outcome of layer `i`, while it lives.
    pub(super) fn outcome<'a>(&'a self, network: &Network, i: usize) -> &'a [f32] {
        let buffer = self.places.outcomes[i].expect("it is written");
        &self.buffers[buffer][..self.images * network.layers()[i].size()]
    }

    /// The gradient with respect to the outcome of layer `i`, while it lives.
    fn gradient<'a>(&'a self, network: &Network, i: usize) -> &'a [f32] {
        let buffer = self.places.gradients[i].expect("it was given a gradient");
        &self.buffers[buffer][..self.images * network.layers()[i].size()]
    }

    /// Takes the images.
    pub(super) fn show(&mut self, network: &Network, images: &[f32]) {
        self.images = images.len() / network.layers()[0].size();
        let buffer = self.places.outcomes[0].expect("it is written");
        let (shown, size) = (&mut self.buffers[buffer][..images.len()], network.layers()[0].size());
        let Some([mean, deviation]) = network.pixels() else {
            shown.copy_from_slice(images);
            return;
        };
        shown.par_chunks_mut(size).zip(images.par_chunks(size)).for_each(|(shown, image)| {
            let pixels = shown.chunks_exact_mut(mean.len()).zip(image.chunks_exact(mean.len()));
            for (shown, pixel) in pixels {
                for (((shown, x), mean), deviation) in shown.iter_mut().zip(pixel).zip(mean).zip(deviation) {
                    *shown = (x - mean) / deviation;
                }
            }
        });
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
    fn read<'a>(&'a self, network: &Network, i: usize) -> Read<'a> {
        match &self.works[i] {
            Work::BatchNorm(batch_norm) if batch_norm.passes => {
                Read::Normed(self.outcome(network, network.layers()[i].inputs[0]), &batch_norm.norm)
            }
            _ if passes(network, i) => Read::Gelu(self.outcome(network, network.layers()[i].inputs[0])),
            _ => Read::Plain(self.outcome(network, i)),
        }
    }

    /// Computes layer `i`.
    pub(super) fn forward(&mut self, network: &Network, i: usize, tensors: &[Tensor]) {
        self.compute(network, i, tensors, false);
    }

    /// Computes layer `i`; if `again`, with the moments that it had before.
    fn compute(&mut self, network: &Network, i: usize, tensors: &[Tensor], again: bool) {
        let mode = self.mode;
        let layer = &network.layers()[i];
        let input = layer.inputs[0];
        // What passes is not written.
        let place = self.places.outcomes[i];
        let mut buffer = place.map(|place| std::mem::take(&mut self.buffers[place])).unwrap_or_default();
        let numbers = self.images * layer.size();
        let map = &mut buffer[..place.map_or(0, |_| numbers)];
        match &layer.op {
            Op::Images => unreachable!("images are the first layer alone"),
            Op::Convolve { .. } | Op::Linear { .. } => {
                let Work::Convolution(convolution) = &self.works[i] else { unreachable!("it was planned") };
                let normed = mode == Mode::Train
                    && i >= network.frozen()
                    && !again
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
                    map,
                    &mut moments,
                    normed,
                );
                self.moments = moments;
            }
            Op::BatchNorm { .. } => {
                let Work::BatchNorm(mut batch_norm) = std::mem::replace(&mut self.works[i], Work::Nothing)
                else {
                    unreachable!("it was planned")
                };
                if !again {
                    let by_batch = mode == Mode::Train && i >= network.frozen();
                    batch_norm.set(layer.channels(), tensors, by_batch.then_some(&self.moments[..]));
                }
                if !batch_norm.passes {
                    let residual = layer.inputs.get(1).map(|&residual| self.read(network, residual));
                    write(&batch_norm.norm, self.outcome(network, input), residual, layer, map);
                }
                self.works[i] = Work::BatchNorm(batch_norm);
            }
            Op::MaxPool => {
                let Work::MaxPool(mut which) = std::mem::replace(&mut self.works[i], Work::Nothing) else {
                    unreachable!("it was planned")
                };
                pool::max(self.outcome(network, input), network.layers()[input].shape, map, &mut which);
                self.works[i] = Work::MaxPool(which);
            }
            Op::MeanPool => {
                let layer = &network.layers()[input];
                pool::mean(self.outcome(network, input), layer.size(), layer.channels(), map);
            }
            Op::Tokens => {
                tokens::embed(self.outcome(network, input), &tensors[0].values, &tensors[1].values, map)
            }
            Op::LayerNorm => {
                tokens::normalize(self.outcome(network, input), &tensors[0].values, &tensors[1].values, map);
            }
            // What passes is made by its reader.
            Op::Gelu if place.is_none() => {}
            Op::Gelu => tokens::gelu(self.outcome(network, input), map),
            Op::Attention { heads } => {
                let place = self.places.softmaxes[i].expect("it was planned");
                let mut shares = std::mem::take(&mut self.buffers[place]);
                let sizes = attention::Sizes::of(layer, *heads);
                let numbers = self.images * sizes.shares();
                attention::attend(sizes, self.outcome(network, input), &mut shares[..numbers], map);
                self.buffers[place] = shares;
            }
            Op::Add => tokens::sum(self.outcome(network, input), self.outcome(network, layer.inputs[1]), map),
            Op::First => {
                let before = &network.layers()[input];
                tokens::first(self.outcome(network, input), before.size(), before.channels(), map);
            }
        }
        if let Some(place) = place {
            self.buffers[place] = buffer;
        }
    }

    /// How many turns the way back has.
    pub(super) fn turns(&self) -> usize {
        self.turns.len()
    }

    /// The layer whose turn the way back's `k`-th is, from 0 on.
    pub(super) fn turn_of(&self, k: usize) -> usize {
        let (Turn::Again(i) | Turn::Back(i)) = self.turns[k];
        i
    }

    /// Takes the way back's `k`-th turn; `tensors`: its layer's.
    pub(super) fn take_turn(&mut self, network: &Network, k: usize, tensors: &mut [Tensor]) {
        match self.turns[k] {
            Turn::Again(i) => self.compute(network, i, tensors, true),
            Turn::Back(i) => self.backward(network, i, tensors),
        }
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
            Op::MaxPool => self.give(network, i, |plan, to| {
                let Work::MaxPool(which) = &plan.works[i] else { unreachable!("it was planned") };
                pool::max_back(plan.gradient(network, i), which, before.shape, to);
            }),
            Op::MeanPool => self.give(network, i, |plan, to| {
                pool::mean_back(plan.gradient(network, i), before.size(), before.channels(), to);
            }),
            Op::Tokens => {
                let [class, places] = tensors else { unreachable!("tokens have two tensors") };
                tokens::embed_back(self.gradient(network, i), &mut class.gradient, &mut places.gradient);
                self.give(network, i, |plan, to| {
                    tokens::without_first(plan.gradient(network, i), layer.size(), layer.channels(), to);
                });
            }
            Op::LayerNorm => {
                let mut sums = std::mem::take(&mut self.of_weights);
                self.give(network, i, |plan, to| {
                    let [gamma, beta] = tensors else { unreachable!("a normalization has two tensors") };
                    let Tensor { values, gradient: of_gamma, .. } = gamma;
                    let (g, x) = (plan.gradient(network, i), plan.outcome(network, input));
                    tokens::normalize_back(g, x, values, to, of_gamma, &mut beta.gradient, &mut sums);
                });
                self.of_weights = sums;
            }
            Op::Gelu => {
                self.give(network, i, |plan, to| {
                    tokens::gelu_back(plan.gradient(network, i), plan.outcome(network, input), to)
                });
            }
            Op::Attention { heads } => self.give(network, i, |plan, to| {
                let sizes = attention::Sizes::of(layer, *heads);
                let place = plan.places.softmaxes[i].expect("it was planned");
                let shares = &plan.buffers[place][..plan.images * sizes.shares()];
                let (g, x) = (plan.gradient(network, i), plan.outcome(network, input));
                attention::attend_back(sizes, g, x, shares, to);
            }),
            Op::Add => {
                self.hand(network, i, layer.inputs[0]);
                self.hand(network, i, layer.inputs[1]);
            }
            Op::First => self.give(network, i, |plan, to| {
                tokens::first_back(plan.gradient(network, i), before.size(), before.channels(), to);
            }),
        }
    }

    fn convolve_back(&mut self, network: &Network, i: usize, tensors: &mut [Tensor]) {
        let layers = network.layers();
        let Work::Convolution(convolution) = std::mem::replace(&mut self.works[i], Work::Nothing) else {
            unreachable!("it was planned")
        };
        let (n, input) = (self.images, layers[i].inputs[0]);
        let has_way_back = input >= network.frozen();
        if has_way_back {
            convolution.pack_back(&tensors[0].values, &mut self.panels);
        }
        let slots = convolution.slots(n);
        let mut of_weights = std::mem::take(&mut self.of_weights);
        let numbers = slots * convolution.weights();
        let slots_of_weights = enough(&mut of_weights, numbers);
        let mut of_bias = std::mem::take(&mut self.of_bias);
        of_bias.resize(if tensors.len() > 1 { slots * layers[i].channels() } else { 0 }, 0.0);
        let bias = (!of_bias.is_empty()).then_some(&mut of_bias[..]);

        let (mut gradient, add) = self.take_gradient(input);
        let of_input = if has_way_back { n * layers[input].size() } else { 0 };
        let mut normalized = match &mut self.works[input] {
            Work::BatchNorm(batch_norm) if batch_norm.passes && has_way_back => {
                Some(std::mem::take(&mut batch_norm.sums))
            }
            _ => None,
        };
        if let Some(sums) = &mut normalized {
            sums.resize(slots * 2 * layers[input].channels(), 0.0);
        }
        let norm = normalized.as_deref_mut().map(|sums| {
            let Work::BatchNorm(batch_norm) = &self.works[input] else { unreachable!("it was planned") };
            (self.outcome(network, layers[input].inputs[0]), &batch_norm.norm, sums)
        });
        let to = has_way_back.then_some(Input { gradient: &mut gradient[..of_input], add, norm });
        let after = network.readers(i).find(|&reader| layers[reader].inputs[0] == i);
        let of_output = match after.map(|reader| (reader, &self.works[reader])) {
            Some((reader, Work::BatchNorm(batch_norm))) => ReadGradient::Normed(
                self.gradient(network, reader),
                self.outcome(network, i),
                &batch_norm.back,
            ),
            _ => ReadGradient::Plain(self.gradient(network, i)),
        };
        let x = self.read(network, input);
        convolution.backward(n, x, &self.panels, of_output, slots_of_weights, bias, to);

        convolution.add_slots(slots_of_weights, &mut tensors[0].gradient);
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
            let (mut gradient, _) = self.take_gradient(i);
            let g = &mut gradient[..self.images * layer.size()];
            let BatchNorm { passes, norm, sums, .. } = &mut *batch_norm;
            let size = layer.size();
            let (x, map) = (self.outcome(network, x), if *passes { &[] } else { self.outcome(network, i) });
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
                    with_scratch(|Scratch { lanes, .. }| {
                        loops::cut_and_sum(g, &x[numbers], &norm.mean, cut, lanes, sums);
                    });
                },
            );
            self.put_gradient(i, gradient);
        }
        let count = (self.images * layer.size() / c) as f64;
        batch_norm.set_back(c, count, tensors);
        self.works[i] = Work::BatchNorm(batch_norm);
        if let Some(&residual) = layer.inputs.get(1) {
            self.hand(network, i, residual);
        }
    }

    /// Forgets the gradients of the last way back, and takes that of the last layer.
    pub(super) fn begin(&mut self, network: &Network, of_z: &[f32]) {
        self.begun.fill(false);
        let last = network.layers().len() - 1;
        let (mut gradient, _) = self.take_gradient(last);
        gradient[..of_z.len()].copy_from_slice(of_z);
        self.put_gradient(last, gradient);
    }

    /// Gives the input of layer `i` another share of its gradient, which `write` writes.
    fn give(&mut self, network: &Network, i: usize, write: impl FnOnce(&Self, &mut [f32])) {
        let to = network.layers()[i].inputs[0];
        let numbers = self.images * network.layers()[to].size();
        if to < network.frozen() {
            // What is given goes nowhere.
            if let Some(place) = self.places.shares[i] {
                let mut share = std::mem::take(&mut self.buffers[place]);
                write(self, &mut share[..numbers]);
                self.buffers[place] = share;
            }
            return;
        }
        let (mut gradient, add) = self.take_gradient(to);
        if add {
            let place = self.places.shares[i].expect("it was planned");
            let mut share = std::mem::take(&mut self.buffers[place]);
            write(self, &mut share[..numbers]);
            loops::add_all(&mut gradient[..numbers], &share[..numbers]);
            self.buffers[place] = share;
        } else {
            write(self, &mut gradient[..numbers]);
        }
        self.put_gradient(to, gradient);
    }

    /// Gives layer `to` the gradient of layer `from` as it is. If it is the first share, both have one buffer, where all who read
    /// it as `from`'s do so before another share is added.
    fn hand(&mut self, network: &Network, from: usize, to: usize) {
        if to < network.frozen() {
            return;
        }
        if self.begun[to] {
            let (mut gradient, _) = self.take_gradient(to);
            let share = self.gradient(network, from);
            loops::add_all(&mut gradient[..share.len()], share);
            self.put_gradient(to, gradient);
        } else if self.places.gradients[to] != self.places.gradients[from] {
            let (mut gradient, _) = self.take_gradient(to);
            let share = self.gradient(network, from);
            gradient[..share.len()].copy_from_slice(share);
            self.put_gradient(to, gradient);
        }
        self.begun[to] = true;
    }

    /// The buffer of layer `i`'s gradient, and whether there is a share in it already.
    fn take_gradient(&mut self, i: usize) -> (Vec<f32>, bool) {
        let place = self.places.gradients[i];
        (place.map(|place| std::mem::take(&mut self.buffers[place])).unwrap_or_default(), self.begun[i])
    }

    fn put_gradient(&mut self, i: usize, gradient: Vec<f32>) {
        if let Some(place) = self.places.gradients[i] {
            self.begun[i] = true;
            self.buffers[place] = gradient;
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
            Some(Read::Gelu(_)) => unreachable!("it passes to products alone"),
            Some(Read::Normed(y, of_residual)) => {
                loops::normalize(of_residual, &y[numbers], to);
                loops::normalize_add_to(norm, x, to);
            }
        }
    });
}
