"""The two sweeps of :mod:`riesz.torch._blocks` by the compiled engine, for rows on a CPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from riesz import _riesz
from riesz._threads import num_threads
from riesz.torch._blocks import Anchors, Batch, Block, Sums, Term


@dataclass(frozen=True)
class Engine:
    """What a loss of a batch is to the engine; ``log_sums`` and ``sweep`` are as in :mod:`riesz.torch._blocks`."""

    sentence: str
    numbers: tuple[float, ...]
    batch: Batch
    groups: list[int] | None
    """The group of every image of the batch."""

    def log_sums(self, terms: list[Term], own: Block, other: Block) -> list[Tensor | None]:
        if own.images == 0 or other.images == 0:
            empty = own.rows.new_full(own.rows.shape[:2], -torch.inf, dtype=torch.float64)
            return [empty.clone() if term.is_logarithmic else None for term in terms]
        found = _riesz.log_sums(
            self.sentence,
            self.numbers,
            self.batch.images,
            self.groups,
            _part(own),
            _part(other),
            num_threads(),
        )
        shape = own.rows.shape[:2]
        return [
            torch.from_numpy(sums).view(shape) if term.is_logarithmic else None
            for term, sums in zip(terms, found)
        ]

    def sweep(
        self,
        terms: list[Term],
        own: Block,
        own_anchors: list[Anchors],
        other: Block,
        other_anchors: list[Anchors],
        grad: Tensor | None,
    ) -> list[Sums]:
        if own.images == 0 or other.images == 0:
            return [Sums() for _ in terms]
        room = torch.zeros_like(own.rows) if grad is None else grad
        found = _riesz.sweep(
            self.sentence,
            self.numbers,
            self.batch.images,
            self.groups,
            _part(own),
            [_ends(known) for known in own_anchors],
            _part(other),
            [_ends(known) for known in other_anchors],
            room.numpy(),
            num_threads(),
        )
        return [Sums(value, slope) for value, slope in found]


def _part(block: Block) -> tuple[NDArray[np.generic], int]:
    return block.rows.contiguous().numpy(), block.first


def _ends(known: Anchors) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    log_sums = torch.zeros_like(known.factor) if known.log_sum is None else known.log_sum
    return known.factor.contiguous().view(-1).numpy(), log_sums.contiguous().view(-1).numpy()
