//! A batch that is too large for one pass: through the encoder in chunks, through the loss as a whole (GradCache, Gao et al. 2021,
//! "Scaling deep contrastive learning batch size under memory limited setup").
//!
//! Rows of all chunks, keeping nothing else; the loss of all rows, and its gradient; then each chunk forward again and back, with
//! its rows of that gradient, while the optimizer adds up what comes of it. The gradient of a sum over rows is the sum of the
//! chunks', so this is the undivided step, unless the encoder lets images of a batch see each other: batch norm then normalizes each
//! chunk by its own moments. What is kept for a way back is that of a chunk; the price is a second pass forward for all chunks but
//! the last, whose way back comes first.
//!
//! A chunk is some images with all their views, so that a chunk's moments are of as many first views as second ones, as a batch's.

use std::borrow::Cow;
use std::ops::Range;

use riesz::Matrix;
use riesz::engine::Value;

use crate::Result;
use crate::encoder::{Encoder, Objective};
use crate::optim::Optimizer;

/// Parts of a step, for those who time them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A chunk's way forward.
    Forward,
    /// The loss of all rows, with its gradient.
    Loss,
    /// A chunk's way back.
    Backward,
}

/// The objective of a batch, in `chunks` chunks. The gradient of every parameter is then in two
/// places, which the next [`Optimizer::step`] adds: the encoder has that of the first chunk, the optimizer the others' sum. `done`
/// hears the end of each part.
///
/// # Errors
/// If a row has no direction or is not finite, or the loss is not; or if the encoder cannot go forward without a trace.
///
/// # Panics
/// If the batch has fewer images than chunks, or there is no chunk.
pub fn value_and_grad(
    encoder: &mut dyn Encoder,
    optimizer: &mut Optimizer,
    objective: Objective<'_>,
    images: &[f32],
    chunks: usize,
    done: &mut dyn FnMut(Part),
) -> Result<Value> {
    let size: usize = encoder.image_shape().iter().product();
    let [_, dim] = encoder.dims();
    let n = images.len() / (size * objective.views);
    assert!((1..=n).contains(&chunks), "{n} images are not {chunks} chunks");
    let chunk = |i: usize| i * n / chunks..(i + 1) * n / chunks;
    let shown = |i: usize| chosen(images, size, n, chunk(i));

    let mut z = Matrix::zeros(objective.views * n, dim);
    for i in 0..chunks {
        let is_last = i + 1 == chunks;
        let rows = if is_last { encoder.forward(&shown(i)) } else { encoder.forward_only(&shown(i))? };
        let of_views = z
            .as_mut_slice()
            .chunks_exact_mut(n * dim)
            .zip(rows.as_slice().chunks_exact(chunk(i).len() * dim));
        of_views.for_each(|(z, rows)| z[chunk(i).start * dim..chunk(i).end * dim].copy_from_slice(rows));
        done(Part::Forward);
    }
    let (value, grad) = encoder.loss(objective, &z)?.split();
    done(Part::Loss);
    for i in (0..chunks).rev() {
        if i + 1 < chunks {
            encoder.update(&mut optimizer.share());
            done(Part::Backward);
            encoder.forward(&shown(i));
            done(Part::Forward);
        }
        encoder.backward(&Matrix::new(chosen(grad.as_slice(), dim, n, chunk(i)).into_owned(), dim));
        done(Part::Backward);
    }
    Ok(value)
}

/// Of views of `n` things of `size` numbers each, one view after another, those of the things `of`.
fn chosen(all: &[f32], size: usize, n: usize, of: Range<usize>) -> Cow<'_, [f32]> {
    if of == (0..n) {
        return Cow::Borrowed(all);
    }
    let views = all.chunks_exact(n * size).map(|view| &view[of.start * size..of.end * size]);
    Cow::Owned(views.collect::<Vec<_>>().concat())
}
