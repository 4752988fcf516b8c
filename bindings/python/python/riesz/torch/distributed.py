"""Losses of a batch that is spread over the processes of a group, with exact gradients.

The gradient of a process's own rows needs, of all others, their rows and one number a row and term (the logarithm of its
sum); so every exchange is in forward, and none in backward, where one that is left out would hang.

- ``exchange="gather"``: every process holds all rows, O(M d).
- ``exchange="ring"``: blocks of rows go round, twice (once for losses without a logarithm), and at most two foreign ones are
  held at a time.

Processes may have different numbers of images, or none. The value is that of the whole batch, the same bits everywhere. DDP and
FSDP average gradients over processes, so gradients are multiplied by their number; ``grad_average=False`` for who adds them
up. What does not fit together (dimension, views, type, loss, a row that is no number) is an error on every process.

With ``group=None`` a loss compares the rows of its process alone and exchanges nothing. For KCL that has the same expectation
(Koromilas et al., ICML 2024); for losses with a logarithm it is another loss.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor

from riesz.losses import Loss
from riesz.torch import _blocks, _op, _whole
from riesz.torch._blocks import Batch, Block
from riesz.torch._engine import Engine


def evaluate(
    loss: Loss,
    learnt: Tensor | None,
    views: Sequence[Tensor],
    labels: Any = None,
    *,
    group: Any = "world",
    exchange: Literal["gather", "ring"] = "gather",
    grad_average: bool = True,
) -> Tensor:
    """``loss`` of the batch whose own part is ``views``, n x d each; ``learnt`` its learnable numbers, if they are learnt.

    Every process of ``group`` must call it, in the same order.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise RuntimeError("a group is given, but torch.distributed is not initialized")
    group = dist.group.WORLD if group == "world" else group
    # What is wrong here must not leave others waiting: it is told with the sizes.
    refused: Exception | None = None
    rows: list[Tensor] = []
    own_labels: Tensor | None = None
    numbers = loss.numbers
    try:
        rows = _op.checked(views)
        own_labels = _op.checked_labels(labels, rows[0].shape[0])
        if learnt is not None:
            numbers = (*learnt.detach().tolist(), *numbers[learnt.numel() :])
        with torch.no_grad():
            unit, lengths = _whole.normalize(torch.stack([row.detach() for row in rows]))
    except (TypeError, ValueError) as error:
        refused = error
        unit = torch.zeros(0, 0, 0, device=_device(views))
        lengths = torch.zeros(0, 0, device=unit.device)
    inputs = [*rows, *([] if learnt is None else [learnt])]
    with_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    with torch.no_grad(), _op.without_autocast(unit):
        ranks = _Ranks.agree(
            group, unit, own_labels, _digest(loss, numbers, exchange), with_grad, refused is not None
        )
        if refused is not None:
            raise refused
        ranks.check()
        groups, sizes = ranks.groups(own_labels, unit.device)
        own = Block(unit, ranks.first(ranks.rank), _part(groups, ranks, ranks.rank))
        batch = Batch(unit.shape[0], ranks.images, groups is not None)
        way = _gather if exchange == "gather" else _ring
        found = _whole.evaluate(
            loss,
            numbers,
            own,
            lengths,
            batch,
            sizes,
            ranks.with_grad,
            _whole.Exchange(blocks=way(ranks, groups), stack=ranks.stack),
            _sweeps(loss, numbers, batch, groups, unit.device),
        )
        value = found.value.to(unit.dtype)
        if not with_grad or found.grad is None:
            return value
        factor = float(ranks.count) if grad_average else 1.0
        grads = [(grad * factor).contiguous() for grad in found.grad.unbind(0)]
        if learnt is not None:
            grads.append((found.learnt * factor).to(learnt))
    return _op.with_gradients(value, grads, inputs)


def _sweeps(
    loss: Loss, numbers: tuple[float, ...], batch: Batch, groups: Tensor | None, device: torch.device
) -> Any:
    """The compiled engine on a CPU, operations of torch elsewhere."""
    if device.type != "cpu":
        return _blocks
    return Engine(loss.sentence, numbers, batch, None if groups is None else groups.tolist())


def _device(views: Sequence[Any]) -> torch.device:
    found = [view.device for view in views if isinstance(view, Tensor)]
    return found[0] if found else torch.device("cpu")


def _digest(loss: Loss, numbers: Sequence[float], exchange: str) -> int:
    """A number of the loss and all its settings."""
    text = f"{loss.sentence} {exchange}".encode() + struct.pack(f"{len(numbers)}d", *numbers)
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "little")


_HEADER = ("images", "dimension", "views", "type", "loss", "labels", "gradient", "refused")


class _Ranks:
    """What processes know of each other before they exchange rows: a header each."""

    def __init__(self, group: Any, headers: list[dict[str, int]]) -> None:
        self.group = group
        self.headers = headers
        self.rank = dist.get_rank(group)
        self.count = len(headers)
        self.counts = [header["images"] for header in headers]
        self.images = sum(self.counts)
        self.most = max(self.counts)
        self.with_grad = any(header["gradient"] for header in headers)

    @classmethod
    def agree(
        cls, group: Any, unit: Tensor, labels: Tensor | None, loss: int, with_grad: bool, refused: bool
    ) -> _Ranks:
        views, images, dim = unit.shape
        double = int(unit.dtype == torch.float64)
        own = [images, dim, views, double, loss, int(labels is not None), int(with_grad), int(refused)]
        sent = torch.tensor(own, dtype=torch.int64, device=unit.device)
        received = [torch.empty_like(sent) for _ in range(dist.get_world_size(group))]
        dist.all_gather(received, sent, group=group)
        return cls(group, [dict(zip(_HEADER, header.tolist())) for header in received])

    def check(self) -> None:
        """The same error on every process, if headers do not fit together."""
        for rank, header in enumerate(self.headers):
            if header["refused"]:
                raise ValueError(f"rank {rank} refused its rows; its own error says why")
        first = self.headers[0]
        for rank, header in enumerate(self.headers):
            for name in ("dimension", "views"):
                if header[name] != first[name]:
                    raise ValueError(
                        f"ranks differ: rank 0 has {name} {first[name]}, rank {rank} {header[name]}"
                    )
            for name in ("type", "loss", "labels"):
                if header[name] != first[name]:
                    what = {"type": "float32 and float64", "labels": "with labels and without"}.get(name)
                    raise ValueError(
                        f"ranks 0 and {rank} differ in the {name}: "
                        + (what or "another loss, another number of it, or another exchange")
                    )

    def first(self, rank: int) -> int:
        """The first image of a rank."""
        return sum(self.counts[:rank])

    def padded(self, own: Tensor) -> Tensor:
        """``own`` [..., n, x] with as many images as the largest part has."""
        room = own.new_zeros((*own.shape[:-2], self.most, own.shape[-1]))
        room[..., : own.shape[-2], :] = own
        return room

    def all(self, own: Tensor) -> list[Tensor]:
        """Of each rank its tensor [..., n, x]."""
        sent = self.padded(own)
        received = [torch.empty_like(sent) for _ in self.headers]
        dist.all_gather(received, sent, group=self.group)
        return [tensor[..., :count, :] for tensor, count in zip(received, self.counts)]

    def stack(self, own: Tensor) -> Tensor:
        """A tensor of one shape of each rank, in their order."""
        received = [torch.empty_like(own) for _ in self.headers]
        dist.all_gather(received, own.contiguous(), group=self.group)
        return torch.stack(received)

    def groups(self, labels: Tensor | None, device: torch.device) -> tuple[Tensor | None, Tensor]:
        """The group of every image of the batch, and how many images it has."""
        every = None
        if labels is not None:
            every = torch.cat([part[:, 0] for part in self.all(labels.to(device)[:, None])])
        return _op.group_sizes(every, self.images, device)


def _part(groups: Tensor | None, ranks: _Ranks, rank: int) -> Tensor | None:
    first = ranks.first(rank)
    return None if groups is None else groups[first : first + ranks.counts[rank]]


def _gather(ranks: _Ranks, groups: Tensor | None) -> Any:
    """All rows here, gathered once; logarithms as they are asked for."""
    held: list[Tensor] = []

    def blocks(own: Block, logs: Tensor | None) -> Iterator[tuple[Block, Tensor | None]]:
        if not held:
            held.extend(ranks.all(own.rows))
        every = [None] * ranks.count if logs is None else ranks.all(logs[..., None])
        for rank, (rows, of_rank) in enumerate(zip(held, every)):
            if rank == ranks.rank:
                yield own, logs
            else:
                block = Block(rows, ranks.first(rank), _part(groups, ranks, rank))
                yield block, None if of_rank is None else of_rank[..., 0]

    return blocks


def _ring(ranks: _Ranks, groups: Tensor | None) -> Any:
    """Blocks go round: while one is looked at, the next is on its way."""
    peers = [
        rank if ranks.group is None else dist.get_global_rank(ranks.group, rank)
        for rank in range(ranks.count)
    ]
    after = peers[(ranks.rank + 1) % ranks.count]
    before = peers[(ranks.rank - 1) % ranks.count]

    def blocks(own: Block, logs: Tensor | None) -> Iterator[tuple[Block, Tensor | None]]:
        here = [ranks.padded(own.rows)] + ([] if logs is None else [ranks.padded(logs[..., None])])
        for step in range(ranks.count):
            rank = (ranks.rank - step) % ranks.count
            works, coming = [], here
            if step + 1 < ranks.count:
                coming = [torch.empty_like(tensor) for tensor in here]
                operations = [dist.P2POp(dist.isend, tensor, after, ranks.group) for tensor in here]
                operations += [dist.P2POp(dist.irecv, tensor, before, ranks.group) for tensor in coming]
                works = dist.batch_isend_irecv(operations)
            if step == 0:
                yield own, logs
            else:
                count = ranks.counts[rank]
                of_rank = None if logs is None else here[1][..., :count, 0]
                yield Block(here[0][:, :count], ranks.first(rank), _part(groups, ranks, rank)), of_rank
            for work in works:
                work.wait()
            here = coming

    return blocks
