//! The ideal law: the cosine s = ⟨x, y⟩ of two independent uniform points of Sᵈ⁻¹.
//!
//! Density p(s) = c (1 − s²)^{(d−3)/2} on (−1, 1), c = Γ(d/2) / (Γ((d−1)/2) √π); (1 + s)/2 is Beta(a, a) with
//! a = (d − 1)/2. For d = 2 it is the arcsine law, for d = 3 the uniform law on [−1, 1]; for d = 1 it is no density
//! but two atoms, ±1, of half a unit each. The standard deviation is 1/√d in every dimension.

mod energy;
mod exponential;

pub use energy::{energy, moment};

/// The density p(s); 0 outside [−1, 1], infinite at ±1 for d = 2. For d = 1 it is 0 between the atoms and infinite
/// on them.
///
/// # Panics
/// If `dim` is 0 or s is no number.
pub fn density(dim: usize, s: f64) -> f64 {
    check(dim, s);
    if s.abs() > 1.0 {
        0.0
    } else if dim == 1 {
        if s.abs() < 1.0 { 0.0 } else { f64::INFINITY }
    } else {
        let power = half_width(dim) - 1.0;
        // At ±1 with d = 3 the power is 0 and the logarithm infinite.
        if power == 0.0 { constant(dim) } else { constant(dim) * (power * log_sine_square(s)).exp() }
    }
}

/// The distribution function F(s) = P(cosine ≤ s) = I_{(1+s)/2}(a, a), the regularized incomplete beta function.
/// The lower tail keeps its relative accuracy (about 10⁻¹³), the rest its absolute one. 0 below −1, 1 above 1.
///
/// # Panics
/// If `dim` is 0 or s is no number.
pub fn cdf(dim: usize, s: f64) -> f64 {
    check(dim, s);
    if s < -1.0 {
        0.0
    } else if s >= 1.0 {
        1.0
    } else if dim == 1 {
        0.5
    } else if s <= 0.0 {
        lower_tail(dim, s)
    } else {
        1.0 - lower_tail(dim, -s)
    }
}

/// The t with P(T ≤ t) = q for Student's law with ν = `freedom` degrees of freedom: if s is the cosine of two independent uniform points in
/// ν + 1 dimensions, s√ν/√(1 − s²) has that law.
///
/// # Panics
/// If `freedom` is 0 or q is not in [0, 1].
pub fn student_quantile(q: f64, freedom: usize) -> f64 {
    assert!(freedom > 0, "Student's law needs a degree of freedom");
    let s = quantile(freedom + 1, q);
    s * (freedom as f64).sqrt() / (1.0 - s * s).sqrt()
}

/// The s with F(s) = q, for q in [0, 1]; for d = 1 the atom −1 up to q = ½, then 1.
///
/// # Panics
/// If `dim` is 0 or q is not in [0, 1].
pub fn quantile(dim: usize, q: f64) -> f64 {
    assert!(dim > 0, "a sphere needs at least one dimension");
    assert!((0.0..=1.0).contains(&q), "{q} is not a probability");
    if dim == 1 {
        return if q <= 0.5 { -1.0 } else { 1.0 };
    }
    if q > 0.5 {
        return -quantile(dim, 1.0 - q);
    }
    if q == 0.0 {
        return -1.0;
    }
    // ln F is increasing and concave, so Newton's steps on it approach from the left; the bracket guards the first.
    let (mut low, mut high) = (-1.0_f64, 0.0_f64);
    let mut s = -0.5 / (dim as f64).sqrt();
    for _ in 0..200 {
        let f = cdf(dim, s);
        if f < q {
            low = s;
        } else {
            high = s;
        }
        let newton = s - (f / q).ln() * f / density(dim, s);
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if (next - s).abs() <= f64::EPSILON * s.abs() || next == low || next == high {
            return next;
        }
        s = next;
    }
    s
}

/// ∫₋₁ˢ F(t) dt = s F(s) + c (1 − s²)^{(d−1)/2} / (d − 1): what an exact Wasserstein distance to the law needs.
/// For d = 1 it is (1 + s)/2.
///
/// # Panics
/// If `dim` is 0 or s is not in [−1, 1].
pub fn cdf_integral(dim: usize, s: f64) -> f64 {
    assert!(s.abs() <= 1.0, "{s} is not a cosine");
    if dim == 1 {
        return 0.5 * (1.0 + s);
    }
    let bell = (half_width(dim) * log_sine_square(s)).exp();
    s * cdf(dim, s) + constant(dim) * bell / (dim - 1) as f64
}

/// ln E e^{κ s} = ln ₀F₁(; d/2; κ²/4): what the log-sum of an InfoNCE-type loss tends to with κ = 1/τ. The relative error is below
/// 10⁻¹² for any κ.
///
/// # Panics
/// If `dim` is 0 or κ is not finite.
pub fn log_mean_exponential(dim: usize, kappa: f64) -> f64 {
    exponential::log_mean(dim, kappa, false)
}

/// ln E e^{−t‖x − y‖²} = −2t + ln ₀F₁(; d/2; t²): the best that uniformity of this width t can be for many points. The error is below
/// 10⁻¹² of the larger of 1 and the number for any t above 0.
///
/// # Panics
/// If `dim` is 0 or `width` is not finite, or below half of the least number.
pub fn uniformity(dim: usize, width: f64) -> f64 {
    let kappa = 2.0 * width;
    if width <= 0.0 {
        log_mean_exponential(dim, kappa) - kappa
    } else if kappa.is_finite() {
        exponential::log_mean(dim, kappa, true)
    } else {
        // At such widths the mean falls like κ^{−(d − 1)/2}.
        exponential::log_mean(dim, width, true) - half_width(dim) * 2.0_f64.ln()
    }
}

/// The effective rank that `n` uniform points have, about k e^{−k/(8K)} with k = min(n, d), K = max(n, d): the
/// entropy of the singular values' spread to first order, a tenth too large at n = d where the spread is widest. 0 without points or dimensions.
pub fn effective_rank(n: usize, dim: usize) -> f64 {
    let (few, many) = (n.min(dim) as f64, n.max(dim).max(1) as f64);
    few * (-0.125 * few / many).exp()
}

fn check(dim: usize, s: f64) {
    assert!(dim > 0, "a sphere needs at least one dimension");
    assert!(!s.is_nan(), "{s} is not a cosine");
}

/// a = (d − 1)/2.
fn half_width(dim: usize) -> f64 {
    0.5 * (dim as f64 - 1.0)
}

/// ln(1 − s²), accurate at both ends and in the middle.
fn log_sine_square(s: f64) -> f64 {
    if s.abs() < 0.5 { (-s * s).ln_1p() } else { ((1.0 - s) * (1.0 + s)).ln() }
}

/// c = Γ(a + ½) / (Γ(a) √π). A difference of two log-gammas would lose four digits at d = 10,000; the ratio has its own
/// series in 1/a, reached from small a by Γ's recurrence.
fn constant(dim: usize) -> f64 {
    assert!(dim > 1, "the law of d = {dim} has no density");
    let mut a = half_width(dim);
    let mut factor = 1.0;
    while a < 16.0 {
        factor *= a / (a + 0.5);
        a += 1.0;
    }
    let x = 1.0 / (a * a);
    let series =
        -1.0 / 8.0 + x * (1.0 / 192.0 + x * (-1.0 / 640.0 + x * (17.0 / 14_336.0 - x * (31.0 / 18_432.0))));
    factor * (a / std::f64::consts::PI).sqrt() * (series / a).exp()
}

/// F(s) for −1 ≤ s ≤ 0: (1 − s²)ᵃ c/(2a) times the continued fraction of the incomplete beta function at
/// x = (1 + s)/2 ≤ ½, where it converges in O(√d) steps (Lentz's evaluation).
fn lower_tail(dim: usize, s: f64) -> f64 {
    let a = half_width(dim);
    let x = 0.5 * (1.0 + s);
    if x == 0.0 {
        return 0.0;
    }
    let guarded = |y: f64| if y.abs() < 1e-300 { 1e-300 } else { y };
    let mut c = 1.0;
    let mut d = 1.0 / guarded(1.0 - 2.0 * a * x / (a + 1.0));
    let mut fraction = d;
    let mut m = 1.0;
    loop {
        let even = m * (a - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guarded(1.0 + even * d);
        c = guarded(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (2.0 * a + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guarded(1.0 + odd * d);
        c = guarded(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 4e-16 || m > 100_000.0 {
            break;
        }
        m += 1.0;
    }
    (a * log_sine_square(s)).exp() * constant(dim) / (2.0 * a) * fraction
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    fn grid() -> impl Iterator<Item = f64> {
        (0..=400).map(|i| f64::from(i - 200) / 200.0)
    }

    #[test]
    fn closed_forms_of_low_dimensions_hold_to_1e_12() {
        for s in grid() {
            let root = (1.0 - s * s).sqrt();
            let closed = [
                (2, 1.0 / (PI * root), 1.0 - s.acos() / PI),
                (3, 0.5, 0.5 * (1.0 + s)),
                (4, 2.0 * root / PI, 0.5 + (s * root + s.asin()) / PI),
                (5, 0.75 * root * root, (2.0 + 3.0 * s - s * s * s) / 4.0),
            ];
            for (dim, p, f) in closed {
                assert!((cdf(dim, s) - f).abs() < 1e-12, "F, d = {dim}, s = {s}: {} for {f}", cdf(dim, s));
                if s.abs() < 1.0 {
                    assert!((density(dim, s) - p).abs() < 1e-12 * p, "p, d = {dim}, s = {s}");
                }
            }
        }
    }

    /// Exact to the digits given: the convergent series of ₂F₁(1, d/2; 3/2; s²) summed with 40 digits (mpmath 1.3).
    #[test]
    fn high_dimensions_hold_to_1e_12() {
        for (dim, s, f) in [
            (7, -0.3, 0.235_169_375),
            (128, -0.1, 0.129_753_823_986_683_4),
            (128, 0.05, 0.713_185_677_904_870_9),
            (1001, -0.02, 0.263_575_608_356_585_5),
            (10_000, -0.01, 0.158_667_353_375_128_67),
            (10_000, -0.05, 2.825_851_842_406_482e-7),
            (10_000, 0.002, 0.579_253_921_822_535_2),
        ] {
            let error = (cdf(dim, s) - f).abs() / f;
            assert!(error < 1e-12, "d = {dim}, s = {s}: {} for {f}", cdf(dim, s));
        }
    }

    #[test]
    fn quantiles_invert_the_distribution() {
        for dim in [2, 3, 4, 5, 8, 31, 128, 1000, 10_000] {
            for q in [1e-12, 1e-6, 0.01, 0.2, 0.499, 0.5, 0.7, 0.999, 1.0 - 1e-6] {
                let s = quantile(dim, q);
                // As near as neighbouring numbers s can bring F, which is steep at −1 for d = 2.
                let spacing = cdf(dim, s + 2e-16) - cdf(dim, (s - 2e-16).max(-1.0));
                let error = (cdf(dim, s) - q).abs();
                assert!(error < 2e-13 * q.max(1e-2) + 2.0 * spacing, "d = {dim}, q = {q}: {error:e}");
            }
            assert_eq!((quantile(dim, 0.0), quantile(dim, 1.0)), (-1.0, 1.0));
        }
        for q in [0.001, 0.3, 0.5, 0.9] {
            assert!((quantile(2, q) + (PI * q).cos()).abs() < 1e-12);
        }
    }

    #[test]
    fn the_integral_of_the_distribution_is_that() {
        for dim in [2, 3, 6, 128, 10_000] {
            assert!(cdf_integral(dim, -1.0).abs() < 1e-15);
            assert!((cdf_integral(dim, 1.0) - 1.0).abs() < 1e-14, "E s is 0");
            for s in [-0.2, -0.01, 0.003, 0.1] {
                let h = 1e-6;
                let slope = (cdf_integral(dim, s + h) - cdf_integral(dim, s - h)) / (2.0 * h);
                assert!((slope - cdf(dim, s)).abs() < 1e-8, "d = {dim}, s = {s}");
            }
        }
    }

    #[test]
    fn one_dimension_is_two_atoms() {
        assert_eq!((cdf(1, -1.5), cdf(1, -1.0), cdf(1, 0.3), cdf(1, 1.0)), (0.0, 0.5, 0.5, 1.0));
        assert_eq!((quantile(1, 0.2), quantile(1, 0.5), quantile(1, 0.7)), (-1.0, -1.0, 1.0));
        assert_eq!(density(1, 0.0), 0.0);
    }

    /// ₀F₁ with 40 digits (mpmath 1.3); d = 3 is also ln(sinh κ / κ).
    #[test]
    fn mean_exponentials_are_the_hypergeometric_series() {
        for (dim, kappa, log) in [
            (128, 1.0 / 0.3, 0.043_388_299_690_341_31),
            (8, 10.0, 4.435_594_349_074_381),
            (3, 4.0, 1.920_222_939_412_087_3),
            (10_000, 14.0, 0.009_799_990_397_945_5),
            (3, 2000.0, 1_991.705_950_359_898),
        ] {
            let got = log_mean_exponential(dim, kappa);
            assert!((got - log).abs() < 1e-13 * (1.0 + log), "d = {dim}, κ = {kappa}: {got} for {log}");
        }
        assert!((uniformity(1, 2.0) - 0.5_f64.mul_add((-8.0_f64).exp(), 0.5).ln()).abs() < 1e-14);
        assert!((uniformity(128, 2.0) + 3.937_530_01).abs() < 1e-8);
    }
}
