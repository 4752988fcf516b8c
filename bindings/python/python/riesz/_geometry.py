"""Where embeddings lie on the sphere: :func:`geometry`, and the state behind it that streams and merges."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from riesz import _riesz
from riesz._arrays import are_words, as_labels, as_rows, label_array
from riesz._numbers import as_number, as_whole
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

    ``metrics`` has them with interval, definition and source; ``verdict`` is that of ``riesz geometry``, and ``findings`` are its
    sentences, worst first, each (tone, sentence) with the tone "bad", "mixed" or "good"; ``near_duplicate_pairs`` lists
    (row, row, cosine), nearest first; ``singular_values`` and ``mean`` are those of the unit rows; ``cosines`` counts pairs in
    256 bins of [-1, 1], ``ideal_cosines`` are the shares that uniform points have there.
    """

    rows: int
    dim: int
    looked_at: int
    verdict: str
    findings: list[tuple[str, str]]
    metrics: dict[str, Metric]
    near_duplicate_pairs: list[tuple[int, int, float]]
    singular_values: NDArray[np.float64]
    mean: NDArray[np.float64]
    cosines: NDArray[np.uint64] | None
    ideal_cosines: NDArray[np.float64] | None

    def __init__(self, told: dict[str, Any]) -> None:
        self.rows, self.dim, self.looked_at = told["rows"], told["dim"], told["looked_at"]
        self.findings = told["findings"]
        self.verdict = " ".join(sentence for _, sentence in self.findings)
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
            "findings": [list(finding) for finding in self.findings],
            "metrics": {
                name: {"value": metric.value, "low": metric.low, "high": metric.high, "rows": metric.rows}
                for name, metric in self.metrics.items()
            },
            "near_duplicate_pairs": [list(pair) for pair in self.near_duplicate_pairs],
            "singular_values": self.singular_values.tolist(),
        }

    def __repr__(self) -> str:
        lines = [f"{self.rows} rows of {self.dim} numbers", *(sentence for _, sentence in self.findings), ""]
        for metric in self.metrics.values():
            lines.append(f"{metric.name:34} {number_text(metric.value):>12}  {_interval(metric)}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr title='{html.escape(f'{metric.formula}. {metric.source}')}'>"
            f"<td style='text-align:left'><code>{metric.name}</code></td>"
            f"<td style='text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums'>{number_text(metric.value)}</td>"
            f"<td style='text-align:left;white-space:nowrap'>{_interval(metric)}</td>"
            f"<td style='text-align:left'>{html.escape(metric.about)}</td></tr>"
            for metric in self.metrics.values()
        )
        rest = "".join(f"{html.escape(sentence)}<br>" for _, sentence in self.findings[1:])
        return (
            f"<div><p><strong>{html.escape(self.findings[0][1])}</strong><br>{rest}{self.rows:,} rows of {self.dim} numbers"
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


def number_text(value: float | None) -> str:
    """A number as reports have it."""
    if value is None:
        return "–"
    if value != 0.0 and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.3e}"
    return f"{value:.4f}".rstrip("0").rstrip(".")


def _interval(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return ""
    return f"{number_text(metric.low)} to {number_text(metric.high)}"


class GeometryState:
    """What is kept of rows that stream by: enough for every metric, of a size that does not grow with them.

    States of parts merge: counts and the sample are then those of the whole to the bit, singular values to 1e-13 of the
    largest. A state can be pickled, halfway too: so parts may be done by other processes and machines, and go on there. Give each
    part another ``source`` (its file's name, say): the draws of the sample depend on it.

    Rows are taken in blocks of 8192, each with its pairs and labels or not at all. Interrupted (Ctrl-C) or refused, a state stays
    what it was after its last block; ``rows`` says how many it has. Other threads may read it meanwhile: they wait for a block.

    >>> state = GeometryState(source="part-0")  # doctest: +SKIP
    >>> for batch in batches:
    ...     state.update(batch)
    >>> state.merge(other).result()
    """

    def __init__(self, *, sample: int = 20_000, seed: int = 0, source: str = "") -> None:
        """``sample``: metrics of pairs look at so many rows at most (0: at none)."""
        self.sample, self.seed = as_whole("sample", sample), as_whole("seed", seed)
        self._source = _name(source)
        self._state: Any = None

    @property
    def rows(self) -> int:
        """Rows seen."""
        return self._state.rows if self._state is not None else 0

    def update(
        self, rows: Any, pairs: Any = None, labels: Any = None, *, source: str | None = None
    ) -> GeometryState:
        """Takes rows, n x d, of any length but 0. ``pairs`` are the rows' other views, for the alignment; ``labels`` their
        classes. ``source`` says that these are the first rows of another source. Returns itself.

        An error that names a row counts from 0 in the array that was given, ``rows`` or ``pairs``."""
        block = as_rows("rows", rows)
        partners = None if pairs is None else as_rows("pairs", pairs)
        if block.ndim != 2:
            raise ValueError(f"rows have the shape {list(block.shape)}; rows of numbers are expected, n x d")
        if partners is not None and partners.shape != block.shape:
            raise ValueError(f"pairs have the shape {list(partners.shape)}, and the rows {list(block.shape)}")
        names = None if labels is None else _labels_of(labels, len(block))
        if names is not None and self.sample == 0:
            raise ValueError("sample is 0, and labels are told of sampled rows; give a sample of some, or no labels")
        if self.rows:
            self._check_labels(names is not None, [] if names is None else [names])
        if self._state is None:
            if block.shape[1] == 0:
                raise ValueError("rows of no numbers")
            self._state = _riesz.GeometryState(block.shape[1], self.sample, self.seed, self._source)
        if source is not None and _name(source) != self._state.source:
            if source in self._state.sources:
                raise ValueError(f"source {source!r} was already taken; each part needs a name of its own")
            self._state.begin(source)
        # Pairs of another precision are not rounded to that of the rows, nor rows to theirs.
        number = block.dtype if partners is None else np.result_type(block, partners)
        for first in range(0, len(block), BLOCK):
            part = slice(first, first + BLOCK)
            given = None if partners is None else partners[part].astype(number, copy=False)
            called = None if names is None else names[part]
            try:
                self._state.push(block[part].astype(number, copy=False), given, called, first, num_threads())
            except ValueError as error:
                if first:
                    raise ValueError(f"{error} (rows 0 to {first - 1} were taken)") from None
                raise
        return self

    def merge(self, other: GeometryState) -> GeometryState:
        """Adds the rows of another state, as if they came after these. Returns itself."""
        if not isinstance(other, GeometryState):
            raise TypeError(f"what is merged is a {type(other).__name__}; a GeometryState is expected")
        if (self.sample, self.seed) != (other.sample, other.seed):
            raise ValueError(
                f"states of sample {self.sample} and {other.sample}, seed {self.seed} and {other.seed}; parts must agree"
            )
        if not other.rows:
            return self
        if not self.rows:
            self._state = _riesz.GeometryState.from_parts(other._state.parts(num_threads()))
            return self
        if both := sorted(set(self._state.sources) & set(other._state.sources)):
            raise ValueError(
                f"both states have the source {both[0]!r}; give each part its own, as GeometryState(source=...)"
            )
        self._check_labels(other._state.labeled, other._state.labels[:1])
        self._state.merge(other._state, num_threads())
        return self

    def _check_labels(self, are_there: bool, others: list[NDArray[Any]]) -> None:
        """Whether more rows with labels like these, or without, are as those that are here."""
        if self._state.labeled != are_there:
            raise ValueError("labels for some rows only; give them for all or for none")
        if others and are_words(self._state.labels[0]) != are_words(others[0]):
            raise TypeError("labels are numbers for some rows and strings for others; give one kind")

    def result(self, *, near_duplicate: float = 0.99) -> GeometryReport:
        """The report on all rows so far; the state can go on. ``near_duplicate`` is the cosine from which two rows count as
        near duplicates."""
        cosine = as_number("near_duplicate", near_duplicate)
        if not -1.0 <= cosine <= 1.0:
            raise ValueError(f"near_duplicate is {near_duplicate!r}; a cosine is expected, -1 to 1")
        if self._state is None:
            raise ValueError("geometry needs at least 2 points; there are 0")
        names = self._state.labels
        labels = as_labels(np.concatenate(names)) if names else None
        return GeometryReport(self._state.finish(cosine, labels, num_threads()))

    def __getstate__(self) -> dict[str, Any]:
        parts = None if self._state is None else self._state.parts(num_threads())
        return {"sample": self.sample, "seed": self.seed, "source": self._source, "parts": parts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "source" not in state:
            raise ValueError(
                "the state was pickled by an earlier riesz, which did not keep where its sample stands; make it anew"
            )
        self.sample, self.seed, self._source = state["sample"], state["seed"], state["source"]
        parts = state["parts"]
        self._state = None if parts is None else _riesz.GeometryState.from_parts(parts)

    def __repr__(self) -> str:
        return f"GeometryState(rows={self.rows}, sample={self.sample}, seed={self.seed})"


def _name(source: object) -> str:
    if not isinstance(source, str):
        raise TypeError(f"source is {source!r}; a name is expected")
    return source


def _labels_of(labels: Any, rows: int) -> NDArray[Any]:
    names = label_array(labels)
    if names.ndim != 1 or len(names) != rows:
        raise ValueError(
            f"labels have the shape {list(names.shape)}; one for each of {rows} rows is expected"
        )
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
    metrics of pairs are those of a keyed sample, with a 95 % interval. An error that names a row counts from 0 in the array that was
    given, ``x`` or ``pairs``.
    """
    state = GeometryState(sample=sample, seed=seed)
    return state.update(x, pairs, labels).result(near_duplicate=near_duplicate)


def value_of(name: str, x: Any, pairs: Any = None, labels: Any = None, **settings: Any) -> float:
    """One metric of :func:`geometry`; not a number where it is not defined."""
    value = geometry(x, pairs, labels, **settings).metrics[name].value
    return math.nan if value is None else value
