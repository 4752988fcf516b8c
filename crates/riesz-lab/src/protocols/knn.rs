//! k nearest neighbors by cosine, votes weighted e^{s/τ} (Wu et al. 2018).
//!
//! n references, m queries, d numbers a row. Tiles of unit rows and of the m × n cosines are made and forgotten.

use rayon::prelude::*;
use riesz::Matrix;
use riesz::product::rows_by_rows;

use super::{Labeled, places, unit};
use crate::embeddings::check_finite;
use crate::{Error, Result};

/// Queries and references of a tile.
const TILE: (usize, usize) = (64, 1024);

/// Which queries' votes are their label. Of classes with equal votes the lowest wins.
///
/// # Errors
/// If a number is not finite, or `neighbors` is 0 or more than the references.
///
/// # Panics
/// If references and queries differ in width.
pub fn hits(
    references: &Labeled,
    queries: &Labeled,
    neighbors: usize,
    temperature: f64,
) -> Result<Vec<bool>> {
    let (classes, reference_labels, labels) = places(&references.labels, &queries.labels);
    let nearest = nearest(&references.rows, &queries.rows, neighbors)?;
    let hit = |(nearest, label): (&Vec<(usize, f32)>, &u32)| {
        let mut votes = vec![0.0_f64; classes];
        for &(reference, cosine) in nearest {
            // Relative to the nearest, so that a small temperature does not overflow.
            let weight = ((f64::from(cosine) - f64::from(nearest[0].1)) / temperature).exp();
            votes[reference_labels[reference] as usize] += weight;
        }
        let winner = (0..classes).rev().max_by(|&a, &b| votes[a].total_cmp(&votes[b]));
        winner == Some(*label as usize)
    };
    Ok(nearest.iter().zip(&labels).map(hit).collect())
}

/// The `k` nearest references of each query with their cosines, nearest first; of equal ones the first.
///
/// # Errors
/// If a number is not finite, or `k` is 0 or more than the references.
///
/// # Panics
/// If the widths differ.
pub fn nearest(references: &Matrix<f32>, queries: &Matrix<f32>, k: usize) -> Result<Vec<Vec<(usize, f32)>>> {
    if k == 0 || k > references.len() {
        return Err(Error::input(format!(
            "{k} nearest neighbors of {} references; expected at least 1 and at most all",
            references.len()
        )));
    }
    check_finite(queries).map_err(|error| error.at("queries"))?;
    check_finite(references).map_err(|error| error.at("references"))?;
    let mut nearest = Nearest::new(queries, k);
    nearest.look_at(references);
    Ok(nearest.best)
}

/// The nearest of references that come part by part.
pub struct Nearest<'a> {
    queries: &'a Matrix<f32>,
    k: usize,
    looked_at: usize,
    best: Vec<Vec<(usize, f32)>>,
}

impl<'a> Nearest<'a> {
    /// The `k` nearest of each of these queries, of which none was looked at yet.
    ///
    /// # Panics
    /// If `k` is 0.
    pub fn new(queries: &'a Matrix<f32>, k: usize) -> Self {
        assert!(k > 0, "0 nearest neighbors");
        Self { queries, k, looked_at: 0, best: vec![Vec::new(); queries.len()] }
    }

    /// For each query the nearest so far, as many as there are up to `k`, nearest first and of equal ones the first: the place among
    /// all references, and the cosine.
    pub fn best(&self) -> &[Vec<(usize, f32)>] {
        &self.best
    }

    /// Looks at more references, whose numbers must be finite. Memory beside them is that of tiles.
    ///
    /// # Panics
    /// If the widths differ.
    pub fn look_at(&mut self, references: &Matrix<f32>) {
        let (k, dim) = (self.k, self.queries.dim());
        assert_eq!(references.dim(), dim, "width of references and queries");
        for references in references.as_slice().chunks(TILE.1 * dim) {
            let references = unit(references, dim);
            let (first, n) = (self.looked_at, references.len() / dim);
            let queries = self.queries.as_slice().par_chunks(TILE.0 * dim);
            self.best.par_chunks_mut(TILE.0).zip(queries).for_each(|(best, queries)| {
                let mut cosines = vec![0.0; best.len() * n];
                rows_by_rows(&unit(queries, dim), &references, dim, &mut cosines);
                for (best, cosines) in best.iter_mut().zip(cosines.chunks_exact(n)) {
                    for (j, &cosine) in cosines.iter().enumerate() {
                        if best.len() < k || cosine > best[k - 1].1 {
                            let place = best.partition_point(|&(_, other)| other >= cosine);
                            best.insert(place, (first + j, cosine));
                            best.truncate(k);
                        }
                    }
                }
            });
            self.looked_at += n;
        }
    }
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
    fn nearest_is_what_sorting_all_says() {
        let (references, queries) = (cloud(2500, 5, 1), cloud(130, 5, 2));
        let found = nearest(&references, &queries, 7).unwrap();
        let [r, q] = [&references, &queries].map(|rows| Matrix::new(unit(rows.as_slice(), 5), 5));
        for (i, found) in found.iter().enumerate() {
            let cosine = |j: usize| q.row(i).iter().zip(r.row(j)).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let mut all: Vec<usize> = (0..r.len()).collect();
            all.sort_by(|&a, &b| cosine(b).total_cmp(&cosine(a)));
            for (&(j, s), &want) in found.iter().zip(&all) {
                assert!(j == want || (cosine(j) - cosine(want)).abs() < 1e-6);
                assert!((f64::from(s) - cosine(j)).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn parts_of_any_size_have_the_nearest_of_the_whole() {
        let (references, queries) = (cloud(2500, 5, 1), cloud(3, 5, 2));
        let whole = nearest(&references, &queries, 7).unwrap();
        for size in [1, 300, 1024, 2400] {
            let mut found = Nearest::new(&queries, 7);
            for part in references.as_slice().chunks(5 * size) {
                found.look_at(&Matrix::new(part.to_vec(), 5));
            }
            for (found, whole) in found.best().iter().zip(&whole) {
                for (found, whole) in found.iter().zip(whole) {
                    assert!(
                        found.0 == whole.0 && (found.1 - whole.1).abs() < 1e-6,
                        "{size}: {found:?} {whole:?}"
                    );
                }
            }
        }
        let mut few = Nearest::new(&queries, 7);
        few.look_at(&Matrix::new(references.row(4).to_vec(), 5));
        assert!(few.best().iter().all(|best| best.len() == 1 && best[0].0 == 0));
    }

    #[test]
    fn of_equal_neighbors_the_first_and_of_equal_votes_the_lowest_class() {
        let references = Matrix::new(vec![1.0, 0.0, 2.0, 0.0, 0.0, 1.0], 2);
        let query = Matrix::new(vec![3.0, 0.0], 2);
        assert_eq!(nearest(&references, &query, 2).unwrap(), [[(0, 1.0), (1, 1.0)]]);
        let references = Labeled { rows: references, labels: vec![1, 0, 2] };
        for (label, neighbors) in [(0, 2), (1, 1)] {
            let query = Labeled { rows: query.clone(), labels: vec![label] };
            assert_eq!(hits(&references, &query, neighbors, 0.07).unwrap(), [true]);
        }
    }

    #[test]
    fn closer_neighbors_weigh_more_and_a_small_temperature_is_finite() {
        // One neighbor of class 1 at cosine 1 against two of class 0 at cosine 0.6.
        let rows = Matrix::new(vec![1.0, 0.0, 0.6, 0.8, 0.6, -0.8], 2);
        // Labels are names: large ones cost no memory, and one that no reference has is never given.
        let references = Labeled { rows, labels: vec![u32::MAX, 0, 0] };
        for (temperature, winner) in [(0.07, u32::MAX), (1e-4, u32::MAX), (10.0, 0)] {
            for label in [0, 5, u32::MAX] {
                let query = Labeled { rows: Matrix::new(vec![1.0, 0.0], 2), labels: vec![label] };
                assert_eq!(hits(&references, &query, 3, temperature).unwrap(), [label == winner]);
            }
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let rows = cloud(3, 2, 1);
        assert!(nearest(&rows, &rows, 4).unwrap_err().to_string().contains("4 nearest neighbors of 3"));
        let nan = Matrix::new(vec![1.0, 0.0, f32::NAN, 1.0], 2);
        assert!(nearest(&rows, &nan, 1).unwrap_err().to_string().starts_with("queries: "));
    }
}
