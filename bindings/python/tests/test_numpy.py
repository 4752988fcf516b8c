"""Arrays in, numbers out; and what is refused, in one sentence."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import riesz
import riesz.numpy
from riesz import losses
from riesz.numpy import value_and_grad

ROWS = np.random.default_rng(3).standard_normal((2, 40, 12))


def test_gradients_are_those_of_differences() -> None:
    step = 1e-5
    for loss in (losses.dhel(0.2), losses.kcl(), losses.siglip(), losses.align_uniform()):
        grad = value_and_grad(loss, *ROWS).grads[1]
        ahead, back = ROWS.copy(), ROWS.copy()
        ahead[1, 7, 3] += step
        back[1, 7, 3] -= step
        difference = (riesz.numpy.value(loss, *ahead) - riesz.numpy.value(loss, *back)) / (2 * step)
        assert abs(difference - grad[7, 3]) < 1e-8 * max(1.0, abs(difference)), loss


def test_layout_and_container_change_no_bit() -> None:
    loss = losses.nt_xent(0.2)
    want = value_and_grad(loss, *ROWS)
    for views in (
        [np.asfortranarray(view) for view in ROWS],
        [np.repeat(view, 2, axis=0)[::2] for view in ROWS],
        [view.astype(">f8") for view in ROWS],
        [view.tolist() for view in ROWS],
    ):
        got = value_and_grad(loss, *views)
        assert got.value == want.value
        assert all(np.array_equal(a, b) for a, b in zip(got.grads, want.grads))
    half = value_and_grad(loss, *ROWS.astype(np.float16))
    assert half.grads[0].dtype == np.float32 and abs(half.value - want.value) < 1e-2


def test_bfloat16_of_numpy_is_computed_in_float32() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    half = ROWS.astype(ml_dtypes.bfloat16)
    want = value_and_grad(losses.nt_xent(0.2), *half.astype(np.float32))
    got = value_and_grad(losses.nt_xent(0.2), *half)
    assert got.value == want.value and np.array_equal(got.grads[0], want.grads[0])
    assert got != want  # two outcomes are compared without a traceback


def test_threads_change_no_bit() -> None:
    rows = np.random.default_rng(1).standard_normal((2, 700, 48)).astype(np.float32)
    found = []
    for threads in (1, 2, 3):
        riesz.set_num_threads(threads)
        assert riesz.num_threads() == threads
        found.append(value_and_grad(losses.dhel(), *rows))
    assert found[0].value == found[1].value == found[2].value
    assert np.array_equal(found[0].grads[0], found[2].grads[0])


def test_labels_are_any_names() -> None:
    numbers = np.arange(40) // 4
    loss = losses.sup_con(0.2)
    want = value_and_grad(loss, *ROWS, labels=numbers).value
    assert value_and_grad(loss, *ROWS, labels=[f"class {n}" for n in numbers]).value == want
    assert value_and_grad(loss, *ROWS, labels=-1000 * numbers).value == want
    assert value_and_grad(loss, *ROWS).value != want


def test_learnt_numbers_have_their_names() -> None:
    exponential = losses.kcl("exponential", temperature=0.5)
    assert list(value_and_grad(exponential, *ROWS).parameter_grads) == ["temperature"]
    assert list(value_and_grad(losses.dhel(), *ROWS).parameter_grads) == ["temperature"]
    assert list(value_and_grad(losses.siglip(), *ROWS).parameter_grads) == ["scale", "offset"]
    assert value_and_grad(losses.kcl(), *ROWS).parameter_grads == {}


@pytest.mark.parametrize(
    ("error", "sentence", "call"),
    [
        (ValueError, "view 2: row 5 has length 0: a zero row has no direction", {"zero": (1, 5)}),
        (ValueError, "view 1: row 3 has a number that is not finite", {"nan": (0, 3)}),
        (ValueError, "views differ: 40 × 12 and 39 × 12", {"views": [ROWS[0], ROWS[1, :39]]}),
        (ValueError, r"view 1 has the shape \[12\]", {"views": [ROWS[0, 0], ROWS[1, 0]]}),
        (ValueError, "view 1 is 0 × 12; there are no rows", {"views": [ROWS[0, :0], ROWS[1, :0]]}),
        (ValueError, "at least 2 images; the batch has 1", {"views": [ROWS[0, :1], ROWS[1, :1]]}),
        (ValueError, "dhel needs at least 2 views of each image; there is 1", {"views": [ROWS[0]]}),
        (ValueError, "there is no view", {"views": []}),
        (ValueError, "temperature is -1; it must be above 0 and finite", {"loss": losses.dhel(-1)}),
        (ValueError, "temperature is NaN", {"loss": losses.dhel(float("nan"))}),
        (ValueError, 'convention is "papre"; expected "paper"', {"loss": losses.dhel(0.3, "papre")}),  # type: ignore[arg-type]
        (ValueError, "39 labels for 40 images", {"labels": list(range(39))}),
        (ValueError, r"labels have the shape \[40, 1\]", {"labels": np.zeros((40, 1), dtype=int)}),
        (TypeError, "labels are of float64; whole numbers or strings", {"labels": np.zeros(40)}),
        (
            TypeError,
            "view 1 is of int64; float32 or float64 is expected",
            {"views": [ROWS[0].astype(int)] * 2},
        ),
        (TypeError, "view 1 is a str; an array of rows", {"views": ["rows", "rows"]}),
        (TypeError, "labels are of NoneType, str; whole numbers or", {"labels": ["a"] * 39 + [None]}),
        (TypeError, "labels are of int, str", {"labels": np.array([1, "a"] * 20, dtype=object)}),
        (TypeError, "labels are of int, str", {"labels": [1, "1"] * 20}),
        (TypeError, "labels are of float, str", {"labels": ["a", float("nan")] * 20}),
        (ValueError, "view 1 has masked numbers", {"views": [np.ma.masked_less(ROWS[0], 0.0), ROWS[1]]}),
        (TypeError, "the loss is the function dhel, without its parentheses", {"loss": losses.dhel}),
        (TypeError, "the loss is a str; one of riesz.losses is expected", {"loss": "dhel"}),
        (TypeError, "views differ in type", {"views": [ROWS[0], ROWS[1].astype(np.float32)]}),
    ],
)
def test_what_cannot_be_done_is_said(error: type[Exception], sentence: str, call: dict) -> None:
    views = call.get("views", list(ROWS.copy()))
    if "zero" in call:
        views[call["zero"][0]][call["zero"][1]] = 0.0
    if "nan" in call:
        views[call["nan"][0]][call["nan"][1], 2] = np.nan
    with pytest.raises(error, match=sentence):
        value_and_grad(call.get("loss", losses.dhel()), *views, labels=call.get("labels"))


def test_losses_refuse_what_they_do_not_have() -> None:
    with pytest.raises(TypeError, match="temperature is 'warm'; a number is expected"):
        losses.dhel("warm")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="temperature is '0.3'; a number is expected"):
        losses.dhel("0.3")  # type: ignore[arg-type]
    for truth in (True, np.True_):
        with pytest.raises(TypeError, match="temperature is .*True.*; a number is expected"):
            losses.dhel(truth)
    with pytest.raises(ValueError, match="temperature is beyond the largest number; it must be finite"):
        losses.dhel(10**400)
    with pytest.raises(ValueError, match="kernel riesz needs its exponent"):
        losses.kcl("riesz")
    with pytest.raises(ValueError, match="kernel gaussian has no exponent; its parameter is width"):
        losses.kcl("gaussian", exponent=1.0)
    with pytest.raises(ValueError, match="the attraction kernel grows without bound"):
        value_and_grad(losses.kcl("riesz", exponent=1.0), *ROWS)
    with pytest.raises(ValueError, match="0 threads"):
        riesz.set_num_threads(0)
    with pytest.raises(TypeError, match="a whole number"):
        riesz.set_num_threads(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1000000 threads; at most 1,024"):
        riesz.set_num_threads(1_000_000)
    with pytest.raises(ValueError, match="kernel is 'gausian'; expected one of \"gaussian\""):
        losses.kcl("gausian", width=2.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="attraction is 'gaussian'; a kernel and its parameter are expected"):
        losses.kcl(attraction="gaussian")  # type: ignore[arg-type]
    assert repr(losses.dhel()) == "dhel(temperature=0.3, convention='paper')"
    assert repr(losses.kcl()) == "kcl(kernel='gaussian', width=2.0, gamma=16.0, convention='paper')"


def test_awkward_points_are_finite() -> None:
    one = np.ones((8, 3))
    for views in ([one, one], [one, -one], [one[:2], one[:2]], [one[:, :1], one[:, :1]]):
        for loss in (losses.dhel(0.01), losses.nt_xent(0.01), losses.kcl(), losses.dclw()):
            outcome = value_and_grad(loss, *views)
            assert np.isfinite(outcome.value) and all(np.isfinite(grad).all() for grad in outcome.grads)


def test_the_gil_is_released() -> None:
    rows = np.random.default_rng(1).standard_normal((2, 6000, 64)).astype(np.float32)
    ticks, done = [], threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    ticking = threading.Thread(target=tick)
    ticking.start()
    started = time.perf_counter()
    value_and_grad(losses.nt_xent(), *rows)
    ended = time.perf_counter()
    done.set()
    ticking.join()
    during = [t for t in ticks if started < t < ended]
    assert len(during) > 5, f"{len(during)} ticks in {ended - started:.3f} s"


def test_the_package_says_its_version_and_what_it_has() -> None:
    assert riesz.__version__.count(".") == 2
    names = dir(riesz)
    assert {"geometry", "losses", "numpy", "torch", "jax", "metrics", "__version__"} <= set(names)
    assert "Any" not in names and len(names) == len(set(names))
    with pytest.raises(AttributeError, match="no attribute 'foo'"):
        riesz.foo  # type: ignore[attr-defined]  # noqa: B018


def test_importing_riesz_imports_neither_numpy_nor_torch() -> None:
    program = "import sys, riesz; print(sorted({'numpy', 'torch'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
