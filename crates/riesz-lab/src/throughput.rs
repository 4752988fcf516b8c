//! How fast a recipe trains on the CPU: the parts of a step one after another, and the loop that prepares batches meanwhile.

use std::time::{Duration, Instant};

use rayon::prelude::*;
use riesz::rng::Key;

use crate::data::Image;
use crate::device::Device;
use crate::encoder::{Encoder, Objective};
use crate::memory;
use crate::network::cpu::Engine;
use crate::optim::Optimizer;
use crate::recipe::Recipe;
use crate::speed::{Cpu, Place};
use crate::train::Plan;
use crate::train::accumulate::{self, Part};
use crate::train::batches::{self, Decoded, Schedule};
use crate::{Error, Result};

/// The parts of a step, in order.
pub const PARTS: [&str; 6] = ["decode", "augment", "forward", "loss", "backward", "optimizer"];
/// The parts that run the network.
const NETWORK: [usize; 2] = [2, 4];
/// Steps of either measurement: an odd number of at least 3.
const MOST: usize = 333;

/// What was measured.
#[derive(Clone, Debug)]
pub struct Throughput {
    /// Images of a step.
    pub batch: usize,
    /// Views of each.
    pub views: usize,
    /// Seconds of each of [`PARTS`], of each step from fast to slow; an odd number. Every part has all threads for itself.
    pub parts: [Vec<f64>; PARTS.len()],
    /// Images of the loop, all decoded from their files, and its seconds.
    pub looped: (usize, f64),
    /// Multiply-adds of a step's way forward and back as their definitions have them.
    pub multiply_adds: f64,
    /// Multiply-adds a second of a square matrix product, the median of three in between, and its side.
    pub product: f64,
    /// See there.
    pub side: usize,
    /// By how many bytes the memory of the process rose at most in all this, by [`memory::peak`].
    pub peak: Option<u64>,
}

impl Throughput {
    /// Median seconds of part `i`.
    pub fn median(&self, i: usize) -> f64 {
        self.parts[i][self.parts[i].len() / 2]
    }

    /// Images a second of the loop.
    pub fn images_per_second(&self) -> f64 {
        self.looped.0 as f64 / self.looped.1
    }

    /// Multiply-adds a second of the network's passes, in units of the product's. Convolutions that make do with fewer than
    /// their definition has can bring it above 1.
    pub fn share(&self) -> f64 {
        self.multiply_adds / NETWORK.map(|i| self.median(i)).iter().sum::<f64>() / self.product
    }
}

/// Measures `plan`'s training for about `time`: three steps at least of either measurement, after one more. `called` hears of each
/// step.
///
/// # Errors
/// If the plan's device is no CPU, an image cannot be read, or the encoder's rows are not finite.
pub fn measure(plan: &Plan, time: Duration, called: &mut dyn FnMut()) -> Result<Throughput> {
    let (measured, peak) = memory::peak(|| measured(plan, time, called));
    Ok(Throughput { peak, ..measured? })
}

fn measured(plan: &Plan, time: Duration, called: &mut dyn FnMut()) -> Result<Throughput> {
    if !matches!(plan.device, Device::Cpu) {
        return Err(Error::input("riesz bench train measures the CPU".to_owned()));
    }
    plan.check_room()?;
    let Recipe { batch, views, seed, .. } = plan.recipe;
    let network = plan.network()?;
    let mut engine = Engine::new(network, Key::new(seed));
    if plan.recomputes {
        engine.recompute();
    }
    let engine = &mut engine;
    let mut step = Step { plan, engine, optimizer: plan.optimizer()? };
    let mut product = Cpu::<f32>::new();

    let mut count = 0;
    let mut next = || {
        count += 1;
        called();
        count - 1
    };
    // The first step also allocates.
    let warm: f64 = step.by_parts(next())?.iter().sum();
    let steps = ((time.as_secs_f64() / 2.0 / warm) as usize).clamp(3, MOST).div_ceil(2) * 2 - 1;
    let mut parts: [Vec<f64>; PARTS.len()] = Default::default();
    let mut products = Vec::new();
    for i in 0..steps {
        if i % steps.div_ceil(3) == 0 {
            products.push(product.rate()?);
        }
        for (seconds, part) in parts.iter_mut().zip(step.by_parts(next())?) {
            seconds.push(part);
        }
    }
    for seconds in &mut parts {
        seconds.sort_by(f64::total_cmp);
    }
    products.sort_by(f64::total_cmp);
    let looped = step.by_loop(steps, &mut next)?;
    let network = step.engine.network();
    Ok(Throughput {
        batch,
        views,
        parts,
        looped,
        multiply_adds: (views * batch) as f64 * network.training_multiply_adds(),
        product: products[products.len() / 2],
        side: product.side(),
        peak: None,
    })
}

/// What a step needs.
struct Step<'a> {
    plan: &'a Plan,
    engine: &'a mut Engine,
    optimizer: Optimizer,
}

impl Step<'_> {
    /// Seconds of each part of step `number`, of the images after the last step's.
    fn by_parts(&mut self, number: usize) -> Result<[f64; PARTS.len()]> {
        let Plan { recipe, data, augment, .. } = self.plan;
        let items: Vec<usize> =
            (0..recipe.batch).map(|i| (number * recipe.batch + i) % data.train.len()).collect();
        let started = Instant::now();
        let images: Vec<Image> =
            items.par_iter().map(|&item| data.train.image(item)).collect::<Result<_>>()?;
        let decode = started.elapsed().as_secs_f64();
        let key = Key::new(recipe.seed).stream("augment").at(number as u64);
        let groups = recipe.loss.takes_groups().then(|| batches::groups_of(&*data.train, &items));
        let images: Vec<(usize, &Image)> = items.iter().copied().zip(&images).collect();
        let jobs = batches::views_of(&images, recipe.views, key);
        let started = Instant::now();
        let views = augment.views(&jobs);
        let augment = started.elapsed().as_secs_f64();
        let [forward, loss, backward, optimizer] = self.update(&views, groups.as_deref())?;
        Ok([decode, augment, forward, loss, backward, optimizer])
    }

    /// One update; seconds of forward, loss, backward and optimizer.
    fn update(&mut self, views: &[f32], groups: Option<&[u32]>) -> Result<[f64; 4]> {
        let Plan { recipe, loss, .. } = self.plan;
        let (mut seconds, mut before) = ([0.0; 4], Instant::now());
        let mut add = |part: usize| {
            let now = Instant::now();
            seconds[part] += (now - before).as_secs_f64();
            before = now;
        };
        let mut done = |part: Part| add(part as usize);
        let (optimizer, chunks) = (&mut self.optimizer, recipe.accumulate);
        let objective = Objective { loss, views: recipe.views, groups };
        accumulate::value_and_grad(self.engine, optimizer, objective, views, chunks, &mut done)?;
        // So small a rate that what is measured does not depend on how long training goes well.
        self.engine.update(&mut self.optimizer.step(1e-6));
        add(3);
        Ok(seconds)
    }

    /// Images and seconds of `steps` steps as training makes them, batches prepared on another thread; every image is decoded, as
    /// in a run's first epoch.
    fn by_loop(&mut self, steps: usize, next: &mut dyn FnMut() -> usize) -> Result<(usize, f64)> {
        let Plan { recipe, data, augment, .. } = self.plan;
        let schedule = Schedule::of(recipe, data.train.len());
        let source = Decoded::new(&*data.train, 0);
        std::thread::scope(|scope| {
            // More than are taken, so that some are being prepared until the end.
            let last = steps as u64 + 8;
            let batches = batches::prepare(scope, &source, augment, schedule, 0, last)?;
            let (mut images, mut started) = (0, Instant::now());
            for (i, batch) in batches.iter().take(steps + 1).enumerate() {
                if let Some((item, why)) = batch.unreadable.first() {
                    return Err(Error::input(format!("{}: {why}", data.train.name(*item))));
                }
                self.update(&batch.views, batch.groups.as_deref())?;
                next();
                // The first step waited for its batch alone.
                if i == 0 {
                    started = Instant::now();
                } else {
                    images += batch.images;
                }
            }
            Ok((images, started.elapsed().as_secs_f64()))
        })
    }
}
