//! Small pictures of images.

use std::io::Cursor;

use base64::Engine as _;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage, imageops::FilterType};

use crate::data::Image;
use crate::{Error, Result};

/// Of small JPEGs: little is seen of what it leaves out.
const QUALITY: u8 = 85;

/// The image, shrunk to at most `side` pixels a side, as a PNG in base64.
///
/// # Errors
/// If it cannot be encoded.
pub fn thumbnail(image: &Image, side: usize) -> Result<String> {
    let mut png = Cursor::new(Vec::new());
    shrunk(image, side)?.write_to(&mut png, ImageFormat::Png).map_err(|error| not_encoded(&error))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(png.into_inner()))
}

/// The image, shrunk to at most `side` pixels a side, as the bytes of a JPEG; of a PNG, which keeps every pixel, where it is no
/// larger.
///
/// # Errors
/// If it cannot be encoded.
pub fn picture(image: &Image, side: usize) -> Result<Vec<u8>> {
    let small = shrunk(image, side)?;
    let mut bytes = Cursor::new(Vec::new());
    let written = match is_larger(image, side) {
        true => small.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY)),
        false => small.write_to(&mut bytes, ImageFormat::Png),
    };
    written.map_err(|error| not_encoded(&error))?;
    Ok(bytes.into_inner())
}

fn is_larger(image: &Image, side: usize) -> bool {
    image.width.max(image.height) > side
}

fn shrunk(image: &Image, side: usize) -> Result<DynamicImage> {
    let (width, height) = (image.width as u32, image.height as u32);
    let wrong = || Error::input("an image's pixels do not fill its size");
    let picture = match image.channels {
        1 => DynamicImage::ImageLuma8(
            GrayImage::from_raw(width, height, image.pixels.clone()).ok_or_else(wrong)?,
        ),
        _ => DynamicImage::ImageRgb8(
            RgbImage::from_raw(width, height, image.pixels.clone()).ok_or_else(wrong)?,
        ),
    };
    Ok(match is_larger(image, side) {
        true => picture.resize(side as u32, side as u32, FilterType::Triangle),
        false => picture,
    })
}

fn not_encoded(error: &image::ImageError) -> Error {
    Error::input(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> (ImageFormat, DynamicImage) {
        (image::guess_format(bytes).unwrap(), image::load_from_memory(bytes).unwrap())
    }

    fn image(width: usize, height: usize) -> Image {
        let pixel = |i: usize| [(i % width * 255 / width) as u8, (i / width * 255 / height) as u8, 60];
        Image { width, height, channels: 3, pixels: (0..width * height).flat_map(pixel).collect() }
    }

    #[test]
    fn a_thumbnail_is_a_png_of_the_image() {
        let png = base64::engine::general_purpose::STANDARD.decode(thumbnail(&image(40, 20), 20).unwrap());
        let (format, small) = decoded(&png.unwrap());
        assert_eq!((format, small.width(), small.height()), (ImageFormat::Png, 20, 10));
    }

    #[test]
    fn a_picture_keeps_small_images_and_shrinks_large_ones() {
        let (format, same) = decoded(&picture(&image(28, 28), 28).unwrap());
        assert_eq!((format, same.into_bytes()), (ImageFormat::Png, image(28, 28).pixels));
        let (format, small) = decoded(&picture(&image(60, 200), 100).unwrap());
        assert_eq!((format, small.width(), small.height()), (ImageFormat::Jpeg, 30, 100));
        // The right of the image is red, as before.
        assert!(small.to_rgb8().get_pixel(28, 50)[0] > 220);
        let grey = Image { width: 200, height: 4, channels: 1, pixels: vec![77; 800] };
        let (_, small) = decoded(&picture(&grey, 50).unwrap());
        assert_eq!((small.width(), small.height()), (50, 1));
        assert_eq!(small.to_luma8().get_pixel(9, 0)[0], 77);
    }
}
