//! `riesz duplicates`: images, or rows of any embeddings, that are nearly or exactly the same.

use std::path::PathBuf;

use super::asked::Asked;
use crate::console::{on_a_row, outln};
use crate::index::Searched;
use crate::index::duplicates::{self, Found, Gallery};
use crate::progress::Progress;
use crate::{Error, Result, interrupt};

/// Arguments of `riesz duplicates`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz duplicates runs/photos
  riesz duplicates runs/photos photos/
  riesz duplicates runs/photos --index photos.parquet --output duplicates.html
  riesz duplicates runs/photos --index photos.parquet --above 0.995 --json
  riesz duplicates embeddings.npy                        rows of any model, in any file that `riesz geometry` reads

A group is what cosines of the encoder's rows of at least --above connect, directly or over other images, and what has the same
pixels (of a file of embeddings: the same numbers, as those of texts that are the same). Only exact copies could go unseen: a group is a chain, whose ends may be far apart; each image is told with its cosine
with the first of its group. All pairs are compared: 100,000 images are 5 billion pairs.")]
pub struct DuplicatesArgs {
    /// The run folder, or a file of embeddings
    #[arg(value_name = "RUN|EMBEDDINGS")]
    run: PathBuf,
    /// The images: anything that `riesz train` takes [default: all of the run's own]
    images: Option<String>,
    /// The cosine from which two images count as nearly the same
    #[arg(long, value_name = "COSINE", default_value_t = 0.98)]
    above: f64,
    #[command(flatten)]
    asked: Asked,
}

/// Groups that are printed, and images of each.
const PRINTED: (usize, usize) = (20, 8);

/// Compares and tells.
///
/// # Errors
/// Bad use or input, or the disk refuses.
pub fn run(args: &DuplicatesArgs) -> Result<()> {
    super::train::set_threads(args.asked.threads)?;
    if !(-1.0..=1.0).contains(&args.above) {
        return Err(Error::input(format!("--above is {}; expected a cosine, in [-1, 1]", args.above)));
    }
    interrupt::listen()?;
    let comparing = interrupt::expendable("interrupted; nothing was written".to_owned());
    if args.run.exists() && !args.run.is_dir() {
        if let Some(images) = &args.images {
            let file = args.run.display();
            return Err(Error::input(format!("{images}: {file} is a file of rows already; leave one out")));
        }
        let (plain, pictures) = args.asked.open_file(&args.run)?;
        let found = groups(plain.into_gallery(), args)?;
        let page = pictures.map(|pictures| duplicates::sheet(&found, &pictures)).transpose()?;
        drop(comparing);
        return args.asked.tell(&found, page, print);
    }
    let (embedder, searched) = args.asked.open(&args.run, args.images.as_deref(), &[])?;
    // What a sheet needs is missed before anything lasts long.
    let pictures = args.asked.output.is_some().then(|| searched.pictures()).transpose()?;
    let gallery = match &searched {
        Searched::File(stored) => Gallery::of_file(stored)?,
        Searched::Images(images) => {
            let mut progress = images.progress(args.asked.quiet);
            let gallery = Gallery::of_images(&embedder, images, &mut progress)?;
            progress.finish();
            gallery
        }
    };
    let found = groups(gallery, args)?;
    let page = pictures.map(|pictures| duplicates::sheet(&found, &pictures)).transpose()?;
    drop(comparing);
    args.asked.tell(&found, page, print)
}

fn groups(gallery: Gallery, args: &DuplicatesArgs) -> Result<Found> {
    let n = gallery.len() as u64;
    let pairs = n * n.saturating_sub(1) / 2;
    let progress = Progress::new("comparing", "million pairs", 0, pairs / 1_000_000, args.asked.quiet);
    gallery.groups(args.above, progress)
}

fn print(found: &Found) {
    outln!("{}.", found.headline());
    found.notes().iter().for_each(|note| outln!("{note}"));
    for group in found.groups.iter().take(PRINTED.0) {
        outln!("\n{} {}s, cosines {}", group.images.len(), found.words.one, group.nearness(found.above));
        for member in group.images.iter().take(PRINTED.1) {
            let image = &member.image;
            let copy = member
                .copy_of
                .as_ref()
                .map_or_else(String::new, |of| format!("  same {} as {}", found.words.same, on_a_row(of)));
            outln!("  {:.4}  {}{copy}", image.cosine, on_a_row(&image.name));
        }
        if group.images.len() > PRINTED.1 {
            outln!("  … {} more", group.images.len() - PRINTED.1);
        }
    }
    if found.groups.len() > PRINTED.0 {
        outln!("\n… {} more groups; --json and --output have them", found.groups.len() - PRINTED.0);
    }
}
