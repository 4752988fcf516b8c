"""Contrastive losses as energies on the sphere, and the geometry of embeddings.

==================  ==============================================================================
``riesz.losses``    every loss as a value: ``riesz.losses.dhel(temperature=0.3)``
``riesz.numpy``     value and gradient of a loss on arrays
``riesz.torch``     the losses as functions and modules of PyTorch (imports torch)
``riesz.jax``       the losses as functions of JAX (imports jax)
``riesz.geometry``  where embeddings lie: a report of alignment, uniformity, ranks, duplicates, ...
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
    from riesz._geometry import GeometryReport as GeometryReport
    from riesz._geometry import GeometryState as GeometryState
    from riesz._geometry import geometry as geometry

__all__ = [
    "GeometryReport",
    "GeometryState",
    "geometry",
    "losses",
    "metrics",
    "num_threads",
    "set_num_threads",
]

__version__: str
_MODULES = ("jax", "metrics", "numpy", "torch")
_IN_GEOMETRY = ("GeometryReport", "GeometryState", "geometry")


def __getattr__(name: str) -> Any:
    if name in _IN_GEOMETRY:
        return getattr(importlib.import_module("riesz._geometry"), name)
    if name in _MODULES:
        return importlib.import_module(f"riesz.{name}")
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("riesz")
    raise AttributeError(f"module 'riesz' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, "__version__"})
