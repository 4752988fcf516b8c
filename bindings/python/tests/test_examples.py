"""Every example runs, and says what it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(*command: str, seconds: float = 1200.0) -> str:
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=seconds, cwd=EXAMPLES, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(pattern: str, told: str) -> list[float]:
    """The numbers of the first place that looks so."""
    found = re.search(pattern, told)
    assert found is not None, told
    return [float(number) for number in found.groups()]


def test_every_example_is_run_here() -> None:
    here = Path(__file__).read_text()
    assert all(f'"{file.name}"' in here for file in EXAMPLES.glob("*.py"))


def test_simclr() -> None:
    pytest.importorskip("torchvision")
    first, last = numbers(r"loss: ([\d.]+) at the first step, ([\d.]+) at the last", run("simclr.py"))
    assert last < first - 0.5


def test_sentences() -> None:
    pytest.importorskip("torch")
    told = run("sentences.py")
    losses = [float(loss) for loss in re.findall(r"step \d+: loss (-?[\d.]+)", told)]
    assert len(losses) == 3 and losses[-1] < losses[0] and told.count("\n- ") == 3


def test_ddp_of_two_processes() -> None:
    pytest.importorskip("torchvision")
    # What torchrun is; two processes of gloo.
    told = run("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "ddp.py")
    losses = [float(loss) for loss in re.findall(r"loss of 128 images (-?[\d.]+)", told)]
    assert len(losses) == 4 and losses[-1] < losses[0]
    # KCL without any exchange has the expectation of KCL over all processes.
    off, error = numbers(r"fixed statistics: .* difference (-?[\d.]+) with standard error ([\d.]+)", told)
    assert 0.0 < error < 0.05 and abs(off) < 4.0 * error, told


@pytest.mark.parametrize("way", ["processes", "ray"])
def test_parts_of_shards(way: str) -> None:
    pytest.importorskip("pyarrow")
    if way == "ray":
        pytest.importorskip("ray")
    told = run("geometry_parts.py", *(["--ray"] if way == "ray" else []))
    assert told.startswith("20600 rows of 64 numbers")
    (off,) = numbers(r"singular values off by ([\d.e+-]+) of the largest; the same sample", told)
    assert off < 1e-13
