"""Gradient caching and encoders of ``riesz train``."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import riesz.torch as rt  # noqa: E402
from torch import nn  # noqa: E402

ROOT = golden.FOLDER.parent


def network(dropout: float) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 8)).double()


def images() -> Any:
    return torch.randn(2, 22, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def gradients(net: Any, criterion: Any) -> list[Any]:
    return [parameter.grad for parameter in (*net.parameters(), *criterion.parameters())]


def test_cached_backward_is_the_single_pass() -> None:
    x = images()
    net, criterion = network(0.0), rt.DHELLoss(learn=True)
    want = criterion(net(x[0]), net(x[1]))
    want.backward()
    want_grads = gradients(net, criterion)
    for sizes in ([22], [8, 8, 6], [1] * 22):
        net, criterion = network(0.0), rt.DHELLoss(learn=True)
        got = rt.cached_backward(lambda c, net=net: (net(c[0]), net(c[1])), x.split(sizes, 1), criterion)
        assert abs(float(got) - float(want.detach())) < 1e-14
        for a, b in zip(gradients(net, criterion), want_grads):
            assert (a - b).abs().max() < 1e-13


def test_cached_backward_draws_the_same_twice() -> None:
    """With dropout: the gradient is that of the masks with which the loss was taken."""
    x = images()
    net, criterion = network(0.4), rt.NTXentLoss()
    torch.manual_seed(5)
    rt.cached_backward(lambda c: (net(c[0]), net(c[1])), x.split([10, 12], 1), criterion)
    after = torch.rand(1)
    same = network(0.4)
    torch.manual_seed(5)
    parts = [(same(c[0]), same(c[1])) for c in x.split([10, 12], 1)]
    assert torch.equal(torch.rand(1), after)
    criterion(*(torch.cat(view) for view in zip(*parts))).backward()
    for a, b in zip(net.parameters(), same.parameters()):
        assert (a.grad - b.grad).abs().max() < 1e-13


def test_cached_backward_scales_and_refuses() -> None:
    x = images()
    net, scaled = network(0.0), network(0.0)
    rt.cached_backward(lambda c: (net(c[0]), net(c[1])), x.split(11, 1), rt.NTXentLoss())
    embed = lambda c: (scaled(c[0]), scaled(c[1]))  # noqa: E731
    rt.cached_backward(embed, x.split(11, 1), rt.NTXentLoss(), scale=lambda loss: 8.0 * loss)
    for a, b in zip(net.parameters(), scaled.parameters()):
        assert torch.allclose(8.0 * a.grad, b.grad, rtol=1e-12)
    with pytest.raises(ValueError, match="there is no chunk"):
        rt.cached_backward(embed, [], rt.NTXentLoss())
    with pytest.raises(TypeError, match="Sequential has no no_sync"):
        rt.cached_backward(embed, x.split(11, 1), rt.NTXentLoss(), module=scaled)


def ddp(rank: int, count: int) -> None:
    """Chunks under DDP: gradients are those of one process with the whole batch, and are sent once."""
    import ranks
    from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

    sizes = [7, 4]
    want = ranks.encoder()
    z = want(ranks.images(sizes).flatten(0, 1)).unflatten(0, (2, -1))
    rt.nt_xent_loss(*z, 0.2).backward()
    encoder = ranks.encoder()
    parallel = nn.parallel.DistributedDataParallel(encoder)
    sent = []

    # DDP looks at annotations, and would not know these.
    def hook(state, bucket):  # type: ignore[no-untyped-def]
        sent.append(1)
        return default_hooks.allreduce_hook(None, bucket)

    parallel.register_comm_hook(None, hook)
    # Not as many chunks on each rank.
    chunks = ranks.images(sizes, rank).split([3, 2, 2] if rank == 0 else [4], 1)
    embed = lambda c: parallel(c.flatten(0, 1)).unflatten(0, (2, -1)).unbind(0)  # noqa: E731
    rt.cached_backward(embed, chunks, rt.NTXentLoss(0.2, group="world"), module=parallel)
    assert len(sent) == 1
    for a, b in zip(encoder.parameters(), want.parameters()):
        assert (a.grad - b.grad).abs().max() < 1e-12


def test_cached_backward_under_ddp() -> None:
    import ranks

    ranks.run(2, ddp)


def write(path: Path, tensors: dict[str, Any], about: dict[str, str]) -> None:
    header: dict[str, Any] = {"__metadata__": {"riesz": json.dumps(about)}}
    data = b""
    for name, tensor in tensors.items():
        part = tensor.numpy().astype("<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + len(part)],
        }
        data += part
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def about(backbone: str, stem: str, size: int, channels: int) -> dict[str, str]:
    recipe = {"backbone": backbone, "stem": stem, "projector": {"hidden": 32, "output": 16}}
    return {
        "format": "riesz encoder 1",
        "encoder": json.dumps(recipe),
        "size": str(size),
        "channels": str(channels),
    }


@pytest.mark.parametrize(
    ("backbone", "stem", "size", "channels"),
    [
        ("resnet-small", "auto", 28, 1),
        ("resnet-small", "auto", 96, 3),
        ("resnet18", "small", 32, 3),
        ("resnet50", "imagenet", 64, 3),
        ("vit-tiny", "auto", 32, 3),
    ],
)
def test_every_backbone_loads(tmp_path: Path, backbone: str, stem: str, size: int, channels: int) -> None:
    pytest.importorskip("timm" if backbone == "vit-tiny" else "torchvision")
    from riesz.torch import encoder as of_runs

    net = of_runs._backbone(backbone, stem, size, channels)
    width = {"resnet-small": 128, "resnet18": 512, "resnet50": 2048, "vit-tiny": 192}[backbone]
    made = of_runs.Encoder(net, of_runs._projector(width, 32, 16), size, channels)
    for parameter in made.parameters():
        nn.init.normal_(parameter, 0.0, 0.05)
    leave_out = ("num_batches_tracked", "projector.4.bias")
    tensors = {name: t for name, t in made.state_dict().items() if not name.endswith(leave_out)}
    nn.init.zeros_(made.projector[4].bias)
    write(tmp_path / "encoder.safetensors", tensors, about(backbone, stem, size, channels))
    loaded = rt.load_encoder(tmp_path)
    x = torch.rand(2, channels, size, size)
    assert (
        not loaded.training
        and torch.equal(loaded(x), made.eval()(x))
        and torch.equal(loaded.embed(x), made.embed(x))
    )
    tensors.popitem()
    write(tmp_path / "encoder.safetensors", tensors, about(backbone, stem, size, channels))
    with pytest.raises(ValueError, match="lacks"):
        rt.load_encoder(tmp_path / "encoder.safetensors")


def test_what_is_no_encoder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no encoder.safetensors"):
        rt.load_encoder(tmp_path)
    file = tmp_path / "encoder.safetensors"
    for content in (b"", b"abc", b"\x02\0\0\0\0\0\0\0{}", b"\xff" * 40):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="is no encoder of riesz"):
            rt.load_encoder(file)


def test_an_encoder_of_riesz_train_gives_the_same(tmp_path: Path) -> None:
    """Trains a little with the program, embeds images with it and here."""
    pytest.importorskip("torchvision")
    from PIL import Image

    built = ROOT / "target" / "release" / "riesz"
    program = built if built.exists() else shutil.which("riesz")
    if program is None:
        pytest.skip("target/release/riesz is not built")
    draws = np.random.default_rng(0)
    pictures = draws.integers(0, 256, (40, 28, 28), dtype=np.uint8)
    folder = tmp_path / "images"
    folder.mkdir()
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{i:02}.png")
    run, rows = tmp_path / "run", tmp_path / "rows.npy"
    settings = [
        "data.limit=256",
        "evaluation.pairs=50",
        "evaluation.references=60",
        "evaluation.epoch-references=50",
    ]
    train = ["train", "--run", str(run), "--epochs", "1"]
    for setting in settings:
        train += ["--set", setting]
    for call in (
        train,
        ["embed", str(run), str(folder), "--output", str(rows)],
        ["embed", str(run), str(folder), "--output", str(tmp_path / "z.npy"), "--part", "projector"],
    ):
        subprocess.run([str(program), *call], check=True, capture_output=True, timeout=300)
    encoder = rt.load_encoder(run)
    x = torch.from_numpy(pictures.astype(np.float32) / 255.0)[:, None]
    with torch.no_grad():
        h, z = encoder(x).numpy(), nn.functional.normalize(encoder.embed(x), dim=1).numpy()
    want, want_z = np.load(rows), np.load(tmp_path / "z.npy")
    assert np.abs(h - want).max() < 1e-4 * np.abs(want).max()
    assert np.abs(z - want_z).max() < 1e-4
    print("largest difference:", np.abs(h - want).max() / np.abs(want).max(), np.abs(z - want_z).max())
