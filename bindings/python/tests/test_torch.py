"""The losses in PyTorch: every golden case, other people's modules, and all that torch can do with a function."""

from __future__ import annotations

import math
import warnings
from typing import Any

import golden
import numpy as np
import pytest
import riesz.numpy
from riesz import losses
from riesz.losses import Loss

torch = pytest.importorskip("torch")

import riesz.torch as rt
from riesz.torch import _op

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True")
EVERY: list[Loss] = [
    losses.info_nce(),
    losses.info_nce_symmetric(),
    losses.nt_xent(),
    losses.nt_xent_one_sided(),
    losses.dcl(),
    losses.dcl_one_sided(),
    losses.dcl_cross(),
    losses.dclw(),
    *(losses.dhel(0.3, convention) for convention in ("paper", "symmetric", "reference")),
    losses.kcl(),
    losses.kcl("logarithmic", convention="symmetric"),
    losses.kcl("inverse-multiquadric", convention="reference"),
    losses.kcl("riesz", exponent=1.0, attraction=("gaussian", 2.0)),
    losses.kcl("riesz", exponent=-1.0),
    losses.kcl("log-distance", attraction=("gaussian", 2.0)),
    losses.kcl("exponential", temperature=0.5),
    losses.align_uniform(),
    losses.align_uniform(exponent=1.0),
    losses.siglip(),
    losses.spectral(),
    losses.sup_con(),
    losses.sup_con_in(),
    losses.mv_info_nce(),
    losses.mv_info_nce(convention="reference"),
    losses.mv_dhel(),
    losses.mv_dhel(convention="reference"),
]
LABELED = ("sup-con", "sup-con-in")


def views(n: int = 24, d: int = 8, seed: int = 0, dtype: Any = torch.float64) -> tuple[Any, Any]:
    """Near views of random rows, with gradients."""
    draws = torch.Generator().manual_seed(seed)
    center = torch.randn(n, d, generator=draws, dtype=torch.float64)
    found = [center + 0.5 * torch.randn(n, d, generator=draws, dtype=torch.float64) for _ in range(2)]
    return tuple(view.to(dtype).requires_grad_() for view in found)


def labels_of(loss: Loss, n: int = 24) -> Any:
    return torch.arange(n) // 3 if loss.name in LABELED else None


def test_every_golden_case_value_and_gradient() -> None:
    for case in golden.cases():
        rows = [torch.tensor(view, requires_grad=True) for view in case.views]
        value = rt.contrastive_loss(case.loss, *rows, labels=case.labels)
        value.backward()
        grad = np.concatenate([row.grad.numpy() for row in rows])
        exact = riesz.numpy.value_and_grad(case.loss, *case.views, labels=case.labels)
        size = max(sum(map(abs, exact.terms)), 1e-3)
        assert abs(float(value) - case.value) < 1e-9 * size, case.name
        tolerance = max(1e-9 * case.grad_norm, 1e-12)
        assert abs(np.linalg.norm(grad) - case.grad_norm) < tolerance, case.name
        assert np.abs(grad[0] - case.grad_row0).max() < tolerance, case.name
        assert np.abs(grad[-1] - case.grad_last).max() < tolerance, case.name


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_operations_on_tensors_are_the_engine(loss: Loss) -> None:
    """What runs on GPUs, run here: value, gradient, learnable numbers; awkward rows too; and in chunks."""
    one = torch.ones(6, 3, dtype=torch.float64)
    # Where rows meet these kernels are infinite or steep, and rounding decides.
    steep = any(word in repr(loss) for word in ("kernel='riesz'", "log-distance", "exponent=1.0"))
    same = None if steep else [one, one]
    inputs = [views(), views(5, 2, 1), views(2, 1, 2), same]
    for rows in [rows for rows in inputs if rows is not None]:
        rows = [row.detach() for row in rows]
        labels = None if loss.name not in LABELED else torch.arange(len(rows[0])) // 2
        if loss.name in LABELED and len(rows[0]) < 3:
            continue
        want = riesz.numpy.value_and_grad(loss, *rows, labels=labels)
        scale = max(1.0, *(float(np.abs(grad).max()) for grad in want.grads))
        got = _op.on_device(loss, torch.stack(rows), labels, True)
        assert abs(float(got.value) - want.value) < 1e-10 * max(1.0, *map(abs, want.terms))
        assert np.abs(got.grad.numpy() - np.stack(want.grads)).max() < 1e-9 * scale
        for a, b in zip(got.learnt.tolist(), want.parameter_grads.values()):
            assert abs(a - b) < 1e-9 * max(1.0, 1 / loss.numbers[0] ** 2)
        alone = _op.on_device(loss, torch.stack(rows), labels, False)
        assert alone.grad is None and abs(float(alone.value - got.value)) < 1e-12 * max(
            1.0, *map(abs, want.terms)
        )


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from riesz.torch import _blocks

    rows = torch.stack([view.detach() for view in views()])
    for loss in EVERY:
        want = _op.on_device(loss, rows, labels_of(loss), True)
        with monkeypatch.context() as patch:
            patch.setattr(_blocks, "CELLS", 24 * 5)
            got = _op.on_device(loss, rows, labels_of(loss), True)
        assert abs(float(got.value - want.value)) < 1e-12 * max(1.0, abs(float(want.value))), loss
        assert (got.grad - want.grad).abs().max() < 1e-12 * max(1.0, float(want.grad.abs().max())), loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_the_engines_sweeps_over_parts_are_those_on_tensors(dtype: Any) -> None:
    """Three parts of a batch of several tiles, each against each, by the engine and by operations of torch."""
    from riesz.torch import _blocks, _engine

    counts, images = [230, 1, 69], 300
    rows = torch.stack([view.detach() for view in views(images, 16, 7)])
    rows = torch.nn.functional.normalize(rows, dim=2).to(dtype)
    for loss in (*EVERY, losses.nt_xent(0.004), losses.siglip(100.0)):
        labels = torch.arange(images) % 90 if loss.name in LABELED else None
        groups, sizes = _op.group_sizes(labels, images, rows.device)
        terms = _blocks.terms(loss.sentence, loss.numbers)
        batch = _blocks.Batch(2, images, groups is not None)
        of_engine = _engine.Engine(
            loss.sentence, loss.numbers, batch, None if groups is None else groups.tolist()
        )
        firsts = [sum(counts[:i]) for i in range(3)]
        parts = [slice(first, first + count) for first, count in zip(firsts, counts)]
        blocks = [
            _blocks.Block(rows[:, part].contiguous(), part.start, None if groups is None else groups[part])
            for part in parts
        ]
        whole = _blocks.Block(rows, 0, groups)
        logs = [
            torch.zeros(2, images).double() if log is None else log
            for log in _blocks.log_sums(terms, whole, whole)
        ]
        anchors = [
            [_blocks.Anchors(_blocks.anchors(term, batch, block, sizes[part]).factor) for term in terms]
            for block, part in zip(blocks, parts)
        ]
        for known, part in zip(anchors, parts):
            for term, of_term, log in zip(terms, known, logs):
                # Any finite number serves where there is no pair.
                of_term.log_sum = log[:, part].clamp(min=-1e3) if term.is_logarithmic else None
        tolerance = 1e-11 if dtype == torch.float64 else 3e-6 * (1.0 + golden_steepness(loss))
        of_own = []
        for own, own_anchors in zip(blocks, anchors):
            shares = torch.zeros(2, len(terms), 2, dtype=torch.float64)
            grads = torch.zeros(2, *own.rows.shape, dtype=dtype)
            for other, other_anchors in zip(blocks, anchors):
                found = [engine.log_sums(terms, own, other) for engine in (_blocks, of_engine)]
                for want, got in zip(*found):
                    assert (want is None) == (got is None)
                    if want is not None and got is not None:
                        used = (
                            own_anchors[0].factor * 0
                            + torch.stack([a.factor for a in own_anchors]).abs().sum(0)
                            > 0
                        )
                        want, got = want[used], got[used]
                        assert torch.equal(torch.isinf(want), torch.isinf(got)), loss
                        finite = torch.isfinite(want)
                        off = (want[finite] - got[finite]).abs() / want[finite].abs().clamp(min=1.0)
                        assert off.numel() == 0 or off.max() < tolerance, (loss, off.max())
                for i, engine in enumerate((_blocks, of_engine)):
                    sums = engine.sweep(terms, own, own_anchors, other, other_anchors, grads[i])
                    told = [[float(one.value), float(one.slope)] for one in sums]
                    shares[i] += torch.tensor(told, dtype=torch.float64)
            # Terms may cancel, their rounding does not.
            scale = max(float(grads[0].abs().max()), golden_steepness(loss) / images)
            off = float((grads[0] - grads[1]).abs().max())
            assert off < tolerance * scale, (loss, off / scale)
            of_own.append(shares)
        # The engine halves what is of two parts, so that shares agree in sum.
        shares = torch.stack(of_own).sum(0)
        assert (shares[0] - shares[1]).abs().max() < tolerance * max(1.0, float(shares[0].abs().max())), loss


def golden_steepness(loss: Loss) -> float:
    """How much a weight changes, relatively, for a change of a cosine."""
    words = dict(loss.words)
    return max(1.0 / float(words.get("temperature", 1.0)), float(words.get("scale", 1.0)), 10.0)


def test_sweeps_run_where_there_are_no_numbers() -> None:
    """The meta device has shapes alone: nothing in the two sweeps may look at a number, which would make a GPU wait."""
    from riesz.torch import _blocks

    rows = torch.empty(2, 10, 4, device="meta")
    for loss in EVERY:
        terms = _blocks.terms(loss.sentence, loss.numbers)
        batch = _blocks.Batch(2, 10, False)
        block = _blocks.Block(rows, 0)
        sizes = torch.ones(10, dtype=torch.int64, device="meta")
        logs = _blocks.log_sums(terms, block, block)
        anchors = [_blocks.anchors(term, batch, block, sizes) for term in terms]
        for known, log_sum in zip(anchors, logs):
            known.log_sum = log_sum
        grad = torch.zeros_like(rows)
        sums = _blocks.sweep(terms, block, anchors, block, anchors, grad)
        assert len(sums) == len(terms) and grad.device.type == "meta"
    value = rt.nt_xent_loss(torch.empty(8, 4, device="meta"), torch.empty(8, 4, device="meta"))
    assert value.shape == () and value.device.type == "meta"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_equal_to_lightly(dtype: Any) -> None:
    lightly = pytest.importorskip("lightly.loss")
    pairs = [
        (lambda t: lightly.NTXentLoss(temperature=t), lambda t: rt.NTXentLoss(t)),
        (lambda t: lightly.DCLLoss(temperature=t), lambda t: rt.DCLLoss(t)),
        (lambda t: lightly.DCLWLoss(temperature=t, sigma=0.5), lambda t: rt.DCLWLoss(t, 0.5)),
    ]
    one = torch.ones(7, 5)
    inputs = [views(33, 16, 1), views(2, 3, 2), views(64, 2, 3), views(256, 128, 4), (one, one), (one, -one)]
    for theirs, ours in pairs:
        for temperature in (0.05, 0.1, 0.5):
            for rows in inputs:
                _compare(theirs(temperature), ours(temperature), rows, dtype, temperature)


def _compare(theirs: Any, ours: Any, rows: Any, dtype: Any, temperature: float, call: Any = None) -> None:
    found = []
    for criterion in (theirs, ours):
        given = [row.detach().to(dtype).clone().requires_grad_() for row in rows]
        value = call(criterion, *given) if call and criterion is theirs else criterion(*given)
        value.backward()
        found.append((float(value), torch.cat([row.grad for row in given]).double()))
    (their_value, their_grad), (value, grad) = found
    assert abs(value - their_value) < (1e-12 if dtype == torch.float64 else 1e-6) * max(1.0, abs(their_value))
    # Below 0.1 the temperature multiplies what float32 rounds off a cosine: at 0.05 two images in three dimensions are 4e-7 (theirs)
    # and 8e-7 (ours) from the gradient in float64, on either side of it.
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6 * max(1.0, 0.1 / temperature)
    assert (grad - their_grad).abs().max() < tolerance * max(1.0, float(their_grad.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_equal_to_pytorch_metric_learning(dtype: Any) -> None:
    losses_of = pytest.importorskip("pytorch_metric_learning.losses")

    def call(criterion: Any, u: Any, v: Any) -> Any:
        return criterion(torch.cat([u, v]), torch.arange(len(u)).repeat(2))

    one = torch.ones(7, 5)
    for temperature in (0.05, 0.1, 0.5):
        for rows in (
            views(33, 16, 1),
            views(2, 3, 2),
            views(64, 2, 3),
            views(256, 128, 4),
            (one, one),
            (one, -one),
        ):
            theirs = losses_of.NTXentLoss(temperature=temperature)
            _compare(theirs, rt.NTXentLoss(temperature), rows, dtype, temperature, call)


def test_functions_are_their_losses() -> None:
    u, v = (view.detach() for view in views())
    labels = torch.arange(24) // 3
    for got, loss in [
        (rt.nt_xent_loss(u, v), losses.nt_xent()),
        (rt.info_nce_loss(u, v), losses.info_nce()),
        (rt.info_nce_loss(u, v, symmetric=True), losses.info_nce_symmetric()),
        (rt.dcl_loss(u, v), losses.dcl()),
        (rt.dclw_loss(u, v), losses.dclw()),
        (rt.dhel_loss(u, v, convention="reference"), losses.dhel(convention="reference")),
        (rt.kcl_loss(u, v, "logarithmic", 3.0), losses.kcl("logarithmic", 3.0)),
        (rt.align_uniform_loss(u, v), losses.align_uniform()),
        (rt.siglip_loss(u, v), losses.siglip()),
        (rt.spectral_loss(u, v), losses.spectral()),
        (rt.sup_con_loss(u, v, labels=labels), losses.sup_con()),
        (rt.sup_con_loss(u, v, labels=labels, inside=True), losses.sup_con_in()),
        (rt.sup_con_loss(u, labels=labels), losses.sup_con()),
        (rt.mv_info_nce_loss(u, v, u + v), losses.mv_info_nce()),
        (rt.mv_dhel_loss(u, v, u + v), losses.mv_dhel()),
    ]:
        given = [u, v, u + v] if loss.name.startswith("mv-") else [u, v]
        want = riesz.numpy.value(loss, *given, labels=labels if loss.name in LABELED else None)
        if loss.name == "sup-con" and float(got) != want:
            want = riesz.numpy.value(loss, u, labels=labels)
        assert float(got) == want, loss
    modules = [
        rt.NTXentLoss(),
        rt.InfoNCELoss(symmetric=True),
        rt.DCLLoss(),
        rt.DCLWLoss(),
        rt.DHELLoss(),
        rt.KCLLoss(),
        rt.AlignUniformLoss(),
        rt.SigLIPLoss(),
        rt.SpectralLoss(),
        rt.MVInfoNCELoss(),
        rt.MVDHELLoss(),
        rt.ContrastiveLoss(losses.dcl_cross()),
    ]
    for module in modules:
        assert float(module(u, v)) == riesz.numpy.value(module.loss, u, v), module
    assert float(rt.SupConLoss()(u, v, labels=labels)) == riesz.numpy.value(
        losses.sup_con(), u, v, labels=labels
    )
    assert repr(rt.DHELLoss()) == "DHELLoss(temperature=0.3, convention='paper')"
    assert repr(rt.NTXentLoss(0.1, learn=True)) == "NTXentLoss(temperature=0.1, learn=True)"


def test_gradcheck() -> None:
    for loss in EVERY:
        rows = views(6, 4, 5)
        labels = torch.arange(6) // 2 if loss.name in LABELED else None
        if loss.name == "dclw":
            continue  # its weights are held fixed, which differences do not know
        assert torch.autograd.gradcheck(
            lambda u, v, loss=loss, labels=labels: rt.contrastive_loss(loss, u, v, labels=labels), rows
        ), loss


def test_opcheck() -> None:
    u, v = views(6, 4)
    for args in (
        ([u.detach(), v.detach()], None, None, "nt-xent", [0.5], True),
        ([u.detach(), v.detach()], None, torch.tensor([0.5]), "dhel paper", [1.0], True),
        ([u.detach()], torch.arange(6) // 2, None, "sup-con", [0.1], False),
    ):
        torch.library.opcheck(_op._loss, args)
    torch.library.opcheck(_op._scaled, ([u.detach(), v.detach().float()], torch.tensor(2.0)))


def test_the_short_way_and_the_operation_have_the_same_bits() -> None:
    """Plain tensors on a CPU pass torch's dispatcher by; who watches it sees the operations, and the same numbers."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.add(str(func))
            return func(*args, **(kwargs or {}))

    for loss in EVERY:
        found = []
        for mode in (None, Watch()):
            seen: set[str] = set()
            rows = views()
            with mode or warnings.catch_warnings():
                value = rt.contrastive_loss(loss, *rows, labels=labels_of(loss))
                value.backward(retain_graph=True)
                (3.0 * value).backward()
            assert (mode is None) == (not {"riesz.loss.default", "riesz.scaled.default"} <= seen), seen
            found.append((value, *(row.grad for row in rows)))
        assert all(torch.equal(one, other) for one, other in zip(*found)), loss


def test_gradients_that_are_given_away_are_nobody_elses() -> None:
    u, v = views()
    want = torch.autograd.grad(rt.nt_xent_loss(u, v), (u, v))
    value = rt.nt_xent_loss(u, v)
    for _ in range(3):
        for given, is_right in zip(torch.autograd.grad(value, (u, v), retain_graph=True), want):
            assert torch.equal(given, is_right)
            given.zero_()
    for times in (1, 2, 3):
        value.backward(retain_graph=times < 3)
        assert (u.grad - times * want[0]).abs().max() < 1e-14
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        value.backward()
    # Of one view alone the other's is not made.
    (alone,) = torch.autograd.grad(rt.nt_xent_loss(u, v.detach()), u)
    assert torch.equal(alone, want[0])


def test_compile_takes_the_whole_graph() -> None:
    for loss in (losses.nt_xent(), losses.dhel(), losses.kcl()):

        def step(u: Any, v: Any, w: Any, loss: Loss = loss) -> Any:
            return rt.contrastive_loss(loss, u @ w, v @ w) * 2.0

        w = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        found = []
        for function in (step, torch.compile(step, fullgraph=True)):
            u, v = views()
            weight = w.clone().requires_grad_()
            value = function(u, v, weight)
            value.backward()
            found.append((value.detach(), weight.grad))
        assert abs(float(found[0][0] - found[1][0])) < 1e-12
        assert (found[0][1] - found[1][1]).abs().max() < 1e-12
    module = torch.compile(rt.NTXentLoss(0.2, learn=True), fullgraph=True)
    module(*views()).backward()
    assert module.log_temperature.grad is not None


def test_func_grad() -> None:
    u, v = views()
    value = rt.dhel_loss(u, v)
    value.backward()
    by_function = torch.func.grad(lambda u: rt.dhel_loss(u, v.detach()))(u.detach())
    assert torch.equal(by_function, u.grad)
    both, value_again = torch.func.grad_and_value(rt.dhel_loss, argnums=(0, 1))(u.detach(), v.detach())
    assert torch.equal(both[1], v.grad) and float(value_again) == float(value)


def test_checkpointing() -> None:
    from torch.utils.checkpoint import checkpoint

    for reentrant in (False, True):
        u, v = views()
        checkpoint(rt.nt_xent_loss, u, v, 0.2, use_reentrant=reentrant).backward()
        want_u, want_v = views()
        rt.nt_xent_loss(want_u, want_v, 0.2).backward()
        assert torch.equal(u.grad, want_u.grad) and torch.equal(v.grad, want_v.grad)


def test_autocast_and_half_precision() -> None:
    layer = torch.nn.Linear(8, 8)
    x = torch.randn(32, 8, generator=torch.Generator().manual_seed(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = layer(x)
        assert z.dtype == torch.bfloat16
        value = rt.nt_xent_loss(z, layer(x + 0.1), 0.05)
    assert value.dtype == torch.float32
    value.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in layer.parameters())
    for dtype in (torch.float16, torch.bfloat16):
        u, v = views(dtype=dtype)
        value = rt.nt_xent_loss(u, v, 0.05)
        value.backward()
        assert value.dtype == torch.float32 and u.grad.dtype == dtype
        want = rt.nt_xent_loss(u.detach().double(), v.detach().double(), 0.05)
        assert abs(float(value) - float(want)) < 1e-5 * float(want)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rows = torch.stack([u.detach().float(), v.detach().float()])
            on_device = _op.on_device(losses.nt_xent(0.05), rows, None, True)
        assert abs(float(on_device.value) - float(want)) < 1e-5 * float(want)


def test_no_grad_takes_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = riesz._riesz.value_and_grad
    monkeypatch.setattr(riesz._riesz, "value_and_grad", lambda *args: asked.append(1) or real(*args))
    u, v = views()
    with torch.no_grad():
        alone = rt.nt_xent_loss(u, v)
    with torch.inference_mode():
        assert float(rt.nt_xent_loss(u, v)) == float(alone)
    assert not asked and not alone.requires_grad
    assert float(rt.nt_xent_loss(u.detach(), v.detach())) == float(alone) and not asked
    assert float(rt.nt_xent_loss(u, v)) == float(alone) and asked == [1]


def test_torchs_threads_stay_asleep() -> None:
    """What torch does with its threads leaves them spinning, against the engine's: at M = 1,024 that doubled the time of a step.
    So nothing as large as the rows is done by torch: neither in forward nor in backward."""
    rows = [row.detach().requires_grad_() for row in views(64, 8)]
    rt.nt_xent_loss(*rows).backward()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as told:
        for row in rows:
            row.grad = None
        rt.nt_xent_loss(*rows).backward()
    large = {
        event.key for event in told.key_averages(group_by_input_shape=True) if [64, 8] in event.input_shapes
    }
    at_work = {
        "aten::mul",
        "aten::copy_",
        "aten::clone",
        "aten::zero_",
        "aten::fill_",
        "aten::add",
        "aten::add_",
    }
    assert "aten::detach" in large and not large & at_work, large


def test_half_precision_at_a_low_temperature_and_a_large_scale() -> None:
    """As under GradScaler: the loss is float32, so that neither it nor its scaled value overflows."""
    for dtype in (torch.float16, torch.bfloat16):
        u, v = views(dtype=dtype)
        value = rt.nt_xent_loss(u, v, 0.005)
        (value * 1024.0).backward()
        assert value.dtype == torch.float32 and torch.isfinite(value)
        assert all(torch.isfinite(row.grad).all() and row.grad.abs().max() > 0 for row in (u, v))
    temperature = torch.tensor(0.3, dtype=torch.bfloat16, requires_grad=True)
    rt.nt_xent_loss(*views(dtype=torch.bfloat16), temperature).backward()
    assert temperature.grad.dtype == torch.bfloat16 and torch.isfinite(temperature.grad)


def test_second_derivatives_are_refused() -> None:
    u, v = views()
    (grad,) = torch.autograd.grad(rt.nt_xent_loss(u, v), u, create_graph=True)
    with pytest.raises(RuntimeError, match="riesz has first derivatives only"):
        grad.pow(2).sum().backward()
    with pytest.raises(RuntimeError, match="riesz has first derivatives only"):
        torch.autograd.grad((grad * grad).sum() + u.sum(), u)


def test_learnt_temperature() -> None:
    for make, learnable in [
        (lambda u, v, t: rt.nt_xent_loss(u, v, t), [0.3]),
        (lambda u, v, t: rt.dcl_loss(u, v, t), [0.3]),
        (lambda u, v, t: rt.dhel_loss(u, v, t), [0.3]),
        (lambda u, v, t: rt.info_nce_loss(u, v, t), [0.3]),
        (lambda u, v, t: rt.sup_con_loss(u, v, labels=torch.arange(24) // 2, temperature=t), [0.3]),
        (lambda u, v, t: rt.mv_dhel_loss(u, v, temperature=t), [0.3]),
        (lambda u, v, t, b: rt.siglip_loss(u, v, t, b), [5.0, -3.0]),
    ]:
        u, v = (view.detach() for view in views())
        numbers = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in learnable]
        assert torch.autograd.gradcheck(lambda *numbers, make=make, u=u, v=v: make(u, v, *numbers), numbers)
        # The numbers alone want a gradient here; and together with the rows.
        rows = [u.clone().requires_grad_(), v]
        make(*rows, *numbers).backward()
        assert rows[0].grad is not None and all(number.grad is not None for number in numbers)
    criterion = rt.NTXentLoss(0.2, learn=True)
    optimizer = torch.optim.SGD(criterion.parameters(), 0.1)
    u, v = (view.detach().float() for view in views())
    before = float(criterion(u, v))
    for _ in range(20):
        optimizer.zero_grad()
        criterion(u, v).backward()
        optimizer.step()
    assert float(criterion(u, v)) < before and float(criterion.temperature) != 0.2
    assert abs(math.exp(float(rt.SigLIPLoss(learn=True).log_scale)) - 10.0) < 1e-5
    with pytest.raises(ValueError, match="kcl has nothing to learn"):
        rt.KCLLoss(learn=True)
    with pytest.raises(ValueError, match="temperature is -1; it must be above 0"):
        rt.nt_xent_loss(u, v, torch.tensor(-1.0))


def test_layout_changes_no_bit() -> None:
    u, v = views()
    want = rt.nt_xent_loss(u, v)
    want.backward()
    wide = torch.stack([u.detach(), v.detach()], dim=2).requires_grad_()
    got = rt.nt_xent_loss(wide[..., 0], wide[..., 1])
    got.backward()
    assert float(got) == float(want) and torch.equal(wide.grad[..., 0], u.grad)
    turned = u.detach().T.contiguous().T.requires_grad_()
    rt.nt_xent_loss(turned, v.detach()).backward()
    assert torch.equal(turned.grad, u.grad)


@pytest.mark.parametrize(
    ("error", "sentence", "call"),
    [
        (ValueError, "views differ: 24 × 8 and 23 × 8", lambda u, v: rt.nt_xent_loss(u, v[:23])),
        (ValueError, r"view 1 has the shape \[8\]", lambda u, v: rt.nt_xent_loss(u[0], v[0])),
        (TypeError, "view 2 is of torch.int64; a floating type", lambda u, v: rt.nt_xent_loss(u, v.long())),
        (TypeError, "view 2 is a ndarray; a tensor", lambda u, v: rt.nt_xent_loss(u, v.detach().numpy())),
        (ValueError, "views are on cpu and on meta", lambda u, v: rt.nt_xent_loss(u, v.to("meta"))),
        (ValueError, "view 1: row 0 has length 0", lambda u, v: rt.nt_xent_loss(u * 0, v)),
        (ValueError, "view 2: row 0 has a number that is not", lambda u, v: rt.nt_xent_loss(u, v * math.nan)),
        (ValueError, "at least 2 images; the batch has 1", lambda u, v: rt.nt_xent_loss(u[:1], v[:1])),
        (ValueError, "23 labels for 24 images", lambda u, v: rt.sup_con_loss(u, v, labels=range(23))),
        (
            TypeError,
            "labels are a list of which torch",
            lambda u, v: rt.sup_con_loss(u, v, labels=["a"] * 24),
        ),
        (TypeError, "labels are of torch.float32", lambda u, v: rt.sup_con_loss(u, labels=torch.ones(24))),
        (ValueError, "view 1 is 24 × 0; there are no rows", lambda u, v: rt.nt_xent_loss(u[:, :0], v[:, :0])),
    ],
)
def test_what_cannot_be_done_is_said(error: Any, sentence: str, call: Any) -> None:
    u, v = views()
    with pytest.raises(error, match=sentence):
        call(u, v)


def test_devices_refuse_in_the_same_sentences() -> None:
    rows = torch.stack([view.detach() for view in views()])
    for place, row, number in ((0, 3, 0.0), (1, 5, math.nan)):
        bad = rows.clone()
        bad[place, row] = number
        with pytest.raises(ValueError) as device:
            _op.on_device(losses.nt_xent(), bad, None, True)
        with pytest.raises(ValueError) as engine:
            riesz.numpy.value(losses.nt_xent(), *bad)
        assert str(device.value) == str(engine.value)
    with pytest.raises(ValueError, match="log-distance|kcl is .* infinite"):
        same = torch.ones(2, 4, 3, dtype=torch.float64)
        _op.on_device(losses.kcl("log-distance", attraction=("gaussian", 2.0)), same, None, True)


def test_no_warning_where_no_group_is_up() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rt.NTXentLoss()(*views())
