//! How a stored image is turned and mirrored before people see it: EXIF tag 0x0112 (TIFF keeps it as a tag of its own).

use image::metadata::Orientation;
use image::{ImageDecoder, ImageFormat, ImageResult};

/// What `bytes`, which `decoder` decodes, say of their orientation; as they lie if they say nothing that can be understood.
pub(super) fn orientation(
    format: ImageFormat,
    bytes: &[u8],
    decoder: &mut impl ImageDecoder,
) -> ImageResult<Orientation> {
    match format {
        // The decoder would make room for what a chunk promises.
        ImageFormat::WebP => {
            Ok(webp_exif(bytes).and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms))
        }
        _ => decoder.orientation(),
    }
}

/// The EXIF of a WebP file: a RIFF file's chunks follow its 12 bytes, each with a name, a size, and a byte more if that is odd.
fn webp_exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(12..)?;
    loop {
        let (name, after) = rest.split_first_chunk::<4>()?;
        let (size, after) = after.split_first_chunk::<4>()?;
        let size = u32::from_le_bytes(*size) as usize;
        if name == b"EXIF" {
            let exif = after.get(..size)?;
            // Some programs keep the mark with which EXIF begins in a JPEG.
            return Some(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
        }
        rest = after.get(size..)?.get(size % 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A RIFF file with chunks of these names, promised sizes and bytes.
    fn webp(chunks: &[(&[u8; 4], u32, &[u8])]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WEBP".to_vec();
        for (name, size, body) in chunks {
            bytes.extend_from_slice(*name);
            bytes.extend(size.to_le_bytes());
            bytes.extend_from_slice(body);
        }
        bytes
    }

    #[test]
    fn exif_of_webp_is_found_behind_other_chunks_and_no_promise_is_kept_beyond_the_file() {
        let whole = webp(&[(b"VP8X", 3, b"abc\0"), (b"EXIF", 8, b"Exif\0\0MM")]);
        assert_eq!(webp_exif(&whole), Some(&b"MM"[..]));
        assert_eq!(webp_exif(&webp(&[(b"EXIF", 2, b"II")])), Some(&b"II"[..]));
        assert_eq!(webp_exif(&webp(&[(b"VP8X", 4, b"abcd")])), None);
        for promised in [9, u32::MAX - 1, u32::MAX] {
            assert_eq!(webp_exif(&webp(&[(b"EXIF", promised, b"Exif\0\0MM")])), None);
            assert_eq!(webp_exif(&webp(&[(b"VP8X", promised, b"12345678"), (b"EXIF", 2, b"II")])), None);
        }
        for cut in 0..whole.len() {
            assert_eq!(webp_exif(&whole[..cut]), None, "{cut}");
        }
    }
}
