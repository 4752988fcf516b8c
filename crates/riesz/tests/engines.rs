//! Every loss × every engine × every awkward input, held to the reference; and what every engine must refuse.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod awkward;
mod unnamed;

use awkward::{Meeting, awkward};
use riesz::engine::{Engine, Fused, Reference, ValueAndGrad, value_and_grad_raw};
use riesz::loss::{Convention, Loss};
use riesz::rng::{Key, normal};
use riesz::sphere::sample;
use riesz::{Error, Matrix, Points, Scalar, normalize};
use unnamed::unnamed;

fn losses() -> Vec<Loss> {
    let mut losses = Loss::catalogue();
    losses.extend([Loss::nt_xent(0.01).unwrap(), Loss::dcl(0.01).unwrap(), Loss::dclw(0.01, 0.5).unwrap()]);
    let coldest = 0.005;
    losses.extend([
        Loss::info_nce(coldest).unwrap(),
        Loss::nt_xent(coldest).unwrap(),
        Loss::dcl(coldest).unwrap(),
        Loss::dhel(coldest, Convention::Reference).unwrap(),
        Loss::sup_con_in(coldest).unwrap(),
        Loss::mv_info_nce(coldest, Convention::Reference).unwrap(),
        Loss::mv_dhel(coldest, Convention::Paper).unwrap(),
        Loss::mv_dhel(coldest, Convention::Reference).unwrap(),
        Loss::siglip(1.0 / coldest, -10.0).unwrap(),
    ]);
    losses
}

fn run<T: Scalar>(
    engine: &dyn Engine<T>,
    loss: &Loss,
    views: &[Matrix<T>; 2],
) -> Result<ValueAndGrad<T>, Error> {
    let points = views.each_ref().map(|view| Points::new(view).unwrap());
    engine.value_and_grad(loss, &points)
}

/// Largest difference of two gradients, relative to the longest row among the gradients of the loss's terms alone: terms
/// may cancel (they do at a simplex, or where all rows are equal), their rounding does not.
fn distance<T: Scalar>(
    loss: &Loss,
    views: &[Matrix<f64>; 2],
    want: &[Matrix<f64>],
    got: &[Matrix<T>],
) -> f64 {
    let norm = |row: &[f64]| row.iter().map(|g| g * g).sum::<f64>().sqrt();
    let mut longest = 1e-9_f64;
    for term in &loss.terms {
        let alone = Loss::new(loss.name.clone(), vec![term.clone()]);
        for grad in run::<f64>(&Reference, &alone, views).unwrap().grads {
            longest = (0..grad.len()).map(|i| norm(grad.row(i))).fold(longest, f64::max);
        }
    }
    let numbers =
        want.iter().flat_map(|grad| grad.as_slice()).zip(got.iter().flat_map(|grad| grad.as_slice()));
    numbers.map(|(want, got)| (want - got.to_f64()).abs()).fold(0.0, f64::max) / longest
}

/// Whether a kernel of the loss is infinite, or infinitely steep, where rows meet: there rounding decides the value.
fn is_singular(loss: &Loss) -> bool {
    loss.terms
        .iter()
        .any(|term| term.kernel.at(1.0 - 1e-14).1.abs() > 1e3 * term.kernel.at(1.0 - 1e-4).1.abs())
}

#[test]
fn fused_is_the_reference_to_1e_9_in_f64() {
    let mut compared = 0;
    for loss in losses() {
        for input in
            awkward().into_iter().filter(|input| !(is_singular(&loss) && input.meeting == Meeting::Rounded))
        {
            let (want, got) =
                (run::<f64>(&Reference, &loss, &input.views), run::<f64>(&Fused, &loss, &input.views));
            let place = format!("{} {:?} on {}", loss.name, loss.terms, input.name);
            match (want, got) {
                (Err(want), Err(got)) => assert_eq!(want, got, "{place}"),
                (Ok(want), Ok(got)) => {
                    let scale = want.terms.iter().map(|term| term.abs()).sum::<f64>().max(1e-3);
                    assert!(
                        (want.value - got.value).abs() < 1e-9 * scale,
                        "{place}: {} for {}",
                        got.value,
                        want.value
                    );
                    for (want, got) in want.terms.iter().zip(&got.terms) {
                        assert!((want - got).abs() < 1e-9 * scale, "{place}: terms {got} for {want}");
                    }
                    assert_eq!(got.value, got.attraction + got.repulsion);
                    let error = distance(&loss, &input.views, &want.grads, &got.grads);
                    assert!(error < 1e-9, "{place}: gradients differ by {error:e}");
                    compared += 1;
                }
                (want, got) => panic!("{place}: reference {want:?}, fused {got:?}"),
            }
        }
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn the_value_alone_has_the_bits_of_the_value_with_the_gradient() {
    fn holds<T: Scalar>(loss: &Loss, views: &[Matrix<f64>; 2], convert: fn(&Matrix<f64>) -> Matrix<T>) {
        let views = views.each_ref().map(convert);
        let points = views.each_ref().map(|view| Points::new(view).unwrap());
        let groups: Vec<u32> = (0..points[0].len() as u32).map(|i| i / 2).collect();
        for groups in [None, Some(&groups[..])] {
            let alone = Fused.value(loss, &points, groups);
            let whole = match groups {
                None => Fused.value_and_grad(loss, &points),
                Some(groups) => Fused.value_and_grad_grouped(loss, &points, groups),
            };
            if let Ok(whole) = whole {
                assert_eq!(alone, Ok(whole.value), "{} {:?}", loss.name, loss.terms);
            }
        }
    }
    let large = [1, 2].map(|seed| sample(700, 24, Key::new(seed)));
    for loss in losses() {
        let inputs = awkward().into_iter().map(|input| input.views).chain([large.clone()]);
        for views in inputs {
            holds::<f64>(&loss, &views, Matrix::to_f64);
            holds::<f32>(&loss, &views, Matrix::to_f32);
        }
    }
}

/// Unit rows in several views, every view a step away from the first.
fn several_views(views: usize, images: usize, dim: usize) -> Vec<Matrix<f64>> {
    let key = Key::new(77);
    let center = sample(images, dim, key);
    (0..views)
        .map(|view| {
            let mut rng = key.at(view as u64).rng();
            let mut rows = center.clone();
            rows.as_mut_slice().iter_mut().for_each(|x| *x += 0.3 * normal(&mut rng));
            normalize(&mut rows).unwrap();
            rows
        })
        .collect()
}

#[test]
fn every_sentence_of_the_language_is_the_reference() {
    let mut compared = 0;
    // Groups that fill a block, cross blocks, or are alone.
    let groups = |images: u32| -> Vec<u32> {
        (0..images).map(|i| if i % 3 == 0 { 1000 - i } else { i / 70 * 7 + i % 2 }).collect()
    };
    for (views, images, dim, grouped) in
        [(1, 40, 4, false), (2, 90, 5, false), (3, 150, 3, false), (1, 90, 4, true), (2, 150, 3, true)]
    {
        let rows = several_views(views, images, dim);
        let points: Vec<Points<'_, f64>> = rows.iter().map(|view| Points::new(view).unwrap()).collect();
        let groups = groups(images as u32);
        for loss in unnamed() {
            let place = format!("{} views, in groups: {grouped}: {:?}", views, loss.terms);
            let run = |engine: &dyn Engine<f64>| {
                if grouped {
                    engine.value_and_grad_grouped(&loss, &points, &groups)
                } else {
                    engine.value_and_grad(&loss, &points)
                }
            };
            let (want, got) = (run(&Reference), run(&Fused));
            match (want, got) {
                (Ok(want), Ok(got)) => {
                    let longest = want
                        .grads
                        .iter()
                        .flat_map(Matrix::as_slice)
                        .fold(1e-9_f64, |top, g| top.max(g.abs()));
                    for (want, got) in want.terms.iter().zip(&got.terms) {
                        assert!((want - got).abs() < 1e-9 * (1e-3 + want.abs()), "{place}: {got} for {want}");
                    }
                    for (want, got) in want.slopes.iter().zip(&got.slopes) {
                        assert!(
                            (want - got).abs() < 1e-9 * (1e-3 + want.abs()),
                            "{place}: slopes {got} for {want}"
                        );
                    }
                    for (want, got) in want.grads.iter().zip(&got.grads) {
                        for (want, got) in want.as_slice().iter().zip(got.as_slice()) {
                            assert!(
                                (want - got).abs() < 1e-9 * longest,
                                "{place}: gradient {got:e} for {want:e}"
                            );
                        }
                    }
                    compared += 1;
                }
                (Err(want), Err(got)) => assert_eq!(want, got, "{place}"),
                (want, got) => panic!("{place}: reference {want:?}, fused {got:?}"),
            }
        }
    }
    assert!(compared > 1000, "{compared}");
}

/// Rows one after another, at cosines from −1 to 1 with the first: antipodes, duplicates and what lies between.
fn fan(images: usize) -> [Matrix<f64>; 2] {
    let angle = |i: usize| std::f64::consts::PI * (i / 2) as f64 / (images / 2 - 1) as f64;
    let view = |turn: f64| {
        Matrix::new((0..images).flat_map(|i| [(angle(i) + turn).cos(), (angle(i) + turn).sin()]).collect(), 2)
    };
    [view(0.0), view(0.01)]
}

/// On both sides of the temperatures where running maxima take over from a fixed shift (0.0234 in `f32`, 0.0029 in
/// `f64`), with every cosine from −1 to 1 and every row twice. In `f32` a cosine is off by 2⁻²⁴, so a power and a sum of
/// powers by 2⁻²⁴/τ relatively, and a weight, their quotient, by twice that: 2·10⁻⁷/τ is allowed.
#[test]
fn any_temperature_is_finite_and_right() {
    for views in [fan(20), fan(140)] {
        for temperature in [0.1, 0.03, 0.0236, 0.0232, 0.02, 0.01, 0.005, 0.00295, 0.00285, 0.001] {
            for loss in [
                Loss::dhel(temperature, Convention::Reference).unwrap(),
                Loss::nt_xent(temperature).unwrap(),
                Loss::dcl(temperature).unwrap(),
                Loss::info_nce(temperature).unwrap(),
                Loss::sup_con_in(temperature).unwrap(),
                Loss::mv_info_nce(temperature, Convention::Paper).unwrap(),
                Loss::mv_info_nce(temperature, Convention::Reference).unwrap(),
                Loss::mv_dhel(temperature, Convention::Paper).unwrap(),
                Loss::mv_dhel(temperature, Convention::Reference).unwrap(),
                Loss::align_uniform(2.0, 0.5 / temperature, 1.0).unwrap(),
            ] {
                let place = format!("{} at {temperature}", loss.name);
                let want = run::<f64>(&Reference, &loss, &views).unwrap();
                let got = run::<f64>(&Fused, &loss, &views).unwrap();
                let scale = want.terms.iter().map(|term| term.abs()).sum::<f64>();
                assert!(
                    (want.value - got.value).abs() < 1e-12 * scale,
                    "{place}: {} for {}",
                    got.value,
                    want.value
                );
                let error = distance(&loss, &views, &want.grads, &got.grads);
                assert!(error < 1e-11, "{place}: gradients differ by {error:e}");

                let rounded = views.each_ref().map(Matrix::to_f32);
                let exact = rounded.each_ref().map(Matrix::to_f64);
                let want = run::<f64>(&Reference, &loss, &exact).unwrap();
                let got = run::<f32>(&Fused, &loss, &rounded).unwrap();
                let value = (want.value - got.value).abs() / scale;
                let grad = distance(&loss, &exact, &want.grads, &got.grads);
                let allowed = 2e-7 / temperature;
                assert!(value < allowed && grad < allowed, "{place}: value {value:e}, gradient {grad:e}");
            }
        }
    }
}

/// f32 against the f64 reference on the same rounded rows, so that only the engine's own rounding is seen. A cosine of d
/// products is off by about √d·2⁻²⁴, at most 2·10⁻⁷ here; a log-sum multiplies that by 1/τ (100 at τ = 0.01) and an
/// exponential weight relatively so: 2·10⁻⁵, and the sums of a gradient, which may cancel, are allowed ten times that.
/// Kernels with a singularity see the cosine's error divided by r, so coinciding rows are left to f64 for them.
#[test]
fn fused_is_the_reference_to_rounding_in_f32() {
    let mut compared = 0;
    for loss in losses() {
        for input in
            awkward().into_iter().filter(|input| !(is_singular(&loss) && input.meeting != Meeting::Apart))
        {
            let rounded = input.views.each_ref().map(Matrix::to_f32);
            let exact = rounded.each_ref().map(Matrix::to_f64);
            let want = run::<f64>(&Reference, &loss, &exact);
            let got = run::<f32>(&Fused, &loss, &rounded);
            let place = format!("{} {:?} on {}", loss.name, loss.terms, input.name);
            let (Ok(want), Ok(got)) = (&want, &got) else {
                assert_eq!(want.is_err(), got.is_err(), "{place}");
                continue;
            };
            let scale = want.terms.iter().map(|term| term.abs()).sum::<f64>().max(1.0);
            let value = (want.value - got.value).abs() / scale;
            let grad = distance(&loss, &exact, &want.grads, &got.grads);
            let tau = loss.temperature().or(loss.scale_and_offset().map(|(scale, _)| 1.0 / scale));
            let colder = tau.map_or(1.0, |tau| (0.01 / tau).max(1.0));
            assert!(
                value < 2e-5 * colder && grad < 2e-4 * colder,
                "{place}: value {value:e}, gradient {grad:e}"
            );
            compared += 1;
        }
    }
    assert!(compared > 250, "{compared}");
}

/// So many images that blocks meet in crews, and that some tiles are kept and others not: NT-Xent by its formula, without
/// the pair matrix.
#[test]
fn a_large_batch_is_the_formula() {
    let (images, dim, temperature) = (8200, 3, 0.5);
    let views = [1, 2].map(|seed| sample(images, dim, Key::new(seed)));
    let rows: Vec<&[f64]> = views.iter().flat_map(|view| view.as_slice().chunks_exact(dim)).collect();
    let total = rows.len();
    let power = |p: usize, q: usize| -> f64 {
        (rows[p].iter().zip(rows[q]).map(|(x, y)| x * y).sum::<f64>() / temperature).exp()
    };
    let others = |p: usize| (0..total).filter(move |&q| q != p);
    let sums: Vec<f64> = (0..total).map(|p| others(p).map(|q| power(p, q)).sum()).collect();
    let matched = |p: usize| (p + images) % total;
    let value = (0..total).map(|p| sums[p].ln() - power(p, matched(p)).ln()).sum::<f64>() / total as f64;

    let points = views.each_ref().map(|view| Points::new(view).unwrap());
    let outcome = Fused.value_and_grad(&Loss::nt_xent(temperature).unwrap(), &points).unwrap();
    assert!((outcome.value - value).abs() < 1e-12 * value, "{} for {value}", outcome.value);
    for p in [0, 191, 192, 5000, 8199, 8200, 12_000, 16_399] {
        for k in 0..dim {
            let pull = |q: usize| power(p, q) * (1.0 / sums[p] + 1.0 / sums[q]) * rows[q][k];
            let repelled: f64 = others(p).map(pull).sum();
            let want = (repelled - 2.0 * rows[matched(p)][k]) / (temperature * total as f64);
            let got = outcome.grads[p / images].as_slice()[p % images * dim + k];
            assert!((got - want).abs() < 1e-9 * want.abs().max(1.0 / total as f64), "{got} for {want}");
        }
    }
}

#[test]
fn one_image_is_refused_in_one_sentence() {
    for loss in losses() {
        let views = [Matrix::new(vec![1.0, 0.0], 2), Matrix::new(vec![0.0, 1.0], 2)];
        for engine in [&Reference as &dyn Engine<f64>, &Fused] {
            let error = run(engine, &loss, &views).unwrap_err().to_string();
            assert_eq!(error, "a contrastive loss needs at least 2 images; the batch has 1");
        }
    }
}

#[test]
fn rows_that_are_not_unit_or_not_numbers_are_refused() {
    let points =
        |rows: Vec<f64>| Points::new(&Matrix::new(rows, 2)).map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(
        points(vec![1.0, 0.0, 3.0, 4.0]).unwrap_err(),
        "row 1 has length 5.000000; unit rows are expected (normalize first)"
    );
    for bad in [f64::NAN, f64::INFINITY] {
        assert_eq!(points(vec![1.0, 0.0, 0.0, bad]).unwrap_err(), "row 1 has a number that is not finite");
        let raw = Matrix::new(vec![1.0, 0.0, 0.0, bad], 2);
        let error =
            value_and_grad_raw(&Fused as &dyn Engine<f64>, &Loss::dcl(0.1).unwrap(), &raw, 2).unwrap_err();
        assert_eq!(error.to_string(), "row 1 has a number that is not finite");
    }
    let mut zero = Matrix::new(vec![1.0, 0.0, 0.0, 0.0], 2);
    let error = normalize(&mut zero).unwrap_err().to_string();
    assert_eq!(error, "row 1 has length 0: a zero row has no direction");
    for (length, told) in
        [(3e-13, "row 1 has length 3.0e-13, and below 1e-12"), (1e160, "row 1 is longer than 1e154")]
    {
        let mut rows = Matrix::new(vec![1.0, 0.0, length, 0.0], 2);
        assert!(normalize(&mut rows).unwrap_err().to_string().starts_with(told));
    }
}
