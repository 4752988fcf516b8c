//! The tensors of a network: their names, shapes, and how they begin.

use riesz::rng::{Key, normal, uniform};

use super::{Network, Op};

/// How a tensor's first numbers are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Draw {
    /// All alike.
    Constant(f32),
    /// N(0, deviation²).
    Normal(f64),
    /// U(−bound, bound).
    Uniform(f64),
}

/// What a tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Learned; `decays` is false for biases, normalizations, tokens and places, which take no weight decay.
    Learned {
        /// Whether weight decay takes it.
        decays: bool,
    },
    /// As those that are learned, but of a layer that keeps its numbers.
    Frozen,
    /// Not learned: running statistics, and a shift that stays 0.
    Buffer,
}

/// A tensor of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Its layer.
    pub layer: usize,
    /// Full name.
    pub name: String,
    /// Shape, torch's.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
    /// How it begins.
    pub draw: Draw,
}

impl Spec {
    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its first numbers: a function of `key` and its name.
    pub fn begin(&self, key: Key) -> Vec<f32> {
        let mut rng = key.stream(&self.name).rng();
        let mut draw = || match self.draw {
            Draw::Constant(value) => value,
            Draw::Normal(deviation) => (deviation * normal(&mut rng)) as f32,
            Draw::Uniform(bound) => (bound * (2.0 * uniform(&mut rng) - 1.0)) as f32,
        };
        (0..self.len()).map(|_| draw()).collect()
    }
}

impl Network {
    /// Every tensor, layer by layer.
    ///
    /// Convolutions begin as N(0, 2/(k² · out)) (He et al. 2015, fan out), linear maps as U(±1/√in) (torch's default),
    /// tokens and places as N(0, 0.02²), the rest as constants.
    pub fn tensors(&self) -> Vec<Spec> {
        let mut specs = Vec::new();
        for (i, layer) in self.layers().iter().enumerate() {
            let (c, name) = (layer.channels(), &layer.name);
            let mut push = |part: &str, shape: &[usize], role: Role, draw: Draw| {
                let role = match role {
                    Role::Learned { .. } if i < self.frozen() => Role::Frozen,
                    role => role,
                };
                specs.push(Spec {
                    layer: i,
                    name: format!("{name}.{part}"),
                    shape: shape.to_vec(),
                    role,
                    draw,
                });
            };
            let (weight, vector) = (Role::Learned { decays: true }, Role::Learned { decays: false });
            let input = layer.inputs.first().map_or(0, |&input| self.layers()[input].channels());
            match layer.op {
                Op::Convolve { kernel, bias, .. } => {
                    let deviation = (2.0 / (kernel * kernel * c) as f64).sqrt();
                    push("weight", &[c, input, kernel, kernel], weight, Draw::Normal(deviation));
                    if bias {
                        push("bias", &[c], vector, Draw::Constant(0.0));
                    }
                }
                Op::Linear { bias } => {
                    let bound = 1.0 / (input as f64).sqrt();
                    push("weight", &[c, input], weight, Draw::Uniform(bound));
                    if bias {
                        push("bias", &[c], vector, Draw::Uniform(bound));
                    }
                }
                Op::BatchNorm { shift, .. } => {
                    push("weight", &[c], vector, Draw::Constant(1.0));
                    let role = if shift { vector } else { Role::Buffer };
                    push("bias", &[c], role, Draw::Constant(0.0));
                    push("running_mean", &[c], Role::Buffer, Draw::Constant(0.0));
                    push("running_var", &[c], Role::Buffer, Draw::Constant(1.0));
                }
                Op::LayerNorm => {
                    push("weight", &[c], vector, Draw::Constant(1.0));
                    push("bias", &[c], vector, Draw::Constant(0.0));
                }
                Op::Tokens => {
                    push("cls_token", &[1, 1, c], vector, Draw::Normal(0.02));
                    push("pos_embed", &[1, layer.shape[0], c], vector, Draw::Normal(0.02));
                }
                Op::Images
                | Op::MaxPool
                | Op::MeanPool
                | Op::Gelu
                | Op::Attention { .. }
                | Op::Add
                | Op::First => {}
            }
        }
        specs
    }

    /// How many parameters have (the backbone up to h, what stands on h), frozen ones too.
    pub fn parameter_counts(&self) -> (usize, usize) {
        let parameters = self.tensors().into_iter().filter(|spec| spec.role != Role::Buffer);
        let (backbone, projector): (Vec<Spec>, Vec<Spec>) =
            parameters.partition(|spec| spec.layer <= self.representation());
        let count = |specs: Vec<Spec>| specs.iter().map(Spec::len).sum();
        (count(backbone), count(projector))
    }

    /// In words, for the log: its title, its parameters, and the widths from h to z.
    pub fn describe(&self) -> String {
        let (backbone, projector) = self.parameter_counts();
        let [dim, _] = self.dims();
        let after = self.layers().iter().skip(self.representation() + 1);
        let maps = after.filter(|layer| matches!(layer.op, Op::Linear { .. } | Op::Convolve { .. }));
        let widths: String = maps.map(|layer| format!(" → {}", layer.size())).collect();
        // By the first part of its names: the projector, or a head.
        let above =
            self.layers().get(self.representation() + 1).map_or("nothing", |layer| layer.name.as_str());
        let above = above.split('.').next().unwrap_or(above);
        format!(
            "{}, {} parameters, h of {dim}; {above} {dim}{widths}, {} parameters{}",
            self.title,
            thousands(backbone),
            thousands(projector),
            match self.tensors().iter().filter(|spec| spec.role == Role::Frozen).map(Spec::len).sum::<usize>()
            {
                0 => String::new(),
                frozen => format!("; {} frozen", thousands(frozen)),
            }
        )
    }
}

/// 1234567 as `1,234,567`.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
