"""Where embeddings lie on the sphere: :func:`geometry`, and the state behind it that streams and merges."""

from __future__ import annotations

import html
import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from riesz import _riesz
from riesz._arrays import as_labels, as_rows
from riesz._threads import num_threads

BLOCK = 8192
"""Rows that are taken at once, so that a large array is not copied whole."""


@dataclass(frozen=True)
class Metric:
    """One number of a report."""

    name: str
    value: float | None
    """``None`` where it is not defined."""
    low: float | None
    """The 95 % interval, if the number is of a sample."""
    high: float | None
    rows: int
    """Rows that were looked at."""
    about: str
    formula: str
    source: str
    better: str
    """"lower", "higher" or "", where it says how things are and not how good."""


class GeometryReport:
    """What :func:`geometry` found. Every metric is an attribute: ``report.effective_rank``; ``None`` where it is not defined.

    ``metrics`` has them with interval, definition and source; ``verdict`` is one sentence; ``near_duplicate_pairs`` lists
    (row, row, cosine), nearest first; ``singular_values`` and ``mean`` are those of the unit rows; ``cosines`` counts pairs in
    256 bins of [-1, 1], ``ideal_cosines`` are the shares that uniform points have there.
    """

    rows: int
    dim: int
    looked_at: int
    verdict: str
    metrics: dict[str, Metric]
    near_duplicate_pairs: list[tuple[int, int, float]]
    singular_values: NDArray[np.float64]
    mean: NDArray[np.float64]
    cosines: NDArray[np.uint64] | None
    ideal_cosines: NDArray[np.float64] | None

    def __init__(self, told: dict[str, Any]) -> None:
        self.rows, self.dim, self.looked_at = told["rows"], told["dim"], told["looked_at"]
        self.verdict = told["verdict"][0].upper() + told["verdict"][1:] + "."
        self.near_duplicate_pairs = told.get("near_duplicate_pairs", [])
        self.singular_values, self.mean = told["singular_values"], told["mean"]
        self.cosines, self.ideal_cosines = told.get("cosines"), told.get("ideal_cosines")
        self.metrics = {metric.name: metric for metric in self._metrics(told)}

    def _metrics(self, told: dict[str, Any]) -> Iterator[Metric]:
        about = {words[0]: words for words in _riesz.metrics()}
        for name, value, interval in told["metrics"]:
            _, text, formula, source, better, of_pairs = about[name]
            low, high = interval or (None, None)
            rows = self.looked_at if of_pairs else self.rows
            yield Metric(name, value, low, high, rows, text, formula, source, better)
        if told["labeled"] is not None:
            for (name, text, formula, source), value in zip(_LABELED, told["labeled"]):
                rows = self.looked_at
                yield Metric(name, value, None, None, rows, text, formula, source, "higher")

    def __getattr__(self, name: str) -> float | None:
        metrics = self.__dict__.get("metrics", {})
        if name in metrics:
            value: float | None = metrics[name].value
            return value
        raise AttributeError(f"the report has no {name!r}; it has {', '.join(metrics)}")

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), *self.metrics])

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists, as JSON has them."""
        return {
            "rows": self.rows,
            "dim": self.dim,
            "looked_at": self.looked_at,
            "verdict": self.verdict,
            "metrics": {
                name: {"value": metric.value, "low": metric.low, "high": metric.high, "rows": metric.rows}
                for name, metric in self.metrics.items()
            },
            "near_duplicate_pairs": [list(pair) for pair in self.near_duplicate_pairs],
            "singular_values": self.singular_values.tolist(),
        }

    def __repr__(self) -> str:
        lines = [f"{self.rows} rows of {self.dim} numbers", self.verdict, ""]
        for metric in self.metrics.values():
            lines.append(f"{metric.name:34} {_number(metric.value):>12}  {_interval(metric)}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr title='{html.escape(f'{metric.formula}. {metric.source}')}'>"
            f"<td style='text-align:left'><code>{metric.name}</code></td>"
            f"<td style='text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums'>{_number(metric.value)}</td>"
            f"<td style='text-align:left;white-space:nowrap'>{_interval(metric)}</td>"
            f"<td style='text-align:left'>{html.escape(metric.about)}</td></tr>"
            for metric in self.metrics.values()
        )
        return (
            f"<div><p><strong>{html.escape(self.verdict)}</strong><br>{self.rows:,} rows of {self.dim} numbers"
            f"{self._of_sample()}</p>{self._spectrum_svg()}"
            "<table><thead><tr><th style='text-align:left'>metric</th><th style='text-align:right'>value</th>"
            "<th style='text-align:left'>95 % interval</th><th style='text-align:left'>what it says</th></tr></thead>"
            f"<tbody>{cells}</tbody></table></div>"
        )

    def _of_sample(self) -> str:
        if 0 < self.looked_at < self.rows:
            return f"; metrics of pairs are those of {self.looked_at:,} sampled rows"
        return ""

    def _spectrum_svg(self) -> str:
        """Singular values over the largest, on a logarithmic scale down to 10^-6, in the notebook's own colours."""
        values = self.singular_values
        if len(values) < 2 or values[0] <= 0.0:
            return ""
        width, height, left, bottom = 420.0, 120.0, 44.0, 20.0
        shares = np.maximum(values / values[0], 1e-6)
        x = left + np.arange(len(shares)) / (len(shares) - 1) * (width - left - 6.0)
        y = 6.0 - np.log10(shares) / 6.0 * (height - bottom - 6.0)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y))
        ticks = "".join(
            f"<line x1='{left}' x2='{width - 6}' y1='{at:.1f}' y2='{at:.1f}' stroke='currentColor' "
            f"stroke-opacity='0.2'/><text x='{left - 6}' y='{at + 4:.1f}' text-anchor='end' fill='currentColor'>"
            f"{label}</text>"
            for power, label in ((0, "1"), (-2, "0.01"), (-4, "1e-4"), (-6, "1e-6"))
            for at in [6.0 - power / 6.0 * (height - bottom - 6.0)]
        )
        return (
            f"<svg viewBox='0 0 {width:.0f} {height:.0f}' width='{width:.0f}' height='{height:.0f}' role='img' "
            f"aria-label='singular values over the largest' font-size='11'>{ticks}"
            f"<polyline points='{points}' fill='none' stroke='currentColor' stroke-width='1.5'/>"
            f"<text x='{left}' y='{height - 4:.0f}' fill='currentColor'>"
            f"singular values over the largest, 1 to {len(values)}</text></svg>"
        )


_LABELED = [
    (
        "lidar",
        "effective rank of what tells the classes apart; at most classes - 1 or the dimension",
        "exp H of the eigenvalues of Sw^(-1/2) Sb Sw^(-1/2)",
        "Thilak et al., ICLR 2024, with labels for classes",
    ),
    (
        "silhouette",
        "how much nearer a point is to its class than to the next one; 1 when classes are points apart, 0 when they mix",
        "mean (b - a)/max(a, b), a and b mean cosine distances to the own and to the nearest other class",
        "Rousseeuw 1987",
    ),
]


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if value != 0.0 and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.3e}"
    return f"{value:.4f}".rstrip("0").rstrip(".")


def _interval(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return ""
    return f"{_number(metric.low)} to {_number(metric.high)}"


class GeometryState:
    """What is kept of rows that stream by: enough for every metric, of a size that does not grow with them.

    States of parts merge: counts and the sample are then those of the whole to the bit, singular values to 1e-13 of the
    largest. A state can be pickled, so parts may be done by other processes and machines. Give each part another ``source``
    (its file's name, say): the draws of the sample depend on it.

    >>> state = GeometryState(source="part-0")  # doctest: +SKIP
    >>> for batch in batches:
    ...     state.update(batch)
    >>> state.merge(other).result()
    """

    def __init__(self, *, sample: int = 20_000, seed: int = 0, source: str = "") -> None:
        """``sample``: metrics of pairs look at so many rows at most (0: at none)."""
        self.sample, self.seed = _whole("sample", sample), _whole("seed", seed)
        self._sources = [source]
        self._state: Any = None
        self._labels: list[Any] = []

    @property
    def rows(self) -> int:
        """Rows seen."""
        return self._state.rows if self._state is not None else 0

    def update(
        self, rows: Any, pairs: Any = None, labels: Any = None, *, source: str | None = None
    ) -> GeometryState:
        """Takes rows, n x d, of any length but 0. ``pairs`` are the rows' other views, for the alignment; ``labels`` their
        classes. ``source`` says that these are the first rows of another source. Returns itself."""
        block = as_rows("rows", rows)
        partners = None if pairs is None else as_rows("pairs", pairs).astype(block.dtype, copy=False)
        if block.ndim != 2:
            raise ValueError(f"rows have the shape {list(block.shape)}; rows of numbers are expected, n x d")
        if partners is not None and partners.shape != block.shape:
            raise ValueError(f"pairs have the shape {list(partners.shape)}, and the rows {list(block.shape)}")
        names = None if labels is None else _names(labels, len(block))
        if self.rows and bool(self._labels) != (names is not None):
            raise ValueError("labels for some rows only; give them for all or for none")
        # On a copy, so that rows that are refused leave the state as it was.
        if self._state is None:
            if block.shape[1] == 0:
                raise ValueError("rows of no numbers")
            self._state = _riesz.GeometryState(block.shape[1], self.sample, self.seed, self._sources[0])
        if source is not None and source != self._sources[-1]:
            if source in self._sources:
                raise ValueError(f"source {source!r} was already taken; each part needs a name of its own")
            self._state.begin(source)
            self._sources.append(source)
        for first in range(0, len(block), BLOCK):
            part = slice(first, first + BLOCK)
            given = None if partners is None else partners[part]
            try:
                self._state.push(block[part], given, num_threads())
            except ValueError as error:
                if first:
                    raise ValueError(f"{error} (rows 0 to {first - 1} of this block were taken)") from None
                raise
            if names is not None:
                self._labels.append(names[part])
        return self

    def merge(self, other: GeometryState) -> GeometryState:
        """Adds the rows of another state, as if they came after these. Returns itself."""
        if (self.sample, self.seed) != (other.sample, other.seed):
            raise ValueError(
                f"states of sample {self.sample} and {other.sample}, seed {self.seed} and {other.seed}; parts must agree"
            )
        if other._state is None:
            return self
        if self._state is None:
            self.__setstate__(other.__getstate__())
            return self
        if both := sorted(set(self._sources) & set(other._sources)):
            raise ValueError(
                f"both states have the source {both[0]!r}; give each part its own, as GeometryState(source=...)"
            )
        if bool(self._labels) != bool(other._labels):
            raise ValueError("labels in one state only; give them to all or to none")
        self._state.merge(other._state, num_threads())
        self._sources += other._sources
        self._labels += other._labels
        return self

    def result(self, *, near_duplicate: float = 0.99) -> GeometryReport:
        """The report on all rows so far; the state can go on. ``near_duplicate`` is the cosine from which two rows count as
        near duplicates."""
        if not -1.0 <= near_duplicate <= 1.0:
            raise ValueError(f"near_duplicate is {near_duplicate!r}; a cosine is expected, -1 to 1")
        if self._state is None:
            raise ValueError("geometry needs at least 2 points; there are 0")
        labels = as_labels(np.concatenate(self._labels)) if self._labels else None
        return GeometryReport(self._state.finish(near_duplicate, labels, num_threads()))

    def __getstate__(self) -> dict[str, Any]:
        parts = None if self._state is None else self._state.parts(num_threads())
        settings = {"sample": self.sample, "seed": self.seed, "sources": list(self._sources)}
        return {**settings, "labels": list(self._labels), "parts": parts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.sample, self.seed = state["sample"], state["seed"]
        self._sources, self._labels = state["sources"], state["labels"]
        parts = state["parts"]
        self._state = None if parts is None else _riesz.GeometryState.from_parts(parts)

    def __repr__(self) -> str:
        return f"GeometryState(rows={self.rows}, sample={self.sample}, seed={self.seed})"


def _whole(name: str, number: SupportsIndex) -> int:
    try:
        whole = operator.index(number)
    except TypeError:
        raise TypeError(f"{name} is {number!r}; a whole number is expected") from None
    if not 0 <= whole < 2**64:
        raise ValueError(f"{name} is {number}; it must be at least 0{' and below 2^64' if whole > 0 else ''}")
    return whole


def _names(labels: Any, rows: int) -> NDArray[Any]:
    names = np.asarray(labels.detach().cpu() if hasattr(labels, "detach") else labels)
    if names.ndim != 1 or len(names) != rows:
        raise ValueError(
            f"labels have the shape {list(names.shape)}; one for each of {rows} rows is expected"
        )
    as_labels(names[:1])
    return names


def geometry(
    x: Any,
    pairs: Any = None,
    labels: Any = None,
    *,
    sample: int = 20_000,
    seed: int = 0,
    near_duplicate: float = 0.99,
) -> GeometryReport:
    """Where the rows of ``x``, n x d, lie on the sphere: alignment, uniformity, ranks, duplicates, hubness and more.

    Rows of any length are scaled to unit length. ``x`` is a NumPy array, a tensor of torch, or whatever has ``__array__``
    or DLPack. ``pairs`` are the rows' other views; ``labels`` their classes (numbers or strings). Beyond ``sample`` rows the
    metrics of pairs are those of a keyed sample, with a 95 % interval.
    """
    state = GeometryState(sample=sample, seed=seed)
    return state.update(x, pairs, labels).result(near_duplicate=near_duplicate)


def value_of(name: str, x: Any, pairs: Any = None, labels: Any = None, **settings: Any) -> float:
    """One metric of :func:`geometry`; not a number where it is not defined."""
    value = geometry(x, pairs, labels, **settings).metrics[name].value
    return math.nan if value is None else value
