//! Retrieval of an image's other view, without labels: each of the 2M views asks for the other view of its image among
//! the 2M − 1 others.
//!
//! A tie counts against: of views at the same cosine the wanted one comes last, so that collapsed rows score 0.

use rayon::prelude::*;
use riesz::Matrix;
use riesz::product::rows_by_rows;
use serde::{Deserialize, Serialize};

use super::unit;
use crate::{Error, Result};

/// Shares of views whose other view is the nearest, and among the five nearest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    /// The nearest.
    pub at_1: f64,
    /// Among the five nearest.
    pub at_5: f64,
}

/// Queries of a tile.
const TILE: usize = 64;

/// Recall of `u`'s rows in `v` and the other way round, by cosine among all views; row i of `u` matches row i of `v`.
///
/// # Errors
/// If a number is not finite.
///
/// # Panics
/// If the shapes differ, or there is no row.
pub fn recall(u: &Matrix<f32>, v: &Matrix<f32>) -> Result<Recall> {
    assert!((u.len(), u.dim()) == (v.len(), v.dim()) && !u.is_empty(), "two views of the same images");
    let (images, dim) = (u.len(), u.dim());
    let at = |view: &str| format!("view {view}");
    let mut all = unit(u).map_err(|error| error.at(at("one")))?.into_vec();
    all.extend(unit(v).map_err(|error: Error| error.at(at("two")))?.into_vec());
    let hits: Vec<[usize; 2]> = all
        .par_chunks(TILE * dim)
        .enumerate()
        .map(|(tile, queries)| {
            let m = queries.len() / dim;
            let mut cosines = vec![0.0_f32; m * 2 * images];
            rows_by_rows(queries, &all, dim, &mut cosines);
            let mut hits = [0, 0];
            for (row, cosines) in cosines.chunks_exact(2 * images).enumerate() {
                let query = tile * TILE + row;
                let wanted = (query + images) % (2 * images);
                let ahead = (0..2 * images)
                    .filter(|&other| other != query && other != wanted && cosines[other] >= cosines[wanted])
                    .count();
                hits[0] += usize::from(ahead < 1);
                hits[1] += usize::from(ahead < 5);
            }
            hits
        })
        .collect();
    let share =
        |which: usize| hits.iter().map(|hits| hits[which]).sum::<usize>() as f64 / (2 * images) as f64;
    Ok(Recall { at_1: share(0), at_5: share(1) })
}

#[cfg(test)]
mod tests {
    use riesz::rng::{Key, normal};

    use super::*;

    fn cloud(n: usize, dim: usize, seed: u64) -> Matrix<f32> {
        let mut rng = Key::new(seed).rng();
        Matrix::new((0..n * dim).map(|_| normal(&mut rng) as f32).collect(), dim)
    }

    #[test]
    fn equal_views_are_found_collapsed_ones_are_not_and_chance_is_chance() {
        let u = cloud(200, 6, 1);
        assert_eq!(recall(&u, &u).unwrap(), Recall { at_1: 1.0, at_5: 1.0 });
        for dim in [2, 129] {
            let same = Matrix::new(cloud(1, dim, 3).as_slice().repeat(200), dim);
            assert_eq!(recall(&same, &same).unwrap(), Recall { at_1: 0.0, at_5: 0.0 });
        }
        let chance = recall(&u, &cloud(200, 6, 2)).unwrap();
        // Five of 399 others: 1.25 %; 400 queries.
        assert!(chance.at_1 < 0.02 && chance.at_5 < 0.04, "{chance:?}");
    }

    #[test]
    fn recall_at_5_looks_at_five() {
        // Images on a circle 10° apart; the other view is turned by 25°: two images on one side and two on the other
        // are nearer than it, in its own view and in the other.
        let circle = |turn: f64, n: usize| {
            let angle = |i: usize| ((10 * i) as f64 + turn).to_radians();
            Matrix::new((0..n).flat_map(|i| [angle(i).cos() as f32, angle(i).sin() as f32]).collect(), 2)
        };
        assert_eq!(recall(&circle(0.0, 36), &circle(1.0, 36)).unwrap().at_1, 1.0);
        let turned = recall(&circle(0.0, 36), &circle(11.0, 36)).unwrap();
        // Ahead of a view at 11°: those at 1° (other view), ±10° and 9° on the other side (other view), so four.
        assert_eq!(turned, Recall { at_1: 0.0, at_5: 1.0 });
        assert_eq!(recall(&circle(0.0, 36), &circle(25.0, 36)).unwrap().at_5, 0.0);
    }
}
