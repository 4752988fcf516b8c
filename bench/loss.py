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
import importlib.util
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
# Beyond it a check on the CPU would take longer than all that is measured.
CHECKED = 16384
# The square product that tells torch's own rate.
SIDE = {"cpu": 2048, "cuda": 4096}
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


def log_sums(rows, columns, tau):
    """Each row's log-sum-exp over all columns but the one of its own place, by Inf-CL's scheme: a chunk of rows at a time, and
    for the gradient cosines made again, so that nothing of size M² stands."""
    step = max(256, (1 << 28) // len(columns))

    def logits(rows, columns, first):
        chunk = rows[first : first + step] @ columns.T / tau
        place = torch.arange(len(chunk), device=rows.device)
        chunk[place, place + first] = float("-inf")
        return chunk

    class LogSums(torch.autograd.Function):
        @staticmethod
        def forward(context, rows, columns):
            sums = torch.cat([logits(rows, columns, first).logsumexp(dim=1) for first in range(0, len(rows), step)])
            context.save_for_backward(rows, columns, sums)
            return sums

        @staticmethod
        def backward(context, grad):
            rows, columns, sums = context.saved_tensors
            of_rows, of_columns = torch.empty_like(rows), torch.zeros_like(columns)
            for first in range(0, len(rows), step):
                chunk = slice(first, first + step)
                weights = logits(rows, columns, first).sub_(sums[chunk, None]).exp_().mul_(grad[chunk, None] / tau)
                of_rows[chunk] = weights @ columns
                of_columns.addmm_(weights.T, rows[chunk])
            return of_rows, of_columns

    return LogSums.apply(rows, columns)


def dhel_tiles(u, v):
    """DHEL by chunks of rows."""
    matched = (u * v).sum(dim=-1) / DHEL_TAU
    return (log_sums(u, u, DHEL_TAU) + log_sums(v, v, DHEL_TAU) - matched).mean()


def nt_xent_tiles(u, v):
    """NT-Xent by chunks of rows."""
    z = torch.cat([u, v])
    return log_sums(z, z, NT_XENT_TAU).mean() - ((u * v).sum(dim=1) / NT_XENT_TAU).mean()


FORMS = {
    "dhel": {"authors": dhel, "tiles": dhel_tiles},
    "nt-xent": {"cross-entropy": nt_xent, "tiles": nt_xent_tiles},
    "kcl": {"authors": kcl_pdist, "product": kcl_product},
    "dcl": {"log-sum-exp": dcl},
}


def ways(loss, device):
    """The names of all ways to have a loss on a device."""
    # Chunks are what one does on a GPU whose memory is short.
    forms = [form for form in FORMS[loss] if device == "cuda" or form != "tiles"]
    names = [f"eager:{form}" for form in forms]
    # Compiled, pdist becomes an array of M × M × d, slower than eager and out of memory soon; chunks are a graph each.
    names += [f"compile:{form}" for form in forms if FORMS[loss][form] is not kcl_pdist and form != "tiles"]
    has_it = loss in ("nt-xent", "dcl") and device == "cpu"
    if has_it and importlib.util.find_spec("lightly") is None:
        print("lightly is not installed: left out", file=sys.stderr)
        has_it = False
    return names + (["lightly"] if has_it else [])


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
        """One line; that a way has not the memory is one, too."""
        if way == "product":
            return self.product()
        try:
            return self.timed(loss, m, way)
        except torch.OutOfMemoryError:
            self.ready.pop((loss, m, way), None)
            torch.cuda.empty_cache()
            return {"loss": loss, "m": m, "way": way, "device": self.arguments.device, "lacks": "memory"}

    def timed(self, loss, m, way):
        """As many calls as fit in the time, an odd number, three at least."""
        arguments = self.arguments
        if (loss, m, way) not in self.ready:
            u, v = views(m, arguments.d, arguments.device)
            evaluate = function(loss, way)
            apart = check(arguments.riesz, loss, way, evaluate, u, v) if m <= CHECKED else (None, None)
            self.ready[loss, m, way] = evaluate, u, v, apart
        evaluate, u, v, apart = self.ready[loss, m, way]
        if u.is_cuda:
            torch.cuda.reset_peak_memory_stats()
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
            "peak_bytes": torch.cuda.max_memory_allocated() if u.is_cuda else None,
        }

    def product(self):
        """torch's own rate."""
        side = SIDE[self.arguments.device]
        a = torch.randn(side, side, device=self.arguments.device)
        seconds = []
        for _ in range(4):
            started = time.perf_counter()
            (a @ a)[0, 0].item()
            seconds.append(time.perf_counter() - started)
        return {"way": "product", "side": side, "gflops": 2e-9 * side**3 / statistics.median(seconds[1:])}


def table(path):
    """The ratios of the lines that `bench/loss.sh` gathered, a round being one line of each kind."""
    times, shares, lacking, products = {}, {}, set(), {}
    for line in map(json.loads, Path(path).read_text().splitlines()):
        if line.get("way") == "product":
            products.setdefault(("torch", line["side"]), []).append(line["gflops"])
        elif "lacks" in line:
            lacking.add((line["loss"], line["m"], line["way"]))
        elif "measured" in line:
            (one,) = line["measured"]
            key = one["loss"]["name"], one["images"], "riesz"
            times.setdefault(key, []).append(one["seconds"]["median"])
            shares.setdefault(key, []).append(one["share"])
            products.setdefault(("riesz", line["product_shape"][0]), []).append(one["product_gflops"])
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
    for loss, m, way in sorted(lacking):
        print(f"{loss}, M {m}, {way}: out of memory")
    for (name, side), rates in products.items():
        print(f"{name}'s product of {side} × {side} × {side}: {median(rates):.0f} GFLOP/s (median of {len(rates)})")


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
        return print(" ".join(ways(arguments.ways, arguments.device)))
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
            for way in ways(loss, arguments.device):
                print(json.dumps(side.measure(loss, m, way)), flush=True)
    return None


if __name__ == "__main__":
    main()
