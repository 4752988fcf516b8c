"""The package as others meet it: types, processors that it may use, imports."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = """
import numpy as np
import riesz
import riesz.numpy
from riesz.losses import Loss

loss: Loss = riesz.losses.kcl("logarithmic", width=2.0)
z = np.zeros((2, 8, 4), dtype=np.float32)
outcome = riesz.numpy.value_and_grad(loss, z[0], z[1], labels=[0, 1])
value: float = outcome.value + riesz.numpy.value(loss, z[0], z[1])
report: riesz.GeometryReport = riesz.GeometryState(sample=10).update(z[0]).result()
rank: float | None = report.effective_rank
version: str = riesz.__version__
words: str = riesz.metrics.effective_rank(z[0])  # wrong: a float
riesz.losses.kcl("gausian")  # wrong: no such kernel
riesz.losses.dhel(0.3, convention="papre")  # wrong: no such convention
riesz.set_num_threads("2")  # wrong: no number
"""

TORCH_SAMPLE = """
import riesz.torch
import torch

criterion = riesz.torch.DHELLoss(temperature=0.3, learn=True, group="world", exchange="ring")
z = torch.zeros(8, 4)
loss: torch.Tensor = criterion(z, z)
other: torch.Tensor = riesz.torch.nt_xent_loss(z, z, temperature=torch.tensor(0.5))
encoder: torch.nn.Module = riesz.torch.load_encoder("run")
riesz.torch.nt_xent_loss(z)  # wrong: one view
riesz.torch.NTXentLoss(0.5, reduction="none")  # wrong: no such setting
riesz.torch.KCLLoss("gaussian", exchange="rings")  # wrong: no such exchange
scale: float | torch.Tensor = riesz.torch.SigLIPLoss().scale
riesz.torch.dhel_loss(z, z, convention="papre")  # wrong: no such convention
"""


@pytest.mark.parametrize("sample", [SAMPLE, TORCH_SAMPLE], ids=["riesz", "torch"])
def test_types_tell_right_from_wrong(sample: str, tmp_path: Path) -> None:
    """mypy finds what is wrong in a user's program, and nothing else."""
    pytest.importorskip("mypy")
    if sample is TORCH_SAMPLE:
        pytest.importorskip("torch")
    file = tmp_path / "sample.py"
    file.write_text(sample)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(file)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, cwd=tmp_path)
    lines = [i for i, line in enumerate(sample.splitlines(), 1) if "# wrong" in line]
    found = [int(line.split(":")[1]) for line in told.stdout.splitlines() if ": error:" in line]
    assert found == lines, told.stdout + told.stderr


def test_the_package_itself_is_typed(tmp_path: Path) -> None:
    """mypy's strict rules over its sources, but for what needs a library that is not here."""
    pytest.importorskip("mypy")
    root = Path(__file__).parents[1]
    lacking = [name for name in ("torch", "jax") if importlib.util.find_spec(name) is None]
    files = [
        str(file)
        for file in (root / "python").rglob("*.py")
        if not {file.stem, file.parent.name} & set(lacking)
    ]
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path), *files]
    told = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, cwd=root)
    assert told.returncode == 0, told.stdout + told.stderr


def test_a_quota_of_processors_is_honoured(tmp_path: Path) -> None:
    """A container of one processor's time, as Docker and Kubernetes make it: here its files alone, in a namespace of its own."""
    unshare = shutil.which("unshare")
    if unshare is None or not sys.platform.startswith("linux"):
        pytest.skip("no namespaces here")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor here")
    groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, group in groups:
        if controllers and "cpu" not in controllers.split(","):
            continue
        folder = (tmp_path / "cpu" if controllers else tmp_path) / group.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.controllers").write_text("cpu\n")
        (folder / "cpu.max").write_text("100000 100000\n")
        (folder / "cpu.cfs_quota_us").write_text("100000\n")
        (folder / "cpu.cfs_period_us").write_text("100000\n")
    inside = f"mount --bind {tmp_path} /sys/fs/cgroup && exec {sys.executable} -c 'import riesz; print(riesz.num_threads())'"
    command = [unshare, "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c", inside]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "import" not in done.stderr and done.returncode != 0:
        pytest.skip(f"no namespace of one's own here: {done.stderr.strip()}")
    assert done.stdout == "1\n", done.stderr
