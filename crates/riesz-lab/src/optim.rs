//! Optimizers and the learning rate: SGD with momentum, LARS, AdamW; warm-up and cosine.
//!
//! All three go over the flat parameters of an encoder by name. Parameters of normalizations and biases take no weight
//! decay (and no LARS adaptation), as is usual.

use std::collections::BTreeMap;

use burn::tensor::{Gradients, Tensor, TensorData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::encoder::BurnEncoder;
use crate::network::Role;
use crate::network::cpu::{self, Engine, Order};
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
        Ok(())
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
            "{name}, learning rate {:.4}{scaling}, momentum {}, weight decay {:e}, warm-up {} % of the steps, cosine to 0",
            self.peak(batch),
            self.momentum,
            self.weight_decay,
            100.0 * self.warmup
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
    /// Updates done.
    step: u64,
    /// Parameter name → first moment (momentum) and, for AdamW, second.
    memory: BTreeMap<String, Vec<Moment>>,
}

/// One number of memory for each of a parameter.
enum Moment {
    /// In the order of the parameter's shape, as files have it.
    InOrder(Vec<f32>),
    /// As the CPU's engine holds the parameter.
    Held(Vec<f32>, Order),
    /// On a device of Burn's, in the order of the shape.
    Burn(Box<Tensor<1>>),
}

impl Moment {
    fn in_order(&self) -> Vec<f32> {
        match self {
            Self::InOrder(values) => values.clone(),
            Self::Held(values, order) => order.shaped(values),
            Self::Burn(values) => values.to_data().try_into_vec().expect("optimizers compute in f32"),
        }
    }
}

/// What an update of one parameter needs to know.
#[derive(Clone, Copy)]
struct Step {
    rule: Rule,
    momentum: f32,
    /// Whether the parameter is one that decays and adapts.
    decays: bool,
    decay: f32,
    rate: f32,
    /// 1 − β₁ᵏ and 1 − β₂ᵏ, of AdamW's update k.
    corrections: [f32; 2],
}

impl Optimizer {
    /// An optimizer that has seen nothing.
    ///
    /// # Errors
    /// If a number of the recipe is out of range.
    pub fn new(recipe: &OptimRecipe) -> Result<Self> {
        recipe.check()?;
        Ok(Self { recipe: recipe.clone(), step: 0, memory: BTreeMap::new() })
    }

    /// One update of every learned tensor by its gradient.
    pub fn step(&mut self, engine: &mut Engine, learning_rate: f64) {
        self.step += 1;
        for tensor in engine.tensors_mut() {
            let Role::Learned { decays } = tensor.spec.role else { continue };
            let step = self.parameters(decays, learning_rate);
            let moments = self.memory.entry(tensor.spec.name.clone()).or_default();
            let count = if step.rule == Rule::Adamw { 2 } else { 1 };
            let is_first = moments.is_empty();
            let mut held: Vec<Vec<f32>> = moments
                .drain(..)
                .map(|moment| match moment {
                    Moment::Held(values, _) => values,
                    other => tensor.order().held(&other.in_order()),
                })
                .collect();
            held.resize_with(count, || vec![0.0; tensor.values.len()]);
            let cpu::Tensor { values, gradient, .. } = &mut *tensor;
            step.update(is_first, values, gradient, &mut held);
            let order = tensor.order();
            moments.extend(held.into_iter().map(|values| Moment::Held(values, order)));
        }
    }

    fn parameters(&self, decays: bool, rate: f64) -> Step {
        let OptimRecipe { name, momentum, weight_decay, .. } = self.recipe;
        let count = self.step as i32;
        Step {
            rule: name,
            momentum: momentum as f32,
            decays,
            decay: if decays { weight_decay as f32 } else { 0.0 },
            rate: rate as f32,
            corrections: [momentum, ADAM_SECOND].map(|beta| (1.0 - beta.powi(count)) as f32),
        }
    }

    /// One update of every parameter of an encoder on Burn that has a gradient.
    pub fn step_on_burn(&mut self, encoder: &mut BurnEncoder, gradients: &mut Gradients, learning_rate: f64) {
        self.step += 1;
        encoder.update_parameters(gradients, |name, decays, weight, gradient| {
            self.update_on_burn(name, decays, weight, gradient, learning_rate)
        });
    }

    fn update_on_burn(
        &mut self,
        name: &str,
        decays: bool,
        w: Tensor<1>,
        g: Tensor<1>,
        rate: f64,
    ) -> Tensor<1> {
        let OptimRecipe { momentum, weight_decay, .. } = self.recipe;
        let decay = if decays { weight_decay } else { 0.0 };
        let moments = self.memory.entry(name.to_owned()).or_default();
        let mut memory: Vec<Tensor<1>> = moments
            .drain(..)
            .map(|moment| match moment {
                Moment::Burn(values) => *values,
                other => {
                    let values = other.in_order();
                    let length = values.len();
                    Tensor::from_data(TensorData::new(values, [length]), &w.device())
                }
            })
            .collect();
        let updated = match self.recipe.name {
            Rule::Sgd | Rule::Lars => {
                let mut g = if decay == 0.0 { g } else { g + w.clone() * decay };
                if self.recipe.name == Rule::Lars && decays {
                    let lengths = (length(&w), length(&g));
                    if lengths.0 > 0.0 && lengths.1 > 0.0 {
                        g = g * (LARS_TRUST * lengths.0 / lengths.1);
                    }
                }
                let velocity = match memory.pop() {
                    Some(velocity) => velocity * momentum + g,
                    None => g,
                };
                memory.push(velocity.clone());
                w - velocity * rate
            }
            Rule::Adamw => {
                if memory.is_empty() {
                    memory = vec![w.zeros_like(), w.zeros_like()];
                }
                let first = memory[0].clone() * momentum + g.clone() * (1.0 - momentum);
                let second = memory[1].clone() * ADAM_SECOND + g.clone() * g * (1.0 - ADAM_SECOND);
                memory = vec![first.clone(), second.clone()];
                let count = self.step as i32;
                let first = first / (1.0 - momentum.powi(count));
                let second = second / (1.0 - ADAM_SECOND.powi(count));
                let w = if decay == 0.0 { w } else { w * (1.0 - rate * decay) };
                w - first / (second.sqrt() + ADAM_EPSILON) * rate
            }
        };
        moments.extend(memory.into_iter().map(|values| Moment::Burn(Box::new(values))));
        updated
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

impl Step {
    /// Updates `weight` and its moments. `is_first`: there is no momentum yet.
    fn update(self, is_first: bool, weight: &mut [f32], gradient: &[f32], moments: &mut [Vec<f32>]) {
        match moments {
            [velocity] => self.descend(is_first, weight, gradient, velocity),
            [first, second] => self.adapt(weight, gradient, first, second),
            _ => unreachable!("a rule has one moment or two"),
        }
    }

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

fn length_of(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

/// ‖x‖, summed in f64.
fn length(x: &Tensor<1>) -> f64 {
    length_of(&x.to_data().try_into_vec::<f32>().expect("optimizers compute in f32"))
}
