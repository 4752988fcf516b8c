//! `riesz recipes`: the built-in recipes, to list or to print.

use crate::Result;
use crate::console::{out, outln};
use crate::recipe::{BUILT_IN, BuiltIn};

/// Arguments of `riesz recipes`.
#[derive(clap::Args)]
pub struct RecipesArgs {
    /// The recipe to print; without it, all are listed
    name: Option<String>,
}

/// Lists or prints.
///
/// # Errors
/// If there is no such recipe.
pub fn run(args: &RecipesArgs) -> Result<()> {
    match &args.name {
        Some(name) => out!("{}", BuiltIn::named(name)?.text),
        None => {
            for recipe in BUILT_IN {
                let head = recipe.text.lines().next().unwrap_or_default().trim_start_matches("# ");
                outln!("{:<20} {head}", recipe.name);
            }
        }
    }
    Ok(())
}
