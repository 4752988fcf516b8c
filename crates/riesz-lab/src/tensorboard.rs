//! TensorBoard event files, written by hand: records of (length, checksum, bytes, checksum), whose bytes are a protocol
//! buffer of one scalar.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Error, Result};

/// Appends scalars to one event file.
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// Starts a new event file in `folder`, which is made if need be. TensorBoard reads all files of a folder together, in the
    /// order of their names, so a continued run adds one behind those that are there, whatever the clock says.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let behind = last(folder)?.map_or(0, |seconds| seconds.saturating_add(1));
        let name = format!("{NAME}{:010}.{:09}.riesz", since.as_secs().max(behind), since.subsec_nanos());
        let path = folder.join(name);
        let file = File::create_new(&path).map_err(|error| Error::io(&path, &error))?;
        let mut writer = Self { path, file };
        let mut event = time(since.as_secs_f64());
        bytes(&mut event, 3, b"brain.Event:2");
        writer.append(&event)?;
        Ok(writer)
    }

    /// Writes one number.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.append(&scalar_event(now.as_secs_f64(), tag, step, value as f32))
    }

    fn append(&mut self, event: &[u8]) -> Result<()> {
        self.file.write_all(&record(event)).map_err(|error| Error::io(&self.path, &error))
    }
}

const NAME: &str = "events.out.tfevents.";

/// The seconds in the name of the last event file of ours.
fn last(folder: &Path) -> Result<Option<u64>> {
    let mut last = None;
    for entry in std::fs::read_dir(folder).map_err(|error| Error::io(folder, &error))? {
        let name = entry.map_err(|error| Error::io(folder, &error))?.file_name();
        let ours = name.to_str().and_then(|name| name.strip_prefix(NAME)?.strip_suffix(".riesz"));
        let seconds = ours.and_then(|ours| ours.split_once('.')?.0.parse().ok());
        last = last.max(seconds);
    }
    Ok(last)
}

/// `Event { wall_time, step, summary { value { tag, simple_value } } }`.
fn scalar_event(seconds: f64, tag: &str, step: u64, scalar: f32) -> Vec<u8> {
    let mut value = Vec::new();
    bytes(&mut value, 1, tag.as_bytes());
    value.push(2 << 3 | 5);
    value.extend(scalar.to_le_bytes());
    let mut summary = Vec::new();
    bytes(&mut summary, 1, &value);
    let mut event = time(seconds);
    event.push(2 << 3);
    varint(&mut event, step);
    bytes(&mut event, 5, &summary);
    event
}

fn time(seconds: f64) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend(seconds.to_le_bytes());
    event
}

/// A field of bytes with its length in front.
fn bytes(message: &mut Vec<u8>, field: u8, content: &[u8]) {
    message.push(field << 3 | 2);
    varint(message, content.len() as u64);
    message.extend(content);
}

/// Seven bits a byte, lowest first; the eighth says that more follow.
fn varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked(&length).to_le_bytes());
    record.extend(event);
    record.extend(masked(event).to_le_bytes());
    record
}

/// CRC-32C, turned and shifted as the format asks.
fn masked(content: &[u8]) -> u32 {
    crc32c::crc32c(content).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that TensorFlow's own writer gives for this event.
    #[test]
    fn a_scalar_is_written_as_tensorboard_writes_it() {
        let event = scalar_event(1.5, "a/b", 300, 0.25);
        let mut want = vec![0x09];
        want.extend(1.5_f64.to_le_bytes());
        want.extend([
            0x10, 0xac, 0x02, 0x2a, 0x0c, 0x0a, 0x0a, 0x0a, 0x03, b'a', b'/', b'b', 0x15, 0, 0, 0x80, 0x3e,
        ]);
        assert_eq!(event, want);
        let framed = record(&event);
        assert_eq!(framed.len(), 8 + 4 + event.len() + 4);
        // The published check value of CRC-32C, masked.
        assert_eq!(masked(b"123456789"), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }

    #[test]
    fn a_file_opens_with_its_version_and_grows_by_records() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(&folder.path().join("tensorboard")).unwrap();
        writer.scalar("loss", 1, 2.0).unwrap();
        let content = std::fs::read(&writer.path).unwrap();
        assert!(content.windows(13).any(|window| window == b"brain.Event:2"));
        let mut at = 0;
        let mut records = 0;
        while at < content.len() {
            let length = u64::from_le_bytes(content[at..at + 8].try_into().unwrap()) as usize;
            let event = &content[at + 12..at + 12 + length];
            let stored = u32::from_le_bytes(content[at + 12 + length..at + 16 + length].try_into().unwrap());
            assert_eq!(stored, masked(event));
            (at, records) = (at + 16 + length, records + 1);
        }
        assert_eq!((at, records), (content.len(), 2));
    }

    #[test]
    fn a_later_file_comes_behind_however_the_clock_jumps() {
        let folder = tempfile::tempdir().unwrap();
        // Ten years ahead, and others' files.
        let ahead = folder.path().join("events.out.tfevents.2100000000.000000007.riesz");
        std::fs::write(&ahead, "").unwrap();
        std::fs::write(folder.path().join("events.out.tfevents.3000000000.host"), "").unwrap();
        let second = EventWriter::create(folder.path()).unwrap().path;
        let third = EventWriter::create(folder.path()).unwrap().path;
        assert!(ahead < second && second < third, "{second:?} {third:?}");
        assert!(second.to_str().unwrap().contains(".2100000001."), "{second:?}");
    }
}
