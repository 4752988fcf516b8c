"""Memory of `riesz train` over a thousand steps on a million images, from a folder and from shards, drawn over time.

python -m venv venv && venv/bin/pip install numpy==2.4.6 pillow==13.0.0
venv/bin/python bench/load.py --riesz target/release/riesz --folder /somewhere/with/10/GB --plot docs/load.svg

The images are made first (kept, and used again): 80 × 80 JPEGs of sixteen colours each, in 1,000 folders, and the same in 100 shards of
tar. Each run is interrupted after its thousandth step; memory is what the system holds for the process (VmRSS), twice a second.
"""

import argparse
import io
import json
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

SHARD = 10_000


def make(folder, count):
    """JPEGs in `folder/folder/CLASS/` and `folder/shards/`."""
    shards = folder / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    for kind in range(1000):
        (folder / f"folder/{kind:03}").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(5)
    for shard in range(count // SHARD):
        colours = random.integers(0, 256, (SHARD, 4, 4, 3), dtype="u1")
        with tarfile.open(shards / f"train-{shard:03}.tar", "w") as tar:
            for i in range(SHARD):
                number = shard * SHARD + i
                jpeg = io.BytesIO()
                Image.fromarray(colours[i]).resize((80, 80), Image.BILINEAR).save(jpeg, "JPEG", quality=80)
                (folder / f"folder/{number % 1000:03}/{number:07}.jpg").write_bytes(jpeg.getvalue())
                for name, data in ((f"{number:07}.jpg", jpeg.getvalue()), (f"{number:07}.cls", str(number % 1000).encode())):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def resident(process):
    """Megabytes that a process holds."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def train(riesz, source, run, steps):
    """[seconds, megabytes, steps done] twice a second."""
    settings = ["--recipe", "folder-32", "--epochs", "1", "--quiet", "--set", "data.held-out=0.01"]
    process = subprocess.Popen([riesz, "train", source, "--run", run, *settings])
    log, begun, samples, done, read = run / "log.jsonl", time.time(), [], 0, 0
    while process.poll() is None:
        if log.exists():
            with open(log, "rb") as file:
                file.seek(read)
                new = file.read()
            read += len(new)
            done += new.count(b'"event":"step"')
        samples.append([round(time.time() - begun, 1), round(resident(process), 1), done])
        if done >= steps:
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.5)
    process.wait()
    assert done >= steps, f"{source}: ended after {done} steps"
    return samples


def plot(runs, path):
    """Memory over time, a line a source."""
    width, height, left, bottom = 680, 260, 70, 36
    longest = max(samples[-1][0] for samples in runs.values())
    most = 1000 * (1 + int(max(row[1] for samples in runs.values() for row in samples) / 1000))
    x = lambda seconds: left + (width - left - 12) * seconds / longest
    y = lambda megabytes: (height - bottom) - (height - bottom - 30) * megabytes / most
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="12">',
        "<style>svg{color:#222;background:#fff}.a{stroke:#2266bb}.b{stroke:#c2571a}.ta{fill:#2266bb}.tb{fill:#c2571a}"
        "@media(prefers-color-scheme:dark){svg{color:#ddd;background:#16181c}.a{stroke:#6aa5f0}.b{stroke:#f09a5e}"
        ".ta{fill:#6aa5f0}.tb{fill:#f09a5e}}</style>",
        f'<text x="{left}" y="14" fill="currentColor">memory of riesz train over seconds, a million JPEGs, 1,000 steps of 256:'
        ' <tspan class="ta">from a folder</tspan>, <tspan class="tb">from shards</tspan></text>',
    ]
    for megabytes in range(0, most + 1, 1000):
        unit = " MB" if megabytes == most else ""
        parts.append(f'<path d="M{left} {y(megabytes):.1f}H{width - 12}" stroke="currentColor" stroke-opacity=".15"/>')
        parts.append(f'<text x="{left - 6}" y="{y(megabytes) + 4:.1f}" text-anchor="end" fill="currentColor">{megabytes:,}{unit}</text>')
    every = next(step for step in (10, 20, 50, 100, 200, 500, 1000, 5000) if longest / step <= 8)
    for seconds in range(0, int(longest) + 1, every):
        parts.append(f'<text x="{x(seconds):.1f}" y="{height - 14}" text-anchor="middle" fill="currentColor">{seconds}</text>')
    for samples, mark in zip(runs.values(), "ab"):
        line = "L".join(f"{x(row[0]):.1f} {y(row[1]):.1f}" for row in samples)
        parts.append(f'<path class="{mark}" d="M{line}" fill="none" stroke-width="1.6"/>')
    path.write_text("\n".join([*parts, "</svg>", ""]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--riesz", default="target/release/riesz", type=Path)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--images", default=1_000_000, type=int)
    parser.add_argument("--steps", default=1000, type=int)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    made = asked.folder / f"made-{asked.images}"
    if not made.exists():
        make(asked.folder, asked.images)
        made.touch()
    runs = {}
    for name in ["folder", "shards"]:
        run = asked.folder / f"run-{name}"
        if run.exists():
            raise SystemExit(f"{run} exists; remove it or name another --folder")
        runs[name] = samples = train(asked.riesz.resolve(), asked.folder / name, run, asked.steps)
        first = next(i for i, row in enumerate(samples) if row[2] > 0)
        hundredth = next(row for row in samples if row[2] >= asked.steps // 10)
        print(
            f"{name}: listed and begun after {samples[first][0]:.0f} s, {samples[-1][2]} steps after {samples[-1][0]:.0f} s; "
            f"memory at most {max(row[1] for row in samples[: first + 1]):.0f} MB before the first step, {hundredth[1]:.0f} after "
            f"{hundredth[2]}, {samples[-1][1]:.0f} at the end, at most {max(row[1] for row in samples[first:]):.0f}",
            flush=True,
        )
    (asked.folder / "samples.json").write_text(json.dumps(runs))
    if asked.plot:
        plot(runs, asked.plot)


if __name__ == "__main__":
    main()
