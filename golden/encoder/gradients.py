"""Golden gradients of small networks with made weights, by torch's and torchvision's own modules.

python -m venv venv && venv/bin/pip install torch torchvision
venv/bin/python golden/encoder/gradients.py    (seconds; no GPU)
Writes gradients.json beside this file: for each case, in training mode and float64 on numbers that are float32 (made.py),
h, z, the gradient of sum z * g with g of the name "of z" for every parameter, and the running statistics after the pass.

Residual networks are torchvision's, cut to two stages and narrow; the transformer's blocks are torch's
nn.TransformerEncoderLayer (norm first, epsilon 1e-6, GELU), whose tensors get timm's names; the projector is Linear,
BatchNorm, ReLU, Linear, BatchNorm with a shift of 0 that is not learned.

Of each tensor: its norm; sum_j u_j x_j with u of the name "projection"; and at most 8 of its numbers, at equal distances.
"""

import json
from pathlib import Path

import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from made import draw, made

torch.set_num_threads(2)
IMAGES, HIDDEN, OUTPUT, SHOWN = 6, 7, 4, 8
# (name, stem or patch, size, channels)
CASES = [("basic", "small", 9, 3), ("bottleneck", "small", 8, 1), ("basic", "imagenet", 37, 2), ("vit", 4, 12, 3)]
STAGES = [(2, 5), (2, 9)]
WIDTH, LAYERS, HEADS, INNER = 12, 2, 3, 20


def resnet(block, stem, channels):
    net = ResNet(block, [1, 1, 1, 1])
    first = net.inplanes = STAGES[0][1]
    small = stem == "small"
    net.conv1 = nn.Conv2d(channels, first, 3 if small else 7, 1 if small else 2, 1 if small else 3, bias=False)
    net.bn1 = nn.BatchNorm2d(first)
    net.maxpool = nn.Identity() if small else net.maxpool
    for i, (blocks, width) in enumerate(STAGES):
        setattr(net, f"layer{i + 1}", net._make_layer(block, width, blocks, stride=1 if i == 0 else 2))
    net.layer3 = net.layer4 = net.fc = nn.Identity()
    return net, STAGES[-1][1] * block.expansion


class Vit(nn.Module):
    def __init__(self, patch, size, channels):
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(channels, WIDTH, patch, patch)})
        self.cls_token = nn.Parameter(torch.empty(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.empty(1, (size // patch) ** 2 + 1, WIDTH))
        layer = lambda: nn.TransformerEncoderLayer(
            WIDTH, HEADS, INNER, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
        )
        self.blocks = nn.ModuleList([layer() for _ in range(LAYERS)])
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, images):
        x = self.patch_embed["proj"](images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x[:, 0])


TIMM = {
    "self_attn.in_proj_weight": "attn.qkv.weight",
    "self_attn.in_proj_bias": "attn.qkv.bias",
    "self_attn.out_proj": "attn.proj",
    "linear1": "mlp.fc1",
    "linear2": "mlp.fc2",
}


def named(name):
    for ours, timm in TIMM.items():
        name = name.replace(ours, timm)
    return name


def short(x):
    return float(f"{x:.9g}")


def described(x):
    x = x.detach().numpy().ravel()
    weights = draw("projection", len(x))
    some = x[:: max(len(x) // SHOWN, 1)][:SHOWN]
    return {"norm": short((x @ x) ** 0.5), "projection": short(x @ weights), "some": [short(v) for v in some]}


cases = []
for kind, stem, size, channels in CASES:
    if kind == "vit":
        backbone, dim = Vit(stem, size, channels), WIDTH
    else:
        backbone, dim = resnet(BasicBlock if kind == "basic" else Bottleneck, stem, channels)
    projector = nn.Sequential(
        nn.Linear(dim, HIDDEN, bias=False),
        nn.BatchNorm1d(HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, OUTPUT, bias=False),
        nn.BatchNorm1d(OUTPUT),
    )
    net = nn.ModuleDict({"backbone": backbone, "projector": projector})
    state = {name: t for name, t in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    net.load_state_dict({name: made(named(name), tuple(t.shape)) for name, t in state.items()}, strict=False)
    net.double().train()
    projector[4].bias.requires_grad_(False).zero_()
    images = made("images", (IMAGES, size, size, channels)).permute(0, 3, 1, 2)
    h = net["backbone"](images)
    z = net["projector"](h)
    of_z = torch.from_numpy(draw("of z", z.numel()).astype("float32").astype("float64")).reshape(z.shape)
    (z * of_z).sum().backward()
    parameters = {named(name): p for name, p in net.named_parameters() if p.requires_grad}
    buffers = {named(name): b for name, b in net.named_buffers() if "running" in name}
    case = {"kind": kind, "size": size, "channels": channels, "images": IMAGES, "h": described(h), "z": described(z)}
    case |= {"patch": stem} if kind == "vit" else {"imagenet": stem == "imagenet"}
    case["gradients"] = {name: described(p.grad) for name, p in sorted(parameters.items())}
    case["running"] = {name: described(b) for name, b in sorted(buffers.items())}
    cases.append(case)
    print(kind, stem, size, channels, len(parameters), "gradients, norm of all", sum(p.grad.norm() ** 2 for p in parameters.values()) ** 0.5)

about = f"torchvision {torchvision.__version__}, torch {torch.__version__}, float64, golden/encoder/gradients.py"
text = json.dumps({"about": about, "cases": "CASES"})
rows = lambda d: ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in d.items())
whole = lambda case: "{" + rows({k: v for k, v in case.items() if not isinstance(v, dict) or "norm" in v}) + "".join(
    f',\n"{part}": {{\n{rows(case[part])}\n}}' for part in ["gradients", "running"]
) + "}"
text = text.replace('"CASES"', "[\n" + ",\n".join(map(whole, cases)) + "\n]") + "\n"
json.loads(text)
(Path(__file__).parent / "gradients.json").write_text(text)
print(len(cases), "cases,", len(text), "bytes")
