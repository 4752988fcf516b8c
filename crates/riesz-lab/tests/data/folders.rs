//! Folders of image files: what is listed, held out, labeled, and left aside.

use super::*;

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
fn pictures_of_kinds_that_are_not_read_are_told() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("1.png"), &png(1));
    write(folder.path().join("notes.md"), b"not an image");
    let opened = |path| open(&DataRecipe { held_out: 0.0, ..recipe(path) }, 0).unwrap();
    assert_eq!(opened(folder.path().to_owned()).notes, [""; 0], "a text is no picture");
    write(folder.path().join("a/2.HEIC"), b"not read");
    let one = "1 file is of a kind that is not read, and left out: 1 .heic";
    assert_eq!(opened(folder.path().to_owned()).notes, [one]);
    write(folder.path().join("3.avif"), b"not read");
    write(folder.path().join("4.heic"), b"not read");
    let more = "3 files are of kinds that are not read, and left out: 2 .heic, 1 .avif";
    assert_eq!(opened(folder.path().to_owned()).notes, [more]);
    // A list names what it means: there a text is told too.
    write(folder.path().join("list.txt"), b"1.png\nnotes.md\n");
    let one = "1 file is of a kind that is not read, and left out: 1 .md";
    assert_eq!(opened(folder.path().join("list.txt")).notes, [one]);
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

#[cfg(unix)]
#[test]
fn links_that_lead_back_or_nowhere_are_left_aside_and_told() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("a/1.png"), &png(1));
    write(folder.path().join("b/2.png"), &png(2));
    symlink(folder.path(), folder.path().join("a/loop")).unwrap();
    symlink("/no/such/file.png", folder.path().join("b/gone.png")).unwrap();
    symlink("self.png", folder.path().join("self.png")).unwrap();
    symlink(folder.path(), folder.path().join(".hidden")).unwrap();
    symlink("1.png", folder.path().join("a/again.png")).unwrap();
    let data = open(&DataRecipe { held_out: 0.0, ..recipe(folder.path()) }, 0).unwrap();
    assert_eq!(names(&*data.train), ["a/1.png", "a/again.png", "b/2.png"]);
    assert_eq!(data.notes.len(), 1);
    let told = &data.notes[0];
    assert!(told.starts_with("3 left aside: "), "{told}");
    for expected in [
        "a/loop (a link that leads back to its own folder)",
        "b/gone.png (a link that leads nowhere)",
        "self.png (a link that leads nowhere)",
    ] {
        assert!(told.contains(expected), "{told}");
    }
}

/// Names of bytes that are no text: told apart, and found by a table.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_unicode_stay_apart() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &[u8]| folder.path().join(std::ffi::OsStr::from_bytes(name));
    for (name, number) in
        [(&b"a\xff.png"[..], 1), (b"a\xfe.png", 2), (b"\xc3\xa4.png", 3), (b"caf\xe9/b.png", 4)]
    {
        write(at(name), &png(number));
    }
    write(at(b"labels.csv"), b"name,label\na\\xff.png,x\na\\xfe.png,y\n");
    let with_table = DataRecipe { labels: "labels.csv".into(), held_out: 0.0, ..recipe(folder.path()) };
    let data = open(&with_table, 0).unwrap();
    assert_eq!(names(&*data.train), [r"a\xfe.png", r"a\xff.png", r"caf\xe9/b.png", "ä.png"]);
    assert_eq!(labels(&*data.train), [Some(1), Some(0), None, None]);
    for (index, number) in [2, 1, 4, 3].into_iter().enumerate() {
        assert_eq!(data.train.image(index).unwrap().pixels[0], number);
    }
    let mut files = Vec::new();
    let mut header = tar::Header::new_gnu();
    header.set_size(png(1).len() as u64);
    header.set_mode(0o644);
    let mut builder = tar::Builder::new(&mut files);
    for name in [&b"a\xff.png"[..], b"a\xfe.png"] {
        builder.append_data(&mut header, std::ffi::OsStr::from_bytes(name), &png(1)[..]).unwrap();
    }
    drop(builder);
    write(at(b"t/odd.tar"), &files);
    let data = open(&DataRecipe { held_out: 0.0, ..recipe(at(b"t/odd.tar")) }, 0).unwrap();
    assert_eq!(names(&*data.train), [r"a\xfe.png", r"a\xff.png"]);
}

#[test]
fn partly_labeled_images_keep_their_labels_through_split_and_limit() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = "\u{feff}File;Class\r\n".to_owned();
    for i in 0..200 {
        write(folder.path().join(format!("photos/{i:03}.png")), &png(i as u8));
        if i % 5 == 0 {
            rows.push_str(&format!("C:\\old\\photos\\{i:03}.png;{}\r\n", i % 3));
        }
    }
    rows.push_str("999.png;1\r\n;\r\n\r\n");
    write(folder.path().join("labels.csv"), rows.as_bytes());
    let photos = folder.path().join("photos");
    let some = DataRecipe { labels: "labels.csv".into(), held_out: 0.5, limit: Some(60), ..recipe(photos) };
    let data = open(&some, 3).unwrap();
    assert_eq!((data.train.len(), data.test.len(), data.classes.len()), (60, 100, 3));
    let mut labeled = 0;
    for source in [&data.train, &data.test] {
        for index in 0..source.len() {
            let number: u32 = source.name(index)[..3].parse().unwrap();
            let expected = number.is_multiple_of(5).then_some(number % 3);
            assert_eq!(source.label(index), expected, "{number}");
            labeled += usize::from(expected.is_some());
        }
    }
    assert!((15..=45).contains(&labeled), "{labeled}");
    assert_eq!(
        data.notes,
        [
            "1 of 41 rows of labels name no image here; the first is 999.png (line 42)",
            "160 of 200 images have no label; the first is 001.png"
        ]
    );
}
