//! The loss where the rows are: value, parts and gradient in Burn's operations, on any device; made for GPUs.
//!
//! N images, K views, M = K·N rows of d numbers. The gradient stays on the device; one small vector is read from it.
//!
//! A term is e.g. f Σ_p ln Σ_q κ(s_pq) over ordered pairs of rows (anchor p, other q). With W_pq = ∂L/∂s_pq the gradient
//! of the unit rows is (W + Wᵀ) X; `docs/engine.md` derives it. Here the cosines of c rows of one view with a whole view,
//! [c, N], are computed, turned into weights, multiplied with both sides' rows, and dropped. Memory is O(M (c + d)), and c
//! falls as N grows, so that c M cosines are at most 128 MiB as long as M is at most 2²⁵.
//!
//! A link with a logarithm over a row needs that row alone, with all views that its term compares it to; only the logarithm
//! over a view, or over an image's rows, needs its total before the first weight, and so a sweep of its own.
//!
//! Every link, class of pairs and kind of anchors is here; groups of images are not, and there is no way to pass them:
//! training has none.
//!
//! All is in `f32`, long sums included but for the last one, for that is what GPUs have. What it must give is
//! [`Reference`](riesz::engine::Reference); `tests/gpu/losses.rs` and `tests/gpu/held.rs` hold it to that.
//!
//! | file | what |
//! |---|---|
//! | `form` | the kernels as operations on tensors |
//! | `tiles` | terms over other pairs than matched ones: cosines, sums, weights |
//! | `matched` | terms over matched pairs alone, which need no matrix |

mod form;
mod matched;
mod tiles;

use burn::tensor::Tensor;
use riesz::engine::Value;
use riesz::loss::{Link, Loss, Pairs, Term};
use riesz::{Matrix, normalize};

use crate::{Error, Result};
use form::Form;

/// Cosines of one chunk of rows with all that they are compared to: 16 MiB. Logarithms or powers, weights, and a mask
/// stand beside them, as many each.
const COSINES: usize = 1 << 22;
/// Fewer rows at once would leave a GPU idle, and each chunk adds to the gradient of all rows.
const FEWEST_ROWS: usize = 1024;
/// But never more cosines than these, 128 MiB: the longest buffer that every WebGPU device lets a program read.
const MOST_COSINES: usize = 1 << 25;
/// What the core refuses as a row without direction.
const SHORTEST: f64 = 1e-12;

/// What [`value_and_grad`] finds.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The loss and its parts, on the host.
    pub value: Value,
    /// ∂L/∂z, `[K·N, d]`, on the rows' device.
    pub grad: Tensor<2>,
}

/// A loss and its gradient with respect to raw rows `z`, `[K·N, d]`, view-major (rows 0..N are view one), with K = `views`;
/// rows are brought to length 1 first. Where `z` is tracked for gradients, that is left aside.
///
/// # Errors
/// Where [`value_and_grad_raw`](riesz::engine::value_and_grad_raw) refuses, and in the same words; but of rows that coincide
/// under a kernel that is infinite there, only where their cosine comes out as 1 or more; else the value is huge instead, and
/// means nothing. Besides, if a kernel is not one of the core's, if a row is so long (about 10¹⁹) that its square is beyond
/// `f32`, or if the device fails, as for want of memory.
///
/// # Panics
/// If `views` does not divide the number of rows, or a term is none that the language has ([`Loss::check`]).
pub fn value_and_grad(loss: &Loss, z: Tensor<2>, views: usize) -> Result<Outcome> {
    let reaches_other_views = |term: &Term| term.pairs.cross || term.pairs.matched;
    let views_meet = loss.terms.iter().any(|term| !needs_no_tile(term) && reaches_other_views(term));
    let images = z.dims()[0] / views.max(1);
    value_and_grad_by(loss, z, views, rows_at_once(images, if views_meet { views } else { 1 }))
}

/// The same, with the cosines of `rows_at_once` rows at a time: memory for time, and nothing else but rounding.
///
/// # Errors
/// As [`value_and_grad`].
///
/// # Panics
/// As [`value_and_grad`], and if `rows_at_once` is 0.
pub fn value_and_grad_by(loss: &Loss, z: Tensor<2>, views: usize, rows_at_once: usize) -> Result<Outcome> {
    let z = z.inner();
    let [rows, dim] = z.dims();
    assert!(views > 0 && rows.is_multiple_of(views), "{rows} rows are not {views} views of the same images");
    assert!(rows_at_once > 0, "no rows at once are no loss");
    if rows == 0 {
        return Err(Error::input("there are no rows"));
    }
    let images = rows / views;
    loss.check(images, views)?;
    let terms =
        loss.terms.iter().map(|term| Planned::new(loss, term, images, views)).collect::<Result<Vec<_>>>()?;

    let lengths = z.clone().square().sum_dim(1).sqrt();
    let unit = z.clone() / lengths.clone().clamp_min(SHORTEST);
    let x: Vec<Tensor<2>> =
        (0..views).map(|view| unit.clone().slice([view * images..(view + 1) * images, 0..dim])).collect();
    let mut grads: Vec<Tensor<2>> = x.iter().map(Tensor::zeros_like).collect();
    let swept: Vec<&Planned<'_>> = terms.iter().filter(|term| !needs_no_tile(term.term)).collect();
    let mut swept = tiles::add(&swept, &x, rows_at_once, &mut grads).into_iter();
    let (mut read, mut counts) = (Vec::<Tensor<1>>::new(), Vec::new());
    for term in &terms {
        let Sums { value, slope } = if needs_no_tile(term.term) {
            matched::add(term, &x, &mut grads)
        } else {
            swept.next().expect("sums for each term that was swept")
        };
        for numbers in [value, slope] {
            counts.push(numbers.dims()[0]);
            read.extend(mean_and_rest(numbers));
        }
    }

    // The way back through x = z/‖z‖.
    let grad = Tensor::cat(grads, 0);
    let radial = (grad.clone() * unit.clone()).sum_dim(1);
    let grad = (grad - unit * radial) / lengths.clone().clamp_min(SHORTEST);

    read.extend([lengths.clone().min(), not_finite(lengths), not_finite(grad.clone())]);
    let failed = |reason: String| {
        Error::input(format!(
            "the device failed at a loss over {rows} rows of {dim} numbers, the cosines of {rows_at_once} at once: {reason}; \
             fewer at once (device_loss::value_and_grad_by) take less memory, as does a smaller batch"
        ))
    };
    let read = on_host(Tensor::cat(read, 0)).map_err(failed)?;
    let (sums, found) = read.split_at(2 * counts.len());
    let [shortest, lengths_not_finite, grads_not_finite] = [found[0], found[1], found[2]];
    if lengths_not_finite > 0.0 || f64::from(shortest) < SHORTEST {
        let z = on_host(z).map_err(failed)?;
        // The core's own sentence about the first row that it refuses.
        normalize(&mut Matrix::new(z, dim))?;
        if lengths_not_finite > 0.0 {
            return Err(Error::input("a row is so long that the square of its length is beyond f32"));
        }
    }
    let sums: Vec<f64> =
        sums.chunks_exact(2).zip(counts).map(|(found, count)| sum(found[0], found[1], count)).collect();
    let shares = terms.iter().zip(sums.chunks_exact(2)).map(|(term, sums)| term.share(sums[0])).collect();
    let slopes = sums.chunks_exact(2).map(|sums| sums[1]).collect();
    let value = Value::new(loss, shares, slopes, grads_not_finite == 0.0)?;
    Ok(Outcome { value, grad })
}

/// Multiply-adds of the products that [`value_and_grad`] makes: for each ordered pair of rows that a term compares three times
/// `dim`, and once more if a logarithm is over a view or an image. Terms over matched pairs are not counted.
pub fn multiply_adds(loss: &Loss, images: usize, views: usize, dim: usize) -> f64 {
    let terms: Vec<&Term> = loss.terms.iter().filter(|term| !needs_no_tile(term)).collect();
    let of_views = |view: usize, other: usize| -> f64 {
        let compares = |term: &&&Term| {
            let pairs = term.pairs;
            view < term.anchor_views(views)
                && (pairs.contains(false, false, view == other) || pairs.matched && view != other)
        };
        let met: Vec<&&Term> = terms.iter().filter(compares).collect();
        let again = met.iter().filter(|term| matches!(term.link, Link::LogMean | Link::ImageLogSum)).count();
        if met.is_empty() { 0.0 } else { 3.0 + again as f64 }
    };
    let pairs = (images as f64).powi(2) * dim as f64;
    (0..views)
        .flat_map(|view| (0..views).map(move |other| (view, other)))
        .map(|(view, other)| of_views(view, other) * pairs)
        .sum()
}

/// Matched pairs alone are a few a row, and known.
fn needs_no_tile(term: &Term) -> bool {
    term.pairs == Pairs::MATCHED
}

/// A function of shapes alone: `compared` is the number of views that a row is compared to.
fn rows_at_once(images: usize, compared: usize) -> usize {
    let of_a_row = (images * compared).max(1);
    let fewest = FEWEST_ROWS.min(MOST_COSINES / of_a_row).max(1);
    let rows = COSINES / of_a_row / FEWEST_ROWS * FEWEST_ROWS;
    rows.max(fewest).min(images.max(1))
}

/// The mean of `numbers`, [n, 1], as rounded, and the sum of what each has beside it: adding up many like numbers in `f32`
/// would lose digits.
fn mean_and_rest(numbers: Tensor<2>) -> [Tensor<1>; 2] {
    let mean = numbers.clone().mean();
    [mean.clone(), (numbers - mean.unsqueeze()).sum()]
}

/// The sum of `count` numbers by their [`mean_and_rest`].
fn sum(mean: f32, rest: f32, count: usize) -> f64 {
    // Infinite numbers have no rest.
    let rest = if mean.is_finite() { rest } else { 0.0 };
    count as f64 * f64::from(mean) + f64::from(rest)
}

/// How many numbers are not finite, as a number.
fn not_finite(x: Tensor<2>) -> Tensor<1> {
    x.is_finite().bool_not().float().sum()
}

/// The numbers of a tensor; or why the device has none: what failed may be anything that they were computed from.
fn on_host<const D: usize>(x: Tensor<D>) -> std::result::Result<Vec<f32>, String> {
    let data = x.try_into_data().map_err(|error| root_cause(&error.to_string()).to_owned())?;
    Ok(data.try_into_vec().expect("the device computes in f32"))
}

/// The last cause of all that Burn names, in dozens of lines.
fn root_cause(error: &str) -> &str {
    let (_, cause) = error.rsplit_once("Caused by:").unwrap_or(("", error));
    cause.trim().lines().next().unwrap_or_default()
}

/// ln Σ eˣ over tensors of one shape, number by number, with the largest x taken out.
fn log_sum(logarithms: &[Tensor<2>]) -> Tensor<2> {
    let top = logarithms.iter().cloned().reduce(Tensor::max_pair).expect("a logarithm is of something");
    let powers = logarithms.iter().map(|ln| (ln.clone() - top.clone()).exp());
    powers.reduce(|sum, power| sum + power).expect("a logarithm is of something").log() + top
}

/// ln Σ eˣ, [1, 1], over the rows of a tensor [N, 1].
fn log_sum_of_all(logarithms: Tensor<2>) -> Tensor<2> {
    let top = logarithms.clone().max_dim(0);
    (logarithms - top.clone()).exp().sum_dim(0).log() + top
}

/// What the device finds of a term.
#[derive(Clone)]
struct Sums {
    /// Numbers to be added up, [n, 1]: κ, or the logarithms of Σ κ.
    value: Tensor<2>,
    /// The same for ∂L/∂s over ordered pairs, weight included.
    slope: Tensor<2>,
}

/// A term of a loss on a batch.
struct Planned<'a> {
    term: &'a Term,
    form: Form,
    /// Of one pair's value in the loss: [`Term::pair_factor`].
    factor: f64,
    /// Views whose rows are anchors: the first ones.
    anchor_views: usize,
    /// Images N.
    images: usize,
    /// Logarithms of means: how many, and of how many pairs each.
    means: (usize, usize),
}

impl<'a> Planned<'a> {
    fn new(loss: &Loss, term: &'a Term, images: usize, views: usize) -> Result<Self> {
        let form = Form::of(&term.kernel).ok_or_else(|| {
            Error::input(format!(
                "{}'s kernel {:?} has no form for a GPU; take --device cpu",
                loss.name, term.kernel
            ))
        })?;
        let (anchor_views, pairs) = (term.anchor_views(views), term.pairs.count(images, views));
        let means = match term.link {
            Link::RowLogMean => (anchor_views * images, pairs),
            Link::LogMean => (anchor_views, images * pairs),
            Link::Mean | Link::RowSum | Link::RowLogSum | Link::ImageLogSum => (0, 1),
            link => {
                return Err(Error::input(format!(
                    "{}'s link {link:?} has no form for a GPU; take --device cpu",
                    loss.name
                )));
            }
        };
        Ok(Self { term, form, factor: term.pair_factor(images, views), anchor_views, images, means })
    }

    /// The term's value, weight included, of what the device has summed: κ, or the ln Σ κ of rows, images or views.
    fn share(&self, sum: f64) -> f64 {
        let (means, pairs) = self.means;
        self.factor * (sum - means as f64 * (pairs as f64).ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cosines at hand are at most 16 MiB, or 1,024 rows' where a view is longer than that, and never above 128 MiB.
    #[test]
    fn no_matrix_of_all_pairs() {
        for images in [1, 2, 31, 32, 33, 255, 256, 2048, 4096, 65_536, 300_000, 1 << 20, 10_000_000] {
            for compared in [1, 2, 3] {
                let rows = rows_at_once(images, compared);
                let cosines = rows * images * compared;
                assert!(cosines <= COSINES.max(FEWEST_ROWS * images * compared), "{rows} rows of {images}");
                assert!(cosines * size_of::<f32>() <= 128 << 20, "{rows} rows of {images}");
                let fewest = FEWEST_ROWS.min(images);
                let no_more = (rows + 1) * images * compared > MOST_COSINES;
                assert!(rows >= fewest || no_more, "{rows} rows of {images}");
            }
        }
        assert_eq!(rows_at_once(4096, 2), 1024);
        assert_eq!(rows_at_once(256, 2), 256);
        assert_eq!(rows_at_once(16_384, 2), 1024);
        assert_eq!(rows_at_once(300_000, 1), 111);
        assert_eq!((rows_at_once(1 << 30, 2), rows_at_once(0, 2)), (1, 1));
    }

    #[test]
    fn of_a_dump_the_cause_is_told() {
        let dump =
            "An error happened\nCaused by:\n  Several failures\nCaused by:\n  can't allocate\nNo backtrace\n";
        assert_eq!(root_cause(dump), "can't allocate");
        assert_eq!(root_cause("The device is lost\n"), "The device is lost");
    }
}
