//! Named tensors on the host, and their one file format, safetensors: encoders, checkpoints and embeddings.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo, View};
use sha2::{Digest, Sha256};

use crate::hexadecimal::hexadecimal;
use crate::{Error, Result};

/// A tensor by name, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Its name in files.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, row-major.
    pub values: Vec<f32>,
}

/// The tensors `given`, in the order of an encoder's `own` names and shapes.
///
/// # Errors
/// If a name is missing or unknown, or a shape differs.
pub fn matched<'a, 'b>(
    own: impl IntoIterator<Item = (&'b str, &'b [usize])>,
    given: &'a [NamedTensor],
) -> Result<Vec<&'a NamedTensor>> {
    let own: Vec<(&str, &[usize])> = own.into_iter().collect();
    if given.len() != own.len() {
        return Err(Error::input(format!("{} tensors; this encoder has {}", given.len(), own.len())));
    }
    let unknown = given.iter().find(|tensor| own.iter().all(|(name, _)| *name != tensor.name));
    if let Some(NamedTensor { name, .. }) = unknown {
        return Err(Error::input(format!("{name}: this encoder has no tensor of that name")));
    }
    own.into_iter()
        .map(|(name, shape)| {
            let tensor = given.iter().find(|tensor| tensor.name == name);
            let tensor = tensor.ok_or_else(|| Error::input(format!("{name}: is missing")))?;
            if tensor.shape != shape || tensor.values.len() != shape.iter().product::<usize>() {
                let given = &tensor.shape;
                return Err(Error::input(format!("{name}: shape {given:?}; this encoder's is {shape:?}")));
            }
            Ok(tensor)
        })
        .collect()
}

/// Borrowed numbers with a shape, as safetensors wants to see them; turned into bytes one tensor at a time.
pub(crate) struct Shaped<'a> {
    pub(crate) shape: Vec<usize>,
    pub(crate) numbers: Numbers<'a>,
}

pub(crate) enum Numbers<'a> {
    F32(&'a [f32]),
    I64(Vec<i64>),
}

impl View for Shaped<'_> {
    fn dtype(&self) -> Dtype {
        match self.numbers {
            Numbers::F32(_) => Dtype::F32,
            Numbers::I64(_) => Dtype::I64,
        }
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(match &self.numbers {
            Numbers::F32(numbers) => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Numbers::I64(numbers) => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        })
    }
    fn data_len(&self) -> usize {
        match &self.numbers {
            Numbers::F32(numbers) => 4 * numbers.len(),
            Numbers::I64(numbers) => 8 * numbers.len(),
        }
    }
}

/// Writes tensors as a safetensors file, one after another, so that their bytes are never held together: the bytes are those of the
/// crate's `serialize`. Its function that writes files makes a temporary one of its own, which stays when the process is killed, and
/// flushes nothing to the disk.
///
/// # Errors
/// If the disk refuses.
pub(crate) fn write<V: View>(
    file: &mut impl Write,
    mut tensors: Vec<(&str, V)>,
    metadata: Option<(String, String)>,
) -> io::Result<()> {
    // Wide numbers first, so that all are aligned; then by name.
    tensors.sort_by(|(a, left), (b, right)| right.dtype().cmp(&left.dtype()).then(a.cmp(b)));
    let mut start = 0;
    let mut about = Vec::with_capacity(tensors.len());
    for (name, tensor) in &tensors {
        let data_offsets = (start, start + tensor.data_len());
        let info = TensorInfo { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), data_offsets };
        about.push(((*name).to_owned(), info));
        start = data_offsets.1;
    }
    let mut header =
        serde_json::to_vec(&Metadata::new(metadata.map(|entry| [entry].into()), about).map_err(to_io)?)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    tensors.iter().try_for_each(|(_, tensor)| file.write_all(&tensor.data()))
}

/// Named tensors as the bytes of a safetensors file, tensors in the order of their names; the metadata is one entry
/// `riesz` of JSON.
pub(crate) fn to_bytes(tensors: &[NamedTensor], metadata: BTreeMap<String, String>) -> Result<Vec<u8>> {
    let views = tensors.iter().map(|tensor| {
        let view = Shaped { shape: tensor.shape.clone(), numbers: Numbers::F32(&tensor.values) };
        (tensor.name.as_str(), view)
    });
    // One entry, as the format does not order them, and equal encoders shall be equal files.
    let metadata = serde_json::to_string(&metadata).map_err(|error| Error::input(error.to_string()))?;
    let metadata = std::iter::once(("riesz".to_owned(), metadata)).collect();
    safetensors::serialize(views, Some(metadata)).map_err(|error| Error::input(error.to_string()))
}

/// The inverse of [`to_bytes`], in the order of the names.
///
/// # Errors
/// If the bytes are damaged, or a tensor is not f32; the sentence says why, not where.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<(Vec<NamedTensor>, BTreeMap<String, String>)> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| Error::input(error.to_string()))?;
    let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get("riesz"));
    let metadata = metadata.ok_or_else(|| Error::input("its metadata has no entry riesz"))?;
    let metadata =
        serde_json::from_str(metadata).map_err(|error| Error::input(format!("its metadata: {error}")))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| Error::input(error.to_string()))?;
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(Error::input(format!("{name} is {:?}, not F32", view.dtype())));
        }
        let values =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.push(NamedTensor { name, shape: view.shape().to_vec(), values });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((tensors, metadata))
}

/// What any safetensors file holds.
pub(crate) struct Floats {
    /// Tensors of floating-point numbers, as f32, in the order of their names.
    pub(crate) tensors: Vec<NamedTensor>,
    /// Names of the others.
    pub(crate) others: Vec<String>,
    /// Riesz's own entry of the metadata, if there is one.
    pub(crate) metadata: Option<BTreeMap<String, String>>,
}

/// Reads any safetensors file: numbers of 16, 32 and 64 bits become f32.
///
/// # Errors
/// If the bytes are damaged; the sentence says why, not where.
pub(crate) fn floats(bytes: &[u8]) -> Result<Floats> {
    let input = |error: SafeTensorError| Error::input(error.to_string());
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(input)?;
    let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get("riesz"));
    let metadata = metadata.and_then(|entry| serde_json::from_str(entry).ok());
    let file = SafeTensors::deserialize(bytes).map_err(input)?;
    let mut found = Floats { tensors: Vec::new(), others: Vec::new(), metadata };
    for (name, view) in file.tensors() {
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            Dtype::F64 => data.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
            Dtype::F16 => data.as_chunks().0.iter().map(|&b| half::f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => {
                data.as_chunks().0.iter().map(|&b| half::bf16::from_le_bytes(b).to_f32()).collect()
            }
            _ => {
                found.others.push(name);
                continue;
            }
        };
        found.tensors.push(NamedTensor { name, shape: view.shape().to_vec(), values });
    }
    found.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    found.others.sort();
    Ok(found)
}

/// An error of the format as one of writing a file.
pub(crate) fn to_io(error: SafeTensorError) -> io::Error {
    match error {
        SafeTensorError::IoError(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// SHA-256 over names and numbers, in order, as hexadecimal digits.
pub fn digest(tensors: &[NamedTensor]) -> String {
    let mut hash = Sha256::new();
    for NamedTensor { name, values, .. } in tensors {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update((values.len() as u64).to_le_bytes());
        for value in values {
            hash.update(value.to_le_bytes());
        }
    }
    hexadecimal(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_bytes_that_the_crate_gives() {
        let (wide, narrow) = (vec![3_i64, -1], [0.5_f32, -0.0, f32::MAX]);
        let views = || {
            let narrow = |name| (name, Shaped { shape: vec![3, 1], numbers: Numbers::F32(&narrow) });
            let wide = ("labels", Shaped { shape: vec![2], numbers: Numbers::I64(wide.clone()) });
            vec![narrow("z"), wide, narrow("a")]
        };
        for about in [None, Some(("riesz".to_owned(), "{\"é\": 1}".to_owned()))] {
            let mut file = Vec::new();
            write(&mut file, views(), about.clone()).unwrap();
            assert_eq!(file, safetensors::serialize(views(), about.map(|entry| [entry].into())).unwrap());
        }
    }
}
