//! The loss as operations on tensors is the reference, whatever is cut into chunks; and refuses what the core refuses, in
//! the same words.

use std::sync::Arc;
use std::time::Duration;

use burn::tensor::Device;
use riesz::engine::{Reference, value_and_grad_raw};
use riesz::kernel::Kernel;
use riesz::loss::{Convention, KclKernel, Loss};
use riesz::{Matrix, sphere};
use riesz_lab::device_loss::{value_and_grad, value_and_grad_by};
use riesz_lab::network::burn::rows;
use riesz_lab::speed::{OnDevice, PARTS, Place, Size};

use crate::held::{Held, Meeting, batches, is_for, is_singular, losses, raw, several_views};
use crate::unnamed::unnamed;
use crate::{gpu, tell};

fn told(held: &Held) {
    for line in held.lines() {
        tell(&format!("gpu: {line}"));
    }
    assert!(held.wrong.is_empty(), "{}", held.wrong.join("\n"));
}

/// In three pieces, of which the last is shorter.
#[test]
fn every_loss_is_the_reference_to_what_f32_allows() {
    let Some((_, gpu)) = gpu() else { return };
    let held = Held::all(&gpu, |images| images / 3 + 1);
    assert!(held.compared > 1000 && held.refused > 100, "{}, {}", held.compared, held.refused);
    tell(&format!("gpu: {} values and gradients of losses, {} batches refused", held.compared, held.refused));
    told(&held);
}

/// In one piece.
#[test]
fn every_sentence_of_the_language_is_the_reference() {
    let Some((_, gpu)) = gpu() else { return };
    let mut held = Held::default();
    for (views, images, dim) in [(1, 14, 4), (2, 19, 5), (3, 11, 3)] {
        let batch = raw("moved", &several_views(views, images, dim, 10.0, 0.3), Meeting::Apart);
        for loss in unnamed() {
            held.compare(&loss, &batch, images, &gpu);
        }
    }
    assert!(held.compared > 700, "{}", held.compared);
    told(&held);
}

/// Where products are exact the reference knows that rows coincide, and so must tensors: of the losses that are infinite there.
#[test]
fn what_the_core_refuses_is_refused_in_its_words() {
    let Some((_, gpu)) = gpu() else { return };
    let mut refused = 0;
    for batch in batches().into_iter().filter(|batch| batch.meeting != Meeting::Rounded) {
        for loss in losses().into_iter().filter(|loss| is_for(loss, batch.views) && is_singular(loss)) {
            let want = value_and_grad_raw::<f64>(&Reference, &loss, &batch.rows.to_f64(), batch.views);
            let got = value_and_grad_by(&loss, rows(&batch.rows, &gpu), batch.views, 5);
            let place = format!("{} {:?} on {}", loss.name, loss.terms, batch.name);
            match (want, got) {
                (Ok(_), Ok(_)) => {}
                (Err(want), Err(got)) => {
                    assert_eq!(want.to_string(), got.to_string(), "{place}");
                    refused += 1;
                }
                (want, got) => {
                    panic!("{place}: {:?} for {:?}", got.map(|got| got.value), want.map(|want| want.value))
                }
            }
        }
    }
    tell(&format!("gpu: {refused} batches refused where rows coincide"));
    assert!(refused > 10, "{refused}");
}

/// The sentence about four rows of which the third is as said.
fn refused(gpu: &Device, third: [f32; 2], views: usize) -> String {
    let numbers = [[1.0, 0.0], [0.6, 0.8], third, [0.0, 1.0]].concat();
    let loss = Loss::nt_xent(0.1).unwrap();
    value_and_grad(&loss, rows(&Matrix::new(numbers, 2), gpu), views).unwrap_err().to_string()
}

#[test]
fn rows_without_a_direction_are_named() {
    let Some((_, gpu)) = gpu() else { return };
    assert_eq!(refused(&gpu, [0.0, 0.0], 2), "row 2 has length 0: a zero row has no direction");
    assert_eq!(
        refused(&gpu, [1e-13, 0.0], 2),
        "row 2 has length 1.0e-13, and below 1e-12 a row counts as zero; scale the rows"
    );
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(refused(&gpu, [0.5, bad], 2), "row 2 has a number that is not finite");
    }
    assert_eq!(
        refused(&gpu, [3e19, 1e20], 2),
        "a row is so long that the square of its length is beyond f32"
    );
    assert_eq!(refused(&gpu, [1.0, 0.0], 1), "nt-xent needs at least 2 views of each image; there is 1");
    assert_eq!(refused(&gpu, [1.0, 0.0], 4), "a contrastive loss needs at least 2 images; the batch has 1");
}

#[test]
fn a_batch_without_rows_is_refused_in_the_words_of_the_core() {
    let Some((_, gpu)) = gpu() else { return };
    let loss = Loss::nt_xent(0.1).unwrap();
    let none = Matrix::new(Vec::new(), 3);
    let want = value_and_grad_raw::<f32>(&Reference, &loss, &none, 2).unwrap_err().to_string();
    assert_eq!(want, "there are no rows");
    assert_eq!(value_and_grad(&loss, rows(&none, &gpu), 2).unwrap_err().to_string(), want);
    assert_eq!(value_and_grad_by(&loss, rows(&none, &gpu), 2, 5).unwrap_err().to_string(), want);
}

/// The cosines of 2¹⁹ rows with as many are a TiB, and more than any device has.
#[test]
fn a_device_without_the_memory_is_one_sentence_and_goes_on() {
    let Some((_, gpu)) = gpu() else { return };
    let loss = Loss::energy(KclKernel::Gaussian(2.0)).unwrap();
    let many = Matrix::new([[1.0, 0.0], [0.6, 0.8]].concat().repeat(1 << 18), 2);
    let told = value_and_grad_by(&loss, rows(&many, &gpu), 1, 1 << 19).unwrap_err().to_string();
    tell(&format!("gpu: {told}"));
    let start = "the device failed at a loss over 524288 rows of 2 numbers, the cosines of 524288 at once: ";
    let end = "; fewer at once (device_loss::value_and_grad_by) take less memory, as does a smaller batch";
    assert!(told.starts_with(start) && told.ends_with(end) && told.len() < 400, "{told}");
    let four = Matrix::new(many.as_slice()[..8].to_vec(), 2);
    let got = value_and_grad(&loss, rows(&four, &gpu), 1).unwrap().value.value;
    let want = value_and_grad_raw::<f64>(&Reference, &loss, &four.to_f64(), 1).unwrap().value;
    assert!((got - want).abs() < 1e-6, "{got} for {want}");
}

/// κ(s) = s³, of someone else.
#[derive(Debug)]
struct Cube;

impl Kernel for Cube {
    fn at(&self, s: f64) -> (f64, f64) {
        (s.powi(3), 3.0 * s * s)
    }
}

#[test]
fn a_kernel_without_a_form_is_refused_in_one_sentence() {
    let Some((_, gpu)) = gpu() else { return };
    let mut loss = Loss::spectral();
    loss.terms[1].kernel = Arc::new(Cube);
    let four = Matrix::new(vec![1.0, 0.0, 0.6, 0.8, 0.0, 1.0, 1.0, 0.0], 2);
    let error = value_and_grad(&loss, rows(&four, &gpu), 2).unwrap_err();
    assert_eq!(error.to_string(), "spectral's kernel Cube has no form for a GPU; take --device cpu");
}

/// The gradient belongs to the device below autodiff, and rows that are tracked give the same.
#[test]
fn tracked_rows_are_left_aside() {
    let Some((_, gpu)) = gpu() else { return };
    let twelve = sphere::sample(12, 5, riesz::rng::Key::new(3));
    let twelve = Matrix::new(twelve.as_slice().iter().map(|&x| x as f32).collect(), 5);
    let loss = Loss::nt_xent(0.2).unwrap();
    let plain = value_and_grad(&loss, rows(&twelve, &gpu), 2).unwrap();
    let tracked = rows(&twelve, &gpu.clone().autodiff()).require_grad();
    let tracked = value_and_grad(&loss, tracked, 2).unwrap();
    assert!(!tracked.grad.is_autodiff());
    assert_eq!(plain.value, tracked.value);
    assert_eq!(plain.grad.into_data(), tracked.grad.into_data());
}

#[test]
fn the_device_is_measured_by_the_plan_of_the_cpu() {
    let Some((_, gpu)) = gpu() else { return };
    let loss = Loss::nt_xent(0.5).unwrap();
    let size = Size { images: 32, views: 2, dim: 8 };
    let mut calls = 0;
    let mut place = OnDevice::with_side(&gpu, 64).unwrap();
    let speed = place.measure(&loss, size, Duration::ZERO, &mut || calls += 1).unwrap();
    // Two more: the first compiles.
    assert_eq!((speed.seconds.len(), calls), (PARTS, PARTS + 2));
    assert_eq!(speed.multiply_adds, 3.0 * 64.0 * 64.0 * 8.0);
    assert!(speed.product > 0.0 && speed.extra.is_none());
    let dhel = Loss::dhel(0.3, Convention::Paper).unwrap();
    assert_eq!(place.multiply_adds(&dhel, size), 3.0 * 32.0 * 32.0 * 8.0);
    let mv = Loss::mv_info_nce(0.5, Convention::Paper).unwrap();
    assert_eq!(place.multiply_adds(&mv, size), 4.0 * 2.0 * 32.0 * 32.0 * 8.0);
}
