# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults while the arm is sent whole action chunks."""

from __future__ import annotations

import signal
import time

import numpy as np

from fault_campaign.camera_faults import STALE_TOP, camera
from fault_campaign.corrupted_messages import joints_stamped, silent, stalled
from fault_campaign.fault import Evidence, Fault, Inject, disables
from fault_campaign.harness import Harness
from fault_campaign.joint_faults import NO_LISTENER, STALE_STATE, joints, nobody_listens
from fault_campaign.node_faults import STATED, killed, toggled
from fault_campaign.policy_faults import CLAMPED, ENDED, RAISED, policy, worker

# The skew is the least delay of the last 100 joint states that ticks at 50 Hz have seen.
SKEW_S = 3.0  # where some ticks come late
SKEWED = r'(brake|disabled): .*clock skew: '


def _skewed(by_s: float, after_s: float) -> Inject:
    """The controller's clock is off; to be known `after_s` later."""

    def inject(harness: Harness, rng: np.random.Generator) -> Evidence:
        begin_ns = time.time_ns()
        harness.scene.joint_fault = joints_stamped(round(by_s * 1e9))(rng)
        harness.spin(after_s + 0.4)
        harness.scene.joint_fault = None
        # So long it takes until the node believes that the clocks agree again.
        over_ns = time.time_ns()
        return Evidence(begin_ns, begin_ns + round(after_s * 1e9), over_ns)

    return inject


CHUNK_FAULTS = (
    Fault('chunks: camera dies', 'chunks', 'hold', STALE_TOP, camera(silent)),
    disables('chunks: joint state stalls', 'chunks', STALE_STATE, joints(stalled)),
    Fault('chunks: NaN', 'chunks', 'hold', r'hold: finite: ', policy('nan', 2)),
    # The arm may be led into the table, and is disabled then.
    Fault(
        'chunks: huge steps', 'chunks', 'limits', CLAMPED, policy('huge', 2), 'either',
        leads_away=True,
    ),
    Fault('chunks: wrong width', 'chunks', 'hold', r'hold: width: ', policy('width', 2)),
    Fault('chunks: inference raises', 'chunks', 'hold', RAISED, policy('raise', 2)),
    Fault(
        'chunks: inference process killed', 'chunks', 'hold', f'{ENDED}signal 9',
        worker(signal.SIGKILL), every=5,
    ),
    Fault(
        'chunks: node killed and restarted', 'chunks', 'silence', '', killed, 'operator', every=5,
    ),
    Fault('chunks: enable toggled fast', 'chunks', 'hold', STATED, toggled, 'operator'),
    disables(
        "chunks: the arm's clock 10 ms ahead", 'chunks', SKEWED, _skewed(0.010, 0.05), every=2
    ),
    disables(
        "chunks: the arm's clock 0.05 s behind", 'chunks', SKEWED, _skewed(-0.05, SKEW_S), every=2
    ),
    disables('chunks: nobody listens', 'chunks', NO_LISTENER, nobody_listens, every=2),
)  # fmt: skip
