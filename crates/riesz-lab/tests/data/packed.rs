//! Files that hold many images: IDX, CIFAR, STL-10.

use super::*;

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
    assert!(data.notes.is_empty(), "{:?}", data.notes);

    // The unpacked file beside the packed one is the same images, not more.
    write(folder.path().join("raw/train-images-idx3-ubyte"), &images);
    assert_eq!(opened(folder.path()).train.len(), 3);
    let one = folder.path().join("raw/train-images-idx3-ubyte.gz");
    let one = open(&DataRecipe { held_out: 0.0, ..recipe(one) }, 0).unwrap();
    assert_eq!((one.train.len(), one.classes.len()), (3, 0), "a single file has no labels");
    std::fs::remove_file(folder.path().join("raw/train-labels-idx1-ubyte")).unwrap();
    let data = opened(folder.path());
    assert_eq!((labels(&*data.train), data.test.label(0)), (vec![None; 3], Some(2)));
    assert_eq!(
        data.notes,
        ["raw/train-images-idx3-ubyte has no file of labels beside it; its images have no label"]
    );
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
        (images[..20].to_vec(), labels_file.clone(), "= 12 values, but it has only 4"),
        ([&images[..], &[0]].concat(), labels_file.clone(), "but it has more"),
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

/// A single file is known by its content, whatever its name.
#[test]
fn a_damaged_idx_file_of_any_name_is_called_that() {
    let folder = tempfile::tempdir().unwrap();
    let images = idx(&[3, 2, 2], &[0; 12]);
    for (name, bytes, expected) in [
        ("digits.idx", images[..20].to_vec(), "damaged IDX file: its header says [3, 2, 2] = 12 values"),
        (
            "digits",
            gzip(&images[..27]),
            "damaged IDX file: its header says [3, 2, 2] = 12 values, but it has only 11",
        ),
        ("digits.gz", gzip(&[&images[..], &[1]].concat()), "but it has more"),
        ("labels", idx(&[3], &[0, 1, 2]), "labels: one list of labels; give the folder"),
        ("floats", [&[0, 0, 13, 3], &images[4..]].concat(), "floats: IDX values of type 0d"),
        ("train-images-idx3-ubyte", b"text".to_vec(), "not an IDX file, or a damaged one"),
    ] {
        write(folder.path().join(name), &bytes);
        let message = refused(&recipe(folder.path().join(name)));
        assert!(message.contains(expected) && message.contains(name), "{message}");
    }
    write(folder.path().join("digits"), &gzip(&images));
    assert_eq!(
        open(&DataRecipe { held_out: 0.0, ..recipe(folder.path().join("digits")) }, 0).unwrap().train.len(),
        3
    );
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
            .contains("data_batch_3.bin: 3000 bytes are not a whole number of records of 3073")
    );
    std::fs::remove_file(&batch).unwrap();
    assert!(
        refused(&recipe(folder.path())).contains("CIFAR-10 binary files, but data_batch_3.bin is missing")
    );
}

#[test]
fn cifar100_takes_the_fine_label() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join("cifar-100-binary").join(name);
    write(at("train.bin"), &[record(&[1, 42], 32, false), record(&[1, 99], 32, false)].concat());
    write(at("test.bin"), &record(&[19, 0], 32, false));
    let fine: Vec<String> = (0..100).map(|class| format!("class{class}")).collect();
    write(at("fine_label_names.txt"), fine.join("\n").as_bytes());
    let data = opened(at(""));
    assert_eq!((labels(&*data.train), data.classes[42].as_str()), (vec![Some(42), Some(99)], "class42"));
    assert_is_record(&data.train.image(1).unwrap(), 32);
    write(at("test.bin"), &record(&[19, 0], 32, false)[1..]);
    assert!(
        refused(&recipe(at(""))).contains("test.bin: 3073 bytes are not a whole number of records of 3074")
    );
    let one = at("train.bin");
    assert!(refused(&recipe(one)).contains("train.bin: looks like one of CIFAR's files; give the folder"));
}

/// A dictionary as Python 2 pickled it.
fn pickled(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries = entries.iter().flat_map(|(key, value)| [old_text(key.as_bytes()), value.clone()].concat());
    [b"\x80\x02}(".to_vec(), entries.collect(), b"u.".to_vec()].concat()
}

fn old_text(bytes: &[u8]) -> Vec<u8> {
    [b"T", &(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
}

fn listed(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    [b"](".to_vec(), items.into_iter().flatten().collect(), b"e".to_vec()].concat()
}

/// Images as an array of bytes, one a row, and labels.
fn batch(labels: &str, of: &[u8], numbers: u16) -> Vec<u8> {
    let pixels = record(&[], 32, false).repeat(of.len());
    let shape = [b"M", &(of.len() as u16).to_le_bytes()[..], b"M", &numbers.to_le_bytes(), b"\x86"].concat();
    let array = [
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01".to_vec(),
        shape,
        b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
            .to_vec(),
        old_text(&pixels),
        b"tb".to_vec(),
    ];
    let labels_of = listed(of.iter().map(|label| vec![b'K', *label]));
    pickled(&[("batch_label", old_text(b"one")), (labels, labels_of), ("data", array.concat())])
}

fn meta(key: &str, names: &[String]) -> Vec<u8> {
    pickled(&[
        ("num_vis", b"M\x00\x0c".to_vec()),
        (key, listed(names.iter().map(|name| old_text(name.as_bytes())))),
    ])
}

#[test]
fn cifar_for_python_is_the_binary_version_as_torchvision_leaves_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join("cifar-10-batches-py").join(name);
    let mut files = Vec::new();
    for number in 1..=5_u8 {
        files.push((format!("data_batch_{number}"), batch("labels", &[number, 9], 3072)));
    }
    files.push(("test_batch".to_owned(), batch("labels", &[3], 3072)));
    let classes: Vec<String> = (0..10).map(|class| format!("class{class}")).collect();
    files.push(("batches.meta".to_owned(), meta("label_names", &classes)));
    files.iter().for_each(|(name, bytes)| write(at(name), bytes));
    let named: Vec<(String, Vec<u8>)> =
        files.iter().map(|(name, bytes)| (format!("cifar-10-batches-py/{name}"), bytes.clone())).collect();
    let named: Vec<(&str, Vec<u8>)> =
        named.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let packed = tempfile::tempdir().unwrap();
    write(packed.path().join("cifar-10-python.tar.gz"), &gzip(&tar(&named)));
    for source in [folder.path().to_owned(), at(""), packed.path().join("cifar-10-python.tar.gz")] {
        let data = opened(&source);
        assert_eq!((data.train.len(), data.test.len(), data.classes[3].as_str()), (10, 1, "class3"));
        assert_eq!(
            (data.train.label(4), data.train.label(5), data.test.label(0)),
            (Some(3), Some(9), Some(3))
        );
        assert_eq!((data.train.name(4).as_str(), data.test.name(0).as_str()), ("train/00004", "test/00000"));
        assert_is_record(&data.train.image(9).unwrap(), 32);
    }
    for (bytes, expected) in [
        (batch("labels", &[10], 3072), "data_batch_3: label 10 of 10 classes"),
        (batch("labels", &[1], 3000), "data_batch_3: has no array data of rows of 3072 bytes"),
        (
            batch("fine_labels", &[1], 3072),
            "data_batch_3: has no list labels of a label for each of 1 images",
        ),
        (files[0].1[..500].to_vec(), "data_batch_3: ends too early"),
    ] {
        write(at("data_batch_3"), &bytes);
        let message = refused(&recipe(folder.path()));
        assert!(message.contains(expected), "{message}");
    }
    std::fs::remove_file(at("data_batch_3")).unwrap();
    assert!(refused(&recipe(folder.path())).contains("CIFAR-10 for Python, but data_batch_3 is missing"));

    let hundred = tempfile::tempdir().unwrap();
    let at = |name: &str| hundred.path().join("cifar-100-python").join(name);
    write(at("train"), &batch("fine_labels", &[42, 99], 3072));
    write(at("test"), &batch("fine_labels", &[0], 3072));
    let fine: Vec<String> = (0..100).map(|class| format!("class{class}")).collect();
    write(at("meta"), &meta("fine_label_names", &fine));
    let data = opened(hundred.path());
    assert_eq!((labels(&*data.train), data.classes[42].as_str()), (vec![Some(42), Some(99)], "class42"));
    assert_is_record(&data.test.image(0).unwrap(), 32);
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
    assert!(
        refused(&recipe(folder.path())).contains("test_y.bin: 2 labels for 1 images; one of the two files")
    );
    write(at("test_y.bin"), &[1]);
    write(at("unlabeled_X.bin"), &image[..image.len() - 1]);
    assert!(
        refused(&recipe(folder.path()))
            .contains("unlabeled_X.bin: 27647 bytes are not a whole number of records of 27648")
    );
    std::fs::remove_file(at("test_y.bin")).unwrap();
    assert!(refused(&recipe(folder.path())).contains("test_y.bin is missing"));
}

/// The sizes of the originals, by files with holes: all images are listed, and nothing large is read.
#[cfg(target_os = "linux")]
#[test]
fn stl10_opens_at_its_real_size_with_labels_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for (name, images) in [("train_X.bin", 5_000), ("unlabeled_X.bin", 100_000), ("test_X.bin", 8_000)] {
        let file = std::fs::File::create(folder.path().join(name)).unwrap();
        file.set_len(images * 27_648).unwrap();
    }
    write(folder.path().join("train_y.bin"), &[7; 5_000]);
    write(folder.path().join("test_y.bin"), &[10; 8_000]);
    let data = opened(folder.path());
    assert_eq!((data.train.len(), data.test.len(), data.classes.len()), (105_000, 8_000, 10));
    let labeled = |source: &dyn Source| labels(source).iter().flatten().count();
    assert_eq!((labeled(&*data.train), labeled(&*data.test)), (5_000, 8_000));
    assert_eq!((data.train.label(4_999), data.train.label(5_000)), (Some(6), None));
    assert_eq!(data.train.image(104_999).unwrap().pixels, vec![0; 27_648]);
    let limited = open(&DataRecipe { limit: Some(21_000), ..recipe(folder.path()) }, 1).unwrap();
    let share = labeled(&*limited.train);
    // 1,000 expected, standard deviation 28.
    assert!((870..=1_130).contains(&share), "{share}");
}
