"""The Thomson energy of N points by SciPy's L-BFGS-B and by `riesz sphere minimize`: time of a start that converged.

python -m venv venv && venv/bin/pip install scipy
venv/bin/python bench/sphere.py --riesz target/release/riesz          N = 100, d = 3

Both minimize sum_{i<j} 1/||x_i - x_j|| over unit vectors from normal draws divided by their lengths, remember as many steps
(8), and stop where the norm of the gradient along the spheres is TOLERANCE times the energy. SciPy has one process, and
free rows are divided by their lengths; value and gradient are NumPy's in two forms: `product`, distances from the matrix
of cosines, which is faster, and `differences`, the array of all x_i - x_j, as one writes it first. riesz is timed as a process
from start to end, all threads and one thread. Rounds take turns; printed are medians, lowest and highest.
"""

import argparse
import os
import statistics
import subprocess
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    # Matrices of 100 rows: threads of BLAS would only wait for each other.
    os.environ.setdefault(name, "1")

import numpy as np
from scipy.optimize import minimize

# Reached by both; below about 5e-9 SciPy's line search stops on the value's last digits.
TOLERANCE = 1e-8
MEMORY = 8


class Reached(Exception):
    """The gradient is within the tolerance."""


def product(x):
    """Sum of inverse distances over pairs, and its gradient but for a part along x."""
    r = 2.0 - 2.0 * (x @ x.T)
    np.fill_diagonal(r, 1.0)
    inverse = 1.0 / np.sqrt(r)
    np.fill_diagonal(inverse, 0.0)
    return 0.5 * inverse.sum(), (inverse / r) @ x


def differences(x):
    """The same from the array of all differences."""
    apart = x[:, None, :] - x[None, :, :]
    distances = np.linalg.norm(apart, axis=2)
    np.fill_diagonal(distances, np.inf)
    inverse = 1.0 / distances
    return 0.5 * inverse.sum(), -(apart * inverse[:, :, None] ** 3).sum(axis=1)


def energy(form, z, n, d):
    """Value, gradient with respect to free rows z, and the norm of the gradient along the spheres."""
    z = z.reshape(n, d)
    lengths = np.sqrt(np.einsum("ij,ij->i", z, z))[:, None]
    x = z / lengths
    value, gradient = form(x)
    gradient -= np.einsum("ij,ij->i", gradient, x)[:, None] * x
    return value, (gradient / lengths).ravel(), np.linalg.norm(gradient)


def descend(form, n, d, seed):
    """(seconds, evaluations, whether the tolerance was reached, energy) of one start."""
    z = np.random.default_rng(seed).normal(size=(n, d))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    evaluations, value = 0, np.inf

    def objective(z):
        nonlocal evaluations, value
        evaluations += 1
        value, gradient, norm = energy(form, z, n, d)
        if norm <= TOLERANCE * value:
            raise Reached
        return value, gradient

    started = time.perf_counter()
    try:
        options = {"maxiter": 20000, "maxfun": 20000, "ftol": 0, "gtol": 0, "maxcor": MEMORY}
        minimize(objective, z.ravel(), jac=True, method="L-BFGS-B", options=options)
        reached = False
    except Reached:
        reached = True
    return time.perf_counter() - started, evaluations, reached, value


def riesz(path, n, d, starts, threads):
    """Seconds of a whole process with so many starts."""
    command = [path, "sphere", "minimize", "--kernel", "riesz", "--exponent", "1", "--points", str(n), "--dim", str(d)]
    command += ["--starts", str(starts), "--tolerance", str(TOLERANCE), "--json"]
    environment = dict(os.environ, **({"RAYON_NUM_THREADS": str(threads)} if threads else {}))
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def told(name, seconds):
    milliseconds = [1e3 * value for value in seconds]
    low, high = min(milliseconds), max(milliseconds)
    print(f"{name:32} {statistics.median(milliseconds):8.3f} ms a start ({low:.3f} to {high:.3f}, {len(seconds)} rounds)")
    return statistics.median(milliseconds)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--riesz", default="target/release/riesz")
    arguments.add_argument("--points", type=int, default=100)
    arguments.add_argument("--dim", type=int, default=3)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--starts", type=int, default=200, help="of riesz in a round; SciPy has a twentieth")
    given = arguments.parse_args()
    n, d, few = given.points, given.dim, max(given.starts // 20, 1)

    forms = {"product": product, "differences": differences}
    # The gradients are checked before anything is timed.
    z = np.random.default_rng(0).normal(size=(n, d)).ravel()
    step = 1e-6 * np.random.default_rng(1).normal(size=z.size)
    for form in forms.values():
        difference = (energy(form, z + step, n, d)[0] - energy(form, z - step, n, d)[0]) / 2
        assert abs(difference - step @ energy(form, z, n, d)[1]) < 1e-6 * abs(difference)

    scipy, all_threads, one_thread, failed = {name: [] for name in forms}, [], [], 0
    for turn in range(given.rounds):
        for name, form in forms.items():
            runs = [descend(form, n, d, turn * few + i) for i in range(few)]
            failed += sum(not reached for _, _, reached, _ in runs)
            converged = sum(reached for _, _, reached, _ in runs)
            scipy[name].append(sum(seconds for seconds, *_ in runs) / max(converged, 1))
        all_threads.append(riesz(given.riesz, n, d, given.starts, None) / given.starts)
        one_thread.append(riesz(given.riesz, n, d, given.starts, 1) / given.starts)
    print(f"N = {n}, d = {d}, gradient to {TOLERANCE} of the energy; SciPy did not reach it in {failed} starts")
    theirs = {name: told(f"SciPy L-BFGS-B, {name}", seconds) for name, seconds in scipy.items()}
    for name, ours in (("riesz, one thread", one_thread), (f"riesz, {os.cpu_count()} cores", all_threads)):
        milliseconds = told(name, ours)
        print("".ljust(33) + ", ".join(f"{theirs[form] / milliseconds:.1f} times as fast as {form}" for form in forms))


if __name__ == "__main__":
    main()
