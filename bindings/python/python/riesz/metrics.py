"""Each metric of :func:`riesz.geometry` as a function of rows, n x d, of any length but 0: they are scaled to unit length.

x are unit rows, m their mean; s the singular values of the rows, c those with the mean taken off, l = c^2/n. Metrics of pairs
look at all pairs of at most ``sample`` rows. Not a number where a metric is not defined.
"""

from __future__ import annotations

from typing import Any

from riesz._geometry import value_of

__all__ = [
    "alignment",
    "uniformity",
    "wasserstein_uniformity",
    "rank",
    "effective_rank",
    "effective_rank_roy_vetterli",
    "rank_me",
    "effective_rank_eigenvalues",
    "effective_rank_centered",
    "effective_rank_explained_variance",
    "participation_ratio",
    "stable_rank",
    "ne_sum",
    "alpha_req",
    "gaussian_uniformity",
    "mean_cosine",
    "intrinsic_dimension",
    "hubness",
    "near_duplicates",
    "mean_length",
    "length_spread",
    "lidar",
    "silhouette",
]


def alignment(x: Any, pairs: Any) -> float:
    """Mean squared distance of an image's two views; 0 when they coincide, 2 for unrelated points.

    mean ‖u − v‖² over matched pairs (Wang & Isola, ICML 2020).
    """
    return value_of("alignment", x, pairs, sample=0)


def uniformity(x: Any, *, sample: int = 20_000) -> float:
    """Log of the mean of exp(-2 distance²) over pairs; 0 when all points coincide, about -4 when uniform.

    ln mean_{i<j} exp(−2‖xᵢ − xⱼ‖²) (Wang & Isola, ICML 2020).
    """
    return value_of("uniformity", x, sample=sample)


def wasserstein_uniformity(x: Any, *, sample: int = 20_000) -> float:
    """Distance of the law of the pairs' cosines from that of uniform points; 0 when uniform, 1 when all
    coincide.

    W₁(law of xᵢ·xⱼ over i<j, 2 Beta((d−1)/2, (d−1)/2) − 1) (Koromilas et al., ICML 2024, for any d and
    without sampling).
    """
    return value_of("wasserstein_uniformity", x, sample=sample)


def rank(x: Any) -> float:
    """Directions in which the points' variance is above 1e-5; at most the dimension.

    #{j : cⱼ²/(n − 1) > 10⁻⁵} (code of Koromilas et al., ICML 2024).
    """
    return value_of("rank", x, sample=0)


def effective_rank(x: Any) -> float:
    """Exponential of the entropy of the normalized singular values; at most the dimension.

    exp H(q), q ∝ p + 10⁻⁷ (code of Koromilas et al., ICML 2024, but for its tenfold smoothing above Σσ = 1000).
    """
    return value_of("effective_rank", x, sample=0)


def effective_rank_roy_vetterli(x: Any) -> float:
    """Effective rank as first defined, without smoothing.

    exp H(p) (Roy & Vetterli, EUSIPCO 2007).
    """
    return value_of("effective_rank_roy_vetterli", x, sample=0)


def rank_me(x: Any) -> float:
    """Effective rank as RankMe's paper writes it; may pass the dimension in the fifth digit.

    exp(−Σ p′ ln p′), p′ = p + 10⁻⁷ (Garrido et al., ICML 2023).
    """
    return value_of("rank_me", x, sample=0)


def effective_rank_eigenvalues(x: Any) -> float:
    """Effective rank of the eigenvalues, not of their roots: the Vendi score with the cosine as kernel.

    exp H(σ²/Σσ²) (Friedman & Dieng, TMLR 2023).
    """
    return value_of("effective_rank_eigenvalues", x, sample=0)


def effective_rank_centered(x: Any) -> float:
    """Effective rank with the mean taken off.

    exp H(c/Σc) (Roy & Vetterli, EUSIPCO 2007, of x − m).
    """
    return value_of("effective_rank_centered", x, sample=0)


def effective_rank_explained_variance(x: Any) -> float:
    """Effective rank of the shares of explained variance, which reptrix calls RankMe.

    exp H(λ/Σλ) (reptrix 0.1.0).
    """
    return value_of("effective_rank_explained_variance", x, sample=0)


def participation_ratio(x: Any) -> float:
    """Directions among which the variance is shared; the dimension when it is the same in all.

    (Σλ)²/Σλ² (Gao et al., bioRxiv 214262, 2017).
    """
    return value_of("participation_ratio", x, sample=0)


def stable_rank(x: Any) -> float:
    """The sum of the squared singular values over the largest; 1 when one direction has all.

    ‖X‖²_F/σ₁² (Rudelson & Vershynin, J. ACM 2007).
    """
    return value_of("stable_rank", x, sample=0)


def ne_sum(x: Any) -> float:
    """Variance over that of the first principal direction; the dimension when all have the same.

    Σλ/λ₁ (He & Ozay, ICML 2022).
    """
    return value_of("ne_sum", x, sample=0)


def alpha_req(x: Any) -> float:
    """Decay of the variances as a power; near 1 is said to be best, large means few directions.

    α of λⱼ ∝ j^−α: least squares of ln λ on ln j, weights 1/j, 11 ≤ j ≤ 100 (Agrawal et al., NeurIPS 2022;
    fit of Stringer et al., Nature 2019).
    """
    return value_of("alpha_req", x, sample=0)


def gaussian_uniformity(x: Any) -> float:
    """Distance of mean and covariance from those of uniform points; 0 when uniform, 1.414 when all coincide.

    W₂(N(m, Σ), N(0, 1/d)) = √(‖m‖² + 1 + tr Σ − (2/√d) tr Σ^½), Σ with divisor n (Fang et al., ICLR 2024,
    without the sign).
    """
    return value_of("gaussian_uniformity", x, sample=0)


def mean_cosine(x: Any) -> float:
    """Mean cosine of pairs, also called anisotropy; 0 when centered, 1 when all points coincide.

    mean_{i<j} xᵢ·xⱼ = (n‖m‖² − 1)/(n − 1) (Ethayarajh, EMNLP 2019).
    """
    return value_of("mean_cosine", x, sample=0)


def intrinsic_dimension(x: Any, *, sample: int = 20_000) -> float:
    """Dimension of the surface that the points seem to lie on, from each point's two nearest.

    (N − 1)/Σ ln(r₂/r₁), over the N points with 0 < r₁ (TwoNN: Facco et al., Sci. Rep. 2017, by maximum
    likelihood).
    """
    return value_of("intrinsic_dimension", x, sample=sample)


def hubness(x: Any, *, sample: int = 20_000) -> float:
    """Skewness of how often a point is among the 10 nearest of another; large when a few are near to all.

    E(N − μ)³/σ³, N the 10-occurrences (Radovanović et al., JMLR 2010).
    """
    return value_of("hubness", x, sample=sample)


def near_duplicates(x: Any, cosine: float = 0.99, *, sample: int = 20_000) -> float:
    """Pairs with a cosine of at least 0.99 (or what was asked for).

    #{i<j : xᵢ·xⱼ ≥ 0.99} (SemDeDup: Abbas et al., 2023).
    """
    return value_of("near_duplicates", x, near_duplicate=cosine, sample=sample)


def mean_length(x: Any) -> float:
    """Mean length of the rows before they are made unit.

    mean ‖z‖ (–).
    """
    return value_of("mean_length", x, sample=0)


def length_spread(x: Any) -> float:
    """Standard deviation of the rows' lengths over their mean; 0 for unit rows.

    sd ‖z‖ / mean ‖z‖ (–).
    """
    return value_of("length_spread", x, sample=0)


def lidar(x: Any, labels: Any, *, sample: int = 20_000) -> float:
    """Effective rank of what tells the classes apart: exp H of the eigenvalues of Sw^(-1/2) Sb Sw^(-1/2)
    (Thilak et al., ICLR 2024, with labels for classes).
    """
    return value_of("lidar", x, labels=labels, sample=sample)


def silhouette(x: Any, labels: Any, *, sample: int = 20_000) -> float:
    """How much nearer a point is to its class than to the next one: mean (b - a)/max(a, b) (Rousseeuw 1987)."""
    return value_of("silhouette", x, labels=labels, sample=sample)
