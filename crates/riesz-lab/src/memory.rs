//! The program's memory: what is freed stays with it, and how much a piece of work takes.
//!
//! A training step allocates and frees the same large tensors over and over. glibc gives each back to the system at
//! once and asks for it again, and the system clears every page: a third of a step's time. Kept, the pages are reused.

use std::sync::{Mutex, PoisonError};

/// Tells the allocator to keep what is freed, up to 2 GiB. Only glibc needs to be told.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const MOST: libc::c_int = i32::MAX;
        // SAFETY: mallopt only changes settings of the allocator, and is called before other threads exist.
        #[expect(unsafe_code, reason = "a call into the C library")]
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MOST);
            libc::mallopt(libc::M_TRIM_THRESHOLD, MOST);
        }
    }
}

/// From now on all threads allocate in one place, so that [`peak`] can give all that is freed back before it looks; glibc
/// otherwise gives each thread an arena of its own, and of those it keeps the end. To be called before threads start.
pub fn one_arena() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only changes settings of the allocator.
    #[expect(unsafe_code, reason = "a call into the C library")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Does `work`, and tells by how many bytes the memory that the system holds for this process rose at most meanwhile (its
/// resident high-water mark). Freed memory is given back before, so that it is counted if `work` takes it again; what
/// threads keep for themselves from earlier work is not. Exact to a few hundred kilobytes, because the system counts pages
/// in batches. `None` where the system does not tell: only Linux does, and only if its mark can be reset.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, Option<u64>) {
    // There is one mark for the process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    give_back();
    // "5" resets the mark to what is resident now.
    let before = std::fs::write("/proc/self/clear_refs", "5").ok().and_then(|()| status("VmRSS:"));
    let outcome = work();
    let rise = before.zip(status("VmHWM:")).map(|(before, most)| most.saturating_sub(before));
    (outcome, rise)
}

/// Gives what is freed to the system.
fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim takes the allocator's own locks and touches only free memory.
    #[expect(unsafe_code, reason = "a call into the C library")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Bytes of an entry of this process's status.
fn status(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let entry = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(1024 * entry.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_told_although_it_is_over() {
        const BYTES: u64 = 64 << 20;
        let hold = || std::hint::black_box(vec![1_u8; BYTES as usize]).len() as u64;
        for _ in 0..2 {
            let (held, rise) = peak(hold);
            assert_eq!(held, BYTES);
            // Other tests of this program run meanwhile.
            assert!(rise.is_none_or(|rise| rise > BYTES / 2), "{rise:?}");
        }
    }
}
