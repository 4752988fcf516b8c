//! Which buffer holds which numbers, and how long: every outcome and every gradient has a life, and a buffer serves many whose
//! lives do not meet.
//!
//! Time runs over the layers and back: layer i of L is computed at time i and sends its gradient on at time 2L − i; between them,
//! at time L, the loss reads what it wants. An outcome lives until its last reader has read it, on the way back if its layer's
//! gradient needs it; a gradient from its first share until it was sent on.

use super::plan::passes;
use crate::network::{Network, Op};

/// Numbers with a life: of one image.
#[derive(Clone, Copy, Debug)]
struct Life {
    size: usize,
    first: usize,
    last: usize,
}

impl Life {
    fn used(&mut self, time: usize) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }

    fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The buffers of a plan.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Of each layer's outcome, where it is written.
    pub(super) outcomes: Vec<Option<usize>>,
    /// Of each layer's gradient, where there is one.
    pub(super) gradients: Vec<Option<usize>>,
    /// Of a share of a gradient that is added to it, for layers that cannot add themselves; by the layer that gives it.
    pub(super) shares: Vec<Option<usize>>,
    /// Numbers of each buffer, for one image.
    pub(super) sizes: Vec<usize>,
}

impl Buffers {
    /// For passes forward, and back if `has_way_back`.
    pub(super) fn of(network: &Network, has_way_back: bool) -> Self {
        let mut lives = Lives::forward(network);
        if has_way_back {
            lives.backward(network);
        }
        lives.place()
    }
}

/// Lives of all that is written.
struct Lives {
    outcomes: Vec<Option<Life>>,
    gradients: Vec<Option<Life>>,
    /// Whose life a gradient's is: handed on as it is, it is the same numbers.
    holders: Vec<usize>,
    shares: Vec<Option<Life>>,
}

impl Lives {
    fn forward(network: &Network) -> Self {
        let layers = network.layers();
        let end = layers.len();
        let life = |i: usize| Life { size: layers[i].size(), first: i, last: i };
        let outcomes = (0..end).map(|i| (!passes(network, i)).then(|| life(i))).collect();
        let none = || (0..end).map(|_| None).collect();
        let mut lives = Self { outcomes, gradients: none(), holders: (0..end).collect(), shares: none() };
        for (i, layer) in layers.iter().enumerate() {
            if !passes(network, i) {
                for &input in &layer.inputs {
                    lives.reads(network, input, i);
                }
            }
        }
        for i in [network.representation(), end - 1] {
            lives.reads(network, i, end);
        }
        lives
    }

    /// Layer `i`'s outcome is read at `time`; what passes is read where it is made of.
    fn reads(&mut self, network: &Network, i: usize, time: usize) {
        let written = if passes(network, i) { network.layers()[i].inputs[0] } else { i };
        self.outcomes[written].as_mut().expect("it is written").used(time);
    }

    fn backward(&mut self, network: &Network) {
        let layers = network.layers();
        self.gives(network, layers.len() - 1, layers.len());
        for (i, layer) in layers.iter().enumerate().skip(network.frozen()).rev() {
            let time = 2 * layers.len() - i;
            let input = layer.inputs[0];
            match layer.op {
                Op::Images => {}
                Op::Convolve { .. } | Op::Linear { .. } => {
                    self.reads(network, input, time);
                    let normalization = network.readers(i).find(|&reader| {
                        layers[reader].inputs[0] == i && matches!(layers[reader].op, Op::BatchNorm { .. })
                    });
                    if normalization.is_some() {
                        self.reads(network, i, time);
                    }
                    self.reads_gradient(normalization.unwrap_or(i), time);
                    self.gives(network, input, time);
                }
                Op::BatchNorm { .. } => {
                    self.reads(network, input, time);
                    self.reads(network, i, time);
                    self.reads_gradient(i, time);
                    if let Some(&residual) = layer.inputs.get(1) {
                        self.hands(network, i, residual, time);
                    }
                }
                Op::Add => {
                    self.reads_gradient(i, time);
                    self.hands(network, i, input, time);
                    self.hands(network, i, layer.inputs[1], time);
                }
                Op::LayerNorm | Op::Gelu | Op::Attention { .. } => {
                    self.reads(network, input, time);
                    self.shares(network, i, time);
                }
                Op::MaxPool | Op::MeanPool | Op::Tokens | Op::First => self.shares(network, i, time),
            }
        }
    }

    fn reads_gradient(&mut self, i: usize, time: usize) {
        let holder = self.holders[i];
        self.gradients[holder].as_mut().expect("whoever has a gradient was given it").used(time);
    }

    /// Layer `i` writes a share of its input's gradient.
    fn shares(&mut self, network: &Network, i: usize, time: usize) {
        self.reads_gradient(i, time);
        let input = network.layers()[i].inputs[0];
        // A layer with numbers of its own makes their gradient with its input's, be that wanted or not.
        let is_wanted = match input < network.frozen() {
            true => network.layers()[i].op == Op::LayerNorm,
            false => self.gradients[self.holders[input]].is_some(),
        };
        if is_wanted {
            self.shares[i] = Some(Life { size: network.layers()[input].size(), first: time, last: time });
        }
        self.gives(network, input, time);
    }

    fn gives(&mut self, network: &Network, to: usize, time: usize) {
        if to >= network.frozen() {
            let size = network.layers()[to].size();
            self.gradients[self.holders[to]].get_or_insert(Life { size, first: time, last: time }).used(time);
        }
    }

    fn hands(&mut self, network: &Network, from: usize, to: usize, time: usize) {
        if to >= network.frozen() && self.gradients[self.holders[to]].is_none() {
            self.holders[to] = self.holders[from];
        }
        self.gives(network, to, time);
    }

    /// Gives each life a buffer, the largest first.
    fn place(self) -> Buffers {
        let Self { outcomes, gradients, holders, shares } = self;
        let mut all: Vec<(usize, usize, Life)> = Vec::new();
        for (kind, lives) in [outcomes, gradients, shares].iter().enumerate() {
            all.extend(lives.iter().enumerate().filter_map(|(i, life)| Some((kind, i, (*life)?))));
        }
        all.sort_by_key(|&(.., life)| std::cmp::Reverse(life.size));
        let mut places = [(); 3].map(|()| vec![None; holders.len()]);
        let mut buffers: Vec<Vec<Life>> = Vec::new();
        for (kind, i, life) in all {
            let free = buffers.iter().position(|held| held.iter().all(|other| !life.meets(other)));
            let buffer = free.unwrap_or_else(|| {
                buffers.push(Vec::new());
                buffers.len() - 1
            });
            buffers[buffer].push(life);
            places[kind][i] = Some(buffer);
        }
        let [outcomes, held, shares] = places;
        let gradients = holders.iter().map(|&holder| held[holder]).collect();
        let sizes = buffers.iter().map(|held| held[0].size).collect();
        Buffers { outcomes, gradients, shares, sizes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Builder, Residual, Stage, VitSize};

    fn networks() -> [Network; 3] {
        let mut residual = Builder::new([16, 16, 3]);
        residual.resnet(true, Residual::Bottleneck, &[4, 8].map(|width| Stage { blocks: 2, width }));
        let mut small = Builder::new([16, 16, 3]);
        small.resnet(false, Residual::Basic, &[4, 8, 16].map(|width| Stage { blocks: 1, width }));
        let mut vit = Builder::new([16, 16, 3]);
        vit.vit(VitSize { patch: 4, width: 12, layers: 3, heads: 3, hidden: 20 });
        [residual.project(7, 4), small.project(7, 4), vit.project(7, 4)]
    }

    #[test]
    fn lives_that_meet_have_different_buffers_that_are_large_enough() {
        for network in networks() {
            for has_way_back in [false, true] {
                let mut lives = Lives::forward(&network);
                if has_way_back {
                    lives.backward(&network);
                }
                let mut all = Vec::new();
                let buffers = Buffers::of(&network, has_way_back);
                for (i, life) in lives.outcomes.iter().enumerate().filter(|(_, life)| life.is_some()) {
                    all.push((life.unwrap(), buffers.outcomes[i].unwrap()));
                }
                for (i, life) in lives.gradients.iter().enumerate().filter(|(_, life)| life.is_some()) {
                    all.push((life.unwrap(), buffers.gradients[i].unwrap()));
                }
                for (i, life) in lives.shares.iter().enumerate().filter(|(_, life)| life.is_some()) {
                    all.push((life.unwrap(), buffers.shares[i].unwrap()));
                }
                for (k, (life, buffer)) in all.iter().enumerate() {
                    assert!(buffers.sizes[*buffer] >= life.size);
                    for (other, of_other) in &all[..k] {
                        assert!(!life.meets(other) || buffer != of_other);
                    }
                }
            }
        }
    }

    #[test]
    fn buffers_serve_many() {
        for network in networks() {
            let numbers = |has_way_back| Buffers::of(&network, has_way_back).sizes.iter().sum::<usize>();
            let outcomes: usize = (0..network.layers().len())
                .filter(|&i| !passes(&network, i))
                .map(|i| network.layers()[i].size())
                .sum();
            let largest = network.layers().iter().map(|layer| layer.size()).max().unwrap();
            assert!(numbers(false) <= 4 * largest + 64, "{} of {outcomes}", numbers(false));
            assert!(numbers(true) <= outcomes + 4 * largest, "{} of {outcomes}", numbers(true));
        }
    }
}
