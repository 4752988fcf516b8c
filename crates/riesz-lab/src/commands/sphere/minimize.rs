//! `riesz sphere minimize`: many descents of free points, and the best of them told.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use riesz::loss::Loss;
use riesz::rng::Key;
use riesz::sphere::found::{EQUAL, Found, NOWHERE};
use riesz::sphere::minimize::{Problem, Settings};

use crate::commands::loss_flags::LossFlags;
use crate::commands::outputs;
use crate::console::outln;
use crate::progress::Progress;
use crate::sphere::Subject;
use crate::{Error, Result, embeddings, interrupt, room};

/// Arguments of `riesz sphere minimize`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz sphere minimize --kernel riesz --exponent 1 --points 12 --dim 3
  riesz sphere minimize --loss dhel --points 9 --dim 8
  riesz sphere minimize --loss kcl --kernel logarithmic --points 6 --dim 4 --starts 100 --json
  riesz sphere minimize --kernel riesz --exponent 4 --points 240 --dim 8 --output e8.npy

With --loss the points are matched pairs (--views 2) and every loss of `riesz loss` is taken; with --kernel alone one set
repels itself, and the value is the mean of the kernel over its pairs. Points begin uniform; with several views every
second start has an image's points near each other. The gradient's norm is along the spheres, relative to the value.
Ctrl-C prints the best so far and exits with 130. docs/sphere.md says what a certificate means.")]
pub(super) struct MinimizeArgs {
    #[command(flatten)]
    pub(super) over: Over,
    /// Random starts
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    starts: u64,
    /// Write the best points to this .npy file, view above view
    #[arg(long)]
    output: Option<PathBuf>,
    /// JSON, for machines
    #[arg(long)]
    json: bool,
}

/// What is minimized over what.
#[derive(clap::Args)]
pub(super) struct Over {
    /// The loss by name; without it, --kernel names the energy of one set
    #[arg(long)]
    loss: Option<String>,
    #[command(flatten)]
    flags: LossFlags,
    /// Points N: images of a batch
    #[arg(long)]
    points: usize,
    /// Dimensions d of the space: the sphere is that of unit vectors in it
    #[arg(long)]
    dim: usize,
    /// Views of each image [default: 2 with --loss, 1 with --kernel alone]
    #[arg(long)]
    pub(super) views: Option<usize>,
    /// Seed of the starts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Converged when the gradient's norm is this share of the value
    #[arg(long, default_value_t = 1e-12)]
    tolerance: f64,
    /// Steps of a descent at most
    #[arg(long, default_value_t = 20_000)]
    iterations: usize,
    /// Cosines nearer than this are counted as equal
    #[arg(long, default_value_t = EQUAL)]
    equal: f64,
}

impl Over {
    pub(super) fn key(&self) -> Key {
        Key::new(self.seed).stream("sphere")
    }

    pub(super) fn settings(&self, verb: &str) -> Result<Settings> {
        for (flag, value) in [("--tolerance", self.tolerance), ("--equal", self.equal)] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::input(format!(
                    "{verb}: {flag} is {value}; from 0 to below 1 is expected"
                )));
            }
        }
        Ok(Settings::default().with_tolerance(self.tolerance).with_iterations(self.iterations))
    }

    /// What the flags say, checked, with room for so many starts.
    pub(super) fn subject(&self, verb: &str, starts: u64) -> Result<Subject> {
        let (loss, words, views) = match &self.loss {
            Some(name) => {
                let recipe = self.flags.recipe(verb, name)?;
                (recipe.loss()?, recipe.describe(), self.views.unwrap_or(2))
            }
            None => {
                let kernel = self.flags.kernel(verb)?;
                let loss = Loss::energy((&kernel).into()).map_err(|error| Error::from(error).at(verb))?;
                (loss, format!("energy, {}", kernel.describe()), self.views.unwrap_or(1))
            }
        };
        let problem =
            Problem::new(loss, self.points, self.dim, views).map_err(|error| Error::from(error).at(verb))?;
        let what = || format!("{verb} --points {} --dim {} --starts {starts}", self.points, self.dim);
        // Each start's points, and all cosines of one.
        let cosines = room::bytes(4, &[self.points, self.points]);
        room::check(what, u128::from(problem.bytes(starts)).saturating_add(cosines))?;
        Ok(Subject { words, problem, tolerance: self.equal })
    }
}

/// Searches and prints.
///
/// # Errors
/// Bad use; no start has a finite value; an interruption, after the best so far is printed; or the disk refuses.
pub(super) fn run(args: &MinimizeArgs) -> Result<()> {
    let verb = "riesz sphere minimize";
    let settings = args.over.settings(verb)?;
    let subject = args.over.subject(verb, args.starts)?;
    args.output.as_ref().map_or(Ok(()), |points| outputs::check(points, []))?;
    interrupt::listen()?;
    let best = Mutex::new(f64::INFINITY);
    let progress = Mutex::new(Progress::new("descending", "starts", 0, args.starts, args.json));
    let minima = subject.problem.search_watched(
        args.over.key(),
        args.starts,
        settings,
        &|| !interrupt::asked(),
        &|minimum| {
            let mut best = best.lock().unwrap_or_else(PoisonError::into_inner);
            *best = best.min(minimum.value);
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.advance(1, || format!("best {best}"));
        },
    );
    progress.lock().unwrap_or_else(PoisonError::into_inner).finish();
    let found = Found::new(&subject.problem, minima, subject.tolerance);
    if found.best().is_none() && !interrupt::asked() {
        return Err(Error::input(format!("{verb}: {}: {NOWHERE}", subject.words)));
    }
    if args.json {
        outln!("{}", subject.json(&found));
    } else {
        outln!("{}", subject.text(&found));
    }
    if let (Some(path), Some((_, minimum))) = (&args.output, found.best()) {
        embeddings::write_npy(path, &minimum.rows)?;
    }
    if interrupt::asked() {
        return Err(Error::interrupted(format!(
            "interrupted after {} of {} starts; the best so far is above",
            found.minima.len(),
            args.starts
        )));
    }
    Ok(())
}
