"""``riesz.geometry``: golden metrics, reports, states that stream, merge and are pickled."""

from __future__ import annotations

import json
import multiprocessing
import pickle

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
    assert text.startswith("3000 rows of 24 numbers\nThe embeddings are spread")
    assert all(name in text for name in report.metrics)
    page = report._repr_html_()
    assert "<script" not in page and "http" not in page and "<polyline" in page
    assert all(f"<code>{name}</code>" in page for name in report.metrics)
    collapsed = riesz.geometry(np.ones((50, 4)) + 1e-3 * DRAWS.standard_normal((50, 4)))
    assert collapsed.verdict.startswith("The embeddings have collapsed")


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
