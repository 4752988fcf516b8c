"""What each process of a test of :mod:`riesz.torch.distributed` does, and how such processes are started and ended."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

DIM, FEATURES = 6, 5


def _port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _start(rank: int, count: int, port: int, work: Callable[[int, int], Any], answers: Any) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=count)
    try:
        answers.put((rank, work(rank, count), None))
    except Exception:  # noqa: BLE001  a failure goes to the test
        answers.put((rank, None, traceback.format_exc()))
    finally:
        dist.destroy_process_group()


def run(count: int, work: Callable[[int, int], Any], seconds: float = 600.0) -> list[Any]:
    """``work(rank, count)`` on so many processes of gloo; what each returns. Fails if one fails, or after so many seconds."""
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    port = _port()
    processes = [
        spawn.Process(target=_start, args=(rank, count, port, work, answers), daemon=True)
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    try:
        found: dict[int, Any] = {}
        while len(found) < count:
            rank, answer, failure = answers.get(timeout=seconds)
            assert failure is None, f"rank {rank}: {failure}"
            found[rank] = answer
        return [found[rank] for rank in range(count)]
    finally:
        for process in processes:
            process.join(10)
            if process.is_alive():
                process.kill()


def images(sizes: list[int], rank: int | None = None) -> torch.Tensor:
    """Both views of the images of a rank, or of all: [2, n, features]. No rank's are like another's."""
    draws = torch.Generator().manual_seed(11)
    every = torch.randn(2, sum(sizes), FEATURES, generator=draws, dtype=torch.float64)
    every[1] = every[0] + 0.4 * every[1]
    every += torch.arange(sum(sizes), dtype=torch.float64)[None, :, None] / 20.0
    if rank is None:
        return every
    first = sum(sizes[:rank])
    return every[:, first : first + sizes[rank]]


def labels(sizes: list[int], rank: int | None = None) -> torch.Tensor:
    """Groups that reach across ranks."""
    every = torch.arange(sum(sizes)) % 3
    if rank is None:
        return every
    first = sum(sizes[:rank])
    return every[first : first + sizes[rank]]


def encoder() -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Linear(FEATURES, 9), torch.nn.Tanh(), torch.nn.Linear(9, DIM)
    ).double()
