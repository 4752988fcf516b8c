//! What is not there, not what it seems, or made to harm: each is a sentence.

use super::*;

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
    for (name, bytes, expected) in [
        ("one.png", &png(1)[..], "one.png: one image; give the folder, tar or zip that holds the images"),
        ("none", b"", "none: the file is empty"),
        ("words", b"Dear diary", "words: neither a folder nor an archive of images nor an IDX file"),
        (
            "a.zip",
            b"PK\x03\x04rest",
            "a.zip: the archive is damaged or truncated: its directory is damaged or missing",
        ),
        ("a.tar.bz2", b"BZh9rest", "a.tar.bz2: a bzip2 file, which is not read; unpack it"),
        (
            "a.csv.gz",
            &gzip(b"name,label"),
            "a.csv.gz: a compressed file that holds neither a tar nor IDX values",
        ),
        ("a.npy", b"\x93NUMPY\x01\0", "a.npy: an array (npy)"),
        ("a.tar", &[1; 2000], "a.tar: named a tar, but its first header is damaged"),
    ] {
        write(at(name), bytes);
        assert!(refused(&recipe(at(name))).contains(expected), "{}", refused(&recipe(at(name))));
    }
    #[cfg(unix)]
    assert!(refused(&recipe("/dev/null")).contains("/dev/null: neither a folder nor a plain file"));
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

/// Files that claim to be huge without being it: a claim is never allocated.
#[test]
fn huge_claims_are_refused_or_read_to_where_they_end() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let sparse = |name: &str, bytes: u64| {
        write(at(name), b"");
        std::fs::File::options().write(true).open(at(name)).unwrap().set_len(bytes).unwrap();
    };
    // An image file of a terabyte, which takes no room on the disk.
    sparse("photos/a.png", 1 << 40);
    let data = open(&DataRecipe { held_out: 0.0, ..recipe(at("photos")) }, 0).unwrap();
    assert_eq!(data.train.image(0).unwrap_err().to_string(), "a.png: the file is larger than 1024 MiB");
    // A tar whose one member claims exabytes.
    let mut header = tar::Header::new_gnu();
    header.set_path("a.png").unwrap();
    header.set_mode(0o644);
    header.set_size(1 << 60);
    header.set_cksum();
    let bytes = [header.as_bytes(), &[0; 2048][..]].concat();
    write(at("a.tar"), &bytes);
    write(at("a.tar.gz"), &gzip(&bytes));
    assert!(refused(&recipe(at("a.tar"))).contains("damaged or truncated"));
    assert!(refused(&recipe(at("a.tar.gz"))).contains("its files take more than 2 GiB of memory"));
    // A list of labels of a terabyte beside one image.
    write(at("stl/train_X.bin"), &[0; 27_648]);
    sparse("stl/train_y.bin", 1 << 40);
    assert!(refused(&recipe(at("stl"))).contains("1099511627776 labels for 1 images"));
    sparse("table.csv", 1 << 40);
    let table = DataRecipe { labels: at("table.csv").to_str().unwrap().into(), ..recipe(at("photos")) };
    let message = refused(&table);
    assert!(message.contains("table.csv: larger than 1 GiB"), "{message}");
}
