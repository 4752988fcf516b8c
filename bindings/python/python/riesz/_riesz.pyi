"""The compiled part. Use ``riesz.numpy``, ``riesz.torch`` and ``riesz.geometry``."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

Rows: TypeAlias = NDArray[Any]
Term: TypeAlias = tuple[str, float, str, tuple[bool, bool, bool, bool], str, str, list[float], float | None]

def value_and_grad(
    sentence: str,
    numbers: Sequence[float],
    views: Sequence[Rows],
    labels: Sequence[int] | None,
    learns: bool,
    threads: int,
) -> tuple[float, float, float, list[float], list[float], list[Rows]]: ...
def value(
    sentence: str,
    numbers: Sequence[float],
    views: Sequence[Rows],
    labels: Sequence[int] | None,
    threads: int,
) -> float: ...
def terms(sentence: str, numbers: Sequence[float]) -> list[Term]: ...
def available_threads() -> int: ...
def log_sums(
    sentence: str,
    numbers: Sequence[float],
    images: int,
    groups: Sequence[int] | None,
    own: tuple[Rows, int],
    other: tuple[Rows, int],
    threads: int,
) -> list[Rows]: ...
def sweep(
    sentence: str,
    numbers: Sequence[float],
    images: int,
    groups: Sequence[int] | None,
    own: tuple[Rows, int],
    own_ends: Sequence[tuple[Rows, Rows]],
    other: tuple[Rows, int],
    other_ends: Sequence[tuple[Rows, Rows]],
    grad: Rows,
    threads: int,
) -> list[tuple[float, float]]: ...
def metrics() -> list[tuple[str, str, str, str, str, bool]]: ...

class GeometryState:
    def __init__(self, dim: int, sample: int, seed: int, source: str) -> None: ...
    @property
    def rows(self) -> int: ...
    @property
    def dim(self) -> int: ...
    def begin(self, source: str) -> None: ...
    def push(self, block: Rows, pairs: Rows | None, threads: int) -> None: ...
    def merge(self, other: GeometryState, threads: int) -> None: ...
    def parts(self, threads: int) -> dict[str, Any]: ...
    @staticmethod
    def from_parts(parts: dict[str, Any]) -> GeometryState: ...
    def finish(self, near_duplicate: float, labels: Sequence[int] | None, threads: int) -> dict[str, Any]: ...
