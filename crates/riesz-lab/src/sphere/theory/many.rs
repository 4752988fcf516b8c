//! Many points: minimizers become uniform, and what a batch's loss says of its expectation.

use riesz::engine::{Engine, Fused};
use riesz::geometry::wasserstein_uniformity;
use riesz::loss::{Convention, KclKernel, Loss};
use riesz::rng::{Key, normal, permutation};
use riesz::sphere::bound::Quadrature;
use riesz::sphere::{ideal, sample};
use riesz::{Matrix, Points, normalize};

use super::{Experiment, Figure, Scale, Table, Verdict, fixed, kcls, power, search};
use crate::Result;
use crate::data::{self, BUILT_IN, DataRecipe};
use crate::report::draw::{Chart, Curve, chart};

const COLORS: [&str; 4] = ["c0", "c1", "c2", "c3"];

/// A picture of curves over log₂ M.
fn figure(caption: &str, x_label: &str, logarithmic: bool, curves: Vec<(String, Vec<(f64, f64)>)>) -> Figure {
    let key = curves.iter().zip(COLORS).map(|((name, _), class)| (class, name.clone())).collect();
    let curves: Vec<Curve> = curves
        .into_iter()
        .zip(COLORS)
        .map(|((name, points), class)| Curve { name, class, points, filled: false })
        .collect();
    let frame =
        Chart { title: caption, x_label, size: (640.0, 260.0), logarithmic, whole: false, include: None };
    Figure { caption: caption.to_owned(), key, svg: chart(&frame, &curves) }
}

pub(super) fn uniform(scale: Scale, key: Key) -> Result<Experiment> {
    let dim = 3;
    let kernels = [
        ("gaussian 2", KclKernel::Gaussian(2.0)),
        ("riesz 1", KclKernel::Riesz(1.0)),
        ("logarithmic 2", KclKernel::Logarithmic(2.0)),
    ];
    let mut table = Table::new(&[
        "M",
        "kernel",
        "lowest energy",
        "uniform law's",
        "below it by",
        "bound below it by",
        "Wasserstein uniformity",
    ]);
    let mut gaps = Vec::new();
    let mut distances = Vec::new();
    let mut holds = true;
    for (name, kernel) in kernels {
        let law = ideal::energy(dim, kernel)?;
        let loss = Loss::energy(kernel)?;
        let (mut gap, mut distance) = (Vec::new(), Vec::new());
        let mut points = 4;
        while points <= scale.most_points {
            let starts = if points > 100 { 4 } else { scale.starts };
            let minima = search(&loss, points, dim, 1, starts, key.at(points as u64))?;
            let Some(best) = minima.iter().min_by(|a, b| a.value.total_cmp(&b.value)) else { break };
            let far = wasserstein_uniformity(Points::new(&best.rows)?)?;
            let least = Quadrature::new(points, dim)?.energy(&*kernel.kernel()?);
            holds &= best.value >= least - 1e-12 && best.value < law;
            let log = (points as f64).log2();
            gap.push((log, law - best.value));
            distance.push((log, far));
            table.rows.push(vec![
                points.to_string(),
                name.to_owned(),
                fixed(best.value, 9),
                fixed(law, 9),
                power(law - best.value),
                power(law - least),
                fixed(far, 5),
            ]);
            points *= 2;
        }
        // Both fall all the way, the gap about as 1/M or faster once a set is no polytope.
        holds &= gap.windows(2).all(|pair| pair[1].1 < pair[0].1);
        holds &= distance.first().zip(distance.last()).is_some_and(|(first, last)| last.1 < first.1 / 4.0);
        gaps.push((name.to_owned(), gap));
        distances.push((name.to_owned(), distance));
    }
    let last = |curves: &[(String, Vec<(f64, f64)>)]| {
        let of = |(name, curve): &(String, Vec<(f64, f64)>)| {
            curve.last().map(|(_, y)| format!("{} ({name})", power(*y)))
        };
        curves.iter().filter_map(of).collect::<Vec<_>>().join(", ")
    };
    Ok(Experiment {
        title: "Many points become uniform".to_owned(),
        statement: "As M grows, the energy of its minimizers tends to the energy of the uniform law, and they to that law (Koromilas et \
                    al. 2024, after Wang and Isola 2020)."
            .to_owned(),
        predicted: "In three dimensions the lowest energies stay below the closed form of the uniform law and above the \
                    linear-programming bound, the gap falls at each doubling of M, and the Wasserstein distance between the law of \
                    the cosines and the uniform one goes to 0."
            .to_owned(),
        measured: format!(
            "At the largest M the energies are below the uniform law's by {}; the distances are {}.",
            last(&gaps),
            last(&distances)
        ),
        verdict: if holds { Verdict::Holds } else { Verdict::Fails },
        table: Some(table),
        figures: vec![
            figure("Uniform law's energy minus the lowest found, d = 3", "log₂ M", true, gaps),
            figure("Wasserstein uniformity of the minimizers, d = 3", "log₂ M", true, distances),
        ],
    })
}

/// Mean and standard error of the mean.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (mean, (square / (n * (n - 1.0))).sqrt())
}

pub(super) fn value(loss: &Loss, u: &Matrix<f64>, v: &Matrix<f64>) -> Result<f64> {
    let (u, v) = (Points::new(u)?, Points::new(v)?);
    Ok(Fused.value_and_grad(loss, &[u, v])?.value)
}

pub(super) fn biases(scale: Scale, key: Key) -> Result<Experiment> {
    let (dim, tau) = (8, 0.3);
    let lambda = |kappa: f64| ideal::log_mean_exponential(dim, kappa);
    let limit = -1.0 / tau + lambda(1.0 / tau);
    // Relative variance of e^{s/τ}: E e^{2s/τ}/(E e^{s/τ})² − 1.
    let variance = (lambda(2.0 / tau) - 2.0 * lambda(1.0 / tau)).exp() - 1.0;
    // What a denominator has of each other image, of which both views are one point, and whether it has the match.
    let losses: [(&str, Loss, f64, f64); 4] = [
        ("dhel", Loss::dhel(tau, Convention::Paper)?, 1.0, 0.0),
        ("dcl", Loss::dcl(tau)?, 2.0, 0.0),
        ("info-nce", Loss::info_nce(tau)?, 1.0, 1.0),
        ("nt-xent", Loss::nt_xent(tau)?, 2.0, 1.0),
    ];
    let matched = (1.0 / tau - lambda(1.0 / tau)).exp();
    // The denominator over e^Λ has the mean D and the variance c² (M − 1) V: E ln = ln D − c² (M − 1) V/(2 D²), and a third order.
    let predict = |m: f64, copies: f64, matches: f64| {
        let (terms, mean) = (copies * (m - 1.0) + matches, copies * (m - 1.0) + matches * matched);
        (mean / terms).ln() - copies * copies * (m - 1.0) * variance / (2.0 * mean * mean)
    };
    let head: Vec<String> =
        losses.iter().flat_map(|(name, ..)| [(*name).to_owned(), "predicted".to_owned()]).collect();
    let head: Vec<&str> = ["M"].into_iter().chain(head.iter().map(String::as_str)).collect();
    let mut table = Table::new(&head);
    let mut curves: Vec<(String, Vec<(f64, f64)>)> =
        losses.iter().map(|(name, ..)| ((*name).to_owned(), Vec::new())).collect();
    let mut worst = 0.0_f64;
    let sizes: &[usize] = if scale.small { &[4, 16, 64] } else { &[4, 16, 64, 256, 1024] };
    for &images in sizes {
        let m = images as f64;
        let batches = (scale.batches * 16 / images).clamp(20, scale.batches);
        let mut all = vec![Vec::new(); losses.len()];
        for batch in 0..batches {
            // Aligned: both views are the same uniform points.
            let rows = sample(images, dim, key.at(images as u64).at(batch as u64));
            for ((_, loss, copies, matches), values) in losses.iter().zip(&mut all) {
                let terms = copies * (m - 1.0) + matches;
                values.push(value(loss, &rows, &rows)? - terms.ln() - limit);
            }
        }
        let mut row = vec![images.to_string()];
        for (((_, _, copies, matches), values), (_, curve)) in losses.iter().zip(&all).zip(&mut curves) {
            let (bias, error) = mean(values);
            let predicted = predict(m, *copies, *matches);
            if images >= 16 {
                // What is left is of second order in 1/M: within a few standard errors and V²/M².
                let left = (bias - predicted).abs() - (variance / m).powi(2);
                worst = worst.max(left / error);
            }
            curve.push((m.log2(), bias.abs()));
            row.push(format!("{} ± {}", fixed(bias, 4), fixed(1.96 * error, 4)));
            row.push(fixed(predicted, 4));
        }
        table.rows.push(row);
    }
    let ratio = curves[2].1.last().map_or(0.0, |(_, y)| *y) / curves[0].1.last().map_or(1.0, |(_, y)| *y);
    Ok(Experiment {
        title: "Expected losses of the InfoNCE family depend on the batch; DHEL's and DCL's least".to_owned(),
        statement: "For aligned uniform points E[L] − ln N tends to −1/τ + Λ, Λ = ln ₀F₁(; d/2; 1/(4τ²)), with N the number of terms in the \
                    denominator (M − 1 for DHEL, 2(M − 1) for DCL, M for InfoNCE, 2M − 1 for NT-Xent); a batch of few images \
                    estimates it badly (Koromilas et al. 2024)."
            .to_owned(),
        predicted: format!(
            "A denominator over e^Λ has the mean D = c (M − 1) + p e^{{1/τ − Λ}} and the variance c² (M − 1) V, c the terms of each other \
             image (1 for DHEL and InfoNCE, 2 for DCL and NT-Xent), p = 1 if the matched pair is in it, V the relative variance of \
             e^{{s/τ}}: the mean loss is off its limit by ln (D/N) − c² (M − 1) V/(2 D²), and by what is of second order in 1/M. So DHEL and DCL \
             are below by V/(2(M − 1)); InfoNCE and NT-Xent are above, by far more. d = {dim}, τ = {tau}: limit {}, V = {}, \
             e^{{1/τ − Λ}} = {}.",
            fixed(limit, 6),
            fixed(variance, 4),
            fixed(matched, 2)
        ),
        measured: format!(
            "Means over random batches with 95 % intervals in the table. From M = 16 on all four agree with the prediction (worst {} \
             standard errors, beyond V²/M²). At the largest M InfoNCE is {} times as far from its limit as DHEL.",
            fixed(worst.max(0.0), 1),
            fixed(ratio, 0)
        ),
        verdict: if worst < 4.0 && ratio > 3.0 { Verdict::Holds } else { Verdict::Fails },
        table: Some(table),
        figures: vec![figure("Distance of the mean batch loss from its limit, d = 8, τ = 0.3", "log₂ M", true, curves)],
    })
}

/// All subsets of `size` of 0 … n − 1.
pub(super) fn subsets(n: usize, size: usize) -> Vec<Vec<usize>> {
    (0..1_u32 << n)
        .filter(|bits| bits.count_ones() as usize == size)
        .map(|bits| (0..n).filter(|i| bits >> i & 1 == 1).collect())
        .collect()
}

/// The rows of these places, in this order.
pub(crate) fn chosen(rows: &Matrix<f64>, which: &[usize]) -> Matrix<f64> {
    Matrix::new(which.iter().flat_map(|&i| rows.row(i)).copied().collect(), rows.dim())
}

/// Points and points near them.
fn pairs(images: usize, dim: usize, noise: f64, key: Key) -> Result<(Matrix<f64>, Matrix<f64>)> {
    let u = sample(images, dim, key);
    let mut v = u.clone();
    let mut rng = key.stream("noise").rng();
    v.as_mut_slice().iter_mut().for_each(|x| *x += noise * normal(&mut rng));
    normalize(&mut v)?;
    Ok((u, v))
}

/// Real pairs: images of the built-in data and the same moved by a pixel, pixels minus their mean.
fn real_pairs(images: usize) -> Result<(Matrix<f64>, Matrix<f64>)> {
    let recipe =
        DataRecipe { source: BUILT_IN.to_owned(), labels: "none".to_owned(), held_out: 0.0, limit: None };
    let test = data::open(&recipe, 0)?.test;
    let (mut u, mut v) = (Vec::new(), Vec::new());
    let mut dim = 0;
    for i in 0..images {
        let image = test.image(i)?;
        let (width, stride) = (image.width, image.channels);
        let pixel = |y: usize, x: usize| f64::from(image.pixels[(y * width + x) * stride]);
        let rows = (0..image.height).flat_map(|y| (0..width).map(move |x| (y, x)));
        let (own, moved): (Vec<f64>, Vec<f64>) =
            rows.map(|(y, x)| (pixel(y, x), pixel(y, x.saturating_sub(1)))).unzip();
        dim = own.len();
        for (view, pixels) in [(&mut u, own), (&mut v, moved)] {
            let mean = pixels.iter().sum::<f64>() / dim as f64;
            view.extend(pixels.iter().map(|x| x - mean));
        }
    }
    let (mut u, mut v) = (Matrix::new(u, dim), Matrix::new(v, dim));
    normalize(&mut u)?;
    normalize(&mut v)?;
    Ok((u, v))
}

pub(super) fn unbiased(scale: Scale, key: Key) -> Result<Experiment> {
    let tau = 0.3;
    let mut table = Table::new(&["pairs", "loss", "M = 2", "M = 8", "M = 32", "all pairs at once"]);
    // Exactly: every batch of six pairs.
    let (u, v) = pairs(6, 4, 0.5, key.at(1))?;
    let kcl = kcls(Convention::Paper).into_iter().next().expect("KCL has kernels").1;
    let dhel = Loss::dhel(tau, Convention::Paper)?;
    let info_nce = Loss::info_nce(tau)?;
    type Terms = fn(f64) -> f64;
    let three: [(&str, &Loss, Terms); 3] = [
        ("kcl, gaussian 2", &kcl, |_| 1.0),
        ("dhel − ln (M − 1)", &dhel, |m| m - 1.0),
        ("info-nce − ln M", &info_nce, |m| m),
    ];
    let mut spreads = Vec::new();
    for (_, loss, terms) in three {
        let means = (2..=6)
            .map(|size| {
                let batches = subsets(6, size);
                let sum = batches.iter().try_fold(0.0, |sum, which| {
                    Ok::<_, crate::Error>(sum + value(loss, &chosen(&u, which), &chosen(&v, which))?)
                })?;
                Ok(sum / batches.len() as f64 - terms(size as f64).ln())
            })
            .collect::<Result<Vec<f64>>>()?;
        let (low, high) =
            means.iter().fold((f64::MAX, f64::MIN), |(low, high), &x| (low.min(x), high.max(x)));
        spreads.push(high - low);
    }
    // By drawing: random and real pairs.
    let population = if scale.small { 128 } else { 512 };
    let mut holds = spreads[0] < 1e-11 && spreads[1] > 0.01 && spreads[2] > 0.01;
    let mut furthest = 0.0_f64;
    let sets = [
        ("random, d = 16", pairs(population, 16, 0.1, key.at(2))?),
        ("images, d = 784", real_pairs(population)?),
    ];
    for (words, (u, v)) in &sets {
        for (name, loss, terms) in three {
            let whole = value(loss, u, v)? - terms(population as f64).ln();
            let mut row = vec![(*words).to_owned(), name.to_owned()];
            for size in [2, 8, 32] {
                let batches = (scale.batches * 4 / size).max(50);
                let values = (0..batches)
                    .map(|batch| {
                        let mut rng = key.at(3).at(size as u64).at(batch as u64).rng();
                        let which = &permutation(&mut rng, population)[..size];
                        Ok(value(loss, &chosen(u, which), &chosen(v, which))? - terms(size as f64).ln())
                    })
                    .collect::<Result<Vec<f64>>>()?;
                let (mean, error) = mean(&values);
                let errors = (mean - whole).abs() / error;
                if name.starts_with("kcl") {
                    furthest = furthest.max(errors);
                } else if size == 2 {
                    holds &= errors > 4.0;
                }
                row.push(format!("{} ± {}", fixed(mean, 4), fixed(1.96 * error, 4)));
            }
            row.push(fixed(whole, 4));
            table.rows.push(row);
        }
    }
    holds &= furthest < 4.0;
    Ok(Experiment {
        title: "KCL's expectation is the same for every batch size, the others' is not".to_owned(),
        statement: "E[L_KCL] over batches is the loss of the whole population for every M ≥ 2, so its minimizers are known without M → ∞; \
                    losses with a logarithm of a row's sum have no such property (Koromilas et al. 2024)."
            .to_owned(),
        predicted: "Averaged over all batches of M = 2 … 6 out of six pairs, KCL is one number; DHEL − ln (M − 1) and InfoNCE − ln M are \
                    not. Batches drawn at random from many pairs agree with the whole for KCL alone."
            .to_owned(),
        measured: format!(
            "Over all batches of six pairs KCL's mean varies with M by {}, DHEL's by {}, InfoNCE's by {}. Of {population} pairs, random ones and \
             real ones (built-in images and the same moved by a pixel), KCL's means of drawn batches are within {} standard errors of the \
             whole; the table has 95 % intervals.",
            power(spreads[0]),
            fixed(spreads[1], 3),
            fixed(spreads[2], 3),
            fixed(furthest, 1)
        ),
        verdict: if holds { Verdict::Holds } else { Verdict::Fails },
        table: Some(table),
        figures: Vec::new(),
    })
}
