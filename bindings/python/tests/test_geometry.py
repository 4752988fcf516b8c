"""``riesz.geometry``: golden metrics, reports, states that stream, merge and are pickled."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import signal

import golden
import numpy as np
import pytest
import riesz
from riesz import metrics

DRAWS = np.random.default_rng(5)
CLASSES = DRAWS.integers(0, 5, 3000)
ROWS = DRAWS.standard_normal((3000, 24)) + 2.0 * np.eye(24)[CLASSES]
OTHER = ROWS + 0.2 * DRAWS.standard_normal(ROWS.shape)


def test_golden_metrics() -> None:
    cases = json.loads((golden.FOLDER / "golden.json").read_text())["cases"]
    compared = 0
    for case in cases:
        if "metrics" not in case:
            continue
        u, v = np.split(golden.inputs()[case["input"]], 2)
        report = riesz.geometry(u, pairs=v)
        want = case["metrics"]
        for name in ("alignment", "uniformity", "rank", "effective_rank"):
            assert abs(getattr(report, name) - want[name]) < 1e-11 * max(1.0, abs(want[name])), (
                case["input"],
                name,
            )
        # The golden number is a quadrature's, good to 1.5e-8.
        assert abs(report.wasserstein_uniformity - want["wasserstein_to_ideal"]) < 1.5e-8
        compared += 1
    assert compared == 6


def test_every_metric_is_an_attribute_and_a_function() -> None:
    report = riesz.geometry(ROWS, OTHER, CLASSES)
    assert set(metrics.__all__) == set(report.metrics)
    for name in metrics.__all__:
        value = getattr(report, name)
        assert value is not None and np.isfinite(value), name
        given = {"alignment": (OTHER,), "lidar": (CLASSES,), "silhouette": (CLASSES,)}.get(name, ())
        got = getattr(metrics, name)(ROWS, *given)
        assert abs(got - value) <= 1e-12 * max(1.0, abs(value)), name
    assert report.lidar <= 4.0 + 1e-6 and 0.01 < report.silhouette < 1.0
    assert metrics.near_duplicates(np.concatenate([ROWS, ROWS[:7]]), 0.999999) == 7.0
    with pytest.raises(AttributeError, match="the report has no 'beauty'; it has alignment"):
        _ = report.beauty


def test_numbers_are_their_formulas() -> None:
    x = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    singular = np.linalg.svd(x, compute_uv=False)
    report = riesz.geometry(ROWS)
    assert np.abs(report.singular_values - singular).max() < 1e-12 * singular[0]
    assert np.abs(report.mean - x.mean(0)).max() < 1e-14
    gram = (x @ x.T)[np.triu_indices(len(x), 1)]
    assert abs(report.mean_cosine - gram.mean()) < 1e-12
    assert abs(report.uniformity - np.log(np.exp(-2.0 * (2.0 - 2.0 * gram)).mean())) < 1e-10
    assert report.cosines is not None and int(report.cosines.sum()) == len(gram)
    assert report.alignment is None and report.looked_at == 3000


def test_report_as_text_dict_and_page() -> None:
    report = riesz.geometry(ROWS, OTHER, CLASSES.astype(str))
    told = json.loads(json.dumps(report.to_dict()))
    assert told["metrics"]["alignment"]["value"] == report.alignment and told["rows"] == 3000
    text = repr(report)
    assert text.startswith(f"3000 rows of 24 numbers\n{report.findings[0][1]}\n")
    assert all(sentence in text and sentence in report.verdict for _, sentence in report.findings)
    assert all(name in text for name in report.metrics)
    page = report._repr_html_()
    assert "<script" not in page and "http" not in page and "<polyline" in page
    assert all(f"<code>{name}</code>" in page for name in report.metrics)
    collapsed = riesz.geometry(np.ones((50, 4)) + 1e-3 * DRAWS.standard_normal((50, 4)))
    assert collapsed.findings[0][0] == "bad" and collapsed.verdict.startswith("Collapsed: two rows have cosine")


def test_the_verdict_is_that_of_the_command() -> None:
    uniform = riesz.geometry(DRAWS.standard_normal((2000, 24)))
    assert uniform.findings[-1][0] == "good" and "As good as uniform" in uniform.findings[-1][1]
    cone = riesz.geometry(DRAWS.standard_normal((500, 24)) + 14.0 * np.eye(24)[0])
    assert cone.mean_cosine is not None and 0.85 < cone.mean_cosine < 0.95
    assert cone.findings[0][0] == "mixed" and cone.verdict.startswith("A narrow cone: the mean cosine is 0.")
    line = riesz.geometry(np.where(np.arange(50) % 2, 1.0, -1.0)[:, None] * np.eye(24)[:1])
    assert any(sentence.startswith("One direction has 100 %") for _, sentence in line.findings)
    assert line.findings[0][0] != "good"


def near(a: riesz.GeometryReport, b: riesz.GeometryReport) -> None:
    """Equal to what merging promises."""
    top = a.singular_values[0]
    assert np.abs(a.singular_values - b.singular_values).max() < 1e-13 * top
    assert a.near_duplicate_pairs == b.near_duplicate_pairs
    for name in ("uniformity", "hubness", "wasserstein_uniformity", "near_duplicates", "intrinsic_dimension"):
        assert getattr(a, name) == getattr(b, name), name
    for name, metric in a.metrics.items():
        value, other = metric.value, b.metrics[name].value
        assert (value is None) == (other is None), name
        if value is not None and other is not None:
            assert abs(value - other) < 1e-9 * max(1.0, abs(value)), name


def whole(sample: int) -> riesz.GeometryState:
    state = riesz.GeometryState(sample=sample, source="part-0")
    for part, place in enumerate(range(0, 3000, 1000)):
        rows = slice(place, place + 1000)
        state.update(ROWS[rows], OTHER[rows], CLASSES[rows], source=f"part-{part}")
    return state


def part_of(part: int) -> riesz.GeometryState:
    """What another process does: in blocks of its own size."""
    state = riesz.GeometryState(sample=500, source=f"part-{part}")
    for place in range(1000 * part, 1000 * (part + 1), 137):
        rows = slice(place, min(place + 137, 1000 * (part + 1)))
        state.update(ROWS[rows], OTHER[rows], CLASSES[rows])
    return state


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_parts_of_processes_merge_to_the_whole(method: str) -> None:
    want = whole(500).result()
    assert want.looked_at == 500 and want.metrics["uniformity"].low is not None
    # The parent has computed: a forked child must not wait for the parent's threads.
    with multiprocessing.get_context(method).Pool(2) as pool:
        parts = pool.map_async(part_of, range(3)).get(timeout=120)
    merged = parts[0].merge(parts[1]).merge(parts[2])
    assert merged.rows == 3000
    near(want, merged.result())


def test_a_pickle_is_the_state() -> None:
    state = part_of(1)
    again = pickle.loads(pickle.dumps(state))
    near(state.result(), again.result())
    again.update(ROWS[:10], OTHER[:10], CLASSES[:10])
    assert again.rows == 1010 and state.rows == 1000
    empty = pickle.loads(pickle.dumps(riesz.GeometryState(sample=500)))
    assert empty.rows == 0
    near(empty.merge(state).result(), state.result())


def test_a_pickle_halfway_goes_on_as_the_state_does() -> None:
    """Two sources of the same rows: what of one is drawn must not depend on a pickle, nor be drawn as the other's."""

    def of(source: str, halfway: bool) -> riesz.GeometryState:
        state = riesz.GeometryState(sample=200, source=source).update(ROWS[:300])
        if halfway:
            state = pickle.loads(pickle.dumps(state))
        return state.update(ROWS[300:])

    near(of("a", True).result(), of("a", False).result())
    merged = of("a", True).merge(of("b", True))
    near(merged.result(), of("a", False).merge(of("b", False)).result())
    # What is merged goes on where the first stood, and takes no rows as the other's.
    merged.update(ROWS[:9], source="a")
    with pytest.raises(ValueError, match="source 'b' was already taken"):
        merged.update(ROWS[:9], source="b")
    merged.update(ROWS[:9], source="c")
    assert merged.rows == 6018


def test_a_pickle_that_does_not_say_where_its_sample_stands_is_refused() -> None:
    state = part_of(0).__getstate__()
    del state["source"]
    with pytest.raises(ValueError, match="pickled by an earlier riesz"):
        riesz.GeometryState().__setstate__(state)


def test_an_interrupted_state_is_that_of_its_last_block() -> None:
    rows = np.repeat(ROWS.astype(np.float32), 20, axis=0)
    classes = np.repeat(CLASSES, 20)

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    interrupted, before = 0, signal.signal(signal.SIGALRM, interrupt)
    try:
        for delay in range(1, 40):
            state = riesz.GeometryState(sample=300)
            signal.setitimer(signal.ITIMER_REAL, 1e-3 * delay)
            try:
                state.update(rows, labels=classes)
            except KeyboardInterrupt:
                interrupted += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
            taken = state.rows
            assert taken == len(rows) or taken % 8192 == 0, taken
            if taken:
                assert sum(map(len, state._state.labels)) == taken
                assert state.result().rows == taken
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 3
    state = riesz.GeometryState(sample=300)
    state.update(rows[:taken], labels=classes[:taken])
    near(
        state.update(rows[taken:], labels=classes[taken:]).result(),
        riesz.geometry(rows, labels=classes, sample=300),
    )


def test_other_threads_read_and_wait() -> None:
    from concurrent.futures import ThreadPoolExecutor

    state, rows = riesz.GeometryState(sample=100), np.repeat(ROWS, 10, axis=0)
    with ThreadPoolExecutor(4) as pool:
        updates = [pool.submit(state.update, rows) for _ in range(2)]
        while not all(update.done() for update in updates):
            assert state.rows <= 2 * len(rows)
            _ = pickle.dumps(state) if state.rows else b""
        for update in updates:
            update.result()
    assert state.rows == 2 * len(rows)


def test_rows_are_counted_in_the_array_that_was_given() -> None:
    x = np.repeat(ROWS, 6, axis=0)
    bad = x.copy()
    bad[15000, 3] = np.nan
    for call in (
        lambda: riesz.geometry(x, pairs=bad),
        lambda: metrics.alignment(x, bad),
    ):
        with pytest.raises(ValueError, match="^pairs: row 15000 has a number that is not finite"):
            call()
    for call in (
        lambda: riesz.geometry(bad),
        lambda: riesz.geometry(bad, pairs=x),
        lambda: metrics.alignment(bad, x),
        lambda: riesz.GeometryState().update(x).update(bad),
        lambda: riesz.GeometryState().update(x).update(bad, source="b"),
    ):
        with pytest.raises(ValueError, match=r"^row 15000 has a number .* \(rows 0 to 8191 were taken\)"):
            call()


def test_pairs_of_another_precision_are_not_rounded() -> None:
    single = ROWS.astype(np.float32)
    want = riesz.geometry(ROWS, OTHER).alignment
    far = riesz.geometry(single, 1e40 * OTHER).alignment
    assert far is not None and want is not None and abs(far - want) < 1e-6
    far = riesz.geometry(1e40 * ROWS, OTHER.astype(np.float32)).alignment
    assert far is not None and abs(far - want) < 1e-6


def test_containers() -> None:
    want = riesz.geometry(ROWS.astype(np.float32)).effective_rank
    torch = pytest.importorskip("torch")
    assert riesz.geometry(torch.tensor(ROWS, dtype=torch.float32, requires_grad=True)).effective_rank == want
    assert abs(riesz.geometry(ROWS.tolist()).effective_rank - want) < 1e-4
    half = riesz.geometry(torch.tensor(ROWS, dtype=torch.bfloat16))
    assert abs(half.effective_rank - want) < 1e-2


class Capsule:
    """An array that speaks DLPack alone."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **settings: object) -> object:
        return self.array.__dlpack__(**settings)  # type: ignore[arg-type]

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


def test_dlpack() -> None:
    assert riesz.geometry(Capsule(ROWS)).effective_rank == riesz.geometry(ROWS).effective_rank


@pytest.mark.parametrize(
    ("error", "sentence", "call"),
    [
        (ValueError, "at least 2 points; there are 1", lambda: riesz.geometry(ROWS[:1])),
        (ValueError, "at least 2 points; there are 0", lambda: riesz.GeometryState().result()),
        (ValueError, r"rows have the shape \[24\]", lambda: riesz.geometry(ROWS[0])),
        (ValueError, "rows of no numbers", lambda: riesz.geometry(ROWS[:, :0])),
        (ValueError, "row 1 has length 0", lambda: riesz.geometry(ROWS[:5] * [[1], [0], [1], [1], [1]])),
        (ValueError, "row 0 has a number that is not finite", lambda: riesz.geometry(ROWS[:5] * np.nan)),
        (ValueError, "pairs: row 0 has a number", lambda: riesz.geometry(ROWS[:5], ROWS[:5] * np.nan)),
        (ValueError, r"pairs have the shape \[4, 24\]", lambda: riesz.geometry(ROWS[:5], ROWS[:4])),
        (ValueError, r"labels have the shape \[4\]", lambda: riesz.geometry(ROWS[:5], labels=[1, 2, 3, 4])),
        (ValueError, "points of 1 classes; at least 2", lambda: riesz.geometry(ROWS[:5], labels=[1] * 5)),
        (ValueError, "those before have 24", lambda: part_of(0).update(ROWS[:, :3], ROWS[:, :3], CLASSES)),
        (ValueError, "labels for some rows only", lambda: part_of(0).update(ROWS)),
        (ValueError, "both states have the source 'part-0'", lambda: part_of(0).merge(part_of(0))),
        (
            ValueError,
            "source 'part-0' was already taken",
            lambda: whole(9).update(ROWS, ROWS, CLASSES, source="part-0"),
        ),
        (ValueError, "sample 500 and 20000", lambda: part_of(0).merge(riesz.GeometryState())),
        (ValueError, "sample is -1", lambda: riesz.GeometryState(sample=-1)),
        (TypeError, "sample is 1e4|sample is 10000.0", lambda: riesz.GeometryState(sample=1e4)),  # type: ignore[arg-type]
        (ValueError, "seed is -1; it must be at least 0", lambda: riesz.geometry(ROWS, seed=-1)),
        (ValueError, "near_duplicate is nan", lambda: riesz.geometry(ROWS[:5], near_duplicate=np.nan)),
        (ValueError, "near_duplicate is 99", lambda: riesz.metrics.near_duplicates(ROWS[:5], 99)),
        (TypeError, "rows is of int64", lambda: riesz.geometry(CLASSES[:, None])),
        (TypeError, "near_duplicate is 'x'; a number", lambda: riesz.geometry(ROWS[:5], near_duplicate="x")),  # type: ignore[arg-type]
        (TypeError, "what is merged is a int; a GeometryState", lambda: part_of(0).merge(3)),  # type: ignore[arg-type]
        (TypeError, "source is 3; a name is expected", lambda: riesz.GeometryState(source=3)),  # type: ignore[arg-type]
        (TypeError, "labels are of float, str; whole", lambda: riesz.geometry(ROWS[:2], labels=["a", np.nan])),
        (TypeError, "labels are of NoneType, str; whole", lambda: riesz.geometry(ROWS[:2], labels=["a", None])),
        (TypeError, "labels are of int, str; whole", lambda: riesz.geometry(ROWS[:2], labels=[1, "1"])),
        (
            TypeError,
            "numbers for some rows and strings for others",
            lambda: part_of(0).update(ROWS, ROWS, CLASSES.astype(str)),
        ),
        (
            ValueError,
            "sample is 0, and labels are told of sampled rows",
            lambda: riesz.geometry(ROWS, labels=CLASSES, sample=0),
        ),
    ],
)
def test_what_cannot_be_done_is_said(error: type[Exception], sentence: str, call: object) -> None:
    with pytest.raises(error, match=sentence):
        call()  # type: ignore[operator]


def test_what_is_refused_leaves_the_state_as_it_was() -> None:
    state = part_of(0)
    bad = ROWS[:9].copy()
    bad[3] = 0.0
    with pytest.raises(ValueError, match="zero row"):
        state.update(bad, OTHER[:9], CLASSES[:9])
    near(state.result(), part_of(0).result())
