//! A batch in chunks is the batch: without batch norm the undivided step, with it what chunk after chunk gives by hand; for every
//! encoder, whose running statistics move once a chunk.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use riesz::Matrix;
use riesz::engine::{Fused, value_and_grad_raw};
use riesz::loss::{Convention, Loss};
use riesz::rng::{Key, normal};
use riesz_lab::Result;
use riesz_lab::encoder::{Backbone, Encoder, EncoderRecipe, Objective, ProjectorRecipe, Stem};
use riesz_lab::network::cpu::{Engine, Mode};
use riesz_lab::network::{Builder, Network, VitSize};
use riesz_lab::optim::{OptimRecipe, Optimizer, Rule, Scaling, Update};
use riesz_lab::tensors::NamedTensor;
use riesz_lab::train::accumulate::{Part, value_and_grad};

const IMAGES: usize = 12;

fn losses() -> [Loss; 3] {
    let dhel = Loss::dhel(0.3, Convention::Reference);
    [dhel, Loss::nt_xent(0.2), Loss::align_uniform(2.0, 2.0, 1.0)].map(|loss| loss.unwrap())
}

/// Without batch norm: no projector.
fn transformer() -> Network {
    let mut network = Builder::new([12, 12, 3]);
    let h = network.vit(VitSize { patch: 4, width: 24, layers: 2, heads: 3, hidden: 40 });
    network.finish(h)
}

fn residual() -> Network {
    let projector = ProjectorRecipe { hidden: 24, output: 10 };
    EncoderRecipe { backbone: Backbone::ResnetSmall, stem: Stem::Auto, projector, pixels: None }
        .network(12, 3)
        .unwrap()
}

fn engine(network: Network) -> Engine {
    Engine::new(network, Key::new(3))
}

/// `n` images in two views, each with a shade of its own.
fn views(n: usize) -> Vec<f32> {
    let mut rng = Key::new(5).rng();
    let shades: Vec<f64> = (0..n).map(|_| 2.0 * normal(&mut rng)).collect();
    let numbers = (0..2 * n * 432).map(|i| shades[i / 432 % n] + 0.5 * normal(&mut rng));
    numbers.map(|x| x as f32).collect()
}

/// Remembers after its first update that update's gradient, and nothing else.
fn remembering() -> Optimizer {
    let (name, scaling) = (Rule::Sgd, Scaling::None);
    let (learning_rate, momentum, weight_decay, warmup) = (0.1, 0.9, 0.0, 0.0);
    Optimizer::new(&OptimRecipe {
        name,
        learning_rate,
        scaling,
        momentum,
        weight_decay,
        warmup,
        freeze_through: None,
        layer_decay: None,
    })
    .unwrap()
}

/// The loss, the gradient of every parameter, and the encoder's tensors after one update that changes no parameter.
fn step(
    encoder: &mut dyn Encoder,
    loss: &Loss,
    views: &[f32],
    chunks: usize,
) -> (f64, Vec<NamedTensor>, Vec<NamedTensor>) {
    let mut optimizer = remembering();
    let mut parts = Vec::new();
    let mut done = |part| parts.push(part);
    let objective = Objective { loss, views: 2, groups: None };
    let value = value_and_grad(encoder, &mut optimizer, objective, views, chunks, &mut done).unwrap().value;
    let count = |part| parts.iter().filter(|&&other| other == part).count();
    assert_eq!((count(Part::Forward), count(Part::Loss)), (2 * chunks - 1, 1));
    encoder.update(&mut optimizer.step(0.0));
    (value, optimizer.state(), encoder.named_tensors())
}

#[test]
fn without_batch_norm_chunks_are_the_undivided_step() {
    let views = views(IMAGES);
    for loss in losses() {
        let mut whole = (engine(transformer()), remembering());
        let objective = Objective { loss: &loss, views: 2, groups: None };
        let want = whole.0.value_and_grad(objective, &views).unwrap().value;
        whole.0.update(&mut whole.1.step(0.0));
        // Five chunks are of two and of three images.
        for chunks in [1, 2, 5, IMAGES] {
            let (value, gradients, _) = step(&mut engine(transformer()), &loss, &views, chunks);
            assert_eq!(value.to_bits(), want.to_bits(), "{}: {chunks} chunks", loss.name);
            for (got, want) in gradients.iter().zip(&whole.1.state()) {
                assert_eq!(got.name, want.name);
                let squares = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>();
                let length = squares(&mut want.values.iter().copied()).sqrt();
                let error = squares(&mut got.values.iter().zip(&want.values).map(|(a, b)| a - b)).sqrt();
                assert!(
                    error <= 2e-6 * length,
                    "{}: {chunks} chunks: {}: {error:e} of {length:e}",
                    loss.name,
                    got.name
                );
            }
        }
    }
}

/// Chunk after chunk by the engine alone: rows, the loss of all, and back.
#[test]
fn with_batch_norm_each_chunk_has_its_own_moments() {
    let (views, loss) = (views(IMAGES), &losses()[0]);
    let (chunks, of_chunk) = (4, IMAGES / 4);
    let chunk = |all: &[f32], i: usize| -> Vec<f32> {
        let size = all.len() / (2 * IMAGES);
        let of_view = |view: usize| {
            ((view * IMAGES + i * of_chunk) * size)..((view * IMAGES + (i + 1) * of_chunk) * size)
        };
        [&all[of_view(0)], &all[of_view(1)]].concat()
    };
    let mut z = Matrix::zeros(2 * IMAGES, 10);
    for i in 0..chunks {
        let mut alone = engine(residual());
        let (_, rows) = alone.forward(&chunk(&views, i), Mode::Train);
        for (place, row) in rows.chunks_exact(10).enumerate() {
            let (view, image) = (place / of_chunk, i * of_chunk + place % of_chunk);
            z.as_mut_slice()[(view * IMAGES + image) * 10..][..10].copy_from_slice(row);
        }
    }
    let outcome = value_and_grad_raw(&Fused, loss, &z, 2).unwrap();
    let (mut by_hand, mut sums) = (engine(residual()), Vec::new());
    for i in (0..chunks).rev() {
        by_hand.forward(&chunk(&views, i), Mode::Train);
        by_hand.backward(&chunk(outcome.grad.as_slice(), i));
        sums.resize(by_hand.tensors().len(), Vec::new());
        for (sum, tensor) in sums.iter_mut().zip(by_hand.tensors()) {
            sum.resize(tensor.gradient.len(), 0.0);
            sum.iter_mut().zip(&tensor.gradient).for_each(|(sum, g)| *sum += g);
        }
    }
    let (value, gradients, tensors) = step(&mut engine(residual()), loss, &views, chunks);
    assert_eq!(value.to_bits(), outcome.value.to_bits());
    let mut learned = 0;
    for (sum, tensor) in sums.iter().zip(by_hand.tensors()).filter(|(sum, _)| !sum.is_empty()) {
        let name = format!("0.{}", tensor.spec.name);
        let got = gradients.iter().find(|gradient| gradient.name == name).unwrap();
        assert!(got.values == tensor.order().shaped(sum), "{name}");
        learned += 1;
    }
    assert_eq!(gradients.len(), learned + 1, "gradients, and how many updates there were");
    // Running statistics with them.
    assert!(tensors == by_hand.named_tensors());
    let (whole, ..) = step(&mut engine(residual()), loss, &views, 1);
    assert!((whole - value).abs() > 1e-3 * whole.abs(), "moments of chunks are others than the batch's");
}

/// An encoder of a user's, who wrote what has to be written and no more.
struct Own(Engine);

impl Encoder for Own {
    fn image_shape(&self) -> [usize; 3] {
        self.0.image_shape()
    }
    fn dims(&self) -> [usize; 2] {
        self.0.dims()
    }
    fn describe(&self) -> String {
        self.0.describe()
    }
    fn embed(&self, images: &[f32]) -> (Matrix<f32>, Matrix<f32>) {
        self.0.embed(images)
    }
    fn forward(&mut self, images: &[f32]) -> Matrix<f32> {
        Encoder::forward(&mut self.0, images)
    }
    fn backward(&mut self, of_z: &Matrix<f32>) {
        Encoder::backward(&mut self.0, of_z);
    }
    fn update(&mut self, update: &mut Update<'_>) {
        self.0.update(update);
    }
    fn named_tensors(&self) -> Vec<NamedTensor> {
        self.0.named_tensors()
    }
    fn load(&mut self, tensors: &[NamedTensor]) -> Result<()> {
        self.0.load(tensors)
    }
}

#[test]
fn an_own_encoder_needs_to_know_nothing_of_it() {
    let (views, loss) = (views(IMAGES), &losses()[1]);
    let want = step(&mut engine(residual()), loss, &views, 3);
    assert!(step(&mut Own(engine(residual())), loss, &views, 3) == want);
}

#[test]
fn a_pass_forward_only_leaves_no_trace() {
    let views = views(IMAGES);
    let mut engine = engine(residual());
    let before = engine.named_tensors();
    let z = Encoder::forward_only(&mut engine, &views).unwrap();
    assert!(engine.named_tensors() == before);
    assert_eq!(Encoder::forward(&mut engine, &views), z);
    assert!(engine.named_tensors() != before, "running statistics follow a training pass");
}
