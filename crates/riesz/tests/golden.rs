//! Values and gradients of other people's implementations: every case of `golden/golden.json`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "golden numbers are read from files")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failing test says where, and how near the others are"
)]

use std::path::Path;

use riesz::engine::{Engine, Fused, Reference, value_and_grad_raw};
use riesz::geometry::measure_all;
use riesz::loss::{Convention, KclKernel, Loss};
use riesz::{Matrix, Points, Scalar};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Case {
    input: String,
    source: String,
    loss: String,
    params: Params,
    value: f64,
    grad_norm: f64,
    grad_row0: Vec<f64>,
    grad_last: Vec<f64>,
}

#[derive(Deserialize)]
struct Params {
    tau: Option<f64>,
    sigma: Option<f64>,
    include_augs: Option<bool>,
    kernel: Option<String>,
    t: Option<f64>,
    gamma: Option<f64>,
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden")
}

fn input(name: &str) -> Matrix<f64> {
    let bytes = std::fs::read(folder().join("inputs.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let view = tensors.tensor(name).unwrap();
    let data = view.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
    Matrix::new(data, view.shape()[1])
}

fn loss_of(case: &Case) -> Loss {
    let params = &case.params;
    let tau = params.tau.unwrap_or(f64::NAN);
    let loss = match case.loss.as_str() {
        "dhel" if params.include_augs == Some(true) => Loss::dhel(tau, Convention::Reference),
        "dhel" => Loss::dhel(tau, Convention::Paper),
        "ntxent" => Loss::nt_xent(tau),
        "dcl" => Loss::dcl(tau),
        "dclw" => Loss::dclw(tau, params.sigma.unwrap()),
        "infonce_symmetric" => Loss::info_nce_symmetric(tau),
        "kcl" => {
            let t = params.t.unwrap();
            let (attraction, repulsion) = match params.kernel.as_deref().unwrap() {
                "gaussian" => (KclKernel::Gaussian(t), KclKernel::Gaussian(t)),
                "log" => (KclKernel::Logarithmic(t), KclKernel::Logarithmic(t)),
                "imq" => (KclKernel::InverseMultiquadric(t), KclKernel::InverseMultiquadric(t)),
                "riesz" => (KclKernel::Riesz(t), KclKernel::Riesz(t)),
                "gaussian_riesz" => (KclKernel::Gaussian(2.0), KclKernel::Riesz(t)),
                other => panic!("unknown kernel {other}"),
            };
            Loss::kcl(attraction, repulsion, params.gamma.unwrap(), Convention::Reference)
        }
        other => panic!("unknown loss {other}"),
    };
    loss.unwrap()
}

/// Largest relative errors of value and of gradient (relative to the gradient's norm), over all cases.
fn worst<T: Scalar>(engine: &dyn Engine<T>, name: &str) -> (f64, f64, usize) {
    let text = std::fs::read_to_string(folder().join("golden.json")).unwrap();
    let golden: Golden = serde_json::from_str(&text).unwrap();
    let (mut value_error, mut grad_error, mut cases) = (0.0_f64, 0.0_f64, 0);
    for value in golden.cases.into_iter().filter(|case| case.get("loss").is_some()) {
        let case: Case = serde_json::from_value(value).unwrap();
        let rows = input(&case.input);
        let typed = Matrix::new(rows.as_slice().iter().map(|&x| T::from_f64(x)).collect(), rows.dim());
        let outcome = value_and_grad_raw(engine, &loss_of(&case), &typed, 2).unwrap();
        let grad = outcome.grad.to_f64();
        let norm = grad.as_slice().iter().map(|g| g * g).sum::<f64>().sqrt();
        let v = (outcome.value - case.value).abs() / case.value.abs().max(1e-3);
        let scale = case.grad_norm.max(1e-9);
        let mut g = (norm - case.grad_norm).abs() / scale;
        for (row, want) in [(0, &case.grad_row0), (grad.len() - 1, &case.grad_last)] {
            for (got, want) in grad.row(row).iter().zip(want) {
                g = g.max((got - want).abs() / scale);
            }
        }
        if v > 1e-3 || g > 1e-3 {
            eprintln!(
                "{name}: {} {} on {}: {} for {}",
                case.source, case.loss, case.input, outcome.value, case.value
            );
        }
        (value_error, grad_error, cases) = (value_error.max(v), grad_error.max(g), cases + 1);
    }
    println!("{name}: {cases} cases, worst value {value_error:e}, worst gradient {grad_error:e}");
    (value_error, grad_error, cases)
}

#[test]
fn reference_agrees_with_every_case_to_1e_9() {
    let (value, grad, cases) = worst::<f64>(&Reference, "reference f64");
    assert_eq!(cases, 438);
    assert!(value < 1e-9 && grad < 1e-9, "value {value:e}, gradient {grad:e}");
}

#[test]
fn fused_f64_agrees_with_every_case_to_1e_9() {
    let (value, grad, cases) = worst::<f64>(&Fused, "fused f64");
    assert_eq!(cases, 438);
    assert!(value < 1e-9 && grad < 1e-9, "value {value:e}, gradient {grad:e}");
}

/// In f32 a cosine is off by about 10⁻⁷, the rounding of unit rows. A log-sum multiplies that by 1/τ ≤ 20; a Riesz
/// attraction with exponent 2 of pairs at squared distance 10⁻³ multiplies it by 1/r² = 10⁶. The bound is that of the
/// worst case; losses whose kernels are bounded stay below 10⁻⁴.
#[test]
fn fused_f32_agrees_to_what_f32_cosines_allow() {
    let (value, grad, cases) = worst::<f32>(&Fused, "fused f32");
    assert_eq!(cases, 438);
    assert!(value < 3e-3 && grad < 3e-2, "value {value:e}, gradient {grad:e}");
}

#[derive(Deserialize)]
struct MetricCase {
    input: String,
    metrics: MetricValues,
}

#[derive(Deserialize)]
struct MetricValues {
    alignment: f64,
    uniformity: f64,
    rank: f64,
    effective_rank: f64,
    wasserstein_to_ideal: f64,
}

/// The Wasserstein distances of the golden inputs, by the closed form of each step of the staircase with 30 digits
/// (mpmath 1.3). The golden file's own come from an adaptive quadrature of a function with jumps, whose default
/// tolerance is 1.5·10⁻⁸, and are off by up to 7·10⁻⁹.
const WASSERSTEIN: [(&str, f64); 6] = [
    ("aligned_8x4", 0.103_557_101_873_933_06),
    ("random_16x8", 0.029_806_308_347_637_18),
    ("lowrank_32x16", 0.243_890_134_151_868_08),
    ("clustered_48x32", 0.204_775_744_652_961_43),
    ("aligned_64x128", 0.001_791_002_996_527_330_5),
    ("random_33x7", 0.017_659_999_193_458),
];

#[test]
fn metrics_agree_with_every_case() {
    let text = std::fs::read_to_string(folder().join("golden.json")).unwrap();
    let golden: Golden = serde_json::from_str(&text).unwrap();
    let cases = golden.cases.into_iter().filter(|case| case.get("metrics").is_some());
    let cases: Vec<MetricCase> = cases.map(|case| serde_json::from_value(case).unwrap()).collect();
    assert_eq!(cases.len(), WASSERSTEIN.len());
    for (case, (name, wasserstein)) in cases.iter().zip(WASSERSTEIN) {
        assert_eq!(case.input, name);
        let mut rows = input(name);
        riesz::normalize(&mut rows).unwrap();
        let (u, v) = rows.as_slice().split_at(rows.as_slice().len() / 2);
        let views = [u, v].map(|view| Points::from_slice(view, rows.dim()).unwrap());
        let want = &case.metrics;
        assert!((want.wasserstein_to_ideal - wasserstein).abs() < 1.5e-8, "{name}");
        let wants = [
            ("alignment", want.alignment),
            ("uniformity", want.uniformity),
            ("wasserstein_uniformity", wasserstein),
            ("rank", want.rank),
            ("effective_rank", want.effective_rank),
        ];
        for ((metric, got), (wanted, want)) in measure_all(&views).unwrap().into_iter().zip(wants) {
            assert_eq!(metric, wanted);
            assert!((got - want).abs() < 1e-11 * want.abs(), "{name} {metric}: {got} for {want}");
        }
    }
}
