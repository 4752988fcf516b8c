//! Facts about the sphere Sᵈ⁻¹ ⊂ ℝᵈ and the uniform law on it.

pub mod bound;
pub mod certificate;
pub mod cosines;
pub mod found;
pub mod ideal;
pub mod minimize;
pub mod optima;

use crate::rng::{Key, normal};
use crate::{Matrix, normalize};

/// `n` independent uniform points of Sᵈ⁻¹: normal rows divided by their lengths. Row i is a function of `key` and i
/// alone, so that fewer points are the first of more.
///
/// # Panics
/// If `dim` is 0.
pub fn sample(n: usize, dim: usize, key: Key) -> Matrix<f64> {
    let mut rows = Matrix::zeros(n, dim);
    for i in 0..n {
        let mut rng = key.at(i as u64).rng();
        rows.row_mut(i).fill_with(|| normal(&mut rng));
    }
    normalize(&mut rows).expect("normal draws are finite, and all but never below 1e-12 in length");
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_the_moments_of_the_uniform_law() {
        let (n, d) = (4000, 5);
        let rows = sample(n, d, Key::new(3));
        for k in 0..d {
            let moment = |power: i32| (0..n).map(|i| rows.row(i)[k].powi(power)).sum::<f64>() / n as f64;
            // E x = 0 and E x² = 1/d; the bounds are five standard errors.
            assert!(moment(1).abs() < 5.0 * (1.0 / (d * n) as f64).sqrt());
            assert!((moment(2) - 1.0 / d as f64).abs() < 5.0 * 0.24 / (n as f64).sqrt());
        }
        assert_eq!(sample(10, d, Key::new(3)).as_slice(), &rows.as_slice()[..10 * d]);
    }
}
