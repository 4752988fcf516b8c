//! Images that cannot be read while training: each is logged once, and too many end the run.

use std::collections::BTreeMap;

use crate::Result;
use crate::data::{Source, Unreadable};
use crate::lines::Lines;
use crate::run::{Event, Run};

/// Unreadable images are judged as a share of at least so many (or of all there are).
const JUDGED_FROM: usize = 200;

/// Unreadable images: each is logged once, and too many end the run.
pub(super) struct Unreadables {
    /// Name → reason.
    known: BTreeMap<String, String>,
    /// Images there are, and held-out ones looked at before the first step.
    images: usize,
    held_out: usize,
}

impl Unreadables {
    /// Goes on from a run's log.
    pub(super) fn new(run: &Run, images: usize, held_out: usize) -> Result<Self> {
        let known = run
            .events()?
            .into_iter()
            .filter_map(|event| match event {
                Event::Unreadable { name, reason, .. } => Some((name, reason)),
                _ => None,
            })
            .collect();
        Ok(Self { known, images, held_out })
    }

    /// Logs those that are new, and judges them among the `asked` training images and the held-out ones.
    pub(super) fn note(
        &mut self,
        step: u64,
        source: &dyn Source,
        items: &[(usize, String)],
        asked: usize,
        log: &mut Lines,
    ) -> Result<()> {
        for (item, reason) in items {
            let name = source.name(*item);
            if self.known.insert(name.clone(), reason.clone()).is_none() {
                log.append(&Event::Unreadable { step, name, reason: reason.clone() })?;
            }
        }
        if items.is_empty() {
            return Ok(());
        }
        let mut counter = Unreadable::default();
        // The first few images are not judged alone.
        counter.seen((asked.min(self.images) + self.held_out).max(self.images.min(JUDGED_FROM)));
        for (name, reason) in &self.known {
            counter.unreadable(name, reason);
        }
        counter.check()
    }
}
