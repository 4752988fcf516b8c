//! Matched pairs: of two files row by row, or of the rows of one that a column says belong together.

use std::collections::BTreeMap;

use riesz::geometry::alignment;
use riesz::{Matrix, Points};

use crate::{Error, Result};

/// Σ ‖u − v‖² over matched pairs of unit rows, and their number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Matched {
    pub(super) sum: f64,
    pub(super) pairs: u64,
}

impl Matched {
    pub(super) fn add(&mut self, u: &Matrix<f64>, v: &Matrix<f64>) -> Result<()> {
        if u.dim() != v.dim() {
            return Err(Error::input(format!(
                "--pairs: has rows of {} numbers; they are paired with rows of {}",
                v.dim(),
                u.dim()
            )));
        }
        self.sum += alignment(Points::new(u)?, Points::new(v)?)? * u.len() as f64;
        self.pairs += u.len() as u64;
        Ok(())
    }
}

/// The values of the column of `--pair-by`. Two rows of equal value are a matched pair; a third is refused, for which two are
/// meant nobody can say.
pub(super) struct Groups {
    /// The unit row of a value whose other row has not come yet; `None` of a pair that is whole.
    seen: BTreeMap<String, Option<Vec<f64>>>,
    /// Rows without a value.
    without: u64,
    /// Values whose other row has not come yet.
    waiting: u64,
    bytes: u64,
    most: u64,
}

impl Groups {
    /// That takes at most so many bytes.
    pub(super) fn new(most: u64) -> Self {
        Self { seen: BTreeMap::new(), without: 0, waiting: 0, bytes: 0, most }
    }

    /// Takes unit rows with the values beside them; the first is row `first` of its file.
    ///
    /// # Errors
    /// If a value comes a third time, or if the values and the rows that wait take more memory than they may.
    pub(super) fn add(
        &mut self,
        rows: &Matrix<f64>,
        values: &[String],
        first: u64,
        matched: &mut Matched,
    ) -> Result<()> {
        let of_row = 8 * rows.dim() as u64;
        for (i, value) in values.iter().enumerate() {
            if value.is_empty() {
                self.without += 1;
                continue;
            }
            match self.seen.get_mut(value) {
                None => {
                    self.seen.insert(value.clone(), Some(rows.row(i).to_vec()));
                    self.waiting += 1;
                    // The map's own share of an entry is about 64 bytes.
                    self.bytes += of_row + value.len() as u64 + 64;
                    if self.bytes > self.most {
                        return Err(Error::input(format!(
                            "{} rows wait for the other row of their pair and {} values are known, which take more than a \
                             quarter of --memory; sort the file by the column of --pair-by, or allow more",
                            self.waiting,
                            self.seen.len()
                        )));
                    }
                }
                Some(place @ Some(_)) => {
                    let other = place.take().unwrap_or_default();
                    self.waiting -= 1;
                    self.bytes -= of_row;
                    matched.add(
                        &Matrix::new(other, rows.dim()),
                        &Matrix::new(rows.row(i).to_vec(), rows.dim()),
                    )?;
                }
                Some(None) => {
                    return Err(Error::input(format!(
                        "row {} is the third with the value {value} in the column of --pair-by; expected two rows a value, \
                         a matched pair",
                        first + i as u64
                    )));
                }
            }
        }
        Ok(())
    }

    /// What is to be known of rows that are in no pair.
    pub(super) fn note(&self) -> Option<String> {
        let rows = |count: u64| if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
        let alone =
            (self.waiting > 0).then(|| format!("{} with a value that no other row has", rows(self.waiting)));
        let without = (self.without > 0).then(|| format!("{} without a value", rows(self.without)));
        let told: Vec<String> = alone.into_iter().chain(without).collect();
        (!told.is_empty()).then(|| format!("--pair-by: {}; they are in no pair", told.join(", ")))
    }
}
