# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Memory of the policy node while it drives an arm for long.

Cameras, arm, node and its policy as in the benchmark `control`, at 50 Hz. The reference is what
was resident at the beginning; a node that kept every image would grow by gigabytes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from control_path.full_size import FULL_SIZE, Size, save_act
from control_path.harness import NAMESPACE, Harness
from control_path.scenario import robot_at

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Line, Measurement

SUMMARY = 'memory of the policy node while it drives an arm: it must not grow'
RATE_HZ = 50.0
ALLOWED_GROWTH = 1.01
SHARE = 10  # the first and the last tenth are compared


def lines(seconds: float, device: str, size: Size = FULL_SIZE) -> list[Line]:
    """One part: drive for so many seconds; 600 tell something."""
    return [lambda: _drive(seconds, size)]


def _drive(seconds: float, size: Size) -> list[Measurement]:
    with TemporaryDirectory() as folder:
        robot = robot_at(RATE_HZ)
        checkpoint = save_act(robot, Path(folder), size)
        values = (f'checkpoint:={checkpoint}', 'autostart:=true', 'backend:=eager')
        arguments = ['--ros-args', '-r', f'__ns:=/{NAMESPACE}']
        arguments += [word for value in values for word in ('-p', value)]
        module = 'motion_policy.nodes.policy_node'
        with Harness(module, arguments, 'policy_node', robot) as harness:
            harness.wait_for_log('drives')
            harness.drive(min(seconds, 10.0))  # until everything was needed once
            _, usage = harness.drive(seconds)
    mib = np.array(usage.memory)[:, 1]
    tenth = max(1, len(mib) // SHARE)
    first, last = float(np.median(mib[:tenth])), float(np.median(mib[-tenth:]))
    return [
        Measurement(
            what=f'resident memory of the policy node after {seconds:g} s at {RATE_HZ:g} Hz',
            ours=last,
            reference=first,
            reference_name='the same in the first tenth of the time',
            unit='MiB, node and inference process',
            target=ALLOWED_GROWTH,
            details={
                'growth_mib_per_min': usage.growth_mib_per_min,
                'greatest_mib': float(mib.max()),
                'cores_used': usage.cpu,
            },
        )
    ]


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
