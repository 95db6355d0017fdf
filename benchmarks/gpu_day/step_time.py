# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Duration of one training step of ACT in the size of the configuration: JSON into a file."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import torch
from plan import CONFIG, TINY_ACT
from reference.act_steps import act_batch, act_policy, our_act_step

from motion_policy.training import load_train_config

WARM_UP, STEPS = 4, 15


def step_ms(tiny: bool) -> float:
    """Median wall time, ready batch to updated weights."""
    config = load_train_config(CONFIG)
    device = 'cpu' if tiny else 'cuda'
    size, hyper, count = ((48, 64), TINY_ACT, 2) if tiny else (
        config.image_size, config.hyper, config.batch_size
    )  # fmt: skip
    policy = act_policy(size, **hyper).to(device)
    batch = act_batch(policy, count).to(device)
    step = our_act_step(policy, batch, None if tiny else torch.bfloat16)
    taken = []
    for _ in range(WARM_UP + STEPS):
        begin = time.monotonic()
        step()  # returns the loss, for which it waits
        taken.append(1e3 * (time.monotonic() - begin))
    return statistics.median(taken[WARM_UP:])


if __name__ == '__main__':
    told = {'step_ms': step_ms('--tiny' in sys.argv)}
    Path(sys.argv[-1]).write_text(json.dumps(told))
    print(told)
