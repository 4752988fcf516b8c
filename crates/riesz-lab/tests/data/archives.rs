//! Tars, plain and compressed.

use super::*;

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

/// A tar whose members have these names and types, however odd.
fn odd_tar(members: &[(&str, tar::EntryType)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind) in members {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        let bytes = if kind.is_file() { png(7) } else { Vec::new() };
        header.set_size(bytes.len() as u64);
        if !kind.is_file() {
            header.set_link_name("elsewhere").unwrap();
        }
        header.set_cksum();
        builder.append(&header, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn what_is_refused_of_a_tar_is_told_and_why() {
    use tar::EntryType::{Directory, Fifo, Regular, Symlink};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.tar");
    let all = [("../x.png", Regular), ("/x.png", Regular), ("a/../../y.png", Regular), ("z.png", Symlink)];
    for packed in [false, true] {
        let made = |members: &[(&str, tar::EntryType)]| {
            let plain = odd_tar(members);
            write(&path, &if packed { gzip(&plain) } else { plain });
        };
        made(&all);
        assert_eq!(
            refused(&recipe(&path)),
            format!(
                "{}: a tar without a file that can be taken; 4 left aside: ../x.png (its name leads out of the \
                 archive), /x.png (its name begins at the root of a disk), a/../../y.png (its name leads out of the \
                 archive), …",
                path.display()
            )
        );
        made(&[("b", Directory), ("b/1.png", Regular), ("b/2.png", Fifo), ("./b/3.png", Regular)]);
        let data = open(&DataRecipe { held_out: 0.0, ..recipe(&path) }, 0).unwrap();
        assert_eq!(names(&*data.train), ["b/1.png", "b/3.png"]);
        assert_eq!(data.notes, ["1 left aside: b/2.png (a device or pipe)"]);
        made(&[("a.txt", Regular), ("z.png", Symlink)]);
        assert!(
            refused(&recipe(&path)).contains("no images found; 1 file (a.txt); 1 left aside: z.png (a link)")
        );
        made(&[("b/", Directory)]);
        assert!(refused(&recipe(&path)).contains("no images found; the tar is empty"));
    }
}
