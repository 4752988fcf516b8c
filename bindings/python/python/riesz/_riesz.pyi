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
