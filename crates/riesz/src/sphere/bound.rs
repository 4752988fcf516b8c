//! A lower bound for the energy of any N points of Sᵈ⁻¹ under a completely monotone kernel, by linear programming.
//!
//! If a polynomial h = Σ h_k P_k with h_k ≥ 0 for k ≥ 1 stays below κ on [−1, 1), then (Delsarte 1972, Yudin 1992)
//!
//! ```text
//! Σ_{i≠j} κ(⟨x_i, x_j⟩) ≥ N² h_0 − N h(1),
//! ```
//!
//! because the sums of P_k over all ordered pairs are not negative. For κ completely monotone in the squared distance the best
//! h of degree at most τ is known: it touches κ at the nodes α of Levenshtein's quadrature
//!
//! ```text
//! ∫ f dμ = f(1)/N + Σ w_i f(α_i)      for all polynomials of degree τ = τ(N, d),
//! ```
//!
//! where μ is the law of the cosine of uniform points; the bound is then (Boyvalenkov, Dragnev, Hardin, Saff and Stoyanova,
//! *Universal lower bounds for potential energy of spherical codes*, Constr. Approx. 2016)
//!
//! ```text
//! mean over ordered pairs of κ ≥ N/(N − 1) Σ w_i κ(α_i).
//! ```
//!
//! Nodes and weights are those of Gauss's quadrature for the signed measure μ − δ₁/N, with −1 as a further node where τ is
//! even: its recurrence follows by Stieltjes' procedure in coefficients of orthonormal Gegenbauer polynomials. Sharp
//! configurations attain the bound; that is their proof of optimality.

use crate::Error;
use crate::kernel::Kernel;

/// Nodes at most; more would be asked for by many points on the circle.
const NODES: usize = 256;

/// Levenshtein's quadrature for N points of Sᵈ⁻¹: N-th part of f(1), and Σ w_i f(α_i).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Quadrature {
    /// N.
    pub points: usize,
    /// τ: polynomials of this degree are integrated exactly.
    pub degree: usize,
    /// (α_i, w_i), the nodes in increasing order within [−1, 1).
    pub nodes: Vec<(f64, f64)>,
}

impl Quadrature {
    /// The quadrature for `points` points in `dim` dimensions.
    ///
    /// # Errors
    /// If there are fewer than 2 points or 2 dimensions, or more than 256 nodes would be needed.
    pub fn new(points: usize, dim: usize) -> Result<Self, Error> {
        if points < 2 || dim < 2 {
            return Err(Error::new(format!(
                "{points} points in {dim} dimensions; the bound is for 2 points or more in 2 dimensions or more"
            )));
        }
        let degree = degree(points, dim);
        let count = degree.div_ceil(2);
        if count + 1 > NODES {
            return Err(Error::new(format!(
                "{points} points in {dim} dimensions need a polynomial of a degree above {}, up to which the bound is computed",
                2 * NODES - 2
            )));
        }
        let even = degree.is_multiple_of(2);
        let size = count + usize::from(even);
        let (mut alpha, beta) = recurrence(points, dim, size);
        if even {
            alpha[size - 1] = fixed_at_minus_one(&alpha, &beta);
        }
        let total = 1.0 - 1.0 / points as f64;
        let nodes = (0..size)
            .map(|index| {
                let node = eigenvalue(&alpha, &beta, index);
                (node, total * weight(&alpha, &beta, node))
            })
            .collect();
        Ok(Self { points, degree, nodes })
    }

    /// The least that the mean of κ over ordered pairs of different points can be.
    ///
    /// # Panics
    /// If the kernel is not completely monotone: the bound would not hold.
    pub fn energy(&self, kernel: &dyn Kernel) -> f64 {
        assert!(kernel.is_completely_monotone(), "{kernel:?} is not completely monotone");
        let n = self.points as f64;
        n / (n - 1.0) * self.nodes.iter().map(|&(node, weight)| weight * kernel.at(node).0).sum::<f64>()
    }
}

/// τ with D(τ) < N ≤ D(τ + 1), where D is Delsarte, Goethals and Seidel's bound on the size of designs,
/// D(2k − 1) = 2 C(d + k − 2, d − 1), D(2k) = C(d + k − 1, d − 1) + C(d + k − 2, d − 1); 1 for N = 2.
fn degree(points: usize, dim: usize) -> usize {
    let points = points as f64;
    // C(d + k − 2, d − 1) for k = 1.
    let (mut now, mut k) = (1.0, 1.0);
    loop {
        let next = now * (dim as f64 + k - 1.0) / k;
        let tau = 2 * k as usize;
        if points <= now + next {
            return tau - 1;
        }
        if points <= 2.0 * next {
            return tau;
        }
        (now, k) = (next, k + 1.0);
        if tau > 2 * NODES {
            return tau;
        }
    }
}

/// s p_j = b_{j+1} p_{j+1} + b_j p_{j−1} for the orthonormal Gegenbauer polynomials: b_1, b_2, ….
fn gegenbauer_step(dim: usize, j: usize) -> f64 {
    let (d, j) = (dim as f64, j as f64);
    let square =
        if j == 1.0 { 1.0 / d } else { j * (j + d - 3.0) / ((2.0 * j + d - 2.0) * (2.0 * j + d - 4.0)) };
    square.sqrt()
}

/// The orthonormal polynomials q of μ − δ₁/N: s q_k = β_{k+1} q_{k+1} + α_k q_k + β_k q_{k−1}. Gives α_0 … α_{size−1} and
/// β_1 … β_{size−1}.
fn recurrence(points: usize, dim: usize, size: usize) -> (Vec<f64>, Vec<f64>) {
    let width = size + 1;
    let step: Vec<f64> = (0..=width).map(|j| if j == 0 { 0.0 } else { gegenbauer_step(dim, j) }).collect();
    // p_j(1).
    let mut at_one = vec![1.0; width];
    for j in 1..width {
        let before = if j > 1 { step[j - 1] * at_one[j - 2] } else { 0.0 };
        at_one[j] = (at_one[j - 1] - before) / step[j];
    }
    let value = |q: &[f64]| q.iter().zip(&at_one).map(|(q, p)| q * p).sum::<f64>();
    let product = |q: &[f64], r: &[f64]| {
        q.iter().zip(r).map(|(q, r)| q * r).sum::<f64>() - value(q) * value(r) / points as f64
    };
    let times_s = |q: &[f64]| -> Vec<f64> {
        (0..width)
            .map(|j| {
                let below = if j > 0 { step[j] * q[j - 1] } else { 0.0 };
                let above = if j + 1 < width { step[j + 1] * q[j + 1] } else { 0.0 };
                below + above
            })
            .collect()
    };
    let mut q = vec![0.0; width];
    q[0] = 1.0 / (1.0 - 1.0 / points as f64).sqrt();
    let mut before = vec![0.0; width];
    let (mut alpha, mut beta) = (Vec::new(), Vec::new());
    for k in 0..size {
        let mut next = times_s(&q);
        let a = product(&next, &q);
        let b = if k > 0 { beta[k - 1] } else { 0.0 };
        for ((next, q), before) in next.iter_mut().zip(&q).zip(&before) {
            *next -= a * q + b * before;
        }
        alpha.push(a);
        if k + 1 < size {
            let length = product(&next, &next).max(0.0).sqrt();
            beta.push(length);
            next.iter_mut().for_each(|next| *next /= length);
        }
        before = std::mem::replace(&mut q, next);
    }
    (alpha, beta)
}

/// The last α that makes −1 a node (Golub 1973): −1 + β² over the last pivot of the smaller matrix plus the identity.
fn fixed_at_minus_one(alpha: &[f64], beta: &[f64]) -> f64 {
    let size = alpha.len();
    let mut pivot = alpha[0] + 1.0;
    for k in 1..size - 1 {
        pivot = alpha[k] + 1.0 - beta[k - 1] * beta[k - 1] / pivot;
    }
    if size == 1 { -1.0 } else { -1.0 + beta[size - 2] * beta[size - 2] / pivot }
}

/// The `index`-th eigenvalue of the symmetric tridiagonal matrix with diagonal α and off-diagonal β, by bisection on the
/// number of negative pivots.
fn eigenvalue(alpha: &[f64], beta: &[f64], index: usize) -> f64 {
    let below = |x: f64| {
        let (mut count, mut pivot) = (0, 1.0);
        for (k, a) in alpha.iter().enumerate() {
            let off = if k > 0 { beta[k - 1] * beta[k - 1] } else { 0.0 };
            pivot = a - x - off / pivot;
            if pivot == 0.0 {
                pivot = 1e-300;
            }
            count += usize::from(pivot < 0.0);
        }
        count
    };
    let (mut low, mut high) = (-1.0 - 1e-9, 1.0 + 1e-9);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if below(middle) > index { high = middle } else { low = middle }
    }
    let node = 0.5 * (low + high);
    if node < -1.0 + 1e-14 { -1.0 } else { node }
}

/// 1/Σ q_k(node)², for a measure of total 1 (q_0 = 1).
fn weight(alpha: &[f64], beta: &[f64], node: f64) -> f64 {
    let (mut before, mut now, mut sum) = (0.0, 1.0, 1.0);
    for k in 0..alpha.len() - 1 {
        let back = if k > 0 { beta[k - 1] * before } else { 0.0 };
        let next = ((node - alpha[k]) * now - back) / beta[k];
        (before, now) = (now, next);
        sum += now * now;
    }
    1.0 / sum
}
