//! The map: rows laid out in the plane by exact t-SNE (van der Maaten & Hinton 2008).
//!
//! n rows; p_ij from Gaussians whose widths give a perplexity of 30 (less for few rows), q_ij from Student's t; the start
//! is the two leading principal directions, so the layout is a function of rows and key.

use rayon::prelude::*;
use riesz::Matrix;
use riesz::rng::{Key, normal};

use crate::{Error, Result};

const PERPLEXITY: f64 = 30.0;
const ITERATIONS: usize = 500;
/// Iterations in which attraction is exaggerated, and by how much.
const EARLY: (usize, f64) = (120, 12.0);

/// A place in the plane for each row, by squared distance of the rows.
///
/// # Errors
/// If there are fewer than 4 rows, or a number is not finite.
pub fn layout(rows: &Matrix<f32>, key: Key) -> Result<Vec<[f64; 2]>> {
    let n = rows.len();
    if n < 4 {
        return Err(Error::input(format!("a map of {n} rows; at least 4 are needed")));
    }
    crate::embeddings::check_finite(rows)?;
    let p = affinities(rows);
    let mut places = principal_plane(rows, key);
    let mut velocity = vec![[0.0; 2]; n];
    let mut gain = vec![[1.0_f64; 2]; n];
    let rate = (n as f64 / EARLY.1).max(50.0);
    for iteration in 0..ITERATIONS {
        let (exaggeration, momentum) = if iteration < EARLY.0 { (EARLY.1, 0.5) } else { (1.0, 0.8) };
        let total: f64 = (0..n)
            .into_par_iter()
            .map(|i| (0..n).filter(|&j| j != i).map(|j| closeness(places[i], places[j])).sum::<f64>())
            .collect::<Vec<f64>>()
            .iter()
            .sum();
        let gradient: Vec<[f64; 2]> = (0..n)
            .into_par_iter()
            .map(|i| {
                let mut sum = [0.0; 2];
                for j in (0..n).filter(|&j| j != i) {
                    let close = closeness(places[i], places[j]);
                    let force = 4.0 * (exaggeration * p[i * n + j] - close / total) * close;
                    sum[0] += force * (places[i][0] - places[j][0]);
                    sum[1] += force * (places[i][1] - places[j][1]);
                }
                sum
            })
            .collect();
        for i in 0..n {
            for axis in 0..2 {
                let same = (gradient[i][axis] > 0.0) == (velocity[i][axis] > 0.0);
                gain[i][axis] = if same { (gain[i][axis] * 0.8).max(0.01) } else { gain[i][axis] + 0.2 };
                velocity[i][axis] = momentum * velocity[i][axis] - rate * gain[i][axis] * gradient[i][axis];
                places[i][axis] += velocity[i][axis];
            }
        }
    }
    Ok(places)
}

/// 1/(1 + ‖a − b‖²).
fn closeness(a: [f64; 2], b: [f64; 2]) -> f64 {
    1.0 / (1.0 + (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2))
}

/// Symmetric p_ij, `n × n`, summing to 1.
fn affinities(rows: &Matrix<f32>) -> Vec<f64> {
    let n = rows.len();
    let perplexity = PERPLEXITY.min((n - 1) as f64 / 3.0).max(1.0);
    let conditional: Vec<Vec<f64>> = (0..n)
        .into_par_iter()
        .map(|i| {
            let distances: Vec<f64> = (0..n)
                .map(|j| rows.row(i).iter().zip(rows.row(j)).map(|(a, b)| f64::from(a - b).powi(2)).sum())
                .collect();
            neighborhood(&distances, i, perplexity.ln())
        })
        .collect();
    let mut p = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..n {
            p[i * n + j] = ((conditional[i][j] + conditional[j][i]) / (2 * n) as f64).max(1e-12);
        }
    }
    p
}

/// e^{−β d_j}/Σ over j ≠ i, with β such that the entropy is `entropy`.
fn neighborhood(distances: &[f64], i: usize, entropy: f64) -> Vec<f64> {
    let nearest =
        (0..distances.len()).filter(|&j| j != i).fold(f64::INFINITY, |near, j| near.min(distances[j]));
    let (mut beta, mut low, mut high) = (1.0, 0.0, f64::INFINITY);
    let mut weights = vec![0.0; distances.len()];
    for _ in 0..60 {
        let (mut total, mut weighted) = (0.0, 0.0);
        for (j, (weight, distance)) in weights.iter_mut().zip(distances).enumerate() {
            *weight = if j == i { 0.0 } else { (-beta * (distance - nearest)).exp() };
            total += *weight;
            weighted += *weight * (distance - nearest);
        }
        let found = f64::ln(total) + beta * weighted / total;
        weights.iter_mut().for_each(|weight| *weight /= total);
        if (found - entropy).abs() < 1e-5 {
            break;
        }
        if found > entropy {
            low = beta;
            beta = if high.is_finite() { (low + high) / 2.0 } else { beta * 2.0 };
        } else {
            high = beta;
            beta = (low + high) / 2.0;
        }
    }
    weights
}

/// The rows' coordinates along their two leading principal directions, found by power iteration and scaled to a
/// deviation of 10⁻² (along the first), with a keyed trace of noise so that equal rows part.
fn principal_plane(rows: &Matrix<f32>, key: Key) -> Vec<[f64; 2]> {
    let (n, d) = (rows.len(), rows.dim());
    let mut mean = vec![0.0; d];
    for i in 0..n {
        mean.iter_mut().zip(rows.row(i)).for_each(|(sum, x)| *sum += f64::from(*x) / n as f64);
    }
    let mut rng = key.rng();
    let coordinates = |direction: &[f64]| -> Vec<f64> {
        (0..n)
            .map(|i| {
                rows.row(i).iter().zip(&mean).zip(direction).map(|((x, m), w)| (f64::from(*x) - m) * w).sum()
            })
            .collect()
    };
    let mut directions: Vec<Vec<f64>> = Vec::new();
    for _ in 0..2 {
        let mut direction: Vec<f64> = (0..d).map(|_| normal(&mut rng)).collect();
        for _ in 0..50 {
            let along = coordinates(&direction);
            let mut next = vec![0.0; d];
            for (i, a) in along.iter().enumerate() {
                next.iter_mut()
                    .zip(rows.row(i))
                    .zip(&mean)
                    .for_each(|((sum, x), m)| *sum += a * (f64::from(*x) - m));
            }
            for other in &directions {
                let shared: f64 = next.iter().zip(other).map(|(a, b)| a * b).sum();
                next.iter_mut().zip(other).for_each(|(a, b)| *a -= shared * b);
            }
            let length = next.iter().map(|x| x * x).sum::<f64>().sqrt();
            if length < 1e-30 {
                break;
            }
            direction = next.iter().map(|x| x / length).collect();
        }
        directions.push(direction);
    }
    let (across, down) = (coordinates(&directions[0]), coordinates(&directions[1]));
    let deviation = (across.iter().map(|x| x * x).sum::<f64>() / n as f64).sqrt().max(1e-30);
    across
        .iter()
        .zip(&down)
        .map(|(x, y)| {
            [1e-2 * x / deviation + 1e-4 * normal(&mut rng), 1e-2 * y / deviation + 1e-4 * normal(&mut rng)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_stay_apart_and_the_layout_is_a_function_of_rows_and_key() {
        let mut rng = Key::new(4).rng();
        let data: Vec<f32> = (0..120)
            .flat_map(|i| (0..8).map(move |j| if j == i % 3 { 4.0 } else { 0.0 }))
            .map(|center: f32| center + 0.3 * normal(&mut rng) as f32)
            .collect();
        let rows = Matrix::new(data, 8);
        let places = layout(&rows, Key::new(1)).unwrap();
        let distance = |i: usize, j: usize| (places[i][0] - places[j][0]).hypot(places[i][1] - places[j][1]);
        for i in 0..120 {
            let nearest =
                (0..120).filter(|&j| j != i).min_by(|&a, &b| distance(i, a).total_cmp(&distance(i, b)));
            assert_eq!(nearest.unwrap() % 3, i % 3);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| layout(&rows, Key::new(1)).unwrap()), places);
    }

    #[test]
    fn equal_rows_have_finite_places_and_few_rows_are_refused() {
        let places = layout(&Matrix::new(vec![1.0; 40], 4), Key::new(1)).unwrap();
        assert!(places.iter().flatten().all(|x| x.is_finite()));
        assert!(layout(&Matrix::new(vec![1.0; 12], 4), Key::new(1)).is_err());
    }
}
