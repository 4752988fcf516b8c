//! Every reader of files, fed with damaged ones: no panic, no memory for what a header merely promises, and one line of refusal.
//!
//! Each reader begins with small whole files (`seeds.rs`, `whole/`), which are damaged at random (`damage.rs`). A damaged file that is
//! answered in words that were not heard before is kept and damaged further, and so is one that takes a branch which none took before,
//! if branches are counted (`coverage.rs`); then numbers that a reader compared are also put in each other's place, which mends sums
//! that are checked: so the search goes where the reader decides. Draws are keyed, so that the quick form of
//! `cargo test` is the same each time. An hour of one reader, from other draws, with branches counted:
//!
//! ```sh
//! RIESZ_MUTATIONS_SECONDS=3600 RIESZ_MUTATIONS_READER=parquet RIESZ_MUTATIONS_SEED=2 .ci/run hunt
//! ```
//!
//! What such a search kept is left in `found/`, as few small files as take the same branches, and the next one begins with them.
//!
//! The file that a reader died of stays in `target/tmp/mutations/`; put into `cases/` below this folder, in the folder of the reader's
//! name, it is read first in every run.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unsafe_code, reason = "an allocator is unsafe to write")]

mod coverage;
mod damage;
mod readers;
mod seeds;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use riesz::rng::{Key, below};

use coverage::Coverage;
use readers::{READERS, Reader};

/// The most that a reader may ask for at once: its files are of some kilobytes.
const MOST: usize = 256 << 20;
/// A read that takes longer twice is one that does not end; once, the machine may have been busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);
/// Damaged files of each reader in the quick form.
const FEW: usize = 200;
/// Files of new answers that are kept, and of new branches.
const KEPT: [usize; 2] = [400, 4000];
/// The most bytes, compressed, that a search leaves for the next one.
const LEFT: usize = 32 << 10;

/// The system's allocator, noting the largest request. What no machine has is refused, as a machine would.
struct Watching;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came, or is refused by a null pointer, as the trait allows.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        if layout.size() > 1 << 34 {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        if layout.size() > 1 << 34 {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Relaxed);
        if size > 1 << 34 {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// Where the last panic was.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// What a reader answers, or what is wrong with how it answers.
fn answer(reader: &Reader, path: &Path, bytes: &[u8]) -> Result<Result<(), String>, String> {
    std::fs::write(path, bytes).unwrap();
    LARGEST.store(0, Relaxed);
    let began = Instant::now();
    let read = std::panic::catch_unwind(|| (reader.read)(path));
    let took = began.elapsed();
    let Ok(answer) = read else { return Err(format!("panics: {}", PANIC.lock().unwrap())) };
    let largest = LARGEST.load(Relaxed);
    if largest > MOST {
        return Err(format!("asks for {largest} bytes at once for a file of {}", bytes.len()));
    }
    if took > PATIENCE {
        let again = Instant::now();
        let _ = std::panic::catch_unwind(|| (reader.read)(path));
        if again.elapsed() > PATIENCE {
            return Err(format!("takes {took:?}, and {:?} when asked again", again.elapsed()));
        }
    }
    match &answer {
        Err(sentence) if sentence.trim().is_empty() || sentence.contains('\n') => {
            Err(format!("is refused in other than one line: {sentence:?}"))
        }
        Err(sentence) if sentence.chars().count() > 1800 => {
            Err(format!("is refused in {} characters", sentence.chars().count()))
        }
        _ => Ok(answer),
    }
}

/// A sentence without its numbers and quotations.
fn shape(answer: &Result<(), String>) -> String {
    let Err(sentence) = answer else { return "read".to_owned() };
    let mut quoted = false;
    let words = sentence.chars().filter(|&c| {
        quoted ^= matches!(c, '"' | '`');
        !quoted && c.is_ascii_alphabetic() || c == ' '
    });
    words.collect()
}

struct Hunted {
    reads: usize,
    answers: usize,
    branches: usize,
    /// When a branch was last taken that none took before.
    last_new: Duration,
    faults: Vec<String>,
}

/// Reads damaged files for so long, or so many.
fn hunt(reader: &Reader, seconds: Option<f64>, draw: u64) -> Hunted {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutations").join(reader.name);
    let _ = std::fs::remove_dir_all(&folder);
    let path = folder.join(reader.file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let whole = [(reader.seeds)(), files("whole", reader.name)].concat();
    let mut coverage = Coverage::new();
    coverage.is_new();
    let (mut heard, mut faults, mut reads) = (BTreeSet::new(), Vec::new(), 0);
    let mut fault = |bytes: &[u8], why: &str| {
        let kept = folder.join(format!("fault-{}", faults.len()));
        std::fs::write(&kept, bytes).unwrap();
        faults.push(format!("{}: {} {why}", reader.name, kept.display()));
    };
    for seed in &whole {
        match answer(reader, &path, seed) {
            Ok(Ok(())) => {}
            Ok(Err(sentence)) => fault(seed, &format!("is a whole file, and refused: {sentence}")),
            Err(why) => fault(seed, &why),
        }
    }
    for case in files("cases", reader.name) {
        if let Err(why) = answer(reader, &path, &case) {
            fault(&case, &format!("was mended once, and {why}"));
        }
    }
    let found = found(reader.name);
    for bytes in &found {
        if let Err(why) = answer(reader, &path, bytes) {
            fault(bytes, &format!("was found once, and {why}"));
        }
    }
    let mut pool = [whole.clone(), found].concat();
    coverage.is_new();
    let mut rng = Key::new(draw).stream(reader.name).rng();
    let began = Instant::now();
    let (mut branches, mut last_new) = (coverage.branches(), Duration::ZERO);
    let mut wrong = BTreeSet::new();
    let mut last = Vec::new();
    while seconds.map_or(reads < FEW, |seconds| began.elapsed().as_secs_f64() < seconds) && wrong.len() < 20 {
        let mut draw = |n| below(&mut rng, n);
        let compared = if last.is_empty() || draw(2) == 0 { Vec::new() } else { coverage::compared() };
        let mut bytes = damage::mended(&last, &compared, &mut draw).unwrap_or_else(|| {
            let [chosen, other] = [(); 2].map(|()| draw(pool.len() as u64) as usize);
            damage::damaged(&pool[chosen], &pool[other], &mut draw)
        });
        if let Some(mend) = reader.mend {
            mend(&mut bytes);
        }
        reads += 1;
        match answer(reader, &path, &bytes) {
            Ok(answer) => {
                let is_new = [heard.len() < KEPT[0] && heard.insert(shape(&answer)), coverage.is_new()];
                if is_new[1] && coverage.branches() > branches {
                    (branches, last_new) = (coverage.branches(), began.elapsed());
                }
                if is_new.contains(&true) && pool.len() < KEPT[0] + KEPT[1] && bytes.len() < 1 << 17 {
                    pool.push(bytes.clone());
                }
                last = bytes;
            }
            Err(why) => {
                if wrong.insert(shape(&Err(why.clone()))) {
                    fault(&bytes, &why);
                }
            }
        }
    }
    if seconds.is_some() && coverage.branches() > 0 {
        leave(reader, &path, &whole, pool.split_off(whole.len()));
    }
    Hunted { reads, answers: heard.len(), branches, last_new, faults }
}

/// Where searches leave what they found of a reader.
fn archive(reader: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/mutations/found/{reader}.tgz"))
}

/// What earlier searches left.
fn found(reader: &str) -> Vec<Vec<u8>> {
    let Ok(file) = std::fs::File::open(archive(reader)) else { return Vec::new() };
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut bytes = Vec::new();
        entry.unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    });
    entries.collect()
}

/// Leaves those files, the small ones first, that take a branch which neither whole ones nor smaller ones take.
fn leave(reader: &Reader, path: &Path, whole: &[Vec<u8>], mut pool: Vec<Vec<u8>>) {
    let mut coverage = Coverage::new();
    coverage.is_new();
    for bytes in whole {
        let _ = answer(reader, path, bytes);
    }
    coverage.is_new();
    let mut branches = coverage.branches();
    pool.sort_by_key(Vec::len);
    let mut packed =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best()));
    let mut count = 0;
    for bytes in pool {
        let _ = answer(reader, path, &bytes);
        coverage.is_new();
        if coverage.branches() == branches {
            continue;
        }
        branches = coverage.branches();
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        packed.append_data(&mut header, count.to_string(), &bytes[..]).unwrap();
        count += 1;
        packed.get_mut().flush().unwrap();
        if packed.get_ref().get_ref().len() > LEFT {
            break;
        }
    }
    let packed = packed.into_inner().unwrap().finish().unwrap();
    std::fs::create_dir_all(archive(reader.name).parent().unwrap()).unwrap();
    std::fs::write(archive(reader.name), packed).unwrap();
}

/// The files of a reader in a folder beside this one: whole ones, or those that it once died of.
fn files(kind: &str, reader: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mutations").join(kind).join(reader);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn damaged_files_are_refused_in_a_line_or_read() {
    let setting = |name: &str| std::env::var(format!("RIESZ_MUTATIONS_{name}")).ok();
    let seconds = setting("SECONDS").map(|seconds| seconds.parse().unwrap());
    let draw = setting("SEED").map_or(1, |seed| seed.parse().unwrap());
    let chosen = setting("READER");
    std::panic::set_hook(Box::new(|panic| *PANIC.lock().unwrap() = panic.to_string().replace('\n', " ")));
    let mut faults = Vec::new();
    for reader in READERS.iter().filter(|reader| chosen.as_deref().is_none_or(|name| name == reader.name)) {
        let began = Instant::now();
        let hunted = hunt(reader, seconds, draw);
        println!(
            "{:<16} {:>9} files, {:>3} answers, {:>5} branches, {:>2} faults, {:.0} s, the last new branch after {:.0} s",
            reader.name,
            hunted.reads,
            hunted.answers,
            hunted.branches,
            hunted.faults.len(),
            began.elapsed().as_secs_f64(),
            hunted.last_new.as_secs_f64()
        );
        faults.extend(hunted.faults);
    }
    let _ = std::panic::take_hook();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
