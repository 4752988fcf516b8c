//! Fetching the files of a known data set from their official addresses: with progress, resumed where an earlier
//! attempt stopped, and checked by their published MD5.
//!
//! `NAME.part` grows while a file is fetched; only a complete and right one gets its name.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use md5::{Digest, Md5};

use super::{Known, Remote, megabytes};
use crate::train::interrupt;
use crate::train::progress::Progress;
use crate::{Error, Result};

/// What a server may take to answer, or to send the next bytes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes read at once.
const CHUNK: usize = 1 << 16;

/// Fetches every file of `known` into `folder` that is not there yet. With `mirror`, files come from
/// `mirror/FILE-NAME` instead of their official addresses. Returns the files' paths.
///
/// # Errors
/// If an address cannot be reached or answers with an error, a file's checksum is wrong (it is deleted), the disk
/// refuses, or the user interrupts; what was fetched stays, and the next call goes on from it.
pub fn fetch(known: &Known<'_>, folder: &Path, mirror: Option<&str>, quiet: bool) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
    let mut paths = Vec::new();
    for file in known.files {
        let name = file.url.rsplit('/').next().unwrap_or(file.url);
        let path = folder.join(name);
        if !path.is_file() {
            let url = mirror.map_or_else(
                || file.url.to_owned(),
                |mirror| format!("{}/{name}", mirror.trim_end_matches('/')),
            );
            fetch_file(file, &url, &path, quiet)?;
        }
        paths.push(path);
    }
    Ok(paths)
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
    let mut response = request.call().map_err(|error| failed(error.to_string()))?;
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
    let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
    let mut chunk = vec![0; CHUNK];
    let mut done = start;
    loop {
        let read = reader
            .read(&mut chunk)
            .map_err(|error| failed(format!("the connection broke after {} ({error})", megabytes(done))))?;
        if read == 0 {
            break;
        }
        target.write_all(&chunk[..read]).map_err(|error| Error::io(&part, &error))?;
        done += read as u64;
        progress.advance(read as u64, || format!("{} of {}", megabytes(done), megabytes(length)));
        if interrupt::asked() {
            progress.finish();
            return Err(Error::interrupted(format!(
                "{}: {} of {} fetched; the same command goes on from there",
                part.display(),
                megabytes(done),
                megabytes(length)
            )));
        }
    }
    progress.finish();
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
            return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hash.update(&chunk[..read]);
    }
}
