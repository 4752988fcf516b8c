//! NumPy's archive of arrays: a zip file whose members are npy files. Only the wanted array is read.

use std::io::{ErrorKind, Read, Seek};

use super::npy;
use super::numbers::{ByRows, Checked, Layout, Shapes, of_array, source};
use super::source::{Failure, Source};
use super::values::Found;
use crate::zip;

type Outcome<T> = std::result::Result<T, Failure>;

/// Most bytes of an array that lies column after column, which is read whole.
const MOST_BY_COLUMNS: u128 = 1 << 30;

/// The matrix of an npz file of `length` bytes; `name` chooses one of several arrays.
pub(super) fn open<R: Read + Seek + Send + 'static>(
    mut file: R,
    length: u64,
    name: Option<&str>,
    shapes: Shapes,
) -> Outcome<Box<dyn Source>> {
    let arrays = arrays(&mut file, length)?;
    let array = choose(&mut file, &arrays, name, shapes)?;
    let in_array = |failure| match failure {
        Failure::Content(message) => Failure::Content(format!("array {} {message}", array.name)),
        Failure::Disk(disk) => of_array(&array.called(), disk),
    };
    let mut content = array.open(file)?;
    let (layout, header) = npy::read_header(&mut content, shapes).map_err(in_array)?;
    let Layout { rows, dim, .. } = layout;
    let found = array.member.size.saturating_sub(header);
    if u128::from(found) != layout.bytes() {
        return Err(in_array(Failure::Content(format!(
            "has {rows} × {dim} numbers in {found} bytes; it is damaged"
        ))));
    }
    if layout.by_columns {
        if layout.bytes() > MOST_BY_COLUMNS {
            return Err(in_array(Failure::Content(
                "lies column after column; more than 1 GiB of that is read from a .npy file alone".to_owned(),
            )));
        }
        let mut numbers = Vec::new();
        content.read_to_end(&mut numbers).map_err(|error| of_array(&array.called(), error))?;
        return source(std::io::Cursor::new(numbers), layout);
    }
    Ok(Box::new(Checked { called: array.called(), numbers: ByRows::new(content, layout) }))
}

/// The array of that name as one value a row, or the names of all arrays if there is none.
pub(super) fn values(mut file: impl Read + Seek + Send, length: u64, name: &str) -> Outcome<Found> {
    let arrays = arrays(&mut file, length)?;
    let Some(array) = arrays.iter().find(|array| array.name == name) else {
        return Ok(Found::Names(arrays.into_iter().map(|array| array.name).collect()));
    };
    let in_array = |failure| match failure {
        Failure::Content(message) => Failure::Content(format!("array {name} {message}")),
        Failure::Disk(disk) => of_array(&array.called(), disk),
    };
    let mut content = array.open(file)?;
    let values = npy::read_values(&mut content, array.member.size).map_err(in_array)?;
    // The end itself, where the checksum is looked at.
    content.read(&mut [0]).map_err(|error| of_array(&array.called(), error))?;
    Ok(Found::Values(values))
}

/// The array of that name, or the only one, or the only matrix of numbers.
fn choose<'a>(
    file: &mut (impl Read + Seek + Send),
    arrays: &'a [Array],
    name: Option<&str>,
    shapes: Shapes,
) -> Outcome<&'a Array> {
    let names: Vec<&str> = arrays.iter().map(|array| array.name.as_str()).collect();
    let wrong = |message: String| Err(Failure::Content(message));
    match (name, arrays) {
        (_, []) => wrong("holds no array".to_owned()),
        (Some(name), _) => match arrays.iter().find(|array| array.name == name) {
            Some(array) => Ok(array),
            None => wrong(format!("has no array {name}; it has {}", names.join(", "))),
        },
        (None, [only]) => Ok(only),
        (None, several) => {
            let mut matrices = Vec::new();
            for array in several {
                if npy::read_header(&mut array.open(&mut *file)?, shapes).is_ok() {
                    matrices.push(array);
                }
            }
            match matrices[..] {
                [only] => Ok(only),
                _ => wrong(format!("holds several arrays; name one of {}", names.join(", "))),
            }
        }
    }
}

/// An array of the archive.
struct Array {
    /// The member's name without `.npy`.
    name: String,
    member: zip::Member,
}

impl Array {
    /// In words.
    fn called(&self) -> String {
        format!("array {}", self.name)
    }

    /// The npy file's bytes.
    fn open<'a>(&self, file: impl Read + Seek + Send + 'a) -> Outcome<zip::Content<'a>> {
        match self.member.refusal {
            Some(why) => Err(Failure::Content(format!("array {} {why}", self.name))),
            None => self.member.packed.open(file).map_err(|error| of_array(&self.called(), error)),
        }
    }
}

/// Every array of the archive.
fn arrays(file: &mut (impl Read + Seek), length: u64) -> Outcome<Vec<Array>> {
    let members = zip::members(file, length).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => Failure::Content(format!("is not a whole npz file: {error}")),
        _ => Failure::Disk(error),
    })?;
    let named = |member: zip::Member| {
        let name = member.name.strip_suffix(".npy")?.to_owned();
        Some(Array { name, member })
    };
    Ok(members.into_iter().filter_map(named).collect())
}
