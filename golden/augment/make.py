"""Golden pictures of torchvision's functional operations on float pictures.

python golden/augment/make.py    (needs torch, torchvision, safetensors, numpy)
Writes cases.json and pictures.safetensors beside this file. Inputs are 8-bit
pictures, height x width x channels; outputs are 65535 times the picture, in 16 bits.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.numpy import save_file
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

HERE = Path(__file__).parent
rng = np.random.default_rng(20261124)


def picture(height, width, channels):
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        127.5 + 80 * np.sin(x / (3.0 + c) + c) + 60 * np.cos(y / (2.0 + c)) + rng.normal(0, 25, (height, width))
        for c in range(channels)
    ]
    return np.clip(np.stack(planes, -1), 0, 255).round().astype(np.uint8)


inputs = {
    "color": picture(17, 21, 3),
    "grey": picture(20, 20, 1),
    "large": picture(41, 33, 3),
    # Saturated, grey and black pixels: the corners of hue and saturation.
    "corners": np.array(
        [[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], [[0, 0, 0], [255, 255, 255], [128, 128, 128], [0, 255, 255]],
         [[255, 0, 255], [10, 10, 11], [200, 100, 100], [100, 200, 200]], [[1, 0, 0], [0, 0, 1], [254, 255, 255], [90, 90, 80]]],
        dtype=np.uint8,
    ),
}
tensors = {f"in.{name}": value for name, value in inputs.items()}
cases = []


def case(name, operation, output, **parameters):
    index = len(cases)
    tensors[f"out.{index}"] = (output.clamp(0, 1) * 65535).round().permute(1, 2, 0).contiguous().numpy().astype(np.uint16)
    cases.append({"input": name, "operation": operation, **parameters})


for name, value in inputs.items():
    x = torch.from_numpy(value).permute(2, 0, 1).to(torch.float64).div(255)
    _, height, width = x.shape
    if name != "corners":
        for mode in ["bilinear", "bicubic"]:
            for region in [(0, 0, height, width), (3, 5, 12, 9), (1, 2, height - 3, width - 7), (4, 4, 5, 6)]:
                for size in [(28, 28), (9, 9)] if name != "large" else [(28, 28), (44, 30)]:
                    out = F.resized_crop(x, *region, list(size), InterpolationMode(mode), antialias=True)
                    if out.numel() > 4000:
                        continue
                    case(name, "resized_crop", out, region=region, size=size, interpolation=mode)
        for kernel, sigma in [(3, 0.1), (3, 0.7), (5, 2.0), (9, 1.3)]:
            case(name, "gaussian_blur", F.gaussian_blur(x, [kernel, kernel], [sigma, sigma]), kernel=kernel, sigma=sigma)
        case(name, "horizontal_flip", F.horizontal_flip(x))
    for factor in [0.0, 0.3, 1.0, 1.8]:
        case(name, "brightness", F.adjust_brightness(x, factor), factor=factor)
        case(name, "contrast", F.adjust_contrast(x, factor), factor=factor)
        case(name, "saturation", F.adjust_saturation(x, factor), factor=factor)
    for turn in [-0.5, -0.13, 0.0, 0.2, 0.5]:
        case(name, "hue", F.adjust_hue(x, turn), factor=turn)
    for threshold in [0.0, 0.5, 0.9]:
        case(name, "solarize", F.solarize(x, threshold), factor=threshold)
    if x.shape[0] == 3:
        case(name, "grayscale", F.rgb_to_grayscale(x, num_output_channels=3))

save_file(tensors, HERE / "pictures.safetensors")
(HERE / "pictures.safetensors").chmod(0o644)
about = f"torchvision {torchvision.__version__}, torch {torch.__version__}, float64 pictures, 2026-11-24, golden/augment/make.py"
(HERE / "cases.json").write_text(json.dumps({"about": about, "cases": cases}, indent=0) + "\n")
print(len(cases), "cases", sum(t.nbytes for t in tensors.values()), "bytes")
