"""Free points from Python: known minima, the command's numbers, and that Ctrl-C ends a search."""

import json
import math
import os
import pathlib
import signal
import subprocess
import threading
import time

import numpy as np
import pytest

import riesz
from riesz import sphere

RIESZ = pathlib.Path(__file__).parents[3] / "target/release/riesz"


def test_dhel_has_the_simplex_and_its_bound_is_the_loss_of_it() -> None:
    loss = riesz.losses.dhel(0.3)
    found = sphere.minimize(loss, 5, 4, starts=4)
    assert found.configuration == "regular simplex" and found.points.shape == (2, 5, 4)
    # -1/t + ln of 4 others at cosine -1/4.
    exact = -1 / 0.3 + math.log(4 * math.exp(-0.25 / 0.3))
    least = sphere.bound(loss, 5, 4)
    assert least is not None and found.bound == least and "convexity" in least.theorem
    assert found.value == pytest.approx(exact, rel=1e-12) == found.exact_value == least.value
    assert found.certificates[0].startswith("global minimum: the bound by convexity")
    assert [pairs for _, pairs in found.cosines] == [10] and found.cosines[0][0] == pytest.approx(-0.25)
    assert found.misalignment is not None and found.misalignment < 1e-12
    # The points are what the loss says of them.
    assert riesz.numpy.value(loss, *found.points) == pytest.approx(found.value, rel=1e-12)
    assert sum(one.starts for one in found.local_minima) == 4 and found.local_minima[0].value == found.value
    assert "regular simplex" in repr(found) and "bound" in repr(found)


def test_thomsons_problem() -> None:
    found = sphere.minimize(sphere.energy("riesz", exponent=1), 12, 3)
    assert found.points.shape == (1, 12, 3) and found.configuration == "icosahedron"
    assert found.value * 66 == pytest.approx(49.165253058, rel=1e-10)
    assert any(one.startswith("sharp") for one in found.certificates) and found.misalignment is None
    assert riesz.numpy.value(sphere.energy("riesz", exponent=1), found.points[0]) == pytest.approx(found.value, rel=1e-12)
    assert repr(sphere.energy("riesz", exponent=1)) == "energy(kernel='riesz', exponent=1.0)"


def test_the_numbers_are_those_of_the_command() -> None:
    if not RIESZ.exists():
        pytest.skip("target/release/riesz is not built")
    words = "sphere minimize --loss nt-xent --temperature 0.5 --points 7 --dim 3 --starts 6 --json".split()
    told = json.loads(subprocess.run([RIESZ, *words], check=True, capture_output=True).stdout)
    found = sphere.minimize(riesz.losses.nt_xent(0.5), 7, 3, starts=6)
    assert [one.value for one in found.local_minima] == [one["value"] for one in told["minima"]]
    assert found.certificates == told["certificates"]
    assert found.end == told["minima"][0]["end"] and found.gradient == told["minima"][0]["gradient"]


def test_uniform_points_have_the_uniform_energy() -> None:
    points = sphere.sample(3000, 6, seed=4)
    assert np.linalg.norm(points, axis=1) == pytest.approx(np.ones(3000), rel=1e-14)
    assert (sphere.sample(10, 6, seed=4) == points[:10]).all()
    s = (points @ points.T)[np.triu_indices(3000, 1)]
    assert sphere.uniform_energy(6, width=2) == pytest.approx(np.exp(-2 * (2 - 2 * s)).mean(), rel=5e-3)
    assert sphere.uniform_energy(6, "log-distance") == pytest.approx((-0.5 * np.log(2 - 2 * s)).mean(), rel=2e-2)
    assert sphere.uniform_energy(3, "riesz", exponent=1) == pytest.approx(1.0, rel=1e-12)
    assert sphere.uniform_energy(3, "riesz", exponent=2) == math.inf


def test_ctrl_c_ends_a_search(request: pytest.FixtureRequest) -> None:
    # A process that a shell started in the background ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    timer = threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        sphere.minimize(sphere.energy("riesz", exponent=1), 300, 3, starts=2000)
    assert time.monotonic() - started < 60
    assert sphere.minimize(sphere.energy("riesz", exponent=1), 4, 3, starts=1).configuration is not None


@pytest.mark.parametrize(
    "error,sentence,call",
    [
        (ValueError, "1 points; at least 2", lambda: sphere.minimize(riesz.losses.dhel(), 1, 3)),
        (ValueError, "1 dimensions; at least 2", lambda: sphere.bound(riesz.losses.dhel(), 4, 1)),
        (ValueError, "starts is 0", lambda: sphere.minimize(riesz.losses.dhel(), 4, 3, starts=0)),
        (TypeError, "the loss is the function dhel", lambda: sphere.minimize(riesz.losses.dhel, 4, 3)),  # type: ignore[arg-type]
        (ValueError, "temperature is -1|temperature", lambda: sphere.bound(riesz.losses.dhel(-1.0), 4, 3)),
        (TypeError, "points is 4.5; a whole", lambda: sphere.minimize(riesz.losses.dhel(), 4.5, 3)),  # type: ignore[arg-type]
        (ValueError, "exponent", lambda: sphere.energy("riesz")),
        (
            ValueError,
            r"energy\(kernel='riesz', exponent=1000000000000000.0\): no start has a finite value",
            lambda: sphere.minimize(sphere.energy("riesz", exponent=1e15), 5, 3, starts=2),
        ),
        (ValueError, "dim is 0", lambda: sphere.sample(3, 0)),
        (ValueError, "dim is 0", lambda: sphere.uniform_energy(0)),
    ],
)
def test_what_cannot_be_done_is_said(error: type[Exception], sentence: str, call: object) -> None:
    with pytest.raises(error, match=sentence):
        call()  # type: ignore[operator]
