//! Rows of numbers as they were in a file, in f32 or f64.

use riesz::{Matrix, Scalar};

use crate::{Error, Result};

/// A matrix as it was in a file: n rows × d columns, both at least 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// From f16, bf16, f32, or integers of 8 or 16 bits.
    F32(Matrix<f32>),
    /// From f64, or integers of 32 or 64 bits.
    F64(Matrix<f64>),
}

impl Rows {
    /// Number of rows n.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(rows) => rows.len(),
            Self::F64(rows) => rows.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of columns d.
    pub fn dim(&self) -> usize {
        match self {
            Self::F32(rows) => rows.dim(),
            Self::F64(rows) => rows.dim(),
        }
    }

    /// The same numbers in f64.
    pub fn to_f64(&self) -> Matrix<f64> {
        match self {
            Self::F32(rows) => rows.to_f64(),
            Self::F64(rows) => rows.clone(),
        }
    }

    /// The same numbers in f32, rounded.
    pub fn into_f32(self) -> Matrix<f32> {
        match self {
            Self::F32(rows) => rows,
            Self::F64(rows) => rows.to_f32(),
        }
    }

    /// The first `rows` rows, and those behind them, if there are any.
    ///
    /// # Panics
    /// If there are fewer, or `rows` is 0.
    pub fn split_at(self, rows: usize) -> (Self, Option<Self>) {
        fn split<T: Scalar>(all: Matrix<T>, rows: usize) -> (Matrix<T>, Option<Matrix<T>>) {
            let dim = all.dim();
            let mut first = all.into_vec();
            let rest = first.split_off(rows * dim);
            (Matrix::new(first, dim), (!rest.is_empty()).then(|| Matrix::new(rest, dim)))
        }
        match self {
            Self::F32(all) => {
                let (first, rest) = split(all, rows);
                (Self::F32(first), rest.map(Self::F32))
            }
            Self::F64(all) => {
                let (first, rest) = split(all, rows);
                (Self::F64(first), rest.map(Self::F64))
            }
        }
    }

    /// Adds rows of as many columns; both become f64 if one is.
    ///
    /// # Panics
    /// If the columns differ in number.
    pub fn extend(&mut self, more: Self) {
        assert_eq!(self.dim(), more.dim(), "columns");
        let dim = self.dim();
        let joined = match (std::mem::replace(self, Self::F32(Matrix::zeros(0, dim))), more) {
            (Self::F32(all), Self::F32(more)) => {
                let mut all = all.into_vec();
                all.extend_from_slice(more.as_slice());
                Self::F32(Matrix::new(all, dim))
            }
            (all, more) => {
                let mut all = match all {
                    Self::F32(rows) => rows.to_f64().into_vec(),
                    Self::F64(rows) => rows.into_vec(),
                };
                all.extend(more.to_f64().into_vec());
                Self::F64(Matrix::new(all, dim))
            }
        };
        *self = joined;
    }

    /// Refuses NaN and infinity.
    ///
    /// # Errors
    /// Names row and column of the first number that is not finite, both counted from 0.
    pub fn check_finite(&self) -> Result<()> {
        match self {
            Self::F32(rows) => check_finite(rows),
            Self::F64(rows) => check_finite(rows),
        }
    }
}

/// Refuses NaN and infinity in a matrix.
///
/// # Errors
/// Names row and column of the first number that is not finite, both counted from 0.
pub fn check_finite<T: Scalar>(rows: &Matrix<T>) -> Result<()> {
    match rows.as_slice().iter().position(|x| !x.to_f64().is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::input(format!(
            "row {}, column {} is {}; every number must be finite",
            at / rows.dim(),
            at % rows.dim(),
            rows.as_slice()[at]
        ))),
    }
}
