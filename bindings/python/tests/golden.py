"""The golden cases of the repository: other people's values and gradients."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from riesz import losses
from riesz.losses import Loss

FOLDER = Path(__file__).parents[3] / "golden"


@cache
def inputs() -> dict[str, np.ndarray]:
    """The matrices of ``inputs.safetensors``, float64."""
    data = (FOLDER / "inputs.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, end = entry["data_offsets"]
        numbers = np.frombuffer(data[8 + length + first : 8 + length + end], dtype="<f8")
        arrays[name] = numbers.reshape(entry["shape"])
    return arrays


@dataclass(frozen=True)
class Case:
    name: str
    loss: Loss
    views: tuple[np.ndarray, ...]
    labels: list[int] | None
    value: float
    grad_norm: float
    grad_row0: np.ndarray
    grad_last: np.ndarray
    grad_params: dict[str, float]


def _kcl(params: dict[str, Any]) -> Loss:
    t, gamma = params["t"], params["gamma"]
    settings: dict[str, Any] = {
        "gaussian": {"kernel": "gaussian", "width": t},
        "log": {"kernel": "logarithmic", "width": t},
        "imq": {"kernel": "inverse-multiquadric", "offset": t},
        "riesz": {"kernel": "riesz", "exponent": t},
        "gaussian_riesz": {"kernel": "riesz", "exponent": t, "attraction": ("gaussian", 2.0)},
    }[params["kernel"]]
    return losses.kcl(gamma=gamma, convention="reference", **settings)


def _loss(name: str, params: dict[str, Any]) -> Loss:
    tau = params.get("tau")
    match name:
        case "dhel":
            return losses.dhel(tau, "reference" if params["include_augs"] else "paper")
        case "ntxent":
            return losses.nt_xent(tau)
        case "dcl":
            return losses.dcl(tau)
        case "dclw":
            return losses.dclw(tau, params["sigma"])
        case "infonce_symmetric":
            return losses.info_nce_symmetric(tau)
        case "kcl":
            return _kcl(params)
        case "mv_info_nce_printed":
            return losses.mv_info_nce(tau)
        case "mv_info_nce_code":
            return losses.mv_info_nce(tau, "reference")
        case "mv_dhel_printed":
            return losses.mv_dhel(tau)
        case "mv_dhel_code":
            return losses.mv_dhel(tau, "reference")
        case "sup_con":
            return losses.sup_con(tau)
        case "sup_con_in":
            return losses.sup_con_in(tau)
        case "siglip":
            return losses.siglip(params["scale"], params["offset"])
        case "spectral":
            return losses.spectral()
    raise ValueError(f"unknown loss {name}")


@cache
def cases() -> list[Case]:
    """All 438 + 50 of them."""
    first = json.loads((FOLDER / "golden.json").read_text())["cases"]
    second = json.loads((FOLDER / "losses" / "cases.json").read_text())["cases"]
    found = []
    for case in [*(case for case in first if "loss" in case), *second]:
        rows, views = inputs()[case["input"]], case.get("views", 2)
        found.append(
            Case(
                name=f"{case['loss']} {case['params']} on {case['input']}",
                loss=_loss(case["loss"], case["params"]),
                views=tuple(rows.reshape(views, -1, rows.shape[1])),
                labels=case.get("groups"),
                value=case["value"],
                grad_norm=case["grad_norm"],
                grad_row0=np.array(case["grad_row0"]),
                grad_last=np.array(case["grad_last"]),
                grad_params=case.get("grad_params") or {},
            )
        )
    assert len(found) == 438 + 50
    return found


def steepness(case: Case) -> float:
    """How much the case's slopes change, relatively, for a change of a cosine: as `crates/riesz/tests/golden.rs` has it."""
    words = dict(case.loss.words)
    if case.loss.name != "kcl":
        tau = float(words.get("temperature", 1.0 / float(words.get("scale", 2.0))))
        return 1.0 / tau + (1.0 / float(words["sigma"]) if "sigma" in words else 0.0)
    unit = [view / np.linalg.norm(view, axis=1, keepdims=True) for view in case.views]
    within = min(
        float(np.min(np.sum((x[:, None] - x[None]) ** 2, -1)[~np.eye(len(x), dtype=bool)])) for x in unit
    )
    matched = float(np.min(np.sum((unit[0] - unit[1]) ** 2, -1)))
    match words["kernel"]:
        case "gaussian" | "logarithmic":
            return 2.0 * float(words["width"])
        case "inverse-multiquadric":
            return 3.0 / float(words["offset"]) ** 2
    exponent = abs(float(words["exponent"])) + 2.0
    return exponent / within + 4.0 if "attraction" in words else exponent / min(within, matched)
