//! `riesz search`: the nearest images of an image, or rows of a row.

use std::path::{Path, PathBuf};

use super::asked::Asked;
use crate::console::{on_a_row, outln};
use crate::data::image_file;
use crate::index::search::{self, Answer, Found, Query};
use crate::index::{Pictures, Searched};
use crate::{Error, Result, interrupt};

/// Arguments of `riesz search`.
#[derive(clap::Args)]
#[command(
    override_usage = "riesz search [OPTIONS] <RUN> <QUERY>... <IMAGES>\n       riesz search [OPTIONS] <RUN> <QUERY>... --index <FILE>\n       riesz search [OPTIONS] <EMBEDDINGS> <ROW>...",
    after_help = "Examples:
  riesz search runs/photos query.jpg photos/
  riesz embed runs/photos photos/ --output photos.parquet --thumbnails
  riesz search runs/photos query.jpg other.jpg --index photos.parquet --output sheet.html
  riesz search runs/photos query.jpg --index photos.parquet --top 3 --json
  riesz search embeddings.npy 17 42                      rows of any model: the nearest of rows 17 and 42, counted from 0

Nearest is the largest cosine of the encoder's rows."
)]
pub struct SearchArgs {
    /// The run folder, or a file of embeddings
    #[arg(value_name = "RUN|EMBEDDINGS")]
    run: PathBuf,
    /// Image files that are asked for; then the images to search, anything that `riesz train` takes, unless there is an index. Of a
    /// file of embeddings: rows, by a name that stands beside them or by number, counted from 0
    #[arg(required = true, value_name = "QUERY|IMAGES|ROW")]
    paths: Vec<String>,
    /// How many images
    #[arg(long, default_value_t = 10)]
    top: usize,
    #[command(flatten)]
    asked: Asked,
}

/// Searches and tells.
///
/// # Errors
/// Bad use or input, or the disk refuses.
pub fn run(args: &SearchArgs) -> Result<()> {
    super::train::set_threads(args.asked.threads)?;
    if args.top == 0 {
        return Err(Error::input("--top is 0; at least 1 is needed"));
    }
    if args.run.exists() && !args.run.is_dir() {
        return in_embeddings(args);
    }
    let (queries, source) = match (&args.asked.index, &args.paths[..]) {
        (Some(_), queries) => (queries, None),
        (None, [queries @ .., source]) if !queries.is_empty() => (queries, Some(source)),
        _ => {
            return Err(Error::input(
                "what to search is missing: give the images behind the query, as in `riesz search RUN query.jpg photos/`, or --index",
            ));
        }
    };
    interrupt::listen()?;
    let searching = interrupt::expendable("interrupted; nothing was written".to_owned());
    let query = |path: &String| Ok(Query { name: path.clone(), image: image_file(Path::new(path))? });
    let queries: Vec<Query> = queries.iter().map(query).collect::<Result<_>>()?;
    let source = source.map(String::as_str);
    let (embedder, searched) = args.asked.open(&args.run, source, &args.paths)?;
    // What a sheet needs is missed before anything lasts long.
    let pictures = args.asked.output.is_some().then(|| searched.pictures()).transpose()?;
    let rows = search::rows(&embedder, &queries)?;
    let found = match &searched {
        Searched::File(stored) => search::in_file(stored, &queries, &rows, args.top)?,
        Searched::Images(images) => {
            let mut progress = images.progress(args.asked.quiet);
            let found = search::in_images(&embedder, images, &queries, &rows, args.top, &mut progress)?;
            progress.finish();
            found
        }
    };
    let page = pictures.map(|pictures| search::sheet(&found, &queries, &pictures)).transpose()?;
    drop(searching);
    args.asked.tell(&found, page, print)
}

/// Asks a file of embeddings for the nearest of its own rows.
fn in_embeddings(args: &SearchArgs) -> Result<()> {
    interrupt::listen()?;
    let searching = interrupt::expendable("interrupted; nothing was written".to_owned());
    let (plain, pictures) = args.asked.open_file(&args.run)?;
    let rows: Vec<usize> = args.paths.iter().map(|asked| plain.row(asked)).collect::<Result<_>>()?;
    let found = plain.nearest(&rows, args.top)?;
    let sheet = |pictures: Pictures<'_>| {
        let query = |(&row, answer): (&usize, &Answer)| {
            Ok(Query { name: answer.query.clone(), image: pictures.image(row)? })
        };
        let queries: Vec<Query> = rows.iter().zip(&found.queries).map(query).collect::<Result<_>>()?;
        search::sheet(&found, &queries, &pictures)
    };
    let page = pictures.map(sheet).transpose()?;
    drop(searching);
    args.asked.tell(&found, page, print)
}

fn print(found: &Found) {
    for answer in &found.queries {
        outln!("{}", on_a_row(&answer.query));
        for (place, hit) in answer.nearest.iter().enumerate() {
            let class =
                hit.class.as_ref().map_or_else(String::new, |class| format!("  ({})", on_a_row(class)));
            outln!("{:>4}  {:.4}  {}{class}", place + 1, hit.cosine, on_a_row(&hit.name));
        }
    }
}
