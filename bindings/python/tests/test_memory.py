"""Memory grows as the rows, not as their square: on the engine and in operations of torch, and by blocks over processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import peaks  # noqa: E402
import ranks  # noqa: E402
import riesz.torch as rt  # noqa: E402
import torch.distributed as dist  # noqa: E402
from riesz import losses  # noqa: E402
from riesz.torch import _op  # noqa: E402

pytestmark = pytest.mark.skipif(not peaks.RESET.exists(), reason="no peaks of a process here")


@pytest.fixture(autouse=True)
def _allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in peaks.ALLOCATOR.items():
        monkeypatch.setenv(name, value)


M, D = 4096, 128


def _rows(images: int) -> Any:
    return torch.randn(2, images, D, generator=torch.Generator().manual_seed(0))


def by_the_engine(images: int) -> Callable[[], Any]:
    rows = _rows(images).requires_grad_()
    return lambda: rt.nt_xent_loss(*rows).backward()


def by_operations_of_torch(images: int) -> Callable[[], Any]:
    rows = _rows(images)
    return lambda: _op.on_device(losses.nt_xent(), rows, None, True)


def _measure(make: Callable[[int], Callable[[], Any]], answers: Any) -> None:
    answers.put(peaks.growth(make(M)))


@pytest.mark.parametrize(
    ("make", "most"),
    # Rows and gradients some times over; beside them chunks of 2^22 cosines, each a few times.
    [(by_the_engine, 5 * 2 * M * D * 4), (by_operations_of_torch, 10 * 2 * M * D * 4 + 10 * (1 << 22) * 4)],
    ids=["engine", "torch"],
)
def test_a_batch_takes_memory_as_its_rows(make: Callable[[int], Callable[[], Any]], most: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    process = spawn.Process(target=_measure, args=(make, answers), daemon=True)
    process.start()
    found = answers.get(timeout=120)
    process.join()
    square = (2 * M) ** 2 * 4
    print(f"M {M}, d {D}: {found / 1e6:.0f} MB; a matrix of all cosines is {square / 1e6:.0f} MB")
    assert found < most < square


IMAGES, WIDTH = 768, 1024
BLOCK = 2 * IMAGES * WIDTH * 4
"""Bytes of the rows of a process."""


def of_exchanges(rank: int, count: int) -> dict[str, float]:
    """How many blocks the process's peak grows by in one forward and backward, by each exchange."""
    found = {}
    for exchange in ("gather", "ring"):
        criterion = rt.NTXentLoss(group="world", exchange=exchange)
        rows = torch.randn(2, IMAGES, WIDTH, generator=torch.Generator().manual_seed(rank)).requires_grad_()
        dist.barrier()
        found[exchange] = peaks.growth(lambda: criterion(*rows).backward()) / BLOCK  # noqa: B023
        dist.barrier()
    return found


def test_memory_of_the_ring_does_not_grow_with_the_processes() -> None:
    most = {}
    for count in (2, 4, 6):
        found = ranks.run(count, of_exchanges)
        most[count] = {exchange: max(one[exchange] for one in found) for exchange in ("gather", "ring")}
        print(count, "processes, blocks:", most[count])
    # Gathered, each process more is a block more; handed round, it is none.
    assert most[6]["gather"] > most[2]["gather"] + 3.0
    assert most[6]["ring"] < most[2]["ring"] + 1.0 and most[6]["ring"] < most[6]["gather"] - 1.0
