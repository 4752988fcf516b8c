//! Encoders: their sizes are torchvision's and timm's, their bits do not depend on threads, what is saved is what is
//! opened, and evaluation leaves no trace.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use riesz::Matrix;
use riesz::rng::Key;
use riesz_lab::device::Device;
use riesz_lab::encoder::{self, Backbone, Encoder, EncoderRecipe, ProjectorRecipe, Stem};
use riesz_lab::network::cpu::{Engine, Mode};
use riesz_lab::optim::{OptimRecipe, Optimizer, Rule, Scaling};
use riesz_lab::recipe::{self, Recipe};
use riesz_lab::tensors::NamedTensor;
use riesz_lab::train::{BuildEncoder, Plan};

fn of_recipe(backbone: Backbone) -> EncoderRecipe {
    EncoderRecipe {
        backbone,
        stem: Stem::Auto,
        pixels: None,
        projector: ProjectorRecipe { hidden: 24, output: 8 },
    }
}

fn build(backbone: Backbone, size: usize, channels: usize) -> Engine {
    Engine::new(of_recipe(backbone).network(size, channels).unwrap(), Key::new(3))
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| 0.5 + 0.5 * ((i as f32) * 0.37).sin()).collect()
}

#[test]
fn sizes_are_those_of_torchvision_and_timm() {
    for (backbone, size, channels, parameters) in [
        // torchvision's counts less the 1,000-class layer; the small stem replaces 7 · 7 · 3 · 64 weights by 3 · 3 · 3 · 64.
        (Backbone::Resnet18, 224, 3, 11_689_512 - 513_000),
        (Backbone::Resnet18, 32, 3, 11_689_512 - 513_000 - 9_408 + 1_728),
        (Backbone::Resnet34, 224, 3, 21_797_672 - 513_000),
        (Backbone::Resnet50, 224, 3, 25_557_032 - 2_049_000),
        // timm's vit_*_patch16_224 less their 1,000-class layers.
        (Backbone::VitTiny, 224, 3, 5_717_416 - 193_000),
        (Backbone::VitSmall, 224, 3, 22_050_664 - 385_000),
        (Backbone::VitBase, 224, 3, 86_567_656 - 769_000),
    ] {
        let network = of_recipe(backbone).network(size, channels).unwrap();
        let projector = network.dims()[0] * 24 + 2 * 24 + 24 * 8 + 8;
        assert_eq!(network.parameter_counts(), (parameters, projector), "{}", network.describe());
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
        let mut engine = build(backbone, size, channels);
        let before = engine.named_tensors();
        let [dim, _] = engine.dims();
        let (h, z) = engine.forward(&numbers(3 * size * size * channels), Mode::Train);
        assert_eq!((h.len(), z.len()), (3 * dim, 3 * 8));
        engine.backward(&numbers(3 * 8));
        let learned = engine.tensors().iter().filter(|tensor| !tensor.gradient.is_empty());
        let learned = learned.inspect(|tensor| {
            assert_eq!(tensor.gradient.len(), tensor.values.len());
            assert!(tensor.gradient.iter().any(|&g| g != 0.0), "{} is not used", tensor.spec.name);
        });
        let learned = learned.count();
        // Buffers are running statistics, and the one shift that is not learned.
        let buffers =
            before.iter().filter(|t| t.name.contains("running_") || t.name == "projector.4.bias").count();
        assert_eq!(learned + buffers, before.len(), "{backbone:?}");
        // The running statistics moved.
        assert_ne!(engine.named_tensors(), before);
    }
}

#[test]
fn evaluation_is_one_image_at_a_time_and_leaves_no_trace() {
    let mut encoder = build(Backbone::ResnetSmall, 28, 1);
    let batch = numbers(6 * 784);
    encoder.forward(&batch, Mode::Train);
    let before = encoder.named_tensors();
    let (h, _) = encoder.embed(&batch);
    let (alone, _) = encoder.embed(&batch[2 * 784..3 * 784]);
    assert_eq!(h.as_slice()[2 * 128..3 * 128], *alone.as_slice());
    assert_eq!(encoder.named_tensors(), before);
}

#[test]
fn running_statistics_are_torchs() {
    let mut encoder = build(Backbone::ResnetSmall, 28, 1);
    let h = encoder.forward(&numbers(6 * 784), Mode::Train).0.to_vec();
    let weight = encoder.named_tensors().into_iter().find(|t| t.name == "projector.0.weight").unwrap();
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
    encoder.forward(&numbers(6 * 784), Mode::Train);
    let recipe = of_recipe(Backbone::ResnetSmall);
    encoder::save(&path, &encoder, Some(&recipe), false).unwrap();
    let opened = encoder::open(&path, &Device::Cpu).unwrap();
    assert_eq!(opened.named_tensors(), encoder.named_tensors());
    assert_eq!(opened.describe(), encoder.describe());
    let refused = || encoder::open(&path, &Device::Cpu).err().unwrap().to_string();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refused().contains("not an encoder of riesz"));
    // Without a recipe the file has the tensors and not what to build.
    encoder::save(&path, &encoder, None, false).unwrap();
    assert!(refused().ends_with("not an encoder of riesz (its metadata has no encoder)"), "{}", refused());
}

#[test]
fn tensors_of_another_encoder_are_refused_by_name() {
    let mut encoder = build(Backbone::ResnetSmall, 28, 1);
    let sound = encoder.named_tensors();
    let mut refused = |change: &dyn Fn(&mut Vec<NamedTensor>)| {
        let mut tensors = sound.clone();
        change(&mut tensors);
        encoder.load(&tensors).unwrap_err().to_string()
    };
    assert_eq!(refused(&|tensors| drop(tensors.pop())), "69 tensors; this encoder has 70");
    assert_eq!(
        refused(&|tensors| tensors[0].name = "x".to_owned()),
        "x: this encoder has no tensor of that name"
    );
    assert_eq!(refused(&|tensors| tensors[1] = tensors[0].clone()), "backbone.bn1.running_mean: is missing");
    assert_eq!(
        refused(&|tensors| tensors[0].shape = vec![4, 4]),
        "backbone.bn1.bias: shape [4, 4]; this encoder's is [16]"
    );
    assert_eq!(encoder.named_tensors(), sound);
}

#[test]
fn an_own_encoder_for_other_images_is_refused() {
    let (text, origin) = recipe::read("fashion-mnist-12k").unwrap();
    let mut plan = Plan::new(Recipe::resolve(&text, &[], &origin).unwrap(), Device::Cpu).unwrap();
    let own = |size: usize| -> Box<BuildEncoder> {
        Box::new(move |_| Ok(Box::new(build(Backbone::ResnetSmall, size, 1))))
    };
    plan.own_encoder = Some(own(28));
    assert_eq!(plan.encoder().unwrap().dims(), [128, 8]);
    plan.own_encoder = Some(own(24));
    let refused = plan.encoder().err().unwrap().to_string();
    assert!(
        refused.ends_with("takes images of [24, 24, 1]; the recipe's augment gives [28, 28, 1]"),
        "{refused}"
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
                    freeze_through: None,
                    layer_decay: None,
                };
                let mut optimizer = Optimizer::new(&optim).unwrap();
                for _ in 0..3 {
                    Encoder::forward(&mut encoder, &numbers(20 * size * size * channels));
                    Encoder::backward(&mut encoder, &Matrix::new(numbers(20 * 8), 8));
                    encoder.update(&mut optimizer.step(0.1));
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
