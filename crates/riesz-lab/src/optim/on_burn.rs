//! The update rules in operations on tensors, where parameters live on a device of Burn's.

use burn::tensor::{Tensor, TensorData};

use super::{ADAM_EPSILON, ADAM_SECOND, LARS_TRUST, Moment, OptimRecipe, Rule, Update, length_of};

impl Update<'_> {
    /// The parameter `name` after its update, or as it is if its gradient is taken as a share: both `w` and its gradient `g` are
    /// flat, in the order of its shape.
    pub fn on_burn(&mut self, name: &str, decays: bool, w: Tensor<1>, g: Tensor<1>) -> Tensor<1> {
        let OptimRecipe { name: rule, momentum, weight_decay, .. } = self.optimizer.recipe;
        let rate = self.rate(name);
        let shares = &mut self.optimizer.shares_on_burn;
        let g = match shares.remove(name) {
            Some(sum) => sum + g,
            None => g,
        };
        let Some(rate) = rate else {
            shares.insert(name.to_owned(), g);
            return w;
        };
        let decay = if decays { weight_decay } else { 0.0 };
        let moments = self.optimizer.memory.entry(name.to_owned()).or_default();
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
        let updated = match rule {
            Rule::Sgd | Rule::Lars => {
                let mut g = if decay == 0.0 { g } else { g + w.clone() * decay };
                if rule == Rule::Lars && decays {
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
                let count = self.optimizer.step as i32;
                let first = first / (1.0 - momentum.powi(count));
                let second = second / (1.0 - ADAM_SECOND.powi(count));
                let w = if decay == 0.0 { w } else { w * (1.0 - rate * decay) };
                w - first / (second.sqrt() + ADAM_EPSILON) * rate
            }
        };
        moments.extend(memory.into_iter().map(|values| Moment::Burn(Box::new(values))));
        updated
    }
}

/// ‖x‖, summed in f64.
fn length(x: &Tensor<1>) -> f64 {
    length_of(&x.to_data().try_into_vec::<f32>().expect("optimizers compute in f32"))
}
