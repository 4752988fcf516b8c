//! `riesz bench train`: how fast a recipe trains on this machine.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::train::TrainArgs;
use crate::console::outln;
use crate::progress::Progress;
use crate::throughput::{self, PARTS, Throughput};
use crate::train::Plan;
use crate::{Error, Result, device, environment, interrupt};

/// Arguments of `riesz bench train`.
#[derive(clap::Args, Clone)]
#[command(after_help = "Examples:
  riesz bench train
  riesz bench train photos/ --recipe folder-32 --batch 64 --backbone resnet18 --json
  riesz bench train --loss mv-dhel --views 4

The parts of a step are measured one after another, each with all threads: decode, augment, forward, loss, backward, optimizer.
Then the loop, which prepares batches on another thread while it trains; every image is decoded, as in a run's first epoch.
A fair number needs a quiet machine.")]
pub struct BenchTrainArgs {
    /// Images, as `riesz train` takes them; without it, the recipe's
    data: Option<String>,
    /// A recipe file or the name of a built-in recipe
    #[arg(long)]
    recipe: Option<String>,
    /// Images a step
    #[arg(long)]
    batch: Option<usize>,
    /// Views of each image in a step: more than two for losses of several, such as mv-dhel
    #[arg(long, value_name = "K")]
    views: Option<usize>,
    /// The loss by name, as `riesz train --loss`
    #[arg(long)]
    loss: Option<String>,
    /// The backbone: resnet18, resnet34, resnet50, resnet-small, vit-tiny, vit-small, vit-base
    #[arg(long)]
    backbone: Option<String>,
    /// Any recipe key: --set accumulate=4 (again for more)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// As `riesz train --recompute`
    #[arg(long)]
    recompute: bool,
    /// Seconds for both measurements; three steps of each are made however long they take
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// CPU threads [default: all]
    #[arg(long)]
    threads: Option<usize>,
    /// JSON, for machines
    #[arg(long)]
    json: bool,
    /// No progress
    #[arg(long)]
    quiet: bool,
}

/// Measures and prints.
///
/// # Errors
/// Bad use or input.
pub fn run(args: &BenchTrainArgs) -> Result<()> {
    super::train::set_threads(args.threads)?;
    let time = Duration::try_from_secs_f64(args.seconds)
        .map_err(|_| Error::input(format!("--seconds is {}; it must be 0 or more", args.seconds)))?;
    let BenchTrainArgs { data, recipe, batch, views, loss, backbone, set, .. } = args.clone();
    let train = TrainArgs::of(data, recipe, batch, views, loss, backbone, set);
    let (recipe, origin) = train.resolved()?;
    let plan = Plan { recomputes: args.recompute, ..Plan::new(recipe, device::open("cpu")?)? };
    interrupt::listen()?;
    let measuring = interrupt::expendable("interrupted; nothing was printed".to_owned());
    let mut progress = Progress::new("measuring", "s", 0, time.as_secs().max(1), args.quiet);
    let (started, mut shown) = (std::time::Instant::now(), 0);
    let measured = throughput::measure(&plan, time, &mut || {
        let reached = started.elapsed().as_secs().min(time.as_secs());
        progress.advance(reached.saturating_sub(shown), || "steps".to_owned());
        shown = shown.max(reached);
    })?;
    progress.finish();
    drop(measuring);
    if args.json {
        print_json(&plan, &origin, &measured)
    } else {
        print_table(&plan, &origin, &measured)
    }
    Ok(())
}

fn print_json(plan: &Plan, origin: &str, measured: &Throughput) {
    let parts: Map<String, Value> = PARTS
        .iter()
        .enumerate()
        .map(|(i, part)| {
            let seconds = &measured.parts[i];
            let value = json!({
                "median": measured.median(i),
                "fastest": seconds.first(),
                "slowest": seconds.last(),
            });
            ((*part).to_owned(), value)
        })
        .collect();
    let report = json!({
        "schema_version": 1,
        "recipe": origin,
        "data": plan.data.name,
        "encoder": plan.recipe.encoder,
        "view": [plan.augment.size(), plan.augment.size(), plan.augment.channels()],
        "batch": measured.batch,
        "views": measured.views,
        "accumulate": plan.recipe.accumulate,
        "recompute": plan.recomputes,
        "threads": rayon::current_num_threads(),
        "processor": environment::processor(),
        "steps": measured.parts[0].len(),
        "seconds": parts,
        "images_per_second": measured.images_per_second(),
        "loop_images": measured.looped.0,
        "loop_seconds": measured.looped.1,
        "operations": 2.0 * measured.multiply_adds,
        "product_gflops": 2e-9 * measured.product,
        "product_shape": [measured.side, measured.side, measured.side],
        "share": measured.share(),
        "peak_bytes": measured.peak,
    });
    outln!("{report}");
}

fn print_table(plan: &Plan, origin: &str, measured: &Throughput) {
    let (size, channels, batch) = (plan.augment.size(), plan.augment.channels(), measured.batch);
    outln!(
        "{origin}, {}, {} views of {size} × {size} × {channels} of each of {batch} images a step, {} at a time, threads: {}, {}\n",
        plan.data.name,
        measured.views,
        batch / plan.recipe.accumulate,
        rayon::current_num_threads(),
        environment::processor()
    );
    let total: f64 = (0..PARTS.len()).map(|i| measured.median(i)).sum();
    outln!("{:<12}{:>10}{:>19}{:>8}{:>12}", "part", "ms", "fastest–slowest", "share", "images/s");
    for (i, part) in PARTS.iter().enumerate() {
        let (median, seconds) = (measured.median(i), &measured.parts[i]);
        outln!(
            "{part:<12}{:>10.2}{:>19}{:>6.0} %{:>12.0}",
            1e3 * median,
            format!("{:.2}–{:.2}", 1e3 * seconds[0], 1e3 * seconds[seconds.len() - 1]),
            100.0 * median / total,
            batch as f64 / median
        );
    }
    outln!("{:<12}{:>10.2}{:>19}{:>8}{:>12.0}", "together", 1e3 * total, "", "", batch as f64 / total);
    outln!(
        "\nloop: {:.0} images/s ({} images in {:.1} s, every one decoded, batches prepared meanwhile)",
        measured.images_per_second(),
        measured.looped.0,
        measured.looped.1
    );
    outln!(
        "network: {:.0} GFLOP/s of what the definition counts, {:.0} % of a matrix product's {:.0} (a side of {})",
        2e-9 * measured.product * measured.share(),
        100.0 * measured.share(),
        2e-9 * measured.product,
        measured.side
    );
    if let Some(peak) = measured.peak {
        outln!("memory: at most {:.0} MB more than before", peak as f64 / 1e6);
    }
    outln!("\nms: median of {} steps, each part with all threads.", measured.parts[0].len());
}
