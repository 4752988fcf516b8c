"""Training steps of riesz's encoders as PyTorch runs them: forward, backward and SGD with momentum on two views of a batch,
channels_last, without a loss (the gradient of z is given). One JSON line for each network and way; `peak_bytes`: by how much the
memory that the system holds for the process rose at most, which is fair for the first network and way of a process only.

venv/bin/python bench/step.py [--threads 2] [--networks small28,small32,resnet18,vit] [--ways eager,compile]
"""

import argparse
import json
import time

import torch
import torchvision
from torch import nn

HIDDEN, OUTPUT = 128, 64


class Small(nn.Module):
    """Four stages of one basic block, 16, 32, 64 and 128 wide."""

    def __init__(self, channels):
        super().__init__()
        block = torchvision.models.resnet.BasicBlock
        layers, width = [nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)], 16
        for out in (16, 32, 64, 128):
            stride = 1 if out == 16 else 2
            down = None
            if stride != 1:
                down = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            layers.append(block(width, out, stride, down))
            width = out
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x):
        return self.layers(x)


def resnet18():
    """The usual CIFAR stem."""
    net = torchvision.models.resnet18()
    net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    net.maxpool = nn.Identity()
    net.fc = nn.Identity()
    return net


def vit():
    """ViT-tiny for 32 × 32 in patches of 4, as torchvision builds transformers."""
    net = torchvision.models.VisionTransformer(
        image_size=32, patch_size=4, num_layers=12, num_heads=3, hidden_dim=192, mlp_dim=768
    )
    net.heads = nn.Identity()
    return net


NETWORKS = {
    "small28": (lambda: Small(1), 128, (1, 28, 28), 256),
    "small32": (lambda: Small(3), 128, (3, 32, 32), 256),
    "resnet18": (resnet18, 512, (3, 32, 32), 64),
    "vit": (vit, 192, (3, 32, 32), 64),
}


def status(key):
    """Bytes of an entry of this process's status."""
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(key))


def measure(name, way, seconds):
    """The median of a number of steps that fit in the time, three at least, after two more."""
    build, width, shape, batch = NETWORKS[name]
    before = status("VmRSS:")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # The high-water mark begins anew.
    projector = nn.Sequential(
        nn.Linear(width, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU(inplace=True),
        nn.Linear(HIDDEN, OUTPUT, bias=False), nn.BatchNorm1d(OUTPUT),
    )
    net = nn.Sequential(build(), projector).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-6)
    run = torch.compile(net) if way == "compile" else net
    views = torch.rand(2 * batch, *shape).to(memory_format=torch.channels_last)
    gradient = torch.randn(2 * batch, OUTPUT)

    def step():
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        run(views).backward(gradient)
        optimizer.step()
        return time.perf_counter() - started

    step()
    calls = max(3, int(seconds / step())) | 1
    times = sorted(step() for _ in range(calls))
    return {"network": name, "way": way, "batch": batch, "steps": calls, "seconds": times[calls // 2],
            "images_per_second": batch / times[calls // 2], "peak_bytes": status("VmHWM:") - before}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="for the steps of one measurement")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--ways", default="eager,compile")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.networks.split(","):
        for way in arguments.ways.split(","):
            print(json.dumps(measure(name, way, arguments.seconds)), flush=True)


if __name__ == "__main__":
    main()
