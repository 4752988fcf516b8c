//! Sheets of small pictures: one HTML file that needs no network.

use minijinja::{Value, context};

use super::Hit;
use crate::Result;
use crate::console::on_a_row;
use crate::data::{Image, Source};
use crate::report::template;
use crate::report::thumbnail::thumbnail;

/// Pixels of a picture's longest side: twice its size on the page, for sharp screens.
const SIDE: usize = 192;
/// Images up to this size are shown pixel by pixel.
const TINY: usize = 64;

/// Where the pictures of a sheet are.
pub enum Pictures<'a> {
    /// Small ones in a file of rows, in its order.
    Small(Box<dyn Source>),
    /// The images themselves, by their places.
    Whole(&'a dyn Source),
}

impl Pictures<'_> {
    /// The picture of an image at its place.
    ///
    /// # Errors
    /// If it cannot be read now.
    pub fn image(&self, row: usize) -> Result<Image> {
        match self {
            Self::Small(source) => source.image(row),
            Self::Whole(source) => source.image(row),
        }
    }

    /// The figure of an image that was found.
    pub(super) fn figure(&self, hit: &Hit, copy_of: Option<&str>) -> Result<Value> {
        let image = self.image(hit.row)?;
        Ok(context! {
            name => on_a_row(&hit.name),
            parts => parts(&hit.name),
            class => hit.class.as_deref().map(on_a_row),
            cosine => format!("{:.3}", hit.cosine),
            copy_of => copy_of.map(on_a_row),
            picture => thumbnail(&image, SIDE)?,
            tiny => is_tiny(&image),
        })
    }
}

/// The figure of an image that was asked for.
pub(super) fn query(image: &Image, name: &str) -> Result<Value> {
    Ok(
        context! { name => on_a_row(name), parts => parts(name), picture => thumbnail(image, SIDE)?, tiny => is_tiny(image) },
    )
}

/// A path's parts, between which a line may break.
fn parts(name: &str) -> Vec<String> {
    on_a_row(name).split('/').map(str::to_owned).collect()
}

fn is_tiny(image: &Image) -> bool {
    image.width.max(image.height) <= TINY
}

/// The page.
pub(super) fn fill(values: Value) -> Result<String> {
    template::fill(include_str!("sheet.html"), values)
}
