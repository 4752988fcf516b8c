//! Peak memory of the evaluation, counted by an allocator of our own: rows are held once, whatever is asked of them.
//!
//! One test only, so that no other thread of the harness allocates meanwhile.

#![expect(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use riesz::Matrix;
use riesz::rng::{Key, normal};
use riesz_lab::data::{Image, Source};
use riesz_lab::protocols::{Labeled, Questions, Settings, evaluate_row};
use riesz_lab::recipe::{BUILT_IN, Recipe};
use riesz_lab::train::measure::{Shown, Viewer};

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
fn peak<T>(work: impl FnOnce() -> T) -> usize {
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    let kept = work();
    let most = MOST.load(Relaxed) - before;
    drop(kept);
    most
}

/// Grey images of 120 × 120.
struct Grey(usize);

impl Source for Grey {
    fn len(&self) -> usize {
        self.0
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }

    fn label(&self, _index: usize) -> Option<u32> {
        None
    }

    fn image(&self, index: usize) -> riesz_lab::Result<Image> {
        Ok(Image { width: 120, height: 120, channels: 1, pixels: vec![index as u8; 120 * 120] })
    }
}

#[test]
fn rows_are_held_once() {
    let (n, queries, dim) = (20_000, 1000, 256);
    let mut rng = Key::new(1).rng();
    let mut cloud = |n: usize| {
        let labels: Vec<u32> = (0..n).map(|i| (i % 2) as u32).collect();
        let numbers = labels.iter().flat_map(|&label| (0..dim).map(move |j| (label, j)));
        let numbers =
            numbers.map(|(label, j)| normal(&mut rng) as f32 + if j == 0 { label as f32 } else { 0.0 });
        Labeled { rows: Matrix::new(numbers.collect(), dim), labels }
    };
    let (references, queries, views) = (cloud(n), cloud(queries), cloud(50).rows);
    let settings = Settings { neighbors: 20, temperature: 0.07, few_labels: 5, few_draws: 2 };
    let questions = Questions::of(&references.labels, &queries.labels, &settings, |class| class.to_string());
    let most = peak(|| {
        let row =
            evaluate_row("rows", references, queries, [&views, &views], &questions, &settings, Key::new(1));
        assert!(row.unwrap().0.few.is_some());
    });
    let bytes = n * dim * 4;
    assert!(most < bytes / 3, "{most} bytes beside {bytes} of rows");

    let recipe = Recipe::resolve(BUILT_IN[0].text, &[], "test").unwrap();
    let augment = recipe.augment.plan().unwrap();
    let viewer = Viewer { augment: &augment, seed: 1 };
    let (images, items) = (Grey(2000), (0..2000).collect::<Vec<usize>>());
    for shown in [Shown::Clean, Shown::View(0)] {
        let most = peak(|| viewer.pixels(&images, &items, shown).unwrap());
        // The rows, and on each thread an image and its resized picture.
        let bytes = items.len() * viewer.numbers() * 4;
        assert!(most < bytes + bytes / 4, "{most} bytes for {bytes} of rows");
    }
}
