//! What a training step allocates, counted by an allocator of our own: after the first, forward and back of the CPU engine take
//! nothing, and the optimizer small things alone; a transformer's attention, whose products are the gemm crate's, takes its
//! few kilobytes for each.
//!
//! One test only, so that no other thread of the harness allocates meanwhile.

#![expect(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use riesz::rng::Key;
use riesz_lab::encoder::Encoder;
use riesz_lab::network::cpu::{Engine, Mode};
use riesz_lab::network::{Builder, Network, Residual, Stage, VitSize};
use riesz_lab::optim::{OptimRecipe, Optimizer, Rule, Scaling};

/// The system's allocator, counting how often it was asked, and the most bytes it was asked for at once.
struct Counting;

static TIMES: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TIMES.fetch_add(1, Relaxed);
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` asks, and for how many bytes at once at most.
fn asked(work: impl FnOnce()) -> [usize; 2] {
    TIMES.store(0, Relaxed);
    LARGEST.store(0, Relaxed);
    work();
    [TIMES.load(Relaxed), LARGEST.load(Relaxed)]
}

/// A step in which the gradient of z is z itself; what forward and back ask, and the optimizer.
fn step(engine: &mut Engine, optimizer: &mut Optimizer, images: &[f32], of_z: &mut [f32]) -> [[usize; 2]; 2] {
    let of_engine = asked(|| {
        of_z.copy_from_slice(engine.forward(images, Mode::Train).1);
        engine.backward(of_z);
    });
    [of_engine, asked(|| engine.update(&mut optimizer.step(0.01)))]
}

fn residual(imagenet_stem: bool, residual: Residual, widths: &[usize]) -> Network {
    let mut network = Builder::new([20, 20, 3]);
    let stages: Vec<Stage> = widths.iter().map(|&width| Stage { blocks: 2, width }).collect();
    network.resnet(imagenet_stem, residual, &stages);
    network.project(24, 10)
}

#[test]
fn a_step_after_the_first_allocates_nothing() {
    let mut transformer = Builder::new([20, 20, 3]);
    transformer.vit(VitSize { patch: 4, width: 48, layers: 2, heads: 3, hidden: 96 });
    let transformer = transformer.project(24, 10);
    let networks = [
        (residual(false, Residual::Basic, &[16, 32, 40]), false),
        (residual(true, Residual::Bottleneck, &[8, 16]), false),
        (residual(false, Residual::Basic, &[16, 32]).frozen_through("layer1").unwrap(), false),
        (transformer.clone().frozen_through("blocks.0").unwrap(), true),
        (transformer, true),
    ];
    // What two threads keep depends on which of them takes which part; one takes all.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let ways = networks.into_iter().flat_map(|(network, attends)| {
            [false, true].map(|recomputes| (network.clone(), attends, recomputes))
        });
        for (network, attends, recomputes) in ways {
            let optim = OptimRecipe {
                name: Rule::Lars,
                learning_rate: 0.1,
                scaling: Scaling::None,
                momentum: 0.9,
                weight_decay: 1e-4,
                warmup: 0.0,
                freeze_through: None,
                layer_decay: None,
            };
            let (n, size) = (12, network.layers()[0].size());
            let mut engine = Engine::new(network, Key::new(1));
            if recomputes {
                engine.recompute();
            }
            let mut optimizer = Optimizer::new(&optim).unwrap();
            let images: Vec<f32> = (0..n * size).map(|i| (i as f32 * 0.37).sin()).collect();
            let mut of_z = vec![0.0; n * 10];
            let [of_engine, _] = step(&mut engine, &mut optimizer, &images, &mut of_z);
            assert!(of_engine[0] > 10, "the first step allocates: {of_engine:?}");
            for _ in 0..3 {
                let [of_engine, of_optimizer] = step(&mut engine, &mut optimizer, &images, &mut of_z);
                if attends {
                    assert!(of_engine[1] <= 8192, "forward and back asked for {} bytes", of_engine[1]);
                } else {
                    assert_eq!(of_engine[0], 0, "forward and back asked for memory");
                }
                assert!(of_optimizer[1] < 1024, "the optimizer asked for {} bytes", of_optimizer[1]);
            }
        }
    });
}
