# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The networks, the `Policy` interface that everything else speaks to, and checkpoints.

No file formats of data, no ROS and no trainer in here.
"""

from motion_policy.policies.base import Policy, PolicySpec, make_policy
from motion_policy.policies.checkpoint import (
    CheckpointError,
    check_robot,
    load_policy,
    save_policy,
)

__all__ = [
    'CheckpointError',
    'Policy',
    'PolicySpec',
    'check_robot',
    'load_policy',
    'make_policy',
    'save_policy',
]
