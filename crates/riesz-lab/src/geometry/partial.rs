//! Gathered states as files, so that shards are done on different machines and merged: `docs/geometry-partials.md`.

use std::borrow::Cow;
use std::path::Path;

use riesz::geometry::{Lengths, Parts, State};
use safetensors::Dtype;
use safetensors::tensor::{SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::{Gathered, Source};
use crate::{Error, Result, atomic, tensors};

/// The version of the file, which its metadata tells.
pub const VERSION: u32 = 1;
/// The metadata's key, by which a file is known as a partial.
const KEY: &str = "riesz-geometry-partial";

/// What is no array.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    schema_version: u32,
    dim: usize,
    rows: u64,
    sample: usize,
    seed: u64,
    matched_pairs: u64,
    sources: Vec<Source>,
}

/// Numbers of one type, as bytes.
struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    fn f64(numbers: &[f64], shape: Vec<usize>) -> Self {
        Self { dtype: Dtype::F64, shape, bytes: numbers.iter().flat_map(|x| x.to_le_bytes()).collect() }
    }

    fn u64(numbers: &[u64]) -> Self {
        let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self { dtype: Dtype::U64, shape: vec![numbers.len()], bytes }
    }
}

impl View for &Array {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes a state.
///
/// # Errors
/// If the disk refuses; a file that was there is untouched.
pub fn write(path: &Path, gathered: Gathered) -> Result<()> {
    let Gathered { state, sources, matched, seed, .. } = gathered;
    // A partial's sources are complete: where the last one stands is not kept.
    let Parts { dim, rows, lengths, triangle, capacity, sample_numbers, sample_places, sample_rows, .. } =
        state.into_parts();
    // Rows that came as f32 are written as that.
    let narrow = sample_rows.iter().all(|x| f64::from(*x as f32) == *x);
    let shape = vec![sample_places.len(), dim];
    let sampled = if narrow {
        let bytes = sample_rows.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect();
        Array { dtype: Dtype::F32, shape, bytes }
    } else {
        Array::f64(&sample_rows, shape)
    };
    let moments = [lengths.mean, lengths.squares, lengths.least, lengths.most, matched.0];
    let head = Head {
        schema_version: VERSION,
        dim,
        rows,
        sample: capacity,
        seed,
        matched_pairs: matched.1,
        sources,
    };
    let head = serde_json::to_string(&head).map_err(|error| Error::input(error.to_string()))?;
    let arrays = [
        ("length_bins", Array::u64(&lengths.bins)),
        ("moments", Array::f64(&moments, vec![moments.len()])),
        ("sample_numbers", Array::u64(&sample_numbers)),
        ("sample_places", Array::u64(&sample_places)),
        ("sample_rows", sampled),
        ("triangle", Array::f64(&triangle, vec![triangle.len()])),
    ];
    let views = arrays.iter().map(|(name, array)| (*name, array)).collect();
    atomic::write(path, |file| tensors::write(file, views, Some((KEY.to_owned(), head))))
}

/// Reads a state.
///
/// # Errors
/// One sentence with the path if the file cannot be read, is no partial, is of another version, or is damaged.
pub fn read(path: &Path) -> Result<Gathered> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, &error))?;
    parse(&bytes).map_err(|error| error.at(path.display()))
}

fn parse(bytes: &[u8]) -> Result<Gathered> {
    let foreign =
        || Error::input("is not a partial of `riesz geometry --partial`, or its beginning is damaged");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|_| foreign())?;
    let head = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY)).ok_or_else(foreign)?;
    let damaged = |what: String| Error::input(format!("is a damaged partial: {what}"));
    let version: serde_json::Value =
        serde_json::from_str(head).map_err(|error| damaged(error.to_string()))?;
    let version = version.get("schema_version").and_then(serde_json::Value::as_u64);
    if version != Some(u64::from(VERSION)) {
        let found = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
        return Err(Error::input(format!("is a partial of version {found}; this riesz reads {VERSION}")));
    }
    let head: Head = serde_json::from_str(head).map_err(|error| damaged(error.to_string()))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
    let array = |name: &str| tensors.tensor(name).map_err(|_| damaged(format!("it has no array {name}")));
    let f64s = |name: &str| -> Result<Vec<f64>> {
        let array = array(name)?;
        match array.dtype() {
            Dtype::F64 => Ok(array.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
            Dtype::F32 => {
                Ok(array.data().as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect())
            }
            other => Err(damaged(format!("{name} holds {other}"))),
        }
    };
    let u64s = |name: &str| -> Result<Vec<u64>> {
        let array = array(name)?;
        if array.dtype() != Dtype::U64 {
            return Err(damaged(format!("{name} holds {}", array.dtype())));
        }
        Ok(array.data().as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).collect())
    };
    let moments = f64s("moments")?;
    let &[mean, squares, least, most, matched] = &moments[..] else {
        return Err(damaged(format!("it has {} moments", moments.len())));
    };
    if !moments.iter().all(|x| x.is_finite()) {
        return Err(damaged("a moment is not finite".to_owned()));
    }
    let Head { dim, rows, sample, seed, matched_pairs, sources, .. } = head;
    let lengths = Lengths { count: rows, mean, squares, least, most, bins: u64s("length_bins")? };
    let state = State::from_parts(Parts {
        dim,
        rows,
        lengths,
        triangle: f64s("triangle")?,
        source: None,
        capacity: sample,
        sample_numbers: u64s("sample_numbers")?,
        sample_places: u64s("sample_places")?,
        sample_rows: f64s("sample_rows")?,
    });
    let state = state.map_err(|error| damaged(error.to_string()))?;
    if sources.iter().map(|source| source.rows).sum::<u64>() != rows {
        return Err(damaged("its sources do not add up to its rows".to_owned()));
    }
    Ok(Gathered {
        state,
        sources,
        matched: (matched, matched_pairs),
        seed,
        sample,
        labels: None,
        notes: Vec::new(),
    })
}
