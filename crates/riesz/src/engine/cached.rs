//! A batch that does not fit through the encoder at once, with the loss of the whole batch.

use super::{Engine, RawValueAndGrad, value_and_grad_raw};
use crate::loss::Loss;
use crate::{Error, Matrix, Scalar};

/// Gradient caching (Gao et al., RepL4NLP 2021): embeds a batch chunk by chunk, evaluates the loss once on all rows, and
/// hands each chunk its rows' gradient. A contrastive loss needs all rows together, but the encoder does not: since the
/// matrix of rows is all that passes between them, the gradient of the encoder's parameters is the sum over chunks of
/// what each chunk's rows pass back, and equals that of a single pass as long as a row depends on its own image alone
/// (not so with batch normalisation, whose statistics are then those of a chunk).
///
/// `embed` gives the raw rows of a chunk of n images, `views` · n × d, view-major, and need keep nothing for a backward
/// pass. `backward` is given ∂L/∂z of the same rows in the same order; it embeds the chunk again, now with a backward pass,
/// and adds to the gradient of the parameters. Randomness (augmentation, dropout) must be the same both times. Memory: the
/// rows and gradients of the batch, and the encoder's activations of one chunk.
///
/// Returns what [`value_and_grad_raw`] does for all rows, view-major in the order of chunks.
///
/// ```
/// use riesz::engine::{Fused, value_and_grad_cached};
/// use riesz::loss::{Convention, Loss};
/// use riesz::{Matrix, rng::Key, sphere};
///
/// // 2 views of 12 images, 4 of them a chunk; an encoder of one number c that gives c x + x².
/// let chunks: Vec<Matrix<f64>> = (0..3).map(|chunk| sphere::sample(2 * 4, 6, Key::new(chunk))).collect();
/// let embed = |c: f64, x: &Matrix<f64>| {
///     Matrix::new(x.as_slice().iter().map(|x| c * x + x * x).collect(), x.dim())
/// };
/// let loss = Loss::dhel(0.3, Convention::Paper)?;
///
/// let mut slope = 0.0; // ∂L/∂c
/// let outcome = value_and_grad_cached(
///     &Fused,
///     &loss,
///     2,
///     &chunks,
///     |x| embed(1.0, x),
///     |x, grad| slope += x.as_slice().iter().zip(grad.as_slice()).map(|(x, g)| x * g).sum::<f64>(),
/// )?;
/// assert_eq!(outcome.grad.len(), 2 * 12);
///
/// let at = |c: f64| value_and_grad_cached(&Fused, &loss, 2, &chunks, |x| embed(c, x), |_, _| ());
/// let difference = (at(1.0 + 1e-6)?.value - at(1.0 - 1e-6)?.value) / 2e-6;
/// assert!((slope - difference).abs() < 1e-7 * (1.0 + slope.abs()));
/// # Ok::<(), riesz::Error>(())
/// ```
///
/// # Errors
/// As [`value_and_grad_raw`].
///
/// # Panics
/// If there is no chunk, if `views` does not divide the rows of a chunk, or if chunks differ in d.
pub fn value_and_grad_cached<T: Scalar, C>(
    engine: &dyn Engine<T>,
    loss: &Loss,
    views: usize,
    chunks: &[C],
    embed: impl FnMut(&C) -> Matrix<T>,
    mut backward: impl FnMut(&C, &Matrix<T>),
) -> Result<RawValueAndGrad<T>, Error> {
    let parts: Vec<Matrix<T>> = chunks.iter().map(embed).collect();
    let dim = parts.first().expect("a batch has a chunk").dim();
    for part in &parts {
        assert!(part.dim() == dim, "chunks of {dim} and of {} columns", part.dim());
        assert!(
            part.len().is_multiple_of(views),
            "{} rows are not {views} views of the same images",
            part.len()
        );
    }
    let images = parts.iter().map(|part| part.len() / views).sum::<usize>();
    let mut rows = Vec::with_capacity(views * images * dim);
    for view in 0..views {
        for part in &parts {
            let numbers = part.as_slice().len() / views;
            rows.extend_from_slice(&part.as_slice()[view * numbers..(view + 1) * numbers]);
        }
    }
    let outcome = value_and_grad_raw(engine, loss, &Matrix::new(rows, dim), views)?;
    let mut first = 0;
    for (chunk, part) in chunks.iter().zip(&parts) {
        let of_view = part.as_slice().len() / views;
        let mut grad = Vec::with_capacity(views * of_view);
        for view in 0..views {
            let start = view * images * dim + first;
            grad.extend_from_slice(&outcome.grad.as_slice()[start..start + of_view]);
        }
        backward(chunk, &Matrix::new(grad, dim));
        first += of_view;
    }
    Ok(outcome)
}
