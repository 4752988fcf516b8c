"""Contrastive losses as people write them in PyTorch: value and gradient with respect to unit rows, checked, then timed.

python -m venv venv && venv/bin/pip install torch lightly
venv/bin/python bench/loss.py --riesz target/release/riesz --m 256,1024        one JSON line for each (loss, M, way)

`bench/loss.sh` asks it line by line instead (`--ask`), in turn with riesz, and then for the table (`--table LINES`).

Shapes: u and v are the two views, M × d, unit rows, f32. M is the number of images of a batch, as in the papers.

Ways: `eager` and `compile` (torch.compile) with the name of the form behind a colon, `lightly` for lightly's own class.
A loss has two forms where there are two usual ones. Each is held to `riesz loss --grad` on the same rows, value and
gradient, before it is timed; what does not say the same loss is an error and not a line.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# The settings of the papers and of their code: both sides have these.
DHEL_TAU, NT_XENT_TAU, DCL_TAU, WIDTH, GAMMA = 0.3, 0.5, 0.1, 2.0, 16.0
# Apart by rounding: of the value relative to 1 + |value|, of the gradient relative to its norm.
VALUE, GRADIENT = 1e-5, 1e-4
# The square product that tells torch's own rate.
SIDE = 2048
LOSSES = ["dhel", "nt-xent", "kcl", "dcl"]


def dhel(u, v):
    """The authors' formula, with their plain exp, sum and log; both views' energies (`include_augs=True`)."""
    diagonal = torch.eye(len(u), device=u.device, dtype=torch.bool)
    own = torch.exp(u @ u.T / DHEL_TAU).masked_fill(diagonal, 0).sum(dim=-1)
    other = torch.exp(v @ v.T / DHEL_TAU).masked_fill(diagonal, 0).sum(dim=-1)
    matched = torch.exp((u * v).sum(dim=-1) / DHEL_TAU)
    return -torch.log(matched / (own * other)).mean()


def kcl_pdist(u, v):
    """The authors' formula, with their pdist."""
    energy = sum(torch.pdist(x).pow(2).mul(-WIDTH).exp().mean() for x in (u, v))
    alignment = (u - v).norm(dim=1).pow(2).mul(-WIDTH).exp().mean()
    return -2 * alignment + GAMMA * energy


def kcl_product(u, v):
    """The same by a product: ‖x − y‖² = 2 − 2⟨x, y⟩ of unit rows."""
    pairs = len(u) * (len(u) - 1)
    diagonal = torch.eye(len(u), device=u.device, dtype=torch.bool)
    kernel = lambda x: torch.exp(2 * WIDTH * (x @ x.T - 1)).masked_fill(diagonal, 0).sum() / pairs
    alignment = torch.exp(2 * WIDTH * ((u * v).sum(dim=1) - 1)).mean()
    return -2 * alignment + GAMMA * (kernel(u) + kernel(v))


def nt_xent(u, v):
    """Cross-entropy of all 2M rows, with the row itself struck out."""
    z = torch.cat([u, v])
    logits = z @ z.T / NT_XENT_TAU
    logits = logits.masked_fill(torch.eye(len(z), device=z.device, dtype=torch.bool), float("-inf"))
    matched = torch.arange(len(z), device=z.device).roll(len(u))
    return torch.nn.functional.cross_entropy(logits, matched)


def dcl(u, v):
    """Log-sum-exp of all 2M rows, with the row itself and its matched one struck out."""
    z = torch.cat([u, v])
    logits = z @ z.T / DCL_TAU
    image = torch.arange(len(z), device=z.device) % len(u)
    negatives = torch.logsumexp(logits.masked_fill(image[:, None] == image, float("-inf")), dim=1)
    return negatives.mean() - ((u * v).sum(dim=1) / DCL_TAU).mean()


FORMS = {
    "dhel": {"authors": dhel},
    "nt-xent": {"cross-entropy": nt_xent},
    "kcl": {"authors": kcl_pdist, "product": kcl_product},
    "dcl": {"log-sum-exp": dcl},
}


def ways(loss):
    """The names of all ways to have a loss."""
    names = [f"eager:{form}" for form in FORMS[loss]]
    # Compiled, pdist becomes an array of M × M × d, slower than eager and out of memory soon.
    names += [f"compile:{form}" for form, body in FORMS[loss].items() if body is not kcl_pdist]
    return names + (["lightly"] if loss in ("nt-xent", "dcl") else [])


def function(loss, way):
    """The function behind a name."""
    if way == "lightly":
        from lightly.loss import DCLLoss, NTXentLoss

        return {"nt-xent": NTXentLoss(temperature=NT_XENT_TAU), "dcl": DCLLoss(temperature=DCL_TAU)}[loss]
    how, form = way.split(":")
    return torch.compile(FORMS[loss][form], dynamic=False) if how == "compile" else FORMS[loss][form]


def views(m, d, device):
    """Two views in some clusters, matched rows near each other: where a wrong loss shows."""
    random = torch.Generator().manual_seed(m)
    draw = lambda rows: torch.randn(rows, d, generator=random)
    center = draw(10)[torch.randint(10, (m,), generator=random)] + draw(m)
    return [torch.nn.functional.normalize(center + 0.5 * draw(m)).to(device).requires_grad_() for _ in range(2)]


def call(evaluate, u, v):
    """Seconds of value and gradient, and the value."""
    u.grad = v.grad = None
    started = time.perf_counter()
    value = evaluate(u, v)
    value.backward()
    value = value.item()  # waits for the device
    if u.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started, value


def check(riesz, loss, way, evaluate, u, v):
    """Holds value and gradient to riesz's."""
    _, value = call(evaluate, u, v)
    rows = torch.cat([u, v]).detach().cpu()
    gradient = torch.cat([u.grad, v.grad]).cpu()
    # riesz's command differentiates through the scaling to unit length, which leaves the tangential part.
    gradient = gradient - (gradient * rows).sum(dim=1, keepdim=True) * rows
    with tempfile.TemporaryDirectory() as folder:
        batch, grad = Path(folder) / "rows.npy", Path(folder) / "grad.npy"
        numpy.save(batch, rows.numpy())
        convention = ["--convention", "reference"] if loss in ("dhel", "kcl") else []
        command = [riesz, "loss", loss, "--input", batch, "--grad", grad, "--json", *convention]
        wanted = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["value"]
        wanted_gradient = torch.from_numpy(numpy.load(grad))
    apart = abs(value - wanted) / (1 + abs(wanted))
    gradient_apart = ((gradient - wanted_gradient).norm() / wanted_gradient.norm()).item()
    if not (apart <= VALUE and gradient_apart <= GRADIENT):
        sys.exit(
            f"{loss}, M {len(u)}, {way} is {value} and riesz {wanted}; gradients are apart by {gradient_apart:.1e}: "
            "they do not say the same loss"
        )
    return apart, gradient_apart


class Side:
    """What is compiled and checked once, and timed often."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.ready = {}

    def measure(self, loss, m, way):
        """One line: as many calls as fit in the time, an odd number, three at least."""
        if way == "product":
            return self.product()
        arguments = self.arguments
        if (loss, m, way) not in self.ready:
            u, v = views(m, arguments.d, arguments.device)
            evaluate = function(loss, way)
            self.ready[loss, m, way] = evaluate, u, v, check(arguments.riesz, loss, way, evaluate, u, v)
        evaluate, u, v, apart = self.ready[loss, m, way]
        first, _ = call(evaluate, u, v)
        calls = max(3, int(arguments.seconds / first)) | 1
        seconds = sorted(call(evaluate, u, v)[0] for _ in range(calls))
        return {
            "loss": loss,
            "m": m,
            "d": arguments.d,
            "way": way,
            "device": arguments.device,
            "calls": calls,
            "seconds": {"median": seconds[calls // 2], "fastest": seconds[0], "slowest": seconds[-1]},
            "apart": {"value": apart[0], "gradient": apart[1]},
        }

    def product(self):
        """torch's own rate."""
        a = torch.randn(SIDE, SIDE, device=self.arguments.device)
        seconds = []
        for _ in range(4):
            started = time.perf_counter()
            (a @ a)[0, 0].item()
            seconds.append(time.perf_counter() - started)
        return {"way": "product", "gflops": 2e-9 * SIDE**3 / statistics.median(seconds[1:])}


def table(path):
    """The ratios of the lines that `bench/loss.sh` gathered, a round being one line of each kind."""
    times, shares, products = {}, {}, {"riesz": [], "torch": []}
    for line in map(json.loads, Path(path).read_text().splitlines()):
        if line.get("way") == "product":
            products["torch"].append(line["gflops"])
        elif "measured" in line:
            (one,) = line["measured"]
            key = one["loss"]["name"], one["images"], "riesz"
            times.setdefault(key, []).append(one["seconds"]["median"])
            shares.setdefault(key, []).append(one["share"])
            products["riesz"].append(one["product_gflops"])
        else:
            times.setdefault((line["loss"], line["m"], line["way"]), []).append(line["seconds"]["median"])
    median = statistics.median
    print(f"{'loss':<9}{'M':>6}{'riesz ms':>10}{'share':>7}  {'against':<22}{'ms':>10}{'ratio':>8}  lowest–highest   n")
    for loss, m, _ in [key for key in times if key[2] == "riesz"]:
        own = times[loss, m, "riesz"]
        first = f"{loss:<9}{m:>6}{1e3 * median(own):>10.3f}{100 * median(shares[loss, m, 'riesz']):>5.0f} %"
        for other, m_of_other, way in times:
            if (other, m_of_other) == (loss, m) and way != "riesz":
                theirs = times[loss, m, way]
                # Of one round each, so that both saw the same machine.
                ratios = sorted(theirs / own for theirs, own in zip(theirs, own))
                spread = f"{ratios[0]:.2f}–{ratios[-1]:.2f}"
                print(f"{first:<32}  {way:<22}{1e3 * median(theirs):>10.3f}{median(ratios):>8.2f}  {spread:<14}{len(ratios):>4}")
                first = ""
    for name, rates in products.items():
        if rates:
            print(f"{name}'s product of {SIDE} × {SIDE} × {SIDE}: {median(rates):.0f} GFLOP/s (median of {len(rates)})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--riesz", default="target/release/riesz", help="the program that values and gradients are held to")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.5, help="for the calls of one measurement")
    parser.add_argument("--m", default="256,1024,4096")
    parser.add_argument("--d", type=int, default=128)
    parser.add_argument("--ask", action="store_true", help="answer lines `LOSS M WAY` of the standard input")
    parser.add_argument("--ways", metavar="LOSS", help="only tell the ways to have this loss")
    parser.add_argument("--table", metavar="LINES", help="only make the table of a file of lines")
    arguments = parser.parse_args()
    if arguments.ways:
        return print(" ".join(ways(arguments.ways)))
    if arguments.table:
        return table(arguments.table)
    # Not for the table.
    global numpy, torch
    import numpy
    import torch

    torch.set_num_threads(arguments.threads)
    side = Side(arguments)
    if arguments.ask:
        for question in sys.stdin:
            loss, m, way = question.split()
            print(json.dumps(side.measure(loss, int(m), way)), flush=True)
        return None
    for m in map(int, arguments.m.split(",")):
        for loss in LOSSES:
            for way in ways(loss):
                print(json.dumps(side.measure(loss, m, way)), flush=True)
    return None


if __name__ == "__main__":
    main()
