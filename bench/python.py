"""`riesz.torch` beside the program `riesz`, eager PyTorch, torch.compile and lightly: NT-Xent forward and backward, in turn.

cargo build --release --bin riesz && venv/bin/pip install ./bindings/python torch lightly
venv/bin/python bench/python.py --rounds 5 --m 1024,4096 --calls 20,4 --threads 2   a table
venv/bin/python bench/python.py --rounds 3 --m 16384 --calls 1                      some ways then take a minute and 20 GB
venv/bin/python bench/python.py --ask ...        the same, but each line of stdin starts a round (for a machine that is made quiet)

M is the number of images, two views each, f32. Ways: `riesz`, this package, from raw rows to their gradient; `program`, what
`riesz bench loss` tells of the engine alone, on unit rows; `eager`, a cross-entropy of the 2M x 2M matrix as people write it;
`compile`, that by torch.compile; `lightly`, its NTXentLoss. Memory comes first: the growth of the process's peak over one forward
and backward, in a process of its own, which is ended when it takes all but 1 GB of what the machine has; what does not fit is not
timed. The others are held to riesz's value and gradient before a time counts. Of a round's `--calls` of a way (one number, or one
for each M) the first does not count, unless it is the only one.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

WAYS = ["riesz", "program", "eager", "compile", "lightly"]
TEMPERATURE = 0.5
VALUE, GRADIENT = 1e-5, 1e-4


def function(way):
    import torch

    def eager(z1, z2):
        z = torch.nn.functional.normalize(torch.cat([z1, z2]))
        logits = z @ z.T / TEMPERATURE
        logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool), float("-inf"))
        return torch.nn.functional.cross_entropy(logits, torch.arange(len(z)).roll(len(z1)))

    if way == "riesz":
        import riesz.torch

        return riesz.torch.NTXentLoss(TEMPERATURE)
    if way == "lightly":
        from lightly.loss import NTXentLoss

        return NTXentLoss(temperature=TEMPERATURE)
    return torch.compile(eager, dynamic=False) if way == "compile" else eager


def views(m, d):
    import torch

    draws = torch.Generator().manual_seed(m)
    center = torch.randn(m, d, generator=draws)
    return [(center + 0.5 * torch.randn(m, d, generator=draws)).requires_grad_() for _ in range(2)]


def call(evaluate, z1, z2):
    """Seconds of forward and backward, and the value."""
    z1.grad = z2.grad = None
    started = time.perf_counter()
    value = evaluate(z1, z2)
    value.backward()
    return time.perf_counter() - started, value.item()


def program(m, arguments):
    """Median seconds of the program's own measurement."""
    command = [arguments.riesz, "bench", "loss", "nt-xent", "--m", m, "--d", arguments.d, "--threads", arguments.threads]
    command += ["--seconds", arguments.seconds, "--json", "--quiet"]
    done = subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return json.loads(done.stdout)["measured"][0]["seconds"]["median"]


def check(way, evaluate, wanted, z1, z2):
    import torch

    _, value = call(evaluate, z1, z2)
    grad = torch.cat([z1.grad, z2.grad])
    if wanted is None:
        return value, grad
    apart = abs(value - wanted[0]) / (1 + abs(wanted[0])), float((grad - wanted[1]).norm() / wanted[1].norm())
    if not (apart[0] <= VALUE and apart[1] <= GRADIENT):
        sys.exit(f"{way}, M {len(z1)}: apart from riesz by {apart[0]:.1e} and {apart[1]:.1e}: not the same loss")
    return wanted


def memory(way, m, d, threads, answer):
    """Sends bytes that the process's peak grows by in one forward and backward."""
    import torch

    torch.set_num_threads(threads)
    evaluate = function(way)
    z1, z2 = views(m, d)
    # What is made and loaded once (threads, compiled code) is not the batch's.
    call(evaluate, z1, z2)
    z1.grad = z2.grad = None
    # From here on the peak counts (Linux).
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    call(evaluate, z1, z2)
    answer.send(resident("VmHWM") - before)


def guarded_memory(way, m, arguments):
    """What :func:`memory` says, or nothing if it does not fit; and the most bytes that the process had."""
    spawn = multiprocessing.get_context("spawn")
    answer, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=memory, args=(way, m, arguments.d, arguments.threads, sender))
    room = Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]
    most, reached = 1024 * int(room) - 10**9, 0
    process.start()
    sender.close()
    while process.is_alive() and not answer.poll(0.02):
        reached = max(reached, resident("VmRSS", process.pid))
        if reached > most:
            process.kill()
    found = None
    try:
        found = answer.recv() if answer.poll() else None
    except EOFError:
        pass
    process.join()
    return found, reached


def resident(what, process="self"):
    """Bytes of "VmRSS", what the process holds, or "VmHWM", its peak; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 1024 * next((int(line.split()[1]) for line in lines if line.startswith(what)), 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--m", default="1024,4096")
    parser.add_argument("--d", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default=",".join(WAYS))
    parser.add_argument("--calls", default="4", help="of each way and round: one number, or one for each M")
    parser.add_argument("--seconds", type=float, default=0.2, help="for the calls of the program")
    parser.add_argument("--riesz", default=os.environ.get("RIESZ", "target/release/riesz"), help="the program")
    parser.add_argument("--no-memory", action="store_true", help="times alone; `--rounds 0` is memory alone")
    parser.add_argument("--ask", action="store_true")
    arguments = parser.parse_args()
    ways, sizes = arguments.only.split(","), [int(m) for m in arguments.m.split(",")]
    counts = [int(calls) for calls in arguments.calls.split(",")]
    counts = dict(zip(sizes, counts * len(sizes) if len(counts) == 1 else counts, strict=True))
    keys = [(m, way) for m in sizes for way in ways]
    if not arguments.no_memory:
        keys = [key for key in keys if key[1] == "program" or told_memory(*key, arguments)]
    if not arguments.rounds:
        return
    import torch

    torch.set_num_threads(arguments.threads)
    ready = {}
    for m in sizes:
        wanted, rows = None, views(m, arguments.d)
        for way in [way for size, way in keys if size == m]:
            evaluate = None if way == "program" else function(way)
            if evaluate is not None:
                wanted = check(way, evaluate, wanted, *rows)
            ready[m, way] = evaluate, rows
    seconds = {key: [] for key in ready}
    print("ready", flush=True)
    for number in range(arguments.rounds):
        if arguments.ask and not sys.stdin.readline():
            break
        for (m, way), (evaluate, rows) in ready.items():
            if evaluate is None:
                found = program(m, arguments)
            else:
                calls = [call(evaluate, *rows)[0] for _ in range(counts[m])]
                found = statistics.median(calls[1:] or calls)
            seconds[m, way].append(found)
            print(f"round {number + 1}, M {m}, {way}: {1e3 * found:.4g} ms", flush=True)
    table(ready, seconds, ways, arguments)


def told_memory(m, way, arguments):
    """Whether it fits; prints what it takes."""
    # glibc: what is freed goes back at once, so that the second call's peak is the call's.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    found, reached = guarded_memory(way, m, arguments)
    del os.environ["MALLOC_MMAP_THRESHOLD_"]
    said = f"does not fit: ended at {reached / 1e6:.0f} MB" if found is None else f"{found / 1e6:.0f} MB"
    print(f"M {m}, {way}: peak memory of one forward and backward: {said}", flush=True)
    return found is not None


def table(ready, seconds, ways, arguments):
    print(f"\nNT-Xent, d {arguments.d}, {arguments.threads} threads; torch {version('torch')}\n")
    print("| M | way | rounds | ms, median (range) of the rounds | it / riesz, median (range) of the rounds |")
    print("|---|---|---|---|---|")
    for m, way in ready:
        times = spread([1e3 * s for s in seconds[m, way]])
        ratios = spread([a / b for a, b in zip(seconds[m, way], seconds[m, ways[0]])])
        print(f"| {m} | {way} | {len(seconds[m, way])} | {times} | {ratios} |")


def spread(numbers):
    digits = lambda x: f"{x:.4g}"
    return f"{digits(statistics.median(numbers))} ({digits(min(numbers))} to {digits(max(numbers))})"


if __name__ == "__main__":
    main()
