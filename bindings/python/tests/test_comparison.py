"""Two encoders on the same items, and which rows are near each other: held to NumPy's own formulas and to the command."""

import json
import pathlib
import subprocess

import numpy as np
import pytest

import riesz

RIESZ = pathlib.Path(__file__).parents[3] / "target/release/riesz"
DRAWS = np.random.default_rng(11)
A = DRAWS.standard_normal((600, 12))
B = np.concatenate([A[:, :7], 0.7 * DRAWS.standard_normal((600, 3))], axis=1)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def order(rows: np.ndarray) -> np.ndarray:
    cosines = unit(rows) @ unit(rows).T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")


def test_likeness_is_its_formula() -> None:
    found = riesz.compare(A, B, neighbors=7)
    u, v = (rows - rows.mean(axis=0) for rows in (unit(A), unit(B)))
    norm = np.linalg.norm
    assert found.linear_cka == pytest.approx(norm(u.T @ v) ** 2 / norm(u.T @ u) / norm(v.T @ v), rel=1e-12)
    assert found.procrustes == pytest.approx(2 - 2 * norm(u.T @ v, "nuc") / norm(u) / norm(v), rel=1e-12)
    shared = [len(set(p) & set(q)) for p, q in zip(order(A)[:, :7], order(B)[:, :7])]
    assert found.knn_overlap == pytest.approx(np.mean(shared) / 7, rel=1e-14)
    assert found.knn_overlap_interval is None
    assert (found.rows, found.dims, found.looked_at, found.neighbors) == (600, (12, 10), 600, 7)


def test_differences_are_those_of_the_reports() -> None:
    found = riesz.compare(A, B)
    left, right = riesz.geometry(A), riesz.geometry(B)
    assert {"effective_rank", "uniformity", "hubness"} <= set(found.metrics)
    for name, one in found.metrics.items():
        if one.a is None or one.b is None or one.difference is None:
            assert name == "alpha_req" and one == riesz.Difference(name, None, None, None, None, None, 600)
            continue
        assert (one.a, one.b) == pytest.approx((left.metrics[name].value, right.metrics[name].value), rel=1e-12), name
        assert one.difference == pytest.approx(one.b - one.a)
        if name == "rank":
            assert one.low is None and one.high is None
        else:
            assert one.low is not None and one.high is not None and one.low <= one.difference <= one.high, name
    turned = riesz.compare(A, A @ np.linalg.qr(DRAWS.standard_normal((12, 12)))[0])
    assert turned.linear_cka == pytest.approx(1.0) and turned.procrustes == pytest.approx(0.0, abs=1e-12)
    assert turned.knn_overlap == 1.0


def test_text_dict_and_page_have_the_numbers() -> None:
    found = riesz.compare(A, B, sample=200)
    assert found.looked_at == 200 and found.knn_overlap_interval is not None
    text, page = repr(found), found._repr_html_()
    assert text.startswith("600 items, 12 numbers a row in A and 10 in B")
    assert "kNN overlap at 10 of 200 rows" in text and "kNN overlap at 10 of 200 rows" in page
    assert json.loads(json.dumps(found.to_dict()))["metrics"]["rank"]["low"] is None
    collapsed = riesz.compare(A, np.ones((600, 2)))
    assert collapsed.linear_cka is None and "–" in repr(collapsed)


def test_the_numbers_are_those_of_the_command(tmp_path: pathlib.Path) -> None:
    if not RIESZ.exists():
        pytest.skip("target/release/riesz is not built")
    # More than a block, of two precisions, and a sample.
    a = DRAWS.standard_normal((9000, 6)).astype(np.float32)
    b = a.astype(np.float64) ** 3
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    command = [RIESZ, "compare", tmp_path / "a.npy", tmp_path / "b.npy", "--sample", "400", "--seed", "3", "--json"]
    told = json.loads(subprocess.run([*command, "--quiet"], check=True, capture_output=True).stdout)
    found = riesz.compare(a, b, sample=400, seed=3)
    likeness = {one["name"]: one for one in told["likeness"]}
    assert likeness["linear_cka"]["value"] == pytest.approx(found.linear_cka, rel=1e-12)
    assert likeness["knn_overlap"]["value"] == found.knn_overlap
    assert (likeness["knn_overlap"]["low"], likeness["knn_overlap"]["high"]) == found.knn_overlap_interval
    assert [one["name"] for one in told["metrics"]] == list(found.metrics)
    for one in told["metrics"]:
        mine, theirs = found.metrics[one["name"]], one["difference"]
        for value, other in ((mine.difference, theirs["value"]), (mine.low, theirs["low"]), (mine.high, theirs["high"])):
            both = (value is None, other is None)
            assert both == (True, True) or value == pytest.approx(other, rel=1e-9, abs=1e-12), one["name"]


def test_nearest_are_the_largest_cosines() -> None:
    for rows in (A, A.astype(np.float32), A[:, ::-1]):
        assert (riesz.nearest(rows, 5) == order(rows)[:, :5]).all()
    assert riesz.nearest(A).shape == (600, 10) and riesz.nearest(A).dtype == np.int64


def test_duplicates_are_connected() -> None:
    rows = DRAWS.standard_normal((300, 8))
    rows[[40, 250]] = rows[3], -2.0 * rows[17]
    rows[120] = 3.0 * rows[3] + 0.1
    assert riesz.duplicates(rows) == [[3, 40, 120]]
    assert riesz.duplicates(rows.astype(np.float32), 1.0) == [[3, 40]]
    assert riesz.duplicates(rows, -1.0) == [list(range(300))]


@pytest.mark.parametrize(
    "error,sentence,call",
    [
        (ValueError, "a has 600 rows and b 599", lambda: riesz.compare(A, B[1:])),
        (ValueError, r"b has the shape \[10\]", lambda: riesz.compare(A, B[0])),
        (ValueError, "b: row 5 has length 0", lambda: riesz.compare(A[:8], B[:8] * (np.arange(8) != 5)[:, None])),
        (
            ValueError,
            "a: row 8500 has a number that is not finite",
            lambda: riesz.compare(np.where(np.arange(9000)[:, None] == 8500, np.nan, 1.0), np.ones((9000, 1))),
        ),
        (ValueError, "the k of the overlap is 10; expected 1 to 6", lambda: riesz.compare(A[:8], B[:8])),
        (ValueError, "neighbors are compared of 3 rows or more; there are 2", lambda: riesz.compare(A[:2], B[:2])),
        (ValueError, "2 points; there are 0|at least 2", lambda: riesz.compare(A[:0], B[:0])),
        (ValueError, "rows of no numbers", lambda: riesz.compare(A[:, :0], B)),
        (TypeError, "neighbors is 2.5; a whole number", lambda: riesz.compare(A, B, neighbors=2.5)),  # type: ignore[arg-type]
        (ValueError, "there are 0|3 rows or more", lambda: riesz.compare(A, B, sample=0)),
        (ValueError, "600 nearest of 600 points", lambda: riesz.nearest(A, 600)),
        (ValueError, "0 nearest of 600 points", lambda: riesz.nearest(A, 0)),
        (ValueError, r"x has the shape \[12\]", lambda: riesz.nearest(A[0], 1)),
        (ValueError, "row 0 has length 0", lambda: riesz.duplicates(np.zeros((3, 2)))),
        (ValueError, "above is 98; a cosine", lambda: riesz.duplicates(A, 98)),
        (TypeError, "x is of int64", lambda: riesz.duplicates(np.eye(3, dtype=np.int64))),
    ],
)
def test_what_cannot_be_done_is_said(error: type[Exception], sentence: str, call: object) -> None:
    with pytest.raises(error, match=sentence):
        call()  # type: ignore[operator]
