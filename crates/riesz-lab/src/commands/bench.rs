//! `riesz bench`: how fast losses are evaluated on this machine, and how fast it trains ([`super::bench_train`]).

use std::time::Duration;

use riesz::loss::Loss;
use serde_json::{Value, json};

use super::loss::Dtype;
use super::loss_flags::canonical;
use crate::console::outln;
use crate::device::{self, Device};
use crate::loss_recipe::{self, ConventionRecipe, LossRecipe};
use crate::progress::Progress;
use crate::speed::{Cpu, PARTS, Place, Size, Speed};
use crate::{Error, Result, environment, interrupt, memory, room};

/// Arguments of `riesz bench`.
#[derive(clap::Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Value and gradient of losses on unit rows: time, operations a second, memory
    Loss(LossArgs),
    /// A recipe's training on the CPU: images a second, the parts of a step, memory
    Train(super::bench_train::BenchTrainArgs),
}

/// Arguments of `riesz bench loss`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz bench loss
  riesz bench loss dhel nt-xent --m 1024,65536 --d 128,512 --json
  riesz bench loss dhel kcl --convention reference --precision f64 --threads 1

M is the number of images of a batch, as in the papers: with two views, M matched pairs and 2M rows. GFLOP/s count what the
symmetric scheme needs (docs/engine.md), and \"product\" is that of a square matrix product on the same threads, timed in
between. A fair number needs a quiet machine. On a GPU (--device) rows are raw, as training has them there, and chunks of rows
meet all: three products of all ordered pairs.")]
struct LossArgs {
    /// Losses by name, as `riesz loss` knows them, at their papers' settings
    #[arg(value_name = "LOSS", default_values = ["dhel", "nt-xent", "kcl", "dcl"], hide_default_value = true)]
    losses: Vec<String>,
    /// Images of a batch
    #[arg(long, value_delimiter = ',', default_values_t = [256, 1024, 4096, 16384])]
    m: Vec<usize>,
    /// Dimensions of a row
    #[arg(long, value_delimiter = ',', default_values_t = [128])]
    d: Vec<usize>,
    /// Precision of the rows
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    precision: Dtype,
    /// Views of each image
    #[arg(long, default_value_t = 2)]
    views: usize,
    /// DHEL's and KCL's published form [default: paper]
    #[arg(long, value_enum)]
    convention: Option<ConventionRecipe>,
    /// Seconds for the calls of a loss at one size; three calls are made however long they take
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// CPU threads [default: all]
    #[arg(long)]
    threads: Option<usize>,
    /// Where: cpu, or a GPU that the program was built for
    #[arg(long, default_value = "cpu")]
    device: String,
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
/// Bad use.
pub fn run(args: &BenchArgs) -> Result<()> {
    match &args.verb {
        Verb::Loss(args) => run_loss(args),
        Verb::Train(args) => super::bench_train::run(args),
    }
}

fn run_loss(args: &LossArgs) -> Result<()> {
    memory::one_arena();
    super::train::set_threads(args.threads)?;
    let losses = args.losses()?;
    let sizes = args.sizes()?;
    let time = Duration::try_from_secs_f64(args.seconds)
        .map_err(|_| Error::input(format!("--seconds is {}; it must be 0 or more", args.seconds)))?;
    interrupt::listen()?;
    let measuring = interrupt::expendable("interrupted; nothing was printed".to_owned());
    let bench = Bench { losses, sizes, time, quiet: args.quiet };
    let device = device::open(&args.device)?;
    let on = device.described(&args.device);
    let mut place: Box<dyn Place> = match (args.precision, &device) {
        (Dtype::F32, Device::Cpu) => Box::new(Cpu::<f32>::new()),
        (Dtype::F64, Device::Cpu) => Box::new(Cpu::<f64>::new()),
        #[cfg(feature = "gpu")]
        (Dtype::F32, Device::Gpu(device)) => Box::new(crate::speed::OnDevice::new(device)?),
        #[cfg(feature = "gpu")]
        (Dtype::F64, Device::Gpu(_)) => {
            return Err(Error::input(format!("--precision f64: {on} computes in f32")));
        }
    };
    let rows = bench.run(&mut *place)?;
    drop(measuring);
    if args.json {
        print_json(args, &rows, &on, place.side())
    } else {
        print_table(args, &rows, &on, place.side())
    }
    Ok(())
}

impl LossArgs {
    fn is_on_cpu(&self) -> bool {
        self.device == "cpu"
    }

    fn losses(&self) -> Result<Vec<(LossRecipe, Loss)>> {
        let mut own = toml::Table::new();
        if let Some(convention) = self.convention {
            let value = toml::Value::try_from(convention).map_err(|error| Error::input(error.to_string()))?;
            own.insert("convention".to_owned(), value);
        }
        let loss = |name: &String| {
            let recipe: LossRecipe = loss_recipe::renamed(Some(&own), &canonical(name)).try_into().map_err(
                |error: toml::de::Error| {
                    Error::input(format!("riesz bench loss {name}: {}", error.message().replace('\n', ", ")))
                },
            )?;
            let loss = recipe.loss()?;
            if loss.terms.iter().any(|term| term.focus.is_some()) && self.views != 2 {
                return Err(Error::input(format!("--views is {}; {name} is defined for 2", self.views)));
            }
            Ok((recipe, loss))
        };
        self.losses.iter().map(loss).collect()
    }

    /// Every size that was asked for, checked before the first is measured.
    fn sizes(&self) -> Result<Vec<Size>> {
        let least = |flag: &str, value: usize, least: usize, why: &str| {
            if value < least {
                return Err(Error::input(format!("--{flag} is {value}; {why} at least {least}")));
            }
            Ok(())
        };
        least("views", self.views, 2, "a contrastive loss needs")?;
        let mut sizes = Vec::new();
        for &dim in &self.d {
            least("d", dim, 1, "a row has")?;
            for &images in &self.m {
                least("m", images, 2, "a contrastive loss needs")?;
                let bytes: u128 = match self.precision {
                    Dtype::F32 => 4,
                    Dtype::F64 => 8,
                };
                // The rows, their transpose and their gradient.
                room::check(
                    || format!("--m {images} --d {dim} with --views {}", self.views),
                    room::bytes(3 * bytes, &[self.views, images, dim]),
                )?;
                sizes.push(Size { images, views: self.views, dim });
            }
        }
        Ok(sizes)
    }
}

/// What is measured.
struct Bench {
    losses: Vec<(LossRecipe, Loss)>,
    sizes: Vec<Size>,
    time: Duration,
    quiet: bool,
}

/// A loss at one size.
struct Row<'a> {
    recipe: &'a LossRecipe,
    size: Size,
    speed: Speed,
}

impl Bench {
    fn run(&self, place: &mut dyn Place) -> Result<Vec<Row<'_>>> {
        let rate = place.rate()?;
        let cells = || self.losses.iter().flat_map(|loss| self.sizes.iter().map(move |size| (loss, *size)));
        // Progress counts the seconds that the calls will take, as far as one can know.
        let expected = |place: &dyn Place, loss: &Loss, size: Size| -> f64 {
            let call = place.multiply_adds(loss, size) / (0.7 * rate);
            self.time.as_secs_f64().max(PARTS as f64 * call) + call
        };
        let total: f64 = cells().map(|((_, loss), size)| expected(place, loss, size)).sum();
        let mut progress = Progress::new("measuring", "s", 0, total.ceil() as u64, self.quiet);
        let (mut done, mut shown) = (0.0, 0);
        let mut rows = Vec::new();
        for ((recipe, loss), size) in cells() {
            let name = format!("{}, M {}, d {}", recipe.name(), size.images, size.dim);
            let expected = expected(place, loss, size);
            let started = std::time::Instant::now();
            let mut reach = |seconds: f64| {
                let reached = (done + seconds) as u64;
                progress.advance(reached.saturating_sub(shown), || name.clone());
                shown = shown.max(reached);
            };
            reach(0.0);
            let mut called = || reach(started.elapsed().as_secs_f64().min(expected));
            let speed = place.measure(loss, size, self.time, &mut called)?;
            done += expected;
            rows.push(Row { recipe, size, speed });
        }
        progress.finish();
        Ok(rows)
    }
}

fn precision(args: &LossArgs) -> &'static str {
    match args.precision {
        Dtype::F32 => "f32",
        Dtype::F64 => "f64",
    }
}

fn print_json(args: &LossArgs, rows: &[Row<'_>], device: &str, side: usize) {
    let measured: Vec<Value> = rows
        .iter()
        .map(|Row { recipe, size, speed }| {
            json!({
                "loss": recipe,
                "images": size.images,
                "views": size.views,
                "dim": size.dim,
                "calls": speed.seconds.len(),
                "seconds": {
                    "median": speed.median(),
                    "fastest": speed.seconds.first(),
                    "slowest": speed.seconds.last(),
                },
                "operations": 2.0 * speed.multiply_adds,
                "gflops": 2e-9 * speed.multiply_adds / speed.median(),
                "product_gflops": 2e-9 * speed.product,
                "share": speed.share(),
                "extra_bytes": speed.extra,
            })
        })
        .collect();
    let report = json!({
        "schema_version": 1,
        "precision": precision(args),
        "threads": rayon::current_num_threads(),
        "processor": environment::processor(),
        "device": device,
        "product_shape": [side, side, side],
        "measured": measured,
    });
    outln!("{report}");
}

fn print_table(args: &LossArgs, rows: &[Row<'_>], device: &str, side: usize) {
    let (precision, views) = (precision(args), args.views);
    if args.is_on_cpu() {
        let (threads, processor) = (rayon::current_num_threads(), environment::processor());
        outln!(
            "value and gradient with respect to unit rows, {precision}, {views} views, threads: {threads}, {processor}"
        );
    } else {
        outln!("value and gradient with respect to raw rows, {precision}, {views} views, {device}");
    }
    let mut told: Vec<&LossRecipe> = Vec::new();
    for Row { recipe, .. } in rows {
        if !told.contains(recipe) {
            told.push(recipe);
            outln!("{}", recipe.describe());
        }
    }
    outln!(
        "\n{:<18}{:>8}{:>6}{:>11}{:>19}{:>6}{:>9}{:>9}{:>7}{:>10}",
        "loss",
        "M",
        "d",
        "ms",
        "fastest–slowest",
        "n",
        "GFLOP/s",
        "product",
        "share",
        "extra MB"
    );
    for Row { recipe, size, speed } in rows {
        let milliseconds = |seconds: f64| decimals(1e3 * seconds);
        let ends = [0, speed.seconds.len() - 1].map(|place| milliseconds(speed.seconds[place]));
        outln!(
            "{:<18}{:>8}{:>6}{:>11}{:>19}{:>6}{:>9.1}{:>9.1}{:>5.0} %{:>10}",
            recipe.name(),
            size.images,
            size.dim,
            milliseconds(speed.median()),
            ends.join("–"),
            speed.seconds.len(),
            2e-9 * speed.multiply_adds / speed.median(),
            2e-9 * speed.product,
            100.0 * speed.share(),
            speed.extra.map_or_else(|| "–".to_owned(), |bytes| format!("{:.1}", bytes as f64 / 1e6))
        );
    }
    let (counted, of_product) = if args.is_on_cpu() {
        ("only what the symmetric scheme needs", "on the same threads")
    } else {
        ("three products of all ordered pairs that are compared", "there")
    };
    outln!(
        "\nM: images of a batch, as in the papers (with two views M matched pairs, 2M rows). ms: median of n calls; how many\n\
         is chosen by time ({} s), three at least. GFLOP/s: {counted}. product: a {side} × {side} × {side}\n\
         product {of_product}, the median of {PARTS} between the calls. extra: beyond rows and gradients, {}.",
        args.seconds,
        if rows.iter().any(|row| row.speed.extra.is_some()) {
            "by the\nresident high-water mark of the first call, to a few hundred kB"
        } else {
            "not measured\nhere (Linux alone tells, and the CPU's)"
        }
    );
}

/// Three digits or more.
fn decimals(x: f64) -> String {
    match x {
        ..10.0 => format!("{x:.3}"),
        ..100.0 => format!("{x:.2}"),
        ..1000.0 => format!("{x:.1}"),
        _ => format!("{x:.0}"),
    }
}
