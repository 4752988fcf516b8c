//! A GPU computes what the CPU does: the operations, every backbone with its gradients, updates, every loss, and a run.
//!
//! It takes the first device that the program was built for and that this machine has; without one it says so and
//! passes, or fails where `RIESZ_GPU_REQUIRED` is set, as `.ci/run gpu` does on a software device.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod held;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use burn::tensor::{Device, Tensor, TensorData};
use held::Held;
use riesz::rng::{Key, normal};
use riesz_lab::device;
use riesz_lab::encoder::{Backbone, BurnEncoder, EncoderRecipe, ProjectorRecipe, Stem};
use riesz_lab::ops::{batch_norm_eval, batch_norm_train, conv2d, max_pool, mean_pool};
use riesz_lab::optim::{OptimRecipe, Optimizer, Rule, Scaling};
use riesz_lab::tensors::NamedTensor;

/// What rounding may do to one operation of a few hundred terms.
const OPERATION_BOUND: f64 = 1e-5;
/// How far the images are moved to see what rounding does to a whole network.
const MOVED: f64 = 1e-5;
/// What an input of a ReLU that changes side may do to a gradient here: a few thousand numbers are in a layer.
const ONE_SIDE: f64 = 2e-2;

/// Straight to the error stream: the test harness would keep what a passing test prints.
fn tell(line: &str) {
    let mut stream = std::io::stderr().lock();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// The first GPU there is, by name; or why there is none, told.
fn gpu(test: &str) -> Option<(&'static str, Device)> {
    let mut reasons = Vec::new();
    for name in device::GPUS {
        match device::open(name) {
            Ok(device) => return Some((name, device)),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    if reasons.is_empty() {
        reasons.push("the program was built without a GPU; build with `--features wgpu`".to_owned());
    }
    let reasons = reasons.join("; ");
    assert!(std::env::var_os("RIESZ_GPU_REQUIRED").is_none(), "RIESZ_GPU_REQUIRED is set, but {reasons}");
    tell(&format!("skipped: {test}: {reasons}"));
    None
}

/// Named numbers that a device computed.
type Results = Vec<(String, Vec<f32>)>;

fn length<'a>(values: impl IntoIterator<Item = &'a f32>) -> f64 {
    values.into_iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

/// The largest ‖got − want‖ / ‖want‖, and of which; what is nothing beside the rest is measured by a thousandth of the
/// rest.
fn worst(got: &Results, want: &Results) -> (f64, String) {
    assert_eq!(got.len(), want.len());
    let all = length(want.iter().flat_map(|(_, values)| values));
    let mut worst = (0.0, String::new());
    for ((name, got), (_, want)) in got.iter().zip(want) {
        assert_eq!(got.len(), want.len(), "{name}");
        let difference: Vec<f32> = got.iter().zip(want).map(|(a, b)| a - b).collect();
        let error = length(&difference) / length(want).max(1e-3 * all);
        // A NaN is the worst.
        if error.is_nan() || error >= worst.0 {
            worst = (error, name.clone());
        }
        if error.is_nan() {
            break;
        }
    }
    worst
}

/// What was compared, and the worst of each kind.
struct Ledger {
    gpu: Device,
    compared: usize,
    worst: Vec<(&'static str, f64, String)>,
    wrong: Vec<String>,
}

impl Ledger {
    /// Computes on the CPU and on the GPU, and holds every result to the bound.
    fn compare(&mut self, kind: &'static str, what: &str, bound: f64, compute: impl Fn(&Device) -> Results) {
        let (want, got) = (compute(&Device::flex()), compute(&self.gpu));
        self.hold(kind, what, bound, &got, &want);
    }

    fn hold(&mut self, kind: &'static str, what: &str, bound: f64, got: &Results, want: &Results) {
        self.compared += got.len();
        let (error, name) = worst(got, want);
        let line = format!("{what}: {name}");
        if error.is_nan() || error > bound {
            self.wrong.push(format!("{kind}: {line}: {error:.1e}, bound {bound:.1e}"));
        }
        match self.worst.iter_mut().find(|worst| worst.0 == kind) {
            Some(worst) if worst.1 >= error => {}
            Some(worst) => *worst = (kind, error, line),
            None => self.worst.push((kind, error, line)),
        }
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Draws from N(0, 1), the same for every device.
fn draws<const D: usize>(shape: [usize; D], stream: &str, device: &Device) -> Tensor<D> {
    let mut rng = Key::new(11).stream(stream).rng();
    let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| normal(&mut rng) as f32).collect();
    Tensor::from_data(TensorData::new(numbers, shape), device)
}

/// Output of `f` and its gradients with respect to draws of these shapes.
fn differentiated(device: &Device, shapes: &[[usize; 4]], f: impl Fn(&[Tensor<4>]) -> Tensor<4>) -> Results {
    let device = device.clone().autodiff();
    let inputs: Vec<Tensor<4>> = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| draws(*shape, &format!("input {i}"), &device).require_grad())
        .collect();
    let y = f(&inputs);
    let gradients = (y.clone() * draws(y.dims(), "gradient", &device)).sum().backward();
    let mut results = vec![("output".to_owned(), values(y.inner()))];
    for (i, input) in inputs.iter().enumerate() {
        results.push((format!("gradient of input {i}"), values(input.grad(&gradients).unwrap())));
    }
    results
}

/// Every shape of convolution that the backbones have, and sizes that divide by nothing.
fn convolutions(ledger: &mut Ledger) {
    for (x, out, kernel, stride, padding) in [
        ([3, 7, 7, 16], 8, 3, 1, 1),
        ([2, 14, 14, 3], 5, 3, 2, 1),
        ([1, 5, 3, 1], 4, 3, 1, 1),
        ([5, 8, 8, 4], 6, 1, 1, 0),
        ([2, 9, 9, 4], 6, 1, 2, 0),
        ([2, 17, 17, 3], 8, 7, 2, 3),
        ([40, 7, 7, 8], 8, 3, 2, 1),
        ([1, 3, 3, 2], 2, 3, 1, 0),
        ([33, 1, 1, 67], 129, 1, 1, 0),
        ([4, 2, 2, 130], 65, 3, 1, 1),
    ] {
        let what = format!("convolution of {x:?}, {out} out, {kernel}/{stride}/{padding}");
        ledger.compare("operations", &what, OPERATION_BOUND, |device| {
            differentiated(device, &[x, [out, x[3], kernel, kernel]], |i| {
                conv2d(i[0].clone(), i[1].clone(), stride, padding)
            })
        });
    }
}

fn normalizations(ledger: &mut Ledger) {
    for shape in [[3, 7, 7, 16], [2, 5, 3, 1], [64, 5, 5, 3], [1, 4, 1, 4], [20, 1, 1, 33]] {
        let c = shape[3];
        let row = [1, 1, 1, c];
        for (relu, residual) in [(false, false), (false, true), (true, false), (true, true)] {
            let what = format!("normalization of {shape:?}, relu {relu}, residual {residual}");
            let shapes = if residual { vec![shape, row, row, shape] } else { vec![shape, row, row] };
            ledger.compare("operations", &what, OPERATION_BOUND, |device| {
                differentiated(device, &shapes, |i| {
                    let (gamma, beta) = (i[1].clone().reshape([c]), i[2].clone().reshape([c]));
                    // Off the middle, as sums of many are.
                    let x = i[0].clone() * 3.0 + 0.7;
                    batch_norm_train(x, gamma, beta, 1e-5, i.get(3).cloned(), relu).0
                })
            });
            ledger.compare("operations", &what, OPERATION_BOUND, |device| {
                let row = |stream: &str| draws::<1>([c], stream, device);
                let x = draws::<4>(shape, "x", device);
                let (_, mean, variance) =
                    batch_norm_train(x.clone(), row("gamma"), row("beta"), 1e-5, None, relu);
                let residual = residual.then(|| draws(shape, "residual", device));
                let other = batch_norm_eval(
                    x,
                    row("gamma"),
                    row("beta"),
                    row("mean"),
                    row("variance").abs(),
                    1e-5,
                    residual,
                    relu,
                );
                vec![
                    ("mean".to_owned(), values(mean)),
                    ("variance".to_owned(), values(variance)),
                    ("evaluation".to_owned(), values(other)),
                ]
            });
        }
    }
}

fn poolings(ledger: &mut Ledger) {
    for shape in [[2, 8, 8, 4], [3, 7, 5, 1], [1, 1, 1, 3]] {
        ledger.compare("operations", &format!("max pooling of {shape:?}"), OPERATION_BOUND, |device| {
            differentiated(device, &[shape], |i| max_pool(i[0].clone()))
        });
        ledger.compare("operations", &format!("mean pooling of {shape:?}"), OPERATION_BOUND, |device| {
            differentiated(device, &[shape], |i| mean_pool(i[0].clone()).reshape([shape[0], 1, 1, shape[3]]))
        });
    }
}

fn encoder(backbone: Backbone, stem: Stem, size: usize, channels: usize, device: &Device) -> BurnEncoder {
    let recipe = EncoderRecipe { backbone, stem, projector: ProjectorRecipe { hidden: 24, output: 8 } };
    recipe.build_on_burn(size, channels, Key::new(3), device).unwrap()
}

const IMAGES: usize = 4;

/// Images for the encoder, moved by `moved` of themselves.
fn images(encoder: &BurnEncoder, moved: f64, device: &Device) -> Tensor<4> {
    let (size, channels) = encoder.image_shape();
    let shape = [IMAGES, size, size, channels];
    // Each has its own shade: a transformer would hardly tell noise from noise.
    let images = draws(shape, "images", device) + draws([IMAGES, 1, 1, channels], "shades", device);
    images.clone() + images * draws(shape, "moved", device) * moved
}

/// h and z in training, and the gradient of z.
fn embeddings(encoder: &mut BurnEncoder, moved: f64, device: &Device) -> [Tensor<2>; 3] {
    let (h, z) = encoder.train_forward(images(encoder, moved, &device.clone().autodiff()));
    let gradient = draws([IMAGES, 8], "gradient", &z.device());
    [h, z, gradient]
}

/// Forward in both modes, and the gradient of every parameter.
fn forward_and_gradients(encoder: &mut BurnEncoder, moved: f64, device: &Device) -> [Results; 2] {
    let [h, z, gradient] = embeddings(encoder, moved, device);
    let mut gradients = (z.clone() * gradient).sum().backward();
    let (eval_h, eval_z) = encoder.eval_forward(images(encoder, moved, device));
    let forward =
        [("h", h.inner()), ("z", z.inner()), ("h in evaluation", eval_h), ("z in evaluation", eval_z)]
            .map(|(name, rows)| (name.to_owned(), values(rows)))
            .to_vec();
    let mut found = Results::new();
    encoder.update_parameters(&mut gradients, |name, _, weight, gradient| {
        found.push((name.to_owned(), values(gradient)));
        weight
    });
    [forward, found]
}

/// Rounding decides which side of 0 some inputs of a ReLU are on, and one that changes side moves the gradient of all
/// that lies before it, by one part in the root of their number. So a GPU may differ from the CPU by what the CPU differs
/// from itself when the images are moved by [`MOVED`] of themselves, and a residual network's gradients by [`ONE_SIDE`].
fn backbones(ledger: &mut Ledger) {
    for (backbone, stem, size, channels) in [
        (Backbone::ResnetSmall, Stem::Small, 28, 1),
        (Backbone::ResnetSmall, Stem::Imagenet, 37, 3),
        (Backbone::Resnet18, Stem::Small, 16, 3),
        (Backbone::Resnet34, Stem::Small, 16, 3),
        (Backbone::Resnet50, Stem::Small, 16, 3),
        (Backbone::VitTiny, Stem::Auto, 16, 3),
    ] {
        let on = |device: &Device, moved: f64| {
            forward_and_gradients(&mut encoder(backbone, stem, size, channels, device), moved, device)
        };
        let cpu = Device::flex();
        let (want, moved, got) = (on(&cpu, 0.0), on(&cpu, MOVED), on(&ledger.gpu, 0.0));
        let what = format!("{backbone:?} with {size} × {size} × {channels}");
        let floors = [0.0, if backbone == Backbone::VitTiny { 0.0 } else { ONE_SIDE }];
        for (i, kind) in ["forward passes", "gradients"].into_iter().enumerate() {
            let bound = worst(&moved[i], &want[i]).0.max(floors[i]);
            let (error, name) = worst(&got[i], &want[i]);
            tell(&format!("gpu: {what}: {kind} differ by {error:.1e} ({name}), bound {bound:.1e}"));
            // A gradient that is wrong is off by about itself.
            if bound > 0.25 {
                ledger
                    .wrong
                    .push(format!("{what}: a bound of {bound:.1e} on {kind} would let anything pass"));
            }
            ledger.hold(kind, &what, bound, &got[i], &want[i]);
        }
    }
}

/// What one update by each rule does to every parameter: the bound is as for the gradients.
fn updates(ledger: &mut Ledger) {
    for name in [Rule::Sgd, Rule::Lars, Rule::Adamw] {
        let on = |device: &Device, moved: f64| -> Results {
            let recipe = OptimRecipe {
                name,
                learning_rate: 0.1,
                scaling: Scaling::None,
                momentum: 0.9,
                weight_decay: 1e-4,
                warmup: 0.0,
            };
            let mut encoder = encoder(Backbone::ResnetSmall, Stem::Small, 12, 1, device);
            let before = encoder.named_tensors();
            let mut optimizer = Optimizer::new(&recipe).unwrap();
            let [_, z, gradient] = embeddings(&mut encoder, moved, device);
            optimizer.step_on_burn(&mut encoder, &mut (z * gradient).sum().backward(), 0.1);
            let change = |(before, after): (NamedTensor, NamedTensor)| {
                let change = after.values.iter().zip(&before.values).map(|(a, b)| a - b).collect();
                (after.name, change)
            };
            let changes = before.into_iter().zip(encoder.named_tensors()).map(change);
            // One shift is not learned.
            changes.filter(|(name, _)| name != "projector.4.bias").collect()
        };
        let cpu = Device::flex();
        let (want, moved, got) = (on(&cpu, 0.0), on(&cpu, MOVED), on(&ledger.gpu, 0.0));
        let bound = worst(&moved, &want).0.max(ONE_SIDE);
        ledger.hold("updates", &format!("{name:?}"), bound, &got, &want);
    }
}

/// Every loss on every batch, held to the definition, in chunks: that the chunks do not matter is tested on the CPU.
fn losses(ledger: &mut Ledger) {
    let held = Held::all(&ledger.gpu, |images| images / 3 + 1);
    for line in held.lines() {
        tell(&format!("gpu: {line}"));
    }
    tell(&format!("gpu: {} values and gradients of losses, {} batches refused", held.compared, held.refused));
    ledger.compared += held.compared;
    ledger.wrong.extend(held.wrong);
}

#[test]
fn a_gpu_computes_what_the_cpu_does() {
    let Some((name, gpu)) = gpu("a GPU computes what the CPU does") else { return };
    let device = device::described(name, &gpu);
    let mut ledger = Ledger { gpu, compared: 0, worst: Vec::new(), wrong: Vec::new() };
    convolutions(&mut ledger);
    normalizations(&mut ledger);
    poolings(&mut ledger);
    backbones(&mut ledger);
    updates(&mut ledger);
    losses(&mut ledger);
    let worst: Vec<String> =
        ledger.worst.iter().map(|(kind, error, what)| format!("{kind} {error:.1e} ({what})")).collect();
    tell(&format!(
        "gpu: {device}: {} results compared with the CPU's; worst difference of {}",
        ledger.compared,
        worst.join(", ")
    ));
    assert!(ledger.wrong.is_empty(), "{}", ledger.wrong.join("\n"));
}

/// The program in a folder, with or without the drivers of this machine.
fn riesz(folder: &Path, drivers: bool, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riesz"));
    command.current_dir(folder).args(arguments);
    if !drivers {
        // What the loaders of Vulkan (two spellings) and of OpenGL read instead of the system's lists.
        for list in ["VK_ICD_FILENAMES", "VK_DRIVER_FILES", "__EGL_VENDOR_LIBRARY_FILENAMES"] {
            command.env(list, folder.join("none.json"));
        }
    }
    command.output().unwrap()
}

/// A run of two updates on 64 small pictures of waves, of which 32 are held out.
fn train(folder: &Path, device: &str, drivers: bool) -> Output {
    let photos = folder.join("photos");
    for i in 0..64_u32 {
        let class = photos.join(["near", "far"][i as usize % 2]);
        std::fs::create_dir_all(&class).unwrap();
        let wave = |x: u32, y: u32| image::Luma([(x * (2 + i % 2 * 5) + y * (1 + i % 7) + 3 * i) as u8]);
        image::GrayImage::from_fn(28, 28, wave).save(class.join(format!("{i}.png"))).unwrap();
    }
    let settings = ["data.held-out=0.5", "evaluation.few-labels=2", "evaluation.pairs=16"];
    let mut arguments = vec!["train", "photos", "--recipe", "fashion-mnist-12k", "--run", device];
    arguments.extend(["--device", device, "--epochs", "1", "--batch", "16"]);
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    riesz(folder, drivers, &arguments)
}

#[test]
fn a_run_on_a_gpu_is_the_run_on_the_cpu() {
    let Some((name, _)) = gpu("a run on a GPU is the run on the CPU") else { return };
    let folder = tempfile::tempdir().unwrap();
    let losses = |device: &str| -> Vec<f64> {
        let output = train(folder.path(), device, true);
        assert!(output.status.success(), "{device}: {}", String::from_utf8_lossy(&output.stderr));
        let log = std::fs::read_to_string(folder.path().join(device).join("log.jsonl")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["event"] == "step").map(|line| line["loss"].as_f64().unwrap()).collect()
    };
    let (want, got) = (losses("cpu"), losses(name));
    let error = |step: usize| ((got[step] - want[step]) / want[step]).abs();
    tell(&format!(
        "gpu: {name}: a run's loss before its first update differs by {:.1e} of it from the CPU's, after it by {:.1e}",
        error(0),
        error(1)
    ));
    assert_eq!((want.len(), got.len()), (2, 2));
    assert!(error(0) < 1e-5 && error(1) < 5e-3, "{got:?} for {want:?}");
    assert!(folder.path().join(name).join("report.html").exists());
}

/// Only Linux lets a program be run without its drivers.
#[cfg(all(target_os = "linux", feature = "wgpu"))]
#[test]
fn a_device_that_is_not_there_is_one_sentence_before_anything_is_written() {
    for name in device::GPUS.iter().filter(|name| ["wgpu", "vulkan"].contains(name)) {
        let folder = tempfile::tempdir().unwrap();
        let output = train(folder.path(), name, false);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.starts_with(&format!("riesz: --device {name}: this machine does not offer")), "{told}");
        assert!(told.contains("--device cpu") && told.lines().count() == 1, "{told}");
        assert!(!folder.path().join(name).exists(), "{told}");
    }
}
