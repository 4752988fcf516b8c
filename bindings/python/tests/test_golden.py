"""Every golden case through ``riesz.numpy``, value and gradient."""

import golden
import numpy as np
import riesz.numpy


def off(case: golden.Case, outcome: riesz.numpy.ValueAndGrad) -> tuple[float, float]:
    """How far value and gradient are from the case, the value relative to its terms, which may cancel."""
    size = max(sum(abs(term) for term in outcome.terms), 1e-3)
    grad = np.concatenate(outcome.grads).astype(np.float64)
    error = max(
        abs(np.linalg.norm(grad) - case.grad_norm),
        np.abs(grad[0] - case.grad_row0).max(),
        np.abs(grad[-1] - case.grad_last).max(),
    )
    return abs(outcome.value - case.value) / size, float(error)


def test_every_case_in_float64_to_1e_9() -> None:
    worst = np.zeros(2)
    for case in golden.cases():
        outcome = riesz.numpy.value_and_grad(case.loss, *case.views, labels=case.labels)
        value, grad = off(case, outcome)
        grad /= max(case.grad_norm, 1e-9)
        # Terms of the written-out cases may cancel to nothing.
        assert value < 1e-9 and (grad < 1e-9 or grad * case.grad_norm < 1e-12), (
            f"{case.name}: {value}, {grad}"
        )
        alone = riesz.numpy.value(case.loss, *case.views, labels=case.labels)
        assert alone == outcome.value, case.name
        worst = np.maximum(worst, [value, min(grad, grad * case.grad_norm)])
    print("worst value, gradient:", worst)


def test_every_case_in_float32_to_what_float32_rows_allow() -> None:
    for case in golden.cases():
        views = [view.astype(np.float32) for view in case.views]
        outcome = riesz.numpy.value_and_grad(case.loss, *views, labels=case.labels)
        assert outcome.grads[0].dtype == np.float32
        value, grad = off(case, outcome)
        unit = 2.0**-24 * (1.0 + golden.steepness(case))
        assert value < 2.0 * unit, f"{case.name}: {value / unit} units"
        # The gradient of a term may be many times that of the loss, and its rounding stays.
        exact = riesz.numpy.value_and_grad(case.loss, *case.views, labels=case.labels)
        scale = max(case.grad_norm, sum(map(abs, exact.terms)) * (1.0 + golden.steepness(case)))
        assert grad < 4.0 * unit * scale, f"{case.name}: {grad / scale / unit} units"


def test_gradients_of_learnable_numbers() -> None:
    compared = 0
    for case in golden.cases():
        found = riesz.numpy.value_and_grad(case.loss, *case.views, labels=case.labels).parameter_grads
        for name, want in case.grad_params.items():
            got = found["temperature" if name == "tau" else name]
            numbers = dict(case.loss.words)
            size = 1.0 / float(numbers.get("temperature", 1.0)) ** 2
            assert abs(got - want) < 1e-11 * (size + abs(want)), case.name
            compared += 1
    assert compared > 40
