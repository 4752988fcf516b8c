//! Retrieval of an image's other view, without labels: each of the 2M views asks for the other view of its image among
//! the 2M − 1 others.
//!
//! A tie counts against: of views at the same cosine the wanted one comes last, so that collapsed rows score 0.

use rayon::prelude::*;
use riesz::Matrix;
use riesz::product::rows_by_rows;
use serde::{Deserialize, Serialize};

use super::{Answers, unit};
use crate::Result;
use crate::embeddings::check_finite;

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
/// Also the answers, one an image: the share of its two views whose other view is the nearest.
///
/// # Errors
/// If a number is not finite.
///
/// # Panics
/// If the shapes differ, or there is no row.
pub fn recall(u: &Matrix<f32>, v: &Matrix<f32>) -> Result<(Recall, Answers)> {
    assert!((u.len(), u.dim()) == (v.len(), v.dim()) && !u.is_empty(), "two views of the same images");
    let (images, dim) = (u.len(), u.dim());
    check_finite(u).map_err(|error| error.at("view one"))?;
    check_finite(v).map_err(|error| error.at("view two"))?;
    let all = [unit(u.as_slice(), dim), unit(v.as_slice(), dim)].concat();
    let hits: Vec<[bool; 2]> = all
        .par_chunks(TILE * dim)
        .enumerate()
        .flat_map_iter(|(tile, queries)| {
            let m = queries.len() / dim;
            let mut cosines = vec![0.0_f32; m * 2 * images];
            rows_by_rows(queries, &all, dim, &mut cosines);
            let hits = |(row, cosines): (usize, &[f32])| {
                let query = tile * TILE + row;
                let wanted = (query + images) % (2 * images);
                let ahead = (0..2 * images)
                    .filter(|&other| other != query && other != wanted && cosines[other] >= cosines[wanted])
                    .count();
                [ahead < 1, ahead < 5]
            };
            cosines.chunks_exact(2 * images).enumerate().map(hits).collect::<Vec<_>>()
        })
        .collect();
    let share = |which: usize| hits.iter().filter(|hits| hits[which]).count() as f64 / (2 * images) as f64;
    // The two views of an image are not independent questions, so they count as one.
    let both = |i: usize| f32::from(u8::from(hits[i][0]) + u8::from(hits[images + i][0])) / 2.0;
    let answers = Answers { queries: (0..images).map(both).collect(), draws: Vec::new() };
    Ok((Recall { at_1: share(0), at_5: share(1) }, answers))
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
        assert_eq!(recall(&u, &u).unwrap().0, Recall { at_1: 1.0, at_5: 1.0 });
        for dim in [2, 129] {
            let same = Matrix::new(cloud(1, dim, 3).as_slice().repeat(200), dim);
            assert_eq!(recall(&same, &same).unwrap().0, Recall { at_1: 0.0, at_5: 0.0 });
        }
        let (chance, answers) = recall(&u, &cloud(200, 6, 2)).unwrap();
        // Five of 399 others: 1.25 %; 400 queries.
        assert!(chance.at_1 < 0.02 && chance.at_5 < 0.04, "{chance:?}");
        let mean = answers.queries.iter().map(|&share| f64::from(share)).sum::<f64>() / 200.0;
        assert!((mean - chance.at_1).abs() < 1e-9);
    }

    #[test]
    fn recall_at_5_looks_at_five() {
        // Images on a circle 10° apart; the other view is turned by 25°: two images on one side and two on the other
        // are nearer than it, in its own view and in the other.
        let circle = |turn: f64, n: usize| {
            let angle = |i: usize| ((10 * i) as f64 + turn).to_radians();
            Matrix::new((0..n).flat_map(|i| [angle(i).cos() as f32, angle(i).sin() as f32]).collect(), 2)
        };
        assert_eq!(recall(&circle(0.0, 36), &circle(1.0, 36)).unwrap().0.at_1, 1.0);
        let (turned, _) = recall(&circle(0.0, 36), &circle(11.0, 36)).unwrap();
        // Ahead of a view at 11°: those at 1° (other view), ±10° and 9° on the other side (other view), so four.
        assert_eq!(turned, Recall { at_1: 0.0, at_5: 1.0 });
        assert_eq!(recall(&circle(0.0, 36), &circle(25.0, 36)).unwrap().0.at_5, 0.0);
    }
}
