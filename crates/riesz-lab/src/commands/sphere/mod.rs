//! `riesz sphere`: free points where losses put them, and what is proven of it.

mod minimize;
mod plot;
mod theory;

use crate::Result;

/// Arguments of `riesz sphere`.
#[derive(clap::Args)]
pub struct SphereArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Put free points where a loss or an energy is least, from many starts, and say what they are
    Minimize(minimize::MinimizeArgs),
    /// Pictures: a page that turns and plays the descent, a static SVG; the cosines and the Gram matrix
    Plot(plot::PlotArgs),
    /// The theorems about losses on the sphere as experiments: claimed, predicted, measured, verdict
    Theory(theory::TheoryArgs),
}

/// Does what was asked.
///
/// # Errors
/// Bad use, an interruption, or the disk refuses.
pub fn run(args: &SphereArgs) -> Result<()> {
    match &args.verb {
        Verb::Minimize(args) => minimize::run(args),
        Verb::Plot(args) => plot::run(args),
        Verb::Theory(args) => theory::run(args),
    }
}
