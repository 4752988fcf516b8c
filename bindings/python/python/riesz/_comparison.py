"""Two encoders, or two checkpoints, on the same items: :func:`compare`."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from riesz import _riesz
from riesz._arrays import as_rows
from riesz._geometry import BLOCK, number_text
from riesz._numbers import as_whole
from riesz._threads import num_threads


@dataclass(frozen=True)
class Difference:
    """A metric of :func:`riesz.geometry` for both, and B - A."""

    name: str
    a: float | None
    """``None`` where it is not defined."""
    b: float | None
    difference: float | None
    low: float | None
    """The 95 % interval of the difference, for other items of the same kind; none is told of ``rank``, a count."""
    high: float | None
    rows: int
    """Items that were looked at."""


class Comparison:
    """What :func:`compare` found.

    ``linear_cka`` is 1 and ``procrustes`` 0 where B is A turned and scaled; both are ``None`` where all rows of one are equal.
    ``knn_overlap`` is the mean share of an item's ``neighbors`` nearest in A that are so in B, with ``knn_overlap_interval`` where it is
    of a sample. ``metrics`` has the metrics of both by name, each a :class:`Difference`.
    """

    rows: int
    dims: tuple[int, int]
    looked_at: int
    neighbors: int
    linear_cka: float | None
    procrustes: float | None
    knn_overlap: float
    knn_overlap_interval: tuple[float, float] | None
    metrics: dict[str, Difference]

    def __init__(self, told: dict[str, Any]) -> None:
        self.rows, self.dims = told["rows"], told["dims"]
        self.looked_at, self.neighbors = told["looked_at"], told["neighbors"]
        self.linear_cka, self.procrustes = told["linear_cka"], told["procrustes"]
        self.knn_overlap, interval = told["knn_overlap"]
        self.knn_overlap_interval = None if interval is None else tuple(interval)
        self.metrics = {}
        for name, a, b, found, rows in told["differences"]:
            difference, ends = found or (None, None)
            low, high = ends or (None, None)
            self.metrics[name] = Difference(name, a, b, difference, low, high, rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists, as JSON has them."""
        interval = self.knn_overlap_interval
        return {
            "rows": self.rows,
            "dims": list(self.dims),
            "looked_at": self.looked_at,
            "neighbors": self.neighbors,
            "linear_cka": self.linear_cka,
            "procrustes": self.procrustes,
            "knn_overlap": self.knn_overlap,
            "knn_overlap_interval": None if interval is None else list(interval),
            "metrics": {
                name: {
                    "a": one.a,
                    "b": one.b,
                    "difference": one.difference,
                    "low": one.low,
                    "high": one.high,
                    "rows": one.rows,
                }
                for name, one in self.metrics.items()
            },
        }

    def _head(self) -> str:
        return f"{self.rows} items, {self.dims[0]} numbers a row in A and {self.dims[1]} in B"

    def _likeness(self) -> list[tuple[str, str, str]]:
        of = f" of {self.looked_at} rows" if self.looked_at < self.rows else ""
        return [
            ("linear CKA", number_text(self.linear_cka), ""),
            ("procrustes distance", number_text(self.procrustes), ""),
            (
                f"kNN overlap at {self.neighbors}{of}",
                number_text(self.knn_overlap),
                _ends(self.knn_overlap_interval),
            ),
        ]

    def _lines(self) -> list[tuple[str, str, str, str, str]]:
        return [
            (
                one.name,
                number_text(one.a),
                number_text(one.b),
                number_text(one.difference),
                _ends(None if one.low is None or one.high is None else (one.low, one.high)),
            )
            for one in self.metrics.values()
        ]

    def __repr__(self) -> str:
        lines = [self._head(), ""]
        lines += [f"{name:34} {value:>10}  {ends}".rstrip() for name, value, ends in self._likeness()]
        lines += ["", f"{'':34} {'A':>10} {'B':>10} {'B - A':>10}  95 % interval"]
        lines += [
            f"{name:34} {a:>10} {b:>10} {difference:>10}  {ends}".rstrip()
            for name, a, b, difference, ends in self._lines()
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        def cells(words: tuple[str, ...]) -> str:
            sides = ["left", *["right"] * (len(words) - 2), "left"]
            return "".join(
                f"<td style='text-align:{side};white-space:nowrap;font-variant-numeric:tabular-nums'>{html.escape(word)}</td>"
                for side, word in zip(sides, words)
            )

        likeness = "".join(f"<tr>{cells(line)}</tr>" for line in self._likeness())
        metrics = "".join(f"<tr>{cells(line)}</tr>" for line in self._lines())
        return (
            f"<div><p>{html.escape(self._head())}</p><table><tbody>{likeness}</tbody></table>"
            "<table><thead><tr><th style='text-align:left'>metric</th><th style='text-align:right'>A</th>"
            "<th style='text-align:right'>B</th><th style='text-align:right'>B − A</th>"
            f"<th style='text-align:left'>95 % interval</th></tr></thead><tbody>{metrics}</tbody></table></div>"
        )


def _ends(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{number_text(interval[0])} to {number_text(interval[1])}"


def compare(a: Any, b: Any, *, neighbors: int = 10, sample: int = 10_000, seed: int = 0) -> Comparison:
    """How alike two encoders are on the same items, and how their geometry differs: what ``riesz compare`` says.

    Row i of ``a``, n x d, and of ``b``, n x e, is the same item; both are of any length but 0, in whatever :func:`riesz.geometry`
    takes. Linear CKA (Kornblith et al., ICML 2019), orthogonal Procrustes distance (Ding et al., NeurIPS 2021), the mean overlap of
    the ``neighbors`` nearest, and the difference of each metric with a 95 % interval. Beyond ``sample`` items neighbors and metrics
    of pairs are those of a keyed sample. An error that names a row counts from 0.
    """
    left, right = as_rows("a", a), as_rows("b", b)
    for name, rows in (("a", left), ("b", right)):
        if rows.ndim != 2:
            raise ValueError(f"{name} has the shape {list(rows.shape)}; rows of numbers are expected, n x d")
    if len(left) != len(right):
        raise ValueError(f"a has {len(left)} rows and b {len(right)}; both are expected to be of the same items")
    k = as_whole("neighbors", neighbors)
    state = _riesz.JointState((left.shape[1], right.shape[1]), as_whole("sample", sample), as_whole("seed", seed))
    for first in range(0, len(left), BLOCK):
        part = slice(first, first + BLOCK)
        state.push(left[part], right[part], num_threads())
    return Comparison(state.finish(k, num_threads()))
