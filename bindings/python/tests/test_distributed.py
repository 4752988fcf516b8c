"""The batch over processes of gloo, against one process: value and every parameter's gradient, to 1e-12 in f64."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from riesz import losses
from riesz.losses import Loss

torch = pytest.importorskip("torch")

import ranks  # noqa: E402
import riesz.torch as rt  # noqa: E402
import torch.distributed as dist  # noqa: E402
from test_torch import EVERY, LABELED  # noqa: E402

SIZES = {
    1: [[9]],
    2: [[8, 8], [7, 4]],
    3: [[7, 4, 5], [6, 0, 5]],
    4: [[4, 4, 4, 4], [5, 1, 0, 7]],
}


def criterion(loss: Loss, **settings: Any) -> Any:
    learn = loss.learnable > 0
    return rt.ContrastiveLoss(loss, learn=learn, **settings).double()


def alone(loss: Loss, sizes: list[int]) -> tuple[float, list[Any]]:
    """Value and gradients of encoder and loss, in one process."""
    encoder, of_loss = ranks.encoder(), criterion(loss, group=None)
    z = encoder(ranks.images(sizes).flatten(0, 1)).unflatten(0, (2, -1))
    labels = ranks.labels(sizes) if loss.name in LABELED else None
    value = of_loss(*z, labels=labels)
    value.backward()
    return float(value.detach()), [p.grad for p in (*encoder.parameters(), *of_loss.parameters())]


class Step(torch.nn.Module):
    """Encoder and loss as one module, so that DDP averages the gradients of both."""

    def __init__(self, of_loss: Any) -> None:
        super().__init__()
        self.encoder, self.of_loss = ranks.encoder(), of_loss

    def forward(self, images: Any, labels: Any) -> Any:
        z = self.encoder(images.flatten(0, 1)).unflatten(0, (2, -1))
        return self.of_loss(*z, labels=labels)


def every_loss(rank: int, count: int) -> dict[str, Any]:
    worst = {"value": 0.0, "grad": 0.0, "compared": 0}
    for sizes in SIZES[count]:
        for loss in EVERY:
            want, want_grads = alone(loss, sizes)
            for exchange in ("gather", "ring"):
                step = Step(criterion(loss, group="world", exchange=exchange))
                parallel = torch.nn.parallel.DistributedDataParallel(step)
                labels = ranks.labels(sizes, rank) if loss.name in LABELED else None
                value = parallel(ranks.images(sizes, rank), labels)
                value.backward()
                off = abs(float(value.detach()) - want) / max(1.0, abs(want))
                place = f"{loss} over {sizes} by {exchange}"
                assert off < 1e-12, f"{place}: value off by {off}"
                for parameter, grad in zip(step.parameters(), want_grads):
                    off_grad = float((parameter.grad - grad).abs().max() / grad.abs().max().clamp(min=1.0))
                    assert off_grad < 1e-12, f"{place}: gradient off by {off_grad}"
                    worst["grad"] = max(worst["grad"], off_grad)
                worst["value"] = max(worst["value"], off)
                worst["compared"] += 1
    return worst


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_loss_under_ddp_is_one_process(count: int) -> None:
    found = ranks.run(count, every_loss)
    assert all(one["compared"] == 2 * len(SIZES[count]) * len(EVERY) for one in found)
    print(count, "processes:", found[0])


def others(rank: int, count: int) -> None:
    """float32; gradients that are added up; no gradient; a group that is a part; what does not fit together."""
    sizes = [7, 4]
    u, v = ranks.images(sizes, rank)
    every = ranks.images(sizes)
    want = rt.nt_xent_loss(*every, 0.2)
    single = rt.NTXentLoss(0.2, group="world")(u.float(), v.float())
    assert single.dtype == torch.float32 and abs(float(single) - float(want)) < 1e-6 * float(want)
    half = rt.NTXentLoss(0.2, group="world")(u.bfloat16(), v.bfloat16())
    assert half.dtype == torch.float32 and abs(float(half) - float(want)) < 1e-2 * float(want)

    whole = every.clone().requires_grad_()
    rt.dhel_loss(whole[0], whole[1]).backward()
    first = sum(sizes[:rank])
    own_grad = whole.grad[0, first : first + sizes[rank]]
    for average, factor in ((True, count), (False, 1)):
        own = u.clone().requires_grad_()
        rt.DHELLoss(group="world", grad_average=average)(own, v).backward()
        assert (own.grad - factor * own_grad).abs().max() < 1e-12
    # One process learns, the other's encoder is frozen: both make the same exchanges.
    own = u.clone().requires_grad_(rank == 0)
    for exchange in ("gather", "ring"):
        value = rt.NTXentLoss(0.2, group="world", exchange=exchange)(own, v)
        assert value.requires_grad == (rank == 0) and abs(float(value.detach()) - float(want)) < 1e-12
    with torch.no_grad():
        assert abs(float(rt.NTXentLoss(0.2, group="world", exchange="ring")(own, v)) - float(want)) < 1e-12

    alone = [dist.new_group([member]) for member in range(count)][rank]
    assert float(rt.NTXentLoss(0.2, group=alone)(u, v)) == pytest.approx(
        float(rt.nt_xent_loss(u, v, 0.2)), abs=1e-12
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        silent = rt.NTXentLoss(0.2)
        silent(u, v), silent(u, v), rt.NTXentLoss(0.2, group=None)(u, v)
    assert len(told) == 1 and "compares the rows of this process alone" in str(told[0].message)
    assert told[0].filename == __file__

    # The same error on every process, and none hangs.
    wide = ranks.DIM if rank else ranks.DIM + 1
    for sentence, call in [
        (
            "ranks differ: rank 0 has dimension 7, rank 1 6",
            lambda c: c(torch.ones(3, wide), torch.ones(3, wide)),
        ),
        ("differ in the type", lambda c: c(u.float(), v.float()) if rank else c(u, v)),
        ("differ in the labels", lambda c: c(u, v, labels=range(4) if rank else None)),
        (
            "row 2 has a number that is not finite" if rank else "rank 1 refused its rows",
            lambda c: c(u, v * torch.tensor([1, 1, torch.nan, 1]).double()[:, None] if rank else v),
        ),
        ("view 2 is a int" if rank else "rank 1 refused its rows", lambda c: c(u, 3 if rank else v)),
    ]:
        with pytest.raises((ValueError, TypeError), match=sentence):
            call(rt.NTXentLoss(0.2, group="world"))
    with pytest.raises(ValueError, match="differ in the loss"):
        rt.NTXentLoss(0.2 if rank else 0.3, group="world")(u, v)
    with pytest.raises(ValueError, match="at least 2 images; the batch has 1"):
        rt.NTXentLoss(group="world")(u[: 1 - rank], v[: 1 - rank])
    with pytest.raises(ValueError, match="two rows coincide"):
        # Only rank 0 has rows that meet.
        near = torch.ones(2, 3).double() if rank == 0 else torch.eye(3).double()[:2]
        rt.KCLLoss("log-distance", attraction=("gaussian", 2.0), group="world")(near.requires_grad_(), near)


def test_precision_sums_groups_and_errors() -> None:
    ranks.run(2, others)


def sharded(rank, count):  # type: ignore[no-untyped-def]
    """FSDP2: parameters are cut up over processes, gradients are averaged as DDP does."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    sizes = [7, 4]
    mesh = init_device_mesh("cpu", (count,))
    for loss in (losses.nt_xent(0.2), losses.dhel(), losses.kcl(), losses.dclw()):
        want = ranks.encoder()
        rt.contrastive_loss(loss, *want(ranks.images(sizes).flatten(0, 1)).unflatten(0, (2, -1))).backward()
        encoder = ranks.encoder()
        for layer in (encoder[0], encoder[2], encoder):
            fully_shard(layer, mesh=mesh)
        z = encoder(ranks.images(sizes, rank).flatten(0, 1)).unflatten(0, (2, -1))
        rt.ContrastiveLoss(loss, group="world")(*z).backward()
        for a, b in zip(encoder.parameters(), want.parameters()):
            assert (a.grad.full_tensor() - b.grad).abs().max() < 1e-12, loss


def test_fsdp_is_one_process() -> None:
    pytest.importorskip("torch.distributed.fsdp")
    ranks.run(2, sharded)


def lightlys(rank: int, count: int) -> tuple[float, float]:
    """How far lightly's DCLW and riesz's are from one process, over batches of 8 and 8."""
    from lightly.loss import DCLWLoss

    sizes = [8, 8]
    want_encoder = ranks.encoder()
    z = want_encoder(ranks.images(sizes).flatten(0, 1)).unflatten(0, (2, -1))
    DCLWLoss(temperature=0.1, sigma=0.5)(*z).backward()
    want = torch.cat([p.grad.flatten() for p in want_encoder.parameters()])
    off = []
    for of_loss in (
        DCLWLoss(temperature=0.1, sigma=0.5, gather_distributed=True),
        rt.DCLWLoss(0.1, 0.5, group="world"),
    ):
        encoder = ranks.encoder()
        parallel = torch.nn.parallel.DistributedDataParallel(encoder)
        z = parallel(ranks.images(sizes, rank).flatten(0, 1)).unflatten(0, (2, -1))
        of_loss(*z).backward()
        got = torch.cat([p.grad.flatten() for p in encoder.parameters()])
        off.append(float((got - want).norm() / want.norm()))
    return off[0], off[1]


def test_lightlys_dclw_beside_ours() -> None:
    pytest.importorskip("lightly")
    found = ranks.run(2, lightlys)
    theirs, ours = found[0]
    print(f"gradient of DCLW over 8 + 8 images, from one process: lightly {theirs:.2e}, riesz {ours:.2e}")
    assert theirs > 1e-3 and ours < 1e-12


def lightly_uneven(rank: int, count: int) -> None:
    from lightly.loss import DCLWLoss

    DCLWLoss(gather_distributed=True)(*ranks.images([7, 4], rank))


def test_lightly_cannot_take_uneven_batches() -> None:
    pytest.importorskip("lightly")
    with pytest.raises(Exception):  # noqa: B017  gloo's error, the end of a process, or our time limit
        ranks.run(2, lightly_uneven, seconds=30.0)
