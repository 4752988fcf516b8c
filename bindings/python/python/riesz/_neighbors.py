"""Which rows are near each other: :func:`nearest` and :func:`duplicates`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from riesz import _riesz
from riesz._arrays import as_rows
from riesz._numbers import as_number, as_whole
from riesz._threads import num_threads


def nearest(x: Any, k: int = 10) -> NDArray[np.int64]:
    """The ``k`` nearest others of each row by the cosine, n x k, nearest first; of equally near ones the first first.

    All pairs are looked at, in time O(n² d) and memory O(n k) for each thread. Rows, n x d, are scaled to unit length.
    """
    rows = as_rows("x", x)
    found = _riesz.nearest(rows, as_whole("k", k), num_threads())
    return found.astype(np.int64).reshape(len(rows), -1)


def duplicates(x: Any, above: float = 0.98) -> list[list[int]]:
    """Groups of rows that cosines of at least ``above`` connect, directly or over others; each group in order, by their first rows.

    All pairs are looked at, in time O(n² d) and memory O(n). A group is a chain, whose ends may be far apart; of each group the first
    could stay.
    """
    cosine = as_number("above", above)
    if not -1.0 <= cosine <= 1.0:
        raise ValueError(f"above is {above!r}; a cosine is expected, -1 to 1")
    groups: list[list[int]] = _riesz.duplicates(as_rows("x", x), cosine, num_threads())
    return groups
