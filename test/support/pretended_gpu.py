# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A GPU where there is none: tensors without numbers that say 'cuda' and mix with no others.

Everything is made on the CPU as usual; what is moved or computed inside `on_gpu` is PyTorch's fake
tensors, for which every operator tells shape, type and device, and fails where two devices meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.utils._pytree import tree_leaves

GPU, MEMORY = 'cuda', 2**37
ATEN = torch.ops.aten
RealGenerator = torch.Generator


class _Generator(RealGenerator):
    """One of the CPU that says what device it was made for."""

    def __new__(cls, device: torch.device | str = 'cpu') -> _Generator:
        made = super().__new__(cls)
        made.made_for = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:
        return self.made_for


def _apply(self: nn.Module, change: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """`nn.Module._apply`, which cannot exchange fake weights: it makes them anew."""
    for module in self.modules():
        for name, value in module._parameters.items():
            if value is not None:
                changed = change(value.detach())
                module._parameters[name] = nn.Parameter(changed, value.requires_grad)
        for name, value in module._buffers.items():
            if value is not None:
                module._buffers[name] = change(value)
    return self


class _FakeOnGPU(FakeTensorMode):
    """What is made on the CPU alone keeps its numbers; what is read back from the GPU is all 1."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if not any(_is_there(value) for value in tree_leaves((args, kwargs))):
            return func(*args, **kwargs)
        if func is ATEN._local_scalar_dense.default:
            return torch.ones((), dtype=args[0].dtype).item()
        if func is ATEN._to_copy.default and torch.device(kwargs.get('device') or GPU).type != GPU:
            return torch.ones(args[0].shape, dtype=kwargs.get('dtype') or args[0].dtype)
        with self:
            if func is ATEN.nonzero.default:
                return args[0].new_empty(args[0].numel(), args[0].ndim, dtype=torch.int64)
            if func is ATEN.index.Tensor:
                args = args[0], [part for index in args[1] for part in _places(index)]
            if func.overloadpacket is ATEN.to:  # seen whole in inference mode
                return func.decompose(*args, **kwargs)
        return super().__torch_dispatch__(func, types, args, kwargs)


def _is_there(value: Any) -> bool:
    return isinstance(value, FakeTensor) or (isinstance(value, torch.device) and value.type == GPU)


def _places(index: Tensor | None) -> Sequence[Tensor | None]:
    """The integers that a mask stands for."""
    mask = index is not None and index.dtype == torch.bool
    return index.nonzero().unbind(1) if mask else [index]  # type: ignore[union-attr]


def _gradients(value: Tensor, leaves: Sequence[Tensor], **options: Any) -> list[Tensor]:
    """`torch.autograd.grad`, whose threads ask for the driver."""
    return [torch.zeros_like(leaf) for leaf in leaves]


@contextmanager
def on_gpu() -> Iterator[None]:
    """Inside, `.to('cuda')` and all that is made there work, without numbers and `backward`."""
    with pytest.MonkeyPatch.context() as patch:
        # Each operator asks whether there is a real one; looking for its driver takes long.
        real = torch.cuda.is_available()
        patch.setattr(torch.cuda, 'is_available', lambda: real)
        patch.setattr(torch, 'Generator', _Generator)
        patch.setattr(nn.Module, '_apply', _apply)
        patch.setattr(torch.autograd, 'grad', _gradients)
        patch.setattr(torch.cuda, 'mem_get_info', lambda device: (MEMORY, MEMORY))
        patch.setattr(torch.backends.cudnn, 'enabled', False)  # its LSTM asks for the driver
        with _FakeOnGPU(allow_non_fake_inputs=True):
            yield
