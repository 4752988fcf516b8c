//! Encoders: their sizes are torchvision's and timm's, their bits do not depend on threads, what is saved is what is
//! opened, and evaluation leaves no trace.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use burn::tensor::{Device, Tensor, TensorData};
use riesz::rng::Key;
use riesz_lab::encoder::{Backbone, Encoder, EncoderRecipe, ProjectorRecipe, Stem};
use riesz_lab::optim::{OptimRecipe, Optimizer, Rule, Scaling};

fn recipe(backbone: Backbone) -> EncoderRecipe {
    EncoderRecipe { backbone, stem: Stem::Auto, projector: ProjectorRecipe { hidden: 24, output: 8 } }
}

fn build(backbone: Backbone, size: usize, channels: usize) -> Encoder {
    recipe(backbone).build(size, channels, Key::new(3), &Device::flex()).unwrap()
}

fn images(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let count = shape.iter().product::<usize>();
    let data: Vec<f32> = (0..count).map(|i| 0.5 + 0.5 * ((i as f32) * 0.37).sin()).collect();
    Tensor::from_data(TensorData::new(data, shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

#[test]
fn sizes_are_those_of_torchvision_and_timm() {
    for (backbone, size, channels, parameters) in [
        // torchvision's counts less the 1,000-class layer; the small stem replaces 7 · 7 · 3 · 64 weights by 3 · 3 · 3 · 64.
        (Backbone::Resnet18, 224, 3, 11_689_512 - 513_000),
        (Backbone::Resnet18, 32, 3, 11_689_512 - 513_000 - 9_408 + 1_728),
        (Backbone::Resnet34, 224, 3, 21_797_672 - 513_000),
        (Backbone::Resnet50, 224, 3, 25_557_032 - 2_049_000),
        // timm's vit_tiny_patch16_224 less its 1,000-class layer.
        (Backbone::VitTiny, 224, 3, 5_717_416 - 193_000),
    ] {
        let encoder = build(backbone, size, channels);
        let projector = encoder.dim() * 24 + 2 * 24 + 24 * 8 + 8;
        assert_eq!(encoder.parameter_counts(), (parameters, projector), "{}", encoder.describe());
    }
}

#[test]
fn every_backbone_runs_and_every_parameter_is_used() {
    for (backbone, size, channels) in [
        (Backbone::ResnetSmall, 28, 1),
        (Backbone::Resnet18, 32, 3),
        (Backbone::Resnet18, 96, 3),
        (Backbone::Resnet50, 32, 3),
        (Backbone::VitTiny, 32, 3),
    ] {
        let mut encoder = build(backbone, size, channels);
        let before = encoder.named_tensors();
        let (h, z) = encoder.train_forward(images([3, size, size, channels], &Device::flex().autodiff()));
        assert_eq!((h.dims(), z.dims()), ([3, encoder.dim()], [3, 8]));
        let weights = images([3, 8, 1, 1], &z.device()).reshape([3, 8]);
        let mut gradients = (z * weights).sum().backward();
        let mut updated = 0;
        encoder.update_parameters(&mut gradients, |_, _, weight, gradient| {
            updated += 1;
            assert_eq!(weight.dims(), gradient.clone().flatten::<1>(0, 0).dims());
            weight - gradient
        });
        // Buffers are running statistics, and the one shift that is not learned.
        let buffers =
            before.iter().filter(|t| t.name.contains("running_") || t.name == "projector.4.bias").count();
        assert_eq!(updated + buffers, before.len(), "{backbone:?}");
        assert_ne!(encoder.named_tensors(), before);
    }
}

#[test]
fn evaluation_is_one_image_at_a_time_and_leaves_no_trace() {
    let mut encoder = build(Backbone::ResnetSmall, 28, 1);
    encoder.train_forward(images([6, 28, 28, 1], &Device::flex().autodiff()));
    let before = encoder.named_tensors();
    let batch = images([6, 28, 28, 1], &Device::flex());
    let (h, _) = encoder.eval_forward(batch.clone());
    let (alone, _) = encoder.eval_forward(batch.slice([2..3, 0..28, 0..28, 0..1]));
    // Products of other shapes round differently; anything that mixes images would show at once.
    for (among, alone) in values(h.slice([2..3, 0..128])).into_iter().zip(values(alone)) {
        assert!((among - alone).abs() <= 1e-5 * alone.abs().max(1e-3), "{among} for {alone}");
    }
    assert_eq!(encoder.named_tensors(), before);
}

#[test]
fn running_statistics_are_torchs() {
    let mut encoder = build(Backbone::ResnetSmall, 28, 1);
    let (h, _) = encoder.train_forward(images([6, 28, 28, 1], &Device::flex().autodiff()));
    let weight = encoder.named_tensors().into_iter().find(|t| t.name == "projector.0.weight").unwrap();
    let h = values(h.inner());
    let (n, dim) = (6, 128);
    let named = encoder.named_tensors();
    let buffer = |name: &str| named.iter().find(|t| t.name == name).unwrap().values.clone();
    let (means, variances) = (buffer("projector.1.running_mean"), buffer("projector.1.running_var"));
    for unit in 0..24 {
        let outputs: Vec<f64> = (0..n)
            .map(|i| {
                (0..dim).map(|j| f64::from(h[i * dim + j]) * f64::from(weight.values[unit * dim + j])).sum()
            })
            .collect();
        let mean = outputs.iter().sum::<f64>() / n as f64;
        let unbiased = outputs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        assert!((f64::from(means[unit]) - 0.1 * mean).abs() < 1e-5);
        assert!((f64::from(variances[unit]) - (0.9 + 0.1 * unbiased)).abs() < 1e-5);
    }
}

#[test]
fn saved_and_opened_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encoder.safetensors");
    let mut encoder = build(Backbone::ResnetSmall, 28, 1);
    encoder.train_forward(images([6, 28, 28, 1], &Device::flex().autodiff()));
    encoder.save(&path).unwrap();
    let opened = Encoder::open(&path, &Device::flex()).unwrap();
    assert_eq!(opened.named_tensors(), encoder.named_tensors());
    assert_eq!(opened.describe(), encoder.describe());
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(
        Encoder::open(&path, &Device::flex()).err().unwrap().to_string().contains("not an encoder of riesz")
    );
}

/// Three updates with each rule in pools of 1, 2, 3 and 8 threads.
#[test]
fn threads_do_not_change_bits() {
    for (backbone, size, channels) in [(Backbone::ResnetSmall, 28, 1), (Backbone::VitTiny, 16, 3)] {
        let train = |threads: usize, rule: Rule| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                let mut encoder = build(backbone, size, channels);
                let optim = OptimRecipe {
                    name: rule,
                    learning_rate: 0.1,
                    scaling: Scaling::None,
                    momentum: 0.9,
                    weight_decay: 1e-4,
                    warmup: 0.0,
                };
                let mut optimizer = Optimizer::new(&optim).unwrap();
                for _ in 0..3 {
                    let (_, z) =
                        encoder.train_forward(images([20, size, size, channels], &Device::flex().autodiff()));
                    let weights = images([20, 8, 1, 1], &z.device()).reshape([20, 8]);
                    let mut gradients = (z * weights).sum().backward();
                    optimizer.step(&mut encoder, &mut gradients, 0.1);
                }
                let mut all = encoder.named_tensors();
                all.extend(optimizer.state());
                all.into_iter().flat_map(|t| t.values).map(f32::to_bits).collect::<Vec<u32>>()
            })
        };
        for rule in [Rule::Sgd, Rule::Lars, Rule::Adamw] {
            let one = train(1, rule);
            for threads in [2, 3, 8] {
                assert!(
                    train(threads, rule) == one,
                    "{backbone:?}, {rule:?}: {threads} threads give other bits than one"
                );
            }
        }
    }
}
