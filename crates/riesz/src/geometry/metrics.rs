//! The list of metrics: one entry is a metric's line in help, logs, reports, documents and tests.

use super::{Estimate, Lengths, Pairwise, Spectrum, alignment};
use crate::rng::Key;
use crate::{Error, Points, Scalar};

/// In which direction a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Better {
    /// Small values are better.
    Lower,
    /// Large values are better.
    Higher,
    /// It says how things are, not how good.
    Neither,
}

/// All that the metrics are read from. What was not looked at is `None`: [`Findings::new`] has the spectrum alone, and the rest is put in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Findings {
    /// Mean and singular values.
    pub spectrum: Spectrum,
    /// Lengths of the rows before they were made unit.
    pub lengths: Option<Lengths>,
    /// mean ‖u − v‖² over matched pairs.
    pub alignment: Option<f64>,
    /// What is said of pairs.
    pub pairwise: Option<Pairwise>,
}

impl Findings {
    /// Of a spectrum, and of nothing else.
    pub fn new(spectrum: Spectrum) -> Self {
        Self { spectrum, lengths: None, alignment: None, pairwise: None }
    }

    /// Of one set of points that are all there.
    ///
    /// ```
    /// use riesz::geometry::{Findings, METRICS, verdict};
    /// use riesz::{Matrix, Points, normalize};
    ///
    /// // Rows of a model, of any length.
    /// let mut rows = Matrix::from_rows(&[[1.0_f32, 0.2, 0.0], [0.1, 2.0, 0.3], [0.0, 0.5, 1.0], [-1.0, 0.1, 0.4]])?;
    /// normalize(&mut rows)?;
    /// let findings = Findings::of_points(Points::new(&rows)?)?;
    /// for metric in METRICS {
    ///     if let Some(found) = metric.read(&findings) {
    ///         println!("{} = {:.4}: {}", metric.name, found.value, metric.about);
    ///     }
    /// }
    /// println!("{}", verdict(&findings)[0].sentence);
    /// # Ok::<(), riesz::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there are fewer than two points.
    pub fn of_points<T: Scalar>(points: Points<'_, T>) -> Result<Self, Error> {
        let pairwise = Pairwise::of(points, points.len() as u64, NEAR_DUPLICATE, Key::new(0))?;
        Ok(Self { pairwise: Some(pairwise), ..Self::new(Spectrum::of(points)?) })
    }

    /// Of two views that are all there; metrics of one point set look at the first.
    ///
    /// # Errors
    /// If there are fewer than two points.
    ///
    /// # Panics
    /// If the views' shapes differ.
    pub fn of<T: Scalar>(views: &[Points<'_, T>; 2]) -> Result<Self, Error> {
        let alignment = Some(alignment(views[0], views[1])?);
        Ok(Self { alignment, ..Self::of_points(views[0])? })
    }

    /// Name and value of each metric that training logs, in the order of [`METRICS`].
    pub fn logged(&self) -> Vec<(&'static str, f64)> {
        let logged = METRICS.iter().filter(|metric| metric.logged);
        logged.filter_map(|metric| Some((metric.name, metric.read(self)?.value))).collect()
    }
}

/// The cosine from which two points count as near duplicates, unless somebody says otherwise.
pub const NEAR_DUPLICATE: f64 = 0.99;

/// A number that describes embeddings.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Metric {
    /// The name in logs, reports and the command line.
    pub name: &'static str,
    /// What it says, in one line.
    pub about: &'static str,
    /// Its definition.
    pub formula: &'static str,
    /// Who defined it.
    pub source: &'static str,
    /// In which direction it is better.
    pub better: Better,
    /// Whether it looks at all pairs, and so at a sample of many points.
    pub pairwise: bool,
    /// Whether training logs it.
    pub logged: bool,
    /// How it is read from what was found.
    of: fn(&Findings) -> Option<Estimate>,
}

impl Metric {
    /// Its value, where what it needs was looked at and it is defined.
    pub fn read(&self, findings: &Findings) -> Option<Estimate> {
        (self.of)(findings)
    }
}

/// A metric of the spectrum: exact, from a state.
const fn of_spectrum(
    name: &'static str,
    about: &'static str,
    formula: &'static str,
    source: &'static str,
    better: Better,
    of: fn(&Findings) -> Option<Estimate>,
) -> Metric {
    Metric { name, about, formula, source, better, pairwise: false, logged: false, of }
}

/// Every metric, in the order in which logs and reports show them. x unit rows, m their mean; σ the singular values of the
/// rows, c those with the mean taken off, λ = c²/n; p = σ/Σσ; H(p) = −Σ p ln p.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "alignment",
        about: "mean squared distance of an image's two views; 0 when they coincide, 2 for unrelated points",
        formula: "mean ‖u − v‖² over matched pairs",
        source: "Wang & Isola, ICML 2020",
        better: Better::Lower,
        pairwise: false,
        logged: true,
        of: |findings| findings.alignment.map(Estimate::exact),
    },
    Metric {
        name: "uniformity",
        about: "log of the mean of exp(-2 distance²) over pairs; 0 when all points coincide, about -4 when uniform",
        formula: "ln mean_{i<j} exp(−2‖xᵢ − xⱼ‖²)",
        source: "Wang & Isola, ICML 2020",
        better: Better::Lower,
        pairwise: true,
        logged: true,
        of: |findings| findings.pairwise.as_ref().map(|pairwise| pairwise.uniformity),
    },
    Metric {
        name: "wasserstein_uniformity",
        about: "distance of the law of the pairs' cosines from that of uniform points; 0 when uniform, 1 when all coincide",
        formula: "W₁(law of xᵢ·xⱼ over i<j, 2 Beta((d−1)/2, (d−1)/2) − 1)",
        source: "Koromilas et al., ICML 2024, for any d and without sampling",
        better: Better::Lower,
        pairwise: true,
        logged: true,
        of: |findings| findings.pairwise.as_ref().map(|pairwise| pairwise.wasserstein_uniformity),
    },
    Metric {
        name: "rank",
        about: "directions in which the points' variance is above 1e-5; at most the dimension",
        formula: "#{j : cⱼ²/(n − 1) > 10⁻⁵}",
        source: "code of Koromilas et al., ICML 2024",
        better: Better::Higher,
        pairwise: false,
        logged: true,
        of: |findings| Some(Estimate::exact(findings.spectrum.rank() as f64)),
    },
    Metric {
        name: "effective_rank",
        about: "exponential of the entropy of the normalized singular values; at most the dimension",
        formula: "exp H(q), q ∝ p + 10⁻⁷",
        source: "code of Koromilas et al., ICML 2024, but for its tenfold smoothing above Σσ = 1000",
        better: Better::Higher,
        pairwise: false,
        logged: true,
        of: |findings| Some(Estimate::exact(findings.spectrum.effective_rank())),
    },
    of_spectrum(
        "effective_rank_roy_vetterli",
        "effective rank as first defined, without smoothing",
        "exp H(p)",
        "Roy & Vetterli, EUSIPCO 2007",
        Better::Higher,
        |findings| Some(Estimate::exact(findings.spectrum.effective_rank_roy_vetterli())),
    ),
    of_spectrum(
        "rank_me",
        "effective rank as RankMe's paper writes it; may pass the dimension in the fifth digit",
        "exp(−Σ p′ ln p′), p′ = p + 10⁻⁷",
        "Garrido et al., ICML 2023",
        Better::Higher,
        |findings| Some(Estimate::exact(findings.spectrum.rank_me())),
    ),
    of_spectrum(
        "effective_rank_eigenvalues",
        "effective rank of the eigenvalues, not of their roots: the Vendi score with the cosine as kernel",
        "exp H(σ²/Σσ²)",
        "Friedman & Dieng, TMLR 2023",
        Better::Higher,
        |findings| Some(Estimate::exact(findings.spectrum.effective_rank_eigenvalues())),
    ),
    of_spectrum(
        "effective_rank_centered",
        "effective rank with the mean taken off",
        "exp H(c/Σc)",
        "Roy & Vetterli, EUSIPCO 2007, of x − m",
        Better::Higher,
        |findings| Some(Estimate::exact(findings.spectrum.effective_rank_centered())),
    ),
    of_spectrum(
        "effective_rank_explained_variance",
        "effective rank of the shares of explained variance, which reptrix calls RankMe",
        "exp H(λ/Σλ)",
        "reptrix 0.1.0",
        Better::Higher,
        |findings| Some(Estimate::exact(findings.spectrum.effective_rank_explained_variance())),
    ),
    of_spectrum(
        "participation_ratio",
        "directions among which the variance is shared; the dimension when it is the same in all",
        "(Σλ)²/Σλ²",
        "Gao et al., bioRxiv 214262, 2017",
        Better::Higher,
        |findings| Some(Estimate::exact(findings.spectrum.participation_ratio())),
    ),
    of_spectrum(
        "stable_rank",
        "the sum of the squared singular values over the largest; 1 when one direction has all",
        "‖X‖²_F/σ₁²",
        "Rudelson & Vershynin, J. ACM 2007",
        Better::Higher,
        |findings| Some(Estimate::exact(findings.spectrum.stable_rank())),
    ),
    of_spectrum(
        "ne_sum",
        "variance over that of the first principal direction; the dimension when all have the same",
        "Σλ/λ₁",
        "He & Ozay, ICML 2022",
        Better::Higher,
        |findings| Some(Estimate::exact(findings.spectrum.ne_sum())),
    ),
    of_spectrum(
        "alpha_req",
        "decay of the variances as a power; near 1 is said to be best, large means few directions",
        "α of λⱼ ∝ j^−α: least squares of ln λ on ln j, weights 1/j, 11 ≤ j ≤ 100",
        "Agrawal et al., NeurIPS 2022; fit of Stringer et al., Nature 2019",
        Better::Neither,
        |findings| findings.spectrum.alpha_req().map(Estimate::exact),
    ),
    of_spectrum(
        "gaussian_uniformity",
        "distance of mean and covariance from those of uniform points; 0 when uniform, 1.414 when all coincide",
        "W₂(N(m, Σ), N(0, 1/d)) = √(‖m‖² + 1 + tr Σ − (2/√d) tr Σ^½), Σ with divisor n",
        "Fang et al., ICLR 2024, without the sign",
        Better::Lower,
        |findings| Some(Estimate::exact(findings.spectrum.gaussian_uniformity())),
    ),
    of_spectrum(
        "mean_cosine",
        "mean cosine of pairs, also called anisotropy; 0 when centered, 1 when all points coincide",
        "mean_{i<j} xᵢ·xⱼ = (n‖m‖² − 1)/(n − 1)",
        "Ethayarajh, EMNLP 2019",
        Better::Lower,
        |findings| Some(Estimate::exact(findings.spectrum.mean_cosine())),
    ),
    Metric {
        name: "intrinsic_dimension",
        about: "dimension of the surface that the points seem to lie on, from each point's two nearest",
        formula: "(N − 1)/Σ ln(r₂/r₁), over the N points with 0 < r₁",
        source: "TwoNN: Facco et al., Sci. Rep. 2017, by maximum likelihood",
        better: Better::Neither,
        pairwise: true,
        logged: false,
        of: |findings| findings.pairwise.as_ref().and_then(|pairwise| pairwise.intrinsic_dimension),
    },
    Metric {
        name: "hubness",
        about: "skewness of how often a point is among the 10 nearest of another; large when a few are near to all",
        formula: "E(N − μ)³/σ³, N the 10-occurrences",
        source: "Radovanović et al., JMLR 2010",
        better: Better::Lower,
        pairwise: true,
        logged: false,
        of: |findings| findings.pairwise.as_ref().and_then(|pairwise| pairwise.hubness),
    },
    Metric {
        name: "near_duplicates",
        about: "pairs with a cosine of at least 0.99 (or what was asked for)",
        formula: "#{i<j : xᵢ·xⱼ ≥ 0.99}",
        source: "SemDeDup: Abbas et al., 2023",
        better: Better::Lower,
        pairwise: true,
        logged: false,
        of: |findings| findings.pairwise.as_ref().map(|pairwise| pairwise.duplicates),
    },
    Metric {
        name: "mean_length",
        about: "mean length of the rows before they are made unit",
        formula: "mean ‖z‖",
        source: "–",
        better: Better::Neither,
        pairwise: false,
        logged: false,
        of: |findings| findings.lengths.as_ref().map(|lengths| Estimate::exact(lengths.mean)),
    },
    Metric {
        name: "length_spread",
        about: "standard deviation of the rows' lengths over their mean; 0 for unit rows",
        formula: "sd ‖z‖ / mean ‖z‖",
        source: "–",
        better: Better::Neither,
        pairwise: false,
        logged: false,
        of: |findings| {
            findings.lengths.as_ref().map(|lengths| Estimate::exact(lengths.deviation() / lengths.mean))
        },
    },
];
