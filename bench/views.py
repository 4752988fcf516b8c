"""Images decoded and views made a second by torchvision v2, one thread: the same photographs and recipes as
`cargo bench --bench views -- --photos FOLDER` uses.

venv/bin/python bench/views.py FOLDER [--rounds 9]

Views are made of uint8 tensors, torchvision's fastest way: RandomResizedCrop (antialiased), flip, ColorJitter, grayscale,
GaussianBlur, and the conversion to float at the end.
"""

import argparse
import glob
import statistics
import time

import torch
from torchvision import io
from torchvision.transforms import v2

RECIPES = {
    "fashion-mnist-12k": (28, (28, 28, 1), v2.InterpolationMode.BILINEAR, (0.4, 1.0), (0.8, 0.8, 0, 0), 3),
    "folder-32": (32, (32, 32, 3), v2.InterpolationMode.BICUBIC, (0.2, 1.0), (0.4, 0.4, 0.4, 0.1), None),
    "folder-96": (96, (96, 96, 3), v2.InterpolationMode.BICUBIC, (0.2, 1.0), (0.4, 0.4, 0.4, 0.1), 9),
    "folder-224": (224, (375, 500, 3), v2.InterpolationMode.BICUBIC, (0.08, 1.0), (0.8, 0.8, 0.8, 0.2), 23),
}


def pipeline(size, interpolation, scale, jitter, kernel):
    steps = [
        v2.RandomResizedCrop(size, scale=scale, interpolation=interpolation, antialias=True),
        v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.ColorJitter(*jitter)], 0.8),
        v2.RandomGrayscale(0.2),
    ]
    if kernel:
        steps.append(v2.RandomApply([v2.GaussianBlur(kernel, (0.1, 2.0))], 0.5))
    return v2.Compose(steps + [v2.ToDtype(torch.float32, scale=True)])


def median(run, count, rounds):
    run()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return count / statistics.median(seconds)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder")
    arguments.add_argument("--rounds", type=int, default=9)
    arguments = arguments.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    files = [io.read_file(path) for path in sorted(glob.glob(arguments.folder + "/*.jpg"))]
    decode = lambda: [io.decode_jpeg(file) for file in files]
    print(f"decode 500×375 JPEG: {median(decode, len(files), arguments.rounds):.0f} a second")
    photos = decode()
    for name, (size, shape, interpolation, scale, jitter, kernel) in RECIPES.items():
        height, width, channels = shape
        images = [photo[:channels, :height, :width].contiguous() for photo in photos]
        make = pipeline(size, interpolation, scale, jitter, kernel)
        repeats = 20_000 // (size * size) + 1

        def run():
            for _ in range(repeats):
                for image in images:
                    make(image)

        print(f"{name} from {width}×{height}×{channels}: {median(run, 16 * repeats, arguments.rounds):.0f} a second")


if __name__ == "__main__":
    main()
