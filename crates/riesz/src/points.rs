//! Rows of numbers and unit rows: [`Matrix`] owns `n × d` numbers, [`Points`] borrows `n` unit rows.
//!
//! Shapes: n rows, d columns, row-major, no padding.

use std::slice::ChunksExact;

use crate::Error;
use crate::elementary::Real;
use crate::kernel::Tiled;
use crate::rows;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The number type of rows: `f32` or `f64`, nothing else. Long sums are in `f64` either way.
///
/// A function for both has arithmetic, `T::from_f64(x)` and `x.to_f64()`:
///
/// ```
/// use riesz::{Matrix, Scalar};
///
/// fn halved<T: Scalar>(mut rows: Matrix<T>) -> Matrix<T> {
///     rows.as_mut_slice().iter_mut().for_each(|x| *x = T::from_f64(0.5) * *x);
///     rows
/// }
/// assert_eq!(halved(Matrix::new(vec![2.0_f32, 4.0], 2)).row(0), [1.0, 2.0]);
/// ```
pub trait Scalar: sealed::Sealed + Real + Tiled {}

impl Scalar for f32 {}
impl Scalar for f64 {}

/// An owned matrix of `n` rows and `dim` columns, row-major, with no invariant on the rows: raw encoder outputs
/// `z`, and every gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix<T> {
    data: Vec<T>,
    dim: usize,
}

impl<T: Scalar> Matrix<T> {
    /// Wraps `data` as rows of `dim` numbers.
    ///
    /// # Panics
    /// If `dim` is 0 or does not divide the length of `data`.
    pub fn new(data: Vec<T>, dim: usize) -> Self {
        assert!(dim > 0 && data.len().is_multiple_of(dim), "{} numbers are not rows of {dim}", data.len());
        Self { data, dim }
    }

    /// A copy of rows that lie apart: `Vec<Vec<T>>`, arrays, slices.
    ///
    /// ```
    /// use riesz::Matrix;
    ///
    /// let rows: Vec<Vec<f32>> = vec![vec![1.0, 0.0], vec![0.6, 0.8]];
    /// assert_eq!(Matrix::from_rows(&rows)?, Matrix::new(vec![1.0, 0.0, 0.6, 0.8], 2));
    /// # Ok::<(), riesz::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is no row, the first has no numbers, or one has more or fewer than the first.
    pub fn from_rows<R: AsRef<[T]>>(rows: impl IntoIterator<Item = R>) -> Result<Self, Error> {
        let (mut data, mut dim) = (Vec::new(), None);
        for (i, row) in rows.into_iter().enumerate() {
            let row = row.as_ref();
            let dim = *dim.get_or_insert(row.len());
            if dim == 0 {
                return Err(Error::new("row 0 has no numbers"));
            }
            if row.len() != dim {
                return Err(Error::new(format!("row {i} has {} numbers and row 0 has {dim}", row.len())));
            }
            data.extend_from_slice(row);
        }
        let dim = dim.ok_or_else(|| Error::new("there are no rows"))?;
        Ok(Self { data, dim })
    }

    /// `rows × dim` zeros.
    ///
    /// # Panics
    /// If `dim` is 0, or there is no room for so many.
    pub fn zeros(rows: usize, dim: usize) -> Self {
        let Some(count) = rows.checked_mul(dim) else { panic!("there is no room for {rows} rows of {dim}") };
        Self::new(vec![T::default(); count], dim)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.data.len() / self.dim
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Number of columns: the ambient dimension d.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Row `i`.
    ///
    /// # Panics
    /// If there is none.
    pub fn row(&self, i: usize) -> &[T] {
        &self.data[place(i, self.dim)]
    }

    /// All rows, in order.
    pub fn rows(&self) -> ChunksExact<'_, T> {
        self.data.chunks_exact(self.dim)
    }

    /// Row `i`, to write.
    ///
    /// # Panics
    /// If there is none.
    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        &mut self.data[place(i, self.dim)]
    }

    /// All numbers, row-major.
    pub fn as_slice(&self) -> &[T] {
        &self.data
    }

    /// All numbers, row-major, to write.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The numbers, row-major.
    pub fn into_vec(self) -> Vec<T> {
        self.data
    }

    /// The same numbers in `f32`, rounded.
    pub fn to_f32(&self) -> Matrix<f32> {
        Matrix { data: self.data.iter().map(|x| x.to_f64() as f32).collect(), dim: self.dim }
    }

    /// The same numbers in `f64`.
    pub fn to_f64(&self) -> Matrix<f64> {
        Matrix { data: self.data.iter().map(|x| x.to_f64()).collect(), dim: self.dim }
    }
}

/// Where row `i` is. One that is too far for numbers of its size is behind all others, and not at their beginning.
pub(crate) fn place(i: usize, dim: usize) -> std::ops::Range<usize> {
    let first = i.saturating_mul(dim);
    first..first.saturating_add(dim)
}

/// `n` unit rows: points on the sphere Sᵈ⁻¹.
///
/// Invariant: every number is finite and | ‖row‖ − 1 | ≤ 10⁻³, checked by [`Points::new`] in O(nd), nothing
/// beside the O(n²d) of a loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Points<'a, T> {
    data: &'a [T],
    dim: usize,
}

impl<'a, T: Scalar> Points<'a, T> {
    /// Checks that the rows are unit and borrows them.
    ///
    /// # Errors
    /// Names the first row that holds a number that is not finite, or whose length is not 1 to within 10⁻³.
    pub fn new(rows: &'a Matrix<T>) -> Result<Self, Error> {
        Self::from_slice(rows.as_slice(), rows.dim())
    }

    /// As [`Points::new`], from row-major numbers.
    ///
    /// # Errors
    /// As [`Points::new`].
    ///
    /// # Panics
    /// If `dim` is 0 or does not divide the length of `data`.
    pub fn from_slice(data: &'a [T], dim: usize) -> Result<Self, Error> {
        assert!(dim > 0 && data.len().is_multiple_of(dim), "{} numbers are not rows of {dim}", data.len());
        let mut squares = vec![0.0; data.len() / dim];
        rows::dots(data, data, dim, &mut squares);
        for (i, square) in squares.into_iter().enumerate() {
            if !square.is_finite() {
                return Err(Error::new(format!("row {i} has a number that is not finite")));
            }
            if (square.sqrt() - 1.0).abs() > 1e-3 {
                return Err(Error::new(format!(
                    "row {i} has length {:.6}; unit rows are expected (normalize first)",
                    square.sqrt()
                )));
            }
        }
        Ok(Self { data, dim })
    }

    /// Rows that [`normalize`] has just made unit: not checked again.
    pub(crate) fn normalized(data: &'a [T], dim: usize) -> Self {
        Self { data, dim }
    }

    /// Number of points.
    pub fn len(self) -> usize {
        self.data.len() / self.dim
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.data.is_empty()
    }

    /// The ambient dimension d (never d − 1).
    pub fn dim(self) -> usize {
        self.dim
    }

    /// Point `i`.
    ///
    /// # Panics
    /// If there is none.
    pub fn row(self, i: usize) -> &'a [T] {
        &self.data[place(i, self.dim)]
    }

    /// All points, in order.
    pub fn rows(self) -> ChunksExact<'a, T> {
        self.data.chunks_exact(self.dim)
    }

    /// All numbers, row-major.
    pub fn as_slice(self) -> &'a [T] {
        self.data
    }
}

/// Scales each row to length 1 in place, u = z / ‖z‖, and returns the lengths ‖z‖, which
/// [`normalize_backward`] needs. Lengths are summed in `f64`.
///
/// # Errors
/// Names the first row that holds a number that is not finite, or whose length is below 10⁻¹² (a zero row has no
/// direction). `rows` is left as it was.
pub fn normalize<T: Scalar>(rows: &mut Matrix<T>) -> Result<Vec<f64>, Error> {
    normalize_from(rows, 0)
}

/// [`normalize`] for a block of rows of which the first is row `first` of its source: errors count from there.
///
/// # Errors
/// As [`normalize`].
pub fn normalize_from<T: Scalar>(rows: &mut Matrix<T>, first: u64) -> Result<Vec<f64>, Error> {
    let lengths = lengths(&rows.data, rows.dim, first)?;
    rows::divide(&mut rows.data, rows.dim, &lengths);
    Ok(lengths)
}

/// ‖z‖ of each row, or the error of [`normalize`], with rows counted from `first`.
pub(crate) fn lengths<T: Scalar>(data: &[T], dim: usize, first: u64) -> Result<Vec<f64>, Error> {
    let mut lengths = vec![0.0; data.len() / dim];
    rows::dots(data, data, dim, &mut lengths);
    for length in &mut lengths {
        *length = length.sqrt();
    }
    check_lengths(data, &lengths, first)?;
    Ok(lengths)
}

/// Shorter rows are zero.
const SHORTEST: f64 = 1e-12;

/// The error of [`normalize`] for rows of these lengths, counted from `first`.
fn check_lengths<T: Scalar>(data: &[T], lengths: &[f64], first: u64) -> Result<(), Error> {
    let Some(at) = lengths.iter().position(|length| !(SHORTEST..f64::INFINITY).contains(length)) else {
        return Ok(());
    };
    let (row, length, dim) = (first + at as u64, lengths[at], data.len() / lengths.len());
    let are_finite = data[at * dim..(at + 1) * dim].iter().all(|x| x.to_f64().is_finite());
    Err(Error::new(if !are_finite {
        format!("row {row} has a number that is not finite")
    } else if length > 1.0 {
        format!(
            "row {row} is longer than 1e154, so that the sum of its squares is not finite; scale the rows"
        )
    } else if length > 0.0 {
        format!(
            "row {row} has length {length:.1e}, and below {SHORTEST:e} a row counts as zero; scale the rows"
        )
    } else {
        format!("row {row} has length 0: a zero row has no direction")
    }))
}

/// Carries a gradient with respect to unit rows u back to the raw rows z: gᵢ ← (gᵢ − ⟨gᵢ, uᵢ⟩ uᵢ) / ‖zᵢ‖.
///
/// # Panics
/// If `points`, `lengths` and `grad` differ in rows or columns.
pub fn normalize_backward<T: Scalar>(points: Points<'_, T>, lengths: &[f64], grad: &mut Matrix<T>) {
    assert!(
        points.len() == grad.len() && points.dim() == grad.dim() && lengths.len() == grad.len(),
        "shapes differ: points {} × {}, {} lengths, gradient {} × {}",
        points.len(),
        points.dim(),
        lengths.len(),
        grad.len(),
        grad.dim()
    );
    rows::project(std::iter::once((points.data, lengths, grad.data.as_mut_slice())), points.dim);
}

/// Whether the gradient of raw rows of these lengths is finite.
pub(crate) fn check_grad<T: Scalar>(grad: &Matrix<T>, lengths: &[f64]) -> Result<(), Error> {
    if rows::are_finite(&grad.data) {
        return Ok(());
    }
    let least = lengths.iter().copied().fold(f64::INFINITY, f64::min);
    Err(Error::new(format!(
        "the gradient of a row is more than {} holds: it is that of the unit row over the length, and the shortest row has length \
         {least:.1e}; scale the rows",
        std::any::type_name::<T>()
    )))
}

/// Views of raw rows, made unit, and their lengths: [`normalize`] and [`normalize_backward`] for views that lie apart and stay as
/// they are, in one pass over all of them, with the same bits.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitViews<T> {
    /// View after view.
    rows: Matrix<T>,
    lengths: Vec<f64>,
    images: usize,
}

impl<T: Scalar> UnitViews<T> {
    /// u = z / ‖z‖ of the rows of each view, row-major, `dim` numbers a row.
    ///
    /// # Errors
    /// As [`normalize`], with the view before the row, counted from 1.
    ///
    /// # Panics
    /// If there is no row, the views differ in length, or `dim` does not divide it.
    pub fn new(views: &[&[T]], dim: usize) -> Result<Self, Error> {
        let numbers = views.first().map_or(0, |view| view.len());
        assert!(
            numbers > 0 && dim > 0 && numbers.is_multiple_of(dim),
            "{} views of {numbers} numbers are not rows of {dim}",
            views.len()
        );
        assert!(views.iter().all(|view| view.len() == numbers), "views differ in length");
        let images = numbers / dim;
        let mut unit = Matrix::zeros(views.len() * images, dim);
        let mut lengths = vec![0.0; views.len() * images];
        let parts = unit.data.chunks_exact_mut(numbers).zip(lengths.chunks_exact_mut(images));
        rows::unit(views.iter().zip(parts).map(|(&view, (unit, lengths))| (view, unit, lengths)), dim);
        for (view, (data, lengths)) in views.iter().zip(lengths.chunks_exact(images)).enumerate() {
            check_lengths(data, lengths, 0)
                .map_err(|error| Error::new(format!("view {}: {error}", view + 1)))?;
        }
        Ok(Self { rows: unit, lengths, images })
    }

    /// The unit rows of each view.
    pub fn points(&self) -> Vec<Points<'_, T>> {
        let dim = self.rows.dim;
        self.rows.data.chunks_exact(self.images * dim).map(|view| Points::normalized(view, dim)).collect()
    }

    /// [`normalize_backward`] of each view; an example stands at [`temperature_grad`](crate::engine::temperature_grad).
    ///
    /// # Errors
    /// If a row is so short that its gradient is not finite in `T`.
    ///
    /// # Panics
    /// If `grads` are not of the shapes of the views.
    pub fn backward(&self, grads: &mut [Matrix<T>]) -> Result<(), Error> {
        let dim = self.rows.dim;
        let numbers = self.images * dim;
        assert!(
            grads.len() * self.images == self.lengths.len()
                && grads.iter().all(|grad| grad.dim == dim && grad.data.len() == numbers),
            "gradients are not of the shape of the views"
        );
        let unit = self.rows.data.chunks_exact(numbers).zip(self.lengths.chunks_exact(self.images));
        let parts =
            unit.zip(&mut *grads).map(|((unit, lengths), grad)| (unit, lengths, grad.data.as_mut_slice()));
        rows::project(parts, dim);
        grads.iter().try_for_each(|grad| check_grad(grad, &self.lengths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_differ_in_length_are_said() {
        let of = |rows: &[Vec<f32>]| Matrix::from_rows(rows).map_err(|error| error.to_string());
        let rows = of(&[vec![1.0, 0.0], vec![0.6, 0.8]]).unwrap();
        assert!(rows.rows().eq(Points::new(&rows).unwrap().rows()) && rows.rows().len() == 2);
        assert_eq!(of(&[vec![1.0, 0.0], vec![1.0]]).unwrap_err(), "row 1 has 1 numbers and row 0 has 2");
        assert_eq!(of(&[vec![], vec![1.0]]).unwrap_err(), "row 0 has no numbers");
        assert_eq!(of(&[]).unwrap_err(), "there are no rows");
    }

    #[test]
    fn rows_that_wrap_are_not_there() {
        let far = 1 << (usize::BITS - 1);
        let rows = Matrix::new(vec![1.0, 0.0], 2);
        let panics: [&dyn Fn(); 3] =
            [&|| drop(Matrix::<f64>::zeros(far, 2)), &|| assert_eq!(rows.row(far).len(), 2), &|| {
                assert_eq!(Points::new(&rows).unwrap().row(far).len(), 2)
            }];
        for panics in panics {
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        }
    }
}
