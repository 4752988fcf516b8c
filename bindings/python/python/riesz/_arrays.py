"""Whatever holds rows of numbers, as a NumPy array; without a copy where there need be none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_rows(name: str, rows: Any) -> NDArray[Any]:
    """A float32 or float64 array. float16 and bfloat16 become float32; anything else is refused."""
    if hasattr(rows, "detach"):  # a tensor of torch: its gradient is not ours to follow
        rows = rows.detach()
        if str(rows.dtype) in ("torch.bfloat16", "torch.float16"):
            rows = rows.float()
        rows = rows.cpu()
    if np.ma.isMaskedArray(rows) and np.ma.is_masked(rows):
        raise ValueError(f"{name} has masked numbers; fill them, or leave their rows out")
    if hasattr(rows, "__array__"):
        array = np.asarray(rows)
    elif hasattr(rows, "__dlpack__"):
        array = np.from_dlpack(rows)
    elif isinstance(rows, (list, tuple)):
        array = np.asarray(rows, dtype=np.float64)
    else:
        raise TypeError(f"{name} is a {type(rows).__name__}; an array of rows is expected, n x d")
    if array.dtype.name in ("float16", "bfloat16"):  # the latter is ml_dtypes', which JAX has
        return array.astype(np.float32)
    if array.dtype.kind != "f" or array.dtype.itemsize not in (4, 8):
        raise TypeError(f"{name} is of {array.dtype}; float32 or float64 is expected")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def as_labels(labels: Any) -> list[int] | None:
    """Each label's number among the different ones, from 0 on."""
    if labels is None:
        return None
    array = label_array(labels)
    if array.ndim != 1:
        raise ValueError(f"labels have the shape {list(array.shape)}; one for each image is expected")
    _, numbers = np.unique(array, return_inverse=True)
    return numbers.reshape(-1).tolist()


def label_array(labels: Any) -> NDArray[Any]:
    """Labels of one kind, whole numbers or strings, as an array; or ``TypeError`` with one sentence."""
    array = np.asarray(labels.detach().cpu() if hasattr(labels, "detach") else labels)
    if array.dtype.kind not in "iubUSO":
        raise TypeError(f"labels are of {array.dtype}; whole numbers or strings are expected")
    # Of a list with one string NumPy makes strings of all others, of a missing one too.
    elements = labels if array.dtype.kind in "US" and isinstance(labels, (list, tuple)) else array
    looked_at = array.ndim == 1 and (elements is labels or array.dtype.kind == "O")
    if looked_at and not any(
        all(isinstance(label, kind) for label in elements) for kind in (str, bytes, (int, np.integer))
    ):
        kinds = ", ".join(sorted({type(label).__name__ for label in elements}))
        raise TypeError(f"labels are of {kinds}; whole numbers or strings are expected, and none may lack")
    return array


def are_words(labels: NDArray[Any]) -> bool:
    """Whether labels are strings."""
    return labels.dtype.kind in "US" or (labels.dtype.kind == "O" and isinstance(labels[:1].tolist()[0], str))
