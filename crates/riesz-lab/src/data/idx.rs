//! IDX files, the format of the MNIST family, gzipped or not.
//!
//! `00 00 TT NN`, then NN sizes as big-endian u32, then the values, row-major. TT = 08 (unsigned bytes) is read.
//! Images are [count, height, width] or [count, height, width, channels], labels [count].

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::tree::Tree;
use super::{Image, Opened, Source};
use crate::{Error, Result};

/// More than any file of this family holds; above it a damaged header could ask for all memory.
const MOST_BYTES: usize = 16 << 30;

/// Opens the IDX files of `tree`; `None` if it has none.
///
/// `*images*idx3-ubyte` (or `.idx3-ubyte`, `.gz`) are images; the file of the same name with `labels` and `idx1` has
/// their labels; `t10k` or `test` in the name makes them held out.
///
/// # Errors
/// If a file is damaged, or images and labels do not fit each other.
pub(super) fn open(tree: &Arc<Tree>) -> Result<Option<Opened>> {
    let names: Vec<String> = (0..tree.entries.len()).map(|index| tree.name(index).into_owned()).collect();
    let images: Vec<&String> = names.iter().filter(|name| is_idx(name, &names)).collect();
    let is_test = |name: &str| name.contains("t10k") || name.contains("test");
    let (test, train): (Vec<&String>, Vec<&String>) =
        images.into_iter().partition(|name| is_test(base(name)));
    if train.is_empty() && test.is_empty() {
        return Ok(None);
    }
    let mut notes = Vec::new();
    let mut one = |found: &[&String], split: &'static str| -> Result<Option<Packed>> {
        let [name] = found else {
            return match found {
                [] => Ok(None),
                [first, second, ..] => Err(Error::input(format!(
                    "{}: {first} and {second} are both {split} images; one pair of IDX files a split is expected",
                    tree.place.display()
                ))),
                [_] => unreachable!("one name was taken above"),
            };
        };
        let read = |name: &str| -> Result<Idx> {
            let index = names.iter().position(|found| found == name).expect("the name is one of the list");
            parse(tree.reader(index)?).map_err(|error| error.at(tree.whereabouts(index)))
        };
        let labels = labels_name(name, &names).map(|name| read(&name)).transpose()?;
        if labels.is_none() {
            notes.push(format!("{name} has no file of labels beside it; its images have no label"));
        }
        Packed::new(split, read(name)?, labels.as_ref())
            .map(Some)
            .map_err(|error| error.at(tree.place.join(name.as_str()).display()))
    };
    let (train, test) = (one(&train, "train")?, one(&test, "test")?);
    let classes = [&train, &test].into_iter().flatten().filter_map(Packed::classes).max().unwrap_or(0);
    let classes = (0..classes).map(|class| class.to_string()).collect();
    let boxed = |packed: Packed| -> Box<dyn Source> { Box::new(packed) };
    let (train, test) = match (train, test) {
        (Some(train), test) => (boxed(train), test.map(boxed)),
        (None, Some(only)) => (boxed(only), None),
        (None, None) => return Ok(None),
    };
    Ok(Some(Opened { kind: "IDX".to_owned(), classes, notes, train, test }))
}

/// Opens one IDX file of images, without labels; `None` if the file is of another kind.
///
/// # Errors
/// If it is damaged, or an IDX file of something else.
pub(super) fn open_one(tree: &Tree) -> Result<Option<Opened>> {
    let mut head = Vec::new();
    let start = unpacked(tree.reader(0)?).map(|stream| stream.take(4).read_to_end(&mut head));
    let named = is_idx(&tree.name(0), &[]);
    if !named && (start.is_err() || !matches!(head[..], [0, 0, 8..=14, 1..=4])) {
        return Ok(None);
    }
    let packed = parse(tree.reader(0)?).and_then(|idx| match idx.sizes[..] {
        [_] => Err(Error::input("one list of labels; give the folder that holds its images too")),
        _ => Packed::new("train", idx, None),
    })?;
    let train = Box::new(packed);
    Ok(Some(Opened { kind: "IDX".to_owned(), classes: Vec::new(), notes: Vec::new(), train, test: None }))
}

/// Opens two pairs of gzipped IDX files in memory: training images and labels, test images and labels.
///
/// # Errors
/// If a file is damaged, or images and labels do not fit each other.
pub(super) fn open_bytes([images, labels, test_images, test_labels]: [&[u8]; 4]) -> Result<Opened> {
    let train = Packed::new("train", parse(images)?, Some(&parse(labels)?))?;
    let test = Packed::new("test", parse(test_images)?, Some(&parse(test_labels)?))?;
    Ok(Opened {
        kind: "IDX".to_owned(),
        classes: Vec::new(),
        notes: Vec::new(),
        train: Box::new(train),
        test: Some(Box::new(test)),
    })
}

fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Images by name; of a file that is there both packed and unpacked, the unpacked one.
fn is_idx(name: &str, names: &[String]) -> bool {
    let plain = base(name).strip_suffix(".gz").unwrap_or(base(name));
    let is_images =
        plain.contains("images") && (plain.ends_with("idx3-ubyte") || plain.ends_with("idx4-ubyte"));
    is_images && name.strip_suffix(".gz").is_none_or(|unpacked| !names.iter().any(|found| found == unpacked))
}

fn labels_name(images: &str, names: &[String]) -> Option<String> {
    let at = images.len() - base(images).len();
    let plain = images.strip_suffix(".gz").unwrap_or(images);
    let labels = plain[at..].replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1");
    let labels = format!("{}{labels}", &images[..at]);
    [labels.clone(), format!("{labels}.gz")].into_iter().find(|name| names.contains(name))
}

/// An IDX file of unsigned bytes.
struct Idx {
    sizes: Vec<usize>,
    values: Vec<u8>,
}

/// The content of a stream that may be gzipped.
fn unpacked<'a>(stream: impl Read + 'a) -> std::io::Result<Box<dyn Read + 'a>> {
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    Ok(match stream.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(stream)),
        _ => Box::new(stream),
    })
}

fn parse(stream: impl Read) -> Result<Idx> {
    let short = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::input("the file ends too early; it is truncated"),
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => {
            Error::input(format!("damaged gzip: {error}"))
        }
        _ => Error::input(error.to_string()),
    };
    let mut reader = unpacked(stream).map_err(short)?;
    let mut head = [0; 4];
    reader.read_exact(&mut head).map_err(short)?;
    let [0, 0, kind, dimensions] = head else {
        return Err(Error::input(format!(
            "not an IDX file, or a damaged one: it begins with {head:02x?}, not with two zero bytes"
        )));
    };
    if kind != 8 {
        return Err(Error::input(format!("IDX values of type {kind:02x}; unsigned bytes (08) are expected")));
    }
    let mut sizes = Vec::new();
    for _ in 0..dimensions {
        let mut size = [0; 4];
        reader.read_exact(&mut size).map_err(short)?;
        sizes.push(u32::from_be_bytes(size) as usize);
    }
    let total = sizes.iter().try_fold(1_usize, |total, &size| total.checked_mul(size));
    let Some(total) = total.filter(|&total| total <= MOST_BYTES) else {
        return Err(Error::input(format!("its header says {sizes:?} values; that is more than 16 GiB")));
    };
    let mut values = Vec::new();
    reader.take(total as u64 + 1).read_to_end(&mut values).map_err(short)?;
    if values.len() != total {
        let found = if values.len() > total { "more".to_owned() } else { format!("only {}", values.len()) };
        return Err(Error::input(format!(
            "damaged IDX file: its header says {sizes:?} = {total} values, but it has {found}"
        )));
    }
    Ok(Idx { sizes, values })
}

/// Decoded images of one size, in memory.
struct Packed {
    split: &'static str,
    count: usize,
    height: usize,
    width: usize,
    channels: usize,
    pixels: Vec<u8>,
    labels: Option<Vec<u8>>,
}

impl Packed {
    fn new(split: &'static str, images: Idx, labels: Option<&Idx>) -> Result<Self> {
        let (count, height, width, channels) = match images.sizes[..] {
            [count, height, width] => (count, height, width, 1),
            [count, height, width, channels @ (1 | 3)] => (count, height, width, channels),
            _ => {
                return Err(Error::input(format!(
                    "sizes {:?}; images are [count, height, width] or [count, height, width, 3]",
                    images.sizes
                )));
            }
        };
        if count == 0 || height == 0 || width == 0 {
            return Err(Error::input(format!("sizes {:?}: there are no pixels", images.sizes)));
        }
        if let Some(labels) = labels.filter(|labels| labels.sizes != [count]) {
            return Err(Error::input(format!(
                "{count} images, but its labels have the sizes {:?}",
                labels.sizes
            )));
        }
        let labels = labels.map(|labels| labels.values.clone());
        Ok(Self { split, count, height, width, channels, pixels: images.values, labels })
    }

    fn classes(&self) -> Option<u32> {
        self.labels.as_ref()?.iter().max().map(|&largest| u32::from(largest) + 1)
    }
}

impl Source for Packed {
    fn len(&self) -> usize {
        self.count
    }

    fn name(&self, index: usize) -> String {
        format!("{}/{index:05}", self.split)
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.as_ref().map(|labels| u32::from(labels[index]))
    }

    fn image(&self, index: usize) -> Result<Image> {
        let (width, height, channels) = (self.width, self.height, self.channels);
        let bytes = width * height * channels;
        Ok(Image { width, height, channels, pixels: self.pixels[bytes * index..][..bytes].to_vec() })
    }
}
