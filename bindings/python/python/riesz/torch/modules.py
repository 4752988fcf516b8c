"""The losses as modules: settings once, then ``criterion(z1, z2)``.

Each takes, by name, what :class:`ContrastiveLoss` takes: ``learn``, ``group``, ``exchange`` and ``grad_average``. ``group`` is over
whose processes the batch is spread (see :mod:`riesz.torch.distributed`): ``None`` is this process alone; a ``ProcessGroup`` or
``"world"`` is that group. Where a group is up and nothing was said, the module warns once.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import torch
from torch import Tensor, nn

from riesz import losses
from riesz.losses import Convention, KernelName, Loss, as_loss
from riesz.torch import _op, functional

if TYPE_CHECKING:
    from typing_extensions import Unpack

_UNSAID: Any = object()
Exchange = Literal["gather", "ring"]
_FORMS = {"info-nce-symmetric": "symmetric", "sup-con-in": "inside"}
"""Losses that a module makes by a setting, which its ``repr`` tells."""


class Settings(TypedDict, total=False):
    """What every module takes by name besides its loss's own numbers; see :class:`ContrastiveLoss`."""

    learn: bool
    group: Any
    exchange: Exchange
    grad_average: bool


class ContrastiveLoss(nn.Module):
    """Any loss of :mod:`riesz.losses` as a module: ``ContrastiveLoss(losses.dhel(0.3))(z1, z2)``.

    ``learn`` makes its temperature a parameter, as ``log_temperature`` (SigLIP: ``log_scale`` and ``offset``).
    ``exchange`` is how processes of ``group`` get each other's rows, "gather" or "ring"; ``grad_average`` says that their
    gradients will be averaged, as DDP and FSDP do.
    """

    def __init__(
        self,
        loss: Loss,
        *,
        learn: bool = False,
        group: Any = _UNSAID,
        exchange: Exchange = "gather",
        grad_average: bool = True,
    ) -> None:
        super().__init__()
        as_loss(loss).check()
        if learn and not loss.learnable:
            raise ValueError(f"{loss.name} has nothing to learn")
        if isinstance(group, str) and group != "world":
            raise ValueError(f'group is {group!r}; expected "world", a ProcessGroup or None')
        if exchange not in ("gather", "ring"):
            raise ValueError(f'exchange is {exchange!r}; expected "gather" or "ring"')
        self.loss = loss
        self.learn = learn
        self.group = None if group is _UNSAID else group
        self.exchange = exchange
        self.grad_average = grad_average
        self._is_silent = group is not _UNSAID
        if learn and loss.learnable == 1:
            self.log_temperature = nn.Parameter(torch.tensor(math.log(loss.numbers[0])))
        elif learn:
            self.log_scale = nn.Parameter(torch.tensor(math.log(loss.numbers[0])))
        if loss.learnable == 2:
            self.offset = nn.Parameter(torch.tensor(loss.numbers[1])) if learn else loss.numbers[1]

    @property
    def temperature(self) -> float | Tensor:
        """The temperature: a number, or the tensor that is learnt."""
        if self.loss.learnable != 1:
            raise AttributeError(f"{self.loss.name} has no temperature")
        return self.log_temperature.exp() if self.learn else self.loss.numbers[0]

    @property
    def scale(self) -> float | Tensor:
        """SigLIP's scale, as :attr:`temperature`; its ``offset`` stands beside it."""
        if self.loss.learnable != 2:
            raise AttributeError(f"{self.loss.name} has no scale")
        return self.log_scale.exp() if self.learn else self.loss.numbers[0]

    def _learnt(self) -> Tensor | None:
        if not self.learn:
            return None
        if self.loss.learnable == 1:
            return _op.learnt_numbers(self.log_temperature.exp())
        return _op.learnt_numbers(self.log_scale.exp(), self.offset)

    def forward(self, *views: Tensor, labels: Any = None) -> Tensor:
        """The loss of views, n x d each."""
        if self.group is not None:
            from riesz.torch import distributed

            value: Tensor = distributed.evaluate(
                self.loss,
                self._learnt(),
                views,
                labels,
                group=self.group,
                exchange=self.exchange,
                grad_average=self.grad_average,
            )
            return value
        if not self._is_silent:
            self._warn_once()
        return functional._evaluate(self.loss, self._learnt(), views, labels)

    def _warn_once(self) -> None:
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
            self._is_silent = True
            warnings.warn(
                f"{self.loss.name} compares the rows of this process alone, though a process group is up; say "
                'group="world" for the loss of the whole batch, or group=None if that is meant',
                stacklevel=5,
            )

    def extra_repr(self) -> str:
        words = [f"{name}={value!r}" for name, value in self.loss.words]
        if type(self) is ContrastiveLoss:
            words = [repr(self.loss)]
        if (form := _FORMS.get(self.loss.name)) and type(self) is not ContrastiveLoss:
            words.append(f"{form}=True")
        if self.learn:
            words.append("learn=True")
        if self.group is not None:
            words.append(f"group={self.group if isinstance(self.group, str) else 'given'}")
            words.append(f"exchange={self.exchange!r}")
        return ", ".join(words)


class NTXentLoss(ContrastiveLoss):
    """NT-Xent, as lightly's and, with ``labels`` of pairs, pytorch-metric-learning's ``NTXentLoss``."""

    def __init__(self, temperature: float = 0.5, **settings: Unpack[Settings]) -> None:
        super().__init__(losses.nt_xent(temperature), **settings)


class InfoNCELoss(ContrastiveLoss):
    """InfoNCE, one-sided or, ``symmetric``, as CLIP."""

    def __init__(
        self, temperature: float = 0.1, symmetric: bool = False, **settings: Unpack[Settings]
    ) -> None:
        make = losses.info_nce_symmetric if symmetric else losses.info_nce
        super().__init__(make(temperature), **settings)


class DCLLoss(ContrastiveLoss):
    """DCL, as lightly's ``DCLLoss``."""

    def __init__(self, temperature: float = 0.1, **settings: Unpack[Settings]) -> None:
        super().__init__(losses.dcl(temperature), **settings)


class DCLWLoss(ContrastiveLoss):
    """DCLW, as lightly's ``DCLWLoss``."""

    def __init__(self, temperature: float = 0.1, sigma: float = 0.5, **settings: Unpack[Settings]) -> None:
        super().__init__(losses.dclw(temperature, sigma), **settings)


class DHELLoss(ContrastiveLoss):
    """DHEL (Koromilas et al., ICML 2024)."""

    def __init__(
        self, temperature: float = 0.3, convention: Convention = "paper", **settings: Unpack[Settings]
    ) -> None:
        super().__init__(losses.dhel(temperature, convention), **settings)


class KCLLoss(ContrastiveLoss):
    """KCL (Koromilas et al., ICML 2024); kernels as in :func:`riesz.losses.kcl`."""

    def __init__(
        self,
        kernel: KernelName = "gaussian",
        width: float | None = None,
        gamma: float = 16.0,
        convention: Convention = "paper",
        *,
        offset: float | None = None,
        exponent: float | None = None,
        temperature: float | None = None,
        attraction: tuple[KernelName, float] | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        loss = losses.kcl(
            kernel,
            width,
            gamma,
            convention,
            offset=offset,
            exponent=exponent,
            temperature=temperature,
            attraction=attraction,
        )
        super().__init__(loss, **settings)


class AlignUniformLoss(ContrastiveLoss):
    """Alignment plus uniformity (Wang & Isola, ICML 2020)."""

    def __init__(
        self, exponent: float = 2.0, width: float = 2.0, weight: float = 1.0, **settings: Any
    ) -> None:
        super().__init__(losses.align_uniform(exponent, width, weight), **settings)


class SigLIPLoss(ContrastiveLoss):
    """SigLIP (Zhai et al., ICCV 2023); with ``learn=True`` scale and offset are parameters, as in the paper."""

    def __init__(self, scale: float = 10.0, offset: float = -10.0, **settings: Unpack[Settings]) -> None:
        super().__init__(losses.siglip(scale, offset), **settings)


class SpectralLoss(ContrastiveLoss):
    """The spectral contrastive loss (HaoChen et al., NeurIPS 2021)."""

    def __init__(self, **settings: Unpack[Settings]) -> None:
        super().__init__(losses.spectral(), **settings)


class SupConLoss(ContrastiveLoss):
    """SupCon (Khosla et al., NeurIPS 2020): ``criterion(z1, z2, labels=labels)``."""

    def __init__(self, temperature: float = 0.1, inside: bool = False, **settings: Unpack[Settings]) -> None:
        make = losses.sup_con_in if inside else losses.sup_con
        super().__init__(make(temperature), **settings)


class MVInfoNCELoss(ContrastiveLoss):
    """MV-InfoNCE of any number of views."""

    def __init__(
        self, temperature: float = 0.5, convention: Convention = "paper", **settings: Unpack[Settings]
    ) -> None:
        super().__init__(losses.mv_info_nce(temperature, convention), **settings)


class MVDHELLoss(ContrastiveLoss):
    """MV-DHEL of any number of views."""

    def __init__(
        self, temperature: float = 0.5, convention: Convention = "paper", **settings: Unpack[Settings]
    ) -> None:
        super().__init__(losses.mv_dhel(temperature, convention), **settings)
