//! Every metric where its value is known: the simplex, the cross-polytope, one point many times, two antipodes, a subspace,
//! and uniform points, more and more of them; and samples against the whole.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "a test prints the table of docs/geometry.md")]

use std::collections::BTreeMap;

use riesz::geometry::{Findings, Finished, METRICS, NEAR_DUPLICATE, Pairwise, Sampled, Sampling, State};
use riesz::rng::Key;
use riesz::sphere::{ideal, sample};
use riesz::{Matrix, Points, normalize};

/// Every metric of points that are matched with themselves.
fn of(rows: &Matrix<f64>) -> BTreeMap<&'static str, Option<f64>> {
    let points = Points::new(rows).unwrap();
    let findings = Findings::of(&[points, points]).unwrap();
    METRICS.iter().map(|metric| (metric.name, metric.read(&findings).map(|found| found.value))).collect()
}

/// Values of all metrics but those of lengths: `None` where there is none, NaN where none is known.
type Known<'a> = &'a [(&'a str, Option<f64>)];

fn holds(place: &str, rows: &Matrix<f64>, known: Known<'_>, bound: f64) {
    let found = of(rows);
    for metric in METRICS.iter().filter(|metric| !metric.name.contains("length")) {
        let (_, want) = known.iter().find(|(name, _)| *name == metric.name).unwrap_or_else(|| {
            panic!("{place}: say what {} is", metric.name);
        });
        let got = found[metric.name];
        match (got, *want) {
            (None, None) => {}
            (Some(got), Some(want)) => {
                let near = (got - want).abs() <= bound * want.abs().max(1.0);
                assert!(
                    got.is_finite() && (want.is_nan() || near),
                    "{place}, {}: {got} for {want}",
                    metric.name
                );
            }
            _ => panic!("{place}, {}: {got:?} for {want:?}", metric.name),
        }
    }
}

/// What all effective ranks and their kin are where k directions are used alike and the mean is 0.
fn alike(k: f64) -> Vec<(&'static str, Option<f64>)> {
    [
        "rank",
        "effective_rank_roy_vetterli",
        "effective_rank_eigenvalues",
        "effective_rank_centered",
        "effective_rank_explained_variance",
        "participation_ratio",
        "stable_rank",
        "ne_sum",
    ]
    .map(|name| (name, Some(k)))
    .to_vec()
}

/// The smoothed ranks of k equal of d singular values, from their definition.
fn smoothed(k: usize, d: usize) -> Vec<(&'static str, Option<f64>)> {
    let p: Vec<f64> = (0..d).map(|j| if j < k { 1.0 / k as f64 } else { 0.0 } + 1e-7).collect();
    let total: f64 = p.iter().sum();
    let entropy = |scale: f64| p.iter().map(|p| p / scale).map(|p| -p * p.ln()).sum::<f64>().exp();
    vec![("rank_me", Some(entropy(1.0))), ("effective_rank", Some(entropy(total)))]
}

/// W₁ of a law with one atom.
fn to_atom(dim: usize, s: f64) -> f64 {
    2.0 * ideal::cdf_integral(dim, s) - s
}

/// W₁ of a law with the cosine −1 for this share of pairs and 0 for all others: F̂ is the share from −1 to 0, and F crosses it.
fn of_opposites(dim: usize, share: f64) -> f64 {
    let q = ideal::quantile(dim, share);
    let area = |a: f64, b: f64| ideal::cdf_integral(dim, b) - ideal::cdf_integral(dim, a);
    share * (q + 1.0) - area(-1.0, q) + area(q, 0.0) + share * q + 1.0 - area(0.0, 1.0)
}

#[test]
fn the_simplex() {
    let d = 8;
    // d + 1 points of ℝᵈ: the unit vectors of ℝ^{d+1} without their mean, in a basis of what is orthogonal to it.
    let mut rows = Matrix::zeros(d + 1, d);
    for i in 0..=d {
        for k in 0..d {
            let scale = 1.0 / (((k + 1) * (k + 2)) as f64).sqrt();
            rows.row_mut(i)[k] = if i <= k {
                scale
            } else if i == k + 1 {
                -scale * (k + 1) as f64
            } else {
                0.0
            };
        }
    }
    normalize(&mut rows).unwrap();
    let s = -1.0 / d as f64;
    let mut known = alike(d as f64);
    known.extend(smoothed(d, d));
    known.extend([
        ("alignment", Some(0.0)),
        ("uniformity", Some(4.0 * s - 4.0)),
        ("wasserstein_uniformity", Some(to_atom(d, s))),
        ("alpha_req", None),
        ("gaussian_uniformity", Some(0.0)),
        ("mean_cosine", Some(s)),
        ("intrinsic_dimension", None),
        ("hubness", None),
        ("near_duplicates", Some(0.0)),
    ]);
    holds("simplex", &rows, &known, 1e-13);
}

#[test]
fn the_cross_polytope() {
    let d = 8;
    let mut rows = Matrix::zeros(2 * d, d);
    for k in 0..d {
        rows.row_mut(k)[k] = 1.0;
        rows.row_mut(d + k)[k] = -1.0;
    }
    let opposite = 1.0 / (2 * d - 1) as f64;
    let mut known = alike(d as f64);
    known.extend(smoothed(d, d));
    known.extend([
        ("alignment", Some(0.0)),
        ("uniformity", Some((opposite * (-8.0_f64).exp() + (1.0 - opposite) * (-4.0_f64).exp()).ln())),
        ("wasserstein_uniformity", Some(of_opposites(d, opposite))),
        ("alpha_req", None),
        ("gaussian_uniformity", Some(0.0)),
        ("mean_cosine", Some(-opposite)),
        ("intrinsic_dimension", None),
        ("hubness", Some(f64::NAN)),
        ("near_duplicates", Some(0.0)),
    ]);
    holds("cross-polytope", &rows, &known, 1e-13);
}

#[test]
fn one_point_many_times() {
    let rows = Matrix::new([0.6, 0.8, 0.0, 0.0].repeat(30), 4);
    let mut known = smoothed(1, 4);
    known.extend(
        ["effective_rank_roy_vetterli", "effective_rank_eigenvalues", "stable_rank"]
            .map(|name| (name, Some(1.0))),
    );
    known.extend(
        [
            "rank",
            "effective_rank_centered",
            "effective_rank_explained_variance",
            "participation_ratio",
            "ne_sum",
        ]
        .map(|name| (name, Some(0.0))),
    );
    known.extend([
        ("alignment", Some(0.0)),
        ("uniformity", Some(0.0)),
        ("wasserstein_uniformity", Some(1.0)),
        ("alpha_req", None),
        ("gaussian_uniformity", Some(2.0_f64.sqrt())),
        ("mean_cosine", Some(1.0)),
        ("intrinsic_dimension", None),
        ("hubness", Some(f64::NAN)),
        ("near_duplicates", Some(435.0)),
    ]);
    holds("one point", &rows, &known, 1e-13);
}

#[test]
fn two_antipodes() {
    let rows = Matrix::new(vec![0.6, 0.8, 0.0, -0.6, -0.8, 0.0], 3);
    let mut known = alike(1.0);
    known.extend(smoothed(1, 2));
    known.extend([
        ("alignment", Some(0.0)),
        ("uniformity", Some(-8.0)),
        ("wasserstein_uniformity", Some(1.0)),
        ("alpha_req", None),
        ("gaussian_uniformity", Some((2.0 - 2.0 / 3.0_f64.sqrt()).sqrt())),
        ("mean_cosine", Some(-1.0)),
        ("intrinsic_dimension", None),
        ("hubness", None),
        ("near_duplicates", Some(0.0)),
    ]);
    holds("antipodes", &rows, &known, 1e-13);
}

/// `low`'s rows, put into the space that k of the 16 rows of Hadamard's matrix span: entries ±¼, so that nothing is rounded
/// but the coordinates themselves.
fn in_sixteen(low: &Matrix<f64>) -> Matrix<f64> {
    let mut rows = Matrix::zeros(low.len(), 16);
    for i in 0..low.len() {
        for (axis, x) in [3_u32, 6, 9, 13, 14, 15].into_iter().zip(low.row(i)) {
            for (column, to) in (0_u32..).zip(rows.row_mut(i)) {
                *to += if (axis & column).count_ones() % 2 == 0 { 0.25 * x } else { -0.25 * x };
            }
        }
    }
    rows
}

/// A cross-polytope of four dimensions within sixteen: every metric exactly.
#[test]
fn a_cross_polytope_in_a_subspace() {
    let (k, d) = (4, 16);
    let mut low = Matrix::zeros(2 * k, k);
    for i in 0..k {
        low.row_mut(i)[i] = 1.0;
        low.row_mut(k + i)[i] = -1.0;
    }
    let opposite = 1.0 / (2 * k - 1) as f64;
    let mut known = alike(k as f64);
    // Eight points have eight singular values, four of them 0.
    known.extend(smoothed(k, 2 * k));
    known.extend([
        ("alignment", Some(0.0)),
        ("uniformity", Some((opposite * (-8.0_f64).exp() + (1.0 - opposite) * (-4.0_f64).exp()).ln())),
        ("wasserstein_uniformity", Some(of_opposites(d, opposite))),
        ("alpha_req", None),
        // ‖m‖ = 0; four of 1/√4 − 1/√16, twelve of 1/√16.
        ("gaussian_uniformity", Some(1.0)),
        ("mean_cosine", Some(-opposite)),
        ("intrinsic_dimension", None),
        // Fewer than ten others.
        ("hubness", None),
        ("near_duplicates", Some(0.0)),
    ]);
    holds("cross-polytope in a subspace", &in_sixteen(&low), &known, 1e-12);
}

/// A harmonic frame: x_j = (cos 2πfj/n, sin 2πfj/n) √(2/k) for f = 1 … k/2 is tight, so that σ = √(n/k) k times, with mean 0
/// and ⟨x_j, x_l⟩ = (2/k) Σ cos 2πf(j − l)/n.
#[test]
fn a_tight_frame_in_a_subspace() {
    let (n, k, d) = (1000, 6, 16);
    let angle = |f: usize, j: usize| 2.0 * std::f64::consts::PI * (f * j % n) as f64 / n as f64;
    let mut low = Matrix::zeros(n, k);
    for j in 0..n {
        for (f, two) in (1..).zip(low.row_mut(j).chunks_exact_mut(2)) {
            let length = (2.0 / k as f64).sqrt();
            (two[0], two[1]) = (length * angle(f, j).cos(), length * angle(f, j).sin());
        }
    }
    let cosine = |m: usize| (1..=k / 2).map(|f| angle(f, m).cos()).sum::<f64>() * 2.0 / k as f64;
    let mean = (1..n).map(|m| (4.0 * cosine(m) - 4.0).exp()).sum::<f64>() / (n - 1) as f64;
    let near = (1..n).filter(|&m| cosine(m) >= NEAR_DUPLICATE).count() * n / 2;
    let mut known = alike(k as f64);
    known.extend(smoothed(k, d));
    let gaussian = k as f64 * (1.0 / (k as f64).sqrt() - 0.25).powi(2) + (d - k) as f64 / d as f64;
    known.extend([
        ("uniformity", Some(mean.ln())),
        ("gaussian_uniformity", Some(gaussian.sqrt())),
        ("mean_cosine", Some(-1.0 / (n - 1) as f64)),
        ("near_duplicates", Some(near as f64)),
    ]);
    let found = of(&in_sixteen(&low));
    for (name, want) in known {
        let (got, want) = (found[name].unwrap(), want.unwrap());
        assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "tight frame, {name}: {got} for {want}");
    }
}

/// Uniform points of a k-dimensional subspace: W₁ and the rest by what is known of many such points.
#[test]
fn a_subspace_of_four_dimensions() {
    let (n, k, d) = (4000, 4, 16);
    let (low, turn) = (sample(n, k, Key::new(1)), sample(d, d, Key::new(2)));
    // An orthonormal basis, so that the points stay uniform.
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for i in 0..k {
        let mut row = turn.row(i).to_vec();
        for other in &basis {
            let along: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
        }
        let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        basis.push(row.iter().map(|x| x / length).collect());
    }
    let mut rows = Matrix::zeros(n, d);
    for i in 0..n {
        for (axis, x) in basis.iter().zip(low.row(i)) {
            rows.row_mut(i).iter_mut().zip(axis).for_each(|(to, from)| *to += x * from);
        }
    }
    normalize(&mut rows).unwrap();
    let mut known = alike(k as f64);
    known.extend(smoothed(k, d));
    // ∫ |F₄ − F₁₆|: both laws are symmetric, F₄ above F₁₆ left of 0.
    let apart = 2.0 * (ideal::cdf_integral(k, 0.0) - ideal::cdf_integral(d, 0.0));
    known.extend([
        ("alignment", Some(0.0)),
        ("uniformity", Some(ideal::uniformity(k, 2.0))),
        ("wasserstein_uniformity", Some(apart)),
        ("alpha_req", None),
        ("gaussian_uniformity", Some(1.0)),
        ("mean_cosine", Some(0.0)),
        ("intrinsic_dimension", Some(3.0)),
        ("hubness", Some(f64::NAN)),
        ("near_duplicates", Some(f64::NAN)),
    ]);
    holds("subspace", &rows, &known, 0.03);
    assert_eq!(of(&rows)["rank"], Some(4.0));
}

/// The table of docs/geometry.md: uniform points of S³, and what every metric tends to.
#[test]
fn more_uniform_points_are_nearer_to_the_closed_forms() {
    let d = 4;
    // The share of pairs with a cosine of 0.99 or more.
    let near = 1.0 - ideal::cdf(d, NEAR_DUPLICATE);
    let limits: [(&str, f64); 15] = [
        ("uniformity", ideal::uniformity(d, 2.0)),
        ("wasserstein_uniformity", 0.0),
        ("rank", 4.0),
        ("effective_rank", 4.0),
        ("effective_rank_roy_vetterli", 4.0),
        ("rank_me", 4.0),
        ("effective_rank_eigenvalues", 4.0),
        ("effective_rank_centered", 4.0),
        ("effective_rank_explained_variance", 4.0),
        ("participation_ratio", 4.0),
        ("stable_rank", 4.0),
        ("ne_sum", 4.0),
        ("gaussian_uniformity", 0.0),
        ("mean_cosine", 0.0),
        ("intrinsic_dimension", 3.0),
    ];
    let sizes = [100, 1000, 10_000];
    let found = sizes.map(|n| of(&sample(n, d, Key::new(17))));
    for (name, limit) in limits {
        let values = found.each_ref().map(|found| found[name].unwrap());
        println!("| {name} | {:.4} | {:.4} | {:.4} | {limit:.4} |", values[0], values[1], values[2]);
        let off = values.map(|value| (value - limit).abs());
        assert!(off[2] <= off[0] && off[2] < 0.04 * limit.abs().max(0.5), "{name}: {values:?} to {limit}");
    }
    for (n, found) in sizes.iter().zip(&found) {
        let (pairs, got) = ((n * (n - 1) / 2) as f64, found["near_duplicates"].unwrap());
        assert!((got - pairs * near).abs() < 5.0 * (pairs * near).sqrt() + 1.0, "{got} for {}", pairs * near);
    }
}

/// The intervals of samples hold what the whole has, about as often as they say.
#[test]
fn a_samples_interval_holds_the_value_of_the_whole() {
    let (n, d, draws) = (3000, 12, 40);
    let mut rows = sample(n, d, Key::new(5));
    for i in 0..n {
        let row = rows.row_mut(i);
        row[0] += if i % 3 == 0 { 0.8 } else { 0.1 };
        row[6..].iter_mut().for_each(|x| *x *= 0.3);
    }
    normalize(&mut rows).unwrap();
    let whole = of(&rows);
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    let mut halves: BTreeMap<&str, f64> = BTreeMap::new();
    for draw in 0..draws {
        let key = Key::new(100 + draw);
        let mut state = State::with_sample(d, Sampling { rows: 400, key });
        state.push(rows.as_slice()).unwrap();
        let Finished { spectrum, sample: kept, .. } = state.finish().unwrap();
        assert_eq!(kept.len(), 400);
        let pairwise = Pairwise::of_sample(&kept, n as u64, NEAR_DUPLICATE, key).unwrap();
        let mut findings = Findings::new(spectrum);
        (findings.alignment, findings.pairwise) = (Some(0.0), Some(pairwise));
        // Those that depend on how many points there are have intervals for as many, held to draws in `pairwise.rs`.
        let of_as_many = ["intrinsic_dimension", "hubness"];
        for metric in METRICS.iter().filter(|metric| metric.pairwise && !of_as_many.contains(&metric.name)) {
            let name = metric.name;
            let estimate = metric.read(&findings).unwrap();
            let ([low, high], want) = (estimate.interval.unwrap(), whole[name].unwrap());
            *held.entry(name).or_default() += usize::from((low..=high).contains(&want));
            *halves.entry(name).or_default() += (high - low) / 2.0 / draws as f64;
        }
    }
    for (name, held) in held {
        println!("{name}: {held} of {draws} intervals hold the value; half a width is {:.4}", halves[name]);
        assert!(held >= 33, "{name}: {held} of {draws}");
    }
    assert!(halves["uniformity"] < 0.1 && halves["wasserstein_uniformity"] < 0.05, "{halves:?}");
}

/// Where cosines in f32 do not tell which points are nearer, distances do: against sorting the distances of all.
#[test]
fn neighbors_in_tight_clusters_are_those_of_the_definition() {
    let (n, d, clusters) = (5000, 16, 100);
    for spread in [1e-2, 1e-4, 1e-6] {
        let (centers, moves) = (sample(clusters, d, Key::new(1)), sample(n, d, Key::new(2)));
        let mut rows = moves.to_f32();
        for i in 0..n {
            let row = rows.row_mut(i).iter_mut().zip(moves.row(i)).zip(centers.row(i % clusters));
            let length = 1.0 + (i % 30) as f64;
            row.for_each(|((x, step), center)| *x = (length * (center + spread * step)) as f32);
        }
        let mut unit = rows.to_f64();
        normalize(&mut unit).unwrap();
        let mut ratios = Vec::new();
        let mut counts = vec![0.0; n];
        for i in 0..n {
            let apart =
                |j: usize| -> f64 { unit.row(i).iter().zip(unit.row(j)).map(|(a, b)| (a - b).powi(2)).sum() };
            // The nearest are of the same cluster.
            let mut others: Vec<(f64, usize)> =
                (i % clusters..n).step_by(clusters).filter(|&j| j != i).map(|j| (apart(j), j)).collect();
            others.sort_by(|a, b| a.0.total_cmp(&b.0));
            others[..10].iter().for_each(|(_, j)| counts[*j] += 1.0);
            ratios.push(0.5 * (others[1].0 / others[0].0).ln());
        }
        let dimension = (n as f64 - 1.0) / ratios.iter().sum::<f64>();
        let mean = 10.0;
        let moment = |power: i32| counts.iter().map(|x: &f64| (x - mean).powi(power)).sum::<f64>() / n as f64;
        let hubness = moment(3) / moment(2).powf(1.5);
        let mut state = State::with_sample(d, Sampling { rows: n, key: Key::new(3) });
        state.push(rows.as_slice()).unwrap();
        let kept = state.finish().unwrap().sample;
        let found = Pairwise::of_sample(&kept, n as u64, NEAR_DUPLICATE, Key::new(4)).unwrap();
        let (got, skew) = (found.intrinsic_dimension.unwrap().value, found.hubness.unwrap().value);
        assert!((got / dimension - 1.0).abs() < 1e-9, "{spread:e} apart: {got}, not {dimension}");
        assert!((skew - hubness).abs() < 1e-9, "{spread:e} apart: {skew}, not {hubness}");
        // And of rows in f64 that are known in f64 alone.
        let found = Pairwise::of_sample(&Sampled::of(unit), n as u64, NEAR_DUPLICATE, Key::new(4)).unwrap();
        assert!((found.intrinsic_dimension.unwrap().value / dimension - 1.0).abs() < 1e-9);
        assert!((found.hubness.unwrap().value - hubness).abs() < 1e-9);
    }
}

/// Of uniform points W₁ is all but 0, and the interval ends there; of points that are all but one, uniformity is.
#[test]
fn intervals_end_where_the_number_does() {
    for draw in 0..40 {
        let mut rows = sample(60, 3, Key::new(77).at(draw));
        if draw % 2 == 1 {
            (0..60).for_each(|i| rows.row_mut(i)[0] += 20.0);
            normalize(&mut rows).unwrap();
        }
        let found =
            Pairwise::of(Points::new(&rows).unwrap(), 1 << 40, NEAR_DUPLICATE, Key::new(draw)).unwrap();
        let [[low, high], [least, most]] =
            [found.wasserstein_uniformity, found.uniformity].map(|one| one.interval.unwrap());
        assert!(0.0 <= low && high <= 1.0 && -8.0 <= least && most <= 0.0, "{found:?}");
        let most = (1_u64 << 40) as f64 * ((1_u64 << 40) as f64 - 1.0) / 2.0;
        assert!(found.duplicates.interval.unwrap()[1] <= most, "{:?}", found.duplicates);
    }
}

/// The accuracy that `triangle.rs` states: known singular values, in one part and in thirty.
#[test]
fn singular_values_are_right_to_1e_14_of_the_largest() {
    let (n, d) = (6000, 40);
    let mirror = sample(1, d, Key::new(3));
    let scales: Vec<f64> = (0..d).map(|j| 10.0_f64.powf(-12.0 * j as f64 / d as f64)).collect();
    // The unit vectors, reflected, each so many times: σ_j is the root of the count.
    let mut counts: Vec<u64> =
        scales.iter().map(|s| ((s / scales[0]).powi(2) * n as f64).ceil() as u64).collect();
    counts[0] = n as u64;
    let mut rows = Vec::new();
    for (j, count) in counts.iter().enumerate() {
        let mut row = vec![0.0; d];
        row[j] = 1.0;
        let along = 2.0 * mirror.row(0)[j];
        row.iter_mut().zip(mirror.row(0)).for_each(|(x, m)| *x -= along * m);
        (0..*count).for_each(|_| rows.extend_from_slice(&row));
    }
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let whole = {
        let mut state = State::new(d);
        state.push(&rows).unwrap();
        state.spectrum().unwrap()
    };
    let mut merged = State::new(d);
    for part in rows.chunks((rows.len() / d).div_ceil(30) * d) {
        let mut state = State::new(d);
        state.push(part).unwrap();
        merged.merge(state);
    }
    let merged = merged.spectrum().unwrap();
    for found in [&whole, &merged] {
        let worst = found.values.iter().zip(&counts).map(|(got, count)| (got - (*count as f64).sqrt()).abs());
        let worst = worst.fold(0.0, f64::max) / found.values[0];
        println!("worst singular value off by {worst:.1e} of the largest");
        assert!(worst < 1e-14, "{worst:e}");
    }
}

/// What is said of each metric is there.
#[test]
fn every_metric_says_what_it_is() {
    let names: std::collections::BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), METRICS.len());
    for metric in METRICS {
        let said = [metric.name, metric.about, metric.formula, metric.source];
        assert!(said.iter().all(|text| !text.is_empty() && !text.contains('\n')), "{said:?}");
    }
}
