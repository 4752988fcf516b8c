//! The CPU engine of networks: embedding in parts is embedding, recomputing is keeping, and the same bits for any number of threads.

use riesz::rng::{Key, normal};
use riesz_lab::encoder::{Backbone, EncoderRecipe, ProjectorRecipe, Stem};
use riesz_lab::network::cpu::{EMBEDDED, Engine, Mode, training_numbers};
use riesz_lab::network::{Builder, Network};

fn recipe(backbone: Backbone, stem: Stem) -> EncoderRecipe {
    EncoderRecipe { backbone, stem, pixels: None, projector: ProjectorRecipe { hidden: 24, output: 10 } }
}

fn numbers(count: usize, key: u64) -> Vec<f32> {
    let mut rng = Key::new(key).rng();
    (0..count).map(|_| normal(&mut rng) as f32).collect()
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

/// Two steps and an update between them: rows, gradients and all tensors.
fn two_steps(network: Network, n: usize, recomputes: bool) -> Vec<u32> {
    let images = numbers(n * network.layers()[0].size(), 4);
    let mut engine = Engine::new(network, Key::new(3));
    if recomputes {
        engine.recompute();
    }
    let mut bits = Vec::new();
    for _ in 0..2 {
        let z = engine.forward(&images, Mode::Train).1.to_vec();
        engine.backward(&numbers(z.len(), 5));
        for tensor in engine.tensors_mut().iter_mut().filter(|tensor| !tensor.gradient.is_empty()) {
            let steps = tensor.values.iter_mut().zip(&tensor.gradient);
            steps.for_each(|(value, gradient)| *value -= 0.01 * gradient);
        }
        let all = engine.tensors().iter().flat_map(|tensor| tensor.values.iter().chain(&tensor.gradient));
        bits.extend(all.chain(&z).map(|x| x.to_bits()));
    }
    bits
}

#[test]
fn recomputing_gives_the_bits_of_keeping() {
    for (backbone, stem, size, channels) in [
        (Backbone::ResnetSmall, Stem::Small, 20, 3),
        (Backbone::Resnet18, Stem::Imagenet, 36, 1),
        (Backbone::Resnet50, Stem::Small, 8, 3),
        (Backbone::VitTiny, Stem::Auto, 8, 3),
    ] {
        let network = || recipe(backbone, stem).network(size, channels).unwrap();
        assert!(two_steps(network(), 5, true) == two_steps(network(), 5, false), "{backbone:?}");
        let kept = training_numbers(&network(), false);
        let recomputed = training_numbers(&network(), true);
        assert!(recomputed < kept, "{backbone:?}: {recomputed} of {kept}");
        let frozen = || {
            let stage = if backbone == Backbone::VitTiny { "blocks.1" } else { "layer2" };
            network().frozen_through(stage).unwrap()
        };
        assert!(two_steps(frozen(), 5, true) == two_steps(frozen(), 5, false), "{backbone:?}, frozen");
    }
    // No sum ends a block, and nothing is forgotten; h is inside of one.
    let mut chain = Builder::new([6, 6, 2]);
    let x = chain.convolve("a", 0, 4, 3, 1, 1, true);
    let x = chain.gelu(x);
    let x = chain.mean_pool(x);
    chain.linear("b", x, 3, false);
    let chain = chain.finish(x);
    assert!(two_steps(chain.clone(), 5, true) == two_steps(chain, 5, false));
    let mut inside = Builder::new([6, 6, 2]);
    let first = inside.convolve("a", 0, 4, 3, 1, 1, true);
    let h = inside.convolve("b", first, 4, 3, 1, 1, true);
    let x = inside.layer_norm("c", h);
    let sum = inside.add(first, x);
    let x = inside.convolve("d", sum, 4, 1, 1, 0, true);
    let x = inside.gelu(x);
    inside.add(sum, x);
    let inside = inside.finish(h);
    assert!(two_steps(inside.clone(), 5, true) == two_steps(inside, 5, false));
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
