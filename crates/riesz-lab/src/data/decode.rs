//! From the bytes of an image file to pixels, by content and never by name.
//!
//! Grey images (with or without alpha, 1 to 16 bits) become one channel, all others red, green, blue. As Pillow's
//! `convert("RGB")` does, alpha is dropped without blending; an image is turned as its EXIF says, as it is shown to people.
//! 16 bits are scaled to 8. Of an animation the first frame is taken.

use std::io::{Cursor, Read};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use tiff::tags::{PhotometricInterpretation, Tag};

use super::{Image, tiff_jpeg, upright};
use crate::names::quoted;
use crate::{Error, Result, foreign};

/// Extensions that make a file an image for listing; what is inside decides how it is decoded.
pub(super) const EXTENSIONS: [&str; 13] =
    ["jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp", "gif", "ppm", "pgm", "pbm", "pam", "pnm"];

/// Extensions of pictures that are not read: who has such files is told that they are left out.
const UNREAD: [&str; 24] = [
    "heic", "heif", "avif", "jxl", "jp2", "j2k", "jpx", "svg", "psd", "ico", "tga", "exr", "hdr", "qoi",
    "dds", "dng", "cr2", "cr3", "nef", "arw", "raf", "rw2", "orf", "pcx",
];

/// More pixels than any photo has; above it a small file could ask for all memory.
const MOST_PIXELS: u64 = 64 << 20;

/// What a decoder may allocate: 64 megapixels of four 16-bit channels, and room to work.
const MOST_BYTES: u64 = 1 << 30;

/// What a header may promise whatever the file's length: so many pixels of four bytes.
const PROMISED_BYTES: u64 = 4 * MOST_PIXELS;

/// Bytes that one byte of a file stands for at most, where pixels are deeper: LZW's longest strings, of 12 bits, stand for 4,096.
const MOST_RATIO: u64 = 2730;

/// What a GIF's frame may take beyond twice the whole image.
const FRAME_BYTES: u64 = 1 << 24;

/// Decodes the image file at `path`.
///
/// # Errors
/// If it cannot be read, or is no image; the sentence names it.
pub fn image_file(path: &Path) -> Result<Image> {
    let wrong = |error: std::io::Error| Error::io(path, &error);
    if path.is_dir() {
        return Err(Error::input(format!("{}: a folder; expected one image file", path.display())));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
        .map_err(wrong)?;
    decode(&bytes).map_err(|reason| Error::input(reason).at(path.display()))
}

/// Decodes an image file's bytes.
///
/// # Errors
/// The reason, without the file's name: not an image, damaged, truncated, too large.
pub(super) fn decode(bytes: &[u8]) -> std::result::Result<Image, String> {
    let given_up = || Err("damaged: what decodes it gave up".to_owned());
    foreign::decoded(|| decode_sound(bytes)).unwrap_or_else(given_up)
}

fn decode_sound(bytes: &[u8]) -> std::result::Result<Image, String> {
    if bytes.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    // What tiff files of more than 4 GB begin with, and others too.
    if bytes.starts_with(b"II+\0") || bytes.starts_with(b"MM\0+") {
        reader.set_format(ImageFormat::Tiff);
    }
    let Some(format) = reader.format() else {
        return Err("its content is none of jpeg, png, bmp, tiff, webp, gif, pnm".to_owned());
    };
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let broken = |error: image::ImageError| {
        let wrong = match error {
            image::ImageError::Unsupported(_) => "a kind that riesz does not read of",
            _ => "damaged or truncated",
        };
        format!("{wrong} {}: {}", name(format), quoted(&error.to_string()))
    };
    let mut decoder = reader.into_decoder().map_err(|error| {
        let is_palette = format == ImageFormat::Tiff && has_palette(bytes);
        if is_palette { PALETTE.to_owned() } else { broken(error) }
    })?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(format!("{width} × {height} pixels are above the limit of 64 megapixels"));
    }
    if width == 0 || height == 0 {
        return Err(format!("{width} × {height} pixels are no image"));
    }
    // The decoder fills what is missing of a JPEG with grey; such an image must not be trained on.
    if format == ImageFormat::Jpeg && !ends_as_jpeg(bytes) {
        return Err("truncated jpeg: it has no end marker".to_owned());
    }
    // At least a bit a sample, or a digit; the decoder makes room for all that are promised.
    if format == ImageFormat::Pnm && decoder.total_bytes() > 8 * bytes.len() as u64 {
        return Err(format!(
            "truncated pnm: {} bytes are too few for {width} × {height} pixels",
            bytes.len()
        ));
    }
    if decoder.total_bytes() > PROMISED_BYTES.max(MOST_RATIO * bytes.len() as u64) {
        return Err(format!(
            "truncated {}: {} bytes are too few for {width} × {height} pixels of {} bytes",
            name(format),
            bytes.len(),
            decoder.color_type().bytes_per_pixel()
        ));
    }
    // A frame may say that it is larger than the whole, and is made before it is found to be cut.
    if format == ImageFormat::Gif {
        let mut limits = Limits::default();
        limits.max_alloc = Some(2 * decoder.total_bytes() + FRAME_BYTES);
        decoder.set_limits(limits).map_err(broken)?;
    }
    if format == ImageFormat::Tiff
        && let Some(reason) = tiff_jpeg::too_large(bytes, u64::from(width) * u64::from(height))
    {
        return Err(reason);
    }
    let orientation = upright::orientation(format, bytes, &mut decoder).map_err(broken)?;
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(broken)?;
    decoded.apply_orientation(orientation);
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    let (channels, pixels) = match decoded.color().has_color() {
        true => (3, decoded.into_rgb8().into_raw()),
        false => (1, decoded.into_luma8().into_raw()),
    };
    Ok(Image { width, height, channels, pixels })
}

/// What is said of a TIFF with a palette.
const PALETTE: &str = "a kind that riesz does not read of tiff: its pixels are numbers of a palette's colors; convert it to RGB";

/// Whether the first image of a TIFF is one of those.
fn has_palette(bytes: &[u8]) -> bool {
    let interpretation = || {
        let mut decoder = tiff::decoder::Decoder::new(Cursor::new(bytes)).ok()?;
        decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation).ok()?
    };
    interpretation() == Some(PhotometricInterpretation::RGBPalette.to_u16())
}

/// Whether `path` has an extension of an image, in any case.
pub(super) fn is_image(path: &str) -> bool {
    has_one_of(&EXTENSIONS, path)
}

/// Whether `path` has an extension of a picture that is not read.
pub(super) fn is_unread(path: &str) -> bool {
    has_one_of(&UNREAD, path)
}

fn has_one_of(extensions: &[&str], path: &str) -> bool {
    path.rsplit_once('.')
        .is_some_and(|(_, found)| extensions.iter().any(|known| known.eq_ignore_ascii_case(found)))
}

fn name(format: ImageFormat) -> &'static str {
    format.extensions_str().first().copied().unwrap_or("image")
}

/// Walks a JPEG's segments from the start marker to the end marker; false if the bytes end before it.
fn ends_as_jpeg(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // The next marker: 0xff and a byte that is neither stuffing (0x00), nor fill (0xff), nor a restart.
        let Some(&[first, second]) = bytes.get(at..at + 2).and_then(|pair| pair.first_chunk()) else {
            return false;
        };
        match (first, second) {
            (0xff, 0xd9) => return true,
            (0xff, 0x00 | 0x01 | 0xd0..=0xd8) => at += 2,
            (0xff, 0xff) => at += 1,
            (0xff, _) => {
                let Some(length) = bytes.get(at + 2..at + 4).and_then(|pair| pair.first_chunk()) else {
                    return false;
                };
                at += 2 + usize::from(u16::from_be_bytes(*length));
            }
            _ => match bytes[at..].iter().position(|&byte| byte == 0xff) {
                Some(ahead) => at += ahead,
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder};
    use riesz::rng::{Key, below};

    use super::*;

    #[test]
    fn a_tiff_with_a_palette_is_refused_in_words() {
        // Of each tag: number, type (3 is u16, 4 is u32), count, value. Width, height, bits, no compression, interpretation, strip at
        // 8 + 2 + 10 · 12 + 4, samples, rows and bytes of the strip, table of colors behind it.
        let tiff = |interpretation: u32| -> Vec<u8> {
            let tags = [
                (256, 3, 1, 2),
                (257, 3, 1, 2),
                (258, 3, 1, 8),
                (259, 3, 1, 1),
                (262, 3, 1, interpretation),
                (273, 4, 1, 134),
                (277, 3, 1, 1),
                (278, 3, 1, 2),
                (279, 4, 1, 4),
                (320, 3, 768, 138),
            ];
            let mut bytes = b"II*\0\x08\0\0\0\x0a\0".to_vec();
            for (tag, kind, count, value) in tags {
                bytes.extend([tag, kind].into_iter().flat_map(u16::to_le_bytes));
                bytes.extend([count, value].into_iter().flat_map(u32::to_le_bytes));
            }
            bytes.extend([0, 0, 0, 0, 1, 2, 3, 4]);
            bytes.extend((0..768).flat_map(|i: u16| (64 * i).to_le_bytes()));
            bytes
        };
        assert_eq!(decode(&tiff(3)).unwrap_err(), PALETTE);
        assert_eq!(decode(&tiff(1)).unwrap().pixels, [1, 2, 3, 4]);
    }

    /// A picture with structure in both directions, so that a truncated file lacks something visible.
    fn picture(format: ImageFormat) -> Vec<u8> {
        let picture = image::RgbImage::from_fn(40, 30, |x, y| {
            image::Rgb([(x * 6) as u8, (y * 8) as u8, ((x * 7 + y * 13) % 256) as u8])
        });
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    const FORMATS: [ImageFormat; 7] = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Pnm,
    ];

    #[test]
    fn every_format_decodes_to_its_pixels() {
        for format in FORMATS {
            let image = decode(&picture(format)).unwrap();
            assert_eq!((image.width, image.height, image.channels), (40, 30, 3), "{format:?}");
            let pixel = &image.pixels[3 * (20 * 40 + 30)..][..3];
            let near = |found: u8, expected: i32| (i32::from(found) - expected).abs() <= 24;
            assert!(
                near(pixel[0], 180) && near(pixel[1], 160) && near(pixel[2], 214),
                "{format:?}: {pixel:?}"
            );
        }
    }

    #[test]
    fn every_truncated_file_is_refused() {
        for format in FORMATS {
            let whole = picture(format);
            for kept in [whole.len() / 4, whole.len() / 2, whole.len() * 9 / 10] {
                let reason = decode(&whole[..kept]).unwrap_err();
                assert!(!reason.contains('\n'), "{format:?}: {reason}");
            }
        }
        // Half a JPEG would otherwise be half a picture and half grey; so would one that ends in zeros.
        let mut zeroed = picture(ImageFormat::Jpeg);
        let within_the_scan = zeroed.len() - 40;
        zeroed[within_the_scan..].fill(0);
        assert_eq!(decode(&zeroed).unwrap_err(), "truncated jpeg: it has no end marker");
    }

    #[test]
    fn grey_stays_one_channel_and_deep_images_are_scaled() {
        let mut bytes = Vec::new();
        let samples: Vec<u8> = [0_u16, 257, 25_700, 65_535].iter().flat_map(|v| v.to_ne_bytes()).collect();
        image::codecs::png::PngEncoder::new(&mut bytes)
            .write_image(&samples, 4, 1, ExtendedColorType::L16)
            .unwrap();
        let image = decode(&bytes).unwrap();
        assert_eq!((image.channels, image.pixels), (1, vec![0, 1, 100, 255]));

        let mut bytes = Vec::new();
        image::codecs::png::PngEncoder::new(&mut bytes)
            .write_image(&[7, 0, 9, 128], 2, 1, ExtendedColorType::La8)
            .unwrap();
        assert_eq!(decode(&bytes).unwrap().pixels, [7, 9], "alpha is dropped from grey");

        let mut bytes = Vec::new();
        image::codecs::png::PngEncoder::new(&mut bytes)
            .write_image(&[200, 100, 50, 0], 1, 1, ExtendedColorType::Rgba8)
            .unwrap();
        assert_eq!(decode(&bytes).unwrap().pixels, [200, 100, 50], "alpha is dropped without blending");
    }

    /// Small files of every format whose headers claim gigapixels.
    #[test]
    fn a_bomb_is_refused_by_its_header() {
        let claimed = |format, [at, length]: [usize; 2], side: &[u8], other_at: usize| {
            let mut bytes = picture(format);
            bytes[at..at + length].copy_from_slice(side);
            bytes[other_at..other_at + length].copy_from_slice(side);
            if format == ImageFormat::Png {
                let checksum = crc32(&bytes[12..29]).to_be_bytes();
                bytes[29..33].copy_from_slice(&checksum);
            }
            bytes
        };
        let mut pnm = b"P6 60000 60000 255\n".to_vec();
        pnm.extend([0; 100]);
        let jpeg = picture(ImageFormat::Jpeg);
        let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        for (name, bytes) in [
            ("pnm", pnm),
            ("png", claimed(ImageFormat::Png, [16, 4], &60_000_u32.to_be_bytes(), 20)),
            ("bmp", claimed(ImageFormat::Bmp, [18, 4], &30_000_u32.to_le_bytes(), 22)),
            ("gif", claimed(ImageFormat::Gif, [6, 2], &60_000_u16.to_le_bytes(), 8)),
            ("jpeg", claimed(ImageFormat::Jpeg, [frame + 5, 2], &60_000_u16.to_be_bytes(), frame + 7)),
        ] {
            let reason = decode(&bytes).unwrap_err();
            assert!(reason.contains("are above the limit of 64 megapixels"), "{name}: {reason}");
        }
        // TIFF keeps the sides in its directory: tags 256 and 257.
        let mut tiff = picture(ImageFormat::Tiff);
        for tag in [256_u16, 257] {
            let at = tiff.windows(2).rposition(|bytes| bytes == tag.to_le_bytes()).unwrap();
            tiff[at + 2..at + 4].copy_from_slice(&4_u16.to_le_bytes());
            tiff[at + 8..at + 12].copy_from_slice(&60_000_u32.to_le_bytes());
        }
        let reason = decode(&tiff).unwrap_err();
        assert!(reason.contains("megapixels") || reason.contains("tiff"), "{reason}");
    }

    /// The checksum of a PNG's chunks.
    fn crc32(bytes: &[u8]) -> u32 {
        let mut sum = flate2::Crc::new();
        sum.update(bytes);
        sum.sum()
    }

    #[test]
    fn what_is_no_image_says_so() {
        assert_eq!(decode(b"").unwrap_err(), "the file is empty");
        assert!(decode(b"Dear diary, today").unwrap_err().contains("none of jpeg"));
    }

    /// Whole files are not called damaged.
    #[test]
    fn a_kind_that_is_not_read_says_so() {
        let mut tiff = picture(ImageFormat::Tiff);
        let colors = tiff.windows(4).rposition(|bytes| bytes == [6, 1, 3, 0]).unwrap();
        tiff[colors + 8] = 3;
        let reason = decode(&tiff).unwrap_err();
        assert!(reason.starts_with("a kind that riesz does not read of tiff: "), "{reason}");
    }

    #[test]
    fn extensions_are_known_in_any_case() {
        assert!(is_image("a/b.JPEG") && is_image("x.Tif") && !is_image("x.txt") && !is_image("jpg"));
    }

    /// Whatever is in a file, the answer is an image or a sentence, and an image has its pixels.
    #[test]
    fn mutated_files_never_panic() {
        for case in 0..300 {
            let mut rng = Key::new(5).at(case).rng();
            let mut bytes = picture(FORMATS[below(&mut rng, FORMATS.len() as u64) as usize]);
            for _ in 0..=below(&mut rng, 11) {
                let at = below(&mut rng, bytes.len() as u64) as usize;
                bytes[at] = below(&mut rng, 256) as u8;
            }
            if below(&mut rng, 2) == 0 {
                bytes.truncate(below(&mut rng, bytes.len() as u64) as usize);
            }
            if let Ok(image) = decode(&bytes) {
                assert_eq!(image.pixels.len(), image.width * image.height * image.channels, "case {case}");
            }
        }
    }
}
