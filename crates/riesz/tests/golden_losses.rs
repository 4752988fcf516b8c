//! Values and gradients written out apart from riesz: every case of `golden/losses/cases.json`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "golden numbers are read from files")]
#![expect(clippy::print_stdout, reason = "a test says how near the cases are")]

mod inputs;

use inputs::{folder, input};
use riesz::engine::{Engine, Fused, Reference, logistic_grad, temperature_grad, value_and_grad_raw_grouped};
use riesz::loss::{Convention, Loss};
use riesz::{Matrix, Points, Scalar, normalize};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    input: String,
    views: usize,
    loss: String,
    groups: Option<Vec<u32>>,
    params: Params,
    value: f64,
    grad_norm: f64,
    grad_row0: Vec<f64>,
    grad_last: Vec<f64>,
    grad_params: Option<Params>,
}

#[derive(Deserialize)]
struct Params {
    tau: Option<f64>,
    scale: Option<f64>,
    offset: Option<f64>,
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(folder().join("losses/cases.json")).unwrap();
    let golden: Golden = serde_json::from_str(&text).unwrap();
    assert_eq!(golden.cases.len(), 50);
    golden.cases
}

fn loss_of(case: &Case) -> Loss {
    let tau = case.params.tau.unwrap_or(f64::NAN);
    let loss = match case.loss.as_str() {
        "mv_info_nce_printed" => Loss::mv_info_nce(tau, Convention::Paper),
        "mv_info_nce_code" => Loss::mv_info_nce(tau, Convention::Reference),
        "mv_dhel_printed" => Loss::mv_dhel(tau, Convention::Paper),
        "mv_dhel_code" => Loss::mv_dhel(tau, Convention::Reference),
        "sup_con" => Loss::sup_con(tau),
        "sup_con_in" => Loss::sup_con_in(tau),
        "siglip" => Loss::siglip(case.params.scale.unwrap(), case.params.offset.unwrap()),
        "spectral" => Ok(Loss::spectral()),
        other => panic!("unknown loss {other}"),
    };
    loss.unwrap()
}

fn norm(grad: &Matrix<f64>) -> f64 {
    grad.as_slice().iter().map(|g| g * g).sum::<f64>().sqrt()
}

/// How far an engine is from a case: the value relative to its terms, the gradient relative to the largest of a term.
fn errors<T: Scalar>(engine: &dyn Engine<T>, case: &Case) -> (f64, f64) {
    let rows = input(&case.input);
    let typed = Matrix::new(rows.as_slice().iter().map(|&x| T::from_f64(x)).collect(), rows.dim());
    let (loss, groups) = (loss_of(case), case.groups.as_deref());
    let outcome = value_and_grad_raw_grouped(engine, &loss, &typed, case.views, groups).unwrap();
    let grad = outcome.grad.to_f64();
    let mut off = (norm(&grad) - case.grad_norm).abs();
    for (row, want) in [(0, &case.grad_row0), (grad.len() - 1, &case.grad_last)] {
        off = grad.row(row).iter().zip(want).fold(off, |top, (got, want)| top.max((got - want).abs()));
    }
    let alone = |term: &riesz::loss::Term| {
        let loss = Loss::new(loss.name.clone(), vec![term.clone()]);
        norm(&value_and_grad_raw_grouped::<f64>(&Reference, &loss, &rows, case.views, groups).unwrap().grad)
    };
    let largest = loss.terms.iter().map(alone).fold(case.grad_norm.max(1e-9), f64::max);
    let size = outcome.terms.iter().map(|term| term.abs()).sum::<f64>().max(1e-3);
    ((outcome.value - case.value).abs() / size, off / largest)
}

#[test]
fn both_engines_agree_with_every_case_to_1e_12() {
    for (name, engine) in [("reference", &Reference as &dyn Engine<f64>), ("fused", &Fused)] {
        let mut worst = (0.0_f64, 0.0_f64);
        for case in cases() {
            let (value, grad) = errors(engine, &case);
            let place = format!("{name}, {} of {} views on {}", case.loss, case.views, case.input);
            assert!(value < 1e-12 && grad < 1e-12, "{place}: value {value:e}, gradient {grad:e}");
            worst = (worst.0.max(value), worst.1.max(grad));
        }
        println!("{name} f64: worst value {:e}, worst gradient {:e}", worst.0, worst.1);
    }
}

/// As `golden.rs` holds the others: δ (1 + steepness) for values, three times that for gradients, δ = 2⁻²⁴.
#[test]
fn fused_f32_agrees_with_every_case_to_what_f32_rows_allow() {
    for case in cases() {
        let (value, grad) = errors::<f32>(&Fused, &case);
        let steepness = case.params.tau.map_or(case.params.scale.unwrap_or(2.0), |tau| 1.0 / tau);
        let unit = 2.0_f64.powi(-24) * (1.0 + steepness);
        let place = format!("{} of {} views on {}", case.loss, case.views, case.input);
        assert!(value < unit, "{place}: value off by {:.1} units", value / unit);
        assert!(grad < 3.0 * unit, "{place}: gradient off by {:.1} units", grad / unit);
    }
}

#[test]
fn gradients_of_learned_parameters_agree_to_1e_12() {
    let mut compared = 0;
    for case in cases() {
        let Some(want) = &case.grad_params else { continue };
        let mut rows = input(&case.input);
        normalize(&mut rows).unwrap();
        let per_view = rows.as_slice().len() / case.views;
        let views: Vec<Points<'_, f64>> = rows
            .as_slice()
            .chunks(per_view)
            .map(|view| Points::from_slice(view, rows.dim()).unwrap())
            .collect();
        let loss = loss_of(&case);
        for engine in [&Reference as &dyn Engine<f64>, &Fused] {
            let outcome = match &case.groups {
                Some(groups) => engine.value_and_grad_grouped(&loss, &views, groups).unwrap(),
                None => engine.value_and_grad(&loss, &views).unwrap(),
            };
            let pairs = match want.tau {
                Some(want) => vec![(temperature_grad(&loss, &views, &outcome.grads).unwrap(), want)],
                None => {
                    let got = logistic_grad(&loss, &views, &outcome).unwrap();
                    vec![(got.scale, want.scale.unwrap()), (got.offset, want.offset.unwrap())]
                }
            };
            // Attraction and repulsion are each about 1/τ² and may cancel.
            let size = case.params.tau.map_or(1.0, |tau| 1.0 / (tau * tau));
            for (got, want) in pairs {
                let off = (got - want).abs() / (size + want.abs());
                assert!(
                    off < 1e-12,
                    "{} of {} views on {}: {got} for {want}",
                    case.loss,
                    case.views,
                    case.input
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 90, "{compared}");
}
