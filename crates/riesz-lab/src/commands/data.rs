//! `riesz data`: known data sets; what lies at a path; fetching.

use std::path::PathBuf;

use rayon::prelude::*;

use crate::console::{on_a_row, outln};
use crate::data::{self, BUILT_IN, DataRecipe, Dataset, KNOWN, Known, cache, fetch, megabytes};
use crate::interrupt;
use crate::progress::Progress;
use crate::{Error, Result};

/// Arguments of `riesz data`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz data list
  riesz data show photos/
  riesz data show photos/ --check
  riesz data fetch cifar10")]
pub struct DataArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Known data sets, and where they are on this machine
    List {
        /// JSON, for machines
        #[arg(long)]
        json: bool,
    },
    /// What opens at a name or path: images, classes, sizes
    Show {
        /// A known name, a folder, a tar, or IDX, CIFAR or STL-10 files
        source: String,
        /// auto, folders, none, or a table (.csv, .tsv, .txt) with a header such as name,label
        #[arg(long, default_value = "auto")]
        labels: String,
        /// Decode every image and list those that cannot be read; exit code 1 if there are any
        #[arg(long)]
        check: bool,
    },
    /// Fetch a known data set from its official address, and unpack it; an interrupted fetch goes on
    Fetch {
        /// fashion-mnist, cifar10, cifar100 or stl10
        name: String,
        /// The folder to fetch into [default: the user's cache, where `riesz train NAME` finds it]
        #[arg(long)]
        to: Option<PathBuf>,
        /// Another address that has the same files
        #[arg(long)]
        mirror: Option<String>,
        /// No progress
        #[arg(long)]
        quiet: bool,
    },
}

/// Lists, shows or fetches.
///
/// # Errors
/// Bad use or input, or network or disk refuse.
pub fn run(args: &DataArgs) -> Result<()> {
    match &args.verb {
        Verb::List { json } => list(*json),
        Verb::Show { source, labels, check: false } => show(source, labels),
        Verb::Show { source, labels, check: true } => check(source, labels),
        Verb::Fetch { name, to, mirror, quiet } => {
            let known = Known::named(name).ok_or_else(|| {
                let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
                Error::input(format!(
                    "no data set that can be fetched is called `{name}`; there are {}",
                    names.join(", ")
                ))
            })?;
            let folder = match to {
                Some(folder) => folder.clone(),
                None => cache()
                    .ok_or_else(|| {
                        Error::input("neither XDG_CACHE_HOME nor HOME is set; say where with --to")
                    })?
                    .join(known.name),
            };
            interrupt::listen()?;
            for path in fetch::fetch(known, &folder, mirror.as_deref(), *quiet)? {
                outln!("{}", path.display());
            }
            Ok(())
        }
    }
}

fn list(json: bool) -> Result<()> {
    if json {
        let sets: Vec<serde_json::Value> = KNOWN
            .iter()
            .map(|known| {
                serde_json::json!({
                    "name": known.name,
                    "about": known.about,
                    "bytes": known.bytes(),
                    "place": known.find().ok().map(|place| place.display().to_string()),
                })
            })
            .collect();
        outln!("{}", serde_json::json!({ "schema_version": 1, "built_in": BUILT_IN, "data": sets }));
        return Ok(());
    }
    outln!(
        "{BUILT_IN:<18} 10,000 + 2,000 grey 28 × 28 of Fashion-MNIST, 10 classes (MIT)\n{:<18} built in",
        ""
    );
    for known in KNOWN {
        outln!("{:<18} {}", known.name, known.about);
        match known.find() {
            Ok(place) => outln!("{:<18} at {}", "", place.display()),
            Err(_) if known.places().iter().any(|place| known.is_unfinished(place)) => {
                outln!("{:<18} fetched in part; `riesz data fetch {}` goes on", "", known.name);
            }
            Err(_) => outln!(
                "{:<18} not here; `riesz data fetch {}` downloads {}",
                "",
                known.name,
                megabytes(known.bytes())
            ),
        }
    }
    Ok(())
}

fn open(source: &str, labels: &str) -> Result<Dataset> {
    let recipe = DataRecipe {
        source: source.to_owned(),
        labels: data::labels_here(labels),
        held_out: 0.1,
        limit: None,
    };
    data::open(&recipe, 1)
}

/// Images that are decoded between two looks at the clock.
const CHUNK: usize = 256;

/// Lists the images that cannot be read.
fn check(source: &str, labels: &str) -> Result<()> {
    let (images, _) = open(source, labels)?.all();
    let mut progress = Progress::new("reading", "images", 0, images.len() as u64, false);
    let mut unreadable = 0;
    for first in (0..images.len()).step_by(CHUNK) {
        let items = first..images.len().min(first + CHUNK);
        let read = items.len() as u64;
        let reasons: Vec<Option<String>> =
            items.into_par_iter().map(|item| Some(images.image(item).err()?.to_string())).collect();
        // The errors of a source open with the item's name.
        for reason in reasons.into_iter().flatten() {
            unreadable += 1;
            outln!("{reason}");
        }
        let rate = progress.rate();
        progress.advance(read, || format!("{rate:.0} images/s"));
    }
    progress.finish();
    if unreadable > 0 {
        return Err(Error::check(format!("{unreadable} of {} images cannot be read", images.len())));
    }
    outln!("all {} images can be read", images.len());
    Ok(())
}

fn show(source: &str, labels: &str) -> Result<()> {
    let dataset = open(source, labels)?;
    let (side, channels) = dataset.typical_size()?;
    outln!("{}", dataset.name);
    outln!("training   {} images", dataset.train.len());
    outln!("held out   {} images", dataset.test.len());
    outln!("images     shorter side usually {side}, {}", if channels == 3 { "color" } else { "grey" });
    if dataset.classes.is_empty() {
        outln!("classes    no labels");
    } else {
        let named: Vec<_> = dataset.classes.iter().take(12).map(|class| on_a_row(class)).collect();
        let more = if dataset.classes.len() > named.len() { ", …" } else { "" };
        outln!("classes    {}: {}{more}", dataset.classes.len(), named.join(", "));
    }
    for note in &dataset.notes {
        outln!("note       {note}");
    }
    for index in 0..dataset.train.len().min(3) {
        outln!("for example {}", on_a_row(&dataset.train.name(index)));
    }
    Ok(())
}
