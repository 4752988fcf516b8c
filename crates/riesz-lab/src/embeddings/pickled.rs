//! Python's files: a tensor or an array in a pickle of torch or NumPy, alone or in a nest of dictionaries and lists. Nothing is run.
//!
//! Where there is no matrix, but arrays of one dimension or lists of numbers that are equally long and lie in one dictionary or list, each
//! is a row.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};

use riesz::Matrix;

use super::numbers::{ByRows, Checked, Layout, Shapes, matrix_shape, of_array};
use super::rows::Rows;
use super::source::{BLOCK, Block, Failure, Source};
use super::table::listed;
use super::values::{Found, Kind, Values};
use crate::number::Number;
use crate::pickle::{self, Array, Content, Contents, Thing};

type Outcome<T> = std::result::Result<T, Failure>;

/// The matrix of a pickle of `length` bytes; `name` is the path of one of several arrays.
pub(super) fn open(file: File, length: u64, name: Option<&str>, shapes: Shapes) -> Outcome<Box<dyn Source>> {
    let contents = contents(&file, length)?;
    match choose(contents, name, shapes)? {
        Chosen::One(path, array) => {
            let called = called(&path);
            let (views, rows, dim) = matrix_shape(&array.shape, shapes)
                .map_err(|what| Failure::Content(format!("{called} {what}")))?;
            let numbers = array.open(file).map_err(|error| of_array(&called, error))?;
            Ok(Box::new(Checked {
                called,
                numbers: ByRows::new(numbers, layout(&array, views, [rows, dim])),
            }))
        }
        Chosen::Each(dim, rows) => {
            Ok(Box::new(Each { file, dim, count: rows.len() as u64, rows: rows.into_iter() }))
        }
    }
}

/// What lies at a path as one value a row, or the paths of all that there is. Where each row is an array of its own, `name` is its key.
pub(super) fn values(file: &File, length: u64, name: &str) -> Outcome<Found> {
    let contents = contents(file, length)?;
    let called = called(name);
    let Some(Thing { content, .. }) = contents.iter().find(|thing| thing.path == name) else {
        return Ok(match of_keys(&contents).filter(|_| name == "name") {
            Some(keys) => Found::Values(Values::of_texts(keys)),
            None => Found::Names(contents.into_iter().map(|thing| thing.path).collect()),
        });
    };
    let wrong = |what: String| Err(Failure::Content(format!("{called} {what}")));
    let array = match content {
        Content::Texts(texts) => return Ok(Found::Values(Values::of_texts(texts.clone()))),
        Content::Numbers(numbers) => {
            return Ok(Found::Values(Values::of_texts(numbers.iter().map(f64::to_string).collect())));
        }
        Content::Unread(why) => return wrong(why.clone()),
        Content::Array(array) => array,
    };
    let kind = match array.number {
        Number::I8 | Number::I16 | Number::I32 | Number::I64 => Kind::Signed,
        Number::U8 | Number::U16 | Number::U32 | Number::U64 | Number::Bool => Kind::Unsigned,
        _ => return wrong("holds floating-point numbers; expected integers or texts".to_owned()),
    };
    let &[count] = &array.shape[..] else {
        return wrong(format!("has the shape {:?}; expected one value a row", array.shape));
    };
    let size = array.number.bytes();
    let mut numbers = array.open(file).map_err(|error| of_array(&called, error))?;
    let values = Values::read(&mut numbers, kind, array.big_endian, [size, count], (size * count) as u64)?;
    numbers.read(&mut [0]).map_err(|error| of_array(&called, error))?;
    Ok(Found::Values(values))
}

fn contents(file: &File, length: u64) -> Outcome<Contents> {
    pickle::read(BufReader::with_capacity(1 << 16, file), length).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => Failure::Content(error.to_string()),
        _ => Failure::Disk(error),
    })
}

/// An array of a file, in words.
fn called(path: &str) -> String {
    if path.is_empty() { "its array".to_owned() } else { format!("array {path}") }
}

enum Chosen {
    One(String, Array),
    /// Of so many numbers each, by their paths.
    Each(usize, Vec<(String, Content)>),
}

/// The array of that path, or the only matrix; else arrays and lists that are rows.
fn choose(contents: Contents, name: Option<&str>, shapes: Shapes) -> Outcome<Chosen> {
    let wrong = |message: String| Err(Failure::Content(message));
    let groups = groups(&contents);
    if let Some(name) = name {
        let group = groups.iter().find(|group| group.within.strip_suffix('.') == Some(name));
        return match contents.iter().find(|thing| thing.path == name).map(|thing| &thing.content) {
            Some(Content::Array(array)) => Ok(Chosen::One(name.to_owned(), array.clone())),
            Some(Content::Unread(why)) => wrong(format!("array {name} {why}")),
            Some(Content::Texts(_) | Content::Numbers(_)) => {
                wrong(format!("{name} is a list; expected an array, or a list of rows"))
            }
            None => match group {
                Some(group) => group.chosen(),
                None => wrong(format!("has no array {name}; it has {}", paths(contents.iter()))),
            },
        };
    }
    let arrays: Vec<(&Thing, &Array)> = contents
        .iter()
        .filter_map(|thing| match &thing.content {
            Content::Array(array) => Some((thing, array)),
            _ => None,
        })
        .collect();
    let matrices: Vec<&(&Thing, &Array)> =
        arrays.iter().filter(|(_, array)| matrix_shape(&array.shape, shapes).is_ok()).collect();
    let several = |names: String| wrong(format!("holds several arrays; name one of {names}"));
    match (&matrices[..], &groups[..], &arrays[..]) {
        ([(thing, only)], ..) | ([], [], [(thing, only)]) => {
            Ok(Chosen::One(thing.path.clone(), (*only).clone()))
        }
        ([], [only], _) => only.chosen(),
        ([], [], []) => {
            let unread = contents.iter().find_map(|thing| match &thing.content {
                Content::Unread(why) => Some(format!("{} {why}", called(&thing.path))),
                _ => None,
            });
            wrong(
                unread.unwrap_or_else(|| "holds no array of torch or NumPy, and no list of rows".to_owned()),
            )
        }
        ([], groups @ [_, ..], _) => {
            let names = groups.iter().map(|group| group.within.trim_end_matches('.').to_owned());
            several(listed(&names.collect::<Vec<_>>()))
        }
        _ => several(paths(arrays.iter().map(|(thing, _)| *thing))),
    }
}

fn paths<'a>(things: impl Iterator<Item = &'a Thing>) -> String {
    let names: Vec<String> = things.map(|thing| thing.path.clone()).collect();
    if names.is_empty() { "none".to_owned() } else { listed(&names) }
}

/// Arrays of one dimension, or lists of numbers, beside one another: rows, if they are equally long.
struct Group<'a> {
    /// The path of what they are in, with a point at its end unless that is the file.
    within: &'a str,
    rows: Vec<(&'a Thing, usize)>,
}

impl Group<'_> {
    fn dim(&self) -> usize {
        self.rows.first().map_or(0, |(_, length)| *length)
    }

    fn chosen(&self) -> Outcome<Chosen> {
        let dim = self.dim();
        if let Some((thing, length)) = self.rows.iter().find(|(_, length)| *length != dim) {
            return Err(Failure::Content(format!(
                "{} has {length} numbers; the first row has {dim}",
                called(&thing.path)
            )));
        }
        let rows = self.rows.iter().map(|(thing, _)| (thing.path.clone(), thing.content.clone())).collect();
        Ok(Chosen::Each(dim, rows))
    }
}

/// All groups of several rows, but for lists that have a number for each row of another group.
fn groups(contents: &Contents) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<&str, Group<'_>> = BTreeMap::new();
    for thing in contents {
        let length = match &thing.content {
            Content::Array(array) if array.shape.len() == 1 => array.shape[0],
            Content::Numbers(numbers) => numbers.len(),
            _ => continue,
        };
        let within = thing.within().0;
        groups.entry(within).or_insert_with(|| Group { within, rows: Vec::new() }).rows.push((thing, length));
    }
    // Lists of unequal length are rows that went wrong; arrays are weights of something.
    let is_list = |(thing, _): &(&Thing, usize)| matches!(thing.content, Content::Numbers(_));
    let are_rows = |group: &Group<'_>| {
        let dim = group.dim();
        let are_even = group.rows.iter().all(|(_, length)| *length == dim);
        group.rows.len() > 1 && dim > 0 && (are_even || group.rows.iter().all(is_list))
    };
    let groups: Vec<Group<'_>> = groups.into_values().filter(are_rows).collect();
    let counts: BTreeSet<usize> = groups.iter().map(|group| group.rows.len()).collect();
    let is_beside = |group: &Group<'_>| group.rows.iter().all(|(_, length)| counts.contains(length));
    let is_one = groups.len() == 1;
    groups.into_iter().filter(|group| is_one || !is_beside(group)).collect()
}

/// The keys of arrays that are rows, if they are more than their places.
fn of_keys(contents: &Contents) -> Option<Vec<String>> {
    let groups = groups(contents);
    let [group] = &groups[..] else { return None };
    let keys: Vec<String> = group.rows.iter().map(|(thing, _)| thing.within().1.to_owned()).collect();
    let are_places = keys.iter().enumerate().all(|(place, key)| *key == place.to_string());
    (!are_places).then_some(keys)
}

/// How an array's numbers come, row after row.
fn layout(array: &Array, views: Option<usize>, [rows, dim]: [usize; 2]) -> Layout {
    Layout { number: array.number, big_endian: array.big_endian, by_columns: false, views, rows, dim }
}

/// An array or a list a row.
struct Each {
    file: File,
    dim: usize,
    count: u64,
    rows: std::vec::IntoIter<(String, Content)>,
}

impl Source for Each {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> Option<u64> {
        Some(self.count)
    }

    fn told(&self) -> Option<String> {
        Some(format!("each of {} arrays or lists of {} numbers is a row", self.count, self.dim))
    }

    fn next(&mut self) -> Outcome<Option<Block>> {
        let mut rows: Option<Rows> = None;
        for (path, content) in self.rows.by_ref().take((BLOCK / self.dim).max(1)) {
            let row = match content {
                Content::Array(array) => {
                    let called = called(&path);
                    let numbers = array.open(&self.file).map_err(|error| of_array(&called, error))?;
                    ByRows::new(numbers, layout(&array, None, [1, self.dim])).next()?.map(|block| block.rows)
                }
                Content::Numbers(numbers) => Some(Rows::F64(Matrix::new(numbers, self.dim))),
                Content::Texts(_) | Content::Unread(_) => None,
            };
            match (&mut rows, row) {
                (Some(rows), Some(row)) => rows.extend(row),
                (rows, Some(row)) => *rows = Some(row),
                (_, None) => {}
            }
        }
        Ok(rows.map(Block::of))
    }
}
