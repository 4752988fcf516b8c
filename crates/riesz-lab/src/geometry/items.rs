//! Whether rows of two sides are of the same items, where both name them.

use super::feed::Input;
use crate::embeddings::stream::{self, NAMES, columns_beside};
use crate::names::quoted;
use crate::{Error, Result};

/// The column that names the items on both sides, in every file: the first that both have.
///
/// # Errors
/// If the table beside an array cannot be read, which might name them.
pub(super) fn column(sides: [&[Input]; 2], numbers: &[Option<String>; 2]) -> Result<Option<&'static str>> {
    let of_files = sides.iter().flat_map(|side| side.iter()).filter(|input| input.held.is_none());
    of_files.map(|input| columns_beside(&input.path)).collect::<Result<Vec<_>>>()?;
    let has = |input: &Input, side: usize, name: &str| {
        input.held.is_none() && stream::has(&input.path, numbers[side].as_deref(), name)
    };
    let first =
        |name: &str| (0..2).all(|side| sides[side].first().is_some_and(|input| has(input, side, name)));
    let all = |name: &str| (0..2).all(|side| sides[side].iter().skip(1).all(|input| has(input, side, name)));
    Ok(NAMES.into_iter().find(|name| first(name) && all(name)))
}

/// Refuses rows whose items have other names on the other side; `first` is the place of the first.
///
/// # Errors
/// If any has.
pub(super) fn check_same(first: u64, names: [&[String]; 2], sides: [&[Input]; 2]) -> Result<()> {
    let differ = names[0].iter().zip(names[1]).enumerate().find(|(_, (a, b))| a != b);
    let Some((row, (a, b))) = differ else { return Ok(()) };
    let [left, right] =
        sides.map(|side| side.first().map_or_else(String::new, |input| input.path.display().to_string()));
    Err(Error::input(format!(
        "row {} is {} in {left} and {} in {right}: rows are compared by their places, so both have to be of the same items in one order \
         (`riesz embed` of the same images); --by-place compares whatever the names are",
        first + row as u64,
        quoted(a),
        quoted(b)
    )))
}
