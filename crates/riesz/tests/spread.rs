//! A batch in parts, each against each, is the whole batch: value and gradient, for any number of threads.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use riesz::engine::{Ends, Engine, Fused, Part, Reference, Whole};
use riesz::loss::{Link, Loss};
use riesz::rng::{Key, normal};
use riesz::sphere::sample;
use riesz::{Matrix, Points, normalize};

/// Images of each part: several blocks, one image, none, and what is left.
const PARTS: [usize; 4] = [300, 1, 0, 59];
const DIM: usize = 12;

fn views() -> [Matrix<f64>; 2] {
    let u = sample(PARTS.iter().sum(), DIM, Key::new(3));
    let mut v = u.clone();
    let mut rng = Key::new(4).rng();
    v.as_mut_slice().iter_mut().for_each(|x| *x += 0.3 * normal(&mut rng));
    normalize(&mut v).unwrap();
    [u, v]
}

/// Losses whose logarithms are those of single rows: what joins others is for who exchanges them.
fn losses() -> impl Iterator<Item = Loss> {
    let is_plain = |link| matches!(link, Link::Mean | Link::RowSum | Link::RowLogSum);
    let plain = move |loss: &Loss| loss.terms.iter().all(|term| is_plain(term.link) && term.focus.is_none());
    Loss::catalogue().into_iter().chain([Loss::nt_xent(0.004).unwrap()]).filter(plain)
}

/// Value and gradient by parts.
fn by_parts(loss: &Loss, views: &[Matrix<f64>; 2]) -> (f64, Vec<Vec<f64>>) {
    let images: usize = PARTS.iter().sum();
    let whole = Whole { images, groups: None };
    let firsts: Vec<usize> = PARTS
        .iter()
        .scan(0, |end, count| {
            *end += count;
            Some(*end - count)
        })
        .collect();
    let points: Vec<Vec<Points<'_, f64>>> = firsts
        .iter()
        .zip(PARTS)
        .map(|(first, count)| {
            let rows = first * DIM..(first + count) * DIM;
            views
                .iter()
                .map(|view| Points::from_slice(&view.as_slice()[rows.clone()], DIM).unwrap())
                .collect()
        })
        .collect();
    let parts: Vec<Part<'_, f64>> =
        firsts.iter().zip(&points).map(|(&first, views)| Part { first, views }).collect();
    // Of each part and term: factors and logarithms.
    let known: Vec<Vec<(Vec<f64>, Vec<f64>)>> = parts
        .iter()
        .zip(PARTS)
        .map(|(&own, count)| {
            let found: Vec<Vec<Vec<f64>>> =
                parts.iter().map(|&other| Fused.log_sums(loss, whole, own, other)).collect();
            let of_term = |(i, term): (usize, &riesz::loss::Term)| {
                let anchors = term.anchor_views(2) * count;
                let factor = term.pair_factor(images, 2);
                let factors = (0..2 * count).map(|row| if row < anchors { factor } else { 0.0 }).collect();
                let sum = |row: usize| -> f64 {
                    found.iter().filter_map(|sums| sums[i].get(row)).map(|log| log.exp()).sum::<f64>()
                };
                (factors, (0..2 * count).map(|row| sum(row).ln()).collect())
            };
            loss.terms.iter().enumerate().map(of_term).collect()
        })
        .collect();
    let ends = |part: usize| -> Vec<Ends<'_>> {
        known[part].iter().map(|(factors, log_sums)| Ends { factors, log_sums }).collect()
    };
    let mut grads = vec![vec![0.0; images * DIM]; 2];
    let mut value = 0.0;
    for (i, (&own, &first)) in parts.iter().zip(&firsts).enumerate() {
        let rows = first * DIM..(first + PARTS[i]) * DIM;
        for (j, &other) in parts.iter().enumerate() {
            let mut own_grads: Vec<&mut [f64]> =
                grads.iter_mut().map(|grad| &mut grad[rows.clone()]).collect();
            let shares = Fused.sweep(loss, whole, own, &ends(i), other, &ends(j), &mut own_grads);
            value += shares.iter().map(|share| share.value).sum::<f64>();
        }
        for (term, (factors, log_sums)) in loss.terms.iter().zip(&known[i]) {
            if term.link == Link::RowLogSum {
                let anchored = factors.iter().zip(log_sums).filter(|(factor, _)| **factor != 0.0);
                value += anchored.map(|(factor, log)| factor * log).sum::<f64>();
            }
        }
    }
    (value, grads)
}

#[test]
fn parts_are_the_whole_batch() {
    let views = views();
    let points = views.each_ref().map(|view| Points::new(view).unwrap());
    let mut compared = 0;
    for loss in losses().filter(|loss| loss.name != "nt-xent" || loss.temperature() != Some(0.004)) {
        let want = Reference.value_and_grad(&loss, &points).unwrap();
        let (value, grads) = by_parts(&loss, &views);
        let scale = want.terms.iter().map(|term| term.abs()).sum::<f64>();
        assert!((value - want.value).abs() < 1e-12 * scale, "{}: {value} for {}", loss.name, want.value);
        for (want, got) in want.grads.iter().zip(&grads) {
            let top = want.as_slice().iter().fold(1e-2_f64, |top, g| top.max(g.abs()));
            let off = want.as_slice().iter().zip(got).fold(0.0_f64, |off, (a, b)| off.max((a - b).abs()));
            assert!(off < 1e-12 * top, "{} {:?}: gradients differ by {off:e}", loss.name, loss.terms);
        }
        compared += 1;
    }
    assert!(compared > 15, "{compared}");
}

#[test]
fn threads_change_no_bit() {
    let views = views();
    for loss in losses() {
        let found: Vec<_> = [1, 3]
            .map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| by_parts(&loss, &views))
            })
            .into();
        assert_eq!(found[0], found[1], "{}", loss.name);
    }
}

#[test]
#[should_panic(expected = "two parts share some images, but not all")]
fn parts_that_overlap_are_refused() {
    let [u, _] = views();
    let view = [Points::new(&u).unwrap()];
    let few = [Points::from_slice(&u.as_slice()[..5 * DIM], DIM).unwrap()];
    let whole = Whole { images: u.len(), groups: None };
    let loss = Loss::energy(riesz::loss::KclKernel::Gaussian(2.0)).unwrap();
    Fused.log_sums(&loss, whole, Part { first: 0, views: &view }, Part { first: 2, views: &few });
}
