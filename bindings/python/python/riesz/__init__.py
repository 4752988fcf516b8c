"""Contrastive losses as energies on the sphere, and the geometry of embeddings.

==================  ==============================================================================
``riesz.losses``    every loss as a value: ``riesz.losses.dhel(temperature=0.3)``
``riesz.numpy``     value and gradient of a loss on arrays
``riesz.torch``     the losses as functions and modules of PyTorch (imports torch)
``riesz.jax``       the losses as functions of JAX (imports jax)
``riesz.geometry``  where embeddings lie: a report of alignment, uniformity, ranks, duplicates, ...
``riesz.compare``   two encoders on the same items: how alike, and how their geometry differs
``riesz.nearest``   the nearest others of each row; ``riesz.duplicates`` rows that are nearly the same
``riesz.sphere``    where a loss puts free points, what is proven of them, and what no encoder can undercut
==================  ==============================================================================

Importing ``riesz`` imports neither numpy nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from riesz import losses
from riesz._threads import num_threads, set_num_threads

if TYPE_CHECKING:
    import riesz.metrics as metrics
    import riesz.sphere as sphere
    from riesz._comparison import Comparison as Comparison
    from riesz._comparison import Difference as Difference
    from riesz._comparison import compare as compare
    from riesz._geometry import GeometryReport as GeometryReport
    from riesz._geometry import GeometryState as GeometryState
    from riesz._geometry import geometry as geometry
    from riesz._neighbors import duplicates as duplicates
    from riesz._neighbors import nearest as nearest

__all__ = [
    "Comparison",
    "Difference",
    "GeometryReport",
    "GeometryState",
    "compare",
    "duplicates",
    "geometry",
    "losses",
    "metrics",
    "nearest",
    "num_threads",
    "set_num_threads",
    "sphere",
]

__version__: str
_MODULES = ("jax", "metrics", "numpy", "sphere", "torch")
_LAZY = {
    "Comparison": "_comparison",
    "Difference": "_comparison",
    "GeometryReport": "_geometry",
    "GeometryState": "_geometry",
    "compare": "_comparison",
    "duplicates": "_neighbors",
    "geometry": "_geometry",
    "nearest": "_neighbors",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"riesz.{_LAZY[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"riesz.{name}")
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("riesz")
    raise AttributeError(f"module 'riesz' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, "__version__"})
