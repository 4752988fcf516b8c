//! The loss in Burn's operations, held to `Reference` in f64 on the same f32 rows: every loss × every awkward input.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use riesz::engine::{Engine, Reference, value_and_grad_raw};
use riesz::loss::{Convention, KclKernel, Link, Loss, Term};
use riesz::rng::{Key, normal};
use riesz::sphere::sample;
use riesz::{Matrix, Points, normalize};
use riesz_lab::device_loss::value_and_grad_by;

#[path = "../../../riesz/tests/awkward/mod.rs"]
mod awkward;

pub(crate) use awkward::{Meeting, awkward};

/// In `f32` a unit row is off by 2⁻²⁵ in each number and a cosine so by a few 2⁻²⁵: δ = 2⁻²⁴.
const DELTA: f64 = 1.0 / 16_777_216.0;
/// How many units (see [`Held::compare`]) a value and a gradient may be off: a unit is one δ, and there is one more for
/// each of the square root and the quotient of a length, the product, the sum of a row's powers and the last sum, on a GPU
/// of up to three ulp each; and one for rows that cancel in a sum of equal weights (4.2 is the worst seen, of the cosine kernel over
/// one view).
const ALLOWED: f64 = 5.0;

/// Raw `f32` rows of a batch, view-major.
pub(crate) struct Rows {
    pub(crate) name: String,
    pub(crate) rows: Matrix<f32>,
    pub(crate) views: usize,
    pub(crate) meeting: Meeting,
}

/// Unit rows as raw ones of lengths ½, 1 and 2, which `f32` and any order of summing leave exact.
pub(crate) fn raw(name: &str, views: &[Matrix<f64>], meeting: Meeting) -> Rows {
    let dim = views[0].dim();
    let scaled = views.iter().flat_map(|view| {
        view.as_slice().iter().enumerate().map(move |(at, &x)| x as f32 * [0.5, 1.0, 2.0][at / dim % 3])
    });
    Rows { name: name.to_owned(), rows: Matrix::new(scaled.collect(), dim), views: views.len(), meeting }
}

/// Unit rows in several views, each moved by a normal step of this size from its image's place, which lies within
/// `spread` of one point.
pub(crate) fn several_views(
    views: usize,
    images: usize,
    dim: usize,
    spread: f64,
    step: f64,
) -> Vec<Matrix<f64>> {
    let key = Key::new(77).stream("several views");
    let moved = |rows: &Matrix<f64>, size: f64, key: Key| {
        let (mut rows, mut rng) = (rows.clone(), key.rng());
        rows.as_mut_slice().iter_mut().for_each(|x| *x += size * normal(&mut rng));
        normalize(&mut rows).unwrap();
        rows
    };
    let point = sample(1, dim, key.at(0));
    let center = moved(&Matrix::new(point.as_slice().repeat(images), dim), spread, key.at(1));
    (0..views).map(|view| moved(&center, step, key.at(2 + view as u64))).collect()
}

/// The awkward inputs of the core's tests with two views, the first view of some alone, three views, and rows that have
/// almost collapsed.
pub(crate) fn batches() -> Vec<Rows> {
    let mut batches: Vec<Rows> =
        awkward().iter().map(|input| raw(input.name, &input.views, input.meeting)).collect();
    for input in awkward().iter().filter(|input| input.views[0].len() < 13) {
        batches.push(raw(&format!("{}, one view", input.name), &input.views[..1], input.meeting));
    }
    batches.push(raw("three views", &several_views(3, 17, 4, 10.0, 0.3), Meeting::Apart));
    batches.push(raw("almost collapsed", &several_views(2, 20, 6, 0.05, 0.02), Meeting::Apart));
    batches
}

/// What no device may take: a row without direction, rows that are no numbers, and rows that coincide where a kernel is
/// infinite.
pub(crate) fn unfit() -> Vec<(Loss, Rows)> {
    let third_row = |third: [f32; 2]| [[1.0, 0.0], [0.6, 0.8], third, [0.0, 1.0]].concat();
    let batch = |name: &str, rows: Vec<f32>, views: usize| Rows {
        name: name.to_owned(),
        rows: Matrix::new(rows, 2),
        views,
        meeting: Meeting::Exact,
    };
    let mut unfit = Vec::new();
    for (name, third) in [
        ("a zero row", [0.0, 0.0]),
        ("a short row", [1e-13, 0.0]),
        ("a row with NaN", [0.5, f32::NAN]),
        ("a row with ∞", [f32::INFINITY, 0.5]),
    ] {
        unfit.push((Loss::nt_xent(0.1).unwrap(), batch(name, third_row(third), 2)));
    }
    for kernel in [KclKernel::Riesz(1.0), KclKernel::LogDistance, KclKernel::Riesz(0.7)] {
        let loss = Loss::energy(kernel).unwrap();
        unfit.push((loss, batch("rows that coincide", third_row([1.0, 0.0]), 1)));
    }
    unfit
}

/// Every constructor, and the coldest temperatures in use.
pub(crate) fn losses() -> Vec<Loss> {
    let mut losses = Loss::catalogue();
    let cold = [
        Loss::nt_xent(0.01),
        Loss::dcl(0.01),
        Loss::dclw(0.01, 0.5),
        Loss::dhel(0.01, Convention::Reference),
        Loss::energy(KclKernel::Riesz(2.5)),
    ];
    losses.extend(cold.map(Result::unwrap));
    losses
}

/// Whether a kernel of the loss is infinite, or infinitely steep, where rows meet: there rounding decides the value.
pub(crate) fn is_singular(loss: &Loss) -> bool {
    loss.terms
        .iter()
        .any(|term| term.kernel.at(1.0 - 1e-14).1.abs() > 1e3 * term.kernel.at(1.0 - 1e-4).1.abs())
}

/// Whether the loss is made for that many views.
pub(crate) fn is_for(loss: &Loss, views: usize) -> bool {
    views == 2 || loss.terms.iter().all(|term| term.focus.is_none())
}

/// What was compared, and the worst of each loss.
#[derive(Default)]
pub(crate) struct Held {
    /// Values and gradients.
    pub(crate) compared: usize,
    /// Batches that both refuse, in the same words.
    pub(crate) refused: usize,
    /// By the loss's name: values, slopes and gradients in units, and gradients in themselves.
    pub(crate) worst: BTreeMap<String, [f64; 4]>,
    pub(crate) wrong: Vec<String>,
}

impl Held {
    /// Every loss on every batch that it is made for, but not where rounding decides the value; and what must be refused.
    pub(crate) fn all(device: &Device, rows_at_once: impl Fn(usize) -> usize) -> Self {
        let mut held = Self::default();
        for batch in batches() {
            for loss in losses() {
                let decided = !is_singular(&loss) || batch.meeting == Meeting::Apart;
                if decided && is_for(&loss, batch.views) {
                    held.compare(&loss, &batch, rows_at_once(batch.rows.len() / batch.views), device);
                }
            }
        }
        for (loss, batch) in unfit() {
            held.compare(&loss, &batch, 2, device);
        }
        held
    }

    /// A cosine is off by δ, so a value is by δ for each unit of Σ ∣∂L/∂s∣ and for its terms' sizes (terms may cancel, their
    /// rounding does not), and a slope κ′ by δ (1 + its steepness), relatively; a term's sum of slopes by that and a δ of its
    /// own, for equal ones are all rounded to one side. A gradient is measured by the longest row among the terms' gradients
    /// of unit rows: what points along a row is taken off on the way to raw rows, its rounding is not.
    pub(crate) fn compare(&mut self, loss: &Loss, batch: &Rows, rows_at_once: usize, device: &Device) {
        let exact = batch.rows.to_f64();
        let want = value_and_grad_raw::<f64>(&Reference, loss, &exact, batch.views);
        let shape = [batch.rows.len(), batch.rows.dim()];
        let data = TensorData::new(batch.rows.as_slice().to_vec(), shape);
        let z = Tensor::<2>::from_data(data, device);
        let got = value_and_grad_by(loss, z, batch.views, rows_at_once);
        let place = format!("{} {:?} on {}, {rows_at_once} rows at once", loss.name, loss.terms, batch.name);
        let (want, got) = match (want, got) {
            (Ok(want), Ok(got)) => (want, got),
            (Err(want), Err(got)) if want.to_string() == got.to_string() => {
                self.refused += 1;
                return;
            }
            (want, got) => {
                let (want, got) = (want.map(|want| want.value), got.map(|got| got.value));
                self.wrong.push(format!("{place}: {got:?} for {want:?}"));
                return;
            }
        };
        assert!((got.value.value - got.value.terms.iter().sum::<f64>()).abs() < 1e-9, "{place}");
        let grad: Vec<f32> = got.grad.into_data().try_into_vec().unwrap();
        let mut unit_rows = exact.clone();
        let lengths = normalize(&mut unit_rows).unwrap();
        let mut value = (got.value.value - want.value).abs();
        for (got, want) in got.value.terms.iter().zip(&want.terms) {
            value = larger(value, (got - want).abs());
        }
        let longest = longest_row(loss, &unit_rows, batch.views);
        let mut error = 0.0;
        for (i, (got, want)) in grad.iter().zip(want.grad.as_slice()).enumerate() {
            error = larger(error, (f64::from(*got) - want).abs() * lengths[i / shape[1]] / longest);
        }
        let Sensitivity { pull, steepness } = Sensitivity::of(loss, &unit_rows, batch.views);
        let slopes = got.value.slopes.iter().zip(&want.slopes);
        let slope = slopes.map(|(got, want)| (got - want).abs()).fold(0.0, larger);
        let slope_unit = DELTA * pull * (2.0 + steepness) + f64::MIN_POSITIVE;
        let value_unit = DELTA * (pull + want.terms.iter().map(|term| term.abs()).sum::<f64>());
        let grad_unit = DELTA * (1.0 + steepness);
        self.compared += 2;
        let found = [value / value_unit, slope / slope_unit, error / grad_unit, error];
        let worst = self.worst.entry(loss.name.to_string()).or_default();
        *worst = [0, 1, 2, 3].map(|i| larger(worst[i], found[i]));
        if !found[..3].iter().all(|&units| units <= ALLOWED) {
            let [value, slope, grad, _] = found;
            self.wrong.push(format!(
                "{place}: {value:.1} units of {value_unit:.1e}, {slope:.1} of {slope_unit:.1e}, {grad:.1} of \
                 {grad_unit:.1e}"
            ));
        }
        if ALLOWED * grad_unit > 0.1 {
            self.wrong.push(format!("{place}: a unit of {grad_unit:.1e} would let anything pass"));
        }
    }

    /// One line a loss.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |(name, [value, slope, grad, error]): (&String, &[f64; 4])| {
            format!(
                "{name}: values off by at most {value:.2} units, slopes by {slope:.2}, gradients by {grad:.2}, which is \
                 {error:.1e}"
            )
        };
        self.worst.iter().map(line).collect()
    }
}

/// The larger of two; a NaN is the largest.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

fn views_of(rows: &Matrix<f64>, views: usize) -> Vec<Points<'_, f64>> {
    let per_view = rows.as_slice().len() / views;
    let views = rows.as_slice().chunks_exact(per_view);
    views.map(|view| Points::from_slice(view, rows.dim()).unwrap()).collect()
}

/// The longest row among the gradients of the loss's terms alone.
fn longest_row(loss: &Loss, rows: &Matrix<f64>, views: usize) -> f64 {
    let points = views_of(rows, views);
    let norm = |row: &[f64]| row.iter().map(|g| g * g).sum::<f64>().sqrt();
    let mut longest = 1e-9_f64;
    for term in &loss.terms {
        let alone = Loss::new(loss.name.clone(), vec![term.clone()]);
        for grad in Reference.value_and_grad(&alone, &points).unwrap().grads {
            longest = (0..grad.len()).map(|i| norm(grad.row(i))).fold(longest, f64::max);
        }
    }
    longest
}

/// What a change of the cosines does to a loss.
struct Sensitivity {
    /// To its value: Σ ∣∂L/∂s∣ over the ordered pairs of its terms, or a bound of it.
    pull: f64,
    /// To its slopes: the largest ∣κ″∣ over the largest ∣κ′∣ of the pairs, of the steepest term.
    steepness: f64,
}

impl Sensitivity {
    fn of(loss: &Loss, rows: &Matrix<f64>, views: usize) -> Self {
        let terms: Vec<Self> = loss.terms.iter().map(|term| Self::of_term(term, rows, views)).collect();
        Self {
            pull: terms.iter().map(|term| term.pull).sum(),
            steepness: terms.iter().map(|term| term.steepness).fold(0.0, f64::max),
        }
    }

    fn of_term(term: &Term, rows: &Matrix<f64>, views: usize) -> Self {
        let images = rows.len() / views;
        let anchors = term.anchor_views(views) * images;
        let cosine =
            |p: usize, q: usize| rows.row(p).iter().zip(rows.row(q)).map(|(x, y)| x * y).sum::<f64>();
        let (mut slopes, mut ratio, mut slope, mut change) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
        for p in 0..anchors {
            for q in 0..rows.len() {
                if term.pairs.contains(p == q, p % images == q % images, p / images == q / images) {
                    let s = if p == q { 1.0 } else { cosine(p, q) };
                    let (value, here) = term.kernel.at(s);
                    slopes += here.abs();
                    slope = slope.max(here.abs());
                    ratio = ratio.max((here / value).abs());
                    // A row's cosine with itself is exact, but a logarithm of what it gives is rounded.
                    if p != q || term.link.is_logarithmic() {
                        let step = (1e-3 * (1.0 - s)).max(1e-7);
                        let (after, before) = (term.kernel.at(s + step).1, term.kernel.at(s - step).1);
                        change = change.max((after - before).abs() / (2.0 * step));
                    }
                }
            }
        }
        // The shares of a log-sum add up to 1.
        let logarithms = match term.link {
            Link::ImageLogSum => images,
            Link::LogMean => term.anchor_views(views),
            _ => anchors,
        };
        let sum = if term.link.is_logarithmic() { logarithms as f64 * ratio } else { slopes };
        let pull = term.pair_factor(images, views).abs() * sum;
        let focus = term.focus.map_or(0.0, |sigma| 1.0 / sigma);
        Self { pull, steepness: focus + if slope > 0.0 { change / slope } else { 0.0 } }
    }
}
