//! The Python lines that make of a file what an exported encoder takes: `Augment::clean` in Pillow's words.

/// Python's function `pixels(path)`, and its use; they need numpy, and of PIL `Image` and `ImageOps`. `filter` is `bilinear` or
/// `bicubic`. Pillow rounds to bytes between its steps, so that where the image is resized a pixel is off by up to about 1/255.
pub fn preparing([size, channels]: [usize; 2], filter: &str) -> String {
    let mode = if channels == 1 { "L" } else { "RGB" };
    let filter = filter.to_uppercase();
    format!(
        "def pixels(path):
    image = ImageOps.exif_transpose(Image.open(path)).convert(\"{mode}\")
    shorter = min(image.size)
    image = image.resize([{size} * side // shorter for side in image.size], Image.Resampling.{filter})
    left, top = [round((side - {size}) / 2) for side in image.size]
    image = image.crop((left, top, left + {size}, top + {size}))
    return numpy.asarray(image, numpy.float32).reshape({size}, {size}, {channels}).transpose(2, 0, 1) / 255


images = numpy.stack([pixels(path) for path in [\"photo.jpg\"]])"
    )
}
