//! Optimizers and the learning rate: SGD with momentum, LARS, AdamW; warm-up and cosine.
//!
//! All three go over flat parameters by name: an encoder hands each to an [`Update`]. Parameters of normalizations and biases
//! take no weight decay (and no LARS adaptation), as is usual. On GPUs the same rules are operations on tensors (`on_burn`).

#[cfg(feature = "gpu")]
mod on_burn;

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::network::cpu::Order;
use crate::tensors::NamedTensor;
use crate::{Error, Result};

/// How the loss is minimized.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OptimRecipe {
    /// The update rule.
    pub name: Rule,
    /// The learning rate before `scaling`.
    pub learning_rate: f64,
    /// How the learning rate grows with the batch.
    pub scaling: Scaling,
    /// Momentum of SGD and LARS; AdamW's first decay rate β₁.
    pub momentum: f64,
    /// λ: decay of weights, on all but normalizations and biases.
    pub weight_decay: f64,
    /// Share of all steps in which the learning rate rises linearly from 0.
    pub warmup: f64,
    /// The part of the backbone, from the images up to the end of this stage, that keeps its numbers: `stem`, `layer1` … or
    /// `blocks.0` …, or `backbone`. Without it everything learns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze_through: Option<String>,
    /// What the learning rate is multiplied by from each stage of the backbone to the one below. Without it all rates are one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_decay: Option<f64>,
}

/// An update rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// v ← μ v + g + λ w; w ← w − η v.
    Sgd,
    /// As SGD, with g + λ w first scaled to length 0.001 ‖w‖ (You et al. 2017, as the base code of Koromilas et al.
    /// 2024 has it).
    Lars,
    /// Adam with decoupled decay (Loshchilov & Hutter 2019), β₂ = 0.999, ε = 1e-8.
    Adamw,
}

/// How the learning rate grows with the batch of B images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// As it is.
    None,
    /// × B/256.
    Linear,
    /// × √(B/256).
    Sqrt,
}

const LARS_TRUST: f64 = 0.001;
const ADAM_SECOND: f64 = 0.999;
const ADAM_EPSILON: f64 = 1e-8;

impl OptimRecipe {
    /// Checks the numbers.
    ///
    /// # Errors
    /// One sentence for a number out of range.
    pub fn check(&self) -> Result<()> {
        let checks = [
            ("learning-rate", self.learning_rate, 0.0..f64::MAX),
            ("momentum", self.momentum, 0.0..1.0),
            ("weight-decay", self.weight_decay, 0.0..f64::MAX),
            ("warmup", self.warmup, 0.0..1.0),
        ];
        for (name, value, range) in checks {
            if !range.contains(&value) {
                let limit = if range.end == 1.0 { "at least 0 and below 1" } else { "at least 0 and finite" };
                return Err(Error::input(format!("optimizer.{name} is {value}; it must be {limit}")));
            }
        }
        match self.layer_decay {
            Some(decay) if !(decay > 0.0 && decay <= 1.0) => Err(Error::input(format!(
                "optimizer.layer-decay is {decay}; it must be above 0 and at most 1"
            ))),
            _ => Ok(()),
        }
    }

    /// The learning rate at its peak for a batch of `batch` images.
    pub fn peak(&self, batch: usize) -> f64 {
        let share = batch as f64 / 256.0;
        match self.scaling {
            Scaling::None => self.learning_rate,
            Scaling::Linear => self.learning_rate * share,
            Scaling::Sqrt => self.learning_rate * share.sqrt(),
        }
    }

    /// The learning rate of every step.
    pub fn schedule(&self, batch: usize, steps: u64) -> Schedule {
        Schedule { peak: self.peak(batch), warmup: (self.warmup * steps as f64).round(), steps: steps as f64 }
    }

    /// In words, for the log.
    pub fn describe(&self, batch: usize) -> String {
        let name = match self.name {
            Rule::Sgd => "SGD",
            Rule::Lars => "LARS",
            Rule::Adamw => "AdamW",
        };
        let scaling = match self.scaling {
            Scaling::None => String::new(),
            Scaling::Linear => format!(" = {} × {batch}/256", self.learning_rate),
            Scaling::Sqrt => format!(" = {} × √({batch}/256)", self.learning_rate),
        };
        format!(
            "{name}, learning rate {:.4}{scaling}, momentum {}, weight decay {:e}, warm-up {} % of the steps, cosine to 0{}{}",
            self.peak(batch),
            self.momentum,
            self.weight_decay,
            100.0 * self.warmup,
            self.layer_decay
                .map_or_else(String::new, |decay| format!("; × {decay} from each stage to the one below")),
            self.freeze_through
                .as_ref()
                .map_or_else(String::new, |stage| format!("; frozen through {stage}")),
        )
    }
}

/// A learning rate that rises linearly to its peak and falls to 0 along half a cosine, step by step.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    peak: f64,
    warmup: f64,
    steps: f64,
}

impl Schedule {
    /// The learning rate of step `step`, counted from 0.
    pub fn at(self, step: u64) -> f64 {
        let step = step as f64;
        if step < self.warmup {
            self.peak * (step + 1.0) / self.warmup
        } else {
            let way = (step - self.warmup) / (self.steps - self.warmup).max(1.0);
            self.peak * 0.5 * (1.0 + (std::f64::consts::PI * way).cos())
        }
    }
}

/// An update rule with its memory.
pub struct Optimizer {
    recipe: OptimRecipe,
    /// Parameter name → what its learning rate is multiplied by, where that is not 1.
    rates: BTreeMap<String, f64>,
    /// Updates begun.
    step: u64,
    /// Parameter name → first moment (momentum) and, for AdamW, second.
    memory: BTreeMap<String, Vec<Moment>>,
    /// Parameter name → sum of the gradients of [`Optimizer::share`] since the last update; 0 where there was none.
    shares: BTreeMap<String, Vec<f32>>,
    /// The same on a device of Burn's.
    #[cfg(feature = "gpu")]
    shares_on_burn: BTreeMap<String, burn::tensor::Tensor<1>>,
}

/// One number of memory for each of a parameter.
enum Moment {
    /// In the order of the parameter's shape, as files have it.
    InOrder(Vec<f32>),
    /// As the encoder holds the parameter.
    Held(Vec<f32>, Order),
    /// On a device of Burn's, in the order of the shape.
    #[cfg(feature = "gpu")]
    Burn(Box<burn::tensor::Tensor<1>>),
}

impl Moment {
    fn in_order(&self) -> Vec<f32> {
        match self {
            Self::InOrder(values) => values.clone(),
            Self::Held(values, order) => order.shaped(values),
            #[cfg(feature = "gpu")]
            Self::Burn(values) => values.to_data().try_into_vec().expect("optimizers compute in f32"),
        }
    }
}

/// A learned tensor with its gradient.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// Its name, by which the optimizer remembers it.
    pub name: &'a str,
    /// Whether weight decay takes it and LARS adapts to it: not so for biases and normalizations.
    pub decays: bool,
    /// Its numbers, to be changed.
    pub values: &'a mut [f32],
    /// Their gradient.
    pub gradient: &'a [f32],
    /// The order of both.
    pub order: Order,
}

/// One update of all parameters of an encoder, which hands over each of them; or a share of the next update's gradients.
pub struct Update<'a> {
    optimizer: &'a mut Optimizer,
    /// `None` if it only takes a share.
    learning_rate: Option<f64>,
}

impl Optimizer {
    /// An optimizer that has seen nothing.
    ///
    /// # Errors
    /// If a number of the recipe is out of range.
    pub fn new(recipe: &OptimRecipe) -> Result<Self> {
        recipe.check()?;
        Ok(Self {
            recipe: recipe.clone(),
            rates: BTreeMap::new(),
            step: 0,
            memory: BTreeMap::new(),
            shares: BTreeMap::new(),
            #[cfg(feature = "gpu")]
            shares_on_burn: BTreeMap::new(),
        })
    }

    /// The same, with what the learning rate of each named parameter is multiplied by.
    #[must_use]
    pub fn with_rates(self, rates: BTreeMap<String, f64>) -> Self {
        Self { rates, ..self }
    }

    /// Begins an update.
    pub fn step(&mut self, learning_rate: f64) -> Update<'_> {
        self.step += 1;
        Update { optimizer: self, learning_rate: Some(learning_rate) }
    }

    /// Takes a share of the next update's gradients: parameters that are handed over stay as they are, and the next update adds
    /// their gradients to its own, in the order of the shares.
    pub fn share(&mut self) -> Update<'_> {
        Update { optimizer: self, learning_rate: None }
    }

    /// Everything that the optimizer remembers.
    pub fn state(&self) -> Vec<NamedTensor> {
        let mut state = vec![NamedTensor {
            name: "step".to_owned(),
            shape: vec![2],
            // Two halves of 24 bits each are exact in f32.
            values: vec![(self.step >> 24) as f32, (self.step & 0xff_ffff) as f32],
        }];
        for (name, moments) in &self.memory {
            for (order, moment) in moments.iter().enumerate() {
                let values = moment.in_order();
                state.push(NamedTensor {
                    name: format!("{order}.{name}"),
                    shape: vec![values.len()],
                    values,
                });
            }
        }
        state
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// If the state is not one of this optimizer's.
    pub fn load_state(&mut self, state: &[NamedTensor]) -> Result<()> {
        self.memory.clear();
        for tensor in state {
            if tensor.name == "step" && tensor.values.len() == 2 {
                self.step = ((tensor.values[0] as u64) << 24) | tensor.values[1] as u64;
                continue;
            }
            let Some((order, name)) = tensor.name.split_once('.') else {
                return Err(Error::input(format!(
                    "the optimizer's state has an unknown tensor {}",
                    tensor.name
                )));
            };
            let moments = self.memory.entry(name.to_owned()).or_default();
            if order != moments.len().to_string() && order != "1" {
                return Err(Error::input(format!(
                    "the optimizer's state lacks a tensor before {}",
                    tensor.name
                )));
            }
            moments.push(Moment::InOrder(tensor.values.clone()));
        }
        Ok(())
    }
}

impl Update<'_> {
    /// Changes one parameter by its gradient, or takes its gradient as a share. Each parameter is handed over once an update.
    ///
    /// # Panics
    /// If the gradient, or what a checkpoint has of the parameter, is of another length.
    pub fn parameter(&mut self, parameter: Parameter<'_>) {
        let Parameter { name, decays, values, gradient, order } = parameter;
        assert_eq!(values.len(), gradient.len(), "{name}: a gradient of another length");
        let Some(rule) = self.rule(name, decays) else { return self.add_share(name, gradient) };
        let Optimizer { memory, shares, .. } = &mut *self.optimizer;
        let mut share = shares.get_mut(name);
        let gradient = match &mut share {
            Some(sum) => {
                add(sum, gradient);
                &sum[..]
            }
            None => gradient,
        };
        if !memory.contains_key(name) {
            memory.insert(name.to_owned(), Vec::new());
        }
        let moments = memory.get_mut(name).expect("it was put there");
        let is_first = moments.is_empty();
        let count = if rule.rule == Rule::Adamw { 2 } else { 1 };
        moments.resize_with(count, || Moment::Held(vec![0.0; values.len()], order));
        for moment in moments.iter_mut() {
            if !matches!(moment, Moment::Held(_, held) if *held == order) {
                let shaped = moment.in_order();
                assert_eq!(shaped.len(), values.len(), "{name}: what is remembered of it has another length");
                *moment = Moment::Held(order.held(&shaped), order);
            }
        }
        match &mut moments[..] {
            [Moment::Held(velocity, _)] => rule.descend(is_first, values, gradient, velocity),
            [Moment::Held(first, _), Moment::Held(second, _)] => rule.adapt(values, gradient, first, second),
            _ => unreachable!("a rule has one moment or two, held as the parameter is"),
        }
        if let Some(sum) = share {
            sum.fill(0.0);
        }
    }

    /// The learning rate of a parameter; `None` where only a share is taken.
    fn rate(&self, name: &str) -> Option<f64> {
        Some(self.learning_rate? * self.optimizer.rates.get(name).copied().unwrap_or(1.0))
    }

    fn add_share(&mut self, name: &str, gradient: &[f32]) {
        match self.optimizer.shares.get_mut(name) {
            Some(sum) => add(sum, gradient),
            None => drop(self.optimizer.shares.insert(name.to_owned(), gradient.to_vec())),
        }
    }

    /// `None` where only a share is taken.
    fn rule(&self, parameter: &str, decays: bool) -> Option<Applied> {
        let OptimRecipe { name, momentum, weight_decay, .. } = self.optimizer.recipe;
        let count = self.optimizer.step as i32;
        let rate = self.rate(parameter)?;
        Some(Applied {
            rule: name,
            momentum: momentum as f32,
            decays,
            decay: if decays { weight_decay as f32 } else { 0.0 },
            rate: rate as f32,
            corrections: [momentum, ADAM_SECOND].map(|beta| (1.0 - beta.powi(count)) as f32),
        })
    }
}

/// A rule with its numbers, for one parameter.
#[derive(Clone, Copy)]
struct Applied {
    rule: Rule,
    momentum: f32,
    /// Whether the parameter is one that decays and adapts.
    decays: bool,
    decay: f32,
    rate: f32,
    /// 1 − β₁ᵏ and 1 − β₂ᵏ, of AdamW's update k.
    corrections: [f32; 2],
}

impl Applied {
    /// SGD and LARS.
    fn descend(self, is_first: bool, weight: &mut [f32], gradient: &[f32], velocity: &mut [f32]) {
        let Self { momentum, decay, rate, .. } = self;
        let mut trust = 1.0;
        if self.rule == Rule::Lars && self.decays {
            let decayed = gradient.iter().zip(&*weight).map(|(&g, &w)| f64::from(g + w * decay).powi(2));
            let lengths = (length_of(weight), decayed.sum::<f64>().sqrt());
            if lengths.0 > 0.0 && lengths.1 > 0.0 {
                trust = (LARS_TRUST * lengths.0 / lengths.1) as f32;
            }
        }
        let momentum = if is_first { 0.0 } else { momentum };
        let parts =
            weight.par_chunks_mut(PART).zip(gradient.par_chunks(PART)).zip(velocity.par_chunks_mut(PART));
        parts.for_each(|((weight, gradient), velocity)| {
            for ((w, &g), v) in weight.iter_mut().zip(gradient).zip(velocity) {
                *v = *v * momentum + (g + *w * decay) * trust;
                *w -= *v * rate;
            }
        });
    }

    /// AdamW.
    fn adapt(self, weight: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let Self { momentum, decay, rate, corrections, .. } = self;
        let (beta, epsilon) = (ADAM_SECOND as f32, ADAM_EPSILON as f32);
        let moments = first.par_chunks_mut(PART).zip(second.par_chunks_mut(PART));
        let parts = weight.par_chunks_mut(PART).zip(gradient.par_chunks(PART)).zip(moments);
        parts.for_each(|((weight, gradient), (first, second))| {
            for (((w, &g), m), v) in weight.iter_mut().zip(gradient).zip(first).zip(second) {
                *m = *m * momentum + g * (1.0 - momentum);
                *v = *v * beta + g * g * (1.0 - beta);
                let adapted = *m / corrections[0] / ((*v / corrections[1]).sqrt() + epsilon);
                *w = *w * (1.0 - rate * decay) - adapted * rate;
            }
        });
    }
}

/// Numbers that one thread updates at a time.
const PART: usize = 1 << 14;

fn add(sum: &mut [f32], share: &[f32]) {
    assert_eq!(sum.len(), share.len(), "a gradient of another length");
    sum.par_chunks_mut(PART).zip(share.par_chunks(PART)).for_each(|(sum, share)| {
        for (sum, share) in sum.iter_mut().zip(share) {
            *sum += share;
        }
    });
}

fn length_of(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(name: Rule) -> OptimRecipe {
        OptimRecipe {
            name,
            learning_rate: 0.05,
            scaling: Scaling::None,
            momentum: 0.9,
            weight_decay: 0.1,
            warmup: 0.0,
            freeze_through: None,
            layer_decay: None,
        }
    }

    fn update(
        optimizer: &mut Optimizer,
        decays: bool,
        values: &mut [f32],
        gradient: &[f32],
        learning_rate: f64,
    ) {
        let order = Order::default();
        optimizer.step(learning_rate).parameter(Parameter { name: "w", decays, values, gradient, order });
    }

    /// Ten updates with gradients sin(0.7 i + 1.3 k) + 0.1 i; in the middle the optimizer is saved and opened.
    fn ten_updates(rule: Rule) -> [f32; 4] {
        let mut optimizer = Optimizer::new(&recipe(rule)).unwrap();
        let mut weight = [0.5, -1.0, 2.0, 0.25];
        for k in 0..10 {
            let gradient = [0, 1, 2, 3]
                .map(|i| ((0.7 * f64::from(i) + 1.3 * f64::from(k)).sin() + 0.1 * f64::from(i)) as f32);
            update(&mut optimizer, true, &mut weight, &gradient, 0.05);
            if k == 4 {
                let state = optimizer.state();
                optimizer = Optimizer::new(&recipe(rule)).unwrap();
                optimizer.load_state(&state).unwrap();
            }
        }
        weight
    }

    /// SGD and AdamW: torch 2.15 in f64; LARS: the base code's formula in NumPy (2026-11-24).
    #[test]
    fn ten_updates_are_those_of_torch() {
        for (rule, want) in [
            (Rule::Sgd, [0.220705307, -1.218801752, 1.05347034, -0.410999063]),
            (Rule::Adamw, [0.375597395, -1.149797874, 1.692234717, 0.025011144]),
            (Rule::Lars, [0.499432734, -1.000061888, 1.998948712, 0.249425222]),
        ] {
            for (got, want) in ten_updates(rule).into_iter().zip(want) {
                assert!((f64::from(got) - want).abs() < 2e-6, "{rule:?}: {got} for {want}");
            }
        }
    }

    #[test]
    fn biases_and_normalizations_are_not_decayed_nor_adapted() {
        let once = |rule: Rule, decays: bool| {
            let mut weight = [2.0];
            update(&mut Optimizer::new(&recipe(rule)).unwrap(), decays, &mut weight, &[0.0], 0.5);
            weight[0]
        };
        for rule in [Rule::Sgd, Rule::Lars, Rule::Adamw] {
            assert_eq!(once(rule, false), 2.0, "{rule:?}");
            assert!(once(rule, true) < 2.0, "{rule:?}");
        }
    }

    #[test]
    fn the_rate_rises_linearly_and_falls_along_a_cosine() {
        let recipe =
            OptimRecipe { warmup: 0.1, scaling: Scaling::Linear, learning_rate: 1.0, ..recipe(Rule::Sgd) };
        let schedule = recipe.schedule(512, 100);
        let rates: Vec<f64> = (0..100).map(|step| schedule.at(step)).collect();
        assert!(
            (rates[0] - 0.2).abs() < 1e-12
                && (rates[9] - 2.0).abs() < 1e-12
                && (rates[10] - 2.0).abs() < 1e-12
        );
        assert!((rates[55] - 1.0).abs() < 1e-12 && rates[99] < 1e-3 && rates[99] > 0.0);
        assert!(rates[..10].is_sorted() && rates[10..].iter().rev().is_sorted());
        assert_eq!(OptimRecipe { scaling: Scaling::Sqrt, ..recipe }.peak(1024), 2.0);
    }

    /// Gradients of whole numbers, whose sums are exact.
    #[test]
    fn shares_are_one_gradient_and_leave_nothing_behind() {
        let shares = [[1.0, -2.0, 4.0, 0.0], [3.0, 5.0, -1.0, 0.0], [-2.0, 1.0, 8.0, 7.0]];
        let sum: [f32; 4] = std::array::from_fn(|i| shares.iter().map(|share| share[i]).sum());
        for rule in [Rule::Sgd, Rule::Lars, Rule::Adamw] {
            let (mut whole, mut parts) =
                (Optimizer::new(&recipe(rule)).unwrap(), Optimizer::new(&recipe(rule)).unwrap());
            let (mut want, mut got) = ([0.5, -1.0, 2.0, 0.25], [0.5, -1.0, 2.0, 0.25]);
            for _ in 0..3 {
                update(&mut whole, true, &mut want, &sum, 0.05);
                let (decays, order, before) = (true, Order::default(), got);
                for gradient in &shares[..2] {
                    let values = &mut got[..];
                    parts.share().parameter(Parameter { name: "w", decays, values, gradient, order });
                }
                assert_eq!(got, before, "a share changes no parameter");
                update(&mut parts, true, &mut got, &shares[2], 0.05);
                assert_eq!(got, want, "{rule:?}");
            }
            assert_eq!(parts.state(), whole.state());
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused_by_name() {
        let refused = |recipe: OptimRecipe| Optimizer::new(&recipe).err().unwrap().to_string();
        let sound = recipe(Rule::Sgd);
        assert!(refused(OptimRecipe { momentum: 1.0, ..sound.clone() }).contains("optimizer.momentum is 1"));
        assert!(
            refused(OptimRecipe { weight_decay: -1.0, ..sound.clone() }).contains("optimizer.weight-decay")
        );
        assert!(refused(OptimRecipe { warmup: f64::NAN, ..sound.clone() }).contains("optimizer.warmup"));
        assert!(
            refused(OptimRecipe { learning_rate: f64::INFINITY, ..sound })
                .contains("optimizer.learning-rate")
        );
    }
}
