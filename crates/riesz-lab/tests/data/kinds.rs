//! Kinds of image files that other programs write, against what those programs read in them: `tests/mutations/whole/make.py`.

use std::path::Path;

use riesz_lab::data::image_file;
use safetensors::SafeTensors;

#[test]
fn the_pixels_are_those_that_other_programs_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mutations/whole");
    let bytes = std::fs::read(folder.join("pixels.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(expected.len(), 51);
    for (name, pixels) in expected.tensors() {
        let found = image_file(&folder.join(&name)).unwrap();
        assert_eq!([found.height, found.width, found.channels], pixels.shape(), "{name}");
        let furthest = found.pixels.iter().zip(pixels.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        // Two decoders of JPEG may round differently.
        assert!(furthest <= if name.contains("jpeg") { 2 } else { 0 }, "{name}: {furthest}");
    }
}
