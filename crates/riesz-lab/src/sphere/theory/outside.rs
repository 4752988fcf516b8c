//! Kernels outside their ranges, and a loss that wants another set.

use std::sync::Arc;

use riesz::Points;
use riesz::kernel::Riesz;
use riesz::loss::{KclKernel, Loss};
use riesz::rng::Key;
use riesz::sphere::cosines::Cosines;
use riesz::sphere::minimize::{End, Minimum};
use riesz::sphere::optima::{cross_polytope, simplex};

use super::{Experiment, Scale, Table, Verdict, fixed, search};
use crate::Result;

/// The lowest of some starts, and the cosines of its first view.
fn best(
    loss: &Loss,
    points: usize,
    dim: usize,
    views: usize,
    scale: Scale,
    key: Key,
) -> Result<(Minimum, Cosines)> {
    let minima = search(loss, points, dim, views, scale.starts, key)?;
    let lowest = minima.into_iter().min_by(|a, b| a.value.total_cmp(&b.value));
    let lowest = lowest.ok_or_else(|| crate::Error::interrupted("interrupted before a start had ended"))?;
    let rows = &lowest.rows.as_slice()[..points * dim];
    let cosines = Cosines::of(Points::from_slice(rows, dim)?, 1e-6);
    Ok((lowest, cosines))
}

pub(super) fn kernels(scale: Scale, key: Key) -> Result<Experiment> {
    let mut table = Table::new(&["loss, M, d", "expected", "value", "at the simplex", "seen"]);
    let mut holds = true;
    for exponent in [-1.5, -2.0, -3.0, -4.0] {
        // The library's losses refuse −2 and below; the kernel itself does not.
        let mut loss = Loss::energy(KclKernel::Riesz(-1.0))?;
        loss.terms[0].kernel = Arc::new(Riesz { exponent });
        let (minimum, cosines) = best(&loss, 8, 8, 1, scale, key.at(1))?;
        let (low, high) = (cosines.distinct[0].cosine, cosines.distinct[cosines.distinct.len() - 1].cosine);
        let (expected, seen, right) = if exponent > -2.0 {
            let right = cosines.matches(&simplex(8).cosines(8), 1e-6);
            ("simplex", format!("{} distinct cosine", cosines.distinct.len()), right)
        } else if exponent == -2.0 {
            let right = cosines.distinct.len() > 8;
            ("any set of mean zero", format!("{} distinct cosines", cosines.distinct.len()), right)
        } else {
            let right = low < -1.0 + 1e-6 && high > 1.0 - 1e-6;
            ("two antipodal clusters", format!("cosines from {} to {}", fixed(low, 6), fixed(high, 6)), right)
        };
        holds &= right;
        table.rows.push(vec![
            format!("energy, riesz {}, 8, 8", fixed(exponent, 1)),
            expected.to_owned(),
            fixed(minimum.value, 6),
            fixed(simplex(8).energy(&Riesz { exponent }), 6),
            seen,
        ]);
    }
    for width in [2.0, 100.0, 600.0] {
        let loss = Loss::energy(KclKernel::Gaussian(width))?;
        let minima = search(&loss, 16, 8, 1, scale.starts, key.at(2))?;
        let exact = cross_polytope(8).cosines(8);
        let is_it = |minimum: &&Minimum| {
            let points = Points::new(&minimum.rows).expect("a minimum has unit rows");
            Cosines::of(points, 1e-6).matches(&exact, 1e-6)
        };
        let found = minima.iter().filter(is_it).count();
        let flat = minima.iter().filter(|minimum| minimum.end == End::Flat).count();
        holds &= if width > 300.0 { found == 0 } else { 4 * found >= 3 * minima.len() };
        table.rows.push(vec![
            format!("energy, gaussian {width}, 16, 8"),
            if width > 300.0 { "stalls: e^(−t r) is 0 in f64" } else { "cross-polytope from most starts" }
                .to_owned(),
            "–".to_owned(),
            "–".to_owned(),
            format!("cross-polytope in {found} of {}, flat in {flat}", minima.len()),
        ]);
    }
    let (minimum, cosines) = best(&Loss::spectral(), 8, 8, 2, scale, key.at(3))?;
    let orthonormal = cosines.distinct.iter().all(|one| one.cosine.abs() < 1e-6);
    holds &= orthonormal && (minimum.value + 2.0).abs() < 1e-10;
    table.rows.push(vec![
        "spectral, 8, 8".to_owned(),
        "orthonormal, −2".to_owned(),
        fixed(minimum.value, 6),
        fixed(simplex(8).value(&Loss::spectral(), 2), 6),
        if orthonormal { "all cosines 0" } else { "other cosines" }.to_owned(),
    ]);
    Ok(Experiment {
        title: "Outside the ranges: exponents to −2 and below, narrow Gaussians, the spectral loss".to_owned(),
        statement: "A Riesz kernel is completely monotone for exponents above −2. At −2 the energy sees the mean alone; below, near \
                    points cost too little and all gather in two antipodal clusters. A narrow Gaussian vanishes between neighbors. The \
                    spectral loss's repulsion s² is not decreasing in the distance: it wants orthonormal sets and not a simplex."
            .to_owned(),
        predicted: "As in the table's second column.".to_owned(),
        measured: if holds {
            "As predicted, in every row. A Gaussian of width 100 is no obstacle to a descent whose tolerance is relative to the \
             value; one of width 600 is 0 in f64."
        } else {
            "Not every row is as predicted; the table says which."
        }
        .to_owned(),
        verdict: if holds { Verdict::Holds } else { Verdict::Fails },
        table: Some(table),
        figures: Vec::new(),
    })
}
