# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The networks, the `Policy` interface that everything else speaks to, and checkpoints.

No data files, no ROS and no trainer in here.
"""

from motion_policy.policies.base import Observation, Policy, PolicySpec
from motion_policy.policies.checkpoint import (
    CheckpointError,
    check_robot,
    load_policy,
    read_policy_spec,
    save_policy,
)
from motion_policy.policies.kinds import POLICY_KINDS, make_policy, policy_class

__all__ = [
    'POLICY_KINDS',
    'CheckpointError',
    'Observation',
    'Policy',
    'PolicySpec',
    'check_robot',
    'load_policy',
    'make_policy',
    'policy_class',
    'read_policy_spec',
    'save_policy',
]
