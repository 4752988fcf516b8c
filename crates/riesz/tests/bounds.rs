//! Proven bounds: no points that are drawn, made to be awkward or found by descending are below one, and each loss of the
//! catalogue has one where a theorem says so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod unnamed;

use std::sync::Arc;

use riesz::engine::{Engine, Reference};
use riesz::kernel::{Cosine, Exponential, ScaledExponential};
use riesz::loss::{Anchors, Convention, Link, Loss, Pairs, Role, Term};
use riesz::rng::Key;
use riesz::sphere::certificate::{Theorem, attained_by, bound};
use riesz::sphere::minimize::{Problem, Settings};
use riesz::sphere::optima::{known, simplex};
use riesz::sphere::sample;
use riesz::{Matrix, Points, normalize};

/// Views of random rows: independent, near each other, opposite to the first, all rows of a view at one place or nearly so.
fn draws(points: usize, dim: usize, views: usize, key: Key) -> Vec<Matrix<f64>> {
    let size = points * dim;
    let apart = sample(points * views, dim, key);
    let changed = |change: &dyn Fn(usize, &[f64], f64) -> f64| {
        let rows = apart.as_slice();
        let mixed = (0..rows.len()).map(|at| change(at / size, &rows[at % size..=at % size], rows[at]));
        let mut rows = Matrix::new(mixed.collect(), dim);
        normalize(&mut rows).unwrap();
        rows
    };
    let one_place = apart.row(0).to_vec();
    let gathered = |much: f64| {
        let near = apart.as_slice().iter().enumerate();
        let mixed = near.map(|(at, x)| if at / size == 0 { *x } else { one_place[at % dim] + much * x });
        let mut rows = Matrix::new(mixed.collect(), dim);
        normalize(&mut rows).unwrap();
        rows
    };
    vec![
        changed(&|_, first, own| first[0] + 0.3 * own),
        changed(&|_, first, own| first[0] + 1e-3 * own),
        changed(&|view, first, own| if view == 0 { first[0] } else { 0.05 * own - first[0] }),
        changed(&|view, first, own| if view == 1 { own - 2.0 * first[0] } else { first[0] + 0.1 * own }),
        gathered(0.5),
        gathered(0.01),
        apart.clone(),
    ]
}

/// The losses of the catalogue, cold and hot ones of them, and sentences that are like them.
fn losses() -> Vec<Loss> {
    let mut losses = Loss::catalogue();
    for tau in [0.05, 0.3, 3.0] {
        losses.extend([
            Loss::info_nce(tau).unwrap(),
            Loss::nt_xent(tau).unwrap(),
            Loss::nt_xent_one_sided(tau).unwrap(),
            Loss::dcl_one_sided(tau).unwrap(),
            Loss::dhel(tau, Convention::Reference).unwrap(),
            Loss::sup_con_in(tau).unwrap(),
            Loss::mv_dhel(tau, Convention::Paper).unwrap(),
            Loss::mv_dhel(tau, Convention::Reference).unwrap(),
            Loss::mv_info_nce(tau, Convention::Paper).unwrap(),
            Loss::mv_info_nce(tau, Convention::Reference).unwrap(),
        ]);
        losses.extend([0.01, 0.2, 2.0].map(|sigma| Loss::dclw(tau, sigma).unwrap()));
    }
    for (scale, offset) in [(1.0, 0.0), (1.0, -3.0), (3.0, -2.0), (10.0, 0.0), (10.0, -3.0), (0.2, -5.0)] {
        losses.push(Loss::siglip(scale, offset).unwrap());
    }
    // A match in one way against every repulsion, whoever is the anchor.
    let temperature = 0.4;
    for anchors in [Anchors::AllViews, Anchors::FirstView, Anchors::EachView] {
        for (p, pairs) in
            [Pairs::ALL, Pairs::OTHER_IMAGES, Pairs::CROSS, Pairs::OTHER_VIEW].into_iter().enumerate()
        {
            for push in [Link::RowLogSum, Link::RowLogMean, Link::ImageLogSum] {
                for pull in [Link::Mean, Link::RowLogMean, Link::ImageLogSum] {
                    let term = |role, weight, link, pairs, kernel| {
                        Term::new(role, weight, link, pairs, kernel).with_anchors(anchors)
                    };
                    let mean = pull == Link::Mean;
                    let attraction: Arc<dyn riesz::kernel::Kernel> = if mean {
                        Arc::new(Cosine { scale: 1.0 / temperature })
                    } else {
                        Arc::new(ScaledExponential { temperature, factor: 0.7 })
                    };
                    let mut first = term(Role::Attraction, -1.0, pull, Pairs::MATCHED, attraction);
                    first.focus = (mean && p == 1 && push == Link::RowLogSum).then_some(0.1);
                    let second =
                        term(Role::Repulsion, 1.0, push, pairs, Arc::new(Exponential { temperature }));
                    losses.push(Loss::new("a match against a sum", vec![first, second]));
                }
            }
        }
    }
    losses.extend(unnamed::unnamed());
    losses
}

#[test]
fn no_points_are_below_a_bound() {
    let mut held = 0;
    for (points, dim) in [(2, 2), (3, 2), (4, 5), (6, 3), (9, 4)] {
        for views in 1..=4 {
            let key = Key::new(7).at(points as u64).at(views as u64);
            let drawn: Vec<Matrix<f64>> = (0..3).flat_map(|i| draws(points, dim, views, key.at(i))).collect();
            for loss in losses().into_iter().filter(|loss| loss.check(points, views).is_ok()) {
                let Some(bound) = bound(&loss, points, dim, views) else { continue };
                for rows in &drawn {
                    let views: Vec<Points<'_, f64>> = rows
                        .as_slice()
                        .chunks(points * dim)
                        .map(|view| Points::from_slice(view, dim).unwrap())
                        .collect();
                    let Ok(found) = Reference.value_and_grad(&loss, &views) else { continue };
                    let scale = 1.0 + found.terms.iter().map(|term| term.abs()).sum::<f64>();
                    assert!(
                        found.value >= bound.value - 1e-12 * scale,
                        "{} {:?} of {points} in {dim}, {} views: {} below {bound:?}",
                        loss.name,
                        loss.terms,
                        views.len(),
                        found.value
                    );
                    held += 1;
                }
            }
        }
    }
    assert!(held > 50_000, "{held}");
}

/// Descents from apart and from near; where a bound is attained by known points, they come down to it.
#[test]
fn no_descent_ends_below_a_bound() {
    let named = |loss: &Loss| loss.name != "one term" && loss.name != "several";
    let (mut held, mut reached) = (0, 0);
    for (points, dim, views) in [(3, 2, 2), (5, 4, 2), (6, 3, 2), (4, 3, 3), (5, 3, 3)] {
        for loss in losses().into_iter().filter(named) {
            let Some(bound) = bound(&loss, points, dim, views) else { continue };
            let Ok(problem) = Problem::new(loss.clone(), points, dim, views) else { continue };
            let few = Settings::default().with_iterations(400).with_tolerance(1e-10);
            let minima = problem.search(Key::new(3), 4, few);
            let best = minima.iter().map(|minimum| minimum.value).fold(f64::INFINITY, f64::min);
            let scale = minima.iter().map(|minimum| minimum.scale).fold(1.0, f64::max);
            let place = || format!("{} {:?} of {points} in {dim}, {views} views", loss.name, loss.terms);
            assert!(best >= bound.value - 1e-12 * scale, "{}: {best} below {bound:?}", place());
            held += 1;
            if attained_by(bound, &loss, points, dim, views).is_some() {
                reached += usize::from(best - bound.value < 1e-6 * (1.0 + bound.value.abs()));
            }
        }
    }
    assert!(held > 400 && reached > 250, "{held}, {reached}");
}

/// Chebyshev's inequality is what holds DCLW: never below DCL, for any σ, and equal where all matches have one cosine.
#[test]
fn dclw_is_at_least_dcl() {
    let dcl = Loss::dcl(0.1).unwrap();
    for sigma in [0.02, 0.5, 10.0] {
        let dclw = Loss::dclw(0.1, sigma).unwrap();
        for seed in 0..20 {
            for rows in draws(7, 4, 2, Key::new(seed)) {
                let views: Vec<Points<'_, f64>> =
                    rows.as_slice().chunks(28).map(|view| Points::from_slice(view, 4).unwrap()).collect();
                let [weighted, plain] =
                    [&dclw, &dcl].map(|loss| Reference.value_and_grad(loss, &views).unwrap().value);
                assert!(
                    weighted >= plain - 1e-12 * (1.0 + plain.abs()),
                    "{sigma}, {seed}: {weighted} for {plain}"
                );
            }
        }
        for points in [5, 9] {
            assert_eq!(bound(&dclw, points, 4, 2), bound(&dcl, points, 4, 2));
            let theirs = [&dclw, &dcl].map(|loss| simplex(points).value(loss, 2));
            assert!((theirs[0] - theirs[1]).abs() < 1e-14 * theirs[1].abs());
        }
    }
}

/// Which losses of the catalogue have a bound in how many views.
#[test]
fn the_catalogue_has_bounds_where_theorems_say() {
    for loss in Loss::catalogue() {
        for views in [2, 3, 5].into_iter().filter(|&views| loss.check(6, views).is_ok()) {
            let one = bound(&loss, 6, 8, views);
            // A match inside a logarithm is a theorem for two views alone.
            let is_open = views > 2 && ["mv-info-nce", "sup-con-in"].contains(&&*loss.name);
            assert_eq!(one.is_none(), is_open, "{} in {views} views", loss.name);
            let Some(one) = one else { continue };
            // Six points in eight dimensions: each bound is a minimum, and known.
            let by = attained_by(one, &loss, 6, 8, views).unwrap();
            let theirs = simplex(6).value(&loss, views);
            if loss.name == "spectral" {
                assert_eq!((one.value, one.theorem, &*by), (-2.0, Theorem::Elementary, "orthonormal rows"));
            } else {
                assert!((one.value - theirs).abs() < 1e-12 * (1.0 + theirs.abs()), "{}", loss.name);
                assert_eq!(by, "regular simplex");
            }
        }
    }
    // MV-DHEL by hand: −ln C(K, 2) − 1/τ + K(ln(N − 1) − 1/((N − 1)τ)), as the code has it; at K = 2 it is DHEL's.
    let (tau, n) = (0.3, 8.0_f64);
    let mv_dhel = Loss::mv_dhel(tau, Convention::Reference).unwrap();
    for (views, want) in [(2, -0.393_894), (3, -0.022_787), (4, 0.753_786)] {
        let k = f64::from(views);
        let by_hand =
            -(k * (k - 1.0) / 2.0).ln() - 1.0 / tau + k * ((n - 1.0).ln() - 1.0 / ((n - 1.0) * tau));
        let one = bound(&mv_dhel, 8, 3, views as usize).unwrap();
        assert!(
            (one.value - by_hand).abs() < 1e-13 && (one.value - want).abs() < 1e-6,
            "{views}: {}",
            one.value
        );
    }
    let dhel = bound(&Loss::dhel(tau, Convention::Reference).unwrap(), 8, 3, 2).unwrap();
    assert!((bound(&mv_dhel, 8, 3, 2).unwrap().value - dhel.value).abs() < 1e-14);
    // SigLIP where the slope at aligned matches says no, and where it is at its edge: ½(N − 2) σ(b − t/(N − 1)) against σ(−t − b).
    assert_eq!(bound(&Loss::siglip(1.0, 0.0).unwrap(), 6, 8, 2), None);
    assert!(bound(&Loss::siglip(1.0, 0.0).unwrap(), 2, 8, 2).is_some());
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    for (scale, offset) in [(2.0, -1.0), (2.0, -1.5), (4.0, -3.0), (4.0, -1.0)] {
        let by_hand = 2.0 * logistic(offset - scale / 5.0) <= logistic(-scale - offset);
        let one = bound(&Loss::siglip(scale, offset).unwrap(), 6, 8, 2);
        assert_eq!(one.is_some(), by_hand, "t = {scale}, b = {offset}");
    }
}

/// What attains a bound beyond the simplex is what is known to be sharp.
#[test]
fn bounds_that_known_points_attain() {
    let kcl = |dim: usize, points: usize| {
        let gaussian = riesz::loss::KclKernel::Gaussian(2.0);
        let loss = Loss::kcl(gaussian, gaussian, 16.0, Convention::Paper).unwrap();
        let one = bound(&loss, points, dim, 2).unwrap();
        attained_by(one, &loss, points, dim, 2).map(std::borrow::Cow::into_owned)
    };
    for (points, dim, name) in
        [(9, 8, "regular simplex"), (16, 8, "cross-polytope"), (12, 3, "icosahedron"), (240, 8, "E8 roots")]
    {
        assert_eq!(kcl(dim, points).as_deref(), Some(name));
    }
    for (points, dim) in [(120, 4), (24, 4), (5, 3), (13, 3), (4099, 4096), (100_000, 64)] {
        assert_eq!(kcl(dim, points), None, "{points} in {dim}");
    }
    assert!(known(7, 2).iter().any(|one| Some(&one.name) == kcl(2, 7).as_ref()));
    let dhel = Loss::dhel(0.3, Convention::Paper).unwrap();
    assert_eq!(attained_by(bound(&dhel, 6, 3, 2).unwrap(), &dhel, 6, 3, 2), None);
    let spectral = Loss::spectral();
    let tight = bound(&spectral, 10, 4, 3).unwrap();
    assert_eq!(attained_by(tight, &spectral, 10, 4, 3).as_deref(), Some("a tight frame"));
}
