//! Fetching the files of a known data set from their official addresses: with progress, resumed where an earlier
//! attempt stopped, checked by their published MD5, and archives unpacked.
//!
//! `NAME.part` grows while a file is fetched; only a complete and right one gets its name. One process works in a folder
//! at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};

use super::unpack::unpack;
use super::{Known, Remote, megabytes};
use crate::hexadecimal::hexadecimal;
use crate::interrupt;
use crate::progress::Progress;
use crate::{Error, Result, threads};

/// What a server may take to answer, or to send the next bytes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often an interruption is looked for while nothing comes.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes read at once.
const CHUNK: usize = 1 << 16;

/// Fetches every file of `known` into `folder` that is not there yet, and unpacks archives (which stay beside and may be
/// deleted). With `mirror`, files come from `mirror/FILE-NAME` instead of their official addresses. Returns the paths of
/// files and of unpacked folders.
///
/// # Errors
/// If an address cannot be reached or answers with an error, a file's checksum is wrong (it is deleted), the disk
/// refuses, another process fetches into the folder, or the user interrupts; what was fetched stays, and the next call
/// goes on from it.
pub fn fetch(known: &Known<'_>, folder: &Path, mirror: Option<&str>, quiet: bool) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
    let _alone = alone(folder)?;
    let mut paths = Vec::new();
    for file in known.files {
        paths.push(file.path(folder));
        if file.is_whole(folder) {
            continue;
        }
        let name = file.name();
        let path = folder.join(name);
        if path.is_file() {
            checked(file, &path)?;
        } else {
            let url = mirror.map_or_else(
                || file.url.to_owned(),
                |mirror| format!("{}/{name}", mirror.trim_end_matches('/')),
            );
            fetch_file(file, &url, &path, quiet)?;
        }
        if file.unpacked().is_some() {
            unpack(&path, &file.path(folder), quiet)?;
        }
    }
    Ok(paths)
}

/// Holds the folder against another process that fetches into it, until dropped; the system lets go when the process
/// dies. Where folders cannot be locked, nothing is held.
fn alone(folder: &Path) -> Result<Option<File>> {
    let Ok(held) = File::open(folder) else { return Ok(None) };
    match held.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::input(format!(
            "{}: another `riesz data fetch` is at work there; wait for it",
            folder.display()
        ))),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(held)),
    }
}

/// Checks an archive that lies there under its final name, before it is unpacked.
fn checked(file: &Remote<'_>, path: &Path) -> Result<()> {
    let found = md5_of(path)?;
    if found == file.md5 {
        return Ok(());
    }
    Err(Error::input(format!(
        "{}: the file's MD5 is {found}, not the published {}; delete it and call again to fetch it anew",
        path.display(),
        file.md5
    )))
}

fn fetch_file(file: &Remote<'_>, url: &str, path: &Path, quiet: bool) -> Result<()> {
    let part = path.with_file_name(format!("{}.part", path.file_name().unwrap_or_default().display()));
    let have = fs::metadata(&part).map_or(0, |metadata| metadata.len());
    let failed = |why: String| Error::input(format!("{url}: {why}; call again to go on"));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .http_status_as_error(false)
        .build()
        .into();
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = request.call().map_err(|error| failed(error.to_string()))?;
    let status = response.status().as_u16();
    let start = match status {
        206 => have,
        // The server does not resume: from the beginning.
        200 => 0,
        // Nothing follows what is there: it is complete, or not this file's; the checksum tells.
        416 if have > 0 => return finish(file, url, &part, path),
        _ => return Err(failed(format!("the server answers {}", response.status()))),
    };
    let mut target = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(start == 0)
        .append(start > 0)
        .open(&part)
        .map_err(|error| Error::io(&part, &error))?;
    let length = response.body().content_length().map_or(file.bytes, |rest| start + rest);
    let name = path.file_name().unwrap_or_default().display().to_string();
    let mut progress = Progress::new(&name, "bytes", start, length.max(start), quiet);
    let mut done = start;
    let body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let end = receive(body, PATIENCE, interrupt::asked, |chunk| {
        target.write_all(chunk).map_err(|error| Error::io(&part, &error))?;
        done += chunk.len() as u64;
        progress.advance(chunk.len() as u64, || format!("{} of {}", megabytes(done), megabytes(length)));
        Ok(())
    })?;
    progress.finish();
    match end {
        End::Complete => {}
        End::Broken(why) => {
            return Err(failed(format!("the connection broke after {} ({why})", megabytes(done))));
        }
        End::Interrupted => {
            return Err(Error::interrupted(format!(
                "{}: {} of {} fetched; the same command goes on from there",
                part.display(),
                megabytes(done),
                megabytes(length)
            )));
        }
    }
    if done < length {
        return Err(failed(format!(
            "the connection closed after {} of {}",
            megabytes(done),
            megabytes(length)
        )));
    }
    target.sync_all().map_err(|error| Error::io(&part, &error))?;
    finish(file, url, &part, path)
}

/// How a body ended.
#[derive(Debug, PartialEq)]
enum End {
    Complete,
    Broken(String),
    Interrupted,
}

/// Hands the bytes of `body` to `take` as they come. They are read by a thread of their own, since a read blocks: a
/// silent server is given up after `patience`, and an interruption is noticed at once.
fn receive(
    mut body: impl Read + Send + 'static,
    patience: Duration,
    interrupted: impl Fn() -> bool,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<End> {
    let (sender, receiver) = sync_channel(16);
    threads::free(move || {
        let mut open = true;
        while open {
            let mut chunk = vec![0; CHUNK];
            let read = body.read(&mut chunk).map(|read| {
                chunk.truncate(read);
                chunk
            });
            open = read.as_ref().is_ok_and(|chunk| !chunk.is_empty());
            // Nobody listens any more once the fetch was given up.
            open &= sender.send(read).is_ok();
        }
    })?;
    let mut heard = Instant::now();
    while !interrupted() {
        match receiver.recv_timeout(LOOK) {
            Ok(Ok(chunk)) if chunk.is_empty() => return Ok(End::Complete),
            Ok(Ok(chunk)) => {
                take(&chunk)?;
                heard = Instant::now();
            }
            Ok(Err(error)) => return Ok(End::Broken(error.to_string())),
            Err(_) if heard.elapsed() < patience => {}
            Err(_) => return Ok(End::Broken(format!("nothing came for {} s", patience.as_secs()))),
        }
    }
    Ok(End::Interrupted)
}

/// Checks the fetched bytes and gives them their name.
fn finish(file: &Remote<'_>, url: &str, part: &Path, path: &Path) -> Result<()> {
    let found = md5_of(part)?;
    if found != file.md5 {
        fs::remove_file(part).map_err(|error| Error::io(part, &error))?;
        return Err(Error::input(format!(
            "{url}: the file's MD5 is {found}, not the published {}; it was deleted, call again to fetch it anew",
            file.md5
        )));
    }
    fs::rename(part, path).map_err(|error| Error::io(path, &error))
}

fn md5_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|error| Error::io(path, &error))?;
    let mut hash = Md5::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk).map_err(|error| Error::io(path, &error))?;
        if read == 0 {
            return Ok(hexadecimal(&hash.finalize()));
        }
        hash.update(&chunk[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `bytes`, then nothing for as long as a test may last.
    struct Silent(Vec<u8>);

    impl Read for Silent {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                std::thread::sleep(Duration::from_secs(30));
            }
            let read = self.0.len().min(out.len());
            out[..read].copy_from_slice(&self.0[..read]);
            self.0.drain(..read);
            Ok(read)
        }
    }

    #[test]
    fn a_silent_server_is_given_up_and_an_interruption_is_noticed() {
        let start = Instant::now();
        let mut got = 0;
        let mut count = |chunk: &[u8]| {
            got += chunk.len();
            Ok(())
        };
        let end = receive(Silent(vec![1; 100_000]), Duration::from_secs(1), || false, &mut count).unwrap();
        assert_eq!(end, End::Broken("nothing came for 1 s".to_owned()));
        let asked = || start.elapsed() > Duration::from_secs(2);
        assert_eq!(receive(Silent(vec![1; 100]), PATIENCE, asked, &mut count).unwrap(), End::Interrupted);
        assert_eq!(got, 100_100);
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_refusing_disk_ends_the_fetch() {
        let full = |_: &[u8]| Err(Error::input("no space"));
        assert!(receive(&[1_u8; 10][..], PATIENCE, || false, full).is_err());
    }
}
