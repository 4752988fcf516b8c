"""Geometry of many shards by several workers: `python examples/geometry_parts.py shards/*.parquet`, or `--ray` on a cluster of Ray.

Each worker makes the state of its shards, a group of rows at a time; states are small and merge to what one pass gives. Without
files, four shards are made, and what was merged is held to a single pass. Parquet files have a column of lists of numbers named
"embedding"; .npy files are taken, too.
"""

import multiprocessing
import sys
import tempfile
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import riesz


def blocks_of(file):
    if str(file).endswith(".npy"):
        yield np.load(file, mmap_mode="r")
        return
    for batch in pq.ParquetFile(file).iter_batches(4096, columns=["embedding"]):
        yield batch.column(0).flatten().to_numpy().reshape(len(batch), -1)


def state_of(file):
    """Of one shard; the draws of the sample are those of its name."""
    state = riesz.GeometryState(sample=2000, source=Path(file).name)
    for block in blocks_of(file):
        state.update(block)
    return state


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


def single_pass(files):
    """One state that sees all rows, shard after shard."""
    state = riesz.GeometryState(sample=2000, source=Path(files[0]).name)
    for file in files:
        for block in blocks_of(file):
            state.update(block, source=Path(file).name)
    return state


def made(folder):
    """Four shards of rows that favour some directions."""
    draws = np.random.default_rng(0)
    for shard in range(4):
        rows = draws.standard_normal((5000 + 100 * shard, 64)) / np.arange(1, 65) ** 0.25
        lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.astype(np.float32).ravel()), 64)
        pq.write_table(pa.table({"embedding": lists}), folder / f"{shard}.parquet")
    return sorted(folder.glob("*.parquet"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        given = [Path(name) for name in sys.argv[1:] if name != "--ray"]
        files = given or made(Path(folder))
        report = merged(by_ray(files) if "--ray" in sys.argv else by_processes(files)).result()
        print(report)
        if not given:
            one = single_pass(files).result()
            off = np.abs(report.singular_values - one.singular_values).max() / one.singular_values[0]
            same = report.near_duplicate_pairs == one.near_duplicate_pairs
            same = "the same" if same and report.uniformity == one.uniformity else "another"
            print(f"\nfrom a single pass: singular values off by {off:.1e} of the largest; {same} sample")
