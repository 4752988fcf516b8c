//! A thread's own memory for staged images and gradients, held between calls.

use std::cell::Cell;

use super::loops::Wide;
use super::winograd::Room;

/// Room that keeps its length between calls; what is in it is nobody's.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) x: Vec<f32>,
    pub(super) gradient: Vec<f32>,
    pub(super) room: Room,
    pub(super) lanes: Vec<f32>,
    pub(super) means: Wide,
    /// What attention has of one head.
    pub(super) head: Vec<f32>,
}

/// Lends `work` this thread's scratch.
pub(super) fn with_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    thread_local! {
        static HELD: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
    }
    // Taken out meanwhile: if `work` came here again, it would get fresh memory.
    let mut held = HELD.take().unwrap_or_default();
    let outcome = work(&mut held);
    HELD.set(Some(held));
    outcome
}
