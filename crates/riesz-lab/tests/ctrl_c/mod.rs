//! Ctrl-C for tests that a shell runs in the background: they are started with it ignored, and so would be what they start.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGINT;

/// From now on Ctrl-C ends what this test starts as it does at a terminal, and this test too.
pub(crate) fn heard() {
    signal_hook::flag::register_conditional_shutdown(SIGINT, 130, Arc::new(AtomicBool::new(true))).unwrap();
}
