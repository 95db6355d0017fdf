# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A linear layer that learns on a CPU gives the numbers and the gradients of PyTorch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_policy.policies.cpu import onednn
from motion_policy.policies.cpu.products import MANY, Linear, differentiable_linear

WIDTHS = (96, 160)


def layer_and_values(*shape: int) -> tuple[Linear, Tensor]:
    """Return a layer and values for it, large enough for oneDNN."""
    torch.manual_seed(0)
    layer = Linear(*WIDTHS)
    values = torch.randn(*shape, WIDTHS[0], requires_grad=True)
    assert values.numel() * WIDTHS[1] >= MANY
    return layer, values


def gradients(outputs: Tensor, *inputs: Tensor) -> list[Tensor]:
    """Return the gradients of a sum in which no two outputs weigh the same."""
    weights = torch.linspace(-1, 1, outputs.numel()).view_as(outputs)
    return list(torch.autograd.grad((outputs * weights).sum(), inputs))


@pytest.mark.parametrize('shape', [(320,), (4, 80), (2, 4, 40)])
def test_outputs_and_gradients_are_those_of_pytorch(shape: tuple[int, ...]) -> None:
    layer, values = layer_and_values(*shape)
    parameters = (values, layer.weight, layer.bias)
    ours, plain = layer(values), F.linear(*parameters)
    assert type(ours.grad_fn).__name__ != type(plain.grad_fn).__name__
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    for mine, right in zip(
        gradients(ours, *parameters), gradients(plain, *parameters), strict=True
    ):
        torch.testing.assert_close(mine, right, atol=1e-4, rtol=1e-4)


def test_values_that_lie_across_memory_and_rows_of_a_weight_are_no_trap() -> None:
    layer, values = layer_and_values(8, 40)
    across, rows = values.transpose(0, 1), slice(32, 128)
    weight, bias = layer.weight[rows], layer.bias[rows]
    ours, plain = differentiable_linear(across, weight, bias), F.linear(across, weight, bias)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    (mine,), (right,) = gradients(ours, layer.weight), gradients(plain, layer.weight)
    torch.testing.assert_close(mine, right, atol=1e-4, rtol=1e-4)


def test_a_layer_without_bias_and_frozen_values_learn_too() -> None:
    layer, values = layer_and_values(320)
    seen = values.detach()
    torch.testing.assert_close(
        gradients(differentiable_linear(seen, layer.weight), layer.weight)[0],
        gradients(F.linear(seen, layer.weight), layer.weight)[0],
        atol=1e-4,
        rtol=1e-4,
    )


def test_pytorch_itself_computes_what_does_not_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Tensor | None) -> Tensor:
        raise AssertionError('oneDNN was asked')

    layer, values = layer_and_values(320)
    monkeypatch.setattr(onednn, 'linear', fail)
    with torch.no_grad():
        torch.testing.assert_close(layer(values), F.linear(values, layer.weight, layer.bias))
    few = values[:4]
    torch.testing.assert_close(layer(few), F.linear(few, layer.weight, layer.bias))
    with torch.autocast('cpu', torch.bfloat16):
        assert layer(values).dtype == torch.bfloat16
    with pytest.raises(AssertionError, match='oneDNN was asked'):
        layer(values)


def test_without_the_operator_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, 'is_available', lambda: False)
    onednn.works.cache_clear()
    try:
        layer, values = layer_and_values(320)
        outputs = layer(values)
        assert outputs.grad_fn is not None
        torch.testing.assert_close(outputs, F.linear(values, layer.weight, layer.bias))
    finally:
        onednn.works.cache_clear()


def test_weights_are_named_as_those_of_pytorch() -> None:
    assert Linear(*WIDTHS).state_dict().keys() == nn.Linear(*WIDTHS).state_dict().keys()
