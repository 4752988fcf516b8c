"""Golden representations of torchvision's residual networks and timm's ViT-tiny with made weights.

python -m venv venv && venv/bin/pip install torch torchvision timm
venv/bin/python golden/encoder/make.py    (one minute; no GPU, no download of weights)
Writes forward.json beside this file: for each case the backbone's output h in three passes, one after another:
"eval"; "train" (batch norms use the batch's statistics and update their running ones); "after", again in
evaluation mode, with the running statistics that "train" left. All in float64, on weights that are float32.

Made numbers: `made.py` says their formula.

Small variances are on purpose: beside them a wrong epsilon shows. At the end of this file other conventions are
tried on the same numbers, and each must move h by far more than the test's bound.

Of h [d] of each image: its norm; the projection sum_j u_j h_j with u of the name "projection"; and the 32 numbers at
j = 0, d/32, 2d/32, ... And "float32": the largest difference of torch's own float32 pass, in root mean squares of an
image's h. It is what rounding alone does, and in training mode a deep network of batch norms amplifies it.
"""

import json
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from made import draw, made

torch.set_num_threads(2)
SHOWN = 32
# (backbone, stem, size, channels)
CASES = [
    ("resnet-small", "small", 28, 1),
    ("resnet-small", "imagenet", 64, 3),
    ("resnet18", "small", 32, 3),
    ("resnet18", "small", 28, 1),
    ("resnet18", "imagenet", 64, 3),
    ("resnet18", "imagenet", 75, 3),
    ("resnet34", "small", 32, 3),
    ("resnet34", "imagenet", 64, 3),
    ("resnet50", "small", 32, 3),
    ("resnet50", "imagenet", 64, 3),
    ("vit-tiny", "auto", 28, 1),
    ("vit-tiny", "auto", 32, 3),
    ("vit-tiny", "auto", 72, 3),
    ("vit-tiny", "auto", 144, 3),
]


def small_resnet():
    """torchvision's ResNet of basic blocks, a quarter as wide, one block in each stage."""
    net = ResNet(BasicBlock, [1, 1, 1, 1])
    net.inplanes = 16
    net.bn1 = nn.BatchNorm2d(16)
    for stage, width in enumerate([16, 32, 64, 128]):
        setattr(net, f"layer{stage + 1}", net._make_layer(BasicBlock, width, 1, stride=1 if stage == 0 else 2))
    return net


def build(backbone, stem, size, channels):
    if backbone == "vit-tiny":
        patch = 4 if size <= 64 else 8 if size <= 128 else 16
        net = timm.create_model(
            "vit_tiny_patch16_224", img_size=size, patch_size=patch, in_chans=channels, num_classes=0
        )
    else:
        net = small_resnet() if backbone == "resnet-small" else getattr(torchvision.models, backbone)()
        width = net.bn1.num_features
        if stem == "small":
            net.conv1 = nn.Conv2d(channels, width, 3, stride=1, padding=1, bias=False)
            net.maxpool = nn.Identity()
        else:
            net.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
        net.fc = nn.Identity()
    tensors = {name: t for name, t in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    net.load_state_dict({name: made(name, tuple(t.shape)) for name, t in tensors.items()}, strict=False)
    return net, tensors


@torch.no_grad()
def passes(net, images):
    net.to(images.dtype)
    return {
        "eval": net.eval()(images).numpy(),
        "train": net.train()(images).numpy(),
        "after": net.eval()(images).numpy(),
    }


def short(x):
    return float(f"{x:.9g}")


def described(h, rounded):
    d = h.shape[1]
    weights = draw("projection", d)
    apart = np.abs(h - rounded).max(1) / np.sqrt(np.mean(h**2, axis=1))
    return {
        "float32": float(f"{apart.max():.1e}"),
        "norm": [short(x) for x in np.linalg.norm(h, axis=1)],
        "projection": [short(x) for x in h @ weights],
        "some": [[short(x) for x in row[:: d // SHOWN]] for row in h],
    }


def pictures(size, channels):
    return made("images", (2, size, size, channels)).permute(0, 3, 1, 2)


names, cases, outputs = {}, [], {}
for backbone, stem, size, channels in CASES:
    net, tensors = build(backbone, stem, size, channels)
    found = sorted(tensors)
    assert names.setdefault(backbone, found) == found
    outputs[backbone, stem, size, channels] = out = passes(net, pictures(size, channels))
    net, _ = build(backbone, stem, size, channels)
    rounded = passes(net, pictures(size, channels).float())
    case = {"backbone": backbone, "stem": stem, "size": size, "channels": channels, "images": 2}
    case["numbers"] = sum(t.numel() for t in tensors.values())
    case |= {name: described(h, rounded[name]) for name, h in out.items()}
    cases.append(case)
    scale = {name: f"{np.sqrt(np.mean(h**2)):.3f}, float32 {case[name]['float32']}" for name, h in out.items()}
    print(backbone, stem, size, channels, "root mean square of h:", scale)

about = (
    f"torchvision {torchvision.__version__}, timm {timm.__version__}, torch {torch.__version__}, float64, "
    "2026-11-25, golden/encoder/make.py"
)
lines = lambda items: ",\n".join(items)
listed = lines(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in names.items())
text = f'{{"about": {json.dumps(about)},\n"names": {{\n{listed}\n}},\n"cases": [\n{lines(map(json.dumps, cases))}\n]}}\n'
(Path(__file__).parent / "forward.json").write_text(text)
print(len(cases), "cases,", len(text), "bytes")


# What the numbers tell apart: another convention, a case of it, the first pass that must show it.
def each(kind, change):
    return lambda net: [change(module) for module in net.modules() if isinstance(module, kind)]


def stride_first(net):
    for stage in [net.layer2, net.layer3, net.layer4]:
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)


residual, pooled, bottleneck, vit = CASES[2], CASES[4], CASES[8], CASES[11]
OTHERS = [
    ("batch norm's epsilon 1e-6", residual, "eval", each(nn.BatchNorm2d, lambda m: setattr(m, "eps", 1e-6))),
    ("batch norm's momentum 0.01", residual, "after", each(nn.BatchNorm2d, lambda m: setattr(m, "momentum", 0.01))),
    ("pooling by ceil", pooled, "eval", lambda net: setattr(net.maxpool, "ceil_mode", True)),
    ("stride in the first 1 x 1", bottleneck, "eval", stride_first),
    ("layer norm's epsilon 1e-5", vit, "eval", each(nn.LayerNorm, lambda m: setattr(m, "eps", 1e-5))),
    ("GELU by tanh", vit, "eval", each(nn.GELU, lambda m: setattr(m, "approximate", "tanh"))),
]
for other, key, name, change in OTHERS:
    net, _ = build(*key)
    change(net)
    h, right = passes(net, pictures(*key[2:]))[name], outputs[key][name]
    moved = np.sqrt(np.mean((h - right) ** 2) / np.mean(right**2))
    print(f"{other}: moves h by {moved:.1e} of its size")
    assert moved > 1e-4
