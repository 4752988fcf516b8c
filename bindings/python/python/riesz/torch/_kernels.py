"""The kernels as operations on tensors: the formulas of ``riesz::kernel``.

s are cosines, r = 2 - 2s >= 0 squared distances. Where two points meet and a kernel is infinite it is infinite here too;
who calls strikes out what is no pair and refuses what is not finite.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def at(name: str, numbers: list[float], s: Tensor) -> tuple[Tensor, Tensor]:
    """k(s) and its slope dk/ds."""
    match name, numbers:
        case "cosine", [scale]:
            return scale * s, torch.full_like(s, scale)
        case "exponential", [temperature, factor]:
            value = factor * torch.exp(s / temperature)
            return value, value / temperature
        case "gaussian", [width]:
            value = torch.exp(-width * _squared_distance(s))
            return value, 2.0 * width * value
        case "logarithmic", [width]:
            grown = 1.0 + width * _squared_distance(s)
            return -0.5 * torch.log(grown), width / grown
        case "log-distance", []:
            r = _squared_distance(s)
            return -0.5 * torch.log(r), 1.0 / r
        case "inverse-multiquadric", [offset]:
            square = _squared_distance(s) + offset * offset
            value = offset * torch.rsqrt(square)
            return value, value / square
        case "riesz", [exponent]:
            r = _squared_distance(s)
            value = math.copysign(1.0, exponent) * r ** (-0.5 * exponent)
            slope = exponent * value / r
            return (value, slope) if exponent > 0.0 else (value, torch.where(r == 0.0, 0.0, slope))
        case "distance-power", [exponent]:
            r = _squared_distance(s)
            if exponent == 2.0:
                return r, torch.full_like(r, -2.0)
            value = r ** (0.5 * exponent)
            return value, torch.where(r == 0.0, 0.0, -exponent * value / r)
        case "squared-cosine", []:
            return s * s, 2.0 * s
        case "softplus", [scale, offset]:
            x = scale * s + offset
            value = torch.clamp(x, min=0.0) + torch.log1p(torch.exp(-x.abs()))
            return value, scale * torch.sigmoid(x)
    raise ValueError(f"kernel {name} of {len(numbers)} numbers has no form on tensors")


def ln_at(name: str, numbers: list[float], s: Tensor) -> tuple[Tensor, Tensor | float]:
    """ln k(s), and (dk/ds)/k, for a kernel that is positive."""
    match name, numbers:
        case "exponential", [temperature, factor]:
            return s / temperature + math.log(factor), 1.0 / temperature
        case "gaussian", [width]:
            return -width * _squared_distance(s), 2.0 * width
    value, slope = at(name, numbers, s)
    return torch.log(value), slope / value


def _squared_distance(s: Tensor) -> Tensor:
    return torch.clamp(2.0 - 2.0 * s, min=0.0)
