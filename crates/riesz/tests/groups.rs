//! Groups of images: every loss × every awkward input × several ways to group, and what groups must not change.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod awkward;

use awkward::{Meeting, awkward};
use riesz::engine::{Engine, Fused, Reference, ValueAndGrad, value_and_grad_raw, value_and_grad_raw_grouped};
use riesz::loss::Loss;
use riesz::rng::{Key, normal, permutation};
use riesz::sphere::sample;
use riesz::{Error, Matrix, Points, Scalar, normalize};

/// Ways to group images: all in one, halves far apart, by turns, pairs of neighbors, one large and the others alone.
fn ways(images: usize) -> Vec<(&'static str, Vec<u32>)> {
    let way = |name, group: fn(u32, u32) -> u32| {
        (name, (0..images as u32).map(|i| group(i, images as u32)).collect())
    };
    vec![
        way("one group", |_, _| 5),
        way("halves", |i, n| u32::from(2 * i < n) * 1000),
        way("by turns", |i, _| i % 3),
        way("neighbors", |i, _| u32::MAX - i / 2),
        way("one large", |i, n| if i < n / 2 { 0 } else { i }),
    ]
}

/// All losses but DCLW, which refuses groups.
fn losses() -> Vec<Loss> {
    let mut losses = Loss::catalogue();
    losses.retain(|loss| loss.terms.iter().all(|term| term.focus.is_none()));
    losses.extend([0.01, 0.005].map(|tau| Loss::sup_con(tau).unwrap()));
    losses.extend([0.01, 0.005].map(|tau| Loss::sup_con_in(tau).unwrap()));
    losses
}

fn run<T: Scalar>(
    engine: &dyn Engine<T>,
    loss: &Loss,
    views: &[Matrix<T>],
    groups: &[u32],
) -> Result<ValueAndGrad<T>, Error> {
    let points: Vec<Points<'_, T>> = views.iter().map(|view| Points::new(view).unwrap()).collect();
    engine.value_and_grad_grouped(loss, &points, groups)
}

fn largest(grads: &[Matrix<f64>]) -> f64 {
    grads.iter().flat_map(Matrix::as_slice).fold(0.0_f64, |top, g| top.max(g.abs()))
}

fn is_singular(loss: &Loss) -> bool {
    loss.terms
        .iter()
        .any(|term| term.kernel.at(1.0 - 1e-14).1.abs() > 1e3 * term.kernel.at(1.0 - 1e-4).1.abs())
}

/// In `f64` to 10⁻⁹ and in `f32` to what the rows allow, relative to the largest term and its largest gradient.
#[test]
fn fused_is_the_reference_in_groups() {
    let (mut compared, mut refused) = (0, 0);
    for input in awkward() {
        let single: Vec<Matrix<f32>> = input.views.iter().map(Matrix::to_f32).collect();
        let rounded: Vec<Matrix<f64>> = single.iter().map(Matrix::to_f64).collect();
        for (way, groups) in ways(input.views[0].len()) {
            for loss in losses() {
                if is_singular(&loss) && input.meeting != Meeting::Apart {
                    continue;
                }
                let place = format!("{} {:?} on {}, {way}", loss.name, loss.terms, input.name);
                let want = run::<f64>(&Reference, &loss, &input.views, &groups);
                let got = run::<f64>(&Fused, &loss, &input.views, &groups);
                let (Ok(want), Ok(got)) = (&want, &got) else {
                    assert_eq!(want, got, "{place}");
                    refused += 1;
                    continue;
                };
                // Terms may cancel, their rounding does not.
                let of_terms = |views: &[Matrix<f64>]| {
                    let grads = loss.terms.iter().map(|term| {
                        let alone = Loss::new(loss.name.clone(), vec![term.clone()]);
                        largest(&run::<f64>(&Reference, &alone, views, &groups).unwrap().grads)
                    });
                    grads.fold(1e-9_f64, f64::max)
                };
                let off = |want: &[Matrix<f64>], got: &[Matrix<f64>]| {
                    let pairs = want.iter().zip(got).flat_map(|(a, b)| a.as_slice().iter().zip(b.as_slice()));
                    pairs.fold(0.0_f64, |top, (a, b)| top.max((a - b).abs()))
                };
                let size = want.terms.iter().map(|term| term.abs()).sum::<f64>().max(1e-3);
                assert!(
                    (want.value - got.value).abs() < 1e-9 * size,
                    "{place}: {} for {}",
                    got.value,
                    want.value
                );
                let error = off(&want.grads, &got.grads) / of_terms(&input.views);
                assert!(error < 1e-9, "{place}: gradients differ by {error:e}");
                compared += 1;

                // Such a kernel sees a cosine's error divided by r, and rows of one group may be as near as they like.
                if is_singular(&loss) {
                    continue;
                }
                let want = run::<f64>(&Reference, &loss, &rounded, &groups).unwrap();
                let got = run::<f32>(&Fused, &loss, &single, &groups).unwrap();
                let grads: Vec<Matrix<f64>> = got.grads.iter().map(Matrix::to_f64).collect();
                let value = (want.value - got.value).abs() / size.max(1.0);
                let grad = off(&want.grads, &grads) / of_terms(&rounded);
                assert!(value < 4e-5 && grad < 4e-4, "{place}: value {value:e}, gradient {grad:e} in f32");
            }
        }
    }
    assert!(compared > 1500 && compared > refused, "{compared} compared, {refused} refused");
}

/// Numbers that all differ are no groups: the same bits.
#[test]
fn images_that_are_groups_of_their_own_change_no_bit() {
    let views = [sample(150, 7, Key::new(1)), sample(150, 7, Key::new(2))];
    let points = views.each_ref().map(|view| Points::new(view).unwrap());
    let groups: Vec<u32> = (0..150).map(|i| 7 * (i + 3) % 151).collect();
    for loss in Loss::catalogue() {
        for engine in [&Reference as &dyn Engine<f64>, &Fused] {
            let plain = engine.value_and_grad(&loss, &points).unwrap();
            assert_eq!(
                engine.value_and_grad_grouped(&loss, &points, &groups).unwrap(),
                plain,
                "{}",
                loss.name
            );
        }
    }
    // And then SupCon, of either kind, is NT-Xent.
    let nt_xent = Reference.value_and_grad(&Loss::nt_xent(0.1).unwrap(), &points).unwrap();
    for loss in [Loss::sup_con(0.1).unwrap(), Loss::sup_con_in(0.1).unwrap()] {
        let outcome = Reference.value_and_grad(&loss, &points).unwrap();
        assert!((outcome.value - nt_xent.value).abs() < 1e-13, "{}", loss.name);
        for (a, b) in outcome.grads.iter().zip(&nt_xent.grads) {
            assert!(
                a.as_slice().iter().zip(b.as_slice()).all(|(a, b)| (a - b).abs() < 1e-15),
                "{}",
                loss.name
            );
        }
    }
}

/// Two views of n images, raw, one above the other.
fn raw(n: usize, d: usize, key: Key) -> Matrix<f64> {
    let mut rng = key.rng();
    Matrix::new((0..2 * n * d).map(|_| normal(&mut rng)).collect(), d)
}

/// A central difference of the value along a random direction of the raw rows: its error falls by the square of the step.
#[test]
fn gradients_are_slopes_in_groups() {
    for (l, loss) in losses().iter().enumerate() {
        for (w, (way, groups)) in ways(11).into_iter().enumerate() {
            let key = Key::new(17).at(l as u64).at(w as u64);
            let (rows, direction) = (raw(11, 5, key.at(0)), raw(11, 5, key.at(1)));
            let at = |h: f64| {
                let mut rows = rows.clone();
                rows.as_mut_slice().iter_mut().zip(direction.as_slice()).for_each(|(x, w)| *x += h * w);
                value_and_grad_raw_grouped::<f64>(&Reference, loss, &rows, 2, Some(&groups))
            };
            let Ok(outcome) = at(0.0) else { continue };
            let slope: f64 =
                outcome.grad.as_slice().iter().zip(direction.as_slice()).map(|(g, w)| g * w).sum();
            let error = |h: f64| ((at(h).unwrap().value - at(-h).unwrap().value) / (2.0 * h) - slope).abs();
            let (wide, close) = (error(1e-4), error(1e-5));
            let size = 1.0 + slope.abs() + outcome.terms.iter().map(|term| term.abs()).sum::<f64>();
            assert!(
                close < wide / 30.0 + 1e-9 * size,
                "{} {:?}, {way}: slope {slope}, error {wide:e} and {close:e}",
                loss.name,
                loss.terms
            );
        }
    }
}

/// The order of images and the numbers of groups are names.
#[test]
fn the_order_of_images_and_the_numbers_of_groups_change_nothing() {
    let n = 40;
    let rows = raw(n, 6, Key::new(3));
    let order = permutation(&mut Key::new(4).rng(), n);
    let shuffled = |rows: &Matrix<f64>| {
        let both = order.iter().copied().chain(order.iter().map(|i| n + i));
        Matrix::new(both.flat_map(|i| rows.row(i).to_vec()).collect(), rows.dim())
    };
    for (way, groups) in ways(n) {
        let renamed: Vec<u32> = order.iter().map(|&i| groups[i].wrapping_mul(2_654_435_761) ^ 77).collect();
        for loss in losses() {
            let run = |rows: &Matrix<f64>, groups: &[u32]| {
                value_and_grad_raw_grouped::<f64>(&Fused, &loss, rows, 2, Some(groups))
            };
            let Ok(before) = run(&rows, &groups) else { continue };
            let after = run(&shuffled(&rows), &renamed).unwrap();
            let size = before.terms.iter().map(|term| term.abs()).sum::<f64>().max(1e-3);
            assert!((before.value - after.value).abs() < 1e-11 * size, "{}, {way}", loss.name);
            let want = shuffled(&before.grad);
            let top = want.as_slice().iter().fold(1e-6_f64, |top, g| top.max(g.abs()));
            for (want, got) in want.as_slice().iter().zip(after.grad.as_slice()) {
                assert!((want - got).abs() < 1e-8 * top, "{}, {way}: {got} for {want}", loss.name);
            }
        }
    }
}

/// C groups of n rows each, all rows of a group at one corner of a simplex: SupCon is ln((n − 1) + n(C − 1) e^{−C/((C−1)τ)}), and no
/// rows have less. Both kinds agree there, as all matches of a row cost the same.
#[test]
fn sup_con_at_the_simplex_of_its_groups() {
    let (classes, per_class, tau) = (4, 3, 0.2);
    let images = classes * per_class;
    let corner = |i: usize| (0..classes).map(move |k| f64::from(u8::from(i % classes == k)) - 0.25);
    let rows = Matrix::new((0..2 * images).flat_map(|i| corner(i % images)).collect(), classes);
    let groups: Vec<u32> = (0..images as u32).map(|i| i % classes as u32).collect();
    let (n, c) = ((2 * per_class) as f64, classes as f64);
    let want = ((n - 1.0) + n * (c - 1.0) * (-c / ((c - 1.0) * tau)).exp()).ln();
    for loss in [Loss::sup_con(tau).unwrap(), Loss::sup_con_in(tau).unwrap()] {
        let outcome = value_and_grad_raw_grouped::<f64>(&Fused, &loss, &rows, 2, Some(&groups)).unwrap();
        assert!((outcome.value - want).abs() < 1e-13, "{}: {} for {want}", loss.name, outcome.value);
        assert!(outcome.grad.as_slice().iter().all(|g| g.abs() < 1e-13), "{} is not critical", loss.name);
        let mut moved = rows.clone();
        for (i, x) in moved.as_mut_slice().iter_mut().enumerate() {
            *x += 0.1 * normal(&mut Key::new(i as u64).rng());
        }
        let elsewhere = value_and_grad_raw_grouped::<f64>(&Fused, &loss, &moved, 2, Some(&groups)).unwrap();
        assert!(elsewhere.value > want, "{}", loss.name);
    }
    // L_in is at most L_out, by Jensen.
    let rows = raw(images, 5, Key::new(6));
    let [inside, outside] = [Loss::sup_con_in(tau).unwrap(), Loss::sup_con(tau).unwrap()]
        .map(|loss| value_and_grad_raw_grouped::<f64>(&Fused, &loss, &rows, 2, Some(&groups)).unwrap().value);
    assert!(inside < outside, "{inside}, {outside}");
}

/// One view is enough if no image is alone.
#[test]
fn matches_of_one_view() {
    let mut rows = raw(6, 4, Key::new(8));
    normalize(&mut rows).unwrap();
    let points = Points::new(&rows).unwrap();
    let groups: Vec<u32> = (0..12).map(|i| i % 4).collect();
    let loss = Loss::sup_con(0.3).unwrap();
    let want = Reference.value_and_grad_grouped(&loss, &[points], &groups).unwrap();
    let got = Engine::<f64>::value_and_grad_grouped(&Fused, &loss, &[points], &groups).unwrap();
    assert!((want.value - got.value).abs() < 1e-13);
    let mut alone = groups.clone();
    alone[7] = 99;
    for engine in [&Reference as &dyn Engine<f64>, &Fused] {
        let error = engine.value_and_grad_grouped(&loss, &[points], &alone).unwrap_err().to_string();
        assert_eq!(error, "sup-con needs a match for each row; those of image 7 have none");
        let error = engine.value_and_grad(&loss, &[points]).unwrap_err().to_string();
        assert_eq!(error, "sup-con needs at least 2 views of each image; there is 1");
    }
}

#[test]
fn what_groups_do_not_allow_is_refused() {
    let rows = raw(4, 3, Key::new(9));
    let run = |loss: Loss, groups: &[u32]| {
        value_and_grad_raw_grouped::<f64>(&Fused, &loss, &rows, 2, Some(groups)).unwrap_err().to_string()
    };
    assert_eq!(
        run(Loss::dcl(0.1).unwrap(), &[1; 4]),
        "dcl needs a row of another group for each row; those of image 0 have none"
    );
    assert_eq!(
        run(Loss::dclw(0.1, 0.5).unwrap(), &[1, 1, 2, 3]),
        "dclw weighs one match of an image; it takes no groups"
    );
    assert!(value_and_grad_raw::<f64>(&Fused, &Loss::dclw(0.1, 0.5).unwrap(), &rows, 2).is_ok());
}

#[test]
#[should_panic(expected = "4 images and 3 groups")]
fn as_many_groups_as_images() {
    let rows = raw(4, 3, Key::new(9));
    drop(value_and_grad_raw_grouped::<f64>(&Fused, &Loss::sup_con(0.1).unwrap(), &rows, 2, Some(&[1, 2, 3])));
}
