//! Zips, shards, parquet files and lists, as Python's own libraries write them (`golden/sources`), and damaged.

use super::*;

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/sources").join(name)
}

/// The numbers of the images, which are in their pixels.
fn numbers(source: &dyn Source) -> Vec<u8> {
    (0..source.len()).map(|index| source.image(index).unwrap().pixels[0]).collect()
}

/// All images to train on.
fn whole(source: impl AsRef<Path>) -> Dataset {
    open(&DataRecipe { held_out: 0.0, ..recipe(source) }, 0).unwrap()
}

#[test]
fn zips_open_as_folders_do() {
    let data = opened(golden("images.zip"));
    assert_eq!(data.classes, ["cat", "dog"]);
    assert_eq!(
        (names(&*data.train), labels(&*data.train), numbers(&*data.train)),
        (
            ["train/cat/0.png", "train/cat/1.png", "train/dog/2.png", "train/dog/3.png"]
                .map(str::to_owned)
                .to_vec(),
            [0, 0, 1, 1].map(Some).to_vec(),
            vec![0, 1, 2, 3]
        )
    );
    assert_eq!((numbers(&*data.test), labels(&*data.test)), (vec![4, 5], vec![Some(0); 2]));
    assert!(data.notes.is_empty() && data.name.contains("zip of images"), "{:?} {}", data.notes, data.name);
    assert_eq!(numbers(&*whole(golden("streamed.zip")).train), [0, 1, 2]);
    let message = refused(&recipe(golden("lzma.zip")));
    assert!(
        message
            .contains("a zip without a file that can be taken; 1 left aside: 0.png (is packed by a method"),
        "{message}"
    );
}

/// A zip of stored members; a member's flags and claimed size can be wrong.
fn stored(members: &[(&str, &[u8], u8, u32)]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content, flags, more) in members {
        let start = bytes.len() as u32;
        let mut sum = flate2::Crc::new();
        sum.update(content);
        let size = content.len() as u32;
        let mut common = vec![10, 0, *flags, 0, 0, 0, 0, 0, 0, 0];
        common.extend(sum.sum().to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend((size + more).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(*content);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let at = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([(members.len() as u16).to_le_bytes(); 2].concat());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(at.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

#[test]
fn what_is_refused_of_a_zip_is_told_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    let one = png(1);
    let bad = [
        ("../x.png", &one[..], 0, 0),
        ("/x.png", &one, 0, 0),
        ("secret.png", &one, 1, 0),
        ("huge.png", &one, 0, 1 << 30),
    ];
    write(&path, &stored(&bad));
    let message = refused(&recipe(&path));
    for part in [
        "4 left aside",
        "../x.png (its name leads out of the archive)",
        "/x.png (its name begins at the root of a disk)",
        "secret.png (is encrypted)",
    ] {
        assert!(message.contains(part), "{message}");
    }
    // A name that occurs twice is the later file.
    write(
        &path,
        &stored(&[("a.png", &png(7), 0, 0), ("b.png", &one, 0, 0), ("a.png", &png(9), 0, 0), bad[3]]),
    );
    let data = whole(&path);
    assert_eq!(
        (names(&*data.train), numbers(&*data.train)),
        (vec!["a.png".into(), "b.png".into()], vec![9, 1])
    );
    assert_eq!(data.notes, ["1 left aside: huge.png (claims more bytes than it can hold; it is damaged)"]);
    let good = stored(&[("a.png", &one, 0, 0)]);
    let mut changed = good.clone();
    changed[60] ^= 1;
    write(&path, &changed);
    let message = whole(&path).train.image(0).unwrap_err().to_string();
    assert!(message.contains("a.png") && message.contains("its checksum does not hold"), "{message}");
    for kept in [10, good.len() / 2, good.len() - 30] {
        write(&path, &good[..kept]);
        let message = refused(&recipe(&path));
        assert!(message.contains("a.zip: the archive is damaged or truncated: its directory"), "{message}");
    }
    write(&path, &stored(&[]));
    assert!(refused(&recipe(&path)).contains("no images found; the zip is empty"));
    write(&path, &stored(&[("a.txt", b"text", 0, 0)]));
    assert!(refused(&recipe(&path)).contains("no images found; 1 file (a.txt)"));
}

/// Other formats inside a zip: parts of a packed member are read.
#[test]
fn idx_files_open_in_a_zip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digits.zip");
    let (images, classes) = (idx(&[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8]), idx(&[2], &[1, 0]));
    write(
        &path,
        &stored(&[
            ("d/train-images-idx3-ubyte", &images, 0, 0),
            ("d/train-labels-idx1-ubyte", &classes, 0, 0),
        ]),
    );
    let data = whole(&path);
    assert_eq!((labels(&*data.train), numbers(&*data.train)), (vec![Some(1), Some(0)], vec![1, 5]));
    let record: Vec<u8> = (0..3073).map(|i| if i == 0 { 3 } else { (i % 251) as u8 }).collect();
    let batch = record.repeat(2);
    let files: Vec<(String, &[u8])> = (1..=5)
        .map(|i| (format!("data_batch_{i}.bin"), &batch[..]))
        .chain([("test_batch.bin".to_owned(), &record[..])])
        .collect();
    let members: Vec<(&str, &[u8], u8, u32)> =
        files.iter().map(|(name, bytes)| (name.as_str(), *bytes, 0, 0)).collect();
    write(&path, &stored(&members));
    let data = opened(&path);
    assert_eq!((data.train.len(), data.test.len(), data.train.label(9)), (10, 1, Some(3)));
    assert_eq!(data.train.image(9).unwrap().pixels[..3], [1, (1025 % 251) as u8, (2049 % 251) as u8]);
}

#[test]
fn shards_open_with_the_labels_beside_the_images() {
    for source in [golden("shards"), golden("shards/{train,val}-{00..01}.tar")] {
        if source.to_str().unwrap().contains('{') {
            let message = refused(&recipe(&source));
            assert!(message.contains("val-01.tar: no such file, of 4 shards"), "{message}");
            continue;
        }
        let data = opened(&source);
        assert_eq!(data.classes, ["0", "1", "2"]);
        assert_eq!(numbers(&*data.train), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(labels(&*data.train), [0, 1, 2, 0, 1, 2, 0].map(Some));
        assert_eq!(
            (numbers(&*data.test), labels(&*data.test)),
            (vec![7, 8, 9], [1, 2, 0].map(Some).to_vec())
        );
        assert_eq!(names(&*data.train)[4], "train-01/0004.png");
    }
    let data = whole(golden("shards/train-{00..01}.tar"));
    assert_eq!((numbers(&*data.train), data.classes.len()), (vec![0, 1, 2, 3, 4, 5, 6], 3));
    let without = DataRecipe { labels: "none".into(), ..recipe(golden("shards")) };
    assert_eq!(open(&without, 0).unwrap().train.label(0), None);
    let data = whole(golden("json.tar"));
    assert_eq!(
        (data.classes, labels(&*data.train)),
        (vec!["cat".into(), "dog".into()], vec![Some(0), Some(1), None])
    );
}

#[test]
fn braces_that_do_not_fit_are_told() {
    for (source, expected) in [
        ("x/a-{0..3.tar", "a brace without its end"),
        ("x/a-{3..0}.tar", "an ascending range"),
        ("x/a-{a..b}.tar", "two whole numbers"),
        ("x/a-{0..999999999}.tar", "an ascending range of at most 100000"),
        ("x/{0..999}-{0..999}.tar", "more than 100000 shards"),
        ("x/a-{0..3}.tar", "x/a-0.tar: no such file, of 4 shards"),
    ] {
        let message = refused(&recipe(source));
        assert!(message.contains(expected), "{source}: {message}");
    }
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("photos{1");
    write(odd.join("1.png"), &png(1));
    assert_eq!(whole(&odd).train.len(), 1, "a folder that is there is no pattern");
    write(folder.path().join("a-0.tar"), &tar(&[("1.png", png(1))]));
    write(folder.path().join("a-1.tar"), b"text");
    let message = refused(&recipe(folder.path().join("a-{0..1}.tar")));
    assert!(message.contains("a-1.tar: not a tar, as a shard must be"), "{message}");
}

/// Class folders within shards are classes; the shards are not. Names may occur in several.
#[test]
fn shards_without_labels_beside_are_arranged_as_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let shard = |numbers: [u8; 2]| tar(&[("cat/a.png", png(numbers[0])), ("dog/b.png", png(numbers[1]))]);
    write(folder.path().join("one.tar"), &shard([1, 2]));
    write(folder.path().join("two.tar.gz"), &gzip(&shard([3, 4])));
    let data = whole(folder.path());
    assert_eq!(data.classes, ["cat", "dog"]);
    assert_eq!(names(&*data.train), ["one/cat/a.png", "one/dog/b.png", "two/cat/a.png", "two/dog/b.png"]);
    assert_eq!(
        (numbers(&*data.train), labels(&*data.train)),
        (vec![1, 2, 3, 4], [0, 1, 0, 1].map(Some).to_vec())
    );
    write(folder.path().join("two.tar.gz"), &gzip(&shard([3, 4]))[..60]);
    assert!(refused(&recipe(folder.path())).contains("two.tar.gz: the archive is damaged or truncated"));
}

#[test]
fn hub_parquet_opens_with_its_splits_and_names() {
    let data = opened(golden("hub"));
    assert_eq!(data.classes, ["cat", "dog"]);
    assert_eq!(numbers(&*data.train), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        labels(&*data.train),
        [None, Some(1), Some(0), Some(1), Some(0), Some(1), Some(0), Some(1), Some(0)]
    );
    assert_eq!(
        (numbers(&*data.test), labels(&*data.test)),
        (vec![9, 10, 11], vec![Some(1), Some(0), Some(1)])
    );
    assert_eq!(names(&*data.train)[6], "train/00006");
    assert!(data.name.contains("parquet of images"), "{}", data.name);
    let one = whole(golden("hub/data/train-00001-of-00002.parquet"));
    assert_eq!(numbers(&*one.train), [5, 6, 7, 8]);
    let data = whole(golden("numbers.parquet"));
    assert_eq!(
        (data.classes, labels(&*data.train)),
        (vec!["9".into(), "10".into()], vec![Some(1), Some(0), None])
    );
    assert_eq!(data.train.image(2).unwrap().pixels[0], 2, "gzip");
    let data = whole(golden("zstd.parquet"));
    assert_eq!((data.train.image(2).unwrap().pixels[0], data.train.label(2)), (2, Some(2)), "zstd");
    let message = data.train.image(1).unwrap_err().to_string();
    assert!(message.contains("train/00001") && message.contains("has no bytes"), "{message}");
    let data = whole(golden("words.parquet"));
    assert_eq!(
        (data.classes, labels(&*data.train)),
        (vec!["a".into(), "b".into()], [1, 0, 1].map(Some).to_vec())
    );
    let folders = DataRecipe { labels: "folders".into(), ..recipe(golden("hub")) };
    assert!(refused(&folders).contains("parquet of images files have labels of their own"));
}

#[test]
fn parquet_that_cannot_be_read_is_told() {
    let message = refused(&recipe(golden("text.parquet")));
    assert!(message.contains("text.parquet: has no column of images; expected image or img"), "{message}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let bytes = std::fs::read(golden("words.parquet")).unwrap();
    for kept in [8, bytes.len() / 2, bytes.len() - 3] {
        write(&path, &bytes[..kept]);
        let message = refused(&recipe(&path));
        assert!(message.contains("a.parquet: the parquet file is damaged or truncated"), "{message}");
    }
}

#[test]
fn a_list_of_paths_opens_what_it_names() {
    let folder = tempfile::tempdir().unwrap();
    for number in 1..=4 {
        write(
            folder.path().join(format!("photos/{}/{number}.png", ["a", "b"][number % 2])),
            &png(number as u8),
        );
    }
    let absolute = folder.path().join("photos/a/4.png");
    let list = folder.path().join("some.txt");
    let text = format!("photos/b/1.png\r\n\nphotos/a/2.png\n{}\nphotos/b/1.png\n", absolute.display());
    write(&list, text.as_bytes());
    let data = whole(&list);
    assert_eq!(data.train.len(), 3);
    assert_eq!(data.notes, ["1 lines of the list name a file again"]);
    write(&list, b"photos/a/2.png\nphotos/a/3.png\n");
    assert!(refused(&recipe(&list)).ends_with("some.txt: line 2: no such file: photos/a/3.png"));
    write(&list, b"\xff\xfe");
    assert!(refused(&recipe(&list)).contains("some.txt: encoded as UTF-16; save it as UTF-8"));
    // What is not Unicode is a path on Unix, and refused by its line elsewhere.
    write(&list, b"photos/a/2.png\r\n\r\nphotos/a/\xe9.png\r\n");
    let said = refused(&recipe(&list));
    let why = if cfg!(unix) { "no such file: photos/a/\\xe9.png" } else { "not UTF-8 (Latin-1" };
    assert!(said.contains(&format!("some.txt: line 3: {why}")), "{said}");
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let odd = std::ffi::OsStr::from_bytes(b"photos/a/\xe9.png");
        std::fs::copy(folder.path().join("photos/a/2.png"), folder.path().join(odd)).unwrap();
        let data = whole(&list);
        let names = [data.train.name(0), data.train.name(1)];
        assert_eq!(names, ["photos/a/2.png", "photos/a/\\xe9.png"]);
        assert_eq!(data.train.image(1).unwrap(), data.train.image(0).unwrap());
    }
    write(&list, b"");
    assert!(refused(&recipe(&list)).contains("no images found; the list is empty"));
}
