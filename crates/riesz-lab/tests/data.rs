//! Every source on made files: what opens, with which labels and splits, and what is refused in which words.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

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
    let text = include_str!("../../../data/fashion-mnist-12k/ids.csv");
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

#[test]
fn a_nested_folder_of_many_formats_is_listed_in_byte_order() {
    use image::ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("a/b/1.jpg", Jpeg),
        ("a/2.JPEG", Jpeg),
        ("z.png", Png),
        ("B.bmp", Bmp),
        ("a/3.tif", Tiff),
        ("a/4.tiff", Tiff),
        ("5.webp", WebP),
        ("6.gif", Gif),
        ("7.ppm", Pnm),
        ("東京/ä b.png", Png),
        ("a/png-inside.jpg", Png),
    ];
    for (name, format) in files {
        write(folder.path().join(name), &picture(100, format));
    }
    write(folder.path().join(".hidden.png"), b"not an image");
    write(folder.path().join("a/.cache/1.png"), b"not an image");
    write(folder.path().join("notes.txt"), b"not an image");
    let data = open(&DataRecipe { held_out: 0.0, ..recipe(folder.path()) }, 0).unwrap();
    let mut expected: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    expected.sort_unstable();
    assert_eq!(names(&*data.train), expected);
    assert!(data.classes.is_empty() && data.test.is_empty());
    for index in 0..data.train.len() {
        let Image { width, height, channels, pixels } = data.train.image(index).unwrap();
        assert_eq!((width, height, channels), (16, 12, 3), "{}", data.train.name(index));
        assert!(pixels[3 * (16 * 6 + 8)].abs_diff(100) < 12, "{}", data.train.name(index));
    }
    assert_eq!(typical_size(folder.path().to_str().unwrap()).unwrap(), (12, 3));
}

#[test]
fn an_unsplit_folder_holds_out_a_keyed_share() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..40 {
        write(folder.path().join(format!("{}/{i:02}.png", ["cat", "dog"][i % 2])), &png(i as u8));
    }
    let (data, again) = (opened(folder.path()), opened(folder.path()));
    assert_eq!((data.train.len(), data.test.len()), (20, 20), "50 are wanted, half are given");
    assert_eq!(
        (names(&*data.test), data.classes.clone()),
        (names(&*again.test), vec!["cat".into(), "dog".into()])
    );
    for index in 0..data.test.len() {
        let is_dog = data.test.name(index).starts_with("dog/");
        assert_eq!(data.test.label(index), Some(u32::from(is_dog)));
    }
    let other_seed = open(&recipe(folder.path()), 1).unwrap();
    assert_ne!(names(&*data.test), names(&*other_seed.test));
    let limited = open(&DataRecipe { limit: Some(7), ..recipe(folder.path()) }, 0).unwrap();
    assert_eq!((limited.train.len(), limited.test.len()), (7, 20));
    let unlabeled = open(&DataRecipe { labels: "none".into(), ..recipe(folder.path()) }, 0).unwrap();
    assert!(unlabeled.classes.is_empty() && labels(&*unlabeled.train).iter().all(Option::is_none));
    assert_eq!(names(&*unlabeled.test), names(&*data.test), "labels do not change what is held out");
}

#[test]
fn labels_come_from_a_table() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..4 {
        write(folder.path().join(format!("{i}.png")), &png(i));
    }
    write(folder.path().join("labels.csv"), b"name,label\n0.png,dog\n1.png,cat\n3.png,dog\n");
    let table = DataRecipe { labels: "labels.csv".into(), held_out: 0.0, ..recipe(folder.path()) };
    let data = open(&table, 0).unwrap();
    assert_eq!(
        (data.classes, labels(&*data.train)),
        (vec!["cat".into(), "dog".into()], vec![Some(1), Some(0), None, Some(1)])
    );
    assert!(
        refused(&DataRecipe { labels: "absent.csv".into(), ..table }).contains("absent.csv: no such file")
    );
}

#[test]
fn a_truncated_jpeg_is_named_and_counted_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..40 {
        let mut bytes = picture(i, image::ImageFormat::Jpeg);
        if i == 17 {
            bytes.truncate(bytes.len() - 20);
        }
        write(folder.path().join(format!("{i:02}.jpg")), &bytes);
    }
    let data = open(&DataRecipe { held_out: 0.0, ..recipe(folder.path()) }, 0).unwrap();
    let mut unreadable = Unreadable::default();
    for index in 0..data.train.len() {
        unreadable.seen(1);
        if let Err(error) = data.train.image(index) {
            unreadable.unreadable(&data.train.name(index), &error.to_string());
        }
    }
    assert_eq!(unreadable.counts(), (40, 1));
    assert_eq!(
        unreadable.first(),
        [("17.jpg".to_owned(), "truncated jpeg: it has no end marker".to_owned())]
    );
    unreadable.check().unwrap();
    std::fs::remove_file(folder.path().join("03.jpg")).unwrap();
    assert_eq!(data.train.image(3).unwrap_err().to_string(), "03.jpg: no such file or folder");
}

#[test]
fn a_cmyk_jpeg_becomes_color() {
    let cmyk = fixture("cmyk.jpg");
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("cmyk.jpg"), &cmyk);
    let data = open(&DataRecipe { held_out: 0.0, ..recipe(folder.path()) }, 0).unwrap();
    let image = data.train.image(0).unwrap();
    assert_eq!((image.width, image.height, image.channels), (16, 16, 3));
    let pixel = &image.pixels[3 * (16 * 8 + 8)..][..3];
    assert!(pixel[0] > 200 && pixel[1] < 60 && pixel[2] < 60, "the picture is red: {pixel:?}");
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}

#[test]
fn what_lies_at_the_path_is_told_when_nothing_fits() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(refused(&recipe(at("absent"))).ends_with("absent: no such file or folder"));
    std::fs::create_dir(at("empty")).unwrap();
    assert!(
        refused(&recipe(at("empty")))
            .contains("empty: no images found; the folder is empty; expected jpg, jpeg")
    );
    for i in 0..12 {
        write(at("texts").join(format!("{i}.txt")), b"text");
    }
    assert!(
        refused(&recipe(at("texts")))
            .contains("texts: no images found; 12 files, of them 12 .txt; expected jpg")
    );
    write(at("one.png"), &png(1));
    assert!(refused(&recipe(at("one.png"))).contains("one.png: neither a folder nor an archive"));
    assert!(
        refused(&recipe("fashion-mnits"))
            .contains("no such file or folder, and no known data set (fashion-mnist-12k, ")
    );
    assert!(refused(&DataRecipe { held_out: 1.5, ..recipe(at("texts")) }).contains("data.held-out is 1.5"));
    assert!(
        refused(&DataRecipe { held_out: f64::NAN, ..recipe(at("texts")) }).contains("data.held-out is NaN")
    );
    assert!(refused(&DataRecipe { limit: Some(0), ..recipe(at("texts")) }).contains("data.limit is 0"));
    assert!(
        refused(&DataRecipe { labels: "yes".into(), ..recipe(at("texts")) })
            .contains("data.labels is \"yes\"")
    );
    let unknown = toml::from_str::<DataRecipe>("source = 'x'\nlabels = 'auto'\nheld-out = 0.1\nfolder = 'y'")
        .unwrap_err();
    assert!(unknown.message().contains("unknown field `folder`"), "{unknown}");
}

#[test]
fn a_link_that_loops_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("a/1.png"), &png(1));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop")).unwrap();
        assert!(refused(&recipe(folder.path())).contains("a/loop: a link that leads back to"));
    }
}

#[test]
fn tars_open_alike_however_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = vec![("./README.txt", b"made".to_vec())];
    for (name, number) in [
        ("./train/cat/2.png", 2),
        ("./train/cat/1.png", 1),
        ("./train/dog/3.png", 3),
        ("./test/dog/4.png", 4),
        ("./train/dog/._3.png", 9),
    ] {
        files.push((name, png(number)));
    }
    // Longer than a block of the compressors, and a name longer than a tar header's field.
    let long = format!("./train/dog/{}.png", "n".repeat(150));
    files.push((&long, picture(5, image::ImageFormat::Bmp)));
    let plain = tar(&files);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd(&plain)].concat();
    let half = plain.len() / 2;
    for (name, bytes) in [
        ("a.tar", plain.clone()),
        ("a.tar.gz", gzip(&plain)),
        ("b.tar.gz", [gzip(&plain[..half]), gzip(&plain[half..])].concat()),
        ("a.tgz", gzip(&plain)),
        ("a.tar.xz", xz(&plain)),
        ("a.tar.zst", zstd(&plain)),
        ("b.tar.zst", skippable),
        ("c.tar.zst", [zstd(&plain[..half]), zstd(&plain[half..])].concat()),
        ("without-extension", xz(&plain)),
    ] {
        let path = folder.path().join(name);
        write(&path, &bytes);
        let data = opened(&path);
        assert_eq!(data.classes, ["cat", "dog"], "{name}");
        assert_eq!(
            names(&*data.train)[..3],
            ["train/cat/1.png", "train/cat/2.png", "train/dog/3.png"],
            "{name}"
        );
        assert_eq!(labels(&*data.train), [Some(0), Some(0), Some(1), Some(1)], "{name}");
        assert_eq!(
            (names(&*data.test), labels(&*data.test)),
            (vec!["test/dog/4.png".to_owned()], vec![Some(1)]),
            "{name}"
        );
        for (index, number) in [1, 2, 3, 5].into_iter().enumerate() {
            assert_eq!(data.train.image(index).unwrap().pixels[0], number, "{name}");
        }
        assert!(data.name.contains("tar of images"), "{}", data.name);

        write(&path, &bytes[..bytes.len() * 2 / 3]);
        let message = refused(&recipe(&path));
        assert!(message.contains(name) && message.contains("damaged or truncated"), "{message}");
    }
    write(folder.path().join("none.tar"), &tar(&[("a.txt", b"text".to_vec())]));
    assert!(refused(&recipe(folder.path().join("none.tar"))).contains("no images found; 1 file (a.txt)"));
}

#[test]
fn idx_files_open_packed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let (images, labels_file) =
        (idx(&[3, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]), idx(&[3], &[0, 4, 1]));
    write(folder.path().join("raw/train-images-idx3-ubyte.gz"), &gzip(&images));
    write(folder.path().join("raw/train-labels-idx1-ubyte"), &labels_file);
    write(folder.path().join("raw/t10k-images.idx3-ubyte"), &idx(&[1, 2, 2, 3], &[7; 12]));
    write(folder.path().join("raw/t10k-labels.idx1-ubyte"), &idx(&[1], &[2]));
    let data = opened(folder.path());
    assert_eq!(
        (names(&*data.train)[1].as_str(), labels(&*data.train)),
        ("train/00001", vec![Some(0), Some(4), Some(1)])
    );
    assert_eq!(
        data.train.image(1).unwrap(),
        Image { width: 2, height: 2, channels: 1, pixels: vec![5, 6, 7, 8] }
    );
    assert_eq!((data.test.image(0).unwrap().channels, data.test.label(0)), (3, Some(2)));
    assert_eq!(data.classes, ["0", "1", "2", "3", "4"]);

    // The unpacked file beside the packed one is the same images, not more.
    write(folder.path().join("raw/train-images-idx3-ubyte"), &images);
    assert_eq!(opened(folder.path()).train.len(), 3);
    let one = folder.path().join("raw/train-images-idx3-ubyte.gz");
    let one = open(&DataRecipe { held_out: 0.0, ..recipe(one) }, 0).unwrap();
    assert_eq!((one.train.len(), one.classes.len()), (3, 0), "a single file has no labels");
    assert!(
        refused(&DataRecipe { labels: "folders".into(), ..recipe(folder.path()) })
            .contains("labels of their own")
    );
}

#[test]
fn damaged_idx_files_are_refused_by_name() {
    let images = idx(&[3, 2, 2], &[0; 12]);
    let labels_file = idx(&[3], &[0, 4, 1]);
    for (images, labels, expected) in [
        (images[..20].to_vec(), labels_file.clone(), "= 12 values, but the file has only 4"),
        ([&images[..], &[0]].concat(), labels_file.clone(), "but the file has more"),
        (gzip(&images)[..20].to_vec(), labels_file.clone(), "truncated"),
        (vec![], labels_file.clone(), "truncated"),
        (b"PK\x03\x04rest".to_vec(), labels_file.clone(), "not an IDX file"),
        ([&[0, 0, 13], &images[3..]].concat(), labels_file.clone(), "values of type 0d"),
        (idx(&[3, 4], &[0; 12]), labels_file.clone(), "sizes [3, 4]; images are"),
        (idx(&[0, 2, 2], &[]), idx(&[0], &[]), "there are no pixels"),
        (idx(&[u32::MAX, u32::MAX, u32::MAX], &[0; 12]), labels_file.clone(), "more than 16 GiB"),
        (images.clone(), idx(&[2], &[0, 4]), "3 images, but its labels have the sizes [2]"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path().join("train-images-idx3-ubyte"), &images);
        write(folder.path().join("train-labels-idx1-ubyte"), &labels);
        let message = refused(&recipe(folder.path()));
        assert!(message.contains(expected) && message.contains("idx"), "{message}");
    }
}

/// A record: label bytes, then planes whose pixels are `plane * 60 + row * 7 + column` (mod 256).
fn record(head: &[u8], side: usize, by_columns: bool) -> Vec<u8> {
    let mut bytes = head.to_vec();
    for plane in 0..3 {
        for i in 0..side * side {
            let (row, column) = if by_columns { (i % side, i / side) } else { (i / side, i % side) };
            bytes.push((plane * 60 + row * 7 + column) as u8);
        }
    }
    bytes
}

fn assert_is_record(image: &Image, side: usize) {
    assert_eq!((image.width, image.height, image.channels), (side, side, 3));
    for (row, column) in [(0, 0), (0, side - 1), (side - 1, 0), (5, 3)] {
        let pixel = &image.pixels[3 * (side * row + column)..][..3];
        let expected: Vec<u8> = (0..3).map(|plane| (plane * 60 + row * 7 + column) as u8).collect();
        assert_eq!(pixel, expected, "row {row}, column {column}");
    }
}

#[test]
fn cifar_records_open_from_a_folder_and_from_a_tar() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for batch in 1..=5_u8 {
        let records = [record(&[batch], 32, false), record(&[9], 32, false)].concat();
        files.push((format!("cifar-10-batches-bin/data_batch_{batch}.bin"), records));
    }
    files.push(("cifar-10-batches-bin/test_batch.bin".to_owned(), record(&[3], 32, false)));
    for (name, bytes) in &files {
        write(folder.path().join(name), bytes);
    }
    let named: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    write(folder.path().join("plain.tar"), &tar(&named));
    write(folder.path().join("packed.tar.gz"), &gzip(&tar(&named)));
    for source in ["", "cifar-10-batches-bin", "plain.tar", "packed.tar.gz"] {
        let data = opened(folder.path().join(source));
        assert_eq!((data.train.len(), data.test.len(), data.classes[3].as_str()), (10, 1, "cat"), "{source}");
        assert_eq!((data.train.label(4), data.train.label(5)), (Some(3), Some(9)));
        assert_eq!((data.train.name(4).as_str(), data.test.name(0).as_str()), ("train/00004", "test/00000"));
        assert_is_record(&data.train.image(9).unwrap(), 32);
    }
    let batch = folder.path().join("cifar-10-batches-bin/data_batch_3.bin");
    write(&batch, &record(&[10], 32, false));
    assert!(refused(&recipe(folder.path())).contains("data_batch_3.bin: label 10 of 10 classes"));
    write(&batch, &record(&[1], 32, false)[..3000]);
    assert!(
        refused(&recipe(folder.path()))
            .contains("data_batch_3.bin: 3000 bytes are no multiple of a record's 3073")
    );
    std::fs::remove_file(&batch).unwrap();
    assert!(
        refused(&recipe(folder.path())).contains("CIFAR-10 binary files, but data_batch_3.bin is missing")
    );
}

#[test]
fn cifar100_takes_the_fine_label_and_the_python_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join("cifar-100-binary").join(name);
    write(at("train.bin"), &[record(&[1, 42], 32, false), record(&[1, 99], 32, false)].concat());
    write(at("test.bin"), &record(&[19, 0], 32, false));
    let fine: Vec<String> = (0..100).map(|class| format!("class{class}")).collect();
    write(at("fine_label_names.txt"), fine.join("\n").as_bytes());
    let data = opened(at(""));
    assert_eq!((labels(&*data.train), data.classes[42].as_str()), (vec![Some(42), Some(99)], "class42"));
    assert_is_record(&data.train.image(1).unwrap(), 32);

    let python = tempfile::tempdir().unwrap();
    write(python.path().join("cifar-10-batches-py/data_batch_1"), b"\x80\x02}q\x01");
    assert!(refused(&recipe(python.path())).contains("CIFAR for Python (pickles)"));
}

#[test]
fn stl10_planes_are_turned_and_unlabeled_images_have_no_label() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join("stl10_binary").join(name);
    let image = record(&[], 96, true);
    write(at("train_X.bin"), &image.repeat(2));
    write(at("train_y.bin"), &[1, 10]);
    write(at("test_X.bin"), &image);
    write(at("test_y.bin"), &[5]);
    let data = opened(folder.path());
    assert_eq!((labels(&*data.train), data.test.label(0)), (vec![Some(0), Some(9)], Some(4)));
    assert_is_record(&data.test.image(0).unwrap(), 96);
    write(at("unlabeled_X.bin"), &image.repeat(3));
    let data = opened(folder.path());
    assert_eq!(labels(&*data.train), [Some(0), Some(9), None, None, None]);
    assert_eq!(
        (data.train.name(1).as_str(), data.train.name(4).as_str()),
        ("train/00001", "unlabeled/00002")
    );
    assert_is_record(&data.train.image(4).unwrap(), 96);
    write(at("test_y.bin"), &[0]);
    assert!(refused(&recipe(folder.path())).contains("test_y.bin: label 0; STL-10 has 1 to 10"));
    write(at("test_y.bin"), &[1, 2]);
    assert!(refused(&recipe(folder.path())).contains("test_y.bin: 2 labels for 1 images"));
    std::fs::remove_file(at("test_y.bin")).unwrap();
    assert!(refused(&recipe(folder.path())).contains("test_y.bin is missing"));
}

#[test]
fn no_bytes_of_a_packed_file_make_a_panic() {
    let plain = tar(&[("a/1.png", png(1)), ("a/2.png", png(2)), ("b/3.png", png(3)), ("b/4.png", png(4))]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutated");
    let mut rng = riesz::rng::Key::new(0).stream("mutations").rng();
    let mut opened = 0;
    for packed in [plain.clone(), gzip(&plain), xz(&plain), zstd(&plain), idx(&[2, 2, 2], &[0; 8])] {
        for _ in 0..60 {
            let mut bytes = packed.clone();
            for _ in 0..1 + riesz::rng::below(&mut rng, 4) {
                let at = riesz::rng::below(&mut rng, bytes.len() as u64) as usize;
                bytes[at] = riesz::rng::below(&mut rng, 256) as u8;
            }
            bytes.truncate(bytes.len() - riesz::rng::below(&mut rng, 3) as usize * bytes.len() / 8);
            write(&path, &bytes);
            match open(&DataRecipe { held_out: 0.0, ..recipe(&path) }, 0) {
                Ok(data) => {
                    opened += 1;
                    for index in 0..data.train.len() {
                        let _ = data.train.image(index);
                    }
                }
                Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
            }
        }
    }
    assert!(opened > 0, "some mutations leave the archive readable");
}
