//! `riesz search`: the nearest images of an image.

use std::path::{Path, PathBuf};

use serde_json::to_string_pretty;

use super::embed::Part;
use crate::console::{errln, outln};
use crate::data::image_file;
use crate::index::search::{self, Found, Query};
use crate::index::{self, Searched};
use crate::{Error, Result, atomic, device, interrupt};

/// Arguments of `riesz search`.
#[derive(clap::Args)]
#[command(
    override_usage = "riesz search [OPTIONS] <RUN> <QUERY>... <IMAGES>\n       riesz search [OPTIONS] <RUN> <QUERY>... --index <FILE>",
    after_help = "Examples:
  riesz search runs/photos query.jpg photos/
  riesz embed runs/photos photos/ --output photos.parquet --thumbnails
  riesz search runs/photos query.jpg other.jpg --index photos.parquet --output sheet.html
  riesz search runs/photos query.jpg --index photos.parquet --top 3 --json

Nearest is the largest cosine of the encoder's rows."
)]
pub struct SearchArgs {
    /// The run folder
    run: PathBuf,
    /// Image files that are asked for; then the images to search, anything that `riesz train` takes, unless there is an index
    #[arg(required = true, value_name = "QUERY|IMAGES")]
    paths: Vec<String>,
    /// A parquet file that `riesz embed` wrote: the images need not be embedded again
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// How many images
    #[arg(long, default_value_t = 10)]
    top: usize,
    /// Rows of the backbone or of the projector [default: the index's, else the backbone's]
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// JSON, for machines
    #[arg(long)]
    json: bool,
    /// Also write a sheet of the images: one HTML file that needs no network
    #[arg(long, value_name = "SHEET")]
    output: Option<PathBuf>,
    /// Where tensors live: cpu, or a GPU that the program was built for (`riesz train --help`)
    #[arg(long, default_value = "cpu")]
    device: String,
    /// CPU threads [default: all]
    #[arg(long)]
    threads: Option<usize>,
    /// No progress
    #[arg(long)]
    quiet: bool,
}

/// Searches and tells.
///
/// # Errors
/// Bad use or input, or the disk refuses.
pub fn run(args: &SearchArgs) -> Result<()> {
    super::train::set_threads(args.threads)?;
    if args.top == 0 {
        return Err(Error::input("--top is 0; at least 1 is needed"));
    }
    let (queries, source) = match (&args.index, &args.paths[..]) {
        (Some(_), queries) => (queries, None),
        (None, [queries @ .., source]) if !queries.is_empty() => (queries, Some(source)),
        _ => {
            return Err(Error::input(
                "what to search is missing: give the images behind the query, as in `riesz search RUN query.jpg photos/`, or --index",
            ));
        }
    };
    interrupt::listen();
    let searching = interrupt::expendable("interrupted; nothing was written".to_owned());
    let query = |path: &String| Ok(Query { name: path.clone(), image: image_file(Path::new(path))? });
    let queries: Vec<Query> = queries.iter().map(query).collect::<Result<_>>()?;
    let device = device::open(&args.device)?;
    let source = source.map(String::as_str);
    let (embedder, searched) = index::open(&args.run, args.index.as_deref(), source, args.part, &device)?;
    // What a sheet needs is missed before anything lasts long.
    let pictures = args.output.is_some().then(|| searched.pictures()).transpose()?;
    let rows = search::rows(&embedder, &queries)?;
    let found = match &searched {
        Searched::File(stored) => search::in_file(stored, &queries, &rows, args.top)?,
        Searched::Images(images) => {
            let mut progress = images.progress(args.quiet);
            let found = search::in_images(&embedder, images, &queries, &rows, args.top, &mut progress)?;
            progress.finish();
            found
        }
    };
    let page = pictures.map(|pictures| search::sheet(&found, &queries, &pictures)).transpose()?;
    drop(searching);
    if let (Some(path), Some(page)) = (&args.output, page) {
        atomic::write_bytes(path, page.as_bytes())?;
    }
    if args.json {
        outln!("{}", to_string_pretty(&found).map_err(|error| Error::input(error.to_string()))?);
    } else {
        print(&found);
    }
    if let Some(path) = args.output.as_ref().filter(|_| !args.quiet) {
        errln!("{}: the sheet", path.display());
    }
    Ok(())
}

fn print(found: &Found) {
    for answer in &found.queries {
        outln!("{}", answer.query);
        for (place, hit) in answer.nearest.iter().enumerate() {
            let class = hit.class.as_ref().map_or_else(String::new, |class| format!("  ({class})"));
            outln!("{:>4}  {:.4}  {}{class}", place + 1, hit.cosine, hit.name);
        }
    }
}
