//! Which branches a read took and how often, and what it compared, where the compiler was told to count and to tell (`.ci/run hunt`);
//! elsewhere nothing is known of either.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The counters of each crate: where they begin, and how many there are.
static COUNTERS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Called before `main`, once for each crate that counts.
///
/// # Safety
///
/// The two addresses bound bytes that live as long as the program and are written by nothing but the counting.
#[cfg(riesz_coverage)]
#[unsafe(no_mangle)]
unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    COUNTERS.lock().unwrap().push((start as usize, stop as usize - start as usize));
}

/// How many of the last comparisons are known.
const COMPARED: usize = 256;
/// Pairs of numbers that were compared, in a ring.
static PAIRS: [[AtomicU64; 2]; COMPARED] = [const { [const { AtomicU64::new(0) }; 2] }; COMPARED];
static LAST: AtomicUsize = AtomicUsize::new(0);

/// Notes two numbers, and compares nothing itself, which would call it again. Threads may overwrite each other's: a pair is a hint.
#[cfg(riesz_coverage)]
fn note(a: u64, b: u64) {
    let last = LAST.load(Relaxed);
    let pair = &PAIRS[last % COMPARED];
    pair[0].store(a, Relaxed);
    pair[1].store(b, Relaxed);
    LAST.store(last.wrapping_add(1), Relaxed);
}

/// Called before every comparison of so many bits, by whatever was compiled so.
#[cfg(riesz_coverage)]
mod told {
    macro_rules! told {
        ($($name:ident: $number:ty),*) => {$(
            #[unsafe(no_mangle)]
            extern "C" fn $name(a: $number, b: $number) {
                super::note(a.into(), b.into());
            }
        )*};
    }
    told!(
        __sanitizer_cov_trace_cmp2: u16,
        __sanitizer_cov_trace_cmp4: u32,
        __sanitizer_cov_trace_cmp8: u64,
        __sanitizer_cov_trace_const_cmp2: u16,
        __sanitizer_cov_trace_const_cmp4: u32,
        __sanitizer_cov_trace_const_cmp8: u64
    );
}

/// The numbers that were compared last and were not equal, the last first.
pub(crate) fn compared() -> Vec<[u64; 2]> {
    let last = LAST.load(Relaxed);
    let known = (1..=last.min(COMPARED)).map(|back| &PAIRS[(last - back) % COMPARED]);
    known.map(|[a, b]| [a.load(Relaxed), b.load(Relaxed)]).filter(|[a, b]| a != b).collect()
}

/// What all reads so far have reached.
pub(crate) struct Coverage {
    /// For each counter one bit for each of eight ranges of counts.
    seen: Vec<u8>,
}

impl Coverage {
    pub(crate) fn new() -> Self {
        let counters = COUNTERS.lock().unwrap().iter().map(|(_, count)| count).sum();
        Self { seen: vec![0; counters] }
    }

    /// Whether what was counted since the last call is new; then counts from zero.
    pub(crate) fn is_new(&mut self) -> bool {
        let (mut is_new, mut at) = (false, 0);
        for &(start, count) in COUNTERS.lock().unwrap().iter() {
            // SAFETY: the compiler's own bytes, which live as long as the program. Threads that still count may add to what is read or
            // be lost: a count is a hint.
            let counters = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, count) };
            for (counters, seen) in counters.chunks_mut(64).zip(self.seen[at..].chunks_mut(64)) {
                if counters.iter().fold(0, |any, count| any | count) == 0 {
                    continue;
                }
                for (counter, seen) in counters.iter_mut().zip(seen) {
                    let range = range(std::mem::take(counter));
                    is_new |= *seen & range != range;
                    *seen |= range;
                }
            }
            at += count;
        }
        is_new
    }

    /// How many branches were taken.
    pub(crate) fn branches(&self) -> usize {
        self.seen.iter().filter(|&&seen| seen != 0).count()
    }
}

/// The bit of a count: 0 has none; 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127 and more have one each.
const fn range(count: u8) -> u8 {
    match count {
        0 => 0,
        1..=3 => 1 << (count - 1),
        4..=7 => 8,
        8..=15 => 16,
        16..=31 => 32,
        32..=127 => 64,
        _ => 128,
    }
}
