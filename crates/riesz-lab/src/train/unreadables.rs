//! Images that cannot be read while training: each is logged once, the first are told, and too many end the run.

use std::collections::BTreeMap;

use crate::data::{Source, Unreadable};
use crate::lines::Lines;
use crate::run::{Event, Run};
use crate::{Error, Result};

/// Unreadable images are judged as a share of at least so many (or of all there are).
const JUDGED_FROM: usize = 200;

/// Unreadable images: each is logged once, the first are told, and too many end the run.
pub(super) struct Unreadables<'a> {
    /// Name → reason.
    known: BTreeMap<String, String>,
    /// Images there are, and held-out ones looked at before the first step.
    images: usize,
    held_out: usize,
    /// Where they come from, as the recipe says it.
    source: &'a str,
}

impl<'a> Unreadables<'a> {
    /// Goes on from a run's log.
    pub(super) fn new(run: &Run, images: usize, held_out: usize, source: &'a str) -> Result<Self> {
        let known = run
            .events()?
            .into_iter()
            .filter_map(|event| match event {
                Event::Unreadable { name, reason, .. } => Some((name, reason)),
                _ => None,
            })
            .collect();
        Ok(Self { known, images, held_out, source })
    }

    /// Logs those that are new, says the first of them, and judges them among the `asked` training images and the held-out ones.
    pub(super) fn note(
        &mut self,
        step: u64,
        source: &dyn Source,
        items: &[(usize, String)],
        asked: usize,
        log: &mut Lines,
        say: impl Fn(&str),
    ) -> Result<()> {
        for (item, reason) in items {
            let name = source.name(*item);
            if self.known.insert(name.clone(), reason.clone()).is_none() {
                if self.known.len() <= Unreadable::REMEMBERED {
                    // The errors of a source open with the item's name.
                    say(&format!("left out {}", Error::input(reason.clone())));
                }
                let reason = Unreadable::why(&name, reason).to_owned();
                log.append(&Event::Unreadable { step, name, reason })?;
            }
        }
        if items.is_empty() {
            return Ok(());
        }
        let mut counter = Unreadable::default();
        counter.seen(asked.min(self.images) + self.held_out);
        for (name, reason) in &self.known {
            counter.unreadable(name, reason);
        }
        // The first few images are not judged alone.
        counter.check_among(self.images.min(JUDGED_FROM)).map_err(|error| {
            Error::input(format!("{error}; `riesz data show {} --check` lists them all", self.source))
        })
    }

    /// How many there were, in a sentence.
    pub(super) fn told(&self) -> Option<String> {
        let many = match self.known.len() {
            0 => return None,
            1 => "1 image that cannot be read was left out; the report names it".to_owned(),
            some => format!("{some} images that cannot be read were left out; the report names them"),
        };
        Some(many)
    }
}
