//! Stages of a backbone: what is frozen keeps its bits, running statistics too, and learning rates fall from stage to stage as
//! defined.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use riesz::rng::Key;
use riesz_lab::device::Device;
use riesz_lab::encoder::{Backbone, Encoder, EncoderRecipe, ProjectorRecipe, Stem};
use riesz_lab::network::cpu::{Engine, Mode};
use riesz_lab::network::{Network, Role};
use riesz_lab::optim::{OptimRecipe, Optimizer, Rule, Scaling};
use riesz_lab::recipe::{BUILT_IN, Recipe};
use riesz_lab::tensors::NamedTensor;
use riesz_lab::train::Plan;

fn network(backbone: Backbone, size: usize) -> Network {
    let projector = ProjectorRecipe { hidden: 12, output: 6 };
    EncoderRecipe { backbone, stem: Stem::Auto, pixels: None, projector }.network(size, 3).unwrap()
}

fn rule(name: Rule) -> OptimRecipe {
    OptimRecipe {
        name,
        learning_rate: 0.1,
        scaling: Scaling::None,
        momentum: 0.9,
        weight_decay: 0.01,
        warmup: 0.0,
        freeze_through: None,
        layer_decay: None,
    }
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| 0.5 + 0.5 * ((i as f32) * 0.37).sin()).collect()
}

fn step(engine: &mut Engine, optimizer: &mut Optimizer, learning_rate: f64) {
    let [h, w, c] = engine.network().image_shape();
    let z = engine.forward(&numbers(4 * h * w * c), Mode::Train).1.len();
    engine.backward(&numbers(z));
    engine.update(&mut optimizer.step(learning_rate));
}

/// The names of tensors that are not what they were.
fn moved(before: &[NamedTensor], after: &[NamedTensor]) -> Vec<String> {
    let bits = |tensor: &NamedTensor| tensor.values.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    let changed = before.iter().zip(after).filter(|(before, after)| bits(before) != bits(after));
    changed.map(|(before, _)| before.name.clone()).collect()
}

#[test]
fn frozen_bits_do_not_move_and_all_others_do() {
    for (backbone, size, stage, frozen) in [
        (Backbone::ResnetSmall, 20, "stem", &["backbone.conv1.", "backbone.bn1."][..]),
        (
            Backbone::ResnetSmall,
            20,
            "layer2",
            &["backbone.conv1.", "backbone.bn1.", "backbone.layer1.", "backbone.layer2."],
        ),
        (
            Backbone::VitTiny,
            8,
            "stem",
            &["backbone.patch_embed.", "backbone.cls_token", "backbone.pos_embed"],
        ),
        (Backbone::VitTiny, 8, "backbone", &["backbone."]),
    ] {
        for name in [Rule::Sgd, Rule::Lars, Rule::Adamw] {
            let network = network(backbone, size).frozen_through(stage).unwrap();
            let specs = network.tensors();
            let mut engine = Engine::new(network, Key::new(3));
            let before = engine.named_tensors();
            let mut optimizer = Optimizer::new(&rule(name)).unwrap();
            for _ in 0..3 {
                step(&mut engine, &mut optimizer, 0.1);
            }
            let moved = moved(&before, &engine.named_tensors());
            for spec in specs {
                let is_frozen = frozen.iter().any(|start| spec.name.starts_with(start));
                assert_eq!(
                    is_frozen && spec.role != Role::Buffer,
                    spec.role == Role::Frozen,
                    "{}",
                    spec.name
                );
                // The one shift that no network learns.
                let stays = is_frozen || spec.name == "projector.4.bias";
                assert_eq!(
                    moved.contains(&spec.name),
                    !stays,
                    "{backbone:?} {stage} {name:?}: {}",
                    spec.name
                );
            }
            // Nothing is remembered of what does not move.
            let remembered = optimizer.state();
            assert!(remembered.iter().all(|tensor| frozen.iter().all(|start| !tensor.name.contains(start))));
        }
    }
}

#[test]
fn rates_fall_from_stage_to_stage() {
    for (backbone, size, expected) in [
        (
            Backbone::ResnetSmall,
            20,
            &[
                ("backbone.conv1.weight", 5),
                ("backbone.bn1.bias", 5),
                ("backbone.layer1.0.conv1.weight", 4),
                ("backbone.layer4.0.downsample.1.weight", 1),
                ("projector.0.weight", 0),
            ][..],
        ),
        // BEiT's: the embedding of twelve layers has the exponent 13, the last layer 1, the norm after it 0.
        (
            Backbone::VitTiny,
            8,
            &[
                ("backbone.cls_token", 13),
                ("backbone.patch_embed.proj.bias", 13),
                ("backbone.blocks.0.norm1.weight", 12),
                ("backbone.blocks.11.mlp.fc2.bias", 1),
                ("backbone.norm.weight", 0),
                ("projector.3.weight", 0),
            ],
        ),
    ] {
        let rates = network(backbone, size).rates(0.75);
        for (name, exponent) in expected {
            assert_eq!(rates[*name], 0.75_f64.powi(*exponent), "{name}");
        }
        // Plain SGD without decay moves by the rate.
        let recipe = OptimRecipe { momentum: 0.0, weight_decay: 0.0, ..rule(Rule::Sgd) };
        let moves = |rates: BTreeMap<String, f64>| {
            let mut engine = Engine::new(network(backbone, size), Key::new(3));
            let before = engine.named_tensors();
            step(&mut engine, &mut Optimizer::new(&recipe).unwrap().with_rates(rates), 1.0);
            let after = engine.named_tensors();
            let of = |name: &str| {
                let find = |all: &[NamedTensor]| {
                    all.iter().find(|tensor| tensor.name == name).unwrap().values.clone()
                };
                let [before, after] = [find(&before), find(&after)];
                before.iter().zip(&after).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>().sqrt()
            };
            expected.iter().map(|(name, _)| of(name)).collect::<Vec<f64>>()
        };
        let (even, decayed) = (moves(BTreeMap::new()), moves(rates));
        for (((name, exponent), even), decayed) in expected.iter().zip(even).zip(decayed) {
            let ratio = decayed / even / 0.75_f64.powi(*exponent);
            assert!(even > 0.0 && (ratio - 1.0).abs() < 1e-2, "{name}: {ratio}");
        }
    }
}

#[test]
fn a_recipe_says_both_and_bad_ones_are_refused() {
    let plan = |key: &str| {
        let keys = [key.to_owned(), "data.limit=300".to_owned()];
        Plan::new(Recipe::resolve(BUILT_IN[0].text, &keys, "test").unwrap(), Device::Cpu)
    };
    let frozen = plan("optimizer.freeze-through=layer2").unwrap();
    assert!(frozen.encoder().unwrap().describe().ends_with("frozen"), "the log tells");
    assert_eq!(frozen.recipe.optimizer.freeze_through.as_deref(), Some("layer2"));
    for (key, expected) in [
        (
            "optimizer.freeze-through=layer7",
            "optimizer.freeze-through: no stage of the backbone is called `layer7`",
        ),
        ("optimizer.layer-decay=0", "optimizer.layer-decay is 0; it must be above 0 and at most 1"),
        ("optimizer.layer-decay=1.5", "it must be above 0 and at most 1"),
        ("optimizer.layer-decay=nan", "it must be above 0 and at most 1"),
    ] {
        let refused = plan(key).err().unwrap().to_string();
        assert!(refused.contains(expected), "{key}: {refused}");
    }
}
