//! Where a run goes on: at the newest checkpoint that is sound and whose log is still there, or at the beginning.
//!
//! The log is on the disk before the checkpoint that counts on it, so only a disk that lies, or somebody else, can take
//! it away. Then the checkpoint before serves, if it can: the same steps are done again, to the same bits.

use crate::lines::{Found, Lines};
use crate::run::{LOG, Run};
use crate::train::checkpoint::{Checkpoint, LAST, PREVIOUS};
use crate::{Error, Result, atomic};

/// Where a checkpoint goes that could not be used, so that it does not take the place of one that can.
const UNUSABLE: &str = "checkpoints/unusable.safetensors";

/// A run's checkpoint with the log that it was written after.
pub struct Start {
    /// `None`: the run starts at the beginning.
    pub checkpoint: Option<Checkpoint>,
    /// Cut back to what the checkpoint knows of.
    pub log: Lines,
    /// A newer checkpoint that could not be used, and why, to be told.
    pub note: Option<String>,
}

impl Start {
    /// Finds it, and cuts the log back.
    ///
    /// # Errors
    /// If there are checkpoints and none can be used; the sentence says how to mend it.
    pub fn find(run: &Run) -> Result<Self> {
        let log = run.path(LOG);
        let mut unusable: Vec<String> = Vec::new();
        for place in [LAST, PREVIOUS] {
            let path = run.path(place);
            if !path.is_file() {
                continue;
            }
            let reason = match Checkpoint::load(&path) {
                Err(error) => error.to_string(),
                Ok(checkpoint) => match Lines::at(&log, &checkpoint.log)? {
                    Found::Fits(log) => {
                        let note = unusable.pop();
                        if note.is_some() {
                            atomic::rename(&run.path(LAST), &run.path(UNUSABLE))?;
                        }
                        let note = note.map(|why| format!("{why}; going on from {place}"));
                        return Ok(Self { checkpoint: Some(checkpoint), log, note });
                    }
                    Found::Unfit(why) => format!("{}: {why}", path.display()),
                },
            };
            unusable.push(reason);
        }
        if unusable.is_empty() {
            return Ok(Self { checkpoint: None, log: Lines::anew(&log)?, note: None });
        }
        Err(Error::input(format!(
            "{}; put back what was there, or delete {} and the same command starts again from step 0",
            unusable.join("; "),
            run.path("checkpoints").display()
        )))
    }

    /// Updates done.
    pub fn step(&self) -> u64 {
        self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.step)
    }
}
