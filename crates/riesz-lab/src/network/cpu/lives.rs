//! Which buffer holds which numbers, and how long: every outcome and every gradient has a life, and a buffer serves many whose
//! lives do not meet.
//!
//! Time runs over the layers: layer i of L is computed at time i, and at time L the loss reads what it wants. Then come the turns of
//! the way back: a layer sends its gradient on, or its outcome is made again. An outcome lives until its last reader has read it, on
//! the way back if a gradient needs it, and once more from when it is made again; a gradient from its first share until it was sent
//! on.

use std::ops::Range;

use super::attention;
use crate::network::{Layer, Network, Op};

/// What is done at a time of the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The layer's outcome is computed again.
    Again(usize),
    /// The layer sends its gradient to its tensors and its inputs.
    Back(usize),
}

/// The way back over all layers. If outcomes are recomputed, those inside a block are forgotten on the way forward and made again
/// before the block's turns. A block ends with a sum that all later layers can be made of; what comes after the last one is kept.
pub(super) fn way_back(network: &Network, recomputes: bool) -> Vec<Turn> {
    let mut turns = Vec::new();
    let mut end = network.layers().len();
    let ends = if recomputes { blocks(network) } else { Vec::new() };
    // Below what is frozen there is no way back.
    let first = network.frozen();
    for start in ends.iter().rev().map(|last| last + 1).filter(|&start| start > first).chain([first]) {
        if end < network.layers().len() {
            turns.extend(made_again(network, start..end).into_iter().map(Turn::Again));
        }
        turns.extend((start..end).rev().map(Turn::Back));
        end = start;
    }
    turns
}

/// The last layer of each block: sums of two layers beyond which no earlier layer is read.
fn blocks(network: &Network) -> Vec<usize> {
    let layers = network.layers();
    let is_sum = |i: usize| layers[i].inputs.len() == 2;
    let is_last_word = |i: usize| (0..i).all(|before| network.readers(before).all(|reader| reader <= i));
    (1..layers.len()).filter(|&i| is_sum(i) && is_last_word(i)).collect()
}

/// The layers of a block, but for the last, whose outcomes its gradients need, or what is made again.
fn made_again(network: &Network, block: Range<usize>) -> Vec<usize> {
    let layers = network.layers();
    let mut is_needed = vec![false; layers.len()];
    let need = |is_needed: &mut [bool], inputs: &[usize]| {
        inputs.iter().for_each(|&input| is_needed[written(network, input)] = true);
    };
    for i in block.clone() {
        need(&mut is_needed, &needed_back(network, i));
        // For its softmaxes, which live as long.
        is_needed[i] |= matches!(layers[i].op, Op::Attention { .. });
    }
    let inside = block.start..block.end - 1;
    for i in inside.clone().rev() {
        if is_needed[i] {
            need(&mut is_needed, &layers[i].inputs);
        }
    }
    inside.filter(|&i| is_needed[i]).collect()
}

/// Whether layer `i` passes: a normalization or x Φ(x) whose outcome is not written, as its only reader makes it.
pub(super) fn passes(network: &Network, i: usize) -> bool {
    let layers = network.layers();
    let Layer { op, inputs, .. } = &layers[i];
    let mut readers = network.readers(i);
    let (Some(reader), None) = (readers.next(), readers.next()) else { return false };
    let is_multiplied = matches!(layers[reader].op, Op::Convolve { .. } | Op::Linear { .. });
    let passes = match op {
        // Added without a max; what is cut off at 0 could not be told from the sum.
        Op::BatchNorm { relu, .. } => {
            let is_added = layers[reader].inputs.get(1) == Some(&i) && layers[reader].inputs[0] != i;
            let adds = matches!(layers[reader].op, Op::BatchNorm { .. });
            inputs.len() == 1 && (is_multiplied || adds && is_added && !relu)
        }
        Op::Gelu => is_multiplied && !passes(network, inputs[0]),
        _ => false,
    };
    passes && i != network.representation()
}

/// Where the outcome of layer `i` is written: what passes is made by its reader, of what it read.
fn written(network: &Network, i: usize) -> usize {
    if passes(network, i) { network.layers()[i].inputs[0] } else { i }
}

/// Layers of whose outcomes the gradient that layer `i` sends on is made.
fn needed_back(network: &Network, i: usize) -> Vec<usize> {
    let input = network.layers()[i].inputs[0];
    match network.layers()[i].op {
        Op::Convolve { .. } | Op::Linear { .. } => match normalization(network, i) {
            Some(_) => vec![input, i],
            None => vec![input],
        },
        Op::BatchNorm { .. } => vec![input, i],
        Op::LayerNorm | Op::Gelu | Op::Attention { .. } => vec![input],
        Op::Images | Op::Add | Op::MaxPool | Op::MeanPool | Op::Tokens | Op::First => Vec::new(),
    }
}

/// The batch norm of layer `i`, if it has one.
fn normalization(network: &Network, i: usize) -> Option<usize> {
    let layers = network.layers();
    let normalizes =
        |reader: &usize| layers[*reader].inputs[0] == i && matches!(layers[*reader].op, Op::BatchNorm { .. });
    network.readers(i).find(normalizes)
}

/// Whether layer `sum` adds `to` and one layer of `to`, or `to` twice: that layer reads the sum's gradient when it gives `to` its
/// share, so one buffer cannot be both.
fn is_around_one(network: &Network, sum: usize, to: usize) -> bool {
    let layers = network.layers();
    let inputs = &layers[sum].inputs;
    // A batch norm's gradient is read by its convolution.
    let reader =
        |i: usize| if matches!(layers[i].op, Op::BatchNorm { .. }) { layers[i].inputs[0] } else { i };
    let is_of_it = |&other: &usize| other != to && layers[reader(other)].inputs.contains(&to);
    inputs.iter().any(is_of_it) || inputs.iter().all(|&input| input == to)
}

/// Numbers with a life: of one image.
#[derive(Clone, Debug)]
struct Life {
    size: usize,
    /// First and last times; more than one if they are made again.
    spans: Vec<[usize; 2]>,
}

impl Life {
    fn begun(size: usize, time: usize) -> Self {
        Self { size, spans: vec![[time, time]] }
    }

    /// Times come in order.
    fn used(&mut self, time: usize) {
        self.spans.last_mut().expect("it began")[1] = time;
    }

    fn meets(&self, other: &Self) -> bool {
        self.spans
            .iter()
            .any(|[first, last]| other.spans.iter().any(|[from, to]| first <= to && from <= last))
    }
}

/// The buffers of a plan.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Of each layer's outcome, where it is written.
    pub(super) outcomes: Vec<Option<usize>>,
    /// Of an attention's softmaxes.
    pub(super) softmaxes: Vec<Option<usize>>,
    /// Of each layer's gradient, where there is one.
    pub(super) gradients: Vec<Option<usize>>,
    /// Of a share of a gradient that is added to it, for layers that cannot add themselves; by the layer that gives it.
    pub(super) shares: Vec<Option<usize>>,
    /// Numbers of each buffer, for one image.
    pub(super) sizes: Vec<usize>,
}

impl Buffers {
    /// For passes forward, and back by these turns if there are any.
    pub(super) fn of(network: &Network, turns: &[Turn]) -> Self {
        Lives::of(network, turns).place()
    }
}

/// Lives of all that is written.
struct Lives {
    outcomes: Vec<Option<Life>>,
    softmaxes: Vec<Option<Life>>,
    gradients: Vec<Option<Life>>,
    /// Whose life a gradient's is: handed on as it is, it is the same numbers.
    holders: Vec<usize>,
    shares: Vec<Option<Life>>,
}

impl Lives {
    fn of(network: &Network, turns: &[Turn]) -> Self {
        let end = network.layers().len();
        let none = || (0..end).map(|_| None).collect();
        let mut lives = Self {
            outcomes: none(),
            softmaxes: none(),
            gradients: none(),
            holders: (0..end).collect(),
            shares: none(),
        };
        for i in (0..end).filter(|&i| !passes(network, i)) {
            lives.computed(network, i, i);
        }
        for i in [network.representation(), end - 1] {
            lives.reads(network, i, end);
        }
        if !turns.is_empty() {
            lives.gives(network, end - 1, end);
        }
        for (time, &turn) in (end + 1..).zip(turns) {
            match turn {
                Turn::Again(i) => lives.computed(network, i, time),
                Turn::Back(i) => lives.sent_on(network, i, time),
            }
        }
        lives
    }

    /// Layer `i` is computed at `time`: for the first time, or again.
    fn computed(&mut self, network: &Network, i: usize, time: usize) {
        let layer = &network.layers()[i];
        let begin = |life: &mut Option<Life>, size: usize| match life {
            Some(life) => life.spans.push([time, time]),
            None => *life = Some(Life::begun(size, time)),
        };
        begin(&mut self.outcomes[i], layer.size());
        if let Op::Attention { heads } = layer.op {
            begin(&mut self.softmaxes[i], attention::Sizes::of(layer, heads).shares());
        }
        for &input in &layer.inputs {
            self.reads(network, input, time);
        }
    }

    /// Layer `i`'s outcome is read at `time`.
    fn reads(&mut self, network: &Network, i: usize, time: usize) {
        self.outcomes[written(network, i)].as_mut().expect("it is written").used(time);
    }

    /// Layer `i` sends its gradient on at `time`.
    fn sent_on(&mut self, network: &Network, i: usize, time: usize) {
        let layer = &network.layers()[i];
        for needed in needed_back(network, i) {
            self.reads(network, needed, time);
        }
        if let Some(softmaxes) = &mut self.softmaxes[i] {
            softmaxes.used(time);
        }
        match layer.op {
            Op::Images => {}
            Op::Convolve { .. } | Op::Linear { .. } => {
                self.reads_gradient(normalization(network, i).unwrap_or(i), time);
                self.gives(network, layer.inputs[0], time);
            }
            Op::BatchNorm { .. } => {
                self.reads_gradient(i, time);
                if let Some(&residual) = layer.inputs.get(1) {
                    self.hands(network, i, residual, time);
                }
            }
            Op::Add => {
                self.reads_gradient(i, time);
                self.hands(network, i, layer.inputs[0], time);
                self.hands(network, i, layer.inputs[1], time);
            }
            Op::LayerNorm | Op::Gelu | Op::Attention { .. } => self.shares(network, i, time),
            Op::MaxPool | Op::MeanPool | Op::Tokens | Op::First => self.shares(network, i, time),
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
            self.shares[i] = Some(Life::begun(network.layers()[input].size(), time));
        }
        self.gives(network, input, time);
    }

    fn gives(&mut self, network: &Network, to: usize, time: usize) {
        if to >= network.frozen() {
            let size = network.layers()[to].size();
            self.gradients[self.holders[to]].get_or_insert_with(|| Life::begun(size, time)).used(time);
        }
    }

    fn hands(&mut self, network: &Network, from: usize, to: usize, time: usize) {
        let is_first = to >= network.frozen() && self.gradients[self.holders[to]].is_none();
        if is_first && !is_around_one(network, from, to) {
            self.holders[to] = self.holders[from];
        }
        self.gives(network, to, time);
    }

    /// Gives each life a buffer, the largest first.
    fn place(self) -> Buffers {
        let Self { outcomes, softmaxes, gradients, holders, shares } = self;
        let mut all: Vec<(usize, usize, Life)> = Vec::new();
        for (kind, lives) in [outcomes, softmaxes, gradients, shares].into_iter().enumerate() {
            all.extend(lives.into_iter().enumerate().filter_map(|(i, life)| Some((kind, i, life?))));
        }
        all.sort_by_key(|(.., life)| std::cmp::Reverse(life.size));
        let mut places = [(); 4].map(|()| vec![None; holders.len()]);
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
        let [outcomes, softmaxes, held, shares] = places;
        let gradients = holders.iter().map(|&holder| held[holder]).collect();
        let sizes = buffers.iter().map(|held| held[0].size).collect();
        Buffers { outcomes, softmaxes, gradients, shares, sizes }
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

    /// No way back, one that keeps, one that recomputes.
    fn ways(network: &Network) -> [Vec<Turn>; 3] {
        [Vec::new(), way_back(network, false), way_back(network, true)]
    }

    #[test]
    fn lives_that_meet_have_different_buffers_that_are_large_enough() {
        for network in networks() {
            for turns in ways(&network) {
                let (lives, buffers) = (Lives::of(&network, &turns), Buffers::of(&network, &turns));
                let kinds = [
                    (&lives.outcomes, &buffers.outcomes),
                    (&lives.softmaxes, &buffers.softmaxes),
                    (&lives.gradients, &buffers.gradients),
                    (&lives.shares, &buffers.shares),
                ];
                let mut all = Vec::new();
                for (lives, buffers) in kinds {
                    let held =
                        lives.iter().zip(buffers).filter_map(|(life, buffer)| Some((life.as_ref()?, buffer)));
                    all.extend(held.map(|(life, buffer)| (life, buffer.unwrap())));
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
            let [forward, back, again] =
                ways(&network).map(|turns| Buffers::of(&network, &turns).sizes.iter().sum::<usize>());
            let lives = Lives::of(&network, &[]);
            let outcomes: usize =
                lives.outcomes.iter().chain(&lives.softmaxes).flatten().map(|life| life.size).sum();
            let largest = network.layers().iter().map(|layer| layer.size()).max().unwrap();
            assert!(forward <= 4 * largest + 64, "{forward} of {outcomes}");
            assert!(back <= outcomes + 4 * largest, "{back} of {outcomes}");
            assert!(again < back, "{again} of {back}");
        }
    }

    /// Every layer sends its gradient on once, in reverse; what is made again is what the way back needs of a block and what that is
    /// made of.
    #[test]
    fn what_is_needed_of_a_block_is_made_again() {
        for network in networks() {
            let turns = way_back(&network, true);
            let back: Vec<usize> = turns
                .iter()
                .filter_map(|turn| if let Turn::Back(i) = turn { Some(*i) } else { None })
                .collect();
            assert!(back.into_iter().eq((1..network.layers().len()).rev()));
            // Outcomes at hand: after a way forward of which the blocks' ends and the last layers are kept.
            let ends = blocks(&network);
            let mut at_hand: Vec<bool> = (0..network.layers().len())
                .map(|i| i == 0 || ends.contains(&i) || i > *ends.last().unwrap())
                .collect();
            for turn in turns {
                let (i, read) = match turn {
                    Turn::Again(i) => (i, network.layers()[i].inputs.clone()),
                    Turn::Back(i) => (i, needed_back(&network, i)),
                };
                for read in read {
                    assert!(at_hand[written(&network, read)], "{turn:?} reads {read}");
                }
                if matches!(turn, Turn::Again(_)) {
                    assert!(!at_hand[i] && !passes(&network, i), "{turn:?}");
                    at_hand[i] = true;
                }
            }
            assert!(ends.len() >= 2, "{ends:?}");
        }
    }
}
