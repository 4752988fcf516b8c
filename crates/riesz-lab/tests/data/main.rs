//! Every source on made files: what opens, with which labels and splits, and what is refused in which words.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archives;
mod folders;
mod hostile;
mod kinds;
mod packed;
mod sources;

use std::io::Write;
use std::path::Path;

use riesz_lab::data::{DataRecipe, Dataset, Image, Source, Unreadable, open, typical_size};

fn recipe(source: impl AsRef<Path>) -> DataRecipe {
    let source = source.as_ref().to_str().unwrap().to_owned();
    DataRecipe { source, labels: "auto".to_owned(), held_out: 0.05, limit: None }
}

fn opened(source: impl AsRef<Path>) -> Dataset {
    open(&recipe(source), 0).unwrap()
}

fn refused(recipe: &DataRecipe) -> String {
    let Err(error) = open(recipe, 0) else { panic!("{recipe:?} was opened") };
    assert_eq!(error.exit_code(), 2);
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

fn write(path: impl AsRef<Path>, bytes: &[u8]) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A picture whose pixels tell which one it is.
fn picture(number: u8, format: image::ImageFormat) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(16, 12, |x, y| image::Rgb([number, 10 * x as u8, 20 * y as u8]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png(number: u8) -> Vec<u8> {
    picture(number, image::ImageFormat::Png)
}

fn names(source: &dyn Source) -> Vec<String> {
    (0..source.len()).map(|index| source.name(index)).collect()
}

fn labels(source: &dyn Source) -> Vec<Option<u32>> {
    (0..source.len()).map(|index| source.label(index)).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(values);
    bytes
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}

#[test]
fn the_built_in_set_is_balanced_and_needs_no_file() {
    let data = opened("fashion-mnist-12k");
    assert_eq!((data.train.len(), data.test.len(), data.classes.len()), (10_000, 2_000, 10));
    for (source, each) in [(&data.train, 1000), (&data.test, 200)] {
        let labels = labels(&**source);
        for class in 0..10 {
            assert_eq!(labels.iter().filter(|&&label| label == Some(class)).count(), each);
        }
    }
    assert_eq!(
        (data.name.as_str(), data.classes[9].as_str()),
        ("fashion-mnist-12k (built in)", "Ankle boot")
    );
    assert_eq!((data.train.name(0).as_str(), data.train.label(0)), ("train/00000", Some(9)));
    let image = data.train.image(0).unwrap();
    assert_eq!((image.width, image.height, image.channels, image.pixels.len()), (28, 28, 1, 784));
    let ink: u64 = image.pixels.iter().map(|&pixel| u64::from(pixel)).sum();
    assert_eq!(ink, 76_247, "the sum of the pixels of the original's image 0");
    assert_eq!(typical_size("fashion-mnist-12k").unwrap(), (28, 1));
}

#[test]
fn the_ids_of_the_built_in_set_fit_its_labels() {
    let text = include_str!("../../data/fashion-mnist-12k/ids.csv");
    let data = opened("fashion-mnist-12k");
    let mut rows = 0;
    for (split, source, originals) in [("train", &data.train, 60_000), ("test", &data.test, 10_000)] {
        let mut last = None;
        let of_split = text.lines().filter(|line| line.starts_with(&format!("{split},")));
        for (position, line) in of_split.enumerate() {
            let fields: Vec<usize> = line.split(',').skip(1).map(|field| field.parse().unwrap()).collect();
            assert_eq!((fields[0], Some(fields[2] as u32)), (position, source.label(position)), "{line}");
            assert!(last < Some(fields[1]) && fields[1] < originals, "{line}");
            last = Some(fields[1]);
            rows += 1;
        }
    }
    assert_eq!(rows, 12_000);
}
