"""A loss as an operation of torch.

The operation is a plain custom op that gives the value and, if wanted, all gradients; around it stands an
``autograd.Function`` with a static ``setup_context``, which hands the gradients out in backward. In this order both
``torch.func`` and ``torch.compile`` see through it; a custom op with ``register_autograd`` breaks ``torch.func.grad``
(pytorch#168393).

Where nothing traces or transforms, rows on a CPU go to the engine without any of that: torch's dispatcher takes a tenth of a
millisecond a call when the engine has just had the caches.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from riesz import _riesz
from riesz._arrays import as_labels
from riesz._threads import num_threads
from riesz.losses import Loss
from riesz.torch import _whole
from riesz.torch._blocks import Batch, Block


@torch.library.custom_op("riesz::loss", mutates_args=())
def _loss(
    views: Sequence[Tensor],
    labels: Tensor | None,
    learnt: Tensor | None,
    sentence: str,
    numbers: Sequence[float],
    with_grad: bool,
) -> list[Tensor]:
    """The value; then, if wanted, the gradients of the learnable numbers and of each view."""
    numbers = tuple(numbers)
    if learnt is not None:
        numbers = (*learnt.tolist(), *numbers[learnt.numel() :])
    first = views[0]
    if first.device.type == "cpu":
        return _on_cpu(views, labels, learnt, sentence, numbers, with_grad)
    loss = Loss(sentence, numbers, (), 0 if learnt is None else learnt.numel())
    outcome = on_device(loss, torch.stack(tuple(views)), labels, with_grad)
    found = [outcome.value.to(first.dtype)]
    if outcome.grad is not None:
        found += [
            outcome.learnt if learnt is None else outcome.learnt.to(learnt),
            *outcome.grad.clone().unbind(0),
        ]
        found = [tensor.clone() for tensor in found]
    return found


def _on_cpu(
    views: Sequence[Tensor],
    labels: Tensor | None,
    learnt: Tensor | None,
    sentence: str,
    numbers: tuple[float, ...],
    with_grad: bool,
) -> list[Tensor]:
    rows = [view.detach().numpy() for view in views]
    groups = as_labels(labels)
    dtype = views[0].dtype
    if not with_grad:
        value = _riesz.value(sentence, numbers, rows, groups, num_threads())
        return [torch.tensor(value, dtype=dtype, device="cpu")]
    learns = learnt is not None
    value, _, _, _, found, grads = _riesz.value_and_grad(
        sentence, numbers, rows, groups, learns, num_threads()
    )
    if learnt is None:
        of_learnt = torch.empty(0, dtype=dtype, device="cpu")
    else:
        of_learnt = torch.tensor(found, dtype=learnt.dtype, device=learnt.device)
    of_views = map(torch.from_numpy, grads)
    return [torch.tensor(value, dtype=dtype, device="cpu"), of_learnt, *of_views]


def on_device(loss: Loss, rows: Tensor, labels: Tensor | None, with_grad: bool) -> _whole.Outcome:
    """The same in operations of torch, where the rows are: [K, N, d]."""
    views, images, _ = rows.shape
    with without_autocast(rows):
        unit, lengths = _whole.normalize(rows)
        groups, sizes = group_sizes(labels, images, rows.device)
        batch = Batch(views, images, groups is not None)
        own = Block(unit, 0, groups)
        return _whole.evaluate(loss, loss.numbers, own, lengths, batch, sizes, with_grad)


def without_autocast(rows: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Products of unit rows are taken in their own precision."""
    return torch.autocast(rows.device.type, enabled=False)


def group_sizes(labels: Tensor | None, images: int, device: torch.device) -> tuple[Tensor | None, Tensor]:
    """The group of each image, if some image has company, and how many images its group has."""
    if labels is None:
        return None, torch.ones(images, dtype=torch.int64, device=device)
    _, groups, counts = torch.unique(labels.to(device), return_inverse=True, return_counts=True)
    return (groups, counts[groups]) if counts.numel() < images else (None, torch.ones_like(groups))


@_loss.register_fake
def _(
    views: Sequence[Tensor],
    labels: Tensor | None,
    learnt: Tensor | None,
    sentence: str,
    numbers: Sequence[float],
    with_grad: bool,
) -> list[Tensor]:
    value = views[0].new_empty(())
    if not with_grad:
        return [value]
    of_learnt = views[0].new_empty(0) if learnt is None else torch.empty_like(learnt)
    return [
        value,
        of_learnt,
        *(torch.empty_like(view, memory_format=torch.contiguous_format) for view in views),
    ]


@torch.library.custom_op("riesz::scaled", mutates_args=())
def _scaled(grads: Sequence[Tensor], factor: Tensor) -> list[Tensor]:
    """``factor`` times each. On a CPU by one thread: torch's would go on spinning for some milliseconds, against the engine's at the
    next step (M = 1,024 took 9.2 ms instead of 5.2)."""
    if factor.device.type != "cpu":
        return [(factor * grad).to(grad.dtype) for grad in grads]
    return _multiplied(grads, factor.item())


def _multiplied(grads: Sequence[Tensor], number: float) -> list[Tensor]:
    return [
        torch.from_numpy(np.multiply(grad.detach().numpy(), number, dtype=_NUMPY[grad.dtype]))
        if grad.device.type == "cpu" and grad.dtype in _NUMPY
        else (number * grad).to(grad.dtype)
        for grad in grads
    ]


_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


@_scaled.register_fake
def _(grads: Sequence[Tensor], factor: Tensor) -> list[Tensor]:
    return [torch.empty_like(grad, memory_format=torch.contiguous_format) for grad in grads]


class _Refuse(torch.autograd.Function):
    """Gradients times what comes back; but whoever differentiates them once more is told that this is not had, instead of
    silently getting zero."""

    @staticmethod
    def forward(count: int, factor: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(_scaled(list(tensors[:count]), factor))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(
            "riesz has first derivatives only; the gradient of a loss cannot be differentiated again"
        )


def _handed_back(
    grads: Sequence[Tensor], factor: Tensor, inputs: Sequence[Tensor], wanted: Sequence[bool]
) -> list[Tensor | None]:
    """What backward gives to ``inputs``: the gradients that are wanted, times ``factor``."""
    chosen = [grad for grad, is_wanted in zip(grads, wanted) if is_wanted]
    if torch.is_grad_enabled():
        found = iter(_Refuse.apply(len(chosen), factor, *chosen, *inputs))
    # Without create_graph nobody can differentiate what goes back.
    elif not _is_plain([factor, *chosen]):
        found = iter(_scaled(chosen, factor))
    elif (number := factor.item()) == 1.0 and not _is_kept():
        # Nobody will ask for them again: they can be given away.
        found = iter(chosen)
    else:
        found = iter(_multiplied(chosen, number))
    return [next(found) if is_wanted else None for is_wanted in wanted]


def _is_plain(tensors: Sequence[Tensor]) -> bool:
    """Whether these are tensors on a CPU and nothing has to see an operation on them: no compiler, tracer, transform or mode."""
    return (
        not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
        and torch._C._len_torch_dispatch_stack() == 0
        and torch._C._get_tracing_state() is None
        and all(type(one) in (Tensor, torch.nn.Parameter) and one.device.type == "cpu" for one in tensors)
    )


def _is_kept() -> bool:
    """Whether the backward that runs is one with retain_graph."""
    asked = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)
    return True if asked is None else bool(asked())


class _Given(torch.autograd.Function):
    """A value whose gradients are known already: those of each input."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, grads: Sequence[Tensor], *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*grads, *inputs)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad_value: Tensor) -> tuple[Any, ...]:
        # Asked for once: checkpointing gives them a single time.
        saved = ctx.saved_tensors
        count = len(saved) // 2
        grads, inputs = saved[:count], saved[count:]
        return None, None, *_handed_back(grads, grad_value, inputs, ctx.needs_input_grad[2:])


def with_gradients(value: Tensor, grads: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """``value`` as a function of ``inputs`` with these gradients; nothing is computed in backward."""
    found: Tensor = _Given.apply(value, grads, *inputs)
    return found


class _Loss(torch.autograd.Function):
    """Value and gradients in forward, the gradients times what comes back in backward."""

    @staticmethod
    def forward(
        sentence: str,
        numbers: tuple[float, ...],
        labels: Tensor | None,
        learnt: Tensor | None,
        *views: Tensor,
    ) -> tuple[Tensor, ...]:
        return tuple(_loss(list(views), labels, learnt, sentence, list(numbers), True))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, _, _, learnt, *views = inputs
        _, *grads = output
        ctx.mark_non_differentiable(*grads)
        # Zeros for those would be made by torch's threads: see `_scaled`.
        ctx.set_materialize_grads(False)
        ctx.learns = learnt is not None
        ctx.save_for_backward(*grads, *([learnt] if ctx.learns else []), *views)

    @staticmethod
    def backward(ctx: Any, grad_value: Tensor | None, *_: Any) -> tuple[Any, ...]:
        saved = ctx.saved_tensors
        views = (len(saved) - 1 - int(ctx.learns)) // 2
        if grad_value is None:
            return (None,) * (4 + views)
        grads, inputs = saved[: 1 + views], saved[1 + views :]
        return None, None, None, *_handed_back(grads, grad_value, inputs, ctx.needs_input_grad[3:])


def apply(loss: Loss, views: Sequence[Tensor], labels: Tensor | None, learnt: Tensor | None) -> Tensor:
    """The loss of checked views, differentiable in them and in ``learnt``."""
    inputs = [*views, *([] if learnt is None else [learnt])]
    with_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    if _is_plain(inputs if labels is None else [*inputs, labels]):
        numbers = loss.numbers
        if learnt is not None:
            numbers = (*learnt.tolist(), *numbers[learnt.numel() :])
        alone, *found = _on_cpu(views, labels, learnt, loss.sentence, numbers, with_grad)
        if not with_grad:
            return alone
        of_learnt, *grads = found
        return with_gradients(alone, [*grads, *([] if learnt is None else [of_learnt])], inputs)
    value: Tensor
    if with_grad:
        value = _Loss.apply(loss.sentence, loss.numbers, labels, learnt, *views)[0]
    else:
        value = _loss(list(views), labels, learnt, loss.sentence, list(loss.numbers), False)[0]
    return value


def checked(views: Sequence[Any]) -> list[Tensor]:
    """Views of one shape, device and precision; half precision becomes float32. Or a sentence."""
    if not views:
        raise ValueError("there is no view")
    for place, view in enumerate(views, 1):
        if not isinstance(view, Tensor):
            raise TypeError(f"view {place} is a {type(view).__name__}; a tensor is expected")
        if view.dim() != 2:
            raise ValueError(
                f"view {place} has the shape {list(view.shape)}; rows of numbers are expected, n × d"
            )
        if view.dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
            raise TypeError(f"view {place} is of {view.dtype}; a floating type is expected")
        if view.device != views[0].device:
            raise ValueError(f"views are on {views[0].device} and on {view.device}")
        if view.shape != views[0].shape:
            (n, d), (m, e) = views[0].shape, view.shape
            raise ValueError(f"views differ: {n} × {d} and {m} × {e}")
    if views[0].shape[1] == 0:
        raise ValueError(f"view 1 is {views[0].shape[0]} × 0; there are no rows")
    double = any(view.dtype == torch.float64 for view in views)
    return [view.to(torch.float64 if double else torch.float32) for view in views]


def checked_labels(labels: Any, images: int) -> Tensor | None:
    """Whole numbers, one for each image."""
    if labels is None:
        return None
    try:
        given: Tensor = torch.as_tensor(labels)
    except (RuntimeError, TypeError, ValueError):
        raise TypeError(
            f"labels are a {type(labels).__name__} of which torch makes no tensor; whole numbers are expected"
        ) from None
    if given.dim() != 1:
        raise ValueError(f"labels have the shape {list(given.shape)}; one for each image is expected")
    if given.dtype.is_floating_point or given.dtype.is_complex:
        raise TypeError(f"labels are of {given.dtype}; whole numbers are expected")
    if given.shape[0] != images:
        raise ValueError(f"{given.shape[0]} labels for {images} images")
    return given.to(torch.int64)


def is_learnt(*numbers: Any) -> bool:
    """Whether some number of a loss is a tensor, whose gradient is wanted."""
    return any(isinstance(number, Tensor) for number in numbers)


def learnt_numbers(*numbers: Any) -> Tensor:
    """Numbers of a loss, some of which are tensors, as one tensor."""
    given = [number for number in numbers if isinstance(number, Tensor)]
    for number in numbers:
        if isinstance(number, Tensor) and number.numel() != 1:
            raise ValueError(
                f"a number of the loss has the shape {list(number.shape)}; one number is expected"
            )
    # Of a type that has every one of them as it is: a whole number or half precision would round the others.
    double = any(number.dtype == torch.float64 for number in given)
    dtype = torch.float64 if double else torch.float32
    return torch.stack(
        [
            number.reshape(()).to(dtype)
            if isinstance(number, Tensor)
            else torch.full((), float(number), dtype=dtype, device=given[0].device)
            for number in numbers
        ]
    )
