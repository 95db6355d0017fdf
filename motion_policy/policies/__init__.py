# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The networks, the `Policy` interface that everything else speaks to, and checkpoints.

No data files, no ROS and no trainer in here.
"""

from motion_policy.policies.base import Model, ObservationBatch, Policy, PolicySpec
from motion_policy.policies.checkpoint import (
    CheckpointError,
    load_model,
    load_policy,
    read_policy_spec,
    save_policy,
)
from motion_policy.policies.kinds import MODEL_KINDS, make_model, make_policy, model_class
from motion_policy.policies.robot_fit import check_robot

__all__ = [
    'MODEL_KINDS',
    'CheckpointError',
    'Model',
    'ObservationBatch',
    'Policy',
    'PolicySpec',
    'check_robot',
    'load_model',
    'load_policy',
    'make_model',
    'make_policy',
    'model_class',
    'read_policy_spec',
    'save_policy',
]
