"""Encoders that ``riesz train`` made, as modules of torch."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    """A backbone, torchvision's residual network or timm's ViT, and the projector that the loss saw.

    ``encoder(images)`` are representations h, [n, d]; ``encoder.embed(images)`` embeddings z, which the loss makes unit. Images
    are [n, channels, size, size], in [0, 1], as ``torchvision.transforms.ToTensor`` gives them; where the encoder wants them
    normalized (``pixels``: means and deviations of the channels), it does that itself.
    """

    def __init__(
        self,
        backbone: nn.Module,
        projector: nn.Module,
        size: int,
        channels: int,
        pixels: tuple[list[float], list[float]] | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.projector = backbone, projector
        self.size, self.channels = size, channels
        self.pixels = pixels

    def forward(self, images: Tensor) -> Tensor:
        if self.pixels is not None:
            mean, deviation = (images.new_tensor(numbers).view(1, -1, 1, 1) for numbers in self.pixels)
            images = (images - mean) / deviation
        h: Tensor = self.backbone(images)
        return h

    def embed(self, images: Tensor) -> Tensor:
        z: Tensor = self.projector(self(images))
        return z


def load_encoder(run: str | os.PathLike[str]) -> Encoder:
    """The encoder of a run folder of ``riesz train`` (or its ``encoder.safetensors``), in evaluation mode.

    Needs torchvision for residual networks, timm for ViT. Raises ``ValueError`` if the file is not such an encoder.
    """
    path = Path(run)
    if path.is_dir():
        path /= "encoder.safetensors"
        if not path.exists():
            raise ValueError(
                f"{run} has no encoder.safetensors; `riesz train` writes it when it has finished"
            )
    tensors, about = _read(path)
    recipe = json.loads(about["encoder"])
    size, channels = int(about["size"]), int(about["channels"])
    backbone = _backbone(recipe["backbone"], recipe["stem"], size, channels)
    width = tensors["projector.0.weight"].shape[1]
    projector = _projector(width, recipe["projector"]["hidden"], recipe["projector"]["output"])
    pixels = recipe.get("pixels")
    pixels = (pixels["mean"], pixels["deviation"]) if pixels else None
    encoder = Encoder(backbone, projector, size, channels, pixels)
    missing, unexpected = encoder.load_state_dict(tensors, strict=False)
    # Counters of batches, and the last shift that the projector does not learn.
    missing = [
        name for name in missing if not name.endswith("num_batches_tracked") and name != "projector.4.bias"
    ]
    if missing or unexpected:
        raise ValueError(
            f"{path} lacks {missing} and has {unexpected} besides what a {recipe['backbone']} has"
        )
    return encoder.eval()


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and riesz's own entry of a safetensors file."""
    data = path.read_bytes()
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        about = json.loads(header.pop("__metadata__")["riesz"])
    except (struct.error, ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is no encoder of riesz") from None
    if about.get("format") != "riesz encoder 1":
        raise ValueError(f"{path} is a {about.get('format')!r}; expected 'riesz encoder 1'")
    tensors = {}
    for name, entry in header.items():
        first, end = entry["data_offsets"]
        count = int(np.prod(entry["shape"], dtype=np.int64))
        part = data[8 + length + first : 8 + length + end]
        if entry["dtype"] != "F32" or len(part) != 4 * count:
            raise ValueError(f"{path}: {name} is not {count} numbers of F32")
        tensors[name] = torch.from_numpy(np.frombuffer(part, "<f4").reshape(entry["shape"]).copy())
    return tensors, about


def _backbone(name: str, stem: str, size: int, channels: int) -> nn.Module:
    if name in ("vit-tiny", "vit-small", "vit-base"):
        timm: Any = __import__("timm")
        patch = 4 if size <= 64 else 8 if size <= 128 else 16
        settings = {"img_size": size, "patch_size": patch, "in_chans": channels, "num_classes": 0}
        vit: nn.Module = timm.create_model(f"{name.replace('-', '_')}_patch16_224", **settings)
        return vit
    import torchvision

    if name == "resnet-small":
        net: Any = _small_resnet()
    elif name in ("resnet18", "resnet34", "resnet50"):
        net = getattr(torchvision.models, name)()
    else:
        raise ValueError(f"backbone {name} is not known here")
    width = net.bn1.num_features
    if stem == "imagenet" or (stem == "auto" and size > 64):
        net.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
    else:
        net.conv1 = nn.Conv2d(channels, width, 3, stride=1, padding=1, bias=False)
        net.maxpool = nn.Identity()
    net.fc = nn.Identity()
    backbone: nn.Module = net
    return backbone


def _small_resnet() -> Any:
    """torchvision's residual network of one basic block a stage, a quarter as wide."""
    from torchvision.models.resnet import BasicBlock, ResNet

    net: Any = ResNet(BasicBlock, [1, 1, 1, 1])
    net.inplanes = 16
    net.bn1 = nn.BatchNorm2d(16)
    for stage, width in enumerate((16, 32, 64, 128), 1):
        layer = net._make_layer(BasicBlock, width, 1, stride=1 if stage == 1 else 2)
        setattr(net, f"layer{stage}", layer)
    return net


def _projector(width: int, hidden: int, output: int) -> nn.Module:
    last = nn.BatchNorm1d(output)
    # It has no learned shift.
    last.bias.requires_grad_(False)
    return nn.Sequential(
        nn.Linear(width, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, output, bias=False),
        last,
    )
