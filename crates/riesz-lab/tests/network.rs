//! The CPU engine of networks against the encoders on Burn: outcomes, every gradient, running statistics; and the same bits
//! for any number of threads.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use riesz::rng::{Key, normal};
use riesz_lab::encoder::{Backbone, EncoderRecipe, ProjectorRecipe, Stem};
use riesz_lab::network::cpu::{EMBEDDED, Engine, Mode};

fn recipe(backbone: Backbone, stem: Stem) -> EncoderRecipe {
    EncoderRecipe { backbone, stem, projector: ProjectorRecipe { hidden: 24, output: 10 } }
}

fn numbers(count: usize, key: u64) -> Vec<f32> {
    let mut rng = Key::new(key).rng();
    (0..count).map(|_| normal(&mut rng) as f32).collect()
}

fn length(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

/// ‖a − b‖ / (‖b‖ + least).
fn apart_beyond(least: f64, a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let difference: Vec<f32> = a.iter().zip(b).map(|(&a, &b)| a - b).collect();
    length(&difference) / (length(b) + least)
}

fn apart(a: &[f32], b: &[f32]) -> f64 {
    apart_beyond(1e-30, a, b)
}

fn agree(backbone: Backbone, stem: Stem, size: usize, channels: usize, n: usize, bound: f64) {
    let recipe = recipe(backbone, stem);
    let mut encoder = recipe.build_on_burn(size, channels, Key::new(7), &Device::flex()).unwrap();
    let mut engine = Engine::new(recipe.network(size, channels).unwrap(), Key::new(7));
    let first: BTreeMap<String, Vec<f32>> =
        encoder.named_tensors().into_iter().map(|tensor| (tensor.name, tensor.values)).collect();
    assert_eq!(first.len(), engine.tensors().len());
    for tensor in engine.tensors() {
        assert_eq!(first[&tensor.spec.name], tensor.order().shaped(&tensor.values), "{}", tensor.spec.name);
    }

    let images = numbers(n * size * size * channels, 1);
    let of_z = numbers(n * 10, 2);
    let tensor = Tensor::<4>::from_data(
        TensorData::new(images.clone(), [n, size, size, channels]),
        &Device::flex().autodiff(),
    );
    let (h, z) = encoder.train_forward(tensor);
    let (want_h, want_z): (Vec<f32>, Vec<f32>) =
        (h.to_data().try_into_vec().unwrap(), z.to_data().try_into_vec().unwrap());
    let g = Tensor::<2>::from_data(TensorData::new(of_z.clone(), [n, 10]), &z.device());
    let mut gradients = (z * g).sum().backward();
    let mut want = BTreeMap::new();
    encoder.update_parameters(&mut gradients, |name, _, w, g| {
        want.insert(name.to_owned(), g.to_data().try_into_vec::<f32>().unwrap());
        w
    });

    // What moves images by a rounding or two moves gradients by more: where a max is near 0, it cuts here and not there.
    let mut moved = Engine::new(engine.network().clone(), Key::new(7));
    let rounding = numbers(images.len(), 3);
    let near: Vec<f32> = images.iter().zip(&rounding).map(|(x, r)| x * (1.0 + 2e-7 * r)).collect();
    moved.forward(&near, Mode::Train);
    moved.backward(&of_z);

    let (h, z) = engine.forward(&images, Mode::Train);
    let (of_h, of_outcome) = (apart(h, &want_h), apart(z, &want_z));
    assert!(of_h < bound && of_outcome < bound, "{backbone:?}: h {of_h:e}, z {of_outcome:e}");
    engine.backward(&of_z);
    // Some gradients are 0 but for rounding: those of what the next normalization takes out again.
    let least = 1e-4 * want.values().map(|gradient| length(gradient)).fold(0.0, f64::max);
    let mut learned = 0;
    for (tensor, moved) in engine.tensors().iter().zip(moved.tensors()) {
        let name = &tensor.spec.name;
        if tensor.gradient.is_empty() {
            continue;
        }
        learned += 1;
        let apart = apart_beyond(least, &tensor.order().shaped(&tensor.gradient), &want[name]);
        let by_rounding = apart_beyond(least, &moved.gradient, &tensor.gradient);
        assert!(
            apart < bound + 8.0 * by_rounding,
            "{backbone:?}: gradient of {name} apart by {apart:e}, by rounding {by_rounding:e}"
        );
    }
    assert_eq!(learned, want.len());
    let after: BTreeMap<String, Vec<f32>> =
        encoder.named_tensors().into_iter().map(|tensor| (tensor.name, tensor.values)).collect();
    for tensor in engine.tensors().iter().filter(|tensor| tensor.spec.name.contains("running")) {
        let apart = apart(&tensor.values, &after[&tensor.spec.name]);
        assert!(apart < bound, "{}: apart by {apart:e}", tensor.spec.name);
    }
    // One image by itself, by the running statistics.
    let one = &images[..size * size * channels];
    let shape = [1, size, size, channels];
    let (_, z) =
        encoder.eval_forward(Tensor::<4>::from_data(TensorData::new(one.to_vec(), shape), &Device::flex()));
    let want_z: Vec<f32> = z.to_data().try_into_vec().unwrap();
    let (_, z) = engine.forward(one, Mode::Eval);
    assert!(apart(z, &want_z) < 10.0 * bound, "{backbone:?}: evaluated z {:e}", apart(z, &want_z));
}

#[test]
fn the_small_network_is_the_encoder() {
    agree(Backbone::ResnetSmall, Stem::Auto, 28, 1, 37, 1e-4);
    agree(Backbone::ResnetSmall, Stem::Auto, 17, 3, 5, 1e-4);
    agree(Backbone::ResnetSmall, Stem::Imagenet, 30, 3, 6, 1e-4);
}

#[test]
fn residual_networks_are_the_encoders() {
    agree(Backbone::Resnet18, Stem::Small, 32, 3, 8, 3e-4);
    agree(Backbone::Resnet50, Stem::Imagenet, 48, 3, 4, 1e-3);
}

#[test]
fn the_transformer_is_the_encoder() {
    agree(Backbone::VitTiny, Stem::Auto, 16, 3, 7, 1e-4);
}

/// More images than are embedded at once.
#[test]
fn what_is_embedded_in_parts_is_the_same() {
    let network = recipe(Backbone::ResnetSmall, Stem::Imagenet).network(224, 1).unwrap();
    let outcomes: usize = network.layers().iter().map(|layer| layer.size()).sum();
    let n = EMBEDDED / outcomes + 3;
    let engine = Engine::new(network, Key::new(3));
    let images = numbers(n * 224 * 224, 4);
    let (h, z) = engine.embed(&images);
    assert_eq!((h.len(), z.len()), (n, n));
    let (alone_h, alone_z) = engine.embed(&images[(n - 1) * 224 * 224..]);
    assert_eq!(h.as_slice()[(n - 1) * h.dim()..], *alone_h.as_slice());
    assert_eq!(z.as_slice()[(n - 1) * z.dim()..], *alone_z.as_slice());
}

#[test]
fn threads_do_not_change_bits() {
    let outcome = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let network = recipe(Backbone::ResnetSmall, Stem::Auto).network(20, 3).unwrap();
            let mut engine = Engine::new(network, Key::new(3));
            let images = numbers(50 * 20 * 20 * 3, 4);
            let z = engine.forward(&images, Mode::Train).1.to_vec();
            engine.backward(&numbers(z.len(), 5));
            let gradients = engine.tensors().iter().flat_map(|tensor| &tensor.gradient);
            gradients.chain(&z).map(|x| x.to_bits()).collect::<Vec<_>>()
        })
    };
    let first = outcome(1);
    for threads in [2, 3, 8] {
        assert!(outcome(threads) == first, "{threads} threads give other bits");
    }
}
