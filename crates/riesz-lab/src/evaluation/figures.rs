//! The figures of the report: the law of the cosines, singular spectra, the loss curve.

use rayon::prelude::*;
use riesz::geometry;
use riesz::product::rows_by_rows;
use riesz::sphere::ideal;
use riesz::{Matrix, Points};

use super::images::take;
use crate::report::{Cosines, Spectrum, StepPoint};
use crate::run::Event;
use crate::train::measure::{Measured, measure, unit_rows};
use crate::{Error, Result};

/// Bins of the cosines' histogram over [−1, 1].
const BINS: usize = 100;
/// Rows of a tile of cosines.
const TILE: usize = 64;
/// Points of the loss curve.
const CURVE: usize = 1000;

/// The geometry of two views of the same images.
pub(super) fn measure_views(views: &[Matrix<f32>; 2]) -> Result<Measured> {
    let [u, v] = with_direction(views)?;
    measure(&u, &v)
}

/// Unit rows of the images of which both views have a direction: an untrained encoder gives a black image none.
fn with_direction(views: &[Matrix<f32>; 2]) -> Result<[Matrix<f32>; 2]> {
    let zero = |row: &[f32]| row.iter().all(|x| *x == 0.0);
    let kept: Vec<usize> =
        (0..views[0].len()).filter(|&i| !views.iter().any(|view| zero(view.row(i)))).collect();
    if kept.len() < 2 {
        return Err(Error::input(format!(
            "{} of {} held-out images have a representation that is not zero; at least 2 are needed (an encoder that \
             diverged says 0 of every image: lower optimizer.learning-rate)",
            kept.len(),
            views[0].len()
        )));
    }
    let [mut u, mut v] = [&views[0], &views[1]].map(|view| take(view, &kept));
    unit_rows(&mut u)?;
    unit_rows(&mut v)?;
    Ok([u, v])
}

/// Shares of cosines a bin: matched pairs, all other pairs of the 2M views, and the ideal law.
pub(super) fn cosines(views: &[Matrix<f32>; 2]) -> Result<Cosines> {
    let [u, v] = with_direction(views)?;
    let (images, dim) = (u.len(), u.dim());
    let all = [u.into_vec(), v.into_vec()].concat();
    let bin = |s: f32| (((f64::from(s) + 1.0) / 2.0 * BINS as f64).max(0.0) as usize).min(BINS - 1);
    // [matched, other] of each tile; counts may be added in any order.
    let counts = all
        .par_chunks(TILE * dim)
        .enumerate()
        .map(|(tile, rows)| {
            let mut cosines = vec![0.0; rows.len() / dim * 2 * images];
            rows_by_rows(rows, &all, dim, &mut cosines);
            let mut counts = [[0_u64; BINS]; 2];
            for (row, cosines) in cosines.chunks_exact(2 * images).enumerate() {
                let i = tile * TILE + row;
                for (j, &cosine) in cosines.iter().enumerate().skip(i + 1) {
                    counts[usize::from(j != i + images)][bin(cosine)] += 1;
                }
            }
            counts
        })
        .reduce(
            || [[0; BINS]; 2],
            |mut sum, counts| {
                sum.as_flattened_mut().iter_mut().zip(counts.as_flattened()).for_each(|(a, b)| *a += b);
                sum
            },
        );
    let shares = |counts: &[u64]| {
        let total = counts.iter().sum::<u64>().max(1) as f64;
        counts.iter().map(|&count| count as f64 / total).collect()
    };
    let edge = |i: usize| ideal::cdf(dim, 2.0 * i as f64 / BINS as f64 - 1.0);
    let ideal = (0..BINS).map(|i| edge(i + 1) - edge(i)).collect();
    Ok(Cosines { dim, bins: BINS, matched: shares(&counts[0]), other: shares(&counts[1]), ideal })
}

/// Singular values of unit rows, the largest scaled to 1.
pub(super) fn spectrum(name: &str, views: &[Matrix<f32>; 2]) -> Result<Spectrum> {
    let [rows, _] = with_direction(views)?;
    let points = Points::new(&rows)?;
    let mut values = geometry::Spectrum::of(points)?.values;
    let largest = values.first().copied().unwrap_or(1.0).max(f64::MIN_POSITIVE);
    values.iter_mut().for_each(|value| *value /= largest);
    Ok(Spectrum { name: name.to_owned(), values })
}

/// The loss curve, with means over neighboring steps so that at most [`CURVE`] points remain.
pub(super) fn curve(events: &[Event]) -> Vec<StepPoint> {
    let steps: Vec<StepPoint> = events
        .iter()
        .filter_map(|event| match *event {
            Event::Step { step, loss, attraction, repulsion, .. } => {
                Some(StepPoint { step, loss, attraction, repulsion })
            }
            _ => None,
        })
        .collect();
    let width = steps.len().div_ceil(CURVE).max(1);
    steps
        .chunks(width)
        .map(|chunk| {
            let mean = |part: fn(&StepPoint) -> f64| chunk.iter().map(part).sum::<f64>() / chunk.len() as f64;
            StepPoint {
                step: chunk[chunk.len() / 2].step,
                loss: mean(|point| point.loss),
                attraction: mean(|point| point.attraction),
                repulsion: mean(|point| point.repulsion),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_views_is_counted_once_in_its_bin() {
        // Four directions in the plane, 90° apart; the other views are turned by 180°.
        let turned = |turn: usize| {
            let corners = [[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, -1.0]];
            Matrix::new((0..4).flat_map(|i| corners[(i + turn) % 4]).collect(), 2)
        };
        let found = cosines(&[turned(0), turned(2)]).unwrap();
        let full = |shares: &[f64]| -> Vec<(usize, f64)> {
            shares.iter().copied().enumerate().filter(|(_, share)| *share > 0.0).collect()
        };
        // Matched: −1. Of the 24 other pairs 4 are equal, 4 opposite and 16 at right angles.
        assert_eq!(full(&found.matched), [(0, 1.0)]);
        assert_eq!(full(&found.other), [(0, 4.0 / 24.0), (50, 16.0 / 24.0), (99, 4.0 / 24.0)]);
        assert!((found.ideal.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_black_image_is_left_aside_and_nothing_else() {
        let views = [Matrix::new(vec![1.0, 0.0, 0.0, 0.0, 0.0, 1.0], 2), Matrix::new(vec![1.0; 6], 2)];
        assert_eq!(with_direction(&views).unwrap()[0].as_slice(), [1.0, 0.0, 0.0, 1.0]);
        let black = [Matrix::new(vec![0.0; 6], 2), Matrix::new(vec![1.0; 6], 2)];
        assert!(measure_views(&black).err().unwrap().to_string().contains("0 of 3 held-out images"));
    }
}
