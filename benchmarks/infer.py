# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One control step of a policy against the plain eager forward of the same weights.

Ours is `policy.act` as the policy node calls it: camera frame and joints in, chunk out, resizing
and normalising included, no image decoder. The reference is the whole network in PyTorch's own
layers on ready-made tensors. One thread, one process (so one state of the allocator), in turns.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import cast

import torch

from motion_policy.cli.main import main
from motion_policy.cli.measurement import (
    Measurement,
    interleaved_ms,
    plain_network,
    random_policy,
)
from motion_policy.policies.allocator import keep_freed_memory
from motion_policy.policies.base import Observation
from motion_policy.policies.recurrent import RecurrentPolicy
from motion_policy.robot import load_robot_spec

SUMMARY = 'one control step of a recurrent policy against the eager forward of the whole network'
# (kind, image size, greatest ratio that meets the goal).
CASES = (('sarnn', 64, 0.3), ('sarnn', 128, 0.5), ('cnnrnn', 128, 0.3), ('cnnrnnln', 128, 0.5))


def run(seconds: float) -> list[Measurement]:
    """Measure every case for `seconds`."""
    keep_freed_memory()  # as the launch files of the policy node do; it makes both faster
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_measure(kind, size, target, seconds) for kind, size, target in CASES]
    finally:
        torch.set_num_threads(threads)


def _measure(kind: str, size: int, target: float, seconds: float) -> Measurement:
    policy = cast(RecurrentPolicy, random_policy(kind, size, load_robot_spec('tabletop_sim')))
    network = plain_network(policy.network).eval()
    joints = len(policy.joint_names)
    frame = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8)
    observation = Observation(qpos=torch.zeros(1, joints), images={policy.cameras[0]: frame})
    image = frame.permute(0, 3, 1, 2).contiguous().float() / 255
    vector = torch.full((1, joints), 0.5)
    state = policy.initial_state(1)

    def ours() -> None:
        policy.act(observation, state)

    def reference() -> None:
        with torch.inference_mode():
            network([image], vector, state)

    ours_ms, reference_ms = interleaved_ms((ours, reference), seconds)
    return Measurement(
        what=f'{kind} {size}x{size}, one step, 1 thread',
        ours=statistics.median(ours_ms),
        reference=statistics.median(reference_ms),
        reference_name='eager forward of the network in plain layers, image decoder included',
        unit='ms of CPU time, median',
        target=target,
        details={'calls': len(ours_ms), 'threads': 1},
    )


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
