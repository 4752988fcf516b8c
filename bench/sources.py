"""Images out of a folder, a zip, hub parquet and WebDataset shards, of the same bytes: how fast riesz reads them, in how much memory.

python -m venv venv && venv/bin/pip install numpy pillow pyarrow
venv/bin/python bench/sources.py /big/disk --make                  # the files, once: 100,000 JPEGs, four times
venv/bin/python bench/sources.py /big/disk --rounds 3
venv/bin/python bench/sources.py /big/disk --make --million        # a million images in 100 shards, 2.5 GB
venv/bin/python bench/sources.py /big/disk --million

The images are mosaics of 2 x 2 of the built-in ones (56 x 56, grey, about 1.5 kB), written by Pillow, zipfile, pyarrow and tarfile.
In each round, for each source in turn and every time in a process of its own:

- embed: `riesz embed` of all images to parquet, by the small network of a run that was trained for a moment; images/s are those that
  it tells, memory is the largest resident size of the process.
- decode, loop: `riesz bench train`: images/s of reading and decoding alone, in the order of the files, and of training, in random
  order.

Ratios are those to the folder of the same round. `--through COMMAND` runs each measurement by another command, such as `taskset -c 0,1`.
"""

import argparse
import gzip
import io
import json
import re
import shlex
import statistics
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SHARDS = 10
GROUP = 1000  # rows of a row group, as `datasets` writes images


def built_in():
    """Pixels and labels of the 12,000 images."""
    import numpy

    pixels, labels = [], []
    for part in ["train", "t10k"]:
        read = lambda name: gzip.decompress((ROOT / f"data/fashion-mnist-12k/{part}-{name}-ubyte.gz").read_bytes())
        pixels.append(numpy.frombuffer(read("images-idx3"), numpy.uint8, offset=16).reshape(-1, 28, 28))
        labels.append(numpy.frombuffer(read("labels-idx1"), numpy.uint8, offset=8))
    return numpy.concatenate(pixels), numpy.concatenate(labels)


def jpeg(pixels):
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


def mosaics(count):
    """Encoded images, each with its name and label."""
    import numpy

    pixels, labels = built_in()
    choice = numpy.random.default_rng(1).integers(0, len(pixels), (count, 4))
    for i, four in enumerate(choice):
        a, b, c, d = pixels[four]
        yield f"{i:06}", jpeg(numpy.block([[a, b], [c, d]])), int(labels[four[0]])


def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def make(place, count):
    import pyarrow
    import pyarrow.parquet

    for folder in ["folder", "hub/data", "shards"]:
        (place / folder).mkdir(parents=True)
    names = [str(i) for i in range(10)]
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    schema = pyarrow.schema(
        [("image", pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])), ("label", pyarrow.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    parquet = [pyarrow.parquet.ParquetWriter(place / f"hub/data/train-{i:05}-of-{SHARDS:05}.parquet", schema) for i in range(SHARDS)]
    tars = [tarfile.open(place / f"shards/train-{i:03}.tar", "w", format=tarfile.USTAR_FORMAT) for i in range(SHARDS)]
    waiting = []
    with zipfile.ZipFile(place / "images.zip", "w") as archive:
        for i, (name, data, label) in enumerate(mosaics(count)):
            shard = i * SHARDS // count
            folder = place / "folder" / str(label)
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.jpg").write_bytes(data)
            archive.writestr(f"{label}/{name}.jpg", data)
            add(tars[shard], f"{name}.jpg", data)
            add(tars[shard], f"{name}.cls", str(label).encode())
            waiting.append({"image": {"bytes": data, "path": f"{name}.jpg"}, "label": label})
            if len(waiting) == GROUP or (i + 1) * SHARDS // count != shard:
                parquet[shard].write_table(pyarrow.Table.from_pylist(waiting, schema))
                waiting = []
    for file in parquet + tars:
        file.close()


def make_million(place):
    pixels, labels = built_in()
    encoded = [jpeg(image) for image in pixels]
    (place / "million").mkdir()
    for shard in range(100):
        with tarfile.open(place / f"million/train-{shard:03}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for i in range(10_000 * shard, 10_000 * (shard + 1)):
                add(tar, f"{i:07}.jpg", encoded[i % len(encoded)])
                add(tar, f"{i:07}.cls", str(labels[i % len(encoded)]).encode())


def measured(command, through):
    """Standard output and error, seconds and the largest resident size in MB of a process. A process of Python's between, as
    the size that the system tells is the largest of all children."""
    script = (
        "import json, resource, subprocess, sys, time; started = time.perf_counter(); "
        "run = subprocess.run(sys.argv[1:], capture_output=True, text=True); "
        "print(json.dumps([run.returncode, run.stdout, run.stderr, time.perf_counter() - started, "
        "resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3]))"
    )
    run = subprocess.run([*through, sys.executable, "-c", script, *map(str, command)], capture_output=True, text=True, check=True)
    code, out, err, seconds, memory = json.loads(run.stdout)
    if code != 0:
        sys.exit(f"{shlex.join(map(str, command))}: {err}")
    return out, err, seconds, memory


def trained(riesz, place):
    run = place / "run"
    if not run.exists():
        keys = ["data.limit=512", "evaluation.pairs=50", "evaluation.references=200", "evaluation.epoch-references=100"]
        sets = [part for key in keys for part in ("--set", key)]
        subprocess.run([riesz, "train", "--run", run, "--epochs", "1", "--quiet", *sets], check=True, stdout=subprocess.DEVNULL)
    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place", type=Path)
    parser.add_argument("--riesz", default=ROOT / "target/release/riesz")
    parser.add_argument("--make", action="store_true", help="make the files")
    parser.add_argument("--million", action="store_true", help="a million images in 100 shards instead")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of a measurement of decoding and the loop")
    parser.add_argument("--sources", default="folder,images.zip,hub,shards")
    parser.add_argument("--through", default="")
    args = parser.parse_args()
    through = shlex.split(args.through)
    if args.make:
        args.place.mkdir(parents=True, exist_ok=True)
        return make_million(args.place) if args.million else make(args.place, args.images)
    if args.million:
        for _ in range(args.rounds):
            shards = f"{args.place}/million/train-{{000..099}}.tar"
            out, _, seconds, memory = measured([args.riesz, "data", "show", shards], through)
            print(json.dumps({"seconds": round(seconds, 2), "MB": round(memory), "listed": re.findall(r"(\d+) images", out)}))
        return None
    run = trained(args.riesz, args.place)
    found = {}
    for number in range(args.rounds):
        for name in args.sources.split(","):
            source = args.place / name
            rows = args.place / "rows.parquet"
            _, err, seconds, memory = measured([args.riesz, "embed", run, source, "--output", rows], through)
            images, rate = re.search(r": (\d+) rows of \d+, (\d+) images/s", err).groups()
            bench = [args.riesz, "bench", "train", source, "--recipe", "folder-28", "--batch", "250", "--quiet", "--json"]
            sets = ["--set", "augment.channels=1", "--seconds", args.seconds]
            out, _, _, _ = measured([*bench, *sets], through)
            told = json.loads(out)
            line = {
                "source": name,
                "embed": int(rate),
                "with listing": round(int(images) / seconds),
                "decode": round(told["batch"] / told["seconds"]["decode"]["median"]),
                "loop": round(told["images_per_second"]),
                "MB": round(memory),
            }
            print(json.dumps({"round": number, **line}), flush=True)
            found.setdefault(name, []).append(line)
    print(f"| source | {' | '.join(f'{key}, images/s | to the folder' for key in ['embed', 'decode', 'loop'])} | embed, MB |")
    print("|---|" + "---|" * 7)
    first = next(iter(found.values()))
    for name, lines in found.items():
        cells = []
        for key in ["embed", "decode", "loop"]:
            values = [line[key] for line in lines]
            ratios = [line[key] / base[key] for line, base in zip(lines, first)]
            cells.append(f"{statistics.median(values):,.0f} ({min(values):,}–{max(values):,})")
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})")
        print(f"| {name} | {' | '.join(cells)} | {statistics.median(line['MB'] for line in lines):,.0f} |")
    return None


if __name__ == "__main__":
    main()
