"""What a version of riesz leaves, kept for later versions to read: a finished run, one that was interrupted, an index, states of
embeddings, a grid. Python's standard library alone; a few seconds.

python golden/runs/make.py target/release/riesz

makes `golden/runs/VERSION/`, and `golden/runs/photos/` where it is missing. Done once for each version that is released.
"""

import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

HERE = Path(__file__).parent.resolve()
RIESZ = Path(sys.argv[1]).resolve()
# The commands that runs note begin with the program's name alone.
os.environ["PATH"] = f"{RIESZ.parent}:{os.environ['PATH']}"
TRAIN = (
    "photos --recipe folder-32 --epochs 2 --batch 8 --checkpoint-minutes 0 --set evaluation.pairs=8 --set data.held-out=0.25 "
    "--set encoder.projector.hidden=16 --set encoder.projector.output=8 --quiet"
)
GRID = """name = "grid"
seeds = [1, 2]

[base]
data.source = "photos"
recipe = "folder-32"
epochs = 1
batch = 8
evaluation.pairs = 8
data.held-out = 0.25
encoder.projector.hidden = 16
encoder.projector.output = 8

[[grid]]
[[grid.axis]]
labels = ["nt-xent", "dhel"]
loss = [{ name = "nt-xent", temperature = 0.5 }, { name = "dhel", temperature = 0.5 }]
"""


def png(path, width, height, pixel):
    rows = b"".join(b"\0" + bytes(value for x in range(width) for value in pixel(x, y)) for y in range(height))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


if not (HERE / "photos").exists():
    for i in range(48):
        wave = lambda x, y, a, b: (x * a + y * b) // 4 % 64 * 3
        colour = lambda x, y: (wave(x, y, 3 + i % 5, 1 + i % 7), wave(x, y, i % 4, 5), i * 5 % 256)
        png(HERE / "photos" / ("cats" if i % 2 else "dogs") / f"{i:02}.png", 32 + i % 3, 32, colour)

version = subprocess.run(["riesz", "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
out = HERE / version
out.mkdir()
(out / "photos").symlink_to("../photos")


def riesz(command, **more):
    return subprocess.run(["riesz", *command.split()], cwd=out, check=True, **more)


# Interrupted in its second epoch; then the same, finished.
running = subprocess.Popen(["riesz", "train", "--run", "unfinished", *TRAIN.split()], cwd=out)
log = out / "unfinished/log.jsonl"
while not (log.exists() and '"epoch":1' in log.read_text()):
    assert running.poll() is None
    time.sleep(0.01)
running.send_signal(signal.SIGINT)
assert running.wait() == 130
shutil.copytree(out / "unfinished", out / "finished")
riesz(f"train --run finished {TRAIN}")
(out / "command.txt").write_text(f"riesz train --run unfinished {TRAIN}\n")

riesz("finetune finished --steps 4 --batch 8 --quiet")
riesz("embed finished photos --output index.parquet --quiet")
riesz("embed finished photos --output rows.npy --quiet")
riesz("geometry rows.npy --partial part-0.state --quiet")
riesz("geometry index.parquet --partial part-1.state --quiet")
(out / "geometry.json").write_bytes(riesz("geometry merge part-0.state part-1.state --json --quiet", stdout=subprocess.PIPE).stdout)
(out / "grid.toml").write_text(GRID)
riesz("sweep grid.toml --quiet")
riesz("sweep report grid")

# What nobody reads again, and weights that say the same as others.
for path in [*out.glob("**/report.html"), *out.glob("**/lock"), *out.glob("**/previous.safetensors"), *out.glob("**/results.parquet")]:
    path.unlink()
shutil.rmtree(out / "finished/checkpoints")
(out / "finished/finetune/classifier.safetensors").unlink()
for cell in out.glob("sweeps/*/cells/*"):
    shutil.rmtree(cell / "checkpoints", ignore_errors=True)
    (cell / "encoder.safetensors").unlink(missing_ok=True)
(out / "photos").unlink()

# Where the photos were, for which a reader puts where they are.
for path in out.glob("**/*"):
    if path.suffix in (".toml", ".json"):
        path.write_text(path.read_text().replace(str(HERE / "photos"), "/photos"))
