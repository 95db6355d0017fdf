# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Adam by PyTorch's fused kernel alone, for recurrent policies and autoencoders on a CPU.

PyTorch's fused kernel walks through memory and asks no tensor for its strides, so what it keeps
of a weight must lie in memory as the weight does, also after a run was resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

ADAM_EPS = 1e-7  # as EIPL has it
FUSED_EVERYWHERE = hasattr(torch, 'get_autocast_dtype')  # from torch 2.4 on, CPUs included


class Adam(torch.optim.Adam):
    """PyTorch's, of whose step nothing but the fused kernel is left where all is on the CPU.

    Its own looks for a GPU and sorts all weights by device, every time: a sixth of the training
    step of a small sequence model. Adam: Kingma and Ba, arXiv:1412.6980.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One update, after calling `closure` for the gradients and what is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        learning = [
            (group, [weight for weight in group['params'] if weight.grad is not None])
            for group in self.param_groups
        ]
        if all(group['fused'] and self._begun(weights) for group, weights in learning):
            for group, weights in learning:
                self._update(group, weights)
        else:
            super().step()
        return loss

    def _begun(self, weights: list[Tensor]) -> bool:
        """Whether they are of one kind, on the CPU, and were moved before."""
        return len({weight.dtype for weight in weights}) == 1 and all(
            weight.is_cpu and weight in self.state for weight in weights
        )

    def _update(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        states = [self.state[weight] for weight in weights]
        steps = [state['step'] for state in states]
        torch._foreach_add_(steps, torch.ones(()))
        torch._fused_adam_(
            weights,
            [weight.grad for weight in weights],
            [state['exp_avg'] for state in states],
            [state['exp_avg_sq'] for state in states],
            [],
            steps,
            amsgrad=False,
            lr=group['lr'],
            beta1=group['betas'][0],
            beta2=group['betas'][1],
            weight_decay=group['weight_decay'],
            eps=group['eps'],
            maximize=False,
            grad_scale=None,
            found_inf=None,
        )


def adam(
    parameters: Iterable[nn.Parameter], rate: float, *, scaled: bool = False
) -> torch.optim.Adam:
    """Adam for `parameters`; with `scaled` in the form that can clip scaled gradients."""
    fused = FUSED_EVERYWHERE and not scaled
    optimizer = Adam(parameters, lr=rate, eps=ADAM_EPS, fused=fused)
    optimizer.register_load_state_dict_post_hook(lay_out_as_weights)
    return optimizer


def lay_out_as_weights(optimizer: torch.optim.Optimizer) -> None:
    """Bring loaded moments into the memory order of their weights."""
    for weight, state in optimizer.state.items():
        for name, moment in state.items():
            if isinstance(moment, torch.Tensor) and moment.shape == weight.shape:
                state[name] = torch.empty_like(weight, requires_grad=False).copy_(moment)
