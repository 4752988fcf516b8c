//! Few images in batches of fewer: all batches, or a partition that stays.

use riesz::engine::{Engine, Fused};
use riesz::loss::{Convention, Loss};
use riesz::rng::Key;
use riesz::sphere::optima::{orthogonal_simplices, simplex};
use riesz::sphere::sample;
use riesz::{Matrix, Points, normalize};

use super::many::{chosen, subsets, value};
use super::{Experiment, Scale, Table, Verdict, fixed, kcls, power, search};
use crate::Result;

/// How near a minimum must be to its closed form: cosines, and the value.
const NEAR: f64 = 1e-6;

/// Two views of the same images, view after view.
struct Pairs {
    u: Matrix<f64>,
    v: Matrix<f64>,
}

impl Pairs {
    fn aligned(rows: Matrix<f64>) -> Self {
        Self { v: rows.clone(), u: rows }
    }

    /// The mean of a loss over batches.
    fn mean(&self, loss: &Loss, batches: &[Vec<usize>]) -> Result<f64> {
        let sum = batches.iter().try_fold(0.0, |sum, batch| {
            Ok::<_, crate::Error>(sum + value(loss, &chosen(&self.u, batch), &chosen(&self.v, batch))?)
        })?;
        Ok(sum / batches.len() as f64)
    }

    /// The same with its gradient along the spheres.
    fn mean_and_slope(&self, loss: &Loss, batches: &[Vec<usize>]) -> Result<(f64, [Matrix<f64>; 2])> {
        let (images, dim) = (self.u.len(), self.u.dim());
        let mut slopes = [(); 2].map(|()| Matrix::zeros(images, dim));
        let mut sum = 0.0;
        for batch in batches {
            let (u, v) = (chosen(&self.u, batch), chosen(&self.v, batch));
            let outcome = Fused.value_and_grad(loss, &[Points::new(&u)?, Points::new(&v)?])?;
            sum += outcome.value;
            for (slope, grad) in slopes.iter_mut().zip(&outcome.grads) {
                for (place, &image) in batch.iter().enumerate() {
                    let of_batch = grad.row(place);
                    slope
                        .row_mut(image)
                        .iter_mut()
                        .zip(of_batch)
                        .for_each(|(s, g)| *s += g / batches.len() as f64);
                }
            }
        }
        for (slope, rows) in slopes.iter_mut().zip([&self.u, &self.v]) {
            for i in 0..images {
                let x = rows.row(i);
                let along: f64 = slope.row(i).iter().zip(x).map(|(s, x)| s * x).sum();
                slope.row_mut(i).iter_mut().zip(x).for_each(|(s, x)| *s -= along * x);
            }
        }
        Ok((sum / batches.len() as f64, slopes))
    }

    /// Where steepest descent on the mean over batches comes to, its steps as long as they still go down.
    fn descended(mut self, loss: &Loss, batches: &[Vec<usize>]) -> Result<Self> {
        let (mut least, mut slopes) = self.mean_and_slope(loss, batches)?;
        let mut step = 1.0;
        for _ in 0..4000 {
            let square: f64 = slopes.iter().flat_map(Matrix::as_slice).map(|s| s * s).sum();
            if square.sqrt() < 1e-9 || step < 1e-12 || crate::interrupt::asked() {
                break;
            }
            let moved = |rows: &Matrix<f64>, slope: &Matrix<f64>| -> Result<Matrix<f64>> {
                let numbers = rows.as_slice().iter().zip(slope.as_slice()).map(|(x, s)| x - step * s);
                let mut rows = Matrix::new(numbers.collect(), rows.dim());
                normalize(&mut rows)?;
                Ok(rows)
            };
            let next = Self { u: moved(&self.u, &slopes[0])?, v: moved(&self.v, &slopes[1])? };
            let (value, steeper) = next.mean_and_slope(loss, batches)?;
            if value <= least - 0.3 * step * square {
                (self, least, slopes) = (next, value, steeper);
                step *= 1.5;
            } else {
                step *= 0.5;
            }
        }
        Ok(self)
    }

    /// 1 − the least matched cosine, and mean and variance of the cosines of different images.
    fn cosines(&self) -> (f64, f64, f64) {
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let images = self.u.len();
        let apart = (0..images).map(|i| 1.0 - dot(self.u.row(i), self.v.row(i))).fold(0.0, f64::max);
        let others: Vec<f64> = (0..images)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| dot(self.u.row(i), self.u.row(j)))
            .collect();
        let count = others.len() as f64;
        let mean = others.iter().sum::<f64>() / count;
        (apart, mean, others.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / count)
    }
}

/// What was seen of one loss and one size.
struct Seen {
    /// The lowest mean over all batches of a start.
    all: f64,
    /// Mean cosine and variance there.
    all_cosines: (f64, f64),
    /// The least of the fixed batches' mean, and the largest difference from it of any place that should have it.
    fixed: f64,
    fixed_off: f64,
    /// How far the mean cosine of a minimizer of fixed batches is from −1/(n − 1), and the lowest and highest variance.
    mean_off: f64,
    variances: (f64, f64),
    /// By how much the simplex is above the least of fixed batches, and the lowest of their minimizers above that of all.
    simplex_above: f64,
    all_above: f64,
    /// The largest 1 − matched cosine of them all.
    apart: f64,
}

impl Seen {
    fn of(loss: &Loss, n: usize, m: usize, starts: u64, key: Key) -> Result<Self> {
        let dim = n - 1;
        let (every, stay) = (subsets(n, m), (0..n).step_by(m).map(|first| (first..first + m).collect()));
        let stay: Vec<Vec<usize>> = stay.collect();
        let mut all: Option<(f64, Pairs)> = None;
        for start in 0..starts {
            let key = key.at(start);
            let start = Pairs { u: sample(n, dim, key.at(1)), v: sample(n, dim, key.at(2)) };
            let end = start.descended(loss, &every)?;
            let value = end.mean(loss, &every)?;
            if all.as_ref().is_none_or(|(least, _)| value < *least) {
                all = Some((value, end));
            }
        }
        let (all, end) = all.expect("there is a start");
        let (mut apart, mean, variance) = end.cosines();
        // Batches that stay share no image: each is minimized by itself.
        let least = simplex(m).value(loss, 2);
        let (mut off, mut mean_off, mut all_above) = (0.0_f64, 0.0_f64, f64::INFINITY);
        let (mut lowest, mut highest) = (f64::INFINITY, 0.0_f64);
        let mut look = |pairs: &Pairs| -> Result<()> {
            let (matched, mean, variance) = pairs.cosines();
            apart = apart.max(matched);
            off = off.max((pairs.mean(loss, &stay)? - least).abs());
            mean_off = mean_off.max((mean + 1.0 / (n as f64 - 1.0)).abs());
            (lowest, highest) = (lowest.min(variance), highest.max(variance));
            all_above = all_above.min(pairs.mean(loss, &every)? - all);
            Ok(())
        };
        for trial in 0..3 {
            let mut both = [Vec::new(), Vec::new()];
            for batch in 0..n / m {
                let minima = search(loss, m, dim, 2, 6, key.at(100 + trial).at(batch as u64))?;
                let best =
                    minima.iter().min_by(|a, b| a.value.total_cmp(&b.value)).expect("there is a start");
                for (rows, view) in both.iter_mut().zip(best.rows.as_slice().chunks(m * dim)) {
                    rows.extend_from_slice(view);
                }
            }
            let [u, v] = both.map(|rows| Matrix::new(rows, dim));
            look(&Pairs { u, v })?;
        }
        // The ends: simplices in orthogonal subspaces, and all at one place.
        look(&Pairs::aligned(orthogonal_simplices(&vec![m; n / m]).rows(dim)))?;
        look(&Pairs::aligned(Matrix::new(simplex(m).rows(dim).as_slice().repeat(n / m), dim)))?;
        let simplex_above = Pairs::aligned(simplex(n).rows(dim)).mean(loss, &stay)? - least;
        Ok(Self {
            all,
            all_cosines: (mean, variance),
            fixed: least,
            fixed_off: off,
            mean_off,
            variances: (lowest, highest),
            simplex_above,
            all_above,
            apart,
        })
    }
}

pub(super) fn that_stay(scale: Scale, key: Key) -> Result<Experiment> {
    let tau = 0.3;
    let mut losses: Vec<(String, Loss)> =
        [Loss::info_nce(tau)?, Loss::nt_xent(tau)?, Loss::dcl(tau)?, Loss::dhel(tau, Convention::Paper)?]
            .map(|loss| (loss.name.to_string(), loss))
            .into();
    losses.extend(kcls(Convention::Paper).into_iter().take(1));
    let sizes: &[(usize, usize)] =
        if scale.small { &[(4, 2), (6, 3)] } else { &[(4, 2), (6, 2), (6, 3), (8, 2), (8, 4)] };
    let starts = if scale.small { 2 } else { 6 };
    let mut table = Table::new(&[
        "n, M",
        "loss",
        "all batches: lowest, off by",
        "variance of cosines",
        "a partition: lowest, off by",
        "variance of cosines",
        "predicted",
        "simplex above its lowest by",
        "its minimizers above all's by",
    ]);
    let (mut holds, mut worst, mut far) = (true, [0.0_f64; 3], f64::INFINITY);
    for &(n, m) in sizes {
        let of_all = simplex(n).rows(n - 1);
        let (images, size) = (n as f64, m as f64);
        let low = (images - size) / ((size - 1.0) * (images - 1.0).powi(2));
        for (number, (name, loss)) in losses.iter().enumerate() {
            let seen = Seen::of(loss, n, m, starts, key.at(n as u64).at(m as u64).at(number as u64))?;
            let of_batch = chosen(&of_all, &(0..m).collect::<Vec<_>>());
            let off = (seen.all - value(loss, &of_batch, &of_batch)?).abs();
            let mean_off = (seen.all_cosines.0 + 1.0 / (images - 1.0)).abs().max(seen.mean_off);
            let ends = (seen.variances.0 - low).abs().max((seen.variances.1 - images * low).abs());
            worst[0] = worst[0].max(off.max(seen.fixed_off));
            worst[1] = worst[1].max(mean_off.max(seen.apart));
            worst[2] = worst[2].max(ends);
            far = far.min(seen.simplex_above);
            // A sum over one other image has a linear logarithm, which asks for the mean alone.
            if m == 2 && ["dcl", "dhel"].contains(&name.as_str()) {
                worst[0] = worst[0].max(seen.all_above.abs());
            } else {
                worst[1] = worst[1].max(seen.all_cosines.1.sqrt());
                far = far.min(seen.all_above);
            }
            holds &= worst.iter().all(|off| *off < NEAR) && far > 1e-4;
            table.rows.push(vec![
                format!("{n}, {m}"),
                name.clone(),
                format!("{}, {}", fixed(seen.all, 6), power(off)),
                power(seen.all_cosines.1),
                format!("{}, {}", fixed(seen.fixed, 6), power(seen.fixed_off)),
                format!("{} to {}", fixed(seen.variances.0, 5), fixed(seen.variances.1, 5)),
                format!("{} to {}", fixed(low, 5), fixed(images * low, 5)),
                fixed(seen.simplex_above, 4),
                if seen.all_above.abs() < NEAR { "0".to_owned() } else { fixed(seen.all_above, 4) },
            ]);
        }
    }
    Ok(Experiment {
        title: "All batches lead to the simplex of all images, a partition that stays does not".to_owned(),
        statement: "The mean over all batches of M ≥ 2 out of n ≤ d + 1 pairs is least at the aligned simplex of all n, for KCL at any M (Koromilas et \
                    al. 2024) and for InfoNCE (Cho et al. 2024). Over a fixed partition into batches it is not: different images then have the \
                    mean cosine −1/(n − 1) and a variance of (n − M)/((M − 1)(n − 1)²) to n times that (Lee et al. 2025)."
            .to_owned(),
        predicted: "Over all batches every cosine is −1/(n − 1), and the value that of M of the n corners; but where M = 2 DHEL and DCL sum over one \
                    other image, and any aligned set with the sum 0 is as good. Batches that stay share no image, so each is \
                    a simplex of M by itself, and nothing is said between two: the variance is at its lower end where they lie in orthogonal \
                    subspaces, at its upper end where they coincide, and anything between. The simplex of n is above that minimum, and \
                    those minimizers are above the minimum over all batches (but for M = 2 under DHEL and DCL). d = n − 1, τ = 0.3."
            .to_owned(),
        measured: format!(
            "Values are within {} of their closed forms; mean cosines, those of matches, and over all batches each cosine (but for M = 2 under DHEL and \
             DCL) within {}; the ends of the \
             variance within {}. The minimizers of one are above the minimum of the other by {} and more (with that exception).",
            power(worst[0]),
            power(worst[1]),
            power(worst[2]),
            power(far)
        ),
        verdict: if holds { Verdict::Holds } else { Verdict::Fails },
        table: Some(table),
        figures: Vec::new(),
    })
}
