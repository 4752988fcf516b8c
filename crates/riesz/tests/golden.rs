//! Values and gradients of other people's implementations: every case of `golden/golden.json`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "golden numbers are read from files")]
#![expect(clippy::print_stdout, reason = "a test says how near the cases are")]

mod inputs;

use inputs::{folder, input};
use riesz::engine::{Engine, Fused, Reference, value_and_grad_raw};
use riesz::geometry::Findings;
use riesz::loss::{Convention, KclKernel, Loss, Term};
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

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(folder().join("golden.json")).unwrap();
    let golden: Golden = serde_json::from_str(&text).unwrap();
    let cases = golden.cases.into_iter().filter(|case| case.get("loss").is_some());
    let cases: Vec<Case> = cases.map(|case| serde_json::from_value(case).unwrap()).collect();
    assert_eq!(cases.len(), 438);
    cases
}

/// How far an engine is from a case.
struct Errors {
    /// Of the value, relative to it.
    value: f64,
    /// Of the value, relative to the sum of its terms' sizes: terms may cancel, their rounding does not.
    terms: f64,
    /// Of the gradient with respect to raw rows, relative to its norm.
    grad: f64,
    /// The same, relative to the norm of the largest gradient among the loss's terms, which may cancel as well.
    term_grads: f64,
}

fn norm(grad: &Matrix<f64>) -> f64 {
    grad.as_slice().iter().map(|g| g * g).sum::<f64>().sqrt()
}

fn errors<T: Scalar>(engine: &dyn Engine<T>, case: &Case, rows: &Matrix<f64>) -> Errors {
    let typed = Matrix::new(rows.as_slice().iter().map(|&x| T::from_f64(x)).collect(), rows.dim());
    let outcome = value_and_grad_raw(engine, &loss_of(case), &typed, 2).unwrap();
    let grad = outcome.grad.to_f64();
    let off = (outcome.value - case.value).abs();
    let mut error = (norm(&grad) - case.grad_norm).abs();
    for (row, want) in [(0, &case.grad_row0), (grad.len() - 1, &case.grad_last)] {
        for (got, want) in grad.row(row).iter().zip(want) {
            error = error.max((got - want).abs());
        }
    }
    let size: f64 = outcome.terms.iter().map(|term| term.abs()).sum();
    let loss = loss_of(case);
    let alone = |term: &Term| {
        let loss = Loss::new(loss.name.clone(), vec![term.clone()]);
        norm(&value_and_grad_raw::<f64>(&Reference, &loss, rows, 2).unwrap().grad)
    };
    let largest = loss.terms.iter().map(alone).fold(case.grad_norm.max(1e-9), f64::max);
    Errors {
        value: off / case.value.abs().max(1e-3),
        terms: off / size.max(1e-3),
        grad: error / case.grad_norm.max(1e-9),
        term_grads: error / largest,
    }
}

/// Every case to 10⁻⁹ in `f64`.
fn agrees(engine: &dyn Engine<f64>, name: &str) {
    let (mut value, mut grad) = (0.0_f64, 0.0_f64);
    for case in cases() {
        let errors = errors(engine, &case, &input(&case.input));
        let place = format!("{} {} on {}", case.source, case.loss, case.input);
        assert!(
            errors.value < 1e-9 && errors.grad < 1e-9,
            "{place}: value {:e}, gradient {:e}",
            errors.value,
            errors.grad
        );
        (value, grad) = (value.max(errors.value), grad.max(errors.grad));
    }
    println!("{name}: worst value {value:e}, worst gradient {grad:e}");
}

#[test]
fn reference_agrees_with_every_case_to_1e_9() {
    agrees(&Reference, "reference f64");
}

#[test]
fn fused_f64_agrees_with_every_case_to_1e_9() {
    agrees(&Fused, "fused f64");
}

/// How much the case's slopes change, relatively, for a change of the cosine: max ∣d ln κ′/ds∣ over the kernels and, for
/// kernels that are steep where rows meet, over the pairs that the kernel sees; and the name of its family.
fn steepness(case: &Case, rows: &Matrix<f64>) -> (String, f64) {
    let params = &case.params;
    let Some(kernel) = params.kernel.as_deref() else {
        return (
            case.loss.clone(),
            1.0 / params.tau.unwrap() + params.sigma.map_or(0.0, |sigma| 1.0 / sigma),
        );
    };
    let t = params.t.unwrap();
    let mut unit = rows.clone();
    riesz::normalize(&mut unit).unwrap();
    let n = unit.len() / 2;
    let square = |p: usize, q: usize| -> f64 {
        unit.row(p).iter().zip(unit.row(q)).map(|(x, y)| (x - y) * (x - y)).sum()
    };
    let nearest = |pairs: &mut dyn Iterator<Item = (usize, usize)>| {
        pairs.map(|(p, q)| square(p, q)).fold(f64::INFINITY, f64::min)
    };
    let within =
        nearest(&mut (0..2 * n).flat_map(|p| (0..p).map(move |q| (p, q))).filter(|(p, q)| p / n == q / n));
    let matched = nearest(&mut (0..n).map(|i| (i, n + i)));
    let steepness = match kernel {
        "gaussian" => 2.0 * t,
        "log" => 2.0 * t,
        "imq" => 3.0 / (t * t),
        "riesz" => (t.abs() + 2.0) / within.min(matched),
        "gaussian_riesz" => (t.abs() + 2.0) / within + 4.0,
        other => panic!("unknown kernel {other}"),
    };
    (format!("kcl {kernel}"), steepness)
}

/// In `f32` a unit row is off by 2⁻²⁵ in each number and a cosine so by a few 2⁻²⁵, whatever engine adds it up: δ = 2⁻²⁴.
/// A slope κ′ is then off by δ times its steepness, relatively, and a value by less (the exponential of a log-sum, by as
/// much); both also by a few roundings. So each family is held to δ (1 + steepness) for values and three times that for
/// gradients, 10⁻⁶ at τ = 0.3: an exponential that is wrong in its 20th bit fails.
#[test]
fn fused_f32_agrees_with_every_case_to_what_f32_rows_allow() {
    let delta = 2.0_f64.powi(-24);
    let mut worst = std::collections::BTreeMap::<String, (f64, f64)>::new();
    for case in cases() {
        let rows = input(&case.input);
        let errors = errors::<f32>(&Fused, &case, &rows);
        let (family, steepness) = steepness(&case, &rows);
        let unit = delta * (1.0 + steepness);
        let entry = worst.entry(family).or_default();
        *entry = (entry.0.max(errors.terms / unit), entry.1.max(errors.term_grads / unit));
        let place = format!("{} {} on {} (steepness {steepness:.1})", case.source, case.loss, case.input);
        assert!(errors.terms < unit, "{place}: value off by {:.1} units", errors.terms / unit);
        assert!(
            errors.term_grads < 3.0 * unit,
            "{place}: gradient off by {:.1} units",
            errors.term_grads / unit
        );
    }
    for (family, (value, grad)) in worst {
        println!("fused f32, {family}: value off by at most {value:.2} units, gradient by {grad:.2}");
    }
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
        let got = Findings::of(&views).unwrap().logged();
        // A new metric needs a wanted value here.
        assert_eq!(
            got.iter().map(|(metric, _)| *metric).collect::<Vec<_>>(),
            wants.map(|(metric, _)| metric)
        );
        for ((metric, got), (_, want)) in got.into_iter().zip(wants) {
            assert!((got - want).abs() < 1e-11 * want.abs(), "{name} {metric}: {got} for {want}");
        }
    }
}
