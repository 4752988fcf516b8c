//! The sizes that the JPEGs in a TIFF say of themselves, which its decoder believes: strips or tiles are made as large as they say before
//! anything is compared with the image.

use std::io::Cursor;

use tiff::decoder::{Decoder, ifd::Value};
use tiff::tags::{CompressionMethod, Tag};

/// A tile may be larger than the image that it belongs to.
const TILE_PIXELS: u64 = 1 << 22;

/// Why the first image of a TIFF must not be decoded.
pub(super) fn too_large(bytes: &[u8], image_pixels: u64) -> Option<String> {
    let largest = largest(bytes)?;
    (largest > 2 * image_pixels + TILE_PIXELS).then(|| {
        format!("damaged tiff: a JPEG of {largest} pixels is said to be part of an image of {image_pixels}")
    })
}

/// The most pixels that a strip or tile says to have, if they are JPEGs. A decoder is given the tables of all, then each one's own data.
fn largest(bytes: &[u8]) -> Option<u64> {
    let mut decoder = Decoder::new(Cursor::new(bytes)).ok()?;
    let compression = decoder.find_tag_unsigned::<u16>(Tag::Compression).ok()??;
    if compression != CompressionMethod::ModernJPEG.to_u16() {
        return None;
    }
    let numbers = |value: Value| value.into_u64_vec().ok();
    let tables = decoder.find_tag(Tag::JPEGTables).ok()?.and_then(|tables| tables.into_u8_vec().ok());
    let mut of = |strips, tiles| {
        let value = decoder.find_tag(strips).ok()?.or(decoder.find_tag(tiles).ok()?);
        value.and_then(numbers)
    };
    let starts = of(Tag::StripOffsets, Tag::TileOffsets)?;
    let lengths = of(Tag::StripByteCounts, Tag::TileByteCounts)?;
    let chunk = |(start, length): (u64, u64)| {
        let (start, length) = (usize::try_from(start).ok()?, usize::try_from(length).ok()?);
        let own = bytes.get(start..)?;
        let own = &own[..length.min(own.len())];
        Some(match &tables {
            Some(tables) => {
                let before = &tables[..tables.len().saturating_sub(2)];
                largest_frame(&[before, own.get(2..).unwrap_or_default()].concat())
            }
            None => largest_frame(own),
        })
    };
    starts.into_iter().zip(lengths).filter_map(chunk).max()
}

/// The most pixels of anything that looks like the head of a frame: marker, length, precision, height, width, components.
fn largest_frame(jpeg: &[u8]) -> u64 {
    let pixels = |head: &[u8]| match *head {
        [0xff, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, _, _, _, y1, y0, x1, x0, _] => {
            u64::from(u16::from_be_bytes([y1, y0])) * u64::from(u16::from_be_bytes([x1, x0]))
        }
        _ => 0,
    };
    jpeg.windows(10).map(pixels).max().unwrap_or(0)
}
