"""Single numbers that users give, or one sentence."""

from __future__ import annotations

import operator
from typing import Any


def as_number(name: str, value: Any) -> float:
    """A number; strings and truth values are none."""
    is_number = not isinstance(value, (str, bytes)) and type(value).__name__ not in ("bool", "bool_")
    if is_number:
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{name} is beyond the largest number; it must be finite") from None
        except (TypeError, ValueError):
            pass
    raise TypeError(f"{name} is {value!r}; a number is expected")


def as_whole(name: str, value: Any) -> int:
    """A whole number from 0 to 2^64 - 1."""
    try:
        whole = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; a whole number is expected") from None
    if not 0 <= whole < 2**64:
        raise ValueError(
            f"{name} must be below 2^64" if whole > 0 else f"{name} is {value}; it must be at least 0"
        )
    return whole
