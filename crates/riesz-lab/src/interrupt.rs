//! Ctrl-C and SIGTERM, which batch systems send: the first asks the program to save and stop, a second ends it at once.
//!
//! Work is of two kinds. A loop that has something to save looks at [`asked`] between its steps. Work that can be
//! dropped at any moment is declared so by [`expendable`]: then the program ends within a twentieth of a second with
//! the sentence given there, however long a piece of that work lasts.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::console::errln;
use crate::{Result, threads};

/// How often the watcher looks.
const LOOK: Duration = Duration::from_millis(50);

struct Heard {
    asked: Arc<AtomicBool>,
    /// The number of the first signal; 0 before.
    signal: Arc<AtomicUsize>,
}

static HEARD: LazyLock<Heard> = LazyLock::new(|| Heard { asked: Arc::default(), signal: Arc::default() });

/// What to say if the work under way is dropped; `None` while it must not be.
static EXPENDABLE: Mutex<Option<String>> = Mutex::new(None);

/// From now on Ctrl-C and SIGTERM ask instead of killing. One that whoever started the program had it ignore (`nohup`, a shell's
/// background job) stays ignored, where the system tells that: on Linux.
///
/// # Errors
/// If the system starts no thread that watches.
pub fn listen() -> Result<()> {
    static IS_WATCHED: Mutex<bool> = Mutex::new(false);
    let mut is_watched = IS_WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*is_watched {
        threads::free(watch)?;
        *is_watched = true;
        let ignored = ignored();
        for signal in [SIGINT, SIGTERM].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0) {
            let heard = &*HEARD;
            // In this order: the shutdown acts only if the flag was set by an earlier signal.
            let listening = flag::register_conditional_shutdown(signal, 128 + signal, heard.asked.clone())
                .and_then(|_| {
                    flag::register_usize(signal, heard.signal.clone(), signal.unsigned_abs() as usize)
                })
                .and_then(|_| flag::register(signal, heard.asked.clone()));
            // Where the system does not let us listen, the signal ends the program, as it does without us.
            drop(listening);
        }
    }
    Ok(())
}

/// The signals that this process ignores, signal n as bit n − 1.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// From now on a file that may not grow further is an error of the write, as a full disk is, and does not end the program.
pub fn refuse_large_files() {
    #[cfg(unix)]
    // Where the system does not let us, the signal ends the program, as it does without us.
    drop(flag::register(signal_hook::consts::SIGXFSZ, Arc::default()));
}

/// Whether Ctrl-C was pressed or SIGTERM came.
pub fn asked() -> bool {
    HEARD.asked.load(Ordering::SeqCst)
}

/// What the program's exit code shall be after an interruption: 128 and the signal's number, as shells expect; 130
/// (Ctrl-C) if there was none.
pub fn exit_code() -> u8 {
    match HEARD.signal.load(Ordering::SeqCst) {
        0 => 130,
        signal => 128_u8.saturating_add(u8::try_from(signal).unwrap_or(u8::MAX)),
    }
}

/// As long as the returned value lives, an interruption ends the program at once with this sentence. Nothing may be
/// written meanwhile that must be whole.
#[must_use = "the work is expendable only as long as this value lives"]
pub fn expendable(sentence: String) -> Expendable {
    *sentence_of_the_moment() = Some(sentence);
    Expendable(())
}

/// See [`expendable`].
pub struct Expendable(());

impl Drop for Expendable {
    fn drop(&mut self) {
        *sentence_of_the_moment() = None;
    }
}

fn sentence_of_the_moment() -> MutexGuard<'static, Option<String>> {
    EXPENDABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the program if it was asked to and its work is expendable. The lock is held to the end, so that the work cannot
/// cease to be expendable in between.
fn watch() {
    loop {
        std::thread::sleep(LOOK);
        if asked() {
            let sentence = sentence_of_the_moment();
            if let Some(sentence) = &*sentence {
                // Below the progress bar, if there is one.
                let bar = if std::io::stderr().is_terminal() { "\n" } else { "" };
                errln!("{bar}riesz: {sentence}");
                std::process::exit(i32::from(exit_code()));
            }
        }
    }
}
