"""Made numbers, so that no weights are stored. Number k of the tensor `name` (torch's name; row-major, from 0) comes from

    x = FNV-1a(name) + (k + 1) * 0x9e3779b97f4a7c15, then splitmix64's finalizer, all modulo 2^64
    u = (x >> 40) / 2^23 - 1,  a number in [-1, 1)

and is, in float64 and then rounded to float32,

    *.running_var                          (1 + u/2) / 100
    *.running_mean                         u / 50
    one axis, *.weight  (normalizations)   1 + u/2
    one axis, *.bias                       u / 5
    two axes  (linear layers)              u * sqrt(3 / fan in)
    three axes  (class token, positions)   u / 30
    four axes  (convolutions)              u * sqrt(3 / fan in) / 10
    images [n, size, size, channels]       (1 + u) / 2, with the name "images"
"""

import numpy as np
import torch


def draw(name, count):
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    x = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(40)).astype(np.float64) / 2**23 - 1


def made(name, shape):
    u = draw(name, int(np.prod(shape))).reshape(shape)
    spread = np.sqrt(3 / np.prod(shape[1:]))
    if name == "images":
        value = (1 + u) / 2
    elif name.endswith("running_var"):
        value = (1 + u / 2) / 100
    elif name.endswith("running_mean"):
        value = u / 50
    elif len(shape) == 1:
        value = 1 + u / 2 if name.endswith("weight") else u / 5
    else:
        value = {2: u * spread, 3: u / 30, 4: u * spread / 10}[len(shape)]
    return torch.from_numpy(value.astype(np.float32).astype(np.float64))
