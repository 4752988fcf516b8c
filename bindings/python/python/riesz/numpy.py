"""Value and gradient of every loss on NumPy arrays, or on whatever has ``__array__`` or DLPack.

>>> import numpy as np, riesz.numpy
>>> z = np.random.default_rng(0).standard_normal((2, 64, 16))
>>> outcome = riesz.numpy.value_and_grad(riesz.losses.dhel(0.3), z[0], z[1])
>>> outcome.grads[0].shape
(64, 16)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from riesz import _riesz
from riesz._arrays import as_labels, as_rows
from riesz._threads import num_threads
from riesz.losses import Loss, as_loss


@dataclass(frozen=True, eq=False)
class ValueAndGrad:
    """What :func:`value_and_grad` found."""

    value: float
    """The loss."""
    attraction: float
    """The share of the terms that pull matched pairs together."""
    repulsion: float
    """The share of the terms that push; ``value`` is the sum of both."""
    terms: tuple[float, ...]
    """Each term's share."""
    grads: tuple[NDArray[Any], ...]
    """The gradient with respect to each view's rows as they were given, n x d."""
    parameter_grads: dict[str, float]
    """dL/d temperature; or dL/d scale and dL/d offset of SigLIP; empty for other losses."""


def value_and_grad(loss: Loss, *views: Any, labels: Any = None) -> ValueAndGrad:
    """Value of ``loss`` and its gradient with respect to ``views``, each n x d, rows of any length but 0 (they are made unit).

    Computes in the arrays' own precision, float32 or float64; float16 is computed in float32. Memory: O(n d). ``labels``
    are n whole numbers or strings: rows with the same label match.

    Raises ``ValueError`` or ``TypeError`` with one sentence for other shapes and types, rows of zeros and numbers that
    are not finite.
    """
    loss = as_loss(loss)
    rows = [as_rows(f"view {i}", view) for i, view in enumerate(views, 1)]
    value, attraction, repulsion, terms, learnt, grads = _riesz.value_and_grad(
        loss.sentence, loss.numbers, rows, as_labels(labels), True, num_threads()
    )
    names = [name for name, value in loss.words if not isinstance(value, str)]
    return ValueAndGrad(value, attraction, repulsion, tuple(terms), tuple(grads), dict(zip(names, learnt)))


def value(loss: Loss, *views: Any, labels: Any = None) -> float:
    """The value of ``loss`` alone, at about a quarter of the work for most losses."""
    loss = as_loss(loss)
    rows = [as_rows(f"view {i}", view) for i, view in enumerate(views, 1)]
    return _riesz.value(loss.sentence, loss.numbers, rows, as_labels(labels), num_threads())
