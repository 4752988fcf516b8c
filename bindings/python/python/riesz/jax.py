"""The losses for JAX: the compiled engine by ``jax.pure_callback``, its gradient by ``jax.custom_vjp``.

>>> import jax, riesz.jax
>>> loss = riesz.losses.dhel(temperature=0.3)
>>> jax.jit(jax.value_and_grad(lambda u, v: riesz.jax.contrastive_loss(loss, u, v)))(u, v)  # doctest: +SKIP

Rows go to the host, also where JAX has another device. The gradient is computed with the value, and not at all where none is
asked for. There are first derivatives only: JAX refuses to differentiate a callback again.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from riesz import _riesz
from riesz._arrays import as_labels
from riesz._threads import num_threads
from riesz.losses import Loss, as_loss


def contrastive_loss(loss: Loss, *views: Any, labels: Any = None, learnt: Any = None) -> jax.Array:
    """``loss`` of views, each n x d, raw rows of any length but 0 (they are made unit): a scalar, differentiable in the views.

    ``labels`` are n whole numbers: rows with the same label match. ``learnt`` replaces the loss's learnable numbers, a scalar or
    [1] the temperature, or [2] SigLIP's scale and offset, and gets its gradient. float16 and bfloat16 are computed in float32.

    Shapes and types are refused at once, with ``ValueError`` or ``TypeError``; rows of zeros and numbers that are not finite when
    the loss runs, by JAX's own error, which ends in the sentence.
    """
    loss, rows = as_loss(loss), [jnp.asarray(view) for view in views]
    if not rows:
        raise ValueError("there is no view")
    for place, view in enumerate(rows, 1):
        if view.ndim != 2:
            raise ValueError(
                f"view {place} has the shape {list(view.shape)}; rows of numbers are expected, n × d"
            )
        if not jnp.issubdtype(view.dtype, jnp.floating):
            raise TypeError(f"view {place} is of {view.dtype}; a floating type is expected")
        if view.shape != rows[0].shape:
            (n, d), (m, e) = rows[0].shape, view.shape
            raise ValueError(f"views differ: {n} × {d} and {m} × {e}")
    double = any(view.dtype == jnp.float64 for view in rows)
    rows = [view.astype(jnp.float64 if double else jnp.float32) for view in rows]
    if labels is not None:
        labels = jnp.asarray(labels)
        if labels.shape != rows[0].shape[:1]:
            raise ValueError(f"labels have the shape {list(labels.shape)}; {rows[0].shape[0]} are expected")
        if not jnp.issubdtype(labels.dtype, jnp.integer):
            raise TypeError(f"labels are of {labels.dtype}; whole numbers are expected")
    if learnt is not None:
        learnt = jnp.asarray(learnt)
        if not loss.learnable:
            raise ValueError(f"{loss.name} has nothing to learn")
        if learnt.shape == () and loss.learnable == 1:
            learnt = learnt[None]
        if learnt.shape != (loss.learnable,):
            raise ValueError(
                f"learnt has the shape {list(learnt.shape)}; {loss.name} learns numbers of shape [{loss.learnable}]"
            )
    value: jax.Array = _loss(loss, labels, learnt, *rows)
    return value


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _loss(loss: Loss, labels: Any, learnt: Any, *views: Any) -> Any:
    like = jax.ShapeDtypeStruct((), views[0].dtype)
    return jax.pure_callback(partial(_value, loss), like, labels, learnt, *views, vmap_method="sequential")


def _forward(loss: Loss, labels: Any, learnt: Any, *views: Any) -> Any:
    like = [jax.ShapeDtypeStruct((), views[0].dtype)]
    like += [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (*([] if learnt is None else [learnt]), *views)]
    run = partial(_value_and_grads, loss)
    value, *grads = jax.pure_callback(run, like, labels, learnt, *views, vmap_method="sequential")
    return value, (grads if learnt is not None else [None, *grads])


def _backward(loss: Loss, grads: Any, grad_value: Any) -> Any:
    return (None, *(None if grad is None else (grad_value * grad).astype(grad.dtype) for grad in grads))


_loss.defvjp(_forward, _backward)


def _numbers(loss: Loss, learnt: Any) -> tuple[float, ...]:
    return loss.numbers if learnt is None else (*np.asarray(learnt).tolist(), *loss.numbers[len(learnt) :])


def _value(loss: Loss, labels: Any, learnt: Any, *views: Any) -> Any:
    rows = [np.asarray(view) for view in views]
    value = _riesz.value(loss.sentence, _numbers(loss, learnt), rows, as_labels(labels), num_threads())
    return np.asarray(value, dtype=rows[0].dtype)


def _value_and_grads(loss: Loss, labels: Any, learnt: Any, *views: Any) -> Any:
    rows = [np.asarray(view) for view in views]
    told = _riesz.value_and_grad(
        loss.sentence, _numbers(loss, learnt), rows, as_labels(labels), learnt is not None, num_threads()
    )
    of_learnt = [] if learnt is None else [np.asarray(told[4], dtype=np.asarray(learnt).dtype)]
    return [np.asarray(told[0], dtype=rows[0].dtype), *of_learnt, *told[5]]
