"""By how much a process's peak of memory grows while something runs (Linux)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

RESET = Path("/proc/self/clear_refs")
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Environment of a process to be measured: what is freed goes back at once."""


def growth(work: Callable[[], Any]) -> int:
    """Bytes, of a second run: what is made and loaded once does not count."""
    work()
    RESET.write_text("5")
    before = _resident("VmRSS")
    work()
    return _resident("VmHWM") - before


def _resident(what: str) -> int:
    """Bytes of "VmRSS", what the process holds, or "VmHWM", its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(what))
