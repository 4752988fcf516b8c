//! Networks on a GPU, in Burn's operations and differentiated by Burn, against our own engine on the CPU.

use ::burn::tensor::Device;
use riesz::Matrix;
use riesz::loss::Loss;
use riesz::rng::{Key, normal};
use riesz_lab::device;
use riesz_lab::encoder::{Backbone, Encoder, EncoderRecipe, Objective, ProjectorRecipe, Stem};
use riesz_lab::network::{Builder, Network, burn, cpu};
use riesz_lab::optim::{OptimRecipe, Optimizer, Rule, Scaling};
use riesz_lab::tensors::NamedTensor;
use riesz_lab::train::accumulate::value_and_grad;

use crate::{gpu, tell};

/// What rounding may do to one layer of a few hundred terms, and to what comes before it.
const LAYER_BOUND: f64 = 1e-5;
/// How far the images are moved to see what rounding does to a whole network.
const MOVED: f64 = 1e-5;
/// What an input of a ReLU that changes side may do to a gradient here: a few thousand numbers are in a layer.
const ONE_SIDE: f64 = 2e-2;

/// Named numbers that a device computed.
type Results = Vec<(String, Vec<f32>)>;

fn length<'a>(values: impl IntoIterator<Item = &'a f32>) -> f64 {
    values.into_iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

/// The largest ‖got − want‖ / ‖want‖, and of which; what is nothing beside the rest is measured by a thousandth of the
/// rest.
fn worst(got: &Results, want: &Results) -> (f64, String) {
    worst_beyond(1e-3, got, want)
}

/// As [`worst`], with another share of the rest.
fn worst_beyond(share: f64, got: &Results, want: &Results) -> (f64, String) {
    assert_eq!(got.len(), want.len());
    let all = length(want.iter().flat_map(|(_, values)| values));
    let mut worst = (0.0, String::new());
    for ((name, got), (same, want)) in got.iter().zip(want) {
        assert_eq!((name, got.len()), (same, want.len()));
        let difference: Vec<f32> = got.iter().zip(want).map(|(a, b)| a - b).collect();
        let error = length(&difference) / length(want).max(share * all);
        // A NaN is the worst.
        if error.is_nan() || error >= worst.0 {
            worst = (error, name.clone());
        }
        if error.is_nan() {
            break;
        }
    }
    worst
}

/// What was compared, and the worst of each kind.
struct Ledger {
    gpu: Device,
    compared: usize,
    worst: Vec<(&'static str, f64, String)>,
    wrong: Vec<String>,
}

impl Ledger {
    fn hold(&mut self, kind: &'static str, what: &str, bound: f64, got: &Results, want: &Results) {
        self.note(kind, what, bound, got.len(), worst(got, want));
    }

    fn note(
        &mut self,
        kind: &'static str,
        what: &str,
        bound: f64,
        results: usize,
        (error, name): (f64, String),
    ) {
        self.compared += results;
        let line = format!("{what}: {name}");
        if error.is_nan() || error > bound {
            self.wrong.push(format!("{kind}: {line}: {error:.1e}, bound {bound:.1e}"));
        }
        match self.worst.iter_mut().find(|worst| worst.0 == kind) {
            Some(worst) if worst.1 >= error => {}
            Some(worst) => *worst = (kind, error, line),
            None => self.worst.push((kind, error, line)),
        }
    }
}

/// Draws from N(0, 1).
fn draws(count: usize, stream: &str) -> Vec<f32> {
    let mut rng = Key::new(11).stream(stream).rng();
    (0..count).map(|_| normal(&mut rng) as f32).collect()
}

/// `n` images for a network, moved by `moved` of themselves.
fn images(network: &Network, n: usize, moved: f64) -> Vec<f32> {
    let [_, _, channels] = network.image_shape();
    let size = network.layers()[0].size();
    let (images, shades) = (draws(n * size, "images"), draws(n * channels, "shades"));
    let moves = draws(n * size, "moved");
    // Each has its own shade: a transformer would hardly tell noise from noise.
    let shaded = images.iter().enumerate().map(|(i, x)| x + shades[i / size * channels + i % channels]);
    shaded.zip(moves).map(|(x, r)| (f64::from(x) * (1.0 + moved * f64::from(r))) as f32).collect()
}

/// What an engine makes of a training batch and then of the same images one by one; and the gradient of every parameter.
struct Passed {
    forward: Results,
    gradients: Results,
}

fn named(name: &str, rows: &Matrix<f32>) -> (String, Vec<f32>) {
    (name.to_owned(), rows.as_slice().to_vec())
}

/// Goes forward and back by any encoder whose gradients `found` tells.
fn passed<E: Encoder>(mut encoder: E, images: &[f32], found: impl FnOnce(&E) -> Results) -> Passed {
    let z = encoder.forward(images);
    let of_z = Matrix::new(draws(z.as_slice().len(), "gradient"), z.dim());
    encoder.backward(&of_z);
    let gradients = found(&encoder);
    let (eval_h, eval_z) = encoder.embed(images);
    let mut forward =
        vec![named("z", &z), named("h in evaluation", &eval_h), named("z in evaluation", &eval_z)];
    let running = encoder.named_tensors().into_iter().filter(|tensor| tensor.name.contains("running"));
    forward.extend(running.map(|tensor| (tensor.name, tensor.values)));
    Passed { forward, gradients }
}

fn on_cpu(network: &Network, start: &[NamedTensor], images: &[f32]) -> Passed {
    let mut engine = cpu::Engine::new(network.clone(), Key::new(3));
    engine.load(start).unwrap();
    passed(engine, images, |engine| {
        let learned = engine.tensors().iter().filter(|tensor| !tensor.gradient.is_empty());
        learned.map(|t| (t.spec.name.clone(), t.order().shaped(&t.gradient))).collect()
    })
}

fn on_gpu(network: &Network, start: &[NamedTensor], images: &[f32], gpu: &Device) -> Passed {
    on_gpu_by(network, start, images, gpu, false)
}

fn on_gpu_by(
    network: &Network,
    start: &[NamedTensor],
    images: &[f32],
    gpu: &Device,
    recomputes: bool,
) -> Passed {
    let mut engine = burn::Engine::new(network.clone(), Key::new(3), gpu);
    engine.load(start).unwrap();
    if recomputes {
        engine.recompute();
    }
    passed(engine, images, |engine| {
        let with_gradient = engine.tensors().iter().filter_map(|t| Some((&t.spec.name, t.gradient.clone()?)));
        with_gradient.map(|(name, g)| (name.clone(), g.into_data().try_into_vec().unwrap())).collect()
    })
}

/// The network's first numbers: the same on both devices.
fn start(network: &Network, gpu: &Device) -> Vec<NamedTensor> {
    let start = cpu::Engine::new(network.clone(), Key::new(3)).named_tensors();
    assert_eq!(start, burn::Engine::new(network.clone(), Key::new(3), gpu).named_tensors());
    start
}

/// A layer of every kind with a linear map before it, whose gradient shows that of the layer's input.
fn layers(ledger: &mut Ledger) {
    // Takes what is added, if anything is, and the linear map before it, which is the newest layer.
    type Layer = Box<dyn Fn(&mut Builder, Option<usize>, usize) -> usize>;
    let mut cases: Vec<(String, usize, [usize; 3], usize, bool, Layer)> = Vec::new();
    // Every shape of convolution that the backbones have, and sizes that divide by nothing.
    for ([n, h, w, c], out, kernel, stride, padding) in [
        ([3, 7, 7, 16], 8, 3, 1, 1),
        ([2, 14, 14, 3], 5, 3, 2, 1),
        ([1, 5, 3, 1], 4, 3, 1, 1),
        ([5, 8, 8, 4], 6, 1, 1, 0),
        ([2, 9, 9, 4], 6, 1, 2, 0),
        ([2, 17, 17, 3], 8, 7, 2, 3),
        ([40, 7, 7, 8], 8, 3, 2, 1),
        ([1, 3, 3, 2], 2, 3, 1, 0),
        ([33, 1, 1, 67], 129, 1, 1, 0),
        ([4, 2, 2, 130], 65, 3, 1, 1),
    ] {
        for bias in [false, true] {
            let what = format!("convolution to {out}, {kernel}/{stride}/{padding}, bias {bias}");
            let layer =
                move |net: &mut Builder, _, x| net.convolve("layer", x, out, kernel, stride, padding, bias);
            cases.push((what, n, [h, w, c], c, false, Box::new(layer)));
        }
    }
    for [n, h, w, c] in [[3, 7, 7, 16], [2, 5, 3, 1], [64, 5, 5, 3], [1, 4, 1, 4], [20, 1, 1, 33]] {
        for (relu, residual) in [(false, false), (false, true), (true, false), (true, true)] {
            let what = format!("batch norm, relu {relu}, residual {residual}");
            let layer = move |net: &mut Builder, other, x| net.batch_norm("layer", x, other, relu, !residual);
            cases.push((what, n, [h, w, c], c, residual, Box::new(layer)));
        }
    }
    for [n, h, w, c] in [[2, 8, 8, 4], [3, 7, 5, 1], [1, 1, 1, 3]] {
        let mut add = |what: &str, layer: fn(&mut Builder, Option<usize>, usize) -> usize| {
            cases.push((what.to_owned(), n, [h, w, c], c, what == "sum", Box::new(layer)));
        };
        add("max pooling", |net, _, x| net.max_pool(x));
        add("mean pooling", |net, _, x| net.mean_pool(x));
        add("tokens", |net, _, x| net.tokens("layer", x));
        add("layer norm", |net, _, x| net.layer_norm("layer", x));
        add("GELU", |net, _, x| net.gelu(x));
        add("first", |net, _, x| net.first(x));
        add("sum", |net, other, x| net.add(other.unwrap(), x));
    }
    for ([n, tokens], heads, width) in [([3, 7], 2, 5), ([2, 1], 1, 4), ([5, 17], 3, 64)] {
        let layer = move |net: &mut Builder, _, x| net.attention(x, heads);
        cases.push((
            format!("attention of {heads} heads"),
            n,
            [tokens, 1, 6],
            3 * heads * width,
            false,
            Box::new(layer),
        ));
    }
    for (what, n, shape, out, adds, layer) in cases {
        let mut net = Builder::new(shape);
        let other = adds.then(|| net.linear("other", 0, out, true));
        let x = net.linear("before", 0, out, true);
        let last = layer(&mut net, other, x);
        let network = net.finish(last);
        let mut start = start(&network, &ledger.gpu);
        // Normalizations, biases and places that do something.
        for tensor in start.iter_mut().filter(|tensor| tensor.shape.len() != 2) {
            let moves = draws(tensor.values.len(), &tensor.name);
            tensor.values.iter_mut().zip(moves).for_each(|(x, r)| *x += 0.2 * r.abs());
        }
        let what = format!("{what} of {n} × {shape:?}");
        let images = images(&network, n, 0.0);
        let (want, got) = (on_cpu(&network, &start, &images), on_gpu(&network, &start, &images, &ledger.gpu));
        ledger.hold("layers", &what, LAYER_BOUND, &got.forward, &want.forward);
        // A normalization takes out shifts, and of a single channel scales: their gradients are 0 but for rounding.
        let apart = worst_beyond(0.25, &got.gradients, &want.gradients);
        ledger.note("layers' gradients", &what, LAYER_BOUND, got.gradients.len(), apart);
    }
}

fn network(backbone: Backbone, stem: Stem, size: usize, channels: usize) -> Network {
    let recipe =
        EncoderRecipe { backbone, stem, pixels: None, projector: ProjectorRecipe { hidden: 24, output: 8 } };
    recipe.network(size, channels).unwrap()
}

const IMAGES: usize = 4;

/// Rounding decides which side of 0 some inputs of a ReLU are on, and one that changes side moves the gradient of all
/// that lies before it, by one part in the root of their number. So a GPU may differ from the CPU by what the CPU differs
/// from itself when the images are moved by [`MOVED`] of themselves, and a residual network's gradients by [`ONE_SIDE`].
fn backbones(ledger: &mut Ledger) {
    for (backbone, stem, size, channels) in [
        (Backbone::ResnetSmall, Stem::Small, 28, 1),
        (Backbone::ResnetSmall, Stem::Imagenet, 37, 3),
        (Backbone::Resnet18, Stem::Small, 16, 3),
        (Backbone::Resnet34, Stem::Small, 16, 3),
        (Backbone::Resnet50, Stem::Small, 16, 3),
        (Backbone::VitTiny, Stem::Auto, 16, 3),
    ] {
        let network = network(backbone, stem, size, channels);
        let start = start(&network, &ledger.gpu);
        let [still, near] = [0.0, MOVED].map(|moved| images(&network, IMAGES, moved));
        let (want, moved) = (on_cpu(&network, &start, &still), on_cpu(&network, &start, &near));
        let got = on_gpu(&network, &start, &still, &ledger.gpu);
        let what = format!("{backbone:?} with {size} × {size} × {channels}");
        let one_side = if backbone == Backbone::VitTiny { 0.0 } else { ONE_SIDE };
        for (kind, got, want, moved, floor) in [
            ("forward passes", got.forward, want.forward, moved.forward, 0.0),
            ("gradients", got.gradients, want.gradients, moved.gradients, one_side),
        ] {
            let bound = worst(&moved, &want).0.max(floor);
            let (error, name) = worst(&got, &want);
            tell(&format!("gpu: {what}: {kind} differ by {error:.1e} ({name}), bound {bound:.1e}"));
            // A gradient that is wrong is off by about itself.
            if bound > 0.25 {
                ledger
                    .wrong
                    .push(format!("{what}: a bound of {bound:.1e} on {kind} would let anything pass"));
            }
            ledger.hold(kind, &what, bound, &got, &want);
        }
    }
}

/// AdamW's first update is the learning rate with the sign of the gradient, and where a gradient is 0 but for rounding either sign
/// is right: one in 25 of a tensor's numbers may turn, which is 2√(1/25) of its update. Without the correction of its moments it would be
/// three times as large.
const TURNED: f64 = 0.4;

/// What one update by each rule does to every parameter, by a batch at once and in chunks: the bound is as for the gradients.
fn updates(ledger: &mut Ledger) {
    let recipe = EncoderRecipe {
        backbone: Backbone::ResnetSmall,
        stem: Stem::Small,
        pixels: None,
        projector: ProjectorRecipe { hidden: 24, output: 8 },
    };
    let network = recipe.network(12, 1).unwrap();
    for (name, chunks) in [(Rule::Sgd, 1), (Rule::Lars, 1), (Rule::Adamw, 1), (Rule::Sgd, 3), (Rule::Lars, 2)]
    {
        let on = |device: &device::Device, moved: f64| -> Results {
            let rule = OptimRecipe {
                name,
                learning_rate: 0.1,
                scaling: Scaling::None,
                momentum: 0.9,
                weight_decay: 1e-4,
                warmup: 0.0,
                freeze_through: None,
                layer_decay: None,
            };
            let mut encoder = recipe.build(12, 1, Key::new(3), device).unwrap();
            let before = encoder.named_tensors();
            let mut optimizer = Optimizer::new(&rule).unwrap();
            if chunks == 1 {
                let z = encoder.forward(&images(&network, IMAGES, moved));
                encoder.backward(&Matrix::new(draws(z.as_slice().len(), "gradient"), z.dim()));
            } else {
                let (loss, images) = (Loss::nt_xent(0.5).unwrap(), images(&network, 6 * IMAGES, moved));
                let objective = Objective { loss: &loss, views: 2, groups: None };
                value_and_grad(&mut *encoder, &mut optimizer, objective, &images, chunks, &mut |_| ())
                    .unwrap();
            }
            encoder.update(&mut optimizer.step(0.1));
            let change = |(before, after): (NamedTensor, NamedTensor)| {
                let change = after.values.iter().zip(&before.values).map(|(a, b)| a - b).collect();
                (after.name, change)
            };
            let changes = before.into_iter().zip(encoder.named_tensors()).map(change);
            // One shift is not learned.
            changes.filter(|(name, _)| name != "projector.4.bias").collect()
        };
        let (cpu, gpu) = (device::Device::Cpu, device::Device::Gpu(ledger.gpu.clone()));
        let (want, moved, got) = (on(&cpu, 0.0), on(&cpu, MOVED), on(&gpu, 0.0));
        let turned = if name == Rule::Adamw { TURNED } else { 0.0 };
        let bound = worst(&moved, &want).0.max(ONE_SIDE).max(turned);
        ledger.hold("updates", &format!("{name:?}, chunks: {chunks}"), bound, &got, &want);
    }
}

/// Holds what `compare` compares, and tells the worst.
fn hold(compare: &[fn(&mut Ledger)]) {
    let Some((name, gpu)) = gpu() else { return };
    let device = device::Device::Gpu(gpu.clone()).described(name);
    let mut ledger = Ledger { gpu, compared: 0, worst: Vec::new(), wrong: Vec::new() };
    compare.iter().for_each(|compare| compare(&mut ledger));
    let worst: Vec<String> =
        ledger.worst.iter().map(|(kind, error, what)| format!("{kind} {error:.1e} ({what})")).collect();
    tell(&format!(
        "gpu: {device}: {} results compared with the CPU's; worst difference of {}",
        ledger.compared,
        worst.join(", ")
    ));
    assert!(ledger.wrong.is_empty(), "{}", ledger.wrong.join("\n"));
}

#[test]
fn a_gpu_computes_what_the_cpu_does() {
    hold(&[layers, backbones]);
}

#[test]
fn an_update_on_a_gpu_is_that_of_the_cpu() {
    hold(&[updates]);
}

/// By the same operations of the same numbers.
#[test]
fn what_is_made_again_on_a_gpu_is_what_was_kept() {
    let Some((_, gpu)) = gpu() else { return };
    for (backbone, size, channels) in [(Backbone::ResnetSmall, 12, 1), (Backbone::VitTiny, 8, 3)] {
        let network = network(backbone, Stem::Auto, size, channels);
        let (start, images) = (start(&network, &gpu), images(&network, IMAGES, 0.0));
        let [want, got] = [false, true].map(|again| on_gpu_by(&network, &start, &images, &gpu, again));
        for (kind, got, want) in
            [("forward", got.forward, want.forward), ("gradients", got.gradients, want.gradients)]
        {
            let (error, name) = worst(&got, &want);
            tell(&format!("gpu: {backbone:?}, recomputed: {kind} differ by {error:.1e} ({name})"));
            assert!(error <= LAYER_BOUND, "{backbone:?}: {kind}: {name}: {error:.1e}");
        }
    }
}
