//! `riesz sphere plot`: pictures of where losses put points.

use std::path::PathBuf;

use riesz::sphere::minimize::Problem;

use super::minimize::Over;
use crate::commands::loss_flags::canonical;
use crate::commands::outputs;
use crate::console::outln;
use crate::loss_recipe::{self, LossRecipe};
use crate::progress::Progress;
use crate::sphere::Subject;
use crate::sphere::plot::{Panel, html, svg};
use crate::{Error, Result, atomic, interrupt};

/// Arguments of `riesz sphere plot`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz sphere plot --loss dhel --beside nt-xent,info-nce,kcl --points 12 --dim 3 --html sphere.html
  riesz sphere plot --kernel riesz --exponent 1 --points 32 --dim 3 --svg thomson.svg
  riesz sphere plot --kernel riesz --exponent 1 --points 120 --dim 4 --html cell.html

In three dimensions the page turns with the mouse and plays the descent; in others it shows the cosines of the pairs and the
Gram matrix. Every panel is the best of the starts.")]
pub(super) struct PlotArgs {
    #[command(flatten)]
    over: Over,
    /// More losses by name, at their papers' settings, a panel each; of as many --views
    #[arg(long, value_delimiter = ',', value_name = "LOSS")]
    beside: Vec<String>,
    /// Random starts of each panel
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    starts: u64,
    /// Write the interactive page, one HTML file
    #[arg(long)]
    html: Option<PathBuf>,
    /// Write the static picture
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// Searches and draws.
///
/// # Errors
/// Bad use; an interruption; or the disk refuses.
pub(super) fn run(args: &PlotArgs) -> Result<()> {
    let verb = "riesz sphere plot";
    if args.html.is_none() && args.svg.is_none() {
        return Err(Error::input(format!("{verb}: where to? --html FILE or --svg FILE is expected")));
    }
    for picture in [&args.html, &args.svg].into_iter().flatten() {
        outputs::check(picture, [])?;
    }
    let settings = args.over.settings(verb)?;
    let first = args.over.subject(verb, args.starts)?;
    let (points, dim, tolerance) = (first.problem.points(), first.problem.dim(), first.tolerance);
    let mut subjects: Vec<Subject> = vec![first];
    for name in &args.beside {
        let table = loss_recipe::renamed(None, &canonical(name));
        let recipe: LossRecipe = table.try_into().map_err(|error: toml::de::Error| {
            Error::input(format!("{verb} --beside {name}: {}", error.message()))
        })?;
        // Refused before anything is searched.
        let problem = Problem::new(recipe.loss()?, points, dim, args.over.views.unwrap_or(2))
            .map_err(|error| Error::from(error).at(format!("{verb} --beside {name}")))?;
        subjects.push(Subject { words: recipe.describe(), problem, tolerance });
    }
    interrupt::listen()?;
    let mut progress = Progress::new("drawing", "panels", 0, subjects.len() as u64, false);
    let mut panels = Vec::new();
    for subject in &subjects {
        let panel =
            Panel::new(subject, args.starts, args.over.key(), settings).map_err(|error| error.at(verb))?;
        let name = panel.recognized.as_deref().unwrap_or("unknown");
        outln!("{}: {name}, value {}, {} frames", panel.words, panel.value, panel.frames.len());
        progress.advance(1, || panel.words.clone());
        panels.push(panel);
    }
    progress.finish();
    if let Some(path) = &args.html {
        let title = format!("{points} points on the sphere of {dim} dimensions");
        atomic::write_bytes(path, html(&title, &panels)?.as_bytes())?;
    }
    if let Some(path) = &args.svg {
        atomic::write_bytes(path, svg(&panels).as_bytes())?;
    }
    Ok(())
}
