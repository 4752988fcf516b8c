//! Every backbone's representation against torchvision's and timm's, and the gradients of small networks against torch's, on
//! weights that both sides make by one formula: `golden/encoder/made.py` says it; `golden/encoder/make.py` wrote
//! `golden/encoder/forward.json`, and `golden/encoder/gradients.py` wrote `golden/encoder/gradients.json`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use riesz::rng::Key;
use riesz_lab::encoder::{Backbone, Encoder, EncoderRecipe, ProjectorRecipe, Stem};
use riesz_lab::network::cpu::{Engine, Mode};
use riesz_lab::network::{Builder, Network, Residual, Stage, VitSize};
use riesz_lab::tensors::NamedTensor;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// How much farther than torch's own float32 pass riesz, whose encoders compute in f32, may be from the float64 one.
/// Seen (our engine on the CPU, one run): 0.15 to 0.99 for residual networks, 0.98 to 1.29 for ViT-tiny.
const RATIO: f64 = 4.0;

#[derive(Deserialize)]
struct Golden {
    /// Names of the backbone's tensors in torchvision or timm, without the classifier.
    names: BTreeMap<String, Vec<String>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    backbone: Backbone,
    stem: Stem,
    size: usize,
    channels: usize,
    images: usize,
    /// How many numbers the tensors have together.
    numbers: usize,
    eval: Described,
    train: Described,
    after: Described,
}

/// What is kept of h, image by image.
#[derive(Deserialize)]
struct Described {
    /// The largest difference of torch's float32 pass, in root mean squares of an image's h.
    float32: f64,
    norm: Vec<f64>,
    projection: Vec<f64>,
    some: Vec<Vec<f64>>,
}

fn golden<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/encoder").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// u of `made.py`: `count` numbers in [−1, 1), a function of the name.
fn draw(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |x, byte| (x ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    (1..=count as u64).map(move |k| {
        let mut x = seed.wrapping_add(k.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        (x >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

/// The numbers that `made.py` gives the tensor `name`.
fn made(name: &str, shape: &[usize]) -> Vec<f32> {
    let spread = (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
    let value = |u: f64| match shape.len() {
        _ if name == "images" => (1.0 + u) / 2.0,
        _ if name.ends_with("running_var") => (1.0 + u / 2.0) / 100.0,
        _ if name.ends_with("running_mean") => u / 50.0,
        1 if name.ends_with("weight") => 1.0 + u / 2.0,
        1 => u / 5.0,
        2 => u * spread,
        3 => u / 30.0,
        _ => u * spread / 10.0,
    };
    draw(name, shape.iter().product()).map(|u| value(u) as f32).collect()
}

impl Case {
    fn build(&self) -> Engine {
        let projector = ProjectorRecipe { hidden: 4, output: 2 };
        let recipe = EncoderRecipe { backbone: self.backbone, stem: self.stem, pixels: None, projector };
        Engine::new(recipe.network(self.size, self.channels).unwrap(), Key::new(0))
    }

    fn name(&self) -> String {
        serde_json::to_value(self.backbone).unwrap().as_str().unwrap().to_owned()
    }
}

impl Described {
    /// The largest difference of h from this, in root mean squares of an image's h (of sums over h: in norms).
    fn apart(&self, h: &[f32]) -> f64 {
        let dim = h.len() / self.norm.len();
        let weights: Vec<f64> = draw("projection", dim).collect();
        let mut worst = 0.0_f64;
        for (i, row) in h.chunks_exact(dim).enumerate() {
            let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
            let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            let projection = row.iter().zip(&weights).map(|(x, u)| x * u).sum::<f64>();
            let size = self.norm[i] / (dim as f64).sqrt();
            let some = row.iter().step_by(dim / self.some[i].len());
            let mut differences: Vec<f64> =
                some.zip(&self.some[i]).map(|(x, want)| (x - want).abs() / size).collect();
            differences.push((norm - self.norm[i]).abs() / self.norm[i]);
            differences.push((projection - self.projection[i]).abs() / self.norm[i]);
            assert!(differences.iter().all(|x| x.is_finite()), "h is not finite");
            worst = differences.into_iter().fold(worst, f64::max);
        }
        worst
    }
}

/// Neither a tensor of torchvision's or timm's without a place in the encoder, nor the reverse.
fn assert_names(case: &Case, names: &[String], tensors: &[NamedTensor]) {
    let (backbone, others): (Vec<&NamedTensor>, Vec<&NamedTensor>) =
        tensors.iter().partition(|t| t.name.starts_with("backbone."));
    let found: Vec<&str> = backbone.iter().map(|t| &t.name["backbone.".len()..]).collect();
    assert_eq!(found, names, "{}", case.name());
    assert_eq!(backbone.iter().map(|t| t.values.len()).sum::<usize>(), case.numbers, "{}", case.name());
    assert!(others.iter().all(|t| t.name.starts_with("projector.")));
}

#[test]
fn representations_are_those_of_torchvision_and_timm() {
    let golden: Golden = golden("forward.json");
    for case in &golden.cases {
        let mut encoder = case.build();
        let mut tensors = encoder.named_tensors();
        assert_names(case, &golden.names[&case.name()], &tensors);
        for tensor in &mut tensors {
            if let Some(name) = tensor.name.strip_prefix("backbone.") {
                tensor.values = made(name, &tensor.shape);
            }
        }
        encoder.load(&tensors).unwrap();
        let pictures = made("images", &[case.images, case.size, case.size, case.channels]);
        let eval = encoder.forward(&pictures, Mode::Eval).0.to_vec();
        let train = encoder.forward(&pictures, Mode::Train).0.to_vec();
        let after = encoder.forward(&pictures, Mode::Eval).0.to_vec();
        let place = format!("{} {:?} {} × {}", case.name(), case.stem, case.size, case.channels);
        for (pass, golden, h) in
            [("eval", &case.eval, eval), ("train", &case.train, train), ("after", &case.after, after)]
        {
            let apart = golden.apart(&h);
            let ratio = apart / golden.float32;
            println!("{place}, {pass}: {apart:.1e} of h's size, {ratio:.2} times torch's float32");
            assert!(ratio < RATIO, "{place}, {pass}: h is {apart:e} of its size from the golden one");
        }
    }
}

/// How far each number of a small network may be from torch's in float64, of its tensor's length; what is nothing beside the
/// largest tensor is measured by a hundredth of that: a shift that the next normalization takes out has gradient 0.
const NEAR: f64 = 1e-4;

/// A small network of `gradients.py`, and what torch computes there.
#[derive(Deserialize)]
struct Small {
    kind: String,
    imagenet: Option<bool>,
    patch: Option<usize>,
    size: usize,
    channels: usize,
    images: usize,
    h: Summed,
    z: Summed,
    gradients: BTreeMap<String, Summed>,
    running: BTreeMap<String, Summed>,
}

#[derive(Deserialize)]
struct Summed {
    norm: f64,
    projection: f64,
    some: Vec<f64>,
}

impl Small {
    fn network(&self) -> Network {
        let mut network = Builder::new([self.size, self.size, self.channels]);
        let stages = [Stage { blocks: 2, width: 5 }, Stage { blocks: 2, width: 9 }];
        let residual = if self.kind == "basic" { Residual::Basic } else { Residual::Bottleneck };
        match (self.imagenet, self.patch) {
            (Some(imagenet), None) => network.resnet(imagenet, residual, &stages),
            (_, patch) => {
                network.vit(VitSize { patch: patch.unwrap(), width: 12, layers: 2, heads: 3, hidden: 20 })
            }
        };
        network.project(7, 4)
    }
}

impl Summed {
    /// The largest difference of `x` from this, in lengths of this, or of `least`.
    fn apart(&self, x: &[f32], least: f64) -> f64 {
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let projection: f64 = x.iter().zip(draw("projection", x.len())).map(|(x, u)| x * u).sum();
        let mut worst = (norm - self.norm).abs().max((projection - self.projection).abs());
        let step = (x.len() / 8).max(1);
        assert_eq!(self.some.len(), x.iter().step_by(step).take(8).count());
        for (x, want) in x.iter().step_by(step).zip(&self.some) {
            worst = worst.max((x - want).abs());
        }
        assert!(worst.is_finite());
        worst / self.norm.max(least)
    }
}

#[test]
fn gradients_are_those_of_torch() {
    #[derive(Deserialize)]
    struct Cases {
        cases: Vec<Small>,
    }
    let Cases { cases } = golden("gradients.json");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let mut engine = Engine::new(case.network(), Key::new(0));
        let mut tensors = engine.named_tensors();
        for tensor in &mut tensors {
            if tensor.name != "projector.4.bias" {
                tensor.values = made(&tensor.name, &tensor.shape);
            }
        }
        engine.load(&tensors).unwrap();
        let images = made("images", &[case.images, case.size, case.size, case.channels]);
        let (h, z) = engine.forward(&images, Mode::Train);
        let (of_h, of_outcome) = (case.h.apart(h, 0.0), case.z.apart(z, 0.0));
        let of_z: Vec<f32> = draw("of z", z.len()).map(|u| u as f32).collect();
        engine.backward(&of_z);
        let place = format!("{}, patch {:?}, ImageNet stem {:?}", case.kind, case.patch, case.imagenet);
        assert!(of_h < NEAR && of_outcome < NEAR, "{place}: h {of_h:e}, z {of_outcome:e}");
        let least = 1e-2 * case.gradients.values().map(|gradient| gradient.norm).fold(0.0, f64::max);
        let mut worst = (0.0, String::new());
        let mut gradients = 0;
        for tensor in engine.tensors() {
            let name = &tensor.spec.name;
            let apart = if tensor.gradient.is_empty() {
                let Some(want) = case.running.get(name) else { continue };
                want.apart(&tensor.values, 0.0)
            } else {
                gradients += 1;
                case.gradients[name].apart(&tensor.order().shaped(&tensor.gradient), least)
            };
            if apart >= worst.0 {
                worst = (apart, name.clone());
            }
        }
        println!("{place}: h {of_h:.1e}, z {of_outcome:.1e}, worst gradient {:.1e} ({})", worst.0, worst.1);
        assert_eq!(gradients, case.gradients.len(), "{place}");
        assert!(worst.0 < NEAR, "{place}: {} is {:e} of its length off", worst.1, worst.0);
    }
}
