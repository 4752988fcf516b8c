"""SimCLR on the images that come with riesz, in plain PyTorch: `python examples/simclr.py` (61 s of CPU time, one measurement)."""

import gzip
from pathlib import Path

import numpy as np
import riesz
import riesz.torch
import torch
from torch import nn
from torchvision.transforms import v2

FOLDER = Path(__file__).parents[3] / "data" / "fashion-mnist-12k"
AUGMENT = v2.Compose(
    [v2.RandomResizedCrop(28, (0.4, 1.0)), v2.RandomHorizontalFlip(), v2.ColorJitter(0.8, 0.8)]
)


def images(split):
    """Images [n, 1, 28, 28] in [0, 1], of "train" or "t10k"."""
    data = gzip.decompress((FOLDER / f"{split}-images-idx3-ubyte.gz").read_bytes())
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=16).reshape(-1, 1, 28, 28) / np.float32(255))


def encoder(d=64):
    layers = []
    for wide, narrow in ((1, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(wide, narrow, 3, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, d)
    )


def train(criterion, steps, batch=256, seed=0, rate=0.05):
    """The encoder, and the loss of each step."""
    torch.manual_seed(seed)
    pictures, net, curve = images("train"), encoder(), []
    optimizer = torch.optim.SGD(net.parameters(), rate, momentum=0.9)
    for _ in range(steps):
        chosen = pictures[torch.randint(len(pictures), (batch,))]
        views = [torch.stack([AUGMENT(picture) for picture in chosen]) for _ in range(2)]
        z1, z2 = net(torch.cat(views)).chunk(2)
        loss = criterion(z1, z2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return net.eval(), curve


if __name__ == "__main__":
    net, curve = train(riesz.torch.NTXentLoss(temperature=0.5), steps=150)
    print(f"loss: {curve[0]:.3f} at the first step, {curve[-1]:.3f} at the last")
    with torch.no_grad():
        print(riesz.geometry(net(images("t10k"))))
