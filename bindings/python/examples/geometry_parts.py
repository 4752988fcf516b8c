"""Geometry of many shards by several workers: `python examples/geometry_parts.py shards/*.npy`, or `--ray` on a cluster of Ray.

Each worker makes the state of its shards; states are small and merge to what one pass gives. Without files, shards are made.
Files may be .npy, or .parquet with a column of lists of numbers named "embedding".
"""

import multiprocessing
import sys
import tempfile
from functools import reduce
from pathlib import Path

import numpy as np
import riesz


def rows_of(file):
    if str(file).endswith(".parquet"):
        import pyarrow.parquet

        column = pyarrow.parquet.read_table(file, columns=["embedding"])["embedding"].combine_chunks()
        return np.asarray(column.flatten()).reshape(len(column), -1)
    return np.load(file, mmap_mode="r")


def state_of(file):
    """Of one shard; the draws of the sample are those of its name."""
    return riesz.GeometryState(sample=2000, source=Path(file).name).update(rows_of(file))


def by_processes(files, workers=2):
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return pool.map(state_of, files)


def by_ray(files, workers=2):
    import ray

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    try:
        return ray.get([ray.remote(state_of).remote(file) for file in files])
    finally:
        ray.shutdown()


def merged(states):
    return reduce(lambda all_, state: all_.merge(state), states)


def made(folder):
    """Four shards of rows that favour some directions."""
    draws = np.random.default_rng(0)
    for shard in range(4):
        rows = draws.standard_normal((5000 + 100 * shard, 64)) / np.arange(1, 65) ** 0.25
        np.save(folder / f"{shard}.npy", rows.astype(np.float32))
    return sorted(folder.glob("*.npy"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(name) for name in sys.argv[1:] if name != "--ray"] or made(Path(folder))
        states = by_ray(files) if "--ray" in sys.argv else by_processes(files)
        print(merged(states).result())
