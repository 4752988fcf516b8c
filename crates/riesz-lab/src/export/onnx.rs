//! A network as an ONNX model (opset 17): the walk over the value that gives other programs the layers and numbers.
//!
//! In: `images`, float `[batch, channels, height, width]` in [0, 1], batch of any size. Out: the rows of the backbone or the
//! projector, `[batch, d]`. Normalizations use the running statistics, as a trained encoder does.

use std::collections::BTreeMap;

use super::protobuf::Message;
use crate::network::{BATCH_EPSILON, LAYER_EPSILON, Layer, Network, Op};
use crate::tensors::NamedTensor;

/// The version of the operators, and that of the file format that came with it.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// ONNX's numbers for types.
const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// Which rows a model gives, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The layer that gives them: the last one, or [`Network::representation`].
    pub layer: usize,
    /// The output's name.
    pub name: String,
    /// Whether they are scaled to unit length.
    pub normalized: bool,
}

/// The bytes of an ONNX file; `about` becomes its metadata.
///
/// # Panics
/// If a tensor of the network is not among `tensors`.
pub fn onnx(
    network: &Network,
    tensors: &[NamedTensor],
    rows: &Rows,
    about: &BTreeMap<String, String>,
) -> Vec<u8> {
    let values = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let mut graph = Graph { values, nodes: Message::default(), last: String::new(), made: 0 };
    let needed = needed(network, rows.layer);
    let mut outputs: Vec<String> = Vec::new();
    for (i, layer) in network.layers().iter().enumerate() {
        let inputs: Vec<&str> = layer.inputs.iter().map(|&input| outputs[input].as_str()).collect();
        let output = if needed[i] { graph.layer(network, layer, &inputs) } else { String::new() };
        outputs.push(output);
    }
    let given = &outputs[rows.layer];
    if rows.normalized {
        graph.node(
            "LpNormalization",
            &[given],
            &rows.name,
            &[("axis", Value::Number(1)), ("p", Value::Number(2))],
        );
    } else {
        graph.node("Identity", &[given], &rows.name, &[]);
    }
    let [h, w, c] = network.image_shape();
    let mut body = graph.nodes;
    body.text(2, "riesz");
    body.message(11, &value_info("images", &[Side::Batch, Side::Fixed(c), Side::Fixed(h), Side::Fixed(w)]));
    let width = network.layers()[rows.layer].channels();
    body.message(12, &value_info(&rows.name, &[Side::Batch, Side::Fixed(width)]));
    let mut opset = Message::default();
    opset.text(1, "").number(2, OPSET);
    let mut model = Message::default();
    model.number(1, IR_VERSION).text(2, "riesz").text(3, env!("CARGO_PKG_VERSION"));
    model.message(7, &body).message(8, &opset);
    for (key, value) in about {
        let mut entry = Message::default();
        entry.text(1, key).text(2, value);
        model.message(14, &entry);
    }
    model.into_bytes()
}

/// Which layers the layer `last` depends on.
fn needed(network: &Network, last: usize) -> Vec<bool> {
    let mut needed = vec![false; network.layers().len()];
    needed[last] = true;
    for i in (0..=last).rev() {
        if needed[i] {
            network.layers()[i].inputs.iter().for_each(|&input| needed[input] = true);
        }
    }
    needed
}

/// A node's attribute.
enum Value<'a> {
    Number(i64),
    Numbers(&'a [i64]),
    Float(f32),
}

/// A graph under way: its nodes and initializers, which are fields of one message in any order.
struct Graph<'a> {
    values: BTreeMap<&'a str, &'a NamedTensor>,
    nodes: Message,
    /// The layer that is written, whose name begins those of its values.
    last: String,
    made: usize,
}

impl Graph<'_> {
    /// Writes a layer, and says what its output is called. Pixels are `[batch, channels, h, w]`, tokens `[batch, tokens,
    /// channels]`, rows `[batch, channels]`.
    fn layer(&mut self, network: &Network, layer: &Layer, inputs: &[&str]) -> String {
        self.last.clone_from(&layer.name);
        let name = &layer.name;
        let of = |i: usize| &network.layers()[layer.inputs[i]];
        match layer.op {
            Op::Images => {
                let mut x = "images".to_owned();
                for (op, numbers) in
                    network.pixels().into_iter().flat_map(|pixels| ["Sub", "Div"].into_iter().zip(pixels))
                {
                    let of_channels = self.fresh("pixels");
                    self.floats(&of_channels, &[1, numbers.len() as i64, 1, 1], numbers.iter().copied());
                    x = self.made(op, &[x, of_channels], &[]);
                }
                x
            }
            Op::Convolve { kernel, stride, padding, bias } => {
                let mut all = vec![inputs[0].to_owned(), self.weights(name, "weight")];
                if bias {
                    all.push(self.weights(name, "bias"));
                }
                let [kernel, stride, padding] = [kernel, stride, padding].map(|n| n as i64);
                self.made(
                    "Conv",
                    &all,
                    &[
                        ("kernel_shape", Value::Numbers(&[kernel; 2])),
                        ("strides", Value::Numbers(&[stride; 2])),
                        ("pads", Value::Numbers(&[padding; 4])),
                    ],
                )
            }
            Op::Linear { bias } => {
                // [in, out], so that it multiplies rows and tokens alike.
                let weight = self.transposed(name);
                let mut x = self.made("MatMul", &[inputs[0].to_owned(), weight], &[]);
                if bias {
                    let bias = self.weights(name, "bias");
                    x = self.made("Add", &[x, bias], &[]);
                }
                x
            }
            Op::BatchNorm { relu, .. } => {
                let mut all = vec![inputs[0].to_owned()];
                all.extend(
                    ["weight", "bias", "running_mean", "running_var"].map(|part| self.weights(name, part)),
                );
                let mut x =
                    self.made("BatchNormalization", &all, &[("epsilon", Value::Float(BATCH_EPSILON as f32))]);
                if let Some(&residual) = inputs.get(1) {
                    x = self.made("Add", &[x, residual.to_owned()], &[]);
                }
                if relu { self.made("Relu", &[x], &[]) } else { x }
            }
            Op::MaxPool => self.made(
                "MaxPool",
                &[inputs[0].to_owned()],
                &[
                    ("kernel_shape", Value::Numbers(&[3, 3])),
                    ("strides", Value::Numbers(&[2, 2])),
                    ("pads", Value::Numbers(&[1; 4])),
                ],
            ),
            Op::MeanPool => {
                let x = self.made("GlobalAveragePool", &[inputs[0].to_owned()], &[]);
                self.made("Flatten", &[x], &[("axis", Value::Number(1))])
            }
            Op::Tokens => self.tokens(name, inputs[0], of(0).channels()),
            Op::LayerNorm => {
                let all = [inputs[0].to_owned(), self.weights(name, "weight"), self.weights(name, "bias")];
                let epsilon = Value::Float(LAYER_EPSILON);
                self.made("LayerNormalization", &all, &[("axis", Value::Number(-1)), ("epsilon", epsilon)])
            }
            Op::Gelu => {
                // x Φ(x) = x (1 + erf(x/√2)) / 2.
                let scale = self.constant(std::f32::consts::FRAC_1_SQRT_2);
                let (one, half) = (self.constant(1.0), self.constant(0.5));
                let scaled = self.made("Mul", &[inputs[0].to_owned(), scale], &[]);
                let erf = self.made("Erf", &[scaled], &[]);
                let twice = self.made("Add", &[erf, one], &[]);
                let phi = self.made("Mul", &[twice, half], &[]);
                self.made("Mul", &[inputs[0].to_owned(), phi], &[])
            }
            Op::Attention { heads } => {
                self.attention(inputs[0], layer.shape[0], heads, layer.channels() / heads)
            }
            Op::Add => self.made("Add", &[inputs[0].to_owned(), inputs[1].to_owned()], &[]),
            Op::First => {
                let first = self.integers(&[], &[0]);
                self.made("Gather", &[inputs[0].to_owned(), first], &[("axis", Value::Number(1))])
            }
        }
    }

    /// Pixels become tokens behind a learned one, and each place's numbers are added.
    fn tokens(&mut self, name: &str, x: &str, channels: usize) -> String {
        let channels = channels as i64;
        let shape = self.integers(&[3], &[0, channels, -1]);
        let flat = self.made("Reshape", &[x.to_owned(), shape], &[]);
        let tokens = self.made("Transpose", &[flat], &[("perm", Value::Numbers(&[0, 2, 1]))]);
        // The class token, once for each image.
        let batch = self.made(
            "Shape",
            std::slice::from_ref(&tokens),
            &[("start", Value::Number(0)), ("end", Value::Number(1))],
        );
        let rest = self.integers(&[2], &[1, channels]);
        let shape = self.made("Concat", &[batch, rest], &[("axis", Value::Number(0))]);
        let class = self.weights(name, "cls_token");
        let class = self.made("Expand", &[class, shape], &[]);
        let all = self.made("Concat", &[class, tokens], &[("axis", Value::Number(1))]);
        let places = self.weights(name, "pos_embed");
        self.made("Add", &[all, places], &[])
    }

    /// softmax(q kᵀ / √width) v in each head.
    fn attention(&mut self, x: &str, tokens: usize, heads: usize, width: usize) -> String {
        let [tokens, heads, width] = [tokens, heads, width].map(|n| n as i64);
        let shape = self.integers(&[5], &[0, tokens, 3, heads, width]);
        let split = self.made("Reshape", &[x.to_owned(), shape], &[]);
        // [3, batch, heads, tokens, width].
        let turned = self.made("Transpose", &[split], &[("perm", Value::Numbers(&[2, 0, 3, 1, 4]))]);
        let [q, k, v] = [0, 1, 2].map(|i| {
            let place = self.integers(&[], &[i]);
            self.made("Gather", &[turned.clone(), place], &[("axis", Value::Number(0))])
        });
        let k = self.made("Transpose", &[k], &[("perm", Value::Numbers(&[0, 1, 3, 2]))]);
        let products = self.made("MatMul", &[q, k], &[]);
        let scale = self.constant(1.0 / (width as f32).sqrt());
        let scaled = self.made("Mul", &[products, scale], &[]);
        let weights = self.made("Softmax", &[scaled], &[("axis", Value::Number(-1))]);
        let means = self.made("MatMul", &[weights, v], &[]);
        let back = self.made("Transpose", &[means], &[("perm", Value::Numbers(&[0, 2, 1, 3]))]);
        let shape = self.integers(&[3], &[0, tokens, heads * width]);
        self.made("Reshape", &[back, shape], &[])
    }

    /// Writes a node whose output gets a name of its own.
    fn made(&mut self, op: &str, inputs: &[String], attributes: &[(&str, Value<'_>)]) -> String {
        let output = self.fresh(op);
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.node(op, &inputs, &output, attributes);
        output
    }

    fn fresh(&mut self, what: &str) -> String {
        self.made += 1;
        format!("{}/{what}.{}", self.last, self.made)
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: &[(&str, Value<'_>)]) {
        let mut node = Message::default();
        inputs.iter().for_each(|input| {
            node.text(1, input);
        });
        node.text(2, output).text(3, output).text(4, op);
        for (name, value) in attributes {
            let mut attribute = Message::default();
            attribute.text(1, name);
            // The number of the type comes last: 1 a float, 2 a whole number, 7 several.
            match value {
                Value::Float(number) => attribute.float(2, *number).number(20, 1),
                Value::Number(number) => attribute.number(3, *number).number(20, 2),
                Value::Numbers(numbers) => attribute.numbers(8, numbers).number(20, 7),
            };
            node.message(5, &attribute);
        }
        self.nodes.message(1, &node);
    }

    /// The numbers `part` of a layer, as they are stored.
    fn weights(&mut self, layer: &str, part: &str) -> String {
        let name = format!("{layer}.{part}");
        let tensor = self.values[name.as_str()];
        let shape: Vec<i64> = tensor.shape.iter().map(|&n| n as i64).collect();
        self.floats(&name, &shape, tensor.values.iter().copied());
        name
    }

    /// The matrix of a layer, its rows as columns.
    fn transposed(&mut self, layer: &str) -> String {
        let NamedTensor { shape, values, .. } = self.values[format!("{layer}.weight").as_str()];
        let &[out, input] = shape.as_slice() else { panic!("{layer} has the matrix {shape:?}") };
        let name = format!("{layer}.weight.transposed");
        let turned = (0..input).flat_map(|i| (0..out).map(move |o| values[o * input + i]));
        self.floats(&name, &[input as i64, out as i64], turned);
        name
    }

    fn constant(&mut self, number: f32) -> String {
        let name = self.fresh("constant");
        self.floats(&name, &[], std::iter::once(number));
        name
    }

    fn floats(&mut self, name: &str, shape: &[i64], numbers: impl Iterator<Item = f32>) {
        self.initializer(name, FLOAT, shape, &numbers.flat_map(f32::to_le_bytes).collect::<Vec<u8>>());
    }

    fn integers(&mut self, shape: &[i64], numbers: &[i64]) -> String {
        let name = self.fresh("shape");
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.initializer(&name, INT64, shape, &bytes);
        name
    }

    fn initializer(&mut self, name: &str, kind: i64, shape: &[i64], bytes: &[u8]) {
        let mut tensor = Message::default();
        tensor.numbers(1, shape).number(2, kind).text(8, name).bytes(9, bytes);
        self.nodes.message(5, &tensor);
    }
}

/// One side of a value.
enum Side {
    Batch,
    Fixed(usize),
}

fn value_info(name: &str, sides: &[Side]) -> Message {
    let mut shape = Message::default();
    for side in sides {
        let mut dimension = Message::default();
        match side {
            Side::Batch => dimension.text(2, "batch"),
            Side::Fixed(n) => dimension.number(1, *n as i64),
        };
        shape.message(1, &dimension);
    }
    let mut tensor = Message::default();
    tensor.number(1, FLOAT).message(2, &shape);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut info = Message::default();
    info.text(1, name).message(2, &kind);
    info
}
