"""A batch that does not fit through the encoder at once, with the loss of the whole batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def cached_backward(
    embed: Callable[[Any], Sequence[Tensor] | Tensor],
    chunks: Sequence[Any],
    criterion: Callable[..., Tensor],
    *,
    module: nn.Module | None = None,
    scale: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Gradient caching (Gao et al., RepL4NLP 2021): embeds ``chunks`` one by one without gradients, takes ``criterion`` once on all
    rows, and runs each chunk again, now backward. Gradients of parameters are as those of a single pass, for an encoder whose
    rows depend on their own image alone (not so with batch normalization, whose statistics are those of a chunk, and
    which sees each chunk twice). Memory: the rows of all chunks, and the encoder's activations of one.

    ``embed(chunk)`` gives the views of a chunk, n x d each (or one tensor); ``criterion(*views)`` the loss. Random numbers are
    the same both times (dropout), on the CPU and the current accelerator. With DDP give its ``module``: gradients are then
    sent once, with the last chunk. ``scale`` is ``GradScaler.scale``. Returns the loss, detached.

    >>> loss = cached_backward(lambda x: (net(x[0]), net(x[1])), chunks, NTXentLoss())  # doctest: +SKIP
    >>> optimizer.step()
    """
    if not chunks:
        raise ValueError("there is no chunk")
    states, parts = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(_random_state())
            parts.append([view.detach() for view in _views(embed(chunk))])
    counts = {len(part) for part in parts}
    if len(counts) > 1:
        raise ValueError(f"chunks have {min(counts)} and {max(counts)} views; all must have as many")
    views = [torch.cat(of_view).requires_grad_() for of_view in zip(*parts)]
    with torch.enable_grad():
        loss = criterion(*views)
        (scale(loss) if scale is not None else loss).backward()
    grads = [view.grad if view.grad is not None else torch.zeros_like(view) for view in views]
    pieces = list(zip(*(grad.split([part[i].shape[0] for part in parts]) for i, grad in enumerate(grads))))
    for place, (chunk, state, of_chunk) in enumerate(zip(chunks, states, pieces)):
        is_last = place + 1 == len(chunks)
        quiet = contextlib.nullcontext() if is_last or module is None else _no_sync(module)
        with quiet, _same_random(state), torch.enable_grad():
            again = _views(embed(chunk))
            torch.autograd.backward(list(again), [grad.to(view.dtype) for grad, view in zip(of_chunk, again)])
    return loss.detach()


def _views(embedded: Sequence[Tensor] | Tensor) -> Sequence[Tensor]:
    return (embedded,) if isinstance(embedded, Tensor) else embedded


def _no_sync(module: nn.Module) -> contextlib.AbstractContextManager[Any]:
    no_sync = getattr(module, "no_sync", None)
    if no_sync is None:
        raise TypeError(f"{type(module).__name__} has no no_sync; give the module that DDP made, or none")
    context: contextlib.AbstractContextManager[Any] = no_sync()
    return context


def _accelerator() -> Any:
    """The module of the current accelerator, such as ``torch.cuda``, if there is one."""
    if not torch.accelerator.is_available():
        return None
    device = torch.accelerator.current_accelerator()
    return None if device is None else torch.get_device_module(device)


def _random_state() -> tuple[Tensor, Tensor | None]:
    device = _accelerator()
    return torch.get_rng_state(), None if device is None else device.get_rng_state()


@contextlib.contextmanager
def _same_random(state: tuple[Tensor, Tensor | None]) -> Any:
    """Random numbers go on from ``state`` inside, and outside as if nothing had been."""
    before, (host, of_device) = _random_state(), state
    device = _accelerator()
    torch.set_rng_state(host)
    if device is not None and of_device is not None:
        device.set_rng_state(of_device)
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        if device is not None and before[1] is not None:
            device.set_rng_state(before[1])
