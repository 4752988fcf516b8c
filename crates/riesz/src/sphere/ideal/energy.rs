//! The energy of the ideal law: E κ(s), what the mean of a kernel over pairs tends to for many uniform points.
//!
//! With a = (d − 1)/2, r = 2 − 2s, and ρ ≤ 1 the root of ρ + 1/ρ = 2 + x, so that x + r = (1 − 2ρs + ρ²)/ρ:
//!
//! | kernel | E κ | from |
//! |---|---|---|
//! | e^{s/τ} | ₀F₁(; d/2; 1/(4τ²)) | |
//! | e^{−t r} | e^{−2t} ₀F₁(; d/2; t²) | |
//! | c (c² + r)^{−1/2} | c √ρ ₂F₁(½, (3 − d)/2; d/2; ρ²) | x = c² |
//! | −½ ln(1 + t r) | −½ ln(t/ρ) + ½ Σ_{k≥1} (1 − d/2)ₖ/((d/2)ₖ k) ρ²ᵏ | x = 1/t |
//! | ± r^{−p/2} | ± 4^q Γ(a + q) Γ(2a) / (Γ(a) Γ(2a + q)) | q = −p/2 |
//! | −½ ln r | −½ (ln 4 + ψ(a) − ψ(2a)) | |
//!
//! The two series in ρ come from E(1 − 2ρs + ρ²)^{−ν} = ₂F₁(ν, ν − d/2 + 1; d/2; ρ²), the second by its derivative at
//! ν = 0. Their terms fall like e^{−2k²/d}, change sign while k < d/2 and are at most the first, so nothing cancels in any
//! dimension; for half of the dimensions they end. Ratios of gammas are differences of Stirling's series and not of
//! log-gammas, which would lose digits as d grows. Held to 40-digit quadrature from d = 2 to 100,000.

use super::{log_mean_exponential, uniformity};
use crate::Error;
use crate::loss::KclKernel;

/// Terms of a series at most: beyond, the rest is below 10⁻¹⁴.
const TERMS: u32 = 10_000_000;

/// E κ(s) for the cosine s of two independent uniform points of Sᵈ⁻¹; infinite for a Riesz kernel of exponent d − 1 or
/// more. The relative error is below 10⁻¹² for d up to 100,000.
///
/// # Errors
/// If the kernel's parameter is out of its range.
///
/// # Panics
/// If `dim` is 0.
pub fn energy(dim: usize, kernel: KclKernel) -> Result<f64, Error> {
    assert!(dim > 0, "a sphere needs at least one dimension");
    let checked = kernel.kernel()?;
    if dim == 1 {
        return Ok(0.5 * (checked.at(1.0).0 + checked.at(-1.0).0));
    }
    let d = dim as f64;
    Ok(match kernel {
        KclKernel::Cosine(_) => 0.0,
        KclKernel::Exponential(temperature) => log_mean_exponential(dim, 1.0 / temperature).exp(),
        KclKernel::Gaussian(width) => uniformity(dim, width).exp(),
        KclKernel::InverseMultiquadric(offset) => inverse_multiquadric(dim, offset),
        KclKernel::Logarithmic(width) => -0.5 * log_grown(dim, width),
        KclKernel::Riesz(exponent) => {
            let (a, power) = (0.5 * (d - 1.0), -0.5 * exponent);
            if a + power <= 0.0 {
                f64::INFINITY
            } else {
                let log = power * 4.0_f64.ln() + log_gamma_ratio(a, power) - log_gamma_ratio(2.0 * a, power);
                exponent.signum() * log.exp()
            }
        }
        KclKernel::LogDistance => -0.5 * (4.0_f64.ln() + digamma(0.5 * (d - 1.0)) - digamma(d - 1.0)),
    })
}

/// E sᵏ: 0 for odd k, else 1·3⋯(k − 1) / (d (d + 2) ⋯ (d + k − 2)).
///
/// # Panics
/// If `dim` is 0.
pub fn moment(dim: usize, power: u32) -> f64 {
    assert!(dim > 0, "a sphere needs at least one dimension");
    if power % 2 == 1 {
        return 0.0;
    }
    (0..power / 2).map(|i| f64::from(2 * i + 1) / (dim as f64 + f64::from(2 * i))).product()
}

/// (ρ, 1 − ρ) with ρ + 1/ρ = 2 + x.
fn root(x: f64) -> (f64, f64) {
    let above = 0.5 * x + (x + 0.25 * x * x).sqrt();
    (1.0 / (1.0 + above), above / (1.0 + above))
}

fn inverse_multiquadric(dim: usize, offset: f64) -> f64 {
    let (rho, rest) = root(offset * offset);
    let series = match dim {
        // (2/π) K(ρ), by the arithmetic-geometric mean.
        2 => {
            let (mut x, mut y) = (1.0, (rest * (1.0 + rho)).sqrt());
            for _ in 0..40 {
                (x, y) = (0.5 * (x + y), (x * y).sqrt());
            }
            1.0 / x
        }
        3 => return 2.0 * offset / ((offset * offset + 4.0).sqrt() + offset),
        _ => hypergeometric(0.5, 0.5 * (3.0 - dim as f64), 0.5 * dim as f64, rho * rho),
    };
    offset * rho.sqrt() * series
}

/// E ln(1 + t r).
fn log_grown(dim: usize, width: f64) -> f64 {
    if dim == 3 {
        // ((1 + 4t) ln(1 + 4t) − 4t) / (4t), which cancels for small t: there the series does not, and is short.
        let x = 4.0 * width;
        if x > 0.5 {
            return ((1.0 + x) * x.ln_1p() - x) / x;
        }
    }
    let (rho, _) = root(1.0 / width);
    let half = 0.5 * dim as f64;
    let (mut factor, mut sum) = (1.0, 0.0);
    for k in 1..TERMS {
        let k = f64::from(k);
        factor *= (k - half) / (half + k - 1.0) * rho * rho;
        let term = factor / k;
        sum += term;
        if factor == 0.0 || (term * k).abs() < 1e-18 {
            break;
        }
    }
    // t/ρ = 1 + t (2 − ρ).
    (width * (2.0 - rho)).ln_1p() - sum
}

/// ₂F₁(a, b; c; z) by its series, 0 ≤ z ≤ 1.
fn hypergeometric(a: f64, b: f64, c: f64, z: f64) -> f64 {
    let (mut term, mut sum) = (1.0_f64, 1.0);
    for k in 0..TERMS {
        let k = f64::from(k);
        term *= (a + k) * (b + k) / ((c + k) * (k + 1.0)) * z;
        sum += term;
        if term == 0.0 || (term * (k + 1.0)).abs() < 1e-18 {
            break;
        }
    }
    sum
}

/// ln Γ(x + p) − ln Γ(x) for x > 0 and x + p > 0.
pub(super) fn log_gamma_ratio(mut x: f64, p: f64) -> f64 {
    let mut log = 0.0;
    while x.min(x + p) < 32.0 {
        log -= (p / x).ln_1p();
        x += 1.0;
    }
    let y = x + p;
    let rest = |x: f64| {
        let z = 1.0 / (x * x);
        (1.0 / 12.0 - z * (1.0 / 360.0 - z * (1.0 / 1260.0 - z * (1.0 / 1680.0 - z / 1188.0)))) / x
    };
    log + (x - 0.5) * (p / x).ln_1p() + p * (y.ln() - 1.0) + rest(y) - rest(x)
}

/// ψ(x) for x > 0.
fn digamma(mut x: f64) -> f64 {
    let mut shifted = 0.0;
    while x < 20.0 {
        shifted -= 1.0 / x;
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    let series =
        z * (1.0 / 12.0 - z * (1.0 / 120.0 - z * (1.0 / 252.0 - z * (1.0 / 240.0 - z * (1.0 / 132.0)))));
    shifted + x.ln() - 0.5 / x - series
}

#[cfg(test)]
mod tests {
    use KclKernel::{Cosine, Exponential, Gaussian, InverseMultiquadric, LogDistance, Logarithmic, Riesz};

    use super::*;

    /// By quadrature over the angle, and for powers and the logarithm of distances by gammas, with 40 digits (mpmath 1.4).
    const CASES: &[(usize, KclKernel, f64)] = &[
        (2, Gaussian(2.0), 0.2070019212239867),
        (2, Gaussian(8.0), 0.10054412736125203),
        (2, Logarithmic(2.0), -std::f64::consts::LN_2),
        (2, Logarithmic(100.0), -2.352564283063394),
        (2, Logarithmic(1e-3), -0.0009985033246084566),
        (2, InverseMultiquadric(1.0), 0.6426376817731245),
        (2, InverseMultiquadric(0.01), 0.0212776668919548),
        (2, Exponential(0.1), 2815.716628466253),
        (2, Riesz(-1.0), -1.2732395447351628),
        (2, Riesz(-0.5), -1.0787052023767587),
        (2, Riesz(-1.9), -1.9031656067116294),
        (2, LogDistance, 0.0),
        (3, Gaussian(2.0), 0.12495806717151219),
        (3, Gaussian(8.0), 0.031249999999999604),
        (3, Logarithmic(2.0), -0.7359388247516234),
        (3, Logarithmic(100.0), -2.504473165437418),
        (3, Logarithmic(1e-3), -0.0009986693269503513),
        (3, InverseMultiquadric(1.0), 0.6180339887498949),
        (3, InverseMultiquadric(0.01), 0.00995012499921876),
        (3, Exponential(0.1), 1101.3232874703388),
        (3, Riesz(1.0), 1.0),
        (3, Riesz(-1.0), -1.3333333333333333),
        (3, Riesz(-0.5), -1.131370849898476),
        (3, Riesz(-1.9), -1.913913828793451),
        (3, LogDistance, -0.19314718055994531),
        (4, Gaussian(2.0), 0.08937541975121767),
        (4, Gaussian(8.0), 0.01216870184455851),
        (4, Logarithmic(2.0), -0.7556471805599453),
        (4, Logarithmic(100.0), -2.557264009772211),
        (4, Logarithmic(1e-3), -0.0009987523280964978),
        (4, InverseMultiquadric(1.0), 0.6065471689069903),
        (4, InverseMultiquadric(0.01), 0.008486613298699661),
        (4, Exponential(0.1), 534.1976607402506),
        (4, Riesz(1.0), 0.8488263631567752),
        (4, Riesz(-1.0), -1.3581221810508401),
        (4, Riesz(-0.5), -1.1506188825352093),
        (4, Riesz(-1.9), -1.9188805769539243),
        (4, Riesz(2.5), 1.573787465354795),
        (4, LogDistance, -0.25),
        (5, Gaussian(2.0), 0.07035181202670733),
        (5, Gaussian(8.0), 0.005493164062500079),
        (5, Logarithmic(2.0), -0.7667817167175156),
        (5, Logarithmic(100.0), -2.5827640099425895),
        (5, Logarithmic(1e-3), -0.0009988021287728479),
        (5, InverseMultiquadric(1.0), 0.6),
        (5, InverseMultiquadric(0.01), 0.007999504971974805),
        (5, Exponential(0.1), 297.3572889789894),
        (5, Riesz(1.0), 0.8),
        (5, Riesz(-1.0), -1.3714285714285714),
        (5, Riesz(-0.5), -1.1603803588702317),
        (5, Riesz(-1.9), -1.921715665898595),
        (5, Riesz(2.5), 0.8081220356417685),
        (5, LogDistance, -0.27648051389327866),
        (8, Gaussian(2.0), 0.045843253522249716),
        (8, Gaussian(8.0), 0.0008819034184839223),
        (8, Logarithmic(2.0), -0.7823398888932787),
        (8, Logarithmic(100.0), -2.6139060719056255),
        (8, Logarithmic(1e-3), -0.000998876829766115),
        (8, InverseMultiquadric(1.0), 0.5907714260713713),
        (8, InverseMultiquadric(0.01), 0.007525266837263218),
        (8, Exponential(0.1), 84.40227439732092),
        (8, Riesz(1.0), 0.7525525505389937),
        (8, Riesz(-1.0), -1.38932778561045),
        (8, Riesz(-0.5), -1.1729023613462983),
        (8, Riesz(-1.9), -1.925751720393391),
        (8, Riesz(2.5), 0.5507718265629904),
        (8, LogDistance, -0.30833333333333335),
        (9, Gaussian(2.0), 0.04190910462474043),
        (9, Gaussian(8.0), 0.0005446840077638771),
        (9, Logarithmic(2.0), -0.7850551859404686),
        (9, Logarithmic(100.0), -2.6188761860678142),
        (9, Logarithmic(1e-3), -0.000998890663279951),
        (9, InverseMultiquadric(1.0), 0.5891509356789351),
        (9, InverseMultiquadric(0.01), 0.007458965051628626),
        (9, Exponential(0.1), 61.86683622185044),
        (9, Riesz(1.0), 0.745920745920746),
        (9, Riesz(-1.0), -1.3923853923853924),
        (9, Riesz(-0.5), -1.1749733775821902),
        (9, Riesz(-1.9), -1.9264696876011265),
        (9, Riesz(2.5), 0.5272042237929241),
        (9, LogDistance, -0.31338527579804054),
        (128, Gaussian(2.0), 0.01949631101155068),
        (128, Gaussian(8.0), 3.036041476093567e-07),
        (128, Logarithmic(2.0), -0.8034595723905084),
        (128, Logarithmic(100.0), -2.6496960489088783),
        (128, Logarithmic(1e-3), -0.0009989935499926698),
        (128, InverseMultiquadric(1.0), 0.5781077291819512),
        (128, InverseMultiquadric(0.01), 0.007091964396658147),
        (128, Exponential(0.1), 1.4761840437579687),
        (128, Riesz(1.0), 0.7092143838188749),
        (128, Riesz(-1.0), -1.4128223298209999),
        (128, Riesz(-0.5), -1.1883278645395214),
        (128, Riesz(-1.9), -1.9315126972960341),
        (128, Riesz(2.5), 0.4251954751669942),
        (128, LogDistance, -0.34459733656768593),
        (1001, Gaussian(2.0), 0.018462602936789783),
        (1001, Gaussian(8.0), 1.2788375253785116e-07),
        (1001, Logarithmic(2.0), -0.804558962743781),
        (1001, Logarithmic(100.0), -2.651404815339353),
        (1001, Logarithmic(1e-3), -0.000999000336319571),
        (1001, InverseMultiquadric(1.0), 0.5774464914551429),
        (1001, InverseMultiquadric(0.01), 0.007073545512039593),
        (1001, Exponential(0.1), 1.051215972040071),
        (1001, Riesz(1.0), 0.7073722614509741),
        (1001, Riesz(-1.0), -1.414036796777435),
        (1001, Riesz(-0.5), -1.189095604216513),
        (1001, Riesz(-1.9), -1.9318267970678409),
        (1001, Riesz(2.5), 0.4210409169409043),
        (1001, LogDistance, -0.34632346528003516),
        (10_000, Gaussian(2.0), 0.018330297261239956),
        (10_000, Gaussian(8.0), 1.1398488143011595e-07),
        (10_000, Logarithmic(2.0), -0.8047029546810297),
        (10_000, Logarithmic(100.0), -2.651627698490554),
        (10_000, Logarithmic(1e-3), -0.0009990012317353312),
        (10_000, InverseMultiquadric(1.0), 0.577359892629618),
        (10_000, InverseMultiquadric(0.01), 0.00707115623170337),
        (10_000, Exponential(0.1), 1.0050125183473755),
        (10_000, Riesz(1.0), 0.7071333034925602),
        (10_000, Riesz(-1.0), -1.4141958830461803),
        (10_000, Riesz(-0.5), -1.189195964844546),
        (10_000, Riesz(-1.9), -1.9318680694052248),
        (10_000, Riesz(2.5), 0.42050735357992364),
        (10_000, LogDistance, -0.3465485865294726),
        (100_000, Gaussian(2.0), 0.018317104198455714),
        (100_000, Gaussian(8.0), 1.1267931196921528e-07),
        (100_000, Logarithmic(2.0), -0.8047173562016902),
        (100_000, Logarithmic(100.0), -2.65164997880652),
        (100_000, Logarithmic(1e-3), -0.0009990013213764084),
        (100_000, InverseMultiquadric(1.0), 0.5773512314494296),
        (100_000, InverseMultiquadric(0.01), 0.00707091755556898),
        (100_000, Exponential(0.1), 1.0005001250183347),
        (100_000, Riesz(1.0), 0.7071094328949831),
        (100_000, Riesz(-1.0), -1.4142117945895691),
        (100_000, Riesz(-0.5), -1.1892060001076372),
        (100_000, Riesz(-1.9), -1.9318721990274659),
        (100_000, Riesz(2.5), 0.42045412038395197),
        (100_000, LogDistance, -0.3465710902424722),
    ];

    #[test]
    fn closed_forms_are_the_quadrature() {
        for &(dim, kernel, want) in CASES {
            let got = energy(dim, kernel).unwrap();
            let error = (got - want).abs() / want.abs().max(1e-3);
            assert!(error < 1e-12, "d = {dim}, {kernel:?}: {got} for {want}, off by {error:e}");
        }
    }

    /// (1 − e^{−4t})/(4t) in three dimensions.
    #[test]
    fn narrow_gaussians_are_held_too() {
        for width in [1.0_f64, 30.0, 99.0, 101.0, 1e3, 1e6, 1e8, 1e100, 1e308] {
            let want = -(-4.0 * width).exp_m1() / 4.0 / width;
            let got = energy(3, Gaussian(width)).unwrap();
            assert!((got - want).abs() < 1e-12 * want, "{width}: {got:e} for {want:e}");
        }
    }

    #[test]
    fn one_dimension_moments_and_what_is_infinite() {
        assert_eq!(energy(1, Gaussian(2.0)).unwrap(), 0.5 + 0.5 * (-8.0_f64).exp());
        assert_eq!(energy(3, Riesz(2.0)).unwrap(), f64::INFINITY);
        assert_eq!(energy(2, Riesz(1.0)).unwrap(), f64::INFINITY);
        assert_eq!(energy(5, Cosine(2.0)).unwrap(), 0.0);
        assert!(energy(3, Gaussian(-1.0)).is_err());
        assert_eq!((moment(7, 0), moment(7, 3), moment(7, 2)), (1.0, 0.0, 1.0 / 7.0));
        assert!((moment(7, 4) - 3.0 / 63.0).abs() < 1e-16);
    }

    /// Where one closed form hands over to another, and at the ends of the parameters' ranges.
    #[test]
    fn limits_join() {
        for dim in [2, 3, 4, 7, 64] {
            // c → 0: c E r^{−1/2}.
            if dim > 2 {
                let want = energy(dim, Riesz(1.0)).unwrap();
                let got = energy(dim, InverseMultiquadric(1e-7)).unwrap() / 1e-7;
                assert!((got - want).abs() < 1e-5 * want, "d = {dim}: {got} for {want}");
            }
            // t → ∞: −½ (ln t + ln r).
            let want = energy(dim, LogDistance).unwrap() - 0.5 * 1e14_f64.ln();
            let got = energy(dim, Logarithmic(1e14)).unwrap();
            assert!((got - want).abs() < 1e-6, "d = {dim}: {got} for {want}");
            // t → 0: −t.
            let got = energy(dim, Logarithmic(1e-9)).unwrap();
            assert!((got + 1e-9).abs() < 1e-17, "d = {dim}: {got}");
        }
        for width in [0.12, 0.13] {
            let x: f64 = 4.0 * width;
            let want = -0.5 * ((1.0 + x) * x.ln_1p() - x) / x;
            assert!((energy(3, Logarithmic(width)).unwrap() - want).abs() < 1e-14);
        }
    }
}
