//! Python's files: a tensor or an array in a pickle of torch or NumPy, alone or in a nest of dictionaries and lists. Nothing is run.
//!
//! Where there is no matrix, but arrays of one dimension that are equally long and lie in one dictionary or list, each is a row.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};

use super::numbers::{ByRows, Layout, Number, Shapes, matrix_shape};
use super::rows::Rows;
use super::source::{BLOCK, Block, Failure, Source};
use super::table::listed;
use super::values::{Found, Kind, Values};
use crate::pickle::{self, Array, Content, Contents, Element, Thing};

type Outcome<T> = std::result::Result<T, Failure>;

/// The matrix of a pickle of `length` bytes; `name` is the path of one of several arrays.
pub(super) fn open(file: File, length: u64, name: Option<&str>, shapes: Shapes) -> Outcome<Box<dyn Source>> {
    let contents = contents(&file, length)?;
    match choose(contents, name, shapes)? {
        Chosen::One(path, array) => {
            let called = called(&path);
            let (views, rows, dim) = matrix_shape(&array.shape, shapes)
                .map_err(|what| Failure::Content(format!("{called} {what}")))?;
            let layout = Layout {
                number: number(array.element),
                big_endian: array.big_endian,
                by_columns: false,
                views,
                rows,
                dim,
            };
            let numbers = array.open(file).map_err(|error| of_array(&called, error))?;
            Ok(Box::new(Tensor { called, numbers: ByRows::new(numbers, layout) }))
        }
        Chosen::Each(dim, vectors) => {
            let rows = vectors.len() as u64;
            Ok(Box::new(Vectors { file, dim, rows, vectors: vectors.into_iter() }))
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
        Content::List(texts) => return Ok(Found::Values(Values::of_texts(texts.clone()))),
        Content::Unread(why) => return wrong(why.clone()),
        Content::Array(array) => array,
    };
    let kind = match array.element {
        Element::I8 | Element::I16 | Element::I32 | Element::I64 => Kind::Signed,
        Element::U8 | Element::U16 | Element::U32 | Element::U64 | Element::Bool => Kind::Unsigned,
        _ => return wrong("holds floating-point numbers; expected integers or texts".to_owned()),
    };
    let &[count] = &array.shape[..] else {
        return wrong(format!("has the shape {:?}; expected one value a row", array.shape));
    };
    let size = array.element.bytes();
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

fn of_array(called: &str, error: std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::InvalidData => Failure::Content(format!("{called} {error}")),
        _ => Failure::Disk(error),
    }
}

enum Chosen {
    One(String, Array),
    /// Of so many numbers each, by their paths.
    Each(usize, Vec<(String, Array)>),
}

/// The array of that path, or the only one, or the only matrix; else arrays that are rows.
fn choose(contents: Contents, name: Option<&str>, shapes: Shapes) -> Outcome<Chosen> {
    let wrong = |message: String| Err(Failure::Content(message));
    if let Some(name) = name {
        return match contents.iter().find(|thing| thing.path == name).map(|thing| &thing.content) {
            Some(Content::Array(array)) => Ok(Chosen::One(name.to_owned(), array.clone())),
            Some(Content::Unread(why)) => wrong(format!("array {name} {why}")),
            Some(Content::List(_)) => wrong(format!("{name} is a list; expected an array")),
            None => wrong(format!("has no array {name}; it has {}", paths(contents.iter()))),
        };
    }
    let of_each = dim_of_each(&contents);
    let arrays: Vec<(&Thing, &Array)> = arrays(&contents).collect();
    let matrices: Vec<&(&Thing, &Array)> =
        arrays.iter().filter(|(_, array)| matrix_shape(&array.shape, shapes).is_ok()).collect();
    match (&arrays[..], &matrices[..], of_each) {
        ([], ..) => {
            let unread = contents.iter().find_map(|thing| match &thing.content {
                Content::Unread(why) => Some(format!("{} {why}", called(&thing.path))),
                _ => None,
            });
            wrong(unread.unwrap_or_else(|| "holds no array of torch or NumPy".to_owned()))
        }
        ([(thing, only)], ..) | (_, [(thing, only)], _) => {
            Ok(Chosen::One(thing.path.clone(), (*only).clone()))
        }
        (_, [], Some(dim)) => Ok(Chosen::Each(
            dim,
            arrays.iter().map(|(thing, array)| (thing.path.clone(), (*array).clone())).collect(),
        )),
        _ => wrong(format!(
            "holds several arrays; name one of {}",
            paths(arrays.iter().map(|(thing, _)| *thing))
        )),
    }
}

fn arrays(contents: &Contents) -> impl Iterator<Item = (&Thing, &Array)> {
    contents.iter().filter_map(|thing| match &thing.content {
        Content::Array(array) => Some((thing, array)),
        _ => None,
    })
}

fn paths<'a>(things: impl Iterator<Item = &'a Thing>) -> String {
    let names: Vec<String> = things.map(|thing| thing.path.clone()).collect();
    if names.is_empty() { "none".to_owned() } else { listed(&names) }
}

/// How many numbers each array has, if there are several, all of one dimension, equally long, and beside one another.
fn dim_of_each(contents: &Contents) -> Option<usize> {
    let (first, array) = arrays(contents).next()?;
    let &[dim] = &array.shape[..] else { return None };
    let parent = first.within().0;
    let is_alike = |(thing, array): (&Thing, &Array)| array.shape == [dim] && thing.within().0 == parent;
    (dim > 0 && arrays(contents).count() > 1 && arrays(contents).all(is_alike)).then_some(dim)
}

/// The keys of arrays that are rows.
fn of_keys(contents: &Contents) -> Option<Vec<String>> {
    dim_of_each(contents)?;
    Some(arrays(contents).map(|(thing, _)| thing.within().1.to_owned()).collect())
}

fn number(element: Element) -> Number {
    match element {
        Element::F16 => Number::F16,
        Element::Bf16 => Number::Bf16,
        Element::F32 => Number::F32,
        Element::F64 => Number::F64,
        Element::I8 => Number::I8,
        Element::U8 | Element::Bool => Number::U8,
        Element::I16 => Number::I16,
        Element::U16 => Number::U16,
        Element::I32 => Number::I32,
        Element::U32 => Number::U32,
        Element::I64 => Number::I64,
        Element::U64 => Number::U64,
    }
}

/// One array, whose checksum is looked at when its last row was read.
struct Tensor {
    called: String,
    numbers: ByRows<Box<dyn Read + Send>>,
}

impl Source for Tensor {
    fn dim(&self) -> usize {
        self.numbers.dim()
    }

    fn rows(&self) -> Option<u64> {
        self.numbers.rows()
    }

    fn views(&self) -> Option<usize> {
        self.numbers.views()
    }

    fn next(&mut self) -> Outcome<Option<Block>> {
        let in_array = |failure| match failure {
            Failure::Disk(disk) => of_array(&self.called, disk),
            content @ Failure::Content(_) => content,
        };
        let block = self.numbers.next().map_err(in_array)?;
        if block.is_none() {
            // The end itself, which no row needs.
            self.numbers.file.read(&mut [0]).map_err(|error| of_array(&self.called, error))?;
        }
        Ok(block)
    }
}

/// An array a row.
struct Vectors {
    file: File,
    dim: usize,
    rows: u64,
    vectors: std::vec::IntoIter<(String, Array)>,
}

impl Source for Vectors {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> Option<u64> {
        Some(self.rows)
    }

    fn told(&self) -> Option<String> {
        Some(format!("each of {} arrays of {} numbers is a row", self.rows, self.dim))
    }

    fn next(&mut self) -> Outcome<Option<Block>> {
        let mut rows: Option<Rows> = None;
        for (path, array) in self.vectors.by_ref().take((BLOCK / self.dim).max(1)) {
            let called = called(&path);
            let layout = Layout {
                number: number(array.element),
                big_endian: array.big_endian,
                by_columns: false,
                views: None,
                rows: 1,
                dim: self.dim,
            };
            let numbers = array.open(&self.file).map_err(|error| of_array(&called, error))?;
            let row = ByRows::new(numbers, layout).next()?.map(|block| block.rows);
            match (&mut rows, row) {
                (Some(rows), Some(row)) => rows.extend(row),
                (rows, row) => *rows = row,
            }
        }
        Ok(rows.map(Block::of))
    }
}
