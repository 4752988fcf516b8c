//! Fetching against a server of this test's own: whole, resumed, without resume, missing, wrong.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use riesz_lab::data::{Known, Remote, fetch::fetch};

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
            let (head, body) = if !request.starts_with("GET /file.bin ") {
                ("404 Not Found", &b"no such file"[..])
            } else if start >= content.len() {
                ("416 Range Not Satisfiable", &b""[..])
            } else if start > 0 {
                ("206 Partial Content", &content[start..])
            } else {
                ("200 OK", &content[..])
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
