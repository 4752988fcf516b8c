//! Waiting for what a running process does.

use std::process::Child;
use std::time::{Duration, Instant};

/// Waits for something that a running process does.
pub(crate) fn until(child: &mut Child, what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(child.try_wait().unwrap().is_none(), "the process ended before {what}");
        assert!(started.elapsed() < Duration::from_secs(300), "no {what} in five minutes");
        std::thread::sleep(Duration::from_millis(1));
    }
}
