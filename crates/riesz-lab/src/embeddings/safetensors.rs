//! The safetensors file: the length of a header, a JSON header `{"name": {"dtype", "shape", "data_offsets"}}`, and
//! the numbers of all tensors, without gaps. Only the wanted tensor is read, so a large file costs what it holds.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ::safetensors::Dtype;
use ::safetensors::tensor::{Metadata, TensorInfo};
use riesz::Matrix;

use super::numbers::{Layout, Shapes, matrix_shape, source};
use super::source::{Failure, Source};
use super::values::{Found, Kind, Values};
use crate::number::Number;
use crate::tensors::{self, Numbers, Shaped};
use crate::{Result, atomic};

/// The tensor of the rows in a safetensors file of riesz.
pub const TENSOR: &str = "embeddings";

/// The tensor of labels that riesz writes beside rows.
const LABELS: &str = "labels";

/// The longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

/// Writes named matrices as f32 tensors, and `labels`, if given, as an i64 tensor of that name with −1 where there is
/// none.
///
/// # Errors
/// If the disk refuses; a file that was there is untouched.
///
/// # Panics
/// If two names are equal, or a matrix has another number of rows than there are labels.
pub fn write_safetensors(
    path: &Path,
    matrices: &[(&str, &Matrix<f32>)],
    labels: Option<&[Option<u32>]>,
) -> Result<()> {
    atomic::write(path, |file| write(file, matrices, labels))
}

/// The file's bytes, as [`write_safetensors`] has them.
pub(super) fn write(
    file: &mut impl Write,
    matrices: &[(&str, &Matrix<f32>)],
    labels: Option<&[Option<u32>]>,
) -> io::Result<()> {
    let mut views: Vec<(&str, Shaped<'_>)> = Vec::new();
    let mut add = |name, shape, numbers| {
        assert!(views.iter().all(|(other, _)| *other != name), "two tensors are called {name}");
        views.push((name, Shaped { shape, numbers }));
    };
    if let Some(labels) = labels {
        let numbers = labels.iter().map(|label| label.map_or(-1, i64::from)).collect();
        add(LABELS, vec![labels.len()], Numbers::I64(numbers));
    }
    for (name, rows) in matrices {
        assert!(
            labels.is_none_or(|labels| labels.len() == rows.len()),
            "{name} has {} rows, but there are {} labels",
            rows.len(),
            labels.map_or(0, <[_]>::len)
        );
        add(name, vec![rows.len(), rows.dim()], Numbers::F32(rows.as_slice()));
    }
    tensors::write(file, views, None)
}

/// A tensor of a safetensors file of `length` bytes.
pub(super) fn open<R: Read + Seek + Send + 'static>(
    mut file: R,
    length: u64,
    name: Option<&str>,
    shapes: Shapes,
) -> std::result::Result<Box<dyn Source>, Failure> {
    let (metadata, start) = read_header(&mut file, length)?;
    let (name, info) = choose(&metadata, name, shapes).map_err(Failure::Content)?;
    let number = float(info.dtype).ok_or_else(|| {
        Failure::Content(format!("tensor {name} holds {}; expected F16, BF16, F32 or F64", info.dtype))
    })?;
    let (views, rows, dim) = matrix_shape(&info.shape, shapes)
        .map_err(|what| Failure::Content(format!("tensor {name} {what}")))?;
    file.seek(SeekFrom::Start(start + info.data_offsets.0 as u64))?;
    source(file, Layout { number, big_endian: false, by_columns: false, views, rows, dim })
}

/// The tensor of that name as one integer a row, or the names of all tensors if there is none. In the `labels` that riesz writes beside its
/// `embeddings` −1 stands for none.
pub(super) fn values(
    mut file: impl Read + Seek,
    length: u64,
    name: &str,
) -> std::result::Result<Found, Failure> {
    let (metadata, start) = read_header(&mut file, length)?;
    let Some(info) = metadata.info(name) else {
        let mut names = metadata.offset_keys();
        names.sort();
        return Ok(Found::Names(names));
    };
    let in_tensor = |what: String| Failure::Content(format!("tensor {name} {what}"));
    let (kind, size) = match info.dtype {
        Dtype::I8 => (Kind::Signed, 1),
        Dtype::I16 => (Kind::Signed, 2),
        Dtype::I32 => (Kind::Signed, 4),
        Dtype::I64 => (Kind::Signed, 8),
        Dtype::BOOL | Dtype::U8 => (Kind::Unsigned, 1),
        Dtype::U16 => (Kind::Unsigned, 2),
        Dtype::U32 => (Kind::Unsigned, 4),
        Dtype::U64 => (Kind::Unsigned, 8),
        other => return Err(in_tensor(format!("holds {other}; expected integers"))),
    };
    let &[count] = &info.shape[..] else {
        return Err(in_tensor(format!("has the shape {:?}; expected one value a row", info.shape)));
    };
    file.seek(SeekFrom::Start(start + info.data_offsets.0 as u64))?;
    let found = (info.data_offsets.1 - info.data_offsets.0) as u64;
    let mut values =
        Values::read(&mut file, kind, false, [size, count], found).map_err(|failure| match failure {
            Failure::Content(what) => in_tensor(what),
            disk @ Failure::Disk(_) => disk,
        })?;
    let is_own = name == LABELS && info.dtype == Dtype::I64 && metadata.info(TENSOR).is_some();
    values.none = is_own.then_some("-1");
    Ok(Found::Values(values))
}

/// What the header of a file of `length` bytes says, and where the numbers start.
fn read_header(file: &mut impl Read, length: u64) -> std::result::Result<(Metadata, u64), Failure> {
    let damaged = |what: String| Failure::Content(format!("is not a whole safetensors file: {what}"));
    let mut header_length = [0; 8];
    file.read_exact(&mut header_length)?;
    let header_length = u64::from_le_bytes(header_length);
    if header_length > LONGEST_HEADER || header_length > length - 8 {
        return Err(damaged(format!("its header would be {header_length} bytes long")));
    }
    let mut header = vec![0; header_length as usize];
    file.read_exact(&mut header)?;
    // This checks that offsets, shapes and types agree and leave no gap.
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| damaged(error.to_string()))?;
    let found = length - 8 - header_length;
    if metadata.data_len() as u64 != found {
        return Err(damaged(format!("its tensors are {} bytes, but it has {found}", metadata.data_len())));
    }
    Ok((metadata, 8 + header_length))
}

fn choose<'a>(
    metadata: &'a Metadata,
    name: Option<&str>,
    shapes: Shapes,
) -> std::result::Result<(String, &'a TensorInfo), String> {
    let mut names = metadata.offset_keys();
    names.sort();
    let listed = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    if let Some(name) = name {
        return match metadata.info(name) {
            Some(info) => Ok((name.to_owned(), info)),
            None => Err(format!("has no tensor {name}; it has {listed}")),
        };
    }
    let all: Vec<(String, &TensorInfo)> =
        names.into_iter().filter_map(|name| metadata.info(&name).map(|info| (name, info))).collect();
    let is_matrix =
        |info: &TensorInfo| float(info.dtype).is_some() && matrix_shape(&info.shape, shapes).is_ok();
    let matrices: Vec<_> = all.iter().filter(|(_, info)| is_matrix(info)).cloned().collect();
    match (all.as_slice(), matrices.as_slice()) {
        ([only], _) | (_, [only]) => Ok(only.clone()),
        ([], _) => Err("holds no tensor".to_owned()),
        _ => Err(format!("holds several tensors; name one of {listed}")),
    }
}

fn float(dtype: Dtype) -> Option<Number> {
    match dtype {
        Dtype::F16 => Some(Number::F16),
        Dtype::BF16 => Some(Number::Bf16),
        Dtype::F32 => Some(Number::F32),
        Dtype::F64 => Some(Number::F64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::super::rows::Rows;
    use super::*;

    fn file(header: &str, numbers: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), numbers].concat()
    }

    fn read_bytes(bytes: &[u8], name: Option<&str>) -> std::result::Result<Rows, String> {
        let file = std::io::Cursor::new(bytes.to_vec());
        let whole =
            open(file, bytes.len() as u64, name, Shapes::Matrix).and_then(super::super::source::whole);
        whole.map_err(|failure| match failure {
            Failure::Disk(error) => error.to_string(),
            Failure::Content(message) => message,
        })
    }

    #[test]
    fn the_official_reader_reads_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.safetensors");
        let (h, z) = (Matrix::new(vec![1.0_f32, 2.0, 3.0, 4.0], 2), Matrix::new(vec![5.0_f32, 6.0], 1));
        write_safetensors(&path, &[("h", &h), ("z \"quoted\"", &z)], Some(&[Some(9), None])).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.len(), 3);
        let h_found = tensors.tensor("h").unwrap();
        assert_eq!((h_found.dtype(), h_found.shape()), (Dtype::F32, &[2, 2][..]));
        assert_eq!(h_found.data(), [1.0_f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat());
        assert_eq!(
            tensors.tensor("z \"quoted\"").unwrap().data(),
            [5.0_f32, 6.0].map(f32::to_le_bytes).concat()
        );
        let labels = tensors.tensor("labels").unwrap();
        assert_eq!(
            (labels.dtype(), labels.data()),
            (Dtype::I64, &[9_i64, -1].map(i64::to_le_bytes).concat()[..])
        );
        let message = read_bytes(&bytes, None).unwrap_err();
        assert!(message.ends_with("name one of h, labels, z \"quoted\""), "{message}");
        assert_eq!(read_bytes(&bytes, Some("h")).unwrap(), Rows::F32(h));
    }

    #[test]
    fn half_precision_widens() {
        let header = r#"{"a":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]},
            "b":{"dtype":"BF16","shape":[2,1],"data_offsets":[4,8]},"c":{"dtype":"F64","shape":[1,1],"data_offsets":[8,16]}}"#;
        let numbers =
            [&[0x00, 0x3c, 0x00, 0xc1, 0x80, 0x3f, 0x20, 0xc0][..], &0.1_f64.to_le_bytes()].concat();
        let bytes = file(header, &numbers);
        assert_eq!(read_bytes(&bytes, Some("a")).unwrap(), Rows::F32(Matrix::new(vec![1.0, -2.5], 2)));
        assert_eq!(read_bytes(&bytes, Some("b")).unwrap(), Rows::F32(Matrix::new(vec![1.0, -2.5], 1)));
        assert_eq!(read_bytes(&bytes, Some("c")).unwrap(), Rows::F64(Matrix::new(vec![0.1], 1)));
    }

    #[test]
    fn what_is_no_matrix_is_refused_in_a_sentence() {
        let cases = [
            (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, None, "tensor a has the shape [2]"),
            (r#"{"a":{"dtype":"I64","shape":[1,1],"data_offsets":[0,8]}}"#, None, "holds I64"),
            (
                r#"{"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#,
                Some("b"),
                "no tensor b; it has a",
            ),
            (r#"{"a":{"dtype":"F32","shape":[1,3],"data_offsets":[0,12]}}"#, None, "12 bytes, but it has 8"),
            (r#"{"a":{"dtype":"F32","shape":[1,3],"data_offsets":[0,8]}}"#, None, "not a whole safetensors"),
            (
                r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#,
                None,
                "not a whole",
            ),
            ("{", None, "not a whole safetensors"),
        ];
        for (header, name, expected) in cases {
            let message = read_bytes(&file(header, &[0; 8]), name).unwrap_err();
            assert!(message.contains(expected) && !message.contains('\n'), "{header}: {message}");
        }
        assert!(read_bytes(&file("{}", &[]), None).unwrap_err().contains("no tensor"));
        assert!(read_bytes(&u64::MAX.to_le_bytes(), None).unwrap_err().contains("header would be"));
    }
}
