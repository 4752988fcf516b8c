"""A loss by blocks of rows, in operations on tensors: on any device, in memory O(rows x chunk).

K views of N images; a :class:`Block` is some consecutive images of the batch, all views of them: the whole batch, or what one
process has. Whatever the loss, W_pq = dL/ds_pq of an ordered pair (anchor p, other q) depends on the cosine s_pq and on two
numbers of row p: its factor a_p, and, where a logarithm is taken, its logarithm L_p:

    W_pq = a_p e^{ln k(s_pq) - L_p} k'/k     or, without a logarithm,     W_pq = a_p k'(s_pq),

and the gradient of x_p is the sum over q of (W_pq + W_qp) x_q. So two functions do: :func:`log_sums` of own rows against a
block, and, once the logarithms of both are known, :func:`sweep` of own rows against a block. Own rows are read and written,
the block's are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from riesz import _riesz
from riesz.torch import _kernels

CELLS = 1 << 22
"""Cosines of a chunk of rows."""


@dataclass(frozen=True)
class Term:
    """One term of a loss, as ``riesz::loss::Term``."""

    role: str
    weight: float
    link: str
    pairs: tuple[bool, bool, bool, bool]
    """Itself, matched, cross, within."""
    anchors: str
    kernel: str
    numbers: list[float]
    focus: float | None

    @property
    def is_logarithmic(self) -> bool:
        return "log" in self.link

    def anchor_views(self, views: int) -> int:
        return 1 if self.anchors == "first-view" else views

    def base(self, batch: Batch) -> float:
        """The weight over what the mean runs over, but for an anchor's pairs."""
        views = batch.views if self.anchors == "all-views" else 1
        match self.link:
            case "image-log-sum":
                return self.weight / batch.images
            case "log-mean":
                return self.weight / views
        return self.weight / (views * batch.images)

    def counts(self, batch: Batch, sizes: Tensor) -> Tensor:
        """How many pairs an anchor of each image has, given how many images its group has."""
        itself, matched, cross, within = self.pairs
        others = batch.images - sizes
        return (
            int(itself)
            + int(matched) * (batch.views * sizes - 1)
            + int(cross) * (batch.views - 1) * others
            + int(within) * others
        )


def terms(sentence: str, numbers: tuple[float, ...]) -> list[Term]:
    """The terms of a loss."""
    return [Term(*words) for words in _riesz.terms(sentence, numbers)]


@dataclass(frozen=True)
class Batch:
    """The sizes of the whole batch."""

    views: int
    images: int
    grouped: bool
    """Whether some images are of one group."""

    def check(self, name: str, terms: list[Term], sizes: Tensor) -> None:
        """Refuses what ``Loss::check`` refuses, in its sentences."""
        for term in terms:
            _, matched, cross, within = term.pairs
            if self.images == 0 or ((cross or within) and self.images < 2):
                raise ValueError(f"a contrastive loss needs at least 2 images; the batch has {self.images}")
            if not self.grouped and self.views < 2 and (matched or cross):
                raise ValueError(f"{name} needs at least 2 views of each image; there is {self.views}")
            if self.grouped and term.focus is not None:
                raise ValueError(f"{name} weighs one match of an image; it takes no groups")
            if self.grouped and bool((term.counts(self, sizes) == 0).any()):
                lacking = "match" if matched else "row of another group"
                raise ValueError(f"{name} needs a {lacking} for each row; those of some image have none")


@dataclass(frozen=True)
class Block:
    """Images ``first ..`` of the batch."""

    rows: Tensor
    """Unit rows, [K, n, d]."""
    first: int
    groups: Tensor | None = None
    """The group of each image, [n], if the batch has groups."""

    @property
    def images(self) -> int:
        return self.rows.shape[1]


@dataclass
class Anchors:
    """What a term knows of a block's rows as anchors."""

    factor: Tensor
    """a_p, [K, n]; 0 where a row is no anchor."""
    log_sum: Tensor | None = None
    """L_p, [K, n], if the term has a logarithm."""


@dataclass
class Sums:
    """What a sweep finds of a term."""

    value: float | Tensor = 0.0
    slope: float | Tensor = field(default=0.0)


def anchors(term: Term, batch: Batch, block: Block, sizes: Tensor) -> Anchors:
    """The factors of a block's rows; ``sizes`` are how many images the group of each has."""
    factor = torch.full((block.images,), term.base(batch), dtype=exact(block.rows), device=block.rows.device)
    if term.link == "mean":
        factor = factor / term.counts(batch, sizes)
    is_anchor = torch.arange(batch.views, device=factor.device) < term.anchor_views(batch.views)
    return Anchors(torch.where(is_anchor[:, None], factor[None, :], 0.0))


def exact(rows: Tensor) -> torch.dtype:
    """What long sums are kept in: float64 where the device has it."""
    return torch.float32 if rows.device.type in ("mps", "xpu") else torch.float64


@dataclass(frozen=True)
class _Tile:
    """Rows ``from_ .. end`` of own view k against view l of the block."""

    own: Block
    other: Block
    k: int
    l: int
    from_: int
    end: int

    def cosines(self) -> Tensor:
        return self.own.rows[self.k, self.from_ : self.end] @ self.other.rows[self.l].T

    def of_own(self, numbers: Tensor, dtype: torch.dtype) -> Tensor:
        """Numbers [K, n] of own rows, beside their cosines."""
        return numbers[self.k, self.from_ : self.end, None].to(dtype)

    def of_other(self, numbers: Tensor, dtype: torch.dtype) -> Tensor:
        return numbers[self.l][None, :].to(dtype)

    def weighted(self, weights: Tensor) -> Tensor:
        """The sum of the block's rows, weighted."""
        return weights @ self.other.rows[self.l]

    def pairs(self, term: Term) -> Tensor | bool:
        """Which cells are pairs of the term: all, none, or a mask."""
        itself, matched, cross, within = term.pairs
        same_view = self.k == self.l
        elsewhere = within if same_view else cross
        on_diagonal = itself if same_view else matched
        overlap = _overlap(self.own, self.other, self.from_, self.end)
        own, other = self.own.groups, self.other.groups
        grouped = own is not None and other is not None and matched != elsewhere
        if not grouped and (overlap is None or on_diagonal == elsewhere):
            return elsewhere
        shape = (self.end - self.from_, self.other.images)
        mask = torch.full(shape, elsewhere, device=self.own.rows.device)
        if own is not None and other is not None and grouped:
            kin = own[self.from_ : self.end, None] == other[None, :]
            mask = torch.where(kin, matched, mask)
        if overlap is not None:
            i = torch.arange(*overlap, device=mask.device)
            mask[i - self.from_, i + (self.own.first - self.other.first)] = on_diagonal
        return mask


class _Matches(_Tile):
    """Rows of own view k against the rows of the same images in view l: one cosine a row, [n, 1]."""

    def _others(self, numbers: Tensor) -> Tensor:
        shift = self.own.first - self.other.first
        return numbers[self.l, self.from_ + shift : self.end + shift]

    def cosines(self) -> Tensor:
        own = self.own.rows[self.k, self.from_ : self.end]
        return (own * self._others(self.other.rows)).sum(1, keepdim=True)

    def of_other(self, numbers: Tensor, dtype: torch.dtype) -> Tensor:
        return self._others(numbers)[:, None].to(dtype)

    def weighted(self, weights: Tensor) -> Tensor:
        return weights * self._others(self.other.rows)

    def pairs(self, term: Term) -> Tensor | bool:
        return True


def _overlap(own: Block, other: Block, from_: int, end: int) -> tuple[int, int] | None:
    """Which of own images ``from_ .. end`` the block has, counted in own images."""
    first = max(from_, other.first - own.first)
    end = min(end, other.first + other.images - own.first)
    return (first, end) if first < end else None


def _visits(terms: list[Term], own: Block, other: Block) -> Iterator[tuple[_Tile, list[int]]]:
    """The tiles of own rows against the block, each with the places of the terms that have pairs there."""
    views, images, _ = own.rows.shape
    if other.images == 0 or images == 0:
        return
    near = [own.groups is None and term.pairs == (False, True, False, False) for term in terms]
    matched = [place for place, is_near in enumerate(near) if is_near]
    wide = [place for place, is_near in enumerate(near) if not is_near]
    overlap = _overlap(own, other, 0, images)
    chunk = max(1, CELLS // other.images)
    for k in range(views):
        for l in range(views):
            if k != l and overlap is not None and matched:
                yield _Matches(own, other, k, l, *overlap), matched
            for from_ in range(0, images, chunk):
                tile = _Tile(own, other, k, l, from_, min(images, from_ + chunk))
                met = [place for place in wide if _can_meet(terms[place], tile)]
                if met:
                    yield tile, met


def _can_meet(term: Term, tile: _Tile) -> bool:
    """Whether some cell is a pair of the term, as far as can be told without looking at groups."""
    itself, matched, cross, within = term.pairs
    same_view = tile.k == tile.l
    if within if same_view else cross:
        return True
    if tile.own.groups is not None and matched:
        return True
    overlaps = _overlap(tile.own, tile.other, tile.from_, tile.end) is not None
    return overlaps and (itself if same_view else matched)


def log_sums(terms: list[Term], own: Block, other: Block) -> list[Tensor | None]:
    """Of each logarithmic term: ln of the sum of k over the pairs anchored in each own row whose other row is the block's,
    [K, n]; -inf where there is none."""
    views, images, _ = own.rows.shape
    found: list[Tensor | None] = [
        own.rows.new_full((views, images), -math.inf, dtype=exact(own.rows)) if term.is_logarithmic else None
        for term in terms
    ]
    for tile, places in _visits(terms, own, other):
        wanted = [
            (terms[place], sums)
            for place in places
            if (sums := found[place]) is not None and tile.k < terms[place].anchor_views(views)
        ]
        if not wanted:
            continue
        s = tile.cosines()
        for term, sums in wanted:
            ln, _ = _kernels.ln_at(term.kernel, term.numbers, s)
            ln = _only(ln, tile.pairs(term), -math.inf)
            rows = sums[tile.k, tile.from_ : tile.end]
            rows.copy_(torch.logaddexp(rows, torch.logsumexp(ln, dim=1).to(rows.dtype)))
    return found


def sweep(
    terms: list[Term],
    own: Block,
    own_anchors: list[Anchors],
    other: Block,
    other_anchors: list[Anchors],
    grad: Tensor | None,
) -> list[Sums]:
    """Adds to ``grad`` [K, n, d] what own rows' gradient owes to the block; returns, over pairs anchored in own rows, the
    value of the terms without a logarithm, and the sum of W of all."""
    sums = [Sums() for _ in terms]
    for tile, places in _visits(terms, own, other):
        s = tile.cosines()
        weights: Tensor | None = None
        for place in places:
            term, a, b = terms[place], own_anchors[place], other_anchors[place]
            mask = tile.pairs(term)
            factor, other_factor = tile.of_own(a.factor, s.dtype), tile.of_other(b.factor, s.dtype)
            if a.log_sum is not None and b.log_sum is not None:
                ln, ratio = _kernels.ln_at(term.kernel, term.numbers, s)
                ours = factor * torch.exp(ln - tile.of_own(a.log_sum, s.dtype)) * ratio
                theirs = other_factor * torch.exp(ln - tile.of_other(b.log_sum, s.dtype)) * ratio
            else:
                value, slope = _kernels.at(term.kernel, term.numbers, s)
                ours, theirs = factor * slope, other_factor * slope
                value = _only(_only(factor * value, factor != 0.0, 0.0), mask, 0.0)
                sums[place].value = sums[place].value + value.sum(dtype=exact(s))
            # A factor of 0 says that the row is no anchor, whatever the kernel is.
            ours = _only(_only(ours, factor != 0.0, 0.0), mask, 0.0)
            theirs = _only(_only(theirs, other_factor != 0.0, 0.0), mask, 0.0)
            sums[place].slope = sums[place].slope + ours.sum(dtype=exact(s))
            weights = ours + theirs if weights is None else weights + ours + theirs
        if grad is not None and weights is not None:
            grad[tile.k, tile.from_ : tile.end] += tile.weighted(weights)
    return sums


def _only(cells: Tensor, mask: Tensor | bool, blank: float) -> Tensor:
    """``cells`` where ``mask`` is, ``blank`` elsewhere."""
    if isinstance(mask, Tensor):
        return torch.where(mask, cells, blank)
    return cells if mask else torch.full_like(cells, blank)
