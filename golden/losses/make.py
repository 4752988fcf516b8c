"""Golden values and gradients of losses of several views, of groups, and of SigLIP and the spectral loss.

python3 golden/losses/make.py    (Python's standard library alone; half a minute)
Writes cases.json beside this file, from the matrices of golden/inputs.safetensors.

Each loss is written here from its source, in sums over named indices, and shares no line with riesz. Gradients are by the
complex step: f'(x) = Im f(x + ih)/h with h = 1e-60 has no difference of near numbers in it, so it is right to rounding, and
it needs the value's formula alone. All in float64.

A case has: input, the matrix (raw rows, which the losses scale to unit length); views, into how many equal parts it is cut,
one above the other; groups, if any, one an image; params; value; of the gradient with respect to the raw rows grad_norm,
grad_row0 and grad_last (first and last row); and grad_params, the gradient with respect to the parameters that are learned.
"""

import cmath
import json
import math
import struct
from pathlib import Path

HERE = Path(__file__).parent
STEP = 1e-60


def matrices():
    data = (HERE.parent / "inputs.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    found = {}
    for name, info in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        assert info["dtype"] == "F64"
        start, end = (8 + size + offset for offset in info["data_offsets"])
        numbers = struct.unpack(f"<{(end - start) // 8}d", data[start:end])
        d = info["shape"][1]
        found[name] = [list(numbers[i : i + d]) for i in range(0, len(numbers), d)]
    return found


def dot(x, y):
    return sum(a * b for a, b in zip(x, y))


def unit(row):
    length = cmath.sqrt(dot(row, row))
    return [x / length for x in row]


def cosines(rows):
    return [[dot(x, y) for y in map(unit, rows)] for x in map(unit, rows)]


def cosines_with(s, rows, i, row):
    """Those of `rows`, which are s, with `row` in place of row i."""
    moved = [list(line) for line in s]
    x = unit(row)
    for j, y in enumerate(map(unit, rows)):
        moved[i][j] = moved[j][i] = dot(x, y)
    moved[i][i] = dot(x, x)
    return moved


def log(x):
    return cmath.log(x)


def mv_info_nce_printed(s, views, groups, p):
    """Denominator: every row of another view (README of the authors' repository)."""
    m = len(s) // views
    e = lambda i, l, j, k: cmath.exp(s[l * m + i][k * m + j] / p["tau"])
    total = 0
    for i in range(m):
        above = sum(e(i, l, i, k) for l in range(views) for k in range(views) if l != k)
        below = sum(e(i, l, j, k) for l in range(views) for k in range(views) if k != l for j in range(m))
        total -= log(above / below)
    return total / m


def mv_info_nce_code(s, views, groups, p):
    """Denominator: every row but the anchor; numerator: twice the unordered pairs (class MVINFONCE)."""
    n = len(s)
    m = n // views
    e = [[cmath.exp(s[a][b] / p["tau"]) for b in range(n)] for a in range(n)]
    total = 0
    for i in range(m):
        below = sum(sum(e[a]) - e[a][a] for a in range(i, n, m))
        above = 2 * sum(e[l * m + i][k * m + i] for l in range(views) for k in range(l + 1, views))
        total -= log(above / below)
    return total / m


def mv_dhel_printed(s, views, groups, p):
    """Numerator: ordered pairs; denominators: all rows of the view, the anchor too (README)."""
    m = len(s) // views
    e = lambda i, l, j, k: cmath.exp(s[l * m + i][k * m + j] / p["tau"])
    total = 0
    for i in range(m):
        total -= log(sum(e(i, l, i, k) for l in range(views) for k in range(views) if l != k))
        total += sum(log(sum(e(i, l, j, l) for j in range(m))) for l in range(views))
    return total / m


def mv_dhel_code(s, views, groups, p):
    """Numerator: unordered pairs; denominators: the other rows of the view (class MVDHEL)."""
    m = len(s) // views
    e = lambda i, l, j, k: cmath.exp(s[l * m + i][k * m + j] / p["tau"])
    total = 0
    for i in range(m):
        total -= log(sum(e(i, l, i, k) for l in range(views) for k in range(l + 1, views)))
        total += sum(log(sum(e(i, l, j, l) for j in range(m) if j != i)) for l in range(views))
    return total / m


def sup_con(s, views, groups, p):
    """L_out of Khosla et al. 2020: the mean over P(a) outside the logarithm."""
    n = len(s)
    m = n // views
    total = 0
    for a in range(n):
        below = sum(cmath.exp(s[a][b] / p["tau"]) for b in range(n) if b != a)
        positives = [b for b in range(n) if b != a and groups[b % m] == groups[a % m]]
        total -= sum(log(cmath.exp(s[a][b] / p["tau"]) / below) for b in positives) / len(positives)
    return total / n


def sup_con_in(s, views, groups, p):
    """L_in: the mean over P(a) inside the logarithm."""
    n = len(s)
    m = n // views
    total = 0
    for a in range(n):
        e = [cmath.exp(x / p["tau"]) for x in s[a]]
        positives = [b for b in range(n) if b != a and groups[b % m] == groups[a % m]]
        total -= log(sum(e[b] for b in positives) / len(positives) / (sum(e) - e[a]))
    return total / n


def siglip(s, views, groups, p):
    m = len(s) // 2
    total = 0
    for i in range(m):
        for j in range(m):
            sign = 1 if i == j else -1
            total += log(1 + cmath.exp(-sign * (p["scale"] * s[i][m + j] + p["offset"])))
    return total / m


def spectral(s, views, groups, p):
    m = len(s) // 2
    pull = sum(s[i][m + i] for i in range(m)) / m
    push = sum(s[i][m + j] ** 2 for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return push - 2 * pull


LOSSES = {
    f.__name__: f
    for f in [
        mv_info_nce_printed,
        mv_info_nce_code,
        mv_dhel_printed,
        mv_dhel_code,
        sup_con,
        sup_con_in,
        siglip,
        spectral,
    ]
}


def case(loss, name, rows, views, params, learned=(), groups=None):
    f = LOSSES[loss]
    s = cosines(rows)
    value = f(s, views, groups, params).real
    grad = []
    for i, row in enumerate(rows):
        of_row = []
        for k, x in enumerate(row):
            moved = list(row)
            moved[k] = complex(x, STEP)
            of_row.append(f(cosines_with(s, rows, i, moved), views, groups, params).imag / STEP)
        grad.append(of_row)
    of_params = {}
    for key in learned:
        moved = dict(params)
        moved[key] = complex(params[key], STEP)
        of_params[key] = f(s, views, groups, moved).imag / STEP
    found = {"input": name, "views": views, "loss": loss, "params": params, "value": value}
    if groups is not None:
        found["groups"] = groups
    found["grad_norm"] = math.sqrt(sum(g * g for row in grad for g in row))
    found["grad_row0"], found["grad_last"] = grad[0], grad[-1]
    if learned:
        found["grad_params"] = of_params
    return found


def main():
    inputs = matrices()
    cases = []
    for name, views in [("aligned_8x4", 2), ("aligned_8x4", 4), ("random_33x7", 3)]:
        for tau in [0.5, 0.1]:
            for loss in ["mv_info_nce_printed", "mv_info_nce_code", "mv_dhel_printed", "mv_dhel_code"]:
                cases.append(case(loss, name, inputs[name], views, {"tau": tau}, learned=["tau"]))
    labels = (HERE / "groups.txt").read_text().split()
    eight = [labels.index(label) for label in labels]
    grouped = [
        ("aligned_8x4", 2, eight),
        ("aligned_8x4", 4, [0, 0, 1, 0]),
        ("random_33x7", 3, [i * i % 5 for i in range(22)]),
        # One view: matches are other images alone.
        ("aligned_8x4", 1, [i % 3 for i in range(16)]),
        # Every image a group of its own: NT-Xent.
        ("aligned_8x4", 2, list(range(8))),
    ]
    for name, views, groups in grouped:
        for tau in [0.5, 0.07]:
            for loss in ["sup_con", "sup_con_in"]:
                cases.append(case(loss, name, inputs[name], views, {"tau": tau}, learned=["tau"], groups=groups))
    for name in ["aligned_8x4", "random_16x8"]:
        cases.append(case("spectral", name, inputs[name], 2, {}))
        for scale, offset in [(10.0, -10.0), (3.0, 1.0)]:
            params = {"scale": scale, "offset": offset}
            cases.append(case("siglip", name, inputs[name], 2, params, learned=["scale", "offset"]))
    lines = ",\n".join(json.dumps(found) for found in cases)
    (HERE / "cases.json").write_text(f'{{"cases": [\n{lines}\n]}}\n')
    print(len(cases), "cases")


if __name__ == "__main__":
    main()
