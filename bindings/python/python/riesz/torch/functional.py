"""The losses as functions of views z1, z2, ...: raw rows, n x d each, made unit inside. Each returns a scalar.

A temperature (SigLIP: scale, offset) may be a number or a tensor of one number, which then gets its gradient. Formulas are in
:mod:`riesz.losses`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from riesz import losses
from riesz.losses import Convention, KernelName, Loss, as_loss
from riesz.torch import _op

Number = float | Tensor


def contrastive_loss(loss: Loss, *views: Tensor, labels: Any = None) -> Tensor:
    """Any loss of :mod:`riesz.losses` on views, each n x d. Rows with the same label match; ``labels`` are whole numbers."""
    return _evaluate(loss, None, views, labels)


def _evaluate(loss: Loss, learnt: Tensor | None, views: tuple[Tensor, ...], labels: Any) -> Tensor:
    loss, rows = as_loss(loss), _op.checked(views)
    return _op.apply(loss, rows, _op.checked_labels(labels, rows[0].shape[0]), learnt)


def _with_temperature(
    make: Any, temperature: Number, views: tuple[Tensor, ...], labels: Any = None, **settings: Any
) -> Tensor:
    if not _op.is_learnt(temperature):
        return _evaluate(make(temperature, **settings), None, views, labels)
    # The number is read where the loss is computed: here it would make a device wait.
    return _evaluate(make(1.0, **settings), _op.learnt_numbers(temperature), views, labels)


def nt_xent_loss(z1: Tensor, z2: Tensor, temperature: Number = 0.5) -> Tensor:
    """NT-Xent (SimCLR): mean over all 2N rows p of -s_p+/t + LSE over the other 2N - 1 rows. Equal to lightly's
    ``NTXentLoss(temperature)``."""
    return _with_temperature(losses.nt_xent, temperature, (z1, z2))


def info_nce_loss(z1: Tensor, z2: Tensor, temperature: Number = 0.1, *, symmetric: bool = False) -> Tensor:
    """InfoNCE: mean_i( -s_ii/t + LSE_j s_ij/t ), s_ij = <u_i, v_j>; ``symmetric`` averages rows and columns, as CLIP."""
    make = losses.info_nce_symmetric if symmetric else losses.info_nce
    return _with_temperature(make, temperature, (z1, z2))


def dcl_loss(z1: Tensor, z2: Tensor, temperature: Number = 0.1) -> Tensor:
    """DCL: NT-Xent without the matched pair in the denominator. Equal to lightly's ``DCLLoss(temperature)``."""
    return _with_temperature(losses.dcl, temperature, (z1, z2))


def dclw_loss(z1: Tensor, z2: Tensor, temperature: Number = 0.1, sigma: float = 0.5) -> Tensor:
    """DCLW: DCL whose match i has the weight 2 - N softmax_i(s_i/sigma), held fixed. Equal to lightly's ``DCLWLoss``."""
    return _with_temperature(losses.dclw, temperature, (z1, z2), sigma=sigma)


def dhel_loss(
    z1: Tensor, z2: Tensor, temperature: Number = 0.3, *, convention: Convention = "paper"
) -> Tensor:
    """DHEL: mean_i( -<u_i, v_i>/t + LSE_{j != i} <u_i, u_j>/t ), in one of its published forms."""
    return _with_temperature(losses.dhel, temperature, (z1, z2), convention=convention)


def kcl_loss(
    z1: Tensor,
    z2: Tensor,
    kernel: KernelName = "gaussian",
    width: float | None = None,
    gamma: float = 16.0,
    *,
    convention: Convention = "paper",
    offset: float | None = None,
    exponent: float | None = None,
    temperature: float | None = None,
    attraction: tuple[KernelName, float] | None = None,
) -> Tensor:
    """KCL: -mean_i k_A(<u_i, v_i>) + gamma mean_{i != j} k(<u_i, u_j>); kernels as in :func:`riesz.losses.kcl`."""
    loss = losses.kcl(
        kernel,
        width,
        gamma,
        convention,
        offset=offset,
        exponent=exponent,
        temperature=temperature,
        attraction=attraction,
    )
    return _evaluate(loss, None, (z1, z2), None)


def align_uniform_loss(
    z1: Tensor, z2: Tensor, exponent: float = 2.0, width: float = 2.0, weight: float = 1.0
) -> Tensor:
    """mean_i ||u_i - v_i||^exponent + weight/2 (U(u) + U(v)), U(x) = ln mean_{i != j} exp(-width ||x_i - x_j||^2)."""
    return _evaluate(losses.align_uniform(exponent, width, weight), None, (z1, z2), None)


def siglip_loss(z1: Tensor, z2: Tensor, scale: Number = 10.0, offset: Number = -10.0) -> Tensor:
    """SigLIP: mean_i of ln(1 + e^{-(t s_ii + b)}) + sum_{j != i} ln(1 + e^{t s_ij + b}), t the scale, b the offset."""
    if not _op.is_learnt(scale, offset):
        return _evaluate(losses.siglip(scale, offset), None, (z1, z2), None)  # type: ignore[arg-type]
    return _evaluate(losses.siglip(), _op.learnt_numbers(scale, offset), (z1, z2), None)


def spectral_loss(z1: Tensor, z2: Tensor) -> Tensor:
    """-2 mean_i <u_i, v_i> + mean_{i != j} <u_i, v_j>^2."""
    return _evaluate(losses.spectral(), None, (z1, z2), None)


def sup_con_loss(*views: Tensor, labels: Any, temperature: Number = 0.1, inside: bool = False) -> Tensor:
    """SupCon of one view or more: mean over rows p of -mean over the other rows of p's label of s/t + LSE over all other
    rows. ``inside`` takes the mean inside the logarithm (L_in), which trained worse in the paper."""
    make = losses.sup_con_in if inside else losses.sup_con
    return _with_temperature(make, temperature, views, labels)


def mv_info_nce_loss(*views: Tensor, temperature: Number = 0.5, convention: Convention = "paper") -> Tensor:
    """MV-InfoNCE of K >= 2 views."""
    return _with_temperature(losses.mv_info_nce, temperature, views, convention=convention)


def mv_dhel_loss(*views: Tensor, temperature: Number = 0.5, convention: Convention = "paper") -> Tensor:
    """MV-DHEL of K >= 2 views: views repel within themselves alone."""
    return _with_temperature(losses.mv_dhel, temperature, views, convention=convention)
