# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One step of SARNN for control against the plain eager forward of the same weights.

Ours is `policy.act` as the policy node calls it: camera frame and joints in, chunk out, resizing
and normalising included, no image decoder. The reference is the whole module in eager PyTorch on
ready-made tensors. One thread, one process (so one state of the allocator), calls in turn.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import torch

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Measurement, interleaved_ms, plain_sarnn, random_policy
from motion_policy.policies.base import Observation
from motion_policy.robot import load_robot_spec

SUMMARY = 'one control step of SARNN against the eager forward of the whole module'
# (image size, greatest ratio that meets the goal).
SIZES = ((64, 0.3), (128, 0.5))


def run(seconds: float) -> list[Measurement]:
    """Measure every image size for `seconds` each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_measure(size, target, seconds) for size, target in SIZES]
    finally:
        torch.set_num_threads(threads)


def _measure(size: int, target: float, seconds: float) -> Measurement:
    policy = random_policy(size, load_robot_spec('tabletop_sim'))
    module = plain_sarnn(policy).eval()
    joints = len(policy.joint_names)
    frame = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8)
    observation = Observation(qpos=torch.zeros(1, joints), images={policy.cameras[0]: frame})
    image = frame.permute(0, 3, 1, 2).contiguous().float() / 255
    qpos = torch.full((1, joints), 0.5)
    state = policy.initial_state(1)

    def ours() -> None:
        policy.act(observation, state)

    def reference() -> None:
        with torch.inference_mode():
            module(image, qpos, state)

    ours_ms, reference_ms = interleaved_ms((ours, reference), seconds)
    return Measurement(
        what=f'SARNN {size}x{size}, one step, 1 thread',
        ours=statistics.median(ours_ms),
        reference=statistics.median(reference_ms),
        reference_name='eager forward of the module, image decoder included',
        unit='ms of CPU time, median',
        target=target,
        details={'calls': len(ours_ms), 'threads': 1},
    )


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
