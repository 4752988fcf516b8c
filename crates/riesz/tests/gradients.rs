//! Every loss on every awkward input: its gradient is the slope of its value.
//!
//! A central difference along a direction has the error c h² + (rounding)/h. So at two steps the error must fall by the
//! square of their ratio, until rounding is all that is left: a wrong gradient has an error that does not fall.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod awkward;

use std::ops::Range;

use awkward::{Input, Meeting, awkward};
use riesz::engine::{
    Engine, Fused, LogisticGrad, Reference, logistic_grad, temperature_grad, value_and_grad_cached,
    value_and_grad_raw,
};
use riesz::loss::{Convention, KclKernel, Loss};
use riesz::rng::{Key, normal};
use riesz::{Matrix, Points, normalize};

/// Unit rows are the only rows a loss takes, so the step is along the sphere: u ← (u + h w)/‖u + h w‖ with w tangent,
/// and the slope at h = 0 is ⟨∂L/∂u, w⟩.
fn stepped(rows: &Matrix<f64>, tangent: &Matrix<f64>, h: f64) -> Matrix<f64> {
    let mut rows = rows.clone();
    rows.as_mut_slice().iter_mut().zip(tangent.as_slice()).for_each(|(x, w)| *x += h * w);
    normalize(&mut rows).unwrap();
    rows
}

fn tangents(rows: &Matrix<f64>, key: Key) -> Matrix<f64> {
    let mut rng = key.rng();
    let mut w = Matrix::new((0..rows.as_slice().len()).map(|_| normal(&mut rng)).collect(), rows.dim());
    for i in 0..rows.len() {
        let radial: f64 = rows.row(i).iter().zip(w.row(i)).map(|(x, w)| x * w).sum();
        w.row_mut(i).iter_mut().zip(rows.row(i)).for_each(|(w, x)| *w -= radial * x);
    }
    w
}

fn value(loss: &Loss, views: &[Matrix<f64>; 2]) -> f64 {
    let points = views.each_ref().map(|view| Points::new(view).unwrap());
    Reference.value_and_grad(loss, &points).unwrap().value
}

/// Whether the loss was compared, or refused the input.
fn check(loss: &Loss, input: &Input, key: Key) -> bool {
    let points = input.views.each_ref().map(|view| Points::new(view).unwrap());
    let Ok(outcome) = Reference.value_and_grad(loss, &points) else { return false };
    let tangent = [0, 1].map(|view| tangents(&input.views[view], key.at(view as u64)));
    let slope: f64 = (0..2)
        .flat_map(|view| outcome.grads[view].as_slice().iter().zip(tangent[view].as_slice()))
        .map(|(g, w)| g * w)
        .sum();
    let error = |h: f64| {
        let at = |h: f64| value(loss, &[0, 1].map(|view| stepped(&input.views[view], &tangent[view], h)));
        ((at(h) - at(-h)) / (2.0 * h) - slope).abs()
    };
    let (coarse, fine) = (1e-3, 1e-4);
    let (wide, narrow) = (error(coarse), error(fine));
    // Rounding of a sum of terms as large as the value, divided by the step; slopes themselves round as well.
    let size: f64 = outcome.terms.iter().map(|term| term.abs()).sum::<f64>() + slope.abs();
    let rounding = 1e-14 * (1.0 + size) / fine;
    assert!(
        narrow < wide / 30.0 + rounding,
        "{} {:?} on {}: slope {slope}, error {wide:e} at {coarse:e} and {narrow:e} at {fine:e}",
        loss.name,
        loss.terms,
        input.name
    );
    assert!(
        narrow < 1e-2 * (1.0 + size),
        "{} on {}: error {narrow:e} beside {size:e}",
        loss.name,
        input.name
    );
    true
}

/// DCLW's weights are held fixed in its gradient on purpose, so its value's slope is another number.
fn has_the_values_slope(loss: &Loss) -> bool {
    loss.terms.iter().all(|term| term.focus.is_none())
}

/// Whether κ has a kink where rows coincide: distances to a power below 2 do, and there no slope exists.
fn has_a_kink(loss: &Loss) -> bool {
    loss.terms.iter().any(|term| {
        let slope = |s: f64| term.kernel.at(s).1.abs();
        slope(1.0 - 1e-14) > 1e3 * slope(1.0 - 1e-4)
    })
}

#[test]
fn gradients_are_slopes() {
    let mut losses = Loss::catalogue();
    losses.extend([Loss::nt_xent(0.01).unwrap(), Loss::info_nce(0.01).unwrap()]);
    let (mut compared, mut refused) = (0, 0);
    for (l, loss) in losses.iter().enumerate().filter(|(_, loss)| has_the_values_slope(loss)) {
        for (i, input) in awkward().iter().enumerate() {
            if input.views[0].len() > 20 || (input.meeting != Meeting::Apart && has_a_kink(loss)) {
                continue;
            }
            let key = Key::new(5).at(l as u64).at(i as u64);
            if check(loss, input, key) { compared += 1 } else { refused += 1 }
        }
    }
    // One image is refused by all, coinciding rows by the unbounded kernels.
    assert!(compared > 10 * refused, "{compared} compared, {refused} refused");
}

/// The same with the weights of DCLW held where they are: its attraction is then a weighted mean of cosines.
#[test]
fn the_gradient_of_dclw_holds_its_weights() {
    let sigma = 0.5;
    let loss = Loss::dclw(0.1, sigma).unwrap();
    for (i, input) in
        awkward().iter().enumerate().filter(|(_, input)| (2..=20).contains(&input.views[0].len()))
    {
        let tangent =
            [0, 1].map(|view| tangents(&input.views[view], Key::new(9).at(i as u64).at(view as u64)));
        let matched = |views: &[Matrix<f64>; 2]| -> Vec<f64> {
            (0..views[0].len())
                .map(|i| views[0].row(i).iter().zip(views[1].row(i)).map(|(x, y)| x * y).sum())
                .collect()
        };
        let powers: Vec<f64> = matched(&input.views).iter().map(|s| (s / sigma).exp()).collect();
        let n = powers.len() as f64;
        let total: f64 = powers.iter().sum();
        let unweighted = Loss::dcl(0.1).unwrap();
        let held = |views: &[Matrix<f64>; 2]| -> f64 {
            let pull: f64 = matched(views)
                .iter()
                .zip(&powers)
                .map(|(s, power)| (1.0 - n * power / total) * s / 0.1)
                .sum();
            value(&unweighted, views) - pull / n
        };
        assert!(
            (held(&input.views) - value(&loss, &input.views)).abs()
                < 1e-12 * (1.0 + value(&loss, &input.views).abs())
        );
        let points = input.views.each_ref().map(|view| Points::new(view).unwrap());
        let grads = Reference.value_and_grad(&loss, &points).unwrap().grads;
        let slope: f64 = (0..2)
            .flat_map(|view| grads[view].as_slice().iter().zip(tangent[view].as_slice()))
            .map(|(g, w)| g * w)
            .sum();
        let at = |h: f64| held(&[0, 1].map(|view| stepped(&input.views[view], &tangent[view], h)));
        let error = |h: f64| ((at(h) - at(-h)) / (2.0 * h) - slope).abs();
        assert!(error(1e-4) < error(1e-3) / 30.0 + 1e-9 * (1.0 + slope.abs()), "{}", input.name);
    }
}

/// ∂L/∂τ against differences of the value in τ: in f64 their error falls by the square of the step, in f32 it is near.
#[test]
fn the_gradient_of_the_temperature_is_its_slope() {
    type Family = fn(f64) -> Loss;
    let families: [Family; 17] = [
        |tau| Loss::info_nce(tau).unwrap(),
        |tau| Loss::info_nce_symmetric(tau).unwrap(),
        |tau| Loss::nt_xent(tau).unwrap(),
        |tau| Loss::nt_xent_one_sided(tau).unwrap(),
        |tau| Loss::dcl(tau).unwrap(),
        |tau| Loss::dcl_one_sided(tau).unwrap(),
        |tau| Loss::dcl_cross(tau).unwrap(),
        |tau| Loss::dclw(tau, 0.5).unwrap(),
        |tau| Loss::dhel(tau, Convention::Paper).unwrap(),
        |tau| Loss::dhel(tau, Convention::Symmetric).unwrap(),
        |tau| Loss::dhel(tau, Convention::Reference).unwrap(),
        |tau| Loss::sup_con(tau).unwrap(),
        |tau| Loss::sup_con_in(tau).unwrap(),
        |tau| Loss::mv_info_nce(tau, Convention::Paper).unwrap(),
        |tau| Loss::mv_info_nce(tau, Convention::Reference).unwrap(),
        |tau| Loss::mv_dhel(tau, Convention::Paper).unwrap(),
        |tau| Loss::mv_dhel(tau, Convention::Reference).unwrap(),
    ];
    let with_temperature = Loss::catalogue().into_iter().filter(|loss| loss.temperature().is_some()).count();
    assert_eq!(with_temperature, families.len());
    for family in families {
        for input in awkward().iter().filter(|input| (2..=20).contains(&input.views[0].len())) {
            for tau in [0.1, 0.5] {
                let loss = family(tau);
                let points = input.views.each_ref().map(|view| Points::new(view).unwrap());
                let single = input.views.each_ref().map(Matrix::to_f32);
                let narrow = single.each_ref().map(|view| Points::new(view).unwrap());
                let grads = Reference.value_and_grad(&loss, &points).unwrap().grads;
                let slope = temperature_grad(&loss, &points, &grads).unwrap();
                let at = |tau: f64| Reference.value_and_grad(&family(tau), &points).unwrap().value;
                let error = |h: f64| ((at(tau + h) - at(tau - h)) / (2.0 * h) - slope).abs();
                let (wide, close) = (error(1e-2 * tau), error(1e-3 * tau));
                let size = 1.0 + slope.abs();
                let place = format!("{} at {tau} on {}: slope {slope}", loss.name, input.name);
                assert!(
                    close < wide / 30.0 + 1e-9 * size && close < 1e-3 * size,
                    "{place}: {wide:e}, {close:e}"
                );

                let grads = Engine::<f32>::value_and_grad(&Fused, &loss, &narrow).unwrap().grads;
                let narrow = temperature_grad(&loss, &narrow, &grads).unwrap();
                // Attraction and repulsion are each about 1/τ² and may cancel.
                assert!((narrow - slope).abs() < 2e-6 / (tau * tau), "{place}: {narrow} in f32");
            }
        }
    }
    let kernel = KclKernel::Gaussian(2.0);
    let without = Loss::kcl(kernel, kernel, 1.0, Convention::Paper).unwrap();
    assert_eq!(temperature_grad::<f64>(&without, &[], &[]), None);
}

/// ∂L/∂t and ∂L/∂b of SigLIP against differences of the value in t and b, in either engine and precision.
#[test]
fn the_gradients_of_scale_and_offset_are_their_slopes() {
    for input in awkward().iter().filter(|input| (2..=20).contains(&input.views[0].len())) {
        let points = input.views.each_ref().map(|view| Points::new(view).unwrap());
        let single = input.views.each_ref().map(Matrix::to_f32);
        let narrow = single.each_ref().map(|view| Points::new(view).unwrap());
        for (scale, offset) in [(10.0, -10.0), (3.0, 1.0), (100.0, -20.0)] {
            let loss = Loss::siglip(scale, offset).unwrap();
            let at = |scale: f64, offset: f64| {
                Reference.value_and_grad(&Loss::siglip(scale, offset).unwrap(), &points).unwrap().value
            };
            let grad = |engine: &dyn Engine<f64>| {
                logistic_grad(&loss, &points, &engine.value_and_grad(&loss, &points).unwrap()).unwrap()
            };
            let want = grad(&Reference);
            let place = format!("{scale}, {offset} on {}: {want:?}", input.name);
            let of_scale =
                |h: f64| ((at(scale + h, offset) - at(scale - h, offset)) / (2.0 * h) - want.scale).abs();
            let of_offset =
                |h: f64| ((at(scale, offset + h) - at(scale, offset - h)) / (2.0 * h) - want.offset).abs();
            let size = 1.0 + want.scale.abs() + want.offset.abs() + at(scale, offset);
            for error in [&of_scale as &dyn Fn(f64) -> f64, &of_offset] {
                let (wide, close) = (error(1e-2), error(1e-3));
                assert!(
                    close < wide / 30.0 + 1e-11 * size && close < 1e-4 * size,
                    "{place}: {wide:e}, {close:e}"
                );
            }
            let near = |got: LogisticGrad, error: f64| {
                assert!((got.scale - want.scale).abs() < error * size, "{place}: {got:?}");
                assert!((got.offset - want.offset).abs() < error * size, "{place}: {got:?}");
            };
            near(grad(&Fused), 1e-13);
            let outcome = Engine::<f32>::value_and_grad(&Fused, &loss, &narrow).unwrap();
            near(logistic_grad(&loss, &narrow, &outcome).unwrap(), 1e-6 * (1.0 + scale / 10.0));
        }
    }
    let loss = Loss::siglip(10.0, -9.0).unwrap();
    assert_eq!(loss.scale_and_offset(), Some((10.0, -9.0)));
    for other in Loss::catalogue().iter().filter(|loss| loss.name != "siglip") {
        assert_eq!(other.scale_and_offset(), None, "{}", other.name);
    }
}

/// A linear encoder z = x A: chunks of any size give the value and the gradient of A that a single pass gives.
#[test]
fn chunks_give_the_gradient_of_a_single_pass() {
    let (images, inputs, d) = (11, 5, 3);
    let mut rng = Key::new(8).rng();
    let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| normal(&mut rng)).collect() };
    let (views, encoder) = ([draw(images * inputs), draw(images * inputs)], draw(inputs * d));
    let loss = Loss::nt_xent(0.3).unwrap();
    let embed = |range: &Range<usize>| {
        let rows =
            views.iter().flat_map(|view| range.clone().map(move |i| &view[i * inputs..(i + 1) * inputs]));
        let z = rows.flat_map(|x| {
            let encoder = &encoder;
            (0..d).map(move |k| (0..inputs).map(|j| x[j] * encoder[j * d + k]).sum())
        });
        Matrix::new(z.collect(), d)
    };
    let pass = |chunks: &[Range<usize>]| {
        let mut grad = vec![0.0; inputs * d];
        let backward = |range: &Range<usize>, of_rows: &Matrix<f64>| {
            let rows =
                views.iter().flat_map(|view| range.clone().map(move |i| &view[i * inputs..(i + 1) * inputs]));
            for (x, g) in rows.zip(of_rows.as_slice().chunks_exact(d)) {
                for j in 0..inputs {
                    for k in 0..d {
                        grad[j * d + k] += x[j] * g[k];
                    }
                }
            }
        };
        let outcome = value_and_grad_cached::<f64, _>(&Fused, &loss, 2, chunks, embed, backward).unwrap();
        (outcome, grad)
    };
    let (whole, want) = pass(std::slice::from_ref(&(0..images)));
    assert_eq!(whole, value_and_grad_raw::<f64>(&Fused, &loss, &embed(&(0..images)), 2).unwrap());
    for size in [1, 3, 10] {
        let chunks: Vec<_> = (0..images).step_by(size).map(|first| first..images.min(first + size)).collect();
        let (outcome, got) = pass(&chunks);
        assert_eq!(outcome, whole, "chunks of {size}");
        assert!(want.iter().zip(&got).all(|(want, got)| (want - got).abs() < 1e-13), "chunks of {size}");
    }
}
