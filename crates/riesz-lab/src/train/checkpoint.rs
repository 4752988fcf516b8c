//! Checkpoints: everything that a run needs to go on bit for bit, in one safetensors file with a checksum.
//!
//! Tensors `encoder.*` and `optimizer.*`; metadata: the step, length and SHA-256 of the log, the running sums of the
//! unfinished epoch (as the bits of f64), and the SHA-256 of all tensor bytes in the order of their names. Nothing in
//! it depends on the clock: a run in pieces leaves the same last checkpoint as a run in one piece.

use std::collections::BTreeMap;
use std::path::Path;

use crate::lines::Mark;
use crate::run::Run;
use crate::tensors::{NamedTensor, digest, from_bytes, to_bytes};
use crate::{Error, Result, atomic};

/// A moment of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Updates done.
    pub step: u64,
    /// What was in `log.jsonl` by then.
    pub log: Mark,
    /// Sums over the unfinished epoch's steps: loss, attraction, repulsion.
    pub sums: [f64; 3],
    /// The encoder's parameters and buffers.
    pub encoder: Vec<NamedTensor>,
    /// The optimizer's state.
    pub optimizer: Vec<NamedTensor>,
}

/// Where the newest checkpoint is, in the run folder.
pub const LAST: &str = "checkpoints/last.safetensors";
/// Where the one before is.
pub const PREVIOUS: &str = "checkpoints/previous.safetensors";
const FORMAT: &str = "riesz checkpoint 2";
const ENCODER: &str = "encoder.";
const OPTIMIZER: &str = "optimizer.";

impl Checkpoint {
    /// Writes the checkpoint as `checkpoints/last.safetensors`; the one before becomes `previous.safetensors`.
    ///
    /// # Errors
    /// If the disk refuses; the checkpoint that was there before is intact.
    pub fn save(&self, run: &Run) -> Result<()> {
        let part = |prefix: &'static str, tensors: &[NamedTensor]| -> Vec<NamedTensor> {
            tensors.iter().map(|t| NamedTensor { name: format!("{prefix}{}", t.name), ..t.clone() }).collect()
        };
        let mut tensors = part(ENCODER, &self.encoder);
        tensors.extend(part(OPTIMIZER, &self.optimizer));
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let metadata = BTreeMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("step".to_owned(), self.step.to_string()),
            ("log_length".to_owned(), self.log.length.to_string()),
            ("log_sha256".to_owned(), self.log.sha256.clone()),
            ("sums".to_owned(), self.sums.map(|sum| format!("{:016x}", sum.to_bits())).join(" ")),
            ("sha256".to_owned(), digest(&tensors)),
        ]);
        let bytes = to_bytes(&tensors, metadata)?;
        let last = run.path(LAST);
        if last.is_file() {
            atomic::rename(&last, &run.path(PREVIOUS))?;
        }
        atomic::write_bytes(&last, &bytes)
    }

    /// Reads a checkpoint that [`Checkpoint::save`] wrote.
    ///
    /// # Errors
    /// If the file is damaged, or of another version of this program.
    pub fn load(path: &Path) -> Result<Self> {
        let damaged =
            |why: &str| Error::input(format!("{}: the checkpoint is damaged ({why})", path.display()));
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, &error))?;
        let (tensors, metadata) = from_bytes(&bytes).map_err(|error| damaged(&error.to_string()))?;
        let entry = |key: &str| metadata.get(key).ok_or_else(|| damaged(&format!("it has no {key}")));
        let number = |key: &str| -> Result<u64> {
            entry(key)?.parse().map_err(|_| damaged(&format!("{key} is not a number")))
        };
        if entry("format")? != FORMAT {
            return Err(Error::input(format!(
                "{}: its format is {}, and this version of riesz goes on from {FORMAT}",
                path.display(),
                entry("format")?
            )));
        }
        if digest(&tensors) != *entry("sha256")? {
            return Err(damaged("its checksum does not match"));
        }
        let mut sums = [0.0; 3];
        let words: Vec<&str> = entry("sums")?.split(' ').collect();
        if words.len() != sums.len() {
            return Err(damaged("sums are not three numbers"));
        }
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum =
                f64::from_bits(u64::from_str_radix(word, 16).map_err(|_| damaged("sums are not numbers"))?);
        }
        let part = |prefix: &str| -> Vec<NamedTensor> {
            let named = tensors.iter().filter_map(|t| Some((t.name.strip_prefix(prefix)?, t)));
            named.map(|(name, t)| NamedTensor { name: name.to_owned(), ..t.clone() }).collect()
        };
        Ok(Self {
            step: number("step")?,
            log: Mark { length: number("log_length")?, sha256: entry("log_sha256")?.clone() },
            sums,
            encoder: part(ENCODER),
            optimizer: part(OPTIMIZER),
        })
    }
}
