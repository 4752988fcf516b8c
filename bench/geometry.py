"""Geometry of embeddings as people compute it with NumPy, SciPy and scikit-learn, beside `riesz geometry`: time and memory.

python -m venv venv && venv/bin/pip install numpy scipy scikit-learn
venv/bin/python bench/geometry.py --riesz target/release/riesz --rows 50000 --dim 512 --rounds 3

Each task of each side is a process of its own, in turn, on the same file of f32 rows with a decaying spectrum. Python's time
begins behind its imports and includes reading the file; riesz's is that of the whole process. Memory is the process's largest
resident size. Before a time counts, the numbers are held to riesz's. A line a task: medians, spread, ratios.

| task | Python | riesz |
|---|---|---|
| spectrum-own | the formulas of the packages, each with its own decomposition | every metric of the spectrum |
| spectrum-shared | the same from one SVD of the rows and one of the centered rows | the same run |
| pairs | uniformity and W1 from blocks of a float32 product, with bincount; scikit-learn's 10 nearest | uniformity, W1, TwoNN, hubness |
| pdist | uniformity as published, from all distances at once (on `--pdist-rows` rows) | uniformity |
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOLERANCE = 2e-4  # float32 products on both sides; spectra agree to 1e-9
SPECTRUM = ["rank", "effective_rank", "effective_rank_roy_vetterli", "rank_me", "effective_rank_eigenvalues",
            "effective_rank_explained_variance", "participation_ratio", "stable_rank", "ne_sum", "gaussian_uniformity"]
PAIRS = ["uniformity", "wasserstein_uniformity", "intrinsic_dimension", "hubness"]


def unit(path, limit=None):
    x = np.load(path)[:limit].astype("f8")
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def entropy_rank(p):
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def of_values(s, c, n, d):
    lam, p = c**2 / n, s / s.sum()
    q = (p + 1e-7) / (p + 1e-7).sum()
    return {
        "rank": int((c**2 / (n - 1) > 1e-5).sum()),
        "effective_rank": entropy_rank(q),
        "effective_rank_roy_vetterli": entropy_rank(p),
        "rank_me": entropy_rank(p + 1e-7),
        "effective_rank_eigenvalues": entropy_rank(s**2 / (s**2).sum()),
        "effective_rank_explained_variance": entropy_rank(lam / lam.sum()),
        "participation_ratio": float(lam.sum() ** 2 / (lam**2).sum()),
        "stable_rank": float((s**2).sum() / s[0] ** 2),
        "ne_sum": float(lam.sum() / lam[0]),
        "gaussian_uniformity": float(np.sqrt(max(0.0, 2 - 2 / np.sqrt(d) * np.sqrt(lam).sum()))),
    }


def spectrum_shared(path):
    x = unit(path)
    s = np.linalg.svd(x, compute_uv=False)
    return of_values(s, np.linalg.svd(x - x.mean(0), compute_uv=False), *x.shape)


def spectrum_own(path):
    """Each as its package has it: DHEL-KCL, RankMe, stable-pretraining and reptrix take an SVD or a covariance a metric."""
    x = unit(path)
    n, d = x.shape
    svd = lambda: scipy.linalg.svd(x, compute_uv=False)
    cov = lambda: np.linalg.eigvalsh(np.cov(x, rowvar=False, bias=True))[::-1].clip(0)
    share = lambda s: s / s.sum()
    found = {
        "rank": int(np.linalg.matrix_rank(np.cov(x, rowvar=False), tol=1e-5)),
        "effective_rank": entropy_rank(share(share(svd()) + 1e-7)),
        "effective_rank_roy_vetterli": entropy_rank(share(svd())),
        "rank_me": entropy_rank(share(svd()) + 1e-7),
        "effective_rank_eigenvalues": entropy_rank(share(svd() ** 2)),
        "effective_rank_explained_variance": entropy_rank(share(cov())),
        "stable_rank": float((x**2).sum() / svd()[0] ** 2),
    }
    lam = cov()
    found["participation_ratio"] = float(lam.sum() ** 2 / (lam**2).sum())
    lam = cov()
    found["ne_sum"] = float(lam.sum() / lam[0])
    found["gaussian_uniformity"] = float(np.sqrt(max(0.0, 2 - 2 / np.sqrt(d) * np.sqrt(cov()).sum())))
    return found


def pairs(path, block=1024, bins=20_000):
    x = unit(path).astype("f4")
    n, d = x.shape
    counts, total = np.zeros(bins, "i8"), 0.0
    for first in range(0, n, block):
        s = x[first : first + block] @ x[first:].T
        # Each pair once: what is on or below the diagonal of the block is left out.
        s = s[np.triu_indices(s.shape[0], 1, s.shape[1])] if first + block >= n else np.concatenate(
            [s[:, :block][np.triu_indices(s.shape[0], 1, block)], s[:, block:].ravel()])
        total += float(np.exp(4 * s - 4).sum(dtype="f8"))
        counts += np.bincount(np.clip(((s + 1) * (bins / 2)).astype("i4"), 0, bins - 1), minlength=bins)
    edges = np.linspace(-1, 1, bins + 1)
    a = (d - 1) / 2
    law = scipy.stats.beta.cdf((edges + 1) / 2, a, a)
    have = np.concatenate([[0], np.cumsum(counts)]) / (n * (n - 1) / 2)
    gap = np.abs(have - law)
    distance, near = NearestNeighbors(n_neighbors=11, algorithm="brute").fit(x).kneighbors(x)
    ratio = np.log(distance[:, 2].astype("f8") / distance[:, 1])
    hubs = np.bincount(near[:, 1:].ravel(), minlength=n)
    return {
        "uniformity": float(np.log(total / (n * (n - 1) / 2))),
        "wasserstein_uniformity": float(((gap[1:] + gap[:-1]) / 2).sum() * 2 / bins),
        "intrinsic_dimension": float((n - 1) / ratio.sum()),
        "hubness": float(scipy.stats.skew(hubs)),
    }


def pdist(path, limit):
    x = unit(path, limit)
    return {"uniformity": float(np.log(np.exp(-2 * scipy.spatial.distance.pdist(x, "sqeuclidean")).mean()))}


def child(arguments):
    """Runs a process; its outcome, seconds and largest resident bytes."""
    started = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"bench/geometry.py: {' '.join(map(str, arguments))} failed")
    return json.loads(out), time.perf_counter() - started, usage.ru_maxrss * 1024


def check(task, python, riesz):
    for name, want in python.items():
        got = riesz[name]
        # TwoNN and hubness move with the rounding of the nearest distances.
        bound = 2e-2 if name in PAIRS[2:] else TOLERANCE
        if abs(got - want) > bound * max(1.0, abs(want)):
            sys.exit(f"bench/geometry.py: {task}: {name} is {got} by riesz and {want} by Python")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--riesz", default="target/release/riesz")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--pdist-rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", default="spectrum-own,spectrum-shared,pairs,pdist")
    parser.add_argument("--task")
    parser.add_argument("--file")
    options = parser.parse_args()
    if options.task:
        # Not at the head: what starts other processes must be small itself, as its size counts as theirs.
        global np, scipy, NearestNeighbors
        import numpy as np
        import scipy.linalg
        import scipy.spatial
        import scipy.stats
        from sklearn.neighbors import NearestNeighbors

        if options.task == "make":
            rng = np.random.default_rng(0)
            scale = 1 / np.sqrt(np.arange(1, options.dim + 1))
            rows = (rng.normal(size=(options.rows, options.dim)) * scale + 0.02).astype("f4")
            np.save(options.file, rows)
            np.save(Path(options.file).with_name("few.npy"), rows[: options.pdist_rows])
            print("{}")
            return
        started = time.perf_counter()
        of = {"spectrum-own": spectrum_own, "spectrum-shared": spectrum_shared, "pairs": pairs,
              "pdist": lambda path: pdist(path, options.pdist_rows)}[options.task]
        found = of(options.file)
        print(json.dumps({"found": found, "seconds": time.perf_counter() - started}))
        return
    with tempfile.TemporaryDirectory() as folder:
        path, few = Path(folder) / "rows.npy", Path(folder) / "few.npy"
        shape = ["--rows", options.rows, "--dim", options.dim, "--pdist-rows", options.pdist_rows]
        child([sys.executable, __file__, "--task", "make", "--file", path, *map(str, shape)])
        geometry = [options.riesz, "geometry", "--quiet", "--json", "--memory", "8GB"]
        print("| task | n | Python s | riesz s | faster | Python MB | riesz MB | memory |")
        print("|---|---|---|---|---|---|---|---|")
        for task in options.tasks.split(","):
            spectral = task.startswith("spectrum")
            ours = [*geometry, few if task == "pdist" else path, "--metrics", ",".join(SPECTRUM if spectral else PAIRS),
                    "--sample", "0" if spectral else str(options.rows)]
            theirs = [sys.executable, __file__, "--task", task, "--file", path, "--pdist-rows", str(options.pdist_rows)]
            seconds, memory = ([], []), ([], [])
            for _ in range(options.rounds):
                python, _, python_bytes = child(theirs)
                report, riesz_seconds, riesz_bytes = child(ours)
                check(task, python["found"], {value["name"]: value["value"] for value in report["metrics"]})
                for side, value in zip(seconds, (python["seconds"], riesz_seconds)):
                    side.append(value)
                for side, value in zip(memory, (python_bytes, riesz_bytes)):
                    side.append(value / 1e6)
            a, b = map(statistics.median, seconds)
            m, r = map(statistics.median, memory)
            spread = lambda side: f"{statistics.median(side):.2f} ({min(side):.2f}–{max(side):.2f})"
            print(f"| {task} | {len(seconds[0])} | {spread(seconds[0])} | {spread(seconds[1])} | {a / b:.1f}× | {m:.0f} | {r:.0f} | 1/{m / r:.1f} |", flush=True)


if __name__ == "__main__":
    main()
