//! `riesz sphere`: free points where losses put them, and what is proven of it.

mod minimize;

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
}

/// Does what was asked.
///
/// # Errors
/// Bad use, an interruption, or the disk refuses.
pub fn run(args: &SphereArgs) -> Result<()> {
    match &args.verb {
        Verb::Minimize(args) => minimize::run(args),
    }
}
