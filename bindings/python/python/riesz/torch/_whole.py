"""A loss of a whole batch in operations on tensors, over :mod:`riesz.torch._blocks`; and what is between its two sweeps.

Both sweeps see own rows and blocks; between them the logarithms are joined (over a row, an image or a view). What differs
where a batch is spread over processes is how blocks and logarithms come here, which is what :class:`Exchange` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from riesz.losses import Loss
from riesz.torch import _blocks
from riesz.torch._blocks import Anchors, Batch, Block, Term


@dataclass(frozen=True)
class Outcome:
    """Of own rows: the loss of the whole batch, the gradient of own raw rows, and own share of the learnable numbers'."""

    value: Tensor
    learnt: Tensor
    grad: Tensor | None


@dataclass(frozen=True)
class Exchange:
    """How one process of a group gets what others have. The defaults are those of a process that has all."""

    blocks: Callable[[Block, Tensor | None], Iterable[tuple[Block, Tensor | None]]]
    """All blocks of the batch, own one included, each with the logarithms that its process gave: own in, all out."""
    stack: Callable[[Tensor], Tensor]
    """A tensor of each process, stacked in the order of ranks."""


ALONE = Exchange(blocks=lambda own, logs: [(own, logs)], stack=lambda own: own[None])


def normalize(rows: Tensor, first: int = 0) -> tuple[Tensor, Tensor]:
    """Unit rows and lengths of rows [K, n, d]; in the sentences of ``riesz::normalize``, rows counted from ``first``."""
    lengths = torch.linalg.vector_norm(rows, dim=2, dtype=_blocks.exact(rows))
    bad = ~(torch.isfinite(lengths) & (lengths >= 1e-12))
    if bool(bad.any()):
        view, row = (int(i) for i in bad.nonzero()[0])
        length = float(lengths[view, row])
        if not math.isfinite(length):
            what = "has a number that is not finite"
        elif length > 0:
            what = f"has length {length:.1e}, and below 1e-12 a row counts as zero; scale the rows"
        else:
            what = "has length 0: a zero row has no direction"
        raise ValueError(f"view {view + 1}: row {row + first} {what}")
    return (rows / lengths[:, :, None]).to(rows.dtype), lengths


def evaluate(
    loss: Loss,
    numbers: tuple[float, ...],
    own: Block,
    lengths: Tensor,
    batch: Batch,
    all_sizes: Tensor,
    with_grad: bool,
    exchange: Exchange = ALONE,
    engine: Any = _blocks,
) -> Outcome:
    """The loss of ``batch``, of which ``own`` is here; ``all_sizes`` has how many images the group of each image of the batch
    has; ``engine`` does the two sweeps.

    Every process makes the same exchanges in the same order and refuses the same, whatever it has.
    """
    terms = _blocks.terms(loss.sentence, numbers)
    batch.check(loss.name, terms, all_sizes)
    dtype = _blocks.exact(own.rows)

    def sizes(block: Block) -> Tensor:
        return all_sizes[block.first : block.first + block.images]

    # First sweep: the logarithm of each own row.
    logs: Tensor | None = None
    if any(term.is_logarithmic for term in terms):
        rows = [own.rows.new_full(own.rows.shape[:2], -math.inf, dtype=dtype) for _ in terms]
        for block, _ in exchange.blocks(own, None):
            for total, part in zip(rows, engine.log_sums(terms, own, block)):
                if part is not None:
                    total.copy_(torch.logaddexp(total, part))
        logs = torch.stack(rows)
    joined = [_join(term, batch, own, sizes, place, logs, exchange) for place, term in enumerate(terms)]
    shares = [share for share, _ in joined]
    if logs is not None:
        logs = torch.stack([of_rows if of_rows is not None else logs[0] for _, of_rows in joined])

    own_anchors = _anchors(terms, batch, own, sizes, logs)
    for term, known in zip(terms, own_anchors):
        if term.focus is not None:
            known.factor = known.factor * _focus(term.focus, batch, own, exchange)

    # Second sweep: weights, and with them the gradient; and the values of terms without a logarithm.
    grad = torch.zeros_like(own.rows) if with_grad else None
    slope = torch.zeros((), dtype=dtype, device=own.rows.device)
    if with_grad or not all(term.is_logarithmic for term in terms):
        for block, block_logs in exchange.blocks(own, logs):
            other = own_anchors if block is own else _anchors(terms, batch, block, sizes, block_logs)
            for place, sums in enumerate(engine.sweep(terms, own, own_anchors, block, other, grad)):
                slope = slope + sums.slope
                if not terms[place].is_logarithmic:
                    shares[place] = shares[place] + sums.value

    learnt = torch.zeros(loss.learnable, dtype=dtype, device=own.rows.device)
    if grad is not None:
        along = (own.rows * grad).sum(dtype=dtype)
        if loss.learnable == 1:
            learnt = -along[None] / (2.0 * numbers[0])
        elif loss.learnable == 2:
            learnt = torch.stack([along / (2.0 * numbers[0]), slope / numbers[0]])
        radial = (own.rows * grad).sum(2, keepdim=True)
        grad = ((grad - radial * own.rows) / lengths[:, :, None]).to(own.rows.dtype)
    # Added up in the order of ranks, so that every process has the same bits.
    is_finite = torch.isfinite(grad).all().to(dtype) if grad is not None else torch.ones_like(slope)
    told = exchange.stack(torch.stack([*shares, is_finite]))
    value = told[:, :-1].sum(0).sum()
    if not bool(torch.isfinite(value) & (told[:, -1] == 1.0).all()):
        raise ValueError(
            f"{loss.name} is {float(value)}, or its gradient is not finite: two rows coincide where its kernel is infinite, "
            "or a kernel of one's own gives what is no number"
        )
    return Outcome(value, learnt, grad)


def _anchors(
    terms: list[Term], batch: Batch, block: Block, sizes: Callable[[Block], Tensor], logs: Tensor | None
) -> list[Anchors]:
    known = [_blocks.anchors(term, batch, block, sizes(block)) for term in terms]
    for place, term in enumerate(terms):
        if term.is_logarithmic and logs is not None:
            known[place].log_sum = logs[place]
    return known


def _join(
    term: Term,
    batch: Batch,
    own: Block,
    sizes: Callable[[Block], Tensor],
    place: int,
    logs: Tensor | None,
    exchange: Exchange,
) -> tuple[Tensor, Tensor | None]:
    """Own share of a logarithmic term's value, and the logarithm that each own row is part of; (0, None) without one."""
    if logs is None or not term.is_logarithmic:
        return torch.zeros((), dtype=_blocks.exact(own.rows), device=own.rows.device), None
    anchor_views = term.anchor_views(batch.views)
    of_rows, base = logs[place, :anchor_views], term.base(batch)
    if term.link == "log-mean":
        # Logarithm and pairs of each view, of own images, then of all.
        pairs = term.counts(batch, sizes(own)).sum().to(of_rows.dtype).expand(anchor_views)
        all_ranks = exchange.stack(torch.stack([torch.logsumexp(of_rows, dim=1), pairs]))
        of_view = torch.logsumexp(all_ranks[:, 0], dim=0)
        value = base * (of_view - torch.log(all_ranks[:, 1].sum(0))).sum() / all_ranks.shape[0]
        of_rows = of_view[:, None].expand(-1, own.images)
    elif term.link == "image-log-sum":
        of_image = torch.logsumexp(of_rows, dim=0)
        value = base * of_image.sum()
        of_rows = of_image[None, :].expand(anchor_views, -1)
    else:
        counts = term.counts(batch, sizes(own)).to(of_rows.dtype)
        value = base * (of_rows - (torch.log(counts) if term.link == "row-log-mean" else 0.0)).sum()
    # Rows that are no anchors have a factor of 0; any finite number serves them.
    rest = own.rows.new_zeros((batch.views - anchor_views, own.images), dtype=of_rows.dtype)
    return value, torch.cat([of_rows, rest])


def _focus(sigma: float, batch: Batch, own: Block, exchange: Exchange) -> Tensor:
    """w_i = 2 - N softmax_i(s_i / sigma) over the matched cosines of all images, [K, n]; K is 2."""
    s = (own.rows[0].to(_blocks.exact(own.rows)) * own.rows[1]).sum(1) / sigma
    total = torch.logsumexp(exchange.stack(torch.logsumexp(s, dim=0)[None]).flatten(), dim=0)
    return (2.0 - batch.images * torch.exp(s - total)).expand(batch.views, -1)
