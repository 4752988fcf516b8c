//! A zip's member, read where it lies, and how much of archives is kept in memory.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::OnceLock;

use crate::zip;

/// What the files of a compressed archive may take in memory.
pub(super) const MOST_BYTES: u64 = 2 << 30;

/// A member of a zip.
pub(super) struct Zipped {
    size: u64,
    packed: zip::Packed,
    /// Its bytes, once parts of it were asked for.
    whole: OnceLock<Vec<u8>>,
}

impl Zipped {
    pub(super) fn new(member: &zip::Member) -> Self {
        Self { size: member.size, packed: member.packed, whole: OnceLock::new() }
    }

    /// Bytes of its content.
    pub(super) fn length(&self) -> u64 {
        self.size
    }

    /// Its bytes, one after another; their end is an error where they are not what the archive promises.
    pub(super) fn reader(&self, archive: &Path) -> std::io::Result<zip::Content<'static>> {
        self.packed.open(BufReader::new(File::open(archive)?))
    }

    /// All its bytes, kept: a packed stream cannot be read from the middle.
    pub(super) fn whole(&self, archive: &Path) -> std::io::Result<&[u8]> {
        if self.size > MOST_BYTES {
            let what = format!("takes more than {} GiB of memory; unpack the zip", MOST_BYTES >> 30);
            return Err(std::io::Error::other(what));
        }
        if let Some(whole) = self.whole.get() {
            return Ok(whole);
        }
        let mut bytes = Vec::new();
        self.reader(archive)?.read_to_end(&mut bytes)?;
        Ok(self.whole.get_or_init(|| bytes))
    }
}
