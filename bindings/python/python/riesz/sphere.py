"""Free points on the sphere: where a loss or an energy puts them, what is proven of it, and what no encoder can undercut.

>>> import riesz
>>> found = riesz.sphere.minimize(riesz.losses.dhel(0.3), points=5, dim=4, starts=4)
>>> found.configuration
'regular simplex'
>>> round(found.value - found.bound.value, 12)
0.0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from riesz import _riesz
from riesz._numbers import as_whole
from riesz._threads import num_threads
from riesz.losses import KernelName, Loss, as_loss, kernel_with_number

__all__ = ["Bound", "LocalMinimum", "Minimum", "bound", "energy", "minimize", "sample", "uniform_energy"]


@dataclass(frozen=True)
class Bound:
    """A value that no points undercut."""

    value: float
    theorem: str
    """Why, in words."""


@dataclass(frozen=True)
class LocalMinimum:
    """A local minimum that some starts came to."""

    value: float
    starts: int
    configuration: str | None
    """What it is called, if it is known."""


@dataclass(frozen=True, eq=False)
class Minimum:
    """The least that :func:`minimize` found."""

    value: float
    points: NDArray[np.float64]
    """views x n x d, unit rows."""
    gradient: float
    """The norm of the gradient along the spheres, relative to the value."""
    end: str
    """Why the descent ended: "converged", "at the floor of f64", or why not."""
    configuration: str | None
    """What the points are called, if their cosines are those of a known configuration."""
    exact_value: float | None
    """The loss of that configuration, by its exact cosines."""
    cosines: list[tuple[float, int]]
    """The distinct cosines of the first view, and of how many pairs each is."""
    misalignment: float | None
    """The largest 1 - <x, y> of matched points, with several views."""
    bound: Bound | None
    """What no points undercut, if a theorem says."""
    certificates: list[str]
    """What is proven of these points; empty if no theorem that is tried proves them the least."""
    local_minima: list[LocalMinimum]
    """The ten lowest, from the lowest up; this one is the first."""

    def __repr__(self) -> str:
        lines = [
            f"value        {self.value!r}",
            f"points       {' x '.join(map(str, self.points.shape))}, {self.configuration or 'no known configuration'}",
        ]
        if self.bound is not None:
            lines.append(f"bound        {self.bound.value!r} by {self.bound.theorem}")
        lines += [f"certificate  {one}" for one in self.certificates or ["none"]]
        return "\n".join(lines)


def energy(
    kernel: KernelName = "gaussian",
    *,
    width: float | None = None,
    offset: float | None = None,
    exponent: float | None = None,
    temperature: float | None = None,
) -> Loss:
    """The energy of one set of points: the mean of a kernel over its pairs, for :func:`minimize`, :func:`bound` and
    :func:`riesz.numpy.value` with one view.

    Kernels and their parameters are those of :func:`riesz.losses.kcl`. ``energy("riesz", exponent=1)`` is Thomson's problem.
    """
    words, number = kernel_with_number(kernel, width, offset, exponent, temperature)
    return Loss(f"energy {kernel}", (number,), words, learnable=0)


def minimize(
    loss: Loss, points: int, dim: int, *, views: int | None = None, starts: int = 20, seed: int = 1
) -> Minimum:
    """Puts ``points`` points of the sphere in ``dim`` dimensions, in each of ``views`` views, where ``loss`` is least.

    Riemannian L-BFGS in float64 from ``starts`` keyed starts; the lowest that was found, which is the global minimum where
    ``certificates`` say so. ``views`` are 2, or 1 for an :func:`energy`. Ctrl-C ends it. The command is ``riesz sphere minimize``, with
    the same numbers.
    """
    loss = as_loss(loss)
    count = _views(loss, views)
    n, d = as_whole("points", points), as_whole("dim", dim)
    if (tried := as_whole("starts", starts)) == 0:
        raise ValueError("starts is 0; at least 1 is needed")
    told: dict[str, Any] = _riesz.minimize(
        loss.sentence, loss.numbers, n, d, count, tried, as_whole("seed", seed), num_threads()
    )
    if "nowhere" in told:
        raise ValueError(f"{loss!r}: {told['nowhere']}")
    return Minimum(
        value=told["value"],
        points=told["points"].reshape(count, n, d),
        gradient=told["gradient"],
        end=told["end"],
        configuration=told["configuration"],
        exact_value=told["exact_value"],
        cosines=told["cosines"],
        misalignment=told["misalignment"],
        bound=None if told["bound"] is None else Bound(*told["bound"]),
        certificates=told["certificates"],
        local_minima=[LocalMinimum(*one) for one in told["minima"]],
    )


def bound(loss: Loss, points: int, dim: int, *, views: int | None = None) -> Bound | None:
    """What no ``points`` points of the sphere in ``dim`` dimensions undercut, by convexity, linear programming or squares; ``None`` if no
    theorem that is tried says. A training's loss on batches of so many images is at least this."""
    loss = as_loss(loss)
    n, d = as_whole("points", points), as_whole("dim", dim)
    found = _riesz.bound(loss.sentence, loss.numbers, n, d, _views(loss, views))
    return None if found is None else Bound(*found)


def _views(loss: Loss, views: int | None) -> int:
    return (1 if loss.name == "energy" else 2) if views is None else as_whole("views", views)


def sample(points: int, dim: int, *, seed: int = 0) -> NDArray[np.float64]:
    """Independent uniform points of the sphere in ``dim`` dimensions, n x d. The first of more are those of fewer."""
    n, d = as_whole("points", points), as_whole("dim", dim)
    if d == 0:
        raise ValueError("dim is 0; at least 1 is needed")
    return _riesz.sample(n, d, as_whole("seed", seed), num_threads()).reshape(n, d)


def uniform_energy(
    dim: int,
    kernel: KernelName = "gaussian",
    *,
    width: float | None = None,
    offset: float | None = None,
    exponent: float | None = None,
    temperature: float | None = None,
) -> float:
    """The mean of a kernel over pairs of independent uniform points in ``dim`` dimensions: what the energy of more and more points comes
    to. Infinite for a Riesz kernel of exponent dim - 1 or more."""
    _, number = kernel_with_number(kernel, width, offset, exponent, temperature)
    if (d := as_whole("dim", dim)) == 0:
        raise ValueError("dim is 0; at least 1 is needed")
    return _riesz.uniform_energy(kernel, number, d)
