//! Losses of K views: closed forms at the simplex, what they are at K = 2, slopes, and what changes nothing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use riesz::engine::{
    Engine, Fused, RawValueAndGrad, Reference, value_and_grad_raw, value_and_grad_raw_grouped,
};
use riesz::loss::{Convention, Loss};
use riesz::rng::{Key, normal};
use riesz::sphere::sample;
use riesz::{Matrix, Points, UnitViews, normalize, normalize_backward};

const TAU: f64 = 0.3;

fn several() -> [Loss; 4] {
    use Convention::{Paper, Reference};
    [
        Loss::mv_info_nce(TAU, Paper),
        Loss::mv_info_nce(TAU, Reference),
        Loss::mv_dhel(TAU, Paper),
        Loss::mv_dhel(TAU, Reference),
    ]
    .map(Result::unwrap)
}

/// Every loss that needs not exactly two views.
fn losses() -> Vec<Loss> {
    let mut losses = Loss::catalogue();
    losses.retain(|loss| loss.terms.iter().all(|term| term.focus.is_none()));
    losses.extend(several());
    losses
}

fn outcome(engine: &dyn Engine<f64>, loss: &Loss, rows: &Matrix<f64>, views: usize) -> RawValueAndGrad<f64> {
    value_and_grad_raw(engine, loss, rows, views).unwrap()
}

/// K views of n images, raw, each a step away from its image.
fn raw(views: usize, n: usize, d: usize, key: Key) -> Matrix<f64> {
    let (mut center, mut steps) = (key.at(0).rng(), key.at(1).rng());
    let center: Vec<f64> = (0..n * d).map(|_| normal(&mut center)).collect();
    Matrix::new((0..views * n * d).map(|i| center[i % (n * d)] + 0.4 * normal(&mut steps)).collect(), d)
}

/// SigLIP tells each pair by itself: all pairs are summed, those of an image's rows as others, of three views and of groups.
#[test]
fn siglip_sums_every_pair_once_for_each_end() {
    let (views, n, d, scale, offset) = (3, 5, 4, 7.0, -3.0);
    let rows = raw(views, n, d, Key::new(31));
    let mut unit = rows.clone();
    normalize(&mut unit).unwrap();
    let loss = Loss::siglip(scale, offset).unwrap();
    let softplus = |x: f64| x.exp().ln_1p();
    for groups in [[0, 1, 2, 3, 4], [0, 1, 0, 0, 1]] {
        let (mut pull, mut push) = (0.0, 0.0);
        for p in 0..views * n {
            for q in (0..views * n).filter(|&q| q != p) {
                let s: f64 = unit.row(p).iter().zip(unit.row(q)).map(|(a, b)| a * b).sum();
                if groups[p % n] == groups[q % n] {
                    pull += softplus(-scale * s - offset);
                } else if p / n != q / n {
                    push += softplus(scale * s + offset);
                }
            }
        }
        let anchors = (views * n) as f64;
        for engine in [&Fused as &dyn Engine<f64>, &Reference] {
            let found = value_and_grad_raw_grouped(engine, &loss, &rows, views, Some(&groups)).unwrap();
            assert!(
                (found.attraction - pull / anchors).abs() < 1e-12 * pull,
                "{groups:?}: {}",
                found.attraction
            );
            assert!(
                (found.repulsion - push / anchors).abs() < 1e-12 * push,
                "{groups:?}: {}",
                found.repulsion
            );
        }
    }
}

/// With M images at the corners of a simplex, e = e^{1/τ} and b = e^{−1/((M−1)τ)}: the authors' minima.
#[test]
fn values_at_the_simplex() {
    let m = 8;
    let (e, b) = ((1.0 / TAU).exp(), (-1.0 / (7.0 * TAU)).exp());
    for views in 2..6 {
        let corner = |i: usize| f64::from(u8::from(i / m % m == i % m)) - 1.0 / m as f64;
        let rows = Matrix::new((0..views * m * m).map(corner).collect(), m);
        let (k, others) = (views as f64, (m - 1) as f64);
        let wants = [
            (1.0 + others * b / e).ln(),
            -1.0 / TAU - (k - 1.0).ln() + ((k - 1.0) * e + k * others * b).ln(),
            -(k * (k - 1.0)).ln() - 1.0 / TAU + k * (e + others * b).ln(),
            -(k * (k - 1.0) / 2.0).ln() - 1.0 / TAU + k * (others.ln() - 1.0 / (others * TAU)),
        ];
        for (loss, want) in several().iter().zip(wants) {
            for engine in [&Reference as &dyn Engine<f64>, &Fused] {
                let got = outcome(engine, loss, &rows, views);
                let place = format!("{} {:?} of {views} views", loss.name, loss.terms);
                assert!((got.value - want).abs() < 1e-12, "{place}: {} for {want}", got.value);
                assert!(got.grad.as_slice().iter().all(|g| g.abs() < 1e-12), "{place} is not critical");
            }
        }
        // And elsewhere it is more.
        let moved = Matrix::new(
            rows.as_slice()
                .iter()
                .zip(raw(views, m, m, Key::new(views as u64)).as_slice())
                .map(|(x, w)| x + 0.02 * w)
                .collect(),
            m,
        );
        for (loss, want) in several().iter().zip(wants) {
            assert!(outcome(&Fused, loss, &moved, views).value > want, "{} of {views} views", loss.name);
        }
    }
}

/// At two views the code's MV-DHEL is the code's DHEL; the printed MV-InfoNCE has one logarithm for a row and a column together; the
/// code's has one for both of an image's denominators in NT-Xent.
#[test]
fn two_views_are_the_losses_of_two_views() {
    let rows = raw(2, 40, 6, Key::new(2));
    let [mv, two] =
        [Loss::mv_dhel(TAU, Convention::Reference).unwrap(), Loss::dhel(TAU, Convention::Reference).unwrap()]
            .map(|loss| outcome(&Fused, &loss, &rows, 2));
    assert!((mv.value - two.value).abs() < 1e-13 * two.terms[1].abs());
    assert!(mv.grad.as_slice().iter().zip(two.grad.as_slice()).all(|(a, b)| (a - b).abs() < 1e-14));
    // By concavity of the logarithm, ln of the mean of two sums is at least the mean of their lns.
    for (convention, two) in [
        (Convention::Paper, Loss::info_nce_symmetric(TAU).unwrap()),
        (Convention::Reference, Loss::nt_xent(TAU).unwrap()),
    ] {
        let mv = outcome(&Fused, &Loss::mv_info_nce(TAU, convention).unwrap(), &rows, 2).value;
        let two = outcome(&Fused, &two, &rows, 2).value;
        assert!(two < mv && mv < two + 0.1, "{convention:?}: {mv}, {two}");
    }
}

/// With three and four views, against plain loops and with slopes of the value.
#[test]
fn more_views_are_the_reference_and_gradients_are_slopes() {
    for (views, n) in [(3, 7), (4, 5), (3, 150)] {
        let (rows, direction) = (raw(views, n, 4, Key::new(n as u64)), raw(views, n, 4, Key::new(99)));
        let single = rows.to_f32();
        for loss in losses() {
            let place = format!("{} {:?} of {views} views", loss.name, loss.terms);
            let (want, got) =
                (outcome(&Reference, &loss, &rows, views), outcome(&Fused, &loss, &rows, views));
            let size = want.terms.iter().map(|term| term.abs()).sum::<f64>().max(1e-3);
            assert!((want.value - got.value).abs() < 1e-12 * size, "{place}");
            let top = want.grad.as_slice().iter().fold(1e-9_f64, |top, g| top.max(g.abs()));
            let off = |got: &Matrix<f64>| {
                let both = want.grad.as_slice().iter().zip(got.as_slice());
                both.fold(0.0_f64, |top, (a, b)| top.max((a - b).abs())) / top
            };
            assert!(off(&got.grad) < 1e-11, "{place}: {:e}", off(&got.grad));
            let narrow = value_and_grad_raw::<f32>(&Fused, &loss, &single, views).unwrap();
            let grad = off(&narrow.grad.to_f64());
            assert!(
                (want.value - narrow.value).abs() < 2e-5 * size && grad < 1e-3,
                "{place}: {grad:e} in f32"
            );
            if n > 20 {
                continue;
            }
            let at = |h: f64| {
                let moved = rows.as_slice().iter().zip(direction.as_slice()).map(|(x, w)| x + h * w);
                outcome(&Reference, &loss, &Matrix::new(moved.collect(), 4), views).value
            };
            let slope: f64 = want.grad.as_slice().iter().zip(direction.as_slice()).map(|(g, w)| g * w).sum();
            let error = |h: f64| ((at(h) - at(-h)) / (2.0 * h) - slope).abs();
            let (wide, close) = (error(1e-4), error(1e-5));
            assert!(close < wide / 30.0 + 1e-9 * (size + slope.abs()), "{place}: {wide:e}, {close:e}");
        }
    }
}

/// Every loss at any number of views, with groups and without: a number or a sentence from both engines, and never a panic.
#[test]
fn any_loss_of_any_number_of_views_is_a_number_or_refused() {
    let mut losses = Loss::catalogue();
    losses.extend(several());
    let (mut numbers, mut refused) = (0, 0);
    for loss in losses {
        let focused = loss.terms.iter().any(|term| term.focus.is_some());
        for views in 1..=4 {
            let rows = raw(views, 6, 4, Key::new(3));
            for groups in [None, Some([0, 1, 2, 3, 4, 5]), Some([0, 0, 1, 1, 2, 2]), Some([0; 6])] {
                let groups = groups.as_ref().map(<[u32; 6]>::as_slice);
                let [one, other] = [&Fused as &dyn Engine<f64>, &Reference].map(|engine| {
                    value_and_grad_raw_grouped(engine, &loss, &rows, views, groups)
                        .map_err(|error| error.to_string())
                });
                let place = format!("{} of {views} views in {groups:?}", loss.name);
                match (one, other) {
                    (Ok(one), Ok(other)) => {
                        assert!(one.value.is_finite() && (one.value - other.value).abs() < 1e-9, "{place}");
                        assert!(!focused || views == 2, "{place}");
                        numbers += 1;
                    }
                    (one, other) => {
                        assert_eq!(one.as_ref().err(), other.as_ref().err(), "{place}");
                        refused += 1;
                        if focused && views > 2 {
                            let expected =
                                format!("{} weighs the match of two views; there are {views}", loss.name);
                            assert_eq!(one.unwrap_err(), expected);
                        }
                    }
                }
            }
        }
    }
    assert!(numbers > 150 && refused > 50, "{numbers} and {refused}");
}

/// Views of these losses are alike: any order of them gives the same value, and gradients in that order.
#[test]
fn the_order_of_views_changes_nothing() {
    let (n, d) = (20, 5);
    let rows = raw(3, n, d, Key::new(5));
    let turned = |rows: &Matrix<f64>| {
        let mut data = rows.as_slice()[n * d..].to_vec();
        data.extend_from_slice(&rows.as_slice()[..n * d]);
        Matrix::new(data, d)
    };
    for loss in losses().iter().filter(|loss| loss.is_symmetric()) {
        let (before, after) = (outcome(&Fused, loss, &rows, 3), outcome(&Fused, loss, &turned(&rows), 3));
        let size = before.terms.iter().map(|term| term.abs()).sum::<f64>().max(1e-3);
        assert!((before.value - after.value).abs() < 1e-11 * size, "{} {:?}", loss.name, loss.terms);
        let want = turned(&before.grad);
        let top = want.as_slice().iter().fold(1e-6_f64, |top, g| top.max(g.abs()));
        for (want, got) in want.as_slice().iter().zip(after.grad.as_slice()) {
            assert!((want - got).abs() < 1e-9 * top, "{}: {got} for {want}", loss.name);
        }
    }
}

/// Views that lie apart, of more rows than one thread takes at once: the bits of view by view, and the same sentences.
#[test]
fn views_that_lie_apart_are_made_unit_as_each_alone() {
    let (n, d) = (700, 130);
    let all = raw(3, n, d, Key::new(7));
    let views: Vec<&[f64]> = all.as_slice().chunks_exact(n * d).collect();
    let unit = UnitViews::new(&views, d).unwrap();
    let back: Vec<Matrix<f64>> = (0..3).map(|i| raw(1, n, d, Key::new(8 + i))).collect();
    let mut grads = back.clone();
    unit.backward(&mut grads).unwrap();
    for (i, (points, grad)) in unit.points().into_iter().zip(grads).enumerate() {
        let mut alone = Matrix::new(views[i].to_vec(), d);
        let lengths = normalize(&mut alone).unwrap();
        assert_eq!(points.as_slice(), alone.as_slice());
        let mut grad_alone = back[i].clone();
        normalize_backward(points, &lengths, &mut grad_alone);
        assert_eq!(grad, grad_alone);
    }
    let bad = |at: usize, number: f64| {
        let mut rows = all.clone();
        let row = at / d * d;
        rows.as_mut_slice()[row..row + d].fill(number);
        let views: Vec<&[f64]> = rows.as_slice().chunks_exact(n * d).collect();
        UnitViews::new(&views, d).unwrap_err().to_string()
    };
    assert_eq!(bad(n * d + 5 * d, 0.0), "view 2: row 5 has length 0: a zero row has no direction");
    assert_eq!(bad(2 * n * d, f64::NAN), "view 3: row 0 has a number that is not finite");
}

#[test]
fn an_outcome_is_split_and_put_together() {
    let rows = sample(18, 4, Key::new(1));
    let outcome = outcome(&Fused, &Loss::mv_dhel(0.5, Convention::Paper).unwrap(), &rows, 3);
    let (value, grad) = outcome.clone().split();
    assert_eq!((value.value, &grad), (outcome.value, &outcome.grad));
    assert_eq!(value.with_grad(grad), outcome);

    let unit = Points::new(&rows).unwrap();
    let outcome = Fused.value_and_grad(&Loss::spectral(), &[unit, unit]).unwrap();
    let (value, grads) = outcome.clone().split();
    assert_eq!(value.with_grads(grads), outcome);
}
