//! Training steps a second of the encoders on the CPU: forward, loss, backward, update.
//!
//! `cargo bench --bench step` prints images a second (each image gives two views), the median of several steps;
//! `-- --test` runs each once.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::Instant;

use riesz::loss::{Convention, Loss};
use riesz::rng::Key;
use riesz_lab::encoder::{Backbone, Encoder, EncoderRecipe, ProjectorRecipe, Stem};
use riesz_lab::network::cpu::Engine;
use riesz_lab::optim::{OptimRecipe, Optimizer, Rule, Scaling};

fn main() {
    riesz_lab::memory::keep_freed();
    let once = std::env::args().any(|argument| argument == "--test");
    for (backbone, size, channels, batch, steps) in [
        (Backbone::ResnetSmall, 28, 1, 256, 9),
        (Backbone::ResnetSmall, 32, 3, 256, 9),
        (Backbone::Resnet18, 32, 3, 32, 3),
        (Backbone::VitTiny, 32, 3, 64, 3),
    ] {
        let (batch, steps) = if once { (4, 1) } else { (batch, steps) };
        let recipe = EncoderRecipe {
            backbone,
            stem: Stem::Auto,
            projector: ProjectorRecipe { hidden: 128, output: 64 },
        };
        let mut engine =
            Engine::new(recipe.network(size, channels).expect("the recipe is sound"), Key::new(0));
        let optim = OptimRecipe {
            name: Rule::Sgd,
            learning_rate: 0.1,
            scaling: Scaling::None,
            momentum: 0.9,
            weight_decay: 1e-6,
            warmup: 0.0,
        };
        let mut optimizer = Optimizer::new(&optim).expect("the recipe is sound");
        let loss = Loss::dhel(0.3, Convention::Reference).expect("the temperature is above 0");
        let views: Vec<f32> = (0..2 * batch * size * size * channels)
            .map(|i| (0.5 + 0.5 * (i as f32 * 0.37).sin()).abs())
            .collect();
        let mut seconds = Vec::new();
        for _ in 0..=steps {
            let started = Instant::now();
            engine.value_and_grad(&loss, &views, 2).expect("the rows are finite");
            engine.update(&mut optimizer.step(0.01));
            seconds.push(started.elapsed().as_secs_f64());
        }
        // The first step also allocates.
        seconds.remove(0);
        seconds.sort_by(f64::total_cmp);
        println!(
            "{backbone:?} {size}×{size}×{channels}, batch {batch}: {:.0} images/s (median of {steps})",
            batch as f64 / seconds[seconds.len() / 2]
        );
    }
}
