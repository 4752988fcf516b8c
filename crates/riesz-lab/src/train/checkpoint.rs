//! Checkpoints: everything that a run needs to go on bit for bit, in one safetensors file with a checksum.
//!
//! Tensors `encoder.*` and `optimizer.*`; metadata: the step, the length of the log, the running sums of the
//! unfinished epoch (as the bits of f64), and the SHA-256 of all tensor bytes in the order of their names.

use std::collections::BTreeMap;
use std::path::Path;

use crate::run::Run;
use crate::tensors::{NamedTensor, digest, from_bytes, to_bytes};
use crate::{Error, Result, atomic};

/// A moment of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Updates done.
    pub step: u64,
    /// Bytes of `log.jsonl` written by then.
    pub log_length: u64,
    /// Bytes of `timing.jsonl` written by then.
    pub timing_length: u64,
    /// Sums over the unfinished epoch's steps: loss, attraction, repulsion.
    pub sums: [f64; 3],
    /// The encoder's parameters and buffers.
    pub encoder: Vec<NamedTensor>,
    /// The optimizer's state.
    pub optimizer: Vec<NamedTensor>,
}

const LAST: &str = "checkpoints/last.safetensors";
const PREVIOUS: &str = "checkpoints/previous.safetensors";
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
            ("format".to_owned(), "riesz checkpoint 1".to_owned()),
            ("step".to_owned(), self.step.to_string()),
            ("log_length".to_owned(), self.log_length.to_string()),
            ("timing_length".to_owned(), self.timing_length.to_string()),
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

    /// The newest checkpoint of a run; `None` if it has none yet.
    ///
    /// # Errors
    /// If the file is damaged; the sentence says how to go on.
    pub fn newest(run: &Run) -> Result<Option<Self>> {
        let last = run.path(LAST);
        let path = if last.is_file() { last } else { run.path(PREVIOUS) };
        if !path.is_file() {
            return Ok(None);
        }
        Self::load(&path).map(Some).map_err(|error| {
            let way_out = if path.ends_with(LAST) && run.path(PREVIOUS).is_file() {
                "delete it to go on from checkpoints/previous.safetensors"
            } else {
                "delete the run folder to start again"
            };
            Error::input(format!("{error}; {way_out}"))
        })
    }

    fn load(path: &Path) -> Result<Self> {
        let damaged =
            |why: &str| Error::input(format!("{}: the checkpoint is damaged ({why})", path.display()));
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, &error))?;
        let (tensors, metadata) = from_bytes(&bytes).map_err(|error| damaged(&error.to_string()))?;
        let entry = |key: &str| metadata.get(key).ok_or_else(|| damaged(&format!("it has no {key}")));
        let number = |key: &str| -> Result<u64> {
            entry(key)?.parse().map_err(|_| damaged(&format!("{key} is not a number")))
        };
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
            log_length: number("log_length")?,
            timing_length: number("timing_length")?,
            sums,
            encoder: part(ENCODER),
            optimizer: part(OPTIMIZER),
        })
    }
}
