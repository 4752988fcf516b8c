"""The losses of riesz for PyTorch: as functions, as modules, over process groups; and helpers around them.

>>> import torch, riesz.torch
>>> criterion = riesz.torch.DHELLoss(temperature=0.3)
>>> loss = criterion(encoder(view_1), encoder(view_2))  # doctest: +SKIP
>>> loss.backward()  # doctest: +SKIP

Rows are made unit inside. Memory is linear in the batch. On a CPU the compiled engine computes; on other devices the same
sums are taken in operations of torch, a chunk of rows at a time. The gradient is computed together with the value, and not
at all under ``torch.no_grad``. float16 and bfloat16 are computed in float32, and the loss is float32.
"""

from __future__ import annotations

import torch as _torch

from riesz import _threads
from riesz.torch.encoder import Encoder, load_encoder
from riesz.torch.functional import (
    align_uniform_loss,
    contrastive_loss,
    dcl_loss,
    dclw_loss,
    dhel_loss,
    info_nce_loss,
    kcl_loss,
    mv_dhel_loss,
    mv_info_nce_loss,
    nt_xent_loss,
    siglip_loss,
    spectral_loss,
    sup_con_loss,
)
from riesz.torch.grad_cache import cached_backward
from riesz.torch.modules import (
    AlignUniformLoss,
    ContrastiveLoss,
    DCLLoss,
    DCLWLoss,
    DHELLoss,
    InfoNCELoss,
    KCLLoss,
    MVDHELLoss,
    MVInfoNCELoss,
    NTXentLoss,
    SigLIPLoss,
    SpectralLoss,
    SupConLoss,
)

__all__ = [
    "AlignUniformLoss",
    "ContrastiveLoss",
    "DCLLoss",
    "DCLWLoss",
    "DHELLoss",
    "Encoder",
    "InfoNCELoss",
    "KCLLoss",
    "MVDHELLoss",
    "MVInfoNCELoss",
    "NTXentLoss",
    "SigLIPLoss",
    "SpectralLoss",
    "SupConLoss",
    "align_uniform_loss",
    "cached_backward",
    "contrastive_loss",
    "dcl_loss",
    "dclw_loss",
    "dhel_loss",
    "info_nce_loss",
    "kcl_loss",
    "load_encoder",
    "mv_dhel_loss",
    "mv_info_nce_loss",
    "nt_xent_loss",
    "siglip_loss",
    "spectral_loss",
    "sup_con_loss",
]

_threads.follow(_torch.get_num_threads)
