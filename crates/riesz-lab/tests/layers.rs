//! The definition of every layer in f64 and plain loops; the CPU engine's outcomes against it, and its gradients against its
//! differences.

use riesz::Matrix;
use riesz::engine::{Fused, Reference, value_and_grad_raw};
use riesz::loss::Loss;
use riesz::rng::{Key, normal};
use riesz_lab::network::cpu::{Engine, Mode};
use riesz_lab::network::{BACKBONE, Builder, Layer, Network, Op, Residual, Role, Stage, VitSize};

/// Each layer's outcome for `n` images; `tensors`: those of the network, in its order and in their shapes' orders.
fn outcomes(network: &Network, tensors: &[Vec<f64>], images: &[f64], n: usize) -> Vec<Vec<f64>> {
    let c = network.layers()[0].channels();
    let shown = images.iter().enumerate().map(|(i, x)| match network.pixels() {
        Some([mean, deviation]) => (x - f64::from(mean[i % c])) / f64::from(deviation[i % c]),
        None => *x,
    });
    let mut maps: Vec<Vec<f64>> = vec![shown.collect()];
    let specs = network.tensors();
    for (i, layer) in network.layers().iter().enumerate().skip(1) {
        let own: Vec<&[f64]> =
            (specs.iter().zip(tensors)).filter(|(spec, _)| spec.layer == i).map(|(_, x)| &x[..]).collect();
        let inputs: Vec<(&Layer, &[f64])> =
            layer.inputs.iter().map(|&input| (&network.layers()[input], &maps[input][..])).collect();
        maps.push(outcome(layer, &own, &inputs, n, i < network.frozen()));
    }
    maps
}

fn outcome(
    layer: &Layer,
    own: &[&[f64]],
    inputs: &[(&Layer, &[f64])],
    n: usize,
    is_frozen: bool,
) -> Vec<f64> {
    let ([h, w, c], (before, x)) = (layer.shape, inputs[0]);
    let [in_h, in_w, in_c] = before.shape;
    let mut out = vec![0.0; n * layer.size()];
    let pixels = (0..n).flat_map(|i| (0..h).flat_map(move |y| (0..w).map(move |x| (i, y, x))));
    match layer.op {
        Op::Convolve { kernel, stride, padding, bias } => {
            for ((i, y, column), to) in pixels.zip(out.chunks_exact_mut(c)) {
                for (o, to) in to.iter_mut().enumerate() {
                    *to = if bias { own[1][o] } else { 0.0 };
                    for (row, tap) in (0..kernel).flat_map(|row| (0..kernel).map(move |tap| (row, tap))) {
                        let (y, column) = (y * stride + row, column * stride + tap);
                        if (padding..padding + in_h).contains(&y)
                            && (padding..padding + in_w).contains(&column)
                        {
                            let place = ((i * in_h + y - padding) * in_w + column - padding) * in_c;
                            for k in 0..in_c {
                                *to += own[0][((o * in_c + k) * kernel + row) * kernel + tap] * x[place + k];
                            }
                        }
                    }
                }
            }
        }
        Op::Linear { bias } => {
            for (to, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(in_c)) {
                for (o, to) in to.iter_mut().enumerate() {
                    let dot: f64 = x.iter().zip(&own[0][o * in_c..]).map(|(x, w)| x * w).sum();
                    *to = dot + if bias { own[1][o] } else { 0.0 };
                }
            }
        }
        Op::BatchNorm { relu, .. } => {
            for k in 0..c {
                let channel = || x.iter().skip(k).step_by(c);
                let count = (x.len() / c) as f64;
                let mean = if is_frozen { own[2][k] } else { channel().sum::<f64>() / count };
                let of_batch = || channel().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
                let variance = if is_frozen { own[3][k] } else { of_batch() };
                for place in (k..out.len()).step_by(c) {
                    let normal = (x[place] - mean) / (variance + 1e-5).sqrt();
                    let residual = inputs.get(1).map_or(0.0, |(_, residual)| residual[place]);
                    let y = normal * own[0][k] + own[1][k] + residual;
                    out[place] = if relu { y.max(0.0) } else { y };
                }
            }
        }
        Op::MaxPool => {
            for ((i, y, column), to) in pixels.zip(out.chunks_exact_mut(c)) {
                to.fill(f64::NEG_INFINITY);
                for (row, tap) in (0..3).flat_map(|row| (0..3).map(move |tap| (row, tap))) {
                    let (y, column) = (2 * y + row, 2 * column + tap);
                    if (1..=in_h).contains(&y) && (1..=in_w).contains(&column) {
                        let place = ((i * in_h + y - 1) * in_w + column - 1) * c;
                        for k in 0..c {
                            to[k] = to[k].max(x[place + k]);
                        }
                    }
                }
            }
        }
        Op::MeanPool => {
            for (to, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(before.size())) {
                for (place, x) in x.iter().enumerate() {
                    to[place % c] += x / (in_h * in_w) as f64;
                }
            }
        }
        Op::Tokens => {
            for (to, x) in out.chunks_exact_mut(h * c).zip(x.chunks_exact(before.size())) {
                for (place, to) in to.iter_mut().enumerate() {
                    *to = own[1][place] + if place < c { own[0][place] } else { x[place - c] };
                }
            }
        }
        Op::LayerNorm => {
            for (to, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                let mean = x.iter().sum::<f64>() / c as f64;
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / c as f64;
                for k in 0..c {
                    to[k] = (x[k] - mean) / (variance + 1e-6).sqrt() * own[0][k] + own[1][k];
                }
            }
        }
        Op::Gelu => {
            for (to, &x) in out.iter_mut().zip(x) {
                *to = x * normal_law(x);
            }
        }
        Op::Attention { heads } => {
            let width = c / heads;
            for (i, head) in (0..n).flat_map(|i| (0..heads).map(move |head| (i, head))) {
                let part = |which: usize, token: usize| {
                    &x[((i * h + token) * 3 + which) * c + head * width..][..width]
                };
                for token in 0..h {
                    let dot = |other: usize| -> f64 {
                        part(0, token).iter().zip(part(1, other)).map(|(q, k)| q * k).sum()
                    };
                    let powers: Vec<f64> =
                        (0..h).map(|other| (dot(other) / (width as f64).sqrt()).exp()).collect();
                    let total: f64 = powers.iter().sum();
                    for k in 0..width {
                        let mixed = (0..h).map(|other| powers[other] * part(2, other)[k]);
                        out[(i * h + token) * c + head * width + k] = mixed.sum::<f64>() / total;
                    }
                }
            }
        }
        Op::Add => {
            for (place, to) in out.iter_mut().enumerate() {
                *to = x[place] + inputs[1].1[place];
            }
        }
        Op::First => {
            for (to, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(before.size())) {
                to.copy_from_slice(&x[..c]);
            }
        }
        Op::Images => unreachable!("images are the first layer"),
    }
    out
}

/// Φ(x) by Simpson's rule on its density.
fn normal_law(x: f64) -> f64 {
    let steps = 200;
    let step = x / f64::from(steps);
    let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let weight = |i: i32| {
        if i == 0 || i == steps {
            1.0
        } else if i % 2 == 1 {
            4.0
        } else {
            2.0
        }
    };
    0.5 + (0..=steps).map(|i| weight(i) * density(f64::from(i) * step)).sum::<f64>() * step / 3.0
}

fn draw(count: usize, key: u64) -> Vec<f32> {
    let mut rng = Key::new(key).rng();
    (0..count).map(|_| normal(&mut rng) as f32).collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn is_the_definition(network: Network, n: usize) {
    let mut engine = Engine::new(network.clone(), Key::new(5));
    // Normalizations that do something.
    for (i, tensor) in engine.tensors_mut().iter_mut().enumerate() {
        let is_frozen = tensor.spec.layer < network.frozen();
        let vector = tensor.spec.shape.len() == 1 && (is_frozen || !tensor.gradient.is_empty());
        let is_variance = tensor.spec.name.ends_with("running_var");
        for (x, r) in tensor.values.iter_mut().zip(draw(if vector { 4096 } else { 0 }, i as u64)) {
            *x += 0.3 * if is_variance { r.abs() } else { r };
        }
    }
    let images = draw(n * network.layers()[0].size(), 1);
    let last = network.layers().len() - 1;
    let of_z = draw(n * network.layers()[last].size(), 2);
    let mut tensors: Vec<Vec<f64>> =
        engine.tensors().iter().map(|tensor| wide(&tensor.order().shaped(&tensor.values))).collect();
    let want = outcomes(&network, &tensors, &wide(&images), n);
    let (h, z) = engine.forward(&images, Mode::Train);
    for (got, want) in [(h, &want[network.representation()]), (z, &want[last])] {
        let error: Vec<f64> = wide(got).iter().zip(want).map(|(got, want)| got - want).collect();
        let apart = (dot(&error, &error) / dot(want, want)).sqrt();
        assert!(apart < 1e-5, "outcomes are apart by {apart:e}");
    }
    for (tensor, before) in engine.tensors().iter().zip(&tensors) {
        let is_same = wide(&tensor.order().shaped(&tensor.values)) == *before;
        let moves = tensor.spec.name.contains("running_") && tensor.spec.layer >= network.frozen();
        assert!(is_same != moves, "{}", tensor.spec.name);
        let learns = matches!(tensor.spec.role, Role::Learned { .. });
        assert_eq!(learns, !tensor.gradient.is_empty(), "{}", tensor.spec.name);
    }
    engine.backward(&of_z);
    let value =
        |tensors: &[Vec<f64>]| dot(&outcomes(&network, tensors, &wide(&images), n)[last], &wide(&of_z));
    let lengths =
        engine.tensors().iter().map(|tensor| dot(&wide(&tensor.gradient), &wide(&tensor.gradient)).sqrt());
    let largest = lengths.fold(0.0, f64::max);
    for (i, tensor) in engine.tensors().iter().enumerate().filter(|(_, tensor)| !tensor.gradient.is_empty()) {
        let gradient = wide(&tensor.order().shaped(&tensor.gradient));
        let direction = wide(&draw(gradient.len(), 100 + i as u64));
        let step = 1e-6 / dot(&direction, &direction).sqrt();
        let own = tensors[i].clone();
        let mut ends = [1.0, -1.0].map(|sign| {
            tensors[i] = own.iter().zip(&direction).map(|(x, d)| x + sign * step * d).collect();
            value(&tensors)
        });
        tensors[i] = own;
        ends[0] -= ends[1];
        let (want, got) = (ends[0] / (2.0 * step), dot(&gradient, &direction));
        let scale = dot(&direction, &direction).sqrt() * (dot(&gradient, &gradient).sqrt() + 1e-2 * largest);
        let apart = (got - want).abs() / scale;
        assert!(apart < 1e-4, "{}: slope {got} for {want}", tensor.spec.name);
    }
}

fn residual(imagenet_stem: bool, residual: Residual, size: usize, channels: usize) -> Network {
    let mut network = Builder::new([size, size, channels]);
    network.resnet(imagenet_stem, residual, &[Stage { blocks: 2, width: 5 }, Stage { blocks: 2, width: 18 }]);
    network.project(7, 4)
}

#[test]
fn residual_networks_are_their_definition() {
    is_the_definition(residual(false, Residual::Basic, 7, 3), 4);
    is_the_definition(residual(false, Residual::Bottleneck, 6, 1), 5);
    is_the_definition(residual(true, Residual::Basic, 21, 2), 3);
}

/// Frozen up to each stage: batch norms there go by their running moments and keep them, and the rest has the gradients that the
/// differences say.
#[test]
fn frozen_networks_are_their_definition() {
    let mut transformer = Builder::new([8, 8, 3]);
    transformer.vit(VitSize { patch: 4, width: 12, layers: 2, heads: 3, hidden: 20 });
    let networks = [
        residual(false, Residual::Basic, 7, 3),
        residual(true, Residual::Bottleneck, 21, 2),
        transformer.project(7, 4),
    ];
    for network in networks {
        let stages: Vec<String> = network.stages().chain([BACKBONE]).map(str::to_owned).collect();
        let mut frozen = 1;
        for stage in &stages {
            let network = network.clone().frozen_through(stage).unwrap();
            assert!(network.frozen() > frozen, "{stages:?} from the images up");
            frozen = network.frozen();
            is_the_definition(network, 4);
        }
        assert_eq!(frozen, network.representation() + 1);
        let refused = network.frozen_through("layer9").unwrap_err().to_string();
        assert!(refused.contains("`layer9`") && refused.contains(&stages[1]), "{refused}");
    }
}

/// Sums of a layer and one layer of it, whose gradients cannot lie in one place; in either order, and once more on top.
#[test]
fn residuals_around_one_layer_are_their_definition() {
    let layers: [fn(&mut Builder, &str, usize) -> usize; 7] = [
        |_, _, x| x,
        |network, _, x| network.gelu(x),
        |network, name, x| network.layer_norm(name, x),
        |network, name, x| network.linear(name, x, 4, true),
        |network, name, x| network.convolve(name, x, 4, 3, 1, 1, false),
        |network, name, x| {
            let x = network.convolve(name, x, 4, 3, 1, 1, false);
            network.batch_norm(&format!("{name}n"), x, None, false, true)
        },
        |network, name, x| {
            let x = network.convolve(name, x, 4, 1, 1, 0, false);
            network.batch_norm(&format!("{name}n"), x, None, true, true)
        },
    ];
    let ended = |mut network: Builder| {
        let h = network.mean_pool(network.last());
        network.linear("z", h, 3, true);
        network.finish(h)
    };
    for layer in layers {
        let mut network = Builder::new([6, 5, 2]);
        let x = network.convolve("a", 0, 4, 3, 1, 1, true);
        let y = layer(&mut network, "b", x);
        let x = network.add(x, y);
        let y = layer(&mut network, "c", x);
        network.add(y, x);
        is_the_definition(ended(network), 5);
    }
    // Added by the batch norm itself.
    let mut network = Builder::new([6, 5, 2]);
    let x = network.convolve("a", 0, 4, 3, 1, 1, true);
    let y = network.convolve("b", x, 4, 3, 1, 1, false);
    network.batch_norm("c", y, Some(x), true, true);
    is_the_definition(ended(network), 5);
}

#[test]
fn pixels_are_normalized_first() {
    let network = residual(false, Residual::Basic, 7, 3);
    is_the_definition(network.with_pixels(vec![0.4, -0.1, 0.2], vec![0.2, 0.3, 2.5]), 4);
}

/// 3 × 3 convolutions of 16 and 32 channels are made by tiles of 4 × 4 outputs where enough of each tile is image: here of 6, 7,
/// 9 and 14 pixels, but not of 5, 3 × 1 and 1.
#[test]
fn networks_by_tiles_are_their_definition() {
    let network = |image: [usize; 3], widths: [usize; 2]| {
        let mut network = Builder::new(image);
        network.resnet(false, Residual::Basic, &widths.map(|width| Stage { blocks: 1, width }));
        network.project(7, 4)
    };
    is_the_definition(network([7, 6, 2], [16, 32]), 5);
    is_the_definition(network([9, 14, 1], [32, 24]), 3);
    is_the_definition(network([9, 9, 3], [16, 16]), 2);
    is_the_definition(network([5, 1, 1], [16, 48]), 6);
    is_the_definition(network([1, 1, 3], [16, 16]), 7);
}

/// Twenty steps of a network that is mostly made by tiles: at each, loss and gradient against the definition at these weights.
#[test]
fn twenty_steps_keep_loss_and_gradient() {
    let mut network = Builder::new([8, 8, 3]);
    let stages = [16, 32].map(|width| Stage { blocks: 1, width });
    network.resnet(false, Residual::Basic, &stages);
    let network = network.project(16, 8);
    let (n, last) = (8, network.layers().len() - 1);
    let loss = Loss::nt_xent(0.5).unwrap();
    let mut engine = Engine::new(network.clone(), Key::new(11));
    let images = draw(2 * n * network.layers()[0].size(), 1);
    let value = |tensors: &[Vec<f64>]| {
        let z = outcomes(&network, tensors, &wide(&images), 2 * n).swap_remove(last);
        value_and_grad_raw(&Reference, &loss, &Matrix::new(z, 8), 2).unwrap().value
    };
    let mut values = Vec::new();
    for step in 0..20 {
        let z = engine.forward(&images, Mode::Train).1.to_vec();
        let outcome = value_and_grad_raw(&Fused, &loss, &Matrix::<f32>::new(z, 8), 2).unwrap();
        engine.backward(outcome.grad.as_slice());
        let tensors: Vec<Vec<f64>> =
            engine.tensors().iter().map(|tensor| wide(&tensor.order().shaped(&tensor.values))).collect();
        let want = value(&tensors);
        assert!((outcome.value / want - 1.0).abs() < 1e-4, "step {step}: {} for {want}", outcome.value);
        values.push(want);
        // Along the gradient itself, and along a direction of its length.
        let gradients: Vec<Vec<f64>> =
            engine.tensors().iter().map(|tensor| wide(&tensor.order().shaped(&tensor.gradient))).collect();
        let length = gradients.iter().map(|g| dot(g, g)).sum::<f64>().sqrt();
        let drawn: Vec<Vec<f64>> =
            gradients.iter().enumerate().map(|(i, g)| wide(&draw(g.len(), 100 * step + i as u64))).collect();
        for direction in [&gradients, &drawn] {
            let size = direction.iter().map(|d| dot(d, d)).sum::<f64>().sqrt();
            let at = |along: f64| -> f64 {
                let moved = tensors.iter().zip(direction).map(|(x, d)| {
                    let mut x = x.clone();
                    x.iter_mut().zip(d).for_each(|(x, d)| *x += along / size * d);
                    x
                });
                value(&moved.collect::<Vec<_>>())
            };
            let want = (at(1e-6) - at(-1e-6)) / 2e-6;
            let got = gradients.iter().zip(direction).map(|(g, d)| dot(g, d)).sum::<f64>() / size;
            let apart = (got - want).abs() / length;
            assert!(apart < 1e-4, "step {step}: slope {got} for {want}");
        }
        for tensor in engine.tensors_mut() {
            tensor.values.iter_mut().zip(&tensor.gradient).for_each(|(x, g)| *x -= 0.1 * g);
        }
    }
    assert!(values[19] < values[0] - 0.1, "nothing was learned: {values:?}");
}

#[test]
fn transformers_are_their_definition() {
    let mut network = Builder::new([8, 8, 3]);
    network.vit(VitSize { patch: 4, width: 12, layers: 2, heads: 3, hidden: 20 });
    is_the_definition(network.project(7, 4), 5);
}

#[test]
fn what_does_not_fit_is_refused() {
    let panics = |work: fn()| std::panic::catch_unwind(work).unwrap_err();
    let message = panics(|| {
        Builder::new([4, 4, 1]).convolve("c", 0, 2, 7, 1, 0, false);
    });
    assert!(message.downcast_ref::<String>().unwrap().contains("a kernel of 7 does not fit 4 pixels"));
    let message = panics(|| {
        let mut network = Builder::new([4, 4, 1]);
        let x = network.linear("x", 0, 2, false);
        network.linear("y", 0, 2, false);
        network.batch_norm("norm", x, None, true, true);
    });
    let message = message.downcast_ref::<String>().unwrap();
    assert!(message.contains("norm does not come right after what it normalizes"), "{message}");
    panics(|| {
        let network = Builder::new([4, 4, 1]).finish(0);
        Engine::new(network, Key::new(1)).forward(&[0.0; 17], Mode::Train);
    });
}
