//! The nearest images of some images, by the cosine of their rows.

use std::collections::BTreeMap;

use minijinja::{Value, context};
use riesz::Matrix;
use serde::Serialize;

use super::sheet::{self, Pictures};
use super::{Beside, Embedder, Hit, Images, SCHEMA_VERSION, Stored};
use crate::Result;
use crate::data::Image;
use crate::progress::Progress;
use crate::protocols::knn::Nearest;

/// An image that is asked for.
pub struct Query {
    /// Its name.
    pub name: String,
    /// The image.
    pub image: Image,
}

/// What was found; its JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    pub(super) schema_version: u32,
    /// The images that were looked at, in words.
    pub source: String,
    /// How many, or how many rows of a file.
    pub images: usize,
    /// How many could not be read.
    pub unreadable: usize,
    /// Each image that was asked for, in order.
    pub queries: Vec<Answer>,
}

/// The nearest images of one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The name of the image that was asked for.
    pub query: String,
    /// Nearest first.
    pub nearest: Vec<Hit>,
}

/// Rows of the images that are asked for.
///
/// # Errors
/// If one is not finite.
///
/// # Panics
/// If there is none.
pub fn rows(embedder: &Embedder, queries: &[Query]) -> Result<Matrix<f32>> {
    let rows: Vec<Vec<f32>> =
        queries.iter().map(|query| embedder.row(&query.image, &query.name)).collect::<Result<_>>()?;
    Ok(Matrix::new(rows.concat(), embedder.dim()))
}

/// The `top` nearest of a file's rows.
///
/// # Errors
/// If the file is damaged.
pub fn in_file(stored: &Stored, queries: &[Query], rows: &Matrix<f32>, top: usize) -> Result<Found> {
    let mut nearest = Nearest::new(rows, top);
    // Names of images that were among the nearest of those looked at.
    let mut known: BTreeMap<usize, (String, String)> = BTreeMap::new();
    let mut first = 0;
    stored.each(|part| {
        nearest.look_at(&part.rows);
        for &(row, _) in nearest.best().iter().flatten() {
            if let Some(i) = row.checked_sub(first) {
                known.insert(row, (part.names[i].clone(), part.classes[i].clone()));
            }
        }
        first += part.rows.len();
        Ok(())
    })?;
    let hit = |row: usize| {
        let (name, class) = known[&row].clone();
        (name, Some(class).filter(|class| !class.is_empty()))
    };
    Ok(found(stored.about().source.clone(), [first, 0], queries, &nearest, hit))
}

/// The `top` nearest of images, which are embedded for it; nothing is kept of the others.
///
/// # Errors
/// If no image can be read, or a row is not finite.
pub fn in_images(
    embedder: &Embedder,
    images: &Images,
    queries: &[Query],
    rows: &Matrix<f32>,
    top: usize,
    progress: &mut Progress,
) -> Result<Found> {
    let mut nearest = Nearest::new(rows, top);
    let mut items = Vec::new();
    let unreadable = embedder.each(&*images.source, Beside::default(), progress, |chunk| {
        nearest.look_at(&chunk.rows);
        items.extend(chunk.items);
        Ok(())
    })?;
    // Rows are places in the source, as a user counts them.
    let hit = |row: usize| (images.source.name(items[row]), images.class(items[row]));
    let counts = [items.len(), unreadable.counts().1];
    let mut found = found(images.name.clone(), counts, queries, &nearest, hit);
    for hit in found.queries.iter_mut().flat_map(|answer| &mut answer.nearest) {
        hit.row = items[hit.row];
    }
    Ok(found)
}

fn found(
    source: String,
    [images, unreadable]: [usize; 2],
    queries: &[Query],
    nearest: &Nearest<'_>,
    hit: impl Fn(usize) -> (String, Option<String>),
) -> Found {
    let answers = queries.iter().zip(nearest.best()).map(|(query, best)| Answer {
        query: query.name.clone(),
        nearest: best
            .iter()
            .map(|&(row, cosine)| {
                let (name, class) = hit(row);
                Hit { row, name, class, cosine: f64::from(cosine) }
            })
            .collect(),
    });
    Found { schema_version: SCHEMA_VERSION, source, images, unreadable, queries: answers.collect() }
}

/// The sheet: each image that was asked for, and the nearest.
///
/// # Errors
/// If an image cannot be read now.
pub fn sheet(found: &Found, queries: &[Query], pictures: &Pictures<'_>) -> Result<String> {
    let lines: Vec<Value> = found
        .queries
        .iter()
        .zip(queries)
        .map(|(answer, query)| {
            let nearest: Vec<Value> =
                answer.nearest.iter().map(|hit| pictures.figure(hit, None)).collect::<Result<_>>()?;
            Ok(context! { query => sheet::query(&query.image, &query.name)?, nearest => nearest })
        })
        .collect::<Result<_>>()?;
    let title = match &found.queries[..] {
        [one] => one.query.clone(),
        several => format!("{} images", several.len()),
    };
    let unreadable = match found.unreadable {
        0 => String::new(),
        some => format!("; {some} could not be read"),
    };
    sheet::fill(context! {
        verb => "search",
        title => title,
        headline => format!("The nearest of {} images", found.images),
        facts => vec![format!("In {}{unreadable}; numbers are cosines of the encoder's rows.", found.source)],
        lines => lines,
    })
}
