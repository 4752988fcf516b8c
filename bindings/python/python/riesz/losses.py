"""Every loss as a value: a name and its parameters, checked when it is evaluated.

N images, K views; u, v (or x) unit rows, made from the rows that are given by dividing by their lengths; a cosine is
s = <x, y>. A pair of rows is *matched* (same image, other view), *cross* (other image, other view) or *within* (other image,
same view). LSE is the logarithm of a sum of exponentials. Defaults are the papers' settings, as in riesz's recipes.

>>> import riesz
>>> riesz.losses.dhel(temperature=0.3)
dhel(temperature=0.3, convention='paper')
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from riesz._numbers import as_number

Convention = Literal["paper", "symmetric", "reference"]
"""Which published form: the paper's formula (anchors are the first view only), half of it on (u, v) and half on (v, u), or
what the authors' released code computes."""

KernelName = Literal[
    "gaussian", "logarithmic", "inverse-multiquadric", "riesz", "log-distance", "exponential"
]


@dataclass(frozen=True)
class Loss:
    """A loss with its parameters. Made by the functions of this module."""

    sentence: str
    """Name and words, as the compiled part takes them."""
    numbers: tuple[float, ...]
    """Its numbers, the learnable ones first."""
    words: tuple[tuple[str, float | str], ...]
    """All parameters by name, as ``repr`` shows them."""
    learnable: int = 1
    """How many of the numbers may be learnt: 1 for a temperature, 2 for SigLIP's scale and offset."""

    @property
    def name(self) -> str:
        """The name in recipes and on the command line."""
        return self.sentence.split(" ")[0]

    def check(self) -> Loss:
        """Itself; or ``ValueError`` with one sentence if a number is out of its range, or a word is none that it has."""
        from riesz import _riesz

        _riesz.terms(self.sentence, self.numbers)
        return self

    def __repr__(self) -> str:
        parameters = ", ".join(f"{name}={value!r}" for name, value in self.words)
        return f"{self.name.replace('-', '_')}({parameters})"


def as_loss(loss: object) -> Loss:
    """``loss``, if it is one; or ``TypeError`` with one sentence."""
    if isinstance(loss, Loss):
        return loss
    name = getattr(loss, "__name__", None) if callable(loss) else None
    given = (
        f"the function {name}, without its parentheses" if name in globals() else f"a {type(loss).__name__}"
    )
    raise TypeError(f"the loss is {given}; one of riesz.losses is expected, such as riesz.losses.dhel(0.3)")


def _with_temperature(name: str, temperature: float) -> Loss:
    number = as_number("temperature", temperature)
    return Loss(name, (number,), (("temperature", number),))


def info_nce(temperature: float = 0.1) -> Loss:
    """InfoNCE, one-sided: mean_i( -s_ii/t + LSE_j s_ij/t ) with s_ij = <u_i, v_j> (van den Oord et al. 2018)."""
    return _with_temperature("info-nce", temperature)


def info_nce_symmetric(temperature: float = 0.1) -> Loss:
    """InfoNCE, rows and columns averaged, as CLIP does (Radford et al. 2021)."""
    return _with_temperature("info-nce-symmetric", temperature)


def nt_xent(temperature: float = 0.5) -> Loss:
    """NT-Xent: mean over all rows p of -s_p+/t + LSE over all other rows (SimCLR; Chen et al. 2020)."""
    return _with_temperature("nt-xent", temperature)


def nt_xent_one_sided(temperature: float = 0.5) -> Loss:
    """NT-Xent with anchors in the first view only."""
    return _with_temperature("nt-xent-one-sided", temperature)


def dcl(temperature: float = 0.1) -> Loss:
    """DCL: NT-Xent without the matched pair in the denominator (Yeh et al. 2022)."""
    return _with_temperature("dcl", temperature)


def dcl_one_sided(temperature: float = 0.1) -> Loss:
    """DCL with anchors in the first view only."""
    return _with_temperature("dcl-one-sided", temperature)


def dcl_cross(temperature: float = 0.1) -> Loss:
    """One-sided InfoNCE without the matched pair in the denominator."""
    return _with_temperature("dcl-cross", temperature)


def dclw(temperature: float = 0.1, sigma: float = 0.5) -> Loss:
    """DCLW: DCL whose matched pair i has the weight 2 - N softmax_i(<u_i, v_i>/sigma), held fixed in the gradient (Yeh et
    al. 2022)."""
    temperature, sigma = as_number("temperature", temperature), as_number("sigma", sigma)
    return Loss("dclw", (temperature, sigma), (("temperature", temperature), ("sigma", sigma)))


def dhel(temperature: float = 0.3, convention: Convention = "paper") -> Loss:
    """DHEL: mean_i( -<u_i, v_i>/t + LSE_{j != i} <u_i, u_j>/t ): attraction and repulsion share no pair (Koromilas et al.,
    ICML 2024). ``"symmetric"`` is its mean on (u, v) and (v, u); ``"reference"`` adds both views' LSE to one attraction."""
    temperature = as_number("temperature", temperature)
    return Loss(
        f"dhel {convention}", (temperature,), (("temperature", temperature), ("convention", convention))
    )


def kcl(
    kernel: KernelName = "gaussian",
    width: float | None = None,
    gamma: float = 16.0,
    convention: Convention = "paper",
    *,
    offset: float | None = None,
    exponent: float | None = None,
    temperature: float | None = None,
    attraction: tuple[KernelName, float] | None = None,
) -> Loss:
    """KCL: -mean_i k_A(<u_i, v_i>) + gamma mean_{i != j} k(<u_i, u_j>) (Koromilas et al., ICML 2024).

    ``kernel`` is k, with its parameter by its own name; r = 2 - 2s is the squared distance:

    ======================  ================================  =================
    gaussian                exp(-width r)                     ``width`` (2)
    logarithmic             -1/2 ln(1 + width r)              ``width`` (2)
    inverse-multiquadric    offset (offset^2 + r)^(-1/2)      ``offset`` (2)
    riesz                   sign(p) r^(-p/2), p the exponent  ``exponent``
    exponential             exp(s / temperature)              ``temperature``
    log-distance            -1/2 ln r                         none
    ======================  ================================  =================

    ``attraction`` is k_A with its parameter, such as ``("gaussian", 2.0)``; k itself if not given. ``"symmetric"`` repels
    both views by half, ``"reference"`` is what the released code computes: twice that.
    """
    words, number = kernel_with_number(kernel, width, offset, exponent, temperature)
    pull, pull_number = (kernel, number) if attraction is None else _attraction(attraction)
    pull_number, gamma = as_number("attraction", pull_number), as_number("gamma", gamma)
    words += (("gamma", gamma), ("convention", convention))
    if attraction is not None:
        words += (("attraction", f"{pull} {pull_number}"),)
    sentence = f"kcl {pull} {kernel} {convention}"
    return Loss(sentence, (pull_number, number, gamma), words, learnable=0)


def kernel_with_number(
    kernel: KernelName,
    width: float | None,
    offset: float | None,
    exponent: float | None,
    temperature: float | None,
) -> tuple[tuple[tuple[str, float | str], ...], float]:
    """A kernel in the words of ``repr``, and its number, of those that were given by their names."""
    given = {"width": width, "offset": offset, "exponent": exponent, "temperature": temperature}
    number = _kernel_number(kernel, given)
    parameter = ((_PARAMETERS[kernel][0], number),) if kernel in _PARAMETERS else ()
    return (("kernel", kernel), *parameter), number


_PARAMETERS: dict[str, tuple[str, float | None]] = {
    "gaussian": ("width", 2.0),
    "logarithmic": ("width", 2.0),
    "inverse-multiquadric": ("offset", 2.0),
    "riesz": ("exponent", None),
    "exponential": ("temperature", None),
}


def _checked_kernel(kernel: object) -> KernelName:
    if kernel not in get_args(KernelName):
        known = ", ".join(f'"{name}"' for name in get_args(KernelName))
        raise ValueError(f"kernel is {kernel!r}; expected one of {known}")
    return cast(KernelName, kernel)


def _attraction(given: object) -> tuple[KernelName, float]:
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise TypeError(
            f"attraction is {given!r}; a kernel and its parameter are expected, such as ('gaussian', 2.0)"
        )
    return _checked_kernel(given[0]), given[1]


def _kernel_number(kernel: str, given: dict[str, float | None]) -> float:
    _checked_kernel(kernel)
    name, default = _PARAMETERS.get(kernel, ("", 0.0))
    for other, value in given.items():
        if value is not None and other != name:
            has = f"its parameter is {name}" if name else "it has no parameter"
            raise ValueError(f"kernel {kernel} has no {other}; {has}")
    number = given.get(name)
    if number is None:
        number = default
    if number is None:
        raise ValueError(f"kernel {kernel} needs its {name}")
    return as_number(name or "the kernel's parameter", number)


def align_uniform(exponent: float = 2.0, width: float = 2.0, weight: float = 1.0) -> Loss:
    """mean_i ||u_i - v_i||^exponent + weight/2 (U(u) + U(v)), U(x) = ln mean_{i != j} exp(-width ||x_i - x_j||^2) (Wang &
    Isola, ICML 2020)."""
    numbers = (as_number("exponent", exponent), as_number("width", width), as_number("weight", weight))
    return Loss("align-uniform", numbers, tuple(zip(("exponent", "width", "weight"), numbers)), learnable=0)


def siglip(scale: float = 10.0, offset: float = -10.0) -> Loss:
    """SigLIP: mean_i of ln(1 + e^{-(t s_ii + b)}) + sum_{j != i} ln(1 + e^{t s_ij + b}), t the scale, b the offset (Zhai et
    al., ICCV 2023)."""
    numbers = (as_number("scale", scale), as_number("offset", offset))
    return Loss("siglip", numbers, tuple(zip(("scale", "offset"), numbers)), learnable=2)


def spectral() -> Loss:
    """The spectral contrastive loss on unit rows: -2 mean_i <u_i, v_i> + mean_{i != j} <u_i, v_j>^2 (HaoChen et al. 2021)."""
    return Loss("spectral", (), (), learnable=0)


def sup_con(temperature: float = 0.1) -> Loss:
    """SupCon: mean over rows p of -mean over the other rows of p's label of s/t + LSE over all other rows (L_out of Khosla
    et al. 2020). Takes labels; without any it is :func:`nt_xent`."""
    return _with_temperature("sup-con", temperature)


def sup_con_in(temperature: float = 0.1) -> Loss:
    """SupCon with the mean inside the logarithm (L_in of Khosla et al. 2020). Takes labels."""
    return _with_temperature("sup-con-in", temperature)


def mv_info_nce(temperature: float = 0.5, convention: Convention = "paper") -> Loss:
    """MV-InfoNCE of K >= 2 views: mean over images i of -ln A_i + ln B_i, A_i the sum of e^{s/t} over ordered pairs of i's
    rows, B_i over all pairs anchored in a row of i (Koromilas et al., arXiv 2507.06979)."""
    temperature = as_number("temperature", temperature)
    return Loss(
        f"mv-info-nce {convention}",
        (temperature,),
        (("temperature", temperature), ("convention", convention)),
    )


def mv_dhel(temperature: float = 0.5, convention: Convention = "paper") -> Loss:
    """MV-DHEL of K >= 2 views: as :func:`mv_info_nce`, but views repel within themselves alone (Koromilas et al., arXiv
    2507.06979)."""
    temperature = as_number("temperature", temperature)
    return Loss(
        f"mv-dhel {convention}",
        (temperature,),
        (("temperature", temperature), ("convention", convention)),
    )
