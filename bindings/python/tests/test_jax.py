"""The losses in JAX: every golden case, and what JAX can do with a function."""

from __future__ import annotations

from collections.abc import Iterator

import golden
import numpy as np
import pytest
import riesz.numpy
from riesz import losses

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from riesz.jax import contrastive_loss  # noqa: E402

ROWS = np.random.default_rng(3).standard_normal((2, 40, 12))


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def test_every_golden_case_value_and_gradient() -> None:
    for case in golden.cases():
        labels = None if case.labels is None else np.array(case.labels)

        def of(*views: jax.Array, case: golden.Case = case, labels: object = labels) -> jax.Array:
            return contrastive_loss(case.loss, *views, labels=labels)

        value, grads = jax.value_and_grad(of, argnums=tuple(range(len(case.views))))(*case.views)
        exact = riesz.numpy.value_and_grad(case.loss, *case.views, labels=case.labels)
        assert float(value) == exact.value and abs(exact.value - case.value) < 1e-9 * max(
            sum(map(abs, exact.terms)), 1e-3
        ), case.name
        grad = np.concatenate(grads)
        tolerance = max(1e-9 * case.grad_norm, 1e-12)
        assert abs(np.linalg.norm(grad) - case.grad_norm) < tolerance, case.name
        assert np.abs(grad[0] - case.grad_row0).max() < tolerance, case.name
        assert np.abs(grad[-1] - case.grad_last).max() < tolerance, case.name
        assert float(of(*case.views)) == exact.value, case.name


def test_jit_and_what_comes_before_and_after() -> None:
    weight = np.random.default_rng(1).standard_normal((12, 5))

    def step(w: jax.Array) -> jax.Array:
        return 2.0 * contrastive_loss(losses.dhel(), ROWS[0] @ w, ROWS[1] @ w)

    value, grad = jax.jit(jax.value_and_grad(step))(weight)
    exact = riesz.numpy.value_and_grad(losses.dhel(), ROWS[0] @ weight, ROWS[1] @ weight)
    want = 2.0 * (ROWS[0].T @ exact.grads[0] + ROWS[1].T @ exact.grads[1])
    assert abs(float(value) - 2.0 * exact.value) < 1e-12
    assert np.abs(grad - want).max() < 1e-12


def test_precisions() -> None:
    exact = riesz.numpy.value_and_grad(losses.nt_xent(0.2), *ROWS)
    for dtype, tolerance in ((jnp.float32, 1e-6), (jnp.float16, 2e-3), (jnp.bfloat16, 2e-2)):
        views = [jnp.asarray(view, dtype) for view in ROWS]
        value, grad = jax.value_and_grad(lambda *v: contrastive_loss(losses.nt_xent(0.2), *v))(*views)
        assert value.dtype == jnp.float32 and grad.dtype == dtype
        assert abs(float(value) - exact.value) < tolerance * exact.value
        assert np.abs(np.asarray(grad, np.float64) - exact.grads[0]).max() < tolerance


def test_learnt_numbers_and_labels() -> None:
    labels = np.arange(40) // 4
    for loss, learnt in ((losses.sup_con(), [0.3]), (losses.siglip(), [5.0, -3.0])):
        of_labels = labels if loss.name == "sup-con" else None

        def of(numbers: jax.Array, loss: losses.Loss = loss, of_labels: object = of_labels) -> jax.Array:
            return contrastive_loss(loss, *ROWS, labels=of_labels, learnt=numbers)

        grad = jax.jit(jax.grad(of))(jnp.array(learnt))
        at = losses.sup_con(0.3) if loss.name == "sup-con" else losses.siglip(5.0, -3.0)
        want = riesz.numpy.value_and_grad(at, *ROWS, labels=of_labels)
        assert float(of(jnp.array(learnt))) == want.value
        assert np.abs(grad - np.array(list(want.parameter_grads.values()))).max() < 1e-12


def test_vmap_and_a_large_batch() -> None:
    many = np.random.default_rng(5).standard_normal((3, 2, 40, 12))
    found = jax.vmap(lambda rows: contrastive_loss(losses.dcl(), rows[0], rows[1]))(many)
    assert [float(value) for value in found] == [riesz.numpy.value(losses.dcl(), *rows) for rows in many]
    # Larger than what JAX hands over without a copy on another thread.
    large = np.random.default_rng(6).standard_normal((2, 3000, 64)).astype(np.float32)
    grad = jax.jit(jax.grad(lambda u: contrastive_loss(losses.nt_xent(), u, large[1])))(large[0])
    assert np.array_equal(grad, riesz.numpy.value_and_grad(losses.nt_xent(), *large).grads[0])


def test_a_temperature_may_be_a_scalar() -> None:
    def of(learnt: jax.Array) -> jax.Array:
        return contrastive_loss(losses.dhel(), *ROWS, learnt=learnt)

    (scalar, slope), (one, slopes) = (
        jax.value_and_grad(of)(learnt) for learnt in (jnp.array(0.2), jnp.array([0.2]))
    )
    assert scalar == one and slope.shape == () and slope == slopes[0]


def test_a_value_alone_takes_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(riesz._riesz, "value_and_grad", lambda *_: pytest.fail("a gradient was computed"))
    jax.jit(lambda u, v: contrastive_loss(losses.nt_xent(), u, v))(*ROWS).block_until_ready()


@pytest.mark.parametrize(
    ("error", "sentence", "call"),
    [
        (
            ValueError,
            "views differ: 40 × 12 and 39 × 12",
            lambda u, v: contrastive_loss(losses.dhel(), u, v[:39]),
        ),
        (
            ValueError,
            r"view 1 has the shape \[12\]",
            lambda u, v: contrastive_loss(losses.dhel(), u[0], v[0]),
        ),
        (TypeError, "view 1 is of int64", lambda u, v: contrastive_loss(losses.dhel(), u.astype(int), v)),
        (
            ValueError,
            r"labels have the shape \[3\]",
            lambda u, v: contrastive_loss(losses.sup_con(), u, labels=[0, 0, 1]),
        ),
        (
            TypeError,
            "labels are of float64",
            lambda u, v: contrastive_loss(losses.sup_con(), u, labels=jnp.zeros(40)),
        ),
        (
            ValueError,
            "kcl has nothing to learn",
            lambda u, v: contrastive_loss(losses.kcl(), u, v, learnt=[1.0]),
        ),
        (
            ValueError,
            r"learnt has the shape \[1\]; siglip learns numbers of shape \[2\]",
            lambda u, v: contrastive_loss(losses.siglip(), u, v, learnt=[1.0]),
        ),
        (
            TypeError,
            "the loss is the function dhel, without its parentheses",
            lambda u, v: contrastive_loss(losses.dhel, u, v),
        ),
        (ValueError, "there is no view", lambda u, v: contrastive_loss(losses.dhel())),
        (
            Exception,
            "view 2: row 0 has a number that is not finite",
            lambda u, v: contrastive_loss(losses.dhel(), u, v * np.nan),
        ),
        (
            Exception,
            "first derivatives|JVP|differentiat",
            lambda u, v: jax.hessian(lambda u: contrastive_loss(losses.dhel(), u, v))(u),
        ),
    ],
)
def test_what_cannot_be_done_is_said(error: type[Exception], sentence: str, call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=sentence):
        call(*ROWS)
