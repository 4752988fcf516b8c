"""SimCLR on real images in plain PyTorch: with riesz's loss and with lightly's the same curve; and the examples run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))


def test_the_loss_curve_is_lightlys(monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64: in float32 training amplifies the last digits of either loss by some 10^5 in 50 steps."""
    lightly = pytest.importorskip("lightly.loss")
    import riesz.torch
    import simclr

    torch.set_num_threads(1)
    pictures = simclr.images("train").double()
    monkeypatch.setattr(simclr, "images", lambda split: pictures)
    torch.set_default_dtype(torch.float64)
    try:
        _, ours = simclr.train(riesz.torch.NTXentLoss(0.5), steps=50, batch=64)
        _, theirs = simclr.train(lightly.NTXentLoss(temperature=0.5), steps=50, batch=64)
    finally:
        torch.set_default_dtype(torch.float32)
    apart = max(abs(a - b) for a, b in zip(ours, theirs))
    print(f"loss from {ours[0]:.4f} to {ours[-1]:.4f}; largest difference in 50 steps {apart:.1e}")
    assert apart < 1e-5 and ours[-1] < ours[0] - 0.1


def test_parts_of_shards() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "geometry_parts.py")],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.startswith("20600 rows of 64 numbers")
