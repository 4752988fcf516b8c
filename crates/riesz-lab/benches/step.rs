//! Training steps a second of the encoders on the CPU: forward, loss, backward, update.
//!
//! `cargo bench --bench step` prints images a second (each image gives two views), the median of several steps, and by how much
//! the memory that the system holds for the process rose at most; `-- small28 vit` measures some, `-- --test` runs each once.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::Instant;

use riesz::loss::{Convention, Loss};
use riesz::rng::Key;
use riesz_lab::encoder::{Backbone, Encoder, EncoderRecipe, Objective, ProjectorRecipe, Stem};
use riesz_lab::memory;
use riesz_lab::network::cpu::Engine;
use riesz_lab::optim::{OptimRecipe, Optimizer, Rule, Scaling};

fn main() {
    memory::keep_freed();
    memory::one_arena();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let once = arguments.iter().any(|argument| argument == "--test");
    let networks = [
        ("small28", Backbone::ResnetSmall, 28, 1, 256, 9),
        ("small32", Backbone::ResnetSmall, 32, 3, 256, 9),
        ("resnet18", Backbone::Resnet18, 32, 3, 64, 3),
        ("vit", Backbone::VitTiny, 32, 3, 64, 3),
    ];
    for (name, backbone, size, channels, batch, steps) in networks {
        if !once && !arguments.is_empty() && !arguments.iter().any(|argument| argument == name) {
            continue;
        }
        let (batch, steps) = if once { (4, 1) } else { (batch, steps) };
        let (seconds, peak) = memory::peak(|| measure(backbone, size, channels, batch, steps));
        println!(
            "{name} {size}×{size}×{channels}, batch {batch}: {:.0} images/s (median of {steps}), {} MB",
            batch as f64 / seconds,
            peak.map_or_else(|| "–".to_owned(), |bytes| (bytes / 1_000_000).to_string())
        );
    }
}

/// The median seconds of a step.
fn measure(backbone: Backbone, size: usize, channels: usize, batch: usize, steps: usize) -> f64 {
    let recipe = EncoderRecipe {
        backbone,
        stem: Stem::Auto,
        pixels: None,
        projector: ProjectorRecipe { hidden: 128, output: 64 },
    };
    let mut engine = Engine::new(recipe.network(size, channels).expect("the recipe is sound"), Key::new(0));
    let optim = OptimRecipe {
        name: Rule::Sgd,
        learning_rate: 0.1,
        scaling: Scaling::None,
        momentum: 0.9,
        weight_decay: 1e-6,
        warmup: 0.0,
        freeze_through: None,
        layer_decay: None,
    };
    let mut optimizer = Optimizer::new(&optim).expect("the recipe is sound");
    let loss = Loss::dhel(0.3, Convention::Reference).expect("the temperature is above 0");
    let objective = Objective { loss: &loss, views: 2, groups: None };
    let views: Vec<f32> = (0..2 * batch * size * size * channels)
        .map(|i| (0.5 + 0.5 * (i as f32 * 0.37).sin()).abs())
        .collect();
    let mut seconds = Vec::new();
    for _ in 0..=steps {
        let started = Instant::now();
        engine.value_and_grad(objective, &views).expect("the rows are finite");
        engine.update(&mut optimizer.step(0.01));
        seconds.push(started.elapsed().as_secs_f64());
    }
    // The first step also allocates.
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
