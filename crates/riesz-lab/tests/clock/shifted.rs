//! A clock that jumps, for a program that is started with this library before the C library: `clock_gettime` is the system's, but
//! the wall clock is set off, or the steady clock stands still, as the variable `SHIFTED_CLOCK` says. `main.rs` compiles it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

#[repr(C)]
pub struct Time {
    seconds: i64,
    nanoseconds: i64,
}

type Clock = unsafe extern "C" fn(i32, *mut Time) -> i32;

unsafe extern "C" {
    fn dlsym(handle: *mut u8, name: *const u8) -> *mut u8;
}

const DAY: i64 = 86_400;
const TEN_YEARS: i64 = 3_652 * DAY;
/// The C library's numbers of the wall clock and of the steady one, each exact and coarse, and of what the next library has.
const WALL: [i32; 2] = [0, 5];
const STEADY: [i32; 3] = [1, 4, 6];
const NEXT: *mut u8 = usize::MAX as *mut u8;

/// # Safety
/// As the system's: `time` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: i32, time: *mut Time) -> i32 {
    static SYSTEM: OnceLock<Clock> = OnceLock::new();
    static MODE: OnceLock<String> = OnceLock::new();
    static LOOKS: AtomicI64 = AtomicI64::new(0);
    let system = SYSTEM.get_or_init(|| unsafe {
        std::mem::transmute::<*mut u8, Clock>(dlsym(NEXT, c"clock_gettime".as_ptr().cast()))
    });
    let mode = MODE.get_or_init(|| std::env::var("SHIFTED_CLOCK").unwrap_or_default());
    let status = unsafe { system(clock, time) };
    if status != 0 {
        return status;
    }
    let time = unsafe { &mut *time };
    if WALL.contains(&clock) {
        time.seconds += match mode.as_str() {
            "back" => -DAY,
            "ahead" => TEN_YEARS,
            // Back and forth at each look.
            "jumps" if LOOKS.fetch_add(1, Ordering::Relaxed) % 2 == 0 => TEN_YEARS,
            "jumps" => -DAY,
            "before 1970" => -time.seconds - TEN_YEARS,
            _ => 0,
        };
    } else if STEADY.contains(&clock) && mode == "still" {
        (time.seconds, time.nanoseconds) = (1_000, 0);
    }
    status
}
