//! Every backbone's representation against torchvision's and timm's, on weights that both sides make by one formula:
//! `golden/encoder/make.py` says the formula and wrote `golden/encoder/forward.json`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use riesz::rng::Key;
use riesz_lab::encoder::{Backbone, BurnEncoder, EncoderRecipe, ProjectorRecipe, Stem};
use riesz_lab::tensors::NamedTensor;
use serde::Deserialize;

/// How much farther than torch's own float32 pass riesz, whose encoders compute in f32, may be from the float64 one.
/// Seen (CPU, one run): 0.1 to 0.8 for residual networks, 0.7 to 1.3 for ViT-tiny.
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

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/encoder/forward.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// u of `make.py`: `count` numbers in [−1, 1), a function of the name.
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

/// The numbers that `make.py` gives the tensor `name`.
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
    fn build(&self) -> BurnEncoder {
        let projector = ProjectorRecipe { hidden: 4, output: 2 };
        let recipe = EncoderRecipe { backbone: self.backbone, stem: self.stem, projector };
        recipe.build_on_burn(self.size, self.channels, Key::new(0), &Device::flex()).unwrap()
    }

    fn pictures(&self, device: &Device) -> Tensor<4> {
        let shape = [self.images, self.size, self.size, self.channels];
        Tensor::from_data(TensorData::new(made("images", &shape), shape), device)
    }

    fn name(&self) -> String {
        serde_json::to_value(self.backbone).unwrap().as_str().unwrap().to_owned()
    }
}

impl Described {
    /// The largest difference of h from this, in root mean squares of an image's h (of sums over h: in norms).
    fn apart(&self, h: Tensor<2>) -> f64 {
        let [images, dim] = h.dims();
        assert_eq!(images, self.norm.len());
        let values: Vec<f32> = h.into_data().try_into_vec().unwrap();
        let weights: Vec<f64> = draw("projection", dim).collect();
        let mut worst = 0.0_f64;
        for (i, row) in values.chunks_exact(dim).enumerate() {
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
    let golden = golden();
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
        let (device, tracking) = (Device::flex(), Device::flex().autodiff());
        let eval = encoder.eval_forward(case.pictures(&device)).0;
        let train = encoder.train_forward(case.pictures(&tracking)).0.inner();
        let after = encoder.eval_forward(case.pictures(&device)).0;
        let place = format!("{} {:?} {} × {}", case.name(), case.stem, case.size, case.channels);
        for (pass, golden, h) in
            [("eval", &case.eval, eval), ("train", &case.train, train), ("after", &case.after, after)]
        {
            let apart = golden.apart(h);
            let ratio = apart / golden.float32;
            println!("{place}, {pass}: {apart:.1e} of h's size, {ratio:.2} times torch's float32");
            assert!(ratio < RATIO, "{place}, {pass}: h is {apart:e} of its size from the golden one");
        }
    }
}
