//! Fetching against a server of this test's own: whole, resumed, without resume, missing, wrong; archives unpacked; and
//! what was fetched of each known data set, trained on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use md5::{Digest, Md5};
use riesz_lab::data::{KNOWN, Known, Remote, fetch::fetch};

/// How the server treats `Range`.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Resumes,
    IgnoresRange,
    /// Closes the connection after this many bytes of the body.
    BreaksAfter(usize),
}

/// Serves `/file.bin` and nothing else; returns its address and the `Range` headers it saw.
fn serve(content: Vec<u8>, manner: Manner) -> (String, Arc<Mutex<Vec<Option<usize>>>>) {
    serve_files(vec![("file.bin".to_owned(), content)], manner)
}

fn serve_files(files: Vec<(String, Vec<u8>)>, manner: Manner) -> (String, Arc<Mutex<Vec<Option<usize>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.next().unwrap().unwrap();
            let mut from = None;
            for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
                let line = line.to_lowercase();
                if let Some(range) = line.strip_prefix("range: bytes=") {
                    from = Some(range.trim_end_matches('-').parse::<usize>().unwrap());
                }
            }
            log.lock().unwrap().push(from);
            let start = if manner == Manner::IgnoresRange { 0 } else { from.unwrap_or(0) };
            let asked = files.iter().find(|(name, _)| request.starts_with(&format!("GET /{name} ")));
            let (head, body) = match asked {
                None => ("404 Not Found", &b"no such file"[..]),
                Some((_, content)) if start >= content.len() => ("416 Range Not Satisfiable", &b""[..]),
                Some((_, content)) if start > 0 => ("206 Partial Content", &content[start..]),
                Some((_, content)) => ("200 OK", &content[..]),
            };
            let head =
                format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).unwrap();
            let sent = match manner {
                Manner::BreaksAfter(bytes) => &body[..bytes.min(body.len())],
                _ => body,
            };
            // The client may have gone: that is what some cases are about.
            let _ = stream.write_all(sent);
        }
    });
    (address, seen)
}

fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761)).to_le_bytes()).collect()
}

/// MD5 of [`content`], by another program (Python's hashlib).
const MD5: &str = "90c53fcb309570da40c1d1159e584fd9";

fn known<'a>(files: &'a [Remote<'a>]) -> Known<'a> {
    Known { name: "test", about: "", files, installed: &[], classes: &[] }
}

const FILES: [Remote<'static>; 1] =
    [Remote { url: "http://example.invalid/file.bin", md5: MD5, bytes: 1_200_000 }];

#[test]
fn a_whole_file_is_fetched_once() {
    let folder = tempfile::tempdir().unwrap();
    let (address, seen) = serve(content(), Manner::Resumes);
    for _ in 0..2 {
        let paths = fetch(&known(&FILES), folder.path(), Some(&address), true).unwrap();
        assert!(std::fs::read(&paths[0]).unwrap() == content());
    }
    assert_eq!(*seen.lock().unwrap(), [None]);
}

#[test]
fn a_broken_connection_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = serve(content(), Manner::BreaksAfter(500_000));
    let error = fetch(&known(&FILES), folder.path(), Some(&address), true).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("call again to go on"), "{error}");
    let have = std::fs::metadata(folder.path().join("file.bin.part")).unwrap().len() as usize;
    assert!(have > 0 && have <= 500_000);
    let (address, seen) = serve(content(), Manner::Resumes);
    let paths = fetch(&known(&FILES), folder.path(), Some(&address), true).unwrap();
    assert!(std::fs::read(&paths[0]).unwrap() == content());
    assert_eq!(*seen.lock().unwrap(), [Some(have)]);
    assert!(!folder.path().join("file.bin.part").exists());
}

#[test]
fn a_server_that_does_not_resume_sends_all_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file.bin.part"), &content()[..1000]).unwrap();
    let (address, seen) = serve(content(), Manner::IgnoresRange);
    let paths = fetch(&known(&FILES), folder.path(), Some(&address), true).unwrap();
    assert!(std::fs::read(&paths[0]).unwrap() == content());
    assert_eq!(*seen.lock().unwrap(), [Some(1000)]);
}

#[test]
fn a_complete_part_only_gets_its_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file.bin.part"), content()).unwrap();
    let (address, _) = serve(content(), Manner::Resumes);
    let paths = fetch(&known(&FILES), folder.path(), Some(&address), true).unwrap();
    assert!(std::fs::read(&paths[0]).unwrap() == content());
}

#[test]
fn what_is_missing_or_wrong_is_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = serve(content(), Manner::Resumes);
    let other = [Remote { url: "http://example.invalid/other.bin", ..FILES[0] }];
    let error = fetch(&known(&other), folder.path(), Some(&address), true).unwrap_err();
    assert!(error.to_string().contains("the server answers 404"), "{error}");

    let mut wrong = content();
    wrong[7] ^= 1;
    let (address, _) = serve(wrong, Manner::Resumes);
    let error = fetch(&known(&FILES), folder.path(), Some(&address), true).unwrap_err();
    assert!(error.to_string().contains("not the published"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the wrong file is deleted");

    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let error = fetch(&known(&FILES), folder.path(), Some(&closed), true).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[test]
fn a_folder_with_a_part_of_the_files_is_unfinished() {
    let folder = tempfile::tempdir().unwrap();
    let second = Remote { url: "http://example.invalid/second.bin", ..FILES[0] };
    let files = [FILES[0], second];
    let unfinished = || known(&files).is_unfinished(folder.path());
    assert!(!unfinished(), "nothing was fetched");
    std::fs::write(folder.path().join("unpacked.bin"), "").unwrap();
    assert!(!unfinished(), "another file is not a part");
    std::fs::write(folder.path().join("file.bin.part"), "").unwrap();
    assert!(unfinished());
    std::fs::rename(folder.path().join("file.bin.part"), folder.path().join("file.bin")).unwrap();
    assert!(unfinished());
    std::fs::write(folder.path().join("second.bin"), "").unwrap();
    assert!(!unfinished());
}

fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar_gz(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    gzip(&builder.into_inner().unwrap())
}

/// `count` records: the head of each, then pixels that differ from record to record.
fn records(count: usize, pixels: usize, head: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let picture = |i: usize| (0..pixels).map(move |at| ((at * (i % 7 + 1) + i * 31) % 251) as u8);
    (0..count).flat_map(|i| head(i).into_iter().chain(picture(i)).collect::<Vec<u8>>()).collect()
}

fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let sizes_there = sizes.iter().flat_map(|size| size.to_be_bytes());
    [0, 0, 8, sizes.len() as u8].into_iter().chain(sizes_there).chain(values.iter().copied()).collect()
}

/// Small files with the names and the layout of the known data set's own.
fn made(name: &str) -> Vec<(String, Vec<u8>)> {
    let labels = |count: usize, from: u8| (0..count).map(|i| from + (i % 10) as u8).collect::<Vec<u8>>();
    let named = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    match name {
        "fashion-mnist" => [("train", 60), ("t10k", 40)]
            .into_iter()
            .flat_map(|(split, count)| {
                let images = idx(&[count as u32, 28, 28], &records(count, 784, |_| Vec::new()));
                [
                    named(&format!("{split}-images-idx3-ubyte.gz"), gzip(&images)),
                    named(
                        &format!("{split}-labels-idx1-ubyte.gz"),
                        gzip(&idx(&[count as u32], &labels(count, 0))),
                    ),
                ]
            })
            .collect(),
        "cifar10" => {
            let batch = |count| records(count, 3072, |i| vec![(i % 10) as u8]);
            let files = [
                (
                    "cifar-10-batches-bin/batches.meta.txt",
                    b"airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n".to_vec(),
                ),
                ("cifar-10-batches-bin/data_batch_1.bin", batch(20)),
                ("cifar-10-batches-bin/data_batch_2.bin", batch(10)),
                ("cifar-10-batches-bin/data_batch_3.bin", batch(10)),
                ("cifar-10-batches-bin/data_batch_4.bin", batch(10)),
                ("cifar-10-batches-bin/data_batch_5.bin", batch(10)),
                ("cifar-10-batches-bin/readme.html", b"<html>".to_vec()),
                ("cifar-10-batches-bin/test_batch.bin", batch(40)),
            ];
            vec![named("cifar-10-binary.tar.gz", tar_gz(&files))]
        }
        "cifar100" => {
            let batch = |count| records(count, 3072, |i| vec![(i % 20) as u8, (i % 10 * 9) as u8]);
            let fine: String = (0..100).map(|class| format!("class{class}\n")).collect();
            let files = [
                ("cifar-100-binary/coarse_label_names.txt", b"fish\n".repeat(20)),
                ("cifar-100-binary/fine_label_names.txt", fine.into_bytes()),
                ("cifar-100-binary/test.bin", batch(40)),
                ("cifar-100-binary/train.bin", batch(60)),
            ];
            vec![named("cifar-100-binary.tar.gz", tar_gz(&files))]
        }
        _ => {
            let batch = |count| records(count, 27_648, |_| Vec::new());
            let files = [
                ("stl10_binary/test_X.bin", batch(40)),
                ("stl10_binary/test_y.bin", labels(40, 1)),
                ("stl10_binary/train_X.bin", batch(40)),
                ("stl10_binary/train_y.bin", labels(40, 1)),
                ("stl10_binary/unlabeled_X.bin", batch(20)),
                ("stl10_binary/class_names.txt", b"airplane\n".to_vec()),
                ("stl10_binary/fold_indices.txt", b"0 1 2\n".to_vec()),
            ];
            vec![named("stl10_binary.tar.gz", tar_gz(&files))]
        }
    }
}

/// The known data set with the checksums of the made files: (file, MD5) in the known order.
fn with_made_files<'a>(known: &Known<'a>, sums: &'a [String]) -> Vec<Remote<'a>> {
    known.files.iter().zip(sums).map(|(file, md5)| Remote { md5, ..*file }).collect()
}

#[test]
fn what_a_fetch_leaves_opens_and_trains_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for known in KNOWN {
        let files = made(known.name);
        let content = |file: &Remote<'_>| &files.iter().find(|(name, _)| name == file.name()).unwrap().1;
        let sums: Vec<String> = known.files.iter().map(|file| md5(content(file))).collect();
        let remotes = with_made_files(&known, &sums);
        let place = folder.path().join("riesz").join(known.name);
        let (address, _) = serve_files(files.clone(), Manner::Resumes);
        let paths = fetch(&Known { files: &remotes, ..known }, &place, Some(&address), true).unwrap();
        assert!(paths.iter().all(|path| path.exists()), "{paths:?}");

        let run = |arguments: &[&str]| {
            std::process::Command::new(env!("CARGO_BIN_EXE_riesz"))
                .current_dir(folder.path())
                .env("XDG_CACHE_HOME", folder.path())
                .args(arguments)
                .output()
                .unwrap()
        };
        let output = run(&[
            "train",
            known.name,
            "--epochs=1",
            "--batch=16",
            "--set=data.limit=16",
            "--set=augment.size=28",
            "--set=evaluation.pairs=20",
            "--set=evaluation.references=40",
            "--set=evaluation.epoch-references=0",
        ]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {told}", known.name);
        let log = folder.path().join("runs").join(known.name).join("log.jsonl");
        let log = std::fs::read_to_string(log).unwrap();
        assert!(
            log.contains("{\"event\":\"step\",\"step\":0,") && log.contains("\"event\":\"done\""),
            "{log}"
        );

        let shown = String::from_utf8_lossy(&run(&["data", "show", known.name]).stdout).into_owned();
        let (kind, classes) = match known.name {
            "fashion-mnist" => ("IDX", "classes    10: T-shirt/top, "),
            "cifar10" => ("cifar-10-binary, CIFAR-10 binary", "classes    10: airplane, automobile, "),
            "cifar100" => ("cifar-100-binary, CIFAR-100 binary", "classes    100: class0, class1, "),
            _ => ("STL-10 binary, 20 of the training images unlabeled", "classes    10: airplane, bird, "),
        };
        for expected in [kind, classes, "training   60 images", "held out   40 images"] {
            assert!(shown.contains(expected), "{expected} is not in {shown}");
        }
    }
}

#[test]
fn an_archive_is_unpacked_whole_or_not_at_all() {
    let known = KNOWN.into_iter().find(|known| known.name == "cifar10").unwrap();
    let (name, archive) = made("cifar10").remove(0);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let fetched = |archive: &[u8], address: &str| {
        let sums = [md5(archive)];
        let remotes = with_made_files(&known, &sums);
        fetch(&Known { files: &remotes, ..known }, folder.path(), Some(address), true)
    };
    // An archive that breaks off, though its checksum is right: no folder, and no rest of one.
    let cut = archive[..archive.len() / 2].to_vec();
    let (address, _) = serve_files(vec![(name.clone(), cut.clone())], Manner::Resumes);
    let message = fetched(&cut, &address).unwrap_err().to_string();
    assert!(message.contains("cifar-10-binary.tar.gz: the archive is damaged or truncated"), "{message}");
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["cifar-10-binary.tar.gz"]);
    assert!(known.is_unfinished(folder.path()));
    // The archive that is not the published one is not unpacked.
    let message = fetched(&archive, "http://127.0.0.1:1").unwrap_err().to_string();
    assert!(message.contains("delete it and call again"), "{message}");
    // A process died while unpacking: what it left is no data, and is begun anew.
    std::fs::write(at(&name), &archive).unwrap();
    std::fs::create_dir_all(at(".cifar-10-binary.unpacking/cifar-10-batches-bin")).unwrap();
    std::fs::write(at(".cifar-10-binary.unpacking/cifar-10-batches-bin/stale.bin"), "half").unwrap();
    assert!(known.is_unfinished(folder.path()));
    let paths = fetched(&archive, "http://127.0.0.1:1").unwrap();
    assert_eq!(paths, [at("cifar-10-binary")]);
    assert!(!known.is_unfinished(folder.path()) && !at(".cifar-10-binary.unpacking").exists());
    assert_eq!(std::fs::metadata(at("cifar-10-binary/test_batch.bin")).unwrap().len(), 40 * 3073);
    assert!(!at("cifar-10-binary/stale.bin").exists());
    // Whole as it is, with or without the archive.
    std::fs::remove_file(at(&name)).unwrap();
    fetched(&archive, "http://127.0.0.1:1").unwrap();
    // Unpacked by the user's own hand.
    std::fs::write(at(&name), &archive).unwrap();
    std::fs::rename(at("cifar-10-binary"), at("cifar-10-batches-bin")).unwrap();
    assert!(!known.is_unfinished(folder.path()));
}

#[cfg(unix)]
#[test]
fn two_fetches_into_one_folder_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = serve(content(), Manner::Resumes);
    let other = std::fs::File::open(folder.path()).unwrap();
    other.lock().unwrap();
    let message = fetch(&known(&FILES), folder.path(), Some(&address), true).unwrap_err().to_string();
    assert!(message.contains("another `riesz data fetch` is at work there"), "{message}");
    drop(other);
    fetch(&known(&FILES), folder.path(), Some(&address), true).unwrap();
}
