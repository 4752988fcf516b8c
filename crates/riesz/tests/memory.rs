//! Peak memory, counted by an allocator of our own: `Fused` and the metrics grow as the batch, not as its square.
//!
//! One test only, so that no other thread of the harness allocates meanwhile.

#![expect(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use riesz::Points;
use riesz::engine::{Engine, Fused};
use riesz::geometry::{Pairwise, Spectrum, uniformity, wasserstein_uniformity};
use riesz::loss::{Convention, KclKernel, Loss};
use riesz::rng::Key;
use riesz::sphere::sample;

/// The system's allocator, counting what is held and the most that was.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(HELD.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `work` holds beyond what was held before.
fn peak(work: impl FnOnce()) -> usize {
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    work();
    MOST.load(Relaxed) - before
}

/// What is measured, given points.
type Work<'a> = &'a dyn Fn(Points<'_, f64>);

#[test]
fn peaks_grow_as_the_batch() {
    let dim = 8;
    let gaussian = KclKernel::Gaussian(2.0);
    let losses = [
        Loss::dhel(0.3, Convention::Reference).unwrap(),
        Loss::nt_xent(0.5).unwrap(),
        Loss::kcl(gaussian, gaussian, 16.0, Convention::Symmetric).unwrap(),
        Loss::align_uniform(2.0, 2.0, 1.0).unwrap(),
        Loss::siglip(10.0, -10.0).unwrap(),
        Loss::mv_info_nce(0.5, Convention::Paper).unwrap(),
        Loss::mv_dhel(0.5, Convention::Reference).unwrap(),
    ];
    let sup_con = Loss::sup_con(0.1).unwrap();
    let at = |n: usize, work: &dyn Fn(Points<'_, f64>)| {
        let rows = sample(n, dim, Key::new(1));
        peak(|| work(Points::new(&rows).unwrap()))
    };
    let others: [(&str, Work<'_>); 5] = [
        ("sup-con of ten groups", &|points| {
            let groups: Vec<u32> = (0..points.len() as u32).map(|i| i % 10).collect();
            let views = [points, points];
            drop(Engine::<f64>::value_and_grad_grouped(&Fused, &sup_con, &views, &groups).unwrap());
        }),
        ("uniformity", &|points| assert!(uniformity(points).unwrap() < 0.0)),
        ("spectrum", &|points| drop(Spectrum::of(points).unwrap())),
        ("pairwise", &|points| drop(Pairwise::of(points, points.len() as u64, 0.99, Key::new(1)).unwrap())),
        ("wasserstein uniformity", &|points| assert!(wasserstein_uniformity(points).unwrap() < 1e-2)),
    ];
    let fused: Vec<_> = losses
        .iter()
        .map(|loss| {
            move |points: Points<'_, f64>| {
                drop(Engine::<f64>::value_and_grad(&Fused, loss, &[points, points]).unwrap())
            }
        })
        .collect();
    let works = fused.iter().zip(&losses).map(|(work, loss)| (&*loss.name, work as Work<'_>));
    for (name, work) in works.chain(others) {
        // From sizes on where the Wasserstein distance works in bins; the first call warms the threads' buffers.
        let (small, large) = (3000, 6000);
        at(small, work);
        let (few, many) = (at(small, work), at(large, work));
        // Twice the points take at most twice the bytes, a few buffers apart; n² would take four times.
        assert!(many < 2 * few + (1 << 18), "{name}: {few} bytes for {small} rows, {many} for {large}");
        // And less than the bytes of a quarter of the cosine matrix, whatever the constant.
        assert!(many < large * large * 8 / 4, "{name}: {many} bytes for {large} rows");
    }
}
