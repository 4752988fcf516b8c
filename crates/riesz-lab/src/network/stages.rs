//! The parts of a backbone, from the images up: what can be frozen, and where learning rates fall layer by layer.
//!
//! A residual network has the stages `stem`, `layer1` to `layer4`, a vision transformer `stem` (patches, class token and places)
//! and its `blocks.0`, `blocks.1`, …. What comes after them is the rest: the last normalization of a transformer, and all that
//! stands on h.

use std::collections::BTreeMap;

use super::{Builder, Network};
use crate::{Error, Result};

/// What is frozen by this name is everything up to h.
pub const BACKBONE: &str = "backbone";

impl Builder {
    /// Ends a stage with the newest layer.
    pub fn end_stage(&mut self, name: &str) {
        self.stages.push((name.to_owned(), self.layers.len()));
    }
}

impl Network {
    /// The names of the stages, from the images up.
    pub fn stages(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(|(name, _)| name.as_str())
    }

    /// The same network, in which everything up to the end of `stage` keeps its numbers, running statistics too: batch norms
    /// there normalize by these in training as well. [`BACKBONE`] is all up to h.
    ///
    /// # Errors
    /// If it has no such stage; the sentence lists those that it has.
    pub fn frozen_through(self, stage: &str) -> Result<Self> {
        let end = self.stages.iter().find(|(name, _)| name == stage).map(|&(_, end)| end);
        let whole = (stage == BACKBONE).then_some(self.representation + 1);
        match whole.or(end) {
            Some(frozen) => Ok(Self { frozen, ..self }),
            None => {
                let names: Vec<&str> = self.stages().collect();
                Err(Error::input(format!(
                    "no stage of the backbone is called `{stage}`; from the images up they are {}, and {BACKBONE} is all of them",
                    names.join(", ")
                )))
            }
        }
    }

    /// How many layers at the beginning do not learn: at least 1, the images.
    pub fn frozen(&self) -> usize {
        self.frozen
    }

    /// What each tensor's learning rate is multiplied by: `decay` to the power of the stages above it, so that the rest has 1,
    /// the last stage `decay`, and the stem of S stages `decay`^S (Bao et al. 2022, BEiT; of stages in residual networks).
    pub fn rates(&self, decay: f64) -> BTreeMap<String, f64> {
        let above = |layer: usize| self.stages.iter().filter(|&&(_, end)| layer < end).count();
        self.tensors().into_iter().map(|spec| (spec.name, decay.powi(above(spec.layer) as i32))).collect()
    }
}
