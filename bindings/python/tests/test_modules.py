"""Modules and their settings: what is refused when they are made, and what they tell of themselves."""

from __future__ import annotations

from typing import Any

import pytest
from riesz import losses

torch = pytest.importorskip("torch")

import riesz.torch as rt  # noqa: E402


@pytest.mark.parametrize("dtype", [torch.int64, torch.float16, torch.bfloat16], ids=str)
def test_one_learnt_number_does_not_round_the_others(dtype: Any) -> None:
    """An offset of -9.53 beside a whole scale was -9."""
    u, v = torch.randn(2, 24, 8, generator=torch.Generator().manual_seed(0))
    want = rt.siglip_loss(u, v, 8.0, -9.53).item()
    assert abs(rt.siglip_loss(u, v, torch.tensor(8, dtype=dtype), -9.53).item() - want) < 1e-6


def test_modules_refuse_settings_when_they_are_made() -> None:
    for make, sentence in (
        (lambda: rt.NTXentLoss(0.0), "temperature is 0; it must be above 0"),
        (lambda: rt.NTXentLoss(-1.0, learn=True), "temperature is -1; it must be above 0"),
        (lambda: rt.SigLIPLoss(0.0, learn=True), "scale is 0; it must be above 0"),
        (lambda: rt.DHELLoss(convention="papre"), 'convention is "papre"'),  # type: ignore[arg-type]
        (lambda: rt.KCLLoss("riesz", exponent=1.0), "the attraction kernel grows without bound"),
    ):
        with pytest.raises(ValueError, match=sentence):
            make()
    with pytest.raises(ValueError, match="group is 'wrld'; expected \"world\", a ProcessGroup or None"):
        rt.NTXentLoss(group="wrld")
    with pytest.raises(TypeError, match="the loss is the function dhel, without its parentheses"):
        rt.ContrastiveLoss(losses.dhel)  # type: ignore[arg-type]


def test_modules_tell_what_they_are() -> None:
    assert repr(rt.InfoNCELoss(symmetric=True)) == "InfoNCELoss(temperature=0.1, symmetric=True)"
    assert repr(rt.SupConLoss(0.2, inside=True)) == "SupConLoss(temperature=0.2, inside=True)"
    assert repr(rt.SupConLoss()) == "SupConLoss(temperature=0.1)"
    fixed, learnt = rt.SigLIPLoss(5.0, -3.0), rt.SigLIPLoss(5.0, -3.0, learn=True)
    assert (fixed.scale, fixed.offset) == (5.0, -3.0)
    assert isinstance(learnt.scale, torch.Tensor) and abs(learnt.scale.item() - 5.0) < 1e-5
    with pytest.raises(AttributeError):
        rt.NTXentLoss().scale  # noqa: B018
