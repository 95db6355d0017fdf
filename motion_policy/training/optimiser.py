# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Adam as the recurrent policies and autoencoders are trained with it, all weights in one call.

PyTorch's fused kernel walks through memory and asks no tensor for its strides, so what it keeps
of a weight must lie in memory as the weight does, also after a run was resumed.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

ADAM_EPS = 1e-7  # as EIPL has it
FUSED_EVERYWHERE = hasattr(torch, 'get_autocast_dtype')  # from torch 2.4 on, CPUs included


def adam(
    parameters: Iterable[nn.Parameter], rate: float, *, scaled: bool = False
) -> torch.optim.Adam:
    """Adam for `parameters`; with `scaled` in the form that can clip scaled gradients."""
    fused = FUSED_EVERYWHERE and not scaled
    optimizer = torch.optim.Adam(parameters, lr=rate, eps=ADAM_EPS, fused=fused)
    optimizer.register_load_state_dict_post_hook(lay_out_as_weights)
    return optimizer


def lay_out_as_weights(optimizer: torch.optim.Optimizer) -> None:
    """Bring loaded moments into the memory order of their weights."""
    for weight, state in optimizer.state.items():
        for name, moment in state.items():
            if isinstance(moment, torch.Tensor) and moment.shape == weight.shape:
                state[name] = torch.empty_like(weight, requires_grad=False).copy_(moment)
