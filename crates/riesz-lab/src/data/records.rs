//! Files of records of one length without a header, as CIFAR and STL-10 have them: a few bytes of label, then three
//! planes of a square picture. Only the records asked for are read.

use std::sync::Arc;

use super::tree::Tree;
use super::{Image, Source};
use crate::{Error, Result};

/// How a record is laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Bytes before the pixels.
    pub(super) head: usize,
    /// Rows and columns.
    pub(super) side: usize,
    /// How each of the three planes is ordered.
    pub(super) order: Order,
}

/// The order of a plane's pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Row by row (CIFAR).
    Rows,
    /// Column by column (STL-10).
    Columns,
}

impl Layout {
    /// Bytes of a record.
    pub(super) fn bytes(self) -> usize {
        self.head + 3 * self.side * self.side
    }

    /// The picture of a record: planes become interleaved channels.
    fn image(self, record: &[u8]) -> Image {
        let side = self.side;
        let planes = &record[self.head..];
        let mut pixels = Vec::with_capacity(planes.len());
        for row in 0..side {
            for column in 0..side {
                let at = match self.order {
                    Order::Rows => row * side + column,
                    Order::Columns => column * side + row,
                };
                pixels.extend([planes[at], planes[side * side + at], planes[2 * side * side + at]]);
            }
        }
        Image { width: side, height: side, channels: 3, pixels }
    }
}

/// The records of one file of a tree.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Entry of the tree.
    pub(super) entry: usize,
    /// What its records are called: `train`.
    pub(super) name: &'static str,
    /// The byte of the first record.
    pub(super) start: u64,
    /// The label of each record.
    pub(super) labels: Vec<Option<u32>>,
}

/// How many whole records entry `entry` has.
///
/// # Errors
/// If it is empty, or its length is no multiple of a record's.
pub(super) fn count(tree: &Tree, entry: usize, layout: Layout) -> Result<usize> {
    let (bytes, record) = (tree.length(entry)?, layout.bytes() as u64);
    if bytes == 0 || bytes % record != 0 {
        return Err(Error::input(format!(
            "{}: {bytes} bytes are not a whole number of records of {record}; the file is damaged or truncated",
            tree.whereabouts(entry)
        )));
    }
    Ok((bytes / record) as usize)
}

/// The entry whose file name is `name`, in whatever folder.
pub(super) fn find(tree: &Tree, name: &str) -> Option<usize> {
    tree.entries.iter().position(|entry| entry.path.file_name().is_some_and(|found| found == name))
}

/// The last byte before the pixels of each of `count` records. A few records are held at a time.
///
/// # Errors
/// If they cannot be read.
pub(super) fn last_of_heads(tree: &Tree, entry: usize, layout: Layout, count: usize) -> Result<Vec<u8>> {
    const AT_ONCE: usize = 1000;
    let bytes = layout.bytes();
    let mut found = Vec::new();
    for first in (0..count).step_by(AT_ONCE) {
        let records = AT_ONCE.min(count - first);
        let part = tree.read_at(entry, first as u64 * bytes as u64, records * bytes)?;
        found.extend(part.chunks_exact(bytes).map(|record| record[layout.head - 1]));
    }
    Ok(found)
}

/// Records of several files, one after another.
pub(super) struct Records {
    /// Where they are.
    pub(super) tree: Arc<Tree>,
    /// How each is laid out.
    pub(super) layout: Layout,
    /// The files in order.
    pub(super) files: Vec<File>,
}

impl Records {
    /// (file, record in it, number among the records of the same name).
    fn find(&self, index: usize) -> (&File, usize, usize) {
        let (mut record, mut number) = (index, 0);
        for (i, file) in self.files.iter().enumerate() {
            if i > 0 && self.files[i - 1].name != file.name {
                number = 0;
            }
            if record < file.labels.len() {
                return (file, record, number + record);
            }
            record -= file.labels.len();
            number += file.labels.len();
        }
        panic!("record {index} of {}", self.len())
    }
}

impl Source for Records {
    fn len(&self) -> usize {
        self.files.iter().map(|file| file.labels.len()).sum()
    }

    fn name(&self, index: usize) -> String {
        let (file, _, number) = self.find(index);
        format!("{}/{number:05}", file.name)
    }

    fn label(&self, index: usize) -> Option<u32> {
        let (file, record, _) = self.find(index);
        file.labels[record]
    }

    fn image(&self, index: usize) -> Result<Image> {
        let (file, record, _) = self.find(index);
        let bytes = self.layout.bytes();
        let record = self.tree.read_at(file.entry, file.start + record as u64 * bytes as u64, bytes)?;
        Ok(self.layout.image(&record))
    }
}
