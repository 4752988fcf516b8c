"""How many threads the compiled part takes. Results have the same bits for any number."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from functools import cache
from typing import SupportsIndex

_MOST = 1024
"""As the command line has it. Far more would take all memory before they do anything."""

_chosen: int | None = None
_default: Callable[[], int] | None = None


def set_num_threads(number: SupportsIndex) -> None:
    """Takes so many threads from now on, whatever torch takes."""
    global _chosen
    try:
        number = operator.index(number)
    except TypeError:
        raise TypeError(f"the number of threads is {number!r}; a whole number is expected") from None
    if number < 1:
        raise ValueError(f"{number} threads; at least 1 is needed")
    if number > _MOST:
        raise ValueError(f"{number} threads; at most {_MOST:,} are started")
    _chosen = number


def num_threads() -> int:
    """What was set; else the processors that this process may use (affinity and cgroup quotas count), and no more than
    ``torch.get_num_threads()`` once ``riesz.torch`` is imported."""
    if _chosen is not None:
        return _chosen
    available = _available(os.getpid())
    return available if _default is None else min(available, _default())


@cache
def _available(process: int) -> int:
    """Of this process, asked once: it takes reading some files."""
    from riesz import _riesz

    return _riesz.available_threads()


def follow(default: Callable[[], int]) -> None:
    """Takes at most as many threads as ``default`` says, unless a number was set."""
    global _default
    _default = default
