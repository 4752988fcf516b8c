//! How many directions points use: singular values, rank, and the published kinds of effective rank.
//!
//! X is the n × d matrix of points, σ₁ ≥ … ≥ σ_k its singular values, k = min(n, d), p_j = σ_j/Σσ. X − 1mᵀ, with the mean
//! m taken off, has the singular values c_j; λ_j = c_j²/n are the eigenvalues of the covariance (a divisor n − 1 is said
//! where it is used).

use super::{singular, triangle};

/// The variance along a direction above which it counts for [`Spectrum::rank`]: that of the authors' released code.
const RANK_TOLERANCE: f64 = 1e-5;
/// What the authors of RankMe add to each p_j.
const SMOOTHING: f64 = 1e-7;
/// The eigenvalues, counted from 1, that the power law of [`Spectrum::alpha_req`] is fitted to.
const POWER_LAW: std::ops::RangeInclusive<usize> = 11..=100;
/// With fewer eigenvalues than these there is no fit.
const FEWEST: usize = 20;

/// The mean and the singular values of n points of ℝᵈ, with and without the mean.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Spectrum {
    /// n.
    pub rows: u64,
    /// The mean m, d numbers.
    pub mean: Vec<f64>,
    /// σ, min(n, d) numbers, largest first. Σσ² = n.
    pub values: Vec<f64>,
    /// c, min(n, d) numbers, largest first; the last is 0 if n ≤ d.
    pub centered: Vec<f64>,
}

impl Spectrum {
    /// From the triangle of the matrix (1 X): its first row is √n (1 m), the triangle behind it is that of X − 1mᵀ, and
    /// both together without the first column have the products of X. Signs of rows mean nothing.
    pub(super) fn of_triangle(joined: &triangle::Triangle, rows: u64) -> Self {
        let dim = joined.side() - 1;
        let first = joined.row(0);
        let mean: Vec<f64> = first[1..].iter().map(|x| x / first[0]).collect();
        let behind = joined.behind();
        let mut whole = behind.clone();
        whole.fold(&mut first[1..].to_vec(), 0);
        let few = usize::try_from(rows).map_or(dim, |rows| rows.min(dim));
        let (values, centered) = rayon::join(
            || of_trapezoid(whole.into_rows(), dim, few),
            || of_trapezoid(behind.into_rows(), dim, few),
        );
        Self { rows, mean, values, centered }
    }

    /// d.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// Mean cosine of the pairs of different points, (n‖m‖² − 1)/(n − 1).
    pub fn mean_cosine(&self) -> f64 {
        let n = self.rows as f64;
        (n * self.mean.iter().map(|x| x * x).sum::<f64>() - 1.0) / (n - 1.0)
    }

    /// λ_j = c_j²/n, largest first.
    pub fn variances(&self) -> impl Iterator<Item = f64> {
        self.centered.iter().map(|c| c * c / self.rows as f64)
    }

    /// How many eigenvalues of the covariance (divisor n − 1) are above 10⁻⁵: the numerical rank with the tolerance of
    /// Koromilas et al. 2024's released code. All points equal have rank 0.
    pub fn rank(&self) -> usize {
        let divisor = (self.rows - 1) as f64;
        self.centered.iter().filter(|c| *c * *c / divisor > RANK_TOLERANCE).count()
    }

    /// e^H(q), q_j ∝ p_j + 10⁻⁷, H(q) = −Σ q_j ln q_j: the effective rank of Koromilas et al. 2024's released code, which
    /// is [`rank_me`](Self::rank_me) with the smoothed p normalized again. (The released code also enlarges the 10⁻⁷
    /// tenfold where Σσ passes 1,000; that is not done here, so that the number does not jump with n.) Between 1 and
    /// min(n, d).
    pub fn effective_rank(&self) -> f64 {
        exponential_entropy(normalized(normalized(self.values.iter().copied()).map(|p| p + SMOOTHING)))
    }

    /// exp(−Σ p′_j ln p′_j), p′_j = p_j + 10⁻⁷: RankMe as its paper writes it (Garrido et al., ICML 2023). The p′ sum to
    /// 1 + k·10⁻⁷, so it may pass min(n, d) in the fifth digit.
    pub fn rank_me(&self) -> f64 {
        exponential_entropy(normalized(self.values.iter().copied()).map(|p| p + SMOOTHING))
    }

    /// e^H(p) without smoothing (Roy & Vetterli, EUSIPCO 2007). Between 1 and min(n, d).
    pub fn effective_rank_roy_vetterli(&self) -> f64 {
        exponential_entropy(normalized(self.values.iter().copied()))
    }

    /// e^H of σ_j²/Σσ²: the Vendi score with the cosine as kernel (Friedman & Dieng, TMLR 2023), which is the exponential of
    /// the von Neumann entropy of XXᵀ/n. Between 1 and min(n, d).
    pub fn effective_rank_eigenvalues(&self) -> f64 {
        exponential_entropy(normalized(self.values.iter().map(|x| x * x)))
    }

    /// e^H of c_j/Σc: Roy & Vetterli's with the mean taken off. 0 if all points are equal.
    pub fn effective_rank_centered(&self) -> f64 {
        if self.is_one_point() { 0.0 } else { exponential_entropy(normalized(self.centered.iter().copied())) }
    }

    /// e^H of λ_j/Σλ, the shares of explained variance: what reptrix calls RankMe. 0 if all points are equal.
    pub fn effective_rank_explained_variance(&self) -> f64 {
        if self.is_one_point() { 0.0 } else { exponential_entropy(normalized(self.variances())) }
    }

    /// (Σλ)²/Σλ² (Gao et al. 2017): d if the variance is the same in all directions. 0 if all points are equal.
    pub fn participation_ratio(&self) -> f64 {
        let (sum, squares) =
            self.variances().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
        if self.is_one_point() { 0.0 } else { sum * sum / squares }
    }

    /// ‖X‖²_F/σ₁² = n/σ₁² (Rudelson & Vershynin 2007): between 1 and min(n, d).
    pub fn stable_rank(&self) -> f64 {
        self.values.iter().map(|x| x * x).sum::<f64>() / (self.values[0] * self.values[0])
    }

    /// Σλ_j/λ₁ (He & Ozay, ICML 2022): d if the variance is the same in all directions. 0 if all points are equal.
    pub fn ne_sum(&self) -> f64 {
        let largest = self.variances().next().unwrap_or(0.0);
        if self.is_one_point() { 0.0 } else { self.variances().sum::<f64>() / largest }
    }

    /// α of λ_j ∝ j^{−α} (α-ReQ, Agrawal et al., NeurIPS 2022): least squares of ln λ_j on ln j with weights 1/j over
    /// 11 ≤ j ≤ 100, which is the fit of Stringer et al. 2019 over the range of reptrix. With fewer positive eigenvalues it
    /// is over those there are; `None` if they are fewer than 20.
    pub fn alpha_req(&self) -> Option<f64> {
        // Below is rounding.
        let floor = (1e-13 * self.values[0]).powi(2) / self.rows as f64;
        let logs: Vec<(f64, f64)> = self
            .variances()
            .zip(1..)
            .filter(|(lambda, j)| POWER_LAW.contains(j) && *lambda > floor)
            .map(|(lambda, j)| (f64::from(j as u32).ln(), lambda.ln()))
            .collect();
        if logs.len() + POWER_LAW.start() <= FEWEST {
            return None;
        }
        let (mut weights, mut x_sum, mut y_sum) = (0.0, 0.0, 0.0);
        for &(x, y) in &logs {
            let weight = (-x).exp();
            weights += weight;
            x_sum += weight * x;
            y_sum += weight * y;
        }
        let (x_mean, y_mean) = (x_sum / weights, y_sum / weights);
        let (mut square, mut product) = (0.0, 0.0);
        for &(x, y) in &logs {
            square += (-x).exp() * (x - x_mean).powi(2);
            product += (-x).exp() * (x - x_mean) * (y - y_mean);
        }
        Some(-product / square)
    }

    /// W₂ of the Gaussians N(m, Σ) and N(0, 1/d), Σ the covariance with divisor n: the uniformity metric of Fang et al.
    /// (ICLR 2024) without its sign. W₂² = ‖m‖² + 1 + tr Σ − (2/√d) tr Σ^{1/2}. 0 for uniform points, √2 when all coincide.
    pub fn gaussian_uniformity(&self) -> f64 {
        // As ‖m‖² + Σ (√λ_j − 1/√d)², in which nothing cancels.
        let even = 1.0 / (self.dim() as f64).sqrt();
        let of_variances: f64 = self.variances().map(|lambda| (lambda.sqrt() - even).powi(2)).sum();
        let unused = (self.dim() - self.centered.len()) as f64 * even * even;
        (self.mean.iter().map(|x| x * x).sum::<f64>() + of_variances + unused).sqrt()
    }

    /// Whether nothing but rounding parts the points from their mean.
    fn is_one_point(&self) -> bool {
        self.centered[0] <= 1e-14 * self.values[0]
    }
}

/// The singular values of an upper triangle of `side` rows, of which only the first `few` can be other than rounding.
fn of_trapezoid(mut triangle: Vec<f64>, side: usize, few: usize) -> Vec<f64> {
    if few == side {
        return singular::singular_values(&mut triangle, side);
    }
    // Its rows, as columns, are tall: their triangle has only as many columns as there are rows.
    triangle.truncate(few * side);
    let mut small = triangle::Triangle::new(few);
    let by_columns = triangle::turn(&triangle, side);
    for block in by_columns.chunks(triangle::FOLDED * few) {
        small.fold(&mut triangle::turn(block, few), 0);
    }
    singular::singular_values(&mut small.into_rows(), few)
}

/// Shares of the sum.
fn normalized(values: impl Iterator<Item = f64>) -> impl Iterator<Item = f64> {
    let values: Vec<f64> = values.collect();
    let total: f64 = values.iter().sum();
    values.into_iter().map(move |x| x / total)
}

fn exponential_entropy(shares: impl Iterator<Item = f64>) -> f64 {
    shares.filter(|&p| p > 0.0).map(|p| -p * p.ln()).sum::<f64>().exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;
    use crate::sphere::sample;
    use crate::{Matrix, Points, normalize};

    fn of(rows: &Matrix<f64>) -> Spectrum {
        Spectrum::of(Points::new(rows).unwrap()).unwrap()
    }

    #[test]
    fn known_spectra_are_found() {
        // Orthogonal rows, each twice: σ = √2, d times.
        let d = 9;
        let rows = Matrix::new((0..2 * d * d).map(|i| f64::from(u8::from(i / d % d == i % d))).collect(), d);
        let spectrum = of(&rows);
        for sigma in &spectrum.values {
            assert!((sigma - 2.0_f64.sqrt()).abs() < 1e-14, "{sigma}");
        }
        assert!((spectrum.effective_rank_roy_vetterli() - d as f64).abs() < 1e-12);
        assert_eq!(spectrum.rank(), d - 1, "the mean takes one direction");
        // All rows equal: σ = √n and zeros.
        let spectrum = of(&Matrix::new([0.6, 0.8, 0.0].repeat(50), 3));
        let sigmas = &spectrum.values;
        assert!(
            (sigmas[0] - 50.0_f64.sqrt()).abs() < 1e-14 && sigmas[1] < 1e-14 && sigmas[2] < 1e-14,
            "{sigmas:?}"
        );
        assert_eq!(spectrum.rank(), 0);
        assert!((spectrum.effective_rank_roy_vetterli() - 1.0).abs() < 1e-12);
    }

    /// The sums Σσ² and Σσ⁴ are traces of powers of the Gram matrix, which plain loops compute; so are those of c.
    #[test]
    fn singular_values_have_the_traces_of_the_gram_matrix() {
        for (n, d) in [(2, 1), (2, 5), (4, 1), (5, 12), (12, 5), (40, 40), (700, 33), (33, 700), (300, 290)] {
            let mut rows = sample(n, d, Key::new(11));
            for i in 0..n {
                rows.row_mut(i)[0] *= 3.0;
            }
            normalize(&mut rows).unwrap();
            let spectrum = of(&rows);
            let mut centered = rows.clone();
            for i in 0..n {
                for k in 0..d {
                    let mean = (0..n).map(|i| rows.row(i)[k]).sum::<f64>() / n as f64;
                    centered.row_mut(i)[k] -= mean;
                    assert!((spectrum.mean[k] - mean).abs() < 1e-15);
                }
            }
            for (rows, sigmas) in [(&rows, &spectrum.values), (&centered, &spectrum.centered)] {
                assert_eq!(sigmas.len(), n.min(d));
                assert!(sigmas.is_sorted_by(|a, b| a >= b));
                let dot = |i: usize, j: usize| -> f64 {
                    rows.row(i).iter().zip(rows.row(j)).map(|(a, b)| a * b).sum()
                };
                let traces = [
                    (0..n).map(|i| dot(i, i)).sum::<f64>(),
                    (0..n * n).map(|ij| dot(ij / n, ij % n).powi(2)).sum::<f64>(),
                ];
                for (power, trace) in [2, 4].into_iter().zip(traces) {
                    let got: f64 = sigmas.iter().map(|sigma| sigma.powi(power)).sum();
                    assert!(
                        (got - trace).abs() < 1e-12 * trace + 1e-26,
                        "n = {n}, d = {d}: {got} for {trace}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_zero_singular_value_is_zero_to_rounding() {
        // Points of a 3-dimensional subspace of ℝ¹², turned so that no coordinate vanishes.
        let (low, turn) = (sample(200, 3, Key::new(1)), sample(3, 12, Key::new(2)));
        let mut rows = Matrix::zeros(200, 12);
        for i in 0..200 {
            for k in 0..3 {
                for (x, t) in rows.row_mut(i).iter_mut().zip(turn.row(k)) {
                    *x += low.row(i)[k] * t;
                }
            }
        }
        normalize(&mut rows).unwrap();
        let spectrum = of(&rows);
        assert!(spectrum.values[2] > 0.1 && spectrum.values[3] < 1e-13, "{:?}", spectrum.values);
        assert_eq!(spectrum.rank(), 3);
        assert!(spectrum.effective_rank_roy_vetterli() < 3.0 + 1e-9);
    }
}
