#!/usr/bin/env python3
"""Makes the built-in data set: 10,000 training and 2,000 test images of Fashion-MNIST, class-balanced.

    apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb unpacked
    python3 make.py unpacked/usr/share/datasets/fashion-mnist

Only the standard library is needed. Of each class, the images with the smallest SHA-256 of "riesz SPLIT ID" are
taken, and they stay in the order of the original files. The choice is therefore a function of the ids alone: it needs
no random number generator, and every version of Python makes the same one.
"""

import csv
import gzip
import hashlib
import pathlib
import struct
import sys

SIDE = 28
SPLITS = [("train", "train", 1000), ("test", "t10k", 200)]  # name, prefix of the original files, images a class


def read_idx(path, dimensions):
    data = gzip.decompress(path.read_bytes())
    head = 4 + 4 * dimensions
    magic, *sizes = struct.unpack(f">{1 + dimensions}I", data[:head])
    total = 1
    for size in sizes:
        total *= size
    if magic != 0x0800 + dimensions or len(data) != head + total:
        sys.exit(f"{path}: not an IDX file of {dimensions} dimensions")
    return sizes, data[head:]


def write_idx(path, sizes, body):
    head = struct.pack(f">{1 + len(sizes)}I", 0x0800 + len(sizes), *sizes)
    # No time and no name in the header: the same bytes on every run.
    path.write_bytes(gzip.compress(head + body, compresslevel=9, mtime=0))
    print(f"{path.name}  {path.stat().st_size} bytes  sha256 of the content {hashlib.sha256(head + body).hexdigest()}")


def chosen(split, labels, per_class):
    ids = []
    for label in range(10):
        of_class = [i for i, found in enumerate(labels) if found == label]
        of_class.sort(key=lambda i: hashlib.sha256(f"riesz {split} {i}".encode()).digest())
        ids += of_class[:per_class]
    return sorted(ids)


def main():
    source = pathlib.Path(sys.argv[1])
    target = pathlib.Path(__file__).parent
    rows = []
    for split, prefix, per_class in SPLITS:
        (count, height, width), pixels = read_idx(source / f"{prefix}-images-idx3-ubyte.gz", 3)
        _, labels = read_idx(source / f"{prefix}-labels-idx1-ubyte.gz", 1)
        if (height, width) != (SIDE, SIDE) or count != len(labels):
            sys.exit(f"{source}: not Fashion-MNIST")
        ids = chosen(split, labels, per_class)
        area = SIDE * SIDE
        images = b"".join(pixels[area * i : area * (i + 1)] for i in ids)
        write_idx(target / f"{prefix}-images-idx3-ubyte.gz", [len(ids), SIDE, SIDE], images)
        write_idx(target / f"{prefix}-labels-idx1-ubyte.gz", [len(ids)], bytes(labels[i] for i in ids))
        rows += [(split, position, i, labels[i]) for position, i in enumerate(ids)]
    with open(target / "ids.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["split", "position", "original_id", "label"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
