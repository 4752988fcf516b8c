//! ln ₀F₁(; d/2; κ²/4), the logarithm of E e^{κ s}, for every κ.
//!
//! With ν = d/2 − 1 and r = √(ν² + κ²) the series has its largest term near k = (r − ν)/2. It is summed while that is early; beyond,
//! ₀F₁ = Γ(ν + 1) (2/κ)^ν I_ν(κ) is Debye's expansion of I_ν, which is uniform in κ: with w = (ν/r)²,
//!
//! ln ₀F₁ = r + ν ln(2/(ν + r)) + ln Γ(ν + 1) − ½ ln(2πr) + ln Σₖ uₖ(w)/rᵏ.
//!
//! The terms left out are below 10⁻¹⁵ from r = 400 on. Where ν is large, Stirling's series for Γ takes off what else would cancel.

use super::energy::log_gamma_ratio;

/// r − ν from which Debye's expansion is taken.
const FAR: f64 = 400.0;
/// ν from which Γ(ν + 1) is Stirling's series.
const LARGE: f64 = 32.0;

/// ln E e^{κ s}; or ln E e^{∣κ∣ (s − 1)}, `from_the_end`, to the same accuracy.
///
/// # Panics
/// If `dim` is 0 or κ is not finite.
pub(super) fn log_mean(dim: usize, kappa: f64, from_the_end: bool) -> f64 {
    assert!(dim > 0 && kappa.is_finite(), "dim {dim}, κ {kappa}");
    let (nu, kappa) = (0.5 * dim as f64 - 1.0, kappa.abs());
    let r = nu.hypot(kappa);
    // r − ν without a difference.
    let above = if nu > 0.0 { kappa * (kappa / (r + nu)) } else { r - nu };
    if above < FAR {
        let log = series(nu + 1.0, kappa);
        return if from_the_end { log - kappa } else { log };
    }
    if nu < LARGE {
        // r − κ = ν²/(r + κ).
        let head = if from_the_end { nu * (nu / r) / (1.0 + kappa / r) } else { r };
        let tail = nu * (2.0_f64.ln() - (nu + r).ln()) + log_gamma_ratio(1.0, nu);
        head + tail - 0.5 * (std::f64::consts::TAU.ln() + r.ln()) + debye(nu, r)
    } else {
        // r − κ − ν, of two negative parts.
        let head = if from_the_end { -nu / (1.0 + kappa / r) * (1.0 + (kappa - nu) / r) } else { above };
        let tail = -nu * (0.5 * above / nu).ln_1p() - 0.5 * (above / nu).ln_1p();
        head + tail + stirling(nu) + debye(nu, r)
    }
}

/// The series itself: terms (κ²/4)ᵏ / (k! (d/2)ₖ), all positive.
fn series(half: f64, kappa: f64) -> f64 {
    let square = 0.25 * kappa * kappa;
    let (mut term, mut rest, mut k) = (1.0, 0.0, 0.0);
    loop {
        term *= square / ((k + 1.0) * (half + k));
        rest += term;
        k += 1.0;
        if term <= 1e-18 * rest {
            // The first term is 1, and for small κ it is nearly all.
            return f64::ln_1p(rest);
        }
    }
}

/// ln Σ uₖ(w)/rᵏ (DLMF 10.41.10).
fn debye(nu: f64, r: f64) -> f64 {
    let (q, w) = (1.0 / r, (nu / r).powi(2));
    let first = (3.0 - 5.0 * w) / 24.0;
    let second = (81.0 - w * (462.0 - w * 385.0)) / 1152.0;
    let third = (30_375.0 - w * (369_603.0 - w * (765_765.0 - w * 425_425.0))) / 414_720.0;
    let fourth = (4_465_125.0
        - w * (94_121_676.0 - w * (349_922_430.0 - w * (446_185_740.0 - w * 185_910_725.0))))
        / 39_813_120.0;
    let fifth = (1_519_035_525.0
        - w * (49_286_948_607.0
            - w * (284_499_769_554.0
                - w * (614_135_872_350.0 - w * (566_098_157_625.0 - w * 188_699_385_875.0)))))
        / 6_688_604_160.0;
    (q * (first + q * (second + q * (third + q * (fourth + q * fifth))))).ln_1p()
}

/// ln Γ(ν + 1) − ν ln ν + ν − ½ ln 2πν.
fn stirling(nu: f64) -> f64 {
    let z = 1.0 / (nu * nu);
    (1.0 / 12.0 - z * (1.0 / 360.0 - z * (1.0 / 1260.0 - z * (1.0 / 1680.0 - z / 1188.0)))) / nu
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, want: f64, what: &str) {
        assert!((got - want).abs() < 1e-12 * want.abs().max(1.0), "{what}: {got} for {want}");
    }

    /// ₀F₁ with 60 digits (mpmath 1.3), and the same less κ.
    #[test]
    fn far_numbers_are_the_hypergeometric_function() {
        for (dim, kappa, log, below) in [
            (2, 1e3, 995.627_308_889_869_5, -4.372_691_110_130_535),
            (2, 1e6, 999_992.173_306_312_8, -7.826_693_687_186_747),
            (5, 1e3, 986.588_954_049_810_3, -13.411_045_950_189_693),
            (3, 1e4, 9_990.096_512_447_464, -9.903_487_552_536_128),
            (128, 2e3, 1_760.108_990_524_513_6, -239.891_009_475_486_4),
            (128, 300.0, 174.967_048_539_645_07, -125.032_951_460_354_93),
            (128, 700.0, 524.930_116_706_457, -175.069_883_293_542_95),
            (1001, 1500.0, 714.471_965_776_865, -785.528_034_223_135),
            (1001, 1e6, 996_045.650_953_525_6, -3_954.349_046_474_443_7),
            (10_000, 3000.0, 431.840_554_055_402_8, -2_568.159_445_944_597_2),
            (10_000, 2000.0, 196.199_325_569_554_8, -1_803.800_674_430_445_2),
            (100_000, 1e5, 37_742.886_474_296_15, -62_257.113_525_703_85),
            (7, 400.0, 384.033_000_004_306_74, -15.966_999_995_693_26),
            (7, 410.0, 393.959_105_545_096_6, -16.040_894_454_903_4),
            (64, 420.0, 327.248_231_337_393_5, -92.751_768_662_606_5),
            (68, 440.0, 341.864_389_848_524_6, -98.135_610_151_475_4),
        ] {
            near(log_mean(dim, kappa, false), log, &format!("d = {dim}, κ = {kappa}"));
            near(log_mean(dim, -kappa, true), below, &format!("d = {dim}, κ = {kappa}, less κ"));
        }
    }

    /// sinh κ/κ in three dimensions, 3 (κ cosh κ − sinh κ)/κ³ in five and cosh κ in one, to the largest κ.
    #[test]
    fn closed_forms_hold_to_the_largest_number() {
        for kappa in [30.0_f64, 399.0, 400.4, 401.0, 402.0, 1e3, 1e8, 2e8, 1e100, 1e308] {
            let three = -(2.0_f64.ln()) - kappa.ln();
            near(log_mean(3, kappa, true), three, &format!("d = 3, κ = {kappa}"));
            near(log_mean(3, kappa, false), kappa + three, &format!("d = 3, κ = {kappa}"));
            let five = 1.5_f64.ln() + (-1.0 / kappa).ln_1p() - 2.0 * kappa.ln();
            near(log_mean(5, kappa, true), five, &format!("d = 5, κ = {kappa}"));
            near(log_mean(1, kappa, true), -(2.0_f64.ln()), &format!("d = 1, κ = {kappa}"));
        }
        for kappa in [1e-9, 1e-3, 0.5] {
            let want = kappa * kappa / 6.0 * (1.0 - kappa * kappa / 30.0);
            let got = log_mean(3, kappa, false);
            assert!((got - want).abs() < (1e-14 + kappa.powi(4)) * want, "κ = {kappa}: {got:e} for {want:e}");
        }
    }

    #[test]
    fn the_series_and_the_expansion_join() {
        for dim in [2, 3, 17, 65, 66, 67, 128, 1000, 10_000, 100_000] {
            let nu = 0.5 * dim as f64 - 1.0;
            // r − ν = 400.
            let kappa = (FAR * (FAR + 2.0 * nu)).sqrt();
            let sides = |part: f64| log_mean(dim, part * kappa, false) - series(nu + 1.0, part * kappa);
            for part in [1.0 - 1e-9, 1.0 + 1e-9, 1.3] {
                let apart = sides(part).abs();
                assert!(apart < 1e-12 * log_mean(dim, kappa, false), "d = {dim}, {part}: {apart:e}");
            }
        }
        // Γ by recurrence and by Stirling's series.
        for nu in [LARGE, 33.5, 100.0] {
            let log = nu * nu.ln() - nu + 0.5 * (std::f64::consts::TAU * nu).ln() + stirling(nu);
            near(log, log_gamma_ratio(1.0, nu), &format!("ν = {nu}"));
        }
    }
}
