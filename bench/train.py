"""The whole training loop by lightly: SimCLR (its data set, transform, projection head, NTXentLoss) from a folder of JPEG files
through PyTorch's DataLoader, channels_last, SGD. train.sh runs it in turn with `riesz bench train`.

venv/bin/python bench/train.py --make FOLDER [--images 4096] [--side 96]    draws such a folder
venv/bin/python bench/train.py FOLDER [--encoder small|resnet18] [--batch 64] [--size 32] [--way eager|compile] [--workers 2]
                               [--threads 2] [--seconds 5]                  one JSON line
venv/bin/python bench/train.py --table LINES                                ratios of what train.sh kept
"""

import argparse
import json
import statistics
import time
from pathlib import Path

HIDDEN, OUTPUT = 256, 128


def make(folder, images, side):
    """Pictures of smooth colors with edges and grain, of about the size of a photograph's JPEG of that side."""
    import numpy
    from PIL import Image

    draw = numpy.random.default_rng(1)
    for i in range(images):
        picture = numpy.zeros((side, side, 3))
        for cells, weight in ((3, 90), (12, 40), (48, 15)):
            coarse = Image.fromarray(draw.integers(0, 256, (cells, cells, 3), dtype="uint8"))
            picture += weight / 128 * (numpy.asarray(coarse.resize((side, side), Image.BICUBIC), dtype=float) - 128)
        picture += 128
        y, x = draw.integers(0, side // 2, 2)
        picture[y : y + side // 3, x : x + side // 3] += draw.normal(0, 60, 3)
        place = folder / f"{i % 10}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.clip(0, 255).astype("uint8")).save(place / f"{i:05}.jpg", quality=90)


def status(key):
    """Bytes of an entry of this process's status."""
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(key))


def measure(arguments):
    import torch
    from lightly.data import LightlyDataset
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform
    from torch import nn

    import step as networks

    torch.set_num_threads(arguments.threads)
    # What the recipe folder-32 asks for: crops of 0.2 to 1, flip 0.5, jitter (0.4, 0.4, 0.4, 0.1) at 0.8, grey 0.2, no blur.
    transform = SimCLRTransform(
        input_size=arguments.size, cj_prob=0.8, cj_strength=0.5, min_scale=0.2, random_gray_scale=0.2, gaussian_blur=0.0
    )
    data = LightlyDataset(str(arguments.folder), transform=transform)
    loader = torch.utils.data.DataLoader(
        data, batch_size=arguments.batch, shuffle=True, drop_last=True, num_workers=arguments.workers,
        persistent_workers=arguments.workers > 0,
    )
    backbone, width = {"small": (networks.Small(3), 128), "resnet18": (networks.resnet18(), 512)}[arguments.encoder]
    net = nn.Sequential(backbone, SimCLRProjectionHead(width, HIDDEN, OUTPUT))
    net = net.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-6, momentum=0.9, weight_decay=1e-6)
    criterion = NTXentLoss(temperature=0.5)
    run = torch.compile(net) if arguments.way == "compile" else net

    steps, images, started = 0, 0, None
    before = status("VmRSS:")
    while True:
        for (first, second), _, _ in loader:
            optimizer.zero_grad(set_to_none=True)
            z = run(torch.cat([first, second]).to(memory_format=torch.channels_last))
            criterion(*z.chunk(2)).backward()
            optimizer.step()
            steps += 1
            # The first steps allocate, compile, and find batches that were prepared meanwhile.
            if steps == arguments.warm:
                started = time.perf_counter()
            elif started is not None:
                images += arguments.batch
                seconds = time.perf_counter() - started
                if seconds > arguments.seconds and steps >= arguments.warm + 3:
                    return {"side": "lightly", "way": arguments.way, "workers": arguments.workers,
                            "encoder": arguments.encoder, "batch": arguments.batch, "loop_images": images,
                            "loop_seconds": seconds, "images_per_second": images / seconds,
                            "peak_bytes": status("VmHWM:") - before}


def table(lines):
    """Images a second of each way by round, and riesz's by theirs: median (lowest to highest)."""
    rounds = {}
    for line in lines.read_text().splitlines():
        measured = json.loads(line)
        way = f"lightly, {measured['way']}, {measured['workers']} workers" if "way" in measured else "riesz"
        rounds.setdefault(way, []).append(measured["images_per_second"])
    own = rounds["riesz"]
    for way, rates in rounds.items():
        ratios = sorted(mine / theirs for mine, theirs in zip(own, rates))
        ratio = "" if way == "riesz" else (
            f"riesz {statistics.median(ratios):.2f} times as fast ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
        print(f"{way:<32}{statistics.median(rates):8.0f} images/s ({min(rates):.0f} to {max(rates):.0f})  {ratio}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--make", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--encoder", choices=("small", "resnet18"), default="small")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--way", choices=("eager", "compile"), default="eager")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm", type=int, default=8, help="steps before the clock starts")
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.make, arguments.images, arguments.side)
    elif arguments.table:
        table(arguments.table)
    elif arguments.folder:
        print(json.dumps(measure(arguments)), flush=True)
    else:
        parser.error("a folder, --make or --table")


if __name__ == "__main__":
    main()
