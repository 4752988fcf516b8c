//! The same bits for any number of threads: of every loss with its gradient, and of every metric.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use riesz::engine::{Engine, Fused};
use riesz::geometry::{Findings, METRICS, Spectrum, uniformity, wasserstein_uniformity};
use riesz::loss::Loss;
use riesz::rng::Key;
use riesz::sphere::sample;
use riesz::{Matrix, Points};

/// Whatever `work` returns must be the same in pools of 1, 2, 3 and 8 threads.
fn same_in_every_pool<T: PartialEq + std::fmt::Debug + Send>(work: impl Fn() -> T + Sync) {
    let outcomes: Vec<T> = [1, 2, 3, 8]
        .into_iter()
        .map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&work))
        .collect();
    for outcome in &outcomes[1..] {
        assert_eq!(outcome, &outcomes[0]);
    }
}

fn bits(x: f64) -> u64 {
    x.to_bits()
}

#[test]
fn losses() {
    let views = [1, 2].map(|seed| sample(401, 17, Key::new(seed)));
    let single = views
        .each_ref()
        .map(|view| Matrix::new(view.as_slice().iter().map(|&x| x as f32).collect::<Vec<f32>>(), view.dim()));
    for loss in Loss::catalogue() {
        same_in_every_pool(|| {
            let points = views.each_ref().map(|view| Points::new(view).unwrap());
            let outcome = (&Fused as &dyn Engine<f64>).value_and_grad(&loss, &points).unwrap();
            let grads = outcome.grads.iter().flat_map(|grad| grad.as_slice()).map(|&g| bits(g));
            (bits(outcome.value), grads.collect::<Vec<_>>())
        });
        same_in_every_pool(|| {
            let points = single.each_ref().map(|view| Points::new(view).unwrap());
            let outcome = (&Fused as &dyn Engine<f32>).value_and_grad(&loss, &points).unwrap();
            let grads = outcome.grads.iter().flat_map(|grad| grad.as_slice()).map(|g| g.to_bits());
            (bits(outcome.value), grads.collect::<Vec<_>>())
        });
    }
}

/// So many images that blocks meet in crews, and that some tiles are kept and others not.
#[test]
fn losses_of_a_large_batch() {
    let views = [1, 2].map(|seed| sample(8200, 3, Key::new(seed)));
    let loss = Loss::nt_xent(0.5).unwrap();
    same_in_every_pool(|| {
        let points = views.each_ref().map(|view| Points::new(view).unwrap());
        let outcome = (&Fused as &dyn Engine<f64>).value_and_grad(&loss, &points).unwrap();
        let grads = outcome.grads.iter().flat_map(|grad| grad.as_slice()).map(|&g| bits(g));
        (bits(outcome.value), grads.collect::<Vec<_>>())
    });
}

/// In groups that cross blocks, and in three views.
#[test]
fn losses_of_groups_and_of_several_views() {
    let views = [1, 2, 3].map(|seed| sample(401, 17, Key::new(seed)));
    let groups: Vec<u32> = (0..401).map(|i| i * i % 37).collect();
    for loss in
        Loss::catalogue().into_iter().filter(|loss| loss.terms.iter().all(|term| term.focus.is_none()))
    {
        for grouped in [false, true] {
            same_in_every_pool(|| {
                let points = views.each_ref().map(|view| Points::new(view).unwrap());
                let engine = &Fused as &dyn Engine<f64>;
                let outcome = if grouped {
                    engine.value_and_grad_grouped(&loss, &points, &groups).unwrap()
                } else {
                    engine.value_and_grad(&loss, &points).unwrap()
                };
                let grads = outcome.grads.iter().flat_map(|grad| grad.as_slice()).map(|&g| bits(g));
                let slopes = outcome.slopes.iter().map(|&slope| bits(slope));
                (bits(outcome.value), slopes.collect::<Vec<_>>(), grads.collect::<Vec<_>>())
            });
        }
    }
}

#[test]
fn metrics() {
    let views = [3, 4].map(|seed| sample(700, 23, Key::new(seed)));
    same_in_every_pool(|| {
        let found = Findings::of(&views.each_ref().map(|view| Points::new(view).unwrap())).unwrap();
        METRICS.iter().map(|metric| metric.read(&found).map(|found| bits(found.value))).collect::<Vec<_>>()
    });
}

/// Enough points that the Wasserstein distance gathers cosines in bins.
#[test]
fn metrics_of_many_points() {
    let rows = sample(3100, 6, Key::new(5));
    same_in_every_pool(|| {
        let points = Points::new(&rows).unwrap();
        let sigmas: Vec<u64> = Spectrum::of(points).unwrap().values.into_iter().map(bits).collect();
        (bits(uniformity(points).unwrap()), bits(wasserstein_uniformity(points).unwrap()), sigmas)
    });
}
