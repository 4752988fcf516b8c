//! What does not change a loss, or a metric: a rotation of all points, the order of images, the order of views where the
//! loss is symmetric, the lengths of raw rows.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use riesz::engine::{Engine, Fused, RawValueAndGrad, value_and_grad_raw};
use riesz::geometry::Findings;
use riesz::loss::Loss;
use riesz::rng::{Key, below, normal, permutation, uniform};
use riesz::{Matrix, Points, normalize};

/// Draws of each law.
const DRAWS: u64 = 12;

/// Raw rows of two views, of a size, a dimension and a spread that the draw decides.
fn draw(number: u64) -> (Matrix<f64>, Key) {
    let key = Key::new(31).at(number);
    let mut rng = key.stream("shape").rng();
    let (n, d) = (2 + below(&mut rng, 30) as usize, 3 + below(&mut rng, 8) as usize);
    let (center, spread) = (3.0 * uniform(&mut rng), 0.05 + uniform(&mut rng));
    let mut rows = Matrix::zeros(2 * n, d);
    for i in 0..n {
        for k in 0..d {
            let x = normal(&mut rng) + if k == 0 { center } else { 0.0 };
            rows.row_mut(i)[k] = x;
            rows.row_mut(n + i)[k] = x + spread * normal(&mut rng);
        }
    }
    (rows, key)
}

fn outcome(loss: &Loss, rows: &Matrix<f64>) -> RawValueAndGrad<f64> {
    value_and_grad_raw(&Fused as &dyn Engine<f64>, loss, rows, 2).unwrap()
}

fn metrics(rows: &Matrix<f64>) -> Vec<(&'static str, f64)> {
    let mut unit = rows.clone();
    normalize(&mut unit).unwrap();
    let (u, v) = unit.as_slice().split_at(unit.as_slice().len() / 2);
    Findings::of(&[u, v].map(|view| Points::from_slice(view, unit.dim()).unwrap())).unwrap().logged()
}

/// Row i of the result is row `order[i]`.
fn ordered(rows: &Matrix<f64>, order: &[usize]) -> Matrix<f64> {
    Matrix::new(order.iter().flat_map(|&i| rows.row(i)).copied().collect(), rows.dim())
}

/// A rotation (or reflection) of ℝᵈ applied to every row: a product of Householder reflections.
fn rotated(rows: &Matrix<f64>, key: Key) -> Matrix<f64> {
    let mut rows = rows.clone();
    for axis in 0..rows.dim() as u64 {
        let mirror = riesz::sphere::sample(1, rows.dim(), key.at(axis));
        for i in 0..rows.len() {
            let along: f64 = rows.row(i).iter().zip(mirror.row(0)).map(|(x, m)| x * m).sum();
            rows.row_mut(i).iter_mut().zip(mirror.row(0)).for_each(|(x, m)| *x -= 2.0 * along * m);
        }
    }
    rows
}

fn assert_near(place: &str, want: &Matrix<f64>, got: &Matrix<f64>) {
    let scale = want.as_slice().iter().fold(1e-6_f64, |top, g| top.max(g.abs()));
    for (want, got) in want.as_slice().iter().zip(got.as_slice()) {
        assert!((want - got).abs() < 1e-8 * scale, "{place}: {got} for {want}");
    }
}

/// `changed` rows must have the same value, and the gradient `carried` from the one before.
fn holds(
    law: &str,
    applies: impl Fn(&Loss) -> bool,
    change: impl Fn(&Matrix<f64>, Key) -> Matrix<f64>,
    carry: impl Fn(&Matrix<f64>, Key) -> Matrix<f64>,
) {
    for number in 0..DRAWS {
        let (rows, key) = draw(number);
        let key = key.stream("change");
        let changed = change(&rows, key);
        for loss in Loss::catalogue().iter().filter(|loss| applies(loss)) {
            let place = format!("{law}, draw {number}, {} {:?}", loss.name, loss.terms);
            let (before, after) = (outcome(loss, &rows), outcome(loss, &changed));
            let scale = before.terms.iter().map(|term| term.abs()).sum::<f64>().max(1e-3);
            assert!(
                (before.value - after.value).abs() < 1e-10 * scale,
                "{place}: {} to {}",
                before.value,
                after.value
            );
            assert_near(&place, &carry(&before.grad, key), &after.grad);
        }
    }
}

fn metrics_hold(law: &str, change: impl Fn(&Matrix<f64>, Key) -> Matrix<f64>) {
    for number in 0..DRAWS {
        let (rows, key) = draw(number);
        for ((name, before), (_, after)) in
            metrics(&rows).into_iter().zip(metrics(&change(&rows, key.stream("change"))))
        {
            assert!(
                (before - after).abs() < 1e-10 * (1.0 + before.abs()),
                "{law}, draw {number}, {name}: {before} to {after}"
            );
        }
    }
}

#[test]
fn rotations_change_nothing() {
    holds("rotation", |_| true, rotated, rotated);
    metrics_hold("rotation", rotated);
}

#[test]
fn the_order_of_images_changes_nothing() {
    let shuffled = |rows: &Matrix<f64>, key: Key| {
        let n = rows.len() / 2;
        let order = permutation(&mut key.rng(), n);
        ordered(rows, &order.iter().copied().chain(order.iter().map(|i| n + i)).collect::<Vec<_>>())
    };
    holds("order of images", |_| true, shuffled, shuffled);
    metrics_hold("order of images", shuffled);
}

#[test]
fn the_order_of_views_changes_nothing_for_symmetric_losses() {
    let swapped = |rows: &Matrix<f64>, _: Key| {
        let n = rows.len() / 2;
        ordered(rows, &(n..2 * n).chain(0..n).collect::<Vec<_>>())
    };
    holds("order of views", Loss::is_symmetric, swapped, swapped);
    // And the one-sided forms do change, or `is_symmetric` would say nothing.
    let (rows, key) = draw(1);
    for loss in Loss::catalogue().iter().filter(|loss| !loss.is_symmetric()) {
        let (before, after) = (outcome(loss, &rows).value, outcome(loss, &swapped(&rows, key)).value);
        assert!((before - after).abs() > 1e-6, "{} is one-sided, yet {before} and {after}", loss.name);
    }
}

#[test]
fn the_lengths_of_raw_rows_change_no_value_and_divide_the_gradient() {
    let length = |key: Key, i: usize| (2.0 * normal(&mut key.at(i as u64).rng())).exp();
    let scaled = |rows: &Matrix<f64>, key: Key, power: i32| {
        let mut rows = rows.clone();
        for i in 0..rows.len() {
            rows.row_mut(i).iter_mut().for_each(|x| *x *= length(key, i).powi(power));
        }
        rows
    };
    holds("lengths", |_| true, |rows, key| scaled(rows, key, 1), |grad, key| scaled(grad, key, -1));
    metrics_hold("lengths", |rows, key| scaled(rows, key, 1));
}

/// At the simplex the gradient along the sphere vanishes for every loss whose views coincide there.
#[test]
fn the_simplex_is_a_critical_point_of_every_loss() {
    let n = 6;
    let one = |i: usize| f64::from(u8::from(i / n % n == i % n)) - 1.0 / n as f64;
    let rows = Matrix::new((0..2 * n * n).map(one).collect(), n);
    for loss in Loss::catalogue() {
        let grad = outcome(&loss, &rows).grad;
        let largest = grad.as_slice().iter().fold(0.0_f64, |top, g| top.max(g.abs()));
        assert!(largest < 1e-12, "{} {:?}: {largest:e}", loss.name, loss.terms);
    }
}

/// Closed forms: SigLIP at the simplex of M points, ln(1 + e^{−t−b}) + (M − 1) ln(1 + e^{b − t/(M−1)}); the spectral loss
/// there, −2 + 1/(M − 1)², and at orthonormal points, −2.
#[test]
fn values_at_the_simplex_and_at_orthonormal_points() {
    let m = 8;
    let identity = |i: usize| f64::from(u8::from(i / m % m == i % m));
    let orthonormal = Matrix::new((0..2 * m * m).map(identity).collect(), m);
    let simplex = Matrix::new((0..2 * m * m).map(|i| identity(i) - 1.0 / m as f64).collect(), m);
    for (scale, offset) in [(10.0, -10.0), (3.0, 1.0)] {
        let loss = Loss::siglip(scale, offset).unwrap();
        let softplus = |x: f64| x.exp().ln_1p();
        let others = (m - 1) as f64;
        let want = softplus(-scale - offset) + others * softplus(offset - scale / others);
        assert!((outcome(&loss, &simplex).value - want).abs() < 1e-13);
        let want = softplus(-scale - offset) + others * softplus(offset);
        assert!((outcome(&loss, &orthonormal).value - want).abs() < 1e-13);
    }
    let spectral = Loss::spectral();
    assert!((outcome(&spectral, &simplex).value + 2.0 - 1.0 / 49.0).abs() < 1e-13);
    assert!((outcome(&spectral, &orthonormal).value + 2.0).abs() < 1e-13);
}
