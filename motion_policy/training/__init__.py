# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""From demonstrations to a policy: data in memory, losses, the Lightning module, the run."""

from motion_policy.training.config import ConfigError, TrainConfig, load_train_config
from motion_policy.training.schedule import LossSchedule
from motion_policy.training.train import train

__all__ = ['ConfigError', 'LossSchedule', 'TrainConfig', 'load_train_config', 'train']
