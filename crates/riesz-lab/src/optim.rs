//! Optimizers and the learning rate: SGD with momentum, LARS, AdamW; warm-up and cosine.
//!
//! All three go over the flat parameters of an encoder by name. Parameters of normalizations and biases take no weight
//! decay (and no LARS adaptation), as is usual.

use std::collections::BTreeMap;

use burn::tensor::{Gradients, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::encoder::Encoder;
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
    memory: BTreeMap<String, Vec<Tensor<1>>>,
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

    /// One update of every parameter that has a gradient.
    pub fn step(&mut self, encoder: &mut Encoder, gradients: &mut Gradients, learning_rate: f64) {
        self.step += 1;
        encoder.update_parameters(gradients, |name, decays, weight, gradient| {
            self.update(name, decays, weight, gradient, learning_rate)
        });
    }

    fn update(&mut self, name: &str, decays: bool, w: Tensor<1>, g: Tensor<1>, rate: f64) -> Tensor<1> {
        let OptimRecipe { momentum, weight_decay, .. } = self.recipe;
        let decay = if decays { weight_decay } else { 0.0 };
        let memory = self.memory.entry(name.to_owned()).or_default();
        match self.recipe.name {
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
                    *memory = vec![w.zeros_like(), w.zeros_like()];
                }
                let first = memory[0].clone() * momentum + g.clone() * (1.0 - momentum);
                let second = memory[1].clone() * ADAM_SECOND + g.clone() * g * (1.0 - ADAM_SECOND);
                *memory = vec![first.clone(), second.clone()];
                let count = self.step as i32;
                let first = first / (1.0 - momentum.powi(count));
                let second = second / (1.0 - ADAM_SECOND.powi(count));
                let w = if decay == 0.0 { w } else { w * (1.0 - rate * decay) };
                w - first / (second.sqrt() + ADAM_EPSILON) * rate
            }
        }
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
                let values = moment.to_data().try_into_vec().expect("optimizers compute in f32");
                state.push(NamedTensor {
                    name: format!("{order}.{name}"),
                    shape: moment.dims().to_vec(),
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
    pub fn load_state(&mut self, state: &[NamedTensor], device: &burn::tensor::Device) -> Result<()> {
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
            let data = TensorData::new(tensor.values.clone(), [tensor.values.len()]);
            moments.push(Tensor::from_data(data, device));
        }
        Ok(())
    }
}

/// ‖x‖, summed in f64.
fn length(x: &Tensor<1>) -> f64 {
    let values: Vec<f32> = x.to_data().try_into_vec().expect("optimizers compute in f32");
    values.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn recipe(name: Rule) -> OptimRecipe {
        OptimRecipe {
            name,
            learning_rate: 0.05,
            scaling: Scaling::None,
            momentum: 0.9,
            weight_decay: 0.1,
            warmup: 0.0,
        }
    }

    fn tensor(values: &[f32]) -> Tensor<1> {
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &Device::flex())
    }

    /// Ten updates with gradients sin(0.7 i + 1.3 k) + 0.1 i.
    fn ten_updates(rule: Rule) -> Vec<f32> {
        let mut optimizer = Optimizer::new(&recipe(rule)).unwrap();
        let mut weight = tensor(&[0.5, -1.0, 2.0, 0.25]);
        for k in 0..10 {
            let gradient: Vec<f32> = (0..4)
                .map(|i| ((0.7 * f64::from(i) + 1.3 * f64::from(k)).sin() + 0.1 * f64::from(i)) as f32)
                .collect();
            optimizer.step += 1;
            weight = optimizer.update("w", true, weight, tensor(&gradient), 0.05);
        }
        weight.into_data().try_into_vec().unwrap()
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
            let mut optimizer = Optimizer::new(&recipe(rule)).unwrap();
            optimizer.step = 1;
            optimizer
                .update("b", decays, tensor(&[2.0]), tensor(&[0.0]), 0.5)
                .into_data()
                .try_into_vec::<f32>()
                .unwrap()
        };
        for rule in [Rule::Sgd, Rule::Lars, Rule::Adamw] {
            assert_eq!(once(rule, false), [2.0], "{rule:?}");
            assert!(once(rule, true)[0] < 2.0, "{rule:?}");
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
