//! Decoders of other people, which may panic at a damaged file: here that is an answer, and nothing is printed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is a decoder's.
    static IS_FOREIGN: Cell<bool> = const { Cell::new(false) };
}

/// What `decode` returns, or `None` if it panics; what it was at is then not to be used again.
pub(crate) fn decoded<T>(decode: impl FnOnce() -> T) -> Option<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let told = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_FOREIGN.get() {
                told(panic);
            }
        }));
    });
    // One decoder may call another.
    let before = IS_FOREIGN.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(decode));
    IS_FOREIGN.set(before);
    outcome.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer() {
        assert_eq!(decoded(|| 3), Some(3));
        let outer = decoded(|| {
            assert_eq!(decoded(|| -> u8 { panic!("inside") }), None);
            assert!(IS_FOREIGN.get());
            4
        });
        assert_eq!((outer, IS_FOREIGN.get()), (Some(4), false));
        assert_eq!(decoded(|| -> u8 { panic!("a decoder's") }), None);
        assert!(!IS_FOREIGN.get());
    }
}
