//! The CPU engine of networks: embedding in parts is embedding, and the same bits for any number of threads.

use riesz::rng::{Key, normal};
use riesz_lab::encoder::{Backbone, EncoderRecipe, ProjectorRecipe, Stem};
use riesz_lab::network::cpu::{EMBEDDED, Engine, Mode};

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
