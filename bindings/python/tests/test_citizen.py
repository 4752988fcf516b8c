"""How riesz behaves in a process that is not its own: fork, threads, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import riesz.numpy
from riesz import losses

ROWS = np.random.default_rng(1).standard_normal((2, 900, 32)).astype(np.float32)


def run(program: str, seconds: float = 120.0) -> str:
    """What a program of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_forked_child_computes() -> None:
    """rayon's global pool would hang here; ours is another in another process."""
    want = riesz.numpy.value(losses.nt_xent(), *ROWS)
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(0 if riesz.numpy.value(losses.nt_xent(), *ROWS) == want else 1)
        started = time.monotonic()
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                assert status == 0
                break
            if time.monotonic() - started > 60:
                os.kill(child, signal.SIGKILL)
                pytest.fail("the forked child hangs")
            time.sleep(0.01)
    assert riesz.numpy.value(losses.nt_xent(), *ROWS) == want


def test_workers_of_a_data_loader() -> None:
    pytest.importorskip("torch")
    told = run("""
        import torch, riesz, riesz.torch as rt
        z = torch.randn(2, 900, 32)
        want = float(rt.nt_xent_loss(z[0], z[1]))

        class Losses(torch.utils.data.Dataset):
            def __len__(self):
                return 8
            def __getitem__(self, i):
                return float(rt.nt_xent_loss(z[0], z[1])) == want and riesz.geometry(z[0]).rows == 900

        loader = torch.utils.data.DataLoader(Losses(), num_workers=2, multiprocessing_context="fork", timeout=90)
        print(all(bool(batch.all()) for batch in loader))
    """)
    assert told == "True"


def test_threads_follow_torch_until_told_otherwise() -> None:
    pytest.importorskip("torch")
    told = run("""
        import riesz
        processors = riesz.num_threads()
        import torch, riesz.torch
        torch.set_num_threads(1)
        found = [riesz.num_threads()]
        # More than there are is what torch may say where a container has a quota.
        torch.set_num_threads(processors + 3)
        found.append(riesz.num_threads() - processors)
        riesz.set_num_threads(processors + 2)
        found.append(riesz.num_threads() - processors)
        print(found)
    """)
    assert told == "[1, 0, 2]"


def test_affinity_is_honoured() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity here")
    told = run("""
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        import riesz
        print(riesz.num_threads())
    """)
    assert told == "1"


def test_ctrl_c_ends_a_loop_of_losses() -> None:
    program = textwrap.dedent("""
        import signal
        import numpy as np, riesz.numpy
        # A shell's background jobs begin with the signal ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        rows = np.random.default_rng(0).standard_normal((2, 2000, 64)).astype(np.float32)
        print("ready", flush=True)
        try:
            while True:
                riesz.numpy.value_and_grad(riesz.losses.nt_xent(), *rows)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """)
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    told, _ = child.communicate(timeout=30)
    assert told == "interrupted\n" and child.returncode == 0


def test_many_python_threads_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    want = riesz.numpy.value(losses.dhel(), *ROWS)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: riesz.numpy.value(losses.dhel(), *ROWS), range(40)))
    assert set(found) == {want}


def test_threads_of_an_earlier_number_end() -> None:
    tasks = "/proc/self/task"
    if not os.path.isdir(tasks):
        pytest.skip("no list of threads here")
    told = run(f"""
        import os, time
        import numpy as np, riesz.numpy
        rows = np.random.default_rng(0).standard_normal((2, 20, 4))
        for threads in (1, 2, 3, 4, 5, 6, 7, 8):
            riesz.set_num_threads(threads)
            before = len(os.listdir({tasks!r})) if threads == 1 else before
            riesz.numpy.value(riesz.losses.dhel(), *rows)
        for _ in range(1000):
            if len(os.listdir({tasks!r})) - before <= 8:
                break
            time.sleep(0.01)
        print(len(os.listdir({tasks!r})) - before)
    """)
    assert int(told) == 8
