# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Schedules of learning rate and loss weights as pure functions of epoch or step.

Having no counter, they cannot run ahead in validation and need not be saved for a resume. The
curves of loss weights are those of EIPL (https://github.com/ogata-lab/eipl).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Curve = Literal['linear', 's', 'inverse_s', 'ease_in', 'ease_out']

# t in [0, 1] -> share of the weight. EIPL calls ease_in 'deceleration' and ease_out
# 'acceleration', each the opposite of what it does.
CURVES: dict[str, Callable[[float], float]] = {
    'linear': lambda t: t,
    's': lambda t: t - math.sin(2 * math.pi * t) / (2 * math.pi),
    'inverse_s': lambda t: t + math.sin(2 * math.pi * t) / (2 * math.pi),
    'ease_in': lambda t: 1 - math.cos(math.pi * t / 2),
    'ease_out': lambda t: math.sin(math.pi * t / 2),
}


@dataclass(frozen=True)
class LossSchedule:
    """Raises a loss weight from 0 in the first epoch to 1 in epoch `epochs` - 1 and after."""

    curve: Curve = 's'
    epochs: int = 1000

    def __call__(self, epoch: int) -> float:
        if epoch >= self.epochs - 1:
            return 1.0
        return CURVES[self.curve](epoch / (self.epochs - 1))


def learning_rate_share(
    done: int, total: int, warmup: int, shape: Literal['constant', 'cosine']
) -> float:
    """The share of the learning rate: a linear rise, then constant or half a cosine.

    The cosine is that of SGDR without restarts (Loshchilov and Hutter, arXiv:1608.03983).
    `done`, `total` and `warmup` are all epochs, or all steps.
    """
    if done < warmup:
        return (done + 1) / (warmup + 1)
    if shape == 'constant':
        return 1.0
    t = (done - warmup) / max(1, total - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, t)))
