//! Minimizers of one batch: where theorems say what they are, and where none does.

use riesz::loss::{Convention, KclKernel, Loss};
use riesz::rng::Key;
use riesz::sphere::certificate::{Certificate, bound, certify};
use riesz::sphere::cosines::Cosines;
use riesz::sphere::minimize::{Minimum, distinct};
use riesz::sphere::optima::{Configuration, cross_polytope, known, simplex};
use riesz::{Points, sphere::minimize::Problem};

use super::{Experiment, Scale, Table, Verdict, fixed, info_nce_family as family, kcls, power, search};
use crate::Result;

/// Values within this of each other, relative to them, are one local minimum.
const SAME: f64 = 1e-9;
/// How near a minimum must be to its closed form: cosines, and the value.
const NEAR: f64 = 1e-8;

/// How far the best of some starts is from a configuration with aligned pairs.
struct Distance {
    value: f64,
    cosines: f64,
    misalignment: f64,
    /// Starts that came to the lowest value, of all.
    starts: (usize, usize),
}

impl Distance {
    fn of(
        loss: &Loss,
        want: &Configuration,
        dim: usize,
        views: usize,
        starts: u64,
        key: Key,
    ) -> Result<Self> {
        let points = want.points();
        let minima = search(loss, points, dim, views, starts, key)?;
        let groups = distinct(&minima, SAME);
        let Some(group) = groups.first() else {
            return Ok(Self { value: f64::INFINITY, cosines: 2.0, misalignment: 2.0, starts: (0, 0) });
        };
        let best = &minima[group[0]];
        let exact = want.cosines(dim);
        let apart = (0..views)
            .map(|view| {
                let got = cosines(best, points, view);
                if got.matches(&exact, 1e-3) {
                    let pairs = got.distinct.iter().zip(&exact.distinct);
                    got.spread + pairs.map(|(a, b)| (a.cosine - b.cosine).abs()).fold(0.0, f64::max)
                } else {
                    2.0
                }
            })
            .fold(0.0, f64::max);
        Ok(Self {
            value: (best.value - want.value(loss, views)).abs(),
            cosines: apart,
            misalignment: if views > 1 { misalignment(best, points) } else { 0.0 },
            starts: (group.len(), minima.len()),
        })
    }

    fn is_near(&self) -> bool {
        self.value < NEAR && self.cosines < NEAR && self.misalignment < NEAR
    }

    fn worst(many: &[Self]) -> Self {
        let top = |of: fn(&Self) -> f64| many.iter().map(of).fold(0.0, f64::max);
        let sum = |of: fn(&Self) -> usize| many.iter().map(of).sum();
        Self {
            value: top(|one| one.value),
            cosines: top(|one| one.cosines),
            misalignment: top(|one| one.misalignment),
            starts: (sum(|one| one.starts.0), sum(|one| one.starts.1)),
        }
    }

    fn cells(&self) -> [String; 4] {
        [
            power(self.value),
            power(self.cosines),
            power(self.misalignment),
            format!("{} of {}", self.starts.0, self.starts.1),
        ]
    }
}

fn cosines(minimum: &Minimum, points: usize, view: usize) -> Cosines {
    let (rows, dim) = (&minimum.rows, minimum.rows.dim());
    let view = &rows.as_slice()[view * points * dim..(view + 1) * points * dim];
    Cosines::of(Points::from_slice(view, dim).expect("a minimum has unit rows"), 1e-6)
}

fn misalignment(minimum: &Minimum, points: usize) -> f64 {
    let row = |i: usize| minimum.rows.row(i);
    (0..points)
        .map(|i| 0.5 * row(i).iter().zip(row(points + i)).map(|(x, y)| (x - y).powi(2)).sum::<f64>())
        .fold(0.0, f64::max)
}

/// (M, d) with M ≤ d + 1.
fn simplex_sizes(scale: Scale) -> &'static [(usize, usize)] {
    let all: &[(usize, usize)] = &[(3, 2), (4, 3), (5, 8), (9, 8), (17, 16), (65, 64)];
    if scale.small { &all[..4] } else { all }
}

fn simplices(scale: Scale, key: Key, losses: &[(String, Loss)]) -> Result<(Table, Distance)> {
    let mut table = Table::new(&[
        "M, d",
        "losses",
        "value off by",
        "cosines off by",
        "1 − matched cosine",
        "starts at the lowest value",
    ]);
    let mut all = Vec::new();
    for (number, &(points, dim)) in simplex_sizes(scale).iter().enumerate() {
        let starts = if points > 20 { scale.starts.min(4) } else { scale.starts };
        let of_size = losses
            .iter()
            .zip(0..)
            .map(|((_, loss), i)| {
                Distance::of(loss, &simplex(points), dim, 2, starts, key.at(number as u64).at(i))
            })
            .collect::<Result<Vec<_>>>()?;
        let worst = Distance::worst(&of_size);
        let mut row = vec![format!("{points}, {dim}"), losses.len().to_string()];
        row.extend(worst.cells());
        table.rows.push(row);
        all.push(worst);
    }
    Ok((table, Distance::worst(&all)))
}

fn verdict(holds: bool) -> Verdict {
    if holds { Verdict::Holds } else { Verdict::Fails }
}

fn summary(worst: &Distance) -> String {
    format!(
        "Over all of them the lowest value is within {} of its closed form, off-diagonal cosines within {}, matched cosines within \
         {} of 1. {} of {} starts came to the lowest value.",
        power(worst.value),
        power(worst.cosines),
        power(worst.misalignment),
        worst.starts.0,
        worst.starts.1
    )
}

pub(super) fn info_nce_family(scale: Scale, key: Key) -> Result<Experiment> {
    let losses = family();
    let (table, worst) = simplices(scale, key, &losses)?;
    Ok(Experiment {
        title: "Up to M = d + 1 the InfoNCE family and DHEL are least at an aligned simplex".to_owned(),
        statement: "For 1 < M ≤ d + 1 every loss of the InfoNCE family (InfoNCE, NT-Xent, DCL, one-sided or symmetric) and DHEL in \
                    its three forms is minimal exactly where matched points coincide and the M points are a regular simplex \
                    (Koromilas et al. 2024; proof by convexity)."
            .to_owned(),
        predicted: "All cosines of different images −1/(M − 1), all matched cosines 1, the value the closed form; τ = 0.3.".to_owned(),
        measured: summary(&worst),
        verdict: verdict(worst.is_near()),
        table: Some(table),
        figures: Vec::new(),
    })
}

pub(super) fn kcl(scale: Scale, key: Key) -> Result<Experiment> {
    let mut losses = kcls(Convention::Paper);
    losses.extend(kcls(Convention::Reference));
    let (table, worst) = simplices(scale, key, &losses)?;
    Ok(Experiment {
        title: "Up to M = d + 1 KCL is least at an aligned simplex, for every kernel".to_owned(),
        statement: "Where κ_U is strictly convex and decreasing in the squared distance and κ_A largest at 0, KCL is minimal exactly \
                    at the aligned regular simplex for M ≤ d + 1, whatever γ > 0 (Koromilas et al. 2024)."
            .to_owned(),
        predicted: "As above, for five kernels in the paper's form and the reference's, γ = 16.".to_owned(),
        measured: format!(
            "{} Where both views repel (the reference form) and the attraction is a Gaussian, independent views may end in each \
             other's places: local minima, since the pull fades with distance.",
            summary(&worst)
        ),
        verdict: verdict(worst.is_near()),
        table: Some(table),
        figures: Vec::new(),
    })
}

pub(super) fn sharp(scale: Scale, key: Key) -> Result<Experiment> {
    let mut table = Table::new(&[
        "configuration",
        "M, d",
        "kernel",
        "cosines, design strength",
        "value above the bound",
        "proven by",
        "starts",
    ]);
    let sizes: &[(usize, usize)] = if scale.small {
        &[(6, 3), (12, 3)]
    } else {
        &[(6, 3), (8, 4), (16, 8), (12, 3), (16, 5), (27, 6), (56, 7), (120, 4), (240, 8)]
    };
    let mut holds = true;
    for &(points, dim) in sizes {
        let want = known(points, dim).into_iter().next().expect("every size here has a known configuration");
        // The Gaussian's landscape of many points is rough; a steeper kernel finds the large ones.
        let kernels = if points > 60 {
            vec![("riesz 1", KclKernel::Riesz(1.0)), ("riesz 4", KclKernel::Riesz(4.0))]
        } else {
            vec![("gaussian 2", KclKernel::Gaussian(2.0)), ("riesz 1", KclKernel::Riesz(1.0))]
        };
        let mut found = false;
        for (name, kernel) in kernels {
            let loss = Loss::energy(kernel)?;
            let starts = if points > 200 { scale.starts.min(8) } else { scale.starts };
            let minima = search(&loss, points, dim, 1, starts, key.at(points as u64))?;
            let groups = distinct(&minima, SAME);
            let Some(group) = groups.first() else { continue };
            let best = &minima[group[0]];
            let got = cosines(best, points, 0);
            let least = bound(&loss, points, dim, 1);
            let certificates = certify(best.value, least, &got, SAME);
            let words: Vec<&str> = certificates
                .iter()
                .map(|one| match one {
                    Certificate::Attained(_) => "bound attained",
                    Certificate::Sharp { .. } => "sharp",
                    Certificate::Cell600 => "Cohn and Kumar on the 600-cell",
                    _ => "proven otherwise",
                })
                .collect();
            found |= got.matches(&want.cosines(dim), NEAR) && !certificates.is_empty();
            table.rows.push(vec![
                if got.matches(&want.cosines(dim), 1e-6) { want.name.clone() } else { "unknown".to_owned() },
                format!("{points}, {dim}"),
                name.to_owned(),
                format!("{}, {}", got.distinct.len(), got.design_strength(2 * got.distinct.len().min(20))),
                least.map_or_else(|| "–".to_owned(), |least| power((best.value - least.value).abs())),
                if words.is_empty() { "nothing".to_owned() } else { words.join("; ") },
                format!("{} of {}", group.len(), minima.len()),
            ]);
        }
        holds &= found;
    }
    Ok(Experiment {
        title: "Beyond, KCL is least at cross-polytopes and every other sharp configuration that exists".to_owned(),
        statement: "For a strictly completely monotone κ_U, KCL's minimizers are aligned pairs at a minimizer of the κ_U energy; \
                    sharp configurations (m cosines and a spherical (2m − 1)-design, among them the cross-polytope at M = 2d) and the \
                    600-cell minimize it for all such kernels at once (Koromilas et al. 2024; Cohn and Kumar 2007)."
            .to_owned(),
        predicted: "From random starts the known configuration is found by at least one kernel; its strength is computed to be \
                    2m − 1 or more (11 for the 600-cell), and its energy is the linear-programming bound."
            .to_owned(),
        measured: if holds {
            format!(
                "Each of the {} configurations was found by at least one kernel from random starts, cosines within 1e−8, and \
                 proven.",
                sizes.len()
            )
        } else {
            "Not every configuration was found and proven; the table says which.".to_owned()
        },
        verdict: verdict(holds),
        table: Some(table),
        figures: Vec::new(),
    })
}

pub(super) fn families(scale: Scale, key: Key) -> Result<Experiment> {
    let mut losses = family();
    losses.extend(kcls(Convention::Paper));
    let mut wants = vec![(cross_polytope(3), 3), (cross_polytope(4), 4), (cross_polytope(8), 8)];
    wants.extend(known(12, 3).into_iter().map(|one| (one, 3)));
    let mut table = Table::new(&[
        "configuration",
        "M, d",
        "losses",
        "value off by",
        "cosines off by",
        "1 − matched cosine",
        "starts",
    ]);
    let mut all = Vec::new();
    for (number, (want, dim)) in wants.iter().enumerate() {
        let each = losses
            .iter()
            .zip(0..)
            .map(|((_, loss), i)| {
                Distance::of(loss, want, *dim, 2, scale.starts, key.at(number as u64).at(i))
            })
            .collect::<Result<Vec<_>>>()?;
        let worst = Distance::worst(&each);
        let mut row = vec![want.name.clone(), format!("{}, {dim}", want.points()), losses.len().to_string()];
        row.extend(worst.cells());
        table.rows.push(row);
        all.push(worst);
    }
    let worst = Distance::worst(&all);
    Ok(Experiment {
        title: "Different families have the same minimizers".to_owned(),
        statement: "InfoNCE, NT-Xent, DCL, DHEL and KCL share their minimizers at batch level (Koromilas et al. 2024). Beyond M = d + 1 \
                    this is proven for KCL's completely monotone kernels; for the losses with a logarithm of a row's sum it is not."
            .to_owned(),
        predicted: "If they share them, the lowest value of every loss is that of the cross-polytope at M = 2d, and of the icosahedron \
                    at M = 12, d = 3."
            .to_owned(),
        measured: summary(&worst),
        verdict: verdict(worst.is_near()),
        table: Some(table),
        figures: Vec::new(),
    })
}

pub(super) fn open(scale: Scale, key: Key) -> Result<Experiment> {
    let tau = 0.3;
    let mut losses = vec![
        ("info-nce".to_owned(), Loss::info_nce(tau)?),
        ("nt-xent".to_owned(), Loss::nt_xent(tau)?),
        ("dcl".to_owned(), Loss::dcl(tau)?),
        ("dhel".to_owned(), Loss::dhel(tau, Convention::Paper)?),
    ];
    losses.extend(kcls(Convention::Paper));
    let mut table = Table::new(&["M, d", "loss", "lowest value", "set (starts)", "next"]);
    let describe = |minima: &[Minimum], group: &[usize], points: usize, dim: usize, views: usize| {
        let got = cosines(&minima[group[0]], points, 0);
        let name = known(points, dim)
            .into_iter()
            .find(|one| got.matches(&one.cosines(dim), 1e-6))
            .map_or_else(|| format!("unknown, {} cosines", got.distinct.len()), |one| one.name);
        if views == 1 {
            return format!("{name} ({})", group.len());
        }
        let near = group.iter().filter(|&&i| Problem::starts_near(minima[i].start)).count();
        format!("{name} ({}, {near} of them with near views)", group.len())
    };
    let mut sets = Vec::new();
    for (points, dim) in [(5, 3), (6, 4)] {
        for (i, (name, loss)) in losses.iter().enumerate() {
            let minima =
                search(loss, points, dim, 2, scale.starts.max(20), key.at(points as u64).at(i as u64))?;
            let groups = distinct(&minima, SAME);
            let cell = |n: usize| {
                groups.get(n).map_or_else(|| "–".to_owned(), |group| describe(&minima, group, points, dim, 2))
            };
            let lowest = groups.first().map_or(f64::NAN, |group| minima[group[0]].value);
            table.rows.push(vec![
                format!("{points}, {dim}"),
                name.clone(),
                fixed(lowest, 9),
                cell(0),
                cell(1),
            ]);
            if points == 6 {
                sets.push(cell(0).split(" (").next().unwrap_or_default().to_owned());
            }
        }
    }
    let mut cell = Vec::new();
    for (name, kernel) in [
        ("energy, riesz 1", KclKernel::Riesz(1.0)),
        ("energy, gaussian 2", KclKernel::Gaussian(2.0)),
        ("energy, gaussian 3", KclKernel::Gaussian(3.0)),
    ] {
        let minima = search(&Loss::energy(kernel)?, 24, 4, 1, scale.starts.max(100), key.at(24))?;
        let groups = distinct(&minima, SAME);
        let lowest = groups.first().map_or(f64::NAN, |group| minima[group[0]].value);
        let of = |n: usize| {
            groups.get(n).map_or_else(|| "–".to_owned(), |group| describe(&minima, group, 24, 4, 1))
        };
        let (first, second) = (of(0), of(1));
        cell.push(format!("{first} under {}", name.trim_start_matches("energy, ")));
        table.rows.push(vec!["24, 4".to_owned(), name.to_owned(), fixed(lowest, 9), first, second]);
    }
    sets.sort();
    sets.dedup();
    Ok(Experiment {
        title: "Where no theorem holds: M = d + 2, and the 24-cell".to_owned(),
        statement: "No theorem names the minimizers at M = d + 2, where they may depend on the kernel; the 24-cell is not universally \
                    optimal (Cohn, Conway, Elkies and Kumar 2007)."
            .to_owned(),
        predicted: "Nothing.".to_owned(),
        measured: format!(
            "At M = 6, d = 4 the lowest sets of these losses are: {}. Of 24 points in four dimensions the lowest set is: {}. Nothing proves \
             that lower ones do not exist.",
            sets.join("; "),
            cell.join("; ")
        ),
        verdict: Verdict::Open,
        table: Some(table),
        figures: Vec::new(),
    })
}
