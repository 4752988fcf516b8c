//! `riesz reproduce`: the paper's experimental claims, tried by built-in grids, each with a verdict.

use std::path::PathBuf;

use super::sweep::{Worker, report};
use super::train::set_threads;
use crate::console::{errln, outln};
use crate::progress::duration;
use crate::recipe::Recipe;
use crate::sweep::{self, CLAIMS, Cell, Claim, Folder, Grid, Results, State, built_in};
use crate::train::{Plan, seconds_a_step};
use crate::{Result, device, interrupt};

/// Arguments of `riesz reproduce`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz reproduce small-batch             DHEL and KCL against NT-Xent and DCL, batches 32 to 512, three seeds
  riesz reproduce                         all claims
  riesz reproduce --time                  how long each would take here, and nothing else
  riesz reproduce dimensions --scale cifar

Claims: small-batch, hyperparameters, dimensions, batch-independence, gradients. What is finished is not run again, so a second
call only judges. Grids: recipes/sweeps in the repository; they can be run by `riesz sweep`, on many machines.")]
pub struct ReproduceArgs {
    /// The claim [default: all in turn]
    claim: Option<String>,
    /// cpu: built-in images, hours on two cores; cifar: CIFAR-10 and ResNet-18; paper: the paper's data and 200 epochs
    #[arg(long, default_value = "cpu", value_parser = ["cpu", "cifar", "paper"])]
    scale: String,
    /// The folder in which the grids' folders lie
    #[arg(long, default_value = "sweeps")]
    folder: PathBuf,
    /// Say how long it will take here, and run nothing
    #[arg(long, conflicts_with = "as_is")]
    time: bool,
    /// Judge by the cells that are finished, and run nothing
    #[arg(long)]
    as_is: bool,
    /// Where tensors live: cpu, or a GPU that the program was built for (`riesz train --help`)
    #[arg(long, default_value = "cpu")]
    device: String,
    /// CPU threads [default: all]
    #[arg(long)]
    threads: Option<usize>,
    /// No progress, only what was found
    #[arg(long)]
    quiet: bool,
}

/// Tries claims in turn.
///
/// # Errors
/// An unknown claim; data that are not there; a cell that failed; an interruption.
pub fn run(args: &ReproduceArgs) -> Result<()> {
    set_threads(args.threads)?;
    let claims: Vec<&Claim> = match &args.claim {
        Some(name) => vec![Claim::named(name)?],
        None => CLAIMS.iter().collect(),
    };
    interrupt::listen()?;
    for claim in claims {
        let grid = built_in(claim.grid, &args.scale)?;
        let folder = Folder::create_or_continue(&args.folder, &grid)?;
        outln!("{}\n  claim      {}", claim.name, claim.statement);
        let missing: Vec<&Cell> = unfinished(&grid, &folder)?;
        if !args.as_is && (args.time || !missing.is_empty()) {
            outln!("  time       {}", time(&grid, &missing, &args.device)?);
        }
        if args.time {
            continue;
        }
        if !args.as_is {
            let worker = Worker { grid: &grid, folder: &folder, device: &args.device, quiet: args.quiet };
            worker.run(&grid.cells.iter().collect::<Vec<_>>())?;
        }
        let results = Results::read(&folder)?;
        if !args.as_is && !missing.is_empty() {
            report(&folder, false)?;
        }
        for sentence in sweep::missing(&results) {
            errln!("missing    {sentence}");
        }
        // Data sets are judged one by one: a claim may hold on one and not on another.
        if !results.axes().contains(&"data") {
            judge(claim, &results, &folder, &args.device)?;
        }
        for data in results.settings("data") {
            outln!("  on {data}");
            judge(claim, &results.only("data", &data), &folder, &args.device)?;
        }
    }
    Ok(())
}

fn unfinished<'a>(grid: &'a Grid, folder: &Folder) -> Result<Vec<&'a Cell>> {
    let mut missing = Vec::new();
    for cell in &grid.cells {
        if folder.state(&cell.name)? != State::Finished {
            missing.push(cell);
        }
    }
    Ok(missing)
}

/// How long the missing cells will take, from a measured step of each batch size and data set.
fn time(grid: &Grid, missing: &[&Cell], device: &str) -> Result<String> {
    let device = device::open(device)?;
    // A step depends on what it trains and on how many images at once, and hardly on the loss or the seed.
    let mut measured: Vec<(String, f64)> = Vec::new();
    let mut seconds = 0.0;
    for cell in missing {
        let Recipe { data, encoder, augment, batch, views, accumulate, epochs, .. } = &cell.recipe;
        let kind = format!("{data:?} {encoder:?} {augment:?} {batch} {views} {accumulate}");
        let known = measured.iter().find(|(known, _)| *known == kind).map(|(_, seconds)| *seconds);
        let epoch = match known {
            Some(epoch) => epoch,
            None => {
                let plan = Plan::new(cell.recipe.clone(), device.clone())?;
                let epoch = seconds_a_step(&plan)? * plan.steps() as f64 / *epochs as f64;
                measured.push((kind, epoch));
                epoch
            }
        };
        seconds += epoch * *epochs as f64;
    }
    Ok(format!(
        "{} of {} cells are to be run: about {} of training here, by a measured step of each size; measuring and evaluating come \
         on top",
        missing.len(),
        grid.cells.len(),
        duration(seconds)
    ))
}

/// Says what was found.
fn judge(claim: &Claim, results: &Results, folder: &Folder, device: &str) -> Result<()> {
    let finding = claim.judge(results, folder, &device::open(device)?)?;
    outln!("  cells      {} of {} finished", results.lines.len(), results.contents.cells.len());
    outln!("  found      {}", finding.effect);
    for detail in &finding.details {
        outln!("             {detail}");
    }
    outln!("  verdict    {}\n", finding.judgement.words());
    Ok(())
}
